//! Our requests in etcd's words, and its records in ours.

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, TxnOp, TxnOpResponse, TxnResponse};

use crate::store::{Guard, Op, Record, Revision, StoreError, Txn};

/// The start key and options of a range.
pub(super) fn range(
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    at: Option<Revision>,
) -> (Vec<u8>, GetOptions) {
    let mut start = prefix.as_bytes().to_vec();
    if let Some(after) = after.filter(|after| *after >= prefix) {
        // The smallest key above `after`.
        start = [after.as_bytes(), b"\0"].concat();
    }
    let options = GetOptions::new()
        .with_range(end_of(prefix))
        .with_limit(i64::try_from(limit).unwrap_or(0))
        .with_revision(at.map_or(0, number));
    (start, options)
}

/// The first key after all that begin with `prefix`; etcd's word for "no end" when there is none.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

/// Guards, changes, and for a refusal a look at every guarded key: so that all losers can be named.
pub(super) fn txn(txn: &Txn) -> etcd_client::Txn {
    let compares: Vec<Compare> = txn.guards.iter().map(compare).collect();
    let changes: Vec<TxnOp> = txn.ops.iter().map(change).collect();
    let head = |guard: &Guard| TxnOp::get(&**guard.key(), Some(GetOptions::new().with_keys_only()));
    let heads: Vec<TxnOp> = txn.guards.iter().map(head).collect();
    etcd_client::Txn::new().when(compares).and_then(changes).or_else(heads)
}

fn compare(guard: &Guard) -> Compare {
    let key = &**guard.key();
    match guard {
        Guard::Absent(_) => Compare::create_revision(key, CompareOp::Equal, 0),
        Guard::At(_, revision) => Compare::mod_revision(key, CompareOp::Equal, number(*revision)),
        Guard::CreatedAt(_, revision) => Compare::create_revision(key, CompareOp::Equal, number(*revision)),
    }
}

fn change(op: &Op) -> TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
            TxnOp::put(&**key, value.to_vec(), options)
        }
        Op::Delete { key } => TxnOp::delete(&**key, None),
    }
}

/// The guards that did not hold, by what a refused transaction saw of their keys.
pub(super) fn losers(guards: &[Guard], answer: &TxnResponse) -> Result<Vec<Guard>, StoreError> {
    let seen = answer.op_responses();
    if seen.len() != guards.len() {
        return Err(StoreError::Damaged("etcd refused a transaction without saying what it saw".to_owned()));
    }
    let lost = guards.iter().zip(&seen).filter(|(guard, seen)| !holds(guard, seen));
    Ok(lost.map(|(guard, _)| guard.clone()).collect())
}

fn holds(guard: &Guard, seen: &TxnOpResponse) -> bool {
    let TxnOpResponse::Get(found) = seen else { return false };
    match (guard, found.kvs().first()) {
        (Guard::Absent(_), found) => found.is_none(),
        (Guard::At(_, revision), Some(kv)) => kv.mod_revision() == number(*revision),
        (Guard::CreatedAt(_, revision), Some(kv)) => kv.create_revision() == number(*revision),
        (Guard::At(..) | Guard::CreatedAt(..), None) => false,
    }
}

pub(super) fn record(kv: KeyValue) -> Result<Record, StoreError> {
    let (revision, created) = (kv.mod_revision().unsigned_abs(), kv.create_revision().unsigned_abs());
    let (key, value) = kv.into_key_value();
    Ok(Record { key: text(&key)?.into(), value: Bytes::from(value), revision, created })
}

pub(super) fn text(key: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(key).map_err(|_| StoreError::Damaged(format!("key {key:?} is not UTF-8")))
}

/// etcd counts in signed numbers; it never gets near their end.
pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_behind_it() {
        assert_eq!(end_of("/t/"), b"/t0");
        assert_eq!(end_of("a"), b"b");
        assert_eq!(end_of(""), [0]);
    }
}
