//! What an instance is told about itself: the environment variables that Tenure sets. The App's own `env` wins.
//!
//! | Variable | Value |
//! | --- | --- |
//! | `HOST` | host name or address of the agent |
//! | `PORT0`, `PORT1`, … | the host port of each of the App's ports; its container port where it has no host port |
//! | `PORT` | `PORT0` |
//! | `PORTS` | all of them, joined by commas |
//! | `PORT_<NAME>` | the same by name: upper case, every character but letters and digits as `_` |
//! | `PORT_<number>` | the same by container port, where that is fixed |
//! | `MESOS_TASK_ID` | the id that Mesos knows the Task by |
//! | `TENURE_NAMESPACE`, `TENURE_APP`, `TENURE_TASK`, `TENURE_REVISION` | names |
//! | `TENURE_APP_RESOURCE_CPUS`, `_MEM`, `_DISK`, `_GPUS` | what it was given: cpus, MiB, MiB, gpus |
//! | `TENURE_APP_DOCKER_IMAGE` | the image, if it runs in a container |
//!
//! As in Marathon, with `TENURE_` for `MARATHON_`.

use std::collections::BTreeMap;

use crate::api::{Task, Template};

/// The variables of a bound Task of a Revision with this template; those that need a binding are absent without one.
#[must_use]
pub fn environment(task: &Task, template: &Template) -> BTreeMap<String, String> {
    let mut variables = names(task, template);
    let mut numbers = Vec::new();
    for (index, number) in effective_ports(task, template).into_iter().enumerate() {
        let Some(number) = number else { continue };
        let port = &template.ports[index];
        variables.insert(format!("PORT{index}"), number.to_string());
        if let Some(fixed) = port.fixed_container_port() {
            variables.insert(format!("PORT_{fixed}"), number.to_string());
        }
        if let Some(name) = &port.name {
            variables.insert(format!("PORT_{}", upper(name)), number.to_string());
        }
        numbers.push(number.to_string());
    }
    if let Some(first) = numbers.first() {
        variables.insert("PORT".into(), first.clone());
        variables.insert("PORTS".into(), numbers.join(","));
    }
    variables
}

/// Per port of the template: the host port that the Task was given, or else the fixed container port.
fn effective_ports(task: &Task, template: &Template) -> Vec<Option<u16>> {
    let given = task.spec.binding.as_ref().map_or(&[][..], |it| &it.ports);
    let host = |index: usize| given.get(index).copied().filter(|it| *it != 0);
    template.ports.iter().enumerate().map(|(index, it)| host(index).or(it.fixed_container_port())).collect()
}

fn names(task: &Task, template: &Template) -> BTreeMap<String, String> {
    let resources = &template.resources;
    let mut variables = BTreeMap::from([
        ("TENURE_NAMESPACE".to_owned(), task.metadata.namespace.clone().unwrap_or_default()),
        ("TENURE_APP".to_owned(), task.spec.app.clone()),
        ("TENURE_TASK".to_owned(), task.metadata.name.clone().unwrap_or_default()),
        ("TENURE_REVISION".to_owned(), task.spec.revision.clone()),
        ("TENURE_APP_RESOURCE_CPUS".to_owned(), resources.cpus.as_f64().to_string()),
        ("TENURE_APP_RESOURCE_MEM".to_owned(), resources.memory.as_mebibytes().to_string()),
        ("TENURE_APP_RESOURCE_DISK".to_owned(), resources.disk.as_mebibytes().to_string()),
        ("TENURE_APP_RESOURCE_GPUS".to_owned(), resources.gpus.to_string()),
    ]);
    if let Some(container) = &template.container {
        variables.insert("TENURE_APP_DOCKER_IMAGE".into(), container.image.clone());
    }
    if let Some(binding) = &task.spec.binding {
        variables.insert("HOST".into(), binding.host.clone());
        variables.insert("MESOS_TASK_ID".into(), binding.mesos_task_id.clone());
    }
    variables
}

fn upper(name: &str) -> String {
    name.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::{Binding, Container, Port, Resources, TaskSpec};
    use crate::plan::micro_time;

    #[test]
    fn an_instance_is_told_its_ports_and_names() {
        let binding = Binding {
            agent_id: "agent-1".into(),
            host: "node-1".into(),
            offer_id: "offer-1".into(),
            resources: Resources::default(),
            revocable: Vec::new(),
            ports: vec![31_005, 0, 31_007, 0],
            bound_at: micro_time(Timestamp::UNIX_EPOCH),
            mesos_task_id: "shop.web-1.0a1b2c3d".into(),
            executor_id: None,
        };
        let spec = TaskSpec {
            app: "web".into(),
            revision: "web-abc".into(),
            binding: Some(binding),
            ..TaskSpec::default()
        };
        let mut task = Task::new("web-1", spec);
        task.metadata.namespace = Some("shop".into());
        let port = |name: Option<&str>, container_port| Port {
            name: name.map(str::to_owned),
            container_port,
            ..Port::default()
        };
        let ports = vec![
            port(Some("http-api"), Some(80)),
            port(Some("debug"), Some(9000)),
            port(None, None),
            port(None, None),
        ];
        let container = Some(Container::of_image("web:1"));
        let told = environment(&task, &Template { ports, container, ..Template::default() });
        let told: Vec<_> = told.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "HOST=node-1",
            "MESOS_TASK_ID=shop.web-1.0a1b2c3d",
            "PORT=31005",
            "PORT0=31005",
            "PORT1=9000", // has no host port
            "PORT2=31007",
            "PORTS=31005,9000,31007",
            "PORT_80=31005",
            "PORT_9000=9000",
            "PORT_DEBUG=9000",
            "PORT_HTTP_API=31005",
            "TENURE_APP=web",
            "TENURE_APP_DOCKER_IMAGE=web:1",
            "TENURE_APP_RESOURCE_CPUS=0.1",
            "TENURE_APP_RESOURCE_DISK=0",
            "TENURE_APP_RESOURCE_GPUS=0",
            "TENURE_APP_RESOURCE_MEM=128",
            "TENURE_NAMESPACE=shop",
            "TENURE_REVISION=web-abc",
            "TENURE_TASK=web-1",
        ];
        assert_eq!(told, expected);
    }
}
