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

pub mod connection;
pub mod embedded;
pub mod http;
pub mod leases;
pub mod recordio;
pub mod session;
pub mod wire;
