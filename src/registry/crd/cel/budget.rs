//! What evaluating rules may cost, counted while it goes on: one for each step of a loop and each call, more for what reads a long
//! text or list. A rule that has spent its share is stopped where it stands, as Kubernetes stops it.
//!
//! The interpreter knows no budget. A rule's tree is therefore rewritten before it is run: each loop asks `@spend` before each step,
//! and what reads values of any length gets them through `@weigh`. Once there is nothing left both fail, so that what goes on in
//! spite of errors (`a || b`) comes to its end at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};
use kube_cel::cel::{Context, ExecutionError, Value};

/// What one rule may cost at one place of an object, and all of an object's rules together: Kubernetes' own limits.
pub(super) const OF_A_RULE: i64 = 1_000_000;
pub(super) const OF_AN_OBJECT: i64 = 10_000_000;

const SPEND: &str = "@spend";
const WEIGH: &str = "@weigh";

/// Operators and calls that look at no more than a bounded part of what they are given.
const CHEAP: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::INDEX,
    operators::OPT_INDEX,
    operators::OPT_SELECT,
    operators::NOT_STRICTLY_FALSE,
    "size",
    "has",
];

/// Namespaces of functions, which are no values: `math.greatest(…)`.
pub(super) const NAMESPACES: &[&str] = &[
    "math",
    "sets",
    "base64",
    "jsonpatch",
    "format",
    "ip",
    "cidr",
    "url",
    "semver",
    "quantity",
    "optional",
    "strings",
    "lists",
    "cel",
];

/// What is left.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicI64>);

impl Budget {
    pub(super) fn new(units: i64) -> Budget {
        Budget(Arc::new(AtomicI64::new(units)))
    }

    /// Whether more was asked for than there was.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Relaxed) < 0
    }

    /// What is left, and from now on `units` are.
    pub(super) fn refill(&self, units: i64) -> i64 {
        self.0.swap(units, Relaxed)
    }

    fn spend(&self, units: i64) -> Result<(), ExecutionError> {
        if self.0.fetch_sub(units, Relaxed) < units {
            // Nothing may bring it back to where there is some.
            self.0.store(-1, Relaxed);
            return Err(ExecutionError::function_error(SPEND, "actual cost limit exceeded"));
        }
        Ok(())
    }

    /// Makes the rewritten trees of [`counted`] spend this budget.
    pub(super) fn register(&self, context: &mut Context<'_>) {
        let (steps, values) = (self.clone(), self.clone());
        context.add_function(SPEND, move |so_far: Value| -> Result<bool, ExecutionError> {
            steps.spend(1 + weight(&so_far))?;
            Ok(true)
        });
        context.add_function(WEIGH, move |value: Value| -> Result<Value, ExecutionError> {
            values.spend(weight(&value))?;
            Ok(value)
        });
    }
}

/// A tenth of its length, for what has one: as Kubernetes weighs what is traversed.
fn weight(value: &Value) -> i64 {
    i64::try_from(length(value).div_ceil(10)).unwrap_or(i64::MAX)
}

fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(|item| 1 + length(item)).sum(),
        Value::Map(map) => map.map.values().map(|item| 1 + length(item)).sum(),
        _ => 0,
    }
}

fn call(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

fn ident(name: &str) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) }
}

/// How many loops stand inside one another at most.
pub(super) fn loops(rule: &IdedExpr) -> u32 {
    let most = |all: &mut dyn Iterator<Item = &IdedExpr>| all.map(loops).max().unwrap_or(0);
    match &rule.expr {
        Expr::Comprehension(whole) => {
            let parts = [&whole.accu_init, &whole.loop_cond, &whole.loop_step, &whole.result];
            (1 + most(&mut parts.into_iter())).max(loops(&whole.iter_range))
        }
        Expr::Call(whole) => most(&mut whole.target.as_deref().into_iter().chain(&whole.args)),
        Expr::Select(whole) => loops(&whole.operand),
        Expr::List(whole) => most(&mut whole.elements.iter()),
        Expr::Map(whole) => whole.entries.iter().map(|entry| loops_of(&entry.expr)).max().unwrap_or(0),
        Expr::Struct(whole) => whole.entries.iter().map(|entry| loops_of(&entry.expr)).max().unwrap_or(0),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 0,
    }
}

fn loops_of(entry: &EntryExpr) -> u32 {
    match entry {
        EntryExpr::MapEntry(entry) => loops(&entry.key).max(loops(&entry.value)),
        EntryExpr::StructField(field) => loops(&field.value),
    }
}

/// The same rule, which spends what it costs.
pub(super) fn counted(rule: &IdedExpr) -> IdedExpr {
    let expr = match &rule.expr {
        Expr::Comprehension(whole) => {
            return IdedExpr { id: rule.id, expr: Expr::Comprehension(looped(whole)) };
        }
        Expr::Call(whole) => called(whole),
        Expr::Select(whole) => {
            let mut whole = whole.clone();
            *whole.operand = counted(&whole.operand);
            Expr::Select(whole)
        }
        Expr::List(whole) => {
            let mut whole = whole.clone();
            whole.elements = whole.elements.iter().map(counted).collect();
            Expr::List(whole)
        }
        Expr::Map(whole) => {
            let mut whole = whole.clone();
            whole.entries.iter_mut().for_each(|entry| entered(&mut entry.expr));
            Expr::Map(whole)
        }
        Expr::Struct(whole) => {
            let mut whole = whole.clone();
            whole.entries.iter_mut().for_each(|entry| entered(&mut entry.expr));
            Expr::Struct(whole)
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => rule.expr.clone(),
    };
    IdedExpr { id: rule.id, expr }
}

fn entered(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::MapEntry(entry) => (entry.key, entry.value) = (counted(&entry.key), counted(&entry.value)),
        EntryExpr::StructField(field) => field.value = counted(&field.value),
    }
}

fn called(whole: &CallExpr) -> Expr {
    let is_cheap = CHEAP.contains(&whole.func_name.as_str());
    let given = |given: &IdedExpr| {
        let inner = counted(given);
        // What is written out is as long as the rule.
        let weighs = !is_cheap && !matches!(given.expr, Expr::Literal(_));
        if weighs { call(WEIGH, vec![inner]) } else { inner }
    };
    let target = whole.target.as_ref().map(|target| match &target.expr {
        Expr::Ident(name) if NAMESPACES.contains(&name.as_str()) => target.clone(),
        _ => Box::new(given(target)),
    });
    let args = whole.args.iter().map(given).collect();
    Expr::Call(CallExpr { func_name: whole.func_name.clone(), target, args })
}

/// A loop asks before each step; what it has gathered so far is copied by each.
fn looped(whole: &ComprehensionExpr) -> Box<ComprehensionExpr> {
    let never = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Boolean(false.into())) };
    let asks = call(SPEND, vec![ident(&whole.accu_var)]);
    let loop_cond = call(operators::CONDITIONAL, vec![asks, counted(&whole.loop_cond), never]);
    Box::new(ComprehensionExpr {
        iter_range: counted(&whole.iter_range),
        accu_init: counted(&whole.accu_init),
        loop_cond,
        loop_step: counted(&whole.loop_step),
        result: counted(&whole.result),
        ..whole.clone()
    })
}
