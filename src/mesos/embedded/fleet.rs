//! Simulated agents by the thousand: a cluster as its master sees it, of which only what the master can see exists.
//!
//! An agent here starts what it is told to at once, or after its [`Manner`]'s delay, runs it until it is told to end it, and keeps
//! of a task no more than its name and what was not acknowledged. It has no journal, and no timer where nothing is delayed, so that
//! what a large cluster costs is what its scheduler costs. Behaviour worth testing is the [`Agent`](super::agent::Agent)'s on a
//! [`Machine`](super::simulated::Machine).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::master::MasterHandle;
use super::protocol::{LINK, ToAgent, ToMaster};
use crate::env::{Env, Spawned};
use crate::mesos::wire::{AgentId, AgentInfo, FrameworkId, Source, TaskId, TaskState, TaskStatus};

/// The agents. Dropping it leaves them running; they end with their node or their master.
#[derive(Debug)]
pub struct Fleet {
    agents: Vec<Spawned<()>>,
    counts: Arc<Counts>,
}

/// How tasks fare on an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Manner {
    /// How long a task takes to run after its launch.
    pub start_delay: Duration,
    /// Which share of tasks fails instead, from 0 to 1.
    pub failure_rate: f64,
}

/// What happened on all agents so far.
#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    started_twice: AtomicU64,
    killed: AtomicU64,
}

impl Fleet {
    /// Starts one agent per description; they register with `master` by themselves.
    #[must_use]
    pub fn start(env: &Env, master: &MasterHandle, agents: impl IntoIterator<Item = AgentInfo>) -> Fleet {
        Fleet::start_at(env, master, None, agents)
    }

    /// The same for agents that all say to be at the address `ip`; otherwise each tells its host name.
    #[must_use]
    pub fn start_at(
        env: &Env,
        master: &MasterHandle,
        ip: Option<&str>,
        agents: impl IntoIterator<Item = AgentInfo>,
    ) -> Fleet {
        Fleet::start_each(env, master, ip, agents.into_iter().map(|info| (info, Manner::default())))
    }

    /// The same for agents on which tasks fare differently.
    #[must_use]
    pub fn start_each(
        env: &Env,
        master: &MasterHandle,
        ip: Option<&str>,
        agents: impl IntoIterator<Item = (AgentInfo, Manner)>,
    ) -> Fleet {
        let counts = Arc::new(Counts::default());
        let start = |(info, manner): (AgentInfo, Manner)| {
            let member = Member {
                env: env.clone(),
                ip: ip.map(str::to_owned),
                info,
                manner,
                starting: BTreeMap::new(),
                counts: counts.clone(),
                agent_id: AgentId::default(),
                gone_when_drained: false,
                tasks: BTreeMap::new(),
            };
            env.spawn("fleet agent", member.run(master.clone()))
        };
        Fleet { agents: agents.into_iter().map(start).collect(), counts: counts.clone() }
    }

    /// These agents are gone, with all that ran on them, without a word.
    pub fn lose(&self, agents: Range<usize>) {
        self.agents[agents].iter().for_each(Spawned::abort);
    }

    /// How many tasks were started so far.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.counts.started.load(Ordering::Relaxed)
    }

    /// How many launches named a task that was there already: always 0 when all is well.
    #[must_use]
    pub fn started_twice(&self) -> u64 {
        self.counts.started_twice.load(Ordering::Relaxed)
    }

    /// How many tasks were ended by a KILL so far.
    #[must_use]
    pub fn killed(&self) -> u64 {
        self.counts.killed.load(Ordering::Relaxed)
    }
}

/// One agent.
#[derive(Debug)]
struct Member {
    env: Env,
    ip: Option<String>,
    info: AgentInfo,
    manner: Manner,
    /// Tasks that are delayed, by the time and the order in which they start.
    starting: BTreeMap<(Instant, u64), TaskId>,
    counts: Arc<Counts>,
    agent_id: AgentId,
    /// What is killed is gone by the operator's word.
    gone_when_drained: bool,
    /// Statuses that are not acknowledged, of every task that runs or whose end is not. Only the first is under way.
    tasks: BTreeMap<TaskId, Task>,
}

