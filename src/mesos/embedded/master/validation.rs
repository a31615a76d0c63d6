//! What a master refuses, in the words of Mesos: a framework's description, its calls, and the tasks of a LAUNCH.

use std::collections::BTreeSet;

use crate::api::role;
use crate::mesos::wire::command::CommandInfo;
use crate::mesos::wire::scheduler::{Call, Subscribe};
use crate::mesos::wire::task::{HttpCheck, TcpCheck};
use crate::mesos::wire::{
    AgentId, CallType, Capability, CheckInfo, CheckType, ContainerType, ExecutorInfo, ExecutorType,
    FrameworkId, FrameworkInfo, HealthCheck, TaskInfo, VariableType, is_uuid,
};

/// The first thing that is wrong.
pub(super) type Validity = Result<(), String>;

/// Whether a call has the parts that its type asks for.
pub(super) fn call(call: &Call) -> Validity {
    let missing =
        |field: &str| Err(format!("Failed to validate scheduler::Call: Expecting '{field}' to be present"));
    let present = match call.r#type() {
        CallType::Subscribe => (call.subscribe.is_some(), "subscribe"),
        CallType::Accept => (call.accept.is_some(), "accept"),
        CallType::Decline => (call.decline.is_some(), "decline"),
        CallType::Kill => (call.kill.is_some(), "kill"),
        CallType::Shutdown => (call.shutdown.is_some(), "shutdown"),
        CallType::Acknowledge => (call.acknowledge.is_some(), "acknowledge"),
        CallType::Reconcile => (call.reconcile.is_some(), "reconcile"),
        CallType::Message => (call.message.is_some(), "message"),
        CallType::AcceptInverseOffers => (call.accept_inverse_offers.is_some(), "accept_inverse_offers"),
        CallType::DeclineInverseOffers => (call.decline_inverse_offers.is_some(), "decline_inverse_offers"),
        CallType::AcknowledgeOperationStatus => {
            (call.acknowledge_operation_status.is_some(), "acknowledge_operation_status")
        }
        CallType::ReconcileOperations => (call.reconcile_operations.is_some(), "reconcile_operations"),
        CallType::UpdateFramework => (call.update_framework.is_some(), "update_framework"),
        CallType::Request => (call.request.is_some(), "request"),
        CallType::Teardown | CallType::Revive | CallType::Suppress | CallType::Unknown => (true, ""),
        CallType::Unrecognised => (false, "type"),
    };
    if !present.0 {
        return missing(present.1);
    }
    if call.acknowledge.as_ref().is_some_and(|acknowledge| !is_uuid(&acknowledge.uuid)) {
        return Err("Failed to validate scheduler::Call: Not a valid UUID".to_owned());
    }
    match (call.r#type(), &call.framework_id) {
        (CallType::Subscribe, _) => same_id(call, call.subscribe.as_ref(), "subscribe"),
        (_, None) => missing("framework_id"),
        (CallType::UpdateFramework, _) => same_id(call, call.update_framework.as_ref(), "update_framework"),
        _ => Ok(()),
    }
}

fn same_id(call: &Call, introduced: Option<&Subscribe>, field: &str) -> Validity {
    if call.framework_id.as_ref() == introduced.and_then(|s| s.framework_info.id.as_ref()) {
        return Ok(());
    }
    Err(format!(
        "Failed to validate scheduler::Call: 'framework_id' differs from '{field}.framework_info.id'"
    ))
}

/// Whether `info` is that of who has authenticated as `principal`. One that names nobody is.
pub(super) fn same_principal(principal: &str, info: &FrameworkInfo) -> Validity {
    match &info.principal {
        Some(own) if own != principal => Err(format!(
            "Authenticated principal '{principal}' does not match principal '{own}' set in `FrameworkInfo`"
        )),
        _ => Ok(()),
    }
}

/// Whether a framework may introduce itself like this.
pub(super) fn framework(info: &FrameworkInfo) -> Validity {
    if let Some(own) = &info.id {
        id(&own.value)?;
    }
    if info.has(Capability::MultiRole) {
        if info.role.is_some() {
            return Err(
                "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".to_owned()
            );
        }
        multiple_roles(info)?;
    } else if !info.roles.is_empty() {
        return Err(
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable".to_owned()
        );
    }
    let timeout = info.failover_timeout();
    // What does not fit into 63 bits of nanoseconds.
    if timeout.is_nan() || timeout.abs() > 9.2e9 {
        return Err(format!("The framework failover_timeout ({}) is invalid", exponential(timeout)));
    }
    Ok(())
}

