//! Who we are to a master that asks: a principal and its secret.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// A principal with its secret. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    principal: String,
    secret: String,
}

/// Text that holds no credentials. It is not repeated: it may be half a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No `:`, or nothing before or behind it.
    #[error("must be one line PRINCIPAL:SECRET")]
    NoPair,
    /// What no header can carry.
    #[error("holds control characters")]
    Control,
}

impl Credentials {
    /// Reads `PRINCIPAL:SECRET`; the secret may hold further colons. White space at the end is none of it.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Credentials, CredentialsError> {
        let (principal, secret) = text.trim_end().split_once(':').ok_or(CredentialsError::NoPair)?;
        if principal.is_empty() || secret.is_empty() {
            return Err(CredentialsError::NoPair);
        }
        if text.trim_end().contains(char::is_control) {
            return Err(CredentialsError::Control);
        }
        Ok(Credentials { principal: principal.to_owned(), secret: secret.to_owned() })
    }

    /// The name; it belongs into `FrameworkInfo.principal`, too.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The `Authorization` header.
    pub(super) fn header(&self) -> HeaderValue {
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.principal, self.secret)));
        let mut value = HeaderValue::try_from(basic).expect("base64 is a header");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("principal", &self.principal).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_one_line_and_never_shown() {
        let credentials = Credentials::parse("rec:s3cret\n").unwrap();
        assert_eq!(credentials.principal(), "rec");
        assert_eq!(credentials.header(), "Basic cmVjOnMzY3JldA==");
        assert!(!format!("{credentials:?} {:?}", credentials.header()).contains("s3cret"));
        assert_eq!(Credentials::parse("p:a:b").unwrap().secret, "a:b");
        for text in ["", "rec", ":secret", "rec:\n"] {
            assert_eq!(Credentials::parse(text), Err(CredentialsError::NoPair));
        }
        assert_eq!(Credentials::parse("a:b\nc:d"), Err(CredentialsError::Control));
    }
}
