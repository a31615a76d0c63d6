//! One object against the rules of its schema, node by node.

use kube_cel::cel::{Context, ExecutionError, Value};
use kube_cel::{CompiledSchema, KubeCelExt as _, Rule};
use serde_json::Value as Json;

use super::budget::Budget;
use super::node::{Judge, Node};
use super::{shown, value};
use crate::registry::field::{FAULTS_MAX, FieldError, Place, child, cut};

/// The evaluation of one object.
pub(super) struct Evaluation<'a> {
    names: &'a [(&'static str, String)],
    context: Context<'static>,
    budget: Budget,
    of_a_rule: i64,
    /// What the rules that are still to come may cost together; none once one was stopped.
    left: Option<i64>,
    /// The same for what was there before, which is only judged where a rule is broken.
    left_for_old: Option<i64>,
    faults: Vec<FieldError>,
    /// All rules together cost more than they may: what there is to tell of it.
    too_dear: Option<FieldError>,
}

/// A value as a rule sees it.
#[derive(Clone, Copy)]
struct Seen<'v> {
    json: &'v Json,
    value: &'v Value,
    /// What it was; null where nothing was and the rule wants to know.
    old: Option<&'v Value>,
}

/// What comes of a rule at one place.
enum Verdict {
    Holds,
    Broken(FieldError),
    /// It cost more than a rule may.
    TooDear(FieldError),
    /// There was not as much left as it cost.
    AllTooDear(FieldError),
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(names: &'a [(&'static str, String)], (of_a_rule, of_all): (i64, i64)) -> Self {
        let (mut context, budget) = (Context::default(), Budget::new(0));
        context.register_all();
        budget.register(&mut context);
        let left = Some(of_all);
        Evaluation {
            names,
            context,
            budget,
            of_a_rule,
            left,
            left_for_old: left,
            faults: Vec::new(),
            too_dear: None,
        }
    }

    /// The first hundred faults; and that all together cost too much, if they did.
    pub(super) fn faults(self) -> (Vec<FieldError>, Option<FieldError>) {
        (self.faults, self.too_dear)
    }

    /// Judges a value, which stands at `place`, by the rules of `node` and below. What it replaces breaks some of them, too: such
    /// faults are not new.
    pub(super) fn walk(
        &mut self,
        schema: &CompiledSchema,
        node: &Node,
        (new, old): (&Json, Option<&Json>),
        place: &Place<'_>,
    ) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        if !node.rules.is_empty() {
            self.here(schema, node, (new, old), place);
        }
        if let Json::Array(items) = new
            && let (Some(schema), Some(node)) = (schema.items.as_deref(), node.items.as_deref())
        {
            for (at, new) in items.iter().enumerate() {
                let old = old.and_then(|old| old.get(at));
                self.walk(schema, node, (new, old), &Place::Item(place, at));
            }
        }
        for (name, new) in new.as_object().into_iter().flatten() {
            let below = match schema.properties.get(name) {
                Some(schema) => node.properties.get(name).map(|node| (schema, node)),
                None => schema.additional_properties.as_deref().zip(node.additional.as_deref()),
            };
            if let Some((schema, node)) = below {
                let old = old.and_then(|old| old.get(name));
                self.walk(schema, node, (new, old), &Place::Field(place, name));
            }
        }
    }

    /// The rules of one node.
    fn here(
        &mut self,
        schema: &CompiledSchema,
        node: &Node,
        (new, old): (&Json, Option<&Json>),
        place: &Place<'_>,
    ) {
        let (value, was) = (value::of(new, Some(schema)), old.map(|old| value::of(old, Some(schema))));
        let before = old.zip(was.as_ref());
        for rule in &node.rules {
            match rule {
                _ if self.left.is_none() => return,
                Err(problem) => {
                    let fault = |json: &Json| {
                        FieldError::invalid(place.to_string(), shown(json, ""), problem.clone())
                    };
                    if old.map(fault).as_ref() != Some(&fault(new)) {
                        self.faults.push(fault(new));
                    }
                }
                Ok(rule) => {
                    let old = match (&was, rule.rule.optional_old_self) {
                        (Some(was), _) => Some(was),
                        (None, Some(true)) => Some(&Value::Null),
                        // There is nothing that it was.
                        (None, _) if rule.is_transition => continue,
                        (None, _) => None,
                    };
                    self.ask(rule, Seen { json: new, value: &value, old }, before, place);
                }
            }
        }
    }

    /// Takes in what a rule says to a value, and to the one that was there `before`.
    fn ask(&mut self, rule: &Judge, new: Seen<'_>, before: Option<(&Json, &Value)>, place: &Place<'_>) {
        let Some(left) = self.left else { return };
        let (verdict, left) = self.judge(rule, new, place, left);
        self.left = Some(left);
        let (fault, stops) = match verdict {
            Verdict::Holds => return,
            Verdict::AllTooDear(fault) => {
                self.left = None;
                self.too_dear = Some(fault);
                return;
            }
            Verdict::Broken(fault) => (fault, false),
            Verdict::TooDear(fault) => (fault, true),
        };
        if before.is_some_and(|before| self.broke(rule, before, place, &fault)) {
            return;
        }
        self.faults.push(fault);
        if stops {
            self.left = None;
        }
    }

    /// Whether what was there before has just this `fault`.
    fn broke(
        &mut self,
        rule: &Judge,
        (json, value): (&Json, &Value),
        place: &Place<'_>,
        fault: &FieldError,
    ) -> bool {
        let old = match rule.rule.optional_old_self {
            Some(true) => Some(&Value::Null),
            _ if rule.is_transition => return false,
            _ => None,
        };
        let Some(left) = self.left_for_old else { return false };
        let (verdict, left) = self.judge(rule, Seen { json, value, old }, place, left);
        self.left_for_old = (!matches!(verdict, Verdict::AllTooDear(_))).then_some(left);
        matches!(verdict, Verdict::Broken(known) | Verdict::TooDear(known) if known == *fault)
    }

    /// What `judge` says to a value if it may cost what is `left`, and what is left then.
    fn judge(&self, judge: &Judge, seen: Seen<'_>, place: &Place<'_>, left: i64) -> (Verdict, i64) {
        let given = left.min(self.of_a_rule);
        self.budget.refill(given);
        let (judged, message) = self.run(judge, seen, place);
        let rule = &judge.rule;
        if self.budget.is_spent() {
            let fault = |text| FieldError::invalid(place.to_string(), shown(seen.json, ""), text);
            let told = rule.message.as_deref().unwrap_or(&rule.rule).trim();
            let verdict = match given == self.of_a_rule {
                true => Verdict::TooDear(fault(format!(
                    "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost \
                     exceeds limit for rule: {told}"
                ))),
                false => Verdict::AllTooDear(fault(
                    "validation failed due to running out of cost budget, no further validation rules will be run".to_owned(),
                )),
            };
            return (verdict, left - given);
        }
        let left = left - (given - self.budget.refill(0));
        let text = match judged {
            Ok(Value::Bool(true)) => return (Verdict::Holds, left),
            Ok(Value::Bool(false)) => message
                .or_else(|| rule.message.as_deref().map(|text| text.trim().to_owned()))
                .unwrap_or_else(|| format!("failed rule: {}", rule.rule)),
            Ok(_) => cannot(rule, "it is neither true nor false"),
            Err(ExecutionError::UndeclaredReference(name)) => cannot(rule, &format!("{name} is not known")),
            Err(error) => cannot(rule, &cut(error)),
        };
        (Verdict::Broken(fault(rule, seen.json, place, text)), left)
    }

    /// Runs a rule, and the expression of its message if it is broken.
    fn run(
        &self,
        judge: &Judge,
        seen: Seen<'_>,
        place: &Place<'_>,
    ) -> (Result<Value, ExecutionError>, Option<String>) {
        let mut context = self.context.new_inner_scope();
        context.add_variable_from_value("self", seen.value.clone());
        if let Some(old) = seen.old {
            context.add_variable_from_value("oldSelf", old.clone());
        }
        if matches!(place, Place::Root("")) {
            for (name, text) in self.names {
                context.add_variable_from_value(*name, value::text(text));
            }
        }
        let judged = Value::resolve(&judge.tree, &context);
        let fails = matches!(judged, Ok(Value::Bool(false)));
        let message = judge.message.as_ref().filter(|_| fails && !self.budget.is_spent());
        let message = message.and_then(|tree| match Value::resolve(tree, &context) {
            Ok(Value::String(text)) => Some(cut(text)),
            _ => None,
        });
        (judged, message)
    }
}

fn fault(rule: &Rule, json: &Json, place: &Place<'_>, text: String) -> FieldError {
    let field = rule.field_path.as_deref().unwrap_or_default().trim_start_matches('.');
    let (path, value) = (blamed(&place.to_string(), field), || shown(json, field));
    match rule.reason.as_deref() {
        Some("FieldValueForbidden") => FieldError::forbidden(path, text),
        Some("FieldValueRequired") => FieldError::required(path, text),
        Some("FieldValueDuplicate") => FieldError::duplicate(path, value()),
        _ => FieldError::invalid(path, value(), text),
    }
}

fn cannot(rule: &Rule, why: &str) -> String {
    format!("rule {:?} cannot be evaluated: {why}", rule.rule)
}

/// The field that a rule at `path` is about, by its own word if it has one.
fn blamed(path: &str, field: &str) -> String {
    if field.is_empty() { path.to_owned() } else { child(path, field) }
}
