//! `/livez`, `/healthz`, `/readyz`: is it alive, may it be used, and if not, why.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

/// One thing that must be well for the server to be of use, such as the store.
pub struct ReadyCheck {
    /// As it stands in `/readyz?verbose`.
    pub name: &'static str,
    probe: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl ReadyCheck {
    /// A check that answers at once, from what is known: `Err` says in a sentence what is wrong.
    pub fn new(
        name: &'static str,
        probe: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> ReadyCheck {
        ReadyCheck { name, probe: Box::new(probe) }
    }
}

impl fmt::Debug for ReadyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadyCheck").field(&self.name).finish()
    }
}

impl ReadyCheck {
    /// What is wrong now, in a sentence.
    pub(crate) fn probe(&self) -> Result<(), String> {
        (self.probe)()
    }
}

/// 200 when every check passes, else 503 and each check's state, one a line.
pub(crate) fn readyz(checks: &[ReadyCheck], verbose: bool) -> Response {
    let results: Vec<_> = checks.iter().map(|check| (check.name, check.probe())).collect();
    let ready = results.iter().all(|(_, result)| result.is_ok());
    if ready && !verbose {
        return "ok".into_response();
    }
    let mut text = String::from("[+]ping ok\n");
    for (name, result) in results {
        text += &match result {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(why) => format!("[-]{name} failed: {why}\n"),
        };
    }
    text += if ready { "readyz check passed\n" } else { "readyz check failed\n" };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(checks: &[ReadyCheck], verbose: bool) -> (u16, String) {
        let response = readyz(checks, verbose);
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_failed_check_is_named_with_its_reason() {
        let well = || ReadyCheck::new("store", || Ok(()));
        let ill = ReadyCheck::new("mesos", || Err("no master answers".to_owned()));
        assert_eq!(answer(&[well()], false).await, (200, "ok".to_owned()));
        let text = "[+]ping ok\n[+]store ok\nreadyz check passed\n".to_owned();
        assert_eq!(answer(&[well()], true).await, (200, text));
        let text =
            "[+]ping ok\n[+]store ok\n[-]mesos failed: no master answers\nreadyz check failed\n".to_owned();
        assert_eq!(answer(&[well(), ill], false).await, (503, text));
    }
}
