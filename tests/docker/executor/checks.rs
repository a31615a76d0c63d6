//! Checks on real containers and processes.

use tenure::mesos::embedded::launcher::Launcher;
use tenure::mesos::wire::task::{CheckInfo, HttpCheck, TcpCheck};
use tenure::mesos::wire::{CheckType, CommandInfo, HealthCheck, Reason, TaskInfo};

use crate::agent::{Installation, container, process};
use crate::dockerd::{Dockerd, free_port};

/// Quick, and two failures are enough.
fn health(kind: CheckType) -> HealthCheck {
    HealthCheck {
        r#type: kind.wire(),
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.1),
        timeout_seconds: Some(5.0),
        grace_period_seconds: Some(30.0),
        consecutive_failures: Some(2),
        ..HealthCheck::default()
    }
}

fn http(task: &mut TaskInfo, port: u16, path: &str) {
    let http = HttpCheck { port: port.into(), path: Some(path.to_owned()), ..HttpCheck::default() };
    task.health_check = Some(HealthCheck { http: Some(http), ..health(CheckType::Http) });
}

#[tokio::test]
async fn a_web_server_in_a_container_becomes_healthy_and_unhealthy() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let mut agent = Installation::new(dockerd.host()).agent();
    let serve = "mkdir /www && echo ok > /www/health && httpd -p 80 -h /www && sleep 1 && rm /www/health && sleep 600";
    let web = container("t.web", serve).bridge().change(|task| http(task, 80, "/health"));
    agent.launcher.launch(web.launch()).await;
    assert_eq!(agent.running("t.web").await.healthy, None, "nothing is known before the first result");
    let healthy = agent.matching("t.web", |status| status.healthy.is_some()).await;
    assert_eq!((healthy.healthy, healthy.reason()), (Some(true), Reason::TaskHealthCheckStatusUpdated));
    let unhealthy = agent.matching("t.web", |status| status.healthy == Some(false)).await;
    assert_eq!(unhealthy.message(), "HTTP status 404");
    assert!(unhealthy.container_status.is_some(), "every report repeats the container");
    agent.sweep(&[]).await;
}

#[tokio::test]
async fn commands_are_run_in_the_container() {
    let dockerd = Dockerd::start();
    dockerd.busybox().await;
    let mut agent = Installation::new(dockerd.host()).agent();
    let command = |line: &str| Some(CommandInfo { value: Some(line.to_owned()), ..CommandInfo::default() });
    let ready = container("t.ready", "sleep 0.5; touch /tmp/ready; sleep 600").change(|task| {
        task.health_check =
            Some(HealthCheck { command: command("test -e /tmp/ready"), ..health(CheckType::Command) });
    });
    agent.launcher.launch(ready.launch()).await;
    let healthy = agent.matching("t.ready", |status| status.healthy.is_some()).await;
    assert_eq!(healthy.healthy, Some(true), "failures in grace are no verdict");

    let hangs = container("t.hangs", "sleep 600").change(|task| {
        task.health_check = Some(HealthCheck {
            command: command("sleep 599"),
            timeout_seconds: Some(0.2),
            grace_period_seconds: Some(0.0),
            ..health(CheckType::Command)
        });
    });
    agent.launcher.launch(hangs.launch()).await;
    let unhealthy = agent.matching("t.hangs", |status| status.healthy.is_some()).await;
    assert_eq!((unhealthy.healthy, unhealthy.message()), (Some(false), "no result within 200ms"));
    agent.sweep(&[]).await;
}

#[tokio::test]
async fn a_process_is_checked_by_tcp_and_its_readiness_by_http() {
    let mut agent = Installation::new("unix:///nonexistent/docker.sock").agent();
    let port = free_port();
    let serve = format!(
        "sleep 0.3; mkdir www; echo ok > www/ready; exec busybox httpd -f -p 127.0.0.1:{port} -h www"
    );
    let web = process("t.web", &serve).change(|task| {
        let tcp = Some(TcpCheck { port: port.into() });
        task.health_check = Some(HealthCheck { tcp, ..health(CheckType::Tcp) });
        task.check = Some(CheckInfo {
            r#type: CheckType::Http.wire(),
            http: Some(HttpCheck {
                port: port.into(),
                path: Some("/ready".to_owned()),
                ..HttpCheck::default()
            }),
            delay_seconds: Some(0.0),
            interval_seconds: Some(0.1),
            ..CheckInfo::default()
        });
    });
    agent.launcher.launch(web.launch()).await;
    let both =
        agent.matching("t.web", |status| status.healthy.is_some() && status.check_status.is_some()).await;
    assert_eq!(both.healthy, Some(true));
    assert_eq!(both.check_status.unwrap().http.unwrap().status_code, Some(200));
    agent.launcher.kill(&both.task_id, std::time::Duration::ZERO).await;
    agent.ended("t.web").await;
}
