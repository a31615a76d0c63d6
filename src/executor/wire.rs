//! A task as the cluster describes it, read into the executor's words. What the executor cannot do is refused here, by
//! name, before anything is started.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::executor::checks::{Check, Probe, Rules};
use crate::executor::task::{
    Command, Container, Network, PortMapping, PullPolicy, RegistryLogin, Resources, Task, Volume,
    VolumeSource,
};
use crate::mesos::launcher::Launch;
use crate::mesos::wire::task::HttpCheck;
use crate::mesos::wire::{
    CheckInfo, CheckType, CommandInfo, ContainerInfo, ContainerType, DockerInfo, DockerNetwork, HealthCheck,
    Resource, TaskData, TaskInfo, VolumeMode,
};

/// Mesos's executor shutdown grace period.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Why a description cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    #[error("{field} is not supported by this executor: {instead}")]
    Unsupported { field: &'static str, instead: &'static str },
    #[error("{field} is missing")]
    Missing { field: &'static str },
    #[error("{field} is {value}: wanted {allowed}")]
    Bad { field: &'static str, value: String, allowed: &'static str },
}

use DescriptionError::{Bad, Missing, Unsupported};

/// What `launch` asks for.
///
/// # Errors
/// Names the field that cannot be run.
pub fn task(launch: &Launch) -> Result<Task, DescriptionError> {
    let info = &launch.task;
    let data = TaskData::decode(info.data.as_deref()).map_err(|error| Bad {
        field: "data",
        value: error.to_string(),
        allowed: "Tenure's task data",
    })?;
    let container = info.container.as_ref().map(|container| of_container(container, &data)).transpose()?;
    let command = info.command.clone().or_else(|| data.command.clone()).unwrap_or_default();
    refuse_unbuilt(info, &command)?;
    Ok(Task {
        id: info.task_id.clone(),
        labels: labels(info),
        env: environment(launch, &command)?,
        command: of_command(&command, container.is_some()),
        resources: resources(&info.resources),
        container,
        fetch: command.uris.clone(),
        health: info
            .health_check
            .iter()
            .chain(&data.health_checks)
            .map(of_health)
            .collect::<Result<_, _>>()?,
        readiness: info.check.iter().chain(&data.checks).map(of_check).collect::<Result<_, _>>()?,
        kill_grace: info
            .kill_policy
            .and_then(|policy| policy.grace_period)
            .map_or(KILL_GRACE, |g| g.duration()),
    })
}

fn refuse_unbuilt(info: &TaskInfo, command: &CommandInfo) -> Result<(), DescriptionError> {
    let refuse = |condition, field, instead| {
        if condition { Err(Unsupported { field, instead }) } else { Ok(()) }
    };
    refuse(info.executor.is_some(), "executor", "leave it out; the agent runs the command itself")?;
    refuse(info.max_completion_time.is_some(), "max_completion_time", "it is not built yet")?;
    let user = command.user.is_some() && info.container.is_none();
    refuse(user, "command.user", "a plain process runs as the agent's user")
}

fn labels(info: &TaskInfo) -> BTreeMap<String, String> {
    let labels = info.labels.iter().flat_map(|labels| &labels.labels);
    labels.map(|label| (label.key.clone(), label.value.clone().unwrap_or_default())).collect()
}

fn environment(launch: &Launch, command: &CommandInfo) -> Result<BTreeMap<String, String>, DescriptionError> {
    let mut env = launch.environment.clone();
    for variable in command.environment.iter().flat_map(|env| &env.variables) {
        let secret = variable.secret.as_ref().and_then(|secret| secret.value.as_ref());
        let value = match (&variable.value, secret) {
            (Some(value), _) => value.clone(),
            (None, Some(secret)) => String::from_utf8_lossy(&secret.data).into_owned(),
            (None, None) if variable.secret.is_some() => {
                let instead = "secrets are resolved before a task is sent";
                return Err(Unsupported { field: "command.environment.variables.secret.reference", instead });
            }
            (None, None) => String::new(),
        };
        env.insert(variable.name.clone(), value);
    }
    Ok(env)
}

/// Mesos's rules: with `shell` (its default) a line for the shell; without, `value` is the executable of a process, whose
/// `arguments` begin with its own name; in a container both follow the image's entry point.
fn of_command(command: &CommandInfo, in_container: bool) -> Command {
    let mut value = command.value.iter().filter(|value| !value.is_empty());
    if command.shell.unwrap_or(true) {
        return value.next().cloned().map_or(Command::Image, Command::Shell);
    }
    let skip_own_name = usize::from(!in_container && command.value.is_some());
    let args: Vec<String> = value.chain(command.arguments.iter().skip(skip_own_name)).cloned().collect();
    if args.is_empty() { Command::Image } else { Command::Args(args) }
}

fn resources(resources: &[Resource]) -> Resources {
    // Several of one name are parts of one amount: reserved and not, for instance.
    let sum = |name: &str| -> f64 {
        resources.iter().filter(|r| r.name == name).filter_map(|r| r.scalar).map(|s| s.value).sum()
    };
    Resources { cpus: sum("cpus"), memory_mib: sum("mem"), gpus: sum("gpus") }
}

