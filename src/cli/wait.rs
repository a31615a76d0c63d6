//! `tenure wait`: until objects are gone, or have a condition or a value.

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use tokio::time::{Duration, Instant, timeout_at};

use super::connection::Connection;
use super::jsonpath::{JsonPath, shown};
use super::kinds::{Catalog, Resource, select};
use super::progress::Progress;
use super::watch::{Objects, Query};
use crate::api::Span;

/// Arguments of `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// What to wait for: TYPE NAME… or TYPE/NAME…
    #[arg(required = true)]
    pub what: Vec<String>,
    /// condition=NAME[=VALUE], delete, or jsonpath='{PATH}'[=VALUE]
    #[arg(long = "for", value_name = "CONDITION")]
    pub goal: Goal,
    /// All objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub selector: Option<String>,
    /// All objects of the type
    #[arg(long)]
    pub all: bool,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub timeout: Span,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// The object is gone.
    Delete,
    /// A condition of this type has this status.
    Condition(String, String),
    /// A path leads to this value, or to any.
    Value(JsonPath, Option<String>),
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text.eq_ignore_ascii_case("delete") => Ok(Self::Delete),
            Some(("condition", rest)) if !rest.is_empty() => {
                let (type_, status) = rest.split_once('=').unwrap_or((rest, "True"));
                Ok(Self::Condition(type_.to_owned(), status.to_owned()))
            }
            Some(("jsonpath", rest)) => {
                // The path may itself have an equals sign, inside its braces.
                let end =
                    rest.rfind('}').map_or_else(|| rest.find('=').unwrap_or(rest.len()), |brace| brace + 1);
                let (path, value) = rest.split_at(end);
                let path = JsonPath::parse(path).map_err(|error| error.to_string())?;
                Ok(Self::Value(path, value.strip_prefix('=').map(ToOwned::to_owned)))
            }
            _ => Err("must be condition=NAME[=VALUE], delete, or jsonpath='{PATH}'[=VALUE]".to_owned()),
        }
    }
}

impl Goal {
    /// Whether an object is as wanted; `None` stands for one that does not exist.
    fn reached(&self, object: Option<&Value>) -> bool {
        match (self, object) {
            (Self::Delete, object) => object.is_none(),
            (Self::Condition(..) | Self::Value(..), None) => false,
            (Self::Condition(type_, status), Some(object)) => {
                let conditions =
                    object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
                let named = |condition: &&Value| {
                    condition["type"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(type_))
                };
                // A condition of an older generation says nothing about what is wanted now. One that does not say speaks of
                // the generation that the status does.
                let is_current = |condition: &Value| {
                    let observed = condition["observedGeneration"].as_i64();
                    match observed.or_else(|| object["status"]["observedGeneration"].as_i64()) {
                        Some(observed) => Some(observed) >= object["metadata"]["generation"].as_i64(),
                        None => true,
                    }
                };
                conditions.iter().find(named).is_some_and(|condition| {
                    is_current(condition)
                        && condition["status"].as_str().is_some_and(|now| now.eq_ignore_ascii_case(status))
                })
            }
            (Self::Value(path, wanted), Some(object)) => {
                let found = path.find(object);
                match wanted {
                    Some(wanted) => found.iter().any(|value| shown(value) == *wanted),
                    None => !found.is_empty(),
                }
            }
        }
    }
}

/// When waiting ends.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// This long from now, or never.
    #[must_use]
    pub fn after(timeout: Option<Span>) -> Self {
        Self(timeout.map(|timeout| Instant::now() + Duration::from(timeout)))
    }

    /// The result of some work, or that time is up.
    ///
    /// # Errors
    ///
    /// If the deadline passes first: an error that names what was waited for.
    pub async fn limit<F: Future>(&self, work: F, what: &str) -> anyhow::Result<F::Output> {
        match self.0 {
            Some(at) => {
                timeout_at(at, work).await.map_err(|_| anyhow::anyhow!("timed out waiting for {what}"))
            }
            None => Ok(work.await),
        }
    }
}

