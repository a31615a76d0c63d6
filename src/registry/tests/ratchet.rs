//! Faults that an object had before its schema became stricter stand in nobody's way, however many they are, and hide none that
//! are new.

use serde_json::{Value, json};

use super::bench::{Bench, widgets};
use crate::api::FieldError;
use crate::registry::{Body, Failure, KindDef, Patch, Subresource, WriteOptions};

/// A kind with two lists, whose items are as `items` says.
fn kind(list: &Value) -> KindDef {
    let spec = json!({"type": "object", "properties": {"a": list, "z": list}});
    widgets(&spec)
}

/// No list may begin with `x`.
fn rules(_: &str, new: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let lists = ["a", "z"].into_iter().filter_map(|name| Some((name, new["spec"][name].as_array()?)));
    let items = lists.flat_map(|(name, items)| items.iter().enumerate().map(move |it| (name, it)));
    let broken = items.filter(|(_, (_, item))| **item == json!("x"));
    broken.map(|(name, (at, _))| FieldError::forbidden(format!("spec.{name}[{at}]"), "no x")).collect()
}

/// What a JSON patch comes to of an object with `count` items `x` in its list `a`, each of which breaks what is stricter now.
async fn patched(strict: KindDef, count: usize, patch: Value) -> Result<Value, Failure> {
    let bench = Bench::ours().await;
    let serve = |kind: KindDef| {
        let mut scheme = (*bench.registry.scheme()).clone();
        scheme.insert(kind);
        bench.registry.set_scheme(scheme);
    };
    serve(kind(&json!({"type": "array", "items": {"x-kubernetes-int-or-string": true}})));
    let object = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
        "spec": {"a": vec!["x"; count]}});
    bench.create("widgets", &object).await.unwrap();
    serve(strict);
    let (kind, key) = (bench.kind("widgets"), bench.key("widgets", "w"));
    let patch = Patch::Json(Body::of(patch));
    let written =
        bench.registry.patch(&kind, &key, Subresource::Main, patch, &WriteOptions::default()).await?;
    Ok(serde_json::from_slice(&written.object).unwrap())
}

/// What is stricter, and by what.
fn stricter() -> [(&'static str, KindDef); 4] {
    let rule = json!([{"rule": "self != 'x'"}]);
    [
        ("types", kind(&json!({"type": "array", "items": {"type": "integer"}}))),
        (
            "sets",
            kind(&json!({"type": "array", "x-kubernetes-list-type": "set",
            "items": {"x-kubernetes-int-or-string": true}})),
        ),
        (
            "rules in CEL",
            kind(&json!({"type": "array", "items": {"x-kubernetes-int-or-string": true,
            "x-kubernetes-validations": rule}})),
        ),
        (
            "rules of the kind",
            KindDef {
                rules: Some(rules),
                ..kind(&json!({"type": "array",
            "items": {"x-kubernetes-int-or-string": true}}))
            },
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn of_many_faults_that_were_there_before_one_can_be_mended() {
    for (what, strict) in stricter() {
        let patch = json!([{"op": "replace", "path": "/spec/a/1", "value": 1}]);
        let mended = patched(strict, 150, patch).await.unwrap_or_else(|failure| panic!("{what}: {failure}"));
        assert_eq!(mended["spec"]["a"][1], json!(1), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_fault_behind_many_that_were_there_before_is_found_and_told_alone() {
    for (what, strict) in stricter() {
        let patch = json!([{"op": "add", "path": "/spec/z", "value": ["x", "x"]}]);
        let Err(failure) = patched(strict, 150, patch).await else { panic!("{what}: it was let in") };
        assert_eq!(failure.code, 422, "{what}: {failure}");
        assert!(failure.message.contains("spec.z[1]"), "{what}: {failure}");
        assert!(!failure.message.contains("spec.a"), "{what}: {failure}");
    }
}
