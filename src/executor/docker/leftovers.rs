//! Containers whose executor is dead: nobody watches them, and they hold their ports. Their executor's [guard](super::guard) removes
//! them; should that be dead as well, any other executor of the installation on the machine does.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::ContainerSummary;

use super::engine::{Engine, EngineError};
use super::events::container_name;
use super::owner::{INSTALLATION_LABEL, LOCK_LABEL, Owner, PROCESS_LABEL};
use super::task::Containers;
use crate::executor::life;

/// Between two looks: so far from it in either direction that the executors of a machine do not look in step.
const SPREAD: f64 = 0.5;

/// When, and by whom, such containers are looked for beside the launches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    pub every: Duration,
    /// Of all executors with this file one looks, whoever has it. A look costs dockerd a list of all containers of the installation.
    /// Without a file each looks for itself.
    pub turn: Option<PathBuf>,
}

impl Sweep {
    /// Looks for such containers now and then, for ever, when it is this process's turn.
    pub async fn run(self, containers: Containers) {
        let mut turn: Option<File> = None;
        let mut is_first = true;
        loop {
            // One that has the turn from its beginning looks at once: nobody has for a while, and where executors live shortly nobody would.
            if !(std::mem::take(&mut is_first) && self.turn.is_some()) {
                containers.env.sleep(containers.env.jitter(self.every, SPREAD)).await;
            }
            if let (Some(path), None) = (&self.turn, &turn) {
                match life::take_turn(path) {
                    Ok(Some(file)) => turn = Some(file),
                    Ok(None) => continue,
                    // Then it looks beside others.
                    Err(error) => tracing::debug!(path = %path.display(), %error, "no turns"),
                }
            }
            // Where dockerd is away there is nothing to do, and whoever waits for it says so.
            if containers.events.engine().borrow().trouble().is_none() {
                make_room(&containers).await;
            }
        }
    }
}

/// Whether there may be such containers. A list of all containers costs dockerd the more the more they are, a look at the signs of their
/// executors hardly anything.
pub(super) fn may_be_left(owner: &Owner) -> bool {
    let Some(own) = &owner.executor else { return false };
    // Whoever does not see their signs knows nothing of others.
    let dead = own.signs.as_ref().map(|signs| signs.dead(&own.lock));
    dead.and_then(Result::ok).is_none_or(|dead| !dead.is_empty())
}

/// Containers whose executors died with ports in their hands are gone afterwards, if dockerd answers. Whether there were any.
pub(super) async fn make_room(containers: &Containers) -> bool {
    match remove_leftovers(containers).await {
        Ok(removed) if removed.is_empty() => false,
        Ok(removed) => {
            tracing::info!(?removed, "containers of dead executors are removed");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "containers of dead executors were not looked for");
            false
        }
    }
}

/// Every container of this installation whose executor is known to be dead is gone afterwards, unless dockerd refuses that; their
/// names. One of which that cannot be told stays.
async fn remove_leftovers(containers: &Containers) -> Result<Vec<String>, EngineError> {
    let Containers { engine, owner, .. } = containers;
    let is_left = |summary: &ContainerSummary| {
        let label = |name: &str| label(summary, name);
        let lock = label(LOCK_LABEL).map(Path::new);
        lock.is_some_and(|lock| !owner.owns(label) && life::is_over(lock, label(PROCESS_LABEL)))
    };
    let own = owner.executor.as_ref();
    let signs = own.and_then(|own| own.signs.as_ref().map(|signs| (signs, signs.dead(&own.lock))));
    let removed = remove_those(engine, (INSTALLATION_LABEL, &owner.installation), is_left).await?;
    for error in &removed.refused {
        tracing::warn!(%error, "a container of a dead executor stays");
    }
    if let Some((signs, dead)) = signs {
        // Their guards are dead as well, or just about to do the same. Who was dead before the list has nothing that is not in it.
        let dead = dead.unwrap_or_default();
        let of_none = dead.iter().filter(|sign| !removed.stay.contains(*sign));
        removed.signs.iter().chain(of_none).for_each(|sign| signs.forget(sign));
    }
    Ok(removed.names)
}

/// What came of removing several containers.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// Those that are gone.
    pub(super) names: Vec<String>,
    /// The signs of executors of which no container is left.
    signs: BTreeSet<PathBuf>,
    /// Those of executors of which one is.
    stay: BTreeSet<PathBuf>,
    /// Why others are there still.
    pub(super) refused: Vec<EngineError>,
}

/// Those containers with this label and value that `is_left` names are gone afterwards. One that dockerd refuses to remove (a busy
/// mount) keeps none of the others.
///
/// # Errors
/// When dockerd is away.
pub(super) async fn remove_those(
    engine: &Engine,
    (key, value): (&str, &str),
    is_left: impl Fn(&ContainerSummary) -> bool,
) -> Result<Removed, EngineError> {
    let mut removed = Removed::default();
    for summary in engine.list(key, value).await? {
        let sign = label(&summary, LOCK_LABEL).map(PathBuf::from);
        let Some(name) = container_name(&summary).filter(|_| is_left(&summary)) else {
            removed.stay.extend(sign);
            continue;
        };
        match engine.remove(name).await {
            Ok(()) => {
                removed.names.push(name.to_owned());
                removed.signs.extend(sign);
            }
            Err(error) if error.is_away() => return Err(error),
            Err(error) => {
                removed.stay.extend(sign);
                removed.refused.push(error);
            }
        }
    }
    let Removed { signs, stay, .. } = &mut removed;
    signs.retain(|sign| !stay.contains(sign));
    Ok(removed)
}

/// The value of a container's label.
pub(super) fn label<'a>(summary: &'a ContainerSummary, name: &str) -> Option<&'a str> {
    summary.labels.as_ref()?.get(name).map(String::as_str)
}
