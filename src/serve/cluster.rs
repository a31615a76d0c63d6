//! The cluster that a server works on: the embedded one with this machine as its agent, or Apache Mesos.

use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::exec::{AgentExec, LocalExec};
use super::executor::ExecutorSide;
use super::installation::Installation;
use super::keyed::{KeyFiles, KeyedWay};
use super::leader::WhoLeads;
use super::logs::{LocalLogs, SandboxLogs};
use super::machine;
use crate::api::Span;
use crate::cli::server_args::{ExecutorOrigin, ExecutorPer, MesosEncoding, MesosTarget, ServerConfig};
use crate::controllers::{
    Census, Contact, Ends, Leader, Limits, Messages, Offers, Policy, Runner, borrowing, framework,
};
use crate::env::Env;
use crate::executor::logs::{LogLimits, TaskLogs};
use crate::executor::{LauncherConfig, LocalLauncher, docker};
use crate::mesos::connection::Connection;
use crate::mesos::embedded::agent::journal::Medium;
use crate::mesos::embedded::launcher::reports;
use crate::mesos::embedded::master::MasterConfig;
use crate::mesos::embedded::{self, agent::AgentConfig};
use crate::mesos::http::{HttpConfig, MasterUrl, Masters, ZooKeeper};
use crate::mesos::wire::Encoding;
use crate::registry::Registry;
use crate::runtime::Facts;
use crate::server::{self, ServerCertificate};
use crate::store::Store;

/// The way to the cluster.
#[derive(Debug)]
pub(super) enum Way {
    /// In this process.
    Embedded,
    /// To Apache Mesos, with the files that hold the keys, and the removed framework in whose place a new one is wanted.
    Http { http: Box<HttpConfig>, keys: KeyFiles, anew: Option<Arc<str>> },
}

/// What a server has before it has a cluster.
pub(super) struct Scene<'a> {
    pub(super) env: &'a Env,
    pub(super) config: &'a ServerConfig,
    pub(super) installation: &'a Installation,
    pub(super) registry: &'a Arc<Registry>,
    pub(super) leader: &'a Arc<WhoLeads>,
    pub(super) certificate: &'a Arc<ServerCertificate>,
}

/// The ways into tasks.
pub(super) struct Inside {
    pub(super) logs: Arc<dyn server::TaskLogs>,
    pub(super) exec: Arc<dyn server::TaskExec>,
}

impl Way {
    /// The way that `config` names.
    ///
    /// # Errors
    /// When the flags do not go together, or a file says nothing usable.
    pub(super) fn of(config: &ServerConfig) -> Result<Way> {
        let masters: Masters = match &config.mesos {
            MesosTarget::Embedded => {
                refuse_http_flags(config)?;
                return Ok(Way::Embedded);
            }
            MesosTarget::Http(masters) => {
                let urls = masters.iter().map(|url| url.parse()).collect::<Result<Vec<MasterUrl>, _>>();
                urls.context("--mesos")?.into()
            }
            MesosTarget::Zk(url) => {
                let ensemble: ZooKeeper = url.parse().context("--mesos")?;
                Masters::Elected(ensemble.with_tls(config.mesos_ca_file.is_some()))
            }
        };
        if config.agent_resources.is_some() || !config.agent_attributes.0.is_empty() {
            tracing::warn!(
                "--agent-resources and --agent-attributes are for the embedded agent: there is none"
            );
        }
        let is_off = config.mesos_executor == Some(ExecutorOrigin::Off);
        let is_served = matches!(config.mesos_executor, None | Some(ExecutorOrigin::Artifact));
        if config.artifact_url.is_some() && !is_served {
            bail!(
                "--artifact-url is where servers serve the executor: with --mesos-executor URI, PATH or off none does"
            );
        }
        if is_off && config.mesos_executor_per == Some(ExecutorPer::Agent) {
            bail!("--mesos-executor-per agent shares an executor: with --mesos-executor off there is none");
        }
        let mut http = HttpConfig::new(masters);
        http.encoding = match config.mesos_encoding.unwrap_or_default() {
            MesosEncoding::Protobuf => Encoding::Protobuf,
            MesosEncoding::Json => Encoding::Json,
        };
        let anew = config.mesos_register_anew.as_deref().map(Arc::from);
        let keys = KeyFiles::of(config)?;
        keys.check(&http)?;
        Ok(Way::Http { http: Box::new(http), keys, anew })
    }

