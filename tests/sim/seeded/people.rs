//! People, who change what they want at any time, through the door of some server.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tenure::api::{Agent, App, labels};
use tenure::registry::{CommitError, Doc, Fence, Key, Registry, Resource, Snapshot, Write};

use super::profile::ROLES;
use super::sim::Sim;
use crate::checks::Checks;

/// The Apps that people may want.
const APPS: [&str; 3] = ["web", "api", "db"];
/// The most instances of one App: all fit on one machine, twice.
const INSTANCES_MAX: u64 = 5;

/// The namespaces of a world; those that are there already stay.
pub(crate) async fn found(door: &Registry) -> Result<(), CommitError> {
    for namespace in ["default", "shop"] {
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        match door.commit(&Fence::none(), vec![Write::Create { value }]).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn key(plural: &str, name: &str) -> Key {
    Key::new(&Resource::new("tenure.dev", plural), "shop", name)
}

/// A person does something, and does not wait for the answer; what is accepted must be so.
pub(crate) fn act(sim: &Sim, checks: &Arc<Mutex<Checks>>, door: Arc<Registry>) {
    let Some(name) = sim.pick(&APPS).copied() else { return };
    let snapshot = door.cache().snapshot();
    let present = snapshot.get(&key("apps", name)).cloned();
    let tasks: Vec<_> = snapshot.list(&Resource::new("tenure.dev", "tasks"), Some("shop")).cloned().collect();
    let write = match present {
        None => Write::Create { value: new_app(sim, name) },
        Some(base) => match sim.env().below(20) {
            0 => end(base),
            1 => match sim.pick(&tasks) {
                Some(task) => end(task.clone()),
                None => return,
            },
            _ => Write::Merge { base, patch: json!({"spec": change(sim, name)}) },
        },
    };
    send(sim, checks, door, write);
}

/// Somebody who wants nothing touches an object, so that others' writes come too late.
pub(crate) fn interfere(sim: &Sim, checks: &Arc<Mutex<Checks>>, door: Arc<Registry>) -> Option<Key> {
    let snapshot = door.cache().snapshot();
    let of = |plural: &str| snapshot.list(&Resource::new("tenure.dev", plural), Some("shop")).cloned();
    let all: Vec<_> = of("apps").chain(of("tasks")).collect();
    let base = sim.pick(&all)?.clone();
    let key = base.key().clone();
    let patch = json!({"metadata": {"annotations": {"touched": sim.env().below(1 << 30).to_string()}}});
    send(sim, checks, door, Write::Merge { base, patch });
    Some(key)
}

/// Somebody confirms what machines ask about their orphans: it is the right store.
pub(crate) fn answer(sim: &Sim, checks: &Arc<Mutex<Checks>>, door: &Arc<Registry>) {
    for base in door.cache().snapshot().list(&Resource::new("tenure.dev", "agents"), None) {
        let Ok(agent) = base.typed::<Agent>() else { continue };
        let Some(question) = agent.status.as_ref().and_then(|it| it.orphans.as_ref()) else { continue };
        let annotations = agent.metadata.annotations.as_ref();
        if annotations.and_then(|it| it.get(labels::CONFIRM_ORPHANS)) == Some(&question.digest) {
            continue;
        }
        let patch = json!({"metadata": {"annotations": {labels::CONFIRM_ORPHANS: question.digest}}});
        send(sim, checks, door.clone(), Write::Merge { base: base.clone(), patch });
    }
}

fn end(base: Arc<Doc>) -> Write {
    Write::Merge { base, patch: json!({"metadata": {"deletionTimestamp": "now"}}) }
}

/// Sends a write, and does not wait for it: the server may be slow, or die over it.
fn send(sim: &Sim, checks: &Arc<Mutex<Checks>>, door: Arc<Registry>, write: Write) {
    let (of, checks) = (sim.clone(), checks.clone());
    sim.env().spawn("person", async move {
        let told = match &write {
            Write::Create { value } => format!("creates {value}"),
            Write::Merge { base, patch } => format!("changes {} by {patch}", base.key()),
            Write::Remove { base } | Write::Guard { base } => base.key().to_string(),
        };
        of.act("edit");
        of.log(format_args!("person {told}"));
        match door.commit(&Fence::none(), vec![write]).await {
            Ok(committed) => {
                of.log(format_args!("person has {} accepted", committed.revision));
                let mut checks = checks.lock().unwrap();
                committed.docs.iter().flatten().for_each(|doc| checks.accepted(doc));
            }
            Err(CommitError::Invalid { source, .. }) => panic!("{told} is not valid: {source:?}"),
            Err(error) => of.log(format_args!("person hears: {error}")),
        }
    });
}

fn new_app(sim: &Sim, name: &str) -> Value {
    let mut spec = json!({
        "instances": sim.between(0, INSTANCES_MAX + 1),
        "ports": [{"name": "http"}],
        "backoff": {"initial": "1s", "factor": 1.5, "max": "20s"},
        "kill": {"gracePeriod": "1s"},
    });
    for patch in [command(sim), bounds(sim), patience(sim), lent(sim)] {
        json_patch::merge(&mut spec, &patch);
    }
    if sim.profile().roles > 1 {
        json_patch::merge(&mut spec, &role(sim));
    }
    let metadata = json!({"namespace": "shop", "name": name});
    json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": metadata, "spec": spec})
}

/// A change of an App's spec.
fn change(sim: &Sim, name: &str) -> Value {
    if sim.profile().roles > 1 && sim.env().below(8) == 0 {
        return role(sim);
    }
    match sim.env().below(13) {
        0..=2 => json!({"instances": sim.between(0, INSTANCES_MAX + 1)}),
        3..=5 => command(sim),
        6 => bounds(sim),
        7 => patience(sim),
        8 | 9 => place(sim),
        10 => json!({"restartedAt": format!("{:?}", sim.elapsed())}),
        11 => lent(sim),
        _ if name != "db" && sim.env().below(2) == 0 => json!({"dependsOn": ["db"]}),
        _ => json!({"dependsOn": []}),
    }
}

/// One of the framework's roles, or none: then it is the first.
fn role(sim: &Sim) -> Value {
    let roles: Vec<Value> =
        std::iter::once(Value::Null).chain(ROLES[..sim.profile().roles].iter().map(|it| json!(it))).collect();
    json!({"role": sim.pick(&roles)})
}

/// What an App takes of what machines lend: mostly nothing.
fn lent(sim: &Sim) -> Value {
    const WISHES: [&[&str]; 4] = [&[], &[], &["cpus"], &["cpus", "memory"]];
    json!({"revocable": sim.pick(&WISHES)})
}

/// Few commands, so that people come back to old ones.
fn command(sim: &Sim) -> Value {
    let number = sim.env().below(4);
    if sim.env().below(2) == 0 {
        return json!({"cmd": format!("serve {number}"), "healthChecks": []});
    }
    json!({"cmd": format!("checked {number}"), "healthChecks": [{"tcp": {"port": "http"}}]})
}

fn bounds(sim: &Sim) -> Value {
    let (minimum, over) = (sim.pick(&[0.0, 0.5, 1.0]), sim.pick(&[0.0, 0.34, 1.0]));
    json!({"update": {"minimumHealthCapacity": minimum, "maximumOverCapacity": over}})
}

fn patience(sim: &Sim) -> Value {
    let (inactive, expunge) = (sim.pick(&["0s", "10s", "60s"]), sim.pick(&["90s", "200s", "600s"]));
    json!({"unreachable": {"inactiveAfter": inactive, "expungeAfter": expunge}})
}

/// Where instances may be: pinned to a machine, apart, or anywhere.
fn place(sim: &Sim) -> Value {
    let machine = format!("machine-{}", sim.env().below(sim.profile().machines as u64));
    let mut constraint = match sim.env().below(7) {
        0 => json!({"operator": "IS", "value": machine}),
        1 => json!({"operator": "UNLIKE", "value": machine}),
        2 => json!({"operator": "UNIQUE"}),
        3 => json!({"operator": "MAX_PER", "value": "2"}),
        4 => json!({"operator": "GROUP_BY"}),
        5 => json!({"operator": "CLUSTER", "value": machine}),
        _ => return json!({"constraints": []}),
    };
    constraint["attribute"] = json!("hostname");
    json!({"constraints": [constraint]})
}

/// Whether what is wanted can be had with the machines that are left.
fn can_be_had(app: &App) -> bool {
    let anywhere = app.spec.template.constraints.is_empty() && app.spec.depends_on.is_empty();
    app.metadata.deletion_timestamp.is_some() || anywhere
}

/// The last wishes: what is wanted can be had. Returns whether all are accepted, by the `truth` of the store: a server may show
/// Apps as they were, and then refuses to change them.
pub(crate) async fn settle(sim: &Sim, door: Arc<Registry>, truth: &Snapshot) -> bool {
    let mut wanted = truth.list(&Resource::new("tenure.dev", "apps"), Some("shop")).peekable();
    let some = wanted.peek().is_some();
    if some && wanted.all(|doc| doc.typed::<App>().is_ok_and(|app| can_be_had(&app))) {
        return true;
    }
    let Ok(snapshot) = door.cache().most_recent().await else { return false };
    let apps: Vec<_> = snapshot.list(&Resource::new("tenure.dev", "apps"), Some("shop")).cloned().collect();
    let mut writes: Vec<Write> = Vec::new();
    if apps.is_empty() {
        writes.push(Write::Create { value: new_app(sim, "web") });
    }
    for base in apps {
        let Ok(app) = base.typed::<App>() else { return false };
        if !can_be_had(&app) {
            writes.push(Write::Merge { base, patch: json!({"spec": {"constraints": [], "dependsOn": []}}) });
        }
    }
    for write in writes {
        if let Err(error) = door.commit(&Fence::none(), vec![write]).await {
            sim.log(format_args!("a last wish is not accepted: {error}"));
        }
    }
    false
}
