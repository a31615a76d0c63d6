//! What people may want of each field: values that are good, and values that must be refused.
//!
//! Both come from the field's schema. Only where fields depend on each other, or a value means something beyond its type, it
//! is said here what goes together.

use serde_json::{Map, Value, json};

use super::fields::{Branch, Field};

/// Fields of a spec by name; null for one that is absent.
pub(super) type Wish = Map<String, Value>;

/// Fields that must fit each other: a wish about one of them says all.
pub(super) const PROCESS: [&str; 6] =
    ["args", "cmd", "container", "healthChecks", "ports", "readinessChecks"];

/// What an instance is, before one field of it is changed.
pub(super) fn process() -> Wish {
    wish(json!({
        "cmd": "serve", "args": null, "container": {"image": "team/web:1"},
        "ports": [{"name": "http", "containerPort": 8080}], "healthChecks": null, "readinessChecks": null,
    }))
}

fn wish(value: Value) -> Wish {
    match value {
        Value::Object(map) => map,
        _ => Wish::new(),
    }
}

/// The good wishes in which `field` has a value of its own.
pub(super) fn good(field: &Field) -> Vec<Wish> {
    let together = |parts: Value| {
        let mut all = process();
        all.extend(wish(parts));
        all
    };
    let list = match field.path.as_str() {
        "cmd" => return [json!({"cmd": "serve 1"}), json!({"cmd": "serve 2"})].map(together).to_vec(),
        "args[]" => {
            let args = |args: Value| together(json!({"cmd": null, "args": args}));
            return vec![args(json!(["serve"])), args(json!(["serve", "", "-p"]))];
        }
        "container.network" => {
            let none = json!({"container": {"image": "a", "network": "none"}, "ports": null});
            let host = json!({"container": {"image": "a", "network": "host"}, "ports": [{"name": "http"}]});
            let named = json!({"container": {"image": "a", "network": "backbone"}});
            return [none, host, named].map(together).to_vec();
        }
        "container.containerizer" => {
            let docker = json!({"container": {"image": "a", "containerizer": "Docker"}});
            let mesos = json!({"container": {"image": "a", "containerizer": "Mesos", "network": "host"},
                "ports": [{"name": "http"}]});
            return [docker, mesos].map(together).to_vec();
        }
        "constraints[].attribute" | "constraints[].operator" | "constraints[].value" => {
            return constraints().into_iter().map(|it| wish(json!({"constraints": [it]}))).collect();
        }
        "instances" => json!([0, 1, 2, 3, 4]),
        "container.image" => json!(["team/web:2", "registry.local:5000/web", "a"]),
        "container.pullSecret" => json!(["registry-login"]),
        "container.parameters[].key" => json!(["label", "volume-driver"]),
        "container.volumes[].containerPath" | "container.volumes[].hostPath" => json!(["/", "/srv/web"]),
        "dependsOn[]" => json!(["db"]),
        "env[].valueFrom.secretKeyRef.name" => json!(["db", "registry-login"]),
        "env[].valueFrom.secretKeyRef.key" => json!(["password", "user"]),
        "fetch[].uri" => json!(["https://files/web.tgz", "/srv/web.tgz"]),
        "fetch[].outputFile" => json!(["web.tgz", "conf/web"]),
        "healthChecks[].http.path" | "readinessChecks[].http.path" => json!(["/", "/health?deep=1"]),
        "healthChecks[].http.port" | "healthChecks[].tcp.port" | "readinessChecks[].http.port" => {
            json!(["http", 8080, 65535])
        }
        "ports[].containerPort" => json!([80, 65535, 0]),
        "ports[].hostPort" => json!([0, 31007]),
        "ports[].name" => json!(["http", "a".repeat(63)]),
        "role" => json!(["tenure"]),
        "resources.cpus" => json!(["10m", "250m", 0.5, 1]),
        "resources.memory" => json!(["6Mi", "64Mi", 67_108_864]),
        "resources.disk" => json!(["1Gi", 0, "1"]),
        "resources.gpus" => json!([0, 1]),
        _ => Value::Array(by_schema(&field.schema)),
    };
    list.as_array().into_iter().flatten().map(|value| with(&field.path, value.clone())).collect()
}

