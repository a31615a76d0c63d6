//! The settings of `tenure mesos`, a simulated Mesos to try things on.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::server_args::{AgentAttributes, AgentResources};

/// What the simulated Mesos is like.
#[derive(Clone, Debug, Args)]
pub struct MesosArgs {
    /// Where the master listens, without TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5050")]
    pub listen: SocketAddr,
    /// How many agents there are
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub agents: u32,
    /// What each agent offers; what is left out is `cpus:4;mem:4096;disk:10240;ports:[31000-32000]`
    #[arg(long, value_name = "RESOURCES")]
    pub agent_resources: Option<AgentResources>,
    /// The attributes of each agent, such as `rack:r1;zone:a`
    #[arg(long, value_name = "ATTRIBUTES")]
    pub agent_attributes: Option<AgentAttributes>,
    /// The regions of agents, one after the other, such as `eu,us`; the master is in the first [default: none]
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    pub regions: Vec<String>,
    /// Where agents keep sandboxes: with it, they fetch and run the executors of tasks [default: they only say that tasks run]
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// A file with one `principal:secret` a line: only these may subscribe, operate and read files [default: everybody may]
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// The folder whose files agents that run nothing serve as sandboxes: frameworks/ID/executors/ID/runs/latest/stdout [default: none]
    #[arg(long, value_name = "DIR")]
    pub sandboxes: Option<PathBuf>,
}
