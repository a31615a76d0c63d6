//! A server on a store in memory, wired as `serve` wires a real one on a Mesos over HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tenure::api::{Phase, Task};
use tenure::controllers::{Census, Contact, Ends, Leader, Messages, Offers, Policy, Runner, framework};
use tenure::env::Env;
use tenure::mesos::connection::Connection;
use tenure::registry::{Cache, Doc, Fence, Prefix, Registry, Resource, Scheme, Write};
use tenure::runtime::{Election, Facts, LEADER_TTL};
use tenure::store::Store;
use tenure::store::memory::MemoryStore;
use tokio_util::sync::CancellationToken;

use crate::options::Options;

/// Writes of people in one transaction.
const BATCH: usize = 100;
const NAMESPACE: &str = "shop";

/// The server.
pub(crate) struct World {
    env: Env,
    registry: Arc<Registry>,
}

impl World {
    /// Starts it; it leads from now on.
    pub(crate) async fn start(connection: Arc<dyn Connection>) -> Result<World> {
        let env = Env::system()?;
        let prefix = Prefix::new("bench");
        let store: Arc<dyn Store> = MemoryStore::new(&env);
        let cache = Cache::start(&env, store.clone(), &prefix);
        cache.listed().await;
        let scheme = Scheme::ours().context("scheme")?;
        let registry = Registry::new(&env, store.clone(), cache, &prefix, scheme);
        let world = World { env: env.clone(), registry: registry.clone() };
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        world.write(vec![Write::Create { value }]).await?;
        let leader = Leader {
            env: env.clone(),
            registry,
            facts: Facts::new(store.clone(), &prefix.meta("")),
            connection,
            framework: framework("bench", "root", &["tenure".to_owned()], "here"),
            installation: Arc::from("installation-uid"),
            host: Arc::from("here"),
            policy: Policy::shared(Runner::Mesos),
            contact: Contact::default(),
            ends: Ends::default(),
            census: Census::default(),
            offers: Offers::default(),
            messages: Messages::default(),
            anew: None,
        };
        let election = Election {
            env: env.clone(),
            store,
            key: prefix.leader(),
            holder: "server".to_owned(),
            door: serde_json::Value::Null,
            ttl: LEADER_TTL,
            rivals: true,
        };
        env.spawn("leader", async move {
            let end = leader.run(&election, CancellationToken::new()).await;
            panic!("leading ended: {end:?}");
        });
        Ok(world)
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        self.registry.commit(&Fence::none(), writes).await?;
        Ok(())
    }

    /// People write all Apps, one batch after the other.
    pub(crate) async fn write_apps(&self, options: &Options) -> Result<()> {
        let apps: Vec<usize> = (0..options.apps).collect();
        for chunk in apps.chunks(BATCH) {
            let write = |app: &usize| Write::Create { value: app_of(*app, options.instances(*app)) };
            self.write(chunk.iter().map(write).collect()).await?;
        }
        Ok(())
    }

    /// Waits until so many Tasks run.
    pub(crate) async fn until_running(&self, tasks: usize, patience: Duration) -> Result<()> {
        let resource = Resource::new("tenure.dev", "tasks");
        let (snapshot, mut subscription) = self.registry.cache().follow(Some(resource.clone()));
        let mut running = snapshot.list(&resource, None).filter(|doc| runs(doc)).count();
        let counted = async {
            while running != tasks {
                match subscription.next().await {
                    Ok(changes) => {
                        for change in changes {
                            running += usize::from(change.new.as_ref().is_some_and(runs));
                            running -= usize::from(change.old.as_ref().is_some_and(runs));
                        }
                    }
                    Err(_cut) => {
                        let snapshot = subscription.resync();
                        running = snapshot.list(&resource, None).filter(|doc| runs(doc)).count();
                    }
                }
            }
        };
        let reached = tokio::time::timeout(patience, counted).await;
        reached.with_context(|| format!("only {running} of {tasks} tasks run"))
    }

    /// Ends it as a crash does.
    pub(crate) fn end(self) {
        self.env.crash();
    }
}

fn runs(doc: &Arc<Doc>) -> bool {
    doc.typed::<Task>().is_ok_and(|task| task.phase() == Phase::Running)
}

/// A service of `instances` plain processes with one port each.
fn app_of(number: usize, instances: usize) -> Value {
    json!({
        "apiVersion": "tenure.dev/v1",
        "kind": "App",
        "metadata": {"namespace": NAMESPACE, "name": format!("app-{number:05}")},
        "spec": {
            "instances": instances,
            "cmd": "serve",
            "resources": {"cpus": "100m", "memory": "128Mi", "disk": "16Mi"},
            "ports": [{"name": "http"}],
        },
    })
}
