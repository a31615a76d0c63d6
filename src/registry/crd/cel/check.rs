//! What a rule says that can be no object's: a field that the schema does not have, a name that nobody gave, a comparison of what
//! cannot be compared. Told when the definition is written, and not when the first object is refused for it.
//!
//! It knows the types that the schema gives and what follows from them at once; of all else it takes for granted that it fits.

use std::collections::BTreeMap;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators,
};
use kube_cel::cel::{Context, ExecutionError, IdedExpr};
use serde_json::{Value, json};

use super::budget::NAMESPACES;
use super::types::{self, TYPES};
use super::value::escaped;

const ORDER: [&str; 4] =
    [operators::LESS, operators::LESS_EQUALS, operators::GREATER, operators::GREATER_EQUALS];
const EQUALITY: [&str; 2] = [operators::EQUALS, operators::NOT_EQUALS];
const LOGIC: [&str; 3] = [operators::LOGICAL_AND, operators::LOGICAL_OR, operators::LOGICAL_NOT];
/// Calls whose answer is true or false.
const QUESTIONS: [&str; 5] = ["startsWith", "endsWith", "contains", "matches", operators::IN];

/// What is known of a value.
#[derive(Debug, Clone)]
enum Seen {
    /// It is what this schema says.
    Node(Value),
    /// It is of this type of the language.
    Scalar(&'static str),
    Anything,
}

impl Seen {
    /// The type, where it is a simple one.
    fn type_(&self) -> Option<&'static str> {
        match self {
            Seen::Scalar(type_) => Some(type_),
            Seen::Node(node) if node["nullable"] != true => {
                match (node["type"].as_str()?, node["format"].as_str()) {
                    ("string", Some("date" | "date-time")) => Some("timestamp"),
                    ("string", Some("duration")) => Some("duration"),
                    ("string", Some("byte")) => Some("bytes"),
                    ("string", _) => Some("string"),
                    ("integer", _) => Some("int"),
                    ("number", _) => Some("double"),
                    ("boolean", _) => Some("bool"),
                    _ => None,
                }
            }
            Seen::Node(_) | Seen::Anything => None,
        }
    }

    /// The schema below `keyword`.
    fn below(&self, keyword: &str) -> Seen {
        match self {
            Seen::Node(node) => known(node.get(keyword)),
            Seen::Scalar(_) | Seen::Anything => Seen::Anything,
        }
    }

    fn field(&self, name: &str) -> Result<Seen, String> {
        if let Some(type_) = self.type_() {
            return Err(format!("type '{type_}' does not support field selection"));
        }
        let Seen::Node(node) = self else { return Ok(Seen::Anything) };
        let mut declared = node["properties"].as_object().into_iter().flatten();
        match declared.find(|(field, _)| escaped(field) == name) {
            Some((_, field)) => Ok(known(Some(field))),
            None if node["type"] == "array" => Err("type 'list' does not support field selection".to_owned()),
            None if node["type"] == "object" && is_closed(node) => Err(format!("undefined field '{name}'")),
            None => Ok(self.below("additionalProperties")),
        }
    }
}

/// Of an open value nothing is known.
fn known(node: Option<&Value>) -> Seen {
    match node {
        Some(node) if node.is_object() && node["x-kubernetes-int-or-string"] != true => {
            Seen::Node(node.clone())
        }
        _ => Seen::Anything,
    }
}

/// It has no fields but those that it declares.
fn is_closed(node: &Value) -> bool {
    let open = ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"];
    open.iter().all(|keyword| node[keyword] != true) && !node["additionalProperties"].is_object()
}

