//! PyPI's `pymesos` as another framework on the same Mesos.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tenure::api::App;
use tokio::process::Command;

use crate::dockerd::Dockerd;
use crate::harness::{Server, curl, is_converged, port_block};
use crate::mesos::{Mesos, names};
use crate::python_packages::packages;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server");
/// Debian's own packages: pymesos needs one that pip cannot build any more.
const DEBIAN: &str = "/usr/lib/python3/dist-packages";
/// So long at most its tasks take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it told.
pub(crate) struct Told {
    lines: Vec<Value>,
}

impl Told {
    /// The tasks that were said to be in `state`, each once.
    pub(crate) fn tasks(&self, state: &str) -> usize {
        let told = self.lines.iter().filter(|line| line["state"] == state);
        told.map(|line| line["task"].as_str().unwrap()).collect::<std::collections::BTreeSet<_>>().len()
    }

    pub(crate) fn offers(&self) -> usize {
        self.lines.iter().filter(|line| line["offer"].is_string()).count()
    }
}

/// Runs so many tasks of it on `mesos` until all have ended as they were to: run to their end by an executor in Python, or killed
/// when they ran.
pub(crate) async fn run(mesos: &Mesos, number: usize, by_executor: bool) -> Told {
    let folder = packages(&format!("{FOLDER}/requirements.txt"), &["--no-deps"]).await;
    assert!(PathBuf::from(DEBIAN).join("http_parser").exists(), "apt-get install python3-http-parser");
    let master = mesos.url();
    let mut command = Command::new("python3");
    command
        .arg(format!("{FOLDER}/second.py"))
        .args([master.trim_start_matches("http://"), &number.to_string()])
        .args(by_executor.then(|| format!("{FOLDER}/second_executor.py")))
        .env("PYTHONPATH", format!("{}:{DEBIAN}", folder.display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let Output { status, stdout, stderr } = output.expect("it does not end").unwrap();
    let (told, log) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{told}\n{log}");
    Told { lines: told.lines().map(|line| serde_json::from_str(line).unwrap()).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_framework_runs_its_tasks_beside_an_app_on_the_same_agent() {
    let work = tempfile::tempdir().unwrap();
    let first = port_block();
    let ports = format!("ports:[{first}-{}]", first + 99);
    let flags = ["--agents", "1", "--work-dir", work.path().to_str().unwrap(), "--agent-resources", &ports];
    let mesos = Mesos::start(&flags).await;
    let mut server = Server::prepare(Dockerd::start(), "beside", &["--mesos", &mesos.url()]).await;
    server.up(&[]).await;
    let app = |instances: u32| {
        json!({
            "instances": instances, "cmd": "exec sleep 1000", "kill": {"gracePeriod": "1s"},
            "resources": {"cpus": "100m", "memory": "32Mi"},
        })
    };
    server.apply("web", app(3)).await;
    server.converged("web").await;
    let before = names(&server).await;

    let told = run(&mesos, 8, true).await;
    assert_eq!((told.tasks("TASK_RUNNING"), told.tasks("TASK_FINISHED")), (8, 8));
    assert!(told.offers() >= 2, "an offer is spent on five tasks");
    // The App is as it was, and gets offers again when it wants some.
    assert_eq!(names(&server).await, before);
    server.apply("web", app(5)).await;
    server.until::<App>("web", "scaled", |app| app.spec.instances == 5 && is_converged(app)).await;
    assert!(names(&server).await.is_superset(&before));

    // The one that has gone is remembered with what it ran, and nothing of it is counted any more.
    let url = mesos.url();
    let tree = async |path: &str| -> Value {
        serde_json::from_str(&curl(&format!("{url}{path}"), &[]).await).unwrap()
    };
    let frameworks = tree("/frameworks").await;
    let gone = &frameworks["completed_frameworks"][0];
    assert_eq!((&gone["name"], &gone["role"]), (&json!("second"), &json!("batch")));
    let completed = gone["completed_tasks"].as_array().unwrap();
    assert!(completed.len() == 8 && completed.iter().all(|task| task["state"] == "TASK_FINISHED"), "{gone}");
    let metrics = tree("/metrics/snapshot").await;
    for (name, value) in [("tasks_finished", 8.0), ("tasks_running", 5.0), ("frameworks_active", 1.0)] {
        assert_eq!(metrics[format!("master/{name}")], json!(value), "{name}");
    }
    server.remove("web").await;
}
