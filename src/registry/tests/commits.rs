//! Controllers' writes, and what they share with people's.

use serde_json::{Value, json};

use super::bench::Bench;
use crate::registry::{
    At, CommitError, DeleteOptions, Deleted, Fence, ListQuery, Query, WatchEvent, WatchQuery, Write,
};
use crate::store::{Op, Store, Txn};

fn app(name: &str) -> Value {
    json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"cmd": "sleep 1", "instances": 2}})
}

fn task(name: &str) -> Value {
    json!({"apiVersion": "tenure.dev/v1", "kind": "Task", "metadata": {"name": name, "namespace": "shop",
        "finalizers": ["tenure.dev/cluster"]}, "spec": {"app": "web", "revision": "web-1", "slot": 0}})
}

#[tokio::test(start_paused = true)]
async fn a_created_task_has_what_the_server_owns_and_no_account_of_fields() {
    let bench = Bench::ours().await;
    let docs = bench.commit(vec![Write::Create { value: task("web-1") }]).await;
    let object = docs[0].as_ref().unwrap().value().unwrap();
    assert_eq!(object["metadata"]["generation"], 1);
    assert_eq!(object["metadata"]["uid"].as_str().map(str::len), Some(36));
    assert_eq!(object["metadata"]["managedFields"], Value::Null);
    assert_eq!(bench.object("tasks", "web-1").await, Some(object));
}

#[tokio::test(start_paused = true)]
async fn a_merge_touches_only_what_it_names_and_counts_the_generation_of_the_spec() {
    let bench = Bench::ours().await;
    let mut value = task("web-1");
    value["spec"]["fromTheFuture"] = json!({"kept": true});
    let base = bench.commit(vec![Write::Create { value }]).await[0].clone().unwrap();
    let patch = json!({"status": {"phase": "Running", "ready": true}});
    let base = bench.commit(vec![Write::Merge { base, patch }]).await[0].clone().unwrap();
    let patch = json!({"spec": {"replaces": "web-0"}});
    let base = bench.commit(vec![Write::Merge { base, patch }]).await[0].clone().unwrap();
    let object = base.value().unwrap();
    assert_eq!(object["metadata"]["generation"], 2);
    assert_eq!(object["status"]["phase"], "Running");
    assert_eq!(object["spec"]["fromTheFuture"], json!({"kept": true}));
}

/// The same patch with an empty `metadata` beside it goes the long way.
#[tokio::test(start_paused = true)]
async fn a_patch_of_the_status_alone_comes_to_what_it_would_with_metadata_beside_it() {
    let bench = Bench::ours().await;
    let mut twins = Vec::new();
    for name in ["web-1", "web-2"] {
        let mut value = task(name);
        value["metadata"]["labels"] = json!({"tenure.dev/app": "web"});
        value["status"] = json!({"phase": "Bound", "ports": [1], "fromTheFuture": {"kept": true}});
        twins.extend(bench.commit(vec![Write::Create { value }]).await[0].clone());
    }
    for status in [
        json!({"phase": "Running", "ready": true, "ports": [2, 3]}),
        json!({"ports": null, "message": "a \"quoted\" one", "fromTheFuture": {"more": 1}}),
        json!({"message": "a \"quoted\" one"}),
        json!({"phase": 7}),
        json!({}),
    ] {
        let patches = [json!({"status": status}), json!({"status": status, "metadata": {}})];
        let mut ends = Vec::new();
        for (twin, patch) in twins.iter_mut().zip(patches) {
            let before = twin.revision();
            let merge = vec![Write::Merge { base: twin.clone(), patch }];
            ends.push(match bench.registry.commit(&Fence::none(), merge).await {
                Ok(committed) => {
                    *twin = committed.docs[0].clone().unwrap();
                    let object = twin.value().unwrap();
                    let (labels, generation) = (twin.meta().labels.clone(), twin.meta().generation);
                    let is_new = twin.revision() != before;
                    Ok((object["status"].clone(), object["spec"].clone(), labels, generation, is_new))
                }
                Err(CommitError::Invalid { source, .. }) => Err(source.message.replace("web-2", "web-1")),
                Err(error) => panic!("{error}"),
            });
        }
        assert_eq!(ends[0], ends[1], "{status}");
    }
    let object = bench.object("tasks", "web-1").await.unwrap();
    assert_eq!(object["status"]["fromTheFuture"], json!({"kept": true, "more": 1}));
}

