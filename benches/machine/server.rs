//! A `tenure server` of this build, with data in a temporary folder, driven as a client would.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tempfile::TempDir;
use tenure::api::App;
use tokio::time::Instant;

/// What both sides run; `hack/bench` imports it.
pub(crate) const IMAGE: &str = "tenure-bench/sleep:v1";

/// The server and a client of it.
pub(crate) struct Server {
    child: Child,
    /// Removed at the end.
    _folder: TempDir,
    pub(crate) apps: Api<App>,
}

impl Server {
    pub(crate) async fn start() -> Result<Server> {
        Server::start_with(&[]).await
    }

    /// The same with further flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let child = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .args(["server", "--name", "bench", "--listen", "127.0.0.1:0", "--marathon-listen", "off"])
            .args(["--agent-resources", "cpus:1000;mem:1000000;disk:1000000;ports:[40000-45000]"])
            .args(["--address", "127.0.0.1", "--data-dir"])
            .arg(&data)
            .args(flags)
            .stderr(Stdio::from(std::fs::File::create(folder.path().join("log"))?))
            .spawn()
            .context("start tenure")?;
        let kubeconfig = data.join("kubeconfig");
        wait_for(&kubeconfig).await?;
        let config = Kubeconfig::read_from(&kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = kube::Client::try_from(config)?;
        Ok(Server { child, _folder: folder, apps: Api::namespaced(client, "default") })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An App of sleeping containers that replaces [`crate::PARALLEL`] of them at once, without grace.
    pub(crate) fn app(&self, name: &str, network: &str, instances: usize) -> App {
        let down = crate::PARALLEL as f64 / instances as f64;
        serde_json::from_value(json!({
            "apiVersion": "tenure.dev/v1", "kind": "App",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "instances": instances,
                "args": ["sleep", "100000"],
                "container": {"image": IMAGE, "network": network},
                "resources": {"cpus": "10m", "memory": "16Mi"},
                "kill": {"gracePeriod": "0s"},
                "update": {"minimumHealthCapacity": 1.0 - down, "maximumOverCapacity": 0},
            },
        }))
        .expect("the App of the bench is valid")
    }

    /// Time from the request until the App reports all instances running.
    pub(crate) async fn launch(&self, app: &App) -> Result<Duration> {
        let began = Instant::now();
        let made = self.apps.create(&PostParams::default(), app).await?;
        self.until(&made, |app| {
            let running = app.status.as_ref().map_or(0, |status| status.running);
            running == app.spec.instances
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Time from the request until every instance has been replaced.
    pub(crate) async fn restart(&self, app: &App) -> Result<Duration> {
        let name = app.metadata.name.as_deref().context("no name")?;
        let began = Instant::now();
        let patch = json!({"spec": {"restartedAt": format!("{began:?}")}});
        let changed = self.apps.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.until(&changed, |app| {
            app.status.as_ref().is_some_and(|status| {
                status.observed_generation == app.metadata.generation
                    && status.updated == app.spec.instances
                    && status.running == app.spec.instances
                    && status.instances == app.spec.instances
            })
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Deletes the App and waits until its last container is gone.
    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        let Some(app) = self.apps.get_opt(name).await? else { return Ok(()) };
        self.apps.delete(name, &DeleteParams::default()).await?;
        let version = app.metadata.resource_version.context("no version")?;
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let mut events = self.apps.watch(&params, &version).await?.boxed();
        while let Some(event) = events.try_next().await? {
            if matches!(event, WatchEvent::Deleted(_)) {
                return Ok(());
            }
        }
        bail!("the watch ended before {name} was gone")
    }

    async fn until(&self, from: &App, done: impl Fn(&App) -> bool) -> Result<()> {
        let name = from.metadata.name.as_deref().context("no name")?;
        let version = from.metadata.resource_version.as_deref().context("no version")?;
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let mut events = self.apps.watch(&params, version).await?.boxed();
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(app) | WatchEvent::Modified(app) if done(&app) => return Ok(()),
                WatchEvent::Error(status) => bail!("watch: {}", status.message),
                _ => {}
            }
        }
        bail!("the watch ended before {name} was as wanted")
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        tokio::task::block_in_place(|| self.child.wait())?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended after `stop`; otherwise a failed bench must not leave it behind.
        drop(self.child.kill());
    }
}

/// The server writes its kubeconfig when it is ready.
async fn wait_for(file: &Path) -> Result<()> {
    let began = Instant::now();
    while !file.exists() {
        if began.elapsed() > Duration::from_secs(30) {
            bail!("the server did not become ready");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
