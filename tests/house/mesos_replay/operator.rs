//! What an operator reads of a master over HTTP, beside a recording in which as much went on: two agents, three tasks that run and
//! one that has ended. Values differ by nature; compared is what the answers are made of, field by field, and of refusals everything.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use futures::StreamExt;
use serde_json::Value;
use tenure::env::{Env, watch};
use tenure::mesos::connection::{Connection, Subscription};
use tenure::mesos::embedded::fleet::Fleet;
use tenure::mesos::embedded::http::{Front, Role};
use tenure::mesos::embedded::master::{self, MasterConfig, MasterHandle};
use tenure::mesos::embedded::resources::{parse_attributes, parse_resources};
use tenure::mesos::wire::scheduler::{Accept, Acknowledge, Call, Kill, Update};
use tenure::mesos::wire::{
    AgentInfo, CallType, EventType, Filters, FrameworkId, Offer, Operation, TaskInfo, TaskState, json,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::transport::{Difference, request_text};
use super::wire::{Answer, Wire};

/// The task that has ended.
const ENDED: &str = "done";

/// Asks what the recording asked, and tells what differs: by the name of a field, or by the id of the request.
pub(crate) async fn differences(records: Vec<Value>) -> Vec<Difference> {
    let env = Env::system().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = MasterConfig { address, history: true, ..MasterConfig::local() };
    let master = master::start(&env, config, BTreeSet::new());
    let _fleet = Fleet::start_at(&env, &master, Some("127.0.0.1"), records.iter().filter_map(agent));
    let (framework, _subscription) = Story::tell(&master, &records).await;
    let is_subscribed = |it: &&Value| it["event"]["type"] == "SUBSCRIBED";
    let then = records.iter().find(is_subscribed).unwrap();
    let then = then["event"]["subscribed"]["framework_id"]["value"].as_str().unwrap();
    let (_role, told) = watch::channel(Role::Leads(address, master));
    let stop = CancellationToken::new();
    env.spawn("front", Front::new(&env, told).serve(listener, stop.clone()));

    let mut found = Vec::new();
    for record in records.iter().filter(|it| it["dir"] == ">" && it["conn"] == "operator") {
        let is_answer = |it: &&Value| it["dir"] == "<" && it["id"] == record["id"];
        let answer = records.iter().find(is_answer).expect("a request without an answer");
        found.extend(ask(address, record, answer, (then, &framework.value)).await);
    }
    stop.cancel();
    found
}

/// An agent as the recording started it.
fn agent(record: &Value) -> Option<AgentInfo> {
    let number = record["agent"].as_u64().filter(|_| record["action"] == "start-agent")?;
    let flag = |name: &str| {
        let flags = record["flags"].as_array().unwrap().iter().filter_map(Value::as_str);
        flags.filter_map(|flag| flag.strip_prefix(name)).next().unwrap()
    };
    Some(AgentInfo {
        hostname: format!("agent{number}"),
        resources: parse_resources(flag("--resources=")).unwrap(),
        attributes: parse_attributes(flag("--attributes=")).unwrap(),
        port: Some(5050 + i32::try_from(number).unwrap()),
        ..AgentInfo::default()
    })
}

/// The framework of the recording, as far as it is needed.
struct Story {
    framework: FrameworkId,
    subscription: Subscription,
    running: usize,
    ended: bool,
    /// Of agents now.
    offers: Vec<Offer>,
}

impl Story {
    /// Launches all tasks of the recording on the first agent, and ends one.
    async fn tell(master: &MasterHandle, records: &[Value]) -> (FrameworkId, Subscription) {
        let body =
            |kind: &'static str| records.iter().map(|it| &it["body"]).filter(move |it| it["type"] == kind);
        let subscribe: Call = json::from_value(body("SUBSCRIBE").next().unwrap().clone()).unwrap();
        let accepts = body("ACCEPT").map(|it| it["accept"]["operations"][0]["launch"]["task_infos"].clone());
        let tasks: Vec<TaskInfo> =
            accepts.flat_map(|it| json::from_value::<Vec<TaskInfo>>(it).unwrap()).collect();
        let subscription = master.subscribe(subscribe, &|| true).await.unwrap();
        let framework = FrameworkId::default();
        let mut story = Story { framework, subscription, running: 0, ended: false, offers: Vec::new() };
        let count = tasks.len();
        let mut tasks = Some(tasks);
        while !story.ended || story.running < count || story.offers.is_empty() {
            let event = story.subscription.events.next().await.unwrap().unwrap();
            match event.r#type() {
                EventType::Subscribed => story.framework = event.subscribed.unwrap().framework_id,
                EventType::Offers => {
                    story.offers.extend(event.offers.unwrap().offers);
                    let first = story.offers.iter().position(|offer| offer.hostname == "agent1");
                    if let (Some(first), Some(tasks)) = (first, tasks.take_if(|_| first.is_some())) {
                        let offer = story.offers.remove(first);
                        story.launch(offer, tasks).await;
                    }
                }
                EventType::Update => story.updated(event.update.unwrap()).await,
                _ => {}
            }
        }
        (story.framework, story.subscription)
    }

    async fn call(&mut self, call: Call) {
        let call = Call { framework_id: Some(self.framework.clone()), ..call };
        self.subscription.calls.send(&call).await.unwrap();
    }

    async fn launch(&mut self, offer: Offer, mut tasks: Vec<TaskInfo>) {
        tasks.iter_mut().for_each(|task| task.agent_id = offer.agent_id.clone());
        let accept = Accept {
            offer_ids: vec![offer.id],
            operations: vec![Operation::launch(tasks)],
            filters: Some(Filters { refuse_seconds: Some(0.0) }),
        };
        self.call(Call { r#type: CallType::Accept.wire(), accept: Some(accept), ..Call::default() }).await;
    }

    async fn updated(&mut self, update: Update) {
        let status = update.status;
        let (task_id, agent_id) = (status.task_id.clone(), status.agent_id.clone().unwrap());
        self.running += usize::from(status.state() == TaskState::Running);
        self.ended |= status.state().is_terminal();
        let acknowledge = Acknowledge { agent_id, task_id: task_id.clone(), uuid: status.uuid().to_vec() };
        let call =
            Call { r#type: CallType::Acknowledge.wire(), acknowledge: Some(acknowledge), ..Call::default() };
        self.call(call).await;
        if status.state() == TaskState::Running && task_id.value == ENDED {
            let kill = Kill { task_id, agent_id: None, kill_policy: None };
            self.call(Call { r#type: CallType::Kill.wire(), kill: Some(kill), ..Call::default() }).await;
        }
    }
}

/// `ids` are those of the framework then and now.
async fn ask(address: SocketAddr, record: &Value, answer: &Value, ids: (&str, &str)) -> Vec<Difference> {
    let sent = request_text(record).replace(ids.0, ids.1);
    let mut wire = Wire::of(TcpStream::connect(address).await.unwrap());
    wire.send(&sent).await;
    let theirs = Answer::recorded(answer);
    let ours = wire.answer(&theirs, false).await;
    let is_tree = answer["status"] == 200 && !answer["body"].is_null();
    let tree = ours.json().filter(|_| is_tree).map(|tree| tree.to_string().replace(ids.1, ids.0));
    let Some(tree) = tree else {
        let (theirs, ours) = (theirs.to_string(), ours.to_string());
        let text = format!("> {sent}\n--- Mesos\n{theirs}\n--- ours\n{ours}");
        let subject = record["id"].to_string();
        return if theirs == ours { Vec::new() } else { vec![Difference { subject, text }] };
    };
    let mut found = Vec::new();
    let tree = serde_json::from_str(&tree).unwrap();
    compare(&tree, &answer["body"], sent.lines().next().unwrap_or_default(), "", &mut found);
    found
}

/// Compares what two trees are made of.
fn compare(ours: &Value, theirs: &Value, at: &str, name: &str, found: &mut Vec<Difference>) {
    let mut differs = |name: &str, what: &str| {
        found.push(Difference { subject: name.to_owned(), text: format!("{at}: {name} {what}") });
    };
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            // Names of figures and flags: all that are told here Mesos has, too.
            let is_open = name == "flags" || theirs.keys().any(|key| key.starts_with("master/"));
            for key in theirs.keys().filter(|key| !ours.contains_key(*key) && !is_open) {
                differs(key, "is not told");
            }
            for key in ours.keys().filter(|key| !theirs.contains_key(*key)) {
                differs(key, "is not told by Mesos");
            }
            for (key, value) in ours {
                if let Some(theirs) = theirs.get(key) {
                    compare(value, theirs, &format!("{at}.{key}"), key, found);
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            if let Some(theirs) = united(theirs) {
                match united(ours) {
                    Some(ours) => compare(&ours, &theirs, &format!("{at}[]"), name, found),
                    None => differs(name, "is empty"),
                }
            }
        }
        _ if std::mem::discriminant(ours) == std::mem::discriminant(theirs) => {}
        _ => differs(name, &format!("is {ours} instead of {theirs}")),
    }
}

/// One element with the fields of all.
fn united(list: &[Value]) -> Option<Value> {
    let (first, rest) = list.split_first()?;
    Some(rest.iter().fold(first.clone(), unite))
}

fn unite(known: Value, more: &Value) -> Value {
    match (known, more) {
        (Value::Object(mut known), Value::Object(more)) => {
            for (key, value) in more {
                let united = known.remove(key).map_or_else(|| value.clone(), |it| unite(it, value));
                known.insert(key.clone(), united);
            }
            Value::Object(known)
        }
        (Value::Array(mut known), Value::Array(more)) => {
            known.extend(more.iter().cloned());
            Value::Array(known)
        }
        (known, _) => known,
    }
}

#[test]
fn a_field_too_few_too_many_or_of_another_type_is_noticed() {
    let theirs = serde_json::json!({"a": 1, "b": [{"c": "x"}, {"d": true}], "e": {}});
    let differs = |ours: Value| {
        let mut found = Vec::new();
        compare(&ours, &theirs, "", "", &mut found);
        found.into_iter().map(|it| it.subject).collect::<Vec<_>>()
    };
    assert!(differs(theirs.clone()).is_empty());
    assert_eq!(differs(serde_json::json!({"a": "1", "b": [{"c": "x"}], "f": 1, "e": {}})), ["f", "a", "d"]);
    assert_eq!(differs(serde_json::json!({"a": 1, "b": []})), ["e", "b"]);
}
