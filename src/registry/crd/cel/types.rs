//! `type(x)`, which the interpreter does not know, and the names that its answers are compared with: what may be a number or a text is
//! told apart so.

use std::sync::Arc;

use kube_cel::cel::objects::Opaque;
use kube_cel::cel::{Context, ExecutionError, Value};

/// Names that stand for types.
pub(super) const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// A type as a value.
#[derive(Debug, PartialEq, Eq)]
struct Name(&'static str);

impl Opaque for Name {
    fn runtime_type_name(&self) -> &str {
        "type"
    }
}

/// Makes both known.
pub(super) fn register(context: &mut Context<'_>) {
    let value = |name: &'static str| Value::Opaque(Arc::new(Name(name)));
    for name in TYPES {
        context.add_variable_from_value(name, value(name));
    }
    let of = move |given: Value| -> Result<Value, ExecutionError> { Ok(value(name_of(&given))) };
    context.add_function("type", of);
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Bytes(_) => "bytes",
        Value::Float(_) => "double",
        Value::Int(_) => "int",
        Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::Null => "null_type",
        Value::String(_) => "string",
        Value::UInt(_) => "uint",
        Value::Timestamp(_) => "google.protobuf.Timestamp",
        Value::Duration(_) => "google.protobuf.Duration",
        Value::Opaque(other) if other.runtime_type_name() == "type" => "type",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Expressions;

    #[test]
    fn what_may_be_of_two_types_is_told_apart() {
        let size = json!({"x-kubernetes-int-or-string": true});
        for (rule, number, text) in [
            ("type(self.size) == int ? self.size > 0 : self.size.endsWith('%')", true, true),
            ("type(self.size) == int", true, false),
            ("type(self.size) == string && type(self) == map && type(type(1)) == type", false, true),
            ("type(1) == type(2) && type(1) != type(1.0) && type([null][0]) == null_type", true, true),
        ] {
            let schema = json!({"type": "object", "properties": {"size": size}, "x-kubernetes-validations": [{"rule": rule}]});
            assert_eq!(super::super::expression_faults(&schema, "s"), []);
            let rules = Expressions::of(&schema, ("example.com/v1", "example.com", "Widget")).unwrap();
            let holds = |value| rules.faults(&json!({"size": value}), None).is_empty();
            assert_eq!((holds(json!(5)), holds(json!("5%"))), (number, text), "{rule}");
        }
    }
}
