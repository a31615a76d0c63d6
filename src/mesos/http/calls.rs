//! The calls of one subscription: in order on a connection of their own, and acknowledgements on others.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderValue, Response, StatusCode};
use tokio_util::sync::CancellationToken;

use super::dial::{Line, SendError, exchange, text_of};
use super::finding::follow;
use super::url::MasterUrl;
use super::{Client, REDIRECTS_MAX, answer};
use crate::mesos::connection::{CallPipe, ConnectionError, MayAct};
use crate::mesos::wire::scheduler::Call;

/// The master that has answered a SUBSCRIBE.
#[derive(Debug, Clone)]
pub(super) struct Leader {
    /// How it was called.
    pub(super) url: MasterUrl,
    /// Where it was found. Its name may be that of all masters, and mean another one the next time.
    pub(super) address: Option<SocketAddr>,
}

/// The calls of one subscription.
///
/// One request is under way at a time: hyper does not pipeline, so that a call costs one round trip. The order in which the
/// master sees them is the order in which they are sent, since it is one connection. After a failure that is not the call's own
/// nothing more is sent: whoever waits for a hundred calls does not wait for a hundred timeouts, and none overtakes a lost one.
///
/// A master that is slow is waited for as long as the stream lives: to subscribe again would give it more to do. A way on which
/// nothing comes through any more ends by itself (see [`Dialer`](super::dial::Dialer)).
#[derive(Debug)]
pub(super) struct HttpCalls {
    client: Arc<Client>,
    leader: Leader,
    stream_id: HeaderValue,
    line: Option<Line>,
    /// The stream is gone, or a call has shown that the subscription is dead: nothing is sent any more.
    over: CancellationToken,
}

/// What a master says to a call.
enum Answer {
    Final(StatusCode, String),
    /// It does not lead, has not acted on the call, and names who leads. Behind an address that masters share, calls may come to
    /// another one than the SUBSCRIBE did.
    Elsewhere(MasterUrl),
}

impl HttpCalls {
    /// The calls of the subscription `stream_id` at `leader`, which ends with `over`.
    pub(super) fn new(
        client: Arc<Client>,
        leader: Leader,
        stream_id: HeaderValue,
        over: CancellationToken,
    ) -> HttpCalls {
        HttpCalls { client, leader, stream_id, line: None, over }
    }

    /// Sends to the leader, and to whom it points at.
    async fn ask(&mut self, body: Bytes) -> Result<(StatusCode, String), ConnectionError> {
        for _ in 0..=REDIRECTS_MAX {
            match self.ask_once(body.clone()).await? {
                Answer::Final(status, text) => return Ok((status, text)),
                Answer::Elsewhere(url) => {
                    self.line = None;
                    self.leader = Leader { url, address: None };
                }
            }
        }
        let url = &self.leader.url;
        Err(ConnectionError::Unreachable { message: format!("{url}: more than {REDIRECTS_MAX} redirects") })
    }

    /// Sends on the open connection, or on a new one if that was closed meanwhile.
    async fn ask_once(&mut self, body: Bytes) -> Result<Answer, ConnectionError> {
        if let Some(line) = self.line.take() {
            match self.ask_on(line, body.clone()).await {
                Err(SendError::NotSent) => {}
                Err(error) => return Err(self.lost(error)),
                Ok(answer) => return self.read(answer),
            }
        }
        let Leader { url, address } = &self.leader;
        let dialled = self.client.dialer.dial_at(url, *address).await;
        let (line, address) =
            dialled.map_err(|why| ConnectionError::Unreachable { message: format!("{url}: {why}") })?;
        self.leader.address = Some(address);
        let answer = self.ask_on(line, body).await.map_err(|error| self.lost(error))?;
        self.read(answer)
    }

    fn read(&self, (answer, text): (Response<()>, String)) -> Result<Answer, ConnectionError> {
        match answer.status() {
            StatusCode::TEMPORARY_REDIRECT => follow(&self.leader.url, &answer).map(Answer::Elsewhere),
            status => Ok(Answer::Final(status, text)),
        }
    }

    /// Keeps the connection only if the answer was read to its end.
    async fn ask_on(&mut self, mut line: Line, body: Bytes) -> Result<(Response<()>, String), SendError> {
        let request = self.client.request(&self.leader.url, Some(&self.stream_id), body);
        let patience = self.client.call_timeout;
        let (head, body) = exchange(&mut line, request, patience).await?.into_parts();
        let text = text_of(body, patience).await?;
        self.line = Some(line);
        Ok((Response::from_parts(head, ()), text))
    }

    fn lost(&self, error: SendError) -> ConnectionError {
        let url = &self.leader.url;
        match error {
            SendError::NotSent => {
                ConnectionError::Unreachable { message: format!("{url}: the connection was closed at once") }
            }
            SendError::Unanswered(why) => ConnectionError::Lost { message: format!("{url}: {why}") },
        }
    }
}

#[async_trait]
impl CallPipe for HttpCalls {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        if self.over.is_cancelled() {
            return Err(ConnectionError::not_sent());
        }
        let body = self.client.encoding.encode(call);
        let over = self.over.clone();
        let answer = tokio::select! {
            biased;
            answer = self.ask(body.into()) => answer,
            () = over.cancelled() => {
                Err(ConnectionError::Lost { message: "the subscription ended before the answer came".to_owned() })
            }
        };
        let done = answer.and_then(|(status, text)| answer::to_call(call.r#type(), status, &text));
        if done.as_ref().is_err_and(ConnectionError::is_dead) {
            self.over.cancel();
        }
        done
    }
}

/// How many acknowledgements may be under way at a time.
pub(super) const LANES: usize = 8;

/// The acknowledgements of one subscription, over several connections: they need no order, and one round trip for each of a hundred
/// thousand would take long.
#[derive(Debug)]
pub(super) struct HttpAcknowledgements {
    lanes: Vec<HttpCalls>,
}

impl HttpAcknowledgements {
    /// Beside `calls`, of the same subscription. Nothing is connected yet.
    pub(super) fn beside(calls: &HttpCalls) -> HttpAcknowledgements {
        let lane = || {
            let HttpCalls { client, leader, stream_id, over, .. } = calls;
            HttpCalls::new(client.clone(), leader.clone(), stream_id.clone(), over.clone())
        };
        HttpAcknowledgements { lanes: (0..LANES).map(|_| lane()).collect() }
    }
}

#[async_trait]
impl CallPipe for HttpAcknowledgements {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        self.lanes[0].send(call).await
    }

    async fn send_all(&mut self, calls: Vec<Call>, may_act: MayAct<'_>) -> Vec<Result<(), ConnectionError>> {
        let count = calls.len();
        let mut shares: Vec<Vec<Call>> = vec![Vec::new(); LANES];
        for (place, call) in calls.into_iter().enumerate() {
            shares[place % LANES].push(call);
        }
        let lanes = self.lanes.iter_mut().zip(shares);
        let answers = join_all(lanes.map(|(lane, share)| lane.send_all(share, may_act))).await;
        let mut answers: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
        let in_order = (0..count).map(|place| answers[place % LANES].next());
        in_order.map(|answer| answer.unwrap_or_else(|| Err(ConnectionError::not_sent()))).collect()
    }
}
