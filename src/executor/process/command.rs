//! Commands of health checks beside a plain process: in its sandbox, with its environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::timeout;

use crate::executor::checks::ProbeCommand;

/// Where and with which environment a task's commands run.
#[derive(Debug, Clone)]
pub struct SandboxCommand {
    pub sandbox: PathBuf,
    pub env: BTreeMap<String, String>,
}

#[async_trait]
impl ProbeCommand for SandboxCommand {
    async fn run(&self, argv: &[String], limit: Duration) -> Result<i32, String> {
        let (program, arguments) = argv.split_first().ok_or("the command is empty")?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.sandbox)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("failed to start {program}: {error}"))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        match timeout(limit, child.wait()).await {
            // A signal has no exit code; a shell would say 128 and its number.
            Ok(Ok(status)) => Ok(status.code().unwrap_or_else(|| 128 + signal_of(status))),
            Ok(Err(error)) => Err(format!("failed to wait for {program}: {error}")),
            Err(_) => {
                if let Some(group) = group {
                    let _gone = kill_process_group(group, Signal::KILL);
                }
                Err(format!("no result within {limit:?}"))
            }
        }
    }
}

fn signal_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.signal().unwrap_or(0)
}
