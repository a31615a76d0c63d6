//! What a task's life looks like to the agent: each turn of it as a status in Mesos's words.

use std::sync::{Arc, Mutex, PoisonError};

use crate::executor::checks::{Finding, Kind, Outcome};
use crate::executor::run::End;
use crate::mesos::launcher::ReportSink;
use crate::mesos::wire::status::{CommandCheckStatus, HttpCheckStatus, TcpCheckStatus};
use crate::mesos::wire::{
    CheckStatusInfo, CheckType, ContainerId, ContainerStatus, IpAddress, IpProtocol, NetworkInfo, Reason,
    TaskId, TaskState, TaskStatus,
};

/// Reports one task, in order; that it is being killed is the agent's to tell. Every report repeats what earlier ones said of health, checks and container.
#[derive(Debug, Clone)]
pub struct Reporter {
    sink: ReportSink,
    current: Arc<Mutex<TaskStatus>>,
}

impl Reporter {
    /// Nothing is known of the task yet.
    #[must_use]
    pub fn new(task_id: TaskId, sink: ReportSink) -> Reporter {
        let current = Arc::new(Mutex::new(TaskStatus::of(task_id, TaskState::Staging)));
        Reporter { sink, current }
    }

    /// The last report.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends the last report again.
    pub async fn repeat(&self) {
        self.sink.report(self.status()).await;
    }

    /// Something takes its time before the task can run.
    pub async fn starting(&self, message: String) {
        self.send(TaskState::Starting, None, Some(message)).await;
    }

    /// The task runs.
    pub async fn running(&self, container: Option<ContainerStatus>) {
        self.set_running(container);
        self.repeat().await;
    }

    /// The task was found running; whoever found it tells so.
    pub fn set_running(&self, container: Option<ContainerStatus>) {
        self.update(TaskState::Running, None, None, |status| status.container_status = container);
    }

    /// Nothing can be known of the task now, and why; with nothing, it is known again to run.
    pub async fn doubted(&self, why: Option<String>) {
        self.send(TaskState::Running, None, why).await;
    }

    /// The verdict of the health check has changed.
    pub async fn health(&self, finding: &Finding) {
        let message = finding.outcome.detail();
        let reason = Some(Reason::TaskHealthCheckStatusUpdated);
        self.update(TaskState::Running, reason, Some(message), |status| {
            status.healthy = Some(finding.healthy);
        });
        self.repeat().await;
    }

    /// The result of the readiness check has changed.
    pub async fn readiness(&self, finding: &Finding) {
        let message = finding.outcome.detail();
        let check = check_status(finding);
        let reason = Some(Reason::TaskCheckStatusUpdated);
        self.update(TaskState::Running, reason, Some(message), |status| status.check_status = Some(check));
        self.repeat().await;
    }

    /// The task has ended: the last report of it.
    pub async fn ended(&self, end: &End, kill_was_ordered: bool) {
        self.set_ended(end, kill_was_ordered);
        self.repeat().await;
    }

    /// The task was found ended; whoever found it tells so.
    pub fn set_ended(&self, end: &End, kill_was_ordered: bool) {
        let Terminal { state, reason, message } = terminal(end, kill_was_ordered);
        self.update(state, reason, Some(message), |_| {});
    }

    /// The task cannot be run as it is described.
    pub async fn invalid(&self, message: String) {
        self.send(TaskState::Error, Some(Reason::TaskInvalid), Some(message)).await;
    }

    async fn send(&self, state: TaskState, reason: Option<Reason>, message: Option<String>) {
        self.update(state, reason, message, |_| {});
        self.repeat().await;
    }

    fn update(
        &self,
        state: TaskState,
        reason: Option<Reason>,
        message: Option<String>,
        more: impl FnOnce(&mut TaskStatus),
    ) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.state = state.wire();
        current.reason = reason.and_then(Reason::wire);
        current.message = message;
        more(&mut current);
    }
}

/// A terminal state, why, and in a person's words.
#[derive(Debug, PartialEq, Eq)]
struct Terminal {
    state: TaskState,
    reason: Option<Reason>,
    message: String,
}

fn terminal(end: &End, kill_was_ordered: bool) -> Terminal {
    let (mut state, mut reason, mut message) = match end {
        End::Exited { code: 0, .. } => (TaskState::Finished, None, "exited with status 0".to_owned()),
        End::Exited { code, out_of_memory: true } => (
            TaskState::Failed,
            Some(Reason::ContainerLimitationMemory),
            format!("out of memory: killed at its memory limit (status {code})"),
        ),
        End::Exited { code, .. } => (
            TaskState::Failed,
            Some(Reason::CommandExecutorFailed),
            format!("exited with status {code}{}", meaning(*code)),
        ),
        End::Signalled { signal } => (
            TaskState::Failed,
            Some(Reason::CommandExecutorFailed),
            format!("terminated by signal {signal} ({})", signal_name(*signal)),
        ),
        End::NotStarted { why } => (TaskState::Failed, Some(Reason::ContainerLaunchFailed), why.clone()),
        End::Vanished { why } => (TaskState::Failed, Some(Reason::ExecutorTerminated), why.clone()),
        End::KilledBeforeStart => (
            TaskState::Killed,
            Some(Reason::TaskKilledDuringLaunch),
            "killed before it had started".to_owned(),
        ),
    };
    if kill_was_ordered && !matches!(end, End::KilledBeforeStart) {
        (state, reason, message) = (TaskState::Killed, None, format!("killed as asked: {message}"));
    }
    Terminal { state, reason, message }
}

