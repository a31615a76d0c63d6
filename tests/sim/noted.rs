//! A connection that notes the calls that it carries.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tenure::mesos::connection::{CallPipe, Connection, ConnectionError, MayAct, Subscription};
use tenure::mesos::embedded::master::MasterHandle;
use tenure::mesos::wire::scheduler::Call;

/// A connection to `master`. Clones share what was noted.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    master: MasterHandle,
    calls: Arc<Mutex<Vec<Call>>>,
}

struct NotedCalls {
    inner: Box<dyn CallPipe>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Noted {
    pub(crate) fn new(master: &MasterHandle) -> Noted {
        Noted { master: master.clone(), calls: Arc::default() }
    }

    /// The calls since the last time.
    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

impl fmt::Debug for NotedCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NotedCalls").field(&self.inner).finish()
    }
}

#[async_trait]
impl Connection for Noted {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        let Subscription { events, calls, acknowledgements } = self.master.subscribe(call, may_act).await?;
        let noted = |inner| Box::new(NotedCalls { inner, calls: self.calls.clone() });
        Ok(Subscription { events, calls: noted(calls), acknowledgements: noted(acknowledgements) })
    }
}

#[async_trait]
impl CallPipe for NotedCalls {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        self.calls.lock().unwrap().push(call.clone());
        self.inner.send(call).await
    }
}
