//! What the agents of a simulated Mesos are, from the flags or from a profile.

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
use crate::serve::machine::resources_text;

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
    for group in groups {
        machines.extend(of_group(&group)?);
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

fn of_group(group: &AgentGroup) -> Result<Vec<Machine>> {
    let given = group.resources.clone();
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
    let machine = |hostname| Machine {
        info: AgentInfo {
            hostname,
            resources: resources.clone(),
            attributes: attributes.clone(),
            domain: domain.clone(),
            ..AgentInfo::default()
        },
        manner,
    };
    Ok(group.hosts().map(machine).collect())
}
