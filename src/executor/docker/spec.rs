//! Turns a [`Task`] into the exact request that makes its container. Pure: equal tasks give equal requests.
//!
//! Limits are Mesos's: `cpus` become a weight (1024 shares a cpu, at least 2), so an idle machine lends what nobody
//! uses; a hard limit is asked for with the parameter `cpus` or `cpu-quota`. Memory is a limit (at least 32 MiB)
//! without swap on top, which Docker would otherwise grant once more. Docker never restarts a container behind
//! Tenure's back, and an init process reaps zombies and passes signals on, so that a shell as the container's first
//! process stops when told to (parameter `init=false` leaves it out).

use std::collections::BTreeMap;

use bollard::models::{
    ContainerCreateBody, DeviceRequest, EndpointIpamConfig, EndpointSettings, HostConfig,
    HostConfigLogConfig, Mount, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig,
    NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};

use super::params;
use crate::executor::logs::LogLimits;
use crate::executor::task::{Command, Container, Network, Resources, Task, Volume, VolumeSource};
use crate::mesos::wire::TaskId;

/// The label that holds the task id; monitoring agents of the Mesos world look for it.
pub const TASK_ID_LABEL: &str = "MESOS_TASK_ID";

const MIB: f64 = 1024.0 * 1024.0;
/// Mesos's floor; Docker refuses below 6 MiB.
const MEMORY_MIN_MIB: f64 = 32.0;

/// Why a task cannot become a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("unknown docker parameter {key}{}", nearest(key, known))]
    UnknownParameter { key: String, known: &'static [&'static str] },
    #[error("docker parameter {key} is refused: {reason}")]
    RefusedParameter { key: String, reason: &'static str },
    #[error("docker parameter {key}={value}: wanted {allowed}")]
    BadParameter { key: String, value: String, allowed: &'static str },
    #[error("port mappings need network bridge or a named network, not {network}")]
    PortsWithoutNetwork { network: String },
    #[error("hostname {hostname} cannot be set with network host")]
    HostnameOnHostNetwork { hostname: String },
    #[error(
        "volume host path {path} is relative: give an absolute path, or a named volume by the docker parameter volume"
    )]
    RelativeHostPath { path: String },
    #[error("volume container path {path} is relative: give an absolute path")]
    RelativeContainerPath { path: String },
    #[error("{gpus} gpus: Docker gives out whole gpus only")]
    FractionalGpus { gpus: String },
    #[error("docker parameters network-alias and ip need a named network, not {network}")]
    AliasWithoutNetwork { network: String },
}

fn nearest(key: &str, known: &[&str]) -> String {
    let close = known.iter().filter(|k| k.len() > 1).find(|k| key.starts_with(**k) || k.starts_with(key));
    match close {
        Some(name) => format!("; did you mean {name}?"),
        None => format!(" (known: {})", known.join(", ")),
    }
}

/// The name of a task's container: a function of the task id, so that a second launch finds the first. It never begins with
/// `mesos-`: a Mesos agent on the same machine kills such containers when it does not know them.
#[must_use]
pub fn container_name(id: &TaskId) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
    format!("tenure-{}", id.value.chars().map(clean).collect::<String>())
}

/// The request that makes the container of `task`.
///
/// # Errors
/// When the task asks for what Docker, or Tenure, does not allow.
pub fn create_request(
    task: &Task,
    container: &Container,
    logs: LogLimits,
) -> Result<ContainerCreateBody, SpecError> {
    let mut body = ContainerCreateBody {
        image: Some(container.image.clone()),
        env: Some(environment(task)),
        labels: Some(labels(task).into_iter().collect()),
        hostname: container.hostname.clone(),
        host_config: Some(host_config(task, container, logs)?),
        ..ContainerCreateBody::default()
    };
    command(&task.command, &mut body);
    publish(container, &mut body);
    let mut network = params::Network::default();
    for (key, value) in &container.parameters {
        params::apply(key, value, &mut body, &mut network)?;
    }
    join_network(container, network, &mut body)?;
    drop_foreign_log_limits(&mut body);
    check_hostname(&body)?;
    Ok(body)
}

