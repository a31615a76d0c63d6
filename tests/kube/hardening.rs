//! The list of security requirements that Tenure's API server keeps (after the CIS Benchmark for Kubernetes, section 1.2, and what
//! has been an attack elsewhere), and where each is tested.
//!
//! | requirement | test |
//! | --- | --- |
//! | anonymous callers see health and version only | `wire::only_health_and_version_are_answered_without_the_token` |
//! | tokens are hashed at rest, and revoked at once | `access::a_stored_token_holds_no_token_and_is_revoked_at_once`, `access::a_token_ends_with_its_account_…` |
//! | deny by default, by roles alone | `access::what_no_role_permits_is_denied_…` |
//! | nobody gives more than they have | `access::nobody_gives_more_than_they_have` |
//! | no switch turns authentication or authorization off | [`no_flag_turns_a_check_off`] |
//! | Events are limited per user and namespace | `server::kube::tests::events_are_limited_for_each_user_and_namespace` |
//! | nothing is created in a namespace that is missing or going, and those that all need stay | [`namespaces_have_their_life`] |
//! | no profiling or debugging over the network | [`nothing_is_served_for_debugging`] |
//! | audit: on by default, before the answer, without content; 100 MB a file, ten files, thirty days | `access::the_audit_log_has_every_change_…`, `server::audit` |
//! | bodies are bounded in size and time, headers and handshakes too | `wire::a_large_body_is_refused_before_it_is_kept`, [`who_says_nothing_or_never_ends_is_cut`] |
//! | TLS only, from 1.2 on; client certificates | [`nothing_is_answered_without_tls`], [`tls_is_spoken_from_1_2_on`], `certificates` |
//! | Secrets are sealed at rest | `server::kubernetes::secrets_stand_nowhere_in_the_data_folder_…`, `store::sealed` |
//! | HTTP/2: 100 streams, and floods of resets end the connection | [`a_connection_has_a_hundred_streams_and_a_flood_of_resets_ends_it`] |
//! | requests and watches of one user are bounded | `server::shares`, [`one_user_has_a_thousand_watches_and_others_have_their_own`] |
//! | what is sent costs in proportion to its length | `registry::tests::linear`, `registry::patch`, `registry::tests::fuzz` |
//! | containers: no privileges or capabilities by parameters | `api::docker_options` |

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::access::{Person, permit, rule};
use crate::server::{APPS, Answer, TestServer, app};

const PATIENCE: Duration = Duration::from_secs(60);

fn address(server: &TestServer) -> String {
    let config = kube::config::Kubeconfig::read_from(&server.kubeconfig).unwrap();
    let url = config.clusters[0].cluster.as_ref().unwrap().server.clone().unwrap();
    url.strip_prefix("https://").unwrap().to_owned()
}

