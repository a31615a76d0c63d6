//! What a Task has beside its document: the output of what runs.

use axum::body::Body;
use axum::response::Response;
use futures::StreamExt;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Api;
use super::objects::Ask;
use crate::api::Task;
use crate::registry::{At, Failure, Reason};
use crate::server::logs::{LogError, LogQuery, LogStream};

impl Api {
    /// `…/tasks/NAME/log?follow&tailLines&stream`: text as it was written.
    pub(super) async fn task_log(&self, ask: &Ask<'_>) -> Result<Response, Failure> {
        let query = log_query(ask)?;
        let doc = self.registry.get(&ask.kind, &ask.key(), At::MostRecent).await?;
        let task = doc.typed::<Task>().map_err(|error| Failure::internal(error.to_string()))?;
        let output = self.logs.open(&task, query).await.map_err(|error| match error {
            LogError::Absent(why) => Failure::bad_request(why),
            LogError::Unavailable(why) => refused(503, Some(Reason::ServiceUnavailable), why),
        })?;
        // A client that follows must not hold up the server's end.
        let output = output.take_until(self.shutdown.clone().cancelled_owned());
        let mut response = Response::new(Body::from_stream(output));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        Ok(response)
    }
}

fn log_query(ask: &Ask<'_>) -> Result<LogQuery, Failure> {
    let stream = match ask.query.text("stream") {
        "" | "All" | "all" => LogStream::Both,
        "stdout" | "Stdout" => LogStream::Stdout,
        "stderr" | "Stderr" => LogStream::Stderr,
        other => {
            let text = format!(
                "stream: Unsupported value: {other:?}: supported values: \"all\", \"stdout\", \"stderr\""
            );
            return Err(Failure::bad_request(text));
        }
    };
    let tail_lines = match ask.query.text("tailLines") {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            Failure::bad_request(format!(
                "tailLines: Invalid value: {text:?}: must be a whole number, 0 or more"
            ))
        })?),
    };
    Ok(LogQuery { follow: ask.query.flag("follow"), tail_lines, stream })
}

pub(super) fn refused(code: u16, reason: Option<Reason>, message: String) -> Failure {
    Failure { code, reason, ..Failure::internal(message) }
}
