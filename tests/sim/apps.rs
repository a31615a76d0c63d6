//! The Apps of the scenarios, and what becomes of their tasks.

use std::time::Duration;

use serde_json::{Value, json};
use tenure::mesos::embedded::simulated::Fate;
use tenure::mesos::wire::TaskInfo;

/// A service of `instances` whose command is `cmd`, with one port.
pub(crate) fn app(name: &str, instances: u32, cmd: &str) -> Value {
    json!({
        "apiVersion": "tenure.dev/v1",
        "kind": "App",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {
            "instances": instances,
            "cmd": cmd,
            "ports": [{"name": "http"}],
            "update": {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 0.34},
        },
    })
}

/// The command's first word decides what becomes of a task on the machine of this number.
pub(crate) fn fate(machine: usize, info: &TaskInfo) -> Fate {
    let command = info.command.as_ref().and_then(|it| it.value.clone()).unwrap_or_default();
    let mut words = command.split(' ');
    let first = words.next().unwrap_or_default();
    match first {
        "refuse-on" if words.next() == Some(&machine.to_string()) => {
            Fate::FailToStart { message: "no such path".to_owned() }
        }
        "crash" => Fate::Exit { code: 1, after: Duration::from_secs(1) },
        "refuse" => Fate::FailToStart { message: "no such image".to_owned() },
        "checked" => Fate::BecomeUnhealthy { after: Duration::from_secs(1_000_000) },
        "exit" => Fate::Exit { code: 0, after: Duration::from_secs(10) },
        "hang" => Fate::Hang,
        "outlast" => Fate::OutlastGrace,
        "slow" => Fate::Slowly { after: Duration::from_secs(40), then: Box::new(Fate::RunForever) },
        "silent" => Fate::Silently { after: Duration::from_secs(400), then: Box::new(Fate::RunForever) },
        "warm" => Fate::BecomeReady { after: Duration::from_secs(30) },
        "sicken" => Fate::BecomeUnhealthy { after: Duration::from_secs(30) },
        _ => Fate::RunForever,
    }
}
