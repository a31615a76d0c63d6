//! Operators who watch.

use super::*;
use crate::mesos::embedded::master::{Happening, MachineId, Window};
use crate::mesos::wire::TimeInfo;
use crate::mesos::wire::offer::Unavailability;

fn told(happening: Happening) -> String {
    match happening {
        Happening::TaskAdded(task) => format!("task {} {}", task.id, task.state),
        Happening::TaskUpdated { status, .. } => format!("{} {}", status.task_id, status.state()),
        Happening::AgentAdded(agent) => format!("agent {}", agent.info.hostname),
        Happening::AgentRemoved(_) => "agent gone".to_owned(),
        Happening::FrameworkAdded(framework) => format!("framework {}", framework.info.name),
        Happening::FrameworkUpdated(framework) => format!("framework is {}", framework.info.name),
        Happening::FrameworkRemoved(info) => format!("framework {} gone", info.name),
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_told_of_each_change_in_order_after_what_there_was() {
    let config = MasterConfig { history: true, ..MasterConfig::default() };
    let mut world = World { config, ..World::new(Machine::reliable()) };
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let first = framework.offers().await;
    let mut watching = server.master.watch().await.unwrap();
    assert_eq!((watching.books.agents.len(), watching.books.frameworks.len()), (1, 1));
    assert_eq!(watching.books.tasks.len(), 0);

    framework.passed_over = first;
    let running = framework.run("t").await;
    let again = Framework::subscribe(&server, Some(&framework.id)).await;
    let mut framework = Framework { passed_over: framework.passed_over, ..again };
    framework.kill("t", running.agent_id.as_ref()).await;
    loop {
        let status = framework.status().await;
        framework.acknowledge(&status).await;
        if status.state().is_terminal() {
            break;
        }
    }
    server.master.teardown(&framework.id).await.unwrap();
    let mut all = Vec::new();
    while all.last().is_none_or(|last| last != "framework test gone") {
        all.push(told(watching.happenings.recv().await.unwrap()));
    }
    let expected = [
        "task t TASK_STAGING",
        "t TASK_STARTING",
        "t TASK_RUNNING",
        "framework is test",
        "t TASK_KILLING",
        "t TASK_KILLED",
        "framework test gone",
    ];
    assert_eq!(all, expected);
}

/// Waits until a task is told to be in this state.
async fn hears_of(framework: &mut Framework, state: TaskState) {
    while framework.next().await.unwrap().update.is_none_or(|update| update.status.state() != state) {}
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_back_is_told_with_its_tasks_and_one_that_is_taken_away_is_told_to_be_gone() {
    let config = MasterConfig { history: true, ..MasterConfig::default() };
    let mut world = World { config, ..World::new(Machine::reliable()) };
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let running = framework.run("t").await;
    let agent = running.agent_id.unwrap();
    let mut watching = server.master.watch().await.unwrap();
    server.master.cut_off_agent(&agent).await;
    hears_of(&mut framework, TaskState::Unreachable).await;
    server.master.restore_agent(&agent).await;
    hears_of(&mut framework, TaskState::Running).await;
    let machines = vec![MachineId { hostname: "here".to_owned(), ip: "10.0.0.1".to_owned() }];
    let unavailability = Unavailability { start: Some(TimeInfo { nanoseconds: 1 }), duration: None };
    let windows = vec![Window { machines: machines.clone(), unavailability }];
    server.master.update_maintenance_schedule(windows).await.unwrap();
    server.master.start_maintenance(machines).await.unwrap();
    let mut all = Vec::new();
    while let Ok(happening) = watching.happenings.try_recv() {
        all.push(told(happening));
    }
    let expected = ["t TASK_UNREACHABLE", "task t TASK_RUNNING", "agent here", "t TASK_LOST", "agent gone"];
    assert_eq!(all, expected);
}
