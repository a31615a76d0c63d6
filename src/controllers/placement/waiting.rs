//! Tells why Tasks wait: the condition `Waiting` of their App, at most one write per App and 5 s; and an Event once it has lasted.
//!
//! The condition says exactly what is missing now. A Warning is for people who shall look: in an update Tasks wait for a moment
//! until those that they replace have made room, which is ordinary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::backlog::{LEFT_UNDONE, NOT_LAUNCHABLE, NOTHING_LENT, ROLE_MISSING, SECRET_MISSING};
use super::market::{Market, app_of};
use crate::api::{App, Condition, Time};
use crate::controllers::contact::Trouble;
use crate::controllers::events::{Happening, Recorder, is_told};
use crate::controllers::objects::Stored;
use crate::plan::ObjectName;
use crate::registry::{Key, Snapshot, Write};
use crate::runtime::{Setback, Writer};

/// The condition's type.
pub(super) const CONDITION: &str = "Waiting";
/// Why: every offer was refused.
const NO_OFFER_FITS: &str = "NoOfferFits";
/// Why: there is no master to ask for offers.
const NOT_SUBSCRIBED: &str = "NotSubscribed";
/// A Task that waits no longer than this is ordinary.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nothing must have fitted, or no master have answered, before people are warned: longer than instances usually take to end.
const LASTING: Duration = Duration::from_secs(30);
/// The least time between two writes about one App.
const PAUSE: Duration = Duration::from_secs(5);
/// The most Apps that are told of in one transaction, each with an Event; others have their turn right after.
const BATCH: usize = 60;
/// How many agents are looked at for reasons before placement goes on, about; and when the next Apps have their turn.
const LOOKS: usize = 100_000;
const TURN: Duration = Duration::from_millis(100);

/// Writes the condition.
#[derive(Debug)]
pub(super) struct WaitingReport {
    writer: Writer,
    recorder: Recorder,
    /// When each App was last told of.
    written: BTreeMap<ObjectName, Instant>,
    /// When it was last found out why each App's Tasks wait, told or not.
    explained: BTreeMap<ObjectName, Instant>,
    /// The App that was looked at last: the next turn begins behind it.
    last: Option<ObjectName>,
}

/// Why an App's Tasks wait.
struct Reason {
    word: &'static str,
    message: String,
    /// Since when the oldest of them does, for this reason.
    since: Timestamp,
}

/// The writes about one App.
struct Telling {
    app: ObjectName,
    key: Key,
    writes: Vec<Write>,
}

impl WaitingReport {
    pub(super) fn new(writer: Writer, recorder: Recorder) -> WaitingReport {
        WaitingReport { writer, recorder, written: BTreeMap::new(), explained: BTreeMap::new(), last: None }
    }

