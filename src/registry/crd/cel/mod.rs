//! `x-kubernetes-validations`: rules of a schema in the Common Expression Language, read by the crate kube-cel.
//!
//! A rule is bounded twice. Before it is accepted its cost is estimated from the limits in its schema, and one that may cost more
//! than Kubernetes lets a rule cost is refused with its text; so is one that does not compile. While it is evaluated it spends a
//! [`budget`], and is stopped when that is gone.

mod budget;
mod depth;
mod evaluate;
mod node;
mod stack;
mod value;

use std::fmt;

use kube_cel::{CompiledSchema, WarningKind, compile_schema, estimate_rule_cost};
use serde_json::Value;

use self::budget::{OF_A_RULE, OF_AN_OBJECT, loops};
use self::depth::DEPTH_MAX;
use self::evaluate::Evaluation;
use self::node::Node;
use self::stack::on_a_large_one;
use crate::registry::field::{FieldError, Place, child};

const RULES: &str = "x-kubernetes-validations";
/// Steps beyond which nothing is estimated; far more than any rule may take.
const COUNTABLE: u64 = 1_000_000_000_000;
/// A depth that every stack has room for.
const SHALLOW: usize = 16;

/// The rules of one kind, compiled.
pub struct Expressions {
    compiled: CompiledSchema,
    rules: Node,
    /// One of them nests more deeply than every stack has room for.
    are_deep: bool,
    /// What the rules of the whole object see beside it: apiVersion, apiGroup, kind.
    names: [(&'static str, String); 3],
}

impl Expressions {
    /// The rules in `openapi`; none where there are none.
    #[must_use]
    pub fn of(openapi: &Value, (api_version, group, kind): (&str, &str, &str)) -> Option<Expressions> {
        let depth = deepest(openapi)?;
        let (compiled, rules) = on_a_large_one(|| {
            let compiled = compile_schema(openapi);
            let rules = Node::of(&compiled);
            (compiled, rules)
        });
        let (rules, are_deep) = (rules?, depth > SHALLOW);
        let text = str::to_owned;
        let names = [("apiVersion", text(api_version)), ("apiGroup", text(group)), ("kind", text(kind))];
        Some(Expressions { compiled, rules, are_deep, names })
    }

    /// What `object` breaks that `old`, which it replaces, does not break just so at the same places: the first hundred faults.
    #[must_use]
    pub fn faults(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let limits = (OF_A_RULE, OF_AN_OBJECT);
        match self.are_deep {
            true => on_a_large_one(|| self.faults_within(object, old, limits)),
            false => self.faults_within(object, old, limits),
        }
    }

    /// The same, when one rule may cost so much at one place, and all of them together so much.
    fn faults_within(&self, object: &Value, old: Option<&Value>, limits: (i64, i64)) -> Vec<FieldError> {
        let (mut faults, too_dear) = self.evaluated((object, old), limits);
        let was_too_dear = || old.is_some_and(|old| self.evaluated((old, None), limits).1.is_some());
        faults.extend(too_dear.filter(|_| !was_too_dear()));
        faults.sort_by(|a, b| (&a.path, &a.message).cmp(&(&b.path, &b.message)));
        faults
    }

    fn evaluated(
        &self,
        (object, old): (&Value, Option<&Value>),
        limits: (i64, i64),
    ) -> (Vec<FieldError>, Option<FieldError>) {
        let mut evaluation = Evaluation::new(&self.names, limits);
        evaluation.walk(&self.compiled, &self.rules, (object, old), &Place::Root(""));
        evaluation.faults()
    }
}

impl fmt::Debug for Expressions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expressions")
    }
}

/// The value at `path`; objects are told by their type, as Kubernetes does.
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
    let faults = too_deep(openapi, path);
    if faults.is_empty() { on_a_large_one(|| parsed_faults(openapi, path)) } else { faults }
}

