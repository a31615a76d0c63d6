//! `tenure mesos`: a simulated Mesos. Its master speaks HTTP as the real one does; its agents only say that they run tasks, and
//! are gone with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::machine::resources_text;
use super::{exit_code, runtime, stop_on_signal};
use crate::api::{Bytes, Cpus};
use crate::cli::MesosArgs;
use crate::cli::server_args::AgentResources;
use crate::env::{Env, watch};
use crate::mesos::embedded::fleet::Fleet;
use crate::mesos::embedded::http::{Accounts, Front, Role};
use crate::mesos::embedded::master::{self, MasterConfig};
use crate::mesos::embedded::resources::{parse_attributes, parse_resources};
use crate::mesos::wire::AgentInfo;

/// Runs the simulated Mesos until SIGTERM or SIGINT.
#[must_use]
pub fn run_mesos(args: MesosArgs) -> ExitCode {
    exit_code(runtime().and_then(|runtime| runtime.block_on(simulate(args))))
}

async fn simulate(args: MesosArgs) -> Result<()> {
    let env = Env::system().context("no randomness to be had")?;
    let accounts = args.credentials.as_deref().map(accounts).transpose()?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("failed to listen at {}", args.listen))?;
    let address = listener.local_addr().context("no address")?;

    let config = MasterConfig { address, ..MasterConfig::default() };
    let master = master::start(&env, config, BTreeSet::new());
    // Where their files are served.
    let ip = address.ip().to_string();
    let _fleet = Fleet::start_at(&env, &master, Some(&ip), agents(&args, address.port())?);
    let (_role, told) = watch::channel(Role::Leads(address, master));
    let front = Front::new(&env, told);
    let front = match accounts {
        Some(accounts) => front.authenticating(accounts),
        None => front,
    };
    let front = match &args.sandboxes {
        Some(folder) => front.with_sandboxes(folder),
        None => front,
    };
    let stop = CancellationToken::new();
    env.spawn("signals", stop_on_signal(stop.clone()));
    tracing::info!(%address, agents = args.agents, "simulated Mesos is ready: tasks are said to run, and do not");
    front.serve(listener, stop).await;
    Ok(())
}

fn accounts(file: &Path) -> Result<Accounts> {
    let place = || format!("--credentials {}", file.display());
    let text = std::fs::read_to_string(file).with_context(place)?;
    Accounts::parse(&text).with_context(place)
}

/// All alike but for their names.
fn agents(args: &MesosArgs, port: u16) -> Result<Vec<AgentInfo>> {
    let given = args.agent_resources.clone().unwrap_or_default();
    let whole = AgentResources {
        cpus: given.cpus.or(Some(Cpus::from_millis(4_000))),
        memory: given.memory.or(Some(Bytes::from_mebibytes(4_096))),
        disk: given.disk.or(Some(Bytes::from_mebibytes(10_240))),
        ..given
    };
    let resources = parse_resources(&resources_text(&whole, Path::new("/"))?)?;
    let attributes: Vec<String> = args
        .agent_attributes
        .iter()
        .flat_map(|it| &it.0)
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    let attributes = parse_attributes(&attributes.join(";"))?;
    let agent = |number| AgentInfo {
        hostname: format!("agent{number}"),
        resources: resources.clone(),
        attributes: attributes.clone(),
        port: Some(i32::from(port)),
        ..AgentInfo::default()
    };
    Ok((1..=args.agents).map(agent).collect())
}
