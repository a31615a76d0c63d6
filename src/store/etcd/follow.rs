//! Watches on etcd: complete up to a revision, also on versions that cannot say so.
//!
//! Events tell how far a watch has got. When nothing under the prefix changes while other keys do, the watch must still
//! reach the revisions that readers were told. Current versions answer a request for progress. Before 3.4.25 and 3.5.8
//! that answer may overtake events on their way (etcd #15220), so there a *marker* is written under the prefix instead:
//! an event is always in order.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Event as EtcdEvent, EventType, WatchOptions, WatchResponse, WatchStream};
use futures::stream::{self, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::failure::Asked;
use super::{EtcdStore, MESSAGE_BYTES_MAX, request};
use crate::env::watch;
use crate::store::{Batch, Event, Op, Revision, Store, StoreError, Txn, Watch, WatchError};

/// The key below a watched prefix whose changes only show progress. It is told to nobody.
const MARKER: &str = "~progress";
/// How long events that are on their way get before progress is asked for.
const GRACE: Duration = Duration::from_millis(20);
/// How long an answer to that may take before it is asked for again.
const PROGRESS_WITHIN: Duration = Duration::from_secs(1);

/// How a watch learns how far it has got while nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Requested,
    Marked,
}

struct Follower {
    /// What a marker is written with.
    store: EtcdStore,
    stream: WatchStream,
    prefix: Arc<str>,
    after: Revision,
    position: Revision,
    told: watch::Receiver<Revision>,
    progress: Progress,
    /// When to ask for progress, while the position is behind what was told.
    ask_at: Option<Instant>,
}

pub(super) fn is_marker(key: &[u8]) -> bool {
    key.ends_with(MARKER.as_bytes())
}

/// Opens a watch and waits until etcd has confirmed it.
pub(super) async fn open(store: &EtcdStore, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
    let opening = |client: Client| async move {
        let version = client.maintenance_client().status().await?.version().to_owned();
        // From `after` itself, whose events are dropped: on versions before 3.4.36 a watch from exactly the compacted
        // revision misses its deletions (etcd #19179).
        let options = WatchOptions::new()
            .with_range(request::end_of(prefix))
            .with_start_revision(request::number(after.max(1)))
            .with_progress_notify();
        let mut watches = client.watch_client().max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut stream = watches.watch(prefix, Some(options)).await?;
        let created = stream.message().await?;
        Ok((progress_of(&version), stream, created))
    };
    let (progress, stream, created) = store.members.call(Asked::At(after), opening).await?;
    match created {
        Some(response) if response.canceled() => return Err(cancelled(&response, after)),
        Some(response) if response.created() => {}
        _ => return Err(StoreError::Unavailable("etcd did not confirm the watch".to_owned())),
    }
    let follower = Follower {
        store: store.clone(),
        stream,
        prefix: prefix.into(),
        after,
        position: after,
        told: store.told.subscribe(),
        progress,
        ask_at: None,
    };
    Ok(follower.into_watch())
}

/// Whether a version's answer to a request for progress keeps its place among events. Unknown versions are not trusted.
fn progress_of(version: &str) -> Progress {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    match (next(), next(), next()) {
        (3, 4, patch) if patch >= 25 => Progress::Requested,
        (3, 5, patch) if patch >= 8 => Progress::Requested,
        (3, minor, _) if minor >= 6 => Progress::Requested,
        (major, ..) if major >= 4 => Progress::Requested,
        _ => Progress::Marked,
    }
}

