//! The front towards a real Mesos agent: the v1 executor API, spoken by `tenure-executor`, one process per task or, as the operator
//! chooses, one for all tasks of an agent.
//!
//! ```text
//! environment ─▶ settings ─▶ front ◀─▶ line ─▶ link ── HTTP/1.1 (TLS), protobuf, RecordIO ──▶ agent
//!                              │  conversation: tasks, updates (pure)
//!                              ▼
//!                           launcher ─▶ docker | process
//! ```
//!
//! It subscribes before it does anything else, because the agent's patience covers the pull of an image otherwise. An update is
//! kept, with its id, until the agent has stored it; a new subscription tells those again. While an agent restarts the tasks run
//! on. There is no journal: Mesos never starts an executor again. Whatever container outlives its executor is removed by the executor's guard,
//! or by another executor on the machine, which both see that nobody holds the lock that the container names.

mod conversation;
mod exec;
mod front;
mod line;
mod link;
mod settings;
mod tls;
mod updates;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::env::Env;
use crate::executor::docker::{self, Sweep};
use crate::executor::launcher::{LauncherConfig, LocalLauncher, Sandbox, Serves, TASKS};
use crate::executor::life::{self, Signs};
use crate::executor::logs::{LogLimits, RotatingFile};
use crate::mesos::launcher::reports;
use front::{Front, Outcome};
use settings::{Settings, SettingsError};
use tls::{Tls, TlsError};

/// What this program itself has to say; `stdout` and `stderr` are the task's.
const LOG: &str = "executor.log";

/// Why nothing was begun, or how it ended badly.
#[derive(Debug, thiserror::Error)]
enum ExecutorError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("failed to {action} in the sandbox {path}: {source}")]
    Sandbox { action: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to {action}: {source}")]
    Start { action: &'static str, source: io::Error },
    #[error("{0}")]
    Failed(String),
}

/// Runs the tasks of one executor to their end, as the agent in the environment says.
#[must_use]
#[expect(clippy::print_stderr, reason = "the sandbox's stderr is where people look for last words")]
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenure-executor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what this program is; it has no arguments.
#[must_use]
#[expect(clippy::print_stderr, reason = "an answer to a person")]
pub fn usage() -> ExitCode {
    eprintln!(
        "tenure-executor {}: runs tasks of Tenure for the Mesos agent that starts it",
        env!("CARGO_PKG_VERSION")
    );
    ExitCode::from(2)
}

fn serve() -> Result<(), ExecutorError> {
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    log_to(&settings.sandbox)?;
    let tls = settings.tls.as_ref().map(Tls::load).transpose()?;
    let start = |action| move |source| ExecutorError::Start { action, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(start("start the runtime"))?;
    let outcome = runtime.block_on(async {
        let env = Env::system().map_err(start("get randomness"))?;
        let mut terminated = signal(SignalKind::terminate()).map_err(start("listen for signals"))?;
        let (sink, reports) = reports();
        let process = life::own_process().map_err(start("tell who this process is"))?;
        let config = launcher_config(&settings, Place::of(&env, &settings), process);
        let launcher = LocalLauncher::new(env.clone(), config, sink);
        let front = Front::new(env, settings, tls, launcher, reports);
        let told = async move {
            let _signal = terminated.recv().await;
        };
        Ok::<_, ExecutorError>(front.run(told).await)
    })?;
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Failed(why) => Err(ExecutorError::Failed(why)),
    }
}

fn launcher_config(settings: &Settings, place: Place, process: String) -> LauncherConfig {
    let Place { lock, signs } = place;
    if settings.sweep_every.is_none() {
        tracing::info!("containers of dead executors are not looked for: TENURE_EXECUTOR_SWEEP is 0");
    }
    let Settings { framework_id, executor_id, sandbox, host_sandbox, installation, serves, .. } = settings;
    let turn = signs.as_ref().map(Signs::turn);
    LauncherConfig {
        installation: installation.clone(),
        docker_host: docker_host(settings).to_owned(),
        process_dir: sandbox.join(if *serves == Serves::ManyTasks { TASKS } else { ".tenure" }),
        shim: PathBuf::from("/proc/self/exe"),
        logs: LogLimits::default(),
        sandbox: Some(Sandbox {
            serves: *serves,
            path: sandbox.clone(),
            host_path: host_sandbox.clone(),
            executor: format!("{framework_id}/{executor_id}"),
            lock,
            process,
            signs,
            sweep: settings.sweep_every.map(|every| Sweep { every, turn }),
        }),
    }
}

/// Logs to a file of its own, at the level in `TENURE_LOG` (default `info`).
fn log_to(sandbox: &Path) -> Result<(), ExecutorError> {
    let path = sandbox.join(LOG);
    let file = RotatingFile::open(&path, LogLimits { file_bytes: 1_000_000, files: 2 });
    let file = file.map_err(|source| ExecutorError::Sandbox { action: "log", path, source })?;
    let level = std::env::var("TENURE_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .init();
    Ok(())
}

/// Where this process is to show that it lives, from its first container on.
struct Place {
    lock: PathBuf,
    /// With the others of the installation and its dockerd, if it can write there.
    signs: Option<Signs>,
}

impl Place {
    fn of(env: &Env, settings: &Settings) -> Place {
        let Settings { locks, host_sandbox, executor_id, installation, .. } = settings;
        let signs = Signs::new(locks.clone(), installation, docker_host(settings));
        let lock = signs.of(&executor_id.value, &env.uid());
        if let Err(error) = life::prepare(locks) {
            tracing::warn!(folder = %locks.display(), %error, "the lock is kept in the sandbox, where the task can reach it");
            let name = lock.file_name().unwrap_or_default();
            return Place { lock: host_sandbox.join(name), signs: None };
        }
        Place { lock, signs: Some(signs) }
    }
}

fn docker_host(settings: &Settings) -> &str {
    settings.docker_host.as_deref().unwrap_or(docker::DEFAULT_HOST)
}