fn environment(task: &Task) -> Vec<String> {
    let mut env = task.env.clone();
    env.insert("MESOS_TASK_ID".to_owned(), task.id.to_string());
    env.insert("MESOS_CONTAINER_NAME".to_owned(), container_name(&task.id));
    env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn labels(task: &Task) -> BTreeMap<String, String> {
    let mut labels = task.labels.clone();
    labels.insert(TASK_ID_LABEL.to_owned(), task.id.to_string());
    labels
}

fn command(command: &Command, body: &mut ContainerCreateBody) {
    match command {
        Command::Image => {}
        Command::Shell(line) => {
            body.entrypoint = Some(vec!["/bin/sh".to_owned()]);
            body.cmd = Some(vec!["-c".to_owned(), line.clone()]);
        }
        Command::Args(args) => body.cmd = Some(args.clone()),
    }
}

fn host_config(task: &Task, container: &Container, logs: LogLimits) -> Result<HostConfig, SpecError> {
    let (binds, mounts) = volumes(&container.volumes)?;
    let memory = memory_bytes(task.resources);
    Ok(HostConfig {
        cpu_shares: cpu_shares(task.resources),
        memory,
        memory_swap: memory,
        device_requests: gpus(task.resources)?,
        privileged: container.privileged.then_some(true),
        binds,
        mounts,
        init: Some(true),
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(logs.docker_options().into_iter().collect()),
        }),
        ..HostConfig::default()
    })
}

#[expect(clippy::cast_possible_truncation, reason = "cpus of a machine: far below 2^53 shares")]
fn cpu_shares(resources: Resources) -> Option<i64> {
    (resources.cpus > 0.0).then(|| ((resources.cpus * 1024.0).floor() as i64).max(2))
}