impl Follower {
    /// Batches until the first error.
    fn into_watch(self) -> Watch {
        stream::unfold(Some(self), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(batch) => Some((Ok(batch), Some(follower))),
                Err(end) => Some((Err(end), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Batch, WatchError> {
        loop {
            let told = *self.told.borrow_and_update();
            self.ask_at = match self.ask_at {
                _ if told <= self.position => None,
                Some(at) => Some(at),
                None => Some(Instant::now() + GRACE),
            };
            tokio::select! {
                biased;
                response = self.stream.message() => {
                    let response = response.map_err(|error| interrupted(&error.to_string()))?;
                    let response = response.ok_or_else(|| interrupted("etcd ended the stream"))?;
                    if let Some(batch) = self.batch(&response)? {
                        return Ok(batch);
                    }
                }
                Ok(()) = self.told.changed() => {}
                () = sleep_until(self.ask_at.unwrap_or_else(Instant::now)), if self.ask_at.is_some() => {
                    self.ask_at = Some(Instant::now() + PROGRESS_WITHIN);
                    self.ask_progress().await?;
                }
            }
        }
    }

    async fn ask_progress(&mut self) -> Result<(), WatchError> {
        match self.progress {
            Progress::Requested => {
                self.stream.request_progress().await.map_err(|error| interrupted(&error.to_string()))
            }
            Progress::Marked => {
                let key = format!("{}{MARKER}", self.prefix).into();
                let marker = Op::Put { key, value: bytes::Bytes::new(), lease: None };
                let txn = Txn { guards: Vec::new(), ops: vec![marker] };
                let written = self.store.txn(txn).await;
                written.map(|_| ()).map_err(|error| interrupted(&error.to_string()))
            }
        }
    }

    /// What a response tells; none when it is nothing new.
    fn batch(&mut self, response: &WatchResponse) -> Result<Option<Batch>, WatchError> {
        if response.canceled() {
            return Err(match cancelled(response, self.after.max(self.position)) {
                StoreError::Compacted { asked, oldest } => WatchError::Compacted { asked, oldest },
                other => interrupted(&other.to_string()),
            });
        }
        // A response with events may carry a header ahead of events yet to come: only its events count.
        let last = match response.events().last() {
            Some(event) => event.kv().map_or(0, |kv| kv.mod_revision().unsigned_abs()),
            None => response.header().map_or(0, |header| header.revision().unsigned_abs()),
        };
        let told = response.events().iter().filter(|event| self.is_told(event));
        let events: Result<Vec<Event>, StoreError> =
            told.filter_map(|event| change(event).transpose()).collect();
        let events = events.map_err(|error| interrupted(&error.to_string()))?;
        if events.is_empty() && last <= self.position {
            return Ok(None);
        }
        self.position = self.position.max(last);
        self.ask_at = None;
        Ok(Some(Batch { events, revision: self.position }))
    }

    fn is_told(&self, event: &EtcdEvent) -> bool {
        event.kv().is_some_and(|kv| kv.mod_revision().unsigned_abs() > self.after && !is_marker(kv.key()))
    }
}

fn change(event: &EtcdEvent) -> Result<Option<Event>, StoreError> {
    let Some(kv) = event.kv() else { return Ok(None) };
    Ok(Some(match event.event_type() {
        EventType::Put => Event::Put(request::record(kv.clone())?),
        EventType::Delete => Event::Deleted {
            key: request::text(kv.key())?.into(),
            revision: kv.mod_revision().unsigned_abs(),
        },
    }))
}

fn cancelled(response: &WatchResponse, asked: Revision) -> StoreError {
    match response.compact_revision() {
        0 => StoreError::Unavailable(format!("etcd cancelled the watch: {}", response.cancel_reason())),
        compacted => StoreError::Compacted { asked, oldest: compacted.unsigned_abs() },
    }
}

fn interrupted(why: &str) -> WatchError {
    WatchError::Interrupted(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_keep_progress_in_order_are_asked_for_it() {
        for (version, expected) in [
            ("3.4.23", Progress::Marked),
            ("3.4.25", Progress::Requested),
            ("3.5.7", Progress::Marked),
            ("3.5.8", Progress::Requested),
            ("3.6.0-rc.1", Progress::Requested),
            ("4.0.0", Progress::Requested),
            ("", Progress::Marked),
            ("weird", Progress::Marked),
        ] {
            assert_eq!(progress_of(version), expected, "{version}");
        }
    }
}
