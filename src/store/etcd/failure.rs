//! What etcd's errors mean to us. etcd tells them apart by text only (`rpctypes` in its source), so this reads text.

use etcd_client::Error;

use crate::store::decision::weight;
use crate::store::{LIMITS, LeaseId, Limits, Revision, StoreError, Txn};

/// What was asked: some answers mean something only together with it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'t> {
    At(Revision),
    Txn(&'t Txn),
    Lease(LeaseId),
    Other,
}

/// Whether the request cannot have reached anybody.
pub(super) fn is_unsent(error: &Error) -> bool {
    let Error::GRpcStatus(status) = error else { return false };
    ["connect error", "dns error"].iter().any(|words| status.message().contains(words))
}

pub(super) fn meaning(error: Error, asked: Asked<'_>) -> StoreError {
    let text = match &error {
        Error::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    };
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if says(&["has been compacted"]) {
        let asked = if let Asked::At(revision) = asked { revision } else { 0 };
        // etcd does not say what it kept.
        return StoreError::Compacted { asked, oldest: asked + 1 };
    }
    if says(&["database space exceeded", "no space"]) {
        return StoreError::NoSpace(text);
    }
    if says(&["lease not found"]) {
        return StoreError::LeaseGone(lease_of(asked));
    }
    if says(&["request is too large", "larger than max", "too many operations"]) {
        return too_large(asked);
    }
    let denied =
        ["permission denied", "authentication", "invalid auth token", "user name is empty", "auth: "];
    if says(&denied) {
        return StoreError::Denied(text);
    }
    let causes = causes(&error, text);
    let is_tls = [
        "invalid peer certificate",
        "received fatal alert",
        "received corrupt message",
        "peer is incompatible",
    ];
    if is_tls.iter().any(|words| causes.contains(words)) {
        return StoreError::Untrusted(causes);
    }
    StoreError::Unavailable(causes)
}

/// The text with those of the causes that it does not repeat: the library tells only "transport error" itself.
fn causes(error: &Error, text: String) -> String {
    let mut told = text;
    let mut cause = match error {
        Error::GRpcStatus(status) => std::error::Error::source(status),
        other => std::error::Error::source(other),
    };
    while let Some(error) = cause {
        let words = error.to_string();
        if !told.contains(&words) {
            told = format!("{told}: {words}");
        }
        cause = error.source();
    }
    told
}

/// The lease that cannot have been found: the one asked for, or the first of the transaction.
fn lease_of(asked: Asked<'_>) -> LeaseId {
    match asked {
        Asked::Lease(lease) => lease,
        Asked::Txn(txn) => {
            let leases = txn.ops.iter().filter_map(|op| match op {
                crate::store::Op::Put { lease, .. } => *lease,
                crate::store::Op::Delete { .. } => None,
            });
            leases.into_iter().next().unwrap_or(LeaseId(0))
        }
        Asked::At(_) | Asked::Other => LeaseId(0),
    }
}

/// This etcd is configured with lower limits than the usual ones.
fn too_large(asked: Asked<'_>) -> StoreError {
    let Limits { ops_max: limit_ops, bytes_max: limit_bytes } = LIMITS;
    let (ops, bytes) = match asked {
        Asked::Txn(txn) => (txn.ops.len(), txn.ops.iter().map(weight).sum()),
        _ => (0, 0),
    };
    StoreError::TooLarge { bytes, ops, limit_bytes, limit_ops }
}
