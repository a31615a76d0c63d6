//! One who watches a server's objects, as a client of its API does: told of everything, in order, without a gap.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tenure::env::Env;
use tenure::registry::{Cache, Change, Key, Snapshot};
use tenure::store::Revision;

use crate::checks::{Blur, Checks};

/// Watches all objects in the node `env`, which is not the server's: it costs the server nothing. While the watch of the store has lost events what is
/// told is judged, and not what is not.
pub(super) fn watch(env: &Env, server: &str, cache: &Arc<Cache>, checks: &Arc<Mutex<Checks>>, blur: &Blur) {
    let (server, cache, checks, blur) = (server.to_owned(), cache.clone(), checks.clone(), blur.clone());
    env.spawn("watcher", async move {
        cache.listed().await;
        let (snapshot, mut place) = cache.follow(None);
        let mut seen = Seen::new(&snapshot);
        loop {
            match place.advance() {
                Ok((changes, snapshot)) => {
                    let found = seen.take_in(&changes, &snapshot, &checks.lock().unwrap(), &blur);
                    for what in found {
                        checks.lock().unwrap().add(format!("who watches {server} {what}"));
                    }
                }
                // Too slow: told so, it begins anew.
                Err(_gone) => seen = Seen::new(&place.resync()),
            }
            place.moved().await;
        }
    });
}

/// What a watcher knows.
struct Seen {
    versions: BTreeMap<Key, Revision>,
    revision: Revision,
}

impl Seen {
    fn new(snapshot: &Snapshot) -> Seen {
        let versions = snapshot.iter().map(|doc| (doc.key().clone(), doc.revision())).collect();
        Seen { versions, revision: snapshot.revision }
    }

    /// Takes the next changes in, which lead to `snapshot`; tells what is wrong with them.
    fn take_in(
        &mut self,
        changes: &[Arc<Change>],
        snapshot: &Snapshot,
        truth: &Checks,
        blur: &Blur,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let mut told: BTreeMap<&Key, Revision> = BTreeMap::new();
        let mut last = 0;
        for change in changes {
            let (key, revision) = (&change.key, change.revision);
            if revision < last {
                found.push(format!("is told of {key} at {revision} after {last}"));
            }
            last = revision;
            let known = self.versions.get(key).copied();
            if change.old.as_ref().map(|doc| doc.revision()) != known {
                found.push(format!("knows {key} at {known:?}, and is told what became of another version"));
            }
            match &change.new {
                Some(doc) => self.versions.insert(key.clone(), doc.revision()),
                None => self.versions.remove(key),
            };
            told.insert(key, revision);
        }
        if !blur.is_on() {
            for (revision, key) in truth.between(self.revision, snapshot.revision) {
                if told.get(key).is_none_or(|told| told < revision) {
                    found
                        .push(format!("is at {} and was not told of {key} at {revision}", snapshot.revision));
                }
            }
        }
        self.revision = snapshot.revision;
        found
    }
}
