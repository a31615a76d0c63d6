//! `docker run` options as App parameters: each key becomes the field of the create request that the `docker` CLI
//! would have set. Unknown keys and malformed values are errors that say what is allowed.

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigLogConfig, Mount, MountType,
    PortBinding, ResourcesUlimits, ThrottleDevice,
};

use super::spec::SpecError;
use crate::mesos::wire::docker_options::{KNOWN, REFUSED};

/// What cannot be written into the create request before all parameters are read.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) mode: Option<String>,
    pub(super) aliases: Vec<String>,
    pub(super) ip: Option<String>,
}

/// One parameter being read: gives its errors their subject.
struct Param<'a> {
    key: &'a str,
    value: &'a str,
}

/// Writes one parameter into `body` or `network`.
///
/// # Errors
/// Names the key, the value and what is allowed.
pub(super) fn apply(
    key: &str,
    value: &str,
    body: &mut ContainerCreateBody,
    network: &mut Network,
) -> Result<(), SpecError> {
    let param = Param { key, value };
    let mut host = body.host_config.take().unwrap_or_default();
    let known = of_container(&param, body)?
        || of_network(&param, &mut host, network)?
        || of_resources(&param, &mut host)?
        || of_storage(&param, body, &mut host)?
        || of_isolation(&param, &mut host)?;
    body.host_config = Some(host);
    if known {
        return Ok(());
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
        return Err(SpecError::RefusedParameter { key: key.to_owned(), reason });
    }
    Err(SpecError::UnknownParameter { key: key.to_owned(), known: KNOWN })
}

fn of_container(param: &Param<'_>, body: &mut ContainerCreateBody) -> Result<bool, SpecError> {
    let text = || Some(param.value.to_owned());
    match param.key {
        "hostname" | "h" => body.hostname = text(),
        "domainname" => body.domainname = text(),
        "user" | "u" => body.user = text(),
        "workdir" | "w" => body.working_dir = text(),
        "entrypoint" => body.entrypoint = Some(vec![param.value.to_owned()]),
        "stop-signal" => body.stop_signal = text(),
        "stop-timeout" => body.stop_timeout = Some(param.number()?),
        "env" | "e" => push(&mut body.env, param.value.to_owned()),
        "label" | "l" => {
            let (name, value) = param.value.split_once('=').unwrap_or((param.value, ""));
            body.labels.get_or_insert_default().insert(name.to_owned(), value.to_owned());
        }
        "expose" => push(&mut body.exposed_ports, port_and_protocol(param.value)),
        _ => return Ok(false),
    }
    Ok(true)
}

