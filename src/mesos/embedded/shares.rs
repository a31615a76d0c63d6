//! Dominant resource fairness, as Mesos's hierarchical allocator does it: of the roles, the one that holds the least for its
//! weight comes first; of the frameworks of a role, the one that holds the least.
//!
//! Roles are a tree: `a/b` stands in `a`. The shares on the way to two roles are compared from the top; what a role holds itself,
//! and not those below it, counts as one more of its children.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bundle::Bundle;
use crate::mesos::wire::FrameworkId;

/// What roles and frameworks hold by tasks and offers: scalars only.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shares {
    /// With all that stands below them.
    nodes: BTreeMap<String, Bundle>,
    roles: BTreeMap<Arc<str>, Role>,
}

/// A role without those below it.
#[derive(Debug, Default, PartialEq)]
struct Role {
    held: Bundle,
    frameworks: BTreeMap<FrameworkId, Bundle>,
}

/// Whose turn it is: the lesser first. Ties go by name.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(super) struct Rank {
    /// On the way from the top to the role itself.
    shares: Vec<f64>,
    role: String,
    share: f64,
    framework: FrameworkId,
}

impl Rank {
    /// Who it is.
    pub(super) fn taker(self) -> (FrameworkId, String) {
        (self.framework, self.role)
    }
}

/// How much more than others roles may have. Whom it does not name has 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Weights(pub(super) BTreeMap<String, f64>);

impl Weights {
    pub(super) fn of(&self, role: &str) -> f64 {
        self.0.get(role).copied().unwrap_or(1.0)
    }
}

impl Shares {
    /// `framework` holds so much more in `role`. Returns the role's name, of which there is one copy.
    pub(super) fn hold(&mut self, role: &str, framework: &FrameworkId, held: &Bundle) -> Arc<str> {
        let held = held.scalars();
        let name = self.roles.get_key_value(role).map_or_else(|| Arc::from(role), |(name, _)| name.clone());
        if held.is_empty() {
            return name;
        }
        for node in path(role) {
            match self.nodes.get_mut(node) {
                Some(bundle) => bundle.add(&held),
                None => drop(self.nodes.insert(node.to_owned(), held.clone())),
            }
        }
        let entry = self.roles.entry(name.clone()).or_default();
        entry.held.add(&held);
        match entry.frameworks.get_mut(framework) {
            Some(bundle) => bundle.add(&held),
            None => drop(entry.frameworks.insert(framework.clone(), held)),
        }
        name
    }

    /// `framework` holds so much less in `role`. What holds nothing any more is forgotten.
    pub(super) fn release(&mut self, role: &str, framework: &FrameworkId, held: &Bundle) {
        let held = held.scalars();
        let less = |bundle: &mut Bundle| {
            let whole = bundle.take(&held);
            debug_assert!(whole, "what is released was held");
            bundle.is_empty()
        };
        for node in path(role) {
            if self.nodes.get_mut(node).is_some_and(less) {
                self.nodes.remove(node);
            }
        }
        let Some(entry) = self.roles.get_mut(role) else { return };
        less(&mut entry.held);
        if entry.frameworks.get_mut(framework).is_some_and(less) {
            entry.frameworks.remove(framework);
        }
        if entry.frameworks.is_empty() {
            self.roles.remove(role);
        }
    }

    /// How much of this scalar resource all of them hold, in thousandths.
    pub(super) fn held(&self, name: &str) -> i64 {
        self.roles.values().map(|role| role.held.scalar(name)).sum()
    }

    /// When the turn of `framework` in `role` is, of a cluster that has `total`.
    pub(super) fn rank(
        &self,
        role: &str,
        framework: &FrameworkId,
        total: &Bundle,
        weights: &Weights,
    ) -> Rank {
        let share = |held: Option<&Bundle>| held.map_or(0.0, |held| dominant_share(held, total));
        let mut shares: Vec<f64> =
            path(role).map(|node| share(self.nodes.get(node)) / weights.of(node)).collect();
        let own = self.roles.get(role);
        shares.push(share(own.map(|role| &role.held)));
        Rank {
            shares,
            role: role.to_owned(),
            share: share(own.and_then(|role| role.frameworks.get(framework))),
            framework: framework.clone(),
        }
    }
}

