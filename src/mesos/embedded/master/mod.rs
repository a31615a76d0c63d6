//! The embedded master: one task that owns the state, and the handles to it.
//!
//! Whatever happens (a call, an agent's message, a timer) is one method of the state and takes no time; the state
//! never waits for anybody. What it tells goes into bounded queues, and who does not drain his is cut off.

mod agents;
mod books;
mod control;
mod executors;
mod faults;
mod frameworks;
mod handle;
mod history;
mod launch;
mod maintenance;
mod metrics;
mod offering;
mod operator;
mod reconcile;
mod refusal;
mod registrar;
mod registry;
mod state;
mod unreachable;
mod validation;
mod watchers;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::OptionFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::protocol::{LINK, ToMaster};
use crate::env::Env;
use crate::mesos::wire::scheduler::Call;
use crate::mesos::wire::{AgentId, CallType, DomainInfo, FrameworkId};
use agents::Registration;
pub use books::{AgentEntry, Books, Extent, FrameworkEntry, RoleEntry, TaskEntry};
use control::Control;
pub use control::{AgentView, OperatorError};
pub use faults::Disturbance;
use faults::{FromAgent, Network};
use frameworks::EventSender;
pub(super) use frameworks::VERSION;
pub(super) use handle::{Caller, Opened};
pub use maintenance::{Answered, MachineId, MaintenanceView, Window};
pub use refusal::CallRefusal;
use registrar::Registrar;
pub use registrar::RegistryError;
pub use registry::Drain;
use registry::Registry;
use state::{Master, Timer};
pub use watchers::{Happening, Watching};

/// The times of a master, and where it is.
#[derive(Debug, Clone)]
pub struct MasterConfig {
    /// How often resources that came back are offered. Mesos: 1 s.
    pub allocation_interval: Duration,
    /// How often a subscriber hears something.
    pub heartbeat_interval: Duration,
    /// How long an agent may be disconnected before it counts as unreachable.
    pub agent_ping_timeout: Duration,
    /// How long the agents of the last life are awaited.
    pub agent_reregister_timeout: Duration,
    /// How long an offer may be held before it is rescinded; for ever when absent, as in Mesos.
    pub offer_timeout: Option<Duration>,
    /// Where it says that it is reached. Nothing listens there by itself (see `embedded::http`).
    pub address: SocketAddr,
    /// Whether what only operators ask for is kept: what tasks were launched with, each state that was told of them, and what
    /// is over.
    pub history: bool,
    /// Where it stands. Agents of other regions are offered to frameworks only that know of regions.
    pub domain: Option<DomainInfo>,
}

impl Default for MasterConfig {
    /// Mesos's own times.
    fn default() -> MasterConfig {
        MasterConfig {
            allocation_interval: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(15),
            agent_ping_timeout: Duration::from_secs(75),
            agent_reregister_timeout: Duration::from_secs(600),
            offer_timeout: None,
            address: SocketAddr::from(([127, 0, 0, 1], 5050)),
            history: false,
            domain: None,
        }
    }
}

impl MasterConfig {
    /// For a master whose only agent is this machine: what comes back is offered within 20 ms instead of a second.
    /// Nothing ticks while there is nothing to offer.
    #[must_use]
    pub fn local() -> MasterConfig {
        MasterConfig { allocation_interval: Duration::from_millis(20), ..MasterConfig::default() }
    }
}

/// How many events may wait for a subscriber before it is cut off.
const EVENTS: usize = 1 << 17;

/// How many calls and messages may wait for the master.
const INBOX: usize = 1024;

/// The framework and the id of its new stream; nothing when the subscription was refused.
type StreamAnswer = oneshot::Sender<Option<(FrameworkId, String)>>;

#[derive(Debug)]
enum Input {
    Subscribe { call: Box<Call>, events: EventSender, closed: CancellationToken, stream: StreamAnswer },
    Call { caller: Caller, call: Box<Call>, answer: oneshot::Sender<Result<(), CallRefusal>> },
    StreamClosed { framework: FrameworkId, stream: String },
    ConnectAgent { uplink: oneshot::Sender<mpsc::Sender<ToMaster>> },
    FromAgent { connection: u64, message: ToMaster },
    AgentClosed { connection: u64 },
    Control(Control),
}

/// The way to an embedded master. Clones lead to the same one.
#[derive(Debug, Clone)]
pub struct MasterHandle {
    inbox: mpsc::Sender<Input>,
}

/// Starts a master. `recovered` are the agents of the last life: until they are back or their time is over, nothing is
/// said about tasks that may be theirs.
#[must_use]
pub fn start(env: &Env, config: MasterConfig, recovered: BTreeSet<AgentId>) -> MasterHandle {
    begin(env, config, Registry::of(recovered), None)
}