    /// Brings the conditions level with what waits; says when to look again even if nothing changes.
    pub(super) async fn tell(
        &mut self,
        market: &Market,
        trouble: Option<&Trouble>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Option<Duration>, Setback> {
        if market.lanes().is_catching_up() {
            return Ok(None);
        }
        let mut again = None;
        let mut later = |wait: Duration| again = Some(again.map_or(wait, |other: Duration| other.min(wait)));
        let mut apps = wants(market, trouble, snapshot);
        for seen in [&mut self.written, &mut self.explained] {
            seen.retain(|_, at| at.elapsed() < PAUSE);
        }
        let (mut tellings, mut looks) = (Vec::new(), 0);
        for app in &self.turns(apps.keys(), market) {
            if tellings.len() == BATCH || looks > LOOKS {
                later(if looks > LOOKS { TURN } else { Duration::ZERO });
                break;
            }
            let wants = apps.remove(app);
            let waited = wants.as_ref().map_or(PATIENCE, |wants| elapsed(wants.since, now));
            let explained = self.explained.get(app).filter(|_| wants.is_some());
            let pause = explained.max(self.written.get(app));
            let pause = pause.map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()));
            let wait = pause.max(PATIENCE.saturating_sub(waited));
            if wait > Duration::ZERO {
                later(wait);
                continue;
            }
            self.last = Some(app.clone());
            if wants.is_some() {
                self.explained.insert(app.clone(), Instant::now());
                looks += market.known_agents() + 1;
                later(PAUSE);
            }
            let reason = wants.map(|wants| reason(&wants, market, trouble));
            tellings.extend(self.telling(app, reason, snapshot, now)?);
        }
        self.commit(tellings).await?;
        Ok(again)
    }

    /// The Apps that may have to be told of, in the order of their turns.
    fn turns<'a>(
        &self,
        waiting: impl Iterator<Item = &'a ObjectName>,
        market: &'a Market,
    ) -> Vec<ObjectName> {
        let apps: BTreeSet<_> = waiting.chain(market.told()).cloned().collect();
        let mut apps: Vec<_> = apps.into_iter().collect();
        let first = apps.partition_point(|app| self.last.as_ref().is_some_and(|last| app <= last));
        apps.rotate_left(first);
        apps
    }

    /// What is to be written about an App; nothing when it says so already.
    fn telling(
        &self,
        app: &ObjectName,
        reason: Option<Reason>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Option<Telling>, Setback> {
        let Some(app) = Stored::<App>::find(snapshot, app)? else { return Ok(None) };
        let before = app.object.status.clone().unwrap_or_default().conditions;
        let conditions = with_condition(&before, reason.as_ref(), app.object.metadata.generation, now);
        let mut writes: Vec<Write> =
            conditions.iter().map(|all| app.merge(json!({"status": {"conditions": all}}))).collect();
        // What waited before, and did not for a while, is told again.
        let said_since = waits_since(conditions.as_ref().unwrap_or(&before));
        if let Some((reason, since)) = reason.zip(said_since)
            && reason.is_worth_a_warning(since, now)
        {
            let happening = Happening::warning(reason.word, reason.message);
            if !is_told(snapshot, &app.doc, &happening, since) {
                writes.extend(self.recorder.writes(snapshot, &app, vec![happening], now));
            }
        }
        let telling = Telling { app: app.name(), key: app.doc.key().clone(), writes };
        Ok(Some(telling).filter(|it| !it.writes.is_empty()))
    }

    /// Writes all of `tellings` but those about Apps that changed meanwhile: the next pass sees what another loop wrote.
    async fn commit(&mut self, mut tellings: Vec<Telling>) -> Result<(), Setback> {
        while !tellings.is_empty() {
            let writes = tellings.iter().flat_map(|telling| telling.writes.clone()).collect();
            match self.writer.commit(writes).await {
                Ok(_) => break,
                Err(Setback::Stale { losers }) => {
                    let before = tellings.len();
                    tellings.retain(|telling| {
                        let is_lost = losers.contains(&telling.key);
                        if is_lost {
                            self.explained.remove(&telling.app);
                        }
                        !is_lost
                    });
                    if tellings.len() == before {
                        // An Event was written that the snapshot does not show yet.
                        return Ok(());
                    }
                }
                Err(setback) => return Err(setback),
            }
        }
        let now = Instant::now();
        self.written.extend(tellings.into_iter().map(|telling| (telling.app, now)));
        Ok(())
    }
}

impl Reason {
    /// Whether people should look, of an App that has said since `said_since` that it waits. What they forgot does not come by
    /// itself, nor does what nobody does; what does not fit now may do so in a moment, and a master that fell silent may be back.
    fn is_worth_a_warning(&self, said_since: Timestamp, now: Timestamp) -> bool {
        matches!(self.word, SECRET_MISSING | ROLE_MISSING | NOTHING_LENT | LEFT_UNDONE | NOT_LAUNCHABLE)
            || elapsed(self.since.max(said_since), now) >= LASTING
    }
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO)
}

/// What an App wants of the cluster and does not get.
struct Wants {
    /// The Revision that is told of, and how many of its Tasks have no place.
    waiting: Option<(ObjectName, usize)>,
    /// How many Tasks are to end, while there is no master to tell.
    stopping: usize,
    /// Since when the first of all does.
    since: Timestamp,
}

