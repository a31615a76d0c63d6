//! Plays a recording again: the same calls and faults at the same times, and compares what is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;
use tenure::env::Env;
use tenure::mesos::connection::{CallPipe, Connection, ConnectionError};
use tenure::mesos::embedded::http::told;
use tenure::mesos::wire::json;
use tenure::mesos::wire::scheduler::Call;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::executor::Script;
use super::lanes::Lanes;
use super::names::{Names, map_texts};
use super::recording::{Flags, Recording, What};

/// The time in which an event has come that a call refers to.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time in which offers come that are made at once.
const AT_ONCE: Duration = Duration::from_millis(30);

/// What was told on both sides.
pub(crate) struct Told {
    pub(crate) theirs: Lanes,
    pub(crate) ours: Lanes,
    /// What a call referred to and never came: there the replay ended.
    pub(crate) missing: Option<String>,
}

type Heard = Arc<Mutex<Vec<(String, Duration, Option<Value>)>>>;

struct Replay {
    recording: Recording,
    cluster: Option<Cluster>,
    /// Where subscribers live.
    env: Env,
    begun: Instant,
    heard: Heard,
    pipes: BTreeMap<String, Box<dyn CallPipe>>,
    streams: BTreeMap<String, CancellationToken>,
    then: Names,
    now: Names,
    told: Told,
    /// Agents that are being started, by the time at which they register.
    starting: BTreeMap<Duration, (u64, Flags)>,
    /// When something was called that makes offers at once, between the ticks.
    stirred: Duration,
    /// Calls of operators that were carried out.
    operated: BTreeSet<u64>,
    /// Lanes that calls and faults are marked in: those of the recording.
    lanes: Vec<String>,
}

/// Plays `recording` on a paused clock.
pub(crate) async fn replay(recording: Recording) -> Told {
    let epoch = Timestamp::UNIX_EPOCH + Duration::from_secs_f64(recording.started_unix);
    let told = Told { theirs: Lanes::default(), ours: Lanes::default(), missing: None };
    let mut replay = Replay {
        lanes: lanes_of(&recording),
        cluster: None,
        env: Env::simulated("schedulers", 2, epoch),
        begun: Instant::now(),
        heard: Heard::default(),
        pipes: BTreeMap::new(),
        streams: BTreeMap::new(),
        starting: BTreeMap::new(),
        stirred: Duration::ZERO,
        operated: BTreeSet::new(),
        then: Names::default(),
        now: Names::default(),
        told,
        recording,
    };
    replay.play().await;
    replay.told
}

/// All lanes in which the recording tells something.
fn lanes_of(recording: &Recording) -> Vec<String> {
    let (mut lanes, mut names) = (Lanes::default(), Names::default());
    for step in &recording.steps {
        match &step.what {
            What::Event { conn, event } => lanes.event(&mut names, conn, step.at, event),
            What::Happening { conn, told } => lanes.happening(&mut names, conn, step.at, told),
            _ => {}
        }
    }
    lanes.names()
}

impl Replay {
    async fn play(&mut self) {
        for index in 0..self.recording.steps.len() {
            let step = self.recording.steps[index].clone();
            self.start_agents(step.at).await;
            tokio::time::sleep_until(self.begun + step.at).await;
            self.listen();
            self.step(index, step.what).await;
            if let Some(missing) = &mut self.told.missing {
                *missing = format!("line {}: {missing}; what follows was not played", step.line);
                break;
            }
        }
        // What the last calls bring about.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.listen();
        if let Some(cluster) = &self.cluster {
            cluster.crash();
        }
        self.env.crash();
    }

