//! One agent's executors by themselves: what is said to them, and what becomes of their tasks.

use super::executor::COMPLETED;
use super::*;
use crate::mesos::launcher::{Report, Reports, reports};
use crate::mesos::wire::CommandInfo;

/// Far more than anything here takes, and less than the test runner's patience.
const PATIENCE: Duration = Duration::from_secs(60);

struct Agent {
    executors: Executors,
    reports: Reports,
    /// Which executor all its tasks bring.
    key: Key,
    command: &'static str,
    disk: tempfile::TempDir,
}

impl Agent {
    fn new(command: &'static str) -> Agent {
        let (env, disk) = (Env::system().unwrap(), tempfile::tempdir().unwrap());
        let (sink, reports) = reports();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let config = ExecutorsConfig::new(disk.path().to_owned(), address, "agent1");
        let key = (FrameworkId::new("f"), ExecutorId::new("e"));
        Agent { executors: Executors::new(&env, config, sink), reports, key, command, disk }
    }

    async fn launch(&self, id: &str) {
        let command = CommandInfo { value: Some(self.command.to_owned()), ..CommandInfo::default() };
        let (framework_id, executor_id) = self.key.clone();
        let executor = ExecutorInfo { executor_id, command: Some(command), ..ExecutorInfo::default() };
        let task = TaskInfo { task_id: TaskId::new(id), executor: Some(executor), ..TaskInfo::default() };
        let (agent_id, environment) = (AgentId::new("a"), BTreeMap::new());
        self.executors.launch(Launch { framework_id, agent_id, task, environment }).await;
    }

    /// Its executor subscribes, and has these tasks.
    async fn subscribe(&self, known: &[&str]) -> mpsc::Receiver<Event> {
        let known = known.iter().map(|id| TaskId::new(*id)).collect();
        self.executors.subscribe(&self.key, &known).await
    }

    /// What its executor says of a task.
    async fn update(&self, id: &str, state: TaskState, uuid: u8) {
        let uuid = Some(vec![uuid; 16]);
        self.executors.update(&self.key, TaskStatus { uuid, ..TaskStatus::of(TaskId::new(id), state) }).await;
    }

    async fn shut_down(&self) {
        self.executors.shutdown(&self.key.0, &self.key.1).await;
    }

    async fn next(&mut self) -> Report {
        tokio::time::timeout(PATIENCE, self.reports.recv()).await.expect("nothing is reported").unwrap()
    }

    /// The next that is reported of a task.
    async fn report(&mut self) -> TaskStatus {
        loop {
            if let Some(status) = self.next().await.into_status() {
                return status;
            }
        }
    }

    fn entry(&self) -> ExecutorEntry {
        self.executors.overview().executors.remove(0)
    }
}

/// What has come of a subscription.
fn heard(events: &mut mpsc::Receiver<Event>) -> Vec<ExecutorEventType> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.r#type()).collect()
}

#[tokio::test]
async fn all_tasks_that_waited_for_an_executor_are_sent_to_it_however_many() {
    let agent = Agent::new("sleep 600");
    for number in 0..2 * EVENTS {
        agent.launch(&format!("t.{number}")).await;
    }
    let told = heard(&mut agent.subscribe(&[]).await);
    assert_eq!((told[0], told.len()), (ExecutorEventType::Subscribed, 1 + 2 * EVENTS));
    agent.shut_down().await;
}

#[tokio::test]
async fn a_task_that_an_executor_does_not_read_is_dropped_and_that_is_said() {
    let mut agent = Agent::new("sleep 600");
    agent.launch("t.first").await;
    let _not_read = agent.subscribe(&[]).await;
    for number in 0..EVENTS {
        agent.launch(&format!("t.{number}")).await;
    }
    agent.launch("t.lost").await;
    let dropped = agent.report().await;
    assert_eq!((dropped.task_id.value.as_str(), dropped.state()), ("t.lost", TaskState::Dropped));
    let entry = agent.entry();
    assert_eq!((entry.tasks.len(), entry.completed.len()), (1 + EVENTS, 1));
    agent.shut_down().await;
}

