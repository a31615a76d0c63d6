//! `tenure mesos`: a simulated Mesos. Its master speaks HTTP as the real one does; its agents only say that they run tasks, or,
//! with a work folder, run the executors that tasks bring, and are gone with it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::machine::resources_text;
use super::{exit_code, runtime, stop_on_signal};
use crate::api::{Bytes, Cpus};
use crate::cli::MesosArgs;
use crate::cli::server_args::AgentResources;
use crate::env::{Env, watch};
use crate::mesos::embedded::agent::journal::{Journal, Medium};
use crate::mesos::embedded::agent::{Agent, AgentConfig};
use crate::mesos::embedded::executors::{Executors, ExecutorsConfig};
use crate::mesos::embedded::fleet::Fleet;
use crate::mesos::embedded::http::{Accounts, AgentFront, Front, Role};
use crate::mesos::embedded::launcher::reports;
use crate::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use crate::mesos::embedded::resources::{parse_attributes, parse_resources};
use crate::mesos::wire::{AgentInfo, DomainInfo};

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

    let domain = args.regions.first().map(|region| DomainInfo::in_region(region));
    let config = MasterConfig { address, history: true, domain, ..MasterConfig::default() };
    let master = master::start(&env, config, BTreeSet::new());
    let stop = CancellationToken::new();
    match &args.work_dir {
        None => {
            // Where their files are served.
            let ip = address.ip().to_string();
            let _fleet = Fleet::start_at(&env, &master, Some(&ip), agents(&args, Some(address.port()))?);
        }
        Some(work_dir) => {
            for info in agents(&args, None)? {
                let side = AgentSide { ip: args.listen.ip(), accounts: accounts.clone(), stop: stop.clone() };
                run_agent(&env, &master, info, work_dir, side).await?;
            }
        }
    }
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
    env.spawn("signals", stop_on_signal(stop.clone()));
    let tasks = if args.work_dir.is_some() { "run by their executors" } else { "said to run, and do not" };
    tracing::info!(%address, agents = args.agents, "simulated Mesos is ready: tasks are {tasks}");
    front.serve(listener, stop).await;
    Ok(())
}

/// Where agents are asked, and by whom.
struct AgentSide {
    ip: IpAddr,
    accounts: Option<Accounts>,
    stop: CancellationToken,
}

/// An agent that runs executors. Its journal is in memory: it does not outlive this process, and its executors end with it.
async fn run_agent(
    env: &Env,
    master: &MasterHandle,
    info: AgentInfo,
    work_dir: &Path,
    AgentSide { ip, accounts, stop }: AgentSide,
) -> Result<()> {
    let listener = TcpListener::bind((ip, 0)).await.context("failed to listen for executors")?;
    let address = listener.local_addr().context("no address")?;
    let work_dir = work_dir.join(&info.hostname);
    std::fs::create_dir_all(&work_dir).with_context(|| format!("failed to create {}", work_dir.display()))?;
    let work_dir = work_dir.canonicalize().with_context(|| format!("--work-dir {}", work_dir.display()))?;
    let (sink, reports) = reports();
    let mut config = ExecutorsConfig::new(work_dir, address, &info.hostname);
    // As an operator tells executors where Docker is, with --executor_environment_variables.
    if let Ok(host) = std::env::var("DOCKER_HOST") {
        config.environment.insert("DOCKER_HOST".to_owned(), host);
    }
    let info = AgentInfo { port: Some(address.port().into()), ..info };
    config.agent = info.clone();
    let executors = Executors::new(env, config, sink);
    let front = AgentFront::new(env, executors.clone());
    let front = match accounts {
        Some(accounts) => front.authenticating(accounts),
        None => front,
    };
    env.spawn("executor api", front.serve(listener, stop));
    let opened = Journal::open(env, Medium::Memory(Arc::default())).await?;
    let config = AgentConfig::new(info, address.ip().to_string());
    let agent = Agent::new(env, config, opened, Arc::new(executors), reports, master.clone());
    env.spawn("agent", agent.run());
    Ok(())
}

fn accounts(file: &Path) -> Result<Accounts> {
    let place = || format!("--credentials {}", file.display());
    let text = std::fs::read_to_string(file).with_context(place)?;
    Accounts::parse(&text).with_context(place)
}

/// All alike but for their names and regions; at `port`, if that is known.
fn agents(args: &MesosArgs, port: Option<u16>) -> Result<Vec<AgentInfo>> {
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
    let region = |number: u32| {
        let place = (number - 1) as usize % args.regions.len().max(1);
        args.regions.get(place).map(String::as_str)
    };
    let agent = |number| AgentInfo {
        hostname: format!("agent{number}"),
        resources: resources.clone(),
        attributes: attributes.clone(),
        port: port.map(i32::from),
        domain: region(number).map(DomainInfo::in_region),
        ..AgentInfo::default()
    };
    Ok((1..=args.agents).map(agent).collect())
}
