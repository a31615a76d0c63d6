//! No two tasks that run on a machine share a host port.
//!
//! Of bindings this need not be true: a Task whose ACCEPT was lost keeps its binding until it is reconciled, though its
//! port is offered again.

use std::collections::BTreeMap;

use super::kinds::task_changes;
use super::{Check, Reality, Step};

pub(super) struct Ports {
    pub(super) reality: Option<Reality>,
}

impl Check for Ports {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        let Some(reality) = &self.reality else { return };
        let reported = |task: &tenure::api::Task| task.status.as_ref().and_then(|it| it.state.clone());
        let news =
            task_changes(step.changes).any(|it| it.old.as_deref().and_then(reported) != reported(&it.new));
        if !news {
            return;
        }
        for machine in reality.0.iter() {
            let mut held: BTreeMap<u64, String> = BTreeMap::new();
            for info in machine.descriptions() {
                let ranges = info.resources.iter().filter(|it| it.name == "ports");
                let ranges = ranges.flat_map(|it| &it.ranges).flat_map(|it| &it.range);
                for port in ranges.flat_map(|range| range.begin..=range.end) {
                    if let Some(other) = held.insert(port, info.task_id.value.clone()) {
                        broken.push(format!("{other} and {} both run on port {port}", info.task_id));
                    }
                }
            }
        }
    }
}
