//! Python with the official client and kopf, fetched once beside the build's other files.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kube/requirements.txt");

/// A command of Python that finds both, with a kubeconfig.
pub(crate) async fn command(kubeconfig: &str, arguments: &[&str]) -> Command {
    let packages = packages().await;
    let mut command = Command::new("python3");
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", Path::new(kubeconfig).parent().unwrap())
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The folder that both are installed in. One for each list of versions.
async fn packages() -> PathBuf {
    let wanted = std::fs::read_to_string(REQUIREMENTS).unwrap();
    let name = wanted.split_whitespace().collect::<Vec<_>>().join("-").replace("==", "-");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    if folder.exists() {
        return folder;
    }
    // Another test process may do the same: each works in a folder of its own, and the first to finish wins.
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let made = work.path().join("made");
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&made)
        .args(["--requirement", REQUIREMENTS])
        .output()
        .await;
    let output = output.unwrap_or_else(|error| panic!("python3: {error}; apt-get install python3"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pip failed (apt-get install python3-pip may help): {told}");
    if let Err(error) = std::fs::rename(&made, &folder) {
        assert!(folder.exists(), "{error}");
    }
    folder
}
