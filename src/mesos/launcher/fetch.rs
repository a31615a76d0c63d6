//! Fetches what a task is made of into its sandbox, by the rules of Mesos's own fetcher: copied or downloaded, then unpacked or made
//! executable. Programs of the machine do it, as there: curl, tar, unzip, gzip.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::mesos::wire::Uri;

/// Archives, by the ends of their names, and what unpacks them in the sandbox.
const TAR: [&str; 7] = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"];
const ZIP: &str = ".zip";
const GZIP: &str = ".gz";

/// What could not be fetched, and why.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("failed to fetch {uri}: {why}")]
    Fetch { uri: String, why: String },
    #[error("failed to unpack {file}, fetched from {uri}: {why}")]
    Unpack { uri: String, file: String, why: String },
}

/// What `uri` leads to is in `sandbox` afterwards. Dropping the future stops what is under way.
///
/// # Errors
/// When it is not to be had, or cannot be unpacked.
pub async fn fetch(uri: &Uri, sandbox: &Path) -> Result<(), FetchError> {
    let failed = |why: String| FetchError::Fetch { uri: uri.value.clone(), why };
    let name = file_name(uri).ok_or_else(|| failed("it names no file".to_owned()))?;
    let target = sandbox.join(&name);
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    }
    match local(&uri.value) {
        Some(path) => {
            tokio::fs::copy(&path, &target).await.map_err(|error| failed(error.to_string()))?;
        }
        None => download(&uri.value, &target).await.map_err(failed)?,
    }
    if uri.executable() {
        let mode = std::fs::Permissions::from_mode(0o755);
        return std::fs::set_permissions(&target, mode).map_err(|error| failed(error.to_string()));
    }
    if !uri.extract() {
        return Ok(());
    }
    let unpacked = unpack(&target, sandbox).await;
    unpacked.map_err(|why| FetchError::Unpack { uri: uri.value.clone(), file: name, why })
}

/// The name in the sandbox: the given one, or the last part of the path.
fn file_name(uri: &Uri) -> Option<String> {
    if let Some(name) = uri.output_file.as_ref().filter(|name| !name.is_empty()) {
        return Some(name.clone());
    }
    let path = uri.value.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let (_, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The file of this machine that a URI names.
fn local(uri: &str) -> Option<PathBuf> {
    uri.strip_prefix("file://").or_else(|| uri.starts_with('/').then_some(uri)).map(PathBuf::from)
}

async fn download(uri: &str, target: &Path) -> Result<(), String> {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--globoff"]);
    curl.args(["--proto", "=http,https,ftp,ftps", "--output"]).arg(target).args(["--", uri]);
    run(curl).await
}

/// Unpacks what is an archive, by its name. What is none stays as it is.
async fn unpack(file: &Path, sandbox: &Path) -> Result<(), String> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut command = if TAR.iter().any(|end| name.ends_with(end)) {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(sandbox).arg("-xf").arg(file);
        tar
    } else if name.ends_with(ZIP) {
        let mut unzip = Command::new("unzip");
        unzip.arg("-o").arg("-q").arg("-d").arg(sandbox).arg(file);
        unzip
    } else if name.ends_with(GZIP) {
        let mut gzip = Command::new("gzip");
        gzip.args(["--decompress", "--keep", "--force"]).arg(file);
        gzip
    } else {
        return Ok(());
    };
    command.current_dir(sandbox);
    run(command).await
}

async fn run(mut command: Command) -> Result<(), String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).output().await;
    match ended {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => {
            let said = String::from_utf8_lossy(&ended.stderr);
            Err(format!("{program} ended with {}: {}", ended.status, said.trim()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("the program {program} is not on this machine"))
        }
        Err(error) => Err(format!("{program} does not start: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(value: &str) -> Uri {
        Uri { value: value.to_owned(), ..Uri::default() }
    }

    #[test]
    fn a_file_is_called_as_it_is_told_or_as_its_path_ends() {
        for (value, expected) in [
            ("http://h/a/assets.tgz?version=3#x", Some("assets.tgz")),
            ("/srv/web/index.html", Some("index.html")),
            ("file:///srv/x", Some("x")),
            ("http://h/", None),
            ("http://h", None),
        ] {
            assert_eq!(file_name(&uri(value)).as_deref(), expected, "{value}");
        }
        let told = Uri { output_file: Some("conf/a".to_owned()), ..uri("http://h/b") };
        assert_eq!(file_name(&told).as_deref(), Some("conf/a"));
    }

    #[tokio::test]
    async fn files_are_copied_unpacked_or_made_executable() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| from.path().join(name).display().to_string();
        std::fs::write(at("tool"), "#!/bin/sh\n").unwrap();
        let packed =
            std::process::Command::new("tar").args(["-C", &at(""), "-czf", &at("all.tgz"), "tool"]).status();
        assert!(packed.unwrap().success());

        fetch(
            &Uri { output_file: Some("bin/run".to_owned()), executable: Some(true), ..uri(&at("tool")) },
            to.path(),
        )
        .await
        .unwrap();
        let mode = std::fs::metadata(to.path().join("bin/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        fetch(&Uri { extract: Some(false), ..uri(&at("all.tgz")) }, to.path()).await.unwrap();
        assert!(!to.path().join("tool").exists());
        fetch(&uri(&format!("file://{}", at("all.tgz"))), to.path()).await.unwrap();
        assert_eq!(std::fs::read_to_string(to.path().join("tool")).unwrap(), "#!/bin/sh\n");
    }

    #[tokio::test]
    async fn what_is_not_there_or_no_archive_is_told_by_its_uri() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let missing = from.path().join("missing").display().to_string();
        let error = fetch(&uri(&missing), to.path()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("failed to fetch {missing}: No such file")), "{error}");
        let broken = from.path().join("broken.tgz");
        std::fs::write(&broken, "no archive").unwrap();
        let error = fetch(&uri(&broken.display().to_string()), to.path()).await.unwrap_err().to_string();
        assert!(error.starts_with("failed to unpack broken.tgz, fetched from /"), "{error}");
        let error = fetch(&uri("http://127.0.0.1:1/x"), to.path()).await.unwrap_err().to_string();
        assert!(error.contains("curl"), "{error}");
    }
}
