//! The environment of a task: what Tenure tells it, then what its template says, which wins.
//!
//! | variable | value |
//! | --- | --- |
//! | `HOST` | the agent's host name |
//! | `PORT0`, `PORT1`, … | the port to listen at, in the order of the template |
//! | `PORT_<NAME>` | the same by name, in capitals, other characters as `_` |
//! | `PORT`, `PORTS` | the first, and all with commas |
//! | `MESOS_TASK_ID` | the task as Mesos knows it |
//! | `TENURE_NAMESPACE`, `TENURE_APP`, `TENURE_TASK`, `TENURE_REVISION` | the names |

use std::collections::BTreeMap;

use super::secrets::{SecretError, Secrets};
use crate::api::{Binding, EnvVar, Network, Port, Task, Template};

/// A task's ports as it meets them: one entry per port of the template, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskPort<'a> {
    pub(super) port: &'a Port,
    /// On the agent; `None` where none was asked for.
    pub(super) host: Option<u16>,
    /// What the task listens at: in its own network the container's port, else the agent's.
    pub(super) listens: u16,
}

/// The ports of a bound task.
pub(super) fn task_ports<'a>(template: &'a Template, binding: &Binding) -> Vec<TaskPort<'a>> {
    let on_host = template.network() == Network::Host;
    let bound = binding.ports.iter().copied().chain(std::iter::repeat(0));
    let of = |(port, bound): (&'a Port, u16)| {
        let host = (bound != 0).then_some(bound);
        let inside = port.fixed_container_port().filter(|_| !on_host);
        TaskPort { port, host, listens: inside.or(host).unwrap_or(0) }
    };
    template.ports.iter().zip(bound).map(of).collect()
}

/// All variables of a bound task.
///
/// # Errors
/// When a Secret that the template refers to, or its key, does not exist.
pub(super) fn variables(
    task: &Task,
    binding: &Binding,
    template: &Template,
    secrets: &Secrets,
) -> Result<BTreeMap<String, String>, SecretError> {
    let mut variables = own(task, binding);
    variables.extend(of_ports(&task_ports(template, binding)));
    for EnvVar { name, value, value_from } in &template.env {
        let value = match value_from {
            Some(source) => secrets.value(&source.secret_key_ref)?,
            None => value.clone().unwrap_or_default(),
        };
        variables.insert(name.clone(), value);
    }
    Ok(variables)
}

fn own(task: &Task, binding: &Binding) -> BTreeMap<String, String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        ("HOST", binding.host.clone()),
        ("MESOS_TASK_ID", binding.mesos_task_id.clone()),
        ("TENURE_APP", task.spec.app.clone()),
        ("TENURE_NAMESPACE", text(&task.metadata.namespace)),
        ("TENURE_REVISION", task.spec.revision.clone()),
        ("TENURE_TASK", text(&task.metadata.name)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn of_ports(ports: &[TaskPort<'_>]) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let numbers: Vec<String> = ports.iter().map(|p| p.host.unwrap_or(p.listens).to_string()).collect();
    for (index, (port, number)) in ports.iter().zip(&numbers).enumerate() {
        variables.insert(format!("PORT{index}"), number.clone());
        if let Some(name) = &port.port.name {
            variables.insert(format!("PORT_{}", in_capitals(name)), number.clone());
        }
    }
    if let Some(first) = numbers.first() {
        variables.insert("PORT".to_owned(), first.clone());
        variables.insert("PORTS".to_owned(), numbers.join(","));
    }
    variables
}

fn in_capitals(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
