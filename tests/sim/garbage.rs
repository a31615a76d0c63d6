//! What nobody needs any more goes: namespaces with all that is in them, dependants after or before their owners.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use tenure::api::Task;
use tenure::registry::options::Propagation;
use tenure::registry::{CommitError, DeleteOptions, Doc, Fence, Key, Resource, Write};

use crate::apps::app;
use crate::world::World;

const HOLD: &str = "example.com/hold";

fn key(plural: &str, namespace: &str, name: &str) -> Key {
    let group = if ["apps", "tasks", "revisions", "endpoints"].contains(&plural) { "tenure.dev" } else { "" };
    Key::new(&Resource::new(group, plural), namespace, name)
}

fn note(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name}, "data": {"text": "to be kept"},
    })
}

/// A note in `shop` that belongs to these owners and blocks their foreground deletion.
fn owned(name: &str, owners: &[&Doc]) -> Value {
    let reference = |owner: &&Doc| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "blockOwnerDeletion": true,
            "name": &*owner.key().name, "uid": owner.meta().uid,
        })
    };
    let mut note = note("shop", name);
    note["metadata"]["ownerReferences"] = owners.iter().map(reference).collect();
    note
}

fn held(mut object: Value) -> Value {
    object["metadata"]["finalizers"] = json!([HOLD]);
    object
}

fn find(world: &World, plural: &str, namespace: &str, name: &str) -> Option<Arc<Doc>> {
    world.snapshot().get(&key(plural, namespace, name)).cloned()
}

fn note_named(world: &World, name: &str) -> Option<Arc<Doc>> {
    find(world, "configmaps", "shop", name)
}

/// A person deletes an object.
async fn delete(world: &World, key: &Key, propagation: Propagation) {
    let kind = world.people.scheme().by_resource(&key.resource).cloned().unwrap();
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    world.people.delete(&kind, key, &options).await.unwrap();
    world.people.cache().most_recent().await.unwrap();
}

/// Whoever holds an object lets it go.
async fn let_go(world: &World, key: &Key) {
    let base = world.snapshot().get(key).cloned().unwrap();
    let others: Vec<_> = base.meta().finalizers.iter().filter(|it| *it != HOLD).cloned().collect();
    world.write(Write::Merge { base, patch: json!({"metadata": {"finalizers": others}}) }).await;
}

/// The keys of everything in a namespace.
fn contents(world: &World, namespace: &str) -> Vec<String> {
    let snapshot = world.snapshot();
    let docs = snapshot.iter().filter(|doc| *doc.key().namespace == *namespace);
    docs.map(|doc| doc.key().to_string()).collect()
}

/// A Task that shall end is told so with the grace that its Revision grants: no Revision goes before its last Task.
fn assert_tasks_have_their_revision(world: &World) {
    for task in world.tasks("web").iter().filter(|it| !it.is_terminal()) {
        let revision = find(world, "revisions", "shop", &task.spec.revision);
        assert!(revision.is_some(), "the revision of {:?} is gone", task.metadata.name);
    }
}