fn of_container(container: &ContainerInfo, data: &TaskData) -> Result<Container, DescriptionError> {
    if container.r#type() == ContainerType::Mesos {
        return Err(Unsupported { field: "container.type MESOS", instead: "use type DOCKER" });
    }
    let docker = container.docker.as_ref().ok_or(Missing { field: "container.docker" })?;
    if docker.image.is_empty() {
        return Err(Missing { field: "container.docker.image" });
    }
    Ok(Container {
        image: docker.image.clone(),
        pull: pull_policy(docker, data),
        registry_login: data.registry_login.as_ref().map(registry_login),
        network: network(container, docker)?,
        hostname: container.hostname.clone(),
        privileged: docker.privileged.unwrap_or(false),
        ports: docker.port_mappings.iter().map(port_mapping).collect::<Result<_, _>>()?,
        volumes: container.volumes.iter().map(volume).collect::<Result<_, _>>()?,
        parameters: docker.parameters.iter().map(|p| (p.key.clone(), p.value.clone())).collect(),
    })
}

fn registry_login(login: &crate::mesos::wire::RegistryLogin) -> RegistryLogin {
    let crate::mesos::wire::RegistryLogin { username, password, server } = login.clone();
    RegistryLogin { username, password, server }
}

fn pull_policy(docker: &DockerInfo, data: &TaskData) -> PullPolicy {
    match (docker.force_pull_image, data.never_pull) {
        (Some(true), _) => PullPolicy::Always,
        (_, true) => PullPolicy::Never,
        _ => PullPolicy::IfNotPresent,
    }
}

fn network(container: &ContainerInfo, docker: &DockerInfo) -> Result<Network, DescriptionError> {
    Ok(match docker.network() {
        DockerNetwork::Bridge => Network::Bridge,
        DockerNetwork::None => Network::None,
        DockerNetwork::User => {
            let name = container.network_infos.first().and_then(|network| network.name.clone());
            Network::Named(name.ok_or(Missing { field: "container.network_infos[0].name" })?)
        }
        DockerNetwork::Host | DockerNetwork::Unrecognised => Network::Host,
    })
}

fn port_mapping(mapping: &crate::mesos::wire::PortMapping) -> Result<PortMapping, DescriptionError> {
    Ok(PortMapping {
        host_port: port("port_mappings.host_port", mapping.host_port)?,
        container_port: port("port_mappings.container_port", mapping.container_port)?,
        protocol: mapping.protocol.clone().unwrap_or_else(|| "tcp".to_owned()),
    })
}

fn port(field: &'static str, number: u32) -> Result<u16, DescriptionError> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| Bad { field, value: number.to_string(), allowed: "a port from 1 to 65535" })
}

fn volume(volume: &crate::mesos::wire::Volume) -> Result<Volume, DescriptionError> {
    let source = volume.source.as_ref();
    let driven = source.and_then(|source| source.docker_volume.as_ref());
    let host_path = source.and_then(|source| source.host_path.as_ref()).map(|host| &host.path);
    let source = match (&volume.host_path, driven, host_path) {
        (Some(path), _, _) | (None, _, Some(path)) => VolumeSource::HostPath(path.clone()),
        (None, Some(docker), _) => VolumeSource::Driver {
            driver: docker.driver.clone().unwrap_or_else(|| "local".to_owned()),
            name: docker.name.clone(),
            options: docker
                .driver_options
                .iter()
                .flat_map(|options| &options.parameter)
                .map(|option| (option.key.clone(), option.value.clone()))
                .collect(),
        },
        (None, None, None) => {
            let instead = "a volume needs a host path or a Docker volume";
            return Err(Unsupported { field: "container.volumes.source", instead });
        }
    };
    let read_only = volume.mode() == VolumeMode::Ro;
    Ok(Volume { container_path: volume.container_path.clone(), source, read_only })
}

fn of_health(check: &HealthCheck) -> Result<Check, DescriptionError> {
    let probe = match check.r#type() {
        CheckType::Http => http(check.http.as_ref().ok_or(Missing { field: "health_check.http" })?)?,
        CheckType::Tcp => {
            let tcp = check.tcp.as_ref().ok_or(Missing { field: "health_check.tcp" })?;
            Probe::Tcp { port: port("health_check.tcp.port", tcp.port)? }
        }
        CheckType::Command => {
            let command = check.command.as_ref().ok_or(Missing { field: "health_check.command" })?;
            Probe::Command { argv: check_argv(command)? }
        }
        CheckType::Unknown | CheckType::Unrecognised => return Err(Missing { field: "health_check.type" }),
    };
    Ok(Check {
        probe,
        delay: seconds("health_check.delay_seconds", check.delay_seconds())?,
        interval: seconds("health_check.interval_seconds", check.interval_seconds())?,
        timeout: seconds("health_check.timeout_seconds", check.timeout_seconds())?,
        rules: Rules {
            grace: seconds("health_check.grace_period_seconds", check.grace_period_seconds())?,
            max_failures: check.consecutive_failures(),
        },
    })
}

