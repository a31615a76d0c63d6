//! Names that follow from other names: the same input always gives the same name, so that two writers who act on one
//! stale view collide in the store instead of doubling.

use sha2::{Digest, Sha256};

use super::{EndpointPort, Template};

/// Letters and digits that read well and spell no words; the ones of Kubernetes.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Characters of a hash in a name: 47 bits.
const HASH_LENGTH: usize = 10;
/// The longest prefix that an App's name contributes to its tasks' names, which then fit a DNS label.
const APP_IN_TASK_NAME: usize = 40;
/// The longest Mesos task id we make; Mesos and file systems allow 255.
const MESOS_TASK_ID: usize = 200;

/// The hash that names a Revision: ten characters, equal for equal templates whatever their spelling or key order.
///
/// Defaults are part of the template, and absent optional fields are not. A field added to the template later must
/// be skipped when unset, or an upgrade of Tenure would restart every task: a golden test guards this.
///
/// # Panics
///
/// Never: a template is plain data with text keys, which always has a JSON form.
#[must_use]
pub fn template_hash(template: &Template) -> String {
    if !template.revocable.is_sorted() {
        // It is a set.
        let mut sorted = template.clone();
        sorted.revocable.sort_unstable();
        return template_hash(&sorted);
    }
    let mut canonical = String::new();
    let value = serde_json::to_value(template).expect("a template is plain data with text keys");
    write_canonical(&value, &mut canonical);
    short_hash(canonical.as_bytes())
}

/// Name of the Revision of an app's template with this hash: `<app>-<hash>`.
#[must_use]
pub fn revision_name(app: &str, hash: &str) -> String {
    format!("{app}-{hash}")
}

/// Name of the task that an app creates as its `launched`-th: `<app, cut to 40>-<hash>-<10 characters>`.
///
/// `launched` is the App's counter before this task, so each plan for one state of the App yields the same names.
#[must_use]
pub fn task_name(app: &str, revision_hash: &str, app_uid: &str, launched: u64) -> String {
    let unique = short_hash(format!("{app_uid}/{launched}").as_bytes());
    format!("{}-{revision_hash}-{unique}", cut(app, APP_IN_TASK_NAME).trim_end_matches('-'))
}

/// The id that Mesos knows a task by: `<namespace>.<task>.<first 8 characters of its uid>`, at most 200 characters.
#[must_use]
pub fn mesos_task_id(namespace: &str, task: &str, uid: &str) -> String {
    let uid: String = uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let rest = format!("{namespace}.{task}");
    let room = MESOS_TASK_ID - 1 - uid.len();
    if rest.len() <= room {
        return format!("{rest}.{uid}");
    }
    let kept = cut(&rest, room - 1 - HASH_LENGTH).trim_end_matches(['-', '.']);
    format!("{kept}-{}.{uid}", short_hash(rest.as_bytes()))
}

/// Name of one slice of the Endpoints of an app's port: `web.http`, then `web.http.1`, ….
#[must_use]
pub fn endpoints_name(app: &str, port: &EndpointPort, slice: usize) -> String {
    let port = port.name.clone().unwrap_or_else(|| port.index.to_string());
    if slice == 0 { format!("{app}.{port}") } else { format!("{app}.{port}.{slice}") }
}

/// Ten characters of the SHA-256 of `bytes`.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let mut number = digest.iter().take(16).fold(0u128, |number, &byte| number << 8 | u128::from(byte));
    let mut text = String::with_capacity(HASH_LENGTH);
    for _ in 0..HASH_LENGTH {
        let index = usize::try_from(number % ALPHABET.len() as u128).unwrap_or_default();
        text.push(char::from(ALPHABET[index]));
        number /= ALPHABET.len() as u128;
    }
    text
}

