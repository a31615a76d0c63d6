//! Where the agents of Apache Mesos have `tenure-executor` from: served by this process, or told by the operator; and where those
//! executors make their lines to.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::elf;
use super::exec::ExecDoor;
use super::machine;
use crate::cli::server_args::{ExecutorOrigin, ExecutorPer, Listen, ServerConfig};
use crate::controllers::{Program, Runner, Share};
use crate::env::Env;
use crate::server::{AgentDoor, Artifact, Lines, ServerCertificate};

/// The executor's name, beside this program and to agents.
const NAME: &str = "tenure-executor";
/// Where artifacts are served when nobody says otherwise.
const PORT: u16 = 7480;

/// Who runs the tasks of a Mesos over HTTP.
#[derive(Debug)]
pub(super) struct ExecutorSide {
    pub(super) runner: Runner,
    /// The door for executors.
    pub(super) door: Option<ExecDoor>,
}

impl ExecutorSide {
    /// As `config` says. From then on the door is open, and the executor is served if it is to be.
    ///
    /// # Errors
    /// When there is nothing to serve, or nowhere to serve it.
    pub(super) async fn open(
        env: &Env,
        config: &ServerConfig,
        certificate: &Arc<ServerCertificate>,
    ) -> Result<ExecutorSide> {
        let origin = config.mesos_executor.clone().unwrap_or_default();
        let artifact = match &origin {
            ExecutorOrigin::Off => return Ok(ExecutorSide { runner: Runner::Mesos, door: None }),
            ExecutorOrigin::Artifact => Some(artifact(config)?),
            ExecutorOrigin::Uri(_) | ExecutorOrigin::Path(_) => None,
        };
        let path = artifact.as_ref().map(Artifact::path);
        let door = match open(env, config, artifact, certificate).await {
            Ok(door) => door,
            Err(error) if path.is_none() => {
                tracing::warn!(error = format!("{error:#}"), "`tenure exec` will find no way into tasks");
                None
            }
            Err(error) => return Err(error),
        };
        let program = match (&origin, &door, path) {
            (ExecutorOrigin::Path(path), _, _) => Program::Installed { path: path.clone() },
            (ExecutorOrigin::Uri(uri), _, _) => Program::Fetched { uri: uri.clone() },
            (_, Some(ExecDoor { address, .. }), Some(path)) => {
                let base = config
                    .artifact_url
                    .as_ref()
                    .map_or_else(|| format!("http://{address}"), |it| it.0.clone());
                let uri = format!("{}{path}", base.trim_end_matches('/'));
                tracing::info!(uri, "agents fetch the executor here");
                Program::Fetched { uri }
            }
            (_, _, _) => bail!("--mesos-executor artifact: the executor is served nowhere"),
        };
        let share = match config.mesos_executor_per.unwrap_or_default() {
            ExecutorPer::Task => Share::Task,
            ExecutorPer::Agent => Share::Agent,
        };
        Ok(ExecutorSide { runner: Runner::Executor(program, share), door })
    }
}

/// Opens the door, unless it is to be shut.
async fn open(
    env: &Env,
    config: &ServerConfig,
    artifact: Option<Artifact>,
    certificate: &Arc<ServerCertificate>,
) -> Result<Option<ExecDoor>> {
    let address = match config.artifact_listen {
        Some(Listen::Off) => return Ok(None),
        Some(Listen::At(address)) => address,
        None => ([0, 0, 0, 0], PORT).into(),
    };
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("failed to listen at --artifact-listen {address}"))?;
    let bound = listener.local_addr().context("no address")?;
    let host = match (&config.address, bound.ip()) {
        (Some(address), _) => address.clone(),
        (None, ip) if !ip.is_unspecified() => ip.to_string(),
        (None, _) => machine::address_of_default_route().await,
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let lines = Lines::default();
    let tls = certificate.clone().config().context("no TLS for executors")?;
    let door = AgentDoor { artifact, lines: lines.clone(), tls: Some(tls) };
    // It is open for as long as this process lives.
    env.spawn("agent door", door.serve(env.clone(), listener, CancellationToken::new()));
    let (address, authority) = (format!("{host}:{}", bound.port()), certificate.authority_pem().to_owned());
    Ok(Some(ExecDoor { address, lines, authority }))
}

/// The executor beside this program.
fn artifact(config: &ServerConfig) -> Result<Artifact> {
    if config.artifact_listen == Some(Listen::Off) {
        bail!(
            "--mesos-executor artifact needs --artifact-listen, which is off: name a URI or a path that agents have it at"
        );
    }
    let file = beside_this_program()?;
    let bytes = std::fs::read(&file).with_context(|| {
        let file = file.display();
        format!("--mesos-executor artifact: no executor at {file} (hack/executor builds it); name a URI or a path instead")
    })?;
    if let Some(loader) = elf::interpreter(&bytes) {
        let file = file.display();
        tracing::warn!(
            %file,
            loader,
            "the executor is not static: it runs only where an agent has this loader and libraries as new (hack/executor builds one that runs anywhere)"
        );
    }
    Ok(Artifact::new(NAME, bytes))
}

fn beside_this_program() -> Result<PathBuf> {
    Ok(std::env::current_exe().context("failed to find this program's own file")?.with_file_name(NAME))
}
