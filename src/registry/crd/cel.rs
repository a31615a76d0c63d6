//! `x-kubernetes-validations`: rules of a schema in the Common Expression Language, by the crate kube-cel.
//!
//! A rule is bounded before it is accepted: its cost is estimated from the limits in its schema, and one that may cost more
//! than Kubernetes lets a rule cost is refused with its text. So is one that does not compile.

use std::fmt;

use kube_cel::{
    CompiledSchema, ErrorKind, RootContext, ValidationError, Validator, WarningKind, compile_schema,
    estimate_rule_cost,
};
use serde_json::Value;

use crate::registry::field::{FieldError, child};

const RULES: &str = "x-kubernetes-validations";

/// The rules of one kind, compiled.
pub struct Expressions {
    compiled: CompiledSchema,
    root: RootContext,
}

impl Expressions {
    /// The rules in `openapi`; none where there are none.
    #[must_use]
    pub fn of(openapi: &Value, (api_version, group, kind): (&str, &str, &str)) -> Option<Expressions> {
        let mut has_rules = false;
        each(openapi, "", &mut |_, _| has_rules = true);
        let text = str::to_owned;
        let root = RootContext { api_version: text(api_version), api_group: text(group), kind: text(kind) };
        has_rules.then(|| Expressions { compiled: compile_schema(openapi), root })
    }

    /// What `object`, which replaces `old`, breaks.
    #[must_use]
    pub fn faults(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let judged =
            Validator::new().validate_compiled_with_context(&self.compiled, object, old, Some(&self.root));
        let Err(errors) = judged else { return Vec::new() };
        let mut faults: Vec<FieldError> = errors.iter().map(|error| fault(error, object)).collect();
        faults.sort_by(|a, b| (&a.path, &a.message).cmp(&(&b.path, &b.message)));
        faults
    }
}

impl fmt::Debug for Expressions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expressions")
    }
}

fn fault(error: &ValidationError, object: &Value) -> FieldError {
    let path = error.field_path.as_str();
    let value = || shown(object, path);
    let message = match error.kind {
        ErrorKind::ValidationFailure => error.message.clone(),
        _ => format!("rule {:?} cannot be evaluated: {}", error.rule, error.message),
    };
    match error.reason.as_deref() {
        Some("FieldValueForbidden") => FieldError::forbidden(path, message),
        Some("FieldValueRequired") => FieldError::required(path, message),
        Some("FieldValueDuplicate") => FieldError::duplicate(path, value()),
        _ => FieldError::invalid(path, value(), message),
    }
}

/// The value at `path`, if it is short; objects are told by their type, as Kubernetes does.
fn shown(object: &Value, path: &str) -> Value {
    let mut found = object;
    for part in path.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty())
    {
        let next = match found {
            Value::Array(items) => part.parse::<usize>().ok().and_then(|at| items.get(at)),
            other => other.get(part),
        };
        match next {
            Some(next) => found = next,
            None => return Value::Null,
        }
    }
    match found {
        Value::Object(_) => Value::from("object"),
        Value::Array(_) => Value::from("array"),
        scalar => scalar.clone(),
    }
}

/// The rules in `openapi`, which stands at `path`, that cannot be accepted, and why.
#[must_use]
pub fn expression_faults(openapi: &Value, path: &str) -> Vec<FieldError> {
    let mut faults = Vec::new();
    each(openapi, path, &mut |node, path| {
        let compiled = compile_schema(node);
        let rules = node[RULES].as_array().map(Vec::as_slice).unwrap_or_default();
        for (at, rule) in rules.iter().enumerate() {
            let path = format!("{path}.{RULES}[{at}].rule");
            let text = rule["rule"].as_str().unwrap_or_default();
            if let Some(Err(error)) = compiled.validations.get(at) {
                faults.push(FieldError::invalid(path, text, format!("compilation failed: {error}")));
                continue;
            }
            // The crate's look at scopes takes the variables of macros for unknown ones: a name that is none is told when an
            // object is judged, and refuses it.
            let costs = estimate_rule_cost(text, &compiled).into_iter();
            let dear = costs.filter(|warning| warning.kind == WarningKind::CostExceeded);
            faults.extend(dear.map(|warning| {
                FieldError::forbidden(path.clone(), format!("{text:?}: {}", warning.message))
            }));
        }
    });
    faults
}

/// Visits every node of `schema` that has rules.
fn each(schema: &Value, path: &str, visit: &mut dyn FnMut(&Value, &str)) {
    if schema.get(RULES).and_then(Value::as_array).is_some_and(|rules| !rules.is_empty()) {
        visit(schema, path);
    }
    for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        each(below, &format!("{path}.properties[{name}]"), visit);
    }
    for part in ["items", "additionalProperties"] {
        if let Some(below) = schema.get(part).filter(|below| below.is_object()) {
            each(below, &child(path, part), visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(rule: &Value) -> Value {
        json!({"type": "object", "properties": {"spec": {
            "type": "object", RULES: [rule],
            "properties": {"min": {"type": "integer"}, "max": {"type": "integer"},
                "names": {"type": "array", "items": {"type": "string"}}},
        }}})
    }

    fn broken(rule: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
        let rules = Expressions::of(&schema(rule), ("example.com/v1", "example.com", "Widget")).unwrap();
        rules.faults(object, old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_is_told_with_its_message_and_where_it_stands() {
        let rule = json!({"rule": "self.min <= self.max", "message": "min must not exceed max"});
        let object = |min: i64| json!({"spec": {"min": min, "max": 3}});
        assert!(broken(&rule, &object(3), None).is_empty());
        assert_eq!(
            broken(&rule, &object(4), None),
            ["spec: Invalid value: \"object\": min must not exceed max"]
        );
        let fixed = json!({"rule": "self.min == oldSelf.min", "message": "min is fixed", "reason": "FieldValueForbidden"});
        assert_eq!(broken(&fixed, &object(4), Some(&object(3))), ["spec: Forbidden: min is fixed"]);
        assert!(broken(&fixed, &object(4), None).is_empty(), "there is nothing that it was");
        let wrong = json!({"rule": "self.nope > 1"});
        let told = broken(&wrong, &object(1), None);
        assert!(told.len() == 1 && told[0].contains("cannot be evaluated"), "{told:?}");
    }

    #[test]
    fn a_rule_that_does_not_compile_or_costs_too_much_is_refused() {
        let faults = |rule: &str| -> Vec<String> {
            expression_faults(&schema(&json!({"rule": rule})), "s").iter().map(ToString::to_string).collect()
        };
        assert!(faults("self.min <= self.max").is_empty());
        assert!(faults("self.names.all(n, n.size() < 9)").is_empty());
        let told = faults("self.min <= ");
        assert!(
            told[0].starts_with("s.properties[spec].x-kubernetes-validations[0].rule: Invalid value"),
            "{told:?}"
        );
        let nested = "self.names.all(a, self.names.all(b, self.names.all(c, a + b + c != 'x')))";
        let told = faults(nested);
        assert!(told[0].contains("Forbidden") && told[0].contains("exceeds K8s budget"), "{told:?}");
    }

    #[test]
    fn a_kind_without_rules_has_none() {
        assert!(Expressions::of(&json!({"type": "object"}), ("a/v1", "a", "A")).is_none());
    }
}
