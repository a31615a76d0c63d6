//! What is true of a machine: whether it is in contact, whether its container engine answers, and when it is forgotten.
//!
//! A machine is `Ready` while it is in contact and what it is known to have works. Its tasks, offers and words are
//! sightings; what was last seen stays true until something else is, so a machine that is quiet because it is full or
//! because nothing is wanted of it stays as it was. One that has no engine at all is ready, for plain processes.

use std::time::Duration;

use jiff::Timestamp;

use super::{Again, after};
use crate::api::agent::{DOCKER_READY, JOURNAL_WRITTEN, READY};
use crate::api::{Condition, Maintenance, Time};

/// How long a machine that never comes back is shown.
pub const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// What the cluster says about the contact with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It is registered.
    Registered,
    /// It is cut off and may come back.
    Unreachable,
    /// It will not come back under this id.
    Gone,
}

/// What a machine says of its container engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Docker {
    /// It answers.
    Ready,
    /// There is none, and why that is so.
    Absent(String),
    /// It does not answer, and what was tried.
    Away(String),
}

/// What a machine says of its agent's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Journal {
    /// It can be written.
    Written,
    /// It cannot, and why: nothing is started or ended there.
    NotWritten(String),
}

/// What was seen of a machine since its conditions were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Whether it offers something now, which it cannot while it is out of contact.
    pub offers: bool,
    /// What the cluster said last, if it was asked.
    pub contact: Option<Contact>,
    /// What the machine said last, if it said something.
    pub docker: Option<Docker>,
    /// What the machine said last of its journal, if it said something.
    pub journal: Option<Journal>,
    /// What the cluster said last of maintenance, if it said something: a plan, or that there is none.
    pub maintenance: Option<Option<Maintenance>>,
}

/// The conditions of a machine that has these and was seen like that. Those of other types stay as they are.
#[must_use]
pub fn conditions(before: &[Condition], seen: &Sighting, now: Timestamp) -> Vec<Condition> {
    let docker = match &seen.docker {
        Some(Docker::Ready) => Some(Fact::yes("DockerReady", "")),
        Some(Docker::Absent(why)) => Some(Fact::no("NoDocker", why)),
        Some(Docker::Away(why)) => Some(Fact::no("DockerUnavailable", why)),
        None => find(before, DOCKER_READY).map(Fact::of),
    };
    let journal = match &seen.journal {
        Some(Journal::NotWritten(why)) => {
            let message =
                format!("the agent starts and ends nothing, because its journal cannot be written: {why}");
            Some(Fact::no("JournalNotWritten", &message))
        }
        Some(Journal::Written) => find(before, JOURNAL_WRITTEN).map(|_| Fact::yes("JournalWritten", "")),
        None => find(before, JOURNAL_WRITTEN).map(Fact::of),
    };
    let contact = if seen.offers { Some(Contact::Registered) } else { seen.contact };
    let ready = match contact {
        Some(Contact::Unreachable) => Fact::no("Unreachable", "the cluster has lost contact with its agent"),
        Some(Contact::Gone) => Fact::no("Gone", "the cluster does not know its agent any more"),
        Some(Contact::Registered) => in_contact(docker.as_ref(), journal.as_ref()),
        None => match find(before, READY).filter(|it| is_lost_for(&it.reason)) {
            Some(lost) => Fact::of(lost),
            None => in_contact(docker.as_ref(), journal.as_ref()),
        },
    };
    let (docker, journal) = (docker.map(|it| (DOCKER_READY, it)), journal.map(|it| (JOURNAL_WRITTEN, it)));
    let ours = [Some((READY, ready)), docker, journal];
    let mut after: Vec<Condition> =
        ours.into_iter().flatten().map(|(kind, fact)| fact.condition(kind, before, now)).collect();
    let others =
        before.iter().filter(|it| ![READY, DOCKER_READY, JOURNAL_WRITTEN].contains(&it.type_.as_str()));
    after.extend(others.cloned());
    after
}