/// What shells and container runtimes mean by their exit codes.
fn meaning(code: i64) -> String {
    match code {
        126 => " (command found but not executable)".to_owned(),
        127 => " (command not found)".to_owned(),
        129..=159 => {
            let signal = i32::try_from(code - 128).unwrap_or(0);
            format!(" (signal {signal}, {})", signal_name(signal))
        }
        _ => String::new(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => "a signal",
    }
}

/// What Mesos leaves out when a probe had no answer reads as "no result yet"; here that is a failure, so it is said with a
/// number that no answer has.
fn check_status(finding: &Finding) -> CheckStatusInfo {
    let mut status = CheckStatusInfo::default();
    match finding.kind {
        Kind::Http => {
            let status_code = match finding.outcome {
                Outcome::Http { status, .. } => Some(u32::from(status)),
                _ => Some(0),
            };
            status.r#type = CheckType::Http.wire();
            status.http = Some(HttpCheckStatus { status_code });
        }
        Kind::Tcp => {
            status.r#type = CheckType::Tcp.wire();
            status.tcp = Some(TcpCheckStatus { succeeded: Some(finding.healthy) });
        }
        Kind::Command => {
            let exit_code = match finding.outcome {
                Outcome::Command { exit_code } => Some(exit_code),
                _ => Some(-1),
            };
            status.r#type = CheckType::Command.wire();
            status.command = Some(CommandCheckStatus { exit_code });
        }
    }
    status
}

/// The container as a status tells of it: id, and the address if it has one of its own, on this network.
#[must_use]
pub fn container_status(id: &str, network: &str, address: Option<&str>) -> ContainerStatus {
    let network = address.map(|address| NetworkInfo {
        ip_addresses: vec![IpAddress {
            protocol: IpProtocol::IpV4.wire(),
            ip_address: Some(address.to_owned()),
        }],
        name: Some(network.to_owned()),
        ..NetworkInfo::default()
    });
    ContainerStatus {
        network_infos: network.into_iter().collect(),
        container_id: Some(ContainerId { value: id.to_owned(), parent: None }),
        ..ContainerStatus::default()
    }
}

/// The status of a plain process.
#[must_use]
pub fn process_status(pid: Option<i32>) -> ContainerStatus {
    ContainerStatus {
        executor_pid: pid.and_then(|pid| u32::try_from(pid).ok()),
        ..ContainerStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_become_states_reasons_and_words() {
        let exited = |code| End::Exited { code, out_of_memory: false };
        let rows = [
            (exited(0), false, TaskState::Finished, None, "exited with status 0"),
            (
                exited(3),
                false,
                TaskState::Failed,
                Some(Reason::CommandExecutorFailed),
                "exited with status 3",
            ),
            (
                exited(127),
                false,
                TaskState::Failed,
                Some(Reason::CommandExecutorFailed),
                "exited with status 127 (command not found)",
            ),
            (
                exited(137),
                false,
                TaskState::Failed,
                Some(Reason::CommandExecutorFailed),
                "exited with status 137 (signal 9, SIGKILL)",
            ),
            (
                exited(143),
                true,
                TaskState::Killed,
                None,
                "killed as asked: exited with status 143 (signal 15, SIGTERM)",
            ),
            (exited(0), true, TaskState::Killed, None, "killed as asked: exited with status 0"),
            (
                End::Exited { code: 137, out_of_memory: true },
                false,
                TaskState::Failed,
                Some(Reason::ContainerLimitationMemory),
                "out of memory: killed at its memory limit (status 137)",
            ),
            (
                End::Signalled { signal: 11 },
                false,
                TaskState::Failed,
                Some(Reason::CommandExecutorFailed),
                "terminated by signal 11 (SIGSEGV)",
            ),
            (
                End::NotStarted { why: "no such image".to_owned() },
                false,
                TaskState::Failed,
                Some(Reason::ContainerLaunchFailed),
                "no such image",
            ),
            (
                End::KilledBeforeStart,
                true,
                TaskState::Killed,
                Some(Reason::TaskKilledDuringLaunch),
                "killed before it had started",
            ),
        ];
        for (end, ordered, state, reason, message) in rows {
            let expected = Terminal { state, reason, message: message.to_owned() };
            assert_eq!(terminal(&end, ordered), expected);
        }
    }
}
