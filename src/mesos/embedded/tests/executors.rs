//! Executors of frameworks: what they hold, what is told of them, and what they say.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::*;
use crate::mesos::embedded::launcher::{
    Adopted, ExecutorExit, ExecutorMessage, Launch, Launcher, LauncherUnavailable, ReportSink,
};
use crate::mesos::wire::scheduler::{Failure, Message};
use crate::mesos::wire::{ExecutorId, ExecutorInfo};

/// Runs no task, and says that it has these executors.
#[derive(Debug, Default)]
struct Has(Mutex<Vec<(FrameworkId, ExecutorInfo)>>);

#[async_trait]
impl Launcher for Has {
    async fn launch(&self, launch: Launch) {
        let executor = launch.task.executor.map(|executor| (launch.framework_id, executor));
        self.0.lock().unwrap().extend(executor);
    }

    async fn kill(&self, _task_id: &TaskId, _grace: Duration) {}

    fn executors(&self) -> Option<Vec<(FrameworkId, ExecutorInfo)>> {
        Some(self.0.lock().unwrap().clone())
    }

    async fn framework_removed(&self, framework: &FrameworkId) {
        self.0.lock().unwrap().retain(|(owner, _)| owner != framework);
    }

    async fn adopt(&self, _tasks: &[Launch]) -> Result<Vec<Adopted>, LauncherUnavailable> {
        Ok(Vec::new())
    }

    async fn sweep(&self, _owned: &BTreeSet<TaskId>) -> Result<Vec<String>, LauncherUnavailable> {
        Ok(Vec::new())
    }
}

async fn start() -> (Server, Arc<Has>, ReportSink) {
    let env = Env::simulated("server", 1, Timestamp::UNIX_EPOCH);
    let (sink, reports) = reports();
    let (launcher, disk) = (Arc::new(Has::default()), Medium::memory());
    let (config, of_agent) = (MasterConfig::default(), agent_config());
    let master = crate::mesos::embedded::start(&env, config, of_agent, disk, launcher.clone(), reports);
    (Server { env: env.clone(), master: master.await.unwrap() }, launcher, sink)
}

/// A task of an executor that needs half a processor itself.
fn of_executor(id: &str, offer: &Offer) -> TaskInfo {
    let executor = ExecutorInfo {
        executor_id: ExecutorId::new("e"),
        resources: parse_resources("cpus:0.5").unwrap(),
        command: Some(CommandInfo::default()),
        ..ExecutorInfo::default()
    };
    TaskInfo { command: None, executor: Some(executor), ..task(id, offer, "cpus:1;mem:100") }
}

async fn failure(framework: &mut Framework) -> Failure {
    loop {
        let event = framework.next().await.unwrap();
        framework.passed_over.extend(event.offers.into_iter().flat_map(|it| it.offers));
        if let Some(failure) = event.failure {
            return failure;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_executor_holds_its_resources_once_until_it_ends_and_its_framework_is_told_how() {
    let (server, _launcher, sink) = start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let first = framework.offers().await.remove(0);
    let tasks = ["t1", "t2"].map(|id| of_executor(id, &first));
    framework.accept(std::slice::from_ref(&first), tasks.into()).await;
    let rest = framework.offers().await.remove(0);
    assert_eq!((cpus(&first), cpus(&rest)), (4.0, 1.5));
    assert_eq!((first.executor_ids, rest.executor_ids), (Vec::new(), vec![ExecutorId::new("e")]));

    let (framework_id, executor_id) = (framework.id.clone(), ExecutorId::new("e"));
    sink.exited(ExecutorExit { framework_id, executor_id, status: 9 }).await;
    let failure = failure(&mut framework).await;
    assert_eq!(failure.executor_id, Some(ExecutorId::new("e")));
    assert_eq!((failure.agent_id, failure.status), (Some(rest.agent_id), Some(9)));
    let back = framework.offers().await.remove(0);
    assert_eq!((cpus(&back), back.executor_ids), (0.5, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_task_for_an_executor_that_has_ended_before_the_task_came_is_dropped() {
    let (server, launcher, _sink) = start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let first = framework.offers().await.remove(0);
    framework.accept(std::slice::from_ref(&first), vec![of_executor("t1", &first)]).await;
    let second = framework.offers().await.remove(0);
    // The master has not heard of it.
    launcher.0.lock().unwrap().clear();
    framework.accept(std::slice::from_ref(&second), vec![of_executor("t2", &second)]).await;
    let status = framework.status().await;
    assert_eq!(status.task_id.value, "t2");
    assert_eq!(brief(&status), (TaskState::Dropped, Source::Agent, Reason::ExecutorTerminated, true));
}

#[tokio::test(start_paused = true)]
async fn executors_of_a_framework_that_is_removed_hold_nothing_and_are_ended_with_or_without_tasks() {
    let (server, launcher, _sink) = start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offer = framework.offers().await.remove(0);
    framework.accept(std::slice::from_ref(&offer), vec![of_executor("t1", &offer)]).await;
    framework.offers().await;
    framework.call(of(CallType::Teardown)).await;
    let mut next = Framework::subscribe(&server, None).await;
    assert_eq!(cpus(&next.offers().await[0]), 4.0);
    assert_eq!(launcher.executors(), Some(Vec::new()));
}

async fn message(framework: &mut Framework) -> Message {
    loop {
        if let Some(message) = framework.next().await.unwrap().message {
            return message;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_executor_says_reaches_its_framework_and_no_other() {
    let (server, _launcher, sink) = start().await;
    let mut one = Framework::subscribe(&server, None).await;
    one.offers().await;
    let mut other = Framework::subscribe(&server, None).await;
    for (framework, data) in [(&one, b"ping"), (&other, b"pong")] {
        let (framework_id, executor_id) = (framework.id.clone(), ExecutorId::new("e"));
        sink.message(ExecutorMessage { framework_id, executor_id, data: data.to_vec() }).await;
    }
    assert_eq!(message(&mut one).await.data, b"ping");
    let heard = message(&mut other).await;
    assert_eq!((heard.data.as_slice(), heard.executor_id.value.as_str()), (b"pong".as_slice(), "e"));
}

#[tokio::test(start_paused = true)]
async fn a_new_master_makes_no_executor_of_a_task_that_has_ended() {
    let (server, launcher, sink) = start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offer = framework.offers().await.remove(0);
    framework.accept(std::slice::from_ref(&offer), vec![of_executor("t1", &offer)]).await;
    sink.report(TaskStatus::of(TaskId::new("t1"), TaskState::Failed)).await;
    // It is not acknowledged, and the executor's end goes to the old master.
    assert_eq!(framework.status().await.state(), TaskState::Failed);
    launcher.0.lock().unwrap().clear();
    server.master.fail_over(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut framework = Framework::subscribe(&server, Some(&framework.id.clone())).await;
    let whole = framework.offers().await.remove(0);
    assert_eq!((cpus(&whole), whole.executor_ids), (4.0, Vec::new()));
}
