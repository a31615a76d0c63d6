//! What runs beside the tasks: Docker containers and plain processes, their checks and their output.
//!
//! ```text
//! Launch --wire--> Task --launcher--> docker | process --run--> report --> TaskStatus --> the agent
//!                                         checks ────────────────^
//! ```
//!
//! - [`wire`]: a task as the cluster describes it, read and checked; [`task`]: the result.
//! - [`launcher`]: one loop per task, behind the trait that whoever speaks for tasks knows.
//! - [`docker`]: containers, supervised by dockerd. [`process`]: plain processes, under a shim that outlives the server.
//! - [`agent`]: the executor of a real Mesos agent, around the launcher.
//! - [`run`]: stands by what runs until it ends. [`report`]: says so in Mesos's words.
//! - [`exec`]: commands that people run beside a task. [`checks`]: probes and verdicts. [`logs`]: what tasks wrote.
//!
//! Nothing here decides: it does what the cluster asked for, and reports. A task ends only by the word of dockerd or of
//! its shim; while those cannot be asked, it keeps the state that it had.

pub mod agent;
pub mod checks;
mod complaint;
pub mod docker;
pub mod exec;
pub mod launcher;
pub mod life;
pub mod logs;
pub mod process;
pub mod report;
mod retry;
pub mod run;
pub mod task;
pub mod wire;

pub use launcher::{LauncherConfig, LocalLauncher};
