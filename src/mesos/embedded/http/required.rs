//! The fields that a call must have. The wire types read a missing one as empty, because a stream of events must not fail; a
//! master refuses the call.

use serde_json::Value;

/// Messages by the names that lead to them, and their required fields.
pub(super) type Required = &'static [(&'static [&'static str], &'static [&'static str])];

/// The messages of a scheduler's call that have required fields, by the names that lead to them (`[]`: each of a list), with those fields.
pub(super) const OF_SCHEDULERS: Required = &[
    (&["framework_id"], &["value"]),
    (&["subscribe"], &["framework_info"]),
    (&["subscribe", "framework_info"], &["user", "name"]),
    (&["update_framework"], &["framework_info"]),
    (&["update_framework", "framework_info"], &["user", "name"]),
    (&["kill"], &["task_id"]),
    (&["kill", "task_id"], &["value"]),
    (&["kill", "agent_id"], &["value"]),
    (&["shutdown"], &["executor_id", "agent_id"]),
    (&["acknowledge"], &["agent_id", "task_id", "uuid"]),
    (&["acknowledge", "agent_id"], &["value"]),
    (&["acknowledge", "task_id"], &["value"]),
    (&["reconcile", "tasks", "[]"], &["task_id"]),
    (&["reconcile", "tasks", "[]", "task_id"], &["value"]),
    (&["message"], &["agent_id", "executor_id", "data"]),
    (&["accept", "offer_ids", "[]"], &["value"]),
    (&["accept", "operations", "[]", "launch", "task_infos", "[]"], &["name", "task_id", "agent_id"]),
    (&["accept", "operations", "[]", "launch", "task_infos", "[]", "task_id"], &["value"]),
    (&["accept", "operations", "[]", "launch", "task_infos", "[]", "agent_id"], &["value"]),
    (&["accept", "operations", "[]", "launch", "task_infos", "[]", "resources", "[]"], &["name", "type"]),
    (&["accept", "operations", "[]", "launch", "task_infos", "[]", "container"], &["type"]),
    (&["decline", "offer_ids", "[]"], &["value"]),
];

/// Those of an executor's call.
pub(super) const OF_EXECUTORS: Required = &[
    (&[], &["executor_id", "framework_id"]),
    (&["executor_id"], &["value"]),
    (&["framework_id"], &["value"]),
    (&["update"], &["status"]),
    (&["update", "status"], &["task_id", "state"]),
    (&["update", "status", "task_id"], &["value"]),
    (&["message"], &["data"]),
];

/// The paths of all that is missing, as Mesos spells them: `reconcile.tasks[0].task_id`.
pub(super) fn missing(call: &Value, required: Required) -> Vec<String> {
    let mut found = Vec::new();
    for (path, fields) in required {
        look(call, path, String::new(), &mut |message, at| {
            let absent = fields.iter().filter(|field| message.get(**field).is_none_or(Value::is_null));
            let path =
                |field: &&str| if at.is_empty() { (*field).to_owned() } else { format!("{at}.{field}") };
            found.extend(absent.map(path));
        });
    }
    found
}

/// Shows `seen` each message at `path` under `value`. A lone value stands for a list of one.
fn look(value: &Value, path: &[&str], at: String, seen: &mut dyn FnMut(&Value, &str)) {
    match path.split_first() {
        None if value.is_object() => seen(value, &at),
        None => {}
        Some((&"[]", rest)) => match value.as_array() {
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    look(item, rest, format!("{at}[{index}]"), seen);
                }
            }
            None => look(value, rest, format!("{at}[0]"), seen),
        },
        Some((name, rest)) => {
            if let Some(field) = value.get(*name).filter(|field| !field.is_null()) {
                let at = if at.is_empty() { (*name).to_owned() } else { format!("{at}.{name}") };
                look(field, rest, at, seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn missing(call: &Value) -> Vec<String> {
        super::missing(call, OF_SCHEDULERS)
    }

    #[test]
    fn missing_fields_are_named_by_their_paths() {
        assert_eq!(missing(&json!({"kill": {}})), ["kill.task_id"]);
        assert_eq!(missing(&json!({"reconcile": {"tasks": [{}]}})), ["reconcile.tasks[0].task_id"]);
        assert_eq!(missing(&json!({"reconcile": {"tasks": {}}})), ["reconcile.tasks[0].task_id"]);
        let subscribe = json!({"subscribe": {"framework_info": {"name": "x"}}});
        assert_eq!(missing(&subscribe), ["subscribe.framework_info.user"]);
        assert_eq!(
            missing(&json!({"kill": {"task_id": {"value": ""}}, "accept": null})),
            Vec::<String>::new()
        );
    }
}
