//! The operator's wishes and the faults of a simulation, as a framework sees them. (The replayed conversations show
//! what is told when an agent is drained, deactivated or gone, and when the master fails over.)

use super::lives::Apart;
use super::*;
use crate::mesos::embedded::master::Disturbance;

/// A master, an agent that runs the task `t`, and its framework.
async fn running() -> (Apart, Server, Env, Framework, AgentId) {
    let (mut apart, server) = Apart::new(Machine::reliable()).await;
    let agent = apart.start_agent().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let agent_id = framework.run("t").await.agent_id.unwrap();
    (apart, server, agent, framework, agent_id)
}

#[tokio::test(start_paused = true)]
async fn a_rescinded_offer_is_void_and_its_resources_come_again() {
    let (apart, _server, _agent, mut framework, agent_id) = running().await;
    let held = framework.offers().await.remove(0);
    apart.master.rescind_offers(Some(&AgentId::new("another"))).await;
    apart.master.rescind_offers(Some(&agent_id)).await;
    assert_eq!(framework.next().await.unwrap().rescind.unwrap().offer_id, held.id);
    framework.accept(std::slice::from_ref(&held), vec![task("u", &held, "cpus:1")]).await;
    assert_eq!(framework.status().await.reason(), Reason::InvalidOffers);
    assert_eq!(cpus(&framework.offers().await[0]), 3.0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_update_comes_again_and_a_late_one_comes_late() {
    let (apart, _server, _agent, mut framework, agent_id) = running().await;
    apart.master.disturb_link(&agent_id, Disturbance { lose_from_agent: 1, ..Disturbance::default() }).await;
    let killed = Instant::now();
    framework.kill("t", None).await;
    let killing = framework.status().await;
    assert_eq!(
        (killing.state(), killed.elapsed().as_secs()),
        (TaskState::Killing, 10),
        "at the agent's resend"
    );

    let slow = Disturbance { delay_from_agent: Duration::from_secs(3), ..Disturbance::default() };
    apart.master.disturb_link(&agent_id, slow).await;
    let acknowledged = Instant::now();
    framework.acknowledge(&killing).await;
    assert_eq!(framework.status().await.state(), TaskState::Killed);
    assert_eq!(acknowledged.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_update_is_heard_twice_with_one_uuid() {
    let (apart, _server, _agent, mut framework, agent_id) = running().await;
    let twice = Disturbance { repeat_from_agent: 1, ..Disturbance::default() };
    apart.master.disturb_link(&agent_id, twice).await;
    framework.kill("t", None).await;
    let killing = framework.status().await;
    assert_eq!(killing.state(), TaskState::Killing);
    assert_eq!(framework.status().await, killing);
    framework.acknowledge(&killing).await;
    assert_eq!(framework.status().await.state(), TaskState::Killed);
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_brings_the_update_again_with_its_uuid() {
    let (apart, _server, _agent, mut framework, agent_id) = running().await;
    framework.kill("t", None).await;
    let killing = framework.status().await;
    apart.master.disturb_link(&agent_id, Disturbance { lose_to_agent: 1, ..Disturbance::default() }).await;
    framework.acknowledge(&killing).await;
    assert_eq!(framework.status().await, killing);
}

#[tokio::test(start_paused = true)]
async fn a_lost_launch_is_told_by_the_agent_when_it_registers_again() {
    let (mut apart, _server, agent, mut framework, agent_id) = running().await;
    let offers = framework.offers().await;
    apart.master.disturb_link(&agent_id, Disturbance { lose_to_agent: 1, ..Disturbance::default() }).await;
    framework.accept(&offers, vec![task("lost", &offers[0], "cpus:1")]).await;
    framework.reconcile(&[("lost", Some(&agent_id))]).await;
    assert_eq!(framework.status().await.state(), TaskState::Staging);
    agent.crash();
    let _agent = apart.start_agent().await;
    let dropped = framework.status().await;
    assert_eq!(brief(&dropped), (TaskState::Dropped, Source::Agent, Reason::Reconciliation, true));
    framework.acknowledge(&dropped).await;
    framework.reconcile(&[("lost", Some(&agent_id))]).await;
    assert_eq!(framework.status().await.state(), TaskState::Gone);
    framework.offers().await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_of_a_task_whose_launch_got_lost_ends_it() {
    let (apart, _server, _agent, mut framework, agent_id) = running().await;
    let offers = framework.offers().await;
    apart.master.disturb_link(&agent_id, Disturbance { lose_to_agent: 1, ..Disturbance::default() }).await;
    framework.accept(&offers, vec![task("lost", &offers[0], "cpus:1")]).await;
    framework.kill("lost", None).await;
    let dropped = framework.status().await;
    assert_eq!(brief(&dropped), (TaskState::Dropped, Source::Agent, Reason::ExecutorTerminated, true));
    framework.acknowledge(&dropped).await;
    framework.kill("lost", None).await;
    assert_eq!(framework.status().await.state(), TaskState::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_cut_off_agent_stays_away_until_it_is_restored() {
    let (apart, _server, _agent, mut framework, agent_id) = running().await;
    apart.master.cut_off_agent(&agent_id).await;
    let away = Instant::now();
    let unreachable = framework.status().await;
    assert_eq!((unreachable.state(), away.elapsed().as_secs()), (TaskState::Unreachable, 75));
    assert!(framework.next().await.unwrap().failure.is_some());
    assert!(framework.hears_nothing_for(Duration::from_secs(3600)).await);
    apart.master.restore_agent(&agent_id).await;
    let back = framework.status().await;
    assert_eq!((back.state(), back.reason()), (TaskState::Running, Reason::AgentReregistered));
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_health_check_times_out_returns_by_itself() {
    let (apart, _server, _agent, mut framework, agent_id) = running().await;
    apart.master.mark_agent_unreachable(&agent_id).await;
    assert_eq!(framework.status().await.state(), TaskState::Unreachable);
    let mut offers = Vec::new();
    let back = loop {
        let event = framework.next().await.unwrap();
        offers.extend(event.offers.unwrap_or_default().offers);
        if let Some(update) = event.update {
            break update.status;
        }
    };
    assert_eq!((back.state(), back.reason()), (TaskState::Running, Reason::AgentReregistered));
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_drained_even_if_it_was_away_when_that_was_asked_for() {
    let (mut apart, _server, agent, mut framework, agent_id) = running().await;
    framework.offers().await;
    agent.crash();
    while framework.next().await.unwrap().r#type() != EventType::Rescind {}
    apart.master.drain_agent(&agent_id, Some(Duration::from_secs(1)), false).await.unwrap();
    let _agent = apart.start_agent().await;
    for state in [TaskState::Killing, TaskState::Killed] {
        let status = framework.status().await;
        assert_eq!((status.state(), status.reason()), (state, Reason::AgentDraining));
        framework.acknowledge(&status).await;
    }
    assert!(framework.hears_nothing_for(Duration::from_secs(600)).await);
    apart.master.reactivate_agent(&agent_id).await.unwrap();
    let offers = framework.offers().await;
    assert_eq!(cpus(&offers[0]), 4.0);
    framework.accept(&offers, vec![task("u", &offers[0], "cpus:1")]).await;
    let killed = loop {
        let status = framework.status().await;
        framework.acknowledge(&status).await;
        match status.state() {
            TaskState::Running => framework.kill("u", None).await,
            state if state.is_terminal() => break status,
            _ => {}
        }
    };
    assert_eq!(
        (killed.state(), killed.reason()),
        (TaskState::Killed, Reason::Unrecognised),
        "not draining any more"
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_gone_stays_gone_over_a_failover_and_takes_its_tasks_along() {
    let (mut apart, server, agent, mut framework, agent_id) = running().await;
    apart.master.mark_agent_gone(&agent_id).await.unwrap();
    let gone = framework.status().await;
    assert_eq!(
        brief(&gone),
        (TaskState::GoneByOperator, Source::Master, Reason::AgentRemovedByOperator, false)
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(apart.machine().alive().is_empty(), "its tasks are ended");
    agent.crash();
    apart.master.fail_over(Duration::from_secs(5)).await;
    assert!(Connection::subscribe(&server.master, Call::default(), &|| true).await.is_err());
    tokio::time::sleep(Duration::from_secs(6)).await;
    let _agent = apart.start_agent().await;
    let mut framework = Framework::subscribe(&server, Some(&framework.id.clone())).await;
    framework.reconcile(&[("t", Some(&agent_id))]).await;
    let status = framework.status().await;
    assert_eq!(
        (status.state(), status.message()),
        (TaskState::GoneByOperator, "Reconciliation: Task is gone")
    );
    assert!(framework.hears_nothing_for(Duration::from_secs(600)).await, "nothing of it is offered");
}

#[tokio::test(start_paused = true)]
async fn agents_and_frameworks_bring_everything_back_to_a_new_master() {
    let (apart, server, _agent, mut framework, agent_id) = running().await;
    let (id, old_master) = (framework.id.clone(), framework.master.clone());
    apart.master.fail_over(Duration::from_millis(500)).await;
    while framework.next().await.is_some() {}
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut framework = Framework::subscribe(&server, Some(&id)).await;
    assert_ne!(framework.master, old_master);
    framework.reconcile(&[("t", Some(&agent_id))]).await;
    framework.reconcile(&[]).await;
    assert_eq!(cpus(&framework.offers().await[0]), 3.0, "silence before, then the agent with its task");
    framework.reconcile(&[]).await;
    let status = framework.status().await;
    assert_eq!((status.task_id.value.as_str(), status.state()), ("t", TaskState::Running));
}

#[tokio::test(start_paused = true)]
async fn the_id_of_an_unreachable_task_is_not_used_again() {
    let (mut apart, _server, agent, mut framework, _) = running().await;
    agent.crash();
    assert_eq!(framework.status().await.state(), TaskState::Unreachable);
    assert!(framework.next().await.unwrap().failure.is_some());
    apart.forget_disk();
    let _another = apart.start_agent().await;
    let offers = framework.offers().await;
    framework.accept(&offers, vec![task("t", &offers[0], "cpus:1")]).await;
    let refused = framework.status().await;
    assert_eq!((refused.state(), refused.message()), (TaskState::Error, "Task has duplicate ID: t"));
}
