//! What objects of built-in kinds hold beyond their schemas, refused in Kubernetes' words where they do not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::token;
use crate::registry::field::{FAULTS_MAX, FieldError, too_long};

/// What all values of a ConfigMap or a Secret may weigh together.
const DATA_BYTES_MAX: usize = 1_048_576;
/// A name of the values of ConfigMaps and Secrets.
const KEY_BYTES_MAX: usize = 253;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
    'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

pub(super) fn config_map(_: &str, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut faults = immutable(new, old);
    let (texts, bytes) = (&new["data"], &new["binaryData"]);
    faults.extend(key_faults("data", texts));
    for key in keys(bytes).filter(|key| texts.get(key).is_some()).take(FAULTS_MAX) {
        let why = "duplicate of key present in data";
        faults.push(FieldError::invalid(format!("binaryData[{key}]"), key.as_str(), why));
    }
    faults.extend(key_faults("binaryData", bytes));
    let texts = texts.as_object().into_iter().flatten();
    let length = texts.filter_map(|(_, text)| text.as_str()).map(str::len).sum::<usize>() + decoded(bytes);
    if length > DATA_BYTES_MAX {
        faults.push(too_long("[]", DATA_BYTES_MAX));
    }
    faults
}

pub(super) fn secret(_: &str, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut faults = immutable(new, old);
    let type_ = new["type"].as_str().unwrap_or_default();
    if old.is_some_and(|old| old["type"] != new["type"]) {
        faults.push(FieldError::invalid("type", type_, "field is immutable"));
    }
    faults.extend(key_faults("data", &new["data"]));
    if decoded(&new["data"]) > DATA_BYTES_MAX {
        faults.push(too_long("data", DATA_BYTES_MAX));
    }
    faults.extend(of_type(type_, &new["data"], old.is_none()));
    faults.extend(token::faults(new));
    faults
}

