//! The world of a walk: people write through the door of a server that runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tenure::api::AppSpec;
use tenure::mesos::embedded::simulated::Fate;
use tenure::mesos::wire::TaskInfo;
use tenure::registry::{Failure, Fence, Registry, Write};
use tenure::store::memory::MemoryStore;
use tokio::time::Instant;

use super::Walk;
use super::actors::{Actor, Way, app, present};
use super::fields::differing;
use super::wishes::{Bad, PROCESS, Wish};
use crate::calm::settle;
use crate::checks::{Blur, Checks, Reality, Terms};
use crate::perturbed::{End, Of};
use crate::seeded::chaos::World;
use crate::seeded::cluster::Cluster;
use crate::seeded::servers::{Servers, plain};
use crate::seeded::sim::{Sim, prefix};
use crate::seeded::{Profile, Telling, be_quiet};

const MACHINES: usize = 3;

/// A world in which people walk.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) checks: Arc<Mutex<Checks>>,
    reality: Reality,
    pub(super) people: BTreeMap<String, Actor>,
    /// What everybody together wants.
    pub(super) wanted: Wish,
}

/// What becomes of tasks: those of some images do not start, and those with health checks are healthy.
fn fate(info: &TaskInfo) -> Fate {
    let image = info.container.as_ref().and_then(|it| it.docker.as_ref()).map(|it| it.image.clone());
    if image.is_some_and(|image| image.starts_with("missing/")) {
        return Fate::FailToStart { message: "no such image".to_owned() };
    }
    match info.health_check {
        Some(_) => Fate::BecomeUnhealthy { after: Duration::from_secs(100_000_000) },
        None => Fate::RunForever,
    }
}

impl Stage {
    pub(super) async fn set(seed: u64) -> Stage {
        let sim = Sim::new(seed, Profile::quiet(1, MACHINES), Telling::Digest);
        let store = MemoryStore::new(sim.env());
        let cluster = Cluster::with(&sim, |_, info| fate(info));
        let reality = Reality(Arc::new(cluster.machines()));
        let terms = Terms { reality: Some(reality.clone()), blur: Blur::default() };
        let of = sim.clone();
        let checks = Checks::telling(&store, &prefix(), &terms, move |changes| {
            crate::seeded::story::tell(&of, changes);
        });
        let servers = Servers::new(&sim, &checks, &terms.blur, &store, plain());
        let mut world = World { sim, store, servers, cluster, store_heals_at: None, level_since: None };
        world.cluster.start().await;
        world.run_until(Instant::now() + Duration::from_secs(1)).await;
        let mut stage = Stage { world, checks, reality, people: BTreeMap::new(), wanted: Wish::new() };
        stage.found().await;
        stage
    }

    /// The namespace, the Secrets and the other App that specs speak of.
    pub(super) async fn found(&mut self) {
        let secret = |name: &str, data: Value| {
            let metadata = json!({"namespace": "shop", "name": name});
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
        };
        let both = json!({"password": "aHVudGVyMg==", "user": "bWU="});
        let mut login = both.clone();
        login[".dockerconfigjson"] = json!("e30=");
        let other = json!({"cmd": "serve", "instances": 1, "ports": [{"name": "http"}]});
        for value in [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
            secret("db", both),
            secret("registry-login", login),
            app("db", other.as_object().unwrap()),
        ] {
            self.door().commit(&Fence::none(), vec![Write::Create { value }]).await.unwrap();
        }
    }

    pub(super) fn door(&self) -> Arc<Registry> {
        self.world.servers.door().expect("the server is never away")
    }

    pub(super) async fn rest(&mut self, time: Duration) {
        self.world.run_until(Instant::now() + time).await;
    }

    /// All of `wishes` are written at the same time; afterwards all of them are true, and all that was true before.
    pub(super) async fn write_all(&mut self, wishes: Vec<Wish>, walk: &mut Walk) -> Result<(), String> {
        let door = self.door();
        let before = present(&door).await.map_or(Value::Null, |object| object["spec"].clone());
        let writing = wishes.iter().map(|wish| {
            let actor = &self.people[&group_of(wish)];
            let (sim, door) = (&self.world.sim, &door);
            sim.log(format_args!("{:?} wants {}", actor.way, json!(wish)));
            async move {
                match wish.get("instances") {
                    Some(instances) if actor.way == Way::Merge && sim.env().below(2) == 0 => {
                        actor.scale(door, instances).await
                    }
                    _ => actor.write(door, wish, false).await,
                }
            }
        });
        let answers = join_all(writing).await;
        for (wish, answer) in wishes.into_iter().zip(answers) {
            if let Err(failure) = answer {
                walk.broken.push(format!("{} is refused: {failure}", json!(wish)));
                continue;
            }
            walk.accepted += 1;
            if let Some(actor) = self.people.get_mut(&group_of(&wish)) {
                actor.config.extend(wish.clone());
            }
            self.wanted.extend(wish);
        }
        let after = self.stored_as_wanted().await?;
        walk.changed.extend(differing(&before, &after));
        Ok(())
    }

