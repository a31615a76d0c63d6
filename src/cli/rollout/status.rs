//! `tenure rollout status`: a line per app until every instance is of the wanted revision and ready, nothing old or
//! surplus is left, and no crash loop is about to go on.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use futures::future::try_join_all;
use serde::Deserialize as _;
use tokio::sync::Mutex;

use super::super::connection::Connection;
use super::super::kinds::{Catalog, Resource};
use super::super::progress::Progress;
use super::super::wait::Deadline;
use super::super::watch::{Objects, Query};
use crate::api::{App, AppStatus, Condition, Span};

/// Arguments of `rollout status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The apps: NAME…, app NAME… or app/NAME…
    #[arg(required = true)]
    what: Vec<String>,
    /// Say how it stands now, and do not wait
    #[arg(long)]
    no_wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
}

pub(super) async fn run(connection: &Connection, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let (apps, names) = super::apps(&catalog, &args.what)?;
    let progress = Mutex::new(Progress::of_stdout());
    if args.no_wait {
        for name in &names {
            let (Stage::Done(text) | Stage::Going(text)) = stage(&super::app(connection, apps, name).await?);
            progress.lock().await.end(name, &text)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let deadline = Deadline::after(args.timeout);
    let all = try_join_all(names.iter().map(|name| follow(connection, apps, name, &progress)));
    deadline.limit(all, &format!("the rollout of {}", names.join(", "))).await??;
    Ok(ExitCode::SUCCESS)
}

async fn follow(
    connection: &Connection,
    apps: &Resource,
    name: &str,
    progress: &Mutex<Progress>,
) -> anyhow::Result<()> {
    let query = Query::named(apps.path(Some(&connection.namespace), None), name);
    let mut objects = Objects::list(connection, query).await?;
    loop {
        let document =
            objects.iter().next().with_context(|| format!("{} does not exist", apps.called(name)))?;
        let app = App::deserialize(document)
            .with_context(|| format!("the server's answer about {} is malformed", apps.called(name)))?;
        match stage(&app) {
            Stage::Done(text) => return Ok(progress.lock().await.end(name, &text)?),
            Stage::Going(text) => progress.lock().await.say(name, &text)?,
        }
        objects.changed().await?;
    }
}

/// How far a rollout is, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Done(String),
    Going(String),
}

fn stage(app: &App) -> Stage {
    let wanted = app.spec.instances;
    let unknown = AppStatus::default();
    let status = app.status.as_ref().unwrap_or(&unknown);
    if status.observed_generation < app.metadata.generation {
        return Stage::Going("waiting for the controller to see the change".to_owned());
    }
    if status.updated < wanted {
        return Stage::Going(format!("{} of {wanted} instances updated{}", status.updated, trouble(status)));
    }
    if status.instances > wanted {
        let surplus = status.instances - wanted;
        return Stage::Going(format!("{surplus} old or surplus instances still to stop{}", trouble(status)));
    }
    if status.ready < wanted {
        return Stage::Going(format!("{} of {wanted} instances ready{}", status.ready, trouble(status)));
    }
    let condition = |type_: &str| status.conditions.iter().find(|condition| condition.type_ == type_);
    let ready = condition("Ready");
    if ready.is_none_or(|condition| condition.status != "True") {
        // Those that are stopping are in no count.
        return Stage::Going(
            ready.map_or_else(|| "waiting for the app to be ready".to_owned(), |it| it.message.clone()),
        );
    }
    if condition("Degraded").is_some_and(|it| it.status == "True" && it.reason == "Failing") {
        return Stage::Going(format!(
            "{wanted} of {wanted} instances ready for the moment{}",
            trouble(status)
        ));
    }
    let revision = status.revision.as_deref().unwrap_or("none");
    Stage::Done(format!("{wanted} of {wanted} instances ready, revision {revision}"))
}

/// What keeps it: conditions that say so.
fn trouble(status: &AppStatus) -> String {
    let said = |type_: &str, verdict: &str| {
        let is = |condition: &&Condition| condition.type_ == type_ && condition.status == verdict;
        status.conditions.iter().find(is).map(|condition| condition.message.as_str())
    };
    // Nothing may start; why stands behind the count. It tells of failures too.
    let blocked = said("Progressing", "False").and_then(|text| text.split_once("; ")).map(|(_, why)| why);
    let failing = || said("Stalled", "True").or_else(|| said("Degraded", "True"));
    let mut parts: Vec<&str> =
        [blocked.or_else(failing), said("Waiting", "True")].into_iter().flatten().collect();
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn stage_of(status: Value) -> Stage {
        let app =
            json!({"metadata": {"name": "web", "generation": 2}, "spec": {"instances": 3}, "status": status});
        stage(&App::deserialize(app).unwrap())
    }

    #[test]
    fn a_rollout_is_done_when_all_instances_are_updated_and_ready_and_no_other_is_left() {
        let status = |observed: i64, instances: u32, updated: u32, ready: u32| json!({"observedGeneration": observed, "instances": instances, "updated": updated, "ready": ready, "revision": "web-x"});
        for (status, stage) in [
            (json!({}), Stage::Going("waiting for the controller to see the change".into())),
            (status(1, 3, 3, 3), Stage::Going("waiting for the controller to see the change".into())),
            (status(2, 4, 1, 3), Stage::Going("1 of 3 instances updated".into())),
            (status(2, 4, 3, 4), Stage::Going("1 old or surplus instances still to stop".into())),
            (status(2, 3, 3, 2), Stage::Going("2 of 3 instances ready".into())),
        ] {
            assert_eq!(stage_of(status), stage);
        }
    }

    #[test]
    fn a_rollout_is_not_done_while_instances_are_stopping_or_a_crash_loop_runs_for_a_moment() {
        let condition = |type_: &str, status: &str, reason: &str, message: &str| {
            json!({"type": type_, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let told = |conditions: Value| {
            stage_of(json!({"observedGeneration": 2, "instances": 3, "updated": 3, "ready": 3,
                "revision": "web-x", "conditions": conditions}))
        };
        let ready = condition("Ready", "True", "AllReady", "3 of 3 instances are ready");
        let stopping = "3 of 3 instances are ready, 1 are stopping";
        let failing = condition("Degraded", "True", "Failing", "instances failed 2 times in a row");
        let cut_off =
            condition("Degraded", "True", "Unreachable", "1 instances are on agents that are cut off");
        let done = Stage::Done("3 of 3 instances ready, revision web-x".into());
        for (conditions, stage) in [
            (json!([ready]), done.clone()),
            (json!([ready, cut_off]), done),
            (json!([]), Stage::Going("waiting for the app to be ready".into())),
            (json!([condition("Ready", "False", "Stopping", stopping)]), Stage::Going(stopping.into())),
            (
                json!([ready, failing]),
                Stage::Going(
                    "3 of 3 instances ready for the moment (instances failed 2 times in a row)".into(),
                ),
            ),
        ] {
            assert_eq!(told(conditions), stage);
        }
    }

    #[test]
    fn what_keeps_a_rollout_is_told() {
        let condition = |type_: &str, status: &str, message: &str| {
            json!({"type": type_, "status": status, "reason": "X", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let told = |conditions: &[Value]| {
            stage_of(json!({"observedGeneration": 2, "updated": 1, "conditions": conditions}))
        };
        let degraded = condition("Degraded", "True", "instances failed 4 times in a row");
        let waiting = condition("Waiting", "True", "no agent has 64Gi");
        let blocked =
            "1 of 3 instances are ready; instances failed 4 times in a row; the next start is at noon";
        let blocked = condition("Progressing", "False", blocked);
        for (conditions, text) in [
            (vec![], "1 of 3 instances updated"),
            (vec![condition("Degraded", "False", "")], "1 of 3 instances updated"),
            (vec![degraded.clone()], "1 of 3 instances updated (instances failed 4 times in a row)"),
            (
                vec![degraded.clone(), waiting],
                "1 of 3 instances updated (instances failed 4 times in a row; no agent has 64Gi)",
            ),
            (
                vec![degraded, blocked],
                "1 of 3 instances updated (instances failed 4 times in a row; the next start is at noon)",
            ),
        ] {
            assert_eq!(told(&conditions), Stage::Going(text.into()));
        }
    }
}
