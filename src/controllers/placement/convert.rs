//! Between Mesos's offers and `plan`'s: one function per direction. What a task takes is cut from the offered resources
//! themselves, so role, reservation and allocation stay as the master made them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::{Bytes, Cpus, Lent};
use crate::controllers::questions;
use crate::mesos::leases::Lease;
use crate::mesos::wire;
use crate::plan::maintenance;
use crate::plan::placement::{Agent, AgentId, Offer, OfferId, PortRange, PortSet, Resources, Scalar};

/// The offer of a lease, as decisions see it.
pub(super) fn offer(lease: &Lease) -> Offer {
    let offer = &lease.offer;
    Offer {
        id: OfferId(Arc::from(offer.id.value.as_str())),
        agent: AgentId(Arc::from(offer.agent_id.value.as_str())),
        free: scalars(&offer.resources),
        ports: ports(&offer.resources),
        received: lease.received_at,
    }
}

/// The machine that an offer speaks of. Its totals are what is known of them: never less than what is offered.
pub(in crate::controllers) fn agent(offer: &wire::Offer, totals: Resources, now: Timestamp) -> Agent {
    let fault_domain = offer.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
    let named = |of: Option<&wire::offer::Named>| of.map(|it| Arc::from(it.name.as_str()));
    Agent {
        region: fault_domain.and_then(|it| named(it.region.as_ref())),
        zone: fault_domain.and_then(|it| named(it.zone.as_ref())),
        attributes: attributes(&offer.attributes),
        totals,
        accepts: !is_leaving(offer, now),
        ..Agent::new(&offer.agent_id.value, &offer.hostname)
    }
}

fn is_leaving(offer: &wire::Offer, now: Timestamp) -> bool {
    let plan = offer.unavailability.as_ref().and_then(questions::maintenance);
    plan.is_some_and(|plan| maintenance::is_leaving(&plan, now))
}

/// Attributes in the form that constraints compare.
pub(in crate::controllers) fn attributes(attributes: &[wire::Attribute]) -> BTreeMap<String, Arc<str>> {
    let text = |attribute: &wire::Attribute| {
        let scalar = attribute.scalar.as_ref().map(|it| it.value.to_string());
        let ranges = attribute.ranges.as_ref().map(|ranges| {
            let ranges: Vec<String> =
                ranges.range.iter().map(|it| format!("{}-{}", it.begin, it.end)).collect();
            format!("[{}]", ranges.join(","))
        });
        let set = attribute.set.as_ref().map(|it| format!("{{{}}}", it.item.join(",")));
        attribute.text.as_ref().map(|it| it.value.clone()).or(scalar).or(ranges).or(set)
    };
    attributes.iter().filter_map(|it| Some((it.name.clone(), Arc::from(text(it)?.as_str())))).collect()
}

const CPUS: &str = "cpus";
const MEMORY: &str = "mem";
const DISK: &str = "disk";
const GPUS: &str = "gpus";
const PORTS: &str = "ports";

/// Mesos's name of a scalar.
fn wire_name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Cpus | Scalar::LentCpus => CPUS,
        Scalar::Memory | Scalar::LentMemory => MEMORY,
        Scalar::Disk => DISK,
        Scalar::Gpus => GPUS,
    }
}

/// Whether tasks may be given it, if it is lent only those that ask for that: no volume that holds somebody's data, and not reserved under
/// labels: by these another framework of the role, such as Marathon, finds what it keeps for its own tasks again.
fn is_usable(resource: &wire::Resource) -> bool {
    let is_labelled =
        |it: &wire::resource::ReservationInfo| it.labels.as_ref().is_some_and(|it| !it.labels.is_empty());
    let reservations = resource.reservations.iter().chain(resource.reservation.as_deref());
    resource.shared.is_none() && resource.disk.is_none() && !reservations.into_iter().any(is_labelled)
}

/// Whether Mesos lends it, and may want it back at any time.
fn is_lent(resource: &wire::Resource) -> bool {
    resource.revocable.is_some()
}

/// Whether it is kept for a role, in either of Mesos's forms.
fn is_reserved(resource: &wire::Resource) -> bool {
    let role = resource.role.as_deref().unwrap_or_default();
    !resource.reservations.is_empty() || !["", "*"].contains(&role)
}

