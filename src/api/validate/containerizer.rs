//! What Mesos's own executors and containerizers cannot do, and Tenure's executor can.

use super::super::{Container, Containerizer, FieldError, Network, PullPolicy, Template};

pub(super) fn validate(container: &Container, template: &Template, errors: &mut Vec<FieldError>) {
    let Some(containerizer) = container.containerizer else { return };
    let undone = left_undone_by_mesos(template);
    errors.extend(undone.into_iter().map(|(path, what)| {
        FieldError::forbidden(path, format!("{what} with containerizer {containerizer:?}"))
    }));
}

/// What `template` asks for that is not done if Mesos's own executors run it, by path, in words. A container that does not say which
/// containerizer it wants is run by that for Docker.
#[must_use]
pub fn left_undone_by_mesos(template: &Template) -> Vec<(&'static str, &'static str)> {
    let mut undone = Vec::new();
    let mut refuse = |condition: bool, path, what| {
        if condition {
            undone.push((path, what));
        }
    };
    let Some(container) = &template.container else {
        refuse(template.readiness_checks.len() > 1, "spec.readinessChecks", "only one is run");
        refuse(template.health_checks.len() > 1, "spec.healthChecks", "only one is run");
        return undone;
    };
    let containerizer = container.containerizer.unwrap_or(Containerizer::Docker);
    let is_mesos = containerizer == Containerizer::Mesos;
    let inner_network = matches!(container.network(), Network::Bridge | Network::None);
    let login = container.pull_secret.is_some();
    refuse(login && !is_mesos, "spec.container.pullSecret", "no credentials are handed on");
    refuse(
        container.pull_policy == PullPolicy::Never,
        "spec.container.pullPolicy",
        "an image that is absent is always pulled",
    );
    refuse(is_mesos && inner_network, "spec.container.network", "must be host or the name of a CNI network");
    refuse(is_mesos && container.privileged, "spec.container.privileged", "may not be true");
    let parameters = !container.parameters.is_empty();
    refuse(is_mesos && parameters, "spec.container.parameters", "options of docker run mean nothing");
    refuse(!template.readiness_checks.is_empty(), "spec.readinessChecks", "none is run");
    refuse(template.health_checks.len() > 1, "spec.healthChecks", "only one is run");
    undone
}
