//! How the kstatus library reads objects of ours, by which Flux, kpt and others decide what they wait for.

use serde_json::Value;

/// The rules of kstatus for a kind that it does not know: what is deleted, what has not been seen, `Reconciling`, `Stalled`, `Ready`.
pub(super) fn kstatus(object: &Value) -> &'static str {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating";
    }
    let (observed, generation) = (&object["status"]["observedGeneration"], &object["metadata"]["generation"]);
    if !observed.is_null() && observed != generation {
        return "InProgress";
    }
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    for condition in conditions {
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Reconciling"), Some("True")) => return "InProgress",
            (Some("Stalled"), Some("True")) => return "Failed",
            _ => {}
        }
    }
    match conditions.iter().find(|it| it["type"] == "Ready").and_then(|it| it["status"].as_str()) {
        Some("True") | None => "Current",
        Some(_) => "InProgress",
    }
}

mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::api::{Agent, AgentStatus, Endpoints, EndpointsSpec, Phase, Revision, RevisionSpec, Task};
    use crate::plan::agent::{Contact, Docker, Sighting, conditions};

    #[test]
    fn an_agent_is_current_exactly_while_it_is_ready() {
        let contact = |contact| Sighting { contact: Some(contact), ..Sighting::default() };
        let docker = |docker| Sighting { docker: Some(docker), ..Sighting::default() };
        for (seen, expected) in [
            (contact(Contact::Registered), "Current"),
            (contact(Contact::Unreachable), "InProgress"),
            (contact(Contact::Gone), "InProgress"),
            (docker(Docker::Ready), "Current"),
            (docker(Docker::Absent("no socket".to_owned())), "Current"),
            (docker(Docker::Away("refused".to_owned())), "InProgress"),
        ] {
            let mut agent = Agent::new("a1");
            agent.metadata.generation = Some(1);
            let conditions = conditions(&[], &seen, Timestamp::UNIX_EPOCH);
            agent.status = Some(AgentStatus { conditions, ..AgentStatus::default() });
            assert_eq!(kstatus(&serde_json::to_value(&agent).unwrap()), expected, "{seen:?}");
        }
    }

    /// What `manifests/gitops/README.md` says of them.
    #[test]
    fn what_has_no_conditions_is_current_until_it_goes() {
        let mut objects = vec![
            serde_json::to_value(Revision::new("r", RevisionSpec::default())).unwrap(),
            serde_json::to_value(Endpoints::new("e", EndpointsSpec::default())).unwrap(),
        ];
        for phase in [Phase::Pending, Phase::Running, Phase::Failed] {
            let mut task = Task::new("t", crate::api::TaskSpec::default());
            task.status.get_or_insert_default().phase = phase;
            objects.push(serde_json::to_value(task).unwrap());
        }
        for mut object in objects {
            object["metadata"]["generation"] = json!(1);
            assert_eq!(kstatus(&object), "Current", "{object}");
            object["metadata"]["deletionTimestamp"] = json!("2026-11-20T10:00:00Z");
            assert_eq!(kstatus(&object), "Terminating");
        }
    }
}
