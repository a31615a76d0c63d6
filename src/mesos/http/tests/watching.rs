//! SUBSCRIBE of the operator API, as it goes over the wire.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::*;
use crate::mesos::recordio::Decoder;

/// What an operator is told.
struct Watch {
    body: Incoming,
    records: Decoder,
    // The connection lives as long as somebody could send over it.
    _line: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
}

impl Watch {
    async fn open(env: &Env, address: SocketAddr) -> Watch {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut line, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        env.spawn("operator", async move { drop(connection.await) });
        let request = Request::post("/api/v1")
            .header(header::HOST, "m")
            .header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::from(r#"{"type":"SUBSCRIBE"}"#)).unwrap();
        let answer = line.send_request(request).await.unwrap();
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
        assert_eq!((answer.status().as_u16(), kind), (200, "application/json"));
        Watch { body: answer.into_body(), records: Decoder::new(1 << 20), _line: line }
    }

    async fn event(&mut self) -> Value {
        let next = async {
            loop {
                if let Some(record) = self.records.record().unwrap() {
                    return serde_json::from_slice(&record).unwrap();
                }
                let frame = self.body.frame().await.expect("the stream goes on").unwrap();
                self.records.push(frame.data_ref().unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("the event comes")
    }
}

#[tokio::test]
async fn an_operator_who_subscribes_gets_the_state_and_then_what_changes() {
    let env = Env::system().unwrap();
    let config = MasterConfig { history: true, ..MasterConfig::local() };
    let master = master::start(&env, config, BTreeSet::new());
    let process = Process::leading(&env, &master, |front| front).await;
    let mut watch = Watch::open(&env, process.address).await;
    let first = watch.event().await;
    assert_eq!(first["type"], "SUBSCRIBED");
    assert_eq!(first["subscribed"]["heartbeat_interval_seconds"], 15.0);
    assert_eq!(first["subscribed"]["get_state"]["get_agents"]["agents"], Value::Array(Vec::new()));
    assert_eq!(watch.event().await, serde_json::json!({"type": "HEARTBEAT"}));

    let agent = AgentInfo {
        hostname: "agent1".to_owned(),
        resources: parse_resources("cpus:4;mem:4096").unwrap(),
        ..AgentInfo::default()
    };
    let _fleet = Fleet::start(&env, &master, [agent]);
    let added = watch.event().await;
    assert_eq!(added["type"], "AGENT_ADDED");
    assert_eq!(added["agent_added"]["agent"]["agent_info"]["hostname"], "agent1");
    let (_session, mut events) = open(&env, HttpConfig::new(vec![process.url()]));
    let (id, ..) = subscribed(&mut events).await;
    let added = watch.event().await;
    assert_eq!(added["type"], "FRAMEWORK_ADDED");
    assert_eq!(added["framework_added"]["framework"]["framework_info"]["id"]["value"], id.value.as_str());
}
