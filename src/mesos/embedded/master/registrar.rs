//! The registry on disk: what a master that was killed leaves to the one that is started in its place.
//!
//! One JSON document, written anew (and synced) whenever the registry has changed, before the master takes in anything else. An agent may
//! have heard that it is registered a moment before: it registers with its id again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::maintenance::Schedule;
use super::registry::{Drain, Registry};
use crate::env::Env;
use crate::mesos::embedded::shares::Weights;
use crate::mesos::wire::{AgentId, TimeInfo};

/// The wait before a registry that could not be written is written again.
const RETRY: Duration = Duration::from_secs(1);

/// The registry could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file or its folder cannot be used.
    #[error("failed to read the registry {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It says nothing that this version understands.
    #[error("{path} is no registry")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The node is going down.
    #[error("the node crashed")]
    Crashed,
}

/// Keeps a registry in a file.
#[derive(Debug)]
pub(super) struct Registrar {
    env: Env,
    file: PathBuf,
    /// What the file says.
    kept: Registry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    agents: Vec<AgentId>,
    unreachable: Vec<(AgentId, TimeInfo)>,
    gone: Vec<AgentId>,
    deactivated: Vec<(AgentId, Option<Drain>)>,
    schedule: Schedule,
    weights: BTreeMap<String, f64>,
}

impl Registrar {
    /// Reads the registry of `file`; without one it is empty. Its agents are those that are awaited.
    ///
    /// # Errors
    /// When the file is there and cannot be understood: starting without it would tell that tasks are unknown that run.
    pub(super) async fn open(env: &Env, file: PathBuf) -> Result<(Registrar, Registry), RegistryError> {
        let path = file.clone();
        let read = env.run_blocking(move || std::fs::read(path)).await.map_err(|_| RegistryError::Crashed)?;
        let registry = match read {
            Ok(bytes) => serde_json::from_slice::<Document>(&bytes)
                .map(Registry::from)
                .map_err(|source| RegistryError::Corrupt { path: file.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Registry::default(),
            Err(source) => return Err(RegistryError::Io { path: file, source }),
        };
        let kept = registry.clone();
        Ok((Registrar { env: env.clone(), file, kept }, registry))
    }

    /// Returns when the file says `registry`. While the disk refuses it that is tried again, and nothing else happens: a master that
    /// went on would forget what it has told.
    pub(super) async fn keep(&mut self, registry: Registry) {
        if registry == self.kept {
            return;
        }
        // Our own types always have a JSON form.
        let bytes = serde_json::to_vec(&Document::from(&registry)).unwrap_or_default();
        loop {
            let (file, bytes) = (self.file.clone(), bytes.clone());
            match self.env.run_blocking(move || write(&file, &bytes)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => {
                    tracing::error!(%error, file = %self.file.display(), "registry not written: nothing is done until it is");
                }
                Err(_crashed) => return std::future::pending().await,
            }
            self.env.sleep(RETRY).await;
        }
        self.kept = registry;
    }
}

fn write(file: &std::path::Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut written = File::create(&new)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    std::fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

impl From<&Registry> for Document {
    fn from(registry: &Registry) -> Document {
        Document {
            agents: registry.recovered.iter().cloned().collect(),
            unreachable: registry.unreachable.iter().map(|(id, at)| (id.clone(), *at)).collect(),
            gone: registry.gone.iter().cloned().collect(),
            deactivated: registry.deactivated.iter().map(|(id, drain)| (id.clone(), *drain)).collect(),
            schedule: registry.schedule.clone(),
            weights: registry.weights.0.clone(),
        }
    }
}

impl From<Document> for Registry {
    fn from(document: Document) -> Registry {
        Registry {
            recovered: document.agents.into_iter().collect(),
            unreachable: document.unreachable.into_iter().collect(),
            gone: document.gone.into_iter().collect(),
            deactivated: document.deactivated.into_iter().collect(),
            schedule: document.schedule,
            weights: Weights(document.weights),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_master_finds_what_was_kept_and_no_master_starts_on_what_it_does_not_understand() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registry.json");
        let env = Env::system().unwrap();
        let (mut registrar, empty) = Registrar::open(&env, file.clone()).await.unwrap();
        assert_eq!(empty, Registry::default());
        let agent = |name: &str| AgentId::new(name);
        let drain = Drain { max_grace: Some(Duration::from_secs(5)), mark_gone: true };
        let registry = Registry {
            recovered: [agent("a"), agent("b")].into(),
            unreachable: [(agent("c"), TimeInfo { nanoseconds: 7 })].into(),
            gone: [agent("d")].into(),
            deactivated: [(agent("a"), Some(drain)), (agent("b"), None)].into(),
            weights: Weights([("web".to_owned(), 2.5)].into()),
            ..Registry::default()
        };
        registrar.keep(registry.clone()).await;
        assert_eq!(Registrar::open(&env, file.clone()).await.unwrap().1, registry);

        std::fs::write(&file, b"{").unwrap();
        let refused = Registrar::open(&env, file).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Corrupt { .. }), "{refused}");
    }
}