/// What Apps want, of those that do not get it.
fn wants(market: &Market, trouble: Option<&Trouble>, snapshot: &Snapshot) -> BTreeMap<ObjectName, Wants> {
    let mut apps: BTreeMap<ObjectName, Wants> = BTreeMap::new();
    let offered = market.waiting().map(|it| (&it.class, it.tasks, it.since));
    let withheld = market.backlog().withheld().map(|(class, it)| (class, it.tasks.len(), it.since));
    for (class, tasks, since) in withheld.chain(offered) {
        let Some(app) = app_of(class, snapshot) else { continue };
        let wants = apps.entry(app).or_insert(Wants { waiting: None, stopping: 0, since });
        wants.waiting.get_or_insert_with(|| (class.clone(), tasks));
        wants.since = wants.since.min(since);
    }
    let stopping = trouble.map(|_| market.backlog().stopping()).unwrap_or_default();
    for (app, (tasks, since)) in stopping {
        let wants = apps.entry(app.clone()).or_insert(Wants { waiting: None, stopping: 0, since });
        wants.stopping = tasks;
        wants.since = wants.since.min(since);
    }
    apps
}

fn reason(wants: &Wants, market: &Market, trouble: Option<&Trouble>) -> Reason {
    let since = wants.since;
    let withheld = wants.waiting.as_ref().and_then(|(class, _)| market.backlog().withheld_of(class));
    match (withheld, trouble) {
        (Some(withheld), trouble) => {
            let message = wants.withheld(&withheld.reason, trouble.map(|it| &*it.reason));
            Reason { word: withheld.word, message, since }
        }
        (None, Some(trouble)) => {
            let message = format!("{}: {}", wants.count(), not_subscribed(&trouble.reason));
            Reason { word: NOT_SUBSCRIBED, message, since: since.max(trouble.since) }
        }
        (None, None) => {
            let class = wants.waiting.as_ref().map(|(class, _)| class);
            let (role, why) = class.map_or((None, None), |class| market.explain(class));
            let role = role.map_or_else(String::new, |role| format!(" in the role {role}"));
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            Reason { word: NO_OFFER_FITS, message: format!("{}{role}{why}", wants.count()), since }
        }
    }
}

fn not_subscribed(trouble: &str) -> String {
    format!("not subscribed to the Mesos master: {trouble}")
}

impl Wants {
    /// In words.
    fn count(&self) -> String {
        self.waiting().into_iter().chain(self.stopping()).collect::<Vec<_>>().join(", ")
    }

    /// That what waits does so for this reason, and what is to end for that.
    fn withheld(&self, reason: &str, trouble: Option<&str>) -> String {
        let waiting = self.waiting().map(|tasks| format!("{tasks}: {reason}"));
        let stopping = self.stopping().zip(trouble);
        let stopping = stopping.map(|(tasks, trouble)| format!("{tasks}: {}", not_subscribed(trouble)));
        waiting.into_iter().chain(stopping).collect::<Vec<_>>().join("; ")
    }

    fn waiting(&self) -> Option<String> {
        self.waiting.as_ref().map(|(_, tasks)| match tasks {
            1 => "1 task waits".to_owned(),
            more => format!("{more} tasks wait"),
        })
    }

    fn stopping(&self) -> Option<String> {
        match self.stopping {
            0 => None,
            1 => Some("1 task is to end".to_owned()),
            more => Some(format!("{more} tasks are to end")),
        }
    }
}

/// Since when the conditions say that Tasks wait, if they do.
fn waits_since(conditions: &[Condition]) -> Option<Timestamp> {
    let waits = conditions.iter().find(|it| it.type_ == CONDITION && it.status == "True")?;
    Some(waits.last_transition_time.0)
}

