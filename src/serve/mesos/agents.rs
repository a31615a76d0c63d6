//! Agents that run the executors of tasks, each with a folder of its own:
//!
//! ```text
//! DIR/agent1/meta/journal           what it must know after kill -9
//! DIR/agent1/meta/port              where its executors look for it then
//! DIR/agent1/meta/executors/…       its executors
//! DIR/agent1/locks/…                by which Tenure's executors show that they live
//! DIR/agent1/slaves/…               their sandboxes
//! ```

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::machines::machines;
use crate::cli::MesosArgs;
use crate::env::{Env, Spawned};
use crate::mesos::embedded::agent::journal::{Journal, Medium};
use crate::mesos::embedded::agent::{Agent, AgentConfig};
use crate::mesos::embedded::executors::{Executors, ExecutorsConfig};
use crate::mesos::embedded::http::{Accounts, AgentFront};
use crate::mesos::embedded::launcher::reports;
use crate::mesos::embedded::remote::Upstream;
use crate::mesos::wire::AgentInfo;

/// The variable that tells `tenure-executor` in which folder its executors show that they live.
const LOCKS: &str = "TENURE_EXECUTOR_LOCKS";

/// The agents of this process.
pub(super) struct Agents {
    env: Env,
    args: MesosArgs,
    /// Where they listen for executors and operators.
    ip: IpAddr,
    accounts: Option<Accounts>,
    /// They are to end their tasks and leave.
    leave: CancellationToken,
    running: Vec<Running>,
}

/// One agent, and the file of the port at which its executors look for it.
struct Running {
    agent: Spawned<()>,
    executors: Executors,
    port: PathBuf,
}

impl Agents {
    /// None yet.
    pub(super) fn new(
        env: &Env,
        args: &MesosArgs,
        ip: IpAddr,
        accounts: Option<Accounts>,
        leave: CancellationToken,
    ) -> Agents {
        Agents { env: env.clone(), args: args.clone(), ip, accounts, leave, running: Vec::new() }
    }

    /// Starts those that are asked for; they register with `upstream` by themselves.
    pub(super) async fn start_all(&mut self, upstream: &Upstream) -> Result<()> {
        let Some(work_dir) = self.args.work_dir.clone() else { return Ok(()) };
        for machine in machines(&self.args)? {
            let folder = work_dir.join(&machine.info.hostname);
            let place = || format!("agent {}", machine.info.hostname);
            self.start(upstream, machine.info.clone(), &folder).await.with_context(place)?;
        }
        Ok(())
    }

    async fn start(&mut self, upstream: &Upstream, info: AgentInfo, folder: &Path) -> Result<()> {
        let meta = folder.join("meta");
        std::fs::create_dir_all(&meta).with_context(|| format!("failed to create {}", meta.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("--work-dir {}", folder.display()))?;
        let meta = folder.join("meta");
        let port = meta.join("port");
        let (listener, address) = listen(self.ip, &port).await?;
        let info = AgentInfo { port: Some(address.port().into()), ..info };
        let config = self.executors_config(folder, address, &info);
        let (sink, reports) = reports();
        Executors::check(&config.work_dir).context("failed to read what is known of executors")?;
        let opened = Journal::open(&self.env, Medium::Folder(meta)).await?;
        let executors = Executors::recovering(&self.env, config, sink);
        let front = AgentFront::new(&self.env, executors.clone());
        let front = match self.accounts.clone() {
            Some(accounts) => front.authenticating(accounts),
            None => front,
        };
        // Executors are heard until they have ended, which is after the agent has left: only the process ends this.
        self.env.spawn("executor api", front.serve(listener, CancellationToken::new()));
        let mut config = AgentConfig::new(info, address.ip().to_string());
        config.leave = self.leave.clone();
        let launcher = Arc::new(executors.clone());
        let agent = Agent::new(&self.env, config, opened, launcher, reports, upstream.clone());
        self.running.push(Running { agent: self.env.spawn("agent", agent.run()), executors, port });
        Ok(())
    }

    fn executors_config(&self, work_dir: PathBuf, address: SocketAddr, info: &AgentInfo) -> ExecutorsConfig {
        // Not where those of a real agent of this machine show that they live.
        let locks = std::env::var(LOCKS).unwrap_or_else(|_| work_dir.join("locks").display().to_string());
        let mut config = ExecutorsConfig::new(work_dir, address, &info.hostname);
        config.environment.insert(LOCKS.to_owned(), locks);
        config.agent = info.clone();
        config.reregistration_timeout = self.args.executor_reregistration_timeout.duration();
        config.recovery_timeout = self.args.recovery_timeout.duration();
        // As an operator tells executors where Docker is, with --executor_environment_variables.
        if let Ok(host) = std::env::var("DOCKER_HOST") {
            config.environment.insert("DOCKER_HOST".to_owned(), host);
        }
        config
    }

    /// Returns when all have left and nothing of their executors runs.
    pub(super) async fn left(self) {
        for Running { agent, executors, port } in self.running {
            // One that has crashed leaves nothing to wait for but its executors.
            let _ended = agent.join().await;
            executors.all_ended().await;
            // Nobody looks for it there any more.
            if let Err(error) = std::fs::remove_file(&port) {
                tracing::warn!(%error, file = %port.display(), "not removed: the next start insists on this port");
            }
        }
    }
}

/// Listens where the agent of this folder always listens: the first time at a port that is free.
async fn listen(ip: IpAddr, file: &Path) -> Result<(TcpListener, SocketAddr)> {
    let place = || format!("failed to use {}", file.display());
    let known = match std::fs::read_to_string(file) {
        Ok(text) => Some(text.trim().parse::<u16>().with_context(place)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(place),
    };
    let listener = TcpListener::bind((ip, known.unwrap_or(0))).await;
    let listener = listener.with_context(|| match known {
        Some(port) => {
            format!("failed to listen at port {port}, where its executors look for it ({})", file.display())
        }
        None => "failed to listen for executors".to_owned(),
    })?;
    let address = listener.local_addr().context("no address")?;
    if known.is_none() {
        let new = file.with_extension("new");
        std::fs::write(&new, address.port().to_string()).with_context(place)?;
        std::fs::rename(new, file).with_context(place)?;
    }
    Ok((listener, address))
}
