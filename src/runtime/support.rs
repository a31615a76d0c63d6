//! What tests of leadership share, here and in the rooms above.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Election, LEADER_TTL};
use crate::env::Env;
use crate::store::memory::MemoryStore;

/// Servers of one installation, with a store in memory.
pub(crate) fn candidates<const N: usize>(names: [&str; N]) -> [Election; N] {
    let store = MemoryStore::new(&Env::simulated("store", 7, Timestamp::UNIX_EPOCH));
    names.map(|name| Election {
        env: Env::simulated(name, 1, Timestamp::UNIX_EPOCH),
        store: store.clone(),
        key: Arc::from("/tenure/demo/leader"),
        holder: name.to_owned(),
        door: serde_json::Value::Null,
        ttl: LEADER_TTL,
        rivals: true,
    })
}