/// Starts a master on the registry in `file`, which it keeps: what an earlier one admitted there is awaited.
///
/// # Errors
/// When the file is there and cannot be understood.
pub async fn start_on(env: &Env, config: MasterConfig, file: PathBuf) -> Result<MasterHandle, RegistryError> {
    let (registrar, registry) = Registrar::open(env, file).await?;
    Ok(begin(env, config, registry, Some(registrar)))
}

fn begin(env: &Env, config: MasterConfig, registry: Registry, registrar: Option<Registrar>) -> MasterHandle {
    let (inbox, inputs) = mpsc::channel(INBOX);
    let actor = Actor {
        env: env.clone(),
        master: Master::new(env, config, registry, Network::default()),
        registrar,
        away: None,
        inbox: inbox.downgrade(),
        connections: std::collections::BTreeMap::new(),
        last_connection: 0,
        first_connection: 0,
    };
    env.spawn("embedded master", actor.run(inputs));
    MasterHandle { inbox }
}

impl MasterHandle {
    /// A new link of an agent; nothing when the master is gone.
    pub(super) async fn connect_agent(&self) -> Option<mpsc::Sender<ToMaster>> {
        let (uplink, answer) = oneshot::channel();
        self.inbox.send(Input::ConnectAgent { uplink }).await.ok()?;
        answer.await.ok()
    }
}

/// The task that owns the state.
#[derive(Debug)]
struct Actor {
    env: Env,
    master: Master,
    /// Where its registry outlives the process, if anywhere.
    registrar: Option<Registrar>,
    /// The master is dead; then another one leads, with this registry.
    away: Option<(Instant, Registry)>,
    /// Weak: the master ends with the last handle, though its own watchers know the way to it.
    inbox: mpsc::WeakSender<Input>,
    /// Which agent registered on which link.
    connections: std::collections::BTreeMap<u64, AgentId>,
    last_connection: u64,
    /// Those before it ended with an earlier master.
    first_connection: u64,
}

