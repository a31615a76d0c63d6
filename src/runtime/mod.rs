//! What every loop needs: leadership, work queues with backoff, groups of tasks that stop together, and a view of the
//! registry that feeds indexes. Knows no nouns.
//!
//! ```text
//! store ──lease──▶ Election ──Term──▶ Group of loops        (a term's end stops all of them)
//! cache ──changes─▶ View<Index> ─────▶ WorkQueue ──key──▶ reconcile ──Requeue──▶ WorkQueue
//! ```

mod backoff;
mod compaction;
mod deference;
mod facts;
mod group;
mod leadership;
mod queue;
mod reconcile;
#[cfg(test)]
pub(crate) mod support;
mod view;
mod writer;

pub use backoff::Backoff;
pub use compaction::{Compaction, HISTORY};
pub use facts::{FactError, Facts};
pub use group::{Group, LoopEnded};
pub use leadership::{Election, LEADER_TTL, Term};
pub use queue::{Requeue, WorkQueue};
pub use reconcile::{Done, Reconciler, drive};
pub use view::{Index, News, Scene, View};
#[cfg(test)]
pub(crate) use writer::leading;
pub use writer::{Setback, Writer};

pub use crate::store::Revision;
