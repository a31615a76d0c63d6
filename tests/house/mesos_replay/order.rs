//! The order in which Mesos did things, where the recorder saw another one.
//!
//! Calls, streams and faults are different connections; between them the recorder is some milliseconds off. What really
//! came first is seen from what followed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::recording::{Step, What};

/// What is told so soon after a call was not brought about by it.
const TOO_SOON: Duration = Duration::from_millis(1);

/// What is told again later than this was not acknowledged in between.
const AGAIN: Duration = Duration::from_millis(100);

/// The steps as Mesos saw them.
pub(crate) fn in_order_of_mesos(mut steps: Vec<Step>) -> Vec<Step> {
    refused_calls_late(&mut steps);
    let lost = lost(&steps);
    steps.retain(|step| match &step.what {
        What::Call { id, .. } | What::Answer { id, .. } => !lost.contains(id),
        _ => true,
    });
    told_before_calls(&mut steps);
    steps
}

/// A call that was refused, or reached nobody, met what came before its answer.
fn refused_calls_late(steps: &mut [Step]) {
    let answers: BTreeMap<u64, Duration> = steps
        .iter()
        .filter_map(|step| match &step.what {
            What::Answer { id, answer, .. } if !answer.starts_with('2') => Some((*id, step.at)),
            _ => None,
        })
        .collect();
    for step in steps.iter_mut() {
        if let What::Call { id, .. } = &step.what
            && let Some(answered) = answers.get(id)
        {
            step.at = *answered;
        }
    }
    // Stable: the call comes right before its answer, for it stood before it.
    steps.sort_by_key(|step| step.at);
}

/// When each update was told for the last time, if more than once.
fn told_again(steps: &[Step]) -> BTreeMap<String, Duration> {
    let mut first: BTreeMap<String, Duration> = BTreeMap::new();
    let mut again = BTreeMap::new();
    for step in steps {
        if let What::Event { event, .. } = &step.what
            && let Some(uuid) = event["update"]["status"]["uuid"].as_str()
        {
            let first = *first.entry(uuid.to_owned()).or_insert(step.at);
            if step.at > first + AGAIN {
                again.insert(uuid.to_owned(), step.at);
            }
        }
    }
    again
}

/// The calls that reached nobody, and the acknowledgements that got lost behind the master.
fn lost(steps: &[Step]) -> BTreeSet<u64> {
    let told_again = told_again(steps);
    let is_lost = |step: &Step| match &step.what {
        What::Call { id, call, .. } if is_lost(step.at, call, &told_again) => Some(*id),
        What::Answer { id, answer, .. } if answer == "unreachable" => Some(*id),
        _ => None,
    };
    steps.iter().filter_map(is_lost).collect()
}

/// An acknowledgement after which the update was told again never reached the agent. (One with a wrong agent is meant
/// to miss it.)
fn is_lost(at: Duration, call: &Value, told_again: &BTreeMap<String, Duration>) -> bool {
    let acknowledge = &call["acknowledge"];
    let wrong = acknowledge["agent_id"]["value"].as_str().is_some_and(|it| it.starts_with("nosuch"));
    let again = acknowledge["uuid"].as_str().and_then(|uuid| told_again.get(uuid));
    !wrong && again.is_some_and(|again| at + AGAIN < *again)
}

/// Offers that come between an ACCEPT or DECLINE and its answer, and answers of the master to something else, were made
/// before it.
fn told_before_calls(steps: &mut [Step]) {
    for index in 1..steps.len() {
        let What::Event { event, .. } = &steps[index].what else { continue };
        let is_offer = event["type"] == "OFFERS";
        let is_masters = event["update"]["status"].is_object() && event["update"]["status"]["uuid"].is_null();
        let What::Call { call, .. } = &steps[index - 1].what else { continue };
        let spends = call["type"] == "ACCEPT" || call["type"] == "DECLINE";
        let soon = steps[index].at < steps[index - 1].at + TOO_SOON;
        if (is_offer && spends) || (is_masters && soon) {
            steps[index].at = steps[index - 1].at;
            steps.swap(index - 1, index);
        }
    }
}
