//! Python with the official client and kopf.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::python_packages::packages;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kube/requirements.txt");

/// A command of Python that finds both, with a kubeconfig.
pub(crate) async fn command(kubeconfig: &str, arguments: &[&str]) -> Command {
    let packages = packages(REQUIREMENTS, &[]).await;
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
