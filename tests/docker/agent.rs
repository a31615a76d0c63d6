//! The agent's side of a launcher: launches tasks and waits for their reports.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use tenure::env::Env;
use tenure::executor::logs::{LogLimits, LogQuery, Stream, TaskLogs};
use tenure::executor::{LauncherConfig, LocalLauncher};
use tenure::mesos::embedded::launcher::{Adopted, Launch, Launcher, Reports, reports};
use tenure::mesos::wire::{
    AgentId, CommandInfo, ContainerInfo, ContainerType, DockerInfo, DockerNetwork, DockerParameter,
    FrameworkId, Labels, PortMapping, Resource, Scalar, TaskId, TaskInfo, TaskState, TaskStatus, ValueType,
};

use crate::dockerd::BUSYBOX;

/// Far more than anything here takes, and less than the test runner's patience.
const PATIENCE: Duration = Duration::from_secs(60);

/// One agent with its launcher, until it crashes.
pub(crate) struct Agent {
    pub(crate) launcher: LocalLauncher,
    pub(crate) env: Env,
    reports: Reports,
    /// Reports of tasks that nobody asked about yet.
    kept: VecDeque<TaskStatus>,
}

/// What outlives an agent's process: its installation and its folder.
pub(crate) struct Installation {
    pub(crate) uid: String,
    pub(crate) docker_host: String,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) logs: LogLimits,
}

impl Installation {
    pub(crate) fn new(docker_host: &str) -> Installation {
        let uid = Env::system().unwrap().uid();
        let logs = LogLimits::default();
        Installation { uid, docker_host: docker_host.to_owned(), dir: tempfile::tempdir().unwrap(), logs }
    }

    /// The process starts, for the first time or again.
    pub(crate) fn agent(&self) -> Agent {
        // A simulated node in real time: its crash ends everything of it at once, as kill -9 does.
        let env = Env::simulated("agent", 1, "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let config = LauncherConfig {
            installation: self.uid.clone(),
            docker_host: self.docker_host.clone(),
            process_dir: self.dir.path().join("tasks"),
            shim: env!("CARGO_BIN_EXE_tenure").into(),
            logs: self.logs,
            sandbox: None,
        };
        let (sink, reports) = reports();
        Agent { launcher: LocalLauncher::new(env.clone(), config, sink), env, reports, kept: VecDeque::new() }
    }
}

impl Agent {
    /// The next report of this task that has one of the states; others of it are passed over.
    pub(crate) async fn until(&mut self, id: &str, wanted: &[TaskState]) -> TaskStatus {
        self.matching(id, |status| wanted.contains(&status.state())).await
    }

