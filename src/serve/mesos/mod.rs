//! `tenure mesos`: a simulated Mesos. Its master speaks HTTP as the real one does; its agents only say that they run tasks, or,
//! with a work folder, run the executors that tasks bring, in this process or in others that join it.

mod agents;
mod machines;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{exit_code, runtime, stop_on_signal};
use crate::cli::MesosArgs;
use crate::env::{Env, watch};
use crate::mesos::embedded::fleet::Fleet;
use crate::mesos::embedded::http::{Accounts, Front, Role};
use crate::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use crate::mesos::embedded::remote::{RemoteMaster, Upstream};
use agents::Agents;
use machines::{domain_of_master, machines};

/// The file of the registry, in the work folder.
const REGISTRY: &str = "registry.json";

/// Runs the simulated Mesos until SIGTERM or SIGINT.
#[must_use]
pub fn run_mesos(args: MesosArgs) -> ExitCode {
    exit_code(runtime().and_then(|runtime| runtime.block_on(simulate(args))))
}

async fn simulate(args: MesosArgs) -> Result<()> {
    let env = Env::system().context("no randomness to be had")?;
    let accounts = args.credentials.as_deref().map(accounts).transpose()?;
    let leave = CancellationToken::new();
    env.spawn("signals", stop_on_signal(leave.clone(), "tasks end"));
    if let Some(master) = args.join {
        let authorization = accounts.as_ref().and_then(Accounts::authorization);
        let upstream = Upstream::Remote(RemoteMaster::new(&env, master, authorization));
        let mut agents = Agents::new(&env, &args, master.ip(), accounts, leave.clone());
        agents.start_all(&upstream).await?;
        tracing::info!(%master, agents = args.agents, "agents of a simulated Mesos run: they join its master");
        leave.cancelled().await;
        agents.left().await;
        return Ok(());
    }
    lead(&env, &args, accounts, leave).await
}

/// Runs the master, and agents beside it.
async fn lead(
    env: &Env,
    args: &MesosArgs,
    accounts: Option<Accounts>,
    leave: CancellationToken,
) -> Result<()> {
    let machines = machines(args)?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("failed to listen at {}", args.listen))?;
    let address = listener.local_addr().context("no address")?;
    let config = MasterConfig {
        address,
        history: true,
        domain: domain_of_master(args, &machines),
        agent_ping_timeout: args.agent_ping_timeout.duration(),
        agent_reregister_timeout: args.agent_reregister_timeout.duration(),
        ..MasterConfig::default()
    };
    let master = start_master(env, args, config).await?;
    let count = machines.len();
    let mut agents = Agents::new(env, args, address.ip(), accounts.clone(), leave.clone());
    if args.work_dir.is_some() {
        agents.start_all(&Upstream::Here(master.clone())).await?;
    } else {
        // Where their files are served.
        let (ip, port) = (address.ip().to_string(), i32::from(address.port()));
        let described = machines.into_iter().map(|mut machine| {
            machine.info.port = Some(port);
            (machine.info, machine.manner)
        });
        let _fleet = Fleet::start_each(env, &master, Some(&ip), described);
    }
    let (_role, told) = watch::channel(Role::Leads(address, master));
    let front = Front::new(env, told);
    let front = match accounts {
        Some(accounts) => front.authenticating(accounts),
        None => front,
    };
    let front = match &args.sandboxes {
        Some(folder) => front.with_sandboxes(folder),
        None => front,
    };
    let tasks = if args.work_dir.is_some() { "run by their executors" } else { "said to run, and do not" };
    tracing::info!(%address, agents = count, "simulated Mesos is ready: tasks are {tasks}");
    // It is there until the agents are not: they tell it of the ends of their tasks.
    let stop = CancellationToken::new();
    let serving = env.spawn("master", front.serve(listener, stop.clone()));
    leave.cancelled().await;
    agents.left().await;
    stop.cancel();
    // It ends by itself, with all that it serves.
    let _ended = serving.join().await;
    Ok(())
}

/// A master that goes on with the registry of the work folder, or, without one, knows nobody.
async fn start_master(env: &Env, args: &MesosArgs, config: MasterConfig) -> Result<MasterHandle> {
    let Some(work_dir) = &args.work_dir else { return Ok(master::start(env, config, [].into())) };
    std::fs::create_dir_all(work_dir).with_context(|| format!("failed to create {}", work_dir.display()))?;
    Ok(master::start_on(env, config, work_dir.join(REGISTRY)).await?)
}

fn accounts(file: &Path) -> Result<Accounts> {
    let place = || format!("--credentials {}", file.display());
    let text = std::fs::read_to_string(file).with_context(place)?;
    Accounts::parse(&text).with_context(place)
}
