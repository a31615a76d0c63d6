//! `tenure describe`: all that is known of an object, with what it owns and what happened to it.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::age;
use super::connection::{Connection, TABLE, with_query};
use super::events;
use super::get::items;
use super::kinds::{Catalog, Resource, select};
use super::print::{self, Columns, Grid, Paint, TableOptions};
use super::watch::Query;
use crate::api::labels;

/// Arguments of `describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// What to describe: TYPE, TYPE NAME… or TYPE/NAME…
    #[arg(required = true)]
    pub what: Vec<String>,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
}

pub(super) async fn run(connection: &Connection, args: &DescribeArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let mut first = true;
    for (resource, name) in select(&catalog, &args.what)? {
        let path = resource.path(Some(&connection.namespace), name.as_deref());
        let objects = match name {
            Some(_) => vec![connection.get(&path).await?],
            None => {
                let path = with_query(&path, &[("labelSelector", args.selector.as_deref())]);
                items(resource, connection.get(&path).await?)
            }
        };
        for object in objects {
            let mut text = if first { String::new() } else { "\n\n".to_owned() };
            first = false;
            text.push_str(&described(&object, age::now()));
            text.push_str(&tasks(connection, &catalog, resource, &object).await?);
            text.push_str(&happened(connection, &catalog, resource, &object).await?);
            print::out(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The object itself: names first, then spec and status as an outline; conditions as a table.
fn described(object: &Value, now: Timestamp) -> String {
    let metadata = &object["metadata"];
    let mut text = String::new();
    let mut line = |label: &str, value: &str| text.push_str(&format!("{:<14}{value}\n", format!("{label}:")));
    line("Name", metadata["name"].as_str().unwrap_or_default());
    if let Some(namespace) = metadata["namespace"].as_str() {
        line("Namespace", namespace);
    }
    line("Kind", object["kind"].as_str().unwrap_or_default());
    for (label, field) in [("Labels", "labels"), ("Annotations", "annotations")] {
        let pairs = metadata[field].as_object().map(pairs).unwrap_or_default();
        line(
            label,
            &if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(&format!("\n{:14}", "")) },
        );
    }
    let created = metadata["creationTimestamp"].as_str().unwrap_or("<unknown>");
    line("Created", &format!("{created} ({} ago)", age::since(&metadata["creationTimestamp"], now)));
    if let Some(deleted) = metadata["deletionTimestamp"].as_str() {
        line("Terminating", &format!("since {deleted}"));
    }
    let known = ["apiVersion", "kind", "metadata", "status"];
    let parts = object.as_object().into_iter().flatten().filter(|(name, _)| !known.contains(&name.as_str()));
    for (name, part) in parts {
        text.push_str(&format!("{}:\n", heading(name)));
        match part {
            Value::Object(data) if matches!(name.as_str(), "data" | "binaryData" | "stringData") => {
                text.push_str(&entries(data, object["kind"] == "Secret" || name == "binaryData"));
            }
            _ => outline(part, 1, &mut text),
        }
    }
    if let Some(Value::Object(status)) = object.get("status") {
        let mut status = status.clone();
        let conditions = status.remove("conditions");
        text.push_str("Status:\n");
        outline(&Value::Object(status), 1, &mut text);
        if let Some(Value::Array(conditions)) = conditions {
            text.push_str(&conditions_table(&conditions, now));
        }
    }
    text
}

/// What a ConfigMap or Secret holds, by keys as they are. Of a value that is secret, or no text, the size is told.
fn entries(data: &Map<String, Value>, sizes: bool) -> String {
    let entry = |(key, value): (&String, &Value)| {
        let value = value.as_str().unwrap_or_default();
        if sizes {
            let size = STANDARD.decode(value).map_or(value.len(), |bytes| bytes.len());
            format!("  {key}: {size} bytes\n")
        } else if value.contains('\n') {
            let lines: Vec<String> = value.lines().map(|line| format!("    {line}\n")).collect();
            format!("  {key}:\n{}", lines.concat())
        } else {
            format!("  {key}: {value}\n")
        }
    };
    data.iter().map(entry).collect()
}

/// All but what kubectl keeps for itself, which repeats the whole object.
fn pairs(map: &Map<String, Value>) -> Vec<String> {
    let shown = map.iter().filter(|(key, _)| *key != "kubectl.kubernetes.io/last-applied-configuration");
    shown.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect()
}

fn conditions_table(conditions: &[Value], now: Timestamp) -> String {
    let mut grid = Grid::default();
    grid.row(["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in conditions {
        let field = |name: &str| condition[name].as_str().unwrap_or_default().replace('\n', " ");
        let since = age::since(&condition["lastTransitionTime"], now);
        grid.row([field("type"), field("status"), field("reason"), since, field("message")]);
    }
    section("Conditions", &mut grid)
}

/// A table under its name, indented.
fn section(name: &str, grid: &mut Grid) -> String {
    let lines: Vec<String> =
        grid.take(Paint::of_stdout()).lines().map(|line| format!("  {line}\n")).collect();
    format!("{name}:\n{}", lines.concat())
}

/// `maxConsecutiveFailures` as `Max Consecutive Failures`.
fn heading(field: &str) -> String {
    let mut text = String::new();
    for (index, character) in field.chars().enumerate() {
        if index == 0 {
            text.extend(character.to_uppercase());
        } else {
            if character.is_uppercase() {
                text.push(' ');
            }
            text.push(character);
        }
    }
    text
}

/// A value as an indented outline.
fn outline(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match inline(value) {
                    Some(short) => text.push_str(&format!("{indent}{}: {short}\n", heading(name))),
                    None => {
                        text.push_str(&format!("{indent}{}:\n", heading(name)));
                        outline(value, depth + 1, text);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match inline(item) {
                    Some(short) => text.push_str(&format!("{indent}- {short}\n")),
                    None => {
                        let start = text.len();
                        outline(item, depth + 1, text);
                        text.replace_range(start + indent.len()..start + indent.len() + 2, "- ");
                    }
                }
            }
        }
        other => text.push_str(&format!("{indent}{}\n", inline(other).unwrap_or_default())),
    }
}

/// A value that fits behind its name.
fn inline(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("<none>".to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) if items.is_empty() => Some("<none>".to_owned()),
        Value::Object(map) if map.is_empty() => Some("<none>".to_owned()),
        Value::Array(items) if items.iter().all(|item| item.is_string() || item.is_number()) => {
            Some(items.iter().filter_map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The tasks of an app, as the server's table has them.
async fn tasks(
    connection: &Connection,
    catalog: &Catalog,
    resource: &Resource,
    object: &Value,
) -> anyhow::Result<String> {
    if resource.plural != "apps" {
        return Ok(String::new());
    }
    let query = Query {
        path: catalog.find("tasks.tenure.dev")?.path(object["metadata"]["namespace"].as_str(), None),
        label_selector: Some(format!(
            "{}={}",
            labels::APP,
            object["metadata"]["name"].as_str().unwrap_or_default()
        )),
        field_selector: None,
        accept: TABLE,
    };
    let table = connection.get_as(&query.list_path(), query.accept).await?;
    let columns = Columns::read(&table, false)?;
    let mut grid = Grid::default();
    let options = TableOptions::default();
    columns.head(&mut grid, options);
    if columns.rows(&table, &mut grid, options) == 0 {
        return Ok("Tasks:        <none>\n".to_owned());
    }
    Ok(section("Tasks", &mut grid))
}

async fn happened(
    connection: &Connection,
    catalog: &Catalog,
    resource: &Resource,
    object: &Value,
) -> anyhow::Result<String> {
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    // Events about a former object of that name are still there.
    let involved = format!("{},involvedObject.uid={}", events::involved(resource, text("name")), text("uid"));
    let query = Query {
        path: catalog.find("events")?.path(metadata["namespace"].as_str(), None),
        label_selector: None,
        field_selector: Some(involved),
        accept: "application/json",
    };
    let list = connection.get(&query.list_path()).await?;
    let events = events::sorted(list["items"].as_array().cloned().unwrap_or_default());
    if events.is_empty() {
        return Ok("Events:       <none>\n".to_owned());
    }
    let mut grid = Grid::default();
    events::head(&mut grid, false);
    events.iter().for_each(|event| events::row(&mut grid, event, false, age::now()));
    Ok(section("Events", &mut grid))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_is_shown_by_its_keys_and_of_secrets_only_the_sizes() {
        let object = |kind: &str, data: Value| {
            let applied = json!({"kubectl.kubernetes.io/last-applied-configuration": data.to_string()});
            json!({"kind": kind, "metadata": {"name": "db", "annotations": applied}, "data": data})
        };
        let shown = |object: &Value| described(object, Timestamp::UNIX_EPOCH);
        let secret = shown(&object("Secret", json!({"passWord": "aHVudGVyMg=="})));
        assert!(secret.ends_with("Data:\n  passWord: 7 bytes\n") && !secret.contains("aHVu"), "{secret}");
        let config = shown(&object("ConfigMap", json!({"file.ini": "a = 1\nb = 2\n", "maxSize": "3"})));
        let data = "Data:\n  file.ini:\n    a = 1\n    b = 2\n  maxSize: 3\n";
        assert!(config.contains("Annotations:  <none>\n") && config.ends_with(data), "{config}");
    }

    #[test]
    fn an_object_is_described_as_an_outline() {
        let object = json!({
            "apiVersion": "tenure.dev/v1", "kind": "App",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"team": "web"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"instances": 3, "args": ["a", "b"], "ports": [{"name": "http", "containerPort": 80}], "kill": {"gracePeriod": "3s"}},
            "status": {"running": 3, "conditions": [
                {"type": "Ready", "status": "True", "reason": "AllReady", "message": "3 of 3", "lastTransitionTime": "2026-01-01T00:00:30Z"}]},
        });
        let text = described(&object, "2026-01-01T00:01:00Z".parse().unwrap());
        assert_eq!(
            text,
            "Name:         web\n\
             Namespace:    shop\n\
             Kind:         App\n\
             Labels:       team=web\n\
             Annotations:  <none>\n\
             Created:      2026-01-01T00:00:00Z (60s ago)\n\
             Spec:\n\
             \u{20} Args: a, b\n\
             \u{20} Instances: 3\n\
             \u{20} Kill:\n\
             \u{20}   Grace Period: 3s\n\
             \u{20} Ports:\n\
             \u{20}   - Container Port: 80\n\
             \u{20}     Name: http\n\
             Status:\n\
             \u{20} Running: 3\n\
             Conditions:\n\
             \u{20} TYPE    STATUS   REASON     SINCE   MESSAGE\n\
             \u{20} Ready   True     AllReady   30s     3 of 3\n"
        );
    }
}