#[tokio::test]
async fn a_task_that_was_sent_on_a_stream_that_broke_is_dropped_when_its_executor_subscribes_again() {
    let mut agent = Agent::new("sleep 600");
    agent.launch("t.first").await;
    drop(agent.subscribe(&[]).await);
    agent.launch("t.lost").await;
    assert!(agent.reports.try_recv().is_err(), "nothing is known of it yet");
    let _events = agent.subscribe(&["t.first"]).await;
    let dropped = agent.report().await;
    let why = (dropped.task_id.value.as_str(), dropped.state(), dropped.reason());
    assert_eq!(why, ("t.lost", TaskState::Dropped, Reason::AgentRestarted));
    agent.shut_down().await;
}

#[tokio::test]
async fn the_end_of_an_executor_is_told_with_its_status_before_the_ends_of_its_tasks() {
    let mut agent = Agent::new("exit 5");
    agent.launch("t.1").await;
    let Report::Exited(exit) = agent.next().await else { panic!("something else is told first") };
    assert_eq!((exit.executor_id, exit.status), (agent.key.1.clone(), 5 << 8));
    assert_eq!(agent.report().await.state(), TaskState::Failed);
    assert_eq!(agent.executors.executors(), Some(Vec::new()));
}

#[tokio::test]
async fn all_executors_of_a_framework_that_is_removed_are_sent_away_and_none_of_their_tasks_is_killed() {
    let agent = Agent::new("sleep 600");
    agent.launch("t.1").await;
    let mut events = agent.subscribe(&[]).await;
    agent.executors.framework_removed(&FrameworkId::new("other")).await;
    agent.executors.framework_removed(&agent.key.0).await;
    agent.executors.kill(&TaskId::new("t.1"), Duration::ZERO).await;
    let expected = [ExecutorEventType::Subscribed, ExecutorEventType::Launch, ExecutorEventType::Shutdown];
    assert_eq!(heard(&mut events), expected);
}

#[tokio::test]
async fn a_task_that_was_sent_and_did_not_come_is_dropped_when_its_executor_subscribes_again() {
    let mut agent = Agent::new("sleep 600");
    for id in ["t.heard", "t.known", "t.lost"] {
        agent.launch(id).await;
    }
    let _first = agent.subscribe(&[]).await;
    agent.update("t.heard", TaskState::Running, 1).await;
    assert_eq!(agent.report().await.task_id.value, "t.heard");
    let mut again = agent.subscribe(&["t.known"]).await;
    assert_eq!(heard(&mut again), [ExecutorEventType::Subscribed]);
    let dropped = agent.report().await;
    assert_eq!((dropped.task_id.value.as_str(), dropped.state()), ("t.lost", TaskState::Dropped));
    assert_eq!(agent.entry().tasks.len(), 2);
    agent.shut_down().await;
}

#[tokio::test]
async fn an_executor_that_is_shut_down_before_it_subscribes_starts_none_of_its_tasks() {
    let agent = Agent::new("sleep 600");
    agent.launch("t.1").await;
    agent.shut_down().await;
    let told = heard(&mut agent.subscribe(&[]).await);
    assert_eq!(told, [ExecutorEventType::Shutdown]);
}

#[tokio::test]
async fn an_executor_that_is_shut_down_while_it_is_fetched_is_not_started() {
    let mut agent = Agent::new("touch started");
    agent.launch("t.1").await;
    // Nothing of it was polled yet.
    agent.shut_down().await;
    assert_eq!(agent.report().await.state(), TaskState::Failed);
    let sandbox = agent.executors.overview().completed.remove(0).directory;
    assert!(sandbox.starts_with(agent.disk.path()) && !sandbox.join("started").exists(), "{sandbox:?}");
}

