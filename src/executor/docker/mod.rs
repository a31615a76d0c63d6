//! Tasks as Docker containers.
//!
//! ```text
//! Task --spec (pure)--> create request --task--> engine --> dockerd
//!                             image: pulled once per revision      events: one stream wakes every task
//! ```
//!
//! dockerd supervises the containers and keeps their output; they run on while Tenure is down, and are found again by
//! name and label ([`adopt`]). A container belongs to the installation whose uid it carries; no other is ever touched.

pub mod adopt;
mod attach;
mod engine;
mod events;
mod gpus;
pub mod guard;
mod image;
mod leftovers;
mod owner;
mod params;
mod spec;
mod sweep;
mod task;

pub use attach::{Attached, ExecState};
pub use engine::{DEFAULT_HOST, Engine, EngineError, Fault, Image, Operation};
pub use events::Events;
pub use image::{ImageError, Images, Wanted};
pub use leftovers::Sweep;
pub use owner::{EXECUTOR_LABEL, Executor, INSTALLATION_LABEL, LOCK_LABEL, Owner, PROCESS_LABEL};
pub use spec::{SpecError, TASK_ID_LABEL, container_name, create_request, effective_network};
pub use sweep::sweep;
pub use task::{Containers, RunningContainer};
