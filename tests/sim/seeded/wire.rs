//! How one server reaches the master: over connections that lose calls or answers, delay and repeat, break, or are cut.
//!
//! Of what the contract of a connection promises nothing is broken: calls of one subscription stay in order, apart from its
//! acknowledgements, which go another way; offers are not lost while the stream lives. Updates of tasks may be lost, late,
//! repeated, or overtake those of other tasks, as they may on their way through a real master.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use tenure::env::{Env, watch};
use tenure::mesos::connection::{CallPipe, Connection, ConnectionError, MayAct, Subscription};
use tenure::mesos::embedded::master::MasterHandle;
use tenure::mesos::wire::CallType;
use tenure::mesos::wire::scheduler::{Call, Event};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::profile::Fault;
use super::sim::Sim;
use crate::checks::Checks;

/// How long a call waits for an answer that does not come.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The master that leads now; none between two.
pub(crate) type Leading = Arc<Mutex<Option<MasterHandle>>>;

/// The network between one server and the masters.
#[derive(Clone)]
pub(crate) struct Line {
    /// Whether it is cut: nothing gets through, and nobody is told.
    pub(crate) cut: watch::Receiver<bool>,
    /// Breaks the stream, which its reader is told.
    pub(crate) breaks: Arc<Notify>,
    /// For how long the server stands still since a call.
    pub(crate) nap: Arc<Mutex<Option<Duration>>>,
}

/// A server's way to the master.
pub(crate) struct Wire {
    pub(crate) sim: Sim,
    pub(crate) checks: Arc<Mutex<Checks>>,
    /// The server's node: its end of the connection dies with it.
    pub(crate) env: Env,
    pub(crate) server: String,
    pub(crate) leading: Leading,
    pub(crate) line: Line,
    /// How often it subscribed.
    pub(crate) subscriptions: AtomicU64,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wire").field(&self.server).finish()
    }
}

fn lost(message: &str) -> ConnectionError {
    ConnectionError::Lost { message: message.to_owned() }
}

#[async_trait]
impl Connection for Wire {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        if self.sim.strikes_in(Fault::PauseInSubscribe, 200) {
            let fault = Fault::PauseInSubscribe;
            stand_still(&self.sim, &self.env, &self.line, (&self.server, fault, CallType::Subscribe)).await;
        }
        if *self.line.cut.borrow() {
            tokio::time::sleep(TIMEOUT).await;
            return Err(ConnectionError::Unreachable { message: "the network is cut".to_owned() });
        }
        let master = self.leading.lock().unwrap().clone();
        let Some(master) = master else {
            return Err(ConnectionError::Unreachable { message: "no master leads".to_owned() });
        };
        if !may_act() {
            return Err(ConnectionError::deposed());
        }
        let number = self.subscriptions.fetch_add(1, Ordering::Relaxed) + 1;
        let subscriber = format!("{} (subscription {number})", self.server);
        self.checks.lock().unwrap().called(&subscriber, &call);
        self.sim.act("call SUBSCRIBE");
        self.sim.log(format_args!("{} subscribes", self.server));
        let Subscription { events, calls, acknowledgements } = master.subscribe(call, may_act).await?;
        let (told, heard) = mpsc::channel(1 << 16);
        let stream = Stream {
            sim: self.sim.clone(),
            checks: self.checks.clone(),
            server: self.server.clone(),
            subscriber: subscriber.clone(),
            line: self.line.clone(),
            told,
            late: VecDeque::new(),
        };
        self.env.spawn("wire", stream.run(events));
        let on_their_way = |inner| {
            Box::new(Calls {
                sim: self.sim.clone(),
                checks: self.checks.clone(),
                env: self.env.clone(),
                server: self.server.clone(),
                subscriber: subscriber.clone(),
                line: self.line.clone(),
                inner,
            })
        };
        let events = tokio_stream::wrappers::ReceiverStream::new(heard).boxed();
        let (calls, acknowledgements) = (on_their_way(calls), on_their_way(acknowledgements));
        Ok(Subscription { events, calls, acknowledgements })
    }
}

/// The events of one subscription, on their way.
struct Stream {
    sim: Sim,
    checks: Arc<Mutex<Checks>>,
    server: String,
    /// The server and its subscription: who is offered something, and who may accept it.
    subscriber: String,
    line: Line,
    told: mpsc::Sender<Result<Event, ConnectionError>>,
    /// Updates that come late, with their times.
    late: VecDeque<(Instant, Event)>,
}

