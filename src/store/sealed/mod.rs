//! A store that seals what stands under some prefixes, so that whoever has its files, a backup or a dump of etcd reads
//! none of it.
//!
//! A value is sealed for its own key of the store: copied elsewhere it does not open. What was stored before there was a
//! key is readable as it is, and sealed by [`Sealed::reseal`], which also brings a new key into force.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

pub use self::keys::{Keys, KeysError};
use super::{
    Event, Guard, LeaseId, Limits, Op, Page, Record, Revision, Store, StoreError, Txn, TxnOutcome, Watch,
};
use crate::env::Env;

/// Records that are read at once when everything is sealed anew.
const PAGE_RECORDS: usize = 100;
/// What the record is sealed over by which a key is recognised.
const PROOF: &[u8] = b"{\"sealed\":true}";

/// Another store, some of whose values are sealed.
#[derive(Debug)]
pub struct Sealed {
    inner: Arc<dyn Store>,
    env: Env,
    keys: Keys,
    prefixes: Vec<String>,
}

/// Whether an installation was sealed with these keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// They open what was sealed before.
    Fits,
    /// Nothing was sealed before.
    First,
    /// It was sealed with others.
    Strange,
}

impl Sealed {
    /// Seals what is written to `inner` under one of `prefixes`.
    #[must_use]
    pub fn of(inner: Arc<dyn Store>, env: &Env, keys: Keys, prefixes: Vec<String>) -> Arc<Sealed> {
        Arc::new(Sealed { inner, env: env.clone(), keys, prefixes })
    }

    /// Whether the record at `key`, which stands under none of the prefixes, was sealed with one of the keys.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn prove(&self, key: &str) -> Result<Proof, StoreError> {
        let Some(record) = self.inner.get(key).await? else { return Ok(Proof::First) };
        let opened = self.keys.open(key, &record.value);
        Ok(if opened.is_ok_and(|value| value == PROOF) { Proof::Fits } else { Proof::Strange })
    }

    /// Puts the record at `key` by which these keys are recognised from now on. False when somebody else was first.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn claim(&self, key: Arc<str>) -> Result<bool, StoreError> {
        let value = self.keys.seal(&self.env, &key, PROOF);
        let put = Op::Put { key: key.clone(), value, lease: None };
        let outcome = self.inner.txn(Txn { guards: vec![Guard::Absent(key)], ops: vec![put] }).await?;
        Ok(matches!(outcome, TxnOutcome::Committed(_)))
    }

    /// Seals everything under the prefixes that is not sealed with the first key, and tells how many values that were. What
    /// somebody else writes meanwhile is left to them; what does not open is left as it is.
    ///
    /// # Errors
    /// What the store answers; what was sealed before stays so.
    pub async fn reseal(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        for prefix in &self.prefixes {
            let mut after: Option<Arc<str>> = None;
            loop {
                let page = self.inner.range(prefix, after.as_deref(), PAGE_RECORDS, None).await?;
                after = page.records.last().map(|record| record.key.clone());
                for record in page.records {
                    count += usize::from(self.reseal_one(record).await?);
                }
                if !page.more {
                    break;
                }
            }
        }
        Ok(count)
    }

    async fn reseal_one(&self, record: Record) -> Result<bool, StoreError> {
        let Record { key, value, revision, created: _ } = record;
        if self.keys.is_current(&value) {
            return Ok(false);
        }
        let Ok(plain) = self.keys.open(&key, &value) else { return Ok(false) };
        let value = self.keys.seal(&self.env, &key, &plain);
        let txn = Txn {
            guards: vec![Guard::At(key.clone(), revision)],
            ops: vec![Op::Put { key, value, lease: None }],
        };
        Ok(matches!(self.inner.txn(txn).await?, TxnOutcome::Committed(_)))
    }

    fn is_sealed(&self, key: &str) -> bool {
        self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    fn sealed(&self, op: Op) -> Op {
        match op {
            Op::Put { key, value, lease } if self.is_sealed(&key) => {
                let value = self.keys.seal(&self.env, &key, &value);
                Op::Put { key, value, lease }
            }
            other => other,
        }
    }

    /// A value that does not open stays sealed: to readers it is no document, and they say so.
    fn opened(&self, record: Record) -> Record {
        if !self.is_sealed(&record.key) {
            return record;
        }
        let value = self.keys.open(&record.key, &record.value).unwrap_or_else(|error| {
            tracing::error!(key = &*record.key, %error, "a sealed value cannot be opened");
            Bytes::clone(&record.value)
        });
        Record { value, ..record }
    }
}

