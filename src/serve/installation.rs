//! An installation: what it is known by, for ever, and what stands in a fresh one.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::env::Env;
use crate::registry::builtin::rbac;
use crate::registry::{Body, Key, Prefix, Reason, Registry, Resource, WriteOptions};
use crate::store::{Guard, Op, Record, Store, StoreError, Txn, TxnOutcome};

/// The form in which this build keeps documents. A store of a newer form is refused.
const FORMAT: u32 = 1;

/// What stands under `meta/installation`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Installation {
    /// On every container and Mesos task of ours.
    pub(super) uid: String,
    format: u32,
}

impl Installation {
    /// The installation that `store` holds under `prefix`, made if there is none.
    pub(super) async fn open(env: &Env, store: &dyn Store, prefix: &Prefix) -> Result<Installation> {
        let key = prefix.meta("installation");
        // Asked first: a full store answers what it holds and takes nothing.
        if let Some(record) = store.get(&key).await.context("failed to read from the store")? {
            return known(&key, &record);
        }
        let fresh = Installation { uid: env.uid(), format: FORMAT };
        let put = Op::Put { key: key.clone(), value: Bytes::from(serde_json::to_vec(&fresh)?), lease: None };
        let txn = Txn { guards: vec![Guard::Absent(key.clone())], ops: vec![put] };
        if let TxnOutcome::Committed(_) = store.txn(txn).await.context("failed to write to the store")? {
            return Ok(fresh);
        }
        let record = store.get(&key).await.context("failed to read from the store")?;
        known(&key, &record.with_context(|| format!("{key} has vanished"))?)
    }
}

fn known(key: &str, record: &Record) -> Result<Installation> {
    let known: Installation =
        serde_json::from_slice(&record.value).with_context(|| format!("{key} is damaged"))?;
    if known.format > FORMAT {
        bail!("the store has format {}, this build knows up to {FORMAT}: use a newer tenure", known.format);
    }
    Ok(known)
}

/// The namespaces and the roles that every client expects.
pub(super) async fn seed(registry: &Arc<Registry>) -> Result<()> {
    let namespaces = Resource::new("", "namespaces");
    for name in ["default", "kube-system"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        seed_one(registry, &namespaces, name, object).await?;
    }
    let roles = Resource::new(rbac::GROUP, "clusterroles");
    for (name, mut object) in rbac::default_roles() {
        object["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
        object["kind"] = json!("ClusterRole");
        seed_one(registry, &roles, name, object).await?;
    }
    Ok(())
}

async fn seed_one(registry: &Arc<Registry>, resource: &Resource, name: &str, object: Value) -> Result<()> {
    let kind = registry.scheme().by_resource(resource).cloned();
    let kind = kind.with_context(|| format!("this build serves no {resource}"))?;
    let options = WriteOptions { field_manager: "tenure".to_owned(), ..WriteOptions::default() };
    // A full store would not even answer that it is there.
    if registry.cache().snapshot().get(&Key::new(&kind.resource, "", name)).is_some() {
        return Ok(());
    }
    match registry.create(&kind, "", Body::of(object), &options).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.reason == Some(Reason::AlreadyExists) => Ok(()),
        Err(failure) => {
            let why = match failure.code {
                503 | 504 => StoreError::Unavailable(failure.message),
                507 => StoreError::NoSpace(failure.message),
                _ => bail!("failed to create {resource} {name}: {}", failure.message),
            };
            Err(why).with_context(|| format!("failed to create {resource} {name}"))
        }
    }
}
