//! `hack/bench api`: what the Kubernetes API of one server does, beside what the store under it does by itself.
//!
//! The server is a process of its own with its store on disk; TLS, authentication (a ServiceAccount's token), authorization (by a
//! role) and the audit log are on. Each measure alternates between the store used directly and the API, so that both see the same
//! machine, and is told with their ratio. Clients and server share the machine's cores.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod measures;
mod options;
mod raw;
mod report;
mod served;
mod watches;

use anyhow::Result;

use measures::Measures;
use options::Options;
use raw::Raw;
use served::Served;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    println!("{options}");
    let mut server = Served::start(&options).await?;
    let mut raw = Raw::open().await?;
    Measures { options: &options, server: &mut server, raw: &mut raw }.print().await?;
    server.stop().await
}
