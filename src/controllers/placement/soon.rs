//! Apps that are about to want offers although none of their Tasks waits: for them offers are kept a while longer.
//!
//! That is an App in which one instance makes room for the next (an update, a move off a machine), for a moment after each of its
//! steps, and one whose failed instance is about to be started again. What starts, stops or waits by itself wants nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::api::{App, AppStatus};
use crate::plan::ObjectName;

/// The next step of an update follows within this time, or it is not worth waiting for.
const STEP: Duration = Duration::from_secs(60);
/// How long before the end of a delay its instances are expected.
const BEFORE: Duration = Duration::from_secs(30);
/// Within this time after it their Tasks are there.
const AFTER: Duration = Duration::from_secs(5);

/// The reasons of the condition `Progressing` with which instances take each other's place.
const REPLACES: [&str; 2] = ["RollingOut", "Moving"];

/// Apps that are about to want offers.
#[derive(Debug, Default)]
pub(super) struct Soon {
    apps: BTreeMap<ObjectName, Expected>,
    /// Those whose times have begun, by their ends.
    begun: BTreeSet<(Timestamp, ObjectName)>,
    /// The others, by the beginnings.
    later: BTreeSet<(Timestamp, ObjectName)>,
}

#[derive(Debug, PartialEq)]
struct Expected {
    from: Timestamp,
    until: Timestamp,
    /// How far the App had come.
    step: Step,
}

/// What changes with each step of an App. What is said of it otherwise is none.
#[derive(Debug, PartialEq)]
struct Step {
    generation: Option<i64>,
    counts: [u32; 5],
    launched: u64,
    delayed_until: Option<Timestamp>,
}

impl Soon {
    /// Takes in how an App looks at `now`.
    pub(super) fn show(&mut self, name: &ObjectName, app: Option<&App>, now: Timestamp) {
        let known = self.apps.get(name);
        let expected = app.and_then(|app| expected(app, now));
        let is_same_step = known.zip(expected.as_ref()).is_some_and(|(known, it)| known.step == it.step);
        if is_same_step {
            return;
        }
        if let Some(known) = self.apps.remove(name) {
            self.begun.remove(&(known.until, name.clone()));
            self.later.remove(&(known.from, name.clone()));
        }
        if let Some(expected) = expected {
            self.later.insert((expected.from, name.clone()));
            self.apps.insert(name.clone(), expected);
            self.advance(now);
        }
    }

    /// It is `now`.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while self.later.first().is_some_and(|(from, _)| *from <= now)
            && let Some((_, name)) = self.later.pop_first()
        {
            if let Some(expected) = self.apps.get(&name) {
                self.begun.insert((expected.until, name));
            }
        }
    }

    /// The Apps that are about to want offers at `now`, up to which it was [advanced](Soon::advance), with until when; the latest
    /// first.
    pub(super) fn at(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, &ObjectName)> {
        let not_over = self.begun.iter().rev().take_while(move |(until, _)| *until > now);
        not_over.map(|(until, name)| (*until, name))
    }
}

fn expected(app: &App, now: Timestamp) -> Option<Expected> {
    let status = app.status.as_ref()?;
    if app.spec.instances == 0 || app.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let paused_until = status.launch_faults.as_ref().map(|it| it.until.0);
    let delayed_until = status.backoff.as_ref().map(|it| it.until.0).max(paused_until);
    let delays = |end: &Timestamp| status.instances < app.spec.instances && later(*end, AFTER) > now;
    let (from, until) = match delayed_until.filter(delays) {
        Some(end) => (end.checked_sub(BEFORE).unwrap_or(Timestamp::MIN), later(end, AFTER)),
        None if replaces(status) => (now, later(now, STEP)),
        None => return None,
    };
    let AppStatus { instances, running, healthy, ready, updated, launched, .. } = *status;
    let counts = [instances, running, healthy, ready, updated];
    let step = Step { generation: app.metadata.generation, counts, launched, delayed_until };
    Some(Expected { from, until, step })
}