#[expect(clippy::cast_possible_truncation, reason = "memory of a machine: far below 2^53 bytes")]
fn memory_bytes(resources: Resources) -> Option<i64> {
    (resources.memory_mib > 0.0).then(|| (resources.memory_mib.max(MEMORY_MIN_MIB) * MIB).floor() as i64)
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be a small whole number")]
fn gpus(resources: Resources) -> Result<Option<Vec<DeviceRequest>>, SpecError> {
    if resources.gpus <= 0.0 {
        return Ok(None);
    }
    if resources.gpus.fract() != 0.0 {
        return Err(SpecError::FractionalGpus { gpus: resources.gpus.to_string() });
    }
    let count = Some(resources.gpus as i64);
    Ok(Some(vec![DeviceRequest { count, ..params::gpu_request() }]))
}

type Mounted = (Option<Vec<String>>, Option<Vec<Mount>>);

fn volumes(volumes: &[Volume]) -> Result<Mounted, SpecError> {
    let (mut binds, mut mounts) = (Vec::new(), Vec::new());
    for volume in volumes {
        if !volume.container_path.starts_with('/') {
            return Err(SpecError::RelativeContainerPath { path: volume.container_path.clone() });
        }
        match &volume.source {
            VolumeSource::HostPath(path) if !path.starts_with('/') => {
                return Err(SpecError::RelativeHostPath { path: path.clone() });
            }
            // A path with a colon cannot be written as a bind; a bind, unlike a mount, makes a missing folder.
            VolumeSource::HostPath(path) if path.contains(':') || volume.container_path.contains(':') => {
                mounts.push(mount(MountType::BIND, path, volume));
            }
            VolumeSource::HostPath(path) => {
                let mode = if volume.read_only { "ro" } else { "rw" };
                binds.push(format!("{path}:{}:{mode}", volume.container_path));
            }
            VolumeSource::Driver { driver, name, options } => {
                let config = MountVolumeOptionsDriverConfig {
                    name: Some(driver.clone()),
                    options: Some(options.clone().into_iter().collect()),
                };
                let volume_options =
                    Some(MountVolumeOptions { driver_config: Some(config), ..Default::default() });
                mounts.push(Mount { volume_options, ..mount(MountType::VOLUME, name, volume) });
            }
        }
    }
    Ok(((!binds.is_empty()).then_some(binds), (!mounts.is_empty()).then_some(mounts)))
}

fn mount(typ: MountType, source: &str, volume: &Volume) -> Mount {
    Mount {
        typ: Some(typ),
        source: Some(source.to_owned()),
        target: Some(volume.container_path.clone()),
        read_only: Some(volume.read_only),
        ..Mount::default()
    }
}

/// `udp,tcp` opens the port for both, as Marathon's users write it.
fn publish(container: &Container, body: &mut ContainerCreateBody) {
    for mapping in &container.ports {
        for protocol in mapping.protocol.split(',') {
            let port = format!("{}/{protocol}", mapping.container_port);
            let exposed = body.exposed_ports.get_or_insert_default();
            if !exposed.contains(&port) {
                exposed.push(port.clone());
            }
            let host = body.host_config.get_or_insert_default();
            let binding = PortBinding { host_ip: None, host_port: Some(mapping.host_port.to_string()) };
            let bindings = host.port_bindings.get_or_insert_default();
            bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
}

fn join_network(
    container: &Container,
    asked: params::Network,
    body: &mut ContainerCreateBody,
) -> Result<(), SpecError> {
    let mode = asked.mode.unwrap_or_else(|| container.network.mode().to_owned());
    let host = body.host_config.get_or_insert_default();
    if matches!(mode.as_str(), "host" | "none") && host.port_bindings.as_ref().is_some_and(|p| !p.is_empty())
    {
        return Err(SpecError::PortsWithoutNetwork { network: mode });
    }
    if !asked.aliases.is_empty() || asked.ip.is_some() {
        if !is_named(&mode) {
            return Err(SpecError::AliasWithoutNetwork { network: mode });
        }
        let ipam_config =
            asked.ip.map(|ip| EndpointIpamConfig { ipv4_address: Some(ip), ..Default::default() });
        let aliases = (!asked.aliases.is_empty()).then_some(asked.aliases);
        let endpoint = EndpointSettings { aliases, ipam_config, ..Default::default() };
        let endpoints_config = Some([(mode.clone(), endpoint)].into_iter().collect());
        body.networking_config = Some(NetworkingConfig { endpoints_config });
    }
    host.network_mode = Some(mode);
    Ok(())
}

fn is_named(mode: &str) -> bool {
    !matches!(mode, "host" | "bridge" | "none" | "default") && !mode.starts_with("container:")
}

/// The size limits are options of `json-file` and `local`; any other driver would refuse them.
fn drop_foreign_log_limits(body: &mut ContainerCreateBody) {
    let Some(log) = body.host_config.as_mut().and_then(|host| host.log_config.as_mut()) else { return };
    if !matches!(log.typ.as_deref(), Some("json-file" | "local"))
        && let Some(options) = log.config.as_mut()
    {
        options.remove("max-size");
        options.remove("max-file");
    }
}

fn check_hostname(body: &ContainerCreateBody) -> Result<(), SpecError> {
    let mode = body.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
    match (&body.hostname, mode) {
        (Some(hostname), Some("host")) => {
            Err(SpecError::HostnameOnHostNetwork { hostname: hostname.clone() })
        }
        _ => Ok(()),
    }
}

/// Which network the container will have, with a parameter `net` or `network` taken into account.
#[must_use]
pub fn effective_network(container: &Container) -> Network {
    let asked = container.parameters.iter().rev().find(|(key, _)| key == "net" || key == "network");
    match asked.map(|(_, mode)| mode.as_str()) {
        None => container.network.clone(),
        Some("host") => Network::Host,
        Some("bridge" | "default") => Network::Bridge,
        Some("none") => Network::None,
        Some(name) => Network::Named(name.to_owned()),
    }
}

#[cfg(test)]
#[path = "spec_test.rs"]
mod tests;
