//! Answers the cluster's questions for machines that are to be taken away: yes once nothing of ours is there.
//!
//! observe (questions, our Tasks on the machine) → `plan::maintenance` → act (ACCEPT or DECLINE of the inverse offer) → report (the
//! plan, and its end, go to the Agent's status as sightings). Tasks are moved by the loop of deployments, which reads that status.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::machines::Machines;
use super::objects::resource;
use super::questions::{Posts, Question, Questions};
use super::sightings::Sightings;
use crate::api::Agent;
use crate::env::Env;
use crate::mesos::session::Session;
use crate::mesos::wire::{AgentId, OfferId};
use crate::plan::maintenance::{self, AGAIN, Answer, LAPSES, LATER, RENEWS, WAITS};
use crate::registry::Cache;
use crate::runtime::View;

/// How often it is looked at whether a machine is left.
const GLANCE: Duration = Duration::from_secs(2);

/// The loop of planned maintenance.
#[derive(Debug)]
pub(super) struct Maintenance {
    env: Env,
    view: View<Machines>,
    session: Session,
    questions: Questions,
    sightings: Sightings,
    /// Questions that wait for their machines to be left, and since when.
    open: BTreeMap<AgentId, (Instant, Question)>,
    /// Machines of which a plan is known, and when it is over unless it is heard of.
    lapses: BTreeMap<AgentId, Instant>,
}

impl Maintenance {
    pub(super) fn new(
        env: Env,
        cache: &Arc<Cache>,
        session: Session,
        questions: Questions,
        sightings: Sightings,
    ) -> Maintenance {
        let view = View::open(cache);
        let agents = view.scene().snapshot.list(&resource::<Agent>(), None);
        let planned = agents
            .filter_map(|doc| doc.typed::<Agent>().ok()?.status.clone())
            .filter(|it| it.maintenance.is_some());
        // A plan that an earlier leader knew of has the same time to be heard of again.
        let lapses = planned.map(|it| (AgentId::new(it.agent_id), Instant::now() + LAPSES)).collect();
        Maintenance { env, view, session, questions, sightings, open: BTreeMap::new(), lapses }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        loop {
            let lapse = self.lapses.values().min().copied();
            let lapsed = async {
                match lapse {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let settle = async {
                match self.open.is_empty() {
                    true => std::future::pending().await,
                    false => self.env.sleep(GLANCE).await,
                }
            };
            tokio::select! {
                biased;
                () = self.questions.heard_something() => self.listen().await,
                () = settle => self.answer().await,
                () = lapsed => self.forget(),
            }
        }
    }

    async fn listen(&mut self) {
        let Posts { is_cut, withdrawn, asked } = self.questions.take();
        let now = Instant::now();
        if is_cut {
            // Whoever asked is asked anew once there is a subscription again.
            self.open.clear();
            self.lapses.values_mut().for_each(|at| *at = now + LAPSES);
        }
        self.open.retain(|agent, (_, question)| {
            let is_open = !withdrawn.contains(&question.id);
            if !is_open {
                self.lapses.insert(agent.clone(), now + RENEWS);
            }
            is_open
        });
        for question in asked.into_values() {
            self.lapses.insert(question.agent.clone(), now + LAPSES);
            self.sightings.planned(question.agent.clone(), Some(question.plan.clone()));
            self.open.insert(question.agent.clone(), (now, question));
        }
        self.answer().await;
    }

    /// Answers what can be answered. Questions that were withdrawn meanwhile are answered in vain.
    async fn answer(&mut self) {
        self.view.catch_up();
        let (now, index) = (self.env.now(), &self.view.scene().index);
        let mut answers: BTreeMap<(bool, Duration), Vec<(Instant, Question)>> = BTreeMap::new();
        self.open.retain(|agent, (since, question)| {
            let tasks = index.taken(&agent.value).count();
            let answer = match maintenance::answer(&question.plan, tasks, now) {
                Answer::Free => (true, LATER),
                Answer::NotYet(again) => (false, again),
                Answer::Wait if since.elapsed() < WAITS => return true,
                Answer::Wait => {
                    self.lapses.insert(agent.clone(), Instant::now() + RENEWS);
                    (false, AGAIN)
                }
            };
            answers.entry(answer).or_default().push((*since, question.clone()));
            false
        });
        for ((is_free, again), answered) in answers {
            let questions: Vec<OfferId> = answered.iter().map(|(_, question)| question.id.clone()).collect();
            let sent = if is_free {
                self.session.accept_inverse_offers(questions, again).await
            } else {
                self.session.decline_inverse_offers(questions, again).await
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "questions for machines not answered yet");
                for (since, question) in answered {
                    self.lapses.insert(question.agent.clone(), Instant::now() + LAPSES);
                    self.open.insert(question.agent.clone(), (since, question));
                }
            }
        }
    }

    /// Plans of which nothing was heard for too long are over. Nobody asks for a machine that has nothing of ours: what is known of
    /// such ones harms nobody, and their next offer says what is true.
    fn forget(&mut self) {
        self.view.catch_up();
        let now = Instant::now();
        let (index, sightings) = (&self.view.scene().index, &self.sightings);
        self.lapses.retain(|agent, lapses| {
            let is_over = *lapses <= now;
            if is_over && index.taken(&agent.value).next().is_some() {
                sightings.planned(agent.clone(), None);
            }
            !is_over
        });
    }
}
