//! Containers whose executor is dead: nobody watches them, and they hold their ports. The next executor of the same
//! installation on the machine removes them.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::engine::EngineError;
use super::events::container_name;
use super::owner::{INSTALLATION_LABEL, LOCK_LABEL};
use super::task::Containers;

/// Every container of this installation whose executor is known to be dead is gone afterwards; their names. One of which
/// that cannot be told, for its lock is not to be seen from here, stays.
///
/// # Errors
/// When dockerd is away; what was removed until then stays removed.
pub async fn remove_leftovers(containers: &Containers) -> Result<Vec<String>, EngineError> {
    let mut removed = Vec::new();
    for summary in containers.engine.list(INSTALLATION_LABEL, &containers.owner.installation).await? {
        let label = |label: &str| summary.labels.as_ref()?.get(label).map(String::as_str);
        let (Some(lock), Some(name)) = (label(LOCK_LABEL), container_name(&summary)) else { continue };
        if !containers.owner.owns(label) && is_free(Path::new(lock)) {
            containers.engine.remove(name).await?;
            removed.push(name.to_owned());
        }
    }
    Ok(removed)
}

/// Whether the file is there and nobody holds it.
fn is_free(lock: &Path) -> bool {
    // Shared is enough to ask, and does not keep a second asker away.
    File::open(lock).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_that_is_there_and_that_nobody_holds_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_free(&path), "nothing is known of an executor whose lock is not there");
        let held = File::create(&path).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(!is_free(&path));
        drop(held);
        assert!(is_free(&path));
    }
}
