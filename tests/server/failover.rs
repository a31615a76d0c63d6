//! Two servers of one installation, on one etcd and one Mesos, of which one is cut off: the other goes on, and no task is lost or started
//! twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::{App, Task};
use tenure::env::{Env, watch};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::dockerd::Dockerd;
use crate::etcd::Etcd;
use crate::harness::{Server, curl, is_converged, is_live};
use crate::mesos::Mesos;
use crate::netns::Namespace;
use crate::replicas::second;

/// Nobody here looks whether it is healthy.
fn sleeper(instances: u32) -> Value {
    json!({"instances": instances, "cmd": "sleep 1000", "resources": {"cpus": "100m", "memory": "32Mi"}})
}

/// Which instance runs under which of Mesos's names.
type Running = BTreeMap<String, String>;

/// Has `server` scale the App, and waits until all is as wanted; nothing has ended on the way, and nothing was started beside.
async fn scaled((server, mesos): (&Server, &Mesos), instances: u32, before: &Running) -> Running {
    server.apply("web", sleeper(instances)).await;
    let now = settled((server, mesos), instances, before).await;
    let tasks: Vec<Task> = server.tasks("web").await;
    let ended: Vec<_> = tasks.iter().filter(|task| !is_live(task)).map(|task| &task.status).collect();
    assert!(ended.is_empty(), "{ended:?}");
    now
}

/// Waits until all is as wanted: whoever was there before is there still, and the master knows of nobody else.
async fn settled((server, mesos): (&Server, &Mesos), instances: u32, before: &Running) -> Running {
    let done = |app: &App| app.spec.instances == instances && is_converged(app);
    server.until::<App>("web", &format!("{instances} instances"), done).await;
    let tasks = server.tasks("web").await.into_iter().filter(is_live);
    let named = |task: Task| Some((task.metadata.name?, task.spec.binding?.mesos_task_id));
    let now: Running = tasks.filter_map(named).collect();
    assert!(before.iter().all(|(name, id)| now.get(name) == Some(id)), "{before:?} became {now:?}");
    assert_eq!(now.len(), usize::try_from(instances).unwrap());
    until_known(mesos, &now.values().cloned().collect()).await;
    now
}

