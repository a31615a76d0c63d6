//! Writers at the same time, and stores that fail.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use super::bench::Bench;
use crate::registry::{Body, CommitError, Fence, Patch, Subresource, Write, WriteOptions};
use crate::store::StoreError;
use crate::store::memory::Fault;

fn config_map() -> Value {
    json!({"metadata": {"name": "shared"}})
}

#[tokio::test(start_paused = true)]
async fn no_patch_without_a_version_is_lost_among_many_writers() {
    const WRITERS: usize = 30;
    let bench = Bench::ours().await;
    bench.create("configmaps", &config_map()).await.unwrap();
    bench.store.inject(Fault::Delay(Duration::from_millis(5)));
    let (kind, key) = (bench.kind("configmaps"), bench.key("configmaps", "shared"));
    let options = WriteOptions::default();
    let writers = (0..WRITERS).map(|n| {
        let patch = Patch::Merge(Body::of(json!({"data": {format!("w{n}"): "x"}})));
        bench.registry.patch(&kind, &key, Subresource::Main, patch, &options)
    });
    for written in join_all(writers).await {
        written.unwrap();
    }
    let object = bench.object("configmaps", "shared").await.unwrap();
    assert_eq!(object["data"].as_object().unwrap().len(), WRITERS);
}

#[tokio::test(start_paused = true)]
async fn of_many_who_replace_one_version_one_succeeds() {
    let bench = Bench::ours().await;
    let base = bench.create("configmaps", &config_map()).await.unwrap();
    bench.store.inject(Fault::Delay(Duration::from_millis(5)));
    let (kind, key) = (bench.kind("configmaps"), bench.key("configmaps", "shared"));
    let options = WriteOptions::default();
    let writers = (0..10).map(|n| {
        let mut object = base.clone();
        object["data"] = json!({"winner": n.to_string()});
        bench.registry.update(&kind, &key, Subresource::Main, Body::of(object), &options)
    });
    let written = join_all(writers).await;
    assert_eq!(written.iter().filter(|one| one.is_ok()).count(), 1);
    assert!(written.into_iter().filter_map(Result::err).all(|failure| failure.is_conflict()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_or_full_is_told_as_such() {
    let bench = Bench::ours().await;
    bench.store.inject(Fault::Full);
    let failure = bench.create("configmaps", &config_map()).await.unwrap_err();
    assert_eq!(failure.code, 507);
    assert!(failure.message.contains("out of space"), "{failure}");
    let task =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "shop"}});
    let error = bench.registry.commit(&Fence::none(), vec![Write::Create { value: task }]).await.unwrap_err();
    assert!(matches!(error, CommitError::Store { source: StoreError::NoSpace(_), .. }), "{error}");
    bench.store.heal();
    bench.store.inject(Fault::Down);
    let failure = bench.create("configmaps", &config_map()).await.unwrap_err();
    assert_eq!(failure.code, 503);
    assert_eq!(failure.status()["reason"], "ServiceUnavailable");
    bench.store.heal();
    bench.create("configmaps", &config_map()).await.unwrap();
}
