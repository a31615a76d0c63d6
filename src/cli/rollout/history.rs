//! `tenure rollout history`: the revisions of an app, and what one of them holds.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::super::age;
use super::super::connection::Connection;
use super::super::kinds::Catalog;
use super::super::print::{self, Grid, Paint};
use super::super::yaml;
use crate::api::{App, Revision, labels};

/// Arguments of `rollout history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The apps: NAME…, app NAME… or app/NAME…
    #[arg(required = true)]
    what: Vec<String>,
    /// Show the template of this revision
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
}

pub(super) async fn run(connection: &Connection, args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let (apps, names) = super::apps(&catalog, &args.what)?;
    for name in names {
        let app = super::app(connection, apps, &name).await?;
        let revisions = super::revisions(connection, &catalog, &name).await?;
        match args.revision {
            None => print::out(&table(&app, &revisions))?,
            Some(number) => {
                let revision = numbered(&revisions, number, &name)?;
                print::out(&yaml::to_string(&revision.spec.template).context("failed to write YAML")?)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The revision of this number.
pub(super) fn numbered<'a>(
    revisions: &'a [Revision],
    number: u64,
    app: &str,
) -> anyhow::Result<&'a Revision> {
    revisions.iter().find(|revision| revision.spec.number == number).with_context(|| {
        let numbers: Vec<String> =
            revisions.iter().map(|revision| revision.spec.number.to_string()).collect();
        format!("app {app} has no revision {number}: there are {}", numbers.join(", "))
    })
}

fn table(app: &App, revisions: &[Revision]) -> String {
    let current = app.status.as_ref().and_then(|status| status.revision.as_deref());
    let now = age::now();
    let mut grid = Grid::default();
    grid.row(["REVISION", "CURRENT", "HASH", "IMAGE", "AGE", "CHANGE-CAUSE"]);
    for revision in revisions {
        let metadata = &revision.metadata;
        let image = revision.spec.template.container.as_ref().map_or("<none>", |container| &container.image);
        let cause = metadata.annotations.as_ref().and_then(|all| all.get(labels::CHANGE_CAUSE));
        let created = serde_json::to_value(&metadata.creation_timestamp).unwrap_or_default();
        grid.row([
            revision.spec.number.to_string(),
            if metadata.name.as_deref() == current { "*".to_owned() } else { String::new() },
            revision.spec.hash.clone(),
            image.to_owned(),
            age::since(&created, now),
            cause.map_or_else(|| "<none>".to_owned(), Clone::clone),
        ]);
    }
    grid.take(Paint::of_stdout())
}
