//! A real etcd of one's own: free loopback ports, data in a temporary folder, ended when dropped.

#![allow(dead_code, reason = "each test binary uses a part of the harness")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tenure::store::Store;
use tenure::store::etcd::{EtcdConfig, EtcdStore};

/// How long etcd may take to answer after it was started.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// One member that is a cluster by itself.
pub(crate) struct Etcd {
    folder: TempDir,
    client_port: u16,
    peer_port: u16,
    /// Of its client URL.
    scheme: &'static str,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Etcd {
    /// Starts an empty etcd and waits until it answers.
    pub(crate) async fn start() -> Etcd {
        Etcd::start_with(&[]).await
    }

    /// As [`Etcd::start`], with more arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Etcd {
        let folder = tempfile::tempdir().expect("failed to make a folder for etcd");
        let [client_port, peer_port] = free_ports();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut etcd = Etcd { folder, client_port, peer_port, scheme: "http", arguments, process: None };
        etcd.resume().await;
        etcd
    }

    /// Starts an empty etcd that speaks TLS with a certificate of its own making, and waits until it listens.
    pub(crate) fn start_with_tls() -> Etcd {
        let folder = tempfile::tempdir().expect("failed to make a folder for etcd");
        let [client_port, peer_port] = free_ports();
        let arguments = vec!["--auto-tls".to_owned()];
        let mut etcd = Etcd { folder, client_port, peer_port, scheme: "https", arguments, process: None };
        etcd.spawn();
        let mut attempts = 0;
        while std::net::TcpStream::connect(("127.0.0.1", client_port)).is_err() {
            attempts += 1;
            assert!(attempts * PAUSE < START_WITHIN, "etcd does not listen");
            std::thread::sleep(PAUSE);
        }
        etcd
    }

    /// As `--store` wants it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.scheme == "https" { "etcds" } else { "etcd" };
        format!("{scheme}://127.0.0.1:{}", self.client_port)
    }

    /// From now on nobody but `root` with this password is let in.
    pub(crate) fn require_login(&self, password: &str) {
        self.etcdctl(&["user", "add", &format!("root:{password}")]);
        self.etcdctl(&["user", "grant-role", "root", "root"]);
        self.etcdctl(&["auth", "enable"]);
    }

    /// What an operator does to an etcd that is full: forgets the past, and says that there is room again.
    pub(crate) fn make_room(&self) {
        let status = self.etcdctl(&["endpoint", "status", "--write-out", "fields"]);
        let revision = status.lines().find_map(|line| line.strip_prefix("\"Revision\" : "));
        self.etcdctl(&["compact", revision.expect("etcd tells its revision")]);
        self.etcdctl(&["defrag"]);
        self.etcdctl(&["alarm", "disarm"]);
    }

    fn etcdctl(&self, arguments: &[&str]) -> String {
        let done = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.url().replace("etcd://", "http://")])
            .args(arguments)
            .output()
            .expect("failed to start etcdctl: install the package etcd-client");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// A store on this etcd.
    pub(crate) fn store(&self) -> Arc<EtcdStore> {
        let config = EtcdConfig::new(&self.url(), None).expect("the URL of a test's etcd is valid");
        EtcdStore::new(config, "/")
    }

    /// Ends etcd as `kill -9` does. Its data and ports stay.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself; waiting tells either way.
            let _ = process.kill();
            process.wait().expect("failed to wait for etcd");
        }
    }

    /// Starts it again after [`Etcd::kill`] and waits until it answers.
    pub(crate) async fn resume(&mut self) {
        self.spawn();
        let store = self.store();
        let answers = async {
            while store.revision().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(START_WITHIN, answers).await.expect("etcd does not answer");
    }

    fn spawn(&mut self) {
        let client = format!("{}://127.0.0.1:{}", self.scheme, self.client_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        // setpriv ends etcd with the test, should that be killed.
        let spawned = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "etcd",
                "--name",
                "test",
                "--unsafe-no-fsync",
                "--log-level",
                "error",
            ])
            .arg("--data-dir")
            .arg(self.folder.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}"), "--heartbeat-interval", "50"])
            .args(["--election-timeout", "500"])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process =
            Some(spawned.expect("failed to start etcd: install the packages etcd-server and util-linux"));
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ports that nobody listens on now.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("failed to find a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound listener has an address").port())
}
