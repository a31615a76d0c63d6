//! One object against the rules of its schema, node by node.

use std::collections::BTreeMap;

use kube_cel::cel::{Context, ExecutionError, IdedExpr, Value};
use kube_cel::{CompilationError, CompilationResult, CompiledSchema, KubeCelExt as _, Rule};
use serde_json::Value as Json;

use super::budget::{Budget, counted};
use super::{shown, value};
use crate::registry::field::{FAULTS_MAX, FieldError, Place, child};

/// The rules at one node of a schema and below it.
pub(super) struct Node {
    rules: Vec<Result<Judge, String>>,
    properties: BTreeMap<String, Node>,
    items: Option<Box<Node>>,
    additional: Option<Box<Node>>,
}

/// A rule that can be run.
struct Judge {
    rule: Rule,
    /// It looks at what was there before.
    is_transition: bool,
    tree: IdedExpr,
    message: Option<IdedExpr>,
}

impl Node {
    /// None where there are no rules.
    pub(super) fn of(schema: &CompiledSchema) -> Option<Node> {
        let below = |schema: &Option<Box<CompiledSchema>>| schema.as_deref().and_then(Node::of).map(Box::new);
        let properties = schema.properties.iter();
        let node = Node {
            rules: schema.validations.iter().map(judge).collect(),
            properties: properties.filter_map(|(name, it)| Some((name.clone(), Node::of(it)?))).collect(),
            items: below(&schema.items),
            additional: below(&schema.additional_properties),
        };
        let is_empty = node.rules.is_empty() && node.properties.is_empty();
        (!is_empty || node.items.is_some() || node.additional.is_some()).then_some(node)
    }
}

fn judge(compiled: &Result<CompilationResult, CompilationError>) -> Result<Judge, String> {
    let compiled = compiled.as_ref().map_err(ToString::to_string)?;
    Ok(Judge {
        rule: compiled.rule.clone(),
        is_transition: compiled.is_transition_rule,
        tree: counted(compiled.program.expression()),
        message: compiled.message_program.as_ref().map(|program| counted(program.expression())),
    })
}

/// The evaluation of one object.
pub(super) struct Evaluation<'a> {
    object: &'a Json,
    names: &'a [(&'static str, String)],
    context: Context<'static>,
    budget: Budget,
    of_a_rule: i64,
    /// What the rules that are still to come may cost together; none once one was stopped.
    left: Option<i64>,
    faults: Vec<FieldError>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(
        object: &'a Json,
        names: &'a [(&'static str, String)],
        (of_a_rule, of_all): (i64, i64),
    ) -> Self {
        let (mut context, budget) = (Context::default(), Budget::new(0));
        context.register_all();
        budget.register(&mut context);
        Evaluation { object, names, context, budget, of_a_rule, left: Some(of_all), faults: Vec::new() }
    }

    pub(super) fn faults(self) -> Vec<FieldError> {
        self.faults
    }

    /// Judges a value, which stands at `place`, and what it replaces, by the rules of `node` and below.
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
        let before = old.map(|old| value::of(old, Some(schema)));
        let mut variables = vec![("self", value::of(new, Some(schema)))];
        if matches!(place, Place::Root("")) {
            variables.extend(self.names.iter().map(|(name, text)| (*name, value::text(text))));
        }
        for rule in &node.rules {
            match rule {
                _ if self.left.is_none() => return,
                Err(problem) => {
                    let path = place.to_string();
                    let value = shown(self.object, &path);
                    self.faults.push(FieldError::invalid(path, value, problem.clone()));
                }
                Ok(rule) => {
                    let old = match (&before, rule.rule.optional_old_self) {
                        (Some(before), _) => Some(before.clone()),
                        (None, Some(true)) => Some(Value::Null),
                        // There is nothing that it was.
                        (None, _) if rule.is_transition => continue,
                        (None, _) => None,
                    };
                    let old = old.map(|old| ("oldSelf", old));
                    let variables: Vec<_> = variables.iter().cloned().chain(old).collect();
                    self.judge(rule, variables, place);
                }
            }
        }
    }

    fn judge(&mut self, judge: &Judge, variables: Vec<(&str, Value)>, place: &Place<'_>) {
        let Some(left) = self.left else { return };
        let given = left.min(self.of_a_rule);
        self.budget.refill(given);
        let (judged, message) = {
            let mut context = self.context.new_inner_scope();
            for (name, value) in variables {
                context.add_variable_from_value(name, value);
            }
            let judged = Value::resolve(&judge.tree, &context);
            let fails = matches!(judged, Ok(Value::Bool(false)));
            let message = judge.message.as_ref().filter(|_| fails && !self.budget.is_spent());
            let message = message.and_then(|tree| match Value::resolve(tree, &context) {
                Ok(Value::String(text)) => Some(text.to_string()),
                _ => None,
            });
            (judged, message)
        };
        let rule = &judge.rule;
        if self.budget.is_spent() {
            self.left = None;
            let told = rule.message.as_deref().unwrap_or(&rule.rule).trim();
            let text = match given == self.of_a_rule {
                true => format!(
                    "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost \
                     exceeds limit for rule: {told}"
                ),
                false => "validation failed due to running out of cost budget, no further validation rules will be run".to_owned(),
            };
            let path = place.to_string();
            let value = shown(self.object, &path);
            self.faults.push(FieldError::invalid(path, value, text));
            return;
        }
        self.left = Some(left - (given - self.budget.refill(0)));
        let text = match judged {
            Ok(Value::Bool(true)) => return,
            Ok(Value::Bool(false)) => message
                .or_else(|| rule.message.as_deref().map(|text| text.trim().to_owned()))
                .unwrap_or_else(|| format!("failed rule: {}", rule.rule)),
            Ok(_) => cannot(rule, "it is neither true nor false"),
            Err(ExecutionError::UndeclaredReference(name)) => cannot(rule, &format!("{name} is not known")),
            Err(error) => cannot(rule, &error.to_string()),
        };
        let path = blamed(&place.to_string(), rule.field_path.as_deref());
        self.faults.push(self.fault(rule, &path, text));
    }

    fn fault(&self, rule: &Rule, path: &str, text: String) -> FieldError {
        let value = || shown(self.object, path);
        match rule.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(path, text),
            Some("FieldValueRequired") => FieldError::required(path, text),
            Some("FieldValueDuplicate") => FieldError::duplicate(path, value()),
            _ => FieldError::invalid(path, value(), text),
        }
    }
}

fn cannot(rule: &Rule, why: &str) -> String {
    format!("rule {:?} cannot be evaluated: {why}", rule.rule)
}

/// The field that a rule at `path` is about, by its own word.
fn blamed(path: &str, field: Option<&str>) -> String {
    match field {
        Some(field) => child(path, field.trim_start_matches('.')),
        None => path.to_owned(),
    }
}
