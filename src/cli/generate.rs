//! `tenure generate crds`: rewrites `crds/`, one file per kind. Hidden: for this repository and for plugin authors.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::yaml;
use crate::api;

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The CustomResourceDefinitions of Tenure's kinds
    Crds {
        /// The folder to write to
        #[arg(long, value_name = "DIR", default_value = "crds")]
        out: PathBuf,
    },
}

pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Crds { out } => {
            std::fs::create_dir_all(out).with_context(|| format!("failed to create {}", out.display()))?;
            for (name, text) in crd_files()? {
                let path = out.join(name);
                std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Name and text of each file in `crds/`.
///
/// # Errors
///
/// If a CRD has no YAML form, which would be a mistake in its schema.
pub fn crd_files() -> anyhow::Result<Vec<(String, String)>> {
    let file = |crd: api::crd::CustomResourceDefinition| {
        let yaml =
            yaml::to_string(&crd).with_context(|| format!("failed to write {}", crd.spec.names.kind))?;
        let text = format!("# Generated from src/api by hack/generate; do not edit.\n{yaml}");
        Ok((format!("{}.yaml", crd.spec.names.plural), text))
    };
    api::crds().into_iter().map(file).collect()
}
