//! A deposed leader commits nothing and calls nobody, and every call concerns only what is committed.
//!
//! - While one server stands in the leader's key, no other one calls the master: its lease has run out before by its own clock. Where
//!   somebody removed the key, the leader may go on until it has looked.
//! - Each transaction of a server's loops on objects is guarded by the key of the term that was in force when it was
//!   committed.
//! - Each task of an ACCEPT is bound in the store, under that id, and not told to end before it could start.
//! - Each KILL is of a task that the store tells to end, has seen the end of, or does not know.

use std::time::Duration;

use tenure::mesos::wire::scheduler::Call;
use tenure::registry::{Key, Prefix};
use tenure::store::{Guard, Revision, Txn};

use super::{Check, Scene, Writer, task};

/// How long a leader whose key was removed may not know: it looks whenever it has renewed its lease, and the store may be away.
const UNAWARE: Duration = Duration::from_secs(60);

pub(super) struct Deposed;

impl Check for Deposed {
    fn wrote(
        &mut self,
        writer: Writer<'_>,
        txn: &Txn,
        revision: Revision,
        scene: &Scene,
        broken: &mut Vec<String>,
    ) {
        let Writer::Loops(server) = writer else { return };
        let prefix = Prefix::new("demo");
        if !txn.ops.iter().any(|op| Key::parse(&prefix, op.key()).is_some()) {
            return;
        }
        let leader = prefix.leader();
        let guarded = txn.guards.iter().any(
            |guard| matches!(guard, Guard::CreatedAt(key, term) if *key == leader && Some(*term) == scene.term),
        );
        if !guarded {
            broken.push(format!("{server} committed {revision}, which the term in force does not guard"));
        }
    }

    fn called(&mut self, server: &str, call: &Call, scene: &Scene, broken: &mut Vec<String>) {
        let leads =
            |holder: &String| server.strip_prefix(holder.as_str()).is_some_and(|it| it.starts_with(' '));
        let other = scene.holder.as_ref().filter(|holder| !leads(holder));
        if let Some(holder) = other.filter(|_| scene.taken.is_none_or(|at| at.elapsed() > UNAWARE)) {
            broken.push(format!("{server} calls {} while {holder} leads", call.r#type()));
        }
        if let Some(kill) = &call.kill {
            let known = by_mesos_id(&kill.task_id.value, scene);
            let ends = known.is_none_or(|task| {
                task.spec.stop.is_some() || task.metadata.deletion_timestamp.is_some() || task.is_terminal()
            });
            if !ends {
                broken.push(format!("{server} ends {}, which shall run", kill.task_id));
            }
        }
        let operations = call.accept.iter().flat_map(|it| &it.operations);
        for info in operations.filter_map(|it| it.launch.as_ref()).flat_map(|it| &it.task_infos) {
            if by_mesos_id(&info.task_id.value, scene).is_none() {
                broken.push(format!("{server} launches {}, which is not bound in the store", info.task_id));
            }
        }
    }
}

/// The Task that is bound under this id.
pub(super) fn by_mesos_id(id: &str, scene: &Scene) -> Option<std::sync::Arc<tenure::api::Task>> {
    let (namespace, rest) = id.split_once('.')?;
    let (name, _uid) = rest.rsplit_once('.')?;
    let bound = |task: &tenure::api::Task| {
        task.spec.binding.as_ref().is_some_and(|binding| binding.mesos_task_id == id)
    };
    task(&scene.objects, namespace, name).filter(|task| bound(task))
}
