//! Gives waiting Tasks a place: offers are leased, bindings are committed, then offers are accepted.
//!
//! observe (`market`: waiting Tasks and leased offers, kept change by change) → `plan::placement` → act (`launch`: commit,
//! then ACCEPT; DECLINE, SUPPRESS, REVIVE) → report (`waiting`: why Tasks wait, in their App's condition).

mod backlog;
mod convert;
mod lanes;
mod launch;
mod market;
mod soon;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::launch::Launcher;
use self::market::Market;
use self::waiting::WaitingReport;
use super::census::{AgentStates, Census};
use super::contact::Contact;
use super::events::Recorder;
use super::framework::Terms;
use super::offers::{Ask, Offers};
use super::rest::rest;
use super::runner::Runner;
use super::session::Signals;
use super::until;
use crate::env::{Env, watch};
use crate::mesos::session::Session;
use crate::mesos::wire;
use crate::plan::Again;
use crate::plan::placement::{self, Decline, Demand, DemandState, LeasePolicy, Plan};
use crate::registry::Cache;
use crate::runtime::{Backoff, News, Setback, View, Writer};

pub(super) use self::convert::{attributes, lent, ports, scalars, to_api};

/// The most bindings of one pass: enough for an agent to get several Tasks by one ACCEPT, so few that what changes
/// meanwhile is soon seen.
const BINDINGS: usize = 10_000;
/// How soon a pass is tried again that was decided on old facts.
const AGAIN: Duration = Duration::from_millis(200);
/// How long the view may take to show what was just written.
const PATIENCE: Duration = Duration::from_secs(5);

/// The placement loop.
#[derive(Debug)]
pub(super) struct Placement {
    env: Env,
    view: View<AgentStates>,
    session: Session,
    signals: watch::Receiver<Signals>,
    contact: Contact,
    census: Census,
    /// Who wants to know what offers are held for.
    asked: mpsc::Receiver<Ask>,
    policy: LeasePolicy,
    launcher: Launcher,
    report: WaitingReport,
    market: Market,
    /// What the cluster was told about each role of `market`.
    demands: Vec<DemandState>,
    /// The subscription that `demands` speaks of.
    heard: u64,
}

/// What the placement loop works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) env: Env,
    pub(super) cache: Arc<Cache>,
    pub(super) writer: Writer,
    pub(super) recorder: Recorder,
    pub(super) session: Session,
    pub(super) signals: watch::Receiver<Signals>,
    pub(super) contact: Contact,
    pub(super) census: Census,
    pub(super) offers: Offers,
    pub(super) policy: LeasePolicy,
    pub(super) runner: Runner,
    /// What the cluster offers us.
    pub(super) terms: Terms,
    /// The installation's uid.
    pub(super) installation: Arc<str>,
}

