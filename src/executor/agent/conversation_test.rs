//! The conversation by itself: what follows from what was said.

use super::*;
use crate::mesos::wire::{AgentInfo, ContainerId, ContainerStatus, FrameworkInfo, KillPolicy, is_uuid};

const GRACE: Duration = Duration::from_secs(5);

fn conversation() -> Conversation {
    of(Serves::OneTask)
}

fn of(serves: Serves) -> Conversation {
    let env = Env::simulated("executor", 1, jiff::Timestamp::UNIX_EPOCH);
    let mut talk = Conversation::new(env, FrameworkId::new("f"), ExecutorId::new("e"), serves, GRACE);
    talk.subscribed(&Subscribed {
        framework_info: FrameworkInfo {
            capabilities: vec![Capability::TaskKillingState.into()],
            ..FrameworkInfo::default()
        },
        agent_info: AgentInfo { id: Some(AgentId::new("a")), ..AgentInfo::default() },
        ..Subscribed::default()
    });
    talk
}

fn task(id: &str) -> TaskInfo {
    TaskInfo { task_id: TaskId::new(id), ..TaskInfo::default() }
}

fn report(talk: &mut Conversation, id: &str, state: TaskState) {
    talk.reported(TaskStatus::of(TaskId::new(id), state));
}

/// The states that are sent next.
fn sent(talk: &mut Conversation) -> Vec<TaskState> {
    let calls = std::iter::from_fn(|| talk.next_update());
    calls.map(|call| call.update.unwrap().status.state()).collect()
}

fn store(talk: &mut Conversation, call: &Call) {
    let status = &call.update.as_ref().unwrap().status;
    let uuid = status.uuid.clone().unwrap();
    talk.acknowledged(&Acknowledged { task_id: status.task_id.clone(), uuid });
}

#[tokio::test]
async fn a_task_is_over_when_the_agent_has_stored_its_end() {
    let mut talk = conversation();
    let Some(Act::Launch(launch)) = talk.launch(task("t")) else { panic!("it is launched") };
    assert_eq!(launch.environment["MESOS_AGENT_ID"], "a");
    assert_eq!(talk.subscribe().subscribe.unwrap().unacknowledged_tasks.len(), 1);

    report(&mut talk, "t", TaskState::Running);
    let running = talk.next_update().unwrap();
    assert!(is_uuid(running.update.as_ref().unwrap().status.uuid.as_ref().unwrap()));
    store(&mut talk, &running);
    let again = talk.subscribe().subscribe.unwrap();
    assert!(again.unacknowledged_tasks.is_empty() && again.unacknowledged_updates.is_empty());

    report(&mut talk, "t", TaskState::Finished);
    assert!(!talk.is_over());
    let finished = talk.next_update().unwrap();
    assert!(!talk.is_over(), "it may be lost on its way");
    store(&mut talk, &finished);
    assert!(talk.is_over());
    report(&mut talk, "t", TaskState::Running);
    assert_eq!(sent(&mut talk), [], "nothing follows an end");
}

#[tokio::test]
async fn an_update_says_what_an_executor_says_and_leaves_the_rest_to_the_agent() {
    let mut talk = conversation();
    talk.launch(task("t"));
    let container = ContainerStatus {
        container_id: Some(ContainerId { value: "docker's".to_owned(), parent: None }),
        executor_pid: Some(7),
        ..ContainerStatus::default()
    };
    let status = TaskStatus::of(TaskId::new("t"), TaskState::Running);
    talk.reported(TaskStatus { container_status: Some(container), ..status });
    let call = talk.next_update().unwrap();
    let status = call.update.unwrap().status;
    assert_eq!((status.source(), status.executor_id), (Source::Executor, Some(ExecutorId::new("e"))));
    assert_eq!(status.container_status, Some(ContainerStatus::default()));
    assert!(status.timestamp.is_some() && status.agent_id.is_none());
}

#[tokio::test]
async fn grace_is_that_of_the_order_then_of_the_task_then_of_the_agent() {
    let seconds = Duration::from_secs;
    let policy = |grace: u64| Some(KillPolicy { grace_period: Some(seconds(grace).into()) });
    for (own, order, expected) in [
        (None, None, GRACE),
        (policy(30), None, seconds(30)),
        (policy(30), Some(seconds(1)), seconds(1)),
        (None, Some(seconds(60)), seconds(60)),
    ] {
        let mut talk = conversation();
        talk.launch(TaskInfo { kill_policy: own, ..task("t") });
        assert_eq!(talk.kill(&TaskId::new("t"), order), Some(Act::Kill(TaskId::new("t"), expected)));
    }
    let mut talk = conversation();
    talk.launch(TaskInfo { kill_policy: policy(30), ..task("t") });
    assert_eq!(talk.stop_all(seconds(4)), [Act::Kill(TaskId::new("t"), seconds(4))]);
    assert_eq!(talk.kill(&TaskId::new("none"), None), None);
}

#[tokio::test]
async fn a_task_that_runs_is_said_to_be_killed_where_the_framework_understands_it() {
    let mut talk = conversation();
    talk.launch(task("t"));
    talk.kill(&TaskId::new("t"), None);
    assert_eq!(sent(&mut talk), [], "it does not run yet");
    report(&mut talk, "t", TaskState::Running);
    talk.kill(&TaskId::new("t"), None);
    talk.kill(&TaskId::new("t"), None);
    report(&mut talk, "t", TaskState::Running);
    report(&mut talk, "t", TaskState::Killed);
    assert_eq!(sent(&mut talk), [TaskState::Running, TaskState::Killing, TaskState::Killed]);

    let mut talk = conversation();
    talk.subscribed(&Subscribed::default());
    talk.launch(task("t"));
    report(&mut talk, "t", TaskState::Running);
    talk.kill(&TaskId::new("t"), None);
    assert_eq!(sent(&mut talk), [TaskState::Running]);
}

#[tokio::test]
async fn what_comes_while_everything_is_stopped_is_not_begun() {
    let mut talk = conversation();
    assert_eq!(talk.stop_all(GRACE), []);
    assert_eq!(talk.launch(task("t")), None);
    assert_eq!(sent(&mut talk), [TaskState::Killed]);
}

#[tokio::test]
async fn an_executor_of_many_forgets_a_task_whose_end_is_stored_and_goes_on() {
    let mut talk = of(Serves::ManyTasks);
    assert!(talk.is_idle());
    for id in ["a", "b"] {
        assert!(matches!(talk.launch(task(id)), Some(Act::Launch(_))), "{id}");
    }
    assert!(!talk.is_idle());
    report(&mut talk, "a", TaskState::Finished);
    assert_eq!(talk.take_ended(), [], "the agent does not know yet");
    let finished = talk.next_update().unwrap();
    store(&mut talk, &finished);
    assert_eq!(talk.take_ended(), [TaskId::new("a")]);
    assert_eq!((talk.tasks(), talk.is_over()), (vec![TaskId::new("b")], false));

    report(&mut talk, "b", TaskState::Failed);
    let failed = talk.next_update().unwrap();
    talk.refused(&TaskId::new("b"), failed.update.unwrap().status.uuid.as_ref().unwrap());
    assert_eq!(talk.take_ended(), [TaskId::new("b")]);
    assert!(talk.is_idle() && !talk.is_over(), "it stays for a while");
}
