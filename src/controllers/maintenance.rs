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
use super::questions::Questions;
use super::sightings::Sightings;
use crate::api::Agent;
use crate::env::Env;
use crate::mesos::session::Session;
use crate::mesos::wire::{AgentId, OfferId};
use crate::plan::maintenance::{self, LAPSES};
use crate::registry::Cache;
use crate::runtime::View;

/// The loop of planned maintenance.
#[derive(Debug)]
pub(super) struct Maintenance {
    env: Env,
    view: View<Machines>,
    session: Session,
    questions: Questions,
    sightings: Sightings,
    /// Machines of which a plan is known, and when it was last heard of.
    heard: BTreeMap<AgentId, Instant>,
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
        let heard = planned.map(|it| (AgentId::new(it.agent_id), Instant::now())).collect();
        Maintenance { env, view, session, questions, sightings, heard }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        loop {
            let lapse = self.heard.values().min().map(|at| *at + LAPSES);
            let lapsed = async {
                match lapse {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.questions.asked_something() => self.answer().await,
                () = lapsed => self.forget(),
            }
        }
    }

    async fn answer(&mut self) {
        self.view.catch_up();
        let (now, index) = (self.env.now(), &self.view.scene().index);
        let mut answers: BTreeMap<(bool, Duration), Vec<OfferId>> = BTreeMap::new();
        for question in self.questions.take() {
            let tasks = index.taken(&question.agent.value).count();
            let answer = maintenance::answer(&question.plan, tasks, now);
            answers.entry((answer.is_free, answer.again)).or_default().push(question.id);
            self.heard.insert(question.agent.clone(), Instant::now());
            self.sightings.planned(question.agent, Some(question.plan));
        }
        for ((is_free, again), questions) in answers {
            let answered = if is_free {
                self.session.accept_inverse_offers(questions, again).await
            } else {
                self.session.decline_inverse_offers(questions, again).await
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "questions for machines not answered: they come again");
            }
        }
    }

    /// Plans of which nothing was heard for too long are over. Nobody asks for a machine that has nothing of ours: what is known of
    /// such ones harms nobody, and their next offer says what is true.
    fn forget(&mut self) {
        self.view.catch_up();
        let now = Instant::now();
        let (index, sightings) = (&self.view.scene().index, &self.sightings);
        self.heard.retain(|agent, heard| {
            let is_over = *heard + LAPSES <= now;
            if is_over && index.taken(&agent.value).next().is_some() {
                sightings.planned(agent.clone(), None);
            }
            !is_over
        });
    }
}
