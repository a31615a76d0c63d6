//! Amounts of resources, exactly: what is added and subtracted always comes out even.
//!
//! Scalars are whole thousandths (the wire's doubles are worth three decimals), ranges are kept sorted and joined.
//! Resources that differ in reservation, disk or role of allocation never mix.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use crate::mesos::wire::resource::{AllocationInfo, ReservationInfo};
use crate::mesos::wire::{Range, Ranges, Resource, Scalar, Set, ValueType, json};

/// A multiset of resources. Empty amounts are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// In the order of their kinds. They are few, and a cluster has a bundle per task: a map would weigh more.
    amounts: Vec<(Kind, Amount)>,
}

/// What can be added up: equal kinds only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    name: Name,
    /// The role of the offer that it belongs to; empty while it is not offered.
    allocated: Name,
    /// Reservations, disk and the like, in canonical JSON; empty for a plain resource.
    facets: String,
}

/// A text of which nearly all are the same few.
type Name = Cow<'static, str>;

fn name(text: &str) -> Name {
    const USUAL: [&str; 6] = ["", "*", "cpus", "disk", "mem", "ports"];
    match USUAL.into_iter().find(|usual| *usual == text) {
        Some(usual) => Name::Borrowed(usual),
        None => Name::Owned(text.to_owned()),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Amount {
    /// Thousandths.
    Scalar(i64),
    /// Sorted, not touching each other, both ends included.
    Ranges(Vec<(u64, u64)>),
    Set(BTreeSet<String>),
}

/// A resource that no master would accept. The text is Mesos's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Resource '{resource}' is invalid: {problem}")]
pub struct InvalidResource {
    resource: String,
    problem: &'static str,
}

impl Bundle {
    /// Adds up `resources`. Amounts of exactly zero vanish.
    ///
    /// # Errors
    /// Names the first resource that is malformed.
    pub fn of(resources: &[Resource]) -> Result<Bundle, InvalidResource> {
        let mut bundle = Bundle::default();
        for resource in resources {
            let invalid = |problem| InvalidResource { resource: describe(resource), problem };
            let amount = Amount::of(resource).map_err(invalid)?;
            bundle.add_amount(Kind::of(resource), amount);
        }
        Ok(bundle)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.amounts.is_empty()
    }

    /// Whether all of `other` is in this.
    #[must_use]
    pub fn contains(&self, other: &Bundle) -> bool {
        other.amounts.iter().all(|(kind, amount)| self.of_kind(kind).is_some_and(|it| it.contains(amount)))
    }

    fn of_kind(&self, kind: &Kind) -> Option<&Amount> {
        self.place(kind).ok().map(|place| &self.amounts[place].1)
    }

    /// Where the amount of this kind is, or would be.
    fn place(&self, kind: &Kind) -> Result<usize, usize> {
        self.amounts.binary_search_by(|(other, _)| other.cmp(kind))
    }

    /// Puts `other` in.
    pub fn add(&mut self, other: &Bundle) {
        for (kind, amount) in &other.amounts {
            match self.place(kind) {
                Ok(place) => self.amounts[place].1.add(amount.clone()),
                Err(place) => self.amounts.insert(place, (kind.clone(), amount.clone())),
            }
        }
    }

    /// Takes `other` out, or nothing when not all of it is there.
    #[must_use]
    pub fn take(&mut self, other: &Bundle) -> bool {
        if !self.contains(other) {
            return false;
        }
        for (kind, amount) in &other.amounts {
            if let Ok(place) = self.place(kind) {
                self.amounts[place].1.subtract(amount);
                if self.amounts[place].1.is_empty() {
                    self.amounts.remove(place);
                }
            }
        }
        true
    }

    /// The sum of all scalars of this name, in thousandths.
    #[must_use]
    pub fn scalar(&self, name: &str) -> i64 {
        let scalars =
            self.amounts.iter().filter(|(kind, _)| kind.name == name).map(|(_, amount)| match amount {
                Amount::Scalar(thousandths) => *thousandths,
                Amount::Ranges(_) | Amount::Set(_) => 0,
            });
        scalars.sum()
    }

    /// Only what can be added up over agents: ports and sets are an agent's own, and two agents may have the same.
    #[must_use]
    pub fn scalars(&self) -> Bundle {
        let scalars = self.amounts.iter().filter(|(_, amount)| matches!(amount, Amount::Scalar(_)));
        Bundle { amounts: scalars.cloned().collect() }
    }

    /// What is lent of it.
    #[must_use]
    pub fn lent(&self) -> Bundle {
        let lent = self.amounts.iter().filter(|(kind, _)| kind.is_lent());
        Bundle { amounts: lent.cloned().collect() }
    }

    /// A name under which there is something that is lent and something that is not.
    #[must_use]
    pub fn mixed(&self) -> Option<&str> {
        let lent = |wanted: bool| self.amounts.iter().filter(move |(kind, _)| kind.is_lent() == wanted);
        let mut names = lent(true).map(|(kind, _)| &*kind.name);
        names.find(|name| lent(false).any(|(kind, _)| kind.name == *name))
    }

    /// The same, as offered to `role`.
    #[must_use]
    pub fn allocated(&self, role: &str) -> Bundle {
        self.with_role(&name(role))
    }

    /// The same, as it is on the agent.
    #[must_use]
    pub fn unallocated(&self) -> Bundle {
        self.with_role(&name(""))
    }

    fn with_role(&self, role: &Name) -> Bundle {
        let mut bundle = Bundle { amounts: Vec::with_capacity(self.amounts.len()) };
        for (kind, amount) in &self.amounts {
            bundle.add_amount(Kind { allocated: role.clone(), ..kind.clone() }, amount.clone());
        }
        bundle
    }

    /// As wire messages, unreserved ones with the role `*` written out as masters do.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        self.amounts.iter().map(|(kind, amount)| kind.resource(amount)).collect()
    }

    fn add_amount(&mut self, kind: Kind, amount: Amount) {
        if amount.is_empty() {
            return;
        }
        match self.place(&kind) {
            Ok(place) => self.amounts[place].1.add(amount),
            Err(place) => self.amounts.insert(place, (kind, amount)),
        }
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.resources().iter().map(describe).collect();
        f.write_str(&texts.join("; "))
    }
}

impl Kind {
    fn of(resource: &Resource) -> Kind {
        let allocated = resource.allocation_info.as_ref().and_then(|info| info.role.as_deref());
        let facets = if is_plain(resource) { String::new() } else { canonical(&facets(resource)) };
        Kind { name: name(&resource.name), allocated: name(allocated.unwrap_or_default()), facets }
    }

    fn is_lent(&self) -> bool {
        let facets = || json::from_slice::<Resource>(self.facets.as_bytes());
        !self.facets.is_empty() && facets().is_ok_and(|it| it.revocable.is_some())
    }

    fn resource(&self, amount: &Amount) -> Resource {
        let facets: Resource = if self.facets.is_empty() {
            Resource { role: Some("*".to_owned()), ..Resource::default() }
        } else {
            json::from_slice(self.facets.as_bytes()).unwrap_or_default()
        };
        let allocated = (!self.allocated.is_empty()).then(|| self.allocated.to_string());
        let allocation_info = allocated.map(|role| AllocationInfo { role: Some(role) });
        let (r#type, scalar, ranges, set) = amount.values();
        Resource { name: self.name.to_string(), r#type, scalar, ranges, set, allocation_info, ..facets }
    }
}

/// Whether nothing but name and role of allocation tells it from others: nearly all.
fn is_plain(resource: &Resource) -> bool {
    let is_reserved = resource.role.as_ref().is_some_and(|role| role != "*" && !role.is_empty());
    let is_special = resource.disk.is_some()
        || resource.revocable.is_some()
        || resource.shared.is_some()
        || resource.provider_id.is_some();
    resource.reservations.is_empty() && !is_reserved && !is_special
}

fn facets(resource: &Resource) -> Resource {
    Resource {
        reservations: reservations(resource),
        disk: resource.disk.clone(),
        revocable: resource.revocable,
        shared: resource.shared,
        provider_id: resource.provider_id.clone(),
        ..Resource::default()
    }
}

/// The reservations in the stacked form, whichever form they came in.
fn reservations(resource: &Resource) -> Vec<ReservationInfo> {
    if !resource.reservations.is_empty() {
        return resource.reservations.clone();
    }
    let Some(role) = resource.role.as_ref().filter(|role| *role != "*" && !role.is_empty()) else {
        return Vec::new();
    };
    let reservation = resource.reservation.clone();
    let kind = if reservation.is_some() {
        crate::mesos::wire::ReservationType::Dynamic
    } else {
        crate::mesos::wire::ReservationType::Static
    };
    let reservation = reservation.map_or_else(ReservationInfo::default, |boxed| *boxed);
    vec![ReservationInfo { role: Some(role.clone()), r#type: kind.wire(), ..reservation }]
}

fn canonical(facets: &Resource) -> String {
    // Writing one of our own messages cannot fail; an empty text would mean a plain resource.
    json::to_value(facets).map(|value| value.to_string()).unwrap_or_default()
}

type Values = (Option<i32>, Option<Scalar>, Option<Ranges>, Option<Set>);

impl Amount {
    fn of(resource: &Resource) -> Result<Amount, &'static str> {
        match resource.r#type() {
            ValueType::Scalar => scalar(resource),
            ValueType::Ranges => ranges(resource),
            ValueType::Set => match &resource.set {
                Some(set) if resource.scalar.is_none() && resource.ranges.is_none() => {
                    Ok(Amount::Set(set.item.iter().cloned().collect()))
                }
                _ => Err("Invalid set resource"),
            },
            ValueType::Text | ValueType::Unrecognised => Err("Unsupported resource type"),
        }
    }

    fn values(&self) -> Values {
        match self {
            Amount::Scalar(thousandths) => {
                (ValueType::Scalar.wire(), Some(Scalar { value: to_double(*thousandths) }), None, None)
            }
            Amount::Ranges(ranges) => {
                let range = ranges.iter().map(|&(begin, end)| Range { begin, end }).collect();
                (ValueType::Ranges.wire(), None, Some(Ranges { range }), None)
            }
            Amount::Set(items) => {
                (ValueType::Set.wire(), None, None, Some(Set { item: items.iter().cloned().collect() }))
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Amount::Scalar(thousandths) => *thousandths == 0,
            Amount::Ranges(ranges) => ranges.is_empty(),
            Amount::Set(items) => items.is_empty(),
        }
    }

    fn contains(&self, other: &Amount) -> bool {
        match (self, other) {
            (Amount::Scalar(a), Amount::Scalar(b)) => a >= b,
            (Amount::Ranges(a), Amount::Ranges(b)) => {
                b.iter().all(|(begin, end)| a.iter().any(|(from, to)| from <= begin && end <= to))
            }
            (Amount::Set(a), Amount::Set(b)) => b.is_subset(a),
            (Amount::Scalar(_) | Amount::Ranges(_) | Amount::Set(_), _) => false,
        }
    }

    fn add(&mut self, other: Amount) {
        match (self, other) {
            (Amount::Scalar(a), Amount::Scalar(b)) => *a += b,
            (Amount::Ranges(a), Amount::Ranges(b)) => {
                a.extend(b);
                *a = joined(std::mem::take(a));
            }
            (Amount::Set(a), Amount::Set(b)) => a.extend(b),
            // Two types under one name: the first one stays, as in Mesos.
            (Amount::Scalar(_) | Amount::Ranges(_) | Amount::Set(_), _) => {}
        }
    }

    /// `other` is contained in this.
    fn subtract(&mut self, other: &Amount) {
        match (self, other) {
            (Amount::Scalar(a), Amount::Scalar(b)) => *a -= b,
            (Amount::Ranges(a), Amount::Ranges(b)) => {
                for cut in b {
                    *a = a.iter().flat_map(|&range| without(range, *cut)).collect();
                }
            }
            (Amount::Set(a), Amount::Set(b)) => a.retain(|item| !b.contains(item)),
            (Amount::Scalar(_) | Amount::Ranges(_) | Amount::Set(_), _) => {}
        }
    }
}

fn scalar(resource: &Resource) -> Result<Amount, &'static str> {
    let Some(Scalar { value }) =
        resource.scalar.filter(|_| resource.ranges.is_none() && resource.set.is_none())
    else {
        return Err("Invalid scalar resource");
    };
    let thousandths = to_thousandths(value).ok_or("Invalid scalar resource")?;
    if value != 0.0 && thousandths <= 0 {
        return Err("Invalid scalar resource: value <= 0");
    }
    Ok(Amount::Scalar(thousandths))
}

fn ranges(resource: &Resource) -> Result<Amount, &'static str> {
    let Some(ranges) =
        resource.ranges.as_ref().filter(|_| resource.scalar.is_none() && resource.set.is_none())
    else {
        return Err("Invalid ranges resource");
    };
    let mut sorted: Vec<(u64, u64)> = ranges.range.iter().map(|r| (r.begin, r.end)).collect();
    sorted.sort_unstable();
    if sorted.iter().any(|(begin, end)| begin > end) {
        return Err("Invalid ranges resource: begin > end");
    }
    if sorted.windows(2).any(|pair| pair[1].0 <= pair[0].1) {
        return Err("Invalid ranges resource: overlapping ranges");
    }
    Ok(Amount::Ranges(joined(sorted)))
}

/// Sorts and joins ranges that touch or overlap.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (begin, end) in ranges {
        match joined.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => joined.push((begin, end)),
        }
    }
    joined
}