#[async_trait]
impl Store for Sealed {
    fn limits(&self) -> Limits {
        let Limits { ops_max, bytes_max } = self.inner.limits();
        Limits { ops_max, bytes_max: bytes_max.saturating_sub(ops_max * keys::OVERHEAD) }
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.inner.revision().await
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.inner.get(key).await?.map(|record| self.opened(record)))
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        let mut page = self.inner.range(prefix, after, limit, at).await?;
        page.records = page.records.into_iter().map(|record| self.opened(record)).collect();
        Ok(page)
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        let Txn { guards, ops } = txn;
        let ops = ops.into_iter().map(|op| self.sealed(op)).collect();
        self.inner.txn(Txn { guards, ops }).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        let opener = Sealed {
            inner: self.inner.clone(),
            env: self.env.clone(),
            keys: self.keys.clone(),
            prefixes: self.prefixes.clone(),
        };
        let watch = self.inner.watch(prefix, after).await?;
        let opened = watch.map(move |batch| {
            let mut batch = batch?;
            let opened = batch.events.into_iter().map(|event| match event {
                Event::Put(record) => Event::Put(opener.opened(record)),
                gone @ Event::Deleted { .. } => gone,
            });
            batch.events = opened.collect();
            Ok(batch)
        });
        Ok(opened.boxed())
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.inner.compact(revision).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.inner.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.revoke(lease).await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::memory::MemoryStore;

    const SECRET: &[u8] = b"{\"metadata\":{},\"data\":{\"p\":\"aHVudGVyMg==\"}}";

    fn put(key: &str) -> Txn {
        let put = Op::Put { key: key.into(), value: Bytes::from_static(SECRET), lease: None };
        Txn { guards: vec![], ops: vec![put] }
    }

    async fn raw(store: &MemoryStore, key: &str) -> Bytes {
        store.get(key).await.unwrap().unwrap().value
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_under_a_prefix_is_sealed_in_the_store_and_open_to_readers() {
        let env = Env::simulated("sealed", 1, Timestamp::UNIX_EPOCH);
        let memory = MemoryStore::new(&env);
        let keys = Keys::parse(&Keys::fresh(&env)).unwrap();
        let store = Sealed::of(memory.clone(), &env, keys, vec!["/t/core/secrets/".to_owned()]);
        let mut watch = store.watch("/t/", 0).await.unwrap();
        store.txn(put("/t/core/secrets/ns/a")).await.unwrap();
        store.txn(put("/t/core/configmaps/ns/a")).await.unwrap();
        let sealed = raw(&memory, "/t/core/secrets/ns/a").await;
        assert!(!sealed.windows(4).any(|window| window == b"data"));
        assert_eq!(raw(&memory, "/t/core/configmaps/ns/a").await, SECRET);
        assert_eq!(store.get("/t/core/secrets/ns/a").await.unwrap().unwrap().value, SECRET);
        let page = store.range("/t/", None, 0, None).await.unwrap();
        assert!(page.records.iter().all(|record| record.value == SECRET));
        let mut told = Vec::new();
        while told.len() < 2 {
            told.extend(watch.next().await.unwrap().unwrap().events);
        }
        let opened = |event: &Event| matches!(event, Event::Put(record) if record.value == SECRET);
        assert!(told.iter().all(opened), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_stored_openly_or_under_an_older_key_is_sealed_anew() {
        let env = Env::simulated("reseal", 1, Timestamp::UNIX_EPOCH);
        let memory = MemoryStore::new(&env);
        let prefixes = vec!["/t/core/secrets/".to_owned()];
        memory.txn(put("/t/core/secrets/ns/old")).await.unwrap();
        let (first, second) = (Keys::fresh(&env), Keys::fresh(&env));
        let store =
            |text: &str| Sealed::of(memory.clone(), &env, Keys::parse(text).unwrap(), prefixes.clone());
        assert_eq!(store(&first).get("/t/core/secrets/ns/old").await.unwrap().unwrap().value, SECRET);
        assert_eq!(store(&first).reseal().await.unwrap(), 1);
        assert_eq!(store(&first).reseal().await.unwrap(), 0);
        assert_eq!(store(&format!("{second}{first}")).reseal().await.unwrap(), 1);
        assert_eq!(store(&second).get("/t/core/secrets/ns/old").await.unwrap().unwrap().value, SECRET);
        assert_ne!(store(&first).get("/t/core/secrets/ns/old").await.unwrap().unwrap().value, SECRET);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_another_installation_are_recognised() {
        let env = Env::simulated("proof", 1, Timestamp::UNIX_EPOCH);
        let memory = MemoryStore::new(&env);
        let store = || Sealed::of(memory.clone(), &env, Keys::parse(&Keys::fresh(&env)).unwrap(), Vec::new());
        let (ours, strange) = (store(), store());
        assert_eq!(ours.prove("/t/meta/sealing").await.unwrap(), Proof::First);
        assert!(ours.claim("/t/meta/sealing".into()).await.unwrap());
        assert!(!strange.claim("/t/meta/sealing".into()).await.unwrap());
        assert_eq!(ours.prove("/t/meta/sealing").await.unwrap(), Proof::Fits);
        assert_eq!(strange.prove("/t/meta/sealing").await.unwrap(), Proof::Strange);
    }
}