    async fn step(&mut self, index: usize, what: What) {
        match what {
            What::StartMaster { ip, flags } => {
                if self.cluster.is_none() {
                    let script = Script::of(&self.recording);
                    let time = (self.begun, self.epoch());
                    let is_watched = self.recording.next_at(0, |it| matches!(it, What::Watch { .. }));
                    self.cluster = Some(Cluster::start(script, time, &ip, &flags, is_watched.is_some()));
                }
            }
            What::KillMaster => {
                let back = self.recording.next_at(index, |it| matches!(it, What::StartMaster { .. }));
                let away = back.map_or(Duration::from_secs(3600), |at| at.saturating_sub(self.elapsed()));
                self.cluster().master.fail_over(away).await;
                self.mark("KILL MASTER", |lane| lane.contains(" agent "));
            }
            What::StartAgent { agent, flags } => {
                self.mark("START AGENT", |lane| lane.ends_with(&format!(" agent agent{agent}")));
                let at = self.elapsed() + self.cluster().time_to_start(agent, &flags);
                self.starting.insert(at, (agent, flags));
            }
            What::KillAgent { agent, signal } => {
                self.mark("KILL AGENT", |lane| lane.ends_with(&format!(" agent agent{agent}")));
                self.cluster.as_mut().unwrap().kill_agent(agent, &signal);
            }
            What::CloseStream { conn } => {
                if let Some(stream) = self.streams.remove(&conn) {
                    stream.cancel();
                }
            }
            What::Call { conn, id, call } => self.call(&conn, id, &call).await,
            What::Answer { conn, id, answer } => {
                let answer = format!("{id} {}", without_stream(&self.then.text(&answer)));
                let at = self.elapsed();
                self.told.theirs.add(&format!("{conn} answers"), at, answer);
            }
            What::Event { conn, event } => {
                let at = self.elapsed();
                self.told.theirs.event(&mut self.then, &conn, at, &event);
                // Which tick is which is a matter of time: ours follow theirs.
                let is_tick = at.saturating_sub(self.stirred) > AT_ONCE;
                if event["type"] == "OFFERS" && is_tick {
                    self.cluster().master.begin_interval().await;
                }
            }
            What::Watch { conn } => self.watch(&conn).await,
            What::Happening { conn, told } => {
                let at = self.elapsed();
                self.told.theirs.happening(&mut self.then, &conn, at, &told);
            }
            What::End { conn } => {
                let at = self.elapsed();
                self.told.theirs.add(&format!("{conn} stream"), at, "END".to_owned());
            }
            What::Operator { id, call } => self.operate(id, &call).await,
            What::Answered { id, answer } => {
                if self.operated.contains(&id) {
                    let at = self.elapsed();
                    self.told.theirs.add("operator answers", at, format!("{id} {answer}"));
                }
            }
        }
    }

    /// Starts the agents whose time comes before `until`.
    async fn start_agents(&mut self, until: Duration) {
        while let Some(entry) = self.starting.first_entry().filter(|entry| *entry.key() <= until) {
            let (at, (agent, flags)) = entry.remove_entry();
            tokio::time::sleep_until(self.begun + at).await;
            self.listen();
            self.cluster.as_mut().unwrap().start_agent(agent, &flags).await;
        }
    }

    fn epoch(&self) -> Timestamp {
        self.env.now() - self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("a master was started")
    }

    /// Sorts in what has been heard.
    fn listen(&mut self) {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        for (conn, at, event) in heard {
            match event {
                Some(told) if conn.starts_with("operator-stream") => {
                    self.told.ours.happening(&mut self.now, &conn, at, &told);
                }
                Some(event) => self.told.ours.event(&mut self.now, &conn, at, &event),
                None => self.told.ours.add(&format!("{conn} stream"), at, "END".to_owned()),
            }
        }
    }

    fn mark(&mut self, what: &str, is_meant: impl Fn(&str) -> bool) {
        let at = self.elapsed();
        let meant: Vec<String> = self.lanes.iter().filter(|lane| is_meant(lane)).cloned().collect();
        for lane in meant {
            self.told.theirs.add(&lane, at, format!("> {what}"));
            self.told.ours.add(&lane, at, format!("> {what}"));
        }
    }

    /// Marks a call in the lanes that it is about.
    fn mark_call(&mut self, conn: &str, call: &Value) {
        let kind = call["type"].as_str().unwrap_or_default().to_owned();
        let mut text = String::new();
        collect_texts(call, &mut |it| {
            text += &self.then.of(it);
            text += "\n";
        });
        let about: BTreeSet<&str> = text.lines().collect();
        let everywhere = matches!(kind.as_str(), "REVIVE" | "SUPPRESS" | "UPDATE_FRAMEWORK" | "TEARDOWN");
        let all_tasks = kind == "RECONCILE" && about.len() <= 2;
        let agents: BTreeSet<&str> = about.iter().filter_map(|it| offered_by(it)).collect();
        let prefix = format!("{conn} ");
        let meant = |lane: &str| {
            let Some(lane) = lane.strip_prefix(&prefix) else { return false };
            match lane.split_once(' ') {
                Some(("agent", agent)) => everywhere || agents.contains(agent),
                Some(("task", task)) => all_tasks || about.contains(task),
                _ => false,
            }
        };
        self.mark(&kind, meant);
    }

    async fn call(&mut self, conn: &str, id: u64, call: &Value) {
        let call_now = self.translate(call).await;
        self.mark_call(conn, call);
        let message: Call = match json::from_value(call_now) {
            Ok(message) => message,
            Err(error) => {
                self.told.ours.add(&format!("{conn} answers"), self.begun.elapsed(), format!("{id} {error}"));
                return;
            }
        };
        let kind = call["type"].as_str().unwrap_or_default();
        if matches!(kind, "SUBSCRIBE" | "REVIVE" | "UPDATE_FRAMEWORK") {
            self.stirred = self.elapsed();
        }
        let answer = if kind == "SUBSCRIBE" {
            self.subscribe(conn, message).await
        } else {
            match self.pipes.get_mut(conn) {
                Some(pipe) => answer_of(kind, pipe.send(&message).await),
                None => "unreachable".to_owned(),
            }
        };
        // What it brings about at once stands behind it.
        tokio::task::yield_now().await;
        let answer = format!("{id} {}", without_stream(&self.now.text(&answer)));
        let at = self.elapsed();
        self.told.ours.add(&format!("{conn} answers"), at, answer);
    }

