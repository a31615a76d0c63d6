//! Who may ask: whoever shows the installation's token. Nothing but health and version is answered to others.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use super::files::{self, FileError};
use crate::env::Env;

/// Bytes of chance in a token: beyond guessing.
const TOKEN_BYTES: usize = 32;

/// The bearer token of one installation's administrator. Printing it shows nothing.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The token kept in the file `path` (mode 0600), made there first when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn load_or_create(path: &Path, env: &Env) -> Result<Token, FileError> {
        if let Some(text) = files::read_private(path)?.map(|text| text.trim().to_owned())
            && !text.is_empty()
        {
            return Ok(Token(text));
        }
        let mut bytes = [0; TOKEN_BYTES];
        env.fill(&mut bytes);
        let token = URL_SAFE_NO_PAD.encode(bytes);
        files::write_private(path, token.as_bytes())?;
        Ok(Token(token))
    }

    /// The token itself, for a kubeconfig.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Decides whether a request comes from somebody known.
#[derive(Clone)]
pub(crate) struct Authenticator {
    /// Of the token: comparing digests takes the same time for every wrong token.
    digest: [u8; 32],
}

impl Authenticator {
    pub(crate) fn new(token: &Token) -> Authenticator {
        Authenticator { digest: Sha256::digest(token.secret()).into() }
    }

    /// Whether `headers` carry the token.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(shown) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let Some((scheme, token)) = shown.split_once(' ') else { return false };
        let digest: [u8; 32] = Sha256::digest(token.trim()).into();
        let difference = digest.iter().zip(self.digest).fold(0, |sum, (a, b)| sum | (a ^ b));
        scheme.eq_ignore_ascii_case("bearer") && difference == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn only_the_token_admits() {
        let authenticator = Authenticator::new(&Token("secret".to_owned()));
        assert!(authenticator.admits(&headers("Bearer secret")));
        assert!(authenticator.admits(&headers("bearer secret")));
        for wrong in ["Bearer secret2", "Bearer ", "Bearer", "Basic secret", "secret", ""] {
            assert!(!authenticator.admits(&headers(wrong)), "{wrong:?}");
        }
        assert!(!authenticator.admits(&HeaderMap::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = |seed| {
            let env = Env::simulated("auth", seed, Timestamp::UNIX_EPOCH);
            Token::load_or_create(&path, &env).unwrap().secret().to_owned()
        };
        let first = token(1);
        assert_eq!(first.len(), 43);
        assert_eq!(token(2), first);
    }
}