fn constraints() -> Vec<Value> {
    [
        ("hostname", "CLUSTER", None),
        ("rack", "GROUP_BY", Some(json!(2))),
        ("hostname", "IS", Some(json!("machine-1"))),
        ("hostname", "LIKE", Some(json!("machine-.*"))),
        ("hostname", "MAX_PER", Some(json!("2"))),
        ("hostname", "UNIQUE", None),
        ("rack", "UNLIKE", Some(json!("r1"))),
    ]
    .map(|(attribute, operator, value)| match value {
        Some(value) => json!({"attribute": attribute, "operator": operator, "value": value}),
        None => json!({"attribute": attribute, "operator": operator}),
    })
    .to_vec()
}

/// Good values of a field that stands alone.
fn by_schema(schema: &Value) -> Vec<Value> {
    if let Some(all) = schema["enum"].as_array() {
        return all.clone();
    }
    let bound = |name: &str| schema[name].as_f64();
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("boolean"), _) => vec![json!(true), json!(false)],
        (Some("integer"), _) => {
            [bound("minimum"), bound("maximum")].into_iter().flatten().map(whole).collect()
        }
        (Some("number"), _) => {
            let least = bound("minimum").unwrap_or_default();
            vec![json!(least), json!(bound("maximum").unwrap_or(least + 1.5)), json!(least + 0.5)]
        }
        (Some("string"), Some("duration")) => vec![json!("1s"), json!("1m30s"), json!("2m")],
        _ => vec![json!("some"), json!("other text")],
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounds of a schema are whole and small")]
fn whole(number: f64) -> Value {
    json!(number as i64)
}

/// The wish in which the field at `path` has this value, with what must stand beside it.
pub(super) fn with(path: &str, value: Value) -> Wish {
    let top = path.split(['.', '[']).next().unwrap_or_default();
    let mut spec = if PROCESS.contains(&top) { Value::Object(process()) } else { json!({}) };
    set(&mut spec, path, "", value);
    wish(spec)
}

/// Sets the field at `path` below `value`, which stands at `at`.
fn set(value: &mut Value, path: &str, at: &str, new: Value) {
    if path.is_empty() {
        *value = new;
        return;
    }
    if let Some(rest) = path.strip_prefix("[]") {
        let at = format!("{at}[]");
        if value.as_array().is_none_or(Vec::is_empty) {
            *value = json!([beside(&at, rest)]);
        }
        return set(&mut value[0], rest, &at, new);
    }
    let path = path.trim_start_matches('.');
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let at = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    if value[name].is_null() && !rest.is_empty() && !rest.starts_with("[]") {
        value[name] = beside(&at, rest);
    }
    set(&mut value[name], rest, &at, new);
}

/// What the object at a path must have, when one of its fields (`rest`) is set.
fn beside(at: &str, rest: &str) -> Value {
    match at {
        "constraints[]" => json!({"attribute": "hostname", "operator": "LIKE", "value": ".*"}),
        "container.parameters[]" => json!({"key": "label", "value": "a=b"}),
        "container.volumes[]" => json!({"containerPath": "/data", "hostPath": "/srv"}),
        "env[]" => json!({"name": "MODE"}),
        "fetch[]" => json!({"uri": "https://files/web.tgz"}),
        "env[].valueFrom.secretKeyRef" => json!({"name": "db", "key": "password"}),
        "healthChecks[]" if rest.starts_with(".http") || rest.starts_with(".exec") => json!({}),
        "healthChecks[]" => json!({"tcp": {}}),
        "readinessChecks[]" => json!({"http": {}}),
        _ => json!({}),
    }
}

/// A wish that must be refused, and the field that the refusal names.
#[derive(Debug, Clone)]
pub(super) struct Bad {
    pub(super) wish: Wish,
    pub(super) field: String,
}

/// Wishes that the schema forbids.
pub(super) fn bad(field: &Field) -> Vec<Bad> {
    let schema = &field.schema;
    let mut values = match schema["type"].as_str() {
        Some("boolean") => vec![json!("yes"), json!(1)],
        Some("integer") => vec![json!("1"), json!(1.5), json!(true)],
        Some("number") => vec![json!("1"), json!(true)],
        Some("string") => vec![json!(5), json!(true), json!({})],
        // An integer or a string.
        _ => vec![json!(true), json!([])],
    };
    values.extend(schema["minimum"].as_f64().map(|least| whole(least - 1.0)));
    values.extend(schema["maximum"].as_f64().map(|most| whole(most + 1.0)));
    values.extend(schema["minLength"].as_u64().map(|_| json!("")));
    values.extend(schema["maxLength"].as_u64().map(|_| json!("a".repeat(64))));
    values.extend(schema["enum"].as_array().map(|_| json!("Sideways")));
    if matches!(schema["format"].as_str(), Some("duration" | "cpus" | "bytes")) {
        values.extend([json!("many"), json!("-1")]);
    }
    let told = format!("spec.{}", field.path.replace("[]", "[0]"));
    values.into_iter().map(|value| Bad { wish: with(&field.path, value), field: told.clone() }).collect()
}

