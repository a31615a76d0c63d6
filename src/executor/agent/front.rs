//! The loop between the agent and the launcher: takes in what either says, does what follows, and knows when to end.
//!
//! ```text
//! agent ── events ──▶ Conversation ──▶ acts ──▶ launcher
//!       ◀─ updates ──             ◀── reports ──
//! ```

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};

use super::conversation::{Act, Conversation};
use super::exec;
use super::line::{Line, News};
use super::link::{LinkError, Way};
use super::settings::{Recovery, Settings};
use super::tls::Tls;
use crate::env::Env;
use crate::executor::complaint::Complaint;
use crate::executor::launcher::LocalLauncher;
use crate::mesos::launcher::{Launcher, Reports};
use crate::mesos::wire::executor::Event;
use crate::mesos::wire::{ExecutorEventType, TaskId};

/// The longest wait between two attempts to reach the agent. One that has been restarted takes its executors back for seconds only,
/// however long it was away.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// The shortest longest wait, whatever the agent says: nobody is asked without a pause.
const WAIT_LEAST: Duration = Duration::from_millis(50);
/// The longest wait where the agent's TLS has gone wrong: a person has to mend it, and each attempt is a handshake.
const INSECURE_WAIT_MAX: Duration = Duration::from_secs(2);
/// How many attempts fall at least into the time in which it takes them back.
const ATTEMPTS_MIN: u32 = 4;
/// How long the agent may take to store the last update: what it knew to have ended already it never confirms.
const STORE_MAX: Duration = Duration::from_secs(60);
/// How long the agent may be away before the first subscription where there is no recovery.
const FIRST_MAX: Duration = Duration::from_secs(10);
/// How long the end may wait until what is left of the tasks is removed.
const DISCARD_MAX: Duration = Duration::from_secs(10);
/// What is left of the agent's patience when a task is ended by force: its end is still to be told.
const TELL: Duration = Duration::from_secs(1);

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it was to.
    Done,
    /// Something else, and what.
    Failed(String),
}

/// One executor.
pub(super) struct Front {
    env: Env,
    settings: Settings,
    tls: Option<Tls>,
    talk: Conversation,
    launcher: LocalLauncher,
    reports: Reports,
    line: Line,
    /// Since when there is no subscription.
    away_since: Option<Instant>,
    was_subscribed: bool,
    /// What was told of TLS that fails.
    insecure: Complaint,
    /// When the agent took an update last.
    told_at: Instant,
    /// Since when there is no task, nor anything left of one.
    idle_since: Option<Instant>,
    /// Removals of what is left of tasks, and whether they have come to that. They last for as long as dockerd is away.
    discarding: FuturesUnordered<BoxFuture<'static, bool>>,
    /// There is a container that dockerd refused to remove.
    leaves_some: bool,
    stage: Stage,
}

enum Stage {
    Serving,
    /// Everything is being ended, by this instant at the latest.
    Stopping {
        until: Instant,
        outcome: Outcome,
    },
}

impl Front {
    pub(super) fn new(
        env: Env,
        settings: Settings,
        tls: Option<Tls>,
        launcher: LocalLauncher,
        reports: Reports,
    ) -> Front {
        let Settings { framework_id, executor_id, serves, shutdown_grace, .. } = settings.clone();
        let now = Instant::now();
        Front {
            talk: Conversation::new(env.clone(), framework_id, executor_id, serves, shutdown_grace),
            env,
            settings,
            tls,
            launcher,
            reports,
            line: Line::Away { again: now },
            away_since: Some(now),
            was_subscribed: false,
            insecure: Complaint::new(),
            told_at: now,
            idle_since: None,
            discarding: FuturesUnordered::new(),
            leaves_some: false,
            stage: Stage::Serving,
        }
    }

    /// Runs until the tasks have ended and the agent knows, or until it must end. Nothing of the tasks is left on the machine
    /// but what is in the sandbox.
    pub(super) async fn run(mut self, terminate: impl Future<Output = ()>) -> Outcome {
        tokio::pin!(terminate);
        let mut terminated = false;
        let outcome = loop {
            self.forget();
            if let Some(outcome) = self.outcome() {
                break outcome;
            }
            self.line.send(|| self.talk.next_update());
            let deadline = self.deadline();
            tokio::select! {
                biased;
                () = &mut terminate, if !terminated => {
                    terminated = true;
                    self.stop("told to end by a signal", Outcome::Done).await;
                }
                Some(report) = self.reports.recv() => {
                    // There are no executors below this one.
                    report.into_status().into_iter().for_each(|status| self.talk.reported(status));
                }
                news = self.line.next() => self.heard(news).await,
                Some(is_gone) = self.discarding.next() => self.leaves_some |= !is_gone,
                () = wait_until(deadline) => self.late().await,
            }
        };
        // Otherwise its guard has something to do.
        if self.discard_all().await {
            self.launcher.leave();
        }
        outcome
    }

