//! Turns a bound Task, its Revision and the Secrets it refers to into the TaskInfo that is launched. Pure: golden texts
//! test it.

use std::collections::BTreeMap;

use super::runner::{Runner, Whereabouts};
use super::secrets::{SecretError, Secrets};
use crate::api::{
    Binding, CheckPort, Container, EnvVar, ExecCheck, Fetch, HealthCheck, Network, Port, Protocol,
    PullPolicy, ReadinessCheck, Revision, Span, Task, Template, VolumeMode, labels,
};
use crate::mesos::wire;
use crate::plan::environment::environment;

/// Everything that a TaskInfo is made of.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The installation's uid, a label of all that it starts.
    pub installation: &'a str,
    pub runner: &'a Runner,
    pub task: &'a Task,
    pub revision: &'a Revision,
    /// Those of the task's namespace.
    pub secrets: &'a Secrets,
    /// What was cut from the offers for this task.
    pub resources: &'a [wire::Resource],
}

/// Why a task cannot be described to an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    #[error("the task is not bound to an offer")]
    Unbound,
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The TaskInfo of a bound task.
///
/// # Errors
/// When the task is not bound, or refers to a Secret that cannot be read.
pub fn task_info(launch: Launch<'_>) -> Result<wire::TaskInfo, LaunchError> {
    let Launch { installation, runner, task, revision, secrets, resources } = launch;
    let binding = task.spec.binding.as_ref().ok_or(LaunchError::Unbound)?;
    let template = &revision.spec.template;
    let ports = task_ports(template, binding);
    let environment = variables(task, template, secrets)?;
    let info = wire::TaskInfo {
        name: format!("{}.{}", task.spec.app, task.metadata.namespace.as_deref().unwrap_or_default()),
        task_id: wire::TaskId::new(&binding.mesos_task_id),
        agent_id: wire::AgentId::new(&binding.agent_id),
        resources: resources.to_vec(),
        command: Some(command(template, environment)),
        container: template.container.as_ref().map(|c| container(c, &ports)),
        health_check: template.health_checks.first().map(|check| health_check(check, &ports)),
        check: template.readiness_checks.first().map(|check| readiness_check(check, &ports)),
        labels: Some(task_labels(installation, task, revision)),
        discovery: Some(discovery(task, template, &ports)),
        kill_policy: Some(wire::KillPolicy {
            grace_period: Some(template.kill.grace_period.duration().into()),
        }),
        ..wire::TaskInfo::default()
    };
    let containerizer = template.container.as_ref().and_then(|container| container.containerizer);
    let data = task_data(template, &ports, secrets)?;
    let role = resources.iter().find_map(|it| it.allocation_info.as_ref()?.role.as_deref());
    let is_lent = resources.iter().any(|it| it.revocable.is_some());
    let at = Whereabouts { installation, host: &binding.host, role: role.unwrap_or_default(), is_lent };
    Ok(runner.describe(containerizer, at, info, data))
}

/// A task's ports as it meets them: one entry per port of the template, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TaskPort<'a> {
    port: &'a Port,
    /// On the agent; `None` where none was asked for.
    host: Option<u16>,
    /// What the task listens at: in its own network the container's port, else the agent's.
    listens: u16,
}

/// The ports of a bound task.
fn task_ports<'a>(template: &'a Template, binding: &Binding) -> Vec<TaskPort<'a>> {
    let on_host = template.network() == Network::Host;
    let bound = binding.ports.iter().copied().chain(std::iter::repeat(0));
    let of = |(port, bound): (&'a Port, u16)| {
        let host = (bound != 0).then_some(bound);
        let inside = port.fixed_container_port().filter(|_| !on_host);
        TaskPort { port, host, listens: inside.or(host).unwrap_or(0) }
    };
    template.ports.iter().zip(bound).map(of).collect()
}

/// What Tenure tells a task, then what its template says, which wins.
fn variables(
    task: &Task,
    template: &Template,
    secrets: &Secrets,
) -> Result<BTreeMap<String, String>, SecretError> {
    let mut variables = environment(task, template);
    for EnvVar { name, value, value_from } in &template.env {
        let value = match value_from {
            Some(source) => secrets.value(&source.secret_key_ref)?,
            None => value.clone().unwrap_or_default(),
        };
        variables.insert(name.clone(), value);
    }
    Ok(variables)
}

