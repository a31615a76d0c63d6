//! Lines that executors make to this server because somebody here waits for them, each named by a token that is good for one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::exec::Line;
use crate::api::exec::PROTOCOL;
use crate::env::Env;

/// Those that are waited for. Clones share them.
#[derive(Clone, Default)]
pub struct Lines {
    waiting: Arc<Mutex<BTreeMap<String, oneshot::Sender<Line>>>>,
}

/// One line that is waited for; no longer than this is kept.
pub struct Expected {
    lines: Lines,
    token: String,
    line: oneshot::Receiver<Line>,
}

impl Lines {
    /// Waits for one more line.
    #[must_use]
    pub fn expect(&self, env: &Env) -> Expected {
        let mut secret = [0; 16];
        env.fill(&mut secret);
        let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let (sender, line) = oneshot::channel();
        self.waiting().insert(token.clone(), sender);
        Expected { lines: self.clone(), token, line }
    }

    /// Takes the connection of `request` for the line that its token names.
    pub(super) fn meet<B>(&self, env: &Env, request: &mut Request<B>) -> Response<Full<Bytes>> {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let sender = self.waiting().remove(token);
        let Some(sender) = sender else {
            let mut response = Response::new(Full::new(Bytes::from("nobody waits for this line\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let upgrade = hyper::upgrade::on(request);
        env.spawn("line", async move {
            match upgrade.await {
                // Whoever waited may have given up.
                Ok(line) => drop(sender.send(Box::new(TokioIo::new(line)))),
                Err(error) => tracing::debug!(%error, "a line broke before it was one"),
            }
        });
        switching()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, oneshot::Sender<Line>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    /// What whoever makes the line must show.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The line, when it is there; nothing if it broke at once.
    pub async fn line(mut self) -> Option<Line> {
        (&mut self.line).await.ok()
    }
}

/// Without any token.
impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("waiting", &self.waiting().len()).finish()
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expected")
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.lines.waiting().remove(&self.token);
    }
}

/// 101: from here on the connection is a line.
pub(super) fn switching<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_good_for_one_line_and_for_as_long_as_somebody_waits() {
        let (lines, env) = (Lines::default(), Env::system().unwrap());
        let request = |token: &str| {
            let request = Request::post("/exec").header(header::AUTHORIZATION, format!("Bearer {token}"));
            request.body(()).unwrap()
        };
        let expected = lines.expect(&env);
        let token = expected.token().to_owned();
        assert_eq!(token.len(), 32);
        assert_eq!(lines.meet(&env, &mut request("guessed")).status(), 404);
        assert_eq!(lines.meet(&env, &mut request(&token)).status(), 101);
        assert_eq!(lines.meet(&env, &mut request(&token)).status(), 404);
        // What was no connection becomes no line.
        assert!(expected.line().await.is_none());
        let token = lines.expect(&env).token().to_owned();
        assert_eq!(lines.meet(&env, &mut request(&token)).status(), 404);
    }
}
