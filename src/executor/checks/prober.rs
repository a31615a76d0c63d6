//! The loop of one check: wait, probe within the timeout, tell the verdict, and hand changes on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{Check, Kind, Outcome, Probe, Verdict, http};
use crate::env::Env;
use crate::executor::retry::Backoff;

/// The first probes of tasks that started together are spread over at most this.
const FIRST_SPREAD_MAX: Duration = Duration::from_millis(250);
/// Between the first probes of a task that is not healthy yet; doubles up to the check's interval.
const EAGER_FIRST: Duration = Duration::from_millis(100);

/// A task as checks see it.
#[derive(Clone)]
pub struct Target {
    /// Where its ports are.
    pub address: IpAddr,
    /// Runs commands beside it.
    pub commands: Arc<dyn ProbeCommand>,
    /// When it started; grace counts from here.
    pub started: Instant,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Target").field(&self.address).finish()
    }
}

/// Runs a command inside a task's container or sandbox.
#[async_trait]
pub trait ProbeCommand: Send + Sync {
    /// Its exit code. At the timeout the command is killed, and nothing of it is left running.
    ///
    /// # Errors
    /// Why there is no exit code, in a person's words.
    async fn run(&self, argv: &[String], timeout: Duration) -> Result<i32, String>;
}

/// A verdict that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which of the task's checks of its sort.
    pub index: usize,
    pub healthy: bool,
    pub kind: Kind,
    /// The probe that changed it.
    pub outcome: Outcome,
    /// Failures in a row so far.
    pub failures: u32,
}

/// One check against one task.
#[derive(Debug)]
pub struct Prober {
    pub env: Env,
    /// Which of the task's checks of its sort.
    pub index: usize,
    pub check: Check,
    pub target: Target,
}

impl Prober {
    /// Probes until `findings` is closed, sending each change of the verdict.
    pub async fn run(self, findings: mpsc::Sender<Finding>) {
        let mut verdict = Verdict::default();
        // Tasks of one rollout start together; their probes need not.
        let spread = (self.check.interval / 10).min(FIRST_SPREAD_MAX);
        self.env.sleep(self.check.delay + self.env.jitter(spread / 2, 1.0)).await;
        let mut eager = Backoff::new(EAGER_FIRST, self.check.interval);
        loop {
            let outcome = self.probe().await;
            let in_grace = self.target.started.elapsed() < self.check.rules.grace;
            if let Some(healthy) = verdict.observe(outcome.passed(), in_grace, self.check.rules.max_failures)
            {
                let finding = Finding {
                    index: self.index,
                    healthy,
                    kind: self.check.probe.kind(),
                    outcome,
                    failures: verdict.failures,
                };
                if findings.send(finding).await.is_err() {
                    return;
                }
            }
            // Failures in grace have no consequence before the first success, so asking often then costs nothing but
            // finds a task healthy as soon as it is.
            let wait = match verdict.healthy {
                None if in_grace => eager.next(),
                _ => self.check.interval,
            };
            tokio::select! {
                biased;
                () = findings.closed() => return,
                () = self.env.sleep(wait) => {}
            }
        }
    }

    async fn probe(&self) -> Outcome {
        let limit = self.check.timeout;
        let late = || Outcome::Failed { why: format!("no answer within {limit:?}") };
        match &self.check.probe {
            Probe::Command { argv } => match self.target.commands.run(argv, limit).await {
                Ok(exit_code) => Outcome::Command { exit_code },
                Err(why) => Outcome::Failed { why },
            },
            Probe::Tcp { port } => match timeout(limit, TcpStream::connect(self.address(*port))).await {
                Ok(Ok(_)) => Outcome::Tcp { connected: true },
                Ok(Err(error)) => Outcome::Failed { why: self.unreachable(*port, &error) },
                Err(_) => late(),
            },
            Probe::Http { port, path, statuses } => {
                match timeout(limit, http::get(self.address(*port), path)).await {
                    Ok(Ok(status)) => Outcome::Http { status, passed: passes(status, statuses) },
                    Ok(Err(error)) => Outcome::Failed { why: self.unreachable(*port, &error) },
                    Err(_) => late(),
                }
            }
        }
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.target.address, port)
    }

    fn unreachable(&self, port: u16, error: &std::io::Error) -> String {
        format!("{}: {error}", self.address(port))
    }
}

fn passes(status: u16, statuses: &[u16]) -> bool {
    if statuses.is_empty() { (200..400).contains(&status) } else { statuses.contains(&status) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;

    use super::*;
    use crate::executor::checks::Rules;

    /// Exit codes by turns; the last one stays.
    struct Scripted(Mutex<Vec<i32>>);

    #[async_trait]
    impl ProbeCommand for Scripted {
        async fn run(&self, _argv: &[String], _timeout: Duration) -> Result<i32, String> {
            let mut codes = self.0.lock().unwrap();
            Ok(if codes.len() > 1 { codes.remove(0) } else { codes[0] })
        }
    }

    async fn findings(codes: &[i32], grace: u64, wanted: usize) -> Vec<Finding> {
        let env = Env::simulated("checks", 1, Timestamp::UNIX_EPOCH);
        let check = Check {
            probe: Probe::Command { argv: vec!["check".to_owned()] },
            delay: Duration::ZERO,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            rules: Rules { grace: Duration::from_secs(grace), max_failures: 2 },
        };
        let commands = Arc::new(Scripted(Mutex::new(codes.to_vec())));
        let target = Target { address: super::super::LOOPBACK, commands, started: Instant::now() };
        let (sender, mut receiver) = mpsc::channel(1);
        let prober = Prober { env: env.clone(), index: 0, check, target };
        let running = env.spawn("prober", prober.run(sender));
        let mut found = Vec::new();
        while found.len() < wanted {
            found.push(receiver.recv().await.unwrap());
        }
        drop(receiver);
        assert!(running.join().await.is_ok(), "the prober ends with its receiver");
        found
    }

    #[tokio::test(start_paused = true)]
    async fn verdicts_follow_the_probes() {
        let found = findings(&[1, 0, 1, 1, 0], 0, 3).await;
        assert_eq!(found.iter().map(|f| f.healthy).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!((found[1].failures, found[1].outcome.detail()), (2, "command exited with 1".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_within_the_grace_period_change_nothing() {
        let found = findings(&[1, 1, 1, 0, 1], 60, 2).await;
        assert_eq!(found.iter().map(|f| f.healthy).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn listed_statuses_replace_the_usual_range() {
        assert!(passes(200, &[]) && passes(399, &[]) && !passes(400, &[]) && !passes(199, &[]));
        assert!(passes(503, &[503]) && !passes(200, &[503]));
    }
}
