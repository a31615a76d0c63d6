//! Why a master does not take a call: by the subscription or by the call itself. HTTP tells them apart by status.

use crate::mesos::connection::ConnectionError;

/// A call was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallRefusal {
    /// The call is wrong, in the master's words: 400.
    Call(String),
    /// The subscription is not the current one, in the master's words: 400.
    Subscription(String),
    /// The framework has no stream now: 403.
    NotSubscribed,
    /// There is no such call: 501. (Mesos itself aborts.)
    NotImplemented,
    /// No master is there: nobody has seen the call.
    Gone,
    /// The master ended during the call.
    Lost,
}

impl CallRefusal {
    /// The text that a master answers with.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            CallRefusal::Call(text) | CallRefusal::Subscription(text) => text,
            CallRefusal::NotSubscribed => "Framework is not subscribed",
            CallRefusal::NotImplemented => "Unknown 'Call' type",
            CallRefusal::Gone => "no embedded master is there",
            CallRefusal::Lost => "the embedded master ended during the call",
        }
    }
}

impl From<CallRefusal> for ConnectionError {
    fn from(refusal: CallRefusal) -> ConnectionError {
        let message = refusal.text().to_owned();
        match refusal {
            CallRefusal::Call(_) | CallRefusal::NotImplemented => ConnectionError::Refused { message },
            CallRefusal::Subscription(_) | CallRefusal::NotSubscribed => {
                ConnectionError::Unsubscribed { message }
            }
            CallRefusal::Gone => ConnectionError::Unreachable { message },
            CallRefusal::Lost => ConnectionError::Lost { message },
        }
    }
}