fn of_network(param: &Param<'_>, host: &mut HostConfig, network: &mut Network) -> Result<bool, SpecError> {
    match param.key {
        "net" | "network" => network.mode = Some(param.value.to_owned()),
        "network-alias" => network.aliases.push(param.value.to_owned()),
        "ip" => network.ip = Some(param.value.to_owned()),
        "add-host" => push(&mut host.extra_hosts, param.value.to_owned()),
        "dns" => push(&mut host.dns, param.value.to_owned()),
        "dns-search" => push(&mut host.dns_search, param.value.to_owned()),
        "dns-opt" | "dns-option" => push(&mut host.dns_options, param.value.to_owned()),
        "link" => push(&mut host.links, param.value.to_owned()),
        "publish" | "p" => publish(param, host)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn of_resources(param: &Param<'_>, host: &mut HostConfig) -> Result<bool, SpecError> {
    match param.key {
        "cpus" => host.nano_cpus = Some(param.nano_cpus()?),
        "cpu-shares" => host.cpu_shares = Some(param.number()?),
        "cpu-quota" => host.cpu_quota = Some(param.number()?),
        "cpu-period" => host.cpu_period = Some(param.number()?),
        "cpuset-cpus" => host.cpuset_cpus = Some(param.value.to_owned()),
        "cpuset-mems" => host.cpuset_mems = Some(param.value.to_owned()),
        "memory-swap" => host.memory_swap = Some(param.bytes_or_minus_one()?),
        "memory-reservation" => host.memory_reservation = Some(param.bytes()?),
        "memory-swappiness" => host.memory_swappiness = Some(param.number()?),
        "oom-kill-disable" => host.oom_kill_disable = Some(param.flag()?),
        "oom-score-adj" => host.oom_score_adj = Some(param.number()?),
        "pids-limit" => host.pids_limit = Some(param.number()?),
        "shm-size" => host.shm_size = Some(param.bytes()?),
        "blkio-weight" => host.blkio_weight = Some(param.number()?),
        "ulimit" => push(&mut host.ulimits, param.ulimit()?),
        "gpus" => push(&mut host.device_requests, param.gpus()?),
        "device-read-bps" => push(&mut host.blkio_device_read_bps, param.throttle(Param::bytes)?),
        "device-write-bps" => push(&mut host.blkio_device_write_bps, param.throttle(Param::bytes)?),
        "device-read-iops" => push(&mut host.blkio_device_read_iops, param.throttle(Param::number)?),
        "device-write-iops" => push(&mut host.blkio_device_write_iops, param.throttle(Param::number)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn of_storage(
    param: &Param<'_>,
    body: &mut ContainerCreateBody,
    host: &mut HostConfig,
) -> Result<bool, SpecError> {
    match param.key {
        // A volume's name may hold `=` and `,` (drivers take options in it): Docker itself splits only at `:`.
        "volume" | "v" if param.value.contains(':') => push(&mut host.binds, param.value.to_owned()),
        "volume" | "v" => push(&mut body.volumes, param.value.to_owned()),
        "volume-driver" => match &host.volume_driver {
            Some(other) if other != param.value => {
                return Err(param.bad("one driver for all volumes of a container"));
            }
            _ => host.volume_driver = Some(param.value.to_owned()),
        },
        "volumes-from" => push(&mut host.volumes_from, param.value.to_owned()),
        "mount" => push(&mut host.mounts, param.mount()?),
        "tmpfs" => {
            let (path, options) = param.value.split_once(':').unwrap_or((param.value, ""));
            host.tmpfs.get_or_insert_default().insert(path.to_owned(), options.to_owned());
        }
        "storage-opt" => insert(&mut host.storage_opt, param.pair()?),
        "log-driver" => log_config(host).typ = Some(param.value.to_owned()),
        "log-opt" => insert(&mut log_config(host).config, param.pair()?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn of_isolation(param: &Param<'_>, host: &mut HostConfig) -> Result<bool, SpecError> {
    let text = || Some(param.value.to_owned());
    match param.key {
        "privileged" => host.privileged = Some(param.flag()?),
        "read-only" => host.readonly_rootfs = Some(param.flag()?),
        "init" => host.init = Some(param.flag()?),
        "pid" => host.pid_mode = text(),
        "ipc" => host.ipc_mode = text(),
        "uts" => host.uts_mode = text(),
        "userns" => host.userns_mode = text(),
        "runtime" => host.runtime = text(),
        "cgroup-parent" => host.cgroup_parent = text(),
        "cap-add" => push(&mut host.cap_add, param.value.to_owned()),
        "cap-drop" => push(&mut host.cap_drop, param.value.to_owned()),
        "security-opt" => push(&mut host.security_opt, param.value.to_owned()),
        "group-add" => push(&mut host.group_add, param.value.to_owned()),
        "sysctl" => insert(&mut host.sysctls, param.pair()?),
        "device" => push(&mut host.devices, param.device()),
        _ => return Ok(false),
    }
    Ok(true)
}

fn push<T>(list: &mut Option<Vec<T>>, item: T) {
    list.get_or_insert_default().push(item);
}

fn insert<M: Default + Extend<(String, String)>>(map: &mut Option<M>, pair: (String, String)) {
    map.get_or_insert_default().extend([pair]);
}

/// The log options; choosing another driver drops the limits that were meant for `json-file`.
fn log_config(host: &mut HostConfig) -> &mut HostConfigLogConfig {
    host.log_config.get_or_insert_default()
}

fn port_and_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// `[ip:]hostPort:containerPort[/protocol]`. Ports without a host port would be chosen by Docker, unseen by placement.
fn publish(param: &Param<'_>, host: &mut HostConfig) -> Result<(), SpecError> {
    let allowed = "[ip:]hostPort:containerPort[/protocol], with both ports";
    let (hosts, container) = param.value.rsplit_once(':').ok_or_else(|| param.bad(allowed))?;
    let (ip, port) = match hosts.rsplit_once(':') {
        Some((ip, port)) => (Some(ip.trim_matches(['[', ']']).to_owned()), port),
        None => (None, hosts),
    };
    port.parse::<u16>().map_err(|_| param.bad(allowed))?;
    let binding = PortBinding { host_ip: ip, host_port: Some(port.to_owned()) };
    let bindings = host.port_bindings.get_or_insert_default();
    bindings.entry(port_and_protocol(container)).or_default().get_or_insert_default().push(binding);
    Ok(())
}

impl Param<'_> {
    fn bad(&self, allowed: &'static str) -> SpecError {
        SpecError::BadParameter { key: self.key.to_owned(), value: self.value.to_owned(), allowed }
    }

    fn number<T: std::str::FromStr>(&self) -> Result<T, SpecError> {
        self.value.parse().map_err(|_| self.bad("a whole number"))
    }

    /// `docker run --init` without a value means true; a parameter may leave the value empty.
    fn flag(&self) -> Result<bool, SpecError> {
        match self.value {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.bad("true or false")),
        }
    }

    fn bytes(&self) -> Result<i64, SpecError> {
        parse_bytes(self.value).ok_or_else(|| self.bad("bytes as a number with b, k, m or g"))
    }

    fn bytes_or_minus_one(&self) -> Result<i64, SpecError> {
        if self.value == "-1" { Ok(-1) } else { self.bytes() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "checked to be a positive, small number")]
    fn nano_cpus(&self) -> Result<i64, SpecError> {
        match self.value.parse::<f64>() {
            Ok(cpus) if cpus > 0.0 && cpus < 1e6 => Ok((cpus * 1e9).round() as i64),
            _ => Err(self.bad("a positive number of cpus, such as 1.5")),
        }
    }

    fn pair(&self) -> Result<(String, String), SpecError> {
        let pair = self.value.split_once('=').ok_or_else(|| self.bad("name=value"))?;
        Ok((pair.0.to_owned(), pair.1.to_owned()))
    }

    fn ulimit(&self) -> Result<ResourcesUlimits, SpecError> {
        let allowed = "name=soft[:hard], numbers";
        let (name, limits) = self.pair().map_err(|_| self.bad(allowed))?;
        let (soft, hard) = limits.split_once(':').unwrap_or((&limits, &limits));
        let number = |text: &str| text.parse::<i64>().map_err(|_| self.bad(allowed));
        Ok(ResourcesUlimits { name: Some(name), soft: Some(number(soft)?), hard: Some(number(hard)?) })
    }

    fn gpus(&self) -> Result<DeviceRequest, SpecError> {
        let allowed = "all, a number, or device=ID[,ID...]";
        if let Some(ids) = self.value.strip_prefix("device=") {
            let ids = ids.split(',').map(str::to_owned).collect();
            return Ok(DeviceRequest { device_ids: Some(ids), ..gpu_request() });
        }
        let count = match self.value {
            "all" => -1,
            number => number.parse().map_err(|_| self.bad(allowed))?,
        };
        Ok(DeviceRequest { count: Some(count), ..gpu_request() })
    }

    fn throttle(&self, rate: fn(&Self) -> Result<i64, SpecError>) -> Result<ThrottleDevice, SpecError> {
        let (path, limit) = self.value.rsplit_once(':').ok_or_else(|| self.bad("device:rate"))?;
        let rate = rate(&Param { key: self.key, value: limit })?;
        Ok(ThrottleDevice { path: Some(path.to_owned()), rate: Some(rate) })
    }

    fn device(&self) -> DeviceMapping {
        let mut parts = self.value.splitn(3, ':');
        let on_host = parts.next().unwrap_or_default().to_owned();
        let inside = parts.next().map_or_else(|| on_host.clone(), str::to_owned);
        DeviceMapping {
            path_on_host: Some(on_host),
            path_in_container: Some(inside),
            cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()),
        }
    }

    fn mount(&self) -> Result<Mount, SpecError> {
        let allowed = "type=bind|volume|tmpfs,source=...,target=...[,readonly]";
        let mut mount = Mount { typ: Some(MountType::VOLUME), ..Mount::default() };
        for field in self.value.split(',') {
            let (name, value) = field.split_once('=').unwrap_or((field, "true"));
            match (name, value) {
                ("type", "bind") => mount.typ = Some(MountType::BIND),
                ("type", "volume") => mount.typ = Some(MountType::VOLUME),
                ("type", "tmpfs") => mount.typ = Some(MountType::TMPFS),
                ("source" | "src", source) => mount.source = Some(source.to_owned()),
                ("target" | "dst" | "destination", target) => mount.target = Some(target.to_owned()),
                ("readonly" | "ro", flag) => mount.read_only = Some(flag != "false" && flag != "0"),
                _ => return Err(self.bad(allowed)),
            }
        }
        if mount.target.is_none() { Err(self.bad(allowed)) } else { Ok(mount) }
    }
}

/// What `--gpus` asks for, before the count.
pub(super) fn gpu_request() -> DeviceRequest {
    DeviceRequest { capabilities: Some(vec![vec!["gpu".to_owned()]]), ..DeviceRequest::default() }
}

/// Docker's sizes: `512m`, `1g`, `64kb`, plain bytes.
fn parse_bytes(text: &str) -> Option<i64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: i64 = match &text[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return None,
    };
    digits.parse::<i64>().ok().filter(|n| *n >= 0)?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(key: &str, value: &str) -> Result<serde_json::Value, SpecError> {
        let (mut body, mut network) = (ContainerCreateBody::default(), Network::default());
        apply(key, value, &mut body, &mut network)?;
        Ok(serde_json::to_value(body).unwrap())
    }

    #[test]
    fn parameters_become_the_fields_that_the_cli_sets() {
        let rows = [
            ("volume-driver", "rexray", r#"{"VolumeDriver":"rexray"}"#),
            ("volume", "size=1,repl=3,name=db:/var/lib", r#"{"Binds":["size=1,repl=3,name=db:/var/lib"]}"#),
            ("shm-size", "64m", r#"{"ShmSize":67108864}"#),
            ("cpus", "1.5", r#"{"NanoCpus":1500000000}"#),
            ("ulimit", "nofile=64:128", r#"{"Ulimits":[{"Name":"nofile","Soft":64,"Hard":128}]}"#),
            ("init", "false", r#"{"Init":false}"#),
            (
                "publish",
                "127.0.0.1:80:8080",
                r#"{"PortBindings":{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"80"}]}}"#,
            ),
            ("sysctl", "net.core.somaxconn=9", r#"{"Sysctls":{"net.core.somaxconn":"9"}}"#),
            ("memory-swap", "-1", r#"{"MemorySwap":-1}"#),
            ("tmpfs", "/run:size=1m", r#"{"Tmpfs":{"/run":"size=1m"}}"#),
            ("log-opt", "tag=x", r#"{"LogConfig":{"Config":{"tag":"x"}}}"#),
        ];
        for (key, value, expected) in rows {
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(applied(key, value).unwrap()["HostConfig"], expected, "{key}={value}");
        }
    }

    #[test]
    fn refused_unknown_and_malformed_parameters_say_what_is_allowed() {
        let rows = [
            (
                "restart",
                "always",
                "docker parameter restart is refused: Tenure itself decides about restarts",
            ),
            ("volumes", "/a:/b", "unknown docker parameter volumes; did you mean volume?"),
            ("cpus", "-1", "docker parameter cpus=-1: wanted a positive number of cpus, such as 1.5"),
            (
                "publish",
                "8080",
                "docker parameter publish=8080: wanted [ip:]hostPort:containerPort[/protocol], with both ports",
            ),
        ];
        for (key, value, expected) in rows {
            assert_eq!(applied(key, value).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn every_key_listed_as_known_is_known() {
        for key in KNOWN {
            let unknown = matches!(applied(key, "1"), Err(SpecError::UnknownParameter { .. }));
            assert!(!unknown, "{key}");
        }
    }
}
