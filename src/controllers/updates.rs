//! From Mesos's task status to `plan`'s update: one function, and the look-up of what it is merged with.

use jiff::Timestamp;

use super::objects::key;
use super::runner::Runner;
use crate::api::{Network, Revision, Task, TaskStatus, Template};
use crate::mesos::wire::{self, CheckStatusInfo};
use crate::plan::ObjectName;
use crate::plan::deployment::is_of_executor;
use crate::plan::status::{self, TaskState, Update};
use crate::registry::Snapshot;

/// The status of `task` after `told`; nothing when it says nothing new. `present` is what was told before and is not stored
/// yet. `runner` is who runs the task.
pub(super) fn merge(
    (task, present): (&Task, Option<&TaskStatus>),
    told: &wire::TaskStatus,
    runner: &Runner,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Option<TaskStatus> {
    let namespace = task.metadata.namespace.as_deref().unwrap_or_default();
    let revision = key::<Revision>(&ObjectName::new(namespace, &task.spec.revision));
    let revision = snapshot.get(&revision).and_then(|doc| doc.typed::<Revision>().ok());
    let without = Template::default();
    let template = revision.as_ref().map_or(&without, |it| &it.spec.template);
    let mut update = update(told, template, now)?;
    if let Some(cause) = never_began(present.or(task.status.as_ref()), told, runner, template) {
        let said: Vec<String> = update.message.into_iter().chain([cause]).collect();
        update.message = Some(said.join(": "));
    }
    let Some(present) = present else { return status::merge(task, template, update) };
    let task = Task { status: Some(present.clone()), ..task.clone() };
    status::merge(&task, template, update)
}

/// The container's address. On a bridge it may be its agent's, where that is what others reach.
fn own_address<'a>(container: &'a wire::ContainerStatus, template: &Template) -> Option<&'a str> {
    match template.network() {
        Network::Bridge => container.ip_on_its_network(),
        _ => container.ip(),
    }
}

/// What to look at when a task ended before anybody began to run it: Mesos does not say what its agent fetches, nor what it starts.
fn never_began(
    before: Option<&TaskStatus>,
    told: &wire::TaskStatus,
    runner: &Runner,
    template: &Template,
) -> Option<String> {
    let has_begun = before.and_then(|it| it.state.as_deref()).is_some_and(|it| it != "TASK_STAGING");
    let containerizer = template.container.as_ref().and_then(|it| it.containerizer);
    let program = runner.program(containerizer);
    match (told.state(), told.reason()) {
        _ if has_begun => None,
        (wire::TaskState::Failed, wire::Reason::ContainerLaunchFailed) => {
            let is_of_fetching = told.message.as_deref().is_some_and(|it| it.contains("fetch"));
            let program = program.and_then(|it| it.uri()).map(|uri| format!("the executor from {uri}"));
            let own = template.fetch.iter().map(|file| file.uri.clone());
            let fetched: Vec<String> = program.into_iter().chain(own).filter(|_| is_of_fetching).collect();
            (!fetched.is_empty()).then(|| {
                format!(
                    "the agent fetches {}; what failed, as a full disk, stands in stderr of the sandbox",
                    fetched.join(", ")
                )
            })
        }
        (wire::TaskState::Failed, reason) if is_of_executor(reason.as_str()) => {
            Some(format!("its executor is {}", program?))
        }
        _ => None,
    }
}

/// What Mesos told, in `plan`'s words; nothing for a state that this version does not know.
pub(super) fn update(told: &wire::TaskStatus, template: &Template, now: Timestamp) -> Option<Update> {
    let Some(state) = TaskState::named(told.state().as_str()) else {
        tracing::warn!(task = %told.task_id, state = ?told.state, "unknown state of a task ignored");
        return None;
    };
    assert!(
        state != TaskState::Unreachable || !planted!("no-word-for-unreachable"),
        "{state} has no word here"
    );
    let at = told.timestamp.and_then(from_seconds).unwrap_or(now);
    if planted!("late-news-is-no-news") && now.duration_since(at).as_secs() > 5 {
        return None;
    }
    let container = told.container_status.as_ref();
    let reason = told.reason.map(|_| told.reason().as_str().to_owned()).filter(|it| !it.is_empty());
    Some(Update {
        at,
        reason,
        message: told.message.clone().filter(|it| !it.is_empty()),
        healthy: told.healthy,
        ready: told.check_status.as_ref().and_then(|it| is_ready(it, template)),
        unreachable_since: told.unreachable_time.and_then(|it| from_nanoseconds(it.nanoseconds)),
        container_id: container.and_then(|it| it.container_id.as_ref()).map(|it| it.value.clone()),
        container_ip: container.and_then(|it| own_address(it, template)).map(ToOwned::to_owned),
        ..Update::of(state, now)
    })
}

/// The verdict of a readiness check; nothing before its first result.
fn is_ready(check: &CheckStatusInfo, template: &Template) -> Option<bool> {
    if let Some(code) = check.http.as_ref().and_then(|it| it.status_code) {
        let allowed = template.readiness_checks.iter().flat_map(|it| &it.status_codes);
        return Some(allowed.into_iter().any(|it| u32::from(*it) == code));
    }
    let connected = check.tcp.as_ref().and_then(|it| it.succeeded);
    connected.or_else(|| check.command.as_ref().and_then(|it| it.exit_code).map(|code| code == 0))
}

#[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch, to the microsecond")]
fn from_seconds(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_microsecond((seconds * 1e6) as i64).ok()
}

