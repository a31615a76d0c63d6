//! A store that is down at the start, does not let us in, or is full.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tenure::api::App;
use tenure::env::Env;
use tenure::mesos::embedded::agent::journal::{Journal, Medium};
use tenure::mesos::embedded::agent::state::Entry;
use tenure::mesos::wire::AgentId;

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::{Server, curl, web};

#[tokio::test(flavor = "multi_thread")]
async fn server_waits_for_an_etcd_that_is_down_at_its_start() {
    let mut etcd = Etcd::start().await;
    etcd.kill();
    let mut server = Server::prepare(Dockerd::start(), "etcd-later", &["--store", &etcd.url()]).await;
    server.spawn(&[]);
    let line = server.logged("waiting for the store").await;
    let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(curl(&format!("https://{address}/livez"), &[]).await, "ok");
    let readyz = curl(&format!("https://{address}/readyz"), &[]).await;
    assert!(readyz.contains("[-]store failed: store unavailable: "), "{readyz}");
    let other = curl(&format!("https://{address}/api/v1/namespaces"), &[]).await;
    assert!(other.contains("\"code\":503") && other.contains("store unavailable"), "{other}");
    assert!(!server.kubeconfig().exists(), "the kubeconfig is there when the server is ready");
    // Some more attempts fail, and are not told one by one.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    etcd.resume().await;
    server.ready().await;
    assert_eq!(server.lines_with("waiting for the store"), 1, "{}", server.log_tail());
    server.uid().await;
    server.apply("web", web(1, "x")).await;
    server.converged("web").await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_that_does_not_let_the_server_in_ends_it_with_the_reason() {
    // Its certificate is of its own making.
    let strange = Etcd::start_with_tls();
    let mut server = Server::prepare(Dockerd::start(), "etcd-tls", &["--store", &strange.url()]).await;
    server.spawn(&[]);
    assert!(!server.ended().await.success());
    let told = server.logged("error: ").await;
    assert!(told.contains("store cannot be reached over TLS"), "{told}");

    let etcd = Etcd::start().await;
    etcd.require_login("right");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.toml");
    std::fs::write(&file, "user = 'root'\npassword = 'wrong'").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let flags = ["--store", &etcd.url(), "--store-auth-file", file.to_str().unwrap()];
    let mut server = Server::prepare(Dockerd::start(), "etcd-login", &flags).await;
    server.spawn(&[]);
    assert!(!server.ended().await.success());
    let told = server.logged("error: ").await;
    assert!(told.contains("store refused the credentials"), "{told}");
    assert!(!told.contains("wrong"), "the password is not told: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_etcd_is_told_also_after_a_restart_and_everything_goes_on_when_there_is_room_again() {
    let etcd = Etcd::start_with(&["--quota-backend-bytes", "2000000"]).await;
    let mut server = Server::start("etcd-full", &["--store", &etcd.url()]).await;
    let uid = server.uid().await;
    server.apply("web", web(2, "x")).await;
    server.converged("web").await;
    let refused = until_refused(&server).await;
    assert!(refused.contains("out of space"), "{refused}");
    let told = server.until_not_ready().await;
    assert!(told.contains("[-]store failed: store is out of space"), "{told}");
    server.kill9();
    server.up(&[]).await;
    server.assert_one_container_per_task("web", &uid).await;

    etcd.make_room();
    server.until_answered(|| note(&server, "room again")).await;
    server.apply("web", web(3, "x")).await;
    server.converged("web").await;
    server.assert_one_container_per_task("web", &uid).await;
    server.remove("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_told_and_everything_goes_on_when_there_is_room_again() {
    let mut server = Server::prepare(Dockerd::start(), "full", &[]).await;
    let disk = SmallDisk::mount(&server.data());
    server.up(&[]).await;
    let uid = server.uid().await;
    server.apply("web", web(2, "x")).await;
    server.converged("web").await;
    assert!(server.metrics().await.contains("tenure_ready{check=\"store\"} 1"));

    disk.fill();
    let refused = until_refused(&server).await;
    assert!(refused.contains("out of space"), "{refused}");
    let told = server.until_not_ready().await;
    assert!(told.contains("[-]store failed: store is out of space"), "{told}");
    assert!(server.metrics().await.contains("tenure_ready{check=\"store\"} 0"));
    server.logged("the store takes no writes").await;
    server.assert_one_container_per_task("web", &uid).await;

    disk.make_room();
    server.logged("the store takes writes again").await;
    assert!(server.metrics().await.contains("tenure_ready{check=\"store\"} 1"));
    server.apply("web", web(3, "x")).await;
    server.converged("web").await;
    server.assert_one_container_per_task("web", &uid).await;
    server.remove("web").await;
    server.kill9();
    drop(disk);
}

#[tokio::test]
async fn journal_of_the_agent_is_taken_up_even_if_there_is_no_room_to_write_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path());
    let medium = Medium::Folder(folder.path().join("agent"));
    let env = Env::system().unwrap();
    let (mut journal, _) = Journal::open(&env, medium.clone()).await.unwrap();
    journal.append(&[Entry::Registered(AgentId::new("a"))]).await.unwrap();
    let file = folder.path().join("agent/journal");
    let written = std::fs::read(&file).unwrap();
    std::fs::write(&file, [&written[..], b"{\"torn"].concat()).unwrap();

    disk.fill();
    let (mut journal, state) = Journal::open(&env, medium.clone()).await.unwrap();
    assert_eq!(state.agent_id, Some(AgentId::new("a")));
    assert_eq!(std::fs::read(&file).unwrap(), written, "the torn line is cut off");
    disk.make_room();
    journal.append(&[Entry::Registered(AgentId::new("b"))]).await.unwrap();
    let (_, state) = Journal::open(&env, medium).await.unwrap();
    assert_eq!(state.agent_id, Some(AgentId::new("b")));
}

/// Writes until the server has no room for it; what it answers then.
async fn until_refused(server: &Server) -> String {
    for number in 0..2000 {
        if let Err(error) = note(server, &format!("{number} {}", "x".repeat(10_000))).await {
            return error.to_string();
        }
    }
    panic!("the store never was full\n{}", server.log_tail());
}

/// Writes an annotation on `web`.
async fn note(server: &Server, text: &str) -> kube::Result<App> {
    let note = json!({"metadata": {"annotations": {"note": text}}});
    server.api::<App>().patch("web", &PatchParams::default(), &Patch::Merge(note)).await
}

/// A few megabytes of memory mounted as a disk; unmounted when dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path) -> SmallDisk {
        std::fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"])
            .arg(folder)
            .status()
            .expect("mount is missing: apt-get install mount");
        assert!(mounted.success(), "tests that fill a disk need root");
        SmallDisk { folder: folder.to_owned() }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Takes all room that is left.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that a failing test leaves may still use it.
        drop(Command::new("umount").arg("--lazy").arg(&self.folder).status());
    }
}