#[derive(Debug)]
struct Task {
    framework_id: FrameworkId,
    state: TaskState,
    pending: VecDeque<(TaskState, Vec<u8>)>,
}

impl Member {
    async fn run(mut self, master: MasterHandle) {
        let Some(uplink) = master.connect_agent().await else { return };
        // Only the master's links hold it: an agent of a fleet does not outlive its master.
        drop(master);
        let (link, mut messages) = mpsc::channel(LINK);
        let ip = self.ip.clone().unwrap_or_else(|| self.info.hostname.clone());
        let info = Box::new(self.info.clone());
        let mut sends = vec![ToMaster::Register { info, ip, tasks: Vec::new(), executors: None, link }];
        loop {
            for message in sends.drain(..) {
                if uplink.send(message).await.is_err() {
                    return;
                }
            }
            let next = self.starting.first_key_value().map(|((at, _), _)| *at);
            tokio::select! {
                biased;
                message = messages.recv() => match message {
                    Some(message) => self.told(message, &mut sends),
                    None => return,
                },
                () = sleep_until(next) => self.start_due(&mut sends),
            }
            while let Ok(message) = messages.try_recv() {
                self.told(message, &mut sends);
            }
        }
    }

    fn told(&mut self, message: ToAgent, sends: &mut Vec<ToMaster>) {
        match message {
            ToAgent::Registered { agent_id } => self.agent_id = agent_id,
            ToAgent::Launch { framework_id, task, .. } => {
                let id = task.task_id;
                if self.tasks.contains_key(&id) {
                    self.counts.started_twice.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                self.counts.started.fetch_add(1, Ordering::Relaxed);
                let task = Task { framework_id, state: TaskState::Staging, pending: VecDeque::new() };
                self.tasks.insert(id.clone(), task);
                if self.manner.start_delay.is_zero() {
                    self.start_task(&id, sends);
                } else {
                    let order = self.counts.started.load(Ordering::Relaxed);
                    self.starting.insert((Instant::now() + self.manner.start_delay, order), id);
                }
            }
            ToAgent::Missing { framework_id, task_id } => {
                let task = Task { framework_id, state: TaskState::Staging, pending: VecDeque::new() };
                self.tasks.insert(task_id.clone(), task);
                self.advance(&task_id, TaskState::Dropped, sends);
            }
            ToAgent::Kill { task_id, .. } => {
                let alive = self.tasks.get(&task_id).is_some_and(|task| !task.state.is_terminal());
                if alive {
                    self.counts.killed.fetch_add(1, Ordering::Relaxed);
                    let end =
                        if self.gone_when_drained { TaskState::GoneByOperator } else { TaskState::Killed };
                    self.advance(&task_id, end, sends);
                }
            }
            ToAgent::Acknowledge { task_id, uuid, .. } => self.acknowledged(&task_id, &uuid, sends),
            ToAgent::Resubscribed { framework_id } => {
                let waiting = self.tasks.iter().filter(|(_, task)| task.framework_id == framework_id);
                sends.extend(waiting.filter_map(|(id, task)| self.update(id, task)));
            }
            ToAgent::FrameworkRemoved { framework_id } => {
                self.tasks.retain(|_, task| task.framework_id != framework_id);
            }
            ToAgent::Shutdown => self.tasks.clear(),
            // Nothing of a fleet has executors.
            ToAgent::Message { .. } | ToAgent::ShutdownExecutor { .. } => {}
            // The kills follow.
            ToAgent::Drain { mark_gone, .. } => self.gone_when_drained = mark_gone,
            ToAgent::Reactivated => self.gone_when_drained = false,
        }
    }

    fn start_due(&mut self, sends: &mut Vec<ToMaster>) {
        let now = Instant::now();
        while let Some(entry) = self.starting.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let id = entry.remove();
            // It may have been killed meanwhile.
            if self.tasks.get(&id).is_some_and(|task| task.state == TaskState::Staging) {
                self.start_task(&id, sends);
            }
        }
    }

