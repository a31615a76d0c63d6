//! Columns of the built-in kinds, as Kubernetes' own server prints them: counts and summaries that no path leads to.

use serde_json::{Value, json};

use super::column;
use crate::registry::crd::age_column;
use crate::registry::kind::{Cell, Column, ColumnType};
use crate::registry::table::NAME_FORMAT;

/// A column whose cells `make` makes of the whole object.
fn made(name: &str, type_: ColumnType, priority: i32, make: fn(&Value) -> Value) -> Column {
    Column { cell: Cell::Made(make), ..column(name, type_, &[], priority) }
}

fn count(value: &Value) -> usize {
    value.as_object().map_or(0, serde_json::Map::len) + value.as_array().map_or(0, Vec::len)
}

/// How many values a ConfigMap or a Secret has.
pub(super) fn data() -> Column {
    made("Data", ColumnType::String, 0, |object| json!(count(&object["data"]) + count(&object["binaryData"])))
}

/// How many Secrets are meant for a ServiceAccount.
pub(super) fn secrets() -> Column {
    made("Secrets", ColumnType::String, 0, |object| json!(count(&object["secrets"])))
}

/// When an object was made, as it stands there.
pub(super) fn created_at() -> Column {
    column("Created At", ColumnType::String, &["metadata", "creationTimestamp"], 0)
}

/// What a binding gives, and to whom.
pub(super) fn binding() -> Vec<Column> {
    let role = made("Role", ColumnType::String, 0, |object| {
        let text = |field: &str| object["roleRef"][field].as_str().unwrap_or_default();
        json!(format!("{}/{}", text("kind"), text("name")))
    });
    let users = made("Users", ColumnType::String, 1, |object| subjects(object, "User"));
    let groups = made("Groups", ColumnType::String, 1, |object| subjects(object, "Group"));
    let accounts =
        made("ServiceAccounts", ColumnType::String, 1, |object| subjects(object, "ServiceAccount"));
    vec![role, age_column(), users, groups, accounts]
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let of_kind = binding["subjects"].as_array().into_iter().flatten().filter(|it| it["kind"] == kind);
    let names = of_kind.map(|subject| {
        let text = |field: &str| subject[field].as_str().unwrap_or_default();
        if kind == "ServiceAccount" {
            format!("{}/{}", text("namespace"), text("name"))
        } else {
            text("name").to_owned()
        }
    });
    json!(names.collect::<Vec<_>>().join(", "))
}

/// The columns of an Event of either group, whose name nobody asks for.
pub(super) fn event() -> Vec<Column> {
    let texts = |name: &str, fields: &[&str], priority| column(name, ColumnType::String, fields, priority);
    vec![
        made("Last Seen", ColumnType::Date, 0, last_seen),
        texts("Type", &["type"], 0),
        texts("Reason", &["reason"], 0),
        made("Object", ColumnType::String, 0, about),
        made("Subobject", ColumnType::String, 1, |event| subject(event)["fieldPath"].clone()),
        made("Source", ColumnType::String, 1, source),
        made("Message", ColumnType::String, 0, |event| {
            json!(either(event, "message", "note").as_str().unwrap_or_default().trim())
        }),
        made("First Seen", ColumnType::Date, 1, first_seen),
        made("Count", ColumnType::Integer, 1, counted),
        Column { format: NAME_FORMAT.to_owned(), ..texts("Name", &["metadata", "name"], 1) },
    ]
}

/// A field that core/v1 and events.k8s.io/v1 call differently.
fn either<'e>(event: &'e Value, old: &str, new: &str) -> &'e Value {
    event.get(old).unwrap_or(&event[new])
}

fn subject(event: &Value) -> &Value {
    either(event, "involvedObject", "regarding")
}

/// The first of several times that is told.
fn told<const N: usize>(candidates: [&Value; N]) -> Value {
    candidates
        .into_iter()
        .find(|time| !time.as_str().unwrap_or_default().is_empty())
        .cloned()
        .unwrap_or_default()
}

fn last_seen(event: &Value) -> Value {
    let last = either(event, "lastTimestamp", "deprecatedLastTimestamp");
    told([&event["series"]["lastObservedTime"], last, &event["eventTime"]])
}

fn first_seen(event: &Value) -> Value {
    told([either(event, "firstTimestamp", "deprecatedFirstTimestamp"), &event["eventTime"]])
}

fn counted(event: &Value) -> Value {
    let counts = [&event["series"]["count"], either(event, "count", "deprecatedCount")];
    json!(counts.into_iter().filter_map(Value::as_i64).find(|count| *count > 0).unwrap_or(1))
}

fn about(event: &Value) -> Value {
    let text = |field: &str| subject(event)[field].as_str().unwrap_or_default();
    let kind = text("kind").to_lowercase();
    json!(if text("name").is_empty() { kind } else { format!("{kind}/{}", text("name")) })
}

fn source(event: &Value) -> Value {
    let given = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let source = either(event, "source", "deprecatedSource");
    let component = given(&source["component"])
        .or_else(|| given(either(event, "reportingComponent", "reportingController")));
    let host = given(&source["host"]).or_else(|| given(&event["reportingInstance"]));
    json!([component, host].into_iter().flatten().collect::<Vec<_>>().join(", "))
}
