//! A class: what all Tasks of one Revision ask of an offer. Decided once, not per Task.

use super::Resources;
use super::constraint::{ConstraintError, Field, Rule, Test};
use crate::api::{HostPort, Template};
use crate::plan::ObjectName;

/// What each Task of a Revision needs.
#[derive(Clone, Debug)]
pub struct Class {
    pub(super) name: ObjectName,
    pub(super) wants: Resources,
    /// One per port of the template.
    pub(super) ports: Vec<HostPort>,
    pub(super) rules: Vec<Rule>,
}

impl Class {
    /// The class of the Revision `name` with this template.
    ///
    /// # Errors
    /// When a constraint cannot be understood.
    pub fn new(name: ObjectName, template: &Template) -> Result<Self, ConstraintError> {
        Ok(Self {
            name,
            wants: Resources::from(&template.resources),
            ports: template.host_ports().collect(),
            rules: template.constraints.iter().map(Rule::new).collect::<Result<_, _>>()?,
        })
    }

    /// How many host ports each Task takes.
    pub(super) fn host_ports(&self) -> u32 {
        let wanted = self.ports.iter().filter(|it| **it != HostPort::None).count();
        u32::try_from(wanted).unwrap_or(u32::MAX)
    }

    pub(super) fn fixed_ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().filter_map(|it| match it {
            HostPort::Fixed(port) => Some(*port),
            HostPort::None | HostPort::Any => None,
        })
    }

    /// Fields by whose values agents must be found quickly.
    pub(super) fn tracked(&self) -> impl Iterator<Item = &Field> {
        let tracked = |rule: &&Rule| matches!(rule.test, Test::Equals(_) | Test::Evenly(_));
        self.rules.iter().filter(tracked).map(|rule| &rule.field)
    }
}
