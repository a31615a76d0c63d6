//! Events, in the two groups that tell of them; they are kept as core/v1 has them.

use serde_json::{Value, json};

use super::{EVENT_TTL, columns, content, core, integer, object, text, time};
use crate::registry::crd::CrdError;
use crate::registry::form::Form;
use crate::registry::kind::KindDef;
use crate::registry::object::respell_time;
use crate::registry::selector::{EVENT_FIELDS, NEW_EVENT_FIELDS};

/// An Event as core/v1 has it.
pub(super) fn old() -> Result<KindDef, CrdError> {
    let schema = object(
        "Something that happened to an object.",
        json!({
            "involvedObject": reference(), "related": reference(),
            "reason": text("One word."), "message": text("A sentence."), "type": text("Normal or Warning."),
            "action": text("What was done."),
            "source": source(),
            "firstTimestamp": time("When it was first seen."), "lastTimestamp": time("When it was last seen."),
            "eventTime": time("When it was first seen, to the microsecond."),
            "count": integer("How often it was seen."),
            "series": series(),
            "reportingComponent": text("The program that tells it."),
            "reportingInstance": text("Which of several such programs."),
        }),
    );
    let mut kind = core("Event", "events", &["ev"], schema)?;
    kind.selectable = names(EVENT_FIELDS);
    kind.ttl = Some(EVENT_TTL);
    kind.prepare = Some(respell_times);
    kind.rules = Some(content::event);
    kind.columns = columns::event();
    Ok(kind)
}

/// An Event as events.k8s.io/v1 has it, kept as a core/v1 Event.
pub(super) fn new() -> Result<KindDef, CrdError> {
    let schema = object(
        "Something that happened to an object.",
        json!({
            "regarding": reference(), "related": reference(),
            "reason": text("One word."), "note": text("A sentence."), "type": text("Normal or Warning."),
            "action": text("What was done."),
            "eventTime": time("When it was first seen, to the microsecond."),
            "series": series(),
            "reportingController": text("The program that tells it."),
            "reportingInstance": text("Which of several such programs."),
            "deprecatedSource": source(),
            "deprecatedFirstTimestamp": time("When it was first seen."),
            "deprecatedLastTimestamp": time("When it was last seen."),
            "deprecatedCount": integer("How often it was seen."),
        }),
    );
    let mut kind = core("Event", "events", &[], schema)?;
    kind.group = "events.k8s.io".to_owned();
    kind.form = Form::CoreEvent;
    kind.selectable = names(NEW_EVENT_FIELDS);
    kind.ttl = Some(EVENT_TTL);
    kind.columns = columns::event();
    Ok(kind)
}

/// Recorders of Python spell times in their own way.
fn respell_times(object: &mut Value) {
    for (path, to_micros) in [
        ("/firstTimestamp", false),
        ("/lastTimestamp", false),
        ("/eventTime", true),
        ("/series/lastObservedTime", true),
    ] {
        if let Some(time) = object.pointer_mut(path) {
            respell_time(time, to_micros);
        }
    }
}

fn names(fields: &[&str]) -> Vec<String> {
    fields.iter().map(|&field| field.to_owned()).collect()
}

fn reference() -> Value {
    json!({"type": "object", "description": "An object.", "properties": {
        "apiVersion": text("Its version."), "kind": text("Its kind."), "namespace": text("Its namespace."),
        "name": text("Its name."), "uid": text("Its uid."), "resourceVersion": text("The version that is spoken of."),
        "fieldPath": text("The part that is spoken of."),
    }})
}

fn source() -> Value {
    json!({"type": "object", "description": "Who tells it.",
        "properties": {"component": text("The program."), "host": text("The machine.")}})
}

fn series() -> Value {
    json!({"type": "object", "description": "Repetitions.",
        "properties": {"count": integer("How many."), "lastObservedTime": time("The last one.")}})
}
