//! Plain processes, for apps without a container.
//!
//! Each runs under a *shim* of its own (`tenure shim DIR`, the same binary): in a session of its own, with its own logs, so
//! that it outlives the server. Between the two stand only files, each written whole and renamed into place:
//!
//! ```text
//! DIR/shim.lock    held (flock) while the shim lives: a second shim for the same task ends at once
//! DIR/pid.json     pid and start time of the shim and of the process
//! DIR/exit.json    how the process ended; absent while it runs
//! DIR/stdout, DIR/stdout.1 ...   output, rotated by size;  DIR/stderr likewise
//! DIR/shim.log     what the shim itself has to say
//! DIR/sandbox/     working directory of the process
//! ```
//!
//! The task's environment may hold secrets: it goes to the shim through a pipe and never to a file or a command line.
//! Cpus and memory of processes are accounted for in placement and not enforced, as with Mesos's posix isolator.

mod command;
mod files;
pub mod shim;
mod task;

pub use crate::env::process::{ProcessId, Watched};
pub use command::SandboxCommand;
pub use files::{Exit, TaskDir};

pub(crate) use task::environment;
pub use task::{ProcessError, ProcessRun, Processes, shim_spec};
