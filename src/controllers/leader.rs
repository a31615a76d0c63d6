//! What a leader does: all loops of one term, started after a linearised read of the store, stopped together when the term
//! ends.
//!
//! ```text
//! Election ──Term──▶ lead: read the store ─▶ subscribe (ends an older leader's stream) ─▶ loops … until the term ends
//! ```

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::agents::{self, Agents};
use super::census::Census;
use super::contact::{Contact, Trouble};
use super::deployment::Deployment;
use super::endpoints::Publish;
use super::ends::Ends;
use super::events::Recorder;
use super::framework::Terms;
use super::gc::Gc;
use super::health::Health;
use super::identity::StoredIdentity;
use super::maintenance::Maintenance;
use super::messages::Messages;
use super::objects::resource;
use super::offers::Offers;
use super::orphans::{self, Orphans};
use super::placement::{self, Placement};
use super::reconcile::Reconcile;
use super::runner::Runner;
use super::session::{Dispatch, News, Signals, UPDATES};
use super::silent::Silent;
use super::standing::{Patience, Standing};
use super::status::StatusWriter;
use super::teardown::Teardown;
use crate::api::Task;
use crate::env::{Env, watch};
use crate::mesos::connection::Connection;
use crate::mesos::session::{self, EndReason, Session, SessionConfig};
use crate::mesos::wire::{FrameworkInfo, TaskStatus};
use crate::plan::gc::Retention;
use crate::plan::health::Limits;
use crate::plan::placement::LeasePolicy;
use crate::plan::size::Sharing;
use crate::registry::{Doc, Registry};
use crate::runtime::{Backoff, Compaction, Election, Facts, Group, LoopEnded, Term, Writer, drive};

/// Everything that leading takes.
#[derive(Debug, Clone)]
pub struct Leader {
    pub env: Env,
    pub registry: Arc<Registry>,
    /// What the installation remembers beside objects.
    pub facts: Facts,
    /// The way to the cluster.
    pub connection: Arc<dyn Connection>,
    /// Who we are to the cluster; the id is filled in from `facts`.
    pub framework: FrameworkInfo,
    /// The installation's uid.
    pub installation: Arc<str>,
    /// Which process leads, for people.
    pub host: Arc<str>,
    pub policy: Policy,
    /// What is known of the contact to the cluster, for whoever shares it.
    pub contact: Contact,
    /// How tasks ended, for whoever counts them.
    pub ends: Ends,
    /// What there is in numbers, for whoever shows them.
    pub census: Census,
    /// The offers that are held, for whoever shares them.
    pub offers: Offers,
    /// The way to executors, for whoever shares it.
    pub messages: Messages,
    /// A framework that Mesos has removed, and in whose place a new one shall be registered.
    pub anew: Option<Arc<str>>,
}

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct Policy {
    pub leases: LeasePolicy,
    pub launches: Limits,
    pub retention: Retention,
    pub sharing: Sharing,
    /// Who runs the tasks.
    pub runner: Runner,
}

impl Policy {
    /// For a cluster that nobody else uses, such as the embedded one.
    #[must_use]
    pub fn sole() -> Policy {
        Policy {
            leases: LeasePolicy::sole(),
            launches: Limits::default(),
            retention: Retention::default(),
            sharing: Sharing::Sole,
            runner: Runner::Embedded,
        }
    }

    /// For a cluster that is shared with other frameworks, where `runner` runs the tasks.
    #[must_use]
    pub fn shared(runner: Runner) -> Policy {
        Policy { leases: LeasePolicy::shared(), sharing: Sharing::Shared, runner, ..Policy::sole() }
    }
}

/// Why nobody leads any more although nothing asked for it.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// A loop ended: a fault in Tenure.
    #[error("failed to keep the loops running")]
    Loop(#[source] LoopEnded),
}

/// Why a term is over.
#[derive(Debug)]
enum Over {
    /// The store says so, or may.
    Deposed,
    /// The session cannot go on.
    Ended(EndReason),
    /// There was no contact to the cluster for too long.
    LockedOut(Trouble),
}

/// An offer is given back by the session only if placement has not done so long before.
const LEASE_MARGIN: Duration = Duration::from_secs(60);
/// How many documents are decoded before others have their turn.
const DECODED_AT_ONCE: usize = 256;
/// Reports of tasks that the store does not know and that wait to be judged.
const STRANGERS: usize = 1024;

