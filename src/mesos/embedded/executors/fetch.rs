//! Fetches what an executor is made of into its sandbox: files of this machine, and over plain HTTP.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use http::{Request, Uri as HttpUri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::env::Env;
use crate::mesos::wire::Uri;

/// The file of `uri` is in `sandbox` afterwards. Archives are not unpacked.
///
/// # Errors
/// When it is not to be had, whatever the reason.
pub(super) async fn fetch(env: &Env, uri: &Uri, sandbox: &Path) -> io::Result<()> {
    let name = match &uri.output_file {
        Some(name) => name.as_str(),
        None => uri.value.rsplit('/').next().unwrap_or_default(),
    };
    let target = sandbox.join(name);
    let bytes = match uri.value.strip_prefix("file://").or(uri.value.starts_with('/').then_some(&uri.value)) {
        Some(path) => std::fs::read(path)?,
        None => over_http(env, &uri.value).await?,
    };
    std::fs::write(&target, bytes)?;
    if uri.executable() {
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

async fn over_http(env: &Env, uri: &str) -> io::Result<Vec<u8>> {
    let parsed: HttpUri = uri.parse().map_err(io::Error::other)?;
    let authority = parsed.authority().filter(|_| parsed.scheme_str() == Some("http"));
    let authority = authority.ok_or_else(|| io::Error::other("only http:// and files can be fetched"))?;
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut line, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    env.spawn("fetch", async move {
        // Whoever waits for the answer is told, too.
        let _ended = connection.await;
    });
    let path = parsed.path_and_query().map_or("/", |path| path.as_str());
    let request =
        Request::get(path).header(header::HOST, authority.as_str()).body(Empty::<bytes::Bytes>::new());
    let answer = line.send_request(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
    if answer.status() != http::StatusCode::OK {
        return Err(io::Error::other(format!("{uri}: {}", answer.status())));
    }
    Ok(answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes().to_vec())
}
