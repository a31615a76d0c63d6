//! A Mesos-shaped master and its agents inside this process.
//!
//! They answer the scheduler API as the real ones do (recorded conversations are the yardstick), so that nothing else
//! knows the difference. What really runs tasks stands behind [`launcher::Launcher`].
//!
//! Several frameworks share it: whose turn it is, `shares` tells. Not built here, and refused with a text that says so: task
//! groups, reservations, volumes and quotas, and a task with the id of another framework's on the same agent. Offer constraints
//! are passed over. Executors of frameworks run on agents of [`executors`] alone; on others one ends with its last task. What
//! operators do, and the faults of a simulation, are methods of the master's handle.
//!
//! What is told is compared with recordings of a real Mesos: the table in `tests/house/mesos_replay`.

pub mod agent;
mod allocator;
pub mod bundle;
pub mod executors;
pub mod fleet;
pub mod http;
pub mod master;
pub mod protocol;
mod record;
pub mod remote;
pub mod resources;
mod shares;
pub mod simulated;

#[cfg(test)]
mod tests;

use std::sync::Arc;

/// What agents run tasks with.
pub use super::launcher;
use crate::env::Env;
use agent::journal::{Journal, JournalError, Medium};
use agent::{Agent, AgentConfig};
use launcher::{Launcher, Reports};
use master::{MasterConfig, MasterHandle};

/// Starts a master and this machine's agent. The result is the way to the master, as a
/// [`Connection`](crate::mesos::connection::Connection).
///
/// After a restart on the same journal the agent keeps its id and its tasks, and the master says nothing about them
/// before the agent is back.
///
/// # Errors
/// When the agent's journal cannot be opened: starting without it would lose running tasks.
pub async fn start(
    env: &Env,
    master: MasterConfig,
    agent: AgentConfig,
    journal: Medium,
    launcher: Arc<dyn Launcher>,
    reports: Reports,
) -> Result<MasterHandle, JournalError> {
    let (journal, state) = Journal::open(env, journal).await?;
    let handle = master::start(env, master, state.agent_id.iter().cloned().collect());
    let agent = Agent::new(env, agent, (journal, state), launcher, reports, handle.clone());
    env.spawn("embedded agent", agent.run());
    Ok(handle)
}