/// A machine in contact is ready unless its agent cannot write its journal, or its engine should answer and does not.
fn in_contact(docker: Option<&Fact>, journal: Option<&Fact>) -> Fact {
    let docker = docker.filter(|it| !it.holds && it.reason == "DockerUnavailable");
    match journal.filter(|it| !it.holds).or(docker) {
        Some(trouble) => Fact::no(&trouble.reason, &trouble.message),
        None => Fact::yes("AgentReady", ""),
    }
}

/// Whether contact with the machine is lost.
#[must_use]
pub fn is_lost(conditions: &[Condition]) -> bool {
    find(conditions, READY).is_some_and(|it| it.status == "False" && is_lost_for(&it.reason))
}

/// Whether containers can be started on the machine, as far as is known.
#[must_use]
pub fn runs_containers(conditions: &[Condition]) -> bool {
    find(conditions, DOCKER_READY).is_none_or(|it| it.status != "False")
}

/// When a machine is forgotten: a while after it is gone for good. One that is only cut off stays.
#[must_use]
pub fn forget(conditions: &[Condition], now: Timestamp) -> Option<Again> {
    let gone = find(conditions, READY).filter(|it| it.status == "False" && it.reason == "Gone")?;
    let at = after(gone.last_transition_time.0, FORGET_AFTER);
    Some(if at <= now { Again::OnChange } else { Again::At(at) })
}

fn is_lost_for(reason: &str) -> bool {
    matches!(reason, "Unreachable" | "Gone")
}

