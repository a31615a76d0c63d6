//! Built-in kinds as Go clients send them: `k8s\0`, an envelope that names the kind, and its protobuf message, decoded
//! into the tree that the same object has as JSON.
//!
//! Field names are those of Kubernetes' `generated.proto` files, which are the JSON names too. Go writes fields that
//! are not set as zero values; they are dropped, as its JSON writer would, except where Go has a pointer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde_json::{Map, Value, json};

use crate::registry::Failure;
use crate::registry::body::Body;

const MAGIC: &[u8] = b"k8s\0";

struct Field {
    number: u32,
    name: &'static str,
    shape: Shape,
    manner: Manner,
}

#[derive(Clone, Copy)]
enum Shape {
    Text,
    /// base64 in JSON.
    Bytes,
    Int,
    Bool,
    /// RFC 3339, whole seconds.
    Time,
    /// RFC 3339, six digits.
    MicroTime,
    TextMap,
    BytesMap,
    Message(&'static [Field]),
    /// Bytes that are JSON.
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// A zero value is none.
    Plain,
    /// A zero value is a value.
    Pointer,
    Repeated,
}

const fn plain(number: u32, name: &'static str, shape: Shape) -> Field {
    Field { number, name, shape, manner: Manner::Plain }
}

const fn pointer(number: u32, name: &'static str, shape: Shape) -> Field {
    Field { number, name, shape, manner: Manner::Pointer }
}

const fn repeated(number: u32, name: &'static str, shape: Shape) -> Field {
    Field { number, name, shape, manner: Manner::Repeated }
}

use Shape::{Bool, Bytes, BytesMap, Int, Json, Message, MicroTime, Text, TextMap, Time};

const OBJECT_META: &[Field] = &[
    plain(1, "name", Text),
    plain(2, "generateName", Text),
    plain(3, "namespace", Text),
    plain(5, "uid", Text),
    plain(6, "resourceVersion", Text),
    plain(7, "generation", Int),
    plain(8, "creationTimestamp", Time),
    plain(9, "deletionTimestamp", Time),
    pointer(10, "deletionGracePeriodSeconds", Int),
    plain(11, "labels", TextMap),
    plain(12, "annotations", TextMap),
    repeated(13, "ownerReferences", Message(OWNER)),
    repeated(14, "finalizers", Text),
    repeated(17, "managedFields", Message(MANAGED_FIELDS)),
];
const OWNER: &[Field] = &[
    plain(1, "kind", Text),
    plain(3, "name", Text),
    plain(4, "uid", Text),
    plain(5, "apiVersion", Text),
    pointer(6, "controller", Bool),
    pointer(7, "blockOwnerDeletion", Bool),
];
const MANAGED_FIELDS: &[Field] = &[
    plain(1, "manager", Text),
    plain(2, "operation", Text),
    plain(3, "apiVersion", Text),
    plain(4, "time", Time),
    plain(6, "fieldsType", Text),
    plain(7, "fieldsV1", Json),
    plain(8, "subresource", Text),
];
const NAMESPACE: &[Field] = &[
    plain(1, "metadata", Message(OBJECT_META)),
    plain(2, "spec", Message(&[repeated(1, "finalizers", Text)])),
    plain(3, "status", Message(&[plain(1, "phase", Text)])),
];
const CONFIG_MAP: &[Field] = &[
    plain(1, "metadata", Message(OBJECT_META)),
    plain(2, "data", TextMap),
    plain(3, "binaryData", BytesMap),
    pointer(4, "immutable", Bool),
];
const SECRET: &[Field] = &[
    plain(1, "metadata", Message(OBJECT_META)),
    plain(2, "data", BytesMap),
    plain(3, "type", Text),
    plain(4, "stringData", TextMap),
    pointer(5, "immutable", Bool),
];
const REFERENCE: &[Field] = &[
    plain(1, "kind", Text),
    plain(2, "namespace", Text),
    plain(3, "name", Text),
    plain(4, "uid", Text),
    plain(5, "apiVersion", Text),
    plain(6, "resourceVersion", Text),
    plain(7, "fieldPath", Text),
];
const EVENT: &[Field] = &[
    plain(1, "metadata", Message(OBJECT_META)),
    plain(2, "involvedObject", Message(REFERENCE)),
    plain(3, "reason", Text),
    plain(4, "message", Text),
    plain(5, "source", Message(SOURCE)),
    plain(6, "firstTimestamp", Time),
    plain(7, "lastTimestamp", Time),
    plain(8, "count", Int),
    plain(9, "type", Text),
    plain(10, "eventTime", MicroTime),
    plain(11, "series", Message(SERIES)),
    plain(12, "action", Text),
    plain(13, "related", Message(REFERENCE)),
    plain(14, "reportingComponent", Text),
    plain(15, "reportingInstance", Text),
];
const SOURCE: &[Field] = &[plain(1, "component", Text), plain(2, "host", Text)];
const SERIES: &[Field] = &[plain(1, "count", Int), plain(2, "lastObservedTime", MicroTime)];
/// events.k8s.io/v1
const NEW_EVENT: &[Field] = &[
    plain(1, "metadata", Message(OBJECT_META)),
    plain(2, "eventTime", MicroTime),
    plain(3, "series", Message(SERIES)),
    plain(4, "reportingController", Text),
    plain(5, "reportingInstance", Text),
    plain(6, "action", Text),
    plain(7, "reason", Text),
    plain(8, "regarding", Message(REFERENCE)),
    plain(9, "related", Message(REFERENCE)),
    plain(10, "note", Text),
    plain(11, "type", Text),
    plain(12, "deprecatedSource", Message(SOURCE)),
    plain(13, "deprecatedFirstTimestamp", Time),
    plain(14, "deprecatedLastTimestamp", Time),
    plain(15, "deprecatedCount", Int),
];
const SERVICE_ACCOUNT: &[Field] = &[
    plain(1, "metadata", Message(OBJECT_META)),
    repeated(2, "secrets", Message(REFERENCE)),
    repeated(3, "imagePullSecrets", Message(&[plain(1, "name", Text)])),
    pointer(4, "automountServiceAccountToken", Bool),
];
const LEASE: &[Field] = &[plain(1, "metadata", Message(OBJECT_META)), plain(2, "spec", Message(LEASE_SPEC))];
const LEASE_SPEC: &[Field] = &[
    pointer(1, "holderIdentity", Text),
    pointer(2, "leaseDurationSeconds", Int),
    plain(3, "acquireTime", MicroTime),
    plain(4, "renewTime", MicroTime),
    pointer(5, "leaseTransitions", Int),
];
const ACCESS_REVIEW: &[Field] =
    &[plain(1, "metadata", Message(OBJECT_META)), plain(2, "spec", Message(ACCESS_REVIEW_SPEC))];
const ACCESS_REVIEW_SPEC: &[Field] = &[
    plain(1, "resourceAttributes", Message(RESOURCE_ATTRIBUTES)),
    plain(2, "nonResourceAttributes", Message(&[plain(1, "path", Text), plain(2, "verb", Text)])),
];
const RESOURCE_ATTRIBUTES: &[Field] = &[
    plain(1, "namespace", Text),
    plain(2, "verb", Text),
    plain(3, "group", Text),
    plain(4, "version", Text),
    plain(5, "resource", Text),
    plain(6, "subresource", Text),
    plain(7, "name", Text),
];
const SUBJECT_REVIEW: &[Field] =
    &[plain(1, "metadata", Message(OBJECT_META)), plain(2, "spec", Message(SUBJECT_REVIEW_SPEC))];
const SUBJECT_REVIEW_SPEC: &[Field] = &[
    plain(1, "resourceAttributes", Message(RESOURCE_ATTRIBUTES)),
    plain(2, "nonResourceAttributes", Message(&[plain(1, "path", Text), plain(2, "verb", Text)])),
    plain(3, "user", Text),
    repeated(4, "groups", Text),
    plain(6, "uid", Text),
];
const RULES_REVIEW: &[Field] = &[plain(2, "spec", Message(&[plain(1, "namespace", Text)]))];
const SELF_REVIEW: &[Field] = &[plain(1, "metadata", Message(OBJECT_META))];
const TOKEN_REVIEW: &[Field] =
    &[plain(2, "spec", Message(&[plain(1, "token", Text), repeated(2, "audiences", Text)]))];
const TOKEN_REQUEST: &[Field] = &[plain(2, "spec", Message(TOKEN_REQUEST_SPEC))];
const TOKEN_REQUEST_SPEC: &[Field] = &[
    repeated(1, "audiences", Text),
    plain(3, "boundObjectRef", Message(BOUND_OBJECT)),
    pointer(4, "expirationSeconds", Int),
];
const BOUND_OBJECT: &[Field] =
    &[plain(1, "kind", Text), plain(2, "apiVersion", Text), plain(3, "name", Text), plain(4, "uid", Text)];
/// Role has no aggregationRule, and nobody sends one.
const ROLE: &[Field] = &[
    plain(1, "metadata", Message(OBJECT_META)),
    repeated(2, "rules", Message(POLICY_RULE)),
    pointer(3, "aggregationRule", Message(&[repeated(1, "clusterRoleSelectors", Message(LABEL_SELECTOR))])),
];
const LABEL_SELECTOR: &[Field] = &[
    plain(1, "matchLabels", TextMap),
    repeated(
        2,
        "matchExpressions",
        Message(&[plain(1, "key", Text), plain(2, "operator", Text), repeated(3, "values", Text)]),
    ),
];
const POLICY_RULE: &[Field] = &[
    repeated(1, "verbs", Text),
    repeated(2, "apiGroups", Text),
    repeated(3, "resources", Text),
    repeated(4, "resourceNames", Text),
    repeated(5, "nonResourceURLs", Text),
];
const ROLE_BINDING: &[Field] = &[
    plain(1, "metadata", Message(OBJECT_META)),
    repeated(2, "subjects", Message(SUBJECT)),
    plain(
        3,
        "roleRef",
        Message(&[plain(1, "apiGroup", Text), plain(2, "kind", Text), plain(3, "name", Text)]),
    ),
];
const SUBJECT: &[Field] = &[
    plain(1, "kind", Text),
    plain(2, "apiGroup", Text),
    plain(3, "name", Text),
    plain(4, "namespace", Text),
];
const DELETE_OPTIONS: &[Field] = &[
    pointer(1, "gracePeriodSeconds", Int),
    plain(2, "preconditions", Message(&[plain(1, "uid", Text), plain(2, "resourceVersion", Text)])),
    pointer(3, "orphanDependents", Bool),
    plain(4, "propagationPolicy", Text),
    repeated(5, "dryRun", Text),
];
const UNKNOWN: &[Field] = &[
    plain(1, "typeMeta", Message(&[plain(1, "apiVersion", Text), plain(2, "kind", Text)])),
    plain(2, "raw", Bytes),
    plain(3, "contentEncoding", Text),
];

/// The messages that are understood, by apiVersion and kind.
fn fields_of(api_version: &str, kind: &str) -> Option<&'static [Field]> {
    match (api_version, kind) {
        ("v1", "Namespace") => Some(NAMESPACE),
        ("v1", "ConfigMap") => Some(CONFIG_MAP),
        ("v1", "Secret") => Some(SECRET),
        ("v1", "Event") => Some(EVENT),
        ("v1", "ServiceAccount") => Some(SERVICE_ACCOUNT),
        ("events.k8s.io/v1", "Event") => Some(NEW_EVENT),
        ("coordination.k8s.io/v1", "Lease") => Some(LEASE),
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => Some(ACCESS_REVIEW),
        ("authorization.k8s.io/v1", "SubjectAccessReview" | "LocalSubjectAccessReview") => {
            Some(SUBJECT_REVIEW)
        }
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => Some(RULES_REVIEW),
        ("authentication.k8s.io/v1", "SelfSubjectReview") => Some(SELF_REVIEW),
        ("authentication.k8s.io/v1", "TokenReview") => Some(TOKEN_REVIEW),
        ("authentication.k8s.io/v1", "TokenRequest") => Some(TOKEN_REQUEST),
        ("rbac.authorization.k8s.io/v1", "Role" | "ClusterRole") => Some(ROLE),
        ("rbac.authorization.k8s.io/v1", "RoleBinding" | "ClusterRoleBinding") => Some(ROLE_BINDING),
        (_, "DeleteOptions") => Some(DELETE_OPTIONS),
        _ => None,
    }
}