impl Leader {
    /// Stands for leadership and leads, term after term, until `stop` fires.
    ///
    /// # Errors
    /// [`LeadError`] when leading again would do harm or no good.
    pub async fn run(&self, election: &Election, stop: CancellationToken) -> Result<(), LeadError> {
        let mut standing = Standing::new(&self.env, &self.contact, election);
        loop {
            let term = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                term = standing.elected() => term,
                never = self.stay_ready() => match never {},
            };
            let end = tokio::select! {
                biased;
                end = self.lead(&term, standing.patience()) => end,
                () = stop.cancelled() => Ok(Over::Deposed),
            };
            self.contact.standby();
            self.census.standby();
            self.offers.standby();
            self.messages.standby();
            if let Err(error) = term.resign().await {
                tracing::debug!(%error, "lease not given back: it runs out by itself");
            }
            standing.over();
            match end? {
                Over::Ended(EndReason::FailedOver) => {
                    tracing::info!(
                        "failed over: another server of this installation leads and has subscribed"
                    );
                }
                Over::LockedOut(trouble) => standing.locked_out(trouble),
                // The next session asks nobody until a person has decided.
                Over::Ended(EndReason::Removed { .. } | EndReason::Closed) | Over::Deposed => {}
            }
        }
    }

    /// Decodes what the loops of a term look at, while somebody else leads: a successor then loses no time over it.
    async fn stay_ready(&self) -> Infallible {
        let (snapshot, mut changes) = self.registry.cache().follow(Some(resource::<Task>()));
        let mut docs: Vec<Arc<Doc>> = snapshot.list(&resource::<Task>(), None).cloned().collect();
        loop {
            for (count, doc) in docs.iter().enumerate() {
                // What cannot be read is told by the loops that want to.
                let _unreadable = doc.typed::<Task>();
                if count % DECODED_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
            docs = match changes.next().await {
                Ok(changes) => changes.iter().filter_map(|change| change.new.clone()).collect(),
                Err(_cut) => changes.resync().list(&resource::<Task>(), None).cloned().collect(),
            };
        }
    }

    /// Leads for one term; returns when it is over and nothing of it acts any more, with the reason.
    ///
    /// # Errors
    /// When a loop ended.
    async fn lead(&self, term: &Term, patience: Patience) -> Result<Over, LeadError> {
        if !self.read_store(term).await {
            return Ok(Over::Deposed);
        }
        let (updates, told) = mpsc::channel(UPDATES);
        let identity = Arc::new(self.identity(term, updates.clone()));
        let (session, events) = self.subscribe(identity.clone());
        self.offers.lead(session.leases().clone());
        self.messages.lead(session.clone());
        let (dispatch, news) = Dispatch::new(self.env.clone(), events, self.contact.clone(), (updates, told));
        let mut group = Group::new(self.env.clone());
        let ended: Arc<Mutex<Option<Over>>> = Arc::default();
        let (noted, of_term, contact) = (ended.clone(), term.clone(), self.contact.clone());
        group.spawn("session", async move {
            // It goes only when the term has: loops that hear nothing more are stopped before they notice.
            let mut dispatched = std::pin::pin!(dispatch.run());
            let over = tokio::select! {
                biased;
                reason = &mut dispatched => Over::Ended(reason),
                trouble = patience.ends(contact) => Over::LockedOut(trouble),
            };
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(over);
            of_term.depose();
            std::future::pending::<()>().await;
        });
        self.start_loops(&mut group, term, &session, news);
        let over =
            if planted!("deposed-leader-goes-on") { CancellationToken::new() } else { term.ended().clone() };
        let end = group.run_until(over).await;
        session.close();
        end.map_err(LeadError::Loop)?;
        let over = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Over::Ended(EndReason::Removed { message })) = &over {
            self.removed(&identity, message).await;
        }
        Ok(over.unwrap_or(Over::Deposed))
    }

    /// The cluster has removed the framework and ended all its tasks. One that had nothing to lose is registered anew; otherwise
    /// that is for a person to decide. While the store does not tell which, the next subscription is refused again.
    async fn removed(&self, identity: &StoredIdentity, message: &str) {
        let unknown = |error| tracing::warn!(%error, message, "the framework was removed: not yet known whether it matters");
        match identity.forget_unused().await {
            Ok(true) => {
                tracing::warn!(
                    message,
                    "the framework was removed before it launched anything: registering anew"
                );
            }
            Ok(false) => match identity.remember_removal().await {
                Ok(to_do) => tracing::error!(message, "{to_do}"),
                Err(error) => unknown(error),
            },
            Err(error) => unknown(error),
        }
    }

    /// Waits until the view shows everything that was written before this term; false when the term ended before.
    async fn read_store(&self, term: &Term) -> bool {
        let mut failures = 0;
        let read = async {
            while let Err(error) = self.registry.cache().most_recent().await {
                tracing::warn!(%error, "failed to read the store after winning the election");
                failures += 1;
                self.env.sleep(Backoff::RETRY.after(failures, &self.env)).await;
            }
        };
        tokio::select! {
            biased;
            () = term.ended().cancelled() => false,
            () = read => true,
        }
    }

    fn identity(&self, term: &Term, updates: mpsc::Sender<TaskStatus>) -> StoredIdentity {
        StoredIdentity {
            updates,
            contact: self.contact.clone(),
            facts: self.facts.clone(),
            term: term.clone(),
            cache: self.registry.cache().clone(),
            framework: self.framework.clone(),
            anew: self.anew.clone(),
        }
    }

    fn subscribe(&self, identity: Arc<StoredIdentity>) -> (Session, session::SessionEvents) {
        self.contact.subscribing();
        let config = SessionConfig {
            lease: self.policy.leases.hold_imminent + LEASE_MARGIN,
            tally: self.contact.tally(),
            ..SessionConfig::default()
        };
        session::start(&self.env, self.connection.clone(), identity, config)
    }

    /// Starts the loops that look at one object at a time.
    fn start_reconcilers(&self, group: &mut Group, writer: &Writer, recorder: &Recorder, silent: Silent) {
        let (env, cache) = (&self.env, self.registry.cache());
        let deployment = Deployment { env: env.clone(), writer: writer.clone(), recorder: recorder.clone() };
        group.spawn("deployment", drive(env.clone(), cache.clone(), deployment));
        let health = Health {
            env: env.clone(),
            writer: writer.clone(),
            recorder: recorder.clone(),
            limits: self.policy.launches.clone(),
            silent,
        };
        group.spawn("health", drive(env.clone(), cache.clone(), health));
        group
            .spawn("endpoints", drive(env.clone(), cache.clone(), Publish::new(env.clone(), writer.clone())));
        let gc = Gc { env: env.clone(), writer: writer.clone(), retention: self.policy.retention.clone() };
        group.spawn("gc", drive(env.clone(), cache.clone(), gc));
    }

    fn start_placement(
        &self,
        group: &mut Group,
        writer: &Writer,
        recorder: &Recorder,
        session: &Session,
        signals: &watch::Receiver<Signals>,
    ) {
        let parts = placement::Parts {
            env: self.env.clone(),
            cache: self.registry.cache().clone(),
            writer: writer.clone(),
            recorder: recorder.clone(),
            session: session.clone(),
            signals: signals.clone(),
            contact: self.contact.clone(),
            census: self.census.clone(),
            offers: self.offers.clone(),
            policy: self.policy.leases.clone(),
            runner: self.policy.runner.clone(),
            terms: Terms::of(&self.framework),
            installation: self.installation.clone(),
        };
        // Each loop reads the store for itself, beside the others.
        group.spawn("placement", async move { Placement::new(parts).run().await });
    }

    fn start_loops(&self, group: &mut Group, term: &Term, session: &Session, news: News) {
        let env = self.env.clone();
        let cache = self.registry.cache();
        let writer = Writer::new(self.registry.clone(), term.clone());
        let recorder = Recorder { host: self.host.clone() };
        let News { signals, updates, sightings, questions } = news;
        let (strangers, reported) = mpsc::channel(STRANGERS);

        let silent = Silent::default();
        self.start_reconcilers(group, &writer, &recorder, silent.clone());
        group.spawn("silent launches", silent.ask(env.clone(), session.clone(), signals.clone()));
        self.start_placement(group, &writer, &recorder, session, &signals);
        let (of_loop, view) =
            ((env.clone(), writer.clone(), session.clone(), signals.clone()), cache.clone());
        group.spawn("teardown", async move {
            let (env, writer, session, signals) = of_loop;
            Teardown::new(env, &view, writer, session, signals).run().await;
        });
        let (of_loop, view, seen) = ((env.clone(), session.clone()), cache.clone(), sightings.clone());
        group.spawn("maintenance", async move {
            let (env, session) = of_loop;
            Maintenance::new(env, &view, session, questions, seen).run().await;
        });
        let parts = agents::Parts {
            env: env.clone(),
            cache: cache.clone(),
            writer: writer.clone(),
            recorder: recorder.clone(),
            session: session.clone(),
            signals: signals.clone(),
            sightings: sightings.clone(),
            sharing: self.policy.sharing,
        };
        group.spawn("agents", async move { Agents::new(parts).run().await });

        let status = StatusWriter {
            env: env.clone(),
            cache: cache.clone(),
            writer: writer.clone(),
            recorder: recorder.clone(),
            session: session.clone(),
            ends: self.ends.clone(),
            runner: self.policy.runner.clone(),
            updates,
            strangers,
        };
        group.spawn("status", status.run());
        let reconcile = Reconcile {
            env,
            cache: cache.clone(),
            session: session.clone(),
            signals: signals.clone(),
            sightings,
        };
        group.spawn("reconcile", reconcile.run());
        let orphans = Orphans::new(orphans::Parts {
            env: self.env.clone(),
            writer: writer.clone(),
            recorder: recorder.clone(),
            session: session.clone(),
            signals: signals.clone(),
            installation: self.installation.clone(),
            strangers: reported,
        });
        group.spawn("orphans", orphans.run());
        let compaction = Compaction {
            env: self.env.clone(),
            store: self.facts.store().clone(),
            cache: cache.clone(),
            term: term.clone(),
        };
        group.spawn("compaction", compaction.run());
    }
}
