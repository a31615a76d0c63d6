//! The session: keeps this framework subscribed and carries calls and events.
//!
//! It always reads its stream, whether or not anybody takes the events: what waits is bounded by the number of live
//! offers and of tasks, because later news of the same thing replaces older (see [`SessionEvents`]). It subscribes
//! again after every break, with jitter and with backoff that only a subscription of use resets, and ends for ever when a successor
//! took the framework over or the framework was removed: resubscribing then would make two instances fight, or start everything
//! anew. Where it was no successor, but a stranger with our id, it comes back later and later.

mod backoff;
mod caller;
mod lifecycle;
mod mailbox;
#[cfg(test)]
pub(super) mod support;
mod tally;
#[cfg(test)]
mod tests;
mod updates;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, ConnectionError, Outcome};
use super::leases::{Lease, Leases};
use super::wire::offer::InverseOffer;
use super::wire::scheduler::{
    Accept, Acknowledge, Call, Decline, InverseOfferAnswer, Kill, Message, Reconcile, ReconcileTask, Roles,
};
use super::wire::{
    AgentId, CallType, ExecutorId, Filters, FrameworkId, FrameworkInfo, KillPolicy, OfferId, Operation,
    TaskId, TaskStatus,
};
use crate::env::Env;
use mailbox::Mailbox;
pub use tally::Tally;

/// Who we are to Mesos, and where that is remembered.
#[async_trait]
pub trait Identity: Send + Sync + fmt::Debug {
    /// The framework as it should subscribe now; `id` is absent only if it never registered.
    ///
    /// # Errors
    /// When it cannot be told now (the store is down); the session asks again.
    async fn framework(&self) -> Result<FrameworkInfo, IdentityError>;

    /// Remembers the id that a first subscription got. Until this has returned nothing else is done with it.
    ///
    /// # Errors
    /// When it could not be stored; the session gives the subscription up and asks again.
    async fn registered(&self, id: &FrameworkId) -> Result<(), IdentityError>;

    /// Whether the framework is this process's to hold, by the store's word of now and nobody's clock. Asked when the master
    /// says that another instance took it over.
    ///
    /// # Errors
    /// When the store does not tell; the session asks again while [`Identity::may_act`].
    async fn is_ours(&self) -> Result<bool, IdentityError>;

    /// Whether this process may still act as the framework. Asked just before calls are sent; where it may not, they are not.
    fn may_act(&self) -> bool;
}

/// The framework's identity could not be read or stored.
#[derive(Debug, thiserror::Error)]
#[error("framework identity: {message}")]
pub struct IdentityError {
    /// What went wrong.
    pub message: String,
}

/// How a session behaves.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// How long an offer is held at most: seconds where others share the cluster, minutes where nobody does.
    pub lease: Duration,
    /// How long the rest of an agent is not offered again after a lease ran out.
    pub refuse_expired: Duration,
    /// A stream without any event for this many heartbeat intervals is dead.
    pub missed_heartbeats: u32,
    /// The first wait before subscribing again; it doubles up to `backoff_max` or `backoff_broken`.
    pub backoff_min: Duration,
    /// The longest wait after an attempt that reached no leading master.
    pub backoff_max: Duration,
    /// The longest wait after subscriptions that broke before they were of use. Each of them costs the master a failover.
    pub backoff_broken: Duration,
    /// How long a subscription must have lived to be of use; and if a call has broken it, one must have got through before.
    pub proven: Duration,
    /// The wait after the master refused the framework as it is configured.
    pub backoff_refused: Duration,
    /// The first wait after a stranger took the framework over; it doubles up to `backoff_usurped_max`.
    pub backoff_usurped_min: Duration,
    /// The longest wait after a stranger took the framework over.
    pub backoff_usurped_max: Duration,
    /// Where it is counted what the session does.
    pub tally: Tally,
}

impl Default for SessionConfig {
    fn default() -> SessionConfig {
        SessionConfig {
            lease: Duration::from_secs(5 * 60),
            refuse_expired: Duration::ZERO,
            missed_heartbeats: 5,
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(15),
            backoff_broken: Duration::from_secs(30),
            proven: Duration::from_secs(30),
            backoff_refused: Duration::from_secs(60),
            backoff_usurped_min: Duration::from_secs(10),
            backoff_usurped_max: Duration::from_secs(10 * 60),
            tally: Tally::default(),
        }
    }
}

