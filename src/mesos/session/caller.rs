//! Sends the calls of a session, one after the other, while there is a subscription to send them on. Acknowledgements have a caller
//! of their own.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::tally::Called;
use super::{CallError, Command, Identity, Shared, of};
use crate::mesos::connection::{CallPipe, ConnectionError};
use crate::mesos::leases::Leases;
use crate::mesos::wire::scheduler::{Call, Decline};
use crate::mesos::wire::{CallType, Filters, FrameworkId, OfferId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How many calls are sent without waiting for an answer.
const AT_ONCE: usize = 64;

/// A subscription as the caller sees it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) framework_id: FrameworkId,
    pub(super) calls: Box<dyn CallPipe>,
    pub(super) shown: Shown,
}

/// What the calls of a subscription have shown of it. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Cancelled when a call shows that the subscription is dead; its stream may not have noticed.
    dead: CancellationToken,
    why: Arc<OnceLock<String>>,
    served: Arc<AtomicBool>,
}

impl Shown {
    fn note(&self, call: CallType, result: &Result<(), ConnectionError>) {
        let Err(error) = result else { return self.served.store(true, Ordering::Relaxed) };
        tracing::warn!(%call, %error, "call failed");
        if error.is_dead() {
            // The first one tells why: others were not sent because of it.
            self.why.get_or_init(|| format!("{call} failed: {error}"));
            self.dead.cancel();
        }
    }

    /// Waits until a call shows that the subscription is dead, and tells which.
    pub(super) async fn dead(&self) -> String {
        self.dead.cancelled().await;
        self.why.get().cloned().unwrap_or_default()
    }

    /// Whether it can be said to work: a call got through, or none has failed.
    pub(super) fn works(&self) -> bool {
        self.served.load(Ordering::Relaxed) || !self.dead.is_cancelled()
    }
}

/// Where callers get their lines from: a new one after each subscription, nothing after each break.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) calls: mpsc::Sender<Option<Line>>,
    pub(super) acknowledgements: mpsc::Sender<Option<Line>>,
}

impl Lines {
    /// The lines of a subscription.
    pub(super) async fn open(&self, framework_id: &FrameworkId, subscription: Pipes, shown: &Shown) {
        let Pipes { calls, acknowledgements } = subscription;
        let line = |calls| Some(Line { framework_id: framework_id.clone(), calls, shown: shown.clone() });
        // Callers end only with the session.
        let _ended = self.calls.send(line(calls)).await;
        let _ended = self.acknowledgements.send(line(acknowledgements)).await;
    }

    /// There is no subscription.
    pub(super) async fn close(&self) {
        let _ended = self.calls.send(None).await;
        let _ended = self.acknowledgements.send(None).await;
    }
}

/// What the calls of a subscription are sent over.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) calls: Box<dyn CallPipe>,
    pub(super) acknowledgements: Box<dyn CallPipe>,
}

/// The task that owns a line and takes commands.
#[derive(Debug)]
pub(super) struct Caller {
    shared: Shared,
    identity: Arc<dyn Identity>,
    /// For how long offers are refused that are given back here because their leases have ended of age; without it they are not
    /// given back here.
    refuse_expired: Option<Duration>,
    commands: mpsc::Receiver<Command>,
    /// See [`Lines`].
    lines: mpsc::Receiver<Option<Line>>,
    line: Option<Line>,
}

impl Caller {
    pub(super) fn new(
        shared: Shared,
        identity: Arc<dyn Identity>,
        refuse_expired: Option<Duration>,
        commands: mpsc::Receiver<Command>,
        lines: mpsc::Receiver<Option<Line>>,
    ) -> Caller {
        Caller { shared, identity, refuse_expired, commands, lines, line: None }
    }