/// The usable scalars, those that are lent by themselves.
pub(in crate::controllers) fn scalars<'a>(
    resources: impl IntoIterator<Item = &'a wire::Resource>,
) -> Resources {
    let mut sum = Resources::default();
    for resource in resources.into_iter().filter(|it| is_usable(it)) {
        let sum = match (resource.name.as_str(), is_lent(resource)) {
            (CPUS, false) => &mut sum.cpus,
            (CPUS, true) => &mut sum.lent_cpus,
            (MEMORY, false) => &mut sum.memory,
            (MEMORY, true) => &mut sum.lent_memory,
            (DISK, false) => &mut sum.disk,
            (GPUS, false) => &mut sum.gpus,
            _ => continue,
        };
        *sum += thousandths(resource);
    }
    sum
}

/// The usable ports. Lent ones are none.
pub(in crate::controllers) fn ports<'a>(resources: impl IntoIterator<Item = &'a wire::Resource>) -> PortSet {
    let usable = resources.into_iter().filter(|it| is_port(it));
    let ranges = usable.filter_map(|it| it.ranges.as_ref()).flat_map(|it| &it.range);
    ranges
        .filter_map(|it| Some(PortRange { begin: it.begin.try_into().ok()?, end: it.end.try_into().ok()? }))
        .collect()
}

fn is_port(resource: &wire::Resource) -> bool {
    resource.name == PORTS && is_usable(resource) && !is_lent(resource)
}

/// Mesos keeps three decimals.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts of a machine, never negative"
)]
fn thousandths(resource: &wire::Resource) -> u64 {
    resource.scalar.as_ref().map_or(0, |it| (it.value * 1000.0).round().max(0.0) as u64)
}

/// What manifests and bindings write for an amount, without what is lent; bytes are rounded down to what Mesos counts.
pub(in crate::controllers) fn to_api(resources: &Resources) -> crate::api::Resources {
    crate::api::Resources {
        cpus: Cpus::from_millis(resources.cpus),
        memory: bytes(resources.memory),
        disk: bytes(resources.disk),
        gpus: (resources.gpus / 1000).try_into().unwrap_or(u32::MAX),
    }
}

fn bytes(thousandths: u64) -> Bytes {
    Bytes::new((u128::from(thousandths) * (1 << 20) / 1000).try_into().unwrap_or(u64::MAX))
}

/// What is lent, if anything is.
pub(in crate::controllers) fn lent(resources: &Resources) -> Option<Lent> {
    let lent = Lent { cpus: Cpus::from_millis(resources.lent_cpus), memory: bytes(resources.lent_memory) };
    (!resources.lent().is_empty()).then_some(lent)
}

/// The scalars of a machine.
pub(in crate::controllers) fn of_totals(totals: &crate::api::Totals) -> Resources {
    let resources = crate::api::Resources {
        cpus: totals.cpus,
        memory: totals.memory,
        disk: totals.disk,
        gpus: totals.gpus,
    };
    Resources::from(&resources)
}

/// Takes `wanted` and `ports` (0 for none) out of `pool`, in whatever order it is: what is reserved goes first, as only its role can use
/// that. What is lent and what is not stay apart: Mesos refuses a task that mixes them. Nothing is taken when the pool does not hold them.
pub(super) fn cut(
    pool: &mut Vec<wire::Resource>,
    wanted: &Resources,
    ports: &[u16],
) -> Option<Vec<wire::Resource>> {
    let mut left = pool.clone();
    left.sort_by_key(|it| !is_reserved(it));
    let mut taken = Vec::new();
    for scalar in Scalar::ALL {
        taken.extend(cut_scalar(&mut left, scalar, wanted.of(scalar))?);
    }
    let mut ports: Vec<u64> = ports.iter().filter(|port| **port != 0).map(|port| u64::from(*port)).collect();
    ports.sort_unstable();
    taken.extend(cut_ports(&mut left, &ports)?);
    *pool = left;
    Some(taken)
}

fn cut_scalar(pool: &mut [wire::Resource], scalar: Scalar, mut wanted: u64) -> Option<Vec<wire::Resource>> {
    let lent = if planted!("lent-to-those-who-did-not-ask") { !scalar.is_lent() } else { scalar.is_lent() };
    let is_it = |it: &wire::Resource| it.name == wire_name(scalar) && is_lent(it) == lent;
    let mut taken = Vec::new();
    for resource in pool.iter_mut().filter(|it| is_it(it) && is_usable(it)) {
        let amount = thousandths(resource).min(wanted);
        if amount > 0 {
            let value = |of: u64| Some(wire::Scalar { value: of as f64 / 1000.0 });
            taken.push(wire::Resource { scalar: value(amount), ..resource.clone() });
            resource.scalar = value(thousandths(resource) - amount);
            wanted -= amount;
        }
    }
    (wanted == 0).then_some(taken)
}