/// The rules that do not compile, or may cost too much.
fn parsed_faults(openapi: &Value, path: &str) -> Vec<FieldError> {
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
            // The estimate multiplies without looking where that ends.
            if let Some(Ok(rule)) = compiled.validations.get(at)
                && longest(&compiled).saturating_pow(loops(rule.program.expression())) > COUNTABLE
            {
                let why = "its loops nest too deeply for lists that may be so long";
                faults.push(FieldError::forbidden(
                    path,
                    format!("{text:?}: estimated cost exceeds K8s budget: {why}"),
                ));
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

/// The longest list that `schema` lets be; where it says nothing, as long as the estimate takes it for.
fn longest(schema: &CompiledSchema) -> u64 {
    let below = schema
        .properties
        .values()
        .chain(schema.items.as_deref())
        .chain(schema.additional_properties.as_deref());
    let own = schema.max_items.unwrap_or(1_000).max(schema.max_properties.unwrap_or(1_000));
    below.map(longest).fold(own, u64::max)
}

/// How deeply the deepest of the rules in `openapi` nests; none where there are none.
fn deepest(openapi: &Value) -> Option<usize> {
    let mut deepest = None;
    each(openapi, "", &mut |node, _| {
        for rule in node[RULES].as_array().into_iter().flatten() {
            for text in [&rule["rule"], &rule["messageExpression"]].into_iter().filter_map(Value::as_str) {
                deepest = deepest.max(Some(depth::of(text).unwrap_or(DEPTH_MAX)));
            }
        }
    });
    deepest
}

/// The rules that cannot even be parsed, for the stack that it would take.
fn too_deep(openapi: &Value, path: &str) -> Vec<FieldError> {
    let mut faults = Vec::new();
    each(openapi, path, &mut |node, path| {
        for (at, rule) in node[RULES].as_array().into_iter().flatten().enumerate() {
            for field in ["rule", "messageExpression"] {
                let text = rule[field].as_str().unwrap_or_default();
                let fault = match depth::of(text) {
                    Ok(depth) if depth > DEPTH_MAX => {
                        format!("expression recursion limit exceeded: {DEPTH_MAX}")
                    }
                    Ok(_) => continue,
                    Err(problem) => problem.to_owned(),
                };
                let path = format!("{path}.{RULES}[{at}].{field}");
                faults.push(FieldError::invalid(path, text, format!("compilation failed: {fault}")));
            }
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

    /// What is told of rules when each may cost `of_a_rule` and all together `of_all`.
    fn within(rules: &Value, object: &Value, limits: (i64, i64)) -> Vec<String> {
        let mut schema = schema(&rules[0]);
        schema["properties"]["spec"][RULES] = rules.clone();
        let rules = Expressions::of(&schema, ("example.com/v1", "example.com", "Widget")).unwrap();
        rules.faults_within(object, None, limits).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_that_costs_too_much_is_stopped_and_no_other_is_run() {
        let names: Vec<String> = (0..200).map(|n| format!("name-{n}")).collect();
        let object = json!({"spec": {"min": 4, "max": 3, "names": names}});
        let wrong = json!({"rule": "self.min <= self.max"});
        let stopped = |rule: &str| {
            vec![format!(
                "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation \
                 rules will be run due to call cost exceeds limit for rule: {rule}"
            )]
        };
        for dear in [
            "self.names.all(a, self.names.all(b, a != b || a == b))",
            "self.names.map(a, self.names.map(b, a + b)).size() > 0",
            "self.names.filter(a, self.names.exists(b, b == a + 'x')).size() == 0",
            // An error that another side makes up for.
            "self.names.all(a, self.names.exists(b, b == a + 'x') || true) || true",
            "self.names.all(a, self.names.exists(b, self.names.exists(c, c == a + b))) || self.min == 4",
        ] {
            let rules = json!([{"rule": dear}, wrong]);
            assert_eq!(within(&rules, &object, (10_000, 100_000)), stopped(dear), "{dear}");
        }
        let rules = json!([{"rule": "self.names.all(a, self.names.all(b, a != b || a == b))", "message": " names are long "}]);
        assert_eq!(within(&rules, &object, (100, 1_000)), stopped("names are long"));
        // Within the limit the same rules are judged to their end.
        let rules = json!([{"rule": "self.names.all(a, self.names.all(b, a != b || a == b))"}, wrong]);
        let told = within(&rules, &object, (OF_A_RULE, OF_AN_OBJECT));
        assert_eq!(told, ["spec: Invalid value: \"object\": failed rule: self.min <= self.max"]);
    }

    #[test]
    fn what_was_broken_or_cost_too_much_before_is_no_new_fault() {
        let names: Vec<String> = (0..100).map(|n| format!("name-{n}")).collect();
        let object = |min: i64| json!({"spec": {"min": min, "max": 3, "names": names}});
        let told = |rules: Value, old: i64, limits| -> Vec<String> {
            let mut schema = schema(&rules[0]);
            schema["properties"]["spec"][RULES] = rules;
            let rules = Expressions::of(&schema, ("example.com/v1", "example.com", "Widget")).unwrap();
            let faults = rules.faults_within(&object(4), Some(&object(old)), limits);
            faults.iter().map(ToString::to_string).collect()
        };
        let (dear, wrong) =
            ("self.names.all(a, self.names.all(b, a != b || a == b))", "self.min <= self.max");
        let rules = || json!([{"rule": dear}, {"rule": wrong}, {"rule": "self.min == oldSelf.min"}]);
        let limits = (10_000, 100_000);
        assert_eq!(told(rules(), 4, limits), Vec::<String>::new());
        let new = [
            "spec: Invalid value: \"object\": failed rule: self.min <= self.max",
            "spec: Invalid value: \"object\": failed rule: self.min == oldSelf.min",
        ];
        assert_eq!(told(rules(), 3, limits), new);
        let many: Value = std::iter::repeat_n(json!({"rule": "self.names.all(a, a != '')"}), 20).collect();
        assert_eq!(told(many, 3, (10_000, 1_000)), Vec::<String>::new());
    }

    #[test]
    fn what_reads_long_texts_spends_as_much_as_it_reads() {
        let text = "x".repeat(100_000);
        let object = json!({"spec": {"names": [text, text, text, text]}});
        let rules =
            json!([{"rule": "self.names.all(a, a.contains('y') || self.names.all(b, b.matches('^x*$')))"}]);
        let told = within(&rules, &object, (50_000, 500_000));
        assert!(told.len() == 1 && told[0].contains("call cost exceeds limit"), "{told:?}");
        let doubled =
            json!([{"rule": "(self.names[0] + self.names[0] + self.names[0] + self.names[0]).size() > 0"}]);
        let told = within(&doubled, &object, (50_000, 500_000));
        assert!(told.len() == 1 && told[0].contains("call cost exceeds limit"), "{told:?}");
        assert!(within(&doubled, &object, (OF_A_RULE, OF_AN_OBJECT)).is_empty());
    }

    #[test]
    fn all_rules_of_an_object_together_have_a_limit() {
        let names: Vec<String> = (0..100).map(|n| format!("name-{n}")).collect();
        let object = json!({"spec": {"names": names}});
        let rule = json!({"rule": "self.names.all(a, a != '')"});
        let rules: Vec<Value> = std::iter::repeat_n(rule, 20).collect();
        assert!(within(&json!(rules), &object, (10_000, 100_000)).is_empty());
        assert_eq!(
            within(&json!(rules), &object, (10_000, 1_000)),
            [
                "spec: Invalid value: \"object\": validation failed due to running out of cost budget, no further validation rules \
              will be run"
            ]
        );
    }

    #[test]
    fn rules_see_values_as_what_they_are_and_fields_by_their_escaped_names() {
        let properties = json!({
            "at": {"type": "string", "format": "date-time"}, "for": {"type": "string", "format": "duration"},
            "data": {"type": "string", "format": "byte"}, "a-b.c/d": {"type": "integer"}, "my_field": {"type": "integer"},
            "my__field": {"type": "integer"}, "namespace": {"type": "string"}, "any": {"x-kubernetes-int-or-string": true},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        });
        let object = json!({"at": "2026-01-02T03:04:05Z", "for": "1h30m", "data": "aGk=", "a-b.c/d": 1, "my_field": 2,
            "my__field": 3, "namespace": "n", "any": 8080, "map": {"a-b": 4}});
        for rule in [
            "self.at > timestamp('2026-01-01T00:00:00Z') && self.at.getFullYear() == 2026",
            "self.__for__ == duration('90m')",
            "self.data == b'hi'",
            "self.a__dash__b__dot__c__slash__d == 1",
            "self.my_field == 2 && self.my__underscores__field == 3",
            "self.__namespace__ == 'n'",
            "self.any == 8080",
            "self.map['a-b'] == 4 && 'a-b' in self.map",
            "math.greatest(1, self.my_field) == 2 && self.map.all(k, self.map[k] > 3)",
            "apiVersion == 'example.com/v1' && apiGroup == 'example.com' && kind == 'Widget'",
        ] {
            let schema = json!({"type": "object", "properties": properties, RULES: [{"rule": rule}]});
            let rules = Expressions::of(&schema, ("example.com/v1", "example.com", "Widget")).unwrap();
            let told: Vec<String> = rules.faults(&object, None).iter().map(ToString::to_string).collect();
            assert!(told.is_empty(), "{rule}: {told:?}");
        }
    }

    #[test]
    fn a_rule_that_nests_too_deeply_is_refused_and_one_that_nests_as_deeply_as_it_may_is_judged() {
        for (open, middle, close) in [
            ("(", "true", ")"),
            ("!", "true", ""),
            ("[", "1", "][0]"),
            ("true || ", "true", ""),
            ("1 + ", "1 > 0", ""),
            ("true ? true : ", "true", ""),
            ("[1].all(x, ", "true", ")"),
            ("size(", "''", ")"),
            ("{'a': ", "1", "}.a"),
        ] {
            for times in [1, 20, 80, DEPTH_MAX, 10_000] {
                let text = format!("{}{middle}{}", open.repeat(times), close.repeat(times));
                let rule = json!({"rule": text});
                let judge = move || {
                    let refused = expression_faults(&schema(&rule), "s");
                    if times > DEPTH_MAX {
                        assert!(refused[0].to_string().contains("expression recursion limit exceeded: 250"));
                    }
                    if refused.is_empty() {
                        broken(&rule, &json!({"spec": {}}), None);
                    }
                };
                // A thread as small as those that requests are answered in; one that needs more is told by its name.
                let thread = std::thread::Builder::new()
                    .name(format!("{open} {times} times"))
                    .stack_size(2 * 1_024 * 1_024);
                thread.spawn(judge).unwrap().join().unwrap();
            }
        }
    }

    #[test]
    fn a_kind_without_rules_has_none() {
        assert!(Expressions::of(&json!({"type": "object"}), ("a/v1", "a", "A")).is_none());
    }
}
