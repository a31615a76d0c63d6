//! Where the subscription stands: waited for, being made, or open.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::link::{Caller, Events, LinkError, Way};
use crate::mesos::wire::TaskId;
use crate::mesos::wire::executor::{Call, Event};

/// How it stands with the agent.
pub(super) enum Line {
    /// It is asked again at this instant.
    Away {
        again: Instant,
    },
    Subscribing(BoxFuture<'static, Result<Events, LinkError>>),
    Open {
        events: Box<Events>,
        calls: Calls,
        since: Instant,
    },
    /// It does not want this executor: never again.
    Closed,
}

/// The calls of a subscription: one is under way at a time.
pub(super) struct Calls {
    idle: Option<Caller>,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    /// The update that it tells.
    of: Option<(TaskId, Vec<u8>)>,
    call: BoxFuture<'static, (Caller, Result<(), LinkError>)>,
}

/// What happened to it.
pub(super) enum News {
    /// Time to ask again.
    Due,
    /// The agent has answered; its events follow.
    Answered(Box<Events>),
    Event(Box<Event>),
    /// A call has been answered; with an error, which update it was.
    Refused {
        of: Option<(TaskId, Vec<u8>)>,
        error: LinkError,
    },
    /// There is room for the next call.
    Ready,
    /// The subscription is gone, or was not to be had.
    Lost(LinkError),
}

impl Line {
    /// The next thing that happens. May be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> News {
        match self {
            Line::Closed => std::future::pending().await,
            Line::Away { again } => {
                sleep_until(*again).await;
                News::Due
            }
            Line::Subscribing(subscribing) => match subscribing.await {
                Ok(events) => News::Answered(Box::new(events)),
                Err(error) => News::Lost(error),
            },
            Line::Open { events, calls, .. } => tokio::select! {
                biased;
                event = events.next() => match event {
                    Ok(event) => News::Event(Box::new(event)),
                    Err(error) => News::Lost(error),
                },
                news = calls.answered() => news,
            },
        }
    }

    /// Begins to make a call, if nothing is in its way.
    pub(super) fn send(&mut self, next: impl FnOnce() -> Option<Call>) {
        let Line::Open { calls, .. } = self else { return };
        if calls.idle.is_none() {
            return;
        }
        let Some(call) = next() else { return };
        let status = call.update.as_ref().map(|update| &update.status);
        let of = status.map(|status| (status.task_id.clone(), status.uuid.clone().unwrap_or_default()));
        calls.under_way = calls.idle.take().map(|caller| UnderWay { of, call: Box::pin(caller.call(call)) });
    }

    /// Since when the agent hears and is heard; nothing while it does not.
    pub(super) fn open_since(&self) -> Option<Instant> {
        match self {
            Line::Open { since, .. } => Some(*since),
            Line::Away { .. } | Line::Subscribing(_) | Line::Closed => None,
        }
    }

    /// Opens it with the events that an agent has begun to send.
    pub(super) fn open(&mut self, events: Box<Events>, way: Way) {
        let calls = Calls { idle: Some(Caller::new(way)), under_way: None };
        *self = Line::Open { events, calls, since: Instant::now() };
    }

    /// The agent is asked again after `wait`.
    pub(super) fn wait(&mut self, wait: Duration) {
        *self = Line::Away { again: Instant::now() + wait };
    }
}

impl Calls {
    async fn answered(&mut self) -> News {
        let Some(UnderWay { of, call }) = &mut self.under_way else { return std::future::pending().await };
        let (caller, done) = call.await;
        let of = of.take();
        (self.idle, self.under_way) = (Some(caller), None);
        match done {
            Ok(()) => News::Ready,
            Err(error @ LinkError::Refused(_)) => News::Refused { of, error },
            Err(error) => News::Lost(error),
        }
    }
}
