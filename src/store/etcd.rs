//! etcd, the production store: what the trait asks for, in etcd's words.
//!
//! etcd's answers become ours in one place per direction: [`request`] and [`failure`]. Watches are [`follow`]'s, which
//! knows the bugs of old versions. Requests go to one member until it
//! fails ([`members`]); every wait is bounded by [`EtcdConfig::timeout`].

mod config;
mod failure;
mod follow;
mod members;
mod request;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, GetOptions, ResponseHeader};

pub use self::config::{ConfigError, EtcdConfig};
use self::failure::Asked;
use self::members::Members;
use super::decision::weigh;
use super::{LeaseId, Page, Record, Revision, Store, StoreError, Txn, TxnOutcome, Watch};
use crate::env::watch;

/// A page or a batch of a watch may be many documents.
const MESSAGE_BYTES_MAX: usize = 512 << 20;

/// The store. Cloning is cheap: clones share members and connections.
#[derive(Clone)]
pub struct EtcdStore {
    members: Members,
    /// A key that we may read: whatever answers for it tells the revision.
    probe: Arc<str>,
    /// The highest revision told to anybody: every watch must get there.
    told: Arc<watch::Sender<Revision>>,
}

impl EtcdStore {
    /// A store on the cluster that `config` names, for keys that begin with `prefix`: the credentials need to allow no
    /// others. Nothing is connected to before the first request, so an etcd that is down, or refuses the credentials,
    /// shows there. Must be called inside the runtime that lives as long as the store is used.
    #[must_use]
    pub fn new(config: EtcdConfig, prefix: &str) -> Arc<EtcdStore> {
        let (members, told) = (Members::new(config), Arc::new(watch::Sender::new(0)));
        Arc::new(EtcdStore { members, probe: prefix.into(), told })
    }
}

/// The revision of the whole store when it answered.
fn revision_of(header: Option<&ResponseHeader>) -> Result<Revision, StoreError> {
    let header = header.ok_or_else(|| StoreError::Damaged("etcd answered without a header".to_owned()))?;
    Ok(header.revision().unsigned_abs())
}

#[async_trait]
impl Store for EtcdStore {
    async fn revision(&self) -> Result<Revision, StoreError> {
        // Linearised, as every read is that does not say otherwise.
        let read = |client: Client| async move {
            client.kv_client().get(&*self.probe, Some(GetOptions::new().with_count_only())).await
        };
        let answer = self.members.call(Asked::Other, read).await?;
        let revision = revision_of(answer.header())?;
        self.told.send_if_modified(|told| {
            let is_news = revision > *told;
            *told = revision.max(*told);
            is_news
        });
        Ok(revision)
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        let read = |client: Client| async move { client.kv_client().get(key, None).await };
        let mut answer = self.members.call(Asked::Other, read).await?;
        answer.take_kvs().pop().map(request::record).transpose()
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        let read = |client: Client| async move {
            let (start, options) = request::range(prefix, after, limit, at);
            let mut kv = client.kv_client().max_decoding_message_size(MESSAGE_BYTES_MAX);
            kv.get(start, Some(options)).await
        };
        let mut answer = self.members.call(at.map_or(Asked::Other, Asked::At), read).await?;
        let (revision, more) = (at.map_or_else(|| revision_of(answer.header()), Ok)?, answer.more());
        let kvs = answer.take_kvs().into_iter().filter(|kv| !follow::is_marker(kv.key()));
        Ok(Page { records: kvs.map(request::record).collect::<Result<_, _>>()?, revision, more })
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        weigh(&txn, self.limits())?;
        let write = |client: Client| {
            let txn = request::txn(&txn);
            async move { client.kv_client().txn(txn).await }
        };
        let answer = self.members.call(Asked::Txn(&txn), write).await?;
        let revision = revision_of(answer.header())?;
        if answer.succeeded() {
            return Ok(TxnOutcome::Committed(revision));
        }
        Ok(TxnOutcome::Refused { losers: request::losers(&txn.guards, &answer)?, revision })
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        follow::open(self, prefix, after).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let compact =
            |client: Client| async move { client.kv_client().compact(request::number(revision), None).await };
        match self.members.call(Asked::At(revision), compact).await {
            // Already done, by whoever.
            Ok(_) | Err(StoreError::Compacted { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let seconds = request::number(seconds.max(1));
        let grant = |client: Client| async move { client.lease_client().grant(seconds, None).await };
        Ok(LeaseId(self.members.call(Asked::Other, grant).await?.id()))
    }

    async fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        let renew = |client: Client| async move { client.lease_client().keep_alive(lease.0).await };
        self.members.call(Asked::Lease(lease), renew).await.map(|_| ())
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        let revoke = |client: Client| async move { client.lease_client().revoke(lease.0).await };
        self.members.call(Asked::Lease(lease), revoke).await.map(|_| ())
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EtcdStore").field(&self.members.endpoints()).finish()
    }
}
