//! The file of `tenure mesos --profile`: agents in groups, each group with what its agents have and how tasks fare on them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::mesos_args::MOST_AGENTS;
use super::server_args::{AgentAttributes, AgentResources};
use crate::api::Span;

/// All agents of a simulated Mesos.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MesosProfile {
    /// Groups, of agents that are alike.
    pub agents: Vec<AgentGroup>,
}

/// Agents that are alike but for their numbers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AgentGroup {
    /// Their host names are this and a number from 1 on.
    pub name: String,
    /// How many there are.
    pub count: u32,
    /// What each offers; what is left out is as without a profile.
    #[serde(default)]
    pub resources: AgentResources,
    /// The attributes of each.
    #[serde(default)]
    pub attributes: AgentAttributes,
    /// The fault domain that they stand in, with `zone`.
    pub region: Option<String>,
    /// See `region`.
    pub zone: Option<String>,
    /// How long a simulated task takes to run after its launch.
    pub start_delay: Option<Span>,
    /// Which share of simulated tasks fails instead of running.
    pub failure_rate: Option<f64>,
}

impl MesosProfile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or names what cannot be: with the line or the field, its value, and what is allowed.
    pub fn read(file: &Path) -> Result<MesosProfile> {
        let place = || format!("--profile {}", file.display());
        let text = std::fs::read_to_string(file).with_context(place)?;
        MesosProfile::parse(&text).with_context(place)
    }

    fn parse(text: &str) -> Result<MesosProfile> {
        let profile: MesosProfile = toml::from_str(text)?;
        ensure!(!profile.agents.is_empty(), "agents is empty: one [[agents]] at least is needed");
        let mut hosts = BTreeSet::new();
        for (index, group) in profile.agents.iter().enumerate() {
            group.check().with_context(|| format!("agents[{index}]"))?;
            for host in group.hosts() {
                ensure!(
                    hosts.insert(host.clone()),
                    "agents[{index}]: an earlier group has an agent {host}, too"
                );
            }
            ensure!(
                hosts.len() <= MOST_AGENTS as usize,
                "agents[{index}].count is {}: allowed are {MOST_AGENTS} agents in all",
                group.count
            );
        }
        Ok(profile)
    }
}

impl AgentGroup {
    /// The host names of its agents.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        (1..=self.count).map(|number| format!("{}{number}", self.name))
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.name.is_empty(), "name is \"\": allowed is the first part of a host name");
        ensure!(
            (1..=MOST_AGENTS).contains(&self.count),
            "count is {}: allowed are 1 to {MOST_AGENTS}",
            self.count
        );
        for (field, value) in [("region", &self.region), ("zone", &self.zone)] {
            ensure!(value.as_deref() != Some(""), "{field} is \"\": allowed is a name, or no {field} at all");
        }
        match (&self.region, &self.zone) {
            (Some(region), None) => anyhow::bail!("region is {region:?} and zone is absent: both are needed"),
            (None, Some(zone)) => anyhow::bail!("zone is {zone:?} and region is absent: both are needed"),
            _ => {}
        }
        if let Some(rate) = self.failure_rate {
            ensure!((0.0..=1.0).contains(&rate), "failure-rate is {rate}: allowed are 0.0 to 1.0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        format!("{:#}", MesosProfile::parse(text).unwrap_err())
    }

    #[test]
    fn groups_differ_in_what_they_have_and_in_how_tasks_fare() {
        let text = "
            [[agents]]
            name = 'big'
            count = 2
            resources = 'cpus:8;mem:16384'
            attributes = 'rack:r1;ssd:true'
            region = 'eu'
            zone = 'eu-1'
            start-delay = '2s'
            failure-rate = 0.25

            [[agents]]
            name = 'small'
            count = 1
        ";
        let profile = MesosProfile::parse(text).unwrap();
        let [big, small] = &profile.agents[..] else { panic!("{profile:?}") };
        assert_eq!(big.hosts().collect::<Vec<_>>(), ["big1", "big2"]);
        assert_eq!(big.resources, "cpus:8;mem:16384".parse().unwrap());
        assert_eq!(big.attributes, "rack:r1;ssd:true".parse().unwrap());
        assert_eq!((big.region.as_deref(), big.zone.as_deref()), (Some("eu"), Some("eu-1")));
        assert_eq!((big.start_delay, big.failure_rate), (Some(Span::from_secs(2)), Some(0.25)));
        assert_eq!(*small, AgentGroup { name: "small".to_owned(), count: 1, ..AgentGroup::default() });
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_field_its_value_and_what_is_allowed() {
        let group = |more: &str| format!("[[agents]]\nname = 'a'\ncount = 1\n{more}");
        assert_eq!(refused("agents = []"), "agents is empty: one [[agents]] at least is needed");
        let many = "[[agents]]\nname = 'a'\ncount = 0";
        assert_eq!(refused(many), "agents[0]: count is 0: allowed are 1 to 100000");
        let rate = refused(&group("failure-rate = 1.5"));
        assert_eq!(rate, "agents[0]: failure-rate is 1.5: allowed are 0.0 to 1.0");
        let region = refused(&group("region = 'eu'"));
        assert_eq!(region, "agents[0]: region is \"eu\" and zone is absent: both are needed");
        let zone = refused(&group("region = 'eu'\nzone = ''"));
        assert_eq!(zone, "agents[0]: zone is \"\": allowed is a name, or no zone at all");
        let twice = refused(&[group(""), group("")].concat());
        assert_eq!(twice, "agents[1]: an earlier group has an agent a1, too");
        // Those of the reader itself show the line.
        for (more, said) in [
            ("cpus = 4", "unknown field `cpus`, expected one of `name`, `count`, `resources`"),
            ("resources = 'cpu:4'", "unknown resource \"cpu\": known are cpus, mem, disk, gpus and ports"),
            ("start-delay = 'soon'", "must be a duration such as 30s, 5m or 1h30m"),
            ("failure-rate = 'often'", "invalid type: string \"often\", expected f64"),
        ] {
            let text = refused(&group(more));
            assert!(text.contains(said) && text.contains(more) && text.contains("line 4"), "{text}");
        }
    }
}
