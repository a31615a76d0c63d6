//! Events for people: what was out of the ordinary, and never an ordinary transition.
//!
//! An Event is written in the same transaction as what it tells of. Telling the same of the same object again counts up
//! the Event that is there.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::objects::Stored;
use crate::api::resource::Kind;
use crate::api::{API_VERSION, App, Condition, Time, names};
use crate::plan::deployment::{Action, Plan};
use crate::registry::{Doc, Key, Resource, Snapshot, Write};

/// Who reports.
const COMPONENT: &str = "tenure";
/// The longest prefix that an object's name contributes to the name of an Event about it.
const SUBJECT_IN_NAME: usize = 200;

/// The most Events in one transaction: they must not crowd out what they tell of.
const AT_ONCE: usize = 10;

/// Something that people should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    /// `Normal` or `Warning`.
    pub(super) type_: &'static str,
    /// One CamelCase word.
    pub(super) reason: String,
    /// A sentence.
    pub(super) message: String,
}

impl Happening {
    pub(super) fn normal(reason: &str, message: impl Into<String>) -> Happening {
        Happening { type_: "Normal", reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn warning(reason: &str, message: impl Into<String>) -> Happening {
        Happening { type_: "Warning", reason: reason.to_owned(), message: message.into() }
    }
}

/// Turns happenings into writes.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    /// Which process reports.
    pub(super) host: Arc<str>,
}

impl Recorder {
    /// The writes that tell of `happenings` about `subject` at `now`.
    pub(super) fn writes<K: Kind>(
        &self,
        snapshot: &Snapshot,
        subject: &Stored<K>,
        happenings: Vec<Happening>,
        now: Timestamp,
    ) -> Vec<Write> {
        happenings
            .into_iter()
            .take(AT_ONCE)
            .map(|happening| {
                let key = event_key(&subject.doc, &happening);
                match snapshot.get(&key) {
                    Some(before) => again(before, now),
                    None => {
                        Write::Create { value: self.first::<K>(&subject.doc, &key.name, &happening, now) }
                    }
                }
            })
            .collect()
    }

    fn first<K: Kind>(&self, subject: &Doc, name: &str, happening: &Happening, now: Timestamp) -> Value {
        let about = subject.key();
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace_of(about)},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": K::DEFINITION.kind,
                "namespace": &*about.namespace,
                "name": &*about.name,
                "uid": subject.meta().uid,
                "resourceVersion": subject.revision().to_string(),
            },
            "type": happening.type_,
            "reason": happening.reason,
            "message": happening.message,
            "source": {"component": COMPONENT, "host": &*self.host},
            "firstTimestamp": Time(now),
            "lastTimestamp": Time(now),
            "count": 1,
        })
    }
}

/// Whether this of `subject` was told at `since` or later, as far as Events are kept.
pub(super) fn is_told(snapshot: &Snapshot, subject: &Doc, happening: &Happening, since: Timestamp) -> bool {
    let event = snapshot.get(&event_key(subject, happening)).and_then(|doc| doc.typed::<Value>().ok());
    let told = event.and_then(|event| event["lastTimestamp"].as_str()?.parse::<Timestamp>().ok());
    told.is_some_and(|told| told >= since)
}

/// Where Events about an object stand. As in Kubernetes, those about objects without a namespace stand in `default`.
fn namespace_of(about: &Key) -> &str {
    if about.namespace.is_empty() { "default" } else { &about.namespace }
}

fn event_key(subject: &Doc, happening: &Happening) -> Key {
    let name = event_name(subject, happening);
    Key::new(&Resource::new("", "events"), namespace_of(subject.key()), &name)
}

/// One name per object, reason and message, so that telling it again finds the Event.
fn event_name(subject: &Doc, happening: &Happening) -> String {
    let Happening { type_: _, reason, message } = happening;
    let hash = names::short_hash(format!("{}/{reason}/{message}", subject.meta().uid).as_bytes());
    let name = &*subject.key().name;
    let end = (0..=SUBJECT_IN_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    format!("{}.{hash}", &name[..end.unwrap_or(0)])
}

fn again(before: &Arc<Doc>, now: Timestamp) -> Write {
    let count = before.typed::<Value>().ok().and_then(|event| event["count"].as_u64()).unwrap_or(1);
    Write::Merge { base: before.clone(), patch: json!({"count": count + 1, "lastTimestamp": Time(now)}) }
}

/// What became of a machine's conditions of these types, where status or reason differ. What is true from the start is no news.
pub(super) fn of_conditions(before: &[Condition], after: &[Condition], kinds: &[&str]) -> Vec<Happening> {
    let find = |conditions: &[Condition], kind: &str| conditions.iter().find(|it| it.type_ == kind).cloned();
    let mut happenings: Vec<Happening> = Vec::new();
    for kind in kinds {
        let Some(now) = find(after, kind) else { continue };
        let was = find(before, kind);
        let is_news = match &was {
            Some(was) => (&was.status, &was.reason) != (&now.status, &now.reason),
            None => now.status == "False",
        };
        // One cause may turn several conditions.
        if is_news && happenings.iter().all(|it| it.reason != now.reason) {
            let type_ = if now.status == "True" { "Normal" } else { "Warning" };
            let message = match now.message.as_str() {
                "" => format!("{} is {} again", now.type_, now.status.to_lowercase()),
                message => message.to_owned(),
            };
            happenings.push(Happening { type_, reason: now.reason, message });
        }
    }
    happenings
}

/// What a plan for an App does that is out of the ordinary.
pub(super) fn of_deployment(app: &App, plan: &Plan) -> Vec<Happening> {
    let mut happenings: Vec<Happening> = plan.actions.iter().filter_map(of_action).collect();
    let before = app.status.as_ref();
    let failures = |status: Option<&crate::api::BackoffStatus>| status.map_or(0, |it| it.failures);
    let (had, has) =
        (failures(before.and_then(|it| it.backoff.as_ref())), failures(plan.status.backoff.as_ref()));
    if has > had
        && let Some(backoff) = &plan.status.backoff
    {
        let message = format!("instances of {} fail: the next starts are delayed", backoff.revision);
        happenings.push(Happening::warning("BackOff", message));
    }
    // Once per rollout: a return to ready after a scaling or a failure is none.
    if let Some(revision) = &plan.status.rolled_out
        && before.and_then(|it| it.rolled_out.as_ref()) != Some(revision)
    {
        happenings.push(Happening::normal("RolledOut", format!("all instances are ready and of {revision}")));
    }
    happenings
}

fn of_action(action: &Action) -> Option<Happening> {
    match action {
        Action::CreateRevision(revision) => {
            let name = revision.metadata.name.as_deref().unwrap_or_default();
            let number = revision.spec.number;
            Some(Happening::normal(
                "RolloutStarted",
                format!("revision {number} ({name}) is being rolled out"),
            ))
        }
        Action::RenumberRevision { name, number } => {
            Some(Happening::normal("RolloutStarted", format!("going back to {name}, now revision {number}")))
        }
        Action::RecordEnd { name, stop } => {
            Some(Happening::warning(&stop.reason, format!("task {name}: {}", stop.message)))
        }
        Action::RemoveRevision { .. }
        | Action::CreateTask(_)
        | Action::StopTask { .. }
        | Action::HoldApp
        | Action::ReleaseApp => None,
    }
}
