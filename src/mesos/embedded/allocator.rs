//! What is offered to whom: nothing that was just refused, and nothing that is too little. Whose turn it is, `shares` tells.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::bundle::Bundle;
use crate::mesos::wire::framework::OfferFilters;
use crate::mesos::wire::{AgentId, Filters as WireFilters, Resource, ValueType};

/// What a framework does not want to see again for a while, by role and agent.
#[derive(Debug, Default)]
pub(super) struct Filters {
    refused: BTreeMap<(String, AgentId), Vec<Refused>>,
}

#[derive(Debug)]
struct Refused {
    resources: Bundle,
    until: Instant,
}

/// The longest time for which anything can be refused.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a call refuses: 5 s unless it says otherwise; a nonsensical wish counts as none.
#[must_use]
pub(super) fn refuse_for(filters: Option<WireFilters>) -> Duration {
    let seconds = filters.unwrap_or_default().refuse_seconds();
    let default = WireFilters::default().refuse_seconds();
    let seconds = if seconds >= 0.0 { seconds } else { default };
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)
}

impl Filters {
    /// Refuses `resources` (as on the agent) and whatever is contained in them.
    pub(super) fn refuse(&mut self, role: &str, agent: &AgentId, resources: Bundle, until: Instant) {
        let refused = self.refused.entry((role.to_owned(), agent.clone())).or_default();
        refused.push(Refused { resources, until });
    }

    /// Whether all of `free` was refused. More than was refused is a new offer.
    pub(super) fn hides(&mut self, role: &str, agent: &AgentId, free: &Bundle, now: Instant) -> bool {
        let key = (role.to_owned(), agent.clone());
        let Some(refused) = self.refused.get_mut(&key) else { return false };
        refused.retain(|refused| now < refused.until);
        refused.iter().any(|refused| refused.resources.contains(free))
    }

    /// Forgets what was refused in these roles.
    pub(super) fn clear(&mut self, roles: &[String]) {
        self.refused.retain(|(role, _), _| !roles.contains(role));
    }

    /// Forgets everything.
    pub(super) fn clear_all(&mut self) {
        self.refused.clear();
    }

    /// Forgets what was refused of an agent that is new or has changed.
    pub(super) fn clear_agent(&mut self, agent: &AgentId) {
        self.refused.retain(|(_, refused), _| refused != agent);
    }
}

/// Whether so little is worth an offer: 0.01 cpus or 32 MiB, or what the framework itself set for the role.
#[must_use]
pub(super) fn is_worth_offering(free: &Bundle, minimum: Option<&OfferFilters>) -> bool {
    let own = minimum.and_then(|filters| filters.min_allocatable_resources.as_ref());
    match own {
        Some(own) => {
            own.quantities.is_empty()
                || own.quantities.iter().any(|all| {
                    all.quantities.iter().all(|(name, least)| {
                        let least = Resource {
                            name: name.clone(),
                            r#type: ValueType::Scalar.wire(),
                            scalar: Some(*least),
                            ..Resource::default()
                        };
                        Bundle::of(&[least]).is_ok_and(|least| free.scalar(name) >= least.scalar(name))
                    })
                })
        }
        None => free.scalar("cpus") >= 10 || free.scalar("mem") >= 32_000,
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::parse_resources;
    use super::*;

    fn bundle(text: &str) -> Bundle {
        Bundle::of(&parse_resources(text).unwrap()).unwrap()
    }

    fn seconds(refuse: f64) -> Duration {
        refuse_for(Some(WireFilters { refuse_seconds: Some(refuse) }))
    }

    #[test]
    fn a_missing_or_nonsensical_time_means_five_seconds() {
        assert_eq!(refuse_for(None), Duration::from_secs(5));
        assert_eq!(refuse_for(Some(WireFilters::default())), Duration::from_secs(5));
        assert_eq!(seconds(-1.0), Duration::from_secs(5));
        assert_eq!(seconds(f64::NAN), Duration::from_secs(5));
        assert_eq!(seconds(f64::INFINITY), LONGEST);
        assert_eq!(seconds(0.0), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_contained_in_a_refused_offer_is_hidden_and_more_is_not() {
        let (mut filters, agent, now) = (Filters::default(), AgentId::new("a"), Instant::now());
        filters.refuse("web", &agent, bundle("cpus:2;mem:100"), now + Duration::from_secs(3600));
        assert!(filters.hides("web", &agent, &bundle("cpus:1;mem:100"), now));
        assert!(!filters.hides("web", &agent, &bundle("cpus:2.001;mem:100"), now));
        assert!(!filters.hides("db", &agent, &bundle("cpus:1"), now));
        assert!(!filters.hides("web", &agent, &bundle("cpus:1"), now + Duration::from_secs(3600)));
    }

    #[test]
    fn remnants_are_not_offered() {
        assert!(is_worth_offering(&bundle("cpus:0.01"), None));
        assert!(is_worth_offering(&bundle("mem:32"), None));
        assert!(!is_worth_offering(&bundle("cpus:0.009;mem:31;ports:[1-9]"), None));
    }
}