/// The object in a protobuf body.
pub(super) fn decode(bytes: &[u8]) -> Result<Body, Failure> {
    let unreadable = |why: String| Failure::bad_request(format!("the protobuf body cannot be read: {why}"));
    let Some(envelope) = bytes.strip_prefix(MAGIC) else {
        return Err(unreadable("it does not begin with k8s and a zero".to_owned()));
    };
    let envelope = Value::Object(message(envelope, UNKNOWN).map_err(unreadable)?);
    let text = |path: &str| envelope.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("/typeMeta/apiVersion"), text("/typeMeta/kind"));
    let Some(fields) = fields_of(api_version, kind) else {
        return Err(Failure::unsupported_media_type(&format!(
            "application/json, application/yaml; {kind} of {api_version} is not read as protobuf"
        )));
    };
    if !text("/contentEncoding").is_empty() {
        return Err(unreadable(format!("its encoding is {}", text("/contentEncoding"))));
    }
    let raw = STANDARD.decode(text("/raw")).map_err(|error| unreadable(error.to_string()))?;
    let mut object = message(&raw, fields).map_err(unreadable)?;
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(Body::of(Value::Object(object)))
}

/// What stands behind a key on the wire.
enum Wire<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// Fields that are not known are passed over, as protobuf wants it.
fn message(mut rest: &[u8], fields: &[Field]) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).map_err(|error| error.to_string())?;
        let Some(wire) = wire(&mut rest, wire_type)? else { continue };
        let Some(field) = fields.iter().find(|field| field.number == number) else { continue };
        field.read(&wire, &mut object)?;
    }
    Ok(object)
}

