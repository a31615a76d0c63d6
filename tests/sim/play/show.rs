//! What is, in columns.

use std::sync::Arc;

use serde_json::Value;
use tenure::api::{Address, Agent, App, Endpoints, Revision, Task};
use tenure::registry::{Doc, Resource};

use super::names::{Names, numbered};
use super::stage::{Stage, all};
use crate::seeded::machine_name;

type Rows = Vec<Vec<String>>;

/// Rows in columns, by their first one.
fn table(header: &[&str], mut rows: Rows) -> Vec<String> {
    if rows.is_empty() {
        return vec!["none".to_owned()];
    }
    rows.sort_by_cached_key(|row| numbered(&row[0]));
    rows.insert(0, header.iter().map(|it| (*it).to_owned()).collect());
    lined_up(&rows)
}

fn lined_up(rows: &[Vec<String>]) -> Vec<String> {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let cell = |(column, text): (usize, &String)| format!("{text:<0$}", width(column).unwrap_or(0) + 2);
    rows.iter()
        .map(|row| row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned())
        .collect()
}

pub(super) fn show(stage: &Stage, what: &str, app: Option<&str>) -> Result<Vec<String>, String> {
    if let Some(app) = app {
        let objects = stage.objects();
        let known = all::<App>(&objects, "apps").any(|(_, it)| it.metadata.name.as_deref() == Some(app))
            || all::<Task>(&objects, "tasks").any(|(_, it)| it.spec.app == app);
        if !known {
            stage.app(app)?;
        }
    }
    match what {
        "apps" => Ok(apps(stage, app)),
        "tasks" => Ok(tasks(stage, app)),
        "endpoints" => Ok(endpoints(stage, app)),
        "revisions" => Ok(revisions(stage, app)),
        "events" => Ok(events(stage, app)),
        "running" if app.is_none() => Ok(running(stage)),
        _ => Err(format!(
            "{what:?} cannot be shown; there are: apps, tasks, endpoints, revisions, events, running, calls"
        )),
    }
}

