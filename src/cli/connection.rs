//! A connection to the API server: found as kubectl finds it, asked with plain requests.

use std::path::PathBuf;
use std::pin::Pin;

use anyhow::Context as _;
use futures::{AsyncBufRead, AsyncBufReadExt as _};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};
use serde_json::Value;

use super::Target;
use super::server_args::default_data_dir;
use crate::api::exec;

/// The media type of tables, as kubectl asks for them; a server that cannot make one answers with the objects.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// The media type of a JSON merge patch.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// The media type of a JSON patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// The media type of a server-side apply.
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";
/// The name under which the CLI owns fields.
pub const FIELD_MANAGER: &str = "tenure";

/// Why a request was not answered with what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server answered with a Status.
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    /// There was no answer.
    #[error("the server at {server} does not answer: {cause}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// What the operating system said, below all the layers of the client.
        cause: String,
    },
    /// The answer was not JSON.
    #[error("the server's answer is not JSON")]
    Malformed(#[source] serde_json::Error),
}

impl RequestError {
    /// Whether the server said that there is no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 404)
    }

    /// Whether the resource version that was asked for is no longer known.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 410)
    }
}

fn root_cause(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A line of a streamed answer at a time.
pub type Lines = futures::io::Lines<Pin<Box<dyn AsyncBufRead + Send>>>;

/// A connection to the API server, and the namespace that commands mean when they name none.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    server: String,
    /// The namespace of `-n`, else of the context, else `default`.
    pub namespace: String,
    /// Whether the namespace was named on the command line.
    pub namespace_given: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Connection {
    /// Reads the kubeconfig; makes no request yet.
    ///
    /// # Errors
    ///
    /// If there is no kubeconfig, or it cannot be used.
    pub async fn open(target: &Target) -> anyhow::Result<Self> {
        let kubeconfig = find_kubeconfig(target)?;
        let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .context("the kubeconfig cannot be used")?;
        // A person is told at once; `watch` tries again by itself.
        config.default_retry = false;
        // A command of `tenure exec` may not read its input for a while.
        config.write_timeout = None;
        let server = config.cluster_url.to_string();
        let namespace = target.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(Self { client, server, namespace, namespace_given: target.namespace.is_some() })
    }

    /// GETs a path as JSON.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn get(&self, path: &str) -> Result<Value, RequestError> {
        self.get_as(path, "application/json").await
    }

    /// GETs a path as this media type.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Value, RequestError> {
        json(&self.text(request(Method::GET, path, accept, None, Vec::new())).await?)
    }

    /// GETs a path as it is.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn get_text(&self, path: &str) -> Result<String, RequestError> {
        self.text(request(Method::GET, path, "*/*", None, Vec::new())).await
    }

    /// PATCHes a path with a body of this media type.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn patch(&self, path: &str, media_type: &str, body: &Value) -> Result<Value, RequestError> {
        let body = body.to_string().into_bytes();
        json(&self.text(request(Method::PATCH, path, "application/json", Some(media_type), body)).await?)
    }

    /// DELETEs a path.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn delete(&self, path: &str, options: &Value) -> Result<Value, RequestError> {
        let (media_type, body) = (Some("application/json"), options.to_string().into_bytes());
        json(&self.text(request(Method::DELETE, path, "application/json", media_type, body)).await?)
    }

    /// GETs a path whose answer comes line by line and may never end.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]. A line that cannot be read later is an error of the stream.
    pub async fn lines(&self, path: &str, accept: &str) -> Result<Lines, RequestError> {
        let request = request(Method::GET, path, accept, None, Vec::new());
        let reader = self.client.request_stream(request).await.map_err(|error| self.failed(error))?;
        let reader: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(reader);
        Ok(reader.lines())
    }

    /// POSTs to a path, and takes the connection over.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn upgrade(&self, path: &str) -> Result<TokioIo<Upgraded>, RequestError> {
        let mut request = request(Method::POST, path, "application/json", None, Vec::new());
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(exec::PROTOCOL));
        let answer = self.client.send(request.map(Body::from)).await.map_err(|error| self.failed(error))?;
        let broken = |cause: String| RequestError::Unreachable { server: self.server.clone(), cause };
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let code = answer.status();
            let body =
                answer.into_body().collect().await.map_err(|error| broken(error.to_string()))?.to_bytes();
            return Err(match serde_json::from_slice::<Status>(&body) {
                Ok(status) => RequestError::Refused(Box::new(status)),
                Err(_) => broken(format!("it answers {code}")),
            });
        }
        let line = hyper::upgrade::on(answer).await.map_err(|error| broken(error.to_string()))?;
        Ok(TokioIo::new(line))
    }

    async fn text(&self, request: Request<Vec<u8>>) -> Result<String, RequestError> {
        self.client.request_text(request).await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: kube::Error) -> RequestError {
        match error {
            kube::Error::Api(status) => RequestError::Refused(status),
            other => RequestError::Unreachable { server: self.server.clone(), cause: root_cause(&other) },
        }
    }
}

fn json(text: &str) -> Result<Value, RequestError> {
    serde_json::from_str(text).map_err(RequestError::Malformed)
}

/// # Panics
///
/// Never: paths are made of names that were escaped, and media types are constants.
fn request(
    method: Method,
    path: &str,
    accept: &str,
    media_type: Option<&str>,
    body: Vec<u8>,
) -> Request<Vec<u8>> {
    let mut builder = Request::builder().method(method).uri(path).header(http::header::ACCEPT, accept);
    if let Some(media_type) = media_type {
        builder = builder.header(http::header::CONTENT_TYPE, media_type);
    }
    builder.body(body).expect("paths are escaped and media types are constants")
}

/// A part of a path or query with everything escaped that is not plain.
#[must_use]
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A path with query parameters; those without a value are left out.
#[must_use]
pub fn with_query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let parameters: Vec<String> = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", escaped((*value)?))))
        .collect();
    if parameters.is_empty() { path.to_owned() } else { format!("{path}?{}", parameters.join("&")) }
}

fn find_kubeconfig(target: &Target) -> anyhow::Result<Kubeconfig> {
    let read = |path: &PathBuf| {
        Kubeconfig::read_from(path)
            .with_context(|| format!("failed to read the kubeconfig {}", path.display()))
    };
    if let Some(path) = &target.kubeconfig {
        return read(path);
    }
    if let Some(kubeconfig) = Kubeconfig::from_env().context("failed to read the files of $KUBECONFIG")? {
        return Ok(kubeconfig);
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    let server = default_data_dir().map(|folder| folder.join("kubeconfig"));
    match home.into_iter().chain(server).find(|path| path.exists()) {
        Some(path) => read(&path),
        None => anyhow::bail!(
            "there is no kubeconfig: start `tenure server` on this machine, set KUBECONFIG, or give --kubeconfig"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped_and_absent_values_left_out() {
        let path = with_query(
            "/api/v1/events",
            &[("labelSelector", Some("app in (a,b)")), ("watch", None), ("x", Some("1"))],
        );
        assert_eq!(path, "/api/v1/events?labelSelector=app%20in%20%28a%2Cb%29&x=1");
        assert_eq!(with_query("/version", &[("x", None)]), "/version");
    }
}
