//! What commits tell: lines of the log, and counts of what was done.

use std::sync::Arc;

use tenure::api::{Revision, Task};
use tenure::registry::{Change, Doc};

use super::sim::Sim;

/// Everything that a world of many seeds must have done at least once.
pub(crate) const ACTS: [&str; 27] = [
    "bind",
    "call ACCEPT",
    "call ACKNOWLEDGE",
    "call DECLINE",
    "call KILL",
    "call RECONCILE",
    "call REVIVE",
    "call SUBSCRIBE",
    "call SUPPRESS",
    "compact",
    "conflict",
    "create Revision",
    "create Task",
    "delete Revision",
    "edit",
    "forget Task",
    "release Task",
    "renumber Revision",
    "stop LaunchTimedOut",
    "stop Replaced",
    "stop ScaledDown",
    "stop Surplus",
    "stop Unhealthy",
    "task started",
    "tell Event",
    "write Agent",
    "write Endpoints",
];

/// Tells of the changes of one commit.
pub(crate) fn tell(sim: &Sim, changes: &[Change]) {
    for change in changes {
        match change.key.resource.plural() {
            "tasks" => task(sim, change),
            "revisions" => revision(sim, change),
            plural => {
                match plural {
                    "endpoints" => sim.act("write Endpoints"),
                    "agents" => sim.act("write Agent"),
                    "events" => sim.act("tell Event"),
                    _ => {}
                }
                let what = if change.new.is_some() { "put" } else { "delete" };
                sim.log(format_args!("store {} {what} {}", change.revision, change.key));
            }
        }
    }
}

fn typed<K: serde::de::DeserializeOwned + Send + Sync + 'static>(doc: Option<&Arc<Doc>>) -> Option<Arc<K>> {
    doc.and_then(|doc| doc.typed::<K>().ok())
}

fn is_cut_off(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| !status.reachable)
}

fn task(sim: &Sim, change: &Change) {
    let (old, new) = (typed::<Task>(change.old.as_ref()), typed::<Task>(change.new.as_ref()));
    let Some(new) = new else {
        // Its end was never seen: its agent has been cut off for too long.
        let is_forgotten = old.as_ref().is_some_and(|old| !old.is_terminal() && is_cut_off(old));
        sim.act(if is_forgotten { "forget Task" } else { "release Task" });
        return sim.log(format_args!("store {} delete {}", change.revision, change.key));
    };
    if old.is_none() {
        sim.act("create Task");
    }
    let was_bound = old.as_ref().is_some_and(|it| it.spec.binding.is_some());
    match (was_bound, new.spec.binding.is_some()) {
        (false, true) => sim.act("bind"),
        (true, false) => sim.act("unbind"),
        _ => {}
    }
    if let Some(stop) = &new.spec.stop
        && old.as_ref().is_none_or(|it| it.spec.stop.is_none())
    {
        sim.act(&format!("stop {}", stop.reason));
    }
    let status = new.status.clone().unwrap_or_default();
    let (stop, host) = (new.spec.stop.as_ref(), new.spec.binding.as_ref());
    sim.log(format_args!(
        "store {} put {} slot {} {:?} {:?} healthy {:?} reachable {} on {:?} stop {:?} deleting {}",
        change.revision,
        change.key,
        new.spec.slot,
        new.phase(),
        status.state,
        status.healthy,
        status.reachable,
        host.map(|it| &it.host),
        stop.map(|it| &it.reason),
        new.metadata.deletion_timestamp.is_some(),
    ));
}

fn revision(sim: &Sim, change: &Change) {
    let (old, new) = (typed::<Revision>(change.old.as_ref()), typed::<Revision>(change.new.as_ref()));
    let what = match (&old, &new) {
        (None, Some(_)) => "create Revision",
        (Some(old), Some(new)) if old.spec.number != new.spec.number => "renumber Revision",
        (_, Some(_)) => "touch Revision",
        (_, None) => "delete Revision",
    };
    sim.act(what);
    let number = new.map(|it| it.spec.number);
    sim.log(format_args!("store {} {what} {} as {number:?}", change.revision, change.key));
}
