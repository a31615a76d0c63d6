//! `/livez`, `/healthz`, `/readyz`: is it alive, may it be used, and if not, why.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

/// One thing that must be well, such as the store.
pub struct ReadyCheck {
    /// As it stands in `/readyz?verbose`.
    pub name: &'static str,
    /// Whether requests can be served although it fails.
    serves_on: bool,
    probe: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl ReadyCheck {
    /// A check that answers at once, from what is known: `Err` says in a sentence what is wrong.
    pub fn new(
        name: &'static str,
        probe: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> ReadyCheck {
        ReadyCheck { name, serves_on: false, probe: Box::new(probe) }
    }

    /// The same for what the API can do without, such as the cluster: told, and no reason to send users elsewhere.
    pub fn advisory(
        name: &'static str,
        probe: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> ReadyCheck {
        ReadyCheck { serves_on: true, ..ReadyCheck::new(name, probe) }
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

/// 200 when every check passes that requests depend on, else 503; then, and when asked to be verbose, each check's state in a line.
pub(crate) fn readyz(checks: &[ReadyCheck], verbose: bool) -> Response {
    let results: Vec<_> = checks.iter().map(|check| (check, check.probe())).collect();
    let ready = results.iter().all(|(check, result)| result.is_ok() || check.serves_on);
    if ready && !verbose {
        return "ok".into_response();
    }
    let mut text = String::from("[+]ping ok\n");
    for (check, result) in results {
        let name = check.name;
        text += &match result {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(why) if check.serves_on => format!("[-]{name} failed, the API serves on: {why}\n"),
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
        let ill = ReadyCheck::new("other", || Err("no disk answers".to_owned()));
        assert_eq!(answer(&[well()], false).await, (200, "ok".to_owned()));
        let text = "[+]ping ok\n[+]store ok\nreadyz check passed\n".to_owned();
        assert_eq!(answer(&[well()], true).await, (200, text));
        let text =
            "[+]ping ok\n[+]store ok\n[-]other failed: no disk answers\nreadyz check failed\n".to_owned();
        assert_eq!(answer(&[well(), ill], false).await, (503, text));
    }

    #[tokio::test]
    async fn what_the_api_can_do_without_is_told_and_turns_nobody_away() {
        let checks = [
            ReadyCheck::new("store", || Ok(())),
            ReadyCheck::advisory("mesos", || Err("no master answers".to_owned())),
        ];
        assert_eq!(answer(&checks, false).await, (200, "ok".to_owned()));
        let text = "[+]ping ok\n[+]store ok\n[-]mesos failed, the API serves on: no master answers\nreadyz check passed\n";
        assert_eq!(answer(&checks, true).await, (200, text.to_owned()));
    }
}
