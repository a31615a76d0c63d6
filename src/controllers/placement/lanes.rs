//! One lane for each Mesos role of the framework: an offer is made to one role, and only Tasks of that role may use it, so each role
//! has an index of its own and is planned for by itself. What is known of machines is the same in all.

use std::sync::Arc;

use jiff::Timestamp;

use super::soon::Soon;
use crate::api::App;
use crate::mesos::wire;
use crate::plan::ObjectName;
use crate::plan::placement::{Change as Fact, Elsewhere, Index, Plan, Waiting};

/// What placement looks at of one role.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) role: Arc<str>,
    pub(super) index: Index,
    /// Apps that are about to want offers.
    soon: Soon,
    /// What the last pass left waiting.
    pub(super) waiting: Vec<Waiting>,
    /// The last pass bound as many as it may: what waits may just not have had its turn.
    is_catching_up: bool,
}

/// The lanes of all roles, in the order of the framework's. There is at least one; Apps that name no role are in the first.
#[derive(Debug)]
pub(super) struct Lanes {
    all: Vec<Lane>,
}

/// A role by its place among the framework's.
pub(super) type RoleIx = usize;

impl Lane {
    fn new(role: &str) -> Lane {
        Lane {
            role: role.into(),
            index: Index::new(),
            soon: Soon::default(),
            waiting: Vec::new(),
            is_catching_up: false,
        }
    }

    /// Until when Tasks that are not there yet may want offers, at `now`.
    pub(super) fn imminent(&self, now: Timestamp) -> Option<Timestamp> {
        self.soon.at(now).next().map(|(until, _)| until)
    }

    /// Apps that are about to want offers at `now`.
    pub(super) fn soon(&self, now: Timestamp) -> impl Iterator<Item = &ObjectName> {
        self.soon.at(now).map(|(_, app)| app)
    }
}

impl Lanes {
    /// Of these roles; of `*`, if there is none.
    pub(super) fn new(roles: &[String]) -> Lanes {
        let all: Vec<Lane> = roles.iter().map(|role| Lane::new(role)).collect();
        Lanes { all: if all.is_empty() { vec![Lane::new("*")] } else { all } }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.all.iter()
    }

    pub(super) fn get(&self, role: RoleIx) -> &Lane {
        &self.all[role]
    }

    /// The role of what names this one, or none; nothing if it is not the framework's.
    pub(super) fn of(&self, role: Option<&str>) -> Option<RoleIx> {
        let Some(role) = role else { return Some(0) };
        self.all.iter().position(|lane| *lane.role == *role)
    }

    /// The roles, for people.
    pub(super) fn names(&self) -> String {
        let names: Vec<String> = self.all.iter().map(|lane| format!("{:?}", lane.role)).collect();
        names.join(", ")
    }

    /// Whether there are several.
    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// What another role must know of all but `role`.
    pub(super) fn elsewhere(&self, role: RoleIx) -> Elsewhere {
        let others = || (0..).zip(&self.all).filter(|(at, _)| *at != role).map(|(_, lane)| lane);
        Elsewhere { waits: others().any(|lane| lane.index.has_waiting()), roles: others().count() }
    }

    /// Takes in what is so for all roles.
    pub(super) fn apply(&mut self, fact: &Fact) {
        self.all.iter_mut().for_each(|lane| lane.index.apply(fact.clone()));
    }

    /// Takes in what is so for one.
    pub(super) fn apply_to(&mut self, role: RoleIx, fact: Fact) {
        self.all[role].index.apply(fact);
    }

    /// A Task of this role; others forget it, if they took it for theirs while its Revision was not seen.
    pub(super) fn show_task(&mut self, role: RoleIx, task: &ObjectName, fact: Fact) {
        for (at, lane) in (0..).zip(&mut self.all) {
            if at != role {
                lane.index.apply(Fact::TaskGone(task.clone()));
            }
        }
        self.apply_to(role, fact);
    }

    /// It is `now`.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.all.iter_mut().for_each(|lane| lane.soon.advance(now));
    }

    /// How an App of this role looks at `now`. Another role that it had before expects nothing more of it.
    pub(super) fn show_app(&mut self, role: RoleIx, name: &ObjectName, app: Option<&App>, now: Timestamp) {
        for (at, lane) in (0..).zip(&mut self.all) {
            lane.soon.show(name, app.filter(|_| at == role), now);
        }
    }

    /// What a pass found in each role: classes that it left waiting, and those that every agent has refused.
    pub(super) fn note(&mut self, plans: &[Plan]) {
        for (lane, plan) in self.all.iter_mut().zip(plans) {
            lane.waiting.clone_from(&plan.waiting);
            lane.is_catching_up = plan.more;
            for class in &plan.refused {
                lane.index.apply(Fact::Refused { class: class.clone(), seen: plan.seen });
            }
        }
    }

    /// There is no cluster to ask: whatever has no place waits.
    pub(super) fn cut_off(&mut self) {
        for lane in &mut self.all {
            lane.waiting = crate::plan::placement::waiting(&lane.index);
            lane.is_catching_up = false;
        }
    }

    /// Whether Tasks wait for their turn and not for an offer.
    pub(super) fn is_catching_up(&self) -> bool {
        self.all.iter().any(|lane| lane.is_catching_up)
    }
}

/// The role that an offer is made to; nothing from a master that knows of one only.
pub(super) fn role_of(offer: &wire::Offer) -> Option<&str> {
    offer.allocation_info.as_ref()?.role.as_deref()
}
