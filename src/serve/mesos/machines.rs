//! What the agents of a simulated Mesos are, from the flags or from a profile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::api::{Bytes, Cpus, Span};
use crate::cli::server_args::AgentResources;
use crate::cli::{AgentGroup, MesosArgs, MesosProfile};
use crate::mesos::embedded::fleet::Manner;
use crate::mesos::embedded::resources::{parse_attributes, parse_resources};
use crate::mesos::wire::AgentInfo;
use crate::mesos::wire::offer::{DomainInfo, FaultDomain, Named};
use crate::serve::machine::{PORTS, resources_text};

/// One agent, and how simulated tasks fare there.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) info: AgentInfo,
    pub(super) manner: Manner,
}

/// All agents that are asked for, in the order of their groups.
pub(super) fn machines(args: &MesosArgs) -> Result<Vec<Machine>> {
    let groups = match &args.profile {
        None => vec![AgentGroup {
            name: args.agent_name.clone(),
            count: args.agents,
            resources: args.agent_resources.clone().unwrap_or_default(),
            attributes: args.agent_attributes.clone().unwrap_or_default(),
            ..AgentGroup::default()
        }],
        Some(file) => {
            let groups = MesosProfile::read(file)?.agents;
            let place = |index: usize| format!("--profile {}: agents[{index}]", file.display());
            for (index, group) in groups.iter().enumerate().filter(|_| args.work_dir.is_some()) {
                really_runs(group).with_context(|| place(index))?;
            }
            groups
        }
    };
    let mut machines = Vec::new();
    let ports_of = |group: &AgentGroup| group.resources.ports.clone().unwrap_or_else(|| vec![PORTS]);
    // How many agents have these ports between them, and how many of these there are yet.
    let mut sharing: BTreeMap<Vec<(u16, u16)>, (u32, u32)> = BTreeMap::new();
    for group in &groups {
        sharing.entry(ports_of(group)).or_default().0 += group.count;
    }
    for group in groups {
        for host in group.hosts() {
            let mut resources = group.resources.clone();
            if args.work_dir.is_some() {
                let ports = ports_of(&group);
                let (count, number) = sharing.entry(ports.clone()).or_default();
                resources.ports = Some(part(&ports, *number, *count)?);
                *number += 1;
            }
            machines.push(machine(host, &resources, &group)?);
        }
    }
    if !args.regions.is_empty() {
        for (machine, region) in machines.iter_mut().zip(args.regions.iter().cycle()) {
            machine.info.domain = Some(DomainInfo::in_region(region));
        }
    }
    Ok(machines)
}

/// Where the master stands: in the first region that is named, if one is.
pub(super) fn domain_of_master(args: &MesosArgs, machines: &[Machine]) -> Option<DomainInfo> {
    let told = || machines.iter().find_map(|machine| machine.info.domain.as_ref()?.region());
    let region = args.regions.first().map(String::as_str).or_else(told)?;
    Some(DomainInfo::in_region(region))
}

/// Executors take the time that they take.
fn really_runs(group: &AgentGroup) -> Result<()> {
    const WHY: &str = "allowed only without --work-dir, where tasks are said to run";
    ensure!(group.start_delay.is_none(), "start-delay is {:?}: {WHY}", group.start_delay.map(Span::duration));
    ensure!(group.failure_rate.is_none(), "failure-rate is {:?}: {WHY}", group.failure_rate);
    Ok(())
}

/// The ports of one of so many agents that run tasks beside each other, each of which has as many.
fn part(ports: &[(u16, u16)], number: u32, of: u32) -> Result<Vec<(u16, u16)>> {
    let all = || ports.iter().flat_map(|(first, last)| *first..=*last);
    let each = all().count() / of as usize;
    ensure!(
        each > 0 || ports.is_empty(),
        "agents are {of} and ports {}: with --work-dir, where tasks run, agents share them, and each needs one",
        all().count()
    );
    let mut parts: Vec<(u16, u16)> = Vec::new();
    for port in all().skip(each * number as usize).take(each) {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
            _ => parts.push((port, port)),
        }
    }
    Ok(parts)
}

fn machine(hostname: String, given: &AgentResources, group: &AgentGroup) -> Result<Machine> {
    let given = given.clone();
    let whole = AgentResources {
        cpus: given.cpus.or(Some(Cpus::from_millis(4_000))),
        memory: given.memory.or(Some(Bytes::from_mebibytes(4_096))),
        disk: given.disk.or(Some(Bytes::from_mebibytes(10_240))),
        ..given
    };
    let resources = parse_resources(&resources_text(&whole, Path::new("/"))?)?;
    let attributes: Vec<String> =
        group.attributes.0.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let attributes = parse_attributes(&attributes.join(";"))?;
    let named = |name: &String| Named { name: name.clone() };
    let domain = group.region.as_ref().map(|region| DomainInfo {
        fault_domain: Some(FaultDomain { region: Some(named(region)), zone: group.zone.as_ref().map(named) }),
    });
    let manner = Manner {
        start_delay: group.start_delay.map_or(Duration::ZERO, Span::duration),
        failure_rate: group.failure_rate.unwrap_or(0.0),
    };
    Ok(Machine {
        info: AgentInfo { hostname, resources, attributes, domain, ..AgentInfo::default() },
        manner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_that_run_tasks_beside_each_other_have_ports_of_their_own() {
        let ports = [(10, 13), (20, 22)];
        assert_eq!(part(&ports, 0, 1).unwrap(), ports);
        let parts: Vec<_> = (0..2).map(|number| part(&ports, number, 2).unwrap()).collect();
        assert_eq!(parts, [vec![(10, 12)], vec![(13, 13), (20, 21)]]);
        assert!(part(&ports, 0, 8).unwrap_err().to_string().starts_with("agents are 8 and ports 7: "));
        assert!(part(&[], 0, 8).unwrap().is_empty(), "no ports were asked for");
    }
}
