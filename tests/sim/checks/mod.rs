//! What must always hold (design section 8), one file each, judged at every commit of the store and every call to the
//! master, at the moment at which they happen.

mod acknowledgements;
mod advances;
mod bounds;
mod capacity;
mod constraints;
pub(crate) mod convergence;
mod deposed;
mod endpoints;
mod ends;
mod forgotten;
mod health;
mod kinds;
mod lent;
mod maintenance;
mod offers;
mod ports;
mod reality;
mod reasons;
mod roles;
mod slots;
mod writers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tenure::api::{Agent, AgentStatus};
use tenure::mesos::wire::scheduler::{Call, Event as MasterEvent};
use tenure::registry::{Change, Doc, Key, Prefix, Snapshot};
use tenure::store::memory::MemoryStore;
use tenure::store::{Event, Revision, Txn};
use tokio::time::Instant;

use self::kinds::{app, is_live, of_app, task, typed};
pub(crate) use self::reality::Reality;

/// One thing that must always hold. Whatever it finds broken it adds to `broken`, in a sentence.
trait Check: Send {
    /// What it is called where something is found broken.
    fn name(&self) -> &'static str {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name)
    }

    /// A transaction was committed.
    fn committed(&mut self, _: &Step<'_>, _broken: &mut Vec<String>) {}

    /// A transaction of `writer` was committed as `revision`.
    fn wrote(&mut self, _: Writer<'_>, _: &Txn, _: Revision, _: &Scene, _broken: &mut Vec<String>) {}

    /// A server calls the master.
    fn called(&mut self, _server: &str, _: &Call, _: &Scene, _broken: &mut Vec<String>) {}

    /// A server hears of something from the master.
    fn heard(&mut self, _server: &str, _: &MasterEvent, _broken: &mut Vec<String>) {}
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer<'a> {
    /// The loops of this server.
    Loops(&'a str),
    /// A person, through a server.
    Person,
}

/// All objects, and who leads, as the store has them.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    pub(crate) objects: Snapshot,
    /// The revision that created the leader's key, while there is one.
    pub(crate) term: Option<Revision>,
    /// Who stands in the leader's key.
    pub(crate) holder: Option<String>,
    /// When somebody last removed the leader's key: its holder does not know at once.
    pub(crate) taken: Option<Instant>,
}

/// One transaction: the objects that it changed, and all objects before and after.
pub(crate) struct Step<'a> {
    pub(crate) before: &'a Snapshot,
    pub(crate) after: &'a Snapshot,
    pub(crate) changes: &'a [Change],
}

/// What was found wrong so far.
pub(crate) struct Checks {
    prefix: Prefix,
    scene: Scene,
    checks: Vec<Box<dyn Check>>,
    broken: Vec<String>,
    origin: Instant,
    last_change: Instant,
    /// Every change of an object, in order.
    history: Vec<(Revision, Key)>,
    /// The next commit is somebody's who goes round Tenure.
    excused: bool,
}

/// What may be excused, or asked, in a world.
#[derive(Clone, Default)]
pub(crate) struct Terms {
    /// What runs on the machines; without it nothing is said about reality.
    pub(crate) reality: Option<Reality>,
    /// Whether a server's view of the store may be wrong now.
    pub(crate) blur: Blur,
}

/// While the watch has lost events a server's view of the store is wrong: what is decided on the view is then not judged by the
/// truth. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Blur {
    on: Arc<AtomicBool>,
    /// The watch stands still: a view is right, and as old as that.
    stalled: Arc<AtomicBool>,
    lasts: bool,
}

impl Blur {
    /// From the first to the last moment of a run.
    pub(crate) fn lasting(blurred: bool) -> Blur {
        Blur { on: Arc::new(AtomicBool::new(blurred)), lasts: true, ..Blur::default() }
    }