/// What a session tells. Offers of an older subscription never follow the `Subscribed` of a newer one.
#[derive(Debug, Clone)]
pub enum SessionEvent {
    /// Subscribed. Offers of before are gone; tasks should be reconciled.
    Subscribed {
        /// Our id, already remembered by [`Identity`].
        framework_id: FrameworkId,
        /// Counts subscriptions of this session, from 1.
        generation: u64,
        /// The master's id, when it told one: it differs after every change of leader.
        master_id: Option<String>,
        /// The roles for which it was told as it subscribed that offers are unwanted. What was called meanwhile may say otherwise.
        suppressed: Vec<String>,
        /// The region of the master, when it told one.
        region: Option<String>,
    },
    /// New offers, entered in [`Session::leases`].
    Offers(Vec<Lease>),
    /// These offers are gone: taken back by the master, or held for too long.
    Rescinded(Vec<OfferId>),
    /// Machines that are to be taken away are asked for. Each question wants an answer.
    InverseOffers(Vec<InverseOffer>),
    /// These questions were taken back: what they asked for is not planned any more, or otherwise; then other ones follow.
    InverseRescinded(Vec<OfferId>),
    /// A task's status. To be acknowledged, once stored, if it has a uuid.
    Update(Box<TaskStatus>),
    /// What an executor tells beside the states of its tasks. Best effort: older ones of the same executor may be left out.
    Message(Message),
    /// An agent is gone. A hint only.
    Failure(AgentId),
    /// The stream broke; the session subscribes again by itself. All offers are gone.
    Disconnected {
        /// Why, for people.
        reason: String,
        /// Why, for whoever decides what to do about it.
        cause: Cause,
        /// Whether what ended is a subscription that was of no use: no more than another failed attempt.
        useless: bool,
    },
    /// The session has ended for ever. Nothing follows.
    Ended(EndReason),
}

/// What keeps a session from being subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The stream broke, or no master was reached: it may be otherwise in a moment.
    Broken,
    /// The master refuses the framework as it is configured here.
    Refused,
    /// [`Identity::framework`] does not tell who we are, or says that a person must decide: no master was asked.
    Unidentified,
    /// Somebody else subscribed with the framework's id, which is ours by the store's word.
    Usurped,
}

/// Why a session ended for ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    /// A successor subscribed as this framework. This instance must not act any more.
    #[error("a successor subscribed as this framework")]
    FailedOver,
    /// The framework was removed with all its tasks. Registering anew is for a person to decide.
    #[error("the framework has been removed: {message}")]
    Removed {
        /// The master's text.
        message: String,
    },
    /// [`Session::close`] was called, or every handle was dropped.
    #[error("the session was closed")]
    Closed,
}

/// A call was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// An offer is not live (any longer). Nothing was sent.
    #[error("offer {offer} is not leased")]
    NotLeased {
        /// The first such offer.
        offer: OfferId,
    },
    /// There is no subscription now. Nothing was sent.
    #[error("not subscribed")]
    NotSubscribed,
    /// The session has ended. Nothing was sent.
    #[error("the session has ended")]
    Ended,
    /// Sending failed.
    #[error("the call failed")]
    Failed(#[source] ConnectionError),
}

impl CallError {
    /// Whether it is certain that the master will not act on the call.
    #[must_use]
    pub fn never_done(&self) -> bool {
        match self {
            CallError::NotLeased { .. } | CallError::NotSubscribed | CallError::Ended => true,
            CallError::Failed(error) => error.outcome() == Outcome::NotDone,
        }
    }
}

/// Starts a session; the framework begins to subscribe at once.
///
/// It ends when [`Session::close`] is called or all handles are gone, and when an [`EndReason`] comes up.
#[must_use]
pub fn start(
    env: &Env,
    connection: Arc<dyn Connection>,
    identity: Arc<dyn Identity>,
    config: SessionConfig,
) -> (Session, SessionEvents) {
    let shared = Shared {
        leases: Leases::new(config.lease),
        suppressed: Arc::default(),
        mailbox: Mailbox::default(),
        closed: CancellationToken::new(),
        tally: config.tally.clone(),
    };
    let caller = |received, lines, refuse_expired| {
        caller::Caller::new(shared.clone(), identity.clone(), refuse_expired, received, lines)
    };
    let (commands, received) = mpsc::channel(COMMAND_QUEUE);
    let (calls, lines_of_calls) = mpsc::channel(1);
    let calling = caller(received, lines_of_calls, Some(config.refuse_expired));
    let (acknowledgements, received) = mpsc::channel(COMMAND_QUEUE);
    let (acknowledging, lines_of_acknowledgements) = mpsc::channel(1);
    let acknowledger = caller(received, lines_of_acknowledgements, None);
    let lines = caller::Lines { calls, acknowledgements: acknowledging };
    let lifecycle =
        lifecycle::Lifecycle::new(env, shared.clone(), connection, identity.clone(), config, lines);
    env.spawn("mesos session calls", calling.run());
    env.spawn("mesos session acknowledgements", acknowledger.run());
    env.spawn("mesos session events", lifecycle.run());
    let events = SessionEvents { mailbox: shared.mailbox.clone() };
    let alive = Arc::new(shared.closed.clone().drop_guard());
    (Session { commands, acknowledgements, shared, _alive: alive }, events)
}

