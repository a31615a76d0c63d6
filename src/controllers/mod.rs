//! The loops: observe, plan, act, report. Only here meet a reader, a decision and a writer.

mod environment;
mod secrets;
mod task_info;

pub use secrets::{SecretError, Secrets};
pub use task_info::{Launch, LaunchError, task_info};
