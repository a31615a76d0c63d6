//! What a write means.
//!
//! ```text
//! people (HTTP):  body ─▶ intake ─▶ settle ─▶ guarded transaction ─▶ document
//! controllers:    batch of writes ─▶ settle ─▶ one transaction, fenced by the leader's key
//! ```
//!
//! `intake` makes an object of a body: names, nulls, unknown fields. `settle` makes of an object and the one it
//! replaces what will be stored: server-owned fields, isolation of subresources, defaults, ownership, generation,
//! validation, and whether anything changed at all. Both are pure but for chance (uids, names) and the time of day.

mod apply;
mod commit;
mod create;
mod decode;
mod delete;
mod intake;
mod merge;
mod scale;
mod settle;
mod status;
mod update;

use bytes::Bytes;

pub use commit::{CommitError, Committed, Fence, Write};
pub(super) use scale::view as scale_view;

use super::key::Key;
use crate::store::Revision;

/// Which part of an object a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    /// The object, without its status where that is a subresource.
    Main,
    /// Only `status`.
    Status,
    /// `autoscaling/v1` Scale, a view of two numbers.
    Scale,
    /// Only what holds an object by its spec: a Namespace's `spec.finalizers`.
    Finalize,
}

impl Subresource {
    /// As it stands in managedFields; empty for the object itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Subresource::Main => "",
            Subresource::Status => "status",
            Subresource::Scale => "scale",
            Subresource::Finalize => "finalize",
        }
    }
}

/// The answer to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The object as JSON (a Scale for that subresource), as it stands now or, in a dry run, would stand.
    pub object: Bytes,
    /// Whether it was not there before.
    pub created: bool,
    /// To be told to the client, each once.
    pub warnings: Vec<String>,
    /// The revision of the object; none when nothing was stored (a dry run, the last finalizer removed).
    pub revision: Option<Revision>,
}

/// The answer to a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone (or, in a dry run, would be).
    Gone { key: Key, uid: String },
    /// It is going: finalizers hold it. The object as JSON.
    Terminating(Bytes),
}
