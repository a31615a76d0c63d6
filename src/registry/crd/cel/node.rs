//! The rules of a schema where they stand in it, ready to be run.

use std::collections::BTreeMap;

use kube_cel::cel::IdedExpr;
use kube_cel::{CompilationError, CompilationResult, CompiledSchema, Rule};

use super::budget::counted;

/// The rules at one node of a schema and below it.
pub(super) struct Node {
    pub(super) rules: Vec<Result<Judge, String>>,
    pub(super) properties: BTreeMap<String, Node>,
    pub(super) items: Option<Box<Node>>,
    pub(super) additional: Option<Box<Node>>,
}

/// A rule that can be run.
pub(super) struct Judge {
    pub(super) rule: Rule,
    /// It looks at what was there before.
    pub(super) is_transition: bool,
    pub(super) tree: IdedExpr,
    pub(super) message: Option<IdedExpr>,
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
