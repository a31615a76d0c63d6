//! Watches: changes as a stream of lines, one JSON object each.
//!
//! A document that is shown whole goes out as the bytes it is kept in. Any other form is made once per event and
//! shared by all watchers that ask for it. What is ready together goes out together.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{FutureExt, stream};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::Api;
use super::accept::{Offer, Transform};
use super::objects::Ask;
use super::view::{Include, View, tree};
use crate::registry::form::Form;
use crate::registry::{Doc, Failure, Key, KindDef, Revision, WatchEvent, WatchQuery, WatchStream};
use crate::server::metrics::Watching;
use crate::server::shares::Share;

/// How long a watch lasts when the client does not say: between this and twice this, so that they do not all return
/// together.
const LASTS_AT_LEAST: Duration = Duration::from_secs(30 * 60);
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Events are gathered up to about this many bytes before they are sent.
const CHUNK_BYTES: usize = 64 * 1_024;
/// Encoded events kept for other watchers.
const SHARED_MAX: usize = 512;

/// Which event in which group and version and in which form; the oldest revision is forgotten first. The second is of the
/// clock that ages are counted to, for a Table.
type Shape = (Revision, Key, String, Transform, Include, i64);

/// Encoded events, shared by watchers.
#[derive(Debug, Default)]
pub(super) struct EventCache {
    /// Held while an entry is looked up or added, never while one is made.
    forms: Mutex<BTreeMap<Shape, Bytes>>,
}

impl EventCache {
    fn get_or_make(
        &self,
        form: Shape,
        make: impl FnOnce() -> Result<Value, Failure>,
    ) -> Result<Bytes, Failure> {
        let known = self.forms.lock().unwrap_or_else(PoisonError::into_inner).get(&form).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = Bytes::from(make()?.to_string());
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        forms.insert(form, made.clone());
        if forms.len() > SHARED_MAX {
            forms.pop_first();
        }
        Ok(made)
    }
}

impl Api {
    pub(super) async fn watch(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Watch)?;
        let include = Include::parse(ask.query.text("includeObject"))?;
        let query = WatchQuery::parse(ask.target.namespace.as_deref(), &ask.query)?;
        let ends = Instant::now() + self.lasts(ask)?;
        let bookmarks = query.bookmarks;
        let text = "too many watches are open: close some first";
        let share = self.watchers.take(&ask.user).ok_or_else(|| Failure::too_many_requests(text, 1))?;
        let events = self.registry.watch(&ask.kind, query).await?;
        let teller = Teller {
            api: self.clone(),
            kind: ask.kind.clone(),
            transform: accepted.transform,
            include,
            events,
            columns_told: false,
            next_bookmark: bookmarks.then(|| Instant::now() + BOOKMARK_EVERY),
            ends: Some(ends),
            _counted: self.requests.watching(),
            _share: share,
        };
        let mut response = Response::new(Body::from_stream(stream::unfold(teller, Teller::tell)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        Ok(response)
    }

    fn lasts(&self, ask: &Ask<'_>) -> Result<Duration, Failure> {
        let text = ask.query.text("timeoutSeconds");
        if text.is_empty() || text == "0" {
            return Ok(LASTS_AT_LEAST + Duration::from_secs(self.env.below(LASTS_AT_LEAST.as_secs())));
        }
        let seconds = text.parse().map_err(|_| {
            Failure::bad_request(format!(
                "timeoutSeconds: Invalid value: {text:?}: must be a whole number of seconds"
            ))
        })?;
        Ok(Duration::from_secs(seconds))
    }
}

/// Tells one watcher what happens.
struct Teller {
    api: Arc<Api>,
    kind: Arc<KindDef>,
    transform: Transform,
    include: Include,
    events: WatchStream,
    /// A Table's columns stand in its first event only.
    columns_told: bool,
    /// None: the watcher wants no bookmarks.
    next_bookmark: Option<Instant>,
    /// None: the last word has been said.
    ends: Option<Instant>,
    _counted: Watching,
    _share: Share,
}

enum Next {
    Event(Option<WatchEvent>),
    Bookmark,
    End,
}

impl Teller {
    /// The next chunk; none ends the watch.
    async fn tell(mut self) -> Option<(Result<Bytes, Infallible>, Teller)> {
        loop {
            let mut chunk = BytesMut::new();
            match self.next().await? {
                Next::Event(event) => {
                    self.write(&event?, &mut chunk);
                    while chunk.len() < CHUNK_BYTES
                        && let Some(Some(event)) = self.events.next().now_or_never()
                    {
                        self.write(&event, &mut chunk);
                    }
                }
                Next::Bookmark => {
                    self.next_bookmark = Some(Instant::now() + BOOKMARK_EVERY);
                    self.write_bookmark(&mut chunk);
                }
                Next::End => {
                    self.ends = None;
                    if self.next_bookmark.is_some() {
                        self.write_bookmark(&mut chunk);
                    }
                }
            }
            if !chunk.is_empty() {
                return Some((Ok(chunk.freeze()), self));
            }
        }
    }

