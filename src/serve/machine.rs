//! This machine as the embedded agent offers it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::net::UdpSocket;

use crate::api::{Bytes, Cpus};
use crate::cli::server_args::{AgentResources, ServerConfig};
use crate::mesos::embedded::resources::{parse_attributes, parse_resources};
use crate::mesos::wire::AgentInfo;

/// Ports that agents offer when nobody says otherwise; those of `mesos-agent`.
pub(super) const PORTS: (u16, u16) = (31_000, 32_000);
/// What the machine keeps for itself: the defaults of `mesos-agent` (`containerizer.cpp`).
const MEMORY_KEPT: u64 = 1 << 30;
const DISK_KEPT: u64 = 5 << 30;

/// Host name, resources and attributes: what the operator gave, else what the machine has.
pub(super) fn agent_info(hostname: &str, data_dir: &Path, config: &ServerConfig) -> Result<AgentInfo> {
    let given = config.agent_resources.clone().unwrap_or_default();
    let resources = resources_text(&given, data_dir)?;
    let attributes: Vec<String> =
        config.agent_attributes.0.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    Ok(AgentInfo {
        hostname: hostname.to_owned(),
        resources: parse_resources(&resources)?,
        attributes: parse_attributes(&attributes.join(";"))?,
        ..AgentInfo::default()
    })
}

/// In the notation of `mesos-agent --resources`.
pub(super) fn resources_text(given: &AgentResources, data_dir: &Path) -> Result<String> {
    let cpus = match given.cpus {
        Some(cpus) => cpus,
        None => Cpus::from_millis(1_000 * u64::try_from(std::thread::available_parallelism()?.get())?),
    };
    let memory = match given.memory {
        Some(memory) => memory,
        None => Bytes::new(less(total_memory()?, MEMORY_KEPT)),
    };
    let disk = match given.disk {
        Some(disk) => disk,
        None => Bytes::new(less(total_disk(data_dir)?, DISK_KEPT)),
    };
    let ports = given.ports.clone().unwrap_or_else(|| vec![PORTS]);
    let ports: Vec<String> = ports.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    let decimal = |cpus: Cpus| format!("{}.{:03}", cpus.millis() / 1_000, cpus.millis() % 1_000);
    let lent_cpus = given.lent_cpus.map(|it| format!("cpus{{REV}}:{};", decimal(it)));
    let lent_memory = given.lent_memory.map(|it| format!("mem{{REV}}:{};", it.get() >> 20));
    Ok(format!(
        "cpus:{};mem:{};{}{}disk:{};gpus:{};ports:[{}]",
        decimal(cpus),
        memory.get() >> 20,
        lent_cpus.unwrap_or_default(),
        lent_memory.unwrap_or_default(),
        disk.get() >> 20,
        given.gpus.unwrap_or(0),
        ports.join(","),
    ))
}

/// All but `kept`, or half of a machine that has not twice as much.
fn less(total: u64, kept: u64) -> u64 {
    if total >= 2 * kept { total - kept } else { total / 2 }
}

fn total_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("failed to read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib =
        line.and_then(|line| line.split_whitespace().next()).context("/proc/meminfo tells no MemTotal")?;
    Ok(kib.parse::<u64>().context("/proc/meminfo is malformed")? << 10)
}

fn total_disk(folder: &Path) -> Result<u64> {
    let found =
        rustix::fs::statvfs(folder).with_context(|| format!("failed to measure {}", folder.display()))?;
    Ok(found.f_blocks * found.f_frsize)
}

/// The name that the kernel knows this machine by.
pub(super) fn hostname() -> Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").context("failed to read the host name")?;
    Ok(name.trim().to_owned())
}

/// The address from which this machine would reach the world; loopback without a route. Nothing is sent.
pub(super) async fn address_of_default_route() -> String {
    let loopback = "127.0.0.1".to_owned();
    let Ok(socket) = UdpSocket::bind(("0.0.0.0", 0)).await else { return loopback };
    // An address of documentation (RFC 5737): connecting a datagram socket only chooses a route.
    match socket.connect(("192.0.2.1", 9)).await.and_then(|()| socket.local_addr()) {
        Ok(local) => local.ip().to_string(),
        Err(_) => loopback,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_wins_over_what_the_machine_has() {
        let given: AgentResources =
            "cpus:0.5;mem:64;cpus{REV}:1.5;mem{REV}:32;disk:10;ports:[1-2,4-5]".parse().unwrap();
        let text = resources_text(&given, Path::new("/")).unwrap();
        assert_eq!(text, "cpus:0.500;mem:64;cpus{REV}:1.500;mem{REV}:32;disk:10;gpus:0;ports:[1-2,4-5]");
        assert!(parse_resources(&text).is_ok());
        let text = resources_text(&AgentResources::default(), Path::new("/")).unwrap();
        assert!(text.ends_with("ports:[31000-32000]") && parse_resources(&text).is_ok(), "{text}");
    }

    #[test]
    fn a_small_machine_keeps_half() {
        assert_eq!((less(8 << 30, 1 << 30), less(1 << 30, 1 << 30)), (7 << 30, 1 << 29));
    }
}
