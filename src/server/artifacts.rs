//! Files that agents fetch, over plain HTTP (who begins with TLS gets it): each under a name that its content gives it, so that what an agent keeps is never
//! out of date, and a file of another version is another file.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::exec::Line;
use super::lines::Lines;
use crate::env::Env;

/// One file by the name under which it is fetched.
#[derive(Debug, Clone)]
pub struct Artifact {
    name: String,
    bytes: Bytes,
}

impl Artifact {
    /// The file of `bytes`, which people know as `name`.
    #[must_use]
    pub fn new(name: &str, bytes: Vec<u8>) -> Artifact {
        let mut hash = String::new();
        for byte in ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref().iter().take(16) {
            // A String takes whatever is written.
            let _written = write!(hash, "{byte:02x}");
        }
        Artifact { name: format!("{name}-{hash}"), bytes: bytes.into() }
    }

    /// Its path on the server.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/artifacts/{}", self.name)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match *request.method() {
            Method::GET | Method::HEAD if request.uri().path() == self.path() => {
                (StatusCode::OK, self.bytes.clone())
            }
            Method::GET | Method::HEAD => (StatusCode::NOT_FOUND, Bytes::from("no such artifact\n")),
            _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::from("only GET and HEAD\n")),
        };
        let kind = if status == StatusCode::OK { "application/octet-stream" } else { "text/plain" };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        response
    }
}

/// The door for agents and executors: files, and lines that somebody here waits for.
#[derive(Debug, Clone)]
pub struct AgentDoor {
    pub artifact: Option<Artifact>,
    pub lines: Lines,
    /// For those who begin with a handshake: executors do, the fetchers of agents do not know whom to believe.
    pub tls: Option<Arc<ServerConfig>>,
}

/// The first byte of a handshake of TLS, and of no request.
const HANDSHAKE: u8 = 0x16;
/// How long whoever comes in may take to say the first byte, and to shake hands.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);

/// The connection, with TLS if whoever made it began so.
async fn enter(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Line> {
    let mut first = [0];
    let is_handshake = stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE;
    match tls.filter(|_| is_handshake) {
        Some(tls) => Ok(Box::new(TlsAcceptor::from(tls).accept(stream).await?)),
        None => Ok(Box::new(stream)),
    }
}

/// Where executors make their lines.
const LINES: &str = "/exec";

impl AgentDoor {
    /// Serves at `listener` until `stop` fires.
    pub async fn serve(self, env: Env, listener: TcpListener, stop: CancellationToken) {
        let door = Arc::new(self);
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            let Ok((stream, _)) = accepted else {
                // No file descriptor is left, for instance: agents ask again.
                env.sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (door, node, tls) = (door.clone(), env.clone(), door.tls.clone());
            let service = service_fn(move |request| {
                let answer = door.answer(&node, request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let stop = stop.clone();
            env.spawn("artifact", async move {
                let connection = async {
                    let stream = match timeout(HANDSHAKE_MAX, enter(stream, tls)).await {
                        Ok(Ok(stream)) => stream,
                        Ok(Err(error)) => return tracing::debug!(%error, "nobody came in after all"),
                        Err(_) => return tracing::debug!("nobody said anything in time"),
                    };
                    let mut http = http1::Builder::new();
                    let http = http.timer(TokioTimer::new());
                    // A fetch that breaks off is the agent's to tell and to repeat.
                    let _over = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                };
                stop.run_until_cancelled(connection).await;
            });
        }
    }

    fn answer(&self, env: &Env, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == LINES && *request.method() == Method::POST {
            return self.lines.meet(env, &mut request);
        }
        match &self.artifact {
            Some(artifact) => artifact.answer(&request),
            None => {
                let mut response = Response::new(Full::new(Bytes::from("no such artifact\n")));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn get(listener: std::net::SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(listener).await.unwrap();
        stream
            .write_all(format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_file_is_served_under_the_name_of_its_content_and_nothing_else_is() {
        let artifact = Artifact::new("tenure-executor", b"one".to_vec());
        assert_eq!(artifact.path(), "/artifacts/tenure-executor-7692c3ad3540bb803c020b3aee66cd88");
        assert_ne!(artifact.path(), Artifact::new("tenure-executor", b"two".to_vec()).path());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let env = Env::system().unwrap();
        let path = artifact.path();
        let door = AgentDoor { artifact: Some(artifact), lines: Lines::default(), tls: None };
        let serving = env.spawn("artifacts", door.serve(env.clone(), listener, stop.clone()));
        let answer = get(address, &format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\none"), "{answer}");
        let head = get(address, &format!("HEAD {path}")).await;
        assert!(head.contains("content-length: 3") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(get(address, "GET /artifacts/tenure-executor").await.starts_with("HTTP/1.1 404"));
        assert!(get(address, &format!("POST {path}")).await.starts_with("HTTP/1.1 405"));
        stop.cancel();
        serving.join().await.unwrap();
    }
}
