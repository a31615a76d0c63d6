//! `tenure rollout restart`: a new revision of the same template, told apart by the time.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::super::age;
use super::super::connection::{Connection, FIELD_MANAGER, MERGE_PATCH, with_query};
use super::super::kinds::Catalog;
use super::super::print;

/// Arguments of `rollout restart`.
#[derive(Debug, Args)]
pub(super) struct RestartArgs {
    /// The apps: NAME…, app NAME… or app/NAME…
    #[arg(required = true)]
    what: Vec<String>,
}

pub(super) async fn run(connection: &Connection, args: &RestartArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let (apps, names) = super::apps(&catalog, &args.what)?;
    let patch = json!({"spec": {"restartedAt": age::now().to_string()}});
    for name in names {
        let path = apps.path(Some(&connection.namespace), Some(&name));
        let path = with_query(&path, &[("fieldManager", Some(FIELD_MANAGER))]);
        connection.patch(&path, MERGE_PATCH, &patch).await?;
        print::line(&format!("{} restarted", apps.called(&name)))?;
    }
    Ok(ExitCode::SUCCESS)
}