    /// Whether this is the end.
    fn outcome(&self) -> Option<Outcome> {
        match &self.stage {
            Stage::Serving => {
                let idle = self.idle_until().is_some_and(|until| until <= Instant::now());
                if idle && self.talk.tasks().is_empty() {
                    tracing::info!("ending: the agent has no task for it");
                }
                (idle || self.talk.is_over()).then_some(Outcome::Done)
            }
            Stage::Stopping { until, outcome } => {
                let told = self.talk.is_stored() || self.line.open_since().is_none();
                let ended = self.talk.has_ended() && told;
                (ended || *until <= Instant::now()).then(|| outcome.clone())
            }
        }
    }

    /// When something is overdue.
    fn deadline(&self) -> Option<Instant> {
        let stopping = match &self.stage {
            Stage::Stopping { until, .. } => Some(*until),
            Stage::Serving => self.away_since.map(|since| since + self.patience()),
        };
        let all_ended = !self.talk.tasks().is_empty() && self.talk.has_ended() && !self.talk.is_stored();
        let heard_since = self.line.open_since().filter(|_| all_ended);
        let stored = heard_since.map(|since| since.max(self.told_at) + STORE_MAX);
        stopping.into_iter().chain(stored).chain(self.idle_until()).min()
    }

    /// When an executor without tasks ends. While there is no subscription none can come, and that is another matter.
    fn idle_until(&self) -> Option<Instant> {
        let since = self.idle_since?.max(self.line.open_since()?);
        Some(since + self.settings.idle_max)
    }

    /// An executor of many tasks keeps nothing of those that are over but their last output. Nothing waits for the removal.
    fn forget(&mut self) {
        for task in self.talk.take_ended() {
            self.discard(task);
        }
        let since = self.idle_since.unwrap_or_else(Instant::now);
        // What is still being removed would keep it from hearing of a new task while it ends.
        let is_idle = self.talk.is_idle() && self.discarding.is_empty();
        self.idle_since = is_idle.then_some(since);
    }

    fn discard(&self, task: TaskId) {
        let launcher = self.launcher.clone();
        self.discarding.push(Box::pin(async move { launcher.discard(&task).await }));
    }

    /// How long to go on without an agent.
    fn patience(&self) -> Duration {
        match self.settings.recovery {
            Some(recovery) => recovery.timeout,
            None if self.was_subscribed => Duration::ZERO,
            None => FIRST_MAX,
        }
    }

    async fn late(&mut self) {
        if matches!(self.stage, Stage::Stopping { .. }) {
            return;
        }
        let away = self.away_since.is_some_and(|since| since + self.patience() <= Instant::now());
        if away {
            let words = format!("no agent for {} s", self.patience().as_secs());
            self.stop(&words, Outcome::Failed(words.clone())).await;
        } else if self.talk.has_ended() && !self.talk.is_stored() {
            tracing::warn!("the agent does not confirm the last update");
            self.stage = Stage::Stopping { until: Instant::now(), outcome: Outcome::Done };
        }
    }

    async fn heard(&mut self, news: News) {
        match news {
            News::Due => {
                let call = self.talk.subscribe();
                self.line = Line::Subscribing(Box::pin(self.way().subscribe(call)));
            }
            News::Answered(events) => self.line.open(events, self.way()),
            News::Event(event) => self.told(*event).await,
            News::Ready => self.told_at = Instant::now(),
            News::Refused { of, error } => {
                tracing::error!(%error, "an update is refused");
                if let Some((task, uuid)) = of {
                    self.talk.refused(&task, &uuid);
                }
            }
            News::Lost(error) => self.lost(error).await,
        }
    }

