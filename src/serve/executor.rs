//! Where the agents of Apache Mesos have `tenure-executor` from: served by this process, or told by the operator.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::machine;
use crate::cli::server_args::{ExecutorOrigin, Listen, ServerConfig};
use crate::controllers::{Program, Runner};
use crate::env::Env;
use crate::server::Artifact;

/// The executor's name, beside this program and to agents.
const NAME: &str = "tenure-executor";
/// Where artifacts are served when nobody says otherwise.
const PORT: u16 = 7480;

/// Who runs the tasks of a Mesos over HTTP. From then on the executor is served, if it is to be.
///
/// # Errors
/// When there is nothing to serve, or nowhere to serve it.
pub(super) async fn runner(env: &Env, config: &ServerConfig) -> Result<Runner> {
    Ok(match &config.mesos_executor {
        ExecutorOrigin::Off => Runner::Mesos,
        ExecutorOrigin::Uri(uri) => Runner::Executor(Program::Fetched { uri: uri.clone() }),
        ExecutorOrigin::Path(path) => Runner::Executor(Program::Installed { path: path.clone() }),
        ExecutorOrigin::Artifact => Runner::Executor(Program::Fetched { uri: serve(env, config).await? }),
    })
}

/// Serves the executor; its URI.
async fn serve(env: &Env, config: &ServerConfig) -> Result<String> {
    let address = match config.artifact_listen {
        Some(Listen::Off) => bail!(
            "--mesos-executor artifact needs --artifact-listen, which is off: name a URI or a path that agents have it at"
        ),
        Some(Listen::At(address)) => address,
        None => ([0, 0, 0, 0], PORT).into(),
    };
    let file = beside_this_program()?;
    let bytes = std::fs::read(&file).with_context(|| {
        let file = file.display();
        format!("--mesos-executor artifact: no executor at {file} (hack/executor builds it); name a URI or a path instead")
    })?;
    let artifact = Artifact::new(NAME, bytes);
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("failed to listen at --artifact-listen {address}"))?;
    let bound = listener.local_addr().context("no address")?;
    let host = match (&config.address, bound.ip()) {
        (Some(address), _) => address.clone(),
        (None, ip) if !ip.is_unspecified() => ip.to_string(),
        (None, _) => machine::address_of_default_route().await,
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let uri = format!("http://{host}:{}{}", bound.port(), artifact.path());
    tracing::info!(uri, "agents fetch the executor here");
    // It is served for as long as this process lives.
    env.spawn("artifacts", artifact.serve(env.clone(), listener, CancellationToken::new()));
    Ok(uri)
}

fn beside_this_program() -> Result<PathBuf> {
    Ok(std::env::current_exe().context("failed to find this program's own file")?.with_file_name(NAME))
}
