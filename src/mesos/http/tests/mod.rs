//! The session over HTTP on loopback against an embedded master, and the connection against servers that are none. Nothing
//! here is simulated: time is real, and nothing depends on how much of it passes.

mod calls;
mod fake;
mod refusals;
mod sandbox;
mod silent;
mod tasks;
mod tls;
mod watching;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::env::{Spawned, watch};
use crate::mesos::embedded::fleet::Fleet;
use crate::mesos::embedded::http::{Front, Role};
use crate::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use crate::mesos::embedded::resources::parse_resources;
use crate::mesos::session::support::{self, Remembered};
use crate::mesos::session::{self, Identity, Session, SessionConfig, SessionEvent, SessionEvents};
use crate::mesos::wire::{AgentInfo, FrameworkId, FrameworkInfo};

/// No event takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A master process: an address, and what it says there. Its master and agents outlive it.
struct Process {
    address: SocketAddr,
    role: watch::Sender<Role>,
    stop: CancellationToken,
    served: Spawned<()>,
}

impl Process {
    /// One that leads, with what `adorn` adds to it.
    async fn leading(env: &Env, master: &MasterHandle, adorn: impl FnOnce(Front) -> Front) -> Process {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let role = Role::Leads(listener.local_addr().unwrap(), master.clone());
        Process::on(env, listener, role, adorn)
    }

    fn on(env: &Env, listener: TcpListener, role: Role, adorn: impl FnOnce(Front) -> Front) -> Process {
        let address = listener.local_addr().unwrap();
        let (role, told) = watch::channel(role);
        let stop = CancellationToken::new();
        let front = adorn(Front::new(env, told));
        let served = env.spawn("front", front.serve(listener, stop.clone()));
        Process { address, role, stop, served }
    }

    /// Ends it as `kill -9` does; the address is free then.
    async fn die(self) -> SocketAddr {
        self.stop.cancel();
        self.served.join().await.unwrap();
        self.address
    }

    fn url(&self) -> MasterUrl {
        format!("http://{}", self.address).parse().unwrap()
    }
}

/// A master with one agent.
fn cluster(env: &Env) -> (MasterHandle, Fleet) {
    let master = master::start(env, MasterConfig::local(), BTreeSet::new());
    let agent = AgentInfo {
        hostname: "agent1".to_owned(),
        resources: parse_resources("cpus:4;mem:4096;ports:[31000-31099]").unwrap(),
        ..AgentInfo::default()
    };
    let fleet = Fleet::start(env, &master, [agent]);
    (master, fleet)
}

fn open(env: &Env, config: HttpConfig) -> (Session, SessionEvents) {
    open_as(env, config, None)
}

fn open_as(env: &Env, config: HttpConfig, principal: Option<&str>) -> (Session, SessionEvents) {
    let identity = Remembered { principal: principal.map(str::to_owned), ..Remembered::default() };
    let quick = SessionConfig {
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(50),
        backoff_broken: Duration::from_millis(50),
        backoff_refused: Duration::from_millis(50),
        ..SessionConfig::default()
    };
    session::start(env, Arc::new(HttpConnection::new(env, config)), Arc::new(identity), quick)
}

/// The next event that `pick` takes; others are passed over.
async fn await_event<T>(events: &mut SessionEvents, mut pick: impl FnMut(SessionEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.next().await.expect("the session goes on");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the event comes")
}

/// Our id, the number of the subscription, and the master's id.
async fn subscribed(events: &mut SessionEvents) -> (FrameworkId, u64, Option<String>) {
    await_event(events, |event| match event {
        SessionEvent::Subscribed { framework_id, generation, master_id, .. } => {
            Some((framework_id, generation, master_id))
        }
        _ => None,
    })
    .await
}

/// Why there is no subscription.
async fn reason(events: &mut SessionEvents) -> String {
    await_event(events, |event| match event {
        SessionEvent::Disconnected { reason, .. } => Some(reason),
        SessionEvent::Subscribed { .. } => panic!("subscribed"),
        _ => None,
    })
    .await
}
