//! What placement looks at, kept change by change: Tasks that wait or have a place, their classes, leased offers.
//!
//! A Task whose Secrets cannot be read yet, or that asks for what nobody there would do, is withheld: it is not offered to placement,
//! and the reason is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use jiff::Timestamp;

use super::backlog::{
    Backlog, Cause, LEFT_UNDONE, NOT_LAUNCHABLE, NOTHING_LENT, ROLE_MISSING, SECRET_MISSING,
};
use super::convert;
use super::lanes::{Lane, Lanes, RoleIx, role_of};
use crate::api::{Agent, App, Held, Phase, Revision, Task, TaskStatus, Template, labels};
use crate::controllers::census::{FOR_CORRECTION, FOR_MASTER, FOR_OFFERS, FOR_SECRETS};
use crate::controllers::framework::Terms;
use crate::controllers::objects::{Stored, is, key, name_of, resource};
use crate::controllers::offers::{APPS, OfRole, Wanted};
use crate::controllers::runner::Runner;
use crate::controllers::secrets::{SecretError, Secrets};
use crate::mesos::leases::{self, Lease};
use crate::mesos::wire;
use crate::plan::ObjectName;
use crate::plan::agent::runs_containers;
use crate::plan::maintenance;
use crate::plan::placement::{
    self, AgentId, Change as Fact, Class, ConstraintError, NoOfferFits, OfferId, Plan, Waiting,
};
use crate::registry::{Change, Doc, Key, Resource, Snapshot};
use crate::runtime::Revision as StoreRevision;

/// What placement looks at.
#[derive(Debug)]
pub(super) struct Market {
    /// Who runs what is placed.
    runner: Runner,
    /// What there is of each role.
    lanes: Lanes,
    /// Whether the cluster lends us anything.
    lends: bool,
    /// Revisions that are in an index, and in whose.
    classes: BTreeMap<ObjectName, RoleIx>,
    /// The master's region, where Tasks stay unless their constraints speak of regions.
    home: Option<Arc<str>>,
    /// Revisions that Tasks were of before the view showed them.
    missed: BTreeSet<ObjectName>,
    /// Tasks that this loop wrote, by the revision that wrote them last, where the view does not show that yet.
    ahead: BTreeMap<ObjectName, StoreRevision>,
    /// Leases whose offers are in an index.
    leases: OrdMap<wire::OfferId, Lease>,
    /// Agents that are known, by the names of their objects.
    agents: BTreeMap<ObjectName, AgentId>,
    /// Tasks that cannot be launched although they wait, or that are to end.
    backlog: Backlog,
    /// The present, as far as what is taken in goes.
    now: Timestamp,
    /// Agents whose objects have changed since their offers were last looked at.
    changed_agents: BTreeSet<ObjectName>,
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
    /// Resources of another role are not offered to this installation.
    #[error(
        "spec.role: this installation is not in the Mesos role {role:?}, but in {known} (tenure server --mesos-role)"
    )]
    Role { role: String, known: String },
    /// What is lent is not offered to this installation.
    #[error(
        "spec.revocable: this installation takes nothing that Mesos lends (tenure server --mesos-revocable)"
    )]
    NothingLent,
}

impl Hindrance {
    fn word(&self) -> &'static str {
        match self {
            Hindrance::Secret(_) => SECRET_MISSING,
            Hindrance::LeftUndone(_) => LEFT_UNDONE,
            Hindrance::Role { .. } => ROLE_MISSING,
            Hindrance::NothingLent => NOTHING_LENT,
        }
    }
}

