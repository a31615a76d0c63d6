//! The keys that values are sealed with: a text file of one key a line, and the sealing of one value.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

use crate::env::Env;

/// What a sealed value begins with. No document does.
const MAGIC: &[u8] = b"\0tenure-sealed-1\0";
/// Bytes of a key, and of the name of a key.
const KEY_BYTES: usize = 32;
const NAME_BYTES: usize = 8;

/// By how many bytes a sealed value is longer.
pub(super) const OVERHEAD: usize = MAGIC.len() + NAME_BYTES + NONCE_LEN + MAX_TAG_LEN;

/// A text that holds no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("line {line}: a key is 32 bytes in base64, such as `head -c 32 /dev/urandom | base64` prints")]
    Malformed { line: usize },
    #[error("there is no key in it")]
    Empty,
}

/// A value that none of the keys opens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unopened {
    #[error("it is sealed with the key {0}, which is not known here")]
    UnknownKey(String),
    #[error("it is not what was sealed here")]
    Altered,
}

/// Keys, of which the first seals and all open. Printing them shows their names.
#[derive(Clone)]
pub struct Keys(Vec<SealingKey>);

#[derive(Clone)]
struct SealingKey {
    /// The beginning of the key's hash: tells which key a value needs, and nothing about it.
    name: [u8; NAME_BYTES],
    bytes: [u8; KEY_BYTES],
    cipher: LessSafeKey,
}

impl Keys {
    /// The keys in `text`: one a line, in base64; lines that begin with `#` are for people.
    ///
    /// # Errors
    /// Naming the line that is no key.
    pub fn parse(text: &str) -> Result<Keys, KeysError> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<SealingKey> = keys
            .map(|(line, text)| {
                let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
                bytes.and_then(SealingKey::new).ok_or(KeysError::Malformed { line })
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeysError::Empty) } else { Ok(Keys(keys)) }
    }

    /// The text of a file with one fresh key.
    #[must_use]
    pub fn fresh(env: &Env) -> String {
        let mut bytes = [0; KEY_BYTES];
        env.fill(&mut bytes);
        format!(
            "# Secrets are sealed with the first key of this file. Without it they cannot be read: keep a copy.\n{}\n",
            STANDARD.encode(bytes)
        )
    }

    /// One secret per key, in their order, for another use than sealing: `purpose` keeps uses apart.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Vec<[u8; KEY_BYTES]> {
        let derive = |key: &SealingKey| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.bytes);
            let tag = ring::hmac::sign(&key, purpose.as_bytes());
            let mut derived = [0; KEY_BYTES];
            derived.copy_from_slice(tag.as_ref());
            derived
        };
        self.0.iter().map(derive).collect()
    }

    /// `value` sealed for the place `key` and no other.
    pub(super) fn seal(&self, env: &Env, key: &str, value: &[u8]) -> Bytes {
        let [first, ..] = self.0.as_slice() else { unreachable!("keys are never empty") };
        let mut nonce = [0; NONCE_LEN];
        env.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(value.len() + OVERHEAD);
        sealed.extend_from_slice(value);
        let place = Aad::from(key.as_bytes());
        first
            .cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place, &mut sealed)
            .expect("a value is shorter than what one nonce may seal, 64 GiB");
        Bytes::from([MAGIC, &first.name, &nonce, &sealed].concat())
    }

    /// What was sealed for the place `key`. A value that is not sealed is returned as it is.
    pub(super) fn open(&self, key: &str, value: &Bytes) -> Result<Bytes, Unopened> {
        let Some(rest) = value.strip_prefix(MAGIC) else { return Ok(value.clone()) };
        let (name, rest) = rest.split_first_chunk::<NAME_BYTES>().ok_or(Unopened::Altered)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unopened::Altered)?;
        let known = self.0.iter().find(|known| known.name == *name);
        let known = known.ok_or_else(|| Unopened::UnknownKey(spelled(name)))?;
        let mut opened = rest.to_vec();
        let place = Aad::from(key.as_bytes());
        let length = known
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(*nonce), place, &mut opened)
            .map_err(|_| Unopened::Altered)?
            .len();
        opened.truncate(length);
        Ok(Bytes::from(opened))
    }

    /// Whether `value` is sealed with the key that seals.
    pub(super) fn is_current(&self, value: &[u8]) -> bool {
        let rest = value.strip_prefix(MAGIC);
        self.0.first().is_some_and(|first| rest.is_some_and(|rest| rest.starts_with(&first.name)))
    }
}

impl SealingKey {
    fn new(bytes: [u8; KEY_BYTES]) -> Option<SealingKey> {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?);
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&hash[..NAME_BYTES]);
        Some(SealingKey { name, bytes, cipher })
    }
}

fn spelled(name: &[u8]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| spelled(&key.name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn env() -> Env {
        Env::simulated("keys", 3, Timestamp::UNIX_EPOCH)
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_opens_with_its_key_at_its_place_only() {
        let env = env();
        let (old, other) = (Keys::fresh(&env), Keys::fresh(&env));
        let keys = Keys::parse(&old).unwrap();
        let sealed = keys.seal(&env, "/a", b"hidden");
        assert!(!sealed.windows(6).any(|window| window == b"hidden"));
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert_eq!(keys.open("/a", &sealed).unwrap(), &b"hidden"[..]);
        assert_eq!(keys.open("/b", &sealed), Err(Unopened::Altered));
        let altered = Bytes::from([&sealed[..sealed.len() - 1], &[sealed[sealed.len() - 1] ^ 1]].concat());
        assert_eq!(keys.open("/a", &altered), Err(Unopened::Altered));
        assert!(matches!(Keys::parse(&other).unwrap().open("/a", &sealed), Err(Unopened::UnknownKey(_))));
        let rotated = Keys::parse(&format!("{other}{old}")).unwrap();
        assert_eq!(rotated.open("/a", &sealed).unwrap(), &b"hidden"[..]);
        assert!(keys.is_current(&sealed) && !rotated.is_current(&sealed) && !keys.is_current(b"{}"));
        assert_ne!(keys.seal(&env, "/a", b"hidden"), sealed, "a nonce is used once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_key_is_told_by_its_line_and_never_shown() {
        assert_eq!(Keys::parse("# one\n\nAAAA").unwrap_err(), KeysError::Malformed { line: 3 });
        assert_eq!(Keys::parse("# none\n").unwrap_err(), KeysError::Empty);
        let text = Keys::fresh(&env());
        let secret = text.lines().last().unwrap();
        assert!(!format!("{:?}", Keys::parse(&text).unwrap()).contains(secret));
    }

    #[tokio::test(start_paused = true)]
    async fn purposes_have_secrets_of_their_own() {
        let keys = Keys::parse(&Keys::fresh(&env())).unwrap();
        assert_eq!(keys.derived("a"), keys.derived("a"));
        assert_ne!(keys.derived("a"), keys.derived("b"));
    }
}
