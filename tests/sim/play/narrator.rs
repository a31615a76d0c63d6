//! What commits tell, as people would tell it: one line per thing that became of something.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use tenure::api::{Agent, App, Condition, Endpoints, Phase, Revision, Task, TaskStatus};
use tenure::registry::{Change, Doc};

use super::names::{Names, in_order, numbered};

/// Gathers the story until it is taken.
#[derive(Debug)]
pub(super) struct Narrator {
    pub(super) names: Names,
    /// What happened, each with those to whom it did.
    lines: Vec<(String, Vec<String>)>,
}

fn typed<K: DeserializeOwned + Send + Sync + 'static>(doc: Option<&Arc<Doc>>) -> Option<Arc<K>> {
    doc.and_then(|doc| doc.typed::<K>().ok())
}

/// Before and after.
fn both<K: DeserializeOwned + Send + Sync + 'static>(change: &Change) -> (Option<Arc<K>>, Option<Arc<K>>) {
    (typed(change.old.as_ref()), typed(change.new.as_ref()))
}

impl Narrator {
    pub(super) fn new() -> Narrator {
        Narrator { names: Names::new(), lines: Vec::new() }
    }

    /// The story so far, which is forgotten.
    pub(super) fn take(&mut self) -> Vec<String> {
        let line = |(what, who): (String, Vec<String>)| format!("{}: {what}", in_order(who).join(", "));
        std::mem::take(&mut self.lines).into_iter().map(line).collect()
    }

    /// Tells of one commit.
    pub(super) fn hear(&mut self, changes: &[Change]) {
        self.names.learn(changes);
        let mut lines = Vec::new();
        for change in changes {
            let who = self.names.short(&change.key.name);
            // Of one commit the cause is told before what follows from it.
            let (rank, told) = match change.key.resource.plural() {
                "revisions" => (0, revision(change).into_iter().collect()),
                "tasks" => (1, self.task(change)),
                "endpoints" => (2, self.endpoints(change).into_iter().collect()),
                "apps" => (3, self.app(change)),
                "agents" => (4, self.agent(change).into_iter().collect()),
                _ => continue,
            };
            let who = if rank == 2 { app_of(change).unwrap_or(who) } else { who };
            lines.extend(told.into_iter().map(|what| (rank, who.clone(), what)));
        }
        lines.sort_by_key(|(rank, who, _)| (*rank, numbered(who)));
        for (_, who, what) in lines {
            self.add(who, what);
        }
    }

    /// What happens to several, one after the other, is one line.
    pub(super) fn add(&mut self, who: String, what: String) {
        match self.lines.last_mut() {
            Some((last, all)) if *last == what && !all.contains(&who) => all.push(who),
            _ => self.lines.push((what, vec![who])),
        }
    }

    fn task(&self, change: &Change) -> Vec<String> {
        let (old, new) = both::<Task>(change);
        let Some(new) = new else { return vec!["gone".to_owned()] };
        let mut told = Vec::new();
        if old.is_none() {
            let beside = new.spec.replaces.as_ref();
            let beside =
                beside.map_or_else(String::new, |it| format!(", in the place of {}", self.names.short(it)));
            told.push(format!("wanted, of {}{beside}", self.names.short(&new.spec.revision)));
        }
        let host = |task: &Task| task.spec.binding.as_ref().map(|it| it.host.clone());
        match (old.as_deref().and_then(host), host(&new)) {
            (None, Some(host)) => told.push(format!("placed on {host}")),
            (Some(_), None) => told.push("waits again".to_owned()),
            _ => {}
        }
        if let (Some(stop), true) = (&new.spec.stop, old.as_ref().is_none_or(|it| it.spec.stop.is_none()))
            && !new.is_terminal()
        {
            told.push(self.names.text(&format!("shall end: {} ({})", stop.reason, stop.message)));
        }
        let before = old.as_ref().and_then(|it| it.status.clone()).unwrap_or_default();
        let after = new.status.clone().unwrap_or_default();
        told.extend(self.status(&before, &after));
        told
    }