    pub(crate) fn set(&self, blurred: bool) {
        if !self.lasts {
            self.on.store(blurred, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }
}

impl Checks {
    /// Judges every commit of `store` from now on. It must be empty.
    pub(crate) fn of(store: &MemoryStore, prefix: &Prefix, terms: &Terms) -> Arc<Mutex<Checks>> {
        Checks::telling(store, prefix, terms, |_| {})
    }

    /// As [`Checks::of`], and tells `listener` of the changes of objects.
    pub(crate) fn telling(
        store: &MemoryStore,
        prefix: &Prefix,
        terms: &Terms,
        mut listener: impl FnMut(&[Change]) + Send + 'static,
    ) -> Arc<Mutex<Checks>> {
        let now = Instant::now();
        let checks = Arc::new(Mutex::new(Checks {
            prefix: prefix.clone(),
            scene: Scene::default(),
            checks: all(terms),
            broken: Vec::new(),
            origin: now,
            last_change: now,
            history: Vec::new(),
            excused: false,
        }));
        let told = checks.clone();
        store.tap(move |events| {
            let changes = told.lock().unwrap().take_in(events);
            listener(&changes);
        });
        checks
    }

    /// The next commit is made by hand, round Tenure: it is not judged.
    pub(crate) fn excuse_next(&mut self) {
        self.excused = true;
    }

    /// Fails if anything was found wrong.
    pub(crate) fn assert(&self) {
        assert!(self.broken.is_empty(), "{}", self.broken.join("\n"));
    }

    /// What was found wrong so far.
    pub(crate) fn broken(&self) -> &[String] {
        &self.broken
    }

    pub(crate) fn scene(&self) -> &Scene {
        &self.scene
    }

    /// When an object last changed.
    pub(crate) fn last_change(&self) -> Instant {
        self.last_change
    }

    /// Takes a commit in; returns the changes of objects.
    fn take_in(&mut self, events: &[Event]) -> Vec<Change> {
        let before = self.scene.objects.clone();
        let leader = self.prefix.leader();
        let mut changes = Vec::new();
        for event in events {
            if *event.key() == leader {
                let record = match event {
                    Event::Put(record) => Some(record),
                    Event::Deleted { .. } => None,
                };
                self.scene.term = record.map(|it| it.created);
                self.scene.holder = record.and_then(|it| holder(&it.value));
            }
            let Some(key) = Key::parse(&self.prefix, event.key()) else { continue };
            let new = match event {
                Event::Put(record) => {
                    let doc = Doc::from_stored(key.clone(), record.revision, &record.value);
                    Some(Arc::new(doc.expect("what is stored is a document")))
                }
                Event::Deleted { .. } => None,
            };
            let old = before.get(&key).cloned();
            changes.push(Change { revision: event.revision(), key, old, new });
        }
        changes.iter().for_each(|change| self.scene.objects.apply(change));
        self.history.extend(changes.iter().map(|change| (change.revision, change.key.clone())));
        if let Some(event) = events.last() {
            self.scene.objects.revision = event.revision();
        }
        if changes.is_empty() {
            return changes;
        }
        if !changes.iter().all(is_of_size) {
            self.last_change = Instant::now();
        }
        if std::mem::take(&mut self.excused) {
            return changes;
        }
        let step = Step { before: &before, after: &self.scene.objects, changes: &changes };
        let found = found(&mut self.checks, |check, broken| check.committed(&step, broken));
        self.note(found);
        changes
    }

    /// The changes of objects after `after` and up to `until`.
    pub(crate) fn between(&self, after: Revision, until: Revision) -> &[(Revision, Key)] {
        let first = self.history.partition_point(|(revision, _)| *revision <= after);
        let end = self.history.partition_point(|(revision, _)| *revision <= until);
        &self.history[first.min(end)..end]
    }

    /// A person was told that a write was accepted, and what it made: that is what the store was given.
    pub(crate) fn accepted(&mut self, doc: &Doc) {
        let (key, revision) = (doc.key(), doc.revision());
        let is_written = self.between(revision - 1, revision).iter().any(|(_, other)| other == key);
        let present = self.scene.objects.get(key).filter(|it| it.revision() == revision);
        if !is_written || present.is_some_and(|it| it.bytes() != doc.bytes()) {
            self.add(format!("{key} was accepted as {revision}, and is not what the store was given"));
        }
    }

    /// Something that others than the checks here have found wrong.
    pub(crate) fn add(&mut self, what: String) {
        self.note(vec![("Watches", what)]);
    }

    /// Somebody removes the leader's key.
    pub(crate) fn takes_leadership(&mut self) {
        self.scene.taken = Some(Instant::now());
    }

    /// A server was polled so often while no time passed.
    pub(crate) fn stood_still(&mut self, server: &str, polls: u64) {
        self.note(vec![("Standstill", format!("{server} was polled {polls} times within a moment"))]);
    }

    pub(crate) fn wrote(&mut self, writer: Writer<'_>, txn: &Txn, revision: Revision) {
        let scene = &self.scene;
        let found =
            found(&mut self.checks, |check, broken| check.wrote(writer, txn, revision, scene, broken));
        self.note(found);
    }

    pub(crate) fn called(&mut self, server: &str, call: &Call) {
        let scene = &self.scene;
        let found = found(&mut self.checks, |check, broken| check.called(server, call, scene, broken));
        self.note(found);
    }

    pub(crate) fn heard(&mut self, server: &str, event: &MasterEvent) {
        let found = found(&mut self.checks, |check, broken| check.heard(server, event, broken));
        self.note(found);
    }

    fn note(&mut self, found: Vec<(&'static str, String)>) {
        let at = self.origin.elapsed();
        self.broken.extend(found.into_iter().map(|(check, what)| format!("{check}: at {at:?}: {what}")));
    }
}

/// Who stands for leadership, by what is stored.
fn holder(ballot: &[u8]) -> Option<String> {
    let ballot: serde_json::Value = serde_json::from_slice(ballot).ok()?;
    Some(ballot["holder"].as_str()?.to_owned())
}

/// Whether nothing but what a machine is thought to have has changed: that is believed only after a quarter of an hour, and not at all
/// while nothing is offered.
fn is_of_size(change: &Change) -> bool {
    let read =
        |doc: &Option<Arc<Doc>>| doc.as_ref().and_then(typed::<Agent>).and_then(|it| it.status.clone());
    match (read(&change.old), read(&change.new)) {
        (Some(old), Some(new)) => AgentStatus { totals: new.totals.clone(), ..old } == new,
        _ => false,
    }
}

/// What each check finds broken, with its name.
fn found(
    checks: &mut [Box<dyn Check>],
    mut look: impl FnMut(&mut Box<dyn Check>, &mut Vec<String>),
) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for check in checks {
        let mut broken = Vec::new();
        look(check, &mut broken);
        all.extend(broken.into_iter().map(|what| (check.name(), what)));
    }
    all
}

/// The names of all checks, with those of the end of a run.
pub(crate) fn names() -> Vec<&'static str> {
    let each = all(&Terms::default());
    each.iter().map(|check| check.name()).chain(["Convergence", "Quiet", "Panics", "Standstill"]).collect()
}

fn all(terms: &Terms) -> Vec<Box<dyn Check>> {
    vec![
        Box::new(acknowledgements::Acknowledgements::default()),
        Box::new(advances::Advances::default()),
        Box::new(capacity::Capacity::new(&terms.blur)),
        Box::new(constraints::Constraints::new(&terms.blur)),
        Box::new(deposed::Deposed),
        Box::new(endpoints::LeftEndpoints { blur: terms.blur.clone() }),
        Box::new(ends::EndsAreFinal),
        Box::new(forgotten::NoneIsForgotten),
        Box::new(health::MinimumHealth),
        Box::new(lent::OnlyLentWhereAsked),
        Box::new(maintenance::Maintenance::new(&terms.blur)),
        Box::new(offers::Offers::default()),
        Box::new(ports::Ports { reality: terms.reality.clone() }),
        Box::new(reality::StatusIsReal { reality: terms.reality.clone() }),
        Box::new(reasons::StopsHaveReasons),
        Box::new(roles::OwnRole),
        Box::new(slots::Slots { blur: terms.blur.clone() }),
        Box::new(writers::Writers::default()),
    ]
}
