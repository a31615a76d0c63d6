//! kubectl-like verbs and printers, over HTTP through the `kube` client.
//!
//! One file per verb. What they share: [`connection`] (kubeconfig, requests), [`kinds`] (names on the command line to
//! resources, by discovery), [`manifest`] (files to documents) and [`print`] (documents to tables). The CLI has no
//! private door: everything here could be done with curl.

pub mod generate;
pub mod server_args;
pub mod yaml;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use server_args::{ServerArgs, ServerConfig};

/// What every command ends with; also the text of `--help`.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, with the reason on stderr (for `diff`: there are differences); \
                          2 wrong usage; above 1 for `diff`: failed.";

/// The command line of `tenure`.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
#[command(about = "Keeps applications running on Apache Mesos and Docker the way their manifests say")]
pub struct Cli {
    /// Which server, as whom, in which namespace.
    #[command(flatten)]
    pub target: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which server, as whom, in which namespace: the conventions of kubectl.
#[derive(Clone, Debug, Default, Args)]
pub struct Target {
    /// The kubeconfig file [default: $KUBECONFIG, else the one of the server on this machine, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace [default: the context's, else `default`]
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: API, controllers, and by default store, master and agent in one process
    Server(Box<ServerArgs>),
    /// Ask something of a server, or of nobody.
    #[command(flatten)]
    Verb(Verb),
}

/// Everything but running a server.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write generated files
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// Does what was asked, and reports a failure on stderr.
#[must_use]
pub fn run(_target: &Target, verb: Verb) -> ExitCode {
    let outcome = match verb {
        Verb::Generate(args) => generate::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "the CLI speaks to people here")]
fn report(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