    fn status(&self, before: &TaskStatus, after: &TaskStatus) -> Vec<String> {
        let said =
            || after.message.as_ref().map_or_else(String::new, |it| format!(": {}", self.names.text(it)));
        let mut told = Vec::new();
        let moved = before.phase != after.phase;
        match after.phase {
            Phase::Running if moved && after.ready => told.push("running".to_owned()),
            Phase::Running if moved => told.push("running, and not ready yet".to_owned()),
            Phase::Finished if moved => told.push(format!("ended{}", said())),
            Phase::Failed if moved => told.push(format!("failed{}", said())),
            Phase::Lost if moved => told.push(format!("lost{}", said())),
            Phase::Running if before.ready != after.ready => {
                told.push(if after.ready { "ready" } else { "not ready any more" }.to_owned());
            }
            _ => {}
        }
        match (before.healthy, after.healthy) {
            (was, Some(true)) if was != Some(true) => told.push("healthy".to_owned()),
            (was, Some(false)) if was != Some(false) => told.push("unhealthy".to_owned()),
            _ => {}
        }
        if before.reachable != after.reachable && !after.phase.is_terminal() {
            told.push(if after.reachable { "reached again" } else { "cut off" }.to_owned());
        }
        told
    }

    /// Told of the App: who serves now.
    fn endpoints(&self, change: &Change) -> Option<String> {
        let (old, new) = both::<Endpoints>(change);
        let serving = |it: Option<&Arc<Endpoints>>| {
            let ready = it.map(|it| it.spec.ready.clone()).unwrap_or_default();
            in_order(ready.iter().map(|address| self.names.short(&address.task)).collect())
        };
        let (was, is) = (serving(old.as_ref()), serving(new.as_ref()));
        let told = if is.is_empty() { "nobody".to_owned() } else { is.join(", ") };
        (was != is).then(|| format!("served by {told}"))
    }

    fn app(&self, change: &Change) -> Vec<String> {
        let (old, new) = both::<App>(change);
        let Some(new) = new else { return vec!["gone".to_owned()] };
        let conditions = |app: &App| app.status.clone().unwrap_or_default().conditions;
        let before = old.as_deref().map(conditions).unwrap_or_default();
        let is_true =
            |all: &[Condition], kind: &str| all.iter().any(|it| it.type_ == kind && it.status == "True");
        let mut told = Vec::new();
        for now in conditions(&new) {
            let was = is_true(&before, &now.type_);
            match (now.type_.as_str(), was, now.status == "True") {
                ("Ready", false, true) => told.push("all as wanted".to_owned()),
                ("Waiting", false, true) => told.push(format!("waiting: {}", self.names.text(&now.message))),
                ("Stalled", false, true) => told.push(format!("stalled: {}", self.names.text(&now.message))),
                ("Stalled", true, false) => told.push("not stalled any more".to_owned()),
                _ => {}
            }
        }
        told
    }

    fn agent(&self, change: &Change) -> Option<String> {
        let (old, new) = both::<Agent>(change);
        let Some(new) = new else { return Some("forgotten".to_owned()) };
        let ready = |agent: &Agent| {
            let conditions = agent.status.clone().unwrap_or_default().conditions;
            conditions.into_iter().find(|it| it.type_ == "Ready").map(|it| (it.status, it.reason))
        };
        let (was, is) = (old.as_deref().and_then(ready), ready(&new)?);
        match (was, &*is.0) {
            (None, "True") => Some("known".to_owned()),
            (Some(was), _) if was == is => None,
            (_, "True") => Some("ready again".to_owned()),
            (_, _) => Some(format!("not ready: {}", is.1)),
        }
    }
}

fn app_of(change: &Change) -> Option<String> {
    let (old, new) = both::<Endpoints>(change);
    new.or(old).map(|it| it.spec.app.clone())
}

fn revision(change: &Change) -> Option<String> {
    match both::<Revision>(change) {
        (None, Some(new)) => Some(format!("made, as revision {}", new.spec.number)),
        (Some(old), Some(new)) if old.spec.number != new.spec.number => {
            Some(format!("wanted again, as revision {}", new.spec.number))
        }
        (Some(_), None) => Some("gone".to_owned()),
        _ => None,
    }
}
