//! What each sample in `manifests/samples` comes to on an agent: the exact request to Docker, or, for an app without a
//! container, what its shim is told. The whole way of an App is walked, without a service: manifest, Revision, bound
//! Task, Mesos's TaskInfo, the executor's Task.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenure::api::{App, Binding, MicroTime, Revision, RevisionSpec, Task, TaskSpec, Template, names};
use tenure::cli::yaml;
use tenure::controllers::{self, Secrets, task_info};
use tenure::executor::docker::create_request;
use tenure::executor::logs::LogLimits;
use tenure::executor::process::{TaskDir, shim_spec};
use tenure::mesos::embedded::launcher::Launch;
use tenure::mesos::wire::{AgentId, FrameworkId, Resource, Scalar, TaskInfo, ValueType};

fn sample(name: &str) -> App {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("manifests/samples/{name}.yaml"));
    serde_json::from_value(yaml::parse(&fs::read_to_string(file).unwrap()).unwrap()).unwrap()
}

/// The first task of the app, on an agent that gives host ports from 31000 on.
fn described(app: &App) -> TaskInfo {
    let name = app.metadata.name.clone().unwrap();
    let template: Template = app.spec.template.clone();
    let hash = names::template_hash(&template);
    let ports = template.ports.iter().zip(31000..);
    let ports = ports.map(|(port, free)| port.host_port.filter(|fixed| *fixed != 0).unwrap_or(free));
    let binding = Binding {
        agent_id: "S1".into(),
        host: "agent-1".into(),
        offer_id: "O1".into(),
        resources: template.resources.clone(),
        revocable: Vec::new(),
        ports: ports.collect(),
        bound_at: MicroTime(jiff::Timestamp::UNIX_EPOCH),
        mesos_task_id: format!("default.{name}-1.0a1b2c3d"),
        executor_id: None,
    };
    let resources = [
        scalar("cpus", template.resources.cpus.as_f64()),
        scalar("mem", template.resources.memory.as_mebibytes()),
    ];
    let spec =
        TaskSpec { app: name.clone(), revision: "r1".into(), binding: Some(binding), ..TaskSpec::default() };
    let mut task = Task::new(&format!("{name}-1"), spec);
    task.metadata.namespace = Some("default".into());
    let revision = Revision::new("r1", RevisionSpec { app: name, number: 1, hash, template });
    let secrets = Secrets::default();
    let launch = controllers::Launch {
        installation: "uid-1",
        runner: &controllers::Runner::Embedded,
        task: &task,
        revision: &revision,
        secrets: &secrets,
        resources: &resources,
    };
    task_info(launch).unwrap()
}

fn scalar(name: &str, value: f64) -> Resource {
    let scalar = Some(Scalar { value });
    Resource { name: name.into(), r#type: ValueType::Scalar.wire(), scalar, ..Resource::default() }
}

/// As the agent would hand it to the executor, and what the executor makes of it.
fn started(info: TaskInfo) -> Value {
    let launch = Launch {
        framework_id: FrameworkId::new("F1"),
        agent_id: AgentId::new("S1"),
        task: info,
        environment: [("MESOS_AGENT_ID".to_owned(), "S1".to_owned())].into(),
    };
    let task = tenure::executor::wire::task(&launch).unwrap();
    let logs = LogLimits::default();
    match &task.container {
        Some(container) => serde_json::to_value(create_request(&task, container, logs).unwrap()),
        None => {
            let dir = TaskDir::of(&PathBuf::from("/var/lib/tenure/agent/tasks"), &task.id);
            serde_json::to_value(shim_spec(&task, &dir.sandbox(), logs).unwrap())
        }
    }
    .unwrap()
}

#[test]
fn samples_come_to_exactly_this() {
    for name in ["rails", "python", "health-check", "unique", "nginx"] {
        let started = started(described(&sample(name)));
        insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!(name, started) });
    }
}
