//! Subscribes, reads the stream, and subscribes again: until the session is closed or must end.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::caller::{Lines, Pipes, Shown};
use super::tally::{Called, Fate};
use super::{CallError, Cause, EndReason, Identity, SessionConfig, SessionEvent, Shared};
use crate::env::Env;
use crate::mesos::connection::{Connection, ConnectionError, Subscription};
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
    lines: Lines,
    generation: u64,
    /// The subscription that was made last, until its end was considered.
    latest: Option<Latest>,
    /// Strangers that took the framework over one after the other, and when we last got it back.
    usurped: u32,
    since: Instant,
}

/// A subscription, as one that may have been of use.
#[derive(Debug)]
struct Latest {
    since: Instant,
    shown: Shown,
}

/// What comes after a subscription.
#[derive(Debug)]
enum After {
    /// Another one, soon.
    Again(String),
    /// Another one, soon: this time nobody was asked, since it is not known who we are.
    Unidentified(String),
    /// Another one, but not soon: the master refuses us as we are.
    Refused(String),
    /// Nothing if that was our successor.
    FailedOver,
    /// Nothing.
    End(EndReason),
}

/// A subscription that the master has confirmed.
struct Opened {
    events: EventStream,
    pipes: Pipes,
    subscribed: Subscribed,
    /// The roles for which it came without a wish for offers.
    suppressed: Vec<String>,
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
        lines: Lines,
    ) -> Lifecycle {
        Lifecycle {
            env: env.clone(),
            shared,
            connection,
            identity,
            config,
            lines,
            generation: 0,
            latest: None,
            usurped: 0,
            since: Instant::now(),
        }
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
        let mut backoff = Backoff::new(&self.config);
        loop {
            let after = self.one_subscription().await;
            let latest = self.latest.take();
            let useless = latest.as_ref().is_some_and(|latest| !self.was_of_use(latest));
            let bounds = match &latest {
                Some(_) => backoff.after_break(!useless),
                None => backoff.after_failure(),
            };
            let (mut reason, cause, wait) = match after {
                After::End(reason) => return reason,
                After::Again(reason) => (reason, Cause::Broken, self.within(&bounds)),
                After::Unidentified(reason) => (reason, Cause::Unidentified, self.within(&bounds)),
                After::Refused(reason) => (reason, Cause::Refused, self.config.backoff_refused),
                After::FailedOver if self.is_succeeded().await => return EndReason::FailedOver,
                After::FailedOver => {
                    let wait = self.usurped();
                    (stranger(wait), Cause::Usurped, wait)
                }
            };
            if latest.is_some() && backoff.useless() > 1 {
                reason = format!("{reason} ({} subscriptions in a row broke soon)", backoff.useless());
            }
            tracing::warn!(reason, ?wait, "not subscribed");
            self.disconnected(reason, cause, useless).await;
            self.env.sleep(wait).await;
        }
    }

    /// Whether a subscription that has ended was more than another failed attempt.
    fn was_of_use(&self, latest: &Latest) -> bool {
        latest.since.elapsed() >= self.config.proven && latest.shown.works()
    }

    /// Full jitter: many schedulers that lost one master do not come back in step.
    fn within(&self, bounds: &Range<Duration>) -> Duration {
        let room = (bounds.end - bounds.start).as_millis();
        bounds.start + Duration::from_millis(self.env.below(u64::try_from(room).unwrap_or(u64::MAX)))
    }

    /// Whether it was a successor that took the framework over: nobody else may. The stream is gone in either case, which is told
    /// when the store does not say at once.
    async fn is_succeeded(&self) -> bool {
        self.leave().await;
        let mut asked = pin!(self.ask_whose());
        tokio::select! {
            biased;
            is_succeeded = &mut asked => return is_succeeded,
            () = self.env.sleep(self.config.backoff_min) => {}
        }
        let reason = "another instance subscribed as this framework, and the store does not tell yet whether a successor";
        self.disconnected(reason.to_owned(), Cause::Broken, false).await;
        asked.await
    }

    async fn ask_whose(&self) -> bool {
        loop {
            match self.identity.is_ours().await {
                Ok(is_ours) => return !is_ours,
                Err(_) if !self.identity.may_act() => return true,
                Err(error) => {
                    tracing::warn!(%error, "failed over: not yet known whether to a successor");
                    self.env.sleep(self.config.backoff_min).await;
                }
            }
        }
    }

    /// A stranger took the framework over, perhaps once more: how long to leave it alone. A subscription that lived longer
    /// than either would wait shows that nobody fights.
    fn usurped(&mut self) -> Duration {
        let (min, max) = (self.config.backoff_usurped_min, self.config.backoff_usurped_max);
        self.usurped = if self.since.elapsed() > 2 * max { 1 } else { self.usurped.saturating_add(1) };
        let wait = min.saturating_mul(1_u32.checked_shl(self.usurped - 1).unwrap_or(u32::MAX)).min(max);
        self.env.jitter(wait, 0.2)
    }

    async fn disconnected(&self, reason: String, cause: Cause, useless: bool) {
        self.leave().await;
        self.shared.mailbox.disconnected(SessionEvent::Disconnected { reason, cause, useless });
    }

    /// There is no subscription any more.
    async fn leave(&self) {
        if !planted!("offers-outlive-their-stream") {
            self.shared.leases.clear();
        }
        self.lines.close().await;
    }

    /// Subscribes once and reads to the end of the stream.
    async fn one_subscription(&mut self) -> After {
        let Opened { mut events, pipes, subscribed, suppressed } = match self.open().await {
            Ok(opened) => opened,
            Err(after) => return after,
        };
        let shown = Shown::default();
        self.latest = Some(Latest { since: Instant::now(), shown: shown.clone() });
        self.subscribed(&subscribed, suppressed, pipes, &shown).await;
        let interval =
            subscribed.heartbeat_interval_seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
        tokio::select! {
            biased;
            why = shown.dead() => After::Again(why),
            after = self.read(&mut events, interval.unwrap_or(HEARTBEAT)) => after,
        }
    }

    /// A subscription of a framework that the master keeps.
    async fn open(&self) -> Result<Opened, After> {
        let info = self.identity.framework().await;
        let info = info.map_err(|error| After::Unidentified(error.to_string()))?;
        let opened = self.subscribe(&info).await?;
        if info.id.is_some() {
            return Ok(opened);
        }
        self.register(info, opened).await
    }

    async fn subscribe(&self, info: &FrameworkInfo) -> Result<Opened, After> {
        let suppressed: Vec<String> =
            self.shared.suppressed().iter().filter(|it| info.roles.contains(it)).cloned().collect();
        // It is the one call that a master does not refuse a process that leads no more.
        let identity = self.identity.clone();
        let may_act = move || identity.may_act() || planted!("late-subscribe-is-sent");
        let Subscription { mut events, calls, acknowledgements } =
            match self.connection.subscribe(introduce(info, &suppressed), &may_act).await {
                Ok(subscription) => subscription,
                Err(error) if error.is_retryable() => return Err(After::Again(error.to_string())),
                Err(error) => return Err(After::Refused(error.to_string())),
            };
        let event = self.next(&mut events, HEARTBEAT).await?;
        match event.subscribed {
            Some(subscribed) => {
                Ok(Opened { events, pipes: Pipes { calls, acknowledgements }, subscribed, suppressed })
            }
            None => Err(refusal(&event)),
        }
    }

    /// Remembers a new framework's id, then asks the master to keep the framework as long as it is meant to live.
    ///
    /// Masters before 1.9 cannot be asked so. A second subscription tells them, while the first one stands: without any the
    /// framework would be removed, and registered anew, again and again.
    async fn register(&self, info: FrameworkInfo, mut opened: Opened) -> Result<Opened, After> {
        let id = opened.subscribed.framework_id.clone();
        self.identity.registered(&id).await.map_err(|error| After::Again(error.to_string()))?;
        let info = FrameworkInfo { id: Some(id.clone()), ..info };
        let mut call = Call::of(id, CallType::UpdateFramework);
        call.update_framework = introduce(&info, &opened.suppressed).subscribe;
        let (called, identity) = (Called::from(&call), self.identity.clone());
        let sent = opened.pipes.calls.send_all(vec![call], &move || identity.may_act()).await;
        let failed = sent.into_iter().find_map(Result::err).map(CallError::Failed);
        self.shared.tally.called(called, failed.as_ref());
        let Some(error) = failed else { return Ok(opened) };
        tracing::warn!(%error, "a new framework's failover timeout was not taken: subscribing again to set it");
        let kept = self.subscribe(&info).await;
        drop(opened);
        kept
    }

    async fn subscribed(
        &mut self,
        subscribed: &Subscribed,
        suppressed: Vec<String>,
        pipes: Pipes,
        shown: &Shown,
    ) {
        self.generation += 1;
        self.since = Instant::now();
        let framework_id = subscribed.framework_id.clone();
        let master = subscribed.master_info.as_ref();
        let master_id = master.map(|master| master.id.clone());
        let region = master.and_then(MasterInfo::region).map(ToOwned::to_owned);
        tracing::info!(framework = %framework_id, generation = self.generation, "subscribed");
        self.lines.open(&framework_id, pipes, shown).await;
        let generation = self.generation;
        let event = SessionEvent::Subscribed { framework_id, generation, master_id, suppressed, region };
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

/// The SUBSCRIBE call. A framework that has no id yet asks to be forgotten as soon as its stream breaks, so that none leaks when
/// its id is lost before it could be remembered.
fn introduce(info: &FrameworkInfo, suppressed: &[String]) -> Call {
    let mut framework_info = info.clone();
    if info.id.is_none() {
        framework_info.failover_timeout = Some(0.0);
    }
    let suppressed_roles = suppressed.to_vec();
    Call::subscribe(Subscribe { framework_info, suppressed_roles, offer_constraints: None })
}

/// What a person should look for.
fn stranger(wait: Duration) -> String {
    format!(
        "the master says \"Framework failed over\", but no other server of this installation leads: another scheduler has \
         subscribed with our framework id. Look for an installation that runs on a copy of this store (a restored backup, a \
         staging copy) and stop it; trying again in {} s",
        wait.as_secs()
    )
}

/// What an ERROR event means for this session.
fn refusal(event: &Event) -> After {
    let Some(error) = &event.error else {
        return After::Again(format!("stream began with {} instead of SUBSCRIBED", event.r#type()));
    };
    let message = error.message.clone();
    match message.as_str() {
        "Framework failed over" => After::FailedOver,
        m if m.contains("has been removed") => After::End(EndReason::Removed { message }),
        _ => After::Refused(message),
    }
}
