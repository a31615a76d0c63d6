//! `tenure scale`: sets the number of instances through the scale subresource.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::connection::{Connection, FIELD_MANAGER, MERGE_PATCH, with_query};
use super::kinds::{Catalog, select};
use super::print;

/// Arguments of `scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// What to scale: TYPE NAME… or TYPE/NAME…
    #[arg(required = true)]
    pub what: Vec<String>,
    /// The number of instances
    #[arg(long, alias = "instances", value_name = "NUMBER")]
    pub replicas: u32,
    /// Only if this is the present number
    #[arg(long, value_name = "NUMBER")]
    pub current_replicas: Option<u32>,
}

pub(super) async fn run(connection: &Connection, args: &ScaleArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    for (resource, name) in select(&catalog, &args.what)? {
        let Some(name) = name else { bail!("name what to scale, such as app/web") };
        let path = format!("{}/scale", resource.path(Some(&connection.namespace), Some(&name)));
        let mut patch = json!({"spec": {"replicas": args.replicas}});
        if let Some(expected) = args.current_replicas {
            let scale = connection.get(&path).await?;
            let present = &scale["spec"]["replicas"];
            if present.as_u64() != Some(u64::from(expected)) {
                bail!("{} has {present} instances, not {expected}", resource.called(&name));
            }
            // The server refuses the write if somebody else was faster.
            patch["metadata"] = json!({"resourceVersion": scale["metadata"]["resourceVersion"]});
        }
        let path = with_query(&path, &[("fieldManager", Some(FIELD_MANAGER))]);
        connection.patch(&path, MERGE_PATCH, &patch).await?;
        print::line(&format!("{} scaled", resource.called(&name)))?;
    }
    Ok(ExitCode::SUCCESS)
}
