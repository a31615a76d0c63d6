//! Packages of PyPI, fetched once beside the build's other files.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// The folder in which what `requirements` lists is installed; one for each list of versions. `flags` are pip's.
pub(crate) async fn packages(requirements: &str, flags: &[&str]) -> PathBuf {
    let wanted = std::fs::read_to_string(requirements).unwrap();
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
        .args(flags)
        .args(["--requirement", requirements])
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
