//! What comes to an agent, turned into facts and acts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::orders::{Drain, killed_during_launch};
use super::state::{Acknowledged, Entry, Task, Updated};
use super::{Act, Agent};
use crate::mesos::embedded::launcher::{Launch, Report};
use crate::mesos::embedded::protocol::{ToAgent, ToMaster};
use crate::mesos::wire::container::{ContainerStatus, IpAddress, NetworkInfo};
use crate::mesos::wire::{
    AgentId, ContainerId, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, IpProtocol, Reason, Source,
    TaskId, TaskInfo, TaskState, TaskStatus,
};

impl Agent {
    pub(super) fn told(&mut self, message: ToAgent) {
        match message {
            ToAgent::Registered { agent_id } => tracing::warn!(%agent_id, "registered twice on one link"),
            ToAgent::Launch { framework_id, task, checkpoint, starts_executor } => {
                self.launch(framework_id, *task, checkpoint, starts_executor);
            }
            ToAgent::Missing { framework_id, task_id } => self.missing(framework_id, task_id),
            ToAgent::Kill { framework_id, task_id, grace, tell_killing } => {
                self.kill(&framework_id, &task_id, grace, tell_killing);
            }
            ToAgent::Acknowledge { framework_id, task_id, uuid } => {
                self.acknowledged(Acknowledged { framework_id, task_id, uuid });
            }
            ToAgent::Message { framework_id, executor_id, data } => {
                self.acts.push(Act::Message(framework_id, executor_id, data));
            }
            ToAgent::ShutdownExecutor { framework_id, executor_id } => {
                self.acts.push(Act::Shutdown(framework_id, executor_id));
            }
            ToAgent::Resubscribed { framework_id } => {
                let waiting = self.state.tasks.iter().filter(|(_, task)| {
                    task.launch.framework_id == framework_id && task.in_flight().is_some()
                });
                let waiting: Vec<TaskId> = waiting.map(|(id, _)| id.clone()).collect();
                for id in waiting {
                    self.resends.forget(&id);
                    self.acts.push(Act::Send(id));
                }
                self.acts.push(Act::TellEngine);
            }
            ToAgent::FrameworkRemoved { framework_id } => self.framework_removed(framework_id),
            ToAgent::Drain { max_grace, mark_gone } => self.draining = Some(Drain { max_grace, mark_gone }),
            ToAgent::Reactivated => self.draining = None,
            ToAgent::Shutdown => self.shut_down(),
        }
    }

    fn launch(
        &mut self,
        framework_id: FrameworkId,
        task: TaskInfo,
        checkpoint: bool,
        starts_executor: Option<Box<FrameworkInfo>>,
    ) {
        if self.state.tasks.contains_key(&task.task_id) {
            tracing::warn!(task = %task.task_id, "launched twice: the first one stays");
            return;
        }
        match starts_executor {
            Some(framework) => self.acts.push(Act::Describe(framework)),
            None if self.lacks_executor(&framework_id, &task) => {
                let message = "No executor is expected to launch and there is no executor running";
                return self.never_came(framework_id, task.task_id, Reason::ExecutorTerminated, message);
            }
            None => {}
        }
        let agent_id = self.agent_id();
        let environment = environment(&framework_id, &agent_id, &task);
        let launch = Launch { framework_id, agent_id, task, environment };
        let entry = Entry::Launched(Box::new(launch.clone()));
        if checkpoint {
            self.record(entry);
        } else {
            // Not in the journal: the next process does not know it, and sweeps it away.
            self.state.apply(entry);
        }
        if self.must_wait(&launch) {
            self.wait_for_engine(launch.task_id().clone());
        } else {
            self.acts.push(Act::Launch(Box::new(launch)));
        }
    }