impl Stream {
    /// Passes events on until either end is gone or the connection breaks.
    async fn run(mut self, mut events: BoxStream<'static, Result<Event, ConnectionError>>) {
        let reader = self.told.clone();
        loop {
            let cut = *self.line.cut.borrow();
            let due = self.late.front().map(|(at, _)| *at).filter(|_| !cut);
            let mut healed = self.line.cut.clone();
            tokio::select! {
                biased;
                () = reader.closed() => return,
                () = self.line.breaks.notified() => {
                    self.sim.log(format_args!("{}'s stream breaks", self.server));
                    return self.tell(Err(lost("the stream broke")));
                }
                _ = healed.wait_for(|now| *now != cut) => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some((_, event)) = self.late.pop_front() {
                        self.deliver(event);
                    }
                }
                event = events.next(), if !cut => match event {
                    Some(Ok(event)) => self.take_in(event),
                    Some(Err(error)) => return self.tell(Err(error)),
                    None => return,
                },
            }
        }
    }

    fn take_in(&mut self, event: Event) {
        let Some(update) = &event.update else { return self.deliver(event) };
        let task = update.status.task_id.clone();
        let waits = self
            .late
            .iter()
            .any(|(_, other)| other.update.as_ref().is_some_and(|other| other.status.task_id == task));
        if self.sim.strikes(Fault::UpdateLost) {
            self.sim.strike(Fault::UpdateLost, format_args!("{} of {task}", self.server));
        } else if waits {
            // Updates of one task stay in order.
            let last = self.late.back().map_or_else(Instant::now, |(at, _)| *at);
            self.late.push_back((last, event));
        } else if self.sim.strikes(Fault::UpdateDelayed) {
            let by = self.sim.millis(1, 20_000);
            self.sim.strike(Fault::UpdateDelayed, format_args!("{} of {task} by {by:?}", self.server));
            let at = (Instant::now() + by).max(self.late.back().map_or_else(Instant::now, |(at, _)| *at));
            self.late.push_back((at, event));
        } else if self.sim.strikes(Fault::UpdateRepeated) {
            self.sim.strike(Fault::UpdateRepeated, format_args!("{} of {task}", self.server));
            self.deliver(event.clone());
            self.deliver(event);
        } else {
            self.deliver(event);
        }
    }

    fn deliver(&mut self, event: Event) {
        match (&event.update, &event.offers) {
            (Some(update), _) => self.sim.log(format_args!(
                "{} hears {} is {} {:?}",
                self.server,
                update.status.task_id,
                update.status.state(),
                update.status.healthy
            )),
            (_, Some(offers)) => {
                self.sim.log(format_args!("{} is offered {}", self.server, offers.offers.len()));
            }
            _ => self.sim.log(format_args!("{} hears {}", self.server, event.r#type())),
        }
        self.checks.lock().unwrap().heard(&self.subscriber, &event);
        self.tell(Ok(event));
    }

    fn tell(&self, event: Result<Event, ConnectionError>) {
        // Nobody reads any more: the next look at the reader ends this.
        let _gone = self.told.try_send(event);
    }
}

/// Calls or acknowledgements of one subscription, on their way.
struct Calls {
    sim: Sim,
    checks: Arc<Mutex<Checks>>,
    env: Env,
    server: String,
    subscriber: String,
    line: Line,
    inner: Box<dyn CallPipe>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Calls").field(&self.server).finish()
    }
}

#[async_trait]
impl CallPipe for Calls {
    async fn send(&mut self, call: &Call) -> Result<(), ConnectionError> {
        let name = call.r#type();
        // What a server does is judged when it does it, whatever becomes of the call on its way.
        self.checks.lock().unwrap().called(&self.subscriber, call);
        if self.sim.strikes_in(Fault::PauseInCall, 15) {
            let fault = Fault::PauseInCall;
            stand_still(&self.sim, &self.env, &self.line, (&self.server, fault, name)).await;
        }
        if self.sim.strikes(Fault::CallDelayed) {
            let by = self.sim.millis(1, 5_000);
            self.sim.strike(Fault::CallDelayed, format_args!("{} {name} by {by:?}", self.server));
            tokio::time::sleep(by).await;
        }
        if *self.line.cut.borrow() {
            tokio::time::sleep(TIMEOUT).await;
            return Err(lost("the network is cut"));
        }
        if self.sim.strikes(Fault::CallLost) {
            self.sim.strike(Fault::CallLost, format_args!("{} {name}", self.server));
            return Err(lost("the call was lost"));
        }
        self.sim.act(&format!("call {name}"));
        self.sim.log(format_args!("{} calls {name}{}", self.server, subject(call)));
        let result = self.inner.send(call).await;
        // A repeated ACCEPT spends an offer twice, and nobody repeats it.
        if result.is_ok() && name != CallType::Accept && self.sim.strikes(Fault::CallRepeated) {
            self.sim.strike(Fault::CallRepeated, format_args!("{} {name}", self.server));
            // What became of the first one is what counts.
            let _repeated = self.inner.send(call).await;
        }
        if self.sim.strikes(Fault::CallAnswerLost) {
            self.sim.strike(Fault::CallAnswerLost, format_args!("{} {name}", self.server));
            return Err(lost("the answer was lost"));
        }
        result
    }
}

/// The server stands still in the middle of a call, with others waiting behind it.
async fn stand_still(sim: &Sim, env: &Env, line: &Line, (server, fault, call): (&str, Fault, CallType)) {
    let away = sim.millis(500, 45_000);
    sim.strike(fault, format_args!("{server} {call} for {away:?}"));
    *line.nap.lock().unwrap() = Some(away);
    env.pause();
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What a call is about, for the log.
fn subject(call: &Call) -> String {
    if let Some(kill) = &call.kill {
        return format!(" {}", kill.task_id);
    }
    let launches = call.accept.iter().flat_map(|it| &it.operations).filter_map(|it| it.launch.as_ref());
    launches.flat_map(|it| &it.task_infos).fold(String::new(), |text, it| format!("{text} {}", it.task_id))
}
