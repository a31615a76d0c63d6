//! What is on disk: a log of versions, ordered by revision, in one redb file.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `log` | revision, ordinal in it | key, created, lease, whether it is a deletion |
//! | `values` | the same | the value |
//! | `meta` | `format`, `revision`, `compacted` | a number |
//!
//! Compaction deletes replaced versions, so what is left of the log *is* the checkpoint that a start reads: heads only;
//! values stay on disk until somebody asks for one. redb's commit is an fsync of a copy-on-write tree: after a crash at
//! any moment the file shows the last commit wholly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::OpenError;
use crate::store::decision::Effect;
use crate::store::index::{Keyed, Version};
use crate::store::{LeaseId, Revision, StoreError};

/// Where a version stands: its revision, and its place among the versions that this revision wrote.
pub(super) type Slot = (Revision, u32);
/// Where `version` stands.
pub(super) fn slot<V>(version: &Version<V>) -> Slot {
    (version.revision, version.ordinal)
}

/// The effects of one transaction, and its revision.
pub(super) type Written = (Revision, Vec<Effect>);

/// Key, created, lease (0: none), is a deletion.
type Head<'t> = (&'t str, u64, i64, bool);
const LOG: TableDefinition<'_, (u64, u32), Head<'_>> = TableDefinition::new("log");
const VALUES: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("values");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The format that this code reads and writes.
const FORMAT: u64 = 1;

/// The file. All of this blocks.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    cache_bytes: usize,
    /// None after an I/O error, until it can be opened again: redb refuses everything on a file that failed once.
    database: RwLock<Option<Database>>,
}

/// What a start finds.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub revision: Revision,
    pub compacted: Revision,
    /// The versions of each revision above the one asked for, in order.
    pub versions: BTreeMap<Revision, Vec<Keyed<()>>>,
}

impl Disk {
    /// Opens the file, or makes it. Repairs what a crash left.
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Disk, OpenError> {
        let opened =
            open_database(path, cache_bytes).and_then(|database| prepare(&database).map(|()| database));
        let failed = |error| OpenError::Database { path: path.to_owned(), error };
        let database = opened.map_err(failed)?;
        let format = read_meta(&database).map_err(failed)?.format;
        if format != FORMAT {
            return Err(OpenError::Format { path: path.to_owned(), found: format, supported: FORMAT });
        }
        Ok(Disk { path: path.to_owned(), cache_bytes, database: RwLock::new(Some(database)) })
    }

    /// Closes the file and opens it again.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Dropped first: redb locks the file.
        *database = None;
        *database = Some(open_database(&self.path, self.cache_bytes)?);
        Ok(())
    }

    pub(super) fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes transactions with one commit; durable when this returns.
    pub(super) fn commit(&self, written: &[Written]) -> Result<(), StoreError> {
        self.write(|txn| {
            let mut log = txn.open_table(LOG).map_err(failed)?;
            let mut values = txn.open_table(VALUES).map_err(failed)?;
            for (revision, effects) in written {
                for (ordinal, effect) in (0_u32..).zip(effects) {
                    let slot = (*revision, ordinal);
                    let lease = effect.lease.map_or(0, |lease| lease.0);
                    let head = (&*effect.key, effect.created, lease, effect.value.is_none());
                    log.insert(slot, head).map_err(failed)?;
                    if let Some(value) = &effect.value {
                        values.insert(slot, &**value).map_err(failed)?;
                    }
                }
            }
            let mut meta = txn.open_table(META).map_err(failed)?;
            if let Some((revision, _)) = written.last() {
                meta.insert("revision", *revision).map_err(failed)?;
            }
            Ok(())
        })
    }

    /// Deletes `forgotten` versions and notes the revision up to which history is gone.
    pub(super) fn compact(&self, compacted: Revision, forgotten: &[Slot]) -> Result<(), StoreError> {
        self.write(|txn| {
            let mut log = txn.open_table(LOG).map_err(failed)?;
            let mut values = txn.open_table(VALUES).map_err(failed)?;
            for slot in forgotten {
                log.remove(slot).map_err(failed)?;
                values.remove(slot).map_err(failed)?;
            }
            txn.open_table(META).map_err(failed)?.insert("compacted", compacted).map_err(failed)?;
            Ok(())
        })
    }

    /// The values at `slots`, in their order.
    pub(super) fn values(&self, slots: &[Slot]) -> Result<Vec<Bytes>, StoreError> {
        self.read(|database| {
            let txn = database.begin_read().map_err(failed)?;
            let values = txn.open_table(VALUES).map_err(failed)?;
            let value = |slot: &Slot| {
                let found = values.get(slot).map_err(failed)?;
                let missing = || StoreError::Damaged(format!("the value of {slot:?} is missing"));
                Ok(Bytes::copy_from_slice(found.ok_or_else(missing)?.value()))
            };
            slots.iter().map(value).collect()
        })
    }

    /// The revisions, and the versions above `after`.
    pub(super) fn load(&self, after: Revision) -> Result<Loaded, StoreError> {
        self.read(|database| {
            let meta = read_meta(database)?;
            let txn = database.begin_read().map_err(failed)?;
            let log = txn.open_table(LOG).map_err(failed)?;
            let mut versions: BTreeMap<Revision, Vec<Keyed<()>>> = BTreeMap::new();
            for entry in log.range((after + 1, 0)..).map_err(failed)? {
                let (slot, head) = entry.map_err(failed)?;
                let (revision, ordinal) = slot.value();
                let (key, created, lease, is_deletion) = head.value();
                let lease = (lease != 0).then_some(LeaseId(lease));
                let value = (!is_deletion).then_some(());
                let version = Version { revision, ordinal, created, lease, value };
                versions.entry(revision).or_default().push((key.into(), version));
            }
            Ok(Loaded { revision: meta.revision, compacted: meta.compacted, versions })
        })
    }

    fn read<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or_else(not_open)?)
    }

    fn write(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.read(|database| {
            let txn = database.begin_write().map_err(failed)?;
            work(&txn)?;
            txn.commit().map_err(failed)
        })
    }
}

struct Meta {
    format: u64,
    revision: Revision,
    compacted: Revision,
}

fn read_meta(database: &Database) -> Result<Meta, StoreError> {
    let txn = database.begin_read().map_err(failed)?;
    let meta = txn.open_table(META).map_err(failed)?;
    let number = |name| Ok(meta.get(name).map_err(failed)?.map_or(0, |number| number.value()));
    Ok(Meta { format: number("format")?, revision: number("revision")?, compacted: number("compacted")? })
}

fn open_database(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    Builder::new().set_cache_size(cache_bytes).create(path).map_err(failed)
}

/// Makes the tables of a new file.
fn prepare(database: &Database) -> Result<(), StoreError> {
    let txn = database.begin_write().map_err(failed)?;
    {
        txn.open_table(LOG).map_err(failed)?;
        txn.open_table(VALUES).map_err(failed)?;
        let mut meta = txn.open_table(META).map_err(failed)?;
        let is_new = meta.get("format").map_err(failed)?.is_none();
        if is_new {
            meta.insert("format", FORMAT).map_err(failed)?;
        }
    }
    txn.commit().map_err(failed)
}

fn not_open() -> StoreError {
    StoreError::Unavailable("the store's file is not open".to_owned())
}

/// redb has an error type per operation; what they mean to us depends on few of them.
fn failed(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    match &error {
        redb::Error::Io(io) if is_full(io) => StoreError::NoSpace(io.to_string()),
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => StoreError::Damaged(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
