//! Perturbed views: a scenario is run once undisturbed, and then once for each point at which a server may die after a write,
//! be shown an older state, stand still, be told again, miss events, or see several as one. However it was disturbed, it must
//! end in the same state, and nothing forbidden may happen on the way.
//!
//! ```text
//! server ──lens──▶ reach ──▶ store        people ──reach──▶ store
//!           └ one perturbation per run
//! ```

mod course;
mod end;
mod lens;
mod point;
mod scenario;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::Task;
use tenure::env::watch;
use tenure::registry::{Cache, CommitError, Fence, Key, Registry, Resource, Snapshot, Write};
use tenure::store::Store;
use tenure::store::memory::MemoryStore;
use tokio::time::Instant;

pub(crate) use self::course::Course;
use self::course::Perturbation;
pub(crate) use self::end::{End, Of};
use self::lens::Lens;
pub(crate) use self::point::{Kind, Point, points};
pub(crate) use self::scenario::{ALL, Scenario};
use self::scenario::{Deed, MACHINES};
use crate::calm::{in_virtual_time, settle};
use crate::checks::{Blur, Checks, Reality, Terms};
use crate::seeded::chaos::World;
use crate::seeded::cluster::Cluster;
use crate::seeded::reach::{Reach, Through};
use crate::seeded::servers::{Around, Servers, scheme};
use crate::seeded::sim::{Sim, prefix};
use crate::seeded::{BOUND, Profile, Telling, be_quiet, panics};

/// What became of a run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) scenario: &'static str,
    pub(crate) point: Option<Point>,
    /// Everything that was found wrong, in order.
    pub(crate) broken: Vec<String>,
    pub(crate) end: End,
    pub(crate) course: Course,
    /// The last lines of the log.
    pub(crate) tail: String,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let point = self.point.map_or_else(|| "undisturbed".to_owned(), |it| it.to_string());
        writeln!(f, "{} {point} fails:", self.scenario)?;
        self.broken.iter().take(20).try_for_each(|what| writeln!(f, "  {what}"))?;
        writeln!(f, "the end of its log:\n{}", self.tail)?;
        write!(f, "replay with: hack/sim --perturbed {} --point {point}", self.scenario)
    }
}

/// Runs a scenario undisturbed: what all others are compared with.
pub(crate) fn undisturbed(scenario: &'static Scenario) -> Run {
    run(scenario, None, Telling::Digest)
}

/// Runs a scenario disturbed at `point`, and compares its end with `expected`.
pub(crate) fn disturbed(scenario: &'static Scenario, point: Point, expected: &End, telling: Telling) -> Run {
    let mut run = run(scenario, Some(point), telling);
    run.broken.extend(run.end.differences(expected));
    run
}

fn run(scenario: &'static Scenario, point: Option<Point>, telling: Telling) -> Run {
    let mut run = in_virtual_time(live(scenario, point, telling));
    run.broken.extend(panics::take());
    run
}

/// A scenario on its way.
struct Stage {
    scenario: &'static Scenario,
    world: World,
    people: Arc<Registry>,
    /// People are never cut off from the store; their watch ends when nobody could do so.
    _uncut: watch::Sender<bool>,
    checks: Arc<Mutex<Checks>>,
    reality: Reality,
}

async fn live(scenario: &'static Scenario, point: Option<Point>, telling: Telling) -> Run {
    let perturbation = Arc::new(Perturbation::new(point));
    let mut stage = Stage::set(scenario, point, &perturbation, telling).await;
    let left = stage.play(&perturbation).await;
    let mut broken = stage.checks.lock().unwrap().broken().to_vec();
    broken.extend(left);
    if point.is_some() && !perturbation.struck() {
        broken.push("the perturbation never struck".to_owned());
    }
    let checks = stage.checks.lock().unwrap();
    let objects = &checks.scene().objects;
    let determined = if scenario.apart.is_some() { Of::Spread } else { Of::Whole };
    let end = End::of(objects, &stage.reality, determined);
    let course = perturbation.course(objects.revision);
    let tail = stage.world.sim.log_lock().tail();
    Run { scenario: scenario.name, point, broken, end, course, tail }
}

impl Stage {
    async fn set(
        scenario: &'static Scenario,
        point: Option<Point>,
        perturbation: &Arc<Perturbation>,
        telling: Telling,
    ) -> Stage {
        let sim = Sim::new(1, Profile::quiet(scenario.servers, MACHINES), telling);
        let store = MemoryStore::new(sim.env());
        let cluster = Cluster::new(&sim);
        let reality = Reality(Arc::new(cluster.machines()));
        let blurred = point.is_some_and(|point| point.kind.blurs());
        let terms = Terms { reality: Some(reality.clone()), blur: Blur::lasting(blurred) };
        let of = sim.clone();
        let checks = Checks::telling(&store, &prefix(), &terms, move |changes| {
            crate::seeded::story::tell(&of, changes);
        });
        let (uncut, cut) = watch::channel(false);
        let reach = Reach::new(&sim, &checks, ("people", Through::Door), &store, &cut);
        let people = people(&sim, reach).await;
        let servers = Servers::new(&sim, &checks, &terms.blur, &store, through(perturbation));
        let mut world = World { sim, store, servers, cluster, store_heals_at: None, level_since: None };
        world.cluster.start().await;
        Stage { scenario, world, people, _uncut: uncut, checks, reality }
    }

