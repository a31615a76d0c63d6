//! The administrator's token, made once per installation.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::env::Env;
use crate::server::files::{self, FileError};

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

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

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
