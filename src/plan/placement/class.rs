//! A class: what all Tasks of one Revision ask of an offer. Decided once, not per Task.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Resources;
use super::constraint::{ConstraintError, Field, Rule};
use crate::api::{HostPort, Template};
use crate::plan::ObjectName;

/// What each Task of a Revision needs.
#[derive(Clone, Debug)]
pub struct Class {
    pub(super) name: ObjectName,
    pub(super) wants: Resources,
    /// One per port of the template.
    pub(super) ports: Vec<HostPort>,
    host_ports: u32,
    pub(super) rules: Vec<Rule>,
    /// Its Tasks are containers.
    pub(super) in_container: bool,
}

impl Class {
    /// The class of the Revision `name` with this template.
    ///
    /// # Errors
    /// When a constraint cannot be understood.
    pub fn new(name: ObjectName, template: &Template) -> Result<Self, ConstraintError> {
        let rules = template.constraints.iter().map(Rule::new).collect::<Result<_, _>>()?;
        let wants = Resources::from(&template.resources).lending(&template.revocable);
        let in_container = template.container.is_some();
        Ok(Self { in_container, ..Self::of(name, wants, template.host_ports().collect(), rules) })
    }

    /// Its Tasks stay in `region`, the master's, unless a constraint speaks of regions.
    #[must_use]
    pub fn at_home(mut self, region: Option<&Arc<str>>) -> Self {
        let is_free = self.rules.iter().any(|rule| rule.field == Field::Region);
        self.rules.extend(region.filter(|_| !is_free).cloned().map(Rule::at_home));
        self
    }

    pub(super) fn of(name: ObjectName, wants: Resources, ports: Vec<HostPort>, rules: Vec<Rule>) -> Self {
        let any = ports.iter().filter(|it| **it == HostPort::Any).count();
        let class = Self { name, wants, ports, host_ports: 0, rules, in_container: false };
        let fixed: BTreeSet<_> = class.fixed_ports().collect();
        Self { host_ports: u32::try_from(any + fixed.len()).unwrap_or(u32::MAX), ..class }
    }

    /// How many host ports each Task takes. A fixed one that is named twice (for TCP and for UDP) is one.
    pub(super) fn host_ports(&self) -> u32 {
        self.host_ports
    }

    /// Whether a machine that runs containers, or does not, can run its Tasks.
    pub(super) fn runs_on(&self, runs_containers: bool) -> bool {
        runs_containers || !self.in_container
    }

    pub(super) fn fixed_ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().filter_map(|it| match it {
            HostPort::Fixed(port) => Some(*port),
            HostPort::None | HostPort::Any => None,
        })
    }
}
