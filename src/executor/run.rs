//! Stands by one running thing, container or process, until it ends: carries out the order to stop it, and hands on what
//! its checks find.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::env::watch;
use crate::executor::checks::{Finding, Together};
use crate::executor::complaint::Complaint;
use crate::executor::report::Reporter;

/// Between two attempts to signal something that could not be signalled.
const SIGNAL_RETRY: Duration = Duration::from_secs(1);
/// SIGKILL is repeated for as long as the thing runs: a hanging dockerd may have lost it.
const KILL_REPEAT: Duration = Duration::from_secs(10);

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Exited {
        code: i64,
        out_of_memory: bool,
    },
    Signalled {
        signal: i32,
    },
    /// It could not be started, in a person's words.
    NotStarted {
        why: String,
    },
    /// It is gone and its exit status is not known.
    Vanished {
        why: String,
    },
    /// It was told to stop before it had started.
    KilledBeforeStart,
}

/// What happens to something that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    Ended(End),
    /// From now on nothing can be known of it, and why; or, with nothing, it is known again to run.
    Doubt(Option<String>),
}

/// Something that runs.
#[async_trait]
pub trait Running: Send {
    /// Returns when something has happened. May be dropped and called again at any time.
    async fn next(&mut self) -> Turn;

    /// Asks it to end.
    ///
    /// # Errors
    /// Why it could not be asked now, in a person's words; asking again may work.
    async fn stop(&mut self) -> Result<(), String>;

    /// Ends it by force.
    ///
    /// # Errors
    /// As [`Running::stop`].
    async fn kill(&mut self) -> Result<(), String>;
}

/// The order to stop: the instant at which patience ends, once it is given.
pub type Order = watch::Receiver<Option<Instant>>;

/// Returns when the order to stop has been given.
pub async fn ordered(order: &mut Order) -> Instant {
    loop {
        if let Some(deadline) = *order.borrow_and_update() {
            return deadline;
        }
        if order.changed().await.is_err() {
            // Nobody is left who could give it.
            std::future::pending::<()>().await;
        }
    }
}

/// What the checks of a task find. Dropping it ends them.
#[derive(Debug)]
pub struct Findings {
    pub health: Group,
    pub readiness: Group,
}

/// The checks of one sort.
#[derive(Debug)]
pub struct Group {
    findings: mpsc::Receiver<Finding>,
    together: Together,
}

impl Group {
    /// `checks` checks that send what they find to `findings`.
    #[must_use]
    pub fn new(checks: usize, findings: mpsc::Receiver<Finding>) -> Group {
        Group { findings, together: Together::of(checks) }
    }

    /// No checks: nothing is ever found.
    #[must_use]
    pub fn none() -> Group {
        Group::new(0, mpsc::channel(1).1)
    }

    /// The next finding that changes the verdict of all; `healthy` in it is theirs.
    async fn next(&mut self) -> Finding {
        while let Some(finding) = self.findings.recv().await {
            if let Some(healthy) = self.together.observe(finding.index, finding.healthy) {
                return Finding { healthy, ..finding };
            }
        }
        std::future::pending().await
    }
}

impl Findings {
    /// No checks.
    #[must_use]
    pub fn none() -> Findings {
        Findings { health: Group::none(), readiness: Group::none() }
    }

    async fn next(&mut self) -> Found {
        tokio::select! {
            biased;
            finding = self.health.next() => Found::Health(finding),
            finding = self.readiness.next() => Found::Readiness(finding),
        }
    }
}

enum Found {
    Health(Finding),
    Readiness(Finding),
}

enum Stage {
    Running,
    /// Asked to end; by force at the deadline.
    Stopping,
    Killing,
}

/// Stands by until the end, reporting what happens meanwhile.
pub async fn stand_by<R: Running + ?Sized>(
    running: &mut R,
    order: &mut Order,
    mut findings: Findings,
    reporter: &Reporter,
) -> End {
    let mut stage = Stage::Running;
    let mut act_at: Option<Instant> = None;
    let mut complaint = Complaint::new();
    loop {
        tokio::select! {
            biased;
            turn = running.next() => match turn {
                Turn::Ended(end) => return end,
                Turn::Doubt(why) => reporter.doubted(why).await,
            },
            deadline = next_order(order, &stage) => {
                if matches!(stage, Stage::Running) {
                    // A stopping task is not judged any more.
                    findings = Findings::none();
                    stage = Stage::Stopping;
                    act_at = Some(Instant::now());
                } else {
                    act_at = act_at.map(|at| at.min(deadline));
                }
            }
            () = wake(act_at) => act_at = Some(act(running, order, &mut stage, &mut complaint).await),
            found = findings.next() => match found {
                Found::Health(finding) => reporter.health(&finding).await,
                Found::Readiness(finding) => reporter.readiness(&finding).await,
            },
        }
    }
}