    /// The leader of the cluster's tasks, and the ways into them.
    pub(super) async fn lead(self, scene: &Scene<'_>, store: &Arc<dyn Store>) -> Result<(Leader, Inside)> {
        let hostname = machine::hostname()?;
        let config = scene.config;
        let facts = Facts::new(store.clone(), &scene.registry.prefix().meta(""));
        let mut framework = framework(&config.name, "root", &config.mesos_roles, &hostname);
        if config.mesos_revocable {
            framework = borrowing(framework);
        }
        let messages = Messages::default();
        let (connection, inside, policy, anew): (Arc<dyn Connection>, Inside, _, _) = match self {
            Way::Embedded => {
                let (connection, inside) = embedded_cluster(scene).await?;
                (connection, inside, Policy::sole(), None)
            }
            Way::Http { http, keys, anew } => {
                let way = Arc::new(KeyedWay::open(scene.env, *http, keys)?);
                framework.principal = way.principal();
                let ExecutorSide { runner, door } =
                    ExecutorSide::open(scene.env, config, scene.certificate).await?;
                let logs = SandboxLogs {
                    way: way.clone(),
                    facts: facts.clone(),
                    cache: scene.registry.cache().clone(),
                };
                let exec = AgentExec {
                    env: scene.env.clone(),
                    messages: messages.clone(),
                    leader: scene.leader.clone(),
                    door,
                    cache: scene.registry.cache().clone(),
                    is_ours: matches!(runner, Runner::Executor(..)),
                };
                let inside = Inside { logs: Arc::new(logs), exec: Arc::new(exec) };
                (way, inside, Policy::shared(runner), anew)
            }
        };
        let policy = Policy { launches: launches(scene.config)?, ..policy };
        let leader = Leader {
            env: scene.env.clone(),
            registry: scene.registry.clone(),
            facts,
            connection,
            framework,
            installation: Arc::from(scene.installation.uid.as_str()),
            host: Arc::from(hostname),
            policy,
            contact: Contact::default(),
            ends: Ends::default(),
            census: Census::default(),
            offers: Offers::default(),
            messages,
            anew,
        };
        Ok((leader, inside))
    }
}

/// The embedded cluster with this machine as its agent.
async fn embedded_cluster(scene: &Scene<'_>) -> Result<(Arc<dyn Connection>, Inside)> {
    let Scene { env, config, installation, .. } = scene;
    let address = match &config.address {
        Some(address) => address.clone(),
        None => machine::address_of_default_route().await,
    };
    let (sink, reports) = reports();
    let launcher = LocalLauncher::new((*env).clone(), launcher_config(config, installation)?, sink);
    // What others reach this machine at is its name in offers, and so in Endpoints.
    let info = machine::agent_info(&address, &config.data_dir, config)?;
    let journal = Medium::Folder(config.data_dir.join("agent"));
    let agent = AgentConfig::new(info, address);
    let master = MasterConfig::local();
    let connection =
        embedded::start(env, master, agent, journal, Arc::new(launcher.clone()), reports).await?;
    let exec = LocalExec { env: (*env).clone(), launcher: launcher.clone() };
    let logs = LocalLogs::new(TaskLogs::new(launcher));
    Ok((Arc::new(connection), Inside { logs: Arc::new(logs), exec: Arc::new(exec) }))
}

fn launcher_config(config: &ServerConfig, installation: &Installation) -> Result<LauncherConfig> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    Ok(LauncherConfig {
        installation: installation.uid.clone(),
        docker_host: host.unwrap_or_else(|| docker::DEFAULT_HOST.to_owned()),
        process_dir: config.data_dir.join("processes"),
        shim: std::env::current_exe().context("failed to find this program's own file")?,
        logs: LogLimits::default(),
        sandbox: None,
    })
}

