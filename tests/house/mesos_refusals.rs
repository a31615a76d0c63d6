//! What a real Mesos refused in a recorded conversation, the embedded master refuses, too, in the same words.
//!
//! Every ACCEPT of the recording is sent again with the offer that the embedded master makes; what it says of each task
//! must be what the real one said. Only the order of resources inside a text may differ: ours are sorted. Left out are
//! the tasks of [`ELSEWHERE`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;
use tenure::env::Env;
use tenure::mesos::connection::{Connection, Subscription};
use tenure::mesos::embedded::agent::AgentConfig;
use tenure::mesos::embedded::agent::journal::Medium;
use tenure::mesos::embedded::launcher::reports;
use tenure::mesos::embedded::master::MasterConfig;
use tenure::mesos::embedded::resources::parse_resources;
use tenure::mesos::embedded::simulated::{Fate, Machine, SimulatedLauncher};
use tenure::mesos::wire::scheduler::{Accept, Acknowledge, Call, Event, Subscribe};
use tenure::mesos::wire::{
    AgentId, AgentInfo, CallType, EventType, FrameworkId, Offer, Source, TaskStatus, json,
};

/// Tasks whose answer the embedded cluster does not owe: what a real agent or executor says of a task that the master let
/// pass is not the master's; and an id of then is not one of now.
const ELSEWHERE: &[&str] = &["b21"];

/// An ACCEPT, and what the master said of its tasks: state, reason and text by task.
struct Attempt {
    accept: Accept,
    said: BTreeMap<String, (String, String, String)>,
}

fn recorded() -> (Call, AgentId, FrameworkId, Vec<Attempt>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/mesos/09-launch-validation.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let (mut subscribe, mut agent, mut framework) = (None, None, None);
    let mut attempts: Vec<Attempt> = Vec::new();
    for line in text.lines().skip(1) {
        let mut record: Value = serde_json::from_str(line).unwrap();
        if record["body"]["type"] == "SUBSCRIBE" {
            subscribe = Some(json::from_value::<Call>(record["body"].take()).unwrap());
        } else if record["body"]["type"] == "ACCEPT" {
            let call: Call = json::from_value(record["body"].take()).unwrap();
            attempts.push(Attempt { accept: call.accept.unwrap(), said: BTreeMap::new() });
        } else if record["event"].is_object() {
            let event: Event = json::from_value(record["event"].take()).unwrap();
            if let Some(subscribed) = &event.subscribed {
                framework = Some(subscribed.framework_id.clone());
            }
            if let Some(offers) = &event.offers {
                agent = agent.or(offers.offers.first().map(|offer| offer.agent_id.clone()));
            }
            note(&mut attempts, event);
        }
    }
    (subscribe.unwrap(), agent.unwrap(), framework.unwrap(), attempts)
}

fn note(attempts: &mut [Attempt], event: Event) {
    let Some(status) = event.update.map(|update| update.status) else { return };
    if status.source() == Source::Master {
        let attempt = attempts.last_mut().unwrap();
        attempt.said.insert(status.task_id.value.clone(), told(&status));
    }
}

fn told(status: &TaskStatus) -> (String, String, String) {
    (status.state().to_string(), status.reason().to_string(), sorted(status.message()))
}

/// Sorts the resources that a text lists.
fn sorted(text: &str) -> String {
    let separators = ["Total resources ", " required by task and its executor is more than available "];
    let Some(rest) = text.strip_prefix(separators[0]) else { return text.to_owned() };
    let Some((wanted, free)) = rest.split_once(separators[1]) else { return text.to_owned() };
    let sort = |list: &str| {
        let mut items: Vec<&str> = list.split("; ").collect();
        items.sort_unstable();
        items.join("; ")
    };
    format!("{}{}{}{}", separators[0], sort(wanted), separators[1], sort(free))
}

struct Conversation {
    framework: FrameworkId,
    subscription: Subscription,
    /// The framework and the agent of the recording.
    then: (FrameworkId, AgentId),
}