#[tokio::test(start_paused = true)]
async fn writes_that_change_nothing_ask_nothing_of_the_store() {
    let bench = Bench::ours().await;
    let base = bench.commit(vec![Write::Create { value: task("web-1") }]).await[0].clone().unwrap();
    let before = bench.store.requests();
    let patch = json!({"spec": {"slot": 0}});
    let committed = bench
        .registry
        .commit(&Fence::none(), vec![Write::Merge { base: base.clone(), patch }])
        .await
        .unwrap();
    assert_eq!((bench.store.requests(), committed.revision), (before, base.revision()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_applied_whole_or_not_at_all_and_names_its_losers() {
    let bench = Bench::ours().await;
    let base = bench.commit(vec![Write::Create { value: task("web-1") }]).await[0].clone().unwrap();
    bench.commit(vec![Write::Merge { base: base.clone(), patch: json!({"spec": {"replaces": "a"}}) }]).await;
    let stale = Write::Merge { base: base.clone(), patch: json!({"spec": {"replaces": "b"}}) };
    let batch = vec![Write::Create { value: task("web-2") }, stale];
    let error = bench.registry.commit(&Fence::none(), batch).await.unwrap_err();
    let CommitError::Conflict { losers } = error else { panic!("{error}") };
    assert_eq!(losers, [bench.key("tasks", "web-1")]);
    assert_eq!(bench.object("tasks", "web-2").await, None);
    let guarded = vec![Write::Create { value: task("web-2") }, Write::Guard { base }];
    let error = bench.registry.commit(&Fence::none(), guarded).await.unwrap_err();
    assert!(matches!(error, CommitError::Conflict { losers } if losers.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_commits_nothing() {
    let bench = Bench::ours().await;
    let leader = bench.registry.prefix().leader();
    let put = |holder: &'static str| Txn {
        guards: Vec::new(),
        ops: vec![Op::Put { key: leader.clone(), value: holder.as_bytes().into(), lease: None }],
    };
    let crate::store::TxnOutcome::Committed(term) = bench.store.txn(put("a")).await.unwrap() else {
        panic!()
    };
    let fence = Fence::new(leader.clone(), term);
    bench.registry.commit(&fence, vec![Write::Create { value: task("web-1") }]).await.unwrap();
    let delete = Txn { guards: Vec::new(), ops: vec![Op::Delete { key: leader.clone() }] };
    bench.store.txn(delete).await.unwrap();
    bench.store.txn(put("b")).await.unwrap();
    let error =
        bench.registry.commit(&fence, vec![Write::Create { value: task("web-2") }]).await.unwrap_err();
    assert!(matches!(error, CommitError::Deposed), "{error}");
    assert_eq!(bench.object("tasks", "web-2").await, None);
}

#[tokio::test(start_paused = true)]
async fn the_end_begins_by_a_merge_and_is_complete_without_finalizers() {
    let bench = Bench::ours().await;
    let base = bench.commit(vec![Write::Create { value: task("web-1") }]).await[0].clone().unwrap();
    let stop = json!({"metadata": {"deletionTimestamp": "now"},
        "spec": {"stop": {"reason": "ScaledDown", "message": "x", "at": "2026-11-20T10:00:00.000000Z"}}});
    let base = bench.commit(vec![Write::Merge { base, patch: stop }]).await[0].clone().unwrap();
    assert_eq!(base.meta().deletion, Some(bench.env.now()));
    assert_eq!(base.meta().generation, 3, "one for the spec, one for the end");
    let refused = bench.registry.commit(&Fence::none(), vec![Write::Remove { base: base.clone() }]).await;
    assert!(matches!(refused, Err(CommitError::Invalid { .. })));
    let done = json!({"metadata": {"finalizers": null}});
    let docs = bench.commit(vec![Write::Merge { base, patch: done }]).await;
    assert!(docs[0].is_none());
    assert_eq!(bench.object("tasks", "web-1").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_batch_beyond_the_limits_and_a_key_written_twice_are_named() {
    let bench = Bench::ours().await;
    let many = (0..200).map(|n| Write::Create { value: task(&format!("web-{n}")) }).collect();
    let error = bench.registry.commit(&Fence::none(), many).await.unwrap_err();
    assert!(matches!(error, CommitError::TooLarge { ops: 200, .. }), "{error}");
    let twice = vec![Write::Create { value: task("web-1") }, Write::Create { value: task("web-1") }];
    let error = bench.registry.commit(&Fence::none(), twice).await.unwrap_err();
    assert!(matches!(error, CommitError::Repeated { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_breaks_the_rules_is_refused_by_name() {
    let bench = Bench::ours().await;
    let mut broken = task("web-1");
    broken["spec"]["slot"] = json!("one");
    let error =
        bench.registry.commit(&Fence::none(), vec![Write::Create { value: broken }]).await.unwrap_err();
    let CommitError::Invalid { source, .. } = error else { panic!("{error}") };
    assert!(source.message.contains("spec.slot in body must be of type"), "{source}");
    let mut homeless = task("web-1");
    homeless["metadata"]["namespace"] = json!("nonesuch");
    let error =
        bench.registry.commit(&Fence::none(), vec![Write::Create { value: homeless }]).await.unwrap_err();
    assert!(matches!(error, CommitError::Invalid { source, .. } if source.is_not_found()));
}

#[tokio::test(start_paused = true)]
async fn an_app_is_held_by_its_tasks_and_a_manifest_does_not_let_it_go() {
    let bench = Bench::ours().await;
    let created = bench.create("apps", &app("web")).await.unwrap();
    assert_eq!(created["metadata"]["finalizers"], json!(["tenure.dev/tasks"]));
    let (kind, key) = (bench.kind("apps"), bench.key("apps", "web"));
    let options = crate::registry::WriteOptions::default();
    let body = crate::registry::Body::of(json!({"metadata": {"finalizers": null}, "spec": {"instances": 5}}));
    let patch = crate::registry::Patch::Merge(body);
    bench.registry.patch(&kind, &key, crate::registry::Subresource::Main, patch, &options).await.unwrap();
    let object = bench.object("apps", "web").await.unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!(["tenure.dev/tasks"]));
    assert_eq!(object["spec"]["instances"], 5);
    let deleted = bench.registry.delete(&kind, &key, &DeleteOptions::default()).await.unwrap();
    assert!(matches!(deleted, Deleted::Terminating(_)));
}

#[tokio::test(start_paused = true)]
async fn quantities_are_stored_in_one_spelling() {
    let bench = Bench::ours().await;
    let mut written = app("web");
    written["spec"]["resources"] = json!({"cpus": 0.5, "memory": 268_435_456});
    let created = bench.create("apps", &written).await.unwrap();
    assert_eq!(created["spec"]["resources"]["cpus"], "500m");
    assert_eq!(created["spec"]["resources"]["memory"], "256Mi");
    written["metadata"]["name"] = json!("bad");
    written["spec"]["resources"] = json!({"cpus": "lots"});
    let failure = bench.create("apps", &written).await.unwrap_err();
    assert!(
        failure.message.contains("spec.resources.cpus: Invalid value: \"lots\": must be an amount of cpus")
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_is_refused_with_the_nearest_known_name() {
    let bench = Bench::ours().await;
    let mut written = app("web");
    written["spec"]["instnaces"] = json!(3);
    let body = crate::registry::Body::of(written);
    let options = crate::registry::WriteOptions {
        field_validation: crate::registry::options::FieldValidation::Strict,
        ..Default::default()
    };
    let failure = bench.registry.create(&bench.kind("apps"), "shop", body, &options).await.unwrap_err();
    assert_eq!(
        failure.message,
        "App in version \"v1\" cannot be handled as a App: strict decoding error: unknown field \"spec.instnaces\" \
         (did you mean \"spec.instances\"?)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_folds_its_texts_and_a_namespace_is_held_until_it_is_empty() {
    let bench = Bench::ours().await;
    let secret = json!({"metadata": {"name": "db"}, "stringData": {"password": "pw"}});
    let created = bench.create("secrets", &secret).await.unwrap();
    assert_eq!(created["data"], json!({"password": "cHc="}));
    assert_eq!((&created["type"], &created["kind"]), (&json!("Opaque"), &json!("Secret")));
    let (kind, key) = (bench.kind("namespaces"), bench.kind("namespaces").key("", "shop"));
    bench.registry.delete(&kind, &key, &DeleteOptions::default()).await.unwrap();
    bench.caught_up().await;
    let going = bench.registry.get(&kind, &key, At::MostRecent).await.unwrap();
    assert_eq!(going.value().unwrap()["status"]["phase"], "Terminating");
    let refused = bench.create("secrets", &json!({"metadata": {"name": "late"}})).await.unwrap_err();
    assert_eq!(refused.code, 403);
    let emptied = Write::Merge { base: going, patch: json!({"spec": {"finalizers": null}}) };
    assert!(bench.commit(vec![emptied]).await[0].is_none());
    let missing = bench.create("secrets", &json!({"metadata": {"name": "late"}})).await.unwrap_err();
    assert_eq!(missing.message, "namespaces \"shop\" not found");
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_at_the_revision_where_it_began() {
    let bench = Bench::ours().await;
    for name in ["a", "b", "c", "d"] {
        bench.create("configmaps", &json!({"metadata": {"name": name}})).await.unwrap();
    }
    let kind = bench.kind("configmaps");
    let query = |text: &[(&str, &str)]| {
        let pairs = text.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ListQuery::parse(Some("shop"), &Query::new(pairs)).unwrap()
    };
    let first = bench.registry.list(&kind, &query(&[("limit", "2")])).await.unwrap();
    assert_eq!((first.docs.len(), first.remaining), (2, Some(2)));
    bench.create("configmaps", &json!({"metadata": {"name": "bb"}})).await.unwrap();
    let token = first.continue_.unwrap();
    let rest = bench.registry.list(&kind, &query(&[("limit", "2"), ("continue", &token)])).await.unwrap();
    let names: Vec<&str> = rest.docs.iter().map(|doc| &*doc.key().name).collect();
    assert_eq!((names, rest.revision, rest.continue_), (vec!["c", "d"], first.revision, None));
    // That revision is known for a while. After it there is a token for going on in the present.
    tokio::time::advance(std::time::Duration::from_secs(301)).await;
    let stale =
        bench.registry.list(&kind, &query(&[("limit", "2"), ("continue", &token)])).await.unwrap_err();
    let status = stale.status();
    assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")));
    assert!(stale.message.starts_with("The provided continue parameter is too old"), "{}", stale.message);
    let token = status["metadata"]["continue"].as_str().unwrap();
    let rest = bench.registry.list(&kind, &query(&[("limit", "2"), ("continue", token)])).await.unwrap();
    let names: Vec<&str> = rest.docs.iter().map(|doc| &*doc.key().name).collect();
    assert_eq!(names, ["bb", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_the_present_then_changes_and_what_leaves_the_selection() {
    let bench = Bench::ours().await;
    let labelled = |name: &str, label: &str| json!({"metadata": {"name": name, "labels": {"l": label}}});
    bench.create("configmaps", &labelled("a", "x")).await.unwrap();
    let pairs = [
        ("labelSelector", "l=x"),
        ("sendInitialEvents", "true"),
        ("allowWatchBookmarks", "1"),
        ("resourceVersionMatch", "NotOlderThan"),
    ];
    let query = Query::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let query = WatchQuery::parse(Some("shop"), &query).unwrap();
    let mut watch = bench.registry.watch(&bench.kind("configmaps"), query).await.unwrap();
    assert!(matches!(watch.next().await, Some(WatchEvent::Added(doc)) if &*doc.key().name == "a"));
    assert!(matches!(watch.next().await, Some(WatchEvent::InitialEnd(_))));
    bench.create("configmaps", &labelled("b", "y")).await.unwrap();
    let base = bench.registry.live(&bench.key("configmaps", "a")).await.unwrap().unwrap();
    let patch = json!({"metadata": {"labels": {"l": "gone"}}});
    let changed = bench.commit(vec![Write::Merge { base, patch }]).await[0].clone().unwrap();
    let Some(WatchEvent::Deleted { doc, revision }) = watch.next().await else { panic!() };
    assert_eq!((revision, &doc.meta().labels["l"]), (changed.revision(), "x"));
    assert_eq!(watch.bookmark(), Some(bench.registry.cache().snapshot().revision));
}

#[tokio::test(start_paused = true)]
async fn an_event_vanishes_an_hour_after_its_last_write() {
    let bench = Bench::ours().await;
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1", "namespace": "shop"},
        "involvedObject": {"kind": "App", "namespace": "shop", "name": "web"}, "reason": "BackOff", "count": 1});
    let base = bench.commit(vec![Write::Create { value: event }]).await[0].clone().unwrap();
    bench.env.sleep(std::time::Duration::from_secs(3000)).await;
    bench.commit(vec![Write::Merge { base, patch: json!({"count": 2}) }]).await;
    bench.env.sleep(std::time::Duration::from_secs(3500)).await;
    assert!(bench.object("events", "web.1").await.is_some());
    bench.env.sleep(std::time::Duration::from_secs(1000)).await;
    assert_eq!(bench.object("events", "web.1").await, None);
}

#[tokio::test(start_paused = true)]
async fn an_apply_with_a_slip_or_a_key_given_twice_says_so() {
    let bench = Bench::ours().await;
    let (kind, key) = (bench.kind("apps"), bench.key("apps", "web"));
    let options = crate::registry::WriteOptions {
        field_manager: "tenure".to_owned(),
        field_validation: crate::registry::options::FieldValidation::Strict,
        ..Default::default()
    };
    let refused = async |text: &str| {
        let head = "apiVersion: tenure.dev/v1\nkind: App\nmetadata: {name: web}\nspec:\n";
        let text = format!("{head}{text}");
        let body = crate::registry::Body::decode(text.as_bytes(), crate::registry::Encoding::Yaml).unwrap();
        let patch = crate::registry::Patch::Apply(body);
        let main = crate::registry::Subresource::Main;
        bench.registry.patch(&kind, &key, main, patch, &options).await.unwrap_err().message
    };
    assert_eq!(
        refused("  instnaces: 3\n").await,
        "failed to create typed patch object (/web; tenure.dev/v1, Kind=App): .spec.instnaces: field not declared in \
         schema (did you mean \".spec.instances\"?)"
    );
    assert_eq!(
        refused("  cmd: a\n  cmd: b\n").await,
        "error decoding YAML: strict decoding error: duplicate field \"spec.cmd\""
    );
}

#[tokio::test(start_paused = true)]
async fn a_strict_patch_quotes_what_it_would_make() {
    let bench = Bench::ours().await;
    bench.create("apps", &app("web")).await.unwrap();
    let options = crate::registry::WriteOptions {
        field_validation: crate::registry::options::FieldValidation::Strict,
        ..Default::default()
    };
    let patch = crate::registry::Patch::Merge(crate::registry::Body::of(json!({"spec": {"bogus": 1}})));
    let main = crate::registry::Subresource::Main;
    let failure = bench
        .registry
        .patch(&bench.kind("apps"), &bench.key("apps", "web"), main, patch, &options)
        .await
        .unwrap_err();
    assert_eq!(failure.code, 422);
    assert!(
        failure.message.starts_with(" \"\" is invalid: patch: Invalid value: \"{\\\"apiVersion"),
        "{failure}"
    );
    let told = "strict decoding error: unknown field \"spec.bogus\" (allowed in spec: args, backoff, ";
    assert!(failure.message.contains(told), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn immutable_data_and_the_hold_of_a_namespace_are_left_alone() {
    let bench = Bench::ours().await;
    let map = json!({"metadata": {"name": "fixed"}, "data": {"a": "1"}, "immutable": true});
    bench.create("configmaps", &map).await.unwrap();
    let options = crate::registry::WriteOptions::default();
    let patch = async |plural: &str, name: &str, patch: Value| {
        let patch = crate::registry::Patch::Strategic(crate::registry::Body::of(patch));
        let main = crate::registry::Subresource::Main;
        let (kind, key) = (bench.kind(plural), bench.key(plural, name));
        bench.registry.patch(&kind, &key, main, patch, &options).await
    };
    let refused = patch("configmaps", "fixed", json!({"data": {"a": "2"}})).await.unwrap_err();
    assert_eq!(
        refused.message,
        "ConfigMap \"fixed\" is invalid: data: Forbidden: field is immutable when `immutable` is set"
    );
    patch("configmaps", "fixed", json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    patch("namespaces", "shop", json!({"spec": {"finalizers": null}})).await.unwrap();
    let namespace = bench.object("namespaces", "shop").await.unwrap();
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
}
