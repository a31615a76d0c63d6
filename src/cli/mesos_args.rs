//! The settings of `tenure mesos`, a simulated Mesos to try things on.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::server_args::{AgentAttributes, AgentResources};
use crate::api::Span;

/// How many agents there may be.
pub(super) const MOST_AGENTS: u32 = 100_000;

/// What the simulated Mesos is like.
#[derive(Clone, Debug, Args)]
pub struct MesosArgs {
    /// Where the master listens, without TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5050")]
    pub listen: SocketAddr,
    /// Runs no master, but agents of the simulated Mesos of this machine whose master listens there: each such process can be ended by
    /// itself. Give each a name, a folder and ports of its own (--agent-name, --work-dir, --agent-resources)
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["listen", "sandboxes", "profile", "agent_ping_timeout", "agent_reregister_timeout"], requires = "work_dir")]
    pub join: Option<SocketAddr>,
    /// How many agents there are; with 0, only those that join
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_AGENTS)))]
    pub agents: u32,
    /// The host names of the agents are this and a number from 1 on
    #[arg(long, value_name = "NAME", default_value = "agent")]
    pub agent_name: String,
    /// What each agent offers; what is left out is `cpus:4;mem:4096;disk:10240;ports:[31000-32000]`. With --work-dir the ports are divided
    /// among the agents
    #[arg(long, value_name = "RESOURCES")]
    pub agent_resources: Option<AgentResources>,
    /// The attributes of each agent, such as `rack:r1;zone:a`
    #[arg(long, value_name = "ATTRIBUTES")]
    pub agent_attributes: Option<AgentAttributes>,
    /// The regions of agents, one after the other, such as `eu,us`; the master is in the first [default: none]
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    pub regions: Vec<String>,
    /// A TOML file of unlike agents, in groups `[[agents]]` with the keys name and count, and as they are wanted resources and attributes
    /// (written as in the flags), region and zone (the master is in the first region that is named), and for tasks that are only said to run
    /// start-delay (such as 2s) and failure-rate (0.0 to 1.0)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["agents", "agent_name", "agent_resources", "agent_attributes", "regions"])]
    pub profile: Option<PathBuf>,
    /// Where agents keep sandboxes: with it, they fetch and run the executors of tasks [default: they only say that tasks run]
    ///
    /// Master and agents keep there as well what they must know after kill -9: started again with the same flags they go on with the
    /// same ids, and executors that ran on are found again. SIGTERM ends all tasks.
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// How long an agent may be away before its tasks are unreachable, from the end of its process or connection on: agents are not pinged
    #[arg(long, value_name = "DURATION", default_value = "75s")]
    pub agent_ping_timeout: Span,
    /// How long a master that was started again waits for the agents that it knows
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub agent_reregister_timeout: Span,
    /// How long executors may take to subscribe again after their agent was started again: their tasks are gone then
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub executor_reregistration_timeout: Span,
    /// How long executors wait for their agent to be started again before they end their tasks and themselves
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub recovery_timeout: Span,
    /// A file with one `principal:secret` a line: only these may subscribe, operate and read files [default: everybody may]
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// The folder whose files agents that run nothing serve as sandboxes: frameworks/ID/executors/ID/runs/latest/stdout [default: none]
    #[arg(long, value_name = "DIR")]
    pub sandboxes: Option<PathBuf>,
}