impl Conversation {
    async fn begin(env: &Env, mut subscribe: Call, then: (FrameworkId, AgentId)) -> Conversation {
        let info = AgentInfo {
            hostname: "agent1".to_owned(),
            resources: parse_resources("cpus:4;mem:4096;disk:10240;ports:[32000-32999]").unwrap(),
            ..AgentInfo::default()
        };
        let (sink, reports) = reports();
        // Tasks end at once, so that each attempt meets a whole agent, as in the recording.
        let machine = Machine::new(|_| Fate::Exit { code: 0, after: Duration::ZERO });
        let launcher = Arc::new(SimulatedLauncher::new(env, machine, sink));
        let agent = AgentConfig::new(info, "127.0.0.1");
        let master = tenure::mesos::embedded::start(
            env,
            MasterConfig::default(),
            agent,
            Medium::memory(),
            launcher,
            reports,
        );
        let master = master.await.unwrap();
        let subscribe_message: Subscribe = subscribe.subscribe.take().unwrap();
        let mut subscription = master.subscribe(Call::subscribe(subscribe_message), &|| true).await.unwrap();
        let first = subscription.events.next().await.unwrap().unwrap();
        Conversation { framework: first.subscribed.unwrap().framework_id, subscription, then }
    }

    async fn call(&mut self, call: Call) {
        let call = Call { framework_id: Some(self.framework.clone()), ..call };
        self.subscription.calls.send(&call).await.unwrap();
    }

    /// Waits for an offer of the whole agent.
    async fn whole_offer(&mut self) -> Offer {
        loop {
            let event = self.subscription.events.next().await.unwrap().unwrap();
            self.acknowledge(&event).await;
            for offer in event.offers.unwrap_or_default().offers {
                let whole = offer
                    .resources
                    .iter()
                    .any(|r| r.name == "cpus" && r.scalar.is_some_and(|s| s.value == 4.0));
                if whole {
                    return offer;
                }
                let decline = tenure::mesos::wire::scheduler::Decline {
                    offer_ids: vec![offer.id],
                    filters: Some(Duration::ZERO.into()),
                };
                self.call(Call {
                    decline: Some(decline),
                    r#type: CallType::Decline.wire(),
                    ..Call::default()
                })
                .await;
            }
        }
    }

    async fn acknowledge(&mut self, event: &Event) {
        let Some(status) = event.update.as_ref().map(|update| &update.status) else { return };
        let Some(uuid) = status.uuid.clone() else { return };
        let acknowledge =
            Acknowledge { agent_id: status.agent_id.clone().unwrap(), task_id: status.task_id.clone(), uuid };
        let call =
            Call { acknowledge: Some(acknowledge), r#type: CallType::Acknowledge.wire(), ..Call::default() };
        self.call(call).await;
    }

    /// Sends the recorded ACCEPT on an offer of today; returns what the master says of its tasks.
    async fn attempt(&mut self, mut accept: Accept) -> BTreeMap<String, (String, String, String)> {
        let offer = self.whole_offer().await;
        accept.offer_ids = vec![offer.id.clone()];
        for operation in &mut accept.operations {
            for task in operation.launch.iter_mut().flat_map(|launch| &mut launch.task_infos) {
                if task.agent_id == self.then.1 {
                    task.agent_id = offer.agent_id.clone();
                }
            }
        }
        self.call(Call { accept: Some(accept), r#type: CallType::Accept.wire(), ..Call::default() }).await;
        let mut said = BTreeMap::new();
        // The master answers in the same breath as it takes the call.
        while let Ok(event) =
            tokio::time::timeout(Duration::from_millis(1), self.subscription.events.next()).await
        {
            let event = event.unwrap().unwrap();
            assert_ne!(event.r#type(), EventType::Error);
            self.acknowledge(&event).await;
            let status = event.update.map(|update| update.status);
            if let Some(status) = status.filter(|status| status.source() == Source::Master) {
                let (state, reason, text) = told(&status);
                let text = text.replace(&offer.agent_id.value, &self.then.1.value);
                said.insert(status.task_id.value, (state, reason, text));
            }
        }
        said
    }
}

#[tokio::test(start_paused = true)]
async fn the_embedded_master_refuses_what_mesos_refused_in_the_same_words() {
    let env = Env::simulated("refusals", 1, Timestamp::UNIX_EPOCH);
    let (subscribe, agent, framework, attempts) = recorded();
    assert!(attempts.len() > 50, "only {} attempts", attempts.len());
    let mut conversation = Conversation::begin(&env, subscribe, (framework, agent)).await;
    let mut differences = Vec::new();
    for attempt in attempts {
        let ours = conversation.attempt(attempt.accept).await;
        for id in attempt.said.keys().chain(ours.keys()).collect::<std::collections::BTreeSet<_>>() {
            let (theirs, ours) = (attempt.said.get(id), ours.get(id));
            if theirs != ours && !ELSEWHERE.contains(&id.as_str()) {
                differences.push(format!("{id}:\n  Mesos: {theirs:?}\n  ours:  {ours:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
