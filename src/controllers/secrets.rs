//! The Secrets of one namespace that a template refers to, decoded. Never shown, logged or stored.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::api::SecretKeyRef;

/// Why a reference to a Secret cannot be resolved; shown to people as the reason why a task waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("Secret {name} does not exist")]
    Missing { name: String },
    #[error("Secret {name} has no key {key}")]
    NoKey { name: String, key: String },
    #[error("key {key} of Secret {name} is not text")]
    NotText { name: String, key: String },
}

/// Decoded Secrets by name. Its `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    by_name: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl Secrets {
    /// Adds the Secret `name`, whose document is `secret`.
    pub fn insert(&mut self, name: &str, secret: &Value) {
        let data = secret.get("data").and_then(Value::as_object);
        let decoded = data.into_iter().flatten().filter_map(|(key, value)| {
            let bytes = STANDARD.decode(value.as_str()?).ok()?;
            Some((key.clone(), bytes))
        });
        self.by_name.insert(name.to_owned(), decoded.collect());
    }

    /// The value that `reference` names.
    ///
    /// # Errors
    /// When there is no such Secret or key, or its value cannot stand in an environment.
    pub fn value(&self, reference: &SecretKeyRef) -> Result<String, SecretError> {
        let SecretKeyRef { name, key } = reference;
        let secret = self.by_name.get(name).ok_or_else(|| SecretError::Missing { name: name.clone() })?;
        let bytes =
            secret.get(key).ok_or_else(|| SecretError::NoKey { name: name.clone(), key: key.clone() })?;
        let text = String::from_utf8(bytes.clone()).ok().filter(|text| !text.contains('\0'));
        text.ok_or_else(|| SecretError::NotText { name: name.clone(), key: key.clone() })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
