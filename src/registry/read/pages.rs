//! What lets a list go on at the revision where it began: tokens for clients, and the snapshots they speak of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use base64::{Engine, alphabet};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::registry::body::as_go;
use crate::registry::failure::Failure;
use crate::registry::key::{Key, Resource};
use crate::registry::snapshot::Snapshot;
use crate::store::Revision;

/// How many snapshots are kept for lists that are under way. They share what did not change.
const SNAPSHOTS_MAX: usize = 64;
/// How long a list may be under way: as long as a real apiserver's history.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// Snapshots of lists that are under way; the oldest go first.
#[derive(Debug, Default)]
pub(in crate::registry) struct Pages {
    /// Held for map operations only, never across an await.
    kept: Mutex<BTreeMap<Revision, (Instant, Snapshot)>>,
}

impl Pages {
    /// Remembers `snapshot`.
    pub(super) fn keep(&self, snapshot: Snapshot) {
        let mut kept = self.present();
        kept.insert(snapshot.revision, (Instant::now(), snapshot));
        while kept.len() > SNAPSHOTS_MAX {
            kept.pop_first();
        }
    }

    /// The snapshot at `revision`, if it is still known.
    pub(super) fn at(&self, revision: Revision) -> Option<Snapshot> {
        self.present().get(&revision).map(|(_, snapshot)| snapshot.clone())
    }

    /// What is not too old.
    fn present(&self) -> MutexGuard<'_, BTreeMap<Revision, (Instant, Snapshot)>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (since, _)| since.elapsed() < KEPT_FOR);
        kept
    }
}

/// Where a page ended. Opaque to clients; the shape is Kubernetes' own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    v: String,
    /// -1: go on in the present, whatever it is.
    rv: i64,
    /// `namespace/name\0`: what comes after that name.
    start: String,
}

const VERSION: &str = "meta.k8s.io/v1";
/// As Go reads it.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

impl Token {
    /// After `last`, at `revision`.
    pub(super) fn new(revision: Revision, last: &Key) -> Token {
        Token {
            v: VERSION.to_owned(),
            rv: i64::try_from(revision).unwrap_or(-1),
            start: format!("{}/{}\0", last.namespace, last.name),
        }
    }

    /// Reads what a client sent back.
    pub(super) fn parse(text: &str) -> Result<Token, Failure> {
        let invalid = |problem: &str| {
            Failure::bad_request(format!("invalid continue token: continue key is not valid: {problem}"))
        };
        let bytes = LENIENT.decode(text).map_err(|error| invalid(&error.to_string()))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| invalid(&as_go(&error, &bytes)))?;
        if token.v == VERSION {
            Ok(token)
        } else {
            Err(invalid("server does not recognize this encoded version"))
        }
    }

    /// The revision to go on at; none for the present.
    pub(super) fn revision(&self) -> Option<Revision> {
        Revision::try_from(self.rv).ok()
    }

    /// The key of `resource` after which the page begins.
    pub(super) fn after(&self, resource: &Resource) -> Result<Key, Failure> {
        let start = self.start.strip_suffix('\0').and_then(|start| start.split_once('/'));
        let (namespace, name) = start.ok_or_else(|| {
            Failure::bad_request("invalid continue token: continue key is not valid: no start key")
        })?;
        Ok(Key::new(resource, namespace, name))
    }

    /// The same place in the present.
    pub(super) fn inconsistent(&self) -> Token {
        Token { rv: -1, ..self.clone() }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place() {
        let resource = Resource::new("tenure.dev", "apps");
        let last = Key::new(&resource, "shop", "web");
        let token = Token::parse(&Token::new(7, &last).to_string()).unwrap();
        assert_eq!((token.revision(), token.after(&resource).unwrap()), (Some(7), last));
        assert_eq!(token.inconsistent().revision(), None);
        assert_eq!(Token::parse("garbage").unwrap_err().code, 400);
    }
}
