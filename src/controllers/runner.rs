//! Who runs tasks on the agents of a cluster: the agents themselves, or an executor of ours that they start for each task.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::api::{Containerizer, Template, names, validate};
use crate::mesos::wire::{
    AGENT_HOST, CommandInfo, ContainerInfo, ContainerType, DockerImage, Environment, ExecutorId,
    ExecutorInfo, ExecutorType, INSTALLATION, Image, ImageType, MesosInfo, RegistryLogin, SHARED_EXECUTOR,
    Secret, TaskData, TaskInfo, Uri,
};

/// The executor's name in the sandbox and to people.
const NAME: &str = "tenure-executor";
/// Beside a task's own grace when an agent shuts its executor down: to end it by force, and to tell.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(10);
/// How long an executor of many tasks has to end them all when its agent shuts it down.
const SHARED_GRACE: Duration = Duration::from_secs(60);

/// Who runs tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Runner {
    /// The agents of this process, with all checks.
    #[default]
    Embedded,
    /// `tenure-executor`, which the agents of Apache Mesos start: one for each task, or one for all tasks on an agent.
    Executor(Program, Share),
    /// What Apache Mesos brings along: its command executor and its Docker containerizer.
    Mesos,
}

/// Where agents have `tenure-executor` from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// They fetch it once and keep it: the name in the URI changes with the content.
    Fetched { uri: String },
    /// It is on each of them, at this path.
    Installed { path: String },
}

impl Program {
    /// From where it is fetched, if it is.
    #[must_use]
    pub(super) fn uri(&self) -> Option<&str> {
        match self {
            Program::Fetched { uri } => Some(uri),
            Program::Installed { .. } => None,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Program::Fetched { uri } => write!(f, "fetched from {uri}"),
            Program::Installed { path } => write!(f, "{path} on the agent"),
        }
    }
}

/// Which tasks have an executor in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Share {
    /// Each has its own.
    #[default]
    Task,
    /// All of one agent.
    Agent,
}

/// What an executor is told of where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whereabouts<'a> {
    /// The installation's uid.
    pub(super) installation: &'a str,
    /// The agent's host name, which its certificate names where it has one.
    pub(super) host: &'a str,
    /// The Mesos role whose resources the task takes: those of an executor's tasks are all of one.
    pub(super) role: &'a str,
    /// Whether the task may be ended at any time because some of what it takes is lent: its executor is ended with it.
    pub(super) is_lent: bool,
}

impl Runner {
    /// What `template` asks for and this one leaves undone, in words; nothing if it is all done. What a container asks for that names its
    /// containerizer is judged when its App is written.
    #[must_use]
    pub(super) fn left_undone(&self, template: &Template) -> Option<String> {
        if *self != Runner::Mesos {
            return None;
        }
        let undone = validate::left_undone_by_mesos(template);
        let undone: Vec<_> = undone.iter().map(|(path, what)| format!("{path}: {what}")).collect();
        (!undone.is_empty()).then(|| format!("{} with --mesos-executor off", undone.join(", ")))
    }

    /// The executor of ours that runs a task for which this containerizer is chosen, if one does.
    #[must_use]
    pub(super) fn program(&self, containerizer: Option<Containerizer>) -> Option<&Program> {
        match self {
            Runner::Executor(program, _) if containerizer.is_none() => Some(program),
            Runner::Executor(..) | Runner::Embedded | Runner::Mesos => None,
        }
    }

    /// The task as this one is told of it. `info` describes what to run; `data` what Mesos has no field for.
    #[must_use]
    pub(super) fn describe(
        &self,
        containerizer: Option<Containerizer>,
        at: Whereabouts<'_>,
        info: TaskInfo,
        data: TaskData,
    ) -> TaskInfo {
        match (self, containerizer) {
            (Runner::Executor(program, Share::Task), None) => by_executor(program, at, info, data),
            (Runner::Executor(program, Share::Agent), None) => {
                let data = TaskData { command: info.command, ..data }.encode();
                TaskInfo { executor: Some(for_all(program, at)), command: None, data, ..info }
            }
            (_, Some(Containerizer::Mesos)) => in_mesos_container(info, data.registry_login.as_ref()),
            (Runner::Mesos, _) | (Runner::Executor(..), Some(Containerizer::Docker)) => by_mesos(info),
            (Runner::Embedded, _) => TaskInfo { data: data.encode(), ..info },
        }
    }
}

