//! Containers whose executor is dead: nobody watches them, and they hold their ports. Their executor's [guard](super::guard) removes
//! them; should that be dead as well, any other executor of the installation on the machine does.

use std::path::Path;
use std::time::Duration;

use super::engine::EngineError;
use super::events::container_name;
use super::owner::{INSTALLATION_LABEL, LOCK_LABEL, PROCESS_LABEL};
use super::task::Containers;
use crate::executor::life;

/// Between two looks: so far from it in either direction that the executors of a machine do not look in step.
const SPREAD: f64 = 0.5;

/// Looks for such containers now and then, for ever.
pub async fn remove_leftovers_now_and_then(containers: Containers, every: Duration) {
    loop {
        containers.env.sleep(containers.env.jitter(every, SPREAD)).await;
        // Where dockerd is away there is nothing to do, and whoever waits for it says so.
        if containers.events.engine().borrow().trouble().is_none() {
            make_room(&containers).await;
        }
    }
}

/// Containers whose executors died with ports in their hands are gone afterwards, if dockerd answers.
pub(super) async fn make_room(containers: &Containers) {
    match remove_leftovers(containers).await {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => tracing::info!(?removed, "containers of dead executors are removed"),
        Err(error) => tracing::warn!(%error, "containers of dead executors were not looked for"),
    }
}

/// Every container of this installation whose executor is known to be dead is gone afterwards; their names. One of which
/// that cannot be told stays.
async fn remove_leftovers(containers: &Containers) -> Result<Vec<String>, EngineError> {
    let mut removed = Vec::new();
    for summary in containers.engine.list(INSTALLATION_LABEL, &containers.owner.installation).await? {
        let label = |label: &str| summary.labels.as_ref()?.get(label).map(String::as_str);
        let (Some(lock), Some(name)) = (label(LOCK_LABEL), container_name(&summary)) else { continue };
        if !containers.owner.owns(label) && life::is_over(Path::new(lock), label(PROCESS_LABEL)) {
            match containers.engine.remove(name).await {
                Ok(()) => removed.push(name.to_owned()),
                Err(error) if error.is_away() => return Err(error),
                // One that dockerd cannot remove (a busy mount) is no reason to leave the others.
                Err(error) => tracing::warn!(%error, "a container of a dead executor stays"),
            }
        }
    }
    Ok(removed)
}