/// The conditions with the one about waiting set; nothing when it says so already.
fn with_condition(
    before: &[Condition],
    reason: Option<&Reason>,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let present = before.iter().find(|it| it.type_ == CONDITION);
    let (status, word, message) = match reason {
        Some(reason) => ("True", reason.word, reason.message.as_str()),
        None => ("False", "AllPlaced", ""),
    };
    if present.is_some_and(|it| it.status == status && it.reason == word && it.message == message) {
        return None;
    }
    let unchanged = present.filter(|it| it.status == status);
    let condition = Condition {
        type_: CONDITION.to_owned(),
        status: status.to_owned(),
        reason: word.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: unchanged.map_or(Time(now), |it| it.last_transition_time.clone()),
    };
    let mut conditions: Vec<Condition> = before.iter().filter(|it| it.type_ != CONDITION).cloned().collect();
    conditions.push(condition);
    Some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn condition_keeps_its_time_until_its_status_changes() {
        let reason =
            |message: &str| Reason { since: at(0), word: NO_OFFER_FITS, message: message.to_owned() };
        let first = with_condition(&[], Some(&reason("2 tasks wait")), Some(1), at(10)).unwrap();
        let second = with_condition(&first, Some(&reason("1 task waits")), Some(1), at(20)).unwrap();
        assert_eq!((second.len(), second[0].last_transition_time.0), (1, at(10)));
        assert_eq!(with_condition(&second, Some(&reason("1 task waits")), Some(1), at(30)), None);
        let third = with_condition(&second, None, Some(2), at(40)).unwrap();
        assert_eq!((third[0].status.as_str(), third[0].last_transition_time.0), ("False", at(40)));
        assert_eq!(with_condition(&third, None, Some(2), at(50)), None);
    }

    #[test]
    fn people_are_warned_of_what_has_lasted_and_of_what_they_forgot() {
        let warns = |word, since: i64, said_since: i64| {
            let reason = Reason { word, message: String::new(), since: at(since) };
            reason.is_worth_a_warning(at(said_since), at(100))
        };
        assert!(warns(NO_OFFER_FITS, 70, 70));
        assert!(!warns(NO_OFFER_FITS, 71, 0), "another one waited before");
        assert!(!warns(NO_OFFER_FITS, 0, 71), "it waited while nobody looked");
        assert!(warns(SECRET_MISSING, 99, 99) && warns(LEFT_UNDONE, 99, 99));
        assert!(warns(NOT_SUBSCRIBED, 70, 0) && !warns(NOT_SUBSCRIBED, 71, 0));
    }

    #[test]
    fn what_has_no_place_and_what_nobody_can_end_is_counted() {
        let wants = |waiting: usize, stopping| {
            let waiting = (waiting > 0).then(|| (ObjectName::new("shop", "web.v1"), waiting));
            Wants { waiting, stopping, since: at(0) }
        };
        assert_eq!(wants(1, 0).count(), "1 task waits");
        assert_eq!(wants(0, 1).count(), "1 task is to end");
        assert_eq!(wants(2, 3).count(), "2 tasks wait, 3 tasks are to end");
    }

    #[test]
    fn a_missing_secret_is_no_reason_why_tasks_do_not_end() {
        let waiting = Some((ObjectName::new("shop", "web.v1"), 1));
        let wants = Wants { waiting, stopping: 3, since: at(0) };
        assert_eq!(
            wants.withheld("Secret db does not exist", Some("no leader")),
            "1 task waits: Secret db does not exist; 3 tasks are to end: not subscribed to the Mesos master: no leader"
        );
        let wants = Wants { stopping: 0, ..wants };
        assert_eq!(
            wants.withheld("Secret db does not exist", Some("no leader")),
            "1 task waits: Secret db does not exist"
        );
    }

    #[test]
    fn conditions_of_other_writers_stay() {
        let ready = Condition {
            type_: "Ready".into(),
            status: "False".into(),
            reason: "x".into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(at(1)),
        };
        let after = with_condition(std::slice::from_ref(&ready), None, None, at(2)).unwrap();
        assert_eq!(after[0], ready);
    }
}
