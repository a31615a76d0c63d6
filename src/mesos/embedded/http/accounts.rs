//! Who may talk to a master or an agent that asks for it, by HTTP's basic authentication.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Front;
use super::reply::{self, Reply};

/// Principals and their secrets. `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Accounts {
    secrets: BTreeMap<String, String>,
}

/// Text that lists no accounts. It is not repeated: it holds secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} must be PRINCIPAL:SECRET")]
pub struct AccountsError {
    /// From 1.
    pub line: usize,
}

impl Accounts {
    /// Reads one `PRINCIPAL:SECRET` a line; empty lines are skipped.
    ///
    /// # Errors
    /// Names the first line that is something else.
    pub fn parse(text: &str) -> Result<Accounts, AccountsError> {
        let mut secrets = BTreeMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match line.trim_end().split_once(':') {
                Some((principal, secret)) if !principal.is_empty() && !secret.is_empty() => {
                    secrets.insert(principal.to_owned(), secret.to_owned());
                }
                _ => return Err(AccountsError { line: index + 1 }),
            }
        }
        Ok(Accounts { secrets })
    }

    /// What proves the first of them, by name.
    #[must_use]
    pub fn authorization(&self) -> Option<HeaderValue> {
        let (principal, secret) = self.secrets.first_key_value()?;
        let mut value = reply::value(&format!("Basic {}", STANDARD.encode(format!("{principal}:{secret}"))));
        value.set_sensitive(true);
        Some(value)
    }

    /// Whom the headers prove.
    fn principal(&self, headers: &HeaderMap) -> Option<String> {
        let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
        let (principal, secret) = pair.split_once(':')?;
        (self.secrets.get(principal)? == secret).then(|| principal.to_owned())
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.secrets.keys()).finish()
    }
}

impl Front {
    /// Who asks; nobody where nobody is asked to prove it.
    ///
    /// # Errors
    /// What to answer to whom is not known in `realm`.
    pub(super) fn authenticate(
        &self,
        headers: &HeaderMap,
        realm: &str,
    ) -> Result<Option<String>, Box<Reply>> {
        authenticate(self.accounts.as_deref(), headers, realm)
    }
}

/// Who asks; nobody where there are no accounts.
///
/// # Errors
/// What to answer to whom is not known in `realm`.
pub(super) fn authenticate(
    accounts: Option<&Accounts>,
    headers: &HeaderMap,
    realm: &str,
) -> Result<Option<String>, Box<Reply>> {
    let Some(accounts) = accounts else { return Ok(None) };
    accounts.principal(headers).map(Some).ok_or_else(|| {
        let mut reply = reply::text(StatusCode::UNAUTHORIZED, "401 Unauthorized.");
        let challenge = format!("Basic realm=\"{realm}\"");
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, reply::value(&challenge));
        Box::new(reply)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_lines_and_a_wrong_one_is_named_but_not_shown() {
        let accounts = Accounts::parse("rec:s3cret\n\np2:a:b\n").unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(accounts.principal(&headers), None);
        headers.insert(header::AUTHORIZATION, reply::value("Basic cmVjOnMzY3JldA=="));
        assert_eq!(accounts.principal(&headers), Some("rec".to_owned()));
        headers.insert(header::AUTHORIZATION, reply::value("Basic cmVjOndyb25n"));
        assert_eq!(accounts.principal(&headers), None);
        assert_eq!(Accounts::parse("a:b\nsecret").unwrap_err(), AccountsError { line: 2 });
        assert!(!format!("{accounts:?}").contains("s3cret"));
    }
}
