//! Create requests by what they are asked for, and what is refused.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::executor::task::{PortMapping, PullPolicy};

fn container(image: &str) -> Container {
    Container { image: image.to_owned(), pull: PullPolicy::IfNotPresent, ..Container::default() }
}

fn task(container: Container) -> Task {
    Task {
        id: TaskId::new("shop.web-1.0a1b2c3d"),
        labels: [("tenure.dev/app".to_owned(), "web".to_owned())].into(),
        env: [("PORT0".to_owned(), "31000".to_owned())].into(),
        command: Command::Image,
        resources: Resources { cpus: 0.5, memory_mib: 256.0, gpus: 0.0 },
        container: Some(container),
        health: Vec::new(),
        readiness: Vec::new(),
        fetch: Vec::new(),
        kill_grace: Duration::from_secs(3),
    }
}

fn request(task: &Task) -> Result<Value, SpecError> {
    let container = task.container.as_ref().unwrap();
    let body = create_request(task, container, LogLimits::default())?;
    Ok(serde_json::to_value(body).unwrap())
}

fn with(change: impl FnOnce(&mut Container)) -> Result<Value, SpecError> {
    let mut changed = container("web:1");
    change(&mut changed);
    request(&task(changed))
}

fn parameter(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn a_bridge_app_with_a_volume_driver_becomes_this_request() {
    let mut nginx = container("nginx:1.27");
    nginx.network = Network::Bridge;
    nginx.ports = vec![PortMapping { host_port: 31000, container_port: 80, protocol: "tcp".to_owned() }];
    nginx.parameters =
        vec![parameter("volume-driver", "rexray"), parameter("volume", "nginx-data:/data/www")];
    let expected = json!({
        "Image": "nginx:1.27",
        "Env": ["MESOS_CONTAINER_NAME=tenure-shop.web-1.0a1b2c3d", "MESOS_TASK_ID=shop.web-1.0a1b2c3d", "PORT0=31000"],
        "Labels": {"tenure.dev/app": "web", "MESOS_TASK_ID": "shop.web-1.0a1b2c3d"},
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {
            "CpuShares": 512,
            "Memory": 268_435_456,
            "MemorySwap": 268_435_456,
            "Binds": ["nginx-data:/data/www"],
            "VolumeDriver": "rexray",
            "PortBindings": {"80/tcp": [{"HostPort": "31000"}]},
            "NetworkMode": "bridge",
            "Init": true,
            "AutoRemove": false,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10000000", "max-file": "3"}}
        }
    });
    assert_eq!(request(&task(nginx)).unwrap(), expected);
}

#[test]
fn commands_are_the_images_the_shells_or_arguments() {
    let of = |command| {
        let mut task = task(container("web:1"));
        task.command = command;
        let request = request(&task).unwrap();
        (request["Entrypoint"].clone(), request["Cmd"].clone())
    };
    assert_eq!(of(Command::Image), (Value::Null, Value::Null));
    assert_eq!(of(Command::Shell("a | b".to_owned())), (json!(["/bin/sh"]), json!(["-c", "a | b"])));
    assert_eq!(of(Command::Args(vec!["x".to_owned()])), (Value::Null, json!(["x"])));
}

#[test]
fn small_amounts_are_raised_to_what_mesos_and_docker_take() {
    let of = |cpus, memory_mib, gpus| {
        let mut task = task(container("web:1"));
        task.resources = Resources { cpus, memory_mib, gpus };
        request(&task).map(|request| request["HostConfig"].clone())
    };
    let tiny = of(0.001, 1.0, 0.0).unwrap();
    assert_eq!((tiny["CpuShares"].clone(), tiny["Memory"].clone()), (json!(2), json!(33_554_432)));
    let none = of(0.0, 0.0, 0.0).unwrap();
    assert_eq!((none["CpuShares"].clone(), none["Memory"].clone()), (Value::Null, Value::Null));
    let gpus = of(1.0, 64.0, 2.0).unwrap();
    assert_eq!(gpus["DeviceRequests"], json!([{"Count": 2, "Capabilities": [["gpu"]]}]));
    assert_eq!(of(1.0, 64.0, 0.5).unwrap_err().to_string(), "0.5 gpus: Docker gives out whole gpus only");
}

#[test]
fn host_paths_are_bound_and_drivers_get_their_options() {
    let volume = |source| Volume { container_path: "/data".to_owned(), source, read_only: true };
    let request = with(|container| {
        let options = [("size".to_owned(), "5".to_owned())].into();
        container.volumes = vec![
            volume(VolumeSource::HostPath("/srv/web".to_owned())),
            volume(VolumeSource::HostPath("/srv/a:b".to_owned())),
            volume(VolumeSource::Driver { driver: "rexray".to_owned(), name: "db".to_owned(), options }),
        ];
    })
    .unwrap();
    assert_eq!(request["HostConfig"]["Binds"], json!(["/srv/web:/data:ro"]));
    let driven = json!({"DriverConfig": {"Name": "rexray", "Options": {"size": "5"}}});
    let expected = json!([
        {"Type": "bind", "Source": "/srv/a:b", "Target": "/data", "ReadOnly": true},
        {"Type": "volume", "Source": "db", "Target": "/data", "ReadOnly": true, "VolumeOptions": driven},
    ]);
    assert_eq!(request["HostConfig"]["Mounts"], expected);
}

#[test]
fn a_network_parameter_replaces_the_network_and_aliases_need_a_named_one() {
    let request = with(|container| {
        container.parameters = vec![parameter("net", "backend"), parameter("network-alias", "db")];
    })
    .unwrap();
    assert_eq!(request["HostConfig"]["NetworkMode"], "backend");
    assert_eq!(request["NetworkingConfig"]["EndpointsConfig"], json!({"backend": {"Aliases": ["db"]}}));
}

#[test]
fn another_log_driver_takes_none_of_the_limits_of_json_file() {
    let request = with(|container| {
        container.parameters = vec![parameter("log-opt", "tag=web"), parameter("log-driver", "syslog")];
    })
    .unwrap();
    assert_eq!(request["HostConfig"]["LogConfig"], json!({"Type": "syslog", "Config": {"tag": "web"}}));
}

#[test]
fn what_cannot_be_asked_of_docker_is_refused_by_name() {
    let mapping = || vec![PortMapping { host_port: 1, container_port: 2, protocol: "tcp".to_owned() }];
    let path = |container_path: &str, host: &str| {
        let (container_path, source) = (container_path.to_owned(), VolumeSource::HostPath(host.to_owned()));
        vec![Volume { container_path, source, read_only: false }]
    };
    let rows: Vec<(Result<Value, SpecError>, &str)> = vec![
        (with(|c| c.ports = mapping()), "port mappings need network bridge or a named network, not host"),
        (with(|c| c.hostname = Some("w".to_owned())), "hostname w cannot be set with network host"),
        (
            with(|c| c.volumes = path("/data", "data")),
            "volume host path data is relative: give an absolute path, or a named volume by the docker parameter volume",
        ),
        (
            with(|c| c.volumes = path("data", "/data")),
            "volume container path data is relative: give an absolute path",
        ),
        (
            with(|c| c.parameters = vec![parameter("ip", "10.0.0.9")]),
            "docker parameters network-alias and ip need a named network, not host",
        ),
        (
            with(|c| c.parameters = vec![parameter("rm", "true")]),
            "docker parameter rm is refused: the exit status would be lost",
        ),
    ];
    for (result, expected) in rows {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}

#[test]
fn names_are_functions_of_the_task_id_that_docker_accepts() {
    assert_eq!(container_name(&TaskId::new("shop.web-1.0a")), "tenure-shop.web-1.0a");
    assert_eq!(container_name(&TaskId::new("a/b c")), "tenure-a_b_c");
}
