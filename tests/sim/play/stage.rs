//! The world of a script, as its verbs use it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tenure::api::{Agent, App, Task};
use tenure::registry::{Doc, Key, Registry, Resource, Snapshot};
use tokio::time::Instant;

use super::narrator::Narrator;
use crate::apps::fate;
use crate::checks::Checks;
use crate::seeded::{Counts, World};

/// In which namespace everything of a script is.
pub(super) const NAMESPACE: &str = "shop";
/// How long is waited for anything.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

pub(super) struct Stage {
    pub(super) world: World,
    checks: Arc<Mutex<Checks>>,
    narrator: Arc<Mutex<Narrator>>,
    /// Who led when this was told last.
    leader: Option<String>,
    /// What had been called when this was told last.
    pub(super) called: Counts,
}

impl Stage {
    /// A world that has begun, in which nobody wants anything yet.
    pub(super) async fn set(servers: usize, machines: usize) -> Stage {
        let narrator = Arc::new(Mutex::new(Narrator::new()));
        let told = narrator.clone();
        let (world, checks) =
            World::quiet(servers, machines, fate, move |changes| told.lock().unwrap().hear(changes)).await;
        narrator.lock().unwrap().take();
        let (leader, called) = (world.leader().await, world.sim.counts());
        Stage { world, checks, narrator, leader, called }
    }

    pub(super) fn narrator(&self) -> MutexGuard<'_, Narrator> {
        self.narrator.lock().unwrap()
    }

    /// What happened since this was asked last.
    ///
    /// # Errors
    /// What must never happen and did.
    pub(super) async fn story(&mut self) -> Result<Vec<String>, String> {
        if let Some(broken) = self.checks.lock().unwrap().broken().first() {
            return Err(format!("this must never happen: {broken}"));
        }
        let mut story = self.narrator().take();
        let leader = self.world.leader().await;
        if leader != self.leader {
            story.extend(leader.as_ref().map(|name| format!("{name}: leading")));
            self.leader = leader;
        }
        Ok(story)
    }

    /// Everything, as the store has it.
    pub(super) fn objects(&self) -> Snapshot {
        self.checks.lock().unwrap().scene().objects.clone()
    }

    pub(super) fn excuse_next(&self) {
        self.checks.lock().unwrap().excuse_next();
    }

    /// The door of some server that answers.
    pub(super) fn door(&self) -> Result<Arc<Registry>, String> {
        self.world.servers.door().ok_or_else(|| "no server answers".to_owned())
    }

    /// What is called so in the transcript, of this kind.
    pub(super) fn find<K>(&self, plural: &str, short: &str) -> Result<(Arc<Doc>, Arc<K>), String>
    where
        K: DeserializeOwned + Send + Sync + 'static,
    {
        let names = self.narrator();
        let name = names.names.long(short).unwrap_or(short);
        let namespace = if plural == "agents" { "" } else { NAMESPACE };
        let objects = self.objects();
        let found = objects.get(&Key::new(&Resource::new("tenure.dev", plural), namespace, name));
        let found = found.and_then(|doc| Some((doc.clone(), doc.typed::<K>().ok()?)));
        found.ok_or_else(|| {
            let there = all::<K>(&objects, plural).map(|(doc, _)| names.names.of(&doc)).collect::<Vec<_>>();
            let there =
                if there.is_empty() { "none".to_owned() } else { super::names::in_order(there).join(", ") };
            format!("there is no {short:?} among the {plural}; there are: {there}")
        })
    }

    pub(super) fn task(&self, short: &str) -> Result<(Arc<Doc>, Arc<Task>), String> {
        self.find("tasks", short)
    }

    pub(super) fn app(&self, name: &str) -> Result<(Arc<Doc>, Arc<App>), String> {
        self.find("apps", name)
    }

    pub(super) fn agent(&self, machine: &str) -> Result<(Arc<Doc>, Arc<Agent>), String> {
        self.find("agents", machine)
    }

    /// Lets the world run until `reached`.
    pub(super) async fn wait(&mut self, what: &str, reached: impl Fn(&Stage) -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !reached(self) {
            if begun.elapsed() > PATIENCE {
                return Err(format!("not reached in {PATIENCE:?} of the world's time: {what}"));
            }
            self.world.run_for(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}

/// All of a kind, in the order of their names.
pub(super) fn all<K>(objects: &Snapshot, plural: &str) -> impl Iterator<Item = (Arc<Doc>, Arc<K>)>
where
    K: DeserializeOwned + Send + Sync + 'static,
{
    let docs = objects.list(&Resource::new("tenure.dev", plural), None);
    docs.filter_map(|doc| Some((doc.clone(), doc.typed::<K>().ok()?))).collect::<Vec<_>>().into_iter()
}
