//! `tenure rollout`: how the change of an App goes, what it was before, and going back.

mod history;
mod restart;
mod status;
mod undo;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::Deserialize as _;

use super::connection::{Connection, with_query};
use super::kinds::{Catalog, Resource, select};
use crate::api::{App, Revision, labels};

/// Arguments of `rollout`.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    #[command(subcommand)]
    command: RolloutCommand,
}

#[derive(Debug, Subcommand)]
enum RolloutCommand {
    /// Follow a rollout until it is done
    Status(status::StatusArgs),
    /// Show the revisions of an app
    History(history::HistoryArgs),
    /// Go back to an earlier revision
    Undo(undo::UndoArgs),
    /// Replace all instances by new ones of the same template
    Restart(restart::RestartArgs),
}

pub(super) async fn run(connection: &Connection, args: &RolloutArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        RolloutCommand::Status(args) => status::run(connection, args).await,
        RolloutCommand::History(args) => history::run(connection, args).await,
        RolloutCommand::Undo(args) => undo::run(connection, args).await,
        RolloutCommand::Restart(args) => restart::run(connection, args).await,
    }
}

/// The apps that arguments such as `app/web`, `app web db` or `web db` mean: a single word is the name of an app, and so are
/// all of several unless the first is a type.
fn apps<'a>(catalog: &'a Catalog, what: &[String]) -> anyhow::Result<(&'a Resource, Vec<String>)> {
    let apps = catalog.find("apps.tenure.dev")?;
    let are_words = what.iter().all(|word| !word.contains('/'));
    if are_words && (what.len() == 1 || catalog.find(&what[0]).is_err()) {
        return Ok((apps, what.to_vec()));
    }
    let mut names = Vec::new();
    for (resource, name) in select(catalog, what)? {
        if resource != apps {
            bail!("only apps have rollouts, not {}", resource.plural);
        }
        names.push(name.context("name an app, such as app/web")?);
    }
    Ok((apps, names))
}

async fn app(connection: &Connection, apps: &Resource, name: &str) -> anyhow::Result<App> {
    let document = connection.get(&apps.path(Some(&connection.namespace), Some(name))).await?;
    App::deserialize(document)
        .with_context(|| format!("the server's answer about {} is malformed", apps.called(name)))
}

/// The revisions of an app, the oldest first.
async fn revisions(connection: &Connection, catalog: &Catalog, app: &str) -> anyhow::Result<Vec<Revision>> {
    let resource = catalog.find("revisions.tenure.dev")?;
    let selector = format!("{}={app}", labels::APP);
    let path = resource.path(Some(&connection.namespace), None);
    let mut list = connection.get(&with_query(&path, &[("labelSelector", Some(&selector))])).await?;
    let mut revisions =
        Vec::<Revision>::deserialize(list["items"].take()).context("the server's revisions are malformed")?;
    revisions.retain(|revision| revision.spec.app == app);
    revisions.sort_by_key(|revision| revision.spec.number);
    Ok(revisions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kinds::tests::catalog;

    #[test]
    fn apps_are_named_with_or_without_their_type() {
        let catalog = catalog();
        let names = |what: &[&str]| {
            let what: Vec<String> = what.iter().map(|&word| word.to_owned()).collect();
            apps(&catalog, &what).map(|(_, names)| names).map_err(|error| error.to_string())
        };
        for what in [&["web", "db"][..], &["app", "web", "db"], &["app/web", "app/db"]] {
            assert_eq!(names(what).unwrap(), ["web", "db"], "{what:?}");
        }
        assert_eq!(names(&["app"]).unwrap(), ["app"]);
        assert_eq!(names(&["tasks", "web-1"]).unwrap_err(), "only apps have rollouts, not tasks");
    }
}
