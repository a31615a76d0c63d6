//! The kubectls that the tests drive: Debian's 1.20, fetched once, and the newer one on PATH where there is one; and those that
//! `TENURE_TEST_KUBECTLS` names, such as `v27 v36`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::newer::clients;
use crate::server::TestServer;

/// No command of these tests takes long; one that hangs is a failure.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// One kubectl against one server, with a cache and a home of its own.
pub(crate) struct Kubectl {
    program: PathBuf,
    /// `1.20`, `1.32`
    pub(crate) version: String,
    kubeconfig: PathBuf,
    home: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Kubectl {
    /// Every kubectl of this machine, each for a server of its own.
    pub(crate) async fn all() -> Vec<(TestServer, Kubectl)> {
        let mut all = Vec::new();
        for (program, version) in programs().await {
            let server = TestServer::start().await;
            let kubeconfig = server.kubeconfig.clone();
            all.push((server, Kubectl { program, version, kubeconfig, home: tempfile::tempdir().unwrap() }));
        }
        all
    }

    /// Another kubeconfig from now on.
    pub(crate) fn reads(&mut self, kubeconfig: &Path) {
        self.kubeconfig = kubeconfig.to_owned();
    }

    /// Whether it is the old one, which validates by itself.
    pub(crate) fn is_old(&self) -> bool {
        self.version == "1.20"
    }

    /// Whether it is `1.<minor>` or newer.
    pub(crate) fn is_at_least(&self, minor: u32) -> bool {
        self.version.trim_start_matches("1.").parse::<u32>().unwrap() >= minor
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECTL_APPLYSET", "true")
            .env("KUBECACHEDIR", self.home.path().join("cache"))
            .arg(format!("--cache-dir={}", self.home.path().join("cache").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, "").await
    }

    /// Runs a script that calls `kubectl`, which is this one, with another kubeconfig.
    pub(crate) async fn script(&self, script: &str, kubeconfig: &str, variable: (&str, &str)) -> Outcome {
        let path = std::env::var("PATH").unwrap();
        let folder = self.program.parent().map(|folder| format!("{}:", folder.display())).unwrap_or_default();
        let mut command = Command::new(script);
        command
            .env_clear()
            .env("PATH", format!("{}{path}", folder.trim_start_matches(':')))
            .env("HOME", self.home.path())
            .env("KUBECONFIG", kubeconfig)
            .env(variable.0, variable.1)
            .kill_on_drop(true);
        let output = tokio::time::timeout(COMMAND_MAX, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{script} hangs")).unwrap();
        Outcome {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs with `input` on stdin.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
        let output =
            output.unwrap_or_else(|_| panic!("kubectl {} {arguments:?} hangs", self.version)).unwrap();
        Outcome {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What a command prints that must succeed.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "").await
    }

    pub(crate) async fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let outcome = self.run_with(arguments, input).await;
        assert!(outcome.success, "kubectl {} {arguments:?}: {outcome:?}", self.version);
        outcome.stdout
    }

    /// What a command says that must fail.
    pub(crate) async fn fails(&self, arguments: &[&str], input: &str) -> String {
        let outcome = self.run_with(arguments, input).await;
        assert!(!outcome.success, "kubectl {} {arguments:?}: {outcome:?}", self.version);
        outcome.stderr
    }

    /// A file of this test.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// The programs and their versions.
async fn programs() -> Vec<(PathBuf, String)> {
    let debian = debian().await;
    let mut programs = vec![(debian.clone(), version_of(&debian).await)];
    let on_path = PathBuf::from("kubectl");
    let version = version_of(&on_path).await;
    if version != programs[0].1 {
        programs.push((on_path, version));
    }
    let more = std::env::var("TENURE_TEST_KUBECTLS").unwrap_or_default();
    for version in more.split_whitespace() {
        let program = clients(version).await.join("kubectl/kubectl");
        let version = version_of(&program).await;
        programs.push((program, version));
    }
    programs
}

/// `1.20` of a client that says `v1.20.2`.
async fn version_of(program: &Path) -> String {
    let output = Command::new(program).args(["version", "--client", "-o", "json"]).output().await;
    let output = output
        .unwrap_or_else(|error| panic!("{}: {error}; apt-get install kubernetes-client", program.display()));
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let full = version["clientVersion"]["gitVersion"].as_str().unwrap().trim_start_matches('v');
    full.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// Debian's kubectl, unpacked once beside the build's other files.
async fn debian() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes-client");
    let program = folder.join("usr/bin/kubectl");
    if program.exists() {
        return program;
    }
    // Another test process may do the same: each works in a folder of its own, and the first to finish wins.
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let unpack = "apt-get download kubernetes-client >&2 && dpkg -x kubernetes-client_*.deb unpacked";
    let output = Command::new("sh").args(["-c", unpack]).current_dir(work.path()).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "Debian's kubectl could not be fetched (apt-get update may help): {told}"
    );
    if let Err(error) = fs::rename(work.path().join("unpacked"), &folder) {
        assert!(program.exists(), "{error}");
    }
    program
}