fn word(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

fn is(app: Option<&str>, name: &str) -> bool {
    app.is_none_or(|app| app == name)
}

fn apps(stage: &Stage, app: Option<&str>) -> Vec<String> {
    let (objects, narrator) = (stage.objects(), stage.narrator());
    let of_app = all::<App>(&objects, "apps").filter(|(doc, _)| is(app, &doc.key().name));
    let row = |(doc, app): (Arc<Doc>, Arc<App>)| {
        let status = app.status.clone().unwrap_or_default();
        let revision = status.revision.map_or_else(|| "-".to_owned(), |it| narrator.names.short(&it));
        let numbers = [app.spec.instances, status.running, status.healthy, status.updated, status.waiting];
        let ready = status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        let mut row = vec![doc.key().name.to_string()];
        row.extend(numbers.map(|it| it.to_string()));
        row.extend([word(ready), revision]);
        row
    };
    let header = ["APP", "INSTANCES", "RUNNING", "HEALTHY", "UPDATED", "WAITING", "READY", "REVISION"];
    table(&header, of_app.map(row).collect())
}

fn tasks(stage: &Stage, app: Option<&str>) -> Vec<String> {
    let (objects, narrator) = (stage.objects(), stage.narrator());
    let of_app = all::<Task>(&objects, "tasks").filter(|(_, it)| is(app, &it.spec.app));
    let row = |(doc, task): (Arc<Doc>, Arc<Task>)| {
        let status = task.status.clone().unwrap_or_default();
        let healthy = status.healthy.map_or_else(|| "-".to_owned(), word);
        let host = task.spec.binding.as_ref().map_or("-", |it| it.host.as_str()).to_owned();
        let stop = task.spec.stop.as_ref().map_or("-", |it| it.reason.as_str()).to_owned();
        let phase = format!("{:?}{}", task.phase(), if status.reachable { "" } else { ", cut off" });
        let revision = narrator.names.short(&task.spec.revision);
        vec![
            narrator.names.of(&doc),
            task.spec.slot.to_string(),
            revision,
            phase,
            healthy,
            word(status.ready),
            host,
            stop,
        ]
    };
    let header = ["TASK", "SLOT", "REVISION", "PHASE", "HEALTHY", "READY", "HOST", "STOP"];
    table(&header, of_app.map(row).collect())
}

fn endpoints(stage: &Stage, app: Option<&str>) -> Vec<String> {
    let (objects, narrator) = (stage.objects(), stage.narrator());
    let of_app = all::<Endpoints>(&objects, "endpoints").filter(|(_, it)| is(app, &it.spec.app));
    // A port that nobody asked for by its number is drawn.
    let apps: Vec<Arc<App>> = all::<App>(&objects, "apps").map(|(_, it)| it).collect();
    let asked =
        |port: u16| apps.iter().flat_map(|it| &it.spec.template.ports).any(|it| it.host_port == Some(port));
    let mut rows = Vec::new();
    for (doc, endpoints) in of_app {
        let port = endpoints.spec.port.name.clone().unwrap_or_else(|| endpoints.spec.port.index.to_string());
        let sorts = [("ready", &endpoints.spec.ready), ("not ready", &endpoints.spec.not_ready)];
        let of_sort = |(sort, addresses): (&str, &Vec<Address>)| {
            let row = |it: &Address| {
                let number = if asked(it.port) { it.port.to_string() } else { "*".to_owned() };
                let at = format!("{}:{number}", it.address);
                vec![narrator.names.short(&it.task), port.clone(), sort.to_owned(), at]
            };
            addresses.iter().map(row).collect::<Rows>()
        };
        if sorts.iter().all(|(_, addresses)| addresses.is_empty()) {
            rows.push(vec!["-".to_owned(), port.clone(), format!("no address of {}", doc.key().name)]);
        }
        rows.extend(sorts.into_iter().flat_map(of_sort));
    }
    table(&["TASK", "PORT", "STATE", "ADDRESS"], rows)
}

fn revisions(stage: &Stage, app: Option<&str>) -> Vec<String> {
    let (objects, narrator) = (stage.objects(), stage.narrator());
    let of_app = all::<Revision>(&objects, "revisions").filter(|(_, it)| is(app, &it.spec.app));
    let row = |(doc, revision): (Arc<Doc>, Arc<Revision>)| {
        let cmd = revision.spec.template.cmd.clone().unwrap_or_default();
        vec![narrator.names.of(&doc), revision.spec.number.to_string(), cmd]
    };
    table(&["REVISION", "NUMBER", "COMMAND"], of_app.map(row).collect())
}

/// In the order in which they were first told.
fn events(stage: &Stage, app: Option<&str>) -> Vec<String> {
    let (objects, narrator) = (stage.objects(), stage.narrator());
    let names: &Names = &narrator.names;
    let docs = objects.list(&Resource::new("", "events"), None);
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for event in docs.filter_map(|doc| doc.typed::<Value>().ok()) {
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let about = names.short(text("/involvedObject/name"));
        let of_app = |app: &str| about == app || about.starts_with(&format!("{app}-"));
        if app.is_some_and(|app| !of_app(app)) {
            continue;
        }
        let count = event["count"].as_u64().unwrap_or(1);
        let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
        let said = format!("{}{times}", names.text(text("/message")));
        let row = vec![text("/type").to_owned(), text("/reason").to_owned(), about, said];
        rows.push((text("/firstTimestamp").to_owned(), row));
    }
    rows.sort_by_cached_key(|(time, row)| (time.clone(), numbered(&row[2]), row[1].clone(), row[3].clone()));
    let rows: Rows = rows.into_iter().map(|(_, row)| row).collect();
    if rows.is_empty() { vec!["none".to_owned()] } else { lined_up(&rows) }
}

fn running(stage: &Stage) -> Vec<String> {
    let narrator = stage.narrator();
    let hosts = stage.world.cluster.hosts.iter().enumerate();
    let row = |(index, host): (usize, &crate::seeded::Host)| {
        let alive = host.machine.alive().iter().map(|id| narrator.names.short(&id.value)).collect::<Vec<_>>();
        let alive = if alive.is_empty() { "-".to_owned() } else { super::names::in_order(alive).join(", ") };
        vec![machine_name(index), alive]
    };
    table(&["MACHINE", "RUNS"], hosts.map(row).collect())
}

/// What was asked of the master since this was asked last.
pub(super) fn calls(stage: &mut Stage) -> Vec<String> {
    let now = stage.world.sim.counts();
    let before = std::mem::replace(&mut stage.called, now.clone());
    let rows = now.acts.iter().filter_map(|(act, count)| {
        let call = act.strip_prefix("call ")?;
        let new = count - before.acts.get(act).copied().unwrap_or(0);
        // Reconciliation has rounds of its own, by time.
        (new > 0 && call != "RECONCILE").then(|| vec![call.to_owned(), new.to_string()])
    });
    table(&["CALL", "TIMES"], rows.collect())
}

pub(super) fn agents(stage: &Stage) -> Vec<String> {
    let objects = stage.objects();
    let tasks: Vec<Arc<Task>> = all::<Task>(&objects, "tasks").map(|(_, it)| it).collect();
    let row = |(_, agent): (Arc<Doc>, Arc<Agent>)| {
        let status = agent.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|it| it.type_ == "Ready");
        let ready = ready.map_or_else(|| "unknown".to_owned(), |it| format!("{} {}", it.status, it.reason));
        let here = |task: &&Arc<Task>| {
            !task.is_terminal() && task.spec.binding.as_ref().is_some_and(|it| it.agent_id == status.agent_id)
        };
        let asks = status.orphans.as_ref().map_or_else(|| "-".to_owned(), |it| it.count.to_string());
        vec![status.hostname.clone(), ready, tasks.iter().filter(here).count().to_string(), asks]
    };
    table(&["MACHINE", "READY", "TASKS", "ASKS ABOUT"], all::<Agent>(&objects, "agents").map(row).collect())
}

/// The conditions of an App, but those that say the same for GitOps tools.
pub(super) fn why(stage: &Stage, app: &str) -> Result<Vec<String>, String> {
    let (_, object) = stage.app(app)?;
    let names = stage.narrator();
    let conditions = object.status.clone().unwrap_or_default().conditions;
    let told = conditions.iter().filter(|it| it.type_ != "Reconciling");
    let row = |it: &tenure::api::Condition| {
        let message = names.names.text(&it.message);
        vec![it.type_.clone(), it.status.clone(), it.reason.clone(), message]
    };
    Ok(lined_up(&told.map(row).collect::<Vec<_>>()))
}