/// What is left of `range` when `cut` is taken out of it.
fn without(range: (u64, u64), cut: (u64, u64)) -> Vec<(u64, u64)> {
    let ((begin, end), (from, to)) = (range, cut);
    if to < begin || end < from {
        return vec![range];
    }
    let mut left = Vec::new();
    if begin < from {
        left.push((begin, from - 1));
    }
    if to < end {
        left.push((to + 1, end));
    }
    left
}

/// Rounds to thousandths; `None` for what is no amount.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn to_thousandths(value: f64) -> Option<i64> {
    let scaled = (value * 1000.0).round();
    (scaled.abs() < 9.0e15).then_some(scaled as i64)
}

#[expect(clippy::cast_precision_loss, reason = "amounts are below 2^53 thousandths, see to_thousandths")]
fn to_double(thousandths: i64) -> f64 {
    thousandths as f64 / 1000.0
}

/// A resource as Mesos spells it in messages: `cpus(allocated: web):0.5`.
fn describe(resource: &Resource) -> String {
    let mut text = resource.name.clone();
    if let Some(role) = resource.allocation_info.as_ref().and_then(|info| info.role.as_ref()) {
        text.push_str(&format!("(allocated: {role})"));
    }
    let stack: Vec<String> = reservations(resource)
        .iter()
        .map(|r| format!("({},{})", r.r#type(), r.role.as_deref().unwrap_or_default()))
        .collect();
    if !stack.is_empty() {
        text.push_str(&format!("(reservations: [{}])", stack.join(",")));
    }
    if resource.revocable.is_some() {
        text.push_str("{REV}");
    }
    text.push(':');
    text.push_str(&describe_value(resource));
    text
}

fn describe_value(resource: &Resource) -> String {
    match resource.r#type() {
        ValueType::Ranges => {
            let ranges = resource.ranges.iter().flat_map(|r| &r.range);
            let texts: Vec<String> = ranges.map(|r| format!("{}-{}", r.begin, r.end)).collect();
            format!("[{}]", texts.join(", "))
        }
        ValueType::Set => {
            let items: Vec<&str> = resource.set.iter().flat_map(|s| &s.item).map(String::as_str).collect();
            format!("{{{}}}", items.join(", "))
        }
        ValueType::Scalar | ValueType::Text | ValueType::Unrecognised => {
            let thousandths = resource.scalar.and_then(|s| to_thousandths(s.value)).unwrap_or(0);
            to_double(thousandths).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::parse_resources;
    use super::*;
    use proptest::prelude::*;

    fn bundle(text: &str) -> Bundle {
        Bundle::of(&parse_resources(text).unwrap()).unwrap()
    }

    #[test]
    fn thousandths_add_up_where_doubles_would_not() {
        let mut total = bundle("cpus:0.3");
        for _ in 0..3 {
            assert!(total.take(&bundle("cpus:0.1")));
        }
        assert!(total.is_empty());
        assert!(!total.take(&bundle("cpus:0.001")));
    }

    #[test]
    fn a_range_is_cut_and_joined_again() {
        let mut ports = bundle("ports:[31000-31009]");
        assert!(ports.take(&bundle("ports:[31003-31004,31007-31007]")));
        assert_eq!(ports.to_string(), "ports:[31000-31002, 31005-31006, 31008-31009]");
        assert!(!ports.contains(&bundle("ports:[31002-31005]")));
        ports.add(&bundle("ports:[31003-31004,31007-31007]"));
        assert_eq!(ports, bundle("ports:[31000-31009]"));
    }

    #[test]
    fn malformed_resources_are_told_in_the_words_of_mesos() {
        let told = |text: &str, edit: fn(&mut Resource)| {
            let mut resources = parse_resources(text).unwrap();
            resources[0].allocation_info = Some(AllocationInfo { role: Some("web".to_owned()) });
            edit(&mut resources[0]);
            Bundle::of(&resources).unwrap_err().to_string()
        };
        let inverted =
            |r: &mut Resource| r.ranges = Some(Ranges { range: vec![Range { begin: 32010, end: 32005 }] });
        assert_eq!(
            told("ports:[1-2]", inverted),
            "Resource 'ports(allocated: web):[32010-32005]' is invalid: Invalid ranges resource: begin > end"
        );
        assert_eq!(
            told("cpus:1", |r| r.scalar = Some(Scalar { value: 0.0004 })),
            "Resource 'cpus(allocated: web):0' is invalid: Invalid scalar resource: value <= 0"
        );
        assert_eq!(
            told("cpus:1", |r| r.scalar = None),
            "Resource 'cpus(allocated: web):0' is invalid: Invalid scalar resource"
        );
    }

    #[test]
    fn sums_over_agents_leave_out_what_is_an_agents_own() {
        let agent = bundle("cpus:2;ports:[31000-31099]");
        let mut total = Bundle::default();
        total.add(&agent.scalars());
        total.add(&agent.scalars());
        assert!(
            total.take(&agent.scalars()) && total.take(&agent.scalars()),
            "though both have the same ports"
        );
        assert!(total.is_empty());
    }

    #[test]
    fn what_is_reserved_does_not_serve_what_is_not() {
        let mut reserved = parse_resources("cpus:1").unwrap();
        reserved[0].role = Some("db".to_owned());
        let reserved = Bundle::of(&reserved).unwrap();
        assert!(!reserved.contains(&bundle("cpus:1")));
        assert_eq!(Bundle::of(&reserved.resources()).unwrap(), reserved, "the wire form loses nothing");
        assert_eq!(reserved.to_string(), "cpus(reservations: [(STATIC,db)]):1");
    }

    proptest! {
        #[test]
        fn taking_out_and_putting_back_changes_nothing(
            cpus in 1_u32..64_000,
            part in 0_u32..64_000,
            cuts in proptest::collection::vec(0_u64..100, 0..20),
        ) {
            let total = bundle(&format!("cpus:{};ports:[0-99]", f64::from(cpus) / 1000.0));
            let part = f64::from(part.min(cpus)) / 1000.0;
            let cuts: BTreeSet<u64> = cuts.into_iter().collect();
            let ranges: Vec<String> = cuts.iter().map(|port| format!("{port}-{port}")).collect();
            let taken = bundle(&format!("cpus:{part};ports:[{}]", ranges.join(",")));
            let mut rest = total.clone();
            prop_assert!(rest.take(&taken));
            rest.add(&taken);
            prop_assert_eq!(rest, total);
        }
    }
}