/// The first `length` bytes of an ASCII name; of another text, as many whole characters as fit.
fn cut(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// JSON with sorted keys and no spaces, whatever map serde_json was built with.
fn write_canonical(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(json: &str) -> Template {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_template_hashes_the_same_whatever_its_spelling() {
        let plain = template(r#"{"cmd": "sleep 1", "resources": {"cpus": "500m", "memory": "256Mi"}}"#);
        let other = template(
            r#"{"resources": {"memory": 268435456, "disk": 0, "cpus": 0.5, "gpus": 0}, "args": [],
                "kill": {"gracePeriod": "3000ms"}, "cmd": "sleep 1"}"#,
        );
        assert_eq!(template_hash(&plain), template_hash(&other));
        let [lent, turned] = [r#"["cpus", "memory"]"#, r#"["memory", "cpus"]"#]
            .map(|set| template_hash(&template(&format!(r#"{{"cmd": "sleep 1", "revocable": {set}}}"#))));
        assert_eq!(lent, turned, "a set has no order");
    }

    #[test]
    fn any_change_and_a_restart_make_another_hash() {
        let before = template(r#"{"cmd": "sleep 1"}"#);
        for changed in
            [r#"{"cmd": "sleep 2"}"#, r#"{"cmd": "sleep 1", "restartedAt": "2026-01-01T00:00:00Z"}"#]
        {
            assert_ne!(template_hash(&before), template_hash(&template(changed)), "{changed}");
        }
    }

    #[test]
    fn an_upgrade_of_tenure_restarts_nothing() {
        // These hashes are in the stores of users: a new template field must not change them.
        assert_eq!(template_hash(&template(r#"{"cmd": "sleep 1"}"#)), "dbspm89cnw");
        let full = template(
            r#"{"args": ["serve"], "container": {"image": "web:1", "volumes": [{"containerPath": "/d", "hostPath": "/s"}],
                "parameters": [{"key": "k", "value": "v"}]}, "ports": [{"name": "http", "containerPort": 80}],
                "env": [{"name": "A", "value": "1"}], "healthChecks": [{"http": {"port": "http"}}],
                "readinessChecks": [{"http": {"path": "/r"}}],
                "constraints": [{"attribute": "hostname", "operator": "UNIQUE"}]}"#,
        );
        assert_eq!(template_hash(&full), "v8x77kkqgv");
    }

    #[test]
    fn task_names_are_dns_labels_and_differ_per_app_and_launch() {
        let long = format!("{}-{}", "a".repeat(39), "b".repeat(20));
        let name = task_name(&long, "bcdfghjklm", "uid-1", 7);
        assert!(name.len() <= 63 && name.starts_with(&format!("{}-bcdfghjklm-", "a".repeat(39))), "{name}");
        assert_eq!(name, task_name(&long, "bcdfghjklm", "uid-1", 7));
        assert_ne!(name, task_name(&long, "bcdfghjklm", "uid-1", 8));
        assert_ne!(name, task_name(&long, "bcdfghjklm", "uid-2", 7));
    }

    #[test]
    fn mesos_task_ids_stay_within_their_limit_and_apart() {
        assert_eq!(mesos_task_id("shop", "web-x", "0a1b2c3d-4e5f-6789"), "shop.web-x.0a1b2c3d");
        let one = mesos_task_id("shop", &format!("{}1", "t".repeat(252)), "0a1b2c3d-4e5f");
        let two = mesos_task_id("shop", &format!("{}2", "t".repeat(252)), "0a1b2c3d-4e5f");
        assert!(one.len() <= 200 && two.len() <= 200);
        assert_ne!(one, two);
    }

    #[test]
    fn slices_of_endpoints_are_told_apart_from_ports() {
        let http = EndpointPort { name: Some("http".into()), ..Default::default() };
        assert_eq!(endpoints_name("web", &http, 0), "web.http");
        assert_eq!(endpoints_name("web", &http, 1), "web.http.1");
        assert_eq!(endpoints_name("web", &EndpointPort::default(), 0), "web.0");
    }
}
