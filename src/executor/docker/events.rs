//! One stream of Docker's events for all containers of this installation, in place of a wait per container.
//!
//! An event only says *look again*: whoever follows a container inspects it and acts on what it finds, so a lost,
//! doubled or late event does no harm. Each connection first lists the containers once, for what happened while nobody
//! listened, and then follows the events since just before that list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, EventMessage};
use futures::StreamExt;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::engine::{Engine, EngineError};
use super::spec::INSTALLATION_LABEL;
use crate::env::{Env, watch};
use crate::executor::retry::Backoff;

const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(3);

/// Wakes followers of containers, by container name.
#[derive(Debug, Clone)]
pub struct Events {
    followed: Arc<Mutex<BTreeMap<String, Arc<Notify>>>>,
    /// Why dockerd cannot be asked, while it cannot.
    away: Arc<watch::Sender<Option<String>>>,
}

impl Default for Events {
    fn default() -> Events {
        Events { followed: Arc::default(), away: Arc::new(watch::channel(None).0) }
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

    /// Why dockerd cannot be asked, as it changes from now on.
    #[must_use]
    pub fn away(&self) -> watch::Receiver<Option<String>> {
        self.away.subscribe()
    }

    /// The first reason stays until dockerd is back.
    fn set_away(&self, why: Option<&str>) {
        self.away.send_if_modified(|away| {
            let changed = away.is_some() != why.is_some();
            if changed {
                *away = why.map(str::to_owned);
            }
            changed
        });
    }

    /// Keeps the stream open for ever, waking followers.
    pub async fn run(self, env: Env, engine: Engine, installation: String) {
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        loop {
            let since = env.now();
            let error = self.follow_stream(&engine, &installation, since, &mut backoff).await;
            let wait = env.jitter(backoff.next(), 0.2);
            let why = error.map_or_else(|| "dockerd ended them".to_owned(), |error| error.to_string());
            self.set_away(Some(&why));
            tracing::warn!(why, ?wait, "no events from dockerd; tasks keep their state");
            env.sleep(wait).await;
        }
    }

    /// One connection, until it breaks.
    async fn follow_stream(
        &self,
        engine: &Engine,
        installation: &str,
        since: Timestamp,
        backoff: &mut Backoff,
    ) -> Option<EngineError> {
        match engine.list(INSTALLATION_LABEL, installation).await {
            Ok(containers) => self.resync(&containers),
            Err(error) => return Some(error),
        }
        let mut events = match engine.events(INSTALLATION_LABEL, installation, &seconds(since)) {
            Ok(events) => Box::pin(events),
            Err(error) => return Some(error),
        };
        self.set_away(None);
        backoff.reset();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.wake(&event),
                Err(error) => return Some(error),
            }
        }
        None
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

/// The name under which a container was created; Docker shows it with a slash.
#[must_use]
pub(super) fn container_name(container: &ContainerSummary) -> Option<&str> {
    container.names.as_ref()?.first().map(|name| name.trim_start_matches('/'))
}

/// An instant as Docker's `seconds.nanoseconds`.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:09}", at.as_second(), at.subsec_nanosecond())
}