fn wire<'b>(rest: &mut &'b [u8], wire_type: WireType) -> Result<Option<Wire<'b>>, String> {
    let mut number = || decode_varint(rest).map_err(|error| error.to_string());
    let length = match wire_type {
        WireType::Varint => return Ok(Some(Wire::Number(number()?))),
        WireType::LengthDelimited => usize::try_from(number()?).unwrap_or(usize::MAX),
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::StartGroup | WireType::EndGroup => return Err("it holds a group".to_owned()),
    };
    let (bytes, after) = rest.split_at_checked(length).ok_or("it ends within a field")?;
    *rest = after;
    Ok((wire_type == WireType::LengthDelimited).then_some(Wire::Bytes(bytes)))
}

impl Field {
    fn read(&self, wire: &Wire<'_>, object: &mut Map<String, Value>) -> Result<(), String> {
        let into = |object: &mut Map<String, Value>| -> Map<String, Value> {
            object.get_mut(self.name).and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default()
        };
        let value = match (self.shape, wire) {
            (Int, Wire::Number(number)) => json!(number.cast_signed()),
            (Bool, Wire::Number(number)) => json!(*number != 0),
            (Text, Wire::Bytes(bytes)) => json!(utf8(bytes)?),
            (Bytes, Wire::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
            (Time, Wire::Bytes(bytes)) => time(bytes, 0)?,
            (MicroTime, Wire::Bytes(bytes)) => time(bytes, 6)?,
            (TextMap, Wire::Bytes(bytes)) => entry(bytes, Text, into(object))?,
            (BytesMap, Wire::Bytes(bytes)) => entry(bytes, Bytes, into(object))?,
            (Message(fields), Wire::Bytes(bytes)) => Value::Object(message(bytes, fields)?),
            (Json, Wire::Bytes(bytes)) => match message(bytes, &[plain(1, "raw", Text)])?.get("raw") {
                Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| error.to_string())?,
                _ => Value::Null,
            },
            (_, Wire::Number(_) | Wire::Bytes(_)) => return Err(format!("{} has another type", self.name)),
        };
        match self.manner {
            Manner::Plain if is_zero(&value) => {}
            Manner::Plain | Manner::Pointer => {
                object.insert(self.name.to_owned(), value);
            }
            Manner::Repeated => {
                let list = object.entry(self.name).or_insert_with(|| json!([]));
                list.as_array_mut().into_iter().for_each(|list| list.push(value.clone()));
            }
        }
        Ok(())
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

/// One entry of a map, added to those before it. An entry without a value has the empty one.
fn entry(bytes: &[u8], shape: Shape, mut map: Map<String, Value>) -> Result<Value, String> {
    let mut pair = message(bytes, &[plain(1, "key", Text), plain(2, "value", shape)])?;
    let mut take = |name: &str| pair.remove(name).unwrap_or_else(|| json!(""));
    let (key, value) = (take("key"), take("value"));
    map.insert(key.as_str().unwrap_or_default().to_owned(), value);
    Ok(Value::Object(map))
}

/// A moment with so many digits behind the seconds; the zero moment is none.
fn time(bytes: &[u8], digits: usize) -> Result<Value, String> {
    let parts = message(bytes, &[plain(1, "seconds", Int), plain(2, "nanos", Int)])?;
    let part = |name: &str| parts.get(name).and_then(Value::as_i64).unwrap_or_default();
    let (seconds, nanos) = (part("seconds"), part("nanos"));
    if (seconds, nanos) == (0, 0) {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(nanos).map_err(|error| error.to_string())?;
    let moment = Timestamp::new(seconds, nanos).map_err(|error| error.to_string())?;
    Ok(json!(format!("{moment:.digits$}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field; all of these are short.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let (mut head, mut length) = (vec![number << 3 | 2], bytes.len());
        while length > 0x7f {
            head.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        head.push(u8::try_from(length).unwrap());
        [&head, bytes].concat()
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &type_meta), &field(2, raw), &field(3, b""), &field(4, b"")].concat()
    }

    #[test]
    fn a_secret_reads_as_its_json() {
        let zero_time = field(8, b"");
        let meta =
            [field(1, b"s"), field(2, b""), zero_time, field(11, &[field(1, b"a"), field(2, b"b")].concat())];
        let entry = |key: &[u8], value: &[u8]| field(2, &[field(1, key), field(2, value)].concat());
        let raw = [field(1, &meta.concat()), entry(b"x", b"1"), entry(b"y", b""), field(3, b"")].concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"a": "b"}},
            "data": {"x": "MQ==", "y": ""},
        });
        assert_eq!(decode(&body("v1", "Secret", &raw)).unwrap().value, expected);
    }

