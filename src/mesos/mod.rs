//! The Mesos v1 APIs: wire types, RecordIO, the session and the embedded master.
//!
//! ```text
//! controllers -- commands --> Session -- Call --> Connection ==> a master: Apache Mesos over HTTP,
//!             <-- events ----         <-- Event --               or `embedded` in this process
//!                                                                      | Launcher
//!                                                                  `executor`: Docker, processes
//! ```
//!
//! Nothing outside this room knows which master is behind the [`connection::Connection`].

#[cfg(feature = "full")]
pub mod connection;
#[cfg(feature = "full")]
pub mod embedded;
#[cfg(feature = "full")]
pub mod http;
pub mod launcher;
#[cfg(feature = "full")]
pub mod leases;
pub mod recordio;
#[cfg(feature = "full")]
pub mod session;
pub mod wire;