/// The role and those that it stands in, from the top.
fn path(role: &str) -> impl Iterator<Item = &str> {
    let ends = role.match_indices('/').map(|(at, _)| at).chain([role.len()]);
    ends.map(|end| &role[..end])
}

/// The largest share of any resource that `held` has of `total`.
#[expect(clippy::cast_precision_loss, reason = "shares are compared, not added up")]
fn dominant_share(held: &Bundle, total: &Bundle) -> f64 {
    let share = |name| {
        let total = total.scalar(name);
        if total == 0 { 0.0 } else { held.scalar(name) as f64 / total as f64 }
    };
    ["cpus", "mem", "disk", "gpus"].into_iter().map(share).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::resources::parse_resources;
    use super::*;

    fn bundle(text: &str) -> Bundle {
        Bundle::of(&parse_resources(text).unwrap()).unwrap()
    }

    fn framework(name: &str) -> FrameworkId {
        FrameworkId::new(name)
    }

    /// Who is first of these, each a role and a framework.
    fn first<'a>(shares: &Shares, weights: &Weights, asking: &[(&'a str, &'a str)]) -> (&'a str, &'a str) {
        let total = bundle("cpus:100;mem:1000");
        let rank = |it: &(&str, &str)| shares.rank(it.0, &framework(it.1), &total, weights);
        *asking.iter().min_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap()).unwrap()
    }

    #[test]
    fn the_share_is_that_of_the_scarcest_resource() {
        assert_eq!(dominant_share(&bundle("cpus:1;mem:10"), &bundle("cpus:4;mem:20;disk:5")), 0.5);
    }

    #[test]
    fn the_role_that_holds_least_for_its_weight_is_first_and_in_it_the_framework_that_holds_least() {
        let mut shares = Shares::default();
        shares.hold("web", &framework("a"), &bundle("cpus:10"));
        shares.hold("web", &framework("b"), &bundle("cpus:20"));
        shares.hold("db", &framework("c"), &bundle("mem:200"));
        let asking = [("web", "a"), ("web", "b"), ("db", "c"), ("db", "d")];
        assert_eq!(first(&shares, &Weights::default(), &asking), ("db", "d"), "30 % against 20 %");
        let twice = Weights([("web".to_owned(), 2.0)].into());
        assert_eq!(first(&shares, &twice, &asking), ("web", "a"), "15 % against 20 %");
        assert_eq!(first(&shares, &twice, &asking[1..2]), ("web", "b"));
    }

    #[test]
    fn a_role_below_another_counts_in_it() {
        let mut shares = Shares::default();
        shares.hold("dev/a", &framework("a"), &bundle("cpus:30"));
        shares.hold("dev", &framework("d"), &bundle("cpus:1"));
        shares.hold("ops", &framework("o"), &bundle("cpus:20"));
        let weights = Weights::default();
        assert_eq!(first(&shares, &weights, &[("dev/b", "b"), ("ops", "o")]), ("ops", "o"));
        assert_eq!(first(&shares, &weights, &[("dev/b", "b"), ("dev/a", "a"), ("dev", "d")]), ("dev/b", "b"));
        assert_eq!(first(&shares, &weights, &[("dev/a", "a"), ("dev", "d")]), ("dev", "d"));
    }

    #[test]
    fn what_was_released_is_not_held() {
        let mut shares = Shares::default();
        shares.hold("dev/a", &framework("a"), &bundle("cpus:30;ports:[1-9]"));
        shares.hold("dev/a", &framework("a"), &bundle("mem:5"));
        assert_eq!(shares.nodes["dev"], bundle("cpus:30;mem:5"));
        shares.release("dev/a", &framework("a"), &bundle("cpus:30;ports:[1-9]"));
        shares.release("dev/a", &framework("a"), &bundle("mem:5"));
        assert_eq!(shares, Shares::default());
    }
}
