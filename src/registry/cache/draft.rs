//! Documents that this process is about to write. The writer and the feed both need the new version; whoever learns its
//! revision first makes it, and the other takes the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::registry::doc::{DecodeError, Doc, Meta};
use crate::registry::key::Key;
use crate::store::{Record, Revision};

/// A document without its revision.
#[derive(Debug)]
pub(in crate::registry) struct Draft {
    key: Key,
    store_key: Arc<str>,
    value: Bytes,
    /// That of the version before, which it shares.
    meta: Option<Arc<Meta>>,
    /// Made once, under this lock.
    doc: Mutex<Option<Arc<Doc>>>,
}

/// The drafts whose versions the feed has not told yet: at most one per object.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    by_store_key: Mutex<BTreeMap<Arc<str>, Arc<Draft>>>,
}

impl Draft {
    pub(in crate::registry) fn new(
        key: Key,
        store_key: Arc<str>,
        value: Bytes,
        meta: Option<Arc<Meta>>,
    ) -> Arc<Draft> {
        Arc::new(Draft { key, store_key, value, meta, doc: Mutex::new(None) })
    }

    /// The version that `revision` wrote.
    pub(in crate::registry) fn doc(&self, revision: Revision) -> Result<Arc<Doc>, DecodeError> {
        let mut made = self.doc.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(doc) = made.as_ref().filter(|doc| doc.revision() == revision) {
            return Ok(doc.clone());
        }
        let key = self.key.clone();
        let doc = Arc::new(match &self.meta {
            Some(meta) => Doc::with_meta(key, revision, meta.clone(), &self.value)?,
            None => Doc::from_stored(key, revision, &self.value)?,
        });
        *made = Some(doc.clone());
        Ok(doc)
    }
}

impl Drafts {
    pub(super) fn add(&self, draft: &Arc<Draft>) {
        self.lock().insert(draft.store_key.clone(), draft.clone());
    }

    /// It was not written.
    pub(super) fn discard(&self, draft: &Arc<Draft>) {
        let mut drafts = self.lock();
        if drafts.get(&draft.store_key).is_some_and(|known| Arc::ptr_eq(known, draft)) {
            drafts.remove(&draft.store_key);
        }
    }

    /// The draft that became `record`, if that was ours.
    pub(super) fn take(&self, record: &Record) -> Option<Arc<Draft>> {
        let mut drafts = self.lock();
        drafts.get(&record.key).filter(|draft| draft.value == record.value)?;
        drafts.remove(&record.key)
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Draft>>> {
        self.by_store_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
