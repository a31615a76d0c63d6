//! One stream of Docker's events for all containers of one owner, in place of a wait per container.
//!
//! An event only says *look again*: whoever follows a container inspects it and acts on what it finds, so a lost,
//! doubled or late event does no harm. Each connection, but an executor's first, lists the containers once, for what happened while nobody
//! listened, and then follows the events since just before that list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, EventMessage};
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::engine::{Engine, EngineError};
use super::owner::Owner;
use crate::env::{Env, watch};
use crate::executor::retry::Backoff;
use crate::mesos::wire::Engine as State;

const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(3);
/// A dockerd that hangs closes no stream: it is asked for an answer this often, and counts as away without one.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(20);

/// Wakes followers of containers, by container name.
#[derive(Debug, Clone)]
pub struct Events {
    followed: Arc<Mutex<BTreeMap<String, Arc<Notify>>>>,
    /// Whether dockerd can be asked.
    state: Arc<watch::Sender<State>>,
}

impl Default for Events {
    fn default() -> Events {
        Events { followed: Arc::default(), state: Arc::new(watch::channel(State::Unknown).0) }
    }
}

/// While it lives, events of its container wake [`Followed::changed`].
#[derive(Debug)]
pub struct Followed {
    events: Events,
    name: String,
    wake: Arc<Notify>,
}

impl Followed {
    /// Something may have happened to the container since the last call.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.events.lock().remove(&self.name);
    }
}

impl Events {
    /// Follows the container of that name, which need not exist yet.
    #[must_use]
    pub fn follow(&self, name: &str) -> Followed {
        let wake = Arc::new(Notify::new());
        self.lock().insert(name.to_owned(), wake.clone());
        Followed { events: self.clone(), name: name.to_owned(), wake }
    }

    /// Whether dockerd can be asked, as it changes from now on.
    #[must_use]
    pub fn engine(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The first reason stays until dockerd is back. True when this is news.
    fn tell(&self, now: State) -> bool {
        self.state.send_if_modified(|state| {
            let is_news = std::mem::discriminant(state) != std::mem::discriminant(&now);
            if is_news {
                *state = now;
            }
            is_news
        })
    }

    /// Keeps the stream open for ever, waking followers.
    pub async fn run(self, env: Env, engine: Engine, owner: Owner) {
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        let mut has_answered = false;
        loop {
            let since = env.now();
            match self.connect(&engine, &owner, since).await {
                Ok(events) => {
                    has_answered = true;
                    backoff.reset();
                    if self.tell(State::Ready) {
                        tracing::info!(host = engine.host(), "dockerd answers");
                    }
                    self.follow_stream(&env, &engine, events).await;
                }
                Err(error) => self.tell_away(&engine, &error, has_answered),
            }
            env.sleep(env.jitter(backoff.next(), 0.2)).await;
        }
    }

    fn tell_away(&self, engine: &Engine, error: &EngineError, has_answered: bool) {
        if has_answered || engine.has_socket() {
            if self.tell(State::Away { why: error.to_string() }) {
                tracing::warn!(%error, "dockerd does not answer: containers keep their state, none is started");
            }
        } else if self.tell(State::Absent { why: format!("nothing listens at {}", engine.host()) }) {
            tracing::warn!(
                host = engine.host(),
                "no Docker engine on this machine: only plain processes run"
            );
        }
    }

    /// Lists the containers, if any of them can have been missed, and opens the stream.
    async fn connect(
        &self,
        engine: &Engine,
        owner: &Owner,
        since: Timestamp,
    ) -> Result<BoxStream<'static, Result<EventMessage, EngineError>>, EngineError> {
        // Until dockerd is heard of no container is made, and who takes one up looks for himself. A list costs dockerd the more the
        // more containers there are, and executors begin one for each.
        let is_first = owner.executor.is_some() && matches!(*self.state.borrow(), State::Unknown);
        engine.ping(PING_LIMIT).await?;
        let (label, value) = owner.filter();
        if !is_first {
            self.resync(&engine.list(label, value).await?);
        }
        Ok(engine.events(label, value, &seconds(since))?.boxed())
    }

    /// One connection, until it breaks or dockerd does not answer.
    async fn follow_stream(
        &self,
        env: &Env,
        engine: &Engine,
        mut events: BoxStream<'static, Result<EventMessage, EngineError>>,
    ) {
        let mut alive = std::pin::pin!(still_answers(env, engine));
        loop {
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                error = &mut alive => return tracing::debug!(%error, "dockerd hangs"),
            };
            match event {
                Some(Ok(event)) => self.wake(&event),
                Some(Err(error)) => return tracing::debug!(%error, "stream of events broke"),
                None => return tracing::debug!("dockerd ended the stream of events"),
            }
        }
    }

    /// Wakes the followers of all containers that do not run.
    fn resync(&self, containers: &[ContainerSummary]) {
        let running: BTreeSet<&str> = containers
            .iter()
            .filter(|container| container.state == Some(ContainerSummaryStateEnum::RUNNING))
            .filter_map(container_name)
            .collect();
        for (name, wake) in self.lock().iter() {
            if !running.contains(name.as_str()) {
                wake.notify_one();
            }
        }
    }

    fn wake(&self, event: &EventMessage) {
        let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
        let Some(name) = attributes.and_then(|attributes| attributes.get("name")) else { return };
        if let Some(wake) = self.lock().get(name) {
            wake.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Notify>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when dockerd does not answer any more.
async fn still_answers(env: &Env, engine: &Engine) -> EngineError {
    loop {
        env.sleep(PING_EVERY).await;
        if let Err(error) = engine.ping(PING_LIMIT).await {
            return error;
        }
    }
}

/// The name under which a container was created; Docker shows it with a slash.
#[must_use]
pub(super) fn container_name(container: &ContainerSummary) -> Option<&str> {
    container.names.as_ref()?.first().map(|name| name.trim_start_matches('/'))
}

/// An instant as Docker's `seconds.nanoseconds`.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:09}", at.as_second(), at.subsec_nanosecond())
}
