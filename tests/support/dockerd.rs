//! A dockerd for tests: `DOCKER_HOST` when that is set, else one of our own, as root, with everything it writes in a
//! temporary folder.
//!
//! Several may run beside each other and beside the machine's own, so each has a bridge of its own, and none touches
//! iptables: those chains are shared, and a starting dockerd empties them under the others. Ports are published by
//! `docker-proxy` all the same, and this machine reaches containers through the bridge.
//!
//! Whatever way the test process ends, a *broom* is left for a moment: a shell that waits for the end of a pipe from
//! the test, stops dockerd by its pid file, and removes the bridge and the folder.

#![allow(dead_code, reason = "each test binary uses a part of the harness")]
#![allow(clippy::unwrap_used, reason = "a harness that cannot start ends the test")]

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt;

/// The image of [`Dockerd::busybox`]: a shell, httpd, nc, sleep and the rest.
pub(crate) const BUSYBOX: &str = "tenure-test/busybox:1";

/// A minute: a loaded machine of two cores takes a few seconds.
const START_ATTEMPTS_MAX: u32 = 3000;

const BROOM: &str = r#"
cat > /dev/null
pid=$(cat "$1/docker.pid" 2> /dev/null) && kill "$pid" 2> /dev/null && tail --pid="$pid" -f /dev/null
ip link delete "$2"
grep -F " $1/" /proc/self/mounts | cut -d ' ' -f 2 | sort -r | while read -r mount; do umount "$mount"; done
rm -rf "$1"
"#;

/// A running dockerd.
pub(crate) struct Dockerd {
    host: String,
    own: Option<Own>,
}

struct Own {
    dir: PathBuf,
    bridge: String,
    dockerd: Option<Child>,
    broom: Child,
}

impl Dockerd {
    /// The one that `DOCKER_HOST` names, else one of our own.
    pub(crate) fn start() -> Dockerd {
        match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.is_empty() => Dockerd { host, own: None },
            _ => Dockerd::own(),
        }
    }

    /// One that the test may stop.
    pub(crate) fn own() -> Dockerd {
        need("dockerd", "docker.io");
        need("ip", "iproute2");
        let root = std::env::var_os("TENURE_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::Builder::new().prefix("dockerd.").tempdir_in(root).unwrap().keep();
        let bridge = bridge();
        let broom = Command::new("sh")
            .args(["-c", BROOM, "broom"])
            .args([dir.as_os_str(), bridge.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let host = format!("unix://{}/docker.sock", dir.display());
        let mut dockerd = Dockerd { host, own: Some(Own { dir, bridge, dockerd: None, broom }) };
        dockerd.start_again();
        dockerd
    }

    /// Its address, for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// A client.
    pub(crate) fn client(&self) -> Docker {
        Docker::connect_with_host(&self.host).unwrap()
    }

    /// Stops dockerd as an operator would; without live-restore its containers end with it.
    pub(crate) fn stop(&mut self) {
        let own = self.own.as_mut().expect("only a dockerd of our own can be stopped");
        let mut dockerd = own.dockerd.take().expect("it runs");
        let pid = dockerd.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        dockerd.wait().unwrap();
    }

    /// Lets it hang: it accepts connections and answers nothing, until [`Dockerd::go_on`].
    pub(crate) fn hang(&self) {
        self.signal("STOP");
    }

    /// It answers again.
    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let own = self.own.as_ref().expect("only a dockerd of our own can be signalled");
        let pid = own.dockerd.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Starts it with the data that it had.
    pub(crate) fn start_again(&mut self) {
        let own = self.own.as_mut().expect("only a dockerd of our own can be started");
        own.dockerd = Some(spawn(&own.dir, &own.bridge, &self.host));
        let log = own.dir.join("log");
        let mut attempts = 0;
        while !answers(&self.host) {
            attempts += 1;
            let ended = own.dockerd.as_mut().unwrap().try_wait().unwrap();
            let told = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none() && attempts < START_ATTEMPTS_MAX, "dockerd does not start:\n{}", told());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The machine has the busybox image afterwards; its name.
    pub(crate) async fn busybox(&self) -> &'static str {
        need("busybox", "busybox-static");
        if self.client().inspect_image(BUSYBOX).await.is_ok() {
            return BUSYBOX;
        }
        let (name, tag) = BUSYBOX.split_once(':').unwrap();
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(name).tag(tag).build();
        let body = bollard::body_full(rootfs().into());
        let progress = self.client().create_image(Some(options), Some(body), None);
        progress.try_for_each(|_| std::future::ready(Ok(()))).await.unwrap();
        BUSYBOX
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if let Some(own) = &mut self.own {
            // The end of the pipe is the broom's sign.
            drop(own.broom.stdin.take());
            if let Some(mut dockerd) = own.dockerd.take() {
                dockerd.wait().unwrap();
            }
            own.broom.wait().unwrap();
        }
    }
}

fn spawn(dir: &Path, bridge: &str, host: &str) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
    Command::new("dockerd")
        .arg("--data-root")
        .arg(dir.join("data"))
        .arg("--exec-root")
        .arg(dir.join("exec"))
        .arg("--pidfile")
        .arg(dir.join("docker.pid"))
        .args(["--host", host, "--bridge", bridge, "--iptables=false", "--ip6tables=false"])
        // A container that ignores SIGTERM holds up the end for this many seconds.
        .args(["--shutdown-timeout", "1"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap()
}

/// A bridge that nobody has: making one is atomic.
fn bridge() -> String {
    for number in 1..250 {
        let (name, address) = (format!("tnrtest{number}"), format!("10.213.{number}.1/24"));
        if ip(&["link", "add", &name, "type", "bridge"]) {
            assert!(ip(&["address", "add", &address, "dev", &name]), "no address for {name}");
            assert!(ip(&["link", "set", &name, "up"]), "{name} does not come up");
            return name;
        }
    }
    panic!("no bridge can be made: tests with a dockerd of their own need root");
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).stderr(Stdio::null()).status().unwrap().success()
}

fn answers(host: &str) -> bool {
    let path = host.strip_prefix("unix://").unwrap();
    std::os::unix::net::UnixStream::connect(path).is_ok()
}

/// A root file system of busybox alone, as tar.
fn rootfs() -> Vec<u8> {
    let busybox = find("busybox").unwrap();
    let listed = Command::new(&busybox).arg("--list").output().unwrap();
    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("bin");
    std::fs::create_dir_all(root.path().join("tmp")).unwrap();
    std::fs::create_dir(&bin).unwrap();
    std::fs::copy(&busybox, bin.join("busybox")).unwrap();
    for applet in String::from_utf8(listed.stdout).unwrap().lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
    }
    let tar = Command::new("tar").arg("-C").arg(root.path()).args(["-c", "."]).output().unwrap();
    assert!(tar.status.success());
    tar.stdout
}

/// Fails with the name of the package when a program is missing; no test is skipped.
fn need(program: &str, package: &str) {
    assert!(find(program).is_some(), "{program} is missing: apt-get install {package}");
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// A port that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
