//! The ways to the master: as a [`Connection`] in this process, and with the names that HTTP needs.

use async_trait::async_trait;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{CallRefusal, EVENTS, Input, MasterHandle, validation};
use crate::mesos::connection::{CallPipe, Connection, ConnectionError, MayAct, Subscription};
use crate::mesos::wire::scheduler::{Call, Event};

/// Who makes a call.
#[derive(Debug, Clone, Default)]
pub(in crate::mesos::embedded) struct Caller {
    /// Of which subscription.
    pub(in crate::mesos::embedded) stream: Option<String>,
    /// As whom it has authenticated, where that is asked for.
    pub(in crate::mesos::embedded) principal: Option<String>,
}

/// What a SUBSCRIBE opened.
#[derive(Debug)]
pub(in crate::mesos::embedded) struct Opened {
    /// The id of the stream; none when the subscription was refused: then one ERROR comes, and the end.
    pub(in crate::mesos::embedded) stream: Option<String>,
    pub(in crate::mesos::embedded) events: mpsc::Receiver<Result<Event, ConnectionError>>,
    /// Dropped with the stream: that is how the master learns that nobody reads it any more.
    pub(in crate::mesos::embedded) subscriber: DropGuard,
}

impl MasterHandle {
    /// Whether a call is well formed, whoever makes it.
    pub(in crate::mesos::embedded) fn validate(call: &Call) -> Result<(), String> {
        validation::call(call)
    }

    /// Whether the framework of a SUBSCRIBE is the one that has authenticated.
    pub(in crate::mesos::embedded) fn validate_principal(principal: &str, call: &Call) -> Result<(), String> {
        let info = call.subscribe.as_ref().map(|subscribe| &subscribe.framework_info);
        info.map_or(Ok(()), |info| validation::same_principal(principal, info))
            .map_err(|text| format!("Failed to validate scheduler::Call: {text}"))
    }

    /// SUBSCRIBE, which was validated. Nothing when no master is there.
    pub(in crate::mesos::embedded) async fn open(&self, call: Call) -> Option<Opened> {
        let (events, received) = mpsc::channel(EVENTS);
        let (stream, answer) = oneshot::channel();
        let closed = CancellationToken::new();
        let subscriber = closed.clone().drop_guard();
        self.inbox.send(Input::Subscribe { call: Box::new(call), events, closed, stream }).await.ok()?;
        let stream = answer.await.ok()?.map(|(_, stream)| stream);
        Some(Opened { stream, events: received, subscriber })
    }

    /// Hands a call to the master, who reads them in this order.
    pub(in crate::mesos::embedded) async fn post(&self, caller: Caller, call: Call) -> Queued {
        let (answer, answered) = oneshot::channel();
        let input = Input::Call { caller, call: Box::new(call), answer };
        match self.inbox.send(input).await {
            Ok(()) => Queued(Some(answered)),
            Err(_) => Queued(None),
        }
    }
}

/// What the master will say of a call. Nothing to wait for when there is no master.
#[derive(Debug)]
pub(in crate::mesos::embedded) struct Queued(Option<oneshot::Receiver<Result<(), CallRefusal>>>);

impl Queued {
    pub(in crate::mesos::embedded) async fn answer(self) -> Result<(), CallRefusal> {
        match self.0 {
            Some(answered) => answered.await.unwrap_or(Err(CallRefusal::Lost)),
            None => Err(CallRefusal::Gone),
        }
    }
}

#[async_trait]
impl Connection for MasterHandle {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        if !may_act() {
            return Err(ConnectionError::deposed());
        }
        validation::call(&call).map_err(|message| ConnectionError::Refused { message })?;
        let Opened { stream, events, subscriber } = self.open(call).await.ok_or(CallRefusal::Gone)?;
        // A refusal has no stream id: whatever is called then is refused, too.
        let caller = Caller { stream: Some(stream.unwrap_or_default()), principal: None };
        let calls = InProcessCalls { master: self.clone(), caller };
        let events = ReceiverStream::new(events).map(move |event| {
            let _held = &subscriber;
            event
        });
        Ok(Subscription {
            events: events.boxed(),
            calls: Box::new(calls.clone()),
            acknowledgements: Box::new(calls),
        })
    }
}

/// The calls of one subscription to an embedded master.
#[derive(Debug, Clone)]
struct InProcessCalls {
    master: MasterHandle,
    caller: Caller,
}

#[async_trait]
impl CallPipe for InProcessCalls {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        let queued = self.master.post(self.caller.clone(), call.clone()).await;
        Ok(queued.answer().await?)
    }

    async fn send_all(&mut self, calls: Vec<Call>, may_act: MayAct<'_>) -> Vec<Result<(), ConnectionError>> {
        let mut posted = Vec::with_capacity(calls.len());
        for call in calls {
            let is_sent = may_act();
            posted.push(if is_sent { Some(self.master.post(self.caller.clone(), call).await) } else { None });
        }
        let mut answers = Vec::with_capacity(posted.len());
        for queued in posted {
            answers.push(match queued {
                Some(queued) => queued.answer().await.map_err(ConnectionError::from),
                None => Err(ConnectionError::deposed()),
            });
        }
        answers
    }
}
