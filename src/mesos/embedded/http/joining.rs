//! Agents in processes of their own: they upgrade a connection, and speak over it as those of this process do.

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::Front;
use super::reply::{self, Reply, bad};
use crate::mesos::embedded::remote::{self, PROTOCOL};

const REALM: &str = "mesos-master-agent";

impl Front {
    /// An agent that joins.
    pub(super) async fn join(&self, mut request: Request<Incoming>) -> Reply {
        match self.joined(&mut request) {
            Ok(reply) => reply,
            Err(reply) => *reply,
        }
    }

    fn joined(&self, request: &mut Request<Incoming>) -> Result<Reply, Box<Reply>> {
        self.authenticate(request.headers(), REALM)?;
        let master = self.leading(request)?;
        if request.headers().get(header::UPGRADE).is_none_or(|to| to != PROTOCOL) {
            return Err(bad(&format!("Expecting an upgrade to '{PROTOCOL}'")));
        }
        let upgrade = hyper::upgrade::on(request);
        self.env.spawn("link of an agent", async move {
            let carried = match upgrade.await {
                Ok(stream) => remote::carry(&master, TokioIo::new(stream)).await,
                Err(error) => return tracing::debug!(%error, "agent not linked"),
            };
            if let Err(error) = carried {
                tracing::debug!(%error, "link of an agent broke");
            }
        });
        let mut reply = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        reply.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
        Ok(reply)
    }
}
