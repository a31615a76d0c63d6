//! Golden TaskInfos of whole templates, and what is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::api::{MicroTime, Resources, RevisionSpec, TaskSpec, names};

fn revision(template: Value) -> Revision {
    let template: Template = serde_json::from_value(template).unwrap();
    let hash = names::template_hash(&template);
    Revision::new("web-hash", RevisionSpec { app: "web".into(), number: 1, hash, template })
}

fn task(ports: &[u16]) -> Task {
    let binding = Binding {
        agent_id: "S1".into(),
        host: "agent-1".into(),
        offer_id: "O1".into(),
        resources: Resources::default(),
        revocable: Vec::new(),
        ports: ports.to_vec(),
        bound_at: MicroTime(jiff::Timestamp::UNIX_EPOCH),
        mesos_task_id: "shop.web-x.0a1b2c3d".into(),
        executor_id: None,
    };
    let spec = TaskSpec {
        app: "web".into(),
        revision: "web-hash".into(),
        binding: Some(binding),
        ..TaskSpec::default()
    };
    let mut task = Task::new("web-x", spec);
    task.metadata.namespace = Some("shop".into());
    // As deployment writes it: the App's labels, and ours.
    let labels = [("app.kubernetes.io/part-of", "shop"), (labels::APP, "web"), ("team", "blue")];
    task.metadata.labels = Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    task
}

fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    secrets.insert("db", &json!({"data": {"password": "aHVudGVyMg==", "raw": "/w=="}}));
    let login = STANDARD.encode(r#"{"auths": {"https://reg:5000": {"auth": "dTpwOnc="}}}"#);
    secrets.insert("login", &json!({"data": {".dockerconfigjson": login}}));
    secrets
}

fn launch(template: Value, ports: &[u16]) -> Result<wire::TaskInfo, LaunchError> {
    let (task, revision) = (task(ports), revision(template));
    task_info(Launch {
        installation: "uid-1",
        runner: &Runner::Embedded,
        task: &task,
        revision: &revision,
        secrets: &secrets(),
        resources: &[],
    })
}

#[test]
fn container_on_a_bridge_is_described_whole() {
    let info = launch(
        json!({
            "container": {
                "image": "registry.local:5000/web:1.4", "pullPolicy": "Always", "network": "bridge",
                "parameters": [{"key": "volume-driver", "value": "rexray"}],
                "volumes": [{"containerPath": "/data", "hostPath": "/srv/web", "mode": "RO"}],
            },
            "args": ["serve", "--quiet"],
            "ports": [{"name": "http", "containerPort": 80}, {"name": "admin-ui", "hostPort": 31999, "protocol": "udp"}],
            "env": [
                {"name": "MODE", "value": "live"}, {"name": "PORTS", "value": "mine"},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
            ],
            "healthChecks": [{"http": {"port": "http", "path": "/health"}, "gracePeriod": "30s"}],
            "readinessChecks": [{"http": {"path": "/ready"}, "statusCodes": [200, 204]}],
            "kill": {"gracePeriod": "7s"},
        }),
        &[31005, 31999],
    );
    insta::assert_json_snapshot!("container_on_a_bridge", info.unwrap());
}

#[test]
fn plain_process_is_described_whole() {
    let template = json!({
        "cmd": "rails server -p $PORT", "ports": [{"containerPort": 3000}],
        "healthChecks": [{"exec": {"command": ["pgrep", "rails"]}}],
    });
    insta::assert_json_snapshot!("plain_process", launch(template, &[31007]).unwrap());
}

#[test]
fn process_without_a_shell_has_its_program_first() {
    let command = launch(json!({"args": ["sleep", "60"]}), &[]).unwrap().command.unwrap();
    assert_eq!((command.shell, command.value.as_deref()), (Some(false), Some("sleep")));
    assert_eq!(command.arguments, ["sleep", "60"]);
}

#[test]
fn readers_of_mesos_find_ports_at_the_address_that_is_told() {
    let ports_of = |network: &str, ports: &[u16]| {
        let template = json!({
            "container": {"image": "web", "network": network},
            "ports": [{"containerPort": 80, "hostPort": 0}],
        });
        let told = launch(template, ports).unwrap().discovery.unwrap().ports.unwrap().ports.remove(0);
        let label = |name: &str| told.labels.as_ref().unwrap().get(name).map(str::to_owned);
        (told.number, label("network-scope").unwrap(), label("network-name"))
    };
    assert_eq!(ports_of("bridge", &[31001]), (31001, "host".to_owned(), None));
    assert_eq!(ports_of("host", &[31001]), (31001, "host".to_owned(), None));
    assert_eq!(ports_of("none", &[0]), (80, "container".to_owned(), None));
    let inside = (80, "container".to_owned(), Some("backend".to_owned()));
    assert_eq!(ports_of("backend", &[31001]), inside);
}

