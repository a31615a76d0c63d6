//! Removes containers that carry this installation's uid and that nobody owns. No other container is looked at.

use std::collections::BTreeSet;

use super::adopt::find;
use super::engine::EngineError;
use super::task::Containers;
use crate::mesos::wire::TaskId;

/// Every container of this installation whose task is not among `owned` is gone afterwards; their names.
///
/// # Errors
/// When dockerd is away; what was removed until then stays removed, and sweeping again does the rest.
pub async fn sweep(containers: &Containers, owned: &BTreeSet<TaskId>) -> Result<Vec<String>, EngineError> {
    let mut removed = Vec::new();
    for (task, found) in find(containers).await? {
        if !owned.contains(&task) {
            containers.engine.remove(&found.name).await?;
            removed.push(found.name);
        }
    }
    Ok(removed)
}
