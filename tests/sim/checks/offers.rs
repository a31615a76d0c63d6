//! No offer is spent twice or beyond its resources.

use std::collections::{BTreeMap, BTreeSet};

use tenure::mesos::wire::Resource;
use tenure::mesos::wire::scheduler::{Call, Event};

use super::{Check, Scene};

/// What every server was offered, and what was accepted.
#[derive(Default)]
pub(super) struct Offers {
    /// By subscription and offer: on the next one it is void.
    offered: BTreeMap<(String, String), Amount>,
    spent: BTreeSet<String>,
}

/// Thousandths of scalars by name, and ports.
#[derive(Debug, Default, Clone, PartialEq)]
struct Amount {
    scalars: BTreeMap<String, i64>,
    ports: BTreeSet<u64>,
}

impl Amount {
    /// Adds resources; a port that was there before is told.
    fn add(&mut self, resources: &[Resource]) -> Option<u64> {
        let mut twice = None;
        for resource in resources {
            if let Some(scalar) = &resource.scalar {
                #[expect(clippy::cast_possible_truncation, reason = "amounts of a simulation are small")]
                let thousandths = (scalar.value * 1000.0).round() as i64;
                let lent = if resource.revocable.is_some() { "{REV}" } else { "" };
                *self.scalars.entry(format!("{}{lent}", resource.name)).or_default() += thousandths;
            }
            for range in resource.ranges.iter().flat_map(|it| &it.range) {
                for port in range.begin..=range.end {
                    if !self.ports.insert(port) {
                        twice = Some(port);
                    }
                }
            }
        }
        twice
    }

    fn holds(&self, other: &Amount) -> bool {
        let enough =
            |(name, amount): (&String, &i64)| self.scalars.get(name).copied().unwrap_or(0) >= *amount;
        other.scalars.iter().all(enough) && self.ports.is_superset(&other.ports)
    }
}

impl Check for Offers {
    fn heard(&mut self, server: &str, event: &Event, _broken: &mut Vec<String>) {
        for offer in event.offers.iter().flat_map(|it| &it.offers) {
            let mut amount = Amount::default();
            amount.add(&offer.resources);
            self.offered.insert((server.to_owned(), offer.id.value.clone()), amount);
        }
    }

    fn called(&mut self, server: &str, call: &Call, _: &Scene, broken: &mut Vec<String>) {
        let Some(accept) = &call.accept else { return };
        let mut offered = Amount::default();
        for offer in &accept.offer_ids {
            if !self.spent.insert(offer.value.clone()) {
                broken.push(format!("{server} spends offer {offer} for the second time"));
            }
            if let Some(amount) = self.offered.remove(&(server.to_owned(), offer.value.clone())) {
                for (name, value) in amount.scalars {
                    *offered.scalars.entry(name).or_default() += value;
                }
                offered.ports.extend(amount.ports);
            } else {
                broken.push(format!("{server} accepts offer {offer}, which it was not offered"));
            }
        }
        let mut asked = Amount::default();
        let launches = accept.operations.iter().filter_map(|it| it.launch.as_ref());
        for info in launches.flat_map(|it| &it.task_infos) {
            if let Some(port) = asked.add(&info.resources) {
                broken.push(format!("{server} gives port {port} twice in one ACCEPT"));
            }
        }
        if !offered.holds(&asked) {
            broken.push(format!("{server} accepts {asked:?} of {offered:?}"));
        }
    }
}
