//! What goes wrong, on request.

use std::time::Duration;

use tenure::mesos::embedded::master::{MachineId, Window};
use tenure::mesos::wire::offer::Unavailability;
use tenure::mesos::wire::{AgentId, TaskId, TimeInfo};
use tenure::store::memory::Fault;
use tenure::store::{Op, Store, Txn};

use super::stage::Stage;
use super::verbs::{duration, not_understood};
use crate::seeded::prefix;

/// How long a machine needs to start again.
const REBOOT: Duration = Duration::from_secs(10);

/// Does what the words say.
pub(super) async fn act(stage: &mut Stage, words: &[&str]) -> Result<(), String> {
    match words {
        ["depose"] => stage.world.take_leadership_away().await,
        ["fail", "store", how] => fail_store(stage, how),
        ["heal", "store"] => {
            stage.world.store.heal();
            Ok(())
        }
        ["fail", "master", "for", time] => stage.world.cluster.fail_over(duration(time)?),
        ["rescind"] => {
            stage.world.cluster.master()?.rescind_offers(None).await;
            Ok(())
        }
        ["maintain", "nothing"] => maintain(stage, Vec::new()).await,
        ["maintain", machine, "in", time] => {
            let window = window(stage, machine, duration(time)?)?;
            maintain(stage, vec![window]).await
        }
        ["down" | "up", machine] => take(stage, words[0], machine).await,
        ["drain" | "deactivate" | "reactivate" | "gone", machine] => operate(stage, words[0], machine).await,
        ["fail", machine] => stage.world.cluster.lose_agent(machine),
        ["return", machine] => stage.world.cluster.bring_back(machine),
        ["reboot", machine] => stage.world.cluster.reboot(machine, REBOOT),
        ["destroy", machine] => stage.world.cluster.destroy(machine),
        ["kill" | "lose", task] => end(stage, words[0], task),
        ["forget", task] => forget(stage, task).await,
        ["crash" | "stop" | "start" | "pause" | "resume" | "cut" | "break", server, rest @ ..] => {
            let server = match *server {
                "tenure" => stage.world.leader().await.ok_or("nobody leads")?,
                name => name.to_owned(),
            };
            to_server(stage, words, &server, rest)
        }
        _ => Err(not_understood(words)),
    }
}

fn to_server(stage: &mut Stage, words: &[&str], server: &str, rest: &[&str]) -> Result<(), String> {
    let servers = &mut stage.world.servers;
    match (words[0], rest) {
        ("crash", []) => servers.kill(server),
        ("crash", ["at", seam]) => servers.crash_at(server, seam),
        ("stop", []) => servers.stop(server),
        ("start", []) => servers.start_again(server),
        ("pause", []) => servers.pause(server),
        ("resume", []) => servers.resume(server),
        ("cut", ["from", "store"]) => servers.cut_from_store(server),
        ("cut", ["from", "master"]) => servers.cut_from_master(server),
        ("break", []) => servers.break_stream(server),
        _ => Err(not_understood(words)),
    }
}

fn fail_store(stage: &Stage, how: &str) -> Result<(), String> {
    let fault = match how {
        "down" => Fault::Down,
        "full" => Fault::Full,
        "stalled" => Fault::StallWatches,
        _ => return Err(format!("a store fails `down`, `full` or `stalled`, not {how:?}")),
    };
    stage.world.store.inject(fault);
    Ok(())
}

/// As an operator tells the master.
async fn operate(stage: &Stage, verb: &str, machine: &str) -> Result<(), String> {
    let (_, object) = stage.agent(machine)?;
    let agent = AgentId::new(object.status.clone().unwrap_or_default().agent_id);
    let master = stage.world.cluster.master()?;
    let done = match verb {
        "drain" => master.drain_agent(&agent, None, false).await,
        "deactivate" => master.deactivate_agent(&agent).await,
        "reactivate" => master.reactivate_agent(&agent).await,
        _ => master.mark_agent_gone(&agent).await,
    };
    done.map_err(|error| error.to_string())
}

/// As an operator plans it: from so long from now on, for an hour.
fn window(stage: &Stage, machine: &str, from: Duration) -> Result<Window, String> {
    let machines = vec![machine_id(stage, machine)?];
    let nanoseconds =
        i64::try_from((stage.world.sim.env().now() + from).as_nanosecond()).map_err(|it| it.to_string())?;
    let hour = Duration::from_secs(3600);
    let unavailability =
        Unavailability { start: Some(TimeInfo { nanoseconds }), duration: Some(hour.into()) };
    Ok(Window { machines, unavailability })
}

fn machine_id(stage: &Stage, machine: &str) -> Result<MachineId, String> {
    let (_, object) = stage.agent(machine)?;
    let status = object.status.clone().unwrap_or_default();
    let address = status.address.ok_or_else(|| format!("nobody knows the address of {machine}"))?;
    let ip = address.rsplit_once(':').map_or(address.as_str(), |(ip, _)| ip).to_owned();
    Ok(MachineId { hostname: status.hostname, ip })
}

async fn maintain(stage: &Stage, windows: Vec<Window>) -> Result<(), String> {
    let done = stage.world.cluster.master()?.update_maintenance_schedule(windows).await;
    done.map_err(|error| error.to_string())
}

async fn take(stage: &Stage, verb: &str, machine: &str) -> Result<(), String> {
    let machines = vec![machine_id(stage, machine)?];
    let master = stage.world.cluster.master()?;
    let done = match verb {
        "down" => master.start_maintenance(machines).await,
        _ => master.stop_maintenance(machines).await,
    };
    done.map_err(|error| error.to_string())
}

/// Ends what runs of a Task, seen or unseen.
fn end(stage: &Stage, verb: &str, task: &str) -> Result<(), String> {
    let (_, object) = stage.task(task)?;
    let id = object.spec.binding.as_ref().map(|it| TaskId::new(&it.mesos_task_id));
    let id = id.ok_or_else(|| format!("{task} has no place yet"))?;
    let host = stage.world.cluster.whereabouts(&id).map_err(|_| format!("{task} does not run"))?;
    match verb {
        "kill" => host.machine.fell(&id),
        _ => host.machine.lose(&id),
    }
    Ok(())
}

/// Removes the document of a Task, round everything.
async fn forget(stage: &Stage, task: &str) -> Result<(), String> {
    let (doc, _) = stage.task(task)?;
    stage.excuse_next();
    let txn = Txn { guards: vec![], ops: vec![Op::Delete { key: doc.key().store_key(&prefix()) }] };
    stage.world.store.txn(txn).await.map(|_| ()).map_err(|error| error.to_string())
}
