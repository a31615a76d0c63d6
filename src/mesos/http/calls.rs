//! The calls of one subscription, in order, on a connection of their own.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::dial::{Line, SendError, exchange, text_of};
use super::url::MasterUrl;
use super::{Client, answer};
use crate::mesos::connection::{CallPipe, ConnectionError};
use crate::mesos::wire::scheduler::Call;

/// The calls of one subscription.
///
/// One request is under way at a time: hyper does not pipeline, so that a call costs one round trip. The order in which the
/// master sees them is the order in which they are sent, since it is one connection. After a failure that is not the call's own
/// nothing more is sent: whoever waits for a hundred calls does not wait for a hundred timeouts, and none overtakes a lost one.
#[derive(Debug)]
pub(super) struct HttpCalls {
    client: Arc<Client>,
    url: MasterUrl,
    stream_id: HeaderValue,
    line: Option<Line>,
    /// A call has shown that the subscription is dead: nothing is sent any more.
    dead: bool,
}

impl HttpCalls {
    pub(super) fn new(client: Arc<Client>, url: MasterUrl, stream_id: HeaderValue) -> HttpCalls {
        HttpCalls { client, url, stream_id, line: None, dead: false }
    }

    /// Sends on the open connection, or on a new one if that was closed meanwhile.
    async fn ask(&mut self, body: Bytes) -> Result<(StatusCode, String), ConnectionError> {
        if let Some(line) = self.line.take() {
            match self.ask_on(line, body.clone()).await {
                Err(SendError::NotSent) => {}
                answered => return answered.map_err(|error| self.lost(error)),
            }
        }
        let line = self.client.dialer.dial(&self.url).await;
        let line =
            line.map_err(|why| ConnectionError::Unreachable { message: format!("{}: {why}", self.url) })?;
        self.ask_on(line, body).await.map_err(|error| self.lost(error))
    }

    /// Keeps the connection only if the answer was read to its end.
    async fn ask_on(&mut self, mut line: Line, body: Bytes) -> Result<(StatusCode, String), SendError> {
        let request = self.client.request(&self.url, Some(&self.stream_id), body);
        let patience = self.client.call_timeout;
        let response = exchange(&mut line, request, patience).await?;
        let status = response.status();
        let text = text_of(response.into_body(), patience).await?;
        self.line = Some(line);
        Ok((status, text))
    }

    fn lost(&self, error: SendError) -> ConnectionError {
        let url = &self.url;
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
        if self.dead {
            return Err(ConnectionError::not_sent());
        }
        let body = self.client.encoding.encode(call);
        let done = match self.ask(body.into()).await {
            Ok((status, text)) => answer::to_call(call.r#type(), status, &text),
            Err(error) => Err(error),
        };
        self.dead = done.as_ref().is_err_and(ConnectionError::is_dead);
        done
    }
}
