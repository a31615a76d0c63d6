//! What placement looks at, kept change by change: Tasks that wait or have a place, their classes, leased offers.
//!
//! A Task whose Secrets cannot be read yet, or that asks for what nobody there would do, is withheld: it is not offered to placement,
//! and the reason is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use jiff::Timestamp;

use super::backlog::{Backlog, Cause, LEFT_UNDONE, NOT_LAUNCHABLE, SECRET_MISSING};
use super::convert;
use super::soon::Soon;
use crate::api::{Agent, App, Held, Phase, Revision, Task, Template, labels};
use crate::controllers::census::{FOR_CORRECTION, FOR_MASTER, FOR_OFFERS, FOR_SECRETS};
use crate::controllers::objects::{Stored, is, key, name_of, resource};
use crate::controllers::offers::{APPS, Wanted};
use crate::controllers::runner::Runner;
use crate::controllers::secrets::{SecretError, Secrets};
use crate::mesos::leases::{self, Lease};
use crate::mesos::wire;
use crate::plan::ObjectName;
use crate::plan::agent::runs_containers;
use crate::plan::maintenance;
use crate::plan::placement::{
    self, AgentId, Change as Fact, Class, ConstraintError, Index, OfferId, Plan, Waiting,
};
use crate::registry::{Change, Doc, Key, Resource, Snapshot};
use crate::runtime::Revision as StoreRevision;

/// What placement looks at.
#[derive(Debug, Default)]
pub(super) struct Market {
    /// Who runs what is placed.
    runner: Runner,
    index: Index,
    /// Revisions that are in the index.
    classes: BTreeSet<ObjectName>,
    /// The master's region, where Tasks stay unless their constraints speak of regions.
    home: Option<Arc<str>>,
    /// Revisions that Tasks were of before the view showed them.
    missed: BTreeSet<ObjectName>,
    /// Tasks that this loop wrote, by the revision that wrote them last, where the view does not show that yet.
    ahead: BTreeMap<ObjectName, StoreRevision>,
    /// Leases whose offers are in the index.
    leases: OrdMap<wire::OfferId, Lease>,
    /// Agents that are known, by the names of their objects.
    agents: BTreeMap<ObjectName, AgentId>,
    /// Tasks that cannot be launched although they wait, or that are to end.
    backlog: Backlog,
    /// Apps that are about to want offers.
    soon: Soon,
    /// The present, as far as what is taken in goes.
    now: Timestamp,
    /// What the last pass left waiting.
    waiting: Vec<Waiting>,
    /// Agents whose objects have changed since their offers were last looked at.
    changed_agents: BTreeSet<ObjectName>,
    /// The last pass bound as many as it may: what waits may just not have had its turn.
    is_catching_up: bool,
    /// Apps whose condition `Waiting` is true.
    told: BTreeSet<ObjectName>,
}

/// Why a Task cannot be launched wherever it were placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Hindrance {
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Asked for, and not done by who runs tasks.
    #[error("{0}")]
    LeftUndone(String),
}

impl Hindrance {
    fn word(&self) -> &'static str {
        match self {
            Hindrance::Secret(_) => SECRET_MISSING,
            Hindrance::LeftUndone(_) => LEFT_UNDONE,
        }
    }
}

impl Market {
    /// All that `snapshot` tells at `now` of what `runner` is to run; leases follow with [`Market::lease`].
    pub(super) fn of(snapshot: &Snapshot, runner: Runner, now: Timestamp) -> Market {
        let mut market = Market { runner, now, ..Market::default() };
        let kinds = [resource::<App>(), resource::<Task>()];
        for doc in kinds.iter().flat_map(|kind| snapshot.list(kind, None)) {
            market.show(doc.key(), Some(doc), snapshot);
        }
        market
    }

    /// The master is in this region now, if it has one.
    pub(super) fn settle(&mut self, home: Option<Arc<str>>, snapshot: &Snapshot) {
        if self.home != home {
            self.home = home;
            for class in std::mem::take(&mut self.classes) {
                // It was understood before.
                let _understood = self.know_class(&class, snapshot);
            }
        }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Until when Tasks that are not there yet may want offers.
    pub(super) fn imminent(&self) -> Option<Timestamp> {
        self.soon.at(self.now).next().map(|(until, _)| until)
    }

    /// What is taken in from here on happens at `now`, or happened just before.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = now;
        self.soon.advance(now);
    }

    /// What a pass found: classes that it left waiting, and those that every agent has refused.
    pub(super) fn note(&mut self, plan: &Plan) {
        self.waiting.clone_from(&plan.waiting);
        self.is_catching_up = plan.more;
        for class in &plan.refused {
            self.index.apply(Fact::Refused { class: class.clone(), seen: plan.seen });
        }
    }

