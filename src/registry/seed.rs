//! What stands in a registry from the first start: the installation's own record and the first namespaces.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Registry;
use super::write::{CommitError, Fence, Write};
use crate::store::{Guard, Op, StoreError, Txn};

/// Namespaces that people and tools expect to be there.
const NAMESPACES: [&str; 2] = ["default", "kube-system"];
/// The form of stored documents that this program writes.
const FORMAT: u32 = 1;

/// An installation of Tenure: everything under one prefix of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// Given once; marks containers and tasks as ours.
    pub uid: String,
    /// The form of the stored documents.
    pub format: u32,
}

/// Why a registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("failed to read or write the installation's record")]
    Record(#[source] StoreError),
    #[error("the installation's record is damaged: {0}")]
    Damaged(#[source] serde_json::Error),
    #[error("stored documents have format {found}; this program understands up to {FORMAT}: use a newer one")]
    TooNew { found: u32 },
    #[error("failed to create namespace {name}")]
    Namespace {
        name: &'static str,
        #[source]
        source: CommitError,
    },
}

impl Registry {
    /// Makes the record and the first namespaces where they are missing; safe to repeat, and for several processes at
    /// once.
    ///
    /// # Errors
    /// [`SeedError`]; what was made before stays.
    pub async fn seed(&self) -> Result<Installation, SeedError> {
        let installation = self.installation().await?;
        for name in NAMESPACES {
            let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            match self.commit(&Fence::none(), vec![Write::Create { value }]).await {
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(source) => return Err(SeedError::Namespace { name, source }),
            }
        }
        Ok(installation)
    }

    async fn installation(&self) -> Result<Installation, SeedError> {
        let key = self.prefix.meta("installation");
        loop {
            if let Some(record) = self.store.get(&key).await.map_err(SeedError::Record)? {
                let known: Installation =
                    serde_json::from_slice(&record.value).map_err(SeedError::Damaged)?;
                if known.format > FORMAT {
                    return Err(SeedError::TooNew { found: known.format });
                }
                return Ok(known);
            }
            let new = Installation { uid: self.env.uid(), format: FORMAT };
            let value = serde_json::to_vec(&new).map_err(SeedError::Damaged)?.into();
            let put = Op::Put { key: key.clone(), value, lease: None };
            let txn = Txn { guards: vec![Guard::Absent(key.clone())], ops: vec![put] };
            // Whoever wins, the record is read above.
            self.store.txn(txn).await.map_err(SeedError::Record)?;
        }
    }
}
