//! kubectl-like verbs and printers, over HTTP through the `kube` client.
//!
//! One file per verb. What they share: [`connection`] (kubeconfig, requests), [`kinds`] (names on the command line to
//! resources, by discovery), [`manifest`] (files to documents) and [`mod@print`] (documents to tables). The CLI has no
//! private door: everything here could be done with curl.

pub mod age;
pub mod apply;
mod applyset;
pub mod completion;
pub mod confirm;
pub mod connection;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod events;
pub mod exec;
pub mod generate;
pub mod get;
pub mod jsonpath;
pub mod kinds;
pub mod logs;
pub mod manifest;
pub mod mesos_args;
pub mod mesos_profile;
pub mod print;
pub mod progress;
pub mod rollout;
pub mod scale;
pub mod server_args;
pub mod token;
pub mod version;
pub mod wait;
pub mod watch;
pub mod yaml;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use connection::Connection;
pub use mesos_args::MesosArgs;
pub use mesos_profile::{AgentGroup, MesosProfile};
pub use server_args::{ServerArgs, ServerConfig};

/// What commands end with; a part of `--help`.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, with the reason on stderr; 2 wrong usage. `diff` ends with 1 \
                          if there are differences, and with 2 if it failed.";

/// Under which `--help` of every verb shows what all have in common.
const CONNECTION: &str = "Which server";

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
    /// The kubeconfig file [default: $KUBECONFIG, else ~/.kube/config, else that of the server on this machine]
    #[arg(long, global = true, value_name = "FILE", help_heading = CONNECTION)]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", help_heading = CONNECTION)]
    pub context: Option<String>,
    /// The namespace [default: the context's, else `default`]
    #[arg(long, short, global = true, value_name = "NAME", help_heading = CONNECTION)]
    pub namespace: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: API, controllers, and by default store, master and agent in one process
    Server(Box<ServerArgs>),
    /// Run a Mesos that is simulated: a master over HTTP, and agents that say that they run tasks, or with --work-dir run them
    Mesos(Box<MesosArgs>),
    /// Ask something of a server, or of nobody.
    #[command(flatten)]
    Verb(Verb),
}

/// Everything but running a server.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make what files say wanted
    Apply(apply::ApplyArgs),
    /// Show what apply would change
    #[command(after_help = "Exit codes: 0 no differences; 1 differences; above 1 failed.")]
    Diff(diff::DiffArgs),
    /// Show objects
    Get(get::GetArgs),
    /// Show all that is known of objects
    Describe(describe::DescribeArgs),
    /// Delete objects
    Delete(delete::DeleteArgs),
    /// Set a number of instances
    Scale(scale::ScaleArgs),
    /// Follow, list, undo or restart rollouts
    Rollout(rollout::RolloutArgs),
    /// Show what tasks wrote
    Logs(logs::LogsArgs),
    /// Run a command beside a task
    #[command(
        after_help = "Exit codes: that of the command, 128 and the number of a signal that ended it; 1 if it could not be run."
    )]
    Exec(exec::ExecArgs),
    /// Show what happened
    Events(events::EventsArgs),
    /// Wait until objects are as wanted
    Wait(wait::WaitArgs),
    /// Make, show and revoke tokens for people
    Token(token::TokenArgs),
    /// Answer what Tenure asks before it goes on
    Confirm(confirm::ConfirmArgs),
    /// Show the versions of this program and of the server
    Version(version::VersionArgs),
    /// Write a script that completes commands in a shell
    Completion(completion::CompletionArgs),
    /// Write generated files
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

impl Verb {
    /// The exit code of a failure: `diff` needs 1 for differences.
    fn failure(&self) -> ExitCode {
        match self {
            Self::Diff(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Does what was asked, and reports a failure on stderr.
#[must_use]
pub fn run(target: &Target, verb: &Verb) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::note(&format!("error: failed to start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(done(target, verb)) {
        Ok(code) => code,
        // The reader of a pipe has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print::note(&format!("error: {error:#}"));
            verb.failure()
        }
    }
}

async fn done(target: &Target, verb: &Verb) -> anyhow::Result<ExitCode> {
    let connect = || Connection::open(target);
    match verb {
        Verb::Apply(args) => apply::run(&connect().await?, args).await,
        Verb::Diff(args) => diff::run(&connect().await?, args).await,
        Verb::Get(args) => get::run(&connect().await?, args).await,
        Verb::Describe(args) => describe::run(&connect().await?, args).await,
        Verb::Delete(args) => delete::run(&connect().await?, args).await,
        Verb::Scale(args) => scale::run(&connect().await?, args).await,
        Verb::Rollout(args) => rollout::run(&connect().await?, args).await,
        Verb::Logs(args) => logs::run(&connect().await?, args).await,
        Verb::Exec(args) => exec::run(&connect().await?, args).await,
        Verb::Events(args) => events::run(&connect().await?, args).await,
        Verb::Wait(args) => wait::run(&connect().await?, args).await,
        Verb::Token(args) => token::run(&connect().await?, args).await,
        Verb::Confirm(args) => confirm::run(&connect().await?, args).await,
        Verb::Version(args) => version::run(target, args).await,
        Verb::Completion(args) => completion::run(args),
        Verb::Generate(args) => generate::run(args),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