fn owners(doc: &Doc) -> Vec<&str> {
    doc.meta().owners.iter().map(|it| it.name.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn namespace_goes_with_everything_in_it_and_nothing_else() {
    let mut world = World::new(1, 51).await;
    let _server = world.start().await;
    world.create(app("web", 3, "serve 1")).await;
    world.create(note("shop", "loose")).await;
    let mut elsewhere = app("other", 1, "serve 1");
    elsewhere["metadata"]["namespace"] = json!("default");
    world.create(elsewhere).await;
    world.until_ready("web").await;
    world.until("both apps run", |world| world.machines[0].0.alive().len() == 4).await;
    delete(&world, &key("namespaces", "", "shop"), Propagation::Background).await;
    world
        .until("the namespace is gone", |world| {
            assert_tasks_have_their_revision(world);
            let left = contents(world, "shop");
            let gone = find(world, "namespaces", "", "shop").is_none();
            assert!(!gone || left.is_empty(), "the namespace went before {left:?}");
            gone
        })
        .await;
    assert_eq!(world.machines[0].0.alive().len(), 1, "only the task of the other namespace runs");
    assert!(find(&world, "apps", "default", "other").is_some());
    world.assert_owned();
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn finalizer_of_somebody_else_holds_a_namespace_that_is_otherwise_empty() {
    let mut world = World::new(1, 52).await;
    let _server = world.start().await;
    world.create(app("web", 2, "serve 1")).await;
    world.create(held(note("shop", "precious"))).await;
    world.create(note("shop", "loose")).await;
    world.until_ready("web").await;
    delete(&world, &key("namespaces", "", "shop"), Propagation::Background).await;
    world
        .until("only what is held is left", |world| {
            contents(world, "shop") == [key("configmaps", "shop", "precious").to_string()]
        })
        .await;
    assert!(world.machines[0].0.alive().is_empty());
    world.assert_quiet().await;
    let waits = find(&world, "namespaces", "", "shop").unwrap().typed::<Namespace>().unwrap();
    let told: Vec<_> = waits.status.iter().flat_map(|it| it.conditions.iter().flatten()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].type_, "NamespaceFinalizersRemaining");
    let why = "Some content in the namespace has finalizers remaining: example.com/hold";
    assert_eq!(told[0].message.as_deref(), Some(why));
    let refused =
        world.people.commit(&Fence::none(), vec![Write::Create { value: note("shop", "new") }]).await;
    let Err(CommitError::Invalid { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.message.contains("it is being terminated"), "{}", source.message);
    let_go(&world, &key("configmaps", "shop", "precious")).await;
    world.until("it is gone", |world| find(world, "namespaces", "", "shop").is_none()).await;
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn namespace_is_emptied_whenever_the_server_dies_meanwhile() {
    for polls in (1..240).step_by(17) {
        let mut world = World::new(1, polls).await;
        let server = world.start().await;
        world.create(app("web", 3, "serve 1")).await;
        world.until_ready("web").await;
        server.env.crash();
        delete(&world, &key("namespaces", "", "shop"), Propagation::Background).await;
        let doomed = world.server_process();
        doomed.crash_after(polls);
        let _begun = tokio::time::timeout(Duration::from_secs(1), world.start_on(doomed.clone())).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        doomed.crash();
        let _server = world.start().await;
        world.until("it is gone", |world| find(world, "namespaces", "", "shop").is_none()).await;
        assert_eq!(contents(&world, "shop"), [""; 0], "crashed after {polls} polls");
        world.until("nothing runs", |world| world.machines[0].0.alive().is_empty()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn owner_deleted_in_the_foreground_goes_after_what_it_owns() {
    let mut world = World::new(1, 53).await;
    let _server = world.start().await;
    world.create(note("shop", "owner")).await;
    let owner = note_named(&world, "owner").unwrap();
    world.create(held(owned("held", &[&owner]))).await;
    world.create(owned("free", &[&owner])).await;
    delete(&world, owner.key(), Propagation::Foreground).await;
    world.until("what may go is gone", |world| note_named(world, "free").is_none()).await;
    world.assert_quiet().await;
    let waits = note_named(&world, "owner").unwrap();
    assert!(waits.meta().deletion.is_some());
    assert!(note_named(&world, "held").unwrap().meta().deletion.is_some());
    let_go(&world, &key("configmaps", "shop", "held")).await;
    world
        .until("the owner is gone", |world| {
            let gone = note_named(world, "owner").is_none();
            assert!(!gone || note_named(world, "held").is_none(), "the owner went first");
            gone
        })
        .await;
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn owner_deleted_in_the_background_goes_first_and_what_it_owns_follows() {
    let mut world = World::new(1, 54).await;
    let _server = world.start().await;
    world.create(note("shop", "owner")).await;
    let owner = note_named(&world, "owner").unwrap();
    world.create(owned("child", &[&owner])).await;
    let child = note_named(&world, "child").unwrap();
    world.create(owned("grandchild", &[&child])).await;
    delete(&world, owner.key(), Propagation::Background).await;
    assert!(note_named(&world, "owner").is_none(), "nothing holds it");
    world.until("all that it owned is gone", |world| note_named(world, "grandchild").is_none()).await;
    assert!(note_named(&world, "child").is_none());
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_orphaning_owner_owned_stays_and_forgets_it() {
    let mut world = World::new(1, 55).await;
    let _server = world.start().await;
    world.create(note("shop", "owner")).await;
    world.create(note("shop", "other")).await;
    let owner = note_named(&world, "owner").unwrap();
    let other = note_named(&world, "other").unwrap();
    world.create(owned("only", &[&owner])).await;
    world.create(owned("shared", &[&owner, &other])).await;
    delete(&world, owner.key(), Propagation::Orphan).await;
    world.until("the owner is gone", |world| note_named(world, "owner").is_none()).await;
    world.assert_quiet().await;
    assert_eq!(owners(&note_named(&world, "only").unwrap()), [""; 0]);
    assert_eq!(owners(&note_named(&world, "shared").unwrap()), ["other"]);
}

#[tokio::test(start_paused = true)]
async fn owner_that_is_gone_is_forgotten_beside_one_that_lives() {
    let mut world = World::new(1, 56).await;
    let _server = world.start().await;
    for name in ["first", "second"] {
        world.create(note("shop", name)).await;
    }
    let [first, second] = ["first", "second"].map(|name| note_named(&world, name).unwrap());
    world.create(owned("shared", &[&first, &second])).await;
    delete(&world, first.key(), Propagation::Background).await;
    world.until("it is forgotten", |world| owners(&note_named(world, "shared").unwrap()) == ["second"]).await;
    delete(&world, second.key(), Propagation::Background).await;
    world.until("nobody needs it", |world| note_named(world, "shared").is_none()).await;
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_born_after_its_owner_went_goes_too() {
    let mut world = World::new(1, 57).await;
    let _server = world.start().await;
    world.create(note("shop", "owner")).await;
    let owner = note_named(&world, "owner").unwrap();
    delete(&world, owner.key(), Propagation::Background).await;
    world.create(owned("late", &[&owner])).await;
    world.until("it is gone", |world| note_named(world, "late").is_none()).await;
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn owner_in_another_namespace_owns_nothing() {
    let mut world = World::new(1, 58).await;
    let _server = world.start().await;
    world.create(note("default", "owner")).await;
    let owner = find(&world, "configmaps", "default", "owner").unwrap();
    world.create(owned("stranger", &[&owner])).await;
    world.until("it has no owner and goes", |world| note_named(world, "stranger").is_none()).await;
    assert!(find(&world, "configmaps", "default", "owner").is_some());
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_because_of_an_owner_that_cannot_be_seen_from_here() {
    let mut world = World::new(1, 61).await;
    let _server = world.start().await;
    let mut stranger = note("shop", "stranger");
    stranger["metadata"]["ownerReferences"] = json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "name": "all", "uid": "elsewhere"}]);
    world.create(stranger).await;
    world.assert_quiet().await;
    assert!(note_named(&world, "stranger").is_some());
}

#[tokio::test(start_paused = true)]
async fn app_deleted_in_the_foreground_goes_after_all_that_it_owns() {
    let mut world = World::new(1, 59).await;
    let _server = world.start().await;
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    delete(&world, &key("apps", "shop", "web"), Propagation::Foreground).await;
    world
        .until("the app is gone", |world| {
            assert_tasks_have_their_revision(world);
            let gone = world.app("web").is_none();
            let left: Vec<_> =
                contents(world, "shop").into_iter().filter(|it| !it.contains("events")).collect();
            assert!(!gone || left.is_empty(), "the app went before {left:?}");
            gone
        })
        .await;
    assert!(world.machines[0].0.alive().is_empty());
    world.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn tasks_of_an_orphaning_app_run_on_and_a_new_app_of_the_name_takes_them_over() {
    let mut world = World::new(1, 60).await;
    let _server = world.start().await;
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    let running = world.machines[0].0.alive();
    delete(&world, &key("apps", "shop", "web"), Propagation::Orphan).await;
    world.until("the app is gone", |world| world.app("web").is_none()).await;
    world.assert_quiet().await;
    let docs = world.tasks("web");
    let owned = |task: &Arc<Task>| task.metadata.owner_references.as_ref().is_some_and(|it| !it.is_empty());
    assert_eq!((docs.len(), docs.iter().any(owned)), (3, false));
    assert_eq!(world.machines[0].0.alive(), running);
    world.assert_owned();
    world.create(app("web", 3, "serve 1")).await;
    world.until_ready("web").await;
    assert_eq!(world.machines[0].0.alive(), running, "the same tasks run");
    world.assert_quiet().await;
}
