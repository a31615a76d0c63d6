//! `tenure events`: what happened, the latest last.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::connection::Connection;
use super::kinds::{Catalog, Resource, select};
use super::print::{self, Grid, Paint};
use super::watch::{Event, Query, Watch};

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Only about this object: TYPE/NAME
    #[arg(long = "for", value_name = "TYPE/NAME")]
    pub about: Option<String>,
    /// Only of this type: Normal or Warning
    #[arg(long = "types", value_name = "TYPE")]
    pub type_: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Go on with events as they happen
    #[arg(short, long)]
    pub watch: bool,
    /// Without headings
    #[arg(long)]
    pub no_headers: bool,
}

pub(super) async fn run(connection: &Connection, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let mut fields = Vec::new();
    if let Some(about) = &args.about {
        let selected = select(&catalog, std::slice::from_ref(about))?;
        let [(resource, Some(name))] = selected.as_slice() else {
            bail!("--for must be TYPE/NAME, such as app/web")
        };
        fields.push(involved(resource, name));
    }
    fields.extend(args.type_.as_ref().map(|type_| format!("type={type_}")));
    let namespace = (!args.all_namespaces).then_some(connection.namespace.as_str());
    let query = Query {
        path: catalog.find("events")?.path(namespace, None),
        label_selector: None,
        field_selector: (!fields.is_empty()).then(|| fields.join(",")),
        accept: "application/json",
    };
    let list = connection.get(&query.list_path()).await?;
    let events = sorted(list["items"].as_array().cloned().unwrap_or_default());
    if events.is_empty() && !args.watch {
        print::note("No events found");
        return Ok(ExitCode::SUCCESS);
    }
    let mut grid = Grid::default();
    if !args.no_headers {
        head(&mut grid, args.all_namespaces);
    }
    events.iter().for_each(|event| row(&mut grid, event, args.all_namespaces, age::now()));
    print::out(&grid.take(Paint::of_stdout()))?;
    if !args.watch {
        return Ok(ExitCode::SUCCESS);
    }
    let version = list["metadata"]["resourceVersion"].as_str().context("the server's list has no version")?;
    let mut watch = Watch::from(connection, query, version);
    loop {
        if let Event::Applied(event) = watch.next().await? {
            row(&mut grid, &event, args.all_namespaces, age::now());
            print::out(&grid.take(Paint::of_stdout()))?;
        }
    }
}

/// The field selector of events about an object.
pub(super) fn involved(resource: &Resource, name: &str) -> String {
    format!("involvedObject.kind={},involvedObject.name={name}", resource.kind)
}

/// The latest last.
pub(super) fn sorted(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| last_seen(event).as_str().and_then(|text| text.parse::<Timestamp>().ok()));
    events
}

/// When an event happened last: events of a series, of the old and of the new form say it in different fields.
fn last_seen(event: &Value) -> &Value {
    let places = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["firstTimestamp"],
        &event["metadata"]["creationTimestamp"],
    ];
    places.into_iter().find(|value| !value.is_null()).unwrap_or(&Value::Null)
}

pub(super) fn head(grid: &mut Grid, with_namespace: bool) {
    let columns = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
    grid.row(with_namespace.then_some("NAMESPACE").into_iter().chain(columns));
}

pub(super) fn row(grid: &mut Grid, event: &Value, with_namespace: bool, now: Timestamp) {
    let text = |value: &Value| value.as_str().unwrap_or_default().trim().replace('\n', " ");
    let involved = &event["involvedObject"];
    let count = event["series"]["count"].as_u64().or_else(|| event["count"].as_u64()).unwrap_or(1);
    let first = age::since(&event["firstTimestamp"], now);
    let seen = age::since(last_seen(event), now);
    let cells = [
        if count > 1 { format!("{seen} (x{count} over {first})") } else { seen },
        text(&event["type"]),
        text(&event["reason"]),
        format!("{}/{}", text(&involved["kind"]).to_lowercase(), text(&involved["name"])),
        text(&event["message"]),
    ];
    grid.row(with_namespace.then(|| text(&event["metadata"]["namespace"])).into_iter().chain(cells));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_shown_with_the_latest_last() {
        let event = |reason: &str, at: &str, count: u64| {
            json!({"type": "Normal", "reason": reason, "message": "m", "count": count, "firstTimestamp": "2026-01-01T00:00:00Z",
                "lastTimestamp": at, "involvedObject": {"kind": "App", "name": "web"}})
        };
        let now: Timestamp = "2026-01-01T00:02:00Z".parse().unwrap();
        let mut grid = Grid::default();
        head(&mut grid, false);
        for event in sorted(vec![
            event("Second", "2026-01-01T00:01:50Z", 3),
            event("First", "2026-01-01T00:00:30Z", 1),
        ]) {
            row(&mut grid, &event, false, now);
        }
        assert_eq!(
            grid.take(Paint::Plain),
            "LAST SEEN          TYPE     REASON   OBJECT    MESSAGE\n\
             90s                Normal   First    app/web   m\n\
             10s (x3 over 2m)   Normal   Second   app/web   m\n"
        );
    }
}
