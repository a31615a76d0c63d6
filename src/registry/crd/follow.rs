//! Keeps the served kinds true to the stored CustomResourceDefinitions, and tells in their status what became of them.
//!
//! Every server does so for itself. What they write is the same for all, and guarded by the definition's revision, so
//! that it does not matter who is first.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::json;

use super::accept::accept;
use crate::registry::builtin::definition;
use crate::registry::cache::Subscription;
use crate::registry::doc::Doc;
use crate::registry::key::Resource;
use crate::registry::snapshot::Snapshot;
use crate::registry::{CommitError, Fence, Registry, Write};

/// The wait before a write is tried again that the store did not answer.
const AGAIN: Duration = Duration::from_secs(1);

impl Registry {
    /// Serves what is defined now, and from now on follows every change. The cache must have listed the store.
    pub fn follow_definitions(self: &Arc<Self>) {
        let (snapshot, changes) = self.cache.follow(Some(definitions()));
        let unsaid = self.serve_definitions(&snapshot);
        let registry = self.clone();
        self.env.spawn("definitions", async move { registry.follow(changes, unsaid).await });
    }

    async fn follow(&self, mut changes: Subscription, mut unsaid: Vec<Write>) {
        loop {
            self.tell(unsaid).await;
            let snapshot = match changes.next().await {
                Ok(_) => self.cache.snapshot(),
                Err(_cut) => changes.resync(),
            };
            unsaid = self.serve_definitions(&snapshot);
        }
    }

    /// Takes the kinds that `snapshot` defines into the scheme. What is left to do is to say so.
    fn serve_definitions(&self, snapshot: &Snapshot) -> Vec<Write> {
        let resource = definitions();
        let docs: Vec<&Arc<Doc>> = snapshot.list(&resource, None).collect();
        let decoded = docs.iter().filter_map(|doc| Some((*doc, decoded(doc)?)));
        let (docs, known): (Vec<&Arc<Doc>>, Vec<Arc<CustomResourceDefinition>>) = decoded.unzip();
        let accepted = accept(&self.built_in, &known, self.env.now());
        self.set_scheme(accepted.scheme);
        let news = docs.into_iter().zip(known).filter_map(|(doc, known)| {
            let status = accepted.status.get(&*doc.key().name)?;
            let patch = json!({"status": status});
            (known.status.as_ref() != Some(status)).then(|| Write::Merge { base: doc.clone(), patch })
        });
        news.collect()
    }

    /// Writes one by one: a definition that changed meanwhile will be looked at again anyhow.
    async fn tell(&self, writes: Vec<Write>) {
        for write in writes {
            while let Err(error) = self.commit(&Fence::none(), vec![write.clone()]).await {
                match error {
                    CommitError::Store { .. } => self.env.sleep(self.env.jitter(AGAIN, 0.2)).await,
                    CommitError::Conflict { .. } => break,
                    error => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "failed to tell of a definition"
                        );
                        break;
                    }
                }
            }
        }
    }
}

fn definitions() -> Resource {
    Resource::new(definition::GROUP, "customresourcedefinitions")
}

fn decoded(doc: &Arc<Doc>) -> Option<Arc<CustomResourceDefinition>> {
    match doc.typed::<CustomResourceDefinition>() {
        Ok(definition) => Some(definition),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a definition cannot be read");
            None
        }
    }
}