    /// None when the watch is over.
    async fn next(&mut self) -> Option<Next> {
        let ends = self.ends?;
        let bookmark = async {
            match self.next_bookmark {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // All arms may be dropped at any time: the stream of events keeps what it has not told.
        tokio::select! {
            biased;
            () = self.api.shutdown.cancelled() => None,
            () = sleep_until(ends) => Some(Next::End),
            event = self.events.next() => Some(Next::Event(event)),
            () = bookmark => Some(Next::Bookmark),
        }
    }

    fn write(&mut self, event: &WatchEvent, chunk: &mut BytesMut) {
        let written = match event {
            WatchEvent::Added(doc) => self.object("ADDED", doc, doc.revision(), chunk),
            WatchEvent::Modified(doc) => self.object("MODIFIED", doc, doc.revision(), chunk),
            WatchEvent::Deleted { doc, revision } => self.object("DELETED", doc, *revision, chunk),
            WatchEvent::InitialEnd(revision) => {
                line("BOOKMARK", self.view().bookmark(*revision, true).to_string().as_bytes(), chunk);
                Ok(())
            }
            WatchEvent::Expired(failure) => Err(failure.clone()),
        };
        if let Err(failure) = written {
            line("ERROR", failure.status().to_string().as_bytes(), chunk);
        }
    }

    fn object(
        &mut self,
        kind: &str,
        doc: &Doc,
        revision: Revision,
        chunk: &mut BytesMut,
    ) -> Result<(), Failure> {
        // What left at a later revision than it was written is told with that one, so that a client may resume there.
        let moved = revision != doc.revision();
        if self.transform == Transform::Whole && self.kind.form == Form::Served && !moved {
            line(kind, doc.bytes(), chunk);
            return Ok(());
        }
        let view = self.view();
        let second = match self.transform {
            Transform::Table(_) => view.now.as_second(),
            Transform::Whole | Transform::Metadata(_) | Transform::MetadataList(_) => 0,
        };
        let make = |first| {
            let mut object = tree(&self.kind, doc)?;
            if moved {
                object["metadata"]["resourceVersion"] = json!(revision.to_string());
            }
            view.event(&object, first)
        };
        let first = !self.columns_told && second != 0;
        let bytes = if first {
            Bytes::from(make(true)?.to_string())
        } else {
            let seen_as = self.kind.api_version();
            let form = (revision, doc.key().clone(), seen_as, self.transform, self.include, second);
            self.api.events.get_or_make(form, || make(false))?
        };
        self.columns_told = true;
        line(kind, &bytes, chunk);
        Ok(())
    }

    fn write_bookmark(&mut self, chunk: &mut BytesMut) {
        // Nothing may be named that was not told: with events waiting, their revisions say it soon.
        if let Some(revision) = self.events.bookmark() {
            line("BOOKMARK", self.view().bookmark(revision, false).to_string().as_bytes(), chunk);
        }
    }

    fn view(&self) -> View<'_> {
        // A watch is a stream of single objects, whatever form of a list was asked for.
        let transform = match self.transform {
            Transform::MetadataList(version) => Transform::Metadata(version),
            other => other,
        };
        View { kind: &self.kind, transform, include: self.include, now: self.api.env.now() }
    }
}

fn line(kind: &str, object: &[u8], chunk: &mut BytesMut) {
    chunk.reserve(object.len() + 40);
    chunk.put_slice(b"{\"type\":\"");
    chunk.put_slice(kind.as_bytes());
    chunk.put_slice(b"\",\"object\":");
    chunk.put_slice(object);
    chunk.put_slice(b"}\n");
}
