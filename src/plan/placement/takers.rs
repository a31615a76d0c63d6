//! For whom an offer is worth something: which classes its agent could take one more Task of.

use std::collections::BTreeMap;

use super::AgentId;
use super::class::Class;
use super::explain::refusal;
use super::index::{AgentIx, ClassEntry, Index};
use crate::plan::ObjectName;

/// How often an agent is asked about a class, about.
const LOOKS: usize = 100_000;

/// Of `classes`, those of which each agent whose offers are held could take one more Task; agents that could of none are left out.
/// Where there are so many agents and classes that it would take long to look at all, the first classes are looked at.
#[must_use]
pub fn takers(index: &Index, classes: &[ObjectName]) -> BTreeMap<AgentId, Vec<ObjectName>> {
    let held = (0..).zip(&index.agents).filter(|(_, agent)| !agent.offers.is_empty());
    let held: Vec<_> = held.collect();
    let most = LOOKS / held.len().max(1);
    let known = classes.iter().take(most.max(1)).filter_map(|name| {
        let entry = index.classes.get(name)?;
        Some((name, entry, entry.class.as_deref()?))
    });
    let known: Vec<(&ObjectName, &ClassEntry, &Class)> = known.collect();
    let mut takers = BTreeMap::new();
    for (at, agent) in held {
        let takes = |(_, entry, class): &&(&ObjectName, &ClassEntry, &Class)| takes(index, at, entry, class);
        let taken: Vec<_> = known.iter().filter(takes).map(|(name, ..)| (*name).clone()).collect();
        if !taken.is_empty() {
            takers.insert(agent.id.clone(), taken);
        }
    }
    takers
}

fn takes(index: &Index, at: AgentIx, entry: &ClassEntry, class: &Class) -> bool {
    let agent = index.entry(at);
    let Some(facts) = &agent.facts else { return false };
    let values = entry.fields.iter().map(|field| index.value(at, *field));
    refusal(agent, facts, &agent.free, class, values.zip(&entry.counts)).is_none()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agent, class, index, offer};
    use super::super::*;
    use super::*;

    #[test]
    fn an_offer_is_for_those_whom_its_agent_could_take() {
        let racks = [(1, Some("a"), 4000), (2, Some("b"), 4000), (3, Some("a"), 100)];
        let machines = racks.into_iter().flat_map(|(number, rack, free)| {
            [Change::Agent(agent(number, rack, 4000, 4096)), Change::Offer(offer(number, number, free, 4096))]
        });
        let leaving = Agent { accepts: false, ..agent(4, Some("a"), 4000, 4096) };
        let classes = [
            class("small", 50, 64, &[], Vec::new()),
            class("large", 2000, 64, &[], Vec::new()),
            class("picky", 50, 64, &["rack IS a"], Vec::new()),
            class("greedy", 64_000, 64, &[], Vec::new()),
        ];
        let names: Vec<_> =
            classes.iter().map(|it| it.name.clone()).chain([ObjectName::new("shop", "unknown")]).collect();
        let more = [Change::Agent(leaving), Change::Offer(offer(4, 4, 4000, 4096))];
        let index = index(machines.chain(more).chain(classes.into_iter().map(Change::Class)));
        let told = takers(&index, &names).into_iter();
        let told: Vec<String> = told
            .map(|(agent, classes)| {
                let names: Vec<&str> = classes.iter().map(|it| &*it.name).collect();
                format!("{agent}: {}", names.join(" "))
            })
            .collect();
        assert_eq!(told, ["agent-1: small large picky", "agent-2: small large", "agent-3: small picky"]);
    }
}