impl Placement {
    pub(super) fn new(parts: Parts) -> Placement {
        let Parts { env, cache, writer, recorder, session, signals, contact, .. } = parts;
        let Parts { census, offers, policy, runner, terms, installation, .. } = parts;
        let view = View::open(&cache);
        let launcher = Launcher {
            env: env.clone(),
            writer: writer.clone(),
            session: session.clone(),
            installation,
            runner: runner.clone(),
        };
        let market = Market::of(&view.scene().snapshot, runner, &terms, env.now());
        Placement {
            report: WaitingReport::new(writer, recorder),
            demands: vec![DemandState::default(); market.lanes().iter().count()],
            market,
            heard: Signals::default().generation,
            env,
            view,
            session,
            signals,
            contact,
            census,
            asked: offers.answering(),
            policy,
            launcher,
        }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            // Passes may follow each other without a rest.
            while let Ok(ask) = self.asked.try_recv() {
                self.answer(ask);
            }
            let wait = match self.pass().await {
                Ok(wait) => {
                    failures = 0;
                    wait
                }
                Err(setback) => {
                    setback.log("placement", &"a pass");
                    failures += 1;
                    let is_stale = matches!(setback, Setback::Stale { .. });
                    Some(if is_stale { AGAIN } else { Backoff::RETRY.after(failures, &self.env) })
                }
            };
            if let Some(news) = self.rest(wait).await {
                self.take_in(news);
            }
        }
    }

    /// Waits until there is something to do, and answers meanwhile what offers are held for.
    async fn rest(&mut self, wait: Option<Duration>) -> Option<News> {
        let over = wait.map(|wait| Instant::now() + wait);
        loop {
            let wait = over.map(|over| over.saturating_duration_since(Instant::now()));
            tokio::select! {
                biased;
                news = rest(&self.env, &mut self.view, &mut self.signals, wait) => return news,
                Some(ask) = self.asked.recv() => self.answer(ask),
            }
        }
    }

    /// Tells what offers are held for.
    fn answer(&self, ask: Ask) {
        // Whoever asked may have stopped waiting.
        drop(ask.send(self.market.wanted(&self.view.scene().snapshot)));
    }

    fn take_in(&mut self, news: News) {
        let snapshot = &self.view.scene().snapshot;
        self.market.advance(self.env.now());
        news.iter().for_each(|change| self.market.take(change, snapshot));
    }

    /// One pass over all waiting Tasks and leased offers; says when to look again even if nothing changes.
    async fn pass(&mut self) -> Result<Option<Duration>, Setback> {
        let signals = self.signals.borrow_and_update().clone();
        let now = self.env.now();
        self.note(&signals);
        self.market.advance(now);
        self.market.settle(self.contact.region(), &self.view.scene().snapshot);
        self.market.lease(&self.session.leases().snapshot(), &self.view.scene().snapshot, now);
        let trouble = self.contact.trouble();
        if trouble.is_some() {
            self.market.cut_off();
        }
        let snapshot = &self.view.scene().snapshot;
        let looked_again = self.report.tell(&self.market, trouble.as_ref(), snapshot, now).await?;
        if !signals.subscribed {
            self.count(trouble.is_some());
            return Ok(looked_again);
        }
        let plans = self.plan(now);
        let again = plans.iter().filter_map(|plan| match plan.again {
            _ if plan.more => Some(Duration::ZERO),
            Again::OnChange => None,
            Again::At(at) => Some(until(now, at)),
        });
        let again = again.min();
        self.market.note(&plans);
        self.count(false);
        let tell_again = self.carry_out(plans, now).await?;
        Ok([again, looked_again, tell_again].into_iter().flatten().min())
    }

    /// One plan for each role.
    fn plan(&self, now: Timestamp) -> Vec<Plan> {
        let lanes = self.market.lanes();
        let plan = |((role, lane), demand): ((usize, &lanes::Lane), &DemandState)| {
            placement::plan(&placement::Snapshot {
                now,
                seed: self.env.below(u64::MAX),
                index: &lane.index,
                limit: (BINDINGS / self.demands.len()).max(1),
                leases: &self.policy,
                demand: *demand,
                imminent: lane.imminent(now),
                elsewhere: lanes.elsewhere(role),
            })
        };
        (0..).zip(lanes.iter()).zip(&self.demands).map(plan).collect()
    }

    /// Shows what there is in numbers.
    fn count(&self, is_cut_off: bool) {
        self.census.agents(&self.view.scene().index);
        self.census.waiting(self.market.waiting_for(is_cut_off));
    }

    /// A new subscription knows of our demand what it was told as it began.
    fn note(&mut self, signals: &Signals) {
        if signals.generation != self.heard {
            let is_suppressed = |role: &str| signals.suppressed.iter().any(|it| it == role);
            let lanes = self.market.lanes().iter();
            self.demands = lanes.map(|it| DemandState::subscribed(is_suppressed(&it.role))).collect();
            self.heard = signals.generation;
        }
    }

    /// Says when to look again because something could not be told.
    async fn carry_out(&mut self, plans: Vec<Plan>, now: Timestamp) -> Result<Option<Duration>, Setback> {
        let (mut bindings, mut released, mut demands) = (Vec::new(), Vec::new(), Vec::new());
        for (plan, told) in plans.into_iter().zip(&mut self.demands) {
            if !plan.bindings.is_empty() {
                told.spent = Some(now);
                told.fruitless = 0;
            }
            bindings.extend(plan.bindings);
            released.push((plan.declines, plan.arrivals));
            demands.push(plan.demand);
        }
        if !bindings.is_empty() {
            let snapshot = self.view.scene().snapshot.clone();
            let mut written = Vec::new();
            let launched = self.launcher.launch(bindings, &snapshot, now, &mut written).await;
            self.market.wrote(&written, &snapshot);
            launched?;
            let revision = written.iter().map(|doc| doc.revision()).max().unwrap_or_default();
            let news = tokio::time::timeout(PATIENCE, self.view.reach(revision)).await;
            let news = news.unwrap_or_else(|_| self.view.catch_up());
            self.take_in(news);
        }
        self.decline(released).await;
        Ok(self.tell_demand(&demands, now).await)
    }

    /// Gives offers back, of each role those that its Tasks up to that arrival have seen. What could not be said now is settled by the
    /// next subscription.
    async fn decline(&mut self, released: Vec<(Vec<Decline>, u64)>) {
        let mut by_refusal: BTreeMap<Duration, Vec<wire::OfferId>> = BTreeMap::new();
        for ((declines, arrivals), told) in released.into_iter().zip(&mut self.demands) {
            if !declines.is_empty() {
                told.filtered.get_or_insert(arrivals);
            }
            for decline in declines {
                by_refusal.entry(decline.refuse).or_default().push(wire::OfferId::new(&*decline.offer.0));
            }
        }
        for (refuse, offers) in by_refusal {
            if let Err(error) = self.session.decline(offers, refuse).await {
                tracing::debug!(%error, "offers not declined");
            }
        }
    }

    /// Tells the demand of each role, in one call for all roles of which the same is told. What could not be told is not believed to
    /// be; says when to try again.
    async fn tell_demand(&mut self, demands: &[Demand], now: Timestamp) -> Option<Duration> {
        let mut again = None;
        for demand in [Demand::Suppress, Demand::Revive] {
            let lanes = self.market.lanes().iter().zip(demands).filter(|(_, it)| **it == demand);
            let roles: Vec<String> = lanes.map(|(lane, _)| lane.role.to_string()).collect();
            if roles.is_empty() {
                continue;
            }
            let told = match demand {
                Demand::Suppress => self.session.suppress(roles).await,
                _ => self.session.revive(roles).await,
            };
            if let Err(error) = &told {
                tracing::debug!(%error, "demand for offers not told");
                again = Some(self.policy.revive_gap);
            }
            let meant = self.demands.iter_mut().zip(demands).filter(|(_, it)| **it == demand);
            for (state, _) in meant {
                state.note(demand, told.is_ok(), now);
            }
        }
        again
    }
}