#[test]
fn labels_of_an_app_that_are_too_many_are_left_out_and_ours_never() {
    let theirs = |count: usize, length: usize| {
        let mut task = task(&[]);
        let label = |number: usize| (format!("l{number:03}"), "v".repeat(length));
        task.metadata.labels = Some((0..count).map(label).collect());
        let revision = revision(json!({"cmd": "true"}));
        let labels = task_labels("uid-1", &task, &revision);
        assert_eq!(labels.get(labels::INSTALLATION), Some("uid-1"));
        labels.labels.iter().filter(|it| it.key.starts_with('l')).count()
    };
    assert_eq!(theirs(3, 1), 3);
    assert_eq!(theirs(100, 1), 64);
    assert_eq!(theirs(64, 60), 64);
    assert_eq!(theirs(64, 63), 61, "4096 bytes of 67 each");
}

#[test]
fn check_goes_to_the_port_that_the_task_listens_at() {
    let port_of = |container: Value, ports: &[u16]| {
        let template = json!({
            "container": container, "ports": [{"containerPort": 80}], "healthChecks": [{"tcp": {}}],
        });
        launch(template, ports).unwrap().health_check.unwrap().tcp.unwrap().port
    };
    assert_eq!(port_of(json!({"image": "web", "network": "bridge"}), &[31001]), 80);
    assert_eq!(port_of(json!({"image": "web", "network": "host"}), &[31001]), 31001);
    assert_eq!(port_of(json!({"image": "web", "network": "backend"}), &[0]), 80);
}

#[test]
fn named_network_publishes_only_ports_with_a_host_port() {
    let template = json!({
        "container": {"image": "web", "network": "backend"},
        "ports": [{"containerPort": 80}, {"containerPort": 90, "hostPort": 0}],
    });
    let container = launch(template, &[0, 31009]).unwrap().container.unwrap();
    assert_eq!(container.network_infos[0].name.as_deref(), Some("backend"));
    let mappings = container.docker.unwrap().port_mappings;
    assert_eq!(mappings.iter().map(|m| (m.host_port, m.container_port)).collect::<Vec<_>>(), [(31009, 90)]);
}

#[test]
fn what_mesos_has_no_words_for_stands_in_the_data() {
    let template = json!({
        "container": {"image": "reg:5000/web", "pullPolicy": "Never", "pullSecret": "login"},
        "ports": [{"containerPort": 80}],
        "healthChecks": [{"tcp": {}}, {"exec": {"command": ["true"]}}],
        "readinessChecks": [{"http": {"path": "/a"}}, {"http": {"path": "/b"}}],
    });
    let info = launch(template, &[31001]).unwrap();
    let data = wire::TaskData::decode(info.data.as_deref()).unwrap();
    assert!(data.never_pull);
    assert_eq!(data.registry_login.unwrap().password, "p:w");
    assert_eq!(data.health_checks[0].command.as_ref().unwrap().arguments, ["true"]);
    assert_eq!(data.checks[0].http.as_ref().unwrap().path.as_deref(), Some("/b"));
    assert_eq!(launch(json!({"cmd": "true"}), &[]).unwrap().data, None);
}

#[test]
fn secret_that_is_not_there_is_named() {
    let with = |name: &str, key: &str| {
        let reference = json!({"secretKeyRef": {"name": name, "key": key}});
        launch(json!({"cmd": "true", "env": [{"name": "X", "valueFrom": reference}]}), &[])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(with("nope", "password"), "Secret nope does not exist");
    assert_eq!(with("db", "nope"), "Secret db has no key nope");
    assert_eq!(with("db", "raw"), "key raw of Secret db is not text");
}

#[test]
fn login_that_is_not_there_is_named() {
    let with = |image: &str, secret: &str| {
        let container = json!({"image": image, "pullSecret": secret});
        launch(json!({"container": container}), &[]).unwrap_err().to_string()
    };
    assert_eq!(with("web:1", "login"), "Secret login has no login for registry docker.io");
    assert_eq!(with("web:1", "db"), "Secret db has no key .dockerconfigjson");
}

#[test]
fn secrets_are_not_shown_by_debug() {
    assert_eq!(format!("{:?}", secrets()), r#"{"db", "login"}"#);
}

#[test]
fn unbound_task_cannot_be_launched() {
    let revision = revision(json!({"cmd": "true"}));
    let task = Task::new("web-x", TaskSpec::default());
    let secrets = Secrets::default();
    let launch = Launch {
        installation: "uid-1",
        runner: &Runner::Embedded,
        task: &task,
        revision: &revision,
        secrets: &secrets,
        resources: &[],
    };
    assert_eq!(task_info(launch), Err(LaunchError::Unbound));
}
