//! A `tenure server` of this build in a process of its own, and clients of it who may do what a role permits.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::{Method, Request};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::options::Options;

const PATIENCE: Duration = Duration::from_secs(120);
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// The server, and what its clients write.
pub(crate) struct Served {
    child: Child,
    folder: TempDir,
    listen: String,
    /// The path of the objects that are measured, without a name.
    pub(crate) objects: String,
    /// The same of those that stand beside them.
    pub(crate) others: String,
    apps: bool,
    config: kube::Config,
    token: String,
    /// As the ServiceAccount of the bench.
    pub(crate) client: Client,
}

impl Served {
    pub(crate) async fn start(options: &Options) -> Result<Served> {
        let folder = tempfile::tempdir()?;
        // A port that was free a moment ago: the kubeconfig names it, so it must be the same after a restart.
        let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = spawn(folder.path(), &listen)?;
        let (admin, config) = ready(&data(folder.path())).await?;
        let group = |plural: &str| format!("/apis/bench.tenure.dev/v1/namespaces/default/{plural}");
        let apps = "/apis/tenure.dev/v1/namespaces/default/apps".to_owned();
        let objects = if options.apps { apps } else { group("widgets") };
        for plural in ["widgets", "others"] {
            define(&admin, plural).await?;
        }
        let (config, token) = as_account(&admin, config).await?;
        let client = Client::try_from(config.clone())?;
        Ok(Served {
            child,
            folder,
            listen,
            objects,
            others: group("others"),
            apps: options.apps,
            config,
            token,
            client,
        })
    }

    /// Where it is reached, whom it was signed by (DER), and the token of the bench.
    pub(crate) fn door(&self) -> Result<(String, Vec<Vec<u8>>, String)> {
        let authorities = self.config.root_cert.clone().context("no authority")?;
        Ok((self.listen.clone(), authorities, self.token.clone()))
    }

    /// The object of this name as clients write it: about one kilobyte.
    pub(crate) fn object(&self, name: &str, text: &str) -> Value {
        if self.apps {
            return json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": name}, "spec": {
                "instances": 0, "cmd": "sleep 1000", "env": [{"name": "TEXT", "value": text}]}});
        }
        json!({"apiVersion": "bench.tenure.dev/v1", "kind": "Widget", "metadata": {"name": name},
            "spec": {"size": 3, "text": text}})
    }

    /// The same of the kind that stands beside.
    pub(crate) fn other(&self, name: &str, text: &str) -> Value {
        json!({"apiVersion": "bench.tenure.dev/v1", "kind": "Other", "metadata": {"name": name},
            "spec": {"size": 3, "text": text}})
    }

    /// A kilobyte counter of `/proc/PID/status`, such as `VmRSS:`, in mebibytes.
    pub(crate) fn memory(&self, field: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib =
            line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {field}"))?;
        Ok(kib.parse::<f64>()? / 1_024.0)
    }

    /// Lets the peak of its memory begin anew.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").context("clear_refs")
    }

    /// Ends it and starts it again: how long it takes until it serves.
    pub(crate) async fn restarted(&mut self) -> Result<Duration> {
        self.end()?;
        let began = Instant::now();
        self.child = spawn(self.folder.path(), &self.listen)?;
        ready(&data(self.folder.path())).await?;
        Ok(began.elapsed())
    }

    fn end(&mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id())?).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        tokio::task::block_in_place(|| self.child.wait())?;
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.end()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Already ended after `stop`; otherwise a failed bench must not leave it behind.
        drop(self.child.kill());
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn spawn(folder: &Path, listen: &str) -> Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
    Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["server", "--name", "bench", "--listen", listen, "--marathon-listen", "off"])
        .args(["--address", "127.0.0.1", "--data-dir"])
        .arg(data(folder))
        .stderr(Stdio::from(log))
        .spawn()
        .context("start tenure")
}

/// The administrator's client, once it is answered.
async fn ready(data: &Path) -> Result<(Client, kube::Config)> {
    let (began, file) = (Instant::now(), data.join("kubeconfig"));
    loop {
        if file.exists() {
            let kubeconfig = Kubeconfig::read_from(&file)?;
            let mut config =
                kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            config.default_retry = false;
            let client = Client::try_from(config.clone())?;
            let asked = client.request_text(Request::get("/readyz").body(Vec::new())?).await;
            if asked.is_ok() {
                return Ok((client, config));
            }
        }
        ensure!(began.elapsed() < PATIENCE, "the server did not become ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends a body, and reads the answer whole.
pub(crate) async fn send(client: &Client, method: Method, path: &str, body: &Value) -> Result<String> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    Ok(client.request_text(request.body(body.to_string().into_bytes())?).await?)
}

/// Reads a path whole, without decoding it.
pub(crate) async fn get(client: &Client, path: &str) -> Result<String> {
    Ok(client.request_text(Request::get(path).body(Vec::new())?).await?)
}

/// Defines a kind, and waits until it is served.
async fn define(admin: &Client, plural: &str) -> Result<()> {
    let kind = if plural == "widgets" { "Widget" } else { "Other" };
    let spec = json!({"type": "object", "properties": {"size": {"type": "integer", "minimum": 0, "default": 1},
        "text": {"type": "string", "maxLength": 4096}}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.bench.tenure.dev")},
        "spec": {"group": "bench.tenure.dev", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}]},
    });
    send(admin, Method::POST, DEFINITIONS, &definition).await?;
    let (began, path) = (Instant::now(), format!("/apis/bench.tenure.dev/v1/namespaces/default/{plural}"));
    while get(admin, &path).await.is_err() {
        if began.elapsed() > PATIENCE {
            bail!("{plural} are not served");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The same configuration for a ServiceAccount that may do what the bench does, and its token.
async fn as_account(admin: &Client, mut config: kube::Config) -> Result<(kube::Config, String)> {
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    send(admin, Method::POST, accounts, &json!({"metadata": {"name": "bench"}})).await?;
    let rule = json!({"verbs": ["*"], "apiGroups": ["bench.tenure.dev", "tenure.dev"], "resources": ["*"]});
    let role = json!({"metadata": {"name": "bench"}, "rules": [rule]});
    send(admin, Method::POST, &format!("{RBAC}/clusterroles"), &role).await?;
    let binding = json!({"metadata": {"name": "bench"}, "roleRef": {"kind": "ClusterRole", "name": "bench"},
        "subjects": [{"kind": "ServiceAccount", "name": "bench", "namespace": "default"}]});
    send(admin, Method::POST, &format!("{RBAC}/clusterrolebindings"), &binding).await?;
    // What a role permits counts once it is seen; this read waits for it.
    get(admin, &format!("{RBAC}/clusterrolebindings")).await?;
    let (path, request) = (format!("{accounts}/bench/token"), json!({"spec": {"expirationSeconds": 86_400}}));
    let answer: Value = serde_json::from_str(&send(admin, Method::POST, &path, &request).await?)?;
    let token = answer["status"]["token"].as_str().context("no token")?.to_owned();
    config.auth_info.token = Some(token.clone().into());
    Ok((config, token))
}