#[test]
fn no_flag_turns_a_check_off() {
    let help =
        std::process::Command::new(env!("CARGO_BIN_EXE_tenure")).args(["server", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap().to_lowercase();
    assert!(help.contains("--client-ca-file"), "{help}");
    for word in ["insecure", "anonymous", "no-auth", "authorization", "skip", "disable", "profiling", "debug"]
    {
        assert!(!help.contains(word), "{word} in {help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_have_their_life() {
    let server = TestServer::start().await;
    let elsewhere = "/apis/tenure.dev/v1/namespaces/shop/apps";
    assert_eq!(server.json(Method::POST, elsewhere, &app("web")).await.refusal().0, 404);
    server.json(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await;
    assert_eq!(server.json(Method::POST, elsewhere, &app("web")).await.status, 201);
    server.json(Method::DELETE, "/api/v1/namespaces/shop", &json!({})).await;
    let refused = server.json(Method::POST, elsewhere, &app("late")).await;
    assert_eq!(
        (refused.status, &refused.json()["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    for name in ["default", "kube-system"] {
        let (code, _, message) =
            server.json(Method::DELETE, &format!("/api/v1/namespaces/{name}"), &json!({})).await.refusal();
        assert_eq!(
            (code, message),
            (403, format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted"))
        );
    }
    assert_eq!(server.json(Method::DELETE, "/api/v1/namespaces", &json!({})).await.refusal().0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_for_debugging() {
    let server = TestServer::start().await;
    for path in
        ["/debug", "/debug/pprof", "/debug/pprof/profile", "/debug/flags/v", "/logs", "/configz", "/statusz"]
    {
        assert_eq!(server.get(path).await.status, 404, "{path}, even for the administrator");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_without_tls() {
    let server = TestServer::start().await;
    let mut plain = TcpStream::connect(address(&server)).await.unwrap();
    plain.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // The connection may be reset instead of closed; either way nothing is said in HTTP.
    let _ = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    assert_eq!(server.get("/version").await.status, 200);
}

/// What the server says first to a client whose newest version of TLS is `version`: the type of its record, and of that its last byte.
async fn greeted(server: &TestServer, version: [u8; 2]) -> (u8, u8) {
    let suites = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f];
    // Groups, point formats and signatures that any server of elliptic curves takes.
    let extensions = [
        &[0x00, 0x0a, 0, 4, 0, 2, 0x00, 0x17][..],
        &[0x00, 0x0b, 0, 2, 1, 0],
        &[0x00, 0x0d, 0, 8, 0, 6, 0x04, 0x03, 0x08, 0x04, 0x02, 0x03],
    ]
    .concat();
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let hello = [&version[..], &[7; 32], &[0], &sized(&suites), &[1, 0], &sized(&extensions)].concat();
    let message = [&[1, 0][..], &sized(&hello)].concat();
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    stream.write_all(&[&[0x16, 3, 1][..], &sized(&message)].concat()).await.unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut record).await.unwrap();
    (head[0], *record.last().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_from_1_2_on() {
    let server = TestServer::start().await;
    let (handshake, alert, protocol_version) = (22, 21, 70);
    for version in [[3, 0], [3, 1], [3, 2]] {
        assert_eq!(greeted(&server, version).await, (alert, protocol_version), "{version:?}");
    }
    assert_eq!(greeted(&server, [3, 3]).await.0, handshake, "the same from a client of TLS 1.2");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_asked_whether_it_is_there_and_let_go_when_it_is_not() {
    let server = TestServer::start().await;
    let mut frames = Frames::open(&server).await;
    let end = async {
        let mut asked = false;
        while let Some((kind, _)) = frames.next().await {
            asked |= kind == PING;
        }
        asked
    };
    let asked = tokio::time::timeout(Duration::from_secs(3_600), end).await.expect("it is let go");
    assert!(asked);
}

/// The clock is set forward whenever nothing else happens, so that what ends here ends by a limit.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_never_ends_is_cut() {
    let server = TestServer::start().await;
    let rest = async |stream: &mut (dyn tokio::io::AsyncRead + Unpin)| {
        let mut said = Vec::new();
        // A connection may be reset instead of closed.
        let hour = Duration::from_secs(3_600);
        let _ = tokio::time::timeout(hour, stream.read_to_end(&mut said)).await.expect("it is cut");
        String::from_utf8_lossy(&said).into_owned()
    };
    let mut silent = TcpStream::connect(address(&server)).await.unwrap();
    assert_eq!(rest(&mut silent).await, "", "no handshake");
    let mut slow = connected(&server, b"http/1.1").await;
    slow.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\nX-Never: ends").await.unwrap();
    assert!(!rest(&mut slow).await.contains("200"), "no end of the headers");
    let token = std::fs::read_to_string(server.folder.path().join("token")).unwrap();
    let mut stuck = connected(&server, b"http/1.1").await;
    let head = format!(
        "POST {APPS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{{",
        token.trim()
    );
    stuck.write_all(head.as_bytes()).await.unwrap();
    let told = rest(&mut stuck).await;
    assert!(told.starts_with("HTTP/1.1 400") && told.contains("did not arrive within 60 s"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_has_a_thousand_watches_and_others_have_their_own() {
    let server = TestServer::start().await;
    let (bots, other) = (Person::accounts(&server, "bot", 21).await, Person::account(&server, "other").await);
    for name in ["bot", "other"] {
        permit(&server, name, &json!([rule(&["get", "list", "watch"], "tenure.dev", &["apps"])])).await;
    }
    let path = format!("{APPS}?watch=true");
    let mut open = Vec::new();
    for bot in &bots[..20] {
        for _ in 0..50 {
            let watch = bot.open(&path).await;
            assert_eq!(watch.status(), 200, "{}", open.len());
            open.push(watch);
        }
    }
    let (code, reason, message) = Answer::of(bots[20].open(&path).await).await.refusal();
    assert_eq!(
        (code, reason.as_str(), message.as_str()),
        (429, "TooManyRequests", "too many watches are open: close some first")
    );
    assert_eq!(bots[20].open(APPS).await.status(), 200, "it may do all the rest");
    let others = other.open(&path).await;
    assert_eq!(others.status(), 200, "and others are not concerned");
    // One that is closed makes room, as soon as the server hears of it.
    drop(open.pop());
    let again = async {
        loop {
            let watch = bots[20].open(&path).await;
            if watch.status() == 200 {
                return watch;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("there is room again");
}

/// An HTTP/2 connection, frame by frame.
struct Frames(TlsStream<TcpStream>);

/// A connection of this protocol.
pub(crate) async fn connected(server: &TestServer, protocol: &[u8]) -> TlsStream<TcpStream> {
    let config = kube::config::Kubeconfig::read_from(&server.kubeconfig).unwrap();
    let encoded = config.clusters[0].cluster.clone().unwrap().certificate_authority_data.unwrap();
    use base64::Engine as _;
    let pem = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address(server)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

impl Frames {
    async fn open(server: &TestServer) -> Frames {
        let mut stream = connected(server, b"h2").await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut frames = Frames(stream);
        frames.send(SETTINGS, 0, 0, &[]).await.unwrap();
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, content: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(content);
        self.0.write_all(&frame).await
    }

    /// The next frame: its kind and content; none when the connection is over.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut content = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut content).await.ok()?;
        Some((head[3], content))
    }
}

const PING: u8 = 6;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// GET https /, of nobody.
const REQUEST: [u8; 6] = [0x82, 0x87, 0x84, 0x41, 0x01, b'x'];

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_a_hundred_streams_and_a_flood_of_resets_ends_it() {
    let server = TestServer::start().await;
    let mut frames = Frames::open(&server).await;
    let (kind, settings) = frames.next().await.unwrap();
    assert_eq!(kind, SETTINGS);
    let entries = settings.chunks(6).map(|entry| {
        let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
        (u16::from_be_bytes([entry[0], entry[1]]), value)
    });
    let streams = entries.into_iter().find(|(name, _)| *name == MAX_CONCURRENT_STREAMS);
    assert_eq!(streams, Some((MAX_CONCURRENT_STREAMS, 100)));

    // Rapid reset, CVE-2023-44487: requests that are taken back before they are answered.
    let flood = async {
        for stream in (1_u32..).step_by(2) {
            let sent = async {
                frames.send(HEADERS, 0x5, stream, &REQUEST).await?;
                frames.send(RST_STREAM, 0, stream, &CANCEL).await
            };
            if sent.await.is_err() {
                break;
            }
        }
        while let Some((kind, content)) = frames.next().await {
            if kind == GOAWAY {
                return Some(content);
            }
        }
        None
    };
    // It ends because the server ends it; what it says last may be lost with the connection.
    let told = tokio::time::timeout(PATIENCE, flood).await.expect("the server ends the connection");
    if let Some(told) = told {
        assert_eq!(told[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
    }
    assert_eq!(server.get("/version").await.status, 200, "others are served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_compressed_for_who_takes_it_so() {
    let server = TestServer::start().await;
    for n in 0..40 {
        let map = json!({"metadata": {"name": format!("c{n}")}, "data": {"text": "x".repeat(5_000)}});
        server.json(Method::POST, "/api/v1/namespaces/default/configmaps", &map).await;
    }
    let path = "/api/v1/namespaces/default/configmaps";
    let shown = async |path: &str, encoding: &str, as_: &str| {
        let request = http::Request::get(path).header("accept-encoding", encoding).header("accept", as_);
        server.ask(request.body(Vec::new()).unwrap()).await
    };
    let get = async |path: &str, encoding: &str| shown(path, encoding, "application/json").await;
    let unpacked =
        |bytes: &[u8]| -> Value { serde_json::from_reader(flate2::read::GzDecoder::new(bytes)).unwrap() };
    let plain = get(path, "identity").await;
    assert!(!plain.headers.contains_key("content-encoding") && plain.bytes.len() > 200_000);
    assert_eq!(plain.headers["content-length"], plain.bytes.len().to_string());
    let packed = get(path, "gzip").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.bytes.len() * 10 < plain.bytes.len(), "{}", packed.bytes.len());
    assert_eq!(unpacked(&packed.bytes)["items"], plain.json()["items"]);
    let small = get(&format!("{path}/c1"), "gzip").await;
    assert!(!small.headers.contains_key("content-encoding"));

    // Rows are made while they are sent: of many nobody knows how long they will be.
    let rows = async |include: &str, encoding: &str| {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        shown(&format!("{path}?includeObject={include}"), encoding, table).await
    };
    let objects = |table: &Value| -> Vec<Value> {
        table["rows"].as_array().unwrap().iter().map(|row| row["object"].clone()).collect()
    };
    let plain = rows("Object", "identity").await;
    assert!(!plain.headers.contains_key("content-length") && plain.bytes.len() > 200_000);
    let packed = rows("Object", "gzip").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert_eq!(objects(&unpacked(&packed.bytes)), objects(&plain.json()));
    let small = rows("None", "gzip").await;
    assert_eq!(small.headers["content-length"], small.bytes.len().to_string());
    assert_eq!(small.json()["rows"].as_array().map(Vec::len), Some(40));
}
