//! A Mesos-shaped master and its agents inside this process.
//!
//! They answer the scheduler API as the real ones do (recorded conversations are the yardstick), so that nothing else
//! knows the difference. What really runs tasks stands behind [`launcher::Launcher`].

pub mod launcher;
