//! `tenure token`: tokens for people. One is shown when it is made, and only its hash is kept.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::age;
use super::connection::{APPLY_PATCH, Connection, FIELD_MANAGER, with_query};
use super::print::{self, Grid, Paint};
use crate::api::Span;

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const TYPE: &str = "tenure.dev/token";

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    deed: Deed,
}

/// What is done with tokens.
#[derive(Debug, Subcommand)]
enum Deed {
    /// Make a token for a person, and show it: it cannot be shown again
    Create {
        /// Who the person is to roles and their bindings
        #[arg(value_name = "USER")]
        user: String,
        /// A group that the person is in; may be given several times
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// How long it is good for, such as 720h [default: until it is revoked]
        #[arg(long, value_name = "SPAN")]
        duration: Option<Span>,
    },
    /// Show whose tokens there are
    List,
    /// Take a token away, at once
    Revoke {
        /// Its name, as `tenure token list` shows it
        #[arg(value_name = "NAME")]
        name: String,
    },
}

pub(super) async fn run(connection: &Connection, args: &TokenArgs) -> anyhow::Result<ExitCode> {
    match &args.deed {
        Deed::Create { user, groups, duration } => create(connection, user, groups, *duration).await?,
        Deed::List => list(connection).await?,
        Deed::Revoke { name } => {
            let path = format!("{SECRETS}/{name}");
            let secret = connection.get(&path).await?;
            if secret["type"] != TYPE {
                bail!("secret {name} of kube-system is no token");
            }
            connection.delete(&path, &json!({"propagationPolicy": "Background"})).await?;
            print::line(&format!("{name} revoked"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(
    connection: &Connection,
    user: &str,
    groups: &[String],
    duration: Option<Span>,
) -> anyhow::Result<()> {
    let mut bytes = [0; 32];
    let chance = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    chance.context("failed to read from /dev/urandom")?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let hash: String = Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("token-{}", &hash[..16]);
    let mut data = json!({"hash": hash, "user": user, "groups": groups.join(",")});
    if let Some(duration) = duration {
        let end = age::now()
            .checked_add(std::time::Duration::from(duration))
            .context("the duration is too long")?;
        data["expiration"] = json!(format!("{end:.0}"));
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": TYPE, "stringData": data,
    });
    let path = with_query(&format!("{SECRETS}/{name}"), &[("fieldManager", Some(FIELD_MANAGER))]);
    connection.patch(&path, APPLY_PATCH, &secret).await?;
    print::line(&token)?;
    print::note(&format!("it is known as {name}; `tenure token revoke {name}` takes it away"));
    Ok(())
}

async fn list(connection: &Connection) -> anyhow::Result<()> {
    let list = connection.get(SECRETS).await?;
    let mut grid = Grid::default();
    grid.row(["NAME", "USER", "GROUPS", "EXPIRES", "AGE"].map(str::to_owned));
    let secrets = list["items"].as_array().cloned().unwrap_or_default();
    for secret in secrets.iter().filter(|secret| secret["type"] == TYPE) {
        let text = |field: &str| decoded(&secret["data"][field]);
        let expires = Some(text("expiration")).filter(|end| !end.is_empty());
        grid.row([
            secret["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            text("user"),
            text("groups"),
            expires.unwrap_or_else(|| "never".to_owned()),
            age::since(&secret["metadata"]["creationTimestamp"], age::now()),
        ]);
    }
    print::out(&grid.take(Paint::of_stdout()))?;
    Ok(())
}

fn decoded(value: &Value) -> String {
    let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}
