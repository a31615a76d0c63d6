//! The store by itself, in a folder of its own: what the API cannot be faster than.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use tempfile::TempDir;
use tenure::env::Env;
use tenure::store::embedded::{EmbeddedOptions, EmbeddedStore};
use tenure::store::{Guard, Op, Revision, Store, Txn, TxnOutcome};
use tokio::time::Instant;

/// The same store as the server's, without a server.
pub(crate) struct Raw {
    env: Env,
    folder: TempDir,
    store: Arc<EmbeddedStore>,
}

impl Raw {
    pub(crate) async fn open() -> Result<Raw> {
        let (env, folder) = (Env::system().context("no randomness")?, tempfile::tempdir()?);
        let store = open(&env, folder.path()).await?;
        Ok(Raw { env, folder, store })
    }

    pub(crate) async fn put(&self, key: &str, value: &Bytes, guard: Guard) -> Result<Revision> {
        let op = Op::Put { key: key.into(), value: value.clone(), lease: None };
        match self.store.txn(Txn { guards: vec![guard], ops: vec![op] }).await? {
            TxnOutcome::Committed(revision) => Ok(revision),
            TxnOutcome::Refused { .. } => bail!("{key} is not as it was"),
        }
    }

    pub(crate) async fn create(&self, key: &str, value: &Bytes) -> Result<Revision> {
        self.put(key, value, Guard::Absent(key.into())).await
    }

    /// Reads a document and replaces what was read.
    pub(crate) async fn update(&self, key: &str, value: &Bytes) -> Result<Revision> {
        let revision = self.get(key).await?;
        self.put(key, value, Guard::At(key.into(), revision)).await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Revision> {
        Ok(self.store.get(key).await?.with_context(|| format!("{key} is not there"))?.revision)
    }

    /// How many documents there are, all read.
    pub(crate) async fn list(&self, prefix: &str) -> Result<usize> {
        Ok(self.store.range(prefix, None, usize::MAX, None).await?.records.len())
    }

    /// How long each of `watchers` takes to see each of `updates` changes of one document.
    pub(crate) async fn propagation(
        &self,
        key: &str,
        value: &Bytes,
        (watchers, updates): (usize, usize),
    ) -> Result<Vec<Duration>> {
        let since = self.store.revision().await?;
        let mut all = Vec::new();
        for _ in 0..watchers {
            all.push(self.store.watch(key, since).await?);
        }
        let (mut all, mut times) = (stream::select_all(all), Vec::new());
        for _ in 0..updates {
            let began = Instant::now();
            let seen = async {
                for _ in 0..watchers {
                    all.next().await.context("a watch ended")??;
                    times.push(began.elapsed());
                }
                anyhow::Ok(())
            };
            tokio::try_join!(self.update(key, value), seen)?;
        }
        Ok(times)
    }

    /// Closes the store, opens it again and reads all of it: how long that takes.
    pub(crate) async fn reopened(&mut self) -> Result<Duration> {
        self.store.close().await?;
        let began = Instant::now();
        self.store = open(&self.env, self.folder.path()).await?;
        self.list("").await?;
        Ok(began.elapsed())
    }
}

async fn open(env: &Env, folder: &Path) -> Result<Arc<EmbeddedStore>> {
    Ok(EmbeddedStore::open(env, folder, EmbeddedOptions::default()).await?)
}
