//! `tenure version`: this program's, and the server's if it answers.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Target;
use super::apply::DocumentForm;
use super::connection::Connection;
use super::print::{self, Form};

/// Arguments of `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Only this program's
    #[arg(long)]
    pub client: bool,
    /// Show it as a document
    #[arg(short, long, value_enum)]
    pub output: Option<DocumentForm>,
}

pub(super) async fn run(target: &Target, args: &VersionArgs) -> anyhow::Result<ExitCode> {
    let mut versions = json!({"client": {"version": env!("CARGO_PKG_VERSION")}});
    let mut exit = ExitCode::SUCCESS;
    if !args.client {
        match server(target).await {
            Ok(version) => versions["server"] = version,
            Err(error) => {
                print::note(&format!("error: {error:#}"));
                exit = ExitCode::FAILURE;
            }
        }
    }
    let text = match args.output {
        Some(DocumentForm::Json) => Form::Json.text(&versions)?,
        Some(DocumentForm::Yaml) => Form::Yaml.text(&versions)?,
        Some(DocumentForm::Name) | None => sentences(&versions),
    };
    print::out(&text)?;
    Ok(exit)
}

async fn server(target: &Target) -> anyhow::Result<Value> {
    Ok(Connection::open(target).await?.get("/version").await?)
}

fn sentences(versions: &Value) -> String {
    let mut text = format!("Client: tenure {}\n", versions["client"]["version"].as_str().unwrap_or_default());
    if let Some(server) = versions.get("server") {
        let version = server["gitVersion"].as_str().unwrap_or("unknown");
        text.push_str(&format!("Server: {version} (Kubernetes API)\n"));
    }
    text
}