fn later(base: Timestamp, time: Duration) -> Timestamp {
    base.saturating_add(time).unwrap_or(Timestamp::MAX)
}

fn replaces(status: &AppStatus) -> bool {
    let progresses = status.conditions.iter().find(|it| it.type_ == "Progressing" && it.status == "True");
    progresses.is_some_and(|it| REPLACES.contains(&it.reason.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// An App of four of which so many run, which progresses for this reason.
    fn app(running: u32, reason: &str, more: &Value) -> App {
        let mut status = json!({"instances": 4, "running": running, "conditions": [{
            "type": "Progressing", "status": "True", "reason": reason, "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }]});
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"instances": 4, "cmd": "a"}, "status": status,
        }))
        .unwrap()
    }

    fn until(soon: &mut Soon, second: i64) -> Option<i64> {
        soon.advance(at(second));
        soon.at(at(second)).next().map(|(until, _)| until.as_second())
    }

    #[test]
    fn each_step_of_an_update_is_expected_to_be_followed_by_another_one_for_a_while() {
        let (web, none) = (ObjectName::new("shop", "web"), json!({}));
        let mut soon = Soon::default();
        soon.show(&web, Some(&app(3, "Starting", &none)), at(0));
        assert_eq!(until(&mut soon, 0), None, "what merely starts wants nothing more");
        soon.show(&web, Some(&app(3, "RollingOut", &none)), at(10));
        assert_eq!((until(&mut soon, 10), until(&mut soon, 70)), (Some(70), None));
        let over = json!({"instances": 3, "backoff": {"revision": "web-1", "failures": 1,
            "until": "1970-01-01T00:00:01.000000Z"}});
        soon.show(&ObjectName::new("shop", "late"), Some(&app(3, "RollingOut", &over)), at(20));
        assert_eq!(until(&mut soon, 20), Some(80), "a delay that is over hides no update");
        soon.show(&ObjectName::new("shop", "late"), None, at(21));
        soon.show(&web, Some(&app(3, "RollingOut", &json!({"waiting": 1}))), at(50));
        assert_eq!(until(&mut soon, 50), Some(70), "it has come no further");
        soon.show(&web, Some(&app(4, "RollingOut", &none)), at(60));
        assert_eq!(until(&mut soon, 60), Some(120));
        soon.show(&web, Some(&app(4, "Stopping", &none)), at(61));
        assert_eq!(until(&mut soon, 61), None);
        soon.show(&web, Some(&app(3, "Moving", &none)), at(100));
        soon.show(&web, None, at(101));
        assert_eq!(until(&mut soon, 101), None);
    }

    #[test]
    fn an_instance_that_failed_is_expected_at_the_end_of_its_delay() {
        let web = ObjectName::new("shop", "web");
        let backoff = json!({"revision": "web-1", "failures": 9, "until": "1970-01-01T00:05:00.000000Z"});
        let mut soon = Soon::default();
        let failed = app(3, "Starting", &json!({"instances": 3, "backoff": backoff}));
        soon.show(&web, Some(&failed), at(0));
        assert_eq!(
            [until(&mut soon, 269), until(&mut soon, 270), until(&mut soon, 305)],
            [None, Some(305), None]
        );
        let faults = json!({"revision": "web-1", "since": "1970-01-01T00:00:00.000000Z", "message": "",
            "until": "1970-01-01T00:06:00.000000Z"});
        let paused = json!({"instances": 3, "launchFaults": faults});
        soon.show(&web, Some(&app(3, "Starting", &paused)), at(100));
        assert_eq!([until(&mut soon, 329), until(&mut soon, 330)], [None, Some(365)], "as with launches");
        let recovered = app(4, "AllReady", &json!({"backoff": backoff}));
        soon.show(&web, Some(&recovered), at(280));
        assert_eq!(until(&mut soon, 290), None);
    }
}
