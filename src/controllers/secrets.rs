//! The Secrets of one namespace that a template refers to, decoded. Never shown, logged or stored.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::api::{SecretKeyRef, Template};
use crate::mesos::wire::RegistryLogin;

/// Why a reference to a Secret cannot be resolved; shown to people as the reason why a task waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("Secret {name} does not exist")]
    Missing { name: String },
    #[error("Secret {name} has no key {key}")]
    NoKey { name: String, key: String },
    #[error("key {key} of Secret {name} is not text")]
    NotText { name: String, key: String },
    #[error("Secret {name} holds no Docker client configuration")]
    NotDockerConfig { name: String },
    #[error("Secret {name} has no login for registry {registry}")]
    NoLogin { name: String, registry: String },
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

    /// Whether everything that `template` refers to is there.
    ///
    /// # Errors
    /// As [`Secrets::value`] and [`Secrets::registry_login`], for the first reference that is not.
    pub fn check(&self, template: &Template) -> Result<(), SecretError> {
        for source in template.env.iter().filter_map(|it| it.value_from.as_ref()) {
            self.value(&source.secret_key_ref)?;
        }
        if let Some(container) = &template.container
            && let Some(name) = &container.pull_secret
        {
            self.registry_login(name, &container.image)?;
        }
        Ok(())
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

    /// The login for the registry of `image` in the Secret `name` of type `kubernetes.io/dockerconfigjson`.
    ///
    /// # Errors
    /// As [`Secrets::value`], and when it holds no login for that registry.
    pub fn registry_login(&self, name: &str, image: &str) -> Result<RegistryLogin, SecretError> {
        let config = self.value(&SecretKeyRef { name: name.to_owned(), key: DOCKER_CONFIG.to_owned() })?;
        let config: DockerConfig = serde_json::from_str(&config)
            .map_err(|_| SecretError::NotDockerConfig { name: name.to_owned() })?;
        let registry = registry_of(image);
        let login = config.auths.iter().find(|(server, _)| host_of(server) == registry);
        let (server, auth) = login
            .ok_or_else(|| SecretError::NoLogin { name: name.to_owned(), registry: registry.to_owned() })?;
        let (username, password) =
            auth.credentials().ok_or_else(|| SecretError::NotDockerConfig { name: name.to_owned() })?;
        Ok(RegistryLogin { username, password, server: server.clone() })
    }
}

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// Where images without a registry in their name come from.
const DOCKER_HUB: &str = "docker.io";

#[derive(Deserialize)]
struct DockerConfig {
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    username: Option<String>,
    password: Option<String>,
    /// Base64 of `username:password`.
    auth: Option<String>,
}

impl DockerAuth {
    fn credentials(&self) -> Option<(String, String)> {
        if let (Some(username), Some(password)) = (&self.username, &self.password) {
            return Some((username.clone(), password.clone()));
        }
        let decoded = String::from_utf8(STANDARD.decode(self.auth.as_ref()?).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        Some((username.to_owned(), password.to_owned()))
    }
}

/// The registry that the reference of an image leads to: its first part, when that looks like a host.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => DOCKER_HUB,
    }
}

/// The host of a key of `auths`, which may be a URL: `https://index.docker.io/v1/` stands for Docker Hub.
fn host_of(server: &str) -> &str {
    let host = server.split_once("://").map_or(server, |(_, rest)| rest);
    match host.split('/').next().unwrap_or(host) {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        host => host,
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
