//! How objects are kept where that is not how they are served: one stored form, several ways to see it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Registry;
use super::failure::Failure;
use super::kind::KindDef;
use super::schema::{apply_defaults, prune};

/// How the objects of a kind are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As they are served.
    Served,
    /// In whichever version of the kind was the stored one when they were written: the same fields, another apiVersion.
    Versioned,
    /// As core/v1 Events, whose fields have other names.
    CoreEvent,
}

/// Fields of an Event: in events.k8s.io/v1, and in core/v1.
const EVENT: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

impl Form {
    /// The fields of `stored` as `kind` serves them.
    pub fn show(self, kind: &KindDef, stored: &mut Value) {
        match self {
            Form::Served => return,
            Form::Versioned if stored["apiVersion"] == json!(kind.api_version()) => return,
            Form::Versioned => {
                prune(stored, &kind.schema, "", &mut Vec::new());
                apply_defaults(stored, &kind.schema);
            }
            Form::CoreEvent => rename(stored, EVENT.map(|(served, kept)| (kept, served))),
        }
        stored["apiVersion"] = json!(kind.api_version());
    }

    /// The fields of an object that is served in this form, as they are kept as a `kept`.
    pub(super) fn keep(self, kept: &KindDef, object: &mut Value) {
        match self {
            Form::Served => return,
            Form::Versioned => prune(object, &kept.schema, "", &mut Vec::new()),
            Form::CoreEvent => rename(object, EVENT),
        }
        object["apiVersion"] = json!(kept.api_version());
    }
}

fn rename<const N: usize>(object: &mut Value, names: [(&str, &str); N]) {
    let Some(fields) = object.as_object_mut() else { return };
    let mut renamed: Map<String, Value> =
        names.iter().filter_map(|(from, to)| Some(((*to).to_owned(), fields.remove(*from)?))).collect();
    fields.append(&mut renamed);
}

impl Registry {
    /// The kind that objects of `kind` are kept as; none when that is `kind` itself.
    pub(super) fn kept_as(&self, kind: &KindDef) -> Option<Arc<KindDef>> {
        (kind.form != Form::Served).then(|| self.scheme().by_resource(&kind.resource).cloned()).flatten()
    }
}

/// A stored object's JSON as `kind` serves it.
pub(super) fn shown(kind: &KindDef, stored: Bytes) -> Result<Bytes, Failure> {
    if kind.form == Form::Served {
        return Ok(stored);
    }
    let mut object: Value =
        serde_json::from_slice(&stored).map_err(|error| Failure::internal(error.to_string()))?;
    kind.form.show(kind, &mut object);
    Ok(object.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::builtin;

    #[test]
    fn an_event_reads_the_same_in_both_groups() {
        let kinds = builtin::kinds().unwrap();
        let of = |group: &str| kinds.iter().find(|kind| kind.kind == "Event" && kind.group == group).unwrap();
        let (core, new) = (of(""), of("events.k8s.io"));
        let stored = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"name": "web"},
            "message": "m", "reason": "r", "count": 2, "source": {"component": "c"}, "reportingComponent": "p",
        });
        let mut seen = stored.clone();
        new.form.show(new, &mut seen);
        let expected = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
            "regarding": {"name": "web"}, "note": "m", "reason": "r", "deprecatedCount": 2,
            "deprecatedSource": {"component": "c"}, "reportingController": "p",
        });
        assert_eq!(seen, expected);
        new.form.keep(core, &mut seen);
        assert_eq!(seen, stored);
    }
}
