//! Reads: single objects, lists with pages, and watches, all served from the cache.

mod pages;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use super::doc::Doc;
use super::failure::Failure;
use super::key::Key;
use super::kind::KindDef;
use super::options::{At, ListQuery};
use super::selector::FieldSelector;
use super::snapshot::Snapshot;
use super::write::Subresource;
use crate::store::Revision;

pub(super) use self::pages::Pages;
use self::pages::Token;
pub use self::watch::{WatchEvent, WatchStream};

/// How long a read waits for the cache to reach the revision it asks for.
const PATIENCE: Duration = Duration::from_secs(3);

/// A page of a list, in key order.
#[derive(Debug, Clone)]
pub struct ListPage {
    pub docs: Vec<Arc<Doc>>,
    /// The revision that the whole list shows, over all its pages.
    pub revision: Revision,
    /// Where the next page begins.
    pub continue_: Option<String>,
    /// How many objects follow; unknown under a selector.
    pub remaining: Option<usize>,
}

impl Registry {
    /// The object called `key`.
    ///
    /// # Errors
    /// 404, or why the cache cannot tell.
    pub async fn get(&self, kind: &KindDef, key: &Key, at: At) -> Result<Arc<Doc>, Failure> {
        let snapshot = self.snapshot_at(at).await?;
        snapshot.get(key).cloned().ok_or_else(|| Failure::not_found(kind, &key.name))
    }

    /// A subresource of the object called `key`, as JSON.
    ///
    /// # Errors
    /// 404 also when the kind has no such subresource.
    pub async fn get_subresource(
        &self,
        kind: &KindDef,
        key: &Key,
        subresource: Subresource,
        at: At,
    ) -> Result<bytes::Bytes, Failure> {
        let doc = self.get(kind, key, at).await?;
        match subresource {
            Subresource::Scale => {
                let object = doc.value().map_err(|error| Failure::damaged(&error))?;
                Ok(super::write::scale_view(kind, &doc, &object)?.to_string().into())
            }
            Subresource::Status if !kind.status => Err(Failure::not_found(kind, &key.name)),
            Subresource::Status | Subresource::Main | Subresource::Finalize => Ok(doc.bytes().clone()),
        }
    }

    /// Objects of `kind`.
    ///
    /// # Errors
    /// 400 for a field that cannot be selected by, 410 for a revision that is no longer known, 504 for one that has
    /// not come yet.
    pub async fn list(&self, kind: &KindDef, query: &ListQuery) -> Result<ListPage, Failure> {
        query.fields.check(kind)?;
        let (snapshot, after) = match &query.continue_ {
            None => (self.snapshot_at(query.at).await?, None),
            Some(token) => {
                let token = Token::parse(token)?;
                (self.continued(&token).await?, Some(token.after(&kind.resource)?))
            }
        };
        Ok(self.page(kind, query, snapshot, after))
    }

    fn page(&self, kind: &KindDef, query: &ListQuery, snapshot: Snapshot, after: Option<Key>) -> ListPage {
        let namespace = query.namespace.as_deref();
        let start = after.unwrap_or_else(|| Key::new(&kind.resource, namespace.unwrap_or(""), ""));
        let selected =
            |doc: &&Arc<Doc>| query.labels.matches(&doc.meta().labels) && query.fields.matches(doc);
        if let Some(key) = the_one(kind, namespace, &query.fields) {
            let docs = snapshot.get(&key).filter(selected).cloned().into_iter().collect();
            return ListPage { docs, revision: snapshot.revision, continue_: None, remaining: None };
        }
        let mut docs: Vec<Arc<Doc>> = Vec::new();
        let mut rest = snapshot.list_after(&start, namespace);
        let mut more = 0;
        for doc in rest.by_ref().filter(selected) {
            if query.limit > 0 && docs.len() == query.limit {
                more = 1;
                break;
            }
            docs.push(doc.clone());
        }
        let unselected = query.labels.is_empty() && query.fields.is_empty();
        let remaining = (more > 0 && unselected).then(|| more + rest.count());
        let continue_ = docs.last().filter(|_| more > 0).map(|last| {
            self.pages.keep(snapshot.clone());
            Token::new(snapshot.revision, last.key()).to_string()
        });
        ListPage { docs, revision: snapshot.revision, continue_, remaining }
    }

    /// A snapshot as recent as `at` asks.
    pub(super) async fn snapshot_at(&self, at: At) -> Result<Snapshot, Failure> {
        match at {
            At::Cached => Ok(self.cache.snapshot()),
            At::MostRecent => self.cache.most_recent().await.map_err(|error| Failure::store(&error)),
            At::AtLeast(revision) => {
                let reached = self.cache.at_least(revision, PATIENCE).await;
                reached.map_err(|behind| Failure::revision_too_large(revision, behind.current))
            }
            At::Exact(revision) => {
                let present = self.cache.at_least(revision, PATIENCE).await;
                let present =
                    present.map_err(|behind| Failure::revision_too_large(revision, behind.current))?;
                if present.revision == revision {
                    return Ok(present);
                }
                self.pages.at(revision).ok_or_else(|| {
                    Failure::expired("The resourceVersion for the provided list is too old.", None)
                })
            }
        }
    }

    async fn continued(&self, token: &Token) -> Result<Snapshot, Failure> {
        let Some(revision) = token.revision() else { return self.snapshot_at(At::MostRecent).await };
        self.pages.at(revision).ok_or_else(|| {
            Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter, or use the continue token in this response to retrieve the \
                 remainder of the results. Continuing with the provided token results in an inconsistent list - \
                 objects that were created, modified, or deleted between the time the first chunk was returned and \
                 now may show up in the list.",
                Some(token.inconsistent().to_string()),
            )
        })
    }
}

/// The key of the only object that can be selected: what `kubectl get -w NAME` asks for needs no scan.
fn the_one(kind: &KindDef, namespace: Option<&str>, fields: &FieldSelector) -> Option<Key> {
    let namespace = if kind.namespaced { namespace? } else { "" };
    Some(kind.key(namespace, fields.name()?))
}
