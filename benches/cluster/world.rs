//! Store, simulated cluster and servers, wired as `serve` wires a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tenure::api::Task;
use tenure::controllers::{Census, Contact, Ends, Leader, Messages, Offers, Policy, framework};
use tenure::env::Env;
use tenure::mesos::embedded::fleet::Fleet;
use tenure::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use tenure::mesos::embedded::resources::{parse_attributes, parse_resources};
use tenure::mesos::wire::AgentInfo;
use tenure::registry::{Cache, Fence, Key, Prefix, Registry, Resource, Scheme, Snapshot, Write};
use tenure::runtime::{Election, Facts, LEADER_TTL};
use tenure::store::embedded::{EmbeddedOptions, EmbeddedStore};
use tenure::store::memory::MemoryStore;
use tenure::store::{Revision, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::counted::{Counted, CountedConnection, CountedStore};
use crate::etcd::Etcd;
use crate::options::{Options, StoreKind};

/// Writes of people in one transaction.
const BATCH: usize = 100;
const NAMESPACE: &str = "shop";
const PROBE: &str = "probe";

/// What outlives servers.
pub(crate) struct World {
    pub(crate) counts: Arc<Counted>,
    pub(crate) fleet: Fleet,
    store: Arc<dyn Store>,
    master: MasterHandle,
    /// The view of the first server, which is also that of people.
    people: Option<Arc<Registry>>,
    servers: u64,
    _elsewhere: Env,
    _folder: TempDir,
    _etcd: Option<Etcd>,
}

/// One server.
pub(crate) struct Server {
    pub(crate) env: Env,
}

fn prefix() -> Prefix {
    Prefix::new("bench")
}

impl World {
    pub(crate) async fn new(options: &Options) -> Result<World> {
        let elsewhere = Env::system()?;
        let (counts, folder) = (Arc::new(Counted::default()), tempfile::tempdir()?);
        let (store, etcd): (Arc<dyn Store>, _) = match options.store {
            StoreKind::Memory => (MemoryStore::new(&elsewhere), None),
            StoreKind::Embedded => {
                (EmbeddedStore::open(&elsewhere, folder.path(), EmbeddedOptions::default()).await?, None)
            }
            StoreKind::Etcd => {
                let arguments = ["--unsafe-no-fsync=false", "--quota-backend-bytes", "8589934592"];
                let etcd = Etcd::start_with(&arguments).await;
                (etcd.store(), Some(etcd))
            }
        };
        let store: Arc<dyn Store> = Arc::new(CountedStore { store, counts: counts.clone() });
        // What is lost is lost at once: the wait is a choice of operators, not what is measured here.
        let config = MasterConfig { agent_ping_timeout: Duration::ZERO, ..MasterConfig::local() };
        let master = master::start(&elsewhere, config, BTreeSet::new());
        let fleet = Fleet::start(&elsewhere, &master, (0..options.agents).map(agent_info));
        let world = World {
            counts,
            fleet,
            store,
            master,
            people: None,
            servers: 0,
            _elsewhere: elsewhere,
            _folder: folder,
            _etcd: etcd,
        };
        Ok(world)
    }

    /// Starts a server that stands for leadership; returns when it has read the store.
    pub(crate) async fn start_server(&mut self) -> Result<Server> {
        self.servers += 1;
        let env = Env::system()?;
        let cache = Cache::start(&env, self.store.clone(), &prefix());
        cache.listed().await;
        let registry =
            Registry::new(&env, self.store.clone(), cache, &prefix(), Scheme::ours().context("scheme")?);
        if self.people.is_none() {
            self.people = Some(registry.clone());
            let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
            self.write(vec![Write::Create { value }]).await?;
        }
        let connection = CountedConnection { connection: self.master.clone(), counts: self.counts.clone() };
        let leader = Leader {
            env: env.clone(),
            registry: registry.clone(),
            facts: Facts::new(self.store.clone(), &prefix().meta("")),
            connection: Arc::new(connection),
            framework: framework("bench", "root", &["tenure".to_owned()], "here"),
            installation: Arc::from("installation-uid"),
            host: Arc::from("here"),
            policy: Policy::sole(),
            contact: Contact::default(),
            ends: Ends::default(),
            census: Census::default(),
            offers: Offers::default(),
            messages: Messages::default(),
            anew: None,
        };
        let election = Election {
            env: env.clone(),
            store: self.store.clone(),
            key: prefix().leader(),
            holder: format!("server {}", self.servers),
            door: serde_json::Value::Null,
            ttl: LEADER_TTL,
            rivals: true,
        };
        env.spawn("leader", async move {
            let end = leader.run(&election, CancellationToken::new()).await;
            panic!("leading ended: {end:?}");
        });
        // The standby's view is the one that survives.
        self.people = Some(registry);
        Ok(Server { env })
    }

    fn people(&self) -> &Arc<Registry> {
        self.people.as_ref().expect("a server was started")
    }

    pub(crate) fn cache(&self) -> &Arc<Cache> {
        self.people().cache()
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        self.people().commit(&Fence::none(), writes).await?;
        Ok(())
    }

    /// People write all Apps, one batch after the other.
    pub(crate) async fn write_apps(&self, options: &Options) -> Result<()> {
        let apps: Vec<usize> = (0..options.apps).collect();
        for chunk in apps.chunks(BATCH) {
            let write = |app: &usize| Write::Create {
                value: app_of(&format!("app-{app:05}"), options.instances(*app)),
            };
            self.write(chunk.iter().map(write).collect()).await?;
        }
        Ok(())
    }

    /// People write one more App, of one task.
    pub(crate) async fn write_probe(&self) -> Result<()> {
        self.write(vec![Write::Create { value: app_of(PROBE, 1) }]).await
    }

    /// Waits until the task of [`World::write_probe`] has its place.
    pub(crate) async fn until_probe_bound(&self, patience: Duration) -> Result<()> {
        let bound = |snapshot: &Snapshot| {
            let first = Key::new(&tasks_resource(), NAMESPACE, PROBE);
            let mut of_probe = snapshot.list_after(&first, Some(NAMESPACE));
            let task = of_probe.next().filter(|doc| doc.key().name.starts_with(PROBE));
            task.and_then(|doc| doc.typed::<Task>().ok()).is_some_and(|task| task.spec.binding.is_some())
        };
        let mut revisions = self.cache().revisions();
        let reached = async {
            while !bound(&self.cache().snapshot()) {
                revisions.changed().await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(patience, reached).await.context("the probe is not placed")?
    }

    /// The revision that began the present leader's term.
    pub(crate) async fn leader_term(&self) -> Result<Option<Revision>> {
        Ok(self.store.get(&prefix().leader()).await?.map(|record| record.created))
    }

    /// Waits until another term than `old` has begun, and tells how long that took.
    pub(crate) async fn until_led_anew(&self, old: Option<Revision>, patience: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let term = self.leader_term().await?;
            if term.is_some() && term != old {
                return Ok(begun.elapsed());
            }
            anyhow::ensure!(begun.elapsed() < patience, "nobody leads");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Decodes every Task in the view of people, as a server does that stands by.
    pub(crate) fn decode_tasks(&self) {
        for doc in self.cache().snapshot().list(&tasks_resource(), None) {
            doc.typed::<Task>().expect("a Task of ours can be read");
        }
    }

    /// Every Task and its version.
    pub(crate) fn task_revisions(&self) -> BTreeMap<Key, Revision> {
        let snapshot = self.cache().snapshot();
        snapshot.list(&tasks_resource(), None).map(|doc| (doc.key().clone(), doc.revision())).collect()
    }

    pub(crate) fn revision_of(&self, key: &Key) -> Option<Revision> {
        self.cache().snapshot().get(key).map(|doc| doc.revision())
    }
}

pub(crate) fn tasks_resource() -> Resource {
    Resource::new("tenure.dev", "tasks")
}

/// A service of `instances` plain processes with one port each.
fn app_of(name: &str, instances: usize) -> Value {
    json!({
        "apiVersion": "tenure.dev/v1",
        "kind": "App",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {
            "instances": instances,
            "cmd": "serve",
            "resources": {"cpus": "100m", "memory": "128Mi", "disk": "16Mi"},
            "ports": [{"name": "http"}],
        },
    })
}

/// A machine that holds a few hundred of the tasks above.
fn agent_info(number: usize) -> AgentInfo {
    let resources = "cpus:64;mem:65536;disk:1048576;ports:[31000-31999]";
    let parsed = (parse_resources(resources), parse_attributes(&format!("rack:r{}", number % 75)));
    let (Ok(resources), Ok(attributes)) = parsed else { panic!("the constant texts above are well-formed") };
    AgentInfo { hostname: format!("machine-{number}"), resources, attributes, ..AgentInfo::default() }
}
