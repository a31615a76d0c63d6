//! What a transaction does to the present state: who loses, or which keys change. Pure.

use std::sync::Arc;

use bytes::Bytes;

use super::{Guard, LeaseId, Limits, Op, Revision, StoreError, Txn};

/// The present version of a key, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub revision: Revision,
    pub created: Revision,
    pub lease: Option<LeaseId>,
}

/// One key that changes: to a value, or away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effect {
    pub key: Arc<str>,
    pub created: Revision,
    pub value: Option<Bytes>,
    pub lease: Option<LeaseId>,
}

impl Effect {
    /// What the key is once this is written as `revision`.
    pub(super) fn head(&self, revision: Revision) -> Option<Head> {
        let Effect { key: _, created, value, lease } = self;
        value.as_ref().map(|_| Head { revision, created: *created, lease: *lease })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Refused(Vec<Guard>),
    /// Empty when the transaction changes nothing; then it takes no revision.
    Apply(Vec<Effect>),
}

/// Judges `txn` by the present state, which `head` tells. It would be applied as revision `next`.
pub(super) fn decide(txn: Txn, next: Revision, head: impl Fn(&str) -> Option<Head>) -> Decision {
    let losers: Vec<Guard> =
        txn.guards.into_iter().filter(|guard| !holds(guard, head(guard.key()))).collect();
    if !losers.is_empty() {
        return Decision::Refused(losers);
    }
    let effects = txn.ops.into_iter().filter_map(|op| {
        let before = head(op.key());
        match op {
            Op::Put { key, value, lease } => {
                let created = before.map_or(next, |head| head.created);
                Some(Effect { key, created, value: Some(value), lease })
            }
            Op::Delete { key } => {
                before.map(|head| Effect { key, created: head.created, value: None, lease: None })
            }
        }
    });
    Decision::Apply(effects.collect())
}

fn holds(guard: &Guard, head: Option<Head>) -> bool {
    match guard {
        Guard::Absent(_) => head.is_none(),
        Guard::At(_, revision) => head.is_some_and(|head| head.revision == *revision),
        Guard::CreatedAt(_, revision) => head.is_some_and(|head| head.created == *revision),
    }
}

/// Refuses what is too heavy, before anything is sent or judged. etcd counts guards and operations apart; one guard
/// more than operations is allowed, for the leader's.
pub(super) fn weigh(txn: &Txn, limits: Limits) -> Result<(), StoreError> {
    debug_assert!(
        txn.ops.iter().map(Op::key).collect::<std::collections::BTreeSet<_>>().len() == txn.ops.len(),
        "a key stands in at most one operation of a transaction"
    );
    let guards: usize = txn.guards.iter().map(|guard| guard.key().len()).sum();
    let bytes = guards + txn.ops.iter().map(weight).sum::<usize>();
    let ops = txn.ops.len().max(txn.guards.len().saturating_sub(1));
    if bytes > limits.bytes_max || ops > limits.ops_max {
        let Limits { ops_max: limit_ops, bytes_max: limit_bytes } = limits;
        return Err(StoreError::TooLarge { bytes, ops, limit_bytes, limit_ops });
    }
    Ok(())
}

/// Bytes that an operation carries.
pub(super) fn weight(op: &Op) -> usize {
    match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key } => key.len(),
    }
}