    /// The stored spec, if it says what everybody together wants.
    pub(super) async fn stored_as_wanted(&self) -> Result<Value, String> {
        let object = present(&self.door()).await.map_err(|failure| failure.to_string())?;
        let wanted: Wish = self.wanted.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
        let typed =
            |value: &Value| serde_json::from_value::<AppSpec>(value.clone()).map_err(|it| it.to_string());
        let (stored, wanted) = (typed(&object["spec"])?, typed(&json!(wanted))?);
        if stored == wanted {
            return Ok(object["spec"].clone());
        }
        Err(format!("stored is {}\nwanted is {}", json!(stored), json!(wanted)))
    }

    /// The wish is refused in words that name its field, and nothing is changed.
    pub(super) async fn refuse(&self, bad: &Bad, way: Way, walk: &mut Walk) -> Result<(), String> {
        let door = self.door();
        let generation = async || -> Result<Value, String> {
            let object = present(&door).await.map_err(|failure| failure.to_string())?;
            Ok(object["metadata"]["generation"].clone())
        };
        let before = generation().await?;
        // An applied list with keys, or set, is merged with what stands there already: items have other places, and what one lacks may be there.
        let is_merged = ["env", "revocable"].iter().any(|list| bad.wish.contains_key(*list));
        let way = if way == Way::Apply && is_merged { Way::Merge } else { way };
        let actor = Actor { way, ..self.people[&group_of(&bad.wish)].clone() };
        let told = format!("{way:?} of {}", json!(bad.wish));
        match actor.write(&door, &bad.wish, self.world.sim.env().below(4) == 0).await {
            Ok(_) => walk.broken.push(format!("{told} is accepted, though {} is wrong", bad.field)),
            Err(failure) if !is_told_as(&failure) => {
                walk.broken.push(format!("{told} is answered with {} {failure}", failure.code));
            }
            Err(failure) if !names(&failure, &bad.field) => {
                walk.broken.push(format!("{told} is refused without naming {}: {failure}", bad.field));
            }
            Err(_) => walk.refused += 1,
        }
        if before != generation().await? {
            return Err(format!("{told} is refused and changes something"));
        }
        self.stored_as_wanted().await.map(|_| ())
    }

    pub(super) async fn settle(&mut self, when: &str) -> Result<(), String> {
        if let Some(left) = settle(&mut self.world, &self.checks, &self.reality).await {
            return Err(format!("{when}: {left}"));
        }
        be_quiet(&mut self.world, &self.checks).await.map_or(Ok(()), Err)
    }

    pub(super) fn end(&self) -> End {
        End::of(&self.checks.lock().unwrap().scene().objects, &self.reality, Of::Present)
    }
}

/// Whether a refusal is the writer's fault. An apply that does not fit the schema is answered as Kubernetes does.
fn is_told_as(failure: &Failure) -> bool {
    let of_apply = failure.code == 500 && failure.message.starts_with("failed to create typed patch object");
    (400..500).contains(&failure.code) || of_apply
}

/// Whether a refusal names the field. An apply names items of lists by their keys.
fn names(failure: &Failure, field: &str) -> bool {
    let last = field.rsplit('.').next().unwrap_or_default();
    let name = last.split('[').next().unwrap_or_default();
    failure.message.contains(field) || (failure.code == 500 && failure.message.contains(name))
}

/// The fields that must fit each other go by one name.
pub(super) fn group(path: &str) -> String {
    let top = path.split(['.', '[']).next().unwrap_or_default();
    match top {
        // Nobody cares for a field that is not there.
        "unheardOf" => "instances".to_owned(),
        top if PROCESS.contains(&top) => "process".to_owned(),
        top => top.to_owned(),
    }
}

pub(super) fn group_of(wish: &Wish) -> String {
    wish.keys().next().map(|name| group(name)).unwrap_or_default()
}
