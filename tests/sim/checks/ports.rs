//! No two live tasks of an agent share a host port.

use std::collections::BTreeMap;

use super::kinds::task_changes;
use super::{Check, Step, is_live, tasks};

pub(super) struct Ports;

impl Check for Ports {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        // Only a binding can bring two together.
        let binds = task_changes(step.changes)
            .any(|it| it.new.spec.binding.is_some() && it.old.is_none_or(|old| old.spec.binding.is_none()));
        if !binds {
            return;
        }
        let mut given: BTreeMap<(String, u16), String> = BTreeMap::new();
        for task in tasks(step.after).filter(|it| is_live(it)) {
            let name = task.metadata.name.clone().unwrap_or_default();
            let Some(binding) = &task.spec.binding else { continue };
            for port in binding.ports.iter().filter(|port| **port != 0) {
                if let Some(other) = given.insert((binding.agent_id.clone(), *port), name.clone()) {
                    broken
                        .push(format!("port {port} of {} is given to {other} and {name}", binding.agent_id));
                }
            }
        }
    }
}