/// A task has either a command or an executor: the command goes along in the data. The executor has no resources of its own: it
/// lives on its task's, of which the container, a child of dockerd, uses nothing in the agent's eyes.
fn by_executor(program: &Program, at: Whereabouts<'_>, mut info: TaskInfo, data: TaskData) -> TaskInfo {
    let mut command = info.command.take();
    // The executor's sandbox is the task's: agents fetch for both before they start it.
    let files = command.as_mut().map(|command| std::mem::take(&mut command.uris)).unwrap_or_default();
    let user = command.as_ref().and_then(|command| command.user.clone());
    let mut start = start(program, variables(at, Share::Task));
    start.user = user;
    start.uris.extend(files);
    let grace = info.kill_policy.and_then(|policy| policy.grace_period).map(|grace| grace.duration());
    let executor = ExecutorInfo {
        executor_id: ExecutorId::new(&info.task_id.value),
        r#type: ExecutorType::Custom.wire(),
        name: Some(NAME.to_owned()),
        command: Some(start),
        shutdown_grace_period: Some((grace.unwrap_or_default() + SHUTDOWN_MARGIN).into()),
        ..ExecutorInfo::default()
    };
    TaskInfo { executor: Some(executor), data: TaskData { command, ..data }.encode(), ..info }
}

/// The executor that all tasks of one agent and role share, those on lent resources by themselves: Mesos ends an executor to have such
/// back. It fetches for each what that wants, and ends when there was nothing to run for a
/// while.
fn for_all(program: &Program, at: Whereabouts<'_>) -> ExecutorInfo {
    let described = |host| {
        let variables = variables(Whereabouts { host, ..at }, Share::Agent);
        ExecutorInfo {
            r#type: ExecutorType::Custom.wire(),
            name: Some(NAME.to_owned()),
            command: Some(start(program, variables)),
            shutdown_grace_period: Some(SHARED_GRACE.into()),
            ..ExecutorInfo::default()
        }
    };
    // The same on all agents.
    let lent = if at.is_lent { " lent" } else { "" };
    let id = names::short_hash(format!("{:?} {}{lent}", described(""), at.role).as_bytes());
    ExecutorInfo { executor_id: ExecutorId::new(format!("{NAME}-{id}")), ..described(at.host) }
}

/// What the executor finds in its environment.
fn variables(at: Whereabouts<'_>, share: Share) -> Environment {
    let shared = (share == Share::Agent).then_some((SHARED_EXECUTOR, "1"));
    [(INSTALLATION, at.installation), (AGENT_HOST, at.host)].into_iter().chain(shared).collect()
}

fn start(program: &Program, environment: Environment) -> CommandInfo {
    let (uris, path) = match program {
        Program::Installed { path } => (Vec::new(), path.clone()),
        Program::Fetched { uri } => {
            let uri = Uri {
                value: uri.clone(),
                executable: Some(true),
                extract: Some(false),
                cache: Some(true),
                output_file: Some(NAME.to_owned()),
            };
            (vec![uri], format!("./{NAME}"))
        }
    };
    CommandInfo {
        uris,
        environment: Some(environment),
        shell: Some(false),
        value: Some(path.clone()),
        arguments: vec![path],
        ..CommandInfo::default()
    }
}

/// Mesos's Docker executor ends a task that has a general check.
fn by_mesos(info: TaskInfo) -> TaskInfo {
    if info.container.is_some() { TaskInfo { check: None, ..info } } else { info }
}

/// The image without Docker: Mesos's own containerizer unpacks it.
fn in_mesos_container(mut info: TaskInfo, login: Option<&RegistryLogin>) -> TaskInfo {
    let Some(container) = info.container.take() else { return info };
    let docker = container.docker.unwrap_or_default();
    let image = Image {
        r#type: ImageType::Docker.wire(),
        docker: Some(DockerImage { name: docker.image, config: login.map(client_config) }),
        cached: Some(docker.force_pull_image != Some(true)),
    };
    let container = ContainerInfo {
        r#type: ContainerType::Mesos.wire(),
        docker: None,
        mesos: Some(MesosInfo { image: Some(image) }),
        ..container
    };
    TaskInfo { container: Some(container), ..info }
}

