//! Tasks: launched, reported until acknowledged, killed, reconciled.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_task_is_offered_for_launched_and_reported() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    assert_eq!(framework.id.value, format!("{}-0000", framework.master));

    let offers = framework.offers().await;
    assert_eq!((offers.len(), cpus(&offers[0]), offers[0].hostname.as_str()), (1, 4.0, "here"));
    assert_eq!(offers[0].agent_ip(), Some("10.0.0.1"));
    framework.accept(&offers, vec![task("t", &offers[0], "cpus:1.5;mem:96;ports:[31000-31001]")]).await;

    let starting = framework.status().await;
    assert_eq!(brief(&starting), (TaskState::Starting, Source::Executor, Reason::Unrecognised, true));
    assert_eq!(starting.container_status.as_ref().unwrap().ip(), Some("10.0.0.1"));
    framework.acknowledge(&starting).await;
    let running = framework.status().await;
    assert_eq!(running.state(), TaskState::Running);
    framework.acknowledge(&running).await;
    assert_eq!(world.machine.alive(), [TaskId::new("t")].into());
}

#[tokio::test(start_paused = true)]
async fn an_update_is_sent_until_it_is_acknowledged_and_the_next_one_waits() {
    let mut world = World::new(Machine::new(|_| Fate::Exit { code: 3, after: Duration::from_secs(1) }));
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offers = framework.offers().await;
    framework.accept(&offers, vec![task("t", &offers[0], "cpus:4;mem:4096")]).await;

    let first = framework.status().await;
    let mut sent = vec![Instant::now()];
    for _ in 0..3 {
        let again = framework.status().await;
        assert_eq!(again, first, "the same update, though the task has ended long ago");
        sent.push(Instant::now());
    }
    let waits: Vec<u64> = sent.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(waits, [10, 20, 40]);

    let mut wrong = first.clone();
    wrong.uuid = Some(vec![0x49; 16]);
    framework.acknowledge(&wrong).await;
    framework.acknowledge(&first).await;
    let running = framework.status().await;
    assert_eq!(running.state(), TaskState::Running);
    framework.acknowledge(&first).await;
    framework.acknowledge(&running).await;
    let failed = framework.status().await;
    assert_eq!((failed.state(), failed.message()), (TaskState::Failed, "Command exited with status 3"));
    framework.acknowledge(&failed).await;
    framework.decline(&OfferId::new("bogus"), 0.0).await;
    assert!(tokio::time::timeout(Duration::from_secs(3000), framework.status()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_kill_goes_through_killing_and_a_wrong_agent_is_passed_over() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let agent = framework.run("t").await.agent_id.unwrap();

    framework.kill("t", Some(&AgentId::new("nosuch"))).await;
    assert!(tokio::time::timeout(Duration::from_secs(60), framework.status()).await.is_err());
    framework.kill("t", Some(&agent)).await;
    let killing = framework.status().await;
    framework.acknowledge(&killing).await;
    let killed = framework.status().await;
    framework.acknowledge(&killed).await;
    assert_eq!((killing.state(), killed.state()), (TaskState::Killing, TaskState::Killed));

    framework.kill("t", None).await;
    let unknown = framework.status().await;
    assert_eq!(brief(&unknown), (TaskState::Unknown, Source::Master, Reason::Reconciliation, false));
    framework.kill("t", Some(&agent)).await;
    assert_eq!(framework.status().await.state(), TaskState::Gone);
    assert!(world.machine.alive().is_empty());
}

#[tokio::test(start_paused = true)]
async fn reconciliation_tells_what_the_master_knows() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let agent = framework.run("t").await.agent_id.unwrap();
    let elsewhere = AgentId::new("nosuch-S7");
    let told = [
        ("t", Some(&agent), TaskState::Running, "Reconciliation: Latest task state"),
        ("t", None, TaskState::Running, "Reconciliation: Latest task state"),
        ("t", Some(&elsewhere), TaskState::Running, "Reconciliation: Latest task state"),
        ("never", Some(&agent), TaskState::Gone, "Reconciliation: Task is unknown to the agent"),
        ("never", None, TaskState::Unknown, "Reconciliation: Task is unknown"),
        ("never", Some(&elsewhere), TaskState::Unknown, "Reconciliation: Task is unknown"),
    ];
    for (task, agent, state, message) in told {
        framework.reconcile(&[(task, agent)]).await;
        let status = framework.status().await;
        assert_eq!((status.state(), status.message()), (state, message), "{task} {agent:?}");
        assert_eq!(brief(&status), (state, Source::Master, Reason::Reconciliation, false));
    }
    framework.reconcile(&[]).await;
    assert_eq!(framework.status().await.task_id, TaskId::new("t"));
}

#[tokio::test(start_paused = true)]
async fn simulated_tasks_hang_flap_start_late_and_are_felled_by_hand() {
    let seconds = Duration::from_secs;
    let mut world = World::new(Machine::new(move |task| match task.name.as_str() {
        "hangs" => Fate::Hang,
        "flaps" => Fate::Flap { every: seconds(30) },
        "late" => Fate::Slowly { after: seconds(100), then: Box::new(Fate::RunForever) },
        _ => Fate::RunForever,
    }));
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offers = framework.offers().await;
    let ids = ["hangs", "flaps", "late", "felled"];
    let tasks = ids.map(|id| task(id, &offers[0], "cpus:0.1;mem:16"));
    framework.accept(&offers, tasks.to_vec()).await;
    let (begun, mut states) = (Instant::now(), Vec::new());
    while begun.elapsed() < seconds(150) {
        if let Ok(status) = tokio::time::timeout(seconds(10), framework.status()).await {
            framework.acknowledge(&status).await;
            states.push((status.task_id.value.clone(), status.state(), status.healthy));
        } else {
            world.machine.fell(&TaskId::new("felled"));
        }
    }
    let of = |id: &str| -> Vec<_> {
        states.iter().filter(|(of, ..)| of == id).map(|(_, state, healthy)| (*state, *healthy)).collect()
    };
    assert_eq!(of("hangs"), [(TaskState::Starting, None)]);
    assert_eq!(of("late"), [(TaskState::Starting, None), (TaskState::Running, None)]);
    let end = of("felled").last().copied();
    assert_eq!(end, Some((TaskState::Failed, None)));
    let turns: Vec<_> = of("flaps").into_iter().filter_map(|(_, healthy)| healthy).collect();
    assert!(turns.starts_with(&[true, false, true, false]), "{turns:?}");
}

#[tokio::test(start_paused = true)]
async fn reconciliation_goes_on_until_every_task_was_told_of_once() {
    let mut world = World::new(Machine::reliable());
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let ids = ["a", "b", "c", "d"];
    for id in ids {
        framework.run(id).await;
    }
    framework.reconcile(&[]).await;
    let mut told = Vec::new();
    for _ in ids {
        told.push(framework.status().await.task_id.value);
    }
    assert_eq!(told, ids);
    assert!(tokio::time::timeout(Duration::from_secs(60), framework.status()).await.is_err());
}
