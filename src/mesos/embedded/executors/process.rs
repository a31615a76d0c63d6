//! The sandbox of an executor and the process in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::ExecutorsConfig;
use crate::env::process::{ProcessId, Watched};
use crate::mesos::embedded::launcher::Launch;
use crate::mesos::launcher::fetch::fetch;
use crate::mesos::wire::{CommandInfo, ExecutorInfo};

/// The folder that an executor runs in.
pub(super) struct Sandbox {
    path: PathBuf,
}

/// A process that runs, with whatever it has started.
pub(super) enum Process {
    /// Of this process of the agent.
    Own(Child),
    /// Of an earlier one.
    Found { group: Option<Pid>, watched: Watched },
}

impl Sandbox {
    /// A new one, where agents of Mesos have them; `latest` leads there.
    pub(super) fn make(
        config: &ExecutorsConfig,
        launch: &Launch,
        info: &ExecutorInfo,
        container: &str,
    ) -> io::Result<Sandbox> {
        let executor = format!(
            "slaves/{}/frameworks/{}/executors/{}",
            launch.agent_id, launch.framework_id, info.executor_id
        );
        let runs = config.work_dir.join(executor).join("runs");
        let path = runs.join(container);
        std::fs::create_dir_all(&path)?;
        let latest = runs.join("latest");
        if latest.is_symlink() {
            std::fs::remove_file(&latest)?;
        }
        symlink(&path, &latest)?;
        Ok(Sandbox { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fetches what the executor is made of.
    pub(super) async fn fetch(&self, info: &ExecutorInfo) -> io::Result<()> {
        for uri in info.command.iter().flat_map(|command| &command.uris) {
            fetch(uri, &self.path).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Starts the executor.
    pub(super) fn start(
        &self,
        config: &ExecutorsConfig,
        launch: &Launch,
        info: &ExecutorInfo,
        checkpoint: bool,
    ) -> io::Result<Process> {
        let wanted = info.command.clone().unwrap_or_default();
        let output = |name: &str| File::options().append(true).create(true).open(self.path.join(name));
        let own = wanted.environment.iter().flat_map(|it| &it.variables);
        let own = own.map(|it| (it.name.clone(), it.value.clone().unwrap_or_default()));
        let child = command(&wanted)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.variables(config, launch, info, checkpoint))
            .envs(&config.environment)
            .envs(own)
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .stdout(output("stdout")?)
            .stderr(output("stderr")?)
            .process_group(0)
            .spawn()?;
        Ok(Process::Own(child))
    }

    /// What agents tell an executor (recording 27).
    fn variables(
        &self,
        config: &ExecutorsConfig,
        launch: &Launch,
        info: &ExecutorInfo,
        checkpoint: bool,
    ) -> Vec<(&'static str, String)> {
        let grace = info.shutdown_grace_period.map_or(config.shutdown_grace, |grace| grace.duration());
        let sandbox = self.path.display().to_string();
        vec![
            ("LIBPROCESS_IP", config.address.ip().to_string()),
            ("LIBPROCESS_PORT", "0".to_owned()),
            ("MESOS_AGENT_ENDPOINT", config.address.to_string()),
            ("MESOS_CHECKPOINT", u8::from(checkpoint).to_string()),
            ("MESOS_DIRECTORY", sandbox.clone()),
            ("MESOS_EXECUTOR_ID", info.executor_id.to_string()),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", format!("{}secs", grace.as_secs_f64())),
            ("MESOS_FRAMEWORK_ID", launch.framework_id.to_string()),
            ("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_owned()),
            ("MESOS_RECOVERY_TIMEOUT", format!("{}mins", config.recovery_timeout.as_secs_f64() / 60.0)),
            ("MESOS_SANDBOX", sandbox),
            ("MESOS_SLAVE_ID", launch.agent_id.to_string()),
            ("MESOS_SLAVE_PID", format!("slave(1)@{}", config.address)),
            (
                "MESOS_SUBSCRIPTION_BACKOFF_MAX",
                format!("{}secs", config.reregistration_timeout.as_secs_f64()),
            ),
        ]
    }
}

/// With `shell`, which is the default, a line for the shell; without, a program and its arguments, which begin with its name.
fn command(wanted: &CommandInfo) -> Command {
    let value = wanted.value.clone().unwrap_or_default();
    if wanted.shell() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &value]);
        return command;
    }
    let mut command = Command::new(value);
    command.args(wanted.arguments.iter().skip(1));
    command
}

impl Process {
    /// Returns when it has ended: how, in the form of wait(2).
    pub(super) async fn ended(&mut self) -> i32 {
        match self {
            // It can be waited for: it is our child.
            Process::Own(child) => child.wait().await.map_or(0, ExitStatusExt::into_raw),
            Process::Found { watched, .. } => {
                if let Err(error) = watched.ended().await {
                    tracing::error!(%error, "the end of an executor cannot be awaited");
                }
                super::UNKNOWN
            }
        }
    }

    /// The process that an earlier process of the agent started, if it still runs.
    pub(super) fn found(id: &ProcessId) -> Option<Process> {
        match id.open() {
            Ok(watched) => Some(Process::Found { group: Pid::from_raw(id.pid), watched: watched? }),
            Err(error) => {
                tracing::error!(%error, pid = id.pid, "executor not found again");
                None
            }
        }
    }

    /// What names it to the agent's next process.
    pub(super) fn id(&self) -> io::Result<ProcessId> {
        match self {
            Process::Own(child) => {
                let pid = child.id().ok_or_else(|| io::Error::other("it has ended"))?;
                ProcessId::of(i32::try_from(pid).map_err(io::Error::other)?)
            }
            Process::Found { .. } => Err(io::Error::other("it is named already")),
        }
    }

    /// Ends it and all that it has started in its group.
    pub(super) fn kill(&self) {
        let group = match self {
            Process::Own(child) => child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
            Process::Found { group, .. } => *group,
        };
        if let Some(group) = group {
            // One that has just ended is what was wanted.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}