/// A login as Mesos wants it: in a configuration of the Docker client, given and not named.
fn client_config(login: &RegistryLogin) -> Secret {
    let auth = STANDARD.encode(format!("{}:{}", login.username, login.password));
    let config = serde_json::json!({"auths": {&login.server: {"auth": auth}}});
    Secret::given(config.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::wire::{CheckInfo, DockerInfo, KillPolicy, TaskId};

    const AT: Whereabouts<'_> =
        Whereabouts { installation: "uid-1", host: "m7.example.org", role: "web", is_lent: false };

    fn info() -> TaskInfo {
        TaskInfo {
            task_id: TaskId::new("shop.web-1.0a1b2c3d"),
            command: Some(CommandInfo { value: Some("serve".to_owned()), ..CommandInfo::default() }),
            container: Some(ContainerInfo {
                r#type: ContainerType::Docker.wire(),
                docker: Some(DockerInfo { image: "web:1".to_owned(), ..DockerInfo::default() }),
                ..ContainerInfo::default()
            }),
            check: Some(CheckInfo::default()),
            kill_policy: Some(KillPolicy { grace_period: Some(Duration::from_secs(30).into()) }),
            ..TaskInfo::default()
        }
    }

    fn describe(runner: &Runner, containerizer: Option<Containerizer>) -> TaskInfo {
        runner.describe(containerizer, AT, info(), TaskData { never_pull: true, ..TaskData::default() })
    }

    #[test]
    fn an_executor_is_fetched_by_agents_and_has_the_command_in_its_data() {
        let uri = "http://10.0.0.1:7444/tenure-executor-0123".to_owned();
        let described = describe(&Runner::Executor(Program::Fetched { uri: uri.clone() }, Share::Task), None);
        let executor = described.executor.unwrap();
        assert_eq!(executor.executor_id.value, "shop.web-1.0a1b2c3d", "one executor per task");
        assert_eq!(executor.shutdown_grace_period.unwrap().duration(), Duration::from_secs(40));
        assert_eq!(executor.container, None, "the executor itself is in no container");
        let command = executor.command.unwrap();
        let told: Environment =
            [(INSTALLATION, "uid-1"), (AGENT_HOST, "m7.example.org")].into_iter().collect();
        assert_eq!(command.environment, Some(told));
        assert_eq!((command.value.as_deref(), command.shell), (Some("./tenure-executor"), Some(false)));
        let [fetched] = &command.uris[..] else { panic!("one URI: {:?}", command.uris) };
        assert_eq!((&fetched.value, fetched.executable, fetched.cache), (&uri, Some(true), Some(true)));
        assert_eq!(described.command, None, "Mesos refuses a task with both");
        let data = TaskData::decode(described.data.as_deref()).unwrap();
        assert_eq!((data.command, data.never_pull), (info().command, true));
        assert_eq!(described.container, info().container, "Mesos hands it on as it is");
    }

    #[test]
    fn what_a_task_wants_fetched_is_in_its_executors_sandbox() {
        let wanted = Uri { value: "http://10.0.0.9/assets.tgz".to_owned(), ..Uri::default() };
        let command = CommandInfo { uris: vec![wanted.clone()], ..info().command.unwrap() };
        let info = TaskInfo { command: Some(command), ..info() };
        let program = Program::Installed { path: "/opt/tenure-executor".to_owned() };
        let described = Runner::Executor(program, Share::Task).describe(None, AT, info, TaskData::default());
        assert_eq!(described.executor.unwrap().command.unwrap().uris, [wanted]);
        let data = TaskData::decode(described.data.as_deref()).unwrap();
        assert_eq!(data.command.unwrap().uris, [], "it is there when the executor starts");
    }

    #[test]
    fn an_installed_executor_is_not_fetched() {
        let path = "/opt/tenure-executor".to_owned();
        let described =
            describe(&Runner::Executor(Program::Installed { path: path.clone() }, Share::Task), None);
        let command = described.executor.unwrap().command.unwrap();
        assert_eq!(
            (command.uris.len(), command.value, command.arguments),
            (0, Some(path.clone()), vec![path])
        );
    }

    #[test]
    fn mesos_own_containerizers_get_a_command_and_nothing_that_they_do_not_know() {
        let runner = Runner::Executor(Program::Installed { path: "/x".to_owned() }, Share::Task);
        for described in [describe(&runner, Some(Containerizer::Docker)), describe(&Runner::Mesos, None)] {
            assert_eq!((described.executor, described.data, described.check), (None, None, None));
            assert_eq!((described.command, described.container), (info().command, info().container));
        }
        let described = describe(&runner, Some(Containerizer::Mesos));
        let container = described.container.unwrap();
        assert_eq!((container.r#type(), container.docker), (ContainerType::Mesos, None));
        let image = container.mesos.unwrap().image.unwrap();
        assert_eq!((image.docker.unwrap().name.as_str(), image.cached), ("web:1", Some(true)));
        assert!(described.check.is_some());
    }

    #[test]
    fn mesos_pulls_with_the_login_of_the_registry() {
        let login = RegistryLogin {
            username: "u".to_owned(),
            password: "p:w".to_owned(),
            server: "r:5000".to_owned(),
        };
        let data = TaskData { registry_login: Some(login), ..TaskData::default() };
        let described = Runner::Mesos.describe(Some(Containerizer::Mesos), AT, info(), data);
        let image = described.container.unwrap().mesos.unwrap().image.unwrap();
        let config = image.docker.unwrap().config.unwrap().value.unwrap().data;
        assert_eq!(String::from_utf8(config).unwrap(), r#"{"auths":{"r:5000":{"auth":"dTpwOnc="}}}"#);
        assert_eq!(described.data, None, "Mesos's own executor has no use for it");
    }

    #[test]
    fn without_an_executor_of_ours_what_mesos_leaves_undone_is_told() {
        let template = |spec: serde_json::Value| serde_json::from_value::<Template>(spec).unwrap();
        let check = serde_json::json!({"http": {}});
        let image = serde_json::json!({"image": "web", "pullPolicy": "Never"});
        let ready = template(serde_json::json!({"container": image, "readinessChecks": [check]}));
        let words = "spec.container.pullPolicy: an image that is absent is always pulled, spec.readinessChecks: none is run \
             with --mesos-executor off";
        assert_eq!(Runner::Mesos.left_undone(&ready).as_deref(), Some(words));
        let program = Program::Installed { path: "/x".to_owned() };
        for runner in [Runner::Embedded, Runner::Executor(program, Share::Task)] {
            assert_eq!(runner.left_undone(&ready), None, "{runner:?}");
        }
        let command = |checks: &[_]| {
            template(serde_json::json!({"cmd": "a", "healthChecks": [check], "readinessChecks": checks}))
        };
        let one = command(std::slice::from_ref(&check));
        assert_eq!(Runner::Mesos.left_undone(&one), None, "Mesos's command executor runs one of each");
        let two = command(&[check.clone(), check.clone()]);
        let words = "spec.readinessChecks: only one is run with --mesos-executor off";
        assert_eq!(Runner::Mesos.left_undone(&two).as_deref(), Some(words));
    }

    #[test]
    fn an_executor_of_many_is_described_alike_for_all_tasks_and_fetches_for_them() {
        let program = Program::Installed { path: "/x".to_owned() };
        let runner = Runner::Executor(program.clone(), Share::Agent);
        let wanted = Uri { value: "http://a/b".to_owned(), ..Uri::default() };
        let mut one = info();
        one.command.as_mut().unwrap().uris = vec![wanted.clone()];
        let other = TaskInfo { task_id: TaskId::new("shop.db-1.0a1b"), kill_policy: None, ..info() };
        let describe = |runner: &Runner, info, at| runner.describe(None, at, info, TaskData::default());
        let (one, other) = (describe(&runner, one, AT), describe(&runner, other, AT));
        assert_eq!(one.executor, other.executor);
        let executor = one.executor.unwrap();
        assert!(executor.executor_id.value.starts_with("tenure-executor-"), "{}", executor.executor_id);
        assert_eq!((executor.command.unwrap().uris, one.command), (vec![], None));
        let data = TaskData::decode(one.data.as_deref()).unwrap();
        assert_eq!(data.command.unwrap().uris, [wanted]);

        let id = |it: TaskInfo| it.executor.unwrap().executor_id;
        let elsewhere = Runner::Executor(Program::Installed { path: "/y".to_owned() }, Share::Agent);
        let stranger = Whereabouts { installation: "v", ..AT };
        assert_ne!(id(describe(&elsewhere, info(), AT)), executor.executor_id, "another program");
        assert_ne!(id(describe(&runner, info(), stranger)), executor.executor_id, "another installation");
        let batch = Whereabouts { role: "batch", ..AT };
        assert_ne!(id(describe(&runner, info(), batch)), executor.executor_id, "another role");
        let lent = Whereabouts { is_lent: true, ..AT };
        assert_ne!(id(describe(&runner, info(), lent)), executor.executor_id, "ended for other reasons");
        let neighbour = Whereabouts { host: "m8", ..AT };
        assert_eq!(id(describe(&runner, info(), neighbour)), executor.executor_id, "the same on each agent");
    }

    #[test]
    fn embedded_agents_get_all_at_once() {
        let described = describe(&Runner::Embedded, None);
        assert!(described.command.is_some() && described.executor.is_none() && described.data.is_some());
    }
}