    /// A task runs, or fails: which share does is a matter of chance.
    fn start_task(&mut self, id: &TaskId, sends: &mut Vec<ToMaster>) {
        const PARTS: u32 = 1 << 20;
        let rate = self.manner.failure_rate;
        let drawn = || u32::try_from(self.env.below(u64::from(PARTS))).unwrap_or(PARTS);
        let fails = rate > 0.0 && f64::from(drawn()) < rate * f64::from(PARTS);
        self.advance(id, if fails { TaskState::Failed } else { TaskState::Running }, sends);
    }

    fn advance(&mut self, id: &TaskId, state: TaskState, sends: &mut Vec<ToMaster>) {
        let uuid = self.env.uuid().to_vec();
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.state = state;
        task.pending.push_back((state, uuid));
        if task.pending.len() == 1 {
            sends.extend(self.tasks.get(id).and_then(|task| self.update(id, task)));
        }
    }

    fn acknowledged(&mut self, id: &TaskId, uuid: &[u8], sends: &mut Vec<ToMaster>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if task.pending.front().is_none_or(|(_, first)| first != uuid) {
            return;
        }
        task.pending.pop_front();
        if task.state.is_terminal() && task.pending.is_empty() {
            self.tasks.remove(id);
        } else if let Some(task) = self.tasks.get(id) {
            sends.extend(self.update(id, task));
        }
    }