/// What only a Mesos over HTTP understands is not passed over where there is none.
fn refuse_http_flags(config: &ServerConfig) -> Result<()> {
    let given = [
        ("--mesos-auth-file", config.mesos_auth_file.is_some()),
        ("--mesos-ca-file", config.mesos_ca_file.is_some()),
        ("--mesos-cert", config.mesos_cert.is_some()),
        ("--mesos-key", config.mesos_key.is_some()),
        ("--mesos-register-anew", config.mesos_register_anew.is_some()),
        ("--mesos-encoding", config.mesos_encoding.is_some()),
        ("--mesos-executor", config.mesos_executor.is_some()),
        ("--mesos-executor-per", config.mesos_executor_per.is_some()),
        ("--artifact-url", config.artifact_url.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => bail!("{flag} is for a Mesos over HTTP: --mesos is embedded"),
        None => Ok(()),
    }
}

fn launches(config: &ServerConfig) -> Result<Limits> {
    let default = Limits::default();
    let confirm = config.task_launch_confirm_timeout.map_or(default.confirm, Span::duration);
    let start = config.task_launch_timeout.map_or(default.start, Span::duration);
    if start < confirm {
        let (start, confirm) = (start.as_secs(), confirm.as_secs());
        bail!("--task-launch-timeout ({start}s) must be at least --task-launch-confirm-timeout ({confirm}s)");
    }
    Ok(Limits { confirm, start })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::server_args::ServerArgs;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        server: ServerArgs,
    }

    #[test]
    fn how_long_launches_may_take_can_be_chosen() {
        let of = |flags: &[&str]| {
            let line = ["tenure", "--data-dir", "/d"].iter().chain(flags);
            Line::parse_from(line).server.resolve()
        };
        assert_eq!(launches(&of(&[]).unwrap()).unwrap(), Limits::default());
        let flags = ["--task-launch-confirm-timeout", "10m", "--task-launch-timeout", "2h"];
        let seconds = |seconds| std::time::Duration::from_secs(seconds);
        let chosen = Limits { confirm: seconds(600), start: seconds(7200) };
        assert_eq!(launches(&of(&flags).unwrap()).unwrap(), chosen);
        for flags in [&["--task-launch-timeout", "0"][..], &["--task-launch-timeout", "299s"]] {
            let refused = launches(&of(flags).unwrap()).unwrap_err().to_string();
            assert!(refused.contains("at least --task-launch-confirm-timeout (300s)"), "{refused}");
        }
        let short = ["--task-launch-timeout", "2m", "--task-launch-confirm-timeout", "1m"];
        assert_eq!(launches(&of(&short).unwrap()).unwrap().start, seconds(120));
        let refused = of(&["--task-launch-confirm-timeout", "59s"]).unwrap_err().to_string();
        assert_eq!(refused, "--task-launch-confirm-timeout must be at least 1m");
    }

    #[test]
    fn flags_that_mean_nothing_beside_others_are_refused_and_named() {
        let of = |flags: &[&str]| {
            let line = ["tenure", "--data-dir", "/d"].iter().chain(flags);
            Way::of(&Line::parse_from(line).server.resolve().unwrap())
        };
        let refusal = |flags: &[&str]| format!("{:#}", of(flags).unwrap_err());
        for flags in [
            ["--mesos-register-anew", "f"],
            ["--mesos-encoding", "json"],
            ["--mesos-executor", "off"],
            ["--mesos-executor-per", "agent"],
            ["--artifact-url", "http://m"],
        ] {
            assert_eq!(
                refusal(&flags),
                format!("{} is for a Mesos over HTTP: --mesos is embedded", flags[0])
            );
        }
        let http = ["--mesos", "http://m1:5050", "--mesos-executor-per", "agent"];
        assert!(matches!(of(&http), Ok(Way::Http { .. })));
        let told = refusal(&[&http[..], &["--mesos-executor", "off"]].concat());
        assert!(told.starts_with("--mesos-executor-per agent shares an executor"), "{told}");
    }
}