    /// Does everything; tells what is not as it should be at the end.
    async fn play(&mut self, perturbation: &Perturbation) -> Option<String> {
        if self.scenario.served {
            self.rest(Duration::from_secs(1)).await;
        }
        for deed in self.scenario.before {
            self.perform(*deed).await;
        }
        if self.scenario.served
            && let Some(left) = self.settle().await
        {
            return Some(format!("before the act: {left}"));
        }
        perturbation.begin(self.world.store.revision().await.unwrap());
        self.world.sim.log(format_args!("the act begins"));
        for deed in self.scenario.act {
            self.perform(*deed).await;
        }
        if let Some(left) = self.settle().await {
            return Some(left);
        }
        self.world.sim.log(format_args!("settled"));
        be_quiet(&mut self.world, &self.checks).await
    }

    async fn rest(&mut self, time: Duration) {
        self.world.run_until(Instant::now() + time).await;
    }

    async fn settle(&mut self) -> Option<String> {
        settle(&mut self.world, &self.checks, &self.reality).await
    }

    async fn perform(&mut self, deed: Deed) {
        self.world.sim.log(format_args!("{deed:?}"));
        match deed {
            Deed::CreateApp => self.write(Write::Create { value: self.scenario.app() }).await,
            Deed::Scale(instances) => self.edit(json!({"spec": {"instances": instances}})).await,
            Deed::Roll(cmd) => self.edit(json!({"spec": {"cmd": cmd}})).await,
            Deed::DeleteApp => self.edit(json!({"metadata": {"deletionTimestamp": "now"}})).await,
            Deed::Launched(revisions) => self.until_launched(revisions).await,
            Deed::LoseMachine(index) => self.world.cluster.lose(index),
            Deed::CrashLeader => self.crash_leader().await,
        }
    }

    fn objects(&self) -> Snapshot {
        self.checks.lock().unwrap().scene().objects.clone()
    }

    async fn write(&self, write: Write) {
        self.people.commit(&Fence::none(), vec![write]).await.unwrap();
    }

    /// A person changes the App, as often as it takes.
    async fn edit(&self, patch: Value) {
        let key = Key::new(&Resource::new("tenure.dev", "apps"), "shop", "web");
        loop {
            let base = self.objects().get(&key).cloned().unwrap();
            let write = Write::Merge { base, patch: patch.clone() };
            match self.people.commit(&Fence::none(), vec![write]).await {
                Ok(_) => return,
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => panic!("{patch} is refused: {error}"),
            }
        }
    }

    async fn until_launched(&mut self, revisions: usize) {
        let begun = Instant::now();
        while launched(&self.objects()) < revisions && begun.elapsed() < BOUND {
            self.rest(Duration::from_millis(100)).await;
        }
    }

    async fn crash_leader(&mut self) {
        let Some(leader) = self.world.store.get(&prefix().leader()).await.unwrap() else { return };
        let told: Value = serde_json::from_slice(&leader.value).unwrap();
        let name = told["holder"].as_str().unwrap().to_owned();
        self.world.servers.crash(&name, Duration::from_secs(60));
    }
}

/// Of how many Revisions a Task was launched.
fn launched(objects: &Snapshot) -> usize {
    let tasks = objects.list(&Resource::new("tenure.dev", "tasks"), None);
    let tasks = tasks.filter_map(|doc| doc.typed::<Task>().ok()).filter(|task| task.status.is_some());
    let revisions: std::collections::BTreeSet<String> = tasks.map(|it| it.spec.revision.clone()).collect();
    revisions.len()
}

/// People's own way to the store, undisturbed, and the namespaces that they made.
async fn people(sim: &Sim, reach: Arc<Reach>) -> Arc<Registry> {
    let cache = Cache::start(sim.env(), reach.clone(), &prefix());
    let people = Registry::new(sim.env(), reach, cache, &prefix(), scheme());
    for namespace in ["default", "shop"] {
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        people.commit(&Fence::none(), vec![Write::Create { value }]).await.unwrap();
    }
    people
}

/// Every process sees the store through a lens of its own.
fn through(perturbation: &Arc<Perturbation>) -> Around {
    let perturbation = perturbation.clone();
    Arc::new(move |env, store| Arc::new(Lens { env: env.clone(), store, perturbation: perturbation.clone() }))
}
