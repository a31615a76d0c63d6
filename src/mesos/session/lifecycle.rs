//! Subscribes, reads the stream, and subscribes again: until the session is closed or must end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::caller::Line;
use super::tally::Fate;
use super::{EndReason, Identity, SessionConfig, SessionEvent, Shared};
use crate::env::Env;
use crate::mesos::connection::{CallPipe, Connection, ConnectionError, Subscription};
use crate::mesos::wire::scheduler::{Call, Event, Subscribe, Subscribed};
use crate::mesos::wire::{CallType, EventType, FrameworkInfo, MasterInfo};

/// The task that owns the stream.
#[derive(Debug)]
pub(super) struct Lifecycle {
    env: Env,
    shared: Shared,
    connection: Arc<dyn Connection>,
    identity: Arc<dyn Identity>,
    config: SessionConfig,
    lines: mpsc::Sender<Option<Line>>,
    generation: u64,
}

/// What comes after a subscription.
#[derive(Debug)]
enum After {
    /// Another one, soon.
    Again(String),
    /// Another one, but not soon: the master refuses us as we are.
    Refused(String),
    /// Nothing.
    End(EndReason),
}

type EventStream = BoxStream<'static, Result<Event, ConnectionError>>;

/// Heartbeats come this often until the master tells otherwise.
const HEARTBEAT: Duration = Duration::from_secs(15);

impl Lifecycle {
    pub(super) fn new(
        env: &Env,
        shared: Shared,
        connection: Arc<dyn Connection>,
        identity: Arc<dyn Identity>,
        config: SessionConfig,
        lines: mpsc::Sender<Option<Line>>,
    ) -> Lifecycle {
        Lifecycle { env: env.clone(), shared, connection, identity, config, lines, generation: 0 }
    }

    /// Runs until the session ends, and tells why it did.
    pub(super) async fn run(mut self) {
        let closed = self.shared.closed.clone();
        let reason = tokio::select! {
            biased;
            () = closed.cancelled() => EndReason::Closed,
            reason = self.subscribe_until_end() => reason,
        };
        self.shared.leases.clear();
        self.shared.mailbox.ended(reason);
        self.shared.closed.cancel();
    }

    async fn subscribe_until_end(&mut self) -> EndReason {
        let mut backoff = self.config.backoff_min;
        loop {
            let generation = self.generation;
            let after = self.one_subscription().await;
            if self.generation != generation {
                backoff = self.config.backoff_min;
            }
            let (reason, wait) = match after {
                After::End(reason) => return reason,
                After::Again(reason) => (reason, self.within(backoff)),
                After::Refused(reason) => (reason, self.config.backoff_refused),
            };
            tracing::warn!(reason, "not subscribed");
            self.disconnected(reason).await;
            self.env.sleep(wait).await;
            backoff = (backoff * 2).min(self.config.backoff_max);
        }
    }

    /// Full jitter: many schedulers that lost one master do not come back in step.
    fn within(&self, backoff: Duration) -> Duration {
        Duration::from_millis(self.env.below(u64::try_from(backoff.as_millis()).unwrap_or(u64::MAX)))
    }

    async fn disconnected(&self, reason: String) {
        if !planted!("offers-outlive-their-stream") {
            self.shared.leases.clear();
        }
        // The caller ends only with the session.
        let _ended = self.lines.send(None).await;
        self.shared.mailbox.disconnected(SessionEvent::Disconnected { reason });
    }

    /// Subscribes once and reads to the end of the stream.
    async fn one_subscription(&mut self) -> After {
        let info = match self.identity.framework().await {
            Ok(info) => info,
            Err(error) => return After::Again(error.to_string()),
        };
        let Subscription { mut events, mut calls } =
            match self.connection.subscribe(self.introduce(&info)).await {
                Ok(subscription) => subscription,
                Err(error) if error.is_retryable() => return After::Again(error.to_string()),
                Err(error) => return After::Refused(error.to_string()),
            };
        let subscribed = match self.next(&mut events, HEARTBEAT).await {
            Ok(event) => match event.subscribed {
                Some(subscribed) => subscribed,
                None => return refusal(&event),
            },
            Err(after) => return after,
        };
        if let Err(after) = self.register(info, &subscribed, calls.as_mut()).await {
            return after;
        }
        let broken = CancellationToken::new();
        self.subscribed(&subscribed, calls, broken.clone()).await;
        let interval =
            subscribed.heartbeat_interval_seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
        tokio::select! {
            biased;
            () = broken.cancelled() => After::Again("a call showed that the subscription is dead".to_owned()),
            after = self.read(&mut events, interval.unwrap_or(HEARTBEAT)) => after,
        }
    }

