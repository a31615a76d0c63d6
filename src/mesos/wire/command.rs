//! What a task runs, and the environment that it runs in.

use serde::{Deserialize, Serialize};

use super::enums::{SecretType, VariableType};
use super::json::{Base64, Name};

/// A command. With `shell` (the default) `value` goes to `/bin/sh -c`; without it, `value` and `arguments` are the
/// executable and its arguments, or what follows the entry point of a Docker image.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandInfo {
    #[prost(message, repeated, tag = "1")]
    pub uris: Vec<Uri>,
    #[prost(message, optional, tag = "2")]
    pub environment: Option<Environment>,
    #[prost(string, optional, tag = "3")]
    pub value: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub user: Option<String>,
    #[prost(bool, optional, tag = "6", default = "true")]
    pub shell: Option<bool>,
    #[prost(string, repeated, tag = "7")]
    pub arguments: Vec<String>,
}

/// Something fetched into the sandbox before the task starts.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Uri {
    #[prost(string, required, tag = "1")]
    pub value: String,
    #[prost(bool, optional, tag = "2")]
    pub executable: Option<bool>,
    #[prost(bool, optional, tag = "3", default = "true")]
    pub extract: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub cache: Option<bool>,
    #[prost(string, optional, tag = "5")]
    pub output_file: Option<String>,
}

/// Environment variables.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    #[prost(message, repeated, tag = "1")]
    pub variables: Vec<EnvironmentVariable>,
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Environment {
        let variables = variables.into_iter().map(|(name, value)| EnvironmentVariable {
            name: name.into(),
            value: Some(value.into()),
            ..EnvironmentVariable::default()
        });
        Environment { variables: variables.collect() }
    }
}

/// One environment variable: a plain value, or a secret.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentVariable {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
    #[prost(enumeration = "VariableType", optional, tag = "3")]
    #[serde(with = "Name::<VariableType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "4")]
    pub secret: Option<Secret>,
}

/// A secret, named or given.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    #[prost(enumeration = "SecretType", optional, tag = "1")]
    #[serde(with = "Name::<SecretType>")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub reference: Option<SecretReference>,
    #[prost(message, optional, tag = "3")]
    pub value: Option<SecretValue>,
}

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn given(data: Vec<u8>) -> Secret {
        Secret { r#type: SecretType::Value.wire(), value: Some(SecretValue { data }), ..Secret::default() }
    }
}

/// The name of a secret in a secret store.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretReference {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub key: Option<String>,
}

/// A secret itself.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretValue {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "Base64")]
    pub data: Vec<u8>,
}
