//! `POST /api/v1/scheduler`: what is found fault with, in this order: who asks, who leads, the method, the type of the body,
//! the body, the call, whose framework it is, what is accepted as an answer, and the subscription.

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio_stream::wrappers::ReceiverStream;

use super::reply::{self, Reply, bad};
use super::required::OF_SCHEDULERS;
use super::{Front, RECOVERING, read};
use crate::mesos::embedded::master::{CallRefusal, Caller, MasterHandle, Opened};
use crate::mesos::http::STREAM_ID;
use crate::mesos::recordio;
use crate::mesos::wire::scheduler::Call;
use crate::mesos::wire::{CallType, Encoding};

const REALM: &str = "mesos-master-scheduler";

impl Front {
    pub(super) async fn scheduler(&self, request: Request<Incoming>) -> Reply {
        match self.call(request).await {
            Ok(reply) => reply,
            Err(reply) => *reply,
        }
    }

    async fn call(&self, request: Request<Incoming>) -> Result<Reply, Box<Reply>> {
        let principal = self.authenticate(request.headers(), REALM)?;
        let master = self.leading(&request)?;
        expect_post(request.method())?;
        let (head, body) = request.into_parts();
        let encoding = read::encoding(&head.headers)?;
        let mut call = read::call::<Call>(encoding, &read::body(&head.headers, body).await?, OF_SCHEDULERS)?;
        MasterHandle::validate(&call).map_err(|text| bad(&text))?;
        let stream =
            head.headers.get(STREAM_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        if call.r#type() == CallType::Subscribe {
            if let Some(principal) = &principal {
                MasterHandle::validate_principal(principal, &call).map_err(|text| bad(&text))?;
                if let Some(subscribe) = &mut call.subscribe {
                    subscribe.framework_info.principal = Some(principal.clone());
                }
            }
            let accepted = accepted(&head.headers)?;
            if stream.is_some() {
                return Err(bad("Subscribe calls should not include the 'Mesos-Stream-Id' header"));
            }
            return self.subscribe(&master, call, accepted).await;
        }
        if call.r#type() == CallType::ReconcileOperations {
            accepted(&head.headers)?;
        }
        let done =
            if call.r#type() == CallType::UpdateFramework { StatusCode::OK } else { StatusCode::ACCEPTED };
        match master.post(Caller { stream, principal }, call).await.answer().await {
            Ok(()) => Ok(reply::empty(done)),
            Err(refusal) => Ok(refused(&refusal)),
        }
    }

    async fn subscribe(
        &self,
        master: &MasterHandle,
        call: Call,
        encoding: Encoding,
    ) -> Result<Reply, Box<Reply>> {
        let Some(Opened { stream, events, subscriber }) = master.open(call).await else {
            return Err(Box::new(refused(&CallRefusal::Gone)));
        };
        // A stream that holds a refusal has an id, too.
        let stream = stream.unwrap_or_else(|| self.env.uid());
        let records = ReceiverStream::new(events)
            .take_while(|event| std::future::ready(event.is_ok()))
            .filter_map(move |event| std::future::ready(event.ok().map(|event| encoding.encode(&event))))
            .map(move |event| {
                // Dropped with the connection: that is how the master learns that it is closed.
                let _held = &subscriber;
                let mut record = Vec::with_capacity(event.len() + 12);
                recordio::encode(&event, &mut record);
                Ok(Frame::data(Bytes::from(record)))
            });
        let mut reply = Response::new(StreamBody::new(records).boxed_unsync());
        let headers = reply.headers_mut();
        headers.insert(STREAM_ID, reply::value(&stream));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
        Ok(reply)
    }
}

pub(super) fn expect_post(method: &Method) -> Result<(), Box<Reply>> {
    if method == Method::POST {
        return Ok(());
    }
    let text = format!("405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method}'.");
    let mut reply = reply::text(StatusCode::METHOD_NOT_ALLOWED, &text);
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    Err(Box::new(reply))
}

/// How events are to be written. JSON goes before protobuf, whatever the weights say.
pub(super) fn accepted(headers: &HeaderMap) -> Result<Encoding, Box<Reply>> {
    let Some(accept) = headers.get(header::ACCEPT) else { return Ok(Encoding::Json) };
    let accept = accept.to_str().unwrap_or_default();
    let ranges: Vec<&str> = accept.split(',').filter_map(|it| it.split(';').next()).map(str::trim).collect();
    let takes = |encoding: Encoding| {
        ranges.iter().any(|it| [encoding.media_type(), "application/*", "*/*"].contains(it))
    };
    let found = [Encoding::Json, Encoding::Protobuf].into_iter().find(|encoding| takes(*encoding));
    found.ok_or_else(|| {
        let text = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
        Box::new(reply::text(StatusCode::NOT_ACCEPTABLE, text))
    })
}

fn refused(refusal: &CallRefusal) -> Reply {
    let status = match refusal {
        CallRefusal::Call(_) | CallRefusal::Subscription(_) => StatusCode::BAD_REQUEST,
        CallRefusal::NotSubscribed => StatusCode::FORBIDDEN,
        CallRefusal::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        // Another master is about to lead, in this process.
        CallRefusal::Gone | CallRefusal::Lost => return reply::unavailable(RECOVERING),
    };
    reply::text(status, refusal.text())
}