/// Whether the suppressed roles are the framework's.
pub(super) fn suppressed(subscribe: &Subscribe) -> Validity {
    let info = &subscribe.framework_info;
    let own: Vec<&str> = if info.has(Capability::MultiRole) {
        info.roles.iter().map(String::as_str).collect()
    } else {
        vec![info.role.as_deref().unwrap_or("*")]
    };
    let foreign: Vec<&str> =
        subscribe.suppressed_roles.iter().map(String::as_str).filter(|role| !own.contains(role)).collect();
    if !foreign.is_empty() {
        return Err(format!(
            "Suppressed roles {{ {} }} are not contained in the set of roles",
            foreign.join(", ")
        ));
    }
    Ok(())
}

/// A large number as C++ writes it: `1e+12`.
fn exponential(number: f64) -> String {
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent:0>2}"),
        _ => text,
    }
}

fn multiple_roles(info: &FrameworkInfo) -> Validity {
    let mut roles = BTreeSet::new();
    for role in &info.roles {
        role_name(role).map_err(|e| format!("'FrameworkInfo.roles' contains invalid role: {e}"))?;
        if !roles.insert(role.as_str()) {
            return Err(format!("'FrameworkInfo.roles' contains duplicate items: {{ {role} }}"));
        }
    }
    Ok(())
}

/// Whether roles are called so.
pub(super) fn role_name(role: &str) -> Validity {
    role::check(role).map_err(|error| error.to_string())
}

/// Whether a framework may change into this, and may come back as this.
pub(super) fn same_framework(old: &FrameworkInfo, new: &FrameworkInfo) -> Validity {
    if old.principal != new.principal {
        return Err("Changing framework's principal is not allowed.".to_owned());
    }
    Ok(())
}

/// Whether UPDATE_FRAMEWORK may change a framework into this.
pub(super) fn framework_update(old: &FrameworkInfo, new: &FrameworkInfo) -> Validity {
    let unsupported = |field: &str, old: &str, new: &str| {
        Err(format!(
            "FrameworkInfo update is not valid: Updating 'FrameworkInfo.{field}' is unsupported; \
             attempted to update from '{old}' to '{new}'"
        ))
    };
    if old.user != new.user {
        return unsupported("user", &old.user, &new.user);
    }
    if old.checkpoint() != new.checkpoint() {
        return unsupported("checkpoint", &old.checkpoint().to_string(), &new.checkpoint().to_string());
    }
    same_framework(old, new).map_err(|e| format!("FrameworkInfo update is not valid: {e}"))
}

/// Whether a task is well formed and meant for `agent`; its resources are looked at elsewhere.
pub(super) fn task(task: &TaskInfo, agent: &AgentId, framework: &FrameworkId) -> Validity {
    id(&task.task_id.value)?;
    if task.agent_id != *agent {
        return Err(format!("Task uses invalid agent {} while agent {agent} is expected", task.agent_id));
    }
    if task.executor.is_some() == task.command.is_some() {
        return Err(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present".to_owned()
        );
    }
    if let Some(info) = &task.executor {
        executor(info, framework)?;
    }
    if let Some(command) = &task.command {
        environment(command).map_err(|e| format!("Task's `CommandInfo` is invalid: {e}"))?;
    }
    container(task).map_err(|e| format!("Task's `ContainerInfo` is invalid: {e}"))?;
    if let Some(check) = &task.health_check {
        health_check(check).map_err(|e| format!("Task uses invalid health check: {e}"))?;
    }
    if let Some(check) = &task.check {
        general_check(check).map_err(|e| format!("Task uses invalid check: {e}"))?;
    }
    let grace = task.kill_policy.and_then(|policy| policy.grace_period);
    if grace.is_some_and(|grace| grace.nanoseconds < 0) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".to_owned());
    }
    if task.max_completion_time.is_some_and(|time| time.nanoseconds < 0) {
        return Err("Task's `max_completion_time` must be non-negative".to_owned());
    }
    limits(task)
}

