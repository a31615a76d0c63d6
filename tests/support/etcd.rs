//! A real etcd of one's own: free loopback ports, data in a temporary folder, ended when dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tenure::store::Store;
use tenure::store::etcd::{EtcdConfig, EtcdStore};

/// How long etcd may take to answer after it was started.
const START_WITHIN: Duration = Duration::from_secs(30);

/// One member that is a cluster by itself.
pub(crate) struct Etcd {
    folder: TempDir,
    client_port: u16,
    peer_port: u16,
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
        let mut etcd = Etcd { folder, client_port, peer_port, arguments, process: None };
        etcd.resume().await;
        etcd
    }

    /// As `--store` wants it.
    pub(crate) fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.client_port)
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
        let client = format!("http://127.0.0.1:{}", self.client_port);
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
        let store = self.store();
        let answers = async {
            while store.revision().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(START_WITHIN, answers).await.expect("etcd does not answer");
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
