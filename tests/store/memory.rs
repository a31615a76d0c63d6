//! The memory store conforms.

use std::sync::Arc;

use jiff::Timestamp;
use tenure::env::Env;
use tenure::store::Store;
use tenure::store::memory::MemoryStore;

use crate::conforms;

async fn open() -> (Arc<dyn Store>, ()) {
    (MemoryStore::new(&Env::simulated("store", 1, Timestamp::UNIX_EPOCH)), ())
}

conforms!(open());