    /// There is no cluster to ask: whatever has no place waits.
    pub(super) fn cut_off(&mut self) {
        self.waiting = placement::waiting(&self.index);
        self.is_catching_up = false;
    }

    /// Whether Tasks wait for their turn and not for an offer.
    pub(super) fn is_catching_up(&self) -> bool {
        self.is_catching_up
    }

    /// Why offers are held now, and for whom each agent's could be: Apps that wait, or may soon.
    pub(super) fn wanted(&self, snapshot: &Snapshot) -> Wanted {
        let held = match (self.waiting.is_empty(), self.imminent()) {
            (false, _) => Held::Waiting,
            (true, Some(_)) => Held::Imminent,
            (true, None) => Held::Lease,
        };
        let soon = self.soon.at(self.now).filter_map(|(_, app)| class_of(app, snapshot));
        let waiting =
            self.waiting.iter().map(|it| &it.class).chain(self.backlog.withheld().map(|(class, _)| class));
        let mut classes: Vec<ObjectName> = Vec::new();
        for class in waiting.cloned().chain(soon).take(10 * APPS) {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        let few = |classes: Vec<ObjectName>| {
            let apps = classes.iter().filter_map(|class| app_of(class, snapshot));
            apps.collect::<BTreeSet<_>>().into_iter().take(APPS).collect()
        };
        let takers = placement::takers(&self.index, &classes).into_iter();
        let apps = takers.map(|(agent, classes)| (wire::AgentId::new(&*agent.0), few(classes))).collect();
        Wanted { held, apps }
    }

    /// Classes that the last pass left waiting.
    pub(super) fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// Tasks that wait and cannot be launched, and those that are to end.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// How many Tasks wait for what.
    pub(super) fn waiting_for(&self, is_cut_off: bool) -> [(&'static str, usize); 4] {
        let waiting = self.waiting.iter().map(|it| it.tasks).sum();
        let (offers, master) = if is_cut_off { (0, waiting) } else { (waiting, 0) };
        let (secrets, others) = self.backlog.count();
        [(FOR_OFFERS, offers), (FOR_MASTER, master), (FOR_SECRETS, secrets), (FOR_CORRECTION, others)]
    }

    /// Apps whose condition says that they wait.
    pub(super) fn told(&self) -> &BTreeSet<ObjectName> {
        &self.told
    }

    /// Takes one change in; `snapshot` shows it already.
    pub(super) fn take(&mut self, change: &Change, snapshot: &Snapshot) {
        if is::<Task>(&change.key) && self.is_behind(&name_of(&change.key), change.revision) {
            return;
        }
        self.show(&change.key, change.new.as_ref(), snapshot);
    }

    /// Takes in what this loop wrote itself: the next pass must not wait for a watch that stands still.
    pub(super) fn wrote(&mut self, written: &[Arc<Doc>], snapshot: &Snapshot) {
        for doc in written {
            let name = name_of(doc.key());
            self.show_task(&name, Some(doc), snapshot);
            self.ahead.insert(name, doc.revision());
        }
    }

    /// Whether this Task is known as a later revision wrote it.
    fn is_behind(&mut self, name: &ObjectName, revision: StoreRevision) -> bool {
        let is_behind = self.ahead.get(name).is_some_and(|written| revision < *written);
        if !is_behind {
            self.ahead.remove(name);
        }
        is_behind
    }

    fn show(&mut self, key: &Key, doc: Option<&Arc<Doc>>, snapshot: &Snapshot) {
        if is::<Task>(key) {
            self.show_task(&name_of(key), doc, snapshot);
        } else if is::<Revision>(key) {
            self.show_revision(&name_of(key), doc.is_some(), snapshot);
        } else if is::<App>(key) {
            self.show_app(&name_of(key), doc);
        } else if is::<Agent>(key) {
            self.show_agent(name_of(key), doc.is_some());
        } else if key.resource == secrets_resource() {
            self.show_secret(&key.namespace, snapshot);
        }
    }

    /// A machine whose object is gone is none of the cluster any more, unless something else tells of it.
    fn show_agent(&mut self, name: ObjectName, is_there: bool) {
        if !is_there
            && let Some(agent) = self.agents.get(&name)
            && !self.index.is_in_use(agent)
        {
            self.index.apply(Fact::AgentGone(agent.clone()));
            self.agents.remove(&name);
        }
        self.changed_agents.insert(name);
    }

    fn show_app(&mut self, name: &ObjectName, doc: Option<&Arc<Doc>>) {
        let app = doc.and_then(|doc| doc.typed::<App>().ok());
        self.soon.show(name, app.as_deref(), self.now);
        let status = app.and_then(|app| app.status.clone());
        let conditions = status.map(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|it| it.type_ == super::waiting::CONDITION && it.status == "True") {
            self.told.insert(name.clone());
        } else {
            self.told.remove(name);
        }
    }

    fn show_task(&mut self, name: &ObjectName, doc: Option<&Arc<Doc>>, snapshot: &Snapshot) {
        self.backlog.forget(name);
        let task = doc.and_then(|doc| Some((doc, doc.typed::<Task>().ok()?)));
        let Some((doc, task)) = task.as_ref().filter(|(_, task)| !task.is_terminal()) else {
            let failed = task.and_then(|(_, task)| failed(name, &task));
            return self.index.apply(failed.unwrap_or_else(|| Fact::TaskGone(name.clone())));
        };
        let told = task.spec.stop.as_ref().map(|stop| stop.at.0).or(doc.meta().deletion);
        if let Some(since) = told.filter(|_| task.spec.binding.is_some()) {
            let app = ObjectName::new(&name.namespace, &task.spec.app);
            self.backlog.stop(name, app, since);
        }
        let reachable = task.status.as_ref().is_none_or(|status| status.reachable);
        let class =
            ObjectName { namespace: name.namespace.clone(), name: task.spec.revision.as_str().into() };
        let class = self.classes.get(&class).cloned().unwrap_or(class);
        match &task.spec.binding {
            Some(binding) if reachable => {
                // What runs has been understood once; what waits says why it is not.
                let _understood = self.know_class(&class, snapshot);
                let agent = AgentId(Arc::from(binding.agent_id.as_str()));
                self.index.apply(Fact::Placed { task: name.clone(), class, agent });
            }
            None if task.spec.stop.is_none() && doc.meta().deletion.is_none() => {
                let since = doc.meta().created.unwrap_or(Timestamp::UNIX_EPOCH);
                self.show_waiting(name, class, since, snapshot);
            }
            _ => self.index.apply(Fact::TaskGone(name.clone())),
        }
    }

    fn show_waiting(&mut self, task: &ObjectName, class: ObjectName, since: Timestamp, snapshot: &Snapshot) {
        let understood =
            self.know_class(&class, snapshot).map_err(|error| (NOT_LAUNCHABLE, error.to_string()));
        let launchable =
            || launchable(&class, &self.runner, snapshot).map_err(|it| (it.word(), it.to_string()));
        match understood.and_then(|()| launchable()) {
            Ok(()) => {
                let asks = self.now;
                self.index.apply(Fact::Waiting { task: task.clone(), class, since, asks });
            }
            Err((word, reason)) => {
                self.index.apply(Fact::TaskGone(task.clone()));
                self.backlog.withhold(task, class, Cause { since, word, reason });
            }
        }
    }

    /// A Secret of `namespace` changed: what was withheld may have become launchable, and the other way round.
    fn show_secret(&mut self, namespace: &str, snapshot: &Snapshot) {
        self.show_tasks(namespace, snapshot, |task| task.spec.binding.is_none());
    }

    /// A Revision is there with its first Tasks; they may have been seen without it where the view had lost its event.
    fn show_revision(&mut self, name: &ObjectName, is_there: bool, snapshot: &Snapshot) {
        if !is_there {
            self.missed.remove(name);
            self.classes.remove(name);
            self.index.apply(Fact::ClassGone(name.clone()));
        } else if self.missed.remove(name) && !planted!("seen-before-its-revision-waits") {
            self.show_tasks(&name.namespace, snapshot, |task| *task.spec.revision == *name.name);
        }
    }

    fn show_tasks(&mut self, namespace: &str, snapshot: &Snapshot, which: impl Fn(&Task) -> bool) {
        for doc in snapshot.list(&resource::<Task>(), Some(namespace)) {
            let name = name_of(doc.key());
            if !self.ahead.contains_key(&name) && doc.typed::<Task>().is_ok_and(|task| which(&task)) {
                self.show_task(&name, Some(doc), snapshot);
            }
        }
    }

    /// Enters the class, unless it is known or its Revision is not there yet.
    ///
    /// # Errors
    /// When its constraints cannot be understood. Validation lets no such template in; one from a newer version waits for that.
    fn know_class(&mut self, name: &ObjectName, snapshot: &Snapshot) -> Result<(), ConstraintError> {
        if self.classes.contains(name) {
            return Ok(());
        }
        let revision = snapshot.get(&key::<Revision>(name)).and_then(|doc| doc.typed::<Revision>().ok());
        let Some(revision) = revision else {
            self.missed.insert(name.clone());
            return Ok(());
        };
        let class = Class::new(name.clone(), &revision.spec.template)?;
        self.classes.insert(name.clone());
        self.index.apply(Fact::Class(class.at_home(self.home.as_ref())));
        Ok(())
    }

    fn has_changed(&self, agent: &wire::AgentId) -> bool {
        self.changed_agents.contains(&agent_name(agent))
    }

    /// Brings the offers level with the leases that are held now.
    pub(super) fn lease(
        &mut self,
        leases: &OrdMap<wire::OfferId, Lease>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) {
        let (gone, come) = leases::changes(&self.leases, leases);
        for lease in gone {
            self.index.apply(Fact::OfferGone(OfferId(Arc::from(lease.offer.id.value.as_str()))));
        }
        for lease in come {
            let agent = agent(&lease.offer, snapshot, now);
            self.agents.insert(agent_name(&lease.offer.agent_id), agent.id.clone());
            self.index.apply(Fact::Agent(agent));
            self.index.apply(Fact::Offer(convert::offer(lease)));
        }
        self.leases = leases.clone();
        if !self.changed_agents.is_empty() {
            let changed: Vec<_> = leases.values().filter(|it| self.has_changed(&it.offer.agent_id)).collect();
            for lease in changed {
                self.index.apply(Fact::Agent(agent(&lease.offer, snapshot, now)));
            }
            self.changed_agents.clear();
        }
    }
}

/// Where and when a Task failed, if it did.
fn failed(name: &ObjectName, task: &Task) -> Option<Fact> {
    let status = task.status.as_ref().filter(|status| status.phase == Phase::Failed)?;
    let agent = AgentId(Arc::from(task.spec.binding.as_ref()?.agent_id.as_str()));
    let class = ObjectName::new(&name.namespace, &task.spec.revision);
    Some(Fact::Failed { task: name.clone(), class, agent, at: status.finished_at.as_ref()?.0 })
}

/// The machine that an offer speaks of, with what its object tells of it.
fn agent(offer: &wire::Offer, snapshot: &Snapshot, now: Timestamp) -> placement::Agent {
    let object = snapshot.get(&key::<Agent>(&agent_name(&offer.agent_id)));
    let status = object.and_then(|doc| doc.typed::<Agent>().ok()).and_then(|agent| agent.status.clone());
    let Some(status) = status else {
        return convert::agent(offer, convert::scalars(&offer.resources), now);
    };
    // Those who move Tasks away go by the object: what it still says of a plan that the offer does not know any more holds here too.
    let is_leaving = status.maintenance.as_ref().is_some_and(|plan| maintenance::is_leaving(plan, now));
    let told = convert::agent(offer, convert::of_totals(&status.totals), now);
    placement::Agent {
        runs_containers: runs_containers(&status.conditions),
        accepts: told.accepts && !is_leaving,
        ..told
    }
}

fn agent_name(id: &wire::AgentId) -> ObjectName {
    ObjectName::new("", &crate::controllers::agents::object_name(&id.value))
}

fn secrets_resource() -> Resource {
    Resource::new("", "secrets")
}

/// Whether every Secret that a Revision refers to can be read, and all that it asks for is done.
fn launchable(class: &ObjectName, runner: &Runner, snapshot: &Snapshot) -> Result<(), Hindrance> {
    let revision = snapshot.get(&key::<Revision>(class)).and_then(|doc| doc.typed::<Revision>().ok());
    let Some(revision) = revision else { return Ok(()) };
    let template = &revision.spec.template;
    secrets(template, &class.namespace, snapshot).check(template)?;
    runner.left_undone(template).map_or(Ok(()), |what| Err(Hindrance::LeftUndone(what)))
}

/// The Secrets that a template refers to.
pub(super) fn secrets(template: &Template, namespace: &str, snapshot: &Snapshot) -> Secrets {
    let in_env =
        template.env.iter().filter_map(|it| Some(it.value_from.as_ref()?.secret_key_ref.name.as_str()));
    let to_pull = template.container.as_ref().and_then(|it| it.pull_secret.as_deref());
    let mut secrets = Secrets::default();
    for name in in_env.chain(to_pull) {
        let doc = snapshot.get(&Key::new(&secrets_resource(), namespace, name));
        if let Some(value) = doc.and_then(|doc| doc.value().ok()) {
            secrets.insert(name, &value);
        }
    }
    secrets
}

/// The App that a Revision belongs to.
pub(super) fn app_of(class: &ObjectName, snapshot: &Snapshot) -> Option<ObjectName> {
    let app = snapshot.get(&key::<Revision>(class))?.meta().labels.get(labels::APP)?;
    Some(ObjectName::new(&class.namespace, app))
}

/// The class of what an App starts now.
fn class_of(app: &ObjectName, snapshot: &Snapshot) -> Option<ObjectName> {
    let status = snapshot.get(&key::<App>(app))?.typed::<App>().ok()?.status.clone()?;
    Some(ObjectName::new(&app.namespace, status.revision.as_deref()?))
}

/// A Task that is stored, by name.
pub(super) fn task(name: &ObjectName, snapshot: &Snapshot) -> Option<Stored<Task>> {
    Stored::find(snapshot, name).ok().flatten()
}

#[cfg(test)]
#[path = "market_test.rs"]
mod tests;