#[tokio::test]
async fn of_an_executor_of_many_tasks_only_the_last_ones_that_ended_are_remembered() {
    let mut agent = Agent::new("sleep 600");
    agent.launch("t.long").await;
    let _events = agent.subscribe(&[]).await;
    for number in 0..2 * COMPLETED {
        let id = format!("t.{number}");
        agent.launch(&id).await;
        agent.update(&id, TaskState::Finished, 1).await;
        assert_eq!(agent.report().await.state(), TaskState::Finished);
        // It is said again until it is acknowledged, and has no effect then.
        agent.update(&id, TaskState::Finished, 1).await;
        agent.update(&id, TaskState::Failed, 2).await;
    }
    let entry = agent.entry();
    let (first, last) = (&entry.completed[0], &entry.completed[COMPLETED - 1]);
    assert_eq!((entry.tasks.len(), entry.completed.len()), (1, COMPLETED));
    assert_eq!(first.id.value, format!("t.{COMPLETED}"));
    assert_eq!(
        (last.id.value.clone(), last.state),
        (format!("t.{}", 2 * COMPLETED - 1), TaskState::Finished)
    );
    agent.shut_down().await;
    assert_eq!(agent.report().await.task_id.value, "t.long");
}

/// What is left of an agent whose process is killed: its disk, and its executors.
impl Agent {
    fn restarted(self, wait: Duration) -> Agent {
        let (env, (sink, reports)) = (Env::system().unwrap(), reports());
        let config = ExecutorsConfig {
            reregistration_timeout: wait,
            shutdown_grace: Duration::ZERO,
            ..ExecutorsConfig::new(
                self.disk.path().to_owned(),
                SocketAddr::from(([127, 0, 0, 1], 1)),
                "agent1",
            )
        };
        Agent { executors: Executors::recovering(&env, config, sink), reports, ..self }
    }

    /// The journal says this of a task.
    fn recalled(&self, id: &str, state: TaskState) -> Recalled {
        let (framework_id, executor_id) = self.key.clone();
        let executor = ExecutorInfo { executor_id, ..ExecutorInfo::default() };
        let task = TaskInfo { task_id: TaskId::new(id), executor: Some(executor), ..TaskInfo::default() };
        let (agent_id, environment) = (AgentId::new("a"), BTreeMap::new());
        let launch = Launch { framework_id, agent_id, task, environment };
        let heard = if state == TaskState::Staging { Vec::new() } else { vec![vec![1; 16]] };
        Recalled { launch, latest: TaskStatus::of(TaskId::new(id), state), heard }
    }

    /// Its executors outlive it.
    async fn checkpoint(&self) {
        let id = Some(self.key.0.clone());
        let framework = FrameworkInfo { id, checkpoint: Some(true), ..FrameworkInfo::default() };
        self.executors.describe(&framework).await;
    }
}