    /// The update that is under way for a task.
    fn update(&self, id: &TaskId, task: &Task) -> Option<ToMaster> {
        let (state, uuid) = task.pending.front()?;
        let status = TaskStatus {
            uuid: Some(uuid.clone()),
            agent_id: Some(self.agent_id.clone()),
            source: Source::Executor.wire(),
            timestamp: Some(self.env.now().as_duration().as_secs_f64()),
            ..TaskStatus::of(id.clone(), *state)
        };
        let framework_id = task.framework_id.clone();
        Some(ToMaster::Update { framework_id, status: Box::new(status), latest: task.state })
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::master::{self, MasterConfig};
    use super::super::resources::parse_resources;
    use super::*;
    use crate::mesos::connection::Connection;
    use crate::mesos::wire::scheduler::{Accept, Acknowledge, Call, Kill, Subscribe};
    use crate::mesos::wire::{CallType, EventType, FrameworkInfo, Operation, OperationType, TaskInfo};
    use futures::StreamExt;

    #[tokio::test(start_paused = true)]
    async fn agents_with_the_same_ports_can_all_be_lost() {
        let env = Env::simulated("fleet", 1, Timestamp::UNIX_EPOCH);
        let config = MasterConfig { agent_ping_timeout: std::time::Duration::ZERO, ..MasterConfig::local() };
        let master = master::start(&env, config, std::collections::BTreeSet::new());
        let fleet = Fleet::start(&env, &master, [info(), info()]);
        let framework_info =
            FrameworkInfo { user: "root".into(), name: "f".into(), ..FrameworkInfo::default() };
        let subscribe = Subscribe { framework_info, suppressed_roles: Vec::new(), offer_constraints: None };
        let mut events = master.subscribe(Call::subscribe(subscribe), &|| true).await.unwrap().events;
        let (mut offered, mut gone) = (0, 0);
        while gone < 2 {
            let event = events.next().await.unwrap().unwrap();
            offered += event.offers.map_or(0, |it| it.offers.len());
            gone += usize::from(event.failure.is_some());
            if offered == 2 && gone == 0 {
                fleet.lose(0..2);
            }
        }
    }

    fn info() -> AgentInfo {
        AgentInfo {
            hostname: "m".to_owned(),
            resources: parse_resources("cpus:1;mem:100;ports:[31000-31009]").unwrap(),
            ..AgentInfo::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn agent_of_a_fleet_runs_a_task_until_it_is_killed_and_tells_each_state_once() {
        let env = Env::simulated("fleet", 1, Timestamp::UNIX_EPOCH);
        let master = master::start(&env, MasterConfig::local(), std::collections::BTreeSet::new());
        let fleet = Fleet::start(&env, &master, [info()]);
        let framework_info =
            FrameworkInfo { user: "root".into(), name: "f".into(), ..FrameworkInfo::default() };
        let subscribe = Subscribe { framework_info, suppressed_roles: Vec::new(), offer_constraints: None };
        let subscription = master.subscribe(Call::subscribe(subscribe), &|| true).await.unwrap();
        let (mut events, mut calls) = (subscription.events, subscription.calls);
        let mut told = Vec::new();
        let mut framework = FrameworkId::default();
        while told.len() < 2 {
            let event = events.next().await.unwrap().unwrap();
            match event.r#type() {
                EventType::Subscribed => framework = event.subscribed.unwrap().framework_id,
                EventType::Offers => {
                    for offer in event.offers.unwrap().offers.into_iter().filter(|_| fleet.started() == 0) {
                        let task = TaskInfo {
                            name: "t".into(),
                            task_id: TaskId::new("t"),
                            agent_id: offer.agent_id.clone(),
                            resources: offer.resources.clone(),
                            command: Some(crate::mesos::wire::CommandInfo::default()),
                            ..TaskInfo::default()
                        };
                        let operations = vec![Operation::launch(vec![task])];
                        assert_eq!(operations[0].r#type(), OperationType::Launch);
                        let accept = Accept { offer_ids: vec![offer.id], operations, filters: None };
                        let mut call = Call::of(framework.clone(), CallType::Accept);
                        call.accept = Some(accept);
                        calls.send(&call).await.unwrap();
                    }
                }
                EventType::Update => {
                    let status = event.update.unwrap().status;
                    told.push(status.state());
                    let (task_id, agent_id) = (status.task_id.clone(), status.agent_id.clone().unwrap());
                    let mut call = Call::of(framework.clone(), CallType::Acknowledge);
                    let uuid = status.uuid.clone().unwrap();
                    call.acknowledge = Some(Acknowledge { agent_id, task_id: task_id.clone(), uuid });
                    calls.send(&call).await.unwrap();
                    let mut call = Call::of(framework.clone(), CallType::Kill);
                    call.kill = Some(Kill { task_id, agent_id: None, kill_policy: None });
                    calls.send(&call).await.unwrap();
                }
                _ => {}
            }
        }
        assert_eq!(told, [TaskState::Running, TaskState::Killed]);
        assert_eq!((fleet.started(), fleet.started_twice(), fleet.killed()), (1, 0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_start_after_the_delay_of_their_agent_and_fail_as_often_as_it_says() {
        let env = Env::simulated("fleet", 1, Timestamp::UNIX_EPOCH);
        let delayed = Duration::from_secs(5);
        for (failure_rate, expected) in [(0.0, TaskState::Running), (1.0, TaskState::Failed)] {
            let manner = Manner { start_delay: delayed, failure_rate };
            let master = master::start(&env, MasterConfig::local(), std::collections::BTreeSet::new());
            let _fleet = Fleet::start_each(&env, &master, None, [(info(), manner)]);
            let framework_info =
                FrameworkInfo { user: "root".into(), name: "f".into(), ..FrameworkInfo::default() };
            let subscribe =
                Subscribe { framework_info, suppressed_roles: Vec::new(), offer_constraints: None };
            let mut subscription = master.subscribe(Call::subscribe(subscribe), &|| true).await.unwrap();
            let mut framework = FrameworkId::default();
            let mut launched = Instant::now();
            let told = loop {
                let event = subscription.events.next().await.unwrap().unwrap();
                match event.r#type() {
                    EventType::Subscribed => framework = event.subscribed.unwrap().framework_id,
                    EventType::Offers => {
                        let offer = event.offers.unwrap().offers.remove(0);
                        let task = TaskInfo {
                            name: "t".into(),
                            task_id: TaskId::new("t"),
                            agent_id: offer.agent_id,
                            resources: offer.resources,
                            command: Some(crate::mesos::wire::CommandInfo::default()),
                            ..TaskInfo::default()
                        };
                        let operations = vec![Operation::launch(vec![task])];
                        let mut call = Call::of(framework.clone(), CallType::Accept);
                        call.accept = Some(Accept { offer_ids: vec![offer.id], operations, filters: None });
                        subscription.calls.send(&call).await.unwrap();
                        launched = Instant::now();
                    }
                    EventType::Update => break event.update.unwrap().status.state(),
                    _ => {}
                }
            };
            assert_eq!((told, launched.elapsed() >= delayed), (expected, true), "rate {failure_rate}");
        }
    }
}