/// What is wrong with the rule `tree` at `node` of a schema; `is_root` for that of the whole object, of which rules see more than
/// its fields.
pub(super) fn fault(tree: &IdedExpr, node: &Value, is_root: bool, old_is_optional: bool) -> Option<String> {
    let mut node = node.clone();
    let mut functions = Context::default();
    functions.register_all();
    types::register(&mut functions);
    let mut scope = Scope { names: BTreeMap::new(), functions: &functions };
    if is_root {
        let text = json!({"type": "string"});
        node["properties"]["apiVersion"] = text.clone();
        node["properties"]["kind"] = text.clone();
        node["properties"]["metadata"] =
            json!({"type": "object", "properties": {"name": text, "generateName": text}});
        for name in ["apiVersion", "apiGroup", "kind"] {
            scope.names.insert(name.to_owned(), Seen::Scalar("string"));
        }
    }
    let whole = known(Some(&node));
    scope.names.insert("oldSelf".to_owned(), if old_is_optional { Seen::Anything } else { whole.clone() });
    scope.names.insert("self".to_owned(), whole);
    match scope.see(tree) {
        Err(why) => Some(format!("compilation failed: {why}")),
        Ok(seen) => match seen.type_() {
            Some("bool") => None,
            Some(_) => Some("cel expression must evaluate to a bool".to_owned()),
            None => None,
        },
    }
}

/// What a part of a rule may speak of.
#[derive(Clone)]
struct Scope<'f> {
    names: BTreeMap<String, Seen>,
    functions: &'f Context<'static>,
}

impl Scope<'_> {
    fn see(&self, tree: &IdedExpr) -> Result<Seen, String> {
        match &tree.expr {
            Expr::Literal(value) => Ok(literal(value)),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(whole) => self.comprehension(whole),
            Expr::List(list) => self.all(&list.elements),
            Expr::Map(map) => {
                let entries = map.entries.iter().map(|entry| &entry.expr);
                entries.map(|entry| self.entry(entry)).collect::<Result<Vec<_>, _>>()?;
                Ok(Seen::Anything)
            }
            Expr::Struct(_) | Expr::Unspecified => Ok(Seen::Anything),
        }
    }

    fn all(&self, trees: &[IdedExpr]) -> Result<Seen, String> {
        trees.iter().try_for_each(|tree| self.see(tree).map(drop))?;
        Ok(Seen::Anything)
    }

    fn entry(&self, entry: &EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::MapEntry(entry) => {
                self.see(&entry.key)?;
                self.see(&entry.value).map(drop)
            }
            EntryExpr::StructField(entry) => self.see(&entry.value).map(drop),
        }
    }

    fn name(&self, name: &str) -> Result<Seen, String> {
        match self.names.get(name) {
            Some(seen) => Ok(seen.clone()),
            None if TYPES.contains(&name) || NAMESPACES.contains(&name) => Ok(Seen::Anything),
            None => Err(undeclared(name)),
        }
    }

    fn select(&self, select: &SelectExpr) -> Result<Seen, String> {
        let field = self.see(&select.operand)?.field(&select.field)?;
        Ok(if select.test { Seen::Scalar("bool") } else { field })
    }

    /// Whether there is such a function: a call of it without anything fails otherwise than one of what there is not.
    fn is_function(&self, call: &CallExpr) -> bool {
        let is_operator = !call.func_name.starts_with(|first: char| first.is_ascii_alphabetic());
        let target = call.target.as_ref().map(|target| match &target.expr {
            Expr::Ident(name) if NAMESPACES.contains(&name.as_str()) && !self.names.contains_key(name) => {
                target.clone()
            }
            _ => Box::new(IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::String("".into())) }),
        });
        let probe = CallExpr { func_name: call.func_name.clone(), target, args: Vec::new() };
        let answer =
            kube_cel::cel::Value::resolve(&IdedExpr { id: 0, expr: Expr::Call(probe) }, self.functions);
        is_operator || !matches!(answer, Err(ExecutionError::UndeclaredReference(_)))
    }

    fn call(&self, call: &CallExpr) -> Result<Seen, String> {
        if !self.is_function(call) {
            return Err(undeclared(&call.func_name));
        }
        let target = call.target.iter().map(AsRef::as_ref);
        let given = target.chain(&call.args).map(|it| self.see(it)).collect::<Result<Vec<_>, _>>()?;
        let types: Vec<Option<&str>> = given.iter().map(Seen::type_).collect();
        let name = call.func_name.as_str();
        let fits = match types.as_slice() {
            given if LOGIC.contains(&name) => given.iter().flatten().all(|type_| *type_ == "bool"),
            [Some(one), Some(other)] if ORDER.contains(&name) || EQUALITY.contains(&name) => {
                one == other || [one, other].iter().all(|type_| matches!(**type_, "int" | "uint" | "double"))
            }
            _ => true,
        };
        if !fits {
            let told: Vec<&str> = types.iter().map(|type_| type_.unwrap_or("dyn")).collect();
            return Err(format!(
                "found no matching overload for '{name}' applied to '({})'",
                told.join(", ")
            ));
        }
        Ok(match given.as_slice() {
            _ if LOGIC.contains(&name) || ORDER.contains(&name) || EQUALITY.contains(&name) => {
                Seen::Scalar("bool")
            }
            _ if QUESTIONS.contains(&name) => Seen::Scalar("bool"),
            _ if name == "size" => Seen::Scalar("int"),
            [list, _] if name == operators::INDEX => match list.below("items") {
                Seen::Anything => list.below("additionalProperties"),
                items => items,
            },
            [_, then, _] if name == operators::CONDITIONAL && types[1] == types[2] => then.clone(),
            _ => Seen::Anything,
        })
    }

    fn comprehension(&self, whole: &ComprehensionExpr) -> Result<Seen, String> {
        let range = self.see(&whole.iter_range)?;
        let begun = self.see(&whole.accu_init)?;
        let (key, value) = match (range.below("items"), range.below("additionalProperties")) {
            (Seen::Anything, value) => (Seen::Anything, value),
            (items, _) if whole.iter_var2.is_none() => (items, Seen::Anything),
            (items, _) => (Seen::Scalar("int"), items),
        };
        let mut inner = self.clone();
        inner.names.insert(whole.iter_var.clone(), key);
        inner.names.extend(whole.iter_var2.clone().map(|name| (name, value)));
        // What is gathered is a truth value from the beginning, or nobody knows; `cel.bind` gives a name to what it begins with.
        let gathered = if begun.type_() == Some("bool") { begun.clone() } else { Seen::Anything };
        inner.names.insert(whole.accu_var.clone(), gathered.clone());
        inner.see(&whole.loop_cond)?;
        inner.see(&whole.loop_step)?;
        inner.see(&whole.result)
    }
}

