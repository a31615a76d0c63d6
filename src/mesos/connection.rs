//! How a scheduler reaches a master: one stream of events, one ordered pipe of calls, and one of acknowledgements.
//!
//! The embedded master implements this in process; the HTTP client of real Mesos implements it over several connections.
//! Nobody outside `mesos` can tell which one is there.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::wire::scheduler::{Call, Event};

/// How long a master may take to answer a SUBSCRIBE. To one that has just begun to lead, with thousands of agents, whoever is
/// impatient and asks again is more work.
pub const SUBSCRIBE_MAX: Duration = Duration::from_secs(60);

/// A way to the leading master.
#[async_trait]
pub trait Connection: Send + Sync + fmt::Debug {
    /// Sends a SUBSCRIBE to the leading master and returns its stream.
    ///
    /// A refusal of the subscription itself comes as an ERROR event at the head of the stream, which then ends. A new
    /// subscription of the same framework ends the older one, whichever process holds it: it is asked right before each
    /// request is written whether this process still `may_act`, as finding the leading master takes time.
    ///
    /// # Errors
    /// When no leading master could be asked, or it refused to read the call.
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError>;
}

/// What a successful SUBSCRIBE gives. Dropping `events` ends the subscription; calls then fail, those that wait for an answer
/// included.
pub struct Subscription {
    /// The events, in the order in which the master made them. The end of the stream means disconnection. It must be
    /// read at all times: a subscriber that lags too far behind is cut off.
    pub events: BoxStream<'static, Result<Event, ConnectionError>>,
    /// The calls of this subscription, and of no other.
    pub calls: Box<dyn CallPipe>,
    /// Another way for its acknowledgements, which nothing needs to follow or to precede: the next update of a task comes only after
    /// the last one's. They are many, and neither wait for other calls nor hold them up. Those that are given to it at once may come
    /// to the master in any order.
    pub acknowledgements: Box<dyn CallPipe>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// Whether this process may still call the master.
pub type MayAct<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// Calls of one subscription. The master sees them in the order in which they were sent, unless they are acknowledgements.
#[async_trait]
pub trait CallPipe: Send + fmt::Debug {
    /// Sends one call. Success means that the master has queued it, never that it is done: outcomes are events.
    ///
    /// # Errors
    /// [`ConnectionError::outcome`] tells whether the master may have acted on it.
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError>;

    /// Sends calls in their order, without waiting for one to be queued before the next is sent where the way to the
    /// master allows it. One answer for each, in their order. Where they are sent one after the other, none is sent after one
    /// that showed that the subscription is dead, and none once `may_act` says no: the process may have stood still meanwhile,
    /// and another one acts now.
    async fn send_all(&mut self, calls: Vec<Call>, may_act: MayAct<'_>) -> Vec<Result<(), ConnectionError>> {
        let mut answers: Vec<Result<(), ConnectionError>> = Vec::with_capacity(calls.len());
        for call in &calls {
            let dead = answers.last().is_some_and(|it| it.as_ref().is_err_and(ConnectionError::is_dead));
            answers.push(match dead {
                true => Err(ConnectionError::not_sent()),
                false if !may_act() => Err(ConnectionError::deposed()),
                false => self.send(call).await,
            });
        }
        answers
    }
}

/// A request to a master failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The request stayed here.
    #[error("not sent: {message}")]
    NotSent {
        /// Why.
        message: String,
    },
    /// No leading master was reached: nobody has seen the request.
    #[error("no leading master reached: {message}")]
    Unreachable {
        /// What was tried.
        message: String,
    },
    /// The request was on its way when the connection broke: the master may have seen it.
    #[error("connection to the master lost: {message}")]
    Lost {
        /// How it broke.
        message: String,
    },
    /// The master does not (any longer) know this subscription. It has not acted on the call.
    #[error("subscription is not the master's current one: {message}")]
    Unsubscribed {
        /// The master's text.
        message: String,
    },
    /// The master read the request and refused it. Sending it again is useless.
    #[error("refused by the master: {message}")]
    Refused {
        /// The master's text.
        message: String,
    },
    /// The stream holds what is no event.
    #[error("malformed event stream: {message}")]
    Malformed {
        /// What was found.
        message: String,
    },
}

/// What a failed request means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The master has not acted on it and will not.
    NotDone,
    /// The master may or may not act on it.
    Unsure,
}

impl ConnectionError {
    /// Whether the master may have acted on the failed request.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            ConnectionError::NotSent { .. }
            | ConnectionError::Unreachable { .. }
            | ConnectionError::Unsubscribed { .. }
            | ConnectionError::Refused { .. } => Outcome::NotDone,
            ConnectionError::Lost { .. } | ConnectionError::Malformed { .. } => Outcome::Unsure,
        }
    }

    /// Whether the subscription on which a call failed like that is of no use any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        !matches!(self, ConnectionError::Refused { .. })
    }

    /// A call that stayed here, because its subscription had ended, perhaps over an earlier one.
    #[must_use]
    pub fn not_sent() -> ConnectionError {
        ConnectionError::NotSent { message: "the subscription is over".to_owned() }
    }

    /// A call that stayed here, because another process may act now.
    #[must_use]
    pub fn deposed() -> ConnectionError {
        ConnectionError::NotSent { message: "this process does not lead any more".to_owned() }
    }

    /// Whether subscribing again can help. If not, somebody must change the configuration.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, ConnectionError::Refused { .. })
    }
}