    fn kill(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        grace: Option<Duration>,
        tell_killing: bool,
    ) {
        let Some(task) = self.state.task(framework_id, task_id) else {
            // The launch got lost; the master counts on the task for ever unless it is told.
            let (framework_id, task_id) = (framework_id.clone(), task_id.clone());
            return self.never_came(
                framework_id,
                task_id,
                Reason::ExecutorTerminated,
                "Cannot find executor",
            );
        };
        if task.has_ended() {
            return;
        }
        let own = task.launch.task.kill_policy.and_then(|policy| policy.grace_period).map(|g| g.duration());
        let grace = grace.or(own).unwrap_or(self.config.default_grace);
        // An executor of the framework's says so itself.
        let by_executor = task.launch.task.executor.is_some() && self.launcher.executors().is_some();
        if tell_killing && !by_executor && task.latest.state() == TaskState::Running {
            self.reported(TaskStatus::of(task_id.clone(), TaskState::Killing));
        }
        if !self.kill_unsettled(task_id, grace) {
            self.kill_now(task_id.clone(), grace);
        }
    }

    fn acknowledged(&mut self, acknowledged: Acknowledged) {
        let in_flight =
            self.state.task(&acknowledged.framework_id, &acknowledged.task_id).and_then(Task::in_flight);
        let uuid = in_flight.and_then(|status| status.uuid.clone());
        let meant = uuid.filter(|it| *it == acknowledged.uuid || planted!("any-acknowledgement-counts"));
        let Some(uuid) = meant else {
            tracing::debug!(task = %acknowledged.task_id, "acknowledgement of nothing that is under way");
            return;
        };
        let task_id = acknowledged.task_id.clone();
        self.resends.forget(&task_id);
        self.record(Entry::Acknowledged(Acknowledged { uuid, ..acknowledged }));
        self.acts.push(Act::Send(task_id));
    }

    pub(super) fn framework_removed(&mut self, framework_id: FrameworkId) {
        let tasks = self.state.tasks.iter().filter(|(_, task)| task.launch.framework_id == framework_id);
        self.acts.push(Act::EndExecutors(framework_id.clone()));
        let (alive, all): (Vec<_>, Vec<_>) = tasks.map(|(id, task)| (!task.has_ended(), id.clone())).unzip();
        for (alive, id) in alive.into_iter().zip(all) {
            self.resends.forget(&id);
            if alive && !self.kill_unsettled(&id, self.config.default_grace) {
                self.acts.push(Act::Kill(id, self.config.default_grace));
            }
        }
        self.record(Entry::FrameworkRemoved(framework_id));
    }

    /// Whether the task is for an executor that was there when it was launched, and is not any more.
    fn lacks_executor(&self, framework_id: &FrameworkId, task: &TaskInfo) -> bool {
        let (Some(wanted), Some(executors)) = (&task.executor, self.launcher.executors()) else {
            return false;
        };
        let is_wanted = |(framework, executor): &(FrameworkId, ExecutorInfo)| {
            framework == framework_id && executor.executor_id == wanted.executor_id
        };
        let is_launched = |act: &Act| match act {
            Act::Launch(launch) => {
                launch.framework_id == *framework_id && launch.task.executor.as_ref() == Some(wanted)
            }
            _ => false,
        };
        // Its launch may be under way.
        !executors.iter().any(is_wanted) && !self.acts.iter().any(is_launched)
    }

    /// Takes in what is reported by the launcher.
    pub(super) fn heard(&mut self, report: Report) {
        match report {
            Report::Status(status) => self.reported(*status),
            Report::Message(message) => self.acts.push(Act::PassOn(ToMaster::ExecutorMessage(message))),
            Report::Exited(exit) => self.acts.push(Act::PassOn(ToMaster::ExecutorExited(exit))),
        }
    }

    /// Takes in a status of the launcher: completes it and queues it for delivery.
    pub(super) fn reported(&mut self, status: TaskStatus) {
        // What an executor tells is confirmed to it whether it counts or not.
        let told = status.uuid.clone().map(|uuid| Act::Confirm(status.task_id.clone(), uuid));
        self.taken_in(status);
        self.acts.extend(told);
    }