fn cut_ports(pool: &mut [wire::Resource], wanted: &[u64]) -> Option<Vec<wire::Resource>> {
    let mut found = 0;
    let mut taken = Vec::new();
    for resource in pool.iter_mut().filter(|it| is_port(it)) {
        let Some(ranges) = resource.ranges.as_mut() else { continue };
        let (here, left) = split_ranges(&ranges.range, wanted);
        ranges.range = left;
        found += here.len();
        if !here.is_empty() {
            let ranges = here.iter().map(|port| wire::Range { begin: *port, end: *port }).collect();
            taken.push(wire::Resource { ranges: Some(wire::Ranges { range: ranges }), ..resource.clone() });
        }
    }
    (found == wanted.len()).then_some(taken)
}

/// Those of `wanted` (in order) that are in `ranges`, and what is left of the ranges.
fn split_ranges(ranges: &[wire::Range], wanted: &[u64]) -> (Vec<u64>, Vec<wire::Range>) {
    let (mut here, mut left) = (Vec::new(), Vec::new());
    for range in ranges {
        let mut begin = range.begin;
        for port in wanted.iter().copied().filter(|port| (range.begin..=range.end).contains(port)) {
            here.push(port);
            if begin < port {
                left.push(wire::Range { begin, end: port - 1 });
            }
            begin = port + 1;
        }
        if begin <= range.end {
            left.push(wire::Range { begin, end: range.end });
        }
    }
    (here, left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Revocable;

    fn scalar(name: &str, value: f64) -> wire::Resource {
        wire::Resource {
            name: name.into(),
            r#type: wire::ValueType::Scalar.wire(),
            scalar: Some(wire::Scalar { value }),
            ..wire::Resource::default()
        }
    }

    fn port_ranges(ranges: &[(u64, u64)]) -> wire::Resource {
        let range = ranges.iter().map(|(begin, end)| wire::Range { begin: *begin, end: *end }).collect();
        wire::Resource {
            name: PORTS.into(),
            r#type: wire::ValueType::Ranges.wire(),
            ranges: Some(wire::Ranges { range }),
            ..wire::Resource::default()
        }
    }

    fn pool() -> Vec<wire::Resource> {
        let reserved = wire::Resource { role: Some("web".into()), ..scalar(CPUS, 0.5) };
        vec![
            scalar(CPUS, 1.3),
            scalar(MEMORY, 512.0),
            port_ranges(&[(31000, 31002), (31005, 31005)]),
            reserved,
        ]
    }

    #[test]
    fn what_is_cut_and_what_is_left_are_what_was_offered() {
        let (mut left, before) = (pool(), pool());
        let wanted = Resources { cpus: 700, memory: 128_000, ..Resources::default() };
        let taken = cut(&mut left, &wanted, &[31005, 0, 31001]).unwrap();
        assert_eq!(scalars(&taken), wanted);
        assert_eq!(taken[0].role.as_deref(), Some("web"), "the reserved part goes first and stays reserved");
        assert_eq!(scalars(&taken).plus(&scalars(&left)), scalars(&before));
        assert_eq!(ports(&taken).to_string(), "31001-31001,31005-31005");
        assert_eq!(ports(&left).to_string(), "31000-31000,31002-31002");
    }

    #[test]
    fn nothing_is_cut_from_a_pool_that_does_not_hold_it() {
        let mut left = pool();
        let much = Resources { cpus: 1801, ..Resources::default() };
        assert_eq!(cut(&mut left, &much, &[]), None);
        assert_eq!(cut(&mut left, &Resources::default(), &[31003]), None);
        assert_eq!(left, pool());
    }

    fn lent(resource: wire::Resource) -> wire::Resource {
        wire::Resource { revocable: Some(wire::resource::Marker {}), ..resource }
    }

    #[test]
    fn volumes_and_lent_ports_disks_and_gpus_are_not_used() {
        let volume = wire::Resource { disk: Some(Box::default()), ..scalar(DISK, 8.0) };
        let offered =
            [volume, lent(scalar(DISK, 8.0)), lent(scalar(GPUS, 1.0)), lent(port_ranges(&[(1, 2)]))];
        assert_eq!(scalars(&offered), Resources::default());
        assert_eq!(ports(&offered), PortSet::default());
        assert_eq!(cut(&mut offered.to_vec(), &Resources::default(), &[1]), None);
    }

    #[test]
    fn what_is_lent_is_cut_for_those_who_ask_for_it_alone_and_never_mixed() {
        let offered =
            [lent(scalar(CPUS, 4.0)), scalar(CPUS, 1.0), scalar(MEMORY, 512.0), lent(scalar(CPUS, 1.5))];
        let all = scalars(&offered);
        assert_eq!((all.cpus, all.lent_cpus, all.memory, all.lent_memory), (1000, 5500, 512_000, 0));

        let mut left = offered.to_vec();
        let ordinary = Resources { cpus: 1000, memory: 128_000, ..Resources::default() };
        let taken = cut(&mut left, &ordinary, &[]).unwrap();
        assert!(taken.iter().all(|it| !is_lent(it)), "{taken:?}");
        assert_eq!(cut(&mut left, &ordinary, &[]), None, "all that is left of cpus is lent");

        let of_lent = ordinary.lending(&[Revocable::Cpus]);
        let taken = cut(&mut left, &Resources { lent_cpus: 5000, ..of_lent }, &[]).unwrap();
        let kinds: Vec<_> = taken.iter().map(|it| (it.name.as_str(), is_lent(it))).collect();
        assert_eq!(kinds, [(MEMORY, false), (CPUS, true), (CPUS, true)]);
        assert_eq!(scalars(&left), Resources { memory: 256_000, lent_cpus: 500, ..Resources::default() });
        let mut ordinary = vec![scalar(CPUS, 8.0), scalar(MEMORY, 512.0)];
        assert_eq!(cut(&mut ordinary, &of_lent, &[]), None, "nothing is taken in place of what is lent");
    }

    #[test]
    fn what_is_lent_counts_in_no_total() {
        let offered = scalars(&[lent(scalar(CPUS, 4.0)), scalar(CPUS, 1.0), lent(scalar(MEMORY, 64.0))]);
        assert_eq!(to_api(&offered), crate::api::Resources { memory: Bytes::default(), ..one_cpu() });
        let told = Lent { cpus: Cpus::from_millis(4000), memory: Bytes::from_mebibytes(64) };
        assert_eq!(super::lent(&offered), Some(told));
        assert_eq!(super::lent(&scalars(&[scalar(CPUS, 1.0)])), None);
    }

    fn one_cpu() -> crate::api::Resources {
        crate::api::Resources { cpus: Cpus::from_millis(1000), ..crate::api::Resources::default() }
    }

    #[test]
    fn what_is_reserved_is_used_unless_it_is_labelled() {
        let reservation = |labels: &[&str]| wire::resource::ReservationInfo {
            role: Some("web".into()),
            labels: Some(wire::Labels {
                labels: labels.iter().map(|key| wire::Label { key: (*key).into(), value: None }).collect(),
            }),
            ..wire::resource::ReservationInfo::default()
        };
        let of_role = wire::Resource { reservations: vec![reservation(&[])], ..scalar(CPUS, 2.0) };
        let labelled =
            wire::Resource { reservations: vec![reservation(&["marathon_task_id"])], ..scalar(CPUS, 4.0) };
        let old_form =
            wire::Resource { reservation: Some(Box::new(reservation(&["of"]))), ..scalar(CPUS, 8.0) };
        let mut offered = vec![labelled, old_form, scalar(CPUS, 1.0), of_role.clone()];
        assert_eq!(scalars(&offered).cpus, 3000);
        let taken = cut(&mut offered, &Resources { cpus: 2000, ..Resources::default() }, &[]).unwrap();
        assert_eq!(taken, [of_role]);
    }

    #[test]
    fn attributes_become_text() {
        let text = wire::Attribute {
            name: "rack".into(),
            text: Some(wire::Text { value: "r1".into() }),
            ..wire::Attribute::default()
        };
        let number = wire::Attribute {
            name: "level".into(),
            scalar: Some(wire::Scalar { value: 3.0 }),
            ..wire::Attribute::default()
        };
        let seen = attributes(&[text, number]);
        assert_eq!((&*seen["rack"], &*seen["level"]), ("r1", "3"));
    }
}
