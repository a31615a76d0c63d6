//! What cannot be an object of a built-in kind at all, in the words of Go's decoder: there such objects are structs, so a value of the
//! wrong type is no invalid object but a bad request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::registry::kind::KindDef;
use crate::registry::schema::{Schema, Type};

/// The first value of `object` that its kind's struct cannot hold.
pub(super) fn fault(kind: &KindDef, object: &Value) -> Option<String> {
    let fields = object.as_object()?.iter().filter(|(name, _)| *name != "metadata");
    fields.into_iter().find_map(|(name, value)| {
        let schema = kind.schema.properties.get(name)?;
        judged(value, schema, &Field { path: format!("{}.{name}", kind.kind), kind: &kind.kind })
    })
}

/// A field of a struct, as Go calls it: items of lists and keys of maps have no names of their own.
struct Field<'k> {
    path: String,
    kind: &'k str,
}

impl Field<'_> {
    fn holds(&self, value: &Value, type_: &str) -> Option<String> {
        let got = match value {
            Value::Null => return None,
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        Some(format!("json: cannot unmarshal {got} into Go struct field {} of type {type_}", self.path))
    }

    /// The name of a struct: its field's, and for the two of every kind the kind's before it.
    fn struct_name(&self) -> String {
        let name = self.path.rsplit('.').next().unwrap_or_default();
        let (first, rest) = name.split_at_checked(1).unwrap_or_default();
        let of = if matches!(name, "spec" | "status") { self.kind } else { "" };
        format!("v1.{of}{}{rest}", first.to_uppercase())
    }
}

fn judged(value: &Value, schema: &Schema, field: &Field<'_>) -> Option<String> {
    match (schema.type_, value) {
        (Type::String, Value::String(text)) => text_fault(text, schema.format.as_deref()),
        (Type::String, _) => field.holds(value, "string"),
        (Type::Boolean, Value::Bool(_)) | (Type::Any | Type::Number | Type::IntOrString, _) => None,
        (Type::Boolean, _) => field.holds(value, "bool"),
        (Type::Integer, Value::Number(number)) if number.is_i64() => None,
        (Type::Integer, _) => field.holds(value, schema.format.as_deref().unwrap_or("int64")),
        (Type::Array, Value::Array(items)) => {
            let of_items = schema.items.as_deref()?;
            items.iter().find_map(|item| judged(item, of_items, field))
        }
        (Type::Array, _) => {
            let items = schema.items.as_deref().map(|items| items.type_);
            field.holds(
                value,
                &format!("[]{}", if items == Some(Type::String) { "string" } else { "v1.Item" }),
            )
        }
        (Type::Object, Value::Object(map)) => {
            map.iter().find_map(|(name, value)| match schema.properties.get(name) {
                Some(schema) => {
                    judged(value, schema, &Field { path: format!("{}.{name}", field.path), kind: field.kind })
                }
                None => judged(value, schema.additional.as_deref()?, field),
            })
        }
        (Type::Object, _) => match schema.additional.as_deref() {
            Some(values) if values.format.as_deref() == Some("byte") => {
                field.holds(value, "map[string][]uint8")
            }
            Some(_) => field.holds(value, "map[string]string"),
            None => field.holds(value, &field.struct_name()),
        },
    }
}

fn text_fault(text: &str, format: Option<&str>) -> Option<String> {
    match format {
        Some("byte") => STANDARD.decode(text).err().map(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len(),
            };
            format!("illegal base64 data at input byte {at}")
        }),
        Some("date-time") if !text.is_empty() && text.parse::<Timestamp>().is_err() => Some(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as a time of RFC 3339"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::{Resource, Scheme};

    #[test]
    fn what_a_struct_cannot_hold_is_told_as_go_tells_it() {
        let scheme = Scheme::ours().unwrap();
        for (group, plural, object, why) in [
            (
                "",
                "configmaps",
                json!({"data": {"a": 1}}),
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            (
                "",
                "configmaps",
                json!({"data": "x"}),
                "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
            ),
            (
                "",
                "configmaps",
                json!({"immutable": "yes"}),
                "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool",
            ),
            ("", "secrets", json!({"data": {"a": "ab*d"}}), "illegal base64 data at input byte 2"),
            (
                "coordination.k8s.io",
                "leases",
                json!({"spec": 7}),
                "json: cannot unmarshal number into Go struct field Lease.spec of type v1.LeaseSpec",
            ),
            (
                "coordination.k8s.io",
                "leases",
                json!({"spec": {"leaseDurationSeconds": "x"}}),
                "json: cannot unmarshal string into Go struct field Lease.spec.leaseDurationSeconds of type int32",
            ),
            (
                "rbac.authorization.k8s.io",
                "roles",
                json!({"rules": [{"verbs": [1]}]}),
                "json: cannot unmarshal number into Go struct field Role.rules.verbs of type string",
            ),
        ] {
            let kind = scheme.by_resource(&Resource::new(group, plural)).unwrap();
            assert_eq!(fault(kind, &object).as_deref(), Some(why), "{object}");
        }
        let lease = scheme.by_resource(&Resource::new("coordination.k8s.io", "leases")).unwrap();
        let told = fault(lease, &json!({"spec": {"renewTime": "yesterday"}})).unwrap();
        assert!(told.starts_with("parsing time \"yesterday\" as"), "{told}");
        let fits = json!({"spec": {"renewTime": "2026-11-20T10:31:42.451899+00:00", "holderIdentity": "a", "leaseTransitions": 1}});
        assert_eq!(fault(lease, &fits), None);
    }
}