impl Actor {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        loop {
            let timer = match &self.away {
                Some((until, _)) => Some(*until),
                None => self.master.timers.first_key_value().map(|((at, _), _)| *at),
            };
            let room = self.away.is_none().then(|| self.master.room_for_answers()).flatten();
            tokio::select! {
                biased;
                () = sleep_until(timer) => match self.away.take() {
                    Some((_, registry)) => self.lead(registry),
                    None => self.fire_timers(),
                },
                Some(()) = OptionFuture::from(room) => self.master.answer_more(),
                input = inputs.recv() => match input {
                    Some(input) => self.take_in(input),
                    None => return,
                },
            }
            #[cfg(test)]
            self.master.check();
            self.keep_registry().await;
        }
    }

    async fn keep_registry(&mut self) {
        let Some(registrar) = &mut self.registrar else { return };
        // What a dead master leaves was kept while it lived.
        if self.away.is_none() && self.master.registry.take_touched() {
            registrar.keep(self.master.legacy()).await;
        }
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.master.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            match entry.remove() {
                Timer::Allocate => {
                    self.master.allocation_planned = false;
                    self.master.allocate();
                }
                Timer::FilterExpired => self.master.plan_allocation(),
                Timer::Heartbeat { framework, stream } => self.master.heartbeat(&framework, &stream),
                Timer::FailoverTimeout { framework, epoch } => {
                    self.master.failover_timeout(&framework, epoch);
                }
                Timer::AgentTimeout { agent, epoch } => self.master.agent_timeout(&agent, epoch),
                Timer::RecoveryTimeout => self.master.recovery_timeout(),
                Timer::OfferTimeout { offer } => self.master.rescind(&offer),
                Timer::Deliver { number } => {
                    if let Some((connection, message)) = self.master.arrived(number) {
                        self.arrived(connection, message);
                    }
                }
            }
        }
    }

    fn take_in(&mut self, input: Input) {
        // Whoever asked may have stopped waiting for the answer; that is told by the end of the stream or link.
        match input {
            Input::Call { answer, .. } if self.away.is_some() => {
                let _gone = answer.send(Err(CallRefusal::Gone));
            }
            // Nobody is there: the answer is that there is none.
            Input::Subscribe { .. } | Input::ConnectAgent { .. } | Input::FromAgent { .. }
                if self.away.is_some() => {}
            Input::Control(control) => self.control(control),
            Input::Subscribe { call, events, closed, stream } => {
                self.subscribe(*call, events, closed, stream);
            }
            Input::Call { caller, call, answer } => {
                let _gone = answer.send(self.call(&caller, *call));
            }
            Input::StreamClosed { framework, stream } => {
                self.master.disconnect_framework(&framework, &stream);
            }
            Input::ConnectAgent { uplink } => {
                let _gone = uplink.send(self.new_link());
            }
            Input::FromAgent { connection, message } => {
                self.receive(connection, FromAgent::Said(message));
            }
            Input::AgentClosed { connection } => self.receive(connection, FromAgent::Closed),
        }
    }

    fn subscribe(
        &mut self,
        call: Call,
        events: EventSender,
        closed: CancellationToken,
        answer: StreamAnswer,
    ) {
        let subscribed = self.master.subscribe(call, events);
        if let Some((framework, stream)) = subscribed.clone() {
            let inbox = self.inbox.clone();
            self.env.spawn("embedded master: stream", async move {
                closed.cancelled().await;
                if let Some(inbox) = inbox.upgrade() {
                    // The master is gone when it does not take this.
                    let _gone = inbox.send(Input::StreamClosed { framework, stream }).await;
                }
            });
        }
        let _gone = answer.send(subscribed);
    }

    /// The link of an agent: its messages come with the number of their connection, and so does its end.
    fn new_link(&mut self) -> mpsc::Sender<ToMaster> {
        self.last_connection += 1;
        let connection = self.last_connection;
        let (uplink, mut messages) = mpsc::channel(LINK);
        let inbox = self.inbox.clone();
        self.env.spawn("embedded master: link", async move {
            let forward = async |input| match inbox.upgrade() {
                Some(inbox) => inbox.send(input).await.is_ok(),
                None => false,
            };
            while let Some(message) = messages.recv().await {
                if !forward(Input::FromAgent { connection, message }).await {
                    return;
                }
            }
            forward(Input::AgentClosed { connection }).await;
        });
        uplink
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::FailOver(time, done) => {
                self.die(time);
                let _gone = done.send(());
            }
            // Nobody is there: the answer is that there is none.
            _ if self.away.is_some() => {}
            Control::Wish(wish, answer) => {
                let _gone = answer.send(self.master.operate(wish));
            }
            Control::Fault(fault, done) => {
                self.master.suffer(fault);
                let _gone = done.send(());
            }
            Control::BeginInterval(done) => {
                self.master.begin_interval();
                let _gone = done.send(());
            }
            Control::Agents(answer) => {
                let _gone = answer.send(self.master.views());
            }
            Control::Maintenance(answer) => {
                let _gone = answer.send(self.master.maintenance());
            }
            Control::Books(extent, answer) => {
                let _gone = answer.send(Box::new(self.master.books(extent)));
            }
            Control::Watch(answer) => {
                let _gone = answer.send(Box::new(self.master.watch()));
            }
            Control::Metrics(answer) => {
                let _gone = answer.send(self.master.metrics());
            }
            Control::Introduce(answer) => {
                let _gone = answer.send(self.master.introduction());
            }
        }
    }

    /// The master dies with all that it remembers: streams and links end.
    fn die(&mut self, time: Duration) {
        let registry = match self.away.take() {
            Some((_, registry)) => registry,
            None => self.master.leave(),
        };
        let (config, network) = (self.master.config.clone(), std::mem::take(&mut self.master.network));
        self.master = Master::new(&self.env, config, Registry::default(), network);
        self.connections.clear();
        self.first_connection = self.last_connection + 1;
        self.away = Some((Instant::now() + time, registry));
    }

    fn lead(&mut self, registry: Registry) {
        let (config, network) = (self.master.config.clone(), std::mem::take(&mut self.master.network));
        self.master = Master::new(&self.env, config, registry, network);
    }

    /// A message of an agent comes out of its link, and has the network before it.
    fn receive(&mut self, connection: u64, message: FromAgent) {
        if connection < self.first_connection {
            return;
        }
        let agent = match &message {
            FromAgent::Said(ToMaster::Register { .. }) => None,
            FromAgent::Said(_) | FromAgent::Closed => self.connections.get(&connection).cloned(),
        };
        let message = match agent {
            Some(agent) => self.master.through_network(&agent, connection, message),
            None => Some(message),
        };
        if let Some(message) = message {
            self.arrived(connection, message);
        }
    }

    fn arrived(&mut self, connection: u64, message: FromAgent) {
        match message {
            FromAgent::Said(message) => self.heard(connection, message),
            FromAgent::Closed => {
                if let Some(agent) = self.connections.remove(&connection) {
                    self.master.disconnect_agent(&agent, connection);
                }
            }
        }
    }

    fn heard(&mut self, connection: u64, message: ToMaster) {
        match (message, self.connections.get(&connection)) {
            (ToMaster::Register { info, ip, tasks, executors, link }, _) => {
                let registration = Registration { connection, info: *info, ip, tasks, executors, link };
                if let Some(agent) = self.master.register_agent(registration) {
                    self.connections.insert(connection, agent);
                }
            }
            (ToMaster::Update { framework_id, status, latest }, Some(agent)) => {
                self.master.update(agent, connection, framework_id, *status, latest);
            }
            (ToMaster::Message { data }, Some(agent)) => self.master.message(agent, data),
            (ToMaster::ExecutorMessage(message), Some(agent)) => {
                self.master.message_of_executor(agent, message);
            }
            (ToMaster::ExecutorExited(exit), Some(agent)) => self.master.executor_exited(agent, exit),
            (ToMaster::Unregister, Some(agent)) => self.master.unregister_agent(agent, connection),
            (
                ToMaster::Update { .. }
                | ToMaster::Message { .. }
                | ToMaster::ExecutorMessage(_)
                | ToMaster::ExecutorExited(_)
                | ToMaster::Unregister,
                None,
            ) => {
                tracing::warn!(connection, "message of an agent that is not registered");
            }
        }
    }

    /// A call of a subscription, looked at in the order in which Mesos does.
    fn call(&mut self, caller: &Caller, call: Call) -> Result<(), CallRefusal> {
        validation::call(&call).map_err(CallRefusal::Call)?;
        let id = call.framework_id.clone().unwrap_or_default();
        self.check_caller(&id, caller)?;
        if call.r#type() == CallType::Unknown {
            return Err(CallRefusal::NotImplemented);
        }
        self.master.count_call(&id, call.r#type());
        self.obey(&id, call).map_err(CallRefusal::Call)
    }

    fn check_caller(&self, id: &FrameworkId, caller: &Caller) -> Result<(), CallRefusal> {
        let refuse = |text: String| Err(CallRefusal::Subscription(text));
        let Some(framework) = self.master.frameworks.get(id) else {
            return refuse("Framework cannot be found".to_owned());
        };
        if let Some(principal) = &caller.principal {
            validation::same_principal(principal, &framework.info).map_err(CallRefusal::Subscription)?;
        }
        if framework.stream.is_none() {
            return Err(CallRefusal::NotSubscribed);
        }
        let Some(stream) = &caller.stream else {
            return refuse("All non-subscribe calls should include the 'Mesos-Stream-Id' header".to_owned());
        };
        if !self.master.is_current(id, stream) {
            return refuse(format!(
                "The stream ID '{stream}' included in this request didn't match the stream ID currently associated \
                 with framework ID {id}"
            ));
        }
        Ok(())
    }

    fn obey(&mut self, id: &FrameworkId, call: Call) -> Result<(), String> {
        let master = &mut self.master;
        match call.r#type() {
            CallType::Accept => master.accept(id, call.accept.unwrap_or_default()),
            CallType::Decline => master.decline(call.decline.unwrap_or_default()),
            CallType::Revive => master.revive(id, &call.revive.unwrap_or_default().roles),
            CallType::Suppress => master.suppress(id, &call.suppress.unwrap_or_default().roles),
            CallType::Kill => master.kill(id, call.kill.unwrap_or_default()),
            CallType::Acknowledge => master.acknowledge(id, call.acknowledge.unwrap_or_default()),
            CallType::Reconcile => master.reconcile(id, call.reconcile.unwrap_or_default()),
            CallType::Teardown => master.remove_framework(id),
            CallType::AcceptInverseOffers => {
                master.answer_inverse(id, call.accept_inverse_offers.unwrap_or_default(), true);
            }
            CallType::DeclineInverseOffers => {
                master.answer_inverse(id, call.decline_inverse_offers.unwrap_or_default(), false);
            }
            CallType::UpdateFramework => {
                return master.update_framework(id, call.update_framework.unwrap_or_default());
            }
            // Best effort or without effect in Mesos, too, where there is nothing that they could be about.
            CallType::Message => master.pass_on(id, call.message.unwrap_or_default()),
            CallType::Shutdown => master.shutdown_executor(id, call.shutdown.unwrap_or_default()),
            CallType::Request | CallType::AcknowledgeOperationStatus | CallType::ReconcileOperations => {
                tracing::debug!(call = %call.r#type(), "call without effect");
            }
            CallType::Subscribe | CallType::Unknown | CallType::Unrecognised => {
                return Err(format!("{} is no call of a subscription", call.r#type()));
            }
        }
        Ok(())
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