    /// The SUBSCRIBE call. A framework that has no id yet asks to be forgotten as soon as its stream breaks, so that
    /// none leaks when its id is lost before it could be remembered.
    fn introduce(&self, info: &FrameworkInfo) -> Call {
        let mut framework_info = info.clone();
        if info.id.is_none() {
            framework_info.failover_timeout = Some(0.0);
        }
        let suppressed = self.shared.suppressed.load(Ordering::Relaxed);
        let suppressed_roles = if suppressed { info.roles.clone() } else { Vec::new() };
        Call::subscribe(Subscribe { framework_info, suppressed_roles, offer_constraints: None })
    }

    /// Remembers a new framework's id, then asks the master to keep the framework as long as it is meant to live.
    async fn register(
        &self,
        mut info: FrameworkInfo,
        subscribed: &Subscribed,
        calls: &mut dyn CallPipe,
    ) -> Result<(), After> {
        if info.id.is_some() {
            return Ok(());
        }
        let id = subscribed.framework_id.clone();
        self.identity.registered(&id).await.map_err(|error| After::Again(error.to_string()))?;
        info.id = Some(id.clone());
        let mut call = Call::of(id, CallType::UpdateFramework);
        call.update_framework = self.introduce(&info).subscribe;
        calls.send(&call).await.map_err(|error| After::Again(error.to_string()))
    }

    async fn subscribed(
        &mut self,
        subscribed: &Subscribed,
        calls: Box<dyn CallPipe>,
        broken: CancellationToken,
    ) {
        self.generation += 1;
        let framework_id = subscribed.framework_id.clone();
        let master = subscribed.master_info.as_ref();
        let master_id = master.map(|master| master.id.clone());
        let region = master.and_then(MasterInfo::region).map(ToOwned::to_owned);
        tracing::info!(framework = %framework_id, generation = self.generation, "subscribed");
        // The caller ends only with the session.
        let _ended = self.lines.send(Some(Line { framework_id: framework_id.clone(), calls, broken })).await;
        let generation = self.generation;
        let event = SessionEvent::Subscribed { framework_id, generation, master_id, region };
        self.shared.mailbox.subscribed(event);
    }

    async fn read(&self, events: &mut EventStream, interval: Duration) -> After {
        loop {
            match self.next(events, interval).await {
                Ok(event) if event.r#type() == EventType::Error => return refusal(&event),
                Ok(event) => self.take_in(event),
                Err(after) => return after,
            }
        }
    }

    /// The next event; a stream on which nothing comes for several heartbeats is dead, whatever TCP thinks.
    async fn next(&self, events: &mut EventStream, interval: Duration) -> Result<Event, After> {
        let patience = interval * self.config.missed_heartbeats;
        match tokio::time::timeout(patience, events.next()).await {
            Ok(Some(Ok(event))) => Ok(event),
            Ok(Some(Err(error))) => Err(After::Again(error.to_string())),
            Ok(None) => Err(After::Again("the master closed the stream".to_owned())),
            Err(_) => Err(After::Again(format!("no heartbeat for {} s", patience.as_secs()))),
        }
    }

    /// Passes one event on, without ever waiting for whoever reads it.
    fn take_in(&self, event: Event) {
        let mailbox = &self.shared.mailbox;
        match event.r#type() {
            EventType::Offers => {
                let offers: Vec<_> =
                    event.offers.unwrap_or_default().offers.into_iter().map(Arc::new).collect();
                self.shared.tally.offers(Fate::Received, offers.len());
                mailbox.offers(self.shared.leases.grant(&offers, self.generation, self.env.now()));
            }
            EventType::Rescind => {
                let offer = event.rescind.unwrap_or_default().offer_id;
                if self.shared.leases.end(&offer) {
                    self.shared.tally.offers(Fate::Rescinded, 1);
                    mailbox.rescinded(vec![offer]);
                }
            }
            EventType::Update => mailbox.update(event.update.unwrap_or_default().status),
            EventType::Message => mailbox.message(event.message.unwrap_or_default()),
            EventType::Failure => mailbox.failure(event.failure.unwrap_or_default()),
            EventType::Heartbeat | EventType::Subscribed => {}
            EventType::InverseOffers => {
                mailbox.inverse_offers(event.inverse_offers.unwrap_or_default().inverse_offers);
            }
            EventType::RescindInverseOffer => {
                mailbox.inverse_rescinded(event.rescind_inverse_offer.unwrap_or_default().inverse_offer_id);
            }
            EventType::UpdateOperationStatus => {
                tracing::debug!(event = %event.r#type(), "event ignored");
            }
            EventType::Error | EventType::Unknown | EventType::Unrecognised => {
                tracing::warn!(?event, "unknown event ignored");
            }
        }
    }
}

/// What an ERROR event means for this session.
fn refusal(event: &Event) -> After {
    let Some(error) = &event.error else {
        return After::Again(format!("stream began with {} instead of SUBSCRIBED", event.r#type()));
    };
    let message = error.message.clone();
    match message.as_str() {
        "Framework failed over" => After::End(EndReason::FailedOver),
        m if m.contains("has been removed") => After::End(EndReason::Removed { message }),
        _ => After::Refused(message),
    }
}
