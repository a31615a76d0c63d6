//! What runs without being owned.
//!
//! A task that the cluster reports and the store does not own is killed, if it carries this installation's uid. The
//! store must have been read after the report was made, or a Task that was just created would be taken for an orphan.
//! Very many orphans at once mean that the store, not the cluster, has lost something: then nothing is killed before
//! a person has confirmed it, machine by machine, and what was asked about once stays asked about.

use std::collections::BTreeMap;

use crate::api::{Orphans, names};

/// A Task that the cluster reported as alive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reported {
    /// The id that Mesos knows it by.
    pub mesos_task_id: String,
    /// Where it is.
    pub agent_id: Option<String>,
    /// Uid of the installation that launched it, from its labels; `None` if it carries none.
    pub installation: Option<String>,
}

/// What is written on a machine's object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it asks about orphans already.
    pub asks: bool,
    /// The digest of the orphans whose end a person has confirmed.
    pub confirmed: Option<String>,
}

/// What to do about orphans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Kill these; often none.
    pub kill: Vec<Reported>,
    /// Ask about those of these machines, by agent id.
    pub ask: BTreeMap<String, Orphans>,
    /// These that no agent is known of can be neither killed nor asked about.
    pub nowhere: usize,
    /// The most that are killed without asking.
    pub limit: usize,
}

/// The most orphans that are killed without asking: 10, or one in twenty of the Tasks that the store owns.
#[must_use]
pub fn limit(owned: usize) -> usize {
    10.max(owned / 20)
}

/// The orphans among `reported`: ours, and `is_owned` does not know them, each once.
#[must_use]
pub fn among(reported: &[Reported], installation: &str, is_owned: impl Fn(&str) -> bool) -> Vec<Reported> {
    let ours = |it: &&Reported| it.installation.as_deref() == Some(installation);
    let mut orphans: Vec<_> =
        reported.iter().filter(ours).filter(|it| !is_owned(&it.mesos_task_id)).cloned().collect();
    orphans.sort();
    orphans.dedup();
    orphans
}

/// Judges `orphans`, beside which the store owns `owned` Tasks; `standing` is what the objects of their machines say.
#[must_use]
pub fn judge(orphans: Vec<Reported>, owned: usize, standing: &BTreeMap<String, Standing>) -> Verdict {
    let limit = limit(owned);
    let too_many = orphans.len() > limit;
    let mut verdict = Verdict { limit, ..Verdict::default() };
    let mut by_agent: BTreeMap<Option<String>, Vec<Reported>> = BTreeMap::new();
    for orphan in orphans {
        by_agent.entry(orphan.agent_id.clone()).or_default().push(orphan);
    }
    for (agent, orphans) in by_agent {
        let stands = agent.as_ref().and_then(|it| standing.get(it)).cloned().unwrap_or_default();
        let question = question(&orphans);
        if !(too_many || stands.asks) || stands.confirmed.as_ref() == Some(&question.digest) {
            verdict.kill.extend(orphans);
        } else if let Some(agent) = agent {
            verdict.ask.insert(agent, question);
        } else {
            verdict.nowhere += orphans.len();
        }
    }
    verdict
}

/// What a person is asked to confirm: exactly these, and no others that may come.
fn question(orphans: &[Reported]) -> Orphans {
    let mut ids: Vec<&str> = orphans.iter().map(|it| it.mesos_task_id.as_str()).collect();
    ids.sort_unstable();
    let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    Orphans { count, digest: names::short_hash(ids.join("\n").as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(id: &str, installation: Option<&str>) -> Reported {
        let (mesos_task_id, installation) = (id.to_owned(), installation.map(str::to_owned));
        Reported { mesos_task_id, agent_id: Some("agent-1".into()), installation }
    }

    fn many(count: usize, agent: &str) -> Vec<Reported> {
        let orphan =
            |n| Reported { agent_id: Some(agent.into()), ..reported(&format!("{agent}-{n}"), Some("us")) };
        (0..count).map(orphan).collect()
    }

    fn standing(agent: &str, asks: bool, confirmed: Option<&str>) -> BTreeMap<String, Standing> {
        [(agent.to_owned(), Standing { asks, confirmed: confirmed.map(str::to_owned) })].into()
    }

    #[test]
    fn only_what_is_ours_and_not_owned_is_an_orphan() {
        let all = [
            reported("owned", Some("us")),
            reported("orphan", Some("us")),
            reported("theirs", Some("them")),
            reported("nobodys", None),
            reported("orphan", Some("us")),
        ];
        assert_eq!(among(&all, "us", |id| id == "owned"), [reported("orphan", Some("us"))]);
    }

    #[test]
    fn very_many_at_once_are_asked_about() {
        // orphans, owned, killed
        for (orphans, owned, killed) in [(10, 0, 10), (11, 0, 0), (50, 1000, 50), (51, 1000, 0)] {
            let verdict = judge(many(orphans, "a"), owned, &BTreeMap::new());
            assert_eq!(verdict.kill.len(), killed, "{orphans} orphans beside {owned}");
            assert_eq!(verdict.ask.is_empty(), killed > 0);
        }
    }

    #[test]
    fn a_confirmation_holds_for_the_orphans_that_were_asked_about_and_no_others() {
        let asked = judge(many(11, "a"), 0, &BTreeMap::new()).ask["a"].clone();
        assert_eq!(asked.count, 11);
        let confirmed = standing("a", true, Some(&asked.digest));
        assert_eq!(judge(many(11, "a"), 0, &confirmed).kill.len(), 11);
        let grown = judge(many(12, "a"), 0, &confirmed);
        assert!(grown.kill.is_empty() && grown.ask["a"].digest != asked.digest);
    }

    #[test]
    fn a_confirmation_of_one_machine_leaves_the_question_about_another() {
        let all: Vec<Reported> = many(8, "a").into_iter().chain(many(8, "b")).collect();
        let asked = judge(all.clone(), 0, &BTreeMap::new()).ask;
        let mut standing = standing("a", true, Some(&asked["a"].digest));
        standing.insert("b".into(), Standing { asks: true, confirmed: None });
        let verdict = judge(all, 0, &standing);
        assert_eq!((verdict.kill.len(), verdict.ask.len()), (8, 1));
        // Those of the other one alone would not be too many.
        let verdict = judge(many(8, "b"), 0, &standing);
        assert_eq!((verdict.kill.len(), verdict.ask.contains_key("b")), (0, true));
    }

    #[test]
    fn orphans_of_no_known_machine_are_counted() {
        let lost = |it: Reported| Reported { agent_id: None, ..it };
        let verdict = judge(many(11, "a").into_iter().map(lost).collect(), 0, &BTreeMap::new());
        assert_eq!((verdict.kill.len(), verdict.ask.len(), verdict.nowhere), (0, 0, 11));
    }
}
