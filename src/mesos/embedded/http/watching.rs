//! SUBSCRIBE of the operator API: the state, and then what changes of it, record by record.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at};

use super::operator::recovering;
use super::reply::Reply;
use super::tasks::message;
use super::v0::wire;
use super::v1;
use crate::mesos::embedded::master::{Happening, MasterHandle, Watching};
use crate::mesos::recordio;
use crate::mesos::wire::Encoding;

/// What is told from now on, until whoever asked does not read any more.
pub(super) async fn watch(master: &MasterHandle) -> Result<Reply, Box<Reply>> {
    let told = told(*master.watch().await.ok_or_else(recovering)?);
    let records = told.map(|event| {
        let mut record = Vec::new();
        recordio::encode(event.to_string().as_bytes(), &mut record);
        Ok(Frame::data(Bytes::from(record)))
    });
    let mut reply = Response::new(StreamBody::new(records).boxed_unsync());
    let kind = HeaderValue::from_static(Encoding::Json.media_type());
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(reply)
}

/// What one who watches is told, event by event: first what there is, and that the master lives, which is told again after each
/// `heartbeat`.
pub fn told(watching: Watching) -> impl Stream<Item = Value> + Send {
    let Watching { books, happenings, heartbeat } = watching;
    let state = v1::answer("GET_STATE", &books).unwrap_or_default();
    let subscribed = json!({"get_state": state, "heartbeat_interval_seconds": heartbeat.as_secs_f64()});
    let first = [json!({"type": "SUBSCRIBED", "subscribed": subscribed}), json!({"type": "HEARTBEAT"})];
    let beats = interval_at(Instant::now() + heartbeat, heartbeat);
    let later = stream::unfold((happenings, beats), |(mut happenings, mut beats)| async move {
        let told = tokio::select! {
            biased;
            happening = happenings.recv() => event(&happening?),
            _beat = beats.tick() => json!({"type": "HEARTBEAT"}),
        };
        Some((told, (happenings, beats)))
    });
    stream::iter(first).chain(later)
}

fn event(happening: &Happening) -> Value {
    let (kind, told) = match happening {
        Happening::TaskAdded(task) => ("TASK_ADDED", json!({"task": message(task)})),
        Happening::TaskUpdated { framework, status, state } => {
            let told =
                json!({"framework_id": wire(framework), "status": wire(status), "state": state.as_str()});
            ("TASK_UPDATED", told)
        }
        Happening::AgentAdded(agent) => ("AGENT_ADDED", json!({"agent": v1::agent(agent)})),
        Happening::AgentRemoved(id) => ("AGENT_REMOVED", json!({"agent_id": wire(id)})),
        Happening::FrameworkAdded(framework) => {
            ("FRAMEWORK_ADDED", json!({"framework": v1::framework_head(framework)}))
        }
        Happening::FrameworkUpdated(framework) => {
            ("FRAMEWORK_UPDATED", json!({"framework": v1::framework_head(framework)}))
        }
        Happening::FrameworkRemoved(info) => ("FRAMEWORK_REMOVED", json!({"framework_info": wire(info)})),
    };
    let mut event = json!({"type": kind});
    event[kind.to_ascii_lowercase()] = told;
    event
}