    #[test]
    fn a_lease_keeps_its_microseconds_and_its_zeros() {
        let moment = [&[0x08, 0x80, 0x94, 0xeb, 0xdc, 0x03, 0x10, 0xe8, 0x07][..]].concat();
        let spec = [field(1, b""), vec![0x10, 15], field(4, &moment), vec![0x28, 0]].concat();
        let lease = decode(&body("coordination.k8s.io/v1", "Lease", &field(2, &spec))).unwrap().value;
        let expected = json!({
            "holderIdentity": "", "leaseDurationSeconds": 15, "renewTime": "2001-09-09T01:46:40.000001Z",
            "leaseTransitions": 0,
        });
        assert_eq!(lease["spec"], expected);
    }

    #[test]
    fn what_is_understood_is_json_and_nothing_panics() {
        crate::fuzz::feed("protobuf", (&["\u{8}\u{1}", "k8s\0", "v1", "Secret"], 1), |bytes| {
            if let Ok(body) = decode(bytes) {
                let printed = body.value.to_string();
                assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), body.value);
            }
        });
    }

    #[test]
    fn a_message_is_read_in_proportion_to_its_length() {
        let map = |size: usize| {
            let entry =
                |at: usize| field(2, &[field(1, format!("k{at:06}").as_bytes()), field(2, b"v")].concat());
            body("v1", "ConfigMap", &(0..size).map(entry).collect::<Vec<_>>().concat())
        };
        crate::proportion::is_kept("protobuf", map, |bytes: &Vec<u8>| decode(bytes).is_ok());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let code = |bytes: &[u8]| decode(bytes).unwrap_err().code;
        assert_eq!(code(b"{}"), 400);
        assert_eq!(code(&body("v1", "Pod", b"")), 415);
        assert_eq!(code(&body("v1", "Secret", b"\x0a\x7f")), 400);
        assert_eq!(code(&body("v1", "Secret", b"\x08\x01")), 400);
    }
}