fn undeclared(name: &str) -> String {
    format!("undeclared reference to '{name}' (in container '')")
}

fn literal(value: &LiteralValue) -> Seen {
    match value {
        LiteralValue::Boolean(_) => Seen::Scalar("bool"),
        LiteralValue::Bytes(_) => Seen::Scalar("bytes"),
        LiteralValue::Double(_) => Seen::Scalar("double"),
        LiteralValue::Int(_) => Seen::Scalar("int"),
        LiteralValue::Null => Seen::Anything,
        LiteralValue::String(_) => Seen::Scalar("string"),
        LiteralValue::UInt(_) => Seen::Scalar("uint"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::expression_faults;
    use super::*;

    fn told(rule: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "x-kubernetes-validations": [rule], "properties": {
            "spec": {"type": "object", "properties": {
                "image": {"type": "string"}, "n": {"type": "integer"}, "for": {"type": "boolean"}, "at": {"type": "string", "format": "date-time"},
                "size": {"x-kubernetes-int-or-string": true}, "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "ports": {"type": "array", "maxItems": 5, "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
                "env": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "string"}},
                "maybe": {"type": "integer", "nullable": true},
            }},
        }});
        expression_faults(&schema, "s").into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn a_rule_about_what_there_is_not_is_refused() {
        for (rule, why) in [
            ("self.spec.nope > 1", "compilation failed: undefined field 'nope'"),
            ("!has(self.spec.nope)", "compilation failed: undefined field 'nope'"),
            ("self.metadata.labels.size() > 0", "compilation failed: undefined field 'labels'"),
            ("oldSelf.spec.nope == self.spec.n", "compilation failed: undefined field 'nope'"),
            ("self.spec.ports.all(p, p.nope > 1)", "compilation failed: undefined field 'nope'"),
            ("self.spec.ports[0].nope > 1", "compilation failed: undefined field 'nope'"),
            (
                "self.spec.image.name == ''",
                "compilation failed: type 'string' does not support field selection",
            ),
            ("self.spec.ports.port == 1", "compilation failed: type 'list' does not support field selection"),
            ("foo(self)", "compilation failed: undeclared reference to 'foo' (in container '')"),
            (
                "self.spec.image.beginsWith('a')",
                "compilation failed: undeclared reference to 'beginsWith' (in container '')",
            ),
            (
                "math.largest(1, 2) == 2",
                "compilation failed: undeclared reference to 'largest' (in container '')",
            ),
            ("slef.spec.n > 1", "compilation failed: undeclared reference to 'slef' (in container '')"),
            (
                "self.spec.image > 5",
                "compilation failed: found no matching overload for '_>_' applied to '(string, int)'",
            ),
            (
                "self.spec.n == '5'",
                "compilation failed: found no matching overload for '_==_' applied to '(int, string)'",
            ),
            (
                "self.spec.n && true",
                "compilation failed: found no matching overload for '_&&_' applied to '(int, bool)'",
            ),
            ("self.spec.n", "cel expression must evaluate to a bool"),
            ("self.spec.image.size()", "cel expression must evaluate to a bool"),
        ] {
            assert_eq!(told(&json!({"rule": rule})), [why], "{rule}");
        }
    }

    #[test]
    fn a_rule_that_may_hold_is_taken() {
        for rule in [
            "self.spec.n > 1.5 && self.spec.image.startsWith('a')",
            "self.spec.__for__ ? self.spec.n > 1 : has(self.spec.at)",
            "self.spec.at > timestamp('2026-01-01T00:00:00Z')",
            "self.spec.size == 5 || self.spec.size == '5'",
            "self.spec.free.any.thing == 'x'",
            "self.spec.ports.exists(p, p.port == 80) && self.spec.ports.map(p, p.port).size() < 3",
            "self.spec.ports.filter(p, p.port > 1).all(p, p.port < 9)",
            "self.spec.env.all(k, k != '' && self.spec.env[k] != '') && 'A' in self.spec.env",
            "self.spec.maybe == null || self.spec.maybe > 1",
            "self.metadata.name.size() < 10 && self.kind == kind && apiGroup != ''",
            "self.spec.ports.all(url, url.port > 1) && format.dns1123Label().validate(self.spec.image).hasValue()",
            "isURL(self.spec.image) && url(self.spec.image).getHost() == 'a' && self.spec.image.matches('^a')",
            "ip.isCanonical(self.spec.image) && semver('1.0.0').major() == 1 && optional.of(1).hasValue()",
            "[1, 2].sum() == 3 && sets.contains([1], [1]) && 'a,b'.split(',').size() == 2 && duration('1s') < duration('2s')",
            "math.greatest(self.spec.n, 3) == 3 && type(self.spec.n) == int",
            "[1, 2].exists(x, x == self.spec.n) && {'a': 1}.a == 1",
            "quantity(self.spec.image).isGreaterThan(quantity('1Mi'))",
            "oldSelf.spec.n <= self.spec.n",
        ] {
            assert_eq!(told(&json!({"rule": rule})), Vec::<String>::new(), "{rule}");
        }
        let optional = json!({"rule": "!oldSelf.hasValue() || oldSelf.value().spec.n == self.spec.n", "optionalOldSelf": true});
        assert_eq!(told(&optional), Vec::<String>::new());
    }
}
