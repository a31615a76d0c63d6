//! The key file of an installation: made when there is nothing sealed yet, and needed for ever after.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::env::Env;
use crate::registry::{Prefix, Resource};
use crate::server::{read_private, write_private};
use crate::store::Store;
use crate::store::sealed::{Keys, Proof, Sealed};

/// The keys that Secrets are sealed with, and where they are kept.
pub(super) struct Sealing {
    path: PathBuf,
    text: String,
    /// The file is not there yet.
    is_fresh: bool,
    pub(super) keys: Keys,
}

impl Sealing {
    /// The keys of the file `secrets.key` in `folder`, or fresh ones. Nothing is written yet.
    pub(super) fn load(env: &Env, folder: &Path) -> Result<Sealing> {
        let path = folder.join("secrets.key");
        let found = read_private(&path)?;
        let is_fresh = found.is_none();
        let text = found.unwrap_or_else(|| Keys::fresh(env));
        let keys = Keys::parse(&text).with_context(|| format!("{} is no key file", path.display()))?;
        Ok(Sealing { path, text, is_fresh, keys })
    }

    /// `store`, with Secrets sealed.
    pub(super) fn over(&self, env: &Env, store: Arc<dyn Store>, prefix: &Prefix) -> Arc<Sealed> {
        let secrets = prefix.of(&Resource::new("", "secrets"));
        Sealed::of(store, env, self.keys.clone(), vec![secrets])
    }

    /// Makes sure that the keys are those of the installation, which they are from now on if it has none, and that every
    /// Secret is sealed with the first of them.
    ///
    /// # Errors
    /// When the installation has other keys; what the store answers.
    pub(super) async fn settle(&self, store: &Sealed, prefix: &Prefix) -> Result<()> {
        let (record, path) = (prefix.meta("sealing"), self.path.display());
        match store.prove(&record).await.context("failed to read from the store")? {
            Proof::Fits => {}
            Proof::First => {
                // Kept before anything is sealed with it.
                write_private(&self.path, self.text.as_bytes())?;
                if !store.claim(record).await.context("failed to write to the store")? {
                    bail!("another server sealed this installation first: replace {path} by its secrets.key");
                }
            }
            Proof::Strange if self.is_fresh => {
                bail!(
                    "{path} is missing: this installation's Secrets are sealed. Restore it, or copy it from another server"
                )
            }
            Proof::Strange => bail!(
                "the keys in {path} are not those that this installation's Secrets are sealed with. Restore the file, or \
                 copy it from another server"
            ),
        }
        let count = store.reseal().await.context("failed to seal Secrets")?;
        if count > 0 {
            tracing::info!(count, "sealed Secrets that were not, or with an older key");
        }
        Ok(())
    }
}