/// The condition of this type, if there is one.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|it| it.type_ == kind)
}

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Whether it is true.
    pub holds: bool,
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl Fact {
    /// It is true.
    #[must_use]
    pub fn yes(reason: &str, message: &str) -> Self {
        Self { holds: true, reason: reason.to_owned(), message: message.to_owned() }
    }

    /// It is not.
    #[must_use]
    pub fn no(reason: &str, message: &str) -> Self {
        Self { holds: false, ..Self::yes(reason, message) }
    }

    fn of(condition: &Condition) -> Self {
        let (reason, message) = (condition.reason.clone(), condition.message.clone());
        Self { holds: condition.status == "True", reason, message }
    }

    /// As a condition of this type, which has held since it was last different.
    #[must_use]
    pub fn condition(self, kind: &str, before: &[Condition], now: Timestamp) -> Condition {
        let status = if self.holds { "True" } else { "False" };
        let unchanged = find(before, kind).filter(|it| it.status == status);
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: unchanged.map_or(Time(now), |it| it.last_transition_time.clone()),
            reason: self.reason,
            message: self.message,
            observed_generation: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn offers() -> Sighting {
        Sighting { offers: true, ..Sighting::default() }
    }

    fn contact(contact: Contact) -> Sighting {
        Sighting { contact: Some(contact), ..Sighting::default() }
    }

    fn docker(docker: Docker) -> Sighting {
        Sighting { docker: Some(docker), ..Sighting::default() }
    }

    /// `Ready` and `DockerReady` in words, after each of the sightings, a second apart.
    fn told(sightings: &[Sighting]) -> Vec<String> {
        let mut present = Vec::new();
        let mut words = Vec::new();
        for (second, seen) in sightings.iter().enumerate() {
            present = conditions(&present, seen, at(second.try_into().unwrap()));
            let word = |kind: &str| {
                let found = find(&present, kind)?;
                Some(format!(
                    "{} {} since {}",
                    found.status,
                    found.reason,
                    found.last_transition_time.0.as_second()
                ))
            };
            let docker = word(DOCKER_READY).map_or_else(String::new, |it| format!(", docker {it}"));
            words.push(format!("{}{docker}", word(READY).unwrap()));
        }
        words
    }

    #[test]
    fn contact_that_is_lost_stays_lost_until_the_machine_is_seen_again() {
        let seen = [
            offers(),
            Sighting::default(),
            contact(Contact::Unreachable),
            Sighting::default(),
            contact(Contact::Gone),
            offers(),
            contact(Contact::Unreachable),
            contact(Contact::Registered),
        ];
        assert_eq!(
            told(&seen),
            [
                "True AgentReady since 0",
                "True AgentReady since 0",
                "False Unreachable since 2",
                "False Unreachable since 2",
                "False Gone since 2",
                "True AgentReady since 5",
                "False Unreachable since 6",
                "True AgentReady since 7",
            ]
        );
    }

    #[test]
    fn engine_that_does_not_answer_makes_a_machine_unready_and_one_that_is_not_there_does_not() {
        let seen = [
            docker(Docker::Absent("no socket".to_owned())),
            docker(Docker::Ready),
            docker(Docker::Away("refused".to_owned())),
            contact(Contact::Unreachable),
            offers(),
            docker(Docker::Ready),
        ];
        assert_eq!(
            told(&seen),
            [
                "True AgentReady since 0, docker False NoDocker since 0",
                "True AgentReady since 0, docker True DockerReady since 1",
                "False DockerUnavailable since 2, docker False DockerUnavailable since 2",
                "False Unreachable since 2, docker False DockerUnavailable since 2",
                "False DockerUnavailable since 2, docker False DockerUnavailable since 2",
                "True AgentReady since 5, docker True DockerReady since 5",
            ]
        );
        let away = conditions(&[], &docker(Docker::Away("refused".to_owned())), at(0));
        assert!(!runs_containers(&away) && runs_containers(&[]));
        assert_eq!(find(&away, READY).unwrap().message, "refused");
    }

    #[test]
    fn agent_that_cannot_write_its_journal_makes_a_machine_unready_until_it_can() {
        let journal = |journal| Sighting { journal: Some(journal), ..Sighting::default() };
        let full = || journal(Journal::NotWritten("no space left".to_owned()));
        let told = |before: &[Condition], seen: &Sighting| {
            let after = conditions(before, seen, at(1));
            let word = |kind: &str| find(&after, kind).map(|it| format!("{} {}", it.status, it.reason));
            let words = (word(READY).unwrap(), word(JOURNAL_WRITTEN));
            (after, words)
        };
        let (fine, words) = told(&[], &journal(Journal::Written));
        assert_eq!(words, ("True AgentReady".to_owned(), None), "not worth a condition");
        let (trouble, words) = told(&fine, &full());
        let no = "False JournalNotWritten".to_owned();
        assert_eq!(words, (no.clone(), Some(no.clone())));
        assert!(find(&trouble, READY).unwrap().message.ends_with("cannot be written: no space left"));
        let (trouble, words) = told(&trouble, &offers());
        assert_eq!(words, (no.clone(), Some(no)), "offers say nothing about it");
        let (_, words) = told(&trouble, &journal(Journal::Written));
        assert_eq!(words, ("True AgentReady".to_owned(), Some("True JournalWritten".to_owned())));
    }

    #[test]
    fn machine_that_is_gone_is_forgotten_an_hour_after_it_was_last_ready() {
        let hour = i64::try_from(FORGET_AFTER.as_secs()).unwrap();
        let ready = conditions(&[], &offers(), at(0));
        let cut_off = conditions(&ready, &contact(Contact::Unreachable), at(1));
        let gone = conditions(&cut_off, &contact(Contact::Gone), at(2));
        assert_eq!((forget(&ready, at(9_999)), forget(&cut_off, at(9_999))), (None, None));
        assert_eq!(forget(&gone, at(2)), Some(Again::At(at(1 + hour))));
        assert_eq!(forget(&gone, at(1 + hour)), Some(Again::OnChange));
        assert!(is_lost(&gone) && is_lost(&cut_off) && !is_lost(&ready));
    }

    #[test]
    fn conditions_of_other_writers_stay() {
        let other = Fact::yes("TooManyOrphans", "x").condition("Orphans", &[], at(0));
        let after = conditions(std::slice::from_ref(&other), &offers(), at(1));
        assert_eq!(find(&after, "Orphans"), Some(&other));
    }
}