fn executor(info: &ExecutorInfo, framework: &FrameworkId) -> Validity {
    id(&info.executor_id.value)?;
    if let Some(other) = info.framework_id.as_ref().filter(|other| *other != framework) {
        return Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {other} vs Expected: {framework})"
        ));
    }
    match info.r#type() {
        ExecutorType::Default => Err("'ExecutorInfo.type' must be 'CUSTOM'".to_owned()),
        _ if info.command.is_none() => Err("'ExecutorInfo.command' must be set".to_owned()),
        _ => Ok(()),
    }
}

/// Ids become names of directories.
fn id(id: &str) -> Validity {
    match id {
        "" => Err("ID must not be empty".to_owned()),
        _ if id.len() > 255 => Err("ID must not be greater than 255 characters".to_owned()),
        "." | ".." => Err(format!("'{id}' is disallowed")),
        _ if id.contains(|c: char| c.is_ascii_control() || c == '/' || c == '\\') => {
            Err(format!("'{id}' contains invalid characters"))
        }
        _ => Ok(()),
    }
}

fn environment(command: &CommandInfo) -> Validity {
    for variable in command.environment.iter().flat_map(|e| &e.variables) {
        let name = &variable.name;
        match variable.r#type() {
            VariableType::Secret if variable.secret.is_none() => {
                return Err(format!("Environment variable '{name}' of type 'SECRET' must have a secret set"));
            }
            VariableType::Value | VariableType::Unrecognised if variable.value.is_none() => {
                return Err(format!("Environment variable '{name}' of type 'VALUE' must have a value set"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn container(task: &TaskInfo) -> Validity {
    let Some(container) = &task.container else { return Ok(()) };
    if container.r#type() == ContainerType::Docker && container.docker.is_none() {
        return Err("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".to_owned());
    }
    for volume in &container.volumes {
        let sources = [volume.host_path.is_some(), volume.image.is_some(), volume.source.is_some()];
        if sources.iter().filter(|set| **set).count() != 1 {
            return Err("Invalid volume: Only one of them should be set: 'host_path', 'image' and 'source'"
                .to_owned());
        }
    }
    Ok(())
}

fn health_check(check: &HealthCheck) -> Validity {
    let command = check.command.is_some();
    kind(check.r#type(), command, check.http.as_ref(), check.tcp.as_ref(), "health check")?;
    durations(&[
        ("delay_seconds", check.delay_seconds),
        ("grace_period_seconds", check.grace_period_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

fn general_check(check: &CheckInfo) -> Validity {
    kind(check.r#type(), check.command.is_some(), check.http.as_ref(), check.tcp.as_ref(), "check")?;
    durations(&[
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

fn kind(
    kind: CheckType,
    command: bool,
    http: Option<&HttpCheck>,
    tcp: Option<&TcpCheck>,
    noun: &str,
) -> Validity {
    let missing = |field: &str, kind: &str| Err(format!("Expecting '{field}' to be set for {kind} {noun}"));
    match kind {
        CheckType::Command if !command => missing("command", "COMMAND"),
        CheckType::Http => match http.map(|http| http.path.as_deref().unwrap_or_default()) {
            None => missing("http", "HTTP"),
            Some(path) if !path.is_empty() && !path.starts_with('/') => {
                Err(format!("The path '{path}' of HTTP {noun} must start with '/'"))
            }
            Some(_) => Ok(()),
        },
        CheckType::Tcp if tcp.is_none() => missing("tcp", "TCP"),
        _ => Ok(()),
    }
}

fn durations(fields: &[(&str, Option<f64>)]) -> Validity {
    match fields.iter().find(|(_, seconds)| seconds.is_some_and(|s| s < 0.0)) {
        Some((field, _)) => Err(format!("Expecting '{field}' to be non-negative")),
        None => Ok(()),
    }
}

fn limits(task: &TaskInfo) -> Validity {
    for (name, limit) in &task.limits {
        let told = match name.as_str() {
            "cpus" => "cpu",
            "mem" => "memory",
            _ => return Err("Only cpus and mem may be included in a task's resource limits".to_owned()),
        };
        let requested = task.resources.iter().filter(|r| r.name == *name).filter_map(|r| r.scalar);
        if limit.value < requested.map(|scalar| scalar.value).sum() {
            return Err(format!("The {told} limit must be greater than or equal to the {told} request"));
        }
    }
    Ok(())
}