    async fn subscribe(&mut self, conn: &str, call: Call) -> String {
        let subscription = match self.cluster().master.subscribe(call, &|| true).await {
            Ok(subscription) => subscription,
            Err(error) => return answer_of("SUBSCRIBE", Err(error)),
        };
        self.pipes.insert(conn.to_owned(), subscription.calls);
        let closed = CancellationToken::new();
        self.streams.insert(conn.to_owned(), closed.clone());
        let (heard, conn, begun) = (self.heard.clone(), conn.to_owned(), self.begun);
        let mut events = subscription.events;
        self.env.spawn("subscriber", async move {
            loop {
                let event = tokio::select! {
                    biased;
                    () = closed.cancelled() => None,
                    event = events.next() => event,
                };
                let event = event.map(|event| json::to_value(&event.unwrap()).unwrap());
                let over = event.is_none();
                heard.lock().unwrap().push((conn.clone(), begun.elapsed(), event));
                if over {
                    return;
                }
            }
        });
        "200".to_owned()
    }

    /// An operator watches from now on.
    async fn watch(&mut self, conn: &str) {
        let watching = self.cluster().master.watch().await.expect("a master leads");
        let (heard, conn, begun) = (self.heard.clone(), conn.to_owned(), self.begun);
        let mut told = Box::pin(told(*watching));
        self.env.spawn("operator", async move {
            loop {
                let event = told.next().await;
                let over = event.is_none();
                heard.lock().unwrap().push((conn.clone(), begun.elapsed(), event));
                if over {
                    return;
                }
            }
        });
    }

    async fn operate(&mut self, id: u64, call: &Value) {
        let call_now = self.translate(call).await;
        let kind = call["type"].as_str().unwrap_or_default();
        let mut agents = BTreeSet::new();
        collect_texts(call, &mut |it| {
            agents.insert(self.then.of(it));
        });
        if !kind.starts_with("GET_") {
            let is_meant = |lane: &str| lane.split_once(" agent ").is_some_and(|(_, it)| agents.contains(it));
            self.mark(&format!("{kind} {id}"), is_meant);
        }
        if let Some(done) = self.cluster().operate(&call_now).await {
            self.operated.insert(id);
            let answer = match done {
                Ok(()) => "200".to_owned(),
                Err(error) => format!("400 {}", error.message),
            };
            let at = self.elapsed();
            self.told.ours.add("operator answers", at, format!("{id} {answer}"));
        }
    }

    /// The call with ids of today. Waits for events that tell of them.
    async fn translate(&mut self, call: &Value) -> Value {
        let mut names = BTreeSet::new();
        collect_texts(call, &mut |it| {
            if self.then.knows(it) {
                names.insert(self.then.of(it));
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while let Some(name) = names.iter().find(|name| self.now.id(name).is_none()) {
            if Instant::now() > deadline {
                self.told.missing = Some(format!("{name} never came, but {} refers to it", call["type"]));
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.listen();
        }
        map_texts(call, &mut |text| {
            if self.then.knows(text) {
                let name = self.then.of(text);
                return self.now.id(&name).unwrap_or(text).to_owned();
            }
            text.to_owned()
        })
    }
}

/// Streams have ids of their own.
fn without_stream(text: &str) -> String {
    match text.split_once("The stream ID '") {
        Some((before, after)) => match after.split_once('\'') {
            Some((_, rest)) => format!("{before}The stream ID ''{rest}"),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

/// The agent of an offer's name.
fn offered_by(name: &str) -> Option<&str> {
    let offer = name.starts_with("offer/") || name.starts_with("inverse offer/");
    if offer { name.split('/').nth(2) } else { None }
}

fn collect_texts(value: &Value, found: &mut dyn FnMut(&str)) {
    let mut each = |text: &str| {
        found(text);
        String::new()
    };
    map_texts(value, &mut each);
}

/// What an HTTP client would have read.
fn answer_of(kind: &str, result: Result<(), ConnectionError>) -> String {
    match result {
        Ok(()) if matches!(kind, "UPDATE_FRAMEWORK" | "SUBSCRIBE") => "200".to_owned(),
        Ok(()) => "202".to_owned(),
        Err(ConnectionError::Unsubscribed { message }) => {
            let status = if message == "Framework is not subscribed" { 403 } else { 400 };
            format!("{status} {message}")
        }
        Err(ConnectionError::Refused { message }) => format!("400 {message}"),
        Err(_) => "unreachable".to_owned(),
    }
}
