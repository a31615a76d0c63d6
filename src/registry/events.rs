//! Events: what controllers tell people about objects, as core/v1 Events that vanish after an hour.
//!
//! Telling is best effort and bounded: equal events are counted up on one object instead of written again, and an event
//! that cannot be written is dropped with a log line. Nothing is ever decided from an event.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Registry;
use super::doc::Doc;
use super::key::{Key, Resource};
use super::object::seconds;
use super::write::{CommitError, Fence, Write};
use crate::env::Env;

/// How many different events are remembered for counting; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 4096;

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Normal,
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}

/// What an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
}

impl Subject {
    /// The object that `doc` is a version of, which is of the kind `api_version`/`kind`.
    #[must_use]
    pub fn of(doc: &Doc, api_version: &str, kind: &str) -> Subject {
        Subject {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: doc.key().namespace.to_string(),
            name: doc.key().name.to_string(),
            uid: doc.meta().uid.clone(),
            resource_version: doc.revision().to_string(),
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub subject: Subject,
    pub severity: Severity,
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence. Equal sentences about one object are counted, so no times and no counters in it.
    pub message: String,
}

/// Writes events as `component`.
#[derive(Debug)]
pub struct Recorder {
    env: Env,
    registry: Arc<Registry>,
    component: &'static str,
    /// Never held across an await.
    told: Mutex<Told>,
}

/// Events told so far, by what they say.
#[derive(Debug, Default)]
struct Told {
    keys: BTreeMap<[u8; 32], Key>,
    /// In the order of first telling.
    order: VecDeque<[u8; 32]>,
}

impl Told {
    fn remember(&mut self, identity: [u8; 32], key: Key) {
        if self.keys.insert(identity, key).is_none() {
            self.order.push_back(identity);
        }
        while self.order.len() > REMEMBERED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }
}

impl Recorder {
    /// A recorder for the controller called `component`, e.g. `tenure-deployment`.
    #[must_use]
    pub fn new(env: &Env, registry: &Arc<Registry>, component: &'static str) -> Recorder {
        Recorder { env: env.clone(), registry: registry.clone(), component, told: Mutex::default() }
    }

    /// Tells `notice`, or counts it up if it was told within the hour.
    pub async fn tell(&self, fence: &Fence, notice: Notice) {
        if let Err(error) = self.try_tell(fence, &notice).await {
            let Notice { subject, reason, message, .. } = &notice;
            tracing::warn!(
                object = %format!("{} {}/{}", subject.kind, subject.namespace, subject.name),
                %reason, %message, %error, "event not recorded"
            );
        }
    }

    async fn try_tell(&self, fence: &Fence, notice: &Notice) -> Result<(), CommitError> {
        let identity = identity(self.component, notice);
        let write = match self.present(&identity) {
            Some(base) => self.repetition(base),
            None => self.first(&identity, notice),
        };
        self.registry.commit(fence, vec![write]).await.map(|_| ())
    }

    /// The event that says the same, if it is still there.
    fn present(&self, identity: &[u8; 32]) -> Option<Arc<Doc>> {
        let key = self.told.lock().unwrap_or_else(PoisonError::into_inner).keys.get(identity)?.clone();
        self.registry.cache().snapshot().get(&key).cloned()
    }

    fn repetition(&self, base: Arc<Doc>) -> Write {
        let count = base.value().ok().and_then(|event| event["count"].as_i64()).unwrap_or(1);
        let patch = json!({"count": count + 1, "lastTimestamp": seconds(self.env.now())});
        Write::Merge { base, patch }
    }

    fn first(&self, identity: &[u8; 32], notice: &Notice) -> Write {
        let (namespace, name) = self.place(identity, &notice.subject);
        let key = Key::new(&Resource::new("", "events"), &namespace, &name);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remember(*identity, key);
        Write::Create { value: self.event(notice, &namespace, &name) }
    }

    /// Events of cluster kinds stand in the namespace `default`, as in Kubernetes.
    fn place(&self, identity: &[u8; 32], subject: &Subject) -> (String, String) {
        let namespace = if subject.namespace.is_empty() { "default" } else { &subject.namespace };
        let mut unique = [0; 4];
        self.env.fill(&mut unique);
        let end: String = identity[..4].iter().chain(&unique).map(|byte| format!("{byte:02x}")).collect();
        (namespace.to_owned(), format!("{}.{end}", subject.name))
    }

    fn event(&self, notice: &Notice, namespace: &str, name: &str) -> Value {
        let subject = &notice.subject;
        let now = seconds(self.env.now());
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"namespace": namespace, "name": name},
            "involvedObject": {
                "apiVersion": subject.api_version, "kind": subject.kind, "namespace": subject.namespace,
                "name": subject.name, "uid": subject.uid, "resourceVersion": subject.resource_version,
            },
            "type": notice.severity.as_str(), "reason": notice.reason, "message": notice.message,
            "source": {"component": self.component}, "reportingComponent": self.component,
            "reportingInstance": "", "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        })
    }
}

fn identity(component: &str, notice: &Notice) -> [u8; 32] {
    let Subject { uid, .. } = &notice.subject;
    let parts = [component, uid, notice.severity.as_str(), notice.reason, &notice.message];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
