//! What runs without being owned.
//!
//! A Task that the cluster reports and the store does not own is killed, if it carries this installation's uid. The
//! store must have been read after the report was made, or a Task that was just created would be taken for an orphan.
//! Very many orphans at once mean that the store, not the cluster, has lost something: then nothing is killed before
//! a person has confirmed it.

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

/// What to do about orphans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Kill these; often none.
    Kill(Vec<Reported>),
    /// Too many at once: stop and ask.
    Ask {
        /// All of them.
        orphans: Vec<Reported>,
        /// The most that are killed without asking.
        limit: usize,
    },
}

/// The most orphans that are killed without asking: 10, or one in twenty of the Tasks that the store owns.
#[must_use]
pub fn limit(owned: usize) -> usize {
    10.max(owned / 20)
}

/// Judges what the cluster reported.
///
/// `is_owned` says whether the store has a Task with this Mesos id that has not ended; `owned` is the number of such
/// Tasks. `confirmed` is whether a person agreed to kill any number.
#[must_use]
pub fn judge(
    reported: &[Reported],
    installation: &str,
    is_owned: impl Fn(&str) -> bool,
    owned: usize,
    confirmed: bool,
) -> Verdict {
    let ours = |it: &&Reported| it.installation.as_deref() == Some(installation);
    let mut orphans: Vec<_> =
        reported.iter().filter(ours).filter(|it| !is_owned(&it.mesos_task_id)).cloned().collect();
    orphans.sort();
    orphans.dedup();
    let limit = limit(owned);
    if orphans.len() > limit && !confirmed { Verdict::Ask { orphans, limit } } else { Verdict::Kill(orphans) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(id: &str, installation: Option<&str>) -> Reported {
        let (mesos_task_id, installation) = (id.to_owned(), installation.map(str::to_owned));
        Reported { mesos_task_id, agent_id: Some("agent-1".into()), installation }
    }

    #[test]
    fn only_what_is_ours_and_not_owned_is_killed() {
        let all = [
            reported("owned", Some("us")),
            reported("orphan", Some("us")),
            reported("theirs", Some("them")),
            reported("nobodys", None),
            reported("orphan", Some("us")),
        ];
        let verdict = judge(&all, "us", |id| id == "owned", 1, false);
        assert_eq!(verdict, Verdict::Kill(vec![reported("orphan", Some("us"))]));
    }

    #[test]
    fn very_many_at_once_are_asked_about() {
        let many =
            |count: usize| (0..count).map(|n| reported(&format!("{n}"), Some("us"))).collect::<Vec<_>>();
        // orphans, owned, confirmed, killed
        for (orphans, owned, confirmed, killed) in [
            (10, 0, false, true),
            (11, 0, false, false),
            (11, 0, true, true),
            (50, 1000, false, true),
            (51, 1000, false, false),
        ] {
            let verdict = judge(&many(orphans), "us", |_| false, owned, confirmed);
            assert_eq!(matches!(verdict, Verdict::Kill(_)), killed, "{orphans} orphans beside {owned}");
        }
    }
}