/// The next attempt to end it; when to try again.
async fn act<R: Running + ?Sized>(
    running: &mut R,
    order: &Order,
    stage: &mut Stage,
    complaint: &mut Complaint,
) -> Instant {
    let now = Instant::now();
    let deadline = order.borrow().unwrap_or(now);
    let patient = deadline > now && matches!(stage, Stage::Stopping);
    let done = if patient { running.stop().await } else { running.kill().await };
    if done.is_ok() {
        complaint.over();
    }
    match done {
        Ok(()) if patient => deadline,
        Ok(()) => {
            *stage = Stage::Killing;
            Instant::now() + KILL_REPEAT
        }
        Err(why) => {
            if complaint.is_due(&why) {
                tracing::warn!(%why, "failed to stop a task; trying again");
            }
            Instant::now() + SIGNAL_RETRY
        }
    }
}

/// The first order, then each that shortens it.
async fn next_order(order: &mut Order, stage: &Stage) -> Instant {
    if matches!(stage, Stage::Running) {
        return ordered(order).await;
    }
    if order.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    order.borrow_and_update().unwrap_or_else(Instant::now)
}

async fn wake(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::mesos::launcher::reports;
    use crate::mesos::wire::TaskId;

    /// Ends at the signal that is its last one; writes down what it was told.
    struct Scripted {
        told: Arc<Mutex<Vec<&'static str>>>,
        ends_at: &'static str,
        refusals: u32,
    }

    impl Scripted {
        fn tell(&mut self, signal: &'static str) -> Result<(), String> {
            if self.refusals > 0 {
                self.refusals -= 1;
                return Err("dockerd is away".to_owned());
            }
            self.told.lock().unwrap().push(signal);
            Ok(())
        }
    }

    #[async_trait]
    impl Running for Scripted {
        async fn next(&mut self) -> Turn {
            if self.told.lock().unwrap().last() == Some(&self.ends_at) {
                return Turn::Ended(End::Exited { code: 0, out_of_memory: false });
            }
            std::future::pending().await
        }
        async fn stop(&mut self) -> Result<(), String> {
            self.tell("stop")
        }
        async fn kill(&mut self) -> Result<(), String> {
            self.tell("kill")
        }
    }

    /// Gives the orders, each a grace in seconds, one second apart; what was told, and after how many seconds it ended.
    async fn stopped(ends_at: &'static str, refusals: u32, graces: &[u64]) -> (Vec<&'static str>, u64) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut running = Scripted { told: told.clone(), ends_at, refusals };
        let (orders, mut order) = watch::channel(None);
        let (sink, _reports) = reports();
        let reporter = Reporter::new(TaskId::new("t"), sink);
        let start = Instant::now();
        let giving = async {
            for grace in graces {
                orders.send_replace(Some(Instant::now() + Duration::from_secs(*grace)));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            _ = stand_by(&mut running, &mut order, Findings::none(), &reporter) => {}
            () = giving => {}
        }
        let told = told.lock().unwrap().clone();
        (told, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_asked_first_and_killed_when_patience_ends() {
        assert_eq!(stopped("stop", 0, &[30]).await, (vec!["stop"], 0));
        assert_eq!(stopped("kill", 0, &[30]).await, (vec!["stop", "kill"], 30));
        assert_eq!(stopped("kill", 0, &[0]).await, (vec!["kill"], 0), "no patience, no question");
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_order_shortens_patience() {
        assert_eq!(stopped("kill", 0, &[30, 5]).await, (vec!["stop", "kill"], 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_that_failed_is_sent_again() {
        assert_eq!(stopped("stop", 2, &[30]).await, (vec!["stop"], 2));
        assert_eq!(stopped("kill", 2, &[0]).await, (vec!["kill"], 2));
    }
}