    /// The next report of this task that satisfies `wanted`. A terminal one that does not is a failure.
    pub(crate) async fn matching(&mut self, id: &str, wanted: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
        let waiting = async {
            loop {
                let status = self.next(id).await;
                if wanted(&status) {
                    return status;
                }
                assert!(!status.state().is_terminal(), "ended too early: {status:?}");
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no such report of {id}"))
    }

    async fn next(&mut self, id: &str) -> TaskStatus {
        if let Some(at) = self.kept.iter().position(|status| status.task_id.value == id) {
            return self.kept.remove(at).unwrap();
        }
        loop {
            let report = self.reports.recv().await.expect("the launcher lives");
            let status = report.into_status().expect("there are no executors");
            if status.task_id.value == id {
                return status;
            }
            self.kept.push_back(status);
        }
    }

    pub(crate) async fn running(&mut self, id: &str) -> TaskStatus {
        self.until(id, &[TaskState::Running]).await
    }

    pub(crate) async fn ended(&mut self, id: &str) -> TaskStatus {
        self.matching(id, |status| status.state().is_terminal()).await
    }

    /// Launches and waits for the end.
    pub(crate) async fn run(&mut self, launch: Launch) -> TaskStatus {
        let id = launch.task_id().value.clone();
        self.launcher.launch(launch).await;
        self.ended(&id).await
    }

    /// Whether this task has no report waiting.
    pub(crate) fn is_quiet(&mut self, id: &str) -> bool {
        while let Ok(report) = self.reports.try_recv() {
            self.kept.extend(report.into_status());
        }
        self.kept.iter().all(|status| status.task_id.value != id)
    }

    pub(crate) async fn adopt(&self, tasks: &[Launch]) -> Vec<Adopted> {
        self.launcher.adopt(tasks).await.unwrap()
    }

    pub(crate) async fn sweep(&self, owned: &[&str]) -> Vec<String> {
        let owned: BTreeSet<TaskId> = owned.iter().map(|id| TaskId::new(*id)).collect();
        self.launcher.sweep(&owned).await.unwrap()
    }

    /// All that a task wrote to one stream.
    pub(crate) async fn output(&self, id: &str, stream: Stream, tail_lines: Option<u64>) -> String {
        use futures::TryStreamExt;
        let query = LogQuery { stream, tail_lines, follow: false };
        let output = TaskLogs::new(self.launcher.clone()).read(&TaskId::new(id), query).await.unwrap();
        let pieces: Vec<_> = output.try_collect().await.unwrap();
        String::from_utf8(pieces.concat()).unwrap()
    }
}

/// A description of a task.
pub(crate) struct Described(Launch);

/// A shell line in a busybox container on no network.
pub(crate) fn container(id: &str, line: &str) -> Described {
    let docker = DockerInfo {
        image: BUSYBOX.to_owned(),
        network: DockerNetwork::None.wire(),
        ..DockerInfo::default()
    };
    let container = ContainerInfo {
        r#type: ContainerType::Docker.wire(),
        docker: Some(docker),
        ..ContainerInfo::default()
    };
    process(id, line).change(|task| task.container = Some(container))
}

/// A shell line as a plain process.
pub(crate) fn process(id: &str, line: &str) -> Described {
    let labels: Labels = [("tenure.dev/app", "web"), ("tenure.dev/revision", "1")].into_iter().collect();
    let task = TaskInfo {
        name: "web".to_owned(),
        task_id: TaskId::new(id),
        agent_id: AgentId::new("agent-1"),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        command: Some(CommandInfo { value: Some(line.to_owned()), ..CommandInfo::default() }),
        labels: Some(labels),
        ..TaskInfo::default()
    };
    Described(Launch {
        framework_id: FrameworkId::new("framework-1"),
        agent_id: AgentId::new("agent-1"),
        task,
        environment: [("GREETING".to_owned(), "hello".to_owned())].into(),
    })
}

fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: ValueType::Scalar.wire(),
        scalar: Some(Scalar { value }),
        ..Resource::default()
    }
}

impl Described {
    pub(crate) fn change(mut self, change: impl FnOnce(&mut TaskInfo)) -> Described {
        change(&mut self.0.task);
        self
    }

    fn docker(self, change: impl FnOnce(&mut DockerInfo)) -> Described {
        self.change(|task| change(task.container.as_mut().unwrap().docker.as_mut().unwrap()))
    }

    pub(crate) fn image(self, image: &str) -> Described {
        self.docker(|docker| docker.image = image.to_owned())
    }

    /// On the bridge, with one port of the container published.
    pub(crate) fn published(self, host_port: u16, container_port: u16) -> Described {
        let mapping = PortMapping {
            host_port: host_port.into(),
            container_port: container_port.into(),
            protocol: None,
        };
        self.bridge().docker(|docker| docker.port_mappings.push(mapping))
    }

    pub(crate) fn bridge(self) -> Described {
        self.docker(|docker| docker.network = DockerNetwork::Bridge.wire())
    }

    pub(crate) fn parameter(self, key: &str, value: &str) -> Described {
        let parameter = DockerParameter { key: key.to_owned(), value: value.to_owned() };
        self.docker(|docker| docker.parameters.push(parameter))
    }

    pub(crate) fn launch(&self) -> Launch {
        self.0.clone()
    }
}