/// Waits until the master says that these tasks are there, and no other ones.
async fn until_known(mesos: &Mesos, wanted: &BTreeSet<String>) {
    let began = tokio::time::Instant::now();
    loop {
        let told: Value =
            serde_json::from_str(&curl(&format!("{}/tasks?limit=1000", mesos.url()), &[]).await).unwrap();
        let tasks = told["tasks"].as_array().unwrap();
        // Some of those that have ended are remembered.
        let live: Vec<&Value> = tasks.iter().filter(|task| !has_ended(task)).collect();
        let known: BTreeSet<String> =
            live.iter().filter_map(|task| Some(task["id"].as_str()?.to_owned())).collect();
        if known == *wanted && live.iter().all(|task| task["state"] == "TASK_RUNNING") {
            return;
        }
        assert!(began.elapsed().as_secs() < 60, "{wanted:?} are wanted: {told:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn has_ended(task: &Value) -> bool {
    let ends = ["FINISHED", "FAILED", "KILLED", "ERROR", "LOST", "DROPPED", "GONE", "GONE_BY_OPERATOR"];
    ends.iter().any(|end| task["state"] == format!("TASK_{end}"))
}

/// Waits until `server` leads for the time of this number.
pub(crate) async fn leads(server: &Server, times: usize) {
    let began = tokio::time::Instant::now();
    while server.lines_with("leading term=") < times {
        assert!(began.elapsed().as_secs() < 120, "it does not lead\n{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn signal(server: &Server, signal: &str) {
    let sent = Command::new("kill").args([signal, &server.pid().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Scales the App down; every instance that ran is told ended.
async fn scaled_to_nothing((server, mesos): (&Server, &Mesos), running: &Running) {
    assert!(!running.is_empty());
    server.apply("web", sleeper(0)).await;
    server.none_left::<Task>().await;
    until_known(mesos, &BTreeSet::new()).await;
    let doubtful = server.lines_with("orphan");
    assert_eq!(doubtful, 0, "{}", server.log_tail());
}

/// A way to a port that can be cut: then nothing passes and nothing breaks, as when a cable is pulled.
struct Way {
    address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Way {
    /// To this port of this machine, from this address of it.
    async fn to(env: &Env, from: &str, target: u16) -> Way {
        let listener = TcpListener::bind((from, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, state) = watch::channel(false);
        let node = env.clone();
        env.spawn("way", async move {
            while let Ok((near, _)) = listener.accept().await {
                let (state, inner) = (state.clone(), node.clone());
                node.spawn("connection", async move {
                    let mut state_of_start = state.clone();
                    until_open(&mut state_of_start).await;
                    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    inner.spawn("back", carry(far_in, near_out, state.clone()));
                    carry(near_in, far_out, state).await;
                });
            }
        });
        Way { address, cut }
    }
}

async fn until_open(cut: &mut watch::Receiver<bool>) {
    while *cut.borrow_and_update() {
        if cut.changed().await.is_err() {
            return;
        }
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut cut: watch::Receiver<bool>,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length) = from.read(&mut piece).await {
        until_open(&mut cut).await;
        if length == 0 || to.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
    let _gone = to.shutdown().await;
}

fn port_of(url: &str) -> u16 {
    url.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap()
}

/// Cuts the leader off in the middle of launches: the other one leads, what the first one says does not count, and when it is back and the other one stands
/// still, it goes on from where that was.
async fn cut_off((first, second): (&Server, &Server), mesos: &Mesos, cut: &dyn Fn(bool)) {
    let running = scaled((second, mesos), 3, &Running::new()).await;
    second.apply("web", sleeper(40)).await;
    cut(true);
    leads(second, 1).await;
    first.logged("leadership lost").await;
    // What was bound and never sent counts as lost.
    let running = settled((second, mesos), 40, &running).await;
    cut(false);
    second.apply("web", sleeper(60)).await;
    signal(second, "-STOP");
    leads(first, 2).await;
    signal(second, "-CONT");
    let running = settled((second, mesos), 60, &running).await;
    scaled_to_nothing((second, mesos), &running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_the_store_does_nothing_more_and_comes_back_as_the_other_one() {
    let env = Env::system().unwrap();
    let etcd = Etcd::start().await;
    let mesos = Mesos::start(&["--agents", "3"]).await;
    let to_store = Way::to(&env, "127.0.0.1", port_of(&etcd.url())).await;
    let (store, masters) = (format!("etcd://{}", to_store.address), mesos.url());
    let mut first =
        Server::prepare(Dockerd::start(), "cut-off", &["--store", &store, "--mesos", &masters]).await;
    first.up(&[]).await;
    leads(&first, 1).await;
    let store = etcd.url();
    let second = second(&first, "cut-off", &["--store", &store, "--mesos", &masters]).await;
    cut_off((&first, &second), &mesos, &|is_cut| {
        to_store.cut.send_replace(is_cut);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_machine_is_cut_off_does_nothing_more_and_comes_back_as_the_other_one() {
    let env = Env::system().unwrap();
    let etcd = Etcd::start().await;
    let mesos = Mesos::start(&["--agents", "3"]).await;
    let machine = Namespace::new();
    let to_store = Way::to(&env, &machine.gateway, port_of(&etcd.url())).await;
    let to_master = Way::to(&env, &machine.gateway, port_of(&mesos.url())).await;
    let (store, masters) = (format!("etcd://{}", to_store.address), format!("http://{}", to_master.address));
    let mut first =
        Server::prepare(Dockerd::start(), "cut-off", &["--store", &store, "--mesos", &masters]).await;
    first.run_inside(machine.inside());
    first.up(&[]).await;
    leads(&first, 1).await;
    let (store, masters) = (etcd.url(), mesos.url());
    let second = second(&first, "cut-off", &["--store", &store, "--mesos", &masters]).await;
    cut_off((&first, &second), &mesos, &|is_cut| if is_cut { machine.cut() } else { machine.mend() }).await;
}