pub(super) async fn run(connection: &Connection, args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let deadline = Deadline::after(Some(args.timeout));
    let mut progress = Progress::of_stdout();
    for (resource, name) in select(&catalog, &args.what)? {
        match name {
            Some(name) => one(connection, resource, &name, args, &deadline, &mut progress).await?,
            None if args.all || args.selector.is_some() => {
                for name in names(connection, resource, args).await? {
                    one(connection, resource, &name, args, &deadline, &mut progress).await?;
                }
            }
            None => bail!("name what to wait for, or give --all or -l SELECTOR"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn names(connection: &Connection, resource: &Resource, args: &WaitArgs) -> anyhow::Result<Vec<String>> {
    let query = Query {
        path: resource.path(Some(&connection.namespace), None),
        label_selector: args.selector.clone(),
        field_selector: None,
        accept: "application/json",
    };
    let objects = Objects::list(connection, query).await?;
    let names: Vec<String> = objects
        .iter()
        .filter_map(|object| object["metadata"]["name"].as_str().map(ToOwned::to_owned))
        .collect();
    if names.is_empty() && args.goal != Goal::Delete {
        bail!("no matching resources found");
    }
    Ok(names)
}

async fn one(
    connection: &Connection,
    resource: &Resource,
    name: &str,
    args: &WaitArgs,
    deadline: &Deadline,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let called = resource.called(name);
    let query = Query::named(resource.path(Some(&connection.namespace), None), name);
    if args.goal == Goal::Delete {
        return until_gone(connection, query, None, &called, deadline, progress).await;
    }
    let work = async {
        let mut objects = Objects::list(connection, query).await?;
        if objects.iter().next().is_none() {
            bail!("{called} does not exist");
        }
        while !args.goal.reached(objects.iter().next()) {
            progress.say(&called, "waiting")?;
            objects.changed().await?;
        }
        Ok(())
    };
    deadline.limit(work, &format!("the condition on {called}")).await??;
    progress.end(&called, "condition met").context("failed to write")
}

/// Waits until the object of a query is gone, or is another one of the same name.
pub(super) async fn until_gone(
    connection: &Connection,
    query: Query,
    uid: Option<&str>,
    called: &str,
    deadline: &Deadline,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let uid = uid.filter(|uid| !uid.is_empty());
    let mut waited = false;
    let work = async {
        let mut objects = Objects::list(connection, query).await?;
        let first = objects
            .iter()
            .next()
            .and_then(|object| object["metadata"]["uid"].as_str())
            .map(ToOwned::to_owned);
        let uid = uid.map(ToOwned::to_owned).or(first);
        while objects.iter().any(|object| object["metadata"]["uid"].as_str() == uid.as_deref()) {
            waited = true;
            let is_stopping = objects.iter().any(|object| !object["metadata"]["deletionTimestamp"].is_null());
            progress.say(called, if is_stopping { "stopping" } else { "waiting" })?;
            objects.changed().await?;
        }
        anyhow::Ok(())
    };
    deadline.limit(work, &format!("{called} to be gone")).await??;
    if waited {
        progress.end(called, "gone")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reached(goal: &str, object: Value) -> bool {
        goal.parse::<Goal>().unwrap().reached(Some(&object))
    }

    #[test]
    fn goals_are_those_of_kubectl() {
        let object = json!({
            "metadata": {"generation": 2},
            "status": {"running": 5, "conditions": [
                {"type": "Ready", "status": "True", "observedGeneration": 2},
                {"type": "Waiting", "status": "False"},
                {"type": "Old", "status": "True", "observedGeneration": 1},
            ]},
        });
        assert!(reached("condition=Ready", object.clone()));
        assert!(reached("condition=ready=true", object.clone()));
        assert!(reached("condition=Waiting=False", object.clone()));
        assert!(!reached("condition=Old", object.clone()));
        assert!(!reached("condition=Absent", object.clone()));
        assert!(reached("jsonpath={.status.running}=5", object.clone()));
        assert!(reached("jsonpath={.status.running}", object.clone()));
        assert!(!reached("jsonpath={.status.running}=4", object.clone()));
        assert!(reached("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", object.clone()));
        assert!(!reached("delete", object));
        assert!("delete".parse::<Goal>().unwrap().reached(None));
    }

    #[test]
    fn an_unknown_goal_says_what_is_allowed() {
        for text in ["ready", "condition=", "jsonpath=", "create"] {
            assert!(text.parse::<Goal>().is_err(), "{text}");
        }
    }
}