/// An agent whose executor runs `t.1` and has never heard of `t.2`, when its process is started again.
async fn running_on(wait: Duration) -> (Agent, Vec<Recalled>) {
    let mut agent = Agent::new("echo $MESOS_CHECKPOINT > checkpoint; exec sleep 600");
    agent.checkpoint().await;
    agent.launch("t.1").await;
    agent.launch("t.2").await;
    let _events = agent.subscribe(&[]).await;
    agent.update("t.1", TaskState::Running, 1).await;
    assert_eq!(agent.report().await.task_id.value, "t.1");
    let directory = loop {
        let directory = agent.entry().directory;
        if directory.join("checkpoint").exists() {
            break directory;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(std::fs::read_to_string(directory.join("checkpoint")).unwrap(), "1\n");
    let agent = agent.restarted(wait);
    let tasks = vec![agent.recalled("t.1", TaskState::Running), agent.recalled("t.2", TaskState::Staging)];
    (agent, tasks)
}

#[tokio::test]
async fn an_executor_is_found_again_by_the_next_process_of_its_agent_and_what_it_does_not_name_is_dropped() {
    let (mut agent, tasks) = running_on(PATIENCE).await;
    assert!(!agent.executors.has_recovered());
    agent.executors.recall(&tasks).await;
    assert!(agent.executors.has_recovered());
    let launches: Vec<Launch> = tasks.iter().map(|it| it.launch.clone()).collect();
    let executors = agent.executors.clone();
    let (adopted, mut events) = tokio::join!(executors.adopt(&launches), agent.subscribe(&[]));
    assert_eq!(heard(&mut events), [ExecutorEventType::Subscribed]);
    let dropped = agent.report().await;
    let why = (dropped.task_id.value.as_str(), dropped.state(), dropped.reason());
    assert_eq!(why, ("t.2", TaskState::Dropped, Reason::AgentRestarted));
    let adopted = adopted.unwrap();
    let running = |it: &Adopted| matches!(it, Adopted::Running(_));
    assert!(adopted.len() == 2 && adopted.iter().all(running), "{adopted:?}");
    // What was journalled before is confirmed again; what was not is reported, and confirmed when it is.
    agent.update("t.1", TaskState::Running, 1).await;
    agent.update("t.1", TaskState::Finished, 2).await;
    assert_eq!(agent.report().await.state(), TaskState::Finished);
    assert_eq!(heard(&mut events), [ExecutorEventType::Acknowledged]);
    agent.executors.journalled(&TaskId::new("t.1"), &[2; 16]).await;
    assert_eq!(heard(&mut events), [ExecutorEventType::Acknowledged]);
    agent.shut_down().await;
    agent.executors.all_ended().await;
    // Nothing of it is left for a third process.
    let agent = agent.restarted(PATIENCE);
    agent.executors.recall(&[]).await;
    assert!(agent.executors.overview().executors.is_empty());
}

#[tokio::test]
async fn an_executor_that_does_not_come_back_in_time_is_killed_and_its_tasks_are_gone() {
    let (mut agent, tasks) = running_on(Duration::ZERO).await;
    agent.executors.recall(&tasks).await;
    let Report::Exited(exit) = agent.next().await else { panic!("something else is told first") };
    assert_eq!(exit.status, KILLED);
    for _ in &tasks {
        let gone = agent.report().await;
        let why = (gone.state(), gone.reason());
        assert_eq!(why, (TaskState::Gone, Reason::ExecutorReregistrationTimeout), "{gone:?}");
        assert_eq!(gone.message.as_deref(), Some("Executor did not reregister within 0secs"));
    }
}

#[tokio::test]
async fn the_tasks_of_an_executor_that_ended_while_its_agent_was_away_have_failed() {
    let (agent, tasks) = running_on(PATIENCE).await;
    let kept = kept::all(agent.disk.path()).unwrap().remove(0);
    Process::found(&kept.process).unwrap().kill();
    // The agent's first process is this one, which is there to see it, and forgets it.
    while !kept::all(agent.disk.path()).unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kept.write(agent.disk.path()).unwrap();
    let mut agent = agent.restarted(PATIENCE);
    agent.executors.recall(&tasks).await;
    for _ in &tasks {
        let failed = agent.report().await;
        assert_eq!((failed.state(), failed.reason()), (TaskState::Failed, Reason::ExecutorTerminated));
    }
    assert_eq!(agent.executors.adopt(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn an_agent_that_ended_during_a_launch_knows_the_framework_when_it_is_back() {
    let agent = Agent::new("echo $MESOS_CHECKPOINT > checkpoint; exec sleep 600");
    agent.checkpoint().await;
    let agent = agent.restarted(PATIENCE);
    agent.executors.recall(&[]).await;
    agent.launch("t.1").await;
    let told = loop {
        let told = std::fs::read_to_string(agent.entry().directory.join("checkpoint")).unwrap_or_default();
        if told.ends_with('\n') {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(told, "1\n");
    assert_eq!(kept::all(agent.disk.path()).unwrap().len(), 1, "the next process finds it");
}
