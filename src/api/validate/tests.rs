//! Rows of bad specs and the exact words that people get to read.

use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::{Value, json};

use super::*;

/// The faults of an App named `web` with this spec, as people read them.
fn faults(spec: Value) -> Vec<String> {
    named("web", spec)
}

fn named(name: &str, spec: Value) -> Vec<String> {
    let app: App = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
    validate(&app, None).iter().map(ToString::to_string).collect()
}

#[test]
fn the_app_of_the_design_is_valid() {
    let spec = json!({
        "instances": 3, "cmd": "httpd -f -p $PORT0",
        "container": {"image": "registry.local:5000/web:1.4", "pullPolicy": "IfNotPresent", "network": "bridge",
            "parameters": [{"key": "volume-driver", "value": "rexray"}], "pullSecret": "registry-login",
            "volumes": [{"containerPath": "/data", "hostPath": "/srv/web", "mode": "RW"}]},
        "resources": {"cpus": "500m", "memory": "256Mi", "disk": 0, "gpus": 0},
        "ports": [{"name": "http", "containerPort": 80, "hostPort": 0, "servicePort": 10001, "protocol": "tcp"}],
        "env": [{"name": "MODE", "value": "live"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
        "fetch": [{"uri": "https://files.local/assets.tgz", "extract": true}],
        "healthChecks": [{"http": {"port": "http", "path": "/health"}, "gracePeriod": "30s", "interval": "10s"}],
        "readinessChecks": [{"http": {"port": "http", "path": "/ready"}}],
        "constraints": [{"attribute": "hostname", "operator": "UNIQUE"}],
        "update": {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 0.2},
        "backoff": {"initial": "1s", "factor": 1.15, "max": "5m"},
        "unreachable": {"inactiveAfter": "0s", "expungeAfter": "10m"},
        "kill": {"gracePeriod": "3s", "selection": "YoungestFirst"},
        "dependsOn": ["db"],
    });
    assert_eq!(faults(spec), Vec::<String>::new());
}

#[test]
fn commands_exclude_each_other_and_one_is_needed() {
    for (spec, fault) in [
        (json!({"cmd": "a", "args": ["b"]}), "spec.args: Forbidden: may not be given together with cmd"),
        (json!({}), "spec.cmd: Required value: an app without a container needs cmd or args"),
        (json!({"args": [""]}), "spec.args[0]: Required value: the program to run"),
    ] {
        assert_eq!(faults(spec), [fault]);
    }
    assert!(faults(json!({"container": {"image": "web"}})).is_empty());
}

#[test]
fn resources_have_a_least_and_a_hint_for_mebibytes() {
    for (resources, fault) in [
        (json!({"cpus": 0}), r#"spec.resources.cpus: Invalid value: "0": must be at least 10m"#),
        (
            json!({"memory": 128}),
            r#"spec.resources.memory: Invalid value: "128": must be at least 6Mi; a number without suffix is bytes: is 128Mi meant?"#,
        ),
        (json!({"memory": "5Mi"}), r#"spec.resources.memory: Invalid value: "5Mi": must be at least 6Mi"#),
    ] {
        assert_eq!(faults(json!({"cmd": "a", "resources": resources})), [fault]);
    }
}

#[test]
fn an_unknown_option_of_docker_run_is_refused_with_all_that_are_known() {
    let parameters = json!([{"key": "label", "value": "a=b"}, {"key": "volumes", "value": "/a:/b"}]);
    let faults = faults(json!({"container": {"image": "web", "parameters": parameters}}));
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    let start =
        r#"spec.container.parameters[1].key: Unsupported value: "volumes": supported values: "add-host","#;
    assert!(fault.starts_with(start) && fault.contains(r#""volume","#), "{fault}");
}

#[test]
fn names_are_dns_labels() {
    let long = "a".repeat(64);
    assert_eq!(
        named(&long, json!({"cmd": "a"})),
        [format!(r#"metadata.name: Invalid value: "{long}": must be no more than 63 characters"#)]
    );
    for name in ["Web", "web.shop", "web_1", "-web", "web-"] {
        let faults = named(name, json!({"cmd": "a"}));
        assert_eq!(faults.len(), 1, "{name}");
        assert!(faults[0].contains("a lowercase RFC 1123 label must consist of"), "{}", faults[0]);
    }
}

#[test]
fn ports_differ_and_fit_the_network() {
    let bridge = |ports: Value| json!({"container": {"image": "web"}, "ports": ports});
    let on = |network: &str, ports: Value| json!({"container": {"image": "web", "network": network}, "ports": ports});
    for (spec, fault) in [
        (
            bridge(json!([{"name": "http"}, {"name": "http"}])),
            r#"spec.ports[1].name: Duplicate value: "http""#,
        ),
        (bridge(json!([{"hostPort": 80}, {"hostPort": 80}])), "spec.ports[1].hostPort: Duplicate value: 80"),
        (
            bridge(json!([{"containerPort": 80}, {"containerPort": 80}])),
            "spec.ports[1].containerPort: Duplicate value: 80",
        ),
        (
            bridge(json!([{"name": "80"}])),
            r#"spec.ports[0].name: Invalid value: "80": must contain at least one letter"#,
        ),
        (on("none", json!([{}])), "spec.ports: Forbidden: a container on network none has no ports"),
        (
            on("backend", json!([{}])),
            "spec.ports[0].containerPort: Required value: a port on a named network needs one, or a hostPort",
        ),
        (
            on("host", json!([{"containerPort": 80}])),
            "spec.ports[0].containerPort: Forbidden: on the host's network an instance listens at its host port, given \
             as PORT0, PORT1, …: leave it out, or ask for that very hostPort",
        ),
    ] {
        assert_eq!(faults(spec), [fault]);
    }
    for fine in [
        bridge(json!([{"hostPort": 53, "protocol": "tcp"}, {"hostPort": 53, "protocol": "udp"}])),
        bridge(json!([{"containerPort": 0}, {"hostPort": 0}])),
        on("host", json!([{"containerPort": 80, "hostPort": 80}])),
        on("backend", json!([{"containerPort": 80}])),
    ] {
        assert!(faults(fine.clone()).is_empty(), "{fine}");
    }
}

#[test]
fn environment_variables_are_given_once_and_one_way() {
    let secret = json!({"secretKeyRef": {"name": "db", "key": "k"}});
    for (env, fault) in [
        (json!([{"name": "A"}, {"name": "A"}]), r#"spec.env[1].name: Duplicate value: "A""#),
        (
            json!([{"name": "A=B"}]),
            r#"spec.env[0].name: Invalid value: "A=B": must not contain '=' or a zero byte"#,
        ),
        (
            json!([{"name": "A", "value": "", "valueFrom": secret}]),
            "spec.env[0].valueFrom: Forbidden: may not be given together with value",
        ),
    ] {
        assert_eq!(faults(json!({"cmd": "a", "env": env})), [fault]);
    }
}

#[test]
fn containers_name_what_docker_can_find() {
    for (container, fault) in [
        (
            json!({"image": "Web:1"}),
            r#"spec.container.image: Invalid value: "Web:1": must be an image reference such as nginx:1.27 or registry.example:5000/team/web:1.4"#,
        ),
        (
            json!({"image": "web", "network": "container:x"}),
            r#"spec.container.network: Invalid value: "container:x": must be host, bridge, none or the name of a Docker network"#,
        ),
        (
            json!({"image": "web", "parameters": [{"key": "--label", "value": "a=b"}]}),
            r#"spec.container.parameters[0].key: Invalid value: "--label": must be the long name of an option of docker run, without dashes in front"#,
        ),
        (
            json!({"image": "web", "parameters": [{"key": "restart", "value": "always"}]}),
            "spec.container.parameters[0].key: Forbidden: restart may not be given: Tenure itself decides about restarts",
        ),
        (
            json!({"image": "web", "volumes": [{"containerPath": "/a", "hostPath": "data"}]}),
            r#"spec.container.volumes[0].hostPath: Invalid value: "data": must be an absolute path"#,
        ),
        (
            json!({"image": "web", "volumes": [{"containerPath": "/a", "hostPath": "/x"}, {"containerPath": "/a/", "hostPath": "/y"}]}),
            r#"spec.container.volumes[1].containerPath: Duplicate value: "/a/""#,
        ),
    ] {
        assert_eq!(faults(json!({"container": container})), [fault]);
    }
}

#[test]
fn checks_go_one_way_to_a_port_that_exists() {
    let ports = json!([{"name": "http"}, {"name": "dns", "protocol": "udp"}]);
    for (check, fault) in [
        (json!({}), "spec.healthChecks[0]: Required value: one of http, tcp or exec"),
        (
            json!({"http": {}, "tcp": {}}),
            "spec.healthChecks[0].tcp: Forbidden: may not be given together with http: write another check",
        ),
        (
            json!({"http": {"port": "htpp"}}),
            r#"spec.healthChecks[0].http.port: Invalid value: "htpp": must be the name of one of spec.ports: http, dns"#,
        ),
        (
            json!({"tcp": {"port": "dns"}}),
            r#"spec.healthChecks[0].tcp.port: Invalid value: "dns": must be a tcp port"#,
        ),
        (
            json!({"http": {"path": "health"}}),
            r#"spec.healthChecks[0].http.path: Invalid value: "health": must start with '/' and contain no spaces"#,
        ),
        (
            json!({"tcp": {}, "interval": "0s"}),
            r#"spec.healthChecks[0].interval: Invalid value: "0s": must be greater than 0s"#,
        ),
    ] {
        assert_eq!(faults(json!({"cmd": "a", "ports": ports, "healthChecks": [check]})), [fault]);
    }
    assert_eq!(
        faults(json!({"cmd": "a", "readinessChecks": [{"http": {}}]})),
        ["spec.readinessChecks[0].http.port: Required value: the app has no port that it could mean"]
    );
    assert!(faults(json!({"cmd": "a", "healthChecks": [{"http": {"port": 8080}}]})).is_empty());
}

#[test]
fn constraints_take_the_operands_of_marathon() {
    for (operator, value, fault) in [
        ("UNIQUE", json!("x"), "spec.constraints[0].value: Forbidden: operator UNIQUE takes no value"),
        (
            "LIKE",
            Value::Null,
            "spec.constraints[0].value: Required value: the regular expression to compare with",
        ),
        (
            "UNLIKE",
            json!("a("),
            r#"spec.constraints[0].value: Invalid value: "a(": must be a regular expression: unclosed group"#,
        ),
        (
            "IS",
            json!("a b"),
            r#"spec.constraints[0].value: Invalid value: "a b": must consist of letters, digits, '_', '/', '.' and '-'"#,
        ),
        ("IS", Value::Null, "spec.constraints[0].value: Required value: the text to compare with"),
        ("MAX_PER", Value::Null, "spec.constraints[0].value: Required value: the most instances per value"),
        (
            "MAX_PER",
            json!(0),
            r#"spec.constraints[0].value: Invalid value: "0": must be a whole number from 1"#,
        ),
        (
            "GROUP_BY",
            json!("many"),
            r#"spec.constraints[0].value: Invalid value: "many": must be a whole number from 1"#,
        ),
    ] {
        let constraint = json!({"attribute": "rack", "operator": operator, "value": value});
        assert_eq!(faults(json!({"cmd": "a", "constraints": [constraint]})), [fault]);
    }
    let all = json!([
        {"attribute": "hostname", "operator": "UNIQUE"}, {"attribute": "rack", "operator": "GROUP_BY", "value": 3},
        {"attribute": "rack", "operator": "GROUP_BY"}, {"attribute": "rack", "operator": "MAX_PER", "value": "2"},
        {"attribute": "zone", "operator": "CLUSTER", "value": "a"}, {"attribute": "zone", "operator": "CLUSTER"},
        {"attribute": "zone", "operator": "LIKE", "value": "a|b"}, {"attribute": "zone", "operator": "UNLIKE", "value": "c.*"},
        {"attribute": "zone", "operator": "IS", "value": "a"},
    ]);
    assert!(faults(json!({"cmd": "a", "constraints": all})).is_empty());
    let twice = json!([{"attribute": "hostname", "operator": "UNIQUE"}, {"attribute": "hostname", "operator": "UNIQUE"}]);
    assert_eq!(
        faults(json!({"cmd": "a", "constraints": twice})),
        [r#"spec.constraints[1]: Duplicate value: {"attribute":"hostname","operator":"UNIQUE"}"#]
    );
}

#[test]
fn later_times_are_not_shorter_than_earlier_ones() {
    assert_eq!(
        faults(json!({"cmd": "a", "backoff": {"initial": "10s", "max": "1s"}})),
        [r#"spec.backoff.max: Invalid value: "1s": must not be shorter than backoff.initial, 10s"#]
    );
    assert_eq!(
        faults(json!({"cmd": "a", "unreachable": {"inactiveAfter": "5m", "expungeAfter": "1m"}})),
        [
            r#"spec.unreachable.expungeAfter: Invalid value: "1m": must not be shorter than unreachable.inactiveAfter, 5m"#
        ]
    );
}

#[test]
fn an_app_depends_on_others_by_name_and_once() {
    assert_eq!(
        faults(json!({"cmd": "a", "dependsOn": ["db", "web", "db"]})),
        [
            r#"spec.dependsOn[1]: Invalid value: "web": an app cannot depend on itself"#,
            r#"spec.dependsOn[2]: Duplicate value: "db""#
        ]
    );
}

#[test]
fn the_template_of_a_revision_and_the_place_of_a_task_never_change() {
    let revision = |cmd: &str, number: u64| json!({"metadata": {"name": "web-x"}, "spec": {"app": "web", "number": number, "hash": "x", "template": {"cmd": cmd}}});
    assert!(document("revisions", &revision("a", 2), Some(&revision("a", 1))).is_empty());
    let errors = document("revisions", &revision("b", 1), Some(&revision("a", 1)));
    assert_eq!(errors[0].to_string(), r#"spec.template: Invalid value: "x": field is immutable"#);

    let task = |slot: u32| json!({"metadata": {"name": "t"}, "spec": {"app": "web", "revision": "web-x", "slot": slot}});
    assert_eq!(document("tasks", &task(1), Some(&task(0)))[0].path, "spec.slot");
    assert!(document("agents", &json!({"metadata": {"name": "a"}}), None).is_empty());
}

#[test]
fn mesos_own_containerizers_are_refused_what_they_would_leave_undone() {
    let spec = |containerizer: &str| {
        json!({
            "container": {"image": "web", "containerizer": containerizer, "pullPolicy": "Never", "pullSecret": "login",
                "privileged": true, "parameters": [{"key": "hostname", "value": "a"}]},
            "ports": [{}],
            "healthChecks": [{"http": {}}, {"tcp": {}}], "readinessChecks": [{"http": {}}],
        })
    };
    let common = |name: &str| {
        [
            "spec.container.pullPolicy: Forbidden: an image that is absent is always pulled",
            "spec.readinessChecks: Forbidden: none is run",
            "spec.healthChecks: Forbidden: only one is run",
        ]
        .map(|fault| format!("{fault} with containerizer {name}"))
    };
    let mut docker = vec![
        "spec.container.pullSecret: Forbidden: no credentials are handed on with containerizer Docker"
            .to_owned(),
    ];
    docker.extend(common("Docker"));
    assert_eq!(faults(spec("Docker")), docker);
    let mesos = faults(spec("Mesos"));
    for fault in common("Mesos") {
        assert!(mesos.contains(&fault), "{fault}");
    }
    let paths: Vec<_> =
        mesos.iter().filter_map(|fault| fault.split_once(':')).map(|(path, _)| path).collect();
    for path in ["spec.container.network", "spec.container.privileged", "spec.container.parameters"] {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    let plain = json!({"container": {"image": "web", "containerizer": "Mesos", "network": "host", "pullSecret": "login"}});
    assert_eq!(faults(plain), Vec::<String>::new());
}

#[test]
fn files_are_fetched_from_a_uri_under_a_name_that_is_free() {
    let one = |file: Value| faults(json!({"cmd": "a", "fetch": [file]}));
    for file in [
        json!({"uri": "https://h/a.tgz"}),
        json!({"uri": "/srv/a"}),
        json!({"uri": "s3+x://bucket/a?b", "outputFile": "conf/a", "executable": true}),
    ] {
        assert_eq!(one(file.clone()), Vec::<String>::new(), "{file}");
    }
    let relative = "must be a relative path of a file, without . and ..";
    for (file, words) in [
        (json!({"uri": "a.tgz"}), "fetch[0].uri: Invalid value: \"a.tgz\": must be a URI such as"),
        (json!({"uri": "://h/a"}), "fetch[0].uri: Invalid value: \"://h/a\": must be a URI such as"),
        (json!({"uri": "http://h/"}), "fetch[0].uri: Invalid value: \"http://h/\": names no file"),
        (
            json!({"uri": "http://h/stdout"}),
            "fetch[0].uri: Invalid value: \"http://h/stdout\": stdout is taken",
        ),
        (json!({"uri": "/a", "outputFile": "../a"}), relative),
        (json!({"uri": "/a", "outputFile": "/a"}), relative),
        (json!({"uri": "/a", "outputFile": "tenure-executor"}), "is taken in a sandbox"),
    ] {
        let told = one(file.clone());
        assert!(told.len() == 1 && told[0].contains(words), "{file}: {told:?}");
    }
}

#[test]
fn what_stands_twice_is_found_without_comparing_each_with_each() {
    /// A key that counts how often it is compared.
    #[derive(PartialEq, Eq)]
    struct Counted<'c>(usize, &'c Cell<usize>);
    impl PartialOrd for Counted<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Counted<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.1.set(self.1.get() + 1);
            self.0.cmp(&other.0)
        }
    }
    let compared = |count: usize| {
        let compared = Cell::new(0);
        let twice = repeats((0..count).map(|key| Counted(key % (count - 1), &compared))).filter(|it| *it);
        assert_eq!(twice.count(), 1);
        compared.get()
    };
    let (few, many) = (compared(400), compared(3_200));
    assert!(many <= few * 8 * 2, "{few} for 400, {many} for 3200");
}
