//! The simulated Mesos: as a part of this process, and as a process.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tenure::env::Env;
use tenure::mesos::connection::Connection;
use tenure::mesos::embedded::fleet::Fleet;
use tenure::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use tenure::mesos::embedded::resources::parse_resources;
use tenure::mesos::wire::AgentInfo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::options::Options;

/// What each agent has: room for a few hundred of the tasks.
const RESOURCES: &str = "cpus:64;mem:65536;disk:1048576;ports:[31000-31999]";
/// All agents have registered by then.
const PATIENCE: Duration = Duration::from_secs(120);

/// A master and its agents in this process.
pub(crate) struct Direct {
    master: MasterHandle,
    _fleet: Fleet,
}

impl Direct {
    pub(crate) async fn start(env: &Env, options: &Options) -> Direct {
        // The same times as those of the process.
        let master = master::start(env, MasterConfig::default(), BTreeSet::new());
        let agent = |number| AgentInfo {
            hostname: format!("agent{number}"),
            resources: parse_resources(RESOURCES).expect("a constant text"),
            ..AgentInfo::default()
        };
        let fleet = Fleet::start(env, &master, (1..=options.agents).map(agent));
        while master.agents().await.len() < options.agents {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Direct { master, _fleet: fleet }
    }

    pub(crate) fn connection(&self) -> Arc<dyn Connection> {
        Arc::new(self.master.clone())
    }
}

/// `tenure mesos`.
pub(crate) struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// Starts it and waits until all its agents are there.
    pub(crate) async fn start(options: &Options) -> Result<Process> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .args(["mesos", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--agents", &options.agents.to_string(), "--agent-resources", RESOURCES])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start tenure mesos")?;
        let mut process = Process { child, port };
        let begun = Instant::now();
        let wanted = format!("\"master/slaves_active\":{}.0,", options.agents);
        while !process.metrics().await.unwrap_or_default().contains(&wanted) {
            ensure!(process.child.try_wait()?.is_none(), "tenure mesos does not run");
            ensure!(begun.elapsed() < PATIENCE, "not all agents of tenure mesos register");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(process)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    async fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"GET /metrics/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// User and system time of a process. Linux counts them in hundredths of a second on every platform we run on.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').context("malformed stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Ok(Duration::from_millis((fields[11].parse::<u64>()? + fields[12].parse::<u64>()?) * 10))
}