/// Wishes with an unknown field, or without one that must be there.
pub(super) fn misshapen(branch: &Branch) -> Vec<Bad> {
    let path = branch.path.trim_start_matches('.');
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let told = |name: &str| format!("spec.{}", inside(name).replace("[]", "[0]"));
    let mut all = vec![Bad { wish: with(&inside("unheardOf"), json!(1)), field: told("unheardOf") }];
    for name in &branch.required {
        all.push(Bad { wish: without(path, name), field: told(name) });
    }
    all
}

fn without(path: &str, name: &str) -> Wish {
    let mut wish = with(&format!("{path}.{name}"), json!("x"));
    let mut at: Option<&mut Value> = None;
    for part in path.replace("[]", ".0").split('.') {
        at = match at {
            None => wish.get_mut(part),
            Some(value) => match part.parse::<usize>() {
                Ok(index) => value.get_mut(index),
                Err(_) => value.get_mut(part),
            },
        };
    }
    if let Some(map) = at.and_then(Value::as_object_mut) {
        map.remove(name);
    }
    wish
}

/// Wishes in which each field is good by itself, and together they are not.
pub(super) fn contradictory() -> Vec<Bad> {
    let of = |field: &str, parts: Value| {
        let mut all = process();
        all.extend(wish(parts));
        Bad { wish: all, field: field.to_owned() }
    };
    let alone = |field: &str, parts: Value| Bad { wish: wish(parts), field: field.to_owned() };
    vec![
        of("spec.args", json!({"args": ["serve"]})),
        of("spec.cmd", json!({"cmd": null, "container": null})),
        of("spec.ports[1].name", json!({"ports": [{"name": "a"}, {"name": "a"}]})),
        of("spec.ports[1].hostPort", json!({"ports": [{"hostPort": 31001}, {"hostPort": 31001}]})),
        of("spec.ports", json!({"container": {"image": "a", "network": "none"}})),
        of("spec.healthChecks[0]", json!({"healthChecks": [{"interval": "1s"}]})),
        of("spec.healthChecks[0].tcp", json!({"healthChecks": [{"http": {}, "tcp": {}}]})),
        of("spec.healthChecks[0].tcp.port", json!({"healthChecks": [{"tcp": {"port": "nowhere"}}]})),
        of("spec.healthChecks[0].interval", json!({"healthChecks": [{"tcp": {}, "interval": "0s"}]})),
        of("spec.container.image", json!({"container": {"image": "No Image"}})),
        of(
            "spec.container.volumes[0].hostPath",
            json!({"container": {
            "image": "a", "volumes": [{"containerPath": "/a", "hostPath": "b"}]}}),
        ),
        alone("spec.fetch[0].uri", json!({"fetch": [{"uri": "web.tgz"}]})),
        alone("spec.fetch[0].outputFile", json!({"fetch": [{"uri": "/web.tgz", "outputFile": "../web"}]})),
        alone("spec.backoff.max", json!({"backoff": {"initial": "2m", "max": "1m"}})),
        alone(
            "spec.unreachable.expungeAfter",
            json!({"unreachable": {"inactiveAfter": "2m", "expungeAfter": "1m"}}),
        ),
        alone(
            "spec.constraints[0].value",
            json!({"constraints": [{"attribute": "rack", "operator": "LIKE", "value": "("}]}),
        ),
        alone(
            "spec.constraints[0].value",
            json!({"constraints": [{"attribute": "rack", "operator": "UNIQUE", "value": "a"}]}),
        ),
        alone("spec.dependsOn[0]", json!({"dependsOn": ["web"]})),
        alone("spec.env[1]", json!({"env": [{"name": "A"}, {"name": "A"}]})),
        alone("spec.resources.cpus", json!({"resources": {"cpus": "9m"}})),
        alone("spec.resources.memory", json!({"resources": {"memory": "5Mi"}})),
        alone("spec.role", json!({"role": "web/-blue"})),
        alone("spec.revocable[1]", json!({"revocable": ["cpus", "cpus"]})),
    ]
}