    fn taken_in(&mut self, status: TaskStatus) {
        let Some(task) = self.state.tasks.get(&status.task_id) else {
            tracing::debug!(task = %status.task_id, "report of a task that is not known any more");
            return;
        };
        let late_start = task.latest.state() == TaskState::Killing
            && !status.state().is_terminal()
            && !planted!("late-report-takes-a-kill-back");
        if (task.has_ended() && !planted!("report-after-the-end-counts")) || late_start {
            return;
        }
        let (first, task_id) = (task.in_flight().is_none(), status.task_id.clone());
        let framework_id = task.launch.framework_id.clone();
        // That of a command is the agent's own, and has the task's name.
        let own = task.launch.task.executor.as_ref().map(|executor| executor.executor_id.clone());
        let executor_id = Some(own.unwrap_or_else(|| ExecutorId::new(task_id.value.clone())));
        let unheard_of = task.latest.state() == TaskState::Staging && status.state() == TaskState::Killed;
        let ended = status.state().is_terminal();
        let mut status = keep_known(status, &task.latest);
        if unheard_of {
            status = killed_during_launch(status);
        }
        if let Some(drain) = self.draining {
            status = drain.explain(status);
        }
        let status = self.complete(TaskStatus { executor_id, ..status }, &framework_id);
        self.record(Entry::Updated(Box::new(Updated { framework_id, status })));
        if first {
            self.acts.push(Act::Send(task_id.clone()));
        }
        if ended {
            self.acts.push(Act::Remove(task_id));
        }
    }

    /// Fills in what agents fill in.
    fn complete(&self, status: TaskStatus, framework_id: &FrameworkId) -> TaskStatus {
        let status = TaskStatus {
            uuid: status.uuid.or_else(|| Some(self.env.uuid().to_vec())),
            agent_id: Some(self.agent_id()),
            source: status.source.or(Source::Executor.wire()),
            timestamp: Some(self.env.now().as_duration().as_secs_f64()),
            ..status
        };
        // What the agent says by itself is about no container.
        if status.source() == Source::Agent { status } else { self.with_container(status, framework_id) }
    }

    /// Names the container, and the agent's address where the task has none of its own.
    fn with_container(&self, status: TaskStatus, framework_id: &FrameworkId) -> TaskStatus {
        let container = status.container_status.unwrap_or_default();
        let container_id = container.container_id.unwrap_or_else(|| ContainerId {
            value: format!("{framework_id}.{}", status.task_id),
            parent: None,
        });
        let mut network_infos = container.network_infos;
        if network_infos.iter().all(|network| network.ip_addresses.is_empty()) {
            let address =
                IpAddress { protocol: IpProtocol::IpV4.wire(), ip_address: Some(self.config.ip.clone()) };
            network_infos = vec![NetworkInfo { ip_addresses: vec![address], ..NetworkInfo::default() }];
        }
        let container_status =
            Some(ContainerStatus { container_id: Some(container_id), network_infos, ..container });
        TaskStatus { container_status, ..status }
    }
}

/// A report of a task that runs repeats what was known of checks and container unless it says otherwise: a launcher that
/// adopted the task learns it anew.
fn keep_known(status: TaskStatus, latest: &TaskStatus) -> TaskStatus {
    if !matches!(status.state(), TaskState::Starting | TaskState::Running) {
        return status;
    }
    TaskStatus {
        healthy: status.healthy.or(latest.healthy),
        check_status: status.check_status.or_else(|| latest.check_status.clone()),
        container_status: status.container_status.or_else(|| latest.container_status.clone()),
        ..status
    }
}

/// The variables that agents give to every task.
fn environment(framework_id: &FrameworkId, agent_id: &AgentId, task: &TaskInfo) -> BTreeMap<String, String> {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    [
        variable("MESOS_FRAMEWORK_ID", &framework_id.value),
        variable("MESOS_AGENT_ID", &agent_id.value),
        variable("MESOS_TASK_ID", &task.task_id.value),
    ]
    .into()
}
