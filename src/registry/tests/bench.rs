//! What tests of the registry share: a registry over a store in memory, on a paused clock.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::env::Env;
use crate::registry::{
    Body, Cache, Encoding, Fence, Key, KindDef, Prefix, Registry, Scheme, Write, WriteOptions, crd,
};
use crate::store::Store;
use crate::store::memory::MemoryStore;

/// A registry with the namespaces `default` and `shop`.
pub(super) struct Bench {
    pub env: Env,
    pub store: Arc<MemoryStore>,
    pub registry: Arc<Registry>,
}

impl Bench {
    /// Serves our own kinds.
    pub(super) async fn ours() -> Bench {
        Bench::serving(Scheme::ours().unwrap()).await
    }

    /// Serves the small App and Node of the recordings in place of ours.
    pub(super) async fn of_the_recordings() -> Bench {
        let mut scheme = Scheme::ours().unwrap();
        let text = include_str!("../../../tests/traces/kube/crds-of-the-recordings.yaml");
        for document in text.split("---\n").filter(|document| !document.trim().is_empty()) {
            let definition = serde_json::from_str(document).unwrap();
            scheme.insert(crd::kind(&definition).unwrap());
        }
        Bench::serving(scheme).await
    }

    async fn serving(scheme: Scheme) -> Bench {
        let env = Env::simulated("test", 7, "2026-11-20T10:27:32Z".parse::<Timestamp>().unwrap());
        let store = MemoryStore::new(&env);
        let prefix = Prefix::new("test");
        let as_store: Arc<dyn Store> = store.clone();
        let cache = Cache::start(&env, as_store.clone(), &prefix);
        cache.listed().await;
        let registry = Registry::new(&env, as_store, cache, &prefix, scheme);
        let bench = Bench { env, store, registry };
        let namespace = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let writes = ["default", "shop"].map(|name| Write::Create { value: namespace(name) });
        bench.commit(writes.into()).await;
        bench
    }

    /// Commits without a fence and waits until the cache shows it.
    pub(super) async fn commit(&self, writes: Vec<Write>) -> Vec<Option<Arc<crate::registry::Doc>>> {
        let committed = self.registry.commit(&Fence::none(), writes).await.unwrap();
        self.caught_up().await;
        committed.docs
    }

    /// Waits until the cache shows everything that is stored.
    pub(super) async fn caught_up(&self) {
        self.registry.cache().most_recent().await.unwrap();
    }

    pub(super) fn kind(&self, plural: &str) -> Arc<KindDef> {
        let scheme = self.registry.scheme();
        scheme.iter().find(|kind| kind.plural == plural).unwrap().clone()
    }

    pub(super) fn key(&self, plural: &str, name: &str) -> Key {
        self.kind(plural).key("shop", name)
    }

    /// Creates `object` in `shop` as `kubectl` would.
    pub(super) async fn create(
        &self,
        plural: &str,
        object: &Value,
    ) -> Result<Value, crate::registry::Failure> {
        let body = Body::decode(object.to_string().as_bytes(), Encoding::Json).unwrap();
        let options = WriteOptions { field_manager: "kubectl".to_owned(), ..WriteOptions::default() };
        let written = self.registry.create(&self.kind(plural), "shop", body, &options).await?;
        self.caught_up().await;
        Ok(serde_json::from_slice(&written.object).unwrap())
    }

    /// The object as it is stored.
    pub(super) async fn object(&self, plural: &str, name: &str) -> Option<Value> {
        let doc = self.registry.live(&self.key(plural, name)).await.unwrap()?;
        Some(doc.value().unwrap())
    }
}

/// A user's kind `Widget`, whose spec has this schema.
pub(super) fn widgets(spec: &Value) -> KindDef {
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}]},
    });
    crd::kind(&serde_json::from_value(definition).unwrap()).unwrap()
}
