//! `tenure confirm`: answers what Tenure asks before it does more harm than good, through the objects that ask.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::{Connection, FIELD_MANAGER, MERGE_PATCH, with_query};
use super::kinds::{Catalog, Resource};
use super::print;
use crate::api::agent::ORPHANS;
use crate::api::labels::CONFIRM_ORPHANS;

/// Arguments of `confirm`.
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    #[command(subcommand)]
    question: Question,
}

/// What is asked.
#[derive(Debug, Subcommand)]
enum Question {
    /// End the tasks that run on agents without being owned by a stored Task: exactly those that the agents ask about now
    Orphans {
        /// Only on these agents [default: all that ask]
        #[arg(value_name = "AGENT")]
        agents: Vec<String>,
    },
}

pub(super) async fn run(connection: &Connection, args: &ConfirmArgs) -> anyhow::Result<ExitCode> {
    let Question::Orphans { agents } = &args.question;
    let catalog = Catalog::load(connection).await?;
    let resource = catalog.find("agents")?;
    let asking = asking(connection, resource, agents).await?;
    if asking.is_empty() {
        bail!("there is nothing to confirm: no agent asks about orphans");
    }
    for agent in asking {
        confirm(connection, resource, &agent).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The agents that ask, of those that are named if any are.
async fn asking(
    connection: &Connection,
    resource: &Resource,
    names: &[String],
) -> anyhow::Result<Vec<Value>> {
    let mut agents = Vec::new();
    for name in names {
        let name = name.strip_prefix("agent/").unwrap_or(name);
        let agent = connection.get(&resource.path(None, Some(name))).await?;
        if !asks(&agent) {
            bail!("{} does not ask about orphans", resource.called(name));
        }
        agents.push(agent);
    }
    if names.is_empty() {
        let list = connection.get(&resource.path(None, None)).await?;
        agents = list["items"].as_array().cloned().unwrap_or_default();
        agents.retain(asks);
    }
    Ok(agents)
}

fn asks(agent: &Value) -> bool {
    let conditions = agent["status"]["conditions"].as_array();
    let asks = |it: &Value| it["type"] == ORPHANS && it["status"] == "True";
    conditions.is_some_and(|all| all.iter().any(asks)) && agent["status"]["orphans"]["digest"].is_string()
}

/// Writes the answer on the object that was read: if it asks something else by now, the server refuses.
async fn confirm(connection: &Connection, resource: &Resource, agent: &Value) -> anyhow::Result<()> {
    let name = agent["metadata"]["name"].as_str().unwrap_or_default();
    let orphans = &agent["status"]["orphans"];
    let patch = json!({"metadata": {
        "resourceVersion": agent["metadata"]["resourceVersion"],
        "annotations": {CONFIRM_ORPHANS: orphans["digest"]},
    }});
    let path = with_query(&resource.path(None, Some(name)), &[("fieldManager", Some(FIELD_MANAGER))]);
    connection.patch(&path, MERGE_PATCH, &patch).await?;
    let count = match orphans["count"].as_u64().unwrap_or_default() {
        1 => "1 task that nobody owns".to_owned(),
        count => format!("{count} tasks that nobody owns"),
    };
    print::line(&format!("{} confirmed: {count} will end", resource.called(name)))?;
    Ok(())
}