impl Market {
    /// All that `snapshot` tells at `now` of what `runner` is to run on these terms; leases follow with [`Market::lease`].
    pub(super) fn of(snapshot: &Snapshot, runner: Runner, terms: &Terms, now: Timestamp) -> Market {
        let mut market = Market {
            runner,
            lanes: Lanes::new(&terms.roles),
            lends: terms.lends,
            classes: BTreeMap::new(),
            home: None,
            missed: BTreeSet::new(),
            ahead: BTreeMap::new(),
            leases: OrdMap::new(),
            agents: BTreeMap::new(),
            backlog: Backlog::default(),
            now,
            changed_agents: BTreeSet::new(),
            told: BTreeSet::new(),
        };
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
            for class in std::mem::take(&mut self.classes).into_keys() {
                // It was understood before.
                let _understood = self.know_class(&class, snapshot);
            }
        }
    }

    /// What there is of each role.
    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// How many agents are known: as many in each role.
    pub(super) fn known_agents(&self) -> usize {
        self.lanes.get(0).index.known_agents()
    }

    /// Why the Tasks of a class wait, and in which role, where there are several.
    pub(super) fn explain(&self, class: &ObjectName) -> (Option<&Arc<str>>, Option<NoOfferFits>) {
        let lane = self.lanes.get(self.lane_of(class));
        let role = Some(&lane.role).filter(|_| self.lanes.are_several());
        (role, placement::explain(&lane.index, class, self.now))
    }

    /// Where the Tasks of a class are; in the first one, until its Revision is seen.
    fn lane_of(&self, class: &ObjectName) -> RoleIx {
        self.classes.get(class).copied().unwrap_or_default()
    }

    /// What is taken in from here on happens at `now`, or happened just before.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = now;
        self.lanes.advance(now);
    }

    /// What a pass found in each role.
    pub(super) fn note(&mut self, plans: &[Plan]) {
        self.lanes.note(plans);
    }

    /// There is no cluster to ask: whatever has no place waits.
    pub(super) fn cut_off(&mut self) {
        self.lanes.cut_off();
    }

    /// Why offers are held now, and for whom each agent's could be: Apps that wait, or may soon.
    pub(super) fn wanted(&self, snapshot: &Snapshot) -> Wanted {
        let roles = (0..).zip(self.lanes.iter());
        Wanted { of_roles: roles.map(|(role, lane)| self.wanted_in(role, lane, snapshot)).collect() }
    }

    fn wanted_in(&self, role: RoleIx, lane: &Lane, snapshot: &Snapshot) -> OfRole {
        let held = match (lane.waiting.is_empty(), lane.imminent(self.now)) {
            (false, _) => Held::Waiting,
            (true, Some(_)) => Held::Imminent,
            (true, None) => Held::Lease,
        };
        let soon = lane.soon(self.now).filter_map(|app| class_of(app, snapshot));
        // What is of no role of ours can use no offer at all.
        let withheld = self.backlog.withheld().filter(|(_, it)| it.word != ROLE_MISSING);
        let withheld = withheld.map(|(class, _)| class);
        let withheld = withheld.filter(|class| self.lane_of(class) == role);
        let waiting = lane.waiting.iter().map(|it| &it.class).chain(withheld);
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
        let takers = placement::takers(&lane.index, &classes).into_iter();
        let apps = takers.map(|(agent, classes)| (wire::AgentId::new(&*agent.0), few(classes))).collect();
        OfRole { role: lane.role.clone(), held, apps }
    }

    /// Classes that the last pass left waiting, those of one role after those of another.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.lanes.iter().flat_map(|lane| &lane.waiting)
    }

    /// Tasks that wait and cannot be launched, and those that are to end.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// How many Tasks wait for what.
    pub(super) fn waiting_for(&self, is_cut_off: bool) -> [(&'static str, usize); 4] {
        let waiting = self.waiting().map(|it| it.tasks).sum();
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
            && !self.lanes.iter().any(|lane| lane.index.is_in_use(agent))
        {
            self.lanes.apply(&Fact::AgentGone(agent.clone()));
            self.agents.remove(&name);
        }
        self.changed_agents.insert(name);
    }

    fn show_app(&mut self, name: &ObjectName, doc: Option<&Arc<Doc>>) {
        let app = doc.and_then(|doc| doc.typed::<App>().ok());
        let named = app.as_deref().and_then(|app| app.spec.template.role.as_deref());
        match self.lanes.of(named) {
            Some(role) => self.lanes.show_app(role, name, app.as_deref(), self.now),
            None => self.lanes.show_app(0, name, None, self.now),
        }
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
            return self.show_in_lane(name, failed, snapshot);
        };
        let told = task.spec.stop.as_ref().map(|stop| stop.at.0).or(doc.meta().deletion);
        if let Some(since) = told.filter(|_| task.spec.binding.is_some()) {
            let app = ObjectName::new(&name.namespace, &task.spec.app);
            self.backlog.stop(name, app, since);
        }
        let reachable = task.status.as_ref().is_none_or(|status| status.reachable);
        let class =
            ObjectName { namespace: name.namespace.clone(), name: task.spec.revision.as_str().into() };
        let class = self.classes.get_key_value(&class).map(|(known, _)| known.clone()).unwrap_or(class);
        match &task.spec.binding {
            Some(binding) if reachable => {
                // What runs has been understood once; what waits says why it is not.
                let _understood = self.know_class(&class, snapshot);
                let agent = AgentId(Arc::from(binding.agent_id.as_str()));
                self.show_in_lane(name, Some(Fact::Placed { task: name.clone(), class, agent }), snapshot);
            }
            None if task.spec.stop.is_none() && doc.meta().deletion.is_none() => {
                let since = doc.meta().created.unwrap_or(Timestamp::UNIX_EPOCH);
                self.show_waiting(name, class, since, snapshot);
            }
            _ => self.show_in_lane(name, None, snapshot),
        }
    }

    /// What there is of a Task, if there is anything, to the role that it is of.
    fn show_in_lane(&mut self, task: &ObjectName, fact: Option<Fact>, snapshot: &Snapshot) {
        match &fact {
            Some(Fact::Waiting { class, .. } | Fact::Placed { class, .. } | Fact::Failed { class, .. }) => {
                // Of Revisions of which nothing lives there is no class, but failures are remembered.
                let role = self.classes.get(class).copied();
                let role = role.or_else(|| self.lanes.of(role_named(class, snapshot)?.as_deref()));
                let role = role.unwrap_or_default();
                fact.into_iter().for_each(|fact| self.lanes.show_task(role, task, fact));
            }
            _ => self.lanes.apply(&Fact::TaskGone(task.clone())),
        }
    }

    fn show_waiting(&mut self, task: &ObjectName, class: ObjectName, since: Timestamp, snapshot: &Snapshot) {
        let understood =
            self.know_class(&class, snapshot).map_err(|error| (NOT_LAUNCHABLE, error.to_string()));
        let launchable = || self.launchable(&class, snapshot).map_err(|it| (it.word(), it.to_string()));
        match understood.and_then(|()| launchable()) {
            Ok(()) => {
                let asks = self.now;
                self.show_in_lane(
                    task,
                    Some(Fact::Waiting { task: task.clone(), class, since, asks }),
                    snapshot,
                );
            }
            Err((word, reason)) => {
                self.show_in_lane(task, None, snapshot);
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
            self.lanes.apply(&Fact::ClassGone(name.clone()));
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
        if self.classes.contains_key(name) {
            return Ok(());
        }
        let revision = snapshot.get(&key::<Revision>(name)).and_then(|doc| doc.typed::<Revision>().ok());
        let Some(revision) = revision else {
            self.missed.insert(name.clone());
            return Ok(());
        };
        let class = Class::new(name.clone(), &revision.spec.template)?;
        // What runs in a role that is not ours any more takes room all the same.
        let role = self.lanes.of(revision.spec.template.role.as_deref()).unwrap_or_default();
        self.classes.insert(name.clone(), role);
        self.lanes.apply_to(role, Fact::Class(class.at_home(self.home.as_ref())));
        Ok(())
    }

    /// Whether resources such as it wants are offered, every Secret that a Revision refers to can be read, and all that it asks for is done.
    fn launchable(&self, class: &ObjectName, snapshot: &Snapshot) -> Result<(), Hindrance> {
        let revision = snapshot.get(&key::<Revision>(class)).and_then(|doc| doc.typed::<Revision>().ok());
        let Some(revision) = revision else { return Ok(()) };
        let template = &revision.spec.template;
        if let Some(role) = template.role.as_ref().filter(|role| self.lanes.of(Some(role.as_str())).is_none())
        {
            return Err(Hindrance::Role { role: role.clone(), known: self.lanes.names() });
        }
        if !template.revocable.is_empty() && !self.lends {
            return Err(Hindrance::NothingLent);
        }
        secrets(template, &class.namespace, snapshot).check(template)?;
        self.runner.left_undone(template).map_or(Ok(()), |what| Err(Hindrance::LeftUndone(what)))
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
            self.lanes.apply(&Fact::OfferGone(OfferId(Arc::from(lease.offer.id.value.as_str()))));
        }
        for lease in come {
            let agent = agent(&lease.offer, snapshot, now);
            self.agents.insert(agent_name(&lease.offer.agent_id), agent.id.clone());
            self.lanes.apply(&Fact::Agent(agent));
            // One to a role that we never had is given back when its lease is over.
            let role = role_of(&lease.offer).filter(|_| !planted!("offers-of-any-role"));
            if let Some(role) = self.lanes.of(role) {
                self.lanes.apply_to(role, Fact::Offer(convert::offer(lease)));
            }
        }
        self.leases = leases.clone();
        if !self.changed_agents.is_empty() {
            let changed: Vec<_> = leases.values().filter(|it| self.has_changed(&it.offer.agent_id)).collect();
            for lease in changed {
                self.lanes.apply(&Fact::Agent(agent(&lease.offer, snapshot, now)));
            }
            self.changed_agents.clear();
        }
    }
}

/// The role that a Revision names, or that it names none; nothing if it is not seen.
fn role_named(class: &ObjectName, snapshot: &Snapshot) -> Option<Option<String>> {
    let revision = snapshot.get(&key::<Revision>(class))?.typed::<Revision>().ok()?;
    Some(revision.spec.template.role.clone())
}

/// Where and when a Task failed, if it did, or its agent took back what it had lent: it may do so again.
fn failed(name: &ObjectName, task: &Task) -> Option<Fact> {
    let is_preempted = |status: &TaskStatus| status.reason.as_deref() == Some("REASON_CONTAINER_PREEMPTED");
    let has_failed =
        |it: &&TaskStatus| it.phase == Phase::Failed || it.phase == Phase::Lost && is_preempted(it);
    let status = task.status.as_ref().filter(has_failed)?;
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