    async fn told(&mut self, event: Event) {
        match event.r#type() {
            ExecutorEventType::Subscribed => {
                let Some(subscribed) = event.subscribed else { return };
                tracing::info!(agent = subscribed.agent_info.hostname, "subscribed");
                (self.away_since, self.was_subscribed) = (None, true);
                self.insecure.over();
                self.talk.subscribed(&subscribed);
            }
            ExecutorEventType::Launch => {
                let Some(launch) = event.launch else { return };
                let act = self.talk.launch(launch.task);
                self.act(act).await;
            }
            ExecutorEventType::LaunchGroup => {
                let tasks = event.launch_group.map(|group| group.task_group.tasks);
                self.talk.refuse_group(tasks.unwrap_or_default());
            }
            ExecutorEventType::Kill => {
                let Some(kill) = event.kill else { return };
                let grace = kill.kill_policy.and_then(|policy| policy.grace_period);
                let act = self.talk.kill(&kill.task_id, grace.map(|grace| grace.duration()));
                self.act(act).await;
            }
            ExecutorEventType::Acknowledged => {
                if let Some(acknowledged) = event.acknowledged {
                    self.talk.acknowledged(&acknowledged);
                }
            }
            ExecutorEventType::Shutdown => self.stop("told to end by the agent", Outcome::Done).await,
            ExecutorEventType::Error => {
                let words = event.error.map(|error| error.message).unwrap_or_default();
                let words = format!("error of the agent: {words}");
                self.stop(&words, Outcome::Failed(words.clone())).await;
            }
            ExecutorEventType::Message => {
                let data = event.message.map(|message| message.data).unwrap_or_default();
                exec::obey(&self.env, &self.launcher, &data);
            }
            ExecutorEventType::Heartbeat | ExecutorEventType::Unknown | ExecutorEventType::Unrecognised => {}
        }
    }

    async fn lost(&mut self, error: LinkError) {
        if self.line.open_since().is_some() {
            tracing::warn!(%error, "subscription lost");
        } else {
            tracing::debug!(%error, "no subscription");
        }
        self.away_since.get_or_insert_with(Instant::now);
        match &error {
            LinkError::Away(_) => return self.line.wait(self.wait(longest_wait(self.settings.recovery))),
            // The agent has come back otherwise than it was: its operator may mend it while the tasks run.
            LinkError::Insecure(why) if self.was_subscribed => {
                if self.insecure.is_due(why) {
                    tracing::error!(%error, "no subscription");
                }
                return self.line.wait(self.wait(INSECURE_WAIT_MAX));
            }
            LinkError::Insecure(_) | LinkError::Unwanted(_) | LinkError::Refused(_) => {}
        }
        self.line = Line::Closed;
        let words = error.to_string();
        self.stop(&words, Outcome::Failed(words.clone())).await;
    }

    /// Until the agent is asked again: chance, so that a machine's executors do not ask in step.
    fn wait(&self, longest: Duration) -> Duration {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.env.below(millis))
    }

    /// Ends everything. The first reason stays.
    async fn stop(&mut self, why: &str, outcome: Outcome) {
        if matches!(self.stage, Stage::Stopping { .. }) {
            return;
        }
        tracing::info!(why, "stopping");
        let grace = self.settings.shutdown_grace;
        self.stage = Stage::Stopping { until: Instant::now() + grace, outcome };
        for act in self.talk.stop_all(grace - TELL.min(grace / 2)) {
            self.act(Some(act)).await;
        }
    }

    async fn act(&mut self, act: Option<Act>) {
        match act {
            Some(Act::Launch(launch)) => self.launcher.launch(*launch).await,
            Some(Act::Kill(task, grace)) => self.launcher.kill(&task, grace).await,
            None => {}
        }
    }

    /// Nothing of the tasks is left: their output is in the sandbox, their ends are told. False when dockerd does not let it be so.
    async fn discard_all(&mut self) -> bool {
        for task in self.talk.tasks() {
            self.discard(task);
        }
        let all = async {
            while let Some(is_gone) = self.discarding.next().await {
                self.leaves_some |= !is_gone;
            }
        };
        let is_done = timeout(DISCARD_MAX, all).await.is_ok();
        if !is_done {
            let left = self.discarding.len();
            tracing::warn!(left, "what is left of tasks is removed when dockerd answers");
        }
        is_done && !self.leaves_some
    }

    fn way(&self) -> Way {
        let Settings { place, token, .. } = &self.settings;
        Way { env: self.env.clone(), place: place.clone(), tls: self.tls.clone(), token: token.clone() }
    }
}

/// The longest wait between two attempts to reach the agent.
fn longest_wait(recovery: Option<Recovery>) -> Duration {
    let longest = recovery.map_or(WAIT_MAX, |recovery| WAIT_MAX.min(recovery.backoff_max / ATTEMPTS_MIN));
    longest.max(WAIT_LEAST)
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_asked_at_least_four_times_while_it_takes_executors_back() {
        for (window, most) in [(2_000, 500), (1_000, 250), (15_000, 500), (0, 50)] {
            let backoff_max = Duration::from_millis(window);
            let recovery = Recovery { timeout: Duration::from_secs(900), backoff_max };
            assert_eq!(longest_wait(Some(recovery)), Duration::from_millis(most), "{window} ms");
        }
    }
}