/// What those who read Secrets of this type rely on.
fn of_type(type_: &str, data: &Value, is_new: bool) -> Vec<FieldError> {
    let missing = |keys: &[&str]| -> Vec<FieldError> {
        let absent = keys.iter().filter(|key| data.get(**key).is_none());
        absent.map(|key| FieldError::required(format!("data[{key}]"), "")).collect()
    };
    match type_ {
        "kubernetes.io/tls" => missing(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" => missing(&["ssh-privatekey"]),
        "kubernetes.io/basic-auth" => {
            let faults = missing(&["username", "password"]);
            if faults.len() == 2 { faults } else { Vec::new() }
        }
        "kubernetes.io/dockercfg" => logins(data, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => logins(data, ".dockerconfigjson"),
        ACCOUNT_TOKEN if is_new => {
            let why =
                "tokens of ServiceAccounts are not kept in Secrets here: kubectl create token makes one";
            vec![FieldError::invalid("type", type_, why)]
        }
        _ => Vec::new(),
    }
}

/// Logins for registries, which are JSON.
fn logins(data: &Value, key: &str) -> Vec<FieldError> {
    let path = format!("data[{key}]");
    let Some(text) = data[key].as_str() else { return vec![FieldError::required(path, "")] };
    let bytes = STANDARD.decode(text).unwrap_or_default();
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(_) => Vec::new(),
        // What is wrong is told without what is there.
        Err(error) => {
            let why = format!("is no JSON at line {}, column {}", error.line(), error.column());
            vec![FieldError::invalid(path, "<secret contents redacted>", why)]
        }
    }
}

pub(super) fn lease(_: &str, new: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let number = |field: &str| new["spec"][field].as_i64();
    let mut faults = Vec::new();
    if let Some(seconds) = number("leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        faults.push(FieldError::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    }
    if let Some(times) = number("leaseTransitions").filter(|times| *times < 0) {
        let why = "must be greater than or equal to 0";
        faults.push(FieldError::invalid("spec.leaseTransitions", times, why));
    }
    faults
}

/// An Event stands where what it is about stands; about what stands nowhere, in `default`.
pub(super) fn event(_: &str, new: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let about = new["involvedObject"]["namespace"].as_str().unwrap_or_default();
    let here = new["metadata"]["namespace"].as_str().unwrap_or_default();
    if about == here || (about.is_empty() && here == "default") {
        return Vec::new();
    }
    vec![FieldError::invalid("involvedObject.namespace", about, "does not match event.namespace")]
}

/// Refuses changes of data that was called immutable.
fn immutable(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let is_fixed = |object: &Value| object.get("immutable") == Some(&Value::Bool(true));
    let Some(old) = old.filter(|old| is_fixed(old)) else { return Vec::new() };
    let text = "field is immutable when `immutable` is set";
    let changed = ["data", "binaryData"].into_iter().filter(|field| new.get(field) != old.get(field));
    let mut faults: Vec<FieldError> = changed.map(|field| FieldError::forbidden(field, text)).collect();
    if !is_fixed(new) {
        faults.push(FieldError::forbidden("immutable", text));
    }
    faults
}

fn keys(values: &Value) -> impl Iterator<Item = &String> {
    values.as_object().into_iter().flatten().map(|(key, _)| key)
}

fn key_faults(field: &str, values: &Value) -> Vec<FieldError> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let fault = |key: &String| {
        let why = match key.as_str() {
            "." => "must not be '.'".to_owned(),
            ".." => "must not be '..'".to_owned(),
            key if key.starts_with("..") => "must not start with '..'".to_owned(),
            key if key.len() > KEY_BYTES_MAX => format!("must be no more than {KEY_BYTES_MAX} characters"),
            key if key.is_empty() || !key.bytes().all(is_letter) => KEY.to_owned(),
            _ => return None,
        };
        Some(FieldError::invalid(format!("{field}[{key}]"), key.as_str(), why))
    };
    keys(values).filter_map(fault).take(FAULTS_MAX).collect()
}

/// How many bytes the values are, which are base64.
fn decoded(values: &Value) -> usize {
    let texts = values.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
    texts.map(|text| text.trim_end_matches('=').len() * 3 / 4).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(faults: Vec<FieldError>) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_have_names_that_can_be_files_and_are_not_too_long() {
        let of = |object: Value| told(config_map("", &object, None));
        assert_eq!(
            of(json!({"data": {"a.b": "", "_C-": ""}, "binaryData": {"d": "AA=="}})),
            Vec::<String>::new()
        );
        assert_eq!(of(json!({"data": {"a b": ""}})), [format!("data[a b]: Invalid value: \"a b\": {KEY}")]);
        assert_eq!(
            of(json!({"binaryData": {"..x": ""}})),
            ["binaryData[..x]: Invalid value: \"..x\": must not start with '..'"]
        );
        let twice = json!({"data": {"a": ""}, "binaryData": {"a": ""}});
        assert_eq!(of(twice), ["binaryData[a]: Invalid value: \"a\": duplicate of key present in data"]);
        let long =
            |length: usize| json!({"data": {"a": "x".repeat(length - 1)}, "binaryData": {"b": "AA=="}});
        assert_eq!(of(long(DATA_BYTES_MAX)), Vec::<String>::new());
        assert_eq!(of(long(DATA_BYTES_MAX + 1)), ["[]: Too long: may not be more than 1048576 bytes"]);
    }

    #[test]
    fn a_secret_holds_what_its_type_says() {
        let of = |type_: &str, data: Value| told(secret("", &json!({"type": type_, "data": data}), None));
        assert_eq!(of("kubernetes.io/tls", json!({"tls.key": ""})), ["data[tls.crt]: Required value"]);
        assert_eq!(of("kubernetes.io/basic-auth", json!({"password": ""})), Vec::<String>::new());
        assert_eq!(of("kubernetes.io/basic-auth", json!({})).len(), 2);
        assert_eq!(
            of("kubernetes.io/dockerconfigjson", json!({})),
            ["data[.dockerconfigjson]: Required value"]
        );
        assert_eq!(
            of("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": "e30="})),
            Vec::<String>::new()
        );
        let shown =
            of("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": STANDARD.encode("hidden")}));
        assert!(shown[0].contains("<secret contents redacted>") && !shown[0].contains("hidden"), "{shown:?}");
        assert!(of(ACCOUNT_TOKEN, json!({}))[0].contains("kubectl create token"));
        let (old, new) = (json!({"type": "Opaque"}), json!({"type": "other"}));
        assert_eq!(
            told(secret("", &new, Some(&old))),
            ["type: Invalid value: \"other\": field is immutable"]
        );
    }

    #[test]
    fn leases_last_and_events_stand_where_they_belong() {
        let of = |spec: Value| told(lease("", &json!({"spec": spec}), None));
        assert_eq!(of(json!({"leaseDurationSeconds": 1, "leaseTransitions": 0})), Vec::<String>::new());
        assert_eq!(
            of(json!({"leaseDurationSeconds": 0, "leaseTransitions": -1})),
            [
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"
            ]
        );
        let of = |here: &str, about: &str| {
            told(event(
                "",
                &json!({"metadata": {"namespace": here}, "involvedObject": {"namespace": about}}),
                None,
            ))
            .len()
        };
        let all = [("shop", "shop"), ("default", ""), ("shop", "other"), ("shop", "")];
        assert_eq!(all.map(|(here, about)| of(here, about)), [0, 0, 1, 1]);
    }
}