/// A general check: whatever comes before the first success is no news, and after it every change is.
fn of_check(check: &CheckInfo) -> Result<Check, DescriptionError> {
    let probe = match check.r#type() {
        CheckType::Http => http(check.http.as_ref().ok_or(Missing { field: "check.http" })?)?,
        CheckType::Tcp => {
            let tcp = check.tcp.as_ref().ok_or(Missing { field: "check.tcp" })?;
            Probe::Tcp { port: port("check.tcp.port", tcp.port)? }
        }
        CheckType::Command => {
            let command = check.command.as_ref().and_then(|command| command.command.as_ref());
            Probe::Command { argv: check_argv(command.ok_or(Missing { field: "check.command" })?)? }
        }
        CheckType::Unknown | CheckType::Unrecognised => return Err(Missing { field: "check.type" }),
    };
    Ok(Check {
        probe,
        delay: seconds("check.delay_seconds", check.delay_seconds())?,
        interval: seconds("check.interval_seconds", check.interval_seconds())?,
        timeout: seconds("check.timeout_seconds", check.timeout_seconds())?,
        rules: Rules { grace: Duration::MAX, max_failures: 1 },
    })
}

fn http(check: &HttpCheck) -> Result<Probe, DescriptionError> {
    if let Some(scheme) = check.scheme.as_deref().filter(|scheme| *scheme != "http") {
        let allowed = "http (https checks are not built yet: use a tcp or command check)";
        return Err(Bad { field: "http.scheme", value: scheme.to_owned(), allowed });
    }
    let statuses = check.statuses.iter().filter_map(|status| u16::try_from(*status).ok()).collect();
    let path = check.path.clone().unwrap_or_else(|| "/".to_owned());
    Ok(Probe::Http { port: port("http.port", check.port)?, path, statuses })
}

fn check_argv(command: &CommandInfo) -> Result<Vec<String>, DescriptionError> {
    match of_command(command, false) {
        Command::Shell(line) => Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), line]),
        Command::Args(argv) => Ok(argv),
        Command::Image => Err(Missing { field: "the check's command" }),
    }
}

fn seconds(field: &'static str, value: f64) -> Result<Duration, DescriptionError> {
    Duration::try_from_secs_f64(value).map_err(|_| Bad {
        field,
        value: value.to_string(),
        allowed: "seconds, not negative",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(shell: Option<bool>, value: Option<&str>, arguments: &[&str]) -> CommandInfo {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        CommandInfo { shell, value: value.map(str::to_owned), arguments, ..CommandInfo::default() }
    }

    fn args(args: &[&str]) -> Command {
        Command::Args(args.iter().map(|&arg| arg.to_owned()).collect())
    }

    #[test]
    fn commands_are_read_by_mesos_rules() {
        let shell = || Command::Shell("a b".to_owned());
        let rows = [
            (command(None, Some("a b"), &[]), true, shell()),
            (command(Some(true), Some("a b"), &["ignored"]), false, shell()),
            (command(Some(false), Some("prog"), &["prog", "x"]), false, args(&["prog", "x"])),
            (command(Some(false), None, &["prog", "x"]), false, args(&["prog", "x"])),
            (command(Some(false), Some("a"), &["b"]), true, args(&["a", "b"])),
            (command(Some(false), None, &["b"]), true, args(&["b"])),
            (command(Some(false), None, &[]), true, Command::Image),
            (command(None, None, &[]), true, Command::Image),
        ];
        for (info, in_container, expected) in rows {
            assert_eq!(of_command(&info, in_container), expected, "{info:?}");
        }
    }

    fn check_of(change: impl FnOnce(&mut HealthCheck)) -> Result<Check, DescriptionError> {
        let http = HttpCheck { port: 80, path: Some("/health".to_owned()), ..HttpCheck::default() };
        let mut check =
            HealthCheck { r#type: CheckType::Http.wire(), http: Some(http), ..HealthCheck::default() };
        change(&mut check);
        of_health(&check)
    }

    #[test]
    fn health_checks_have_mesos_defaults_and_precise_errors() {
        let check = check_of(|_| {}).unwrap();
        assert_eq!((check.interval.as_secs(), check.timeout.as_secs(), check.delay.as_secs()), (10, 20, 15));
        assert_eq!((check.rules.grace.as_secs(), check.rules.max_failures), (10, 3));

        let negative = check_of(|check| check.interval_seconds = Some(-1.0)).unwrap_err();
        assert_eq!(negative.to_string(), "health_check.interval_seconds is -1: wanted seconds, not negative");
        let untyped = check_of(|check| check.r#type = None).unwrap_err();
        assert_eq!(untyped, Missing { field: "health_check.type" });
        let port = check_of(|check| check.http = Some(HttpCheck { port: 70_000, ..HttpCheck::default() }));
        assert_eq!(port.unwrap_err().to_string(), "http.port is 70000: wanted a port from 1 to 65535");
    }
}