/// What Mesos has no field for.
fn task_data(
    template: &Template,
    ports: &[TaskPort<'_>],
    secrets: &Secrets,
) -> Result<wire::TaskData, SecretError> {
    let container = template.container.as_ref();
    let login = container.and_then(|c| Some((c.pull_secret.as_ref()?, &c.image)));
    Ok(wire::TaskData {
        command: None,
        never_pull: container.is_some_and(|c| c.pull_policy == PullPolicy::Never),
        registry_login: login.map(|(secret, image)| secrets.registry_login(secret, image)).transpose()?,
        health_checks: template
            .health_checks
            .iter()
            .skip(1)
            .map(|check| health_check(check, ports))
            .collect(),
        checks: template.readiness_checks.iter().skip(1).map(|check| readiness_check(check, ports)).collect(),
    })
}

/// The most of an App's labels that go along to Mesos, whose master holds them for each task: how many, and of how many bytes.
const LABELS: (usize, usize) = (64, 4096);

/// The labels of the Task's App, for balancers and monitoring that read Mesos's state: the first by name where they are too many.
fn app_labels(task: &Task) -> impl Iterator<Item = (&str, &str)> {
    let theirs = task.metadata.labels.iter().flatten();
    let theirs = theirs.filter(|(name, _)| !name.starts_with(labels::PREFIX));
    let bounded = theirs.take(LABELS.0).scan(0, |bytes, (name, value)| {
        *bytes += name.len() + value.len();
        (*bytes <= LABELS.1).then_some((name.as_str(), value.as_str()))
    });
    bounded.fuse()
}

/// What every container and Mesos task carries, so that it can be told whose it is; then the App's own.
fn task_labels(installation: &str, task: &Task, revision: &Revision) -> wire::Labels {
    [
        (labels::INSTALLATION, installation),
        (labels::NAMESPACE, task.metadata.namespace.as_deref().unwrap_or_default()),
        (labels::APP, &task.spec.app),
        (labels::TASK, task.metadata.name.as_deref().unwrap_or_default()),
        (labels::REVISION, &revision.spec.hash),
    ]
    .into_iter()
    .chain(app_labels(task))
    .collect()
}

fn command(template: &Template, environment: BTreeMap<String, String>) -> wire::CommandInfo {
    let mut arguments = template.args.clone();
    // A process has no entry point: its first argument is the program.
    let program = match &template.container {
        None if template.cmd.is_none() => arguments.first().cloned(),
        _ => None,
    };
    if template.cmd.is_some() {
        arguments.clear();
    }
    wire::CommandInfo {
        environment: Some(environment.into_iter().collect()),
        shell: Some(template.cmd.is_some()),
        value: template.cmd.clone().or(program),
        arguments,
        uris: template.fetch.iter().map(uri).collect(),
        ..wire::CommandInfo::default()
    }
}

fn uri(file: &Fetch) -> wire::Uri {
    wire::Uri {
        value: file.uri.clone(),
        executable: Some(file.executable),
        extract: Some(file.extract),
        cache: Some(file.cache),
        output_file: file.output_file.clone(),
    }
}

fn container(container: &Container, ports: &[TaskPort<'_>]) -> wire::ContainerInfo {
    let network_infos = match container.network() {
        Network::Named(name) => vec![wire::NetworkInfo { name: Some(name.to_owned()), ..Default::default() }],
        Network::Host | Network::Bridge | Network::None => Vec::new(),
    };
    wire::ContainerInfo {
        r#type: wire::ContainerType::Docker.wire(),
        volumes: container.volumes.iter().map(volume).collect(),
        docker: Some(docker(container, ports)),
        network_infos,
        ..wire::ContainerInfo::default()
    }
}

fn docker(container: &Container, ports: &[TaskPort<'_>]) -> wire::DockerInfo {
    let (network, published) = match container.network() {
        Network::Host => (wire::DockerNetwork::Host, false),
        Network::Bridge => (wire::DockerNetwork::Bridge, true),
        Network::None => (wire::DockerNetwork::None, false),
        Network::Named(_) => (wire::DockerNetwork::User, true),
    };
    let parameters = container.parameters.iter();
    wire::DockerInfo {
        image: container.image.clone(),
        network: network.wire(),
        port_mappings: ports.iter().filter(|_| published).filter_map(port_mapping).collect(),
        privileged: Some(container.privileged),
        parameters: parameters
            .map(|p| wire::DockerParameter { key: p.key.clone(), value: p.value.clone() })
            .collect(),
        force_pull_image: Some(container.pull_policy == PullPolicy::Always),
    }
}

fn port_mapping(port: &TaskPort<'_>) -> Option<wire::PortMapping> {
    Some(wire::PortMapping {
        host_port: port.host?.into(),
        container_port: port.listens.into(),
        protocol: Some(protocol(port).to_owned()),
    })
}

fn protocol(port: &TaskPort<'_>) -> &'static str {
    match port.port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn volume(volume: &crate::api::Volume) -> wire::Volume {
    let mode = match volume.mode {
        VolumeMode::ReadWrite => wire::VolumeMode::Rw,
        VolumeMode::ReadOnly => wire::VolumeMode::Ro,
    };
    wire::Volume {
        container_path: volume.container_path.clone(),
        host_path: Some(volume.host_path.clone()),
        mode: mode.wire(),
        ..wire::Volume::default()
    }
}

/// The number that a check connects to; without a port of that name or any, 0, which validation has refused.
fn check_port(port: Option<&CheckPort>, ports: &[TaskPort<'_>]) -> u32 {
    let found = match port {
        Some(CheckPort::Number(number)) => return u32::from(*number),
        Some(CheckPort::Name(name)) => ports.iter().find(|p| p.port.name.as_ref() == Some(name)),
        None => ports.first(),
    };
    found.map_or(0, |p| p.listens.into())
}

fn health_check(check: &HealthCheck, ports: &[TaskPort<'_>]) -> wire::HealthCheck {
    let kind = match check {
        HealthCheck { http: Some(_), .. } => wire::CheckType::Http,
        HealthCheck { tcp: Some(_), .. } => wire::CheckType::Tcp,
        _ => wire::CheckType::Command,
    };
    wire::HealthCheck {
        r#type: kind.wire(),
        http: check.http.as_ref().map(|http| wire::task::HttpCheck {
            port: check_port(http.port.as_ref(), ports),
            path: Some(http.path.clone()),
            ..Default::default()
        }),
        tcp: check
            .tcp
            .as_ref()
            .map(|tcp| wire::task::TcpCheck { port: check_port(tcp.port.as_ref(), ports) }),
        command: check.exec.as_ref().map(exec),
        delay_seconds: Some(0.0),
        interval_seconds: seconds(check.interval),
        timeout_seconds: seconds(check.timeout),
        grace_period_seconds: seconds(check.grace_period),
        consecutive_failures: Some(check.max_consecutive_failures),
    }
}

fn readiness_check(check: &ReadinessCheck, ports: &[TaskPort<'_>]) -> wire::CheckInfo {
    wire::CheckInfo {
        r#type: wire::CheckType::Http.wire(),
        http: Some(wire::task::HttpCheck {
            port: check_port(check.http.port.as_ref(), ports),
            path: Some(check.http.path.clone()),
            statuses: check.status_codes.iter().map(|code| u32::from(*code)).collect(),
            ..Default::default()
        }),
        delay_seconds: Some(0.0),
        interval_seconds: seconds(check.interval),
        timeout_seconds: seconds(check.timeout),
        ..wire::CheckInfo::default()
    }
}

fn exec(check: &ExecCheck) -> wire::CommandInfo {
    wire::CommandInfo {
        shell: Some(false),
        value: check.command.first().cloned(),
        arguments: check.command.clone(),
        ..wire::CommandInfo::default()
    }
}

fn seconds(span: Span) -> Option<f64> {
    Some(span.duration().as_secs_f64())
}

/// Readers find the ports at the address that the task's status tells: the agent's, or on a user's network the container's. Labels say
/// which, in the words of Marathon.
fn discovery(task: &Task, template: &Template, ports: &[TaskPort<'_>]) -> wire::DiscoveryInfo {
    let network = match template.network() {
        Network::Named(name) => Some(name),
        Network::Host | Network::Bridge | Network::None => None,
    };
    let port = |p: &TaskPort<'_>| {
        let host = p.host.filter(|_| network.is_none());
        let scope = if host.is_some() { "host" } else { "container" };
        let labels = std::iter::once(("network-scope", scope));
        wire::task::Port {
            number: host.unwrap_or(p.listens).into(),
            name: p.port.name.clone(),
            protocol: Some(protocol(p).to_owned()),
            labels: Some(labels.chain(network.map(|name| ("network-name", name))).collect()),
            ..Default::default()
        }
    };
    let namespace = task.metadata.namespace.as_deref().unwrap_or_default();
    wire::DiscoveryInfo {
        visibility: wire::Visibility::Framework.wire(),
        name: Some(format!("{}.{namespace}", task.spec.app)),
        ports: Some(wire::task::Ports { ports: ports.iter().map(port).collect() }),
        ..wire::DiscoveryInfo::default()
    }
}

#[cfg(test)]
#[path = "task_info_test.rs"]
mod tests;
