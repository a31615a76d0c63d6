//! A private registry of one's own: Debian's `docker-registry` on a free loopback port, where dockerd takes plain HTTP, with
//! basic authentication and data in a temporary folder. Ended when dropped.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The one login: `tenant` with this password, and its line of an htpasswd file (bcrypt).
pub(crate) const PASSWORD: &str = "right";
const HTPASSWD: &str = "tenant:$2y$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n";

/// How long it may take to answer after it was started.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// A running registry.
pub(crate) struct Registry {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Registry {
    /// Starts an empty registry and waits until it listens.
    pub(crate) fn start() -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let port = super::dockerd::free_port();
        let (htpasswd, config) = (folder.path().join("htpasswd"), folder.path().join("config.yml"));
        std::fs::write(&htpasswd, HTPASSWD).unwrap();
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\n\
             http: {{addr: 127.0.0.1:{port}}}\nauth: {{htpasswd: {{realm: tenure, path: {}}}}}\n",
            folder.path().display(),
            htpasswd.display(),
        );
        std::fs::write(&config, text).unwrap();
        // setpriv ends it with the test, should that be killed.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv is missing: apt-get install util-linux");
        let mut registry = Registry { folder, port, process };
        registry.wait();
        registry
    }

    fn wait(&mut self) {
        let mut attempts = 0;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "docker-registry ended ({ended:?}): apt-get install docker-registry");
            attempts += 1;
            assert!(attempts * PAUSE < START_WITHIN, "docker-registry does not listen");
            std::thread::sleep(PAUSE);
        }
    }

    /// As it stands at the beginning of an image's name.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes a local image of the dockerd at `docker_host`, which forgets it under its new name, and returns that.
    pub(crate) fn push(&self, docker_host: &str, image: &str) -> String {
        let name = format!("{}/private/{}", self.host(), image.rsplit('/').next().unwrap());
        let config = self.folder.path().join("docker");
        let docker = |args: &[&str], input: &str| {
            let mut child = Command::new("docker")
                .arg("--config")
                .arg(&config)
                .args(["--host", docker_host])
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("docker is missing: apt-get install docker.io");
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            let done = child.wait_with_output().unwrap();
            assert!(done.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        docker(&["login", "--username", "tenant", "--password-stdin", &self.host()], PASSWORD);
        docker(&["tag", image, &name], "");
        docker(&["push", &name], "");
        docker(&["rmi", &name], "");
        name
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; waiting tells either way.
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}
