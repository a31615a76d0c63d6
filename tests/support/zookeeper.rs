//! A ZooKeeper of one server on a free loopback port, with data in a temporary folder; Debian's package.

#![allow(clippy::unwrap_used, reason = "a harness that cannot start ends the test")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const CLASSES: &str = "/usr/share/java/zookeeper.jar";
/// Java takes its time on a loaded machine.
const ATTEMPTS_MAX: u32 = 2400;
const PAUSE: Duration = Duration::from_millis(50);

/// A running ZooKeeper.
pub(crate) struct ZooKeeper {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl ZooKeeper {
    pub(crate) fn start() -> ZooKeeper {
        assert!(std::path::Path::new(CLASSES).exists(), "{CLASSES} is missing: apt-get install zookeeper");
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.path().join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            folder.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = java(&["org.apache.zookeeper.server.ZooKeeperServerMain", config.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut zookeeper = ZooKeeper { folder, port, child };
        let mut attempts = 0;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            attempts += 1;
            let ended = zookeeper.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(zookeeper.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none() && attempts < ATTEMPTS_MAX, "ZooKeeper does not start:\n{}", log());
            std::thread::sleep(PAUSE);
        }
        zookeeper
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Carries out lines of its own command-line client, such as `create /path text`.
    pub(crate) fn run(&self, lines: &[&str]) {
        let client = java(&["org.apache.zookeeper.ZooKeeperMain", "-server", &self.address()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut client = client.unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(format!("{}\nquit\n", lines.join("\n")).as_bytes()).unwrap();
        drop(input);
        let output = client.wait_with_output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let failed =
            ["does not exist", "already exists", "not found", "Exception"].iter().any(|it| told.contains(it));
        assert!(output.status.success() && !failed, "{lines:?}:\n{told}");
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn java(arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx64m", "-cp", CLASSES]).args(arguments);
    command
}