/// How many calls may wait to be sent, and how many acknowledgements.
const COMMAND_QUEUE: usize = 256;

/// The largest number of tasks asked about in one RECONCILE.
const RECONCILE_CHUNK: usize = 500;

/// What the handle and the tasks of a session share.
#[derive(Debug, Clone)]
struct Shared {
    leases: Leases,
    /// The roles for which offers are unwanted; they go into every SUBSCRIBE, which replaces what the master remembers.
    suppressed: Arc<Mutex<BTreeSet<String>>>,
    mailbox: Mailbox,
    closed: CancellationToken,
    tally: Tally,
}

impl Shared {
    fn suppressed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.suppressed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call to send, and where to tell what became of it.
#[derive(Debug)]
struct Command {
    call: Call,
    done: oneshot::Sender<Result<(), CallError>>,
}

/// The handle of a session. Calls are sent in the order in which they are made here, but acknowledgements by another way; each
/// returns when the master has queued it, which does not mean that it is done.
#[derive(Debug, Clone)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    acknowledgements: mpsc::Sender<Command>,
    shared: Shared,
    /// The last handle that goes closes the session.
    _alive: Arc<tokio_util::sync::DropGuard>,
}

impl Session {
    /// The live offers.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.shared.leases
    }

    /// Spends `offer_ids` (all of one agent and one role) on `operations`; the rest is refused for `refuse`. The leases end
    /// with this call whatever comes of it.
    ///
    /// # Errors
    /// [`CallError::never_done`] tells whether the tasks are certainly not launched.
    pub async fn accept(
        &self,
        offer_ids: Vec<OfferId>,
        operations: Vec<Operation>,
        refuse: Duration,
    ) -> Result<(), CallError> {
        let accept = Accept { offer_ids, operations, filters: Some(Filters::from(refuse)) };
        self.call(Call { accept: Some(accept), ..of(CallType::Accept) }).await
    }

    /// Gives offers back and does not want to see the same again for `refuse`. Offers that are gone are left out.
    ///
    /// # Errors
    /// When it was not sent; the leases have ended all the same.
    pub async fn decline(&self, offer_ids: Vec<OfferId>, refuse: Duration) -> Result<(), CallError> {
        let decline = Decline { offer_ids, filters: Some(Filters::from(refuse)) };
        self.call(Call { decline: Some(decline), ..of(CallType::Decline) }).await
    }

    /// Gives the machines back that these inverse offers ask for; nobody shall ask again for `refuse`.
    ///
    /// # Errors
    /// When it was not sent; the next subscription is asked anew.
    pub async fn accept_inverse_offers(
        &self,
        inverse_offer_ids: Vec<OfferId>,
        refuse: Duration,
    ) -> Result<(), CallError> {
        let answer = InverseOfferAnswer { inverse_offer_ids, filters: Some(Filters::from(refuse)) };
        self.call(Call { accept_inverse_offers: Some(answer), ..of(CallType::AcceptInverseOffers) }).await
    }

    /// Says that tasks are still on the machines that these inverse offers ask for; nobody shall ask again for `refuse`.
    ///
    /// # Errors
    /// As [`Session::accept_inverse_offers`].
    pub async fn decline_inverse_offers(
        &self,
        inverse_offer_ids: Vec<OfferId>,
        refuse: Duration,
    ) -> Result<(), CallError> {
        let answer = InverseOfferAnswer { inverse_offer_ids, filters: Some(Filters::from(refuse)) };
        self.call(Call { decline_inverse_offers: Some(answer), ..of(CallType::DeclineInverseOffers) }).await
    }

    /// Wants no offers for `roles`, all of them the framework's, until [`Session::revive`], across disconnections. Offers that are held
    /// stay valid.
    ///
    /// # Errors
    /// When it was not sent. The next subscription will say it, unless that is under way already: [`SessionEvent::Subscribed`] tells.
    pub async fn suppress(&self, roles: Vec<String>) -> Result<(), CallError> {
        self.shared.suppressed().extend(roles.iter().cloned());
        self.call(Call { suppress: Some(Roles { roles }), ..of(CallType::Suppress) }).await
    }

    /// Wants offers for `roles` again, also those refused before.
    ///
    /// # Errors
    /// As [`Session::suppress`].
    pub async fn revive(&self, roles: Vec<String>) -> Result<(), CallError> {
        self.shared.suppressed().retain(|it| !roles.contains(it));
        self.call(Call { revive: Some(Roles { roles }), ..of(CallType::Revive) }).await
    }

    /// Tells the agent that `status` is stored. Does nothing for a status without a uuid: the master made it.
    ///
    /// # Errors
    /// When it was not sent; the agent will send the update again.
    pub async fn acknowledge(&self, status: &TaskStatus) -> Result<(), CallError> {
        let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) else {
            return Ok(());
        };
        let acknowledge = Acknowledge { agent_id, task_id: status.task_id.clone(), uuid };
        let call = Call { acknowledge: Some(acknowledge), ..of(CallType::Acknowledge) };
        through(&self.acknowledgements, call).await
    }

    /// Asks for the state of `tasks`, or of all that the master knows when there are none. Answers come as updates without
    /// a uuid; none comes for a task whose agent the master still waits for: ask again later. Returns when nearly all answers
    /// that came meanwhile were taken from the events, so whoever asks must not be the one who takes them.
    ///
    /// # Errors
    /// When not all was sent.
    pub async fn reconcile(&self, tasks: &[(TaskId, Option<AgentId>)]) -> Result<(), CallError> {
        let task = |(task_id, agent_id): &(TaskId, Option<AgentId>)| ReconcileTask {
            task_id: task_id.clone(),
            agent_id: agent_id.clone(),
        };
        let mut chunks: Vec<Reconcile> = tasks
            .chunks(RECONCILE_CHUNK)
            .map(|chunk| Reconcile { tasks: chunk.iter().map(task).collect() })
            .collect();
        if chunks.is_empty() {
            chunks.push(Reconcile::default());
        }
        for reconcile in chunks {
            self.call(Call { reconcile: Some(reconcile), ..of(CallType::Reconcile) }).await?;
            self.answers_taken().await;
        }
        Ok(())
    }

    /// The next question follows when most of the last one's answers were taken.
    async fn answers_taken(&self) {
        tokio::select! {
            biased;
            () = self.shared.closed.cancelled() => {}
            () = self.shared.mailbox.room_for_answers(2 * RECONCILE_CHUNK) => {}
        }
    }

    /// Asks for the end of a task, by force after `grace` (the task's own policy when absent). It may be lost: repeat it
    /// until a terminal status comes.
    ///
    /// # Errors
    /// When it was not sent.
    pub async fn kill(
        &self,
        task_id: TaskId,
        agent_id: Option<AgentId>,
        grace: Option<Duration>,
    ) -> Result<(), CallError> {
        let kill_policy = grace.map(|grace| KillPolicy { grace_period: Some(grace.into()) });
        let kill = Kill { task_id, agent_id, kill_policy };
        self.call(Call { kill: Some(kill), ..of(CallType::Kill) }).await
    }

    /// Sends `data` to an executor. Mesos drops what it cannot deliver, without a word.
    ///
    /// # Errors
    /// When it was not sent.
    pub async fn message(
        &self,
        agent_id: AgentId,
        executor_id: ExecutorId,
        data: Vec<u8>,
    ) -> Result<(), CallError> {
        let message = Message { agent_id, executor_id, data };
        self.call(Call { message: Some(message), ..of(CallType::Message) }).await
    }

    /// Removes the framework and all its tasks from the cluster, for ever.
    ///
    /// # Errors
    /// When it was not sent.
    pub async fn teardown(&self) -> Result<(), CallError> {
        self.call(of(CallType::Teardown)).await
    }

    /// Ends the session: the stream is closed, calls fail from now on. Tasks run on for the failover timeout.
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    async fn call(&self, call: Call) -> Result<(), CallError> {
        through(&self.commands, call).await
    }
}

/// Has `call` sent by whoever takes `commands`.
async fn through(commands: &mpsc::Sender<Command>, call: Call) -> Result<(), CallError> {
    let (done, answer) = oneshot::channel();
    commands.send(Command { call, done }).await.map_err(|_| CallError::Ended)?;
    answer.await.map_err(|_| CallError::Ended)?
}

/// A call that will get the framework's id when it is sent.
fn of(r#type: CallType) -> Call {
    Call { r#type: r#type.wire(), ..Call::default() }
}

/// The events of a session, for one reader.
///
/// Whatever the reader's pace, what waits here is bounded: of each task at most the latest update to acknowledge and the
/// latest of the master's own wait, of each offer only whether it is live, of disconnections only the last.
#[derive(Debug)]
pub struct SessionEvents {
    mailbox: Mailbox,
}

impl SessionEvents {
    /// The next event; `None` after `Ended`.
    pub async fn next(&mut self) -> Option<SessionEvent> {
        self.mailbox.next().await
    }
}