    /// Runs until the session is closed. Commands that are not answered by then learn that the session has ended.
    pub(super) async fn run(mut self) {
        let leases = self.shared.leases.clone();
        let mut commands = Vec::with_capacity(AT_ONCE);
        loop {
            tokio::select! {
                biased;
                () = self.shared.closed.cancelled() => return,
                line = self.lines.recv() => match line {
                    Some(line) => self.line = line,
                    None => return,
                },
                taken = self.commands.recv_many(&mut commands, AT_ONCE) => match taken {
                    0 => return,
                    _ => self.obey(commands.drain(..)).await,
                },
                (expired, refuse) = expired(&leases, self.refuse_expired) => self.give_back(expired, refuse).await,
            }
        }
    }

    /// Sends the calls of `commands` in their order.
    async fn obey(&mut self, commands: impl Iterator<Item = Command>) {
        let (mut calls, mut waiting) = (Vec::new(), Vec::new());
        for Command { call, done } in commands {
            let called = Called::from(&call);
            match self.spend_leases(call) {
                Ok(Some(call)) => {
                    calls.push(call);
                    waiting.push(done);
                }
                // Whoever made the call may have stopped waiting for the answer.
                Ok(None) => drop(done.send(Ok(()))),
                Err(error) => {
                    self.shared.tally.called(called, Some(&error));
                    drop(done.send(Err(error)));
                }
            }
        }
        for (done, result) in waiting.into_iter().zip(self.send(calls).await) {
            drop(done.send(result));
        }
    }

    /// Ends the leases that a call spends. Nothing is left of a DECLINE of offers that are gone already.
    fn spend_leases(&self, mut call: Call) -> Result<Option<Call>, CallError> {
        if let Some(accept) = &call.accept {
            self.shared.leases.take(&accept.offer_ids).map_err(|offer| CallError::NotLeased { offer })?;
            self.shared.mailbox.spent(&accept.offer_ids);
        }
        if let Some(decline) = &mut call.decline {
            decline.offer_ids.retain(|offer| self.shared.leases.end(offer));
            self.shared.mailbox.spent(&decline.offer_ids);
            if decline.offer_ids.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(call))
    }

    /// One result for each call.
    async fn send(&mut self, mut calls: Vec<Call>) -> Vec<Result<(), CallError>> {
        // They may have waited for long: another process may act by now.
        let called: Vec<Called> = calls.iter().map(Called::from).collect();
        let identity = self.identity.clone();
        let may_act = move || identity.may_act() || planted!("late-calls-are-sent");
        let refused = if may_act() { CallError::NotSubscribed } else { CallError::Ended };
        let Some(line) = self.line.as_mut().filter(|_| refused == CallError::NotSubscribed) else {
            called.iter().for_each(|call| self.shared.tally.called(*call, Some(&refused)));
            return called.iter().map(|_| Err(refused.clone())).collect();
        };
        calls.iter_mut().for_each(|call| call.framework_id = Some(line.framework_id.clone()));
        let results = line.calls.send_all(calls, &may_act).await;
        for (call, result) in called.iter().zip(&results) {
            line.shown.note(call.r#type, result);
        }
        let results: Vec<_> = results.into_iter().map(|result| result.map_err(CallError::Failed)).collect();
        for (call, result) in called.into_iter().zip(&results) {
            self.shared.tally.called(call, result.as_ref().err());
        }
        results
    }

    /// Declines offers whose leases have ended of age; tells so even if the master cannot be told.
    async fn give_back(&mut self, expired: Vec<OfferId>, refuse: Duration) {
        let filters = Some(Filters::from(refuse));
        let decline = Decline { offer_ids: expired.clone(), filters };
        let declined = self.send(vec![Call { decline: Some(decline), ..of(CallType::Decline) }]).await;
        for error in declined.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "old offers not declined: they end with the subscription");
        }
        self.shared.mailbox.rescinded(expired);
    }
}

/// The offers whose leases have ended of age, for who gives them back: others wait for ever.
async fn expired(leases: &Leases, refuse: Option<Duration>) -> (Vec<OfferId>, Duration) {
    match refuse {
        Some(refuse) => (leases.expired().await, refuse),
        None => std::future::pending().await,
    }
}