fn from_nanoseconds(nanoseconds: i64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::runner::{Program, Share};
    use crate::mesos::wire::{TaskId, TaskState as WireState};

    fn told(state: WireState) -> wire::TaskStatus {
        wire::TaskStatus::of(TaskId::new("ns.t.uid"), state)
    }

    #[test]
    fn every_state_of_mesos_has_a_name_here() {
        let states = TaskState::ALL.map(TaskState::name);
        for number in 0..14 {
            let wire = wire::TaskStatus { state: Some(number), ..told(WireState::Lost) };
            assert!(states.contains(&wire.state().as_str()), "{number}");
        }
        let newer = wire::TaskStatus { state: Some(99), ..told(WireState::Lost) };
        assert_eq!(update(&newer, &Template::default(), Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn on_a_bridge_the_address_of_an_agent_is_not_taken_for_the_containers() {
        let told = |network: &str, container: serde_json::Value| {
            let spec = serde_json::json!({"container": {"image": "web", "network": network}});
            let template: Template = serde_json::from_value(spec).unwrap();
            let container_status = Some(serde_json::from_value(container).unwrap());
            let told = wire::TaskStatus { container_status, ..told(WireState::Running) };
            update(&told, &template, Timestamp::UNIX_EPOCH).unwrap().container_ip
        };
        let of_container = serde_json::json!({"network_infos": [
            {"name": "bridge", "ip_addresses": [{"ip_address": "172.17.0.2"}]}]});
        let of_agent = serde_json::json!({"network_infos": [{"ip_addresses": [{"ip_address": "10.0.0.1"}]}]});
        assert_eq!(told("bridge", of_container).as_deref(), Some("172.17.0.2"));
        assert_eq!(told("bridge", of_agent.clone()), None);
        assert_eq!(told("backend", of_agent).as_deref(), Some("10.0.0.1"), "other executors name no network");
    }

    #[test]
    fn what_failed_before_it_began_names_what_was_fetched_and_started() {
        let uri = "http://10.0.0.1:7480/executor".to_owned();
        let fetched = Runner::Executor(Program::Fetched { uri }, Share::Task);
        let installed = Runner::Executor(Program::Installed { path: "/opt/executor".into() }, Share::Task);
        let own = r#"{"fetch": [{"uri": "http://files/a.tar"}]}"#;
        let (launch, ended) = (wire::Reason::ContainerLaunchFailed, wire::Reason::ExecutorTerminated);
        let hint = "what failed, as a full disk, stands in stderr of the sandbox";
        let both = format!(
            "the agent fetches the executor from http://10.0.0.1:7480/executor, http://files/a.tar; {hint}"
        );
        let one = format!("the agent fetches http://files/a.tar; {hint}");
        let rows = [
            (&fetched, own, None, launch, "Failed to fetch all URIs", Some(both.as_str())),
            (&installed, own, Some("TASK_STAGING"), launch, "Failed to fetch all URIs", Some(one.as_str())),
            (&installed, "{}", None, launch, "Failed to fetch all URIs", None),
            (&Runner::Mesos, own, None, launch, "Failed to pull image", None),
            (&fetched, own, Some("TASK_STARTING"), launch, "no such image, failed to fetch", None),
            (
                &installed,
                "{}",
                None,
                ended,
                "Executor terminated",
                Some("its executor is /opt/executor on the agent"),
            ),
            (&Runner::Mesos, "{}", None, ended, "Executor terminated", None),
            (&installed, "{}", Some("TASK_RUNNING"), ended, "Executor terminated", None),
        ];
        for (runner, template, before, reason, message, expected) in rows {
            let before =
                before.map(|state: &str| TaskStatus { state: Some(state.into()), ..TaskStatus::default() });
            let told = wire::TaskStatus {
                reason: reason.wire(),
                message: Some(message.to_owned()),
                ..told(WireState::Failed)
            };
            let template: Template = serde_json::from_str(template).unwrap();
            assert_eq!(
                never_began(before.as_ref(), &told, runner, &template).as_deref(),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn where_mesos_says_nothing_the_message_is_what_to_look_at() {
        let installed = Runner::Executor(Program::Installed { path: "/opt/executor".into() }, Share::Task);
        let reason = wire::Reason::ExecutorTerminated.wire();
        let said = |message: Option<&str>| {
            let message = message.map(ToOwned::to_owned);
            let told = wire::TaskStatus { reason, message, ..told(WireState::Failed) };
            let task = Task::new("web-1", crate::api::TaskSpec::default());
            let snapshot = Snapshot::of(1, []);
            merge((&task, None), &told, &installed, &snapshot, Timestamp::UNIX_EPOCH)
                .unwrap()
                .message
                .unwrap()
        };
        assert_eq!(said(None), "its executor is /opt/executor on the agent");
        assert_eq!(said(Some("ended")), "ended: its executor is /opt/executor on the agent");
    }

    #[test]
    fn readiness_is_what_the_status_code_says() {
        let template: Template =
            serde_json::from_str(r#"{"readinessChecks": [{"http": {}, "statusCodes": [204]}]}"#).unwrap();
        let with = |status_code| {
            let http = Some(wire::status::HttpCheckStatus { status_code });
            let check_status = Some(CheckStatusInfo { http, ..CheckStatusInfo::default() });
            let told = wire::TaskStatus { check_status, ..told(WireState::Running) };
            update(&told, &template, Timestamp::UNIX_EPOCH).unwrap().ready
        };
        assert_eq!((with(None), with(Some(204)), with(Some(200))), (None, Some(true), Some(false)));
    }
}
