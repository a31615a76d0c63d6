//! Names of objects, and where they stand in the store.
//!
//! An object's store key is `/tenure/<installation>/<group or core>/<plural>/<namespace or ->/<name>`. A cluster-scoped
//! object has `-` for its namespace, which no namespace can be called. [`Key`]s are ordered as their store keys are, so
//! a page of the store, a range of the cache and a list over HTTP agree.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Stands for the empty group in store keys.
const CORE: &str = "core";
/// Stands for the empty namespace in store keys.
const CLUSTER: &str = "-";
/// First segments below the prefix that are no group: the installation's own records and the leader's key.
const RESERVED: [&str; 2] = ["meta", "leader"];

/// The resources that every installation has: text, group, plural. In the order of store keys.
const KNOWN: [(&str, &str, &str); 10] = [
    ("coordination.k8s.io/leases", "coordination.k8s.io", "leases"),
    ("core/configmaps", "", "configmaps"),
    ("core/events", "", "events"),
    ("core/namespaces", "", "namespaces"),
    ("core/secrets", "", "secrets"),
    ("tenure.dev/agents", "tenure.dev", "agents"),
    ("tenure.dev/apps", "tenure.dev", "apps"),
    ("tenure.dev/endpoints", "tenure.dev", "endpoints"),
    ("tenure.dev/revisions", "tenure.dev", "revisions"),
    ("tenure.dev/tasks", "tenure.dev", "tasks"),
];

/// A served resource, spelled `tenure.dev/apps`, `core/namespaces`: the group (`core` when empty) and the plural.
///
/// Those of [`KNOWN`] cost nothing to make, to clone and to compare: every look at a key compares one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Resource(Spelling);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Spelling {
    /// The place in [`KNOWN`].
    Known(u8),
    /// None of these.
    Other(Arc<str>),
}

impl Resource {
    /// The resource `plural` of `group`; the empty group is the core group.
    #[must_use]
    pub fn new(group: &str, plural: &str) -> Resource {
        let group = if group == CORE { "" } else { group };
        let known = (0..).zip(&KNOWN).find(|(_, known)| known.2 == plural && known.1 == group);
        Resource(match known {
            Some((place, _)) => Spelling::Known(place),
            None => {
                Spelling::Other(format!("{}/{plural}", if group.is_empty() { CORE } else { group }).into())
            }
        })
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        match &self.0 {
            Spelling::Known(place) => KNOWN[usize::from(*place)].1,
            Spelling::Other(_) => match self.split().0 {
                CORE => "",
                group => group,
            },
        }
    }

    /// The lower-case plural, as in URLs.
    #[must_use]
    pub fn plural(&self) -> &str {
        match &self.0 {
            Spelling::Known(place) => KNOWN[usize::from(*place)].2,
            Spelling::Other(_) => self.split().1,
        }
    }

    /// As in store keys.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Spelling::Known(place) => KNOWN[usize::from(*place)].0,
            Spelling::Other(text) => text,
        }
    }

    fn split(&self) -> (&str, &str) {
        self.as_str().split_once('/').unwrap_or((CORE, self.as_str()))
    }
}

impl Ord for Resource {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Spelling::Known(a), Spelling::Known(b)) = (&self.0, &other.0) {
            return a.cmp(b);
        }
        let ((a_group, a_plural), (b_group, b_plural)) = (self.split(), other.split());
        segment_order(a_group, b_group).then_with(|| segment_order(a_plural, b_plural))
    }
}

impl PartialOrd for Resource {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identity of an object. Ordered by resource, namespace and name, exactly as store keys are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub resource: Resource,
    /// Empty for a cluster-scoped object.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    /// The object `name` of `resource` in `namespace` (empty: cluster-scoped).
    #[must_use]
    pub fn new(resource: &Resource, namespace: &str, name: &str) -> Key {
        Key { resource: resource.clone(), namespace: namespace.into(), name: name.into() }
    }

    /// Where the object stands in the store.
    #[must_use]
    pub fn store_key(&self, prefix: &Prefix) -> Arc<str> {
        let namespace = if self.namespace.is_empty() { CLUSTER } else { &self.namespace };
        format!("{prefix}{}/{namespace}/{}", self.resource, self.name).into()
    }

    /// The object that stands at `store_key`; none for keys that hold no object (the leader's, those under `meta`).
    #[must_use]
    pub fn parse(prefix: &Prefix, store_key: &str) -> Option<Key> {
        let mut parts = store_key.strip_prefix(&*prefix.0)?.splitn(4, '/');
        let (group, plural, namespace, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if RESERVED.contains(&group) || [group, plural, namespace, name].contains(&"") || name.contains('/') {
            return None;
        }
        let namespace = if namespace == CLUSTER { "" } else { namespace };
        Some(Key::new(&Resource::new(group, plural), namespace, name))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.resource
            .cmp(&other.resource)
            .then_with(|| segment_order(&self.namespace, &other.namespace))
            .then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `tenure.dev/apps shop/web`, or `core/namespaces shop`: for logs.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{} {}", self.resource, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.resource, self.name),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Compares two segments as they compare inside a longer key, where `/` follows them: `a-b/` stands before `a/`.
fn segment_order(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let shared = a.len().min(b.len());
    a[..shared].cmp(&b[..shared]).then_with(|| {
        let next = |segment: &[u8]| segment.get(shared).copied().unwrap_or(b'/');
        next(a).cmp(&next(b)).then_with(|| a.len().cmp(&b.len()))
    })
}

/// Below which one installation keeps everything: `/tenure/<installation>/`.
#[derive(Clone, PartialEq, Eq)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// The prefix of the installation called `installation`.
    #[must_use]
    pub fn new(installation: &str) -> Prefix {
        Prefix(format!("/tenure/{installation}/").into())
    }

    /// Ends with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the objects of `resource` stand.
    #[must_use]
    pub fn of(&self, resource: &Resource) -> String {
        format!("{self}{resource}/")
    }

    /// The installation's own record called `name`: `/tenure/<installation>/meta/<name>`.
    #[must_use]
    pub fn meta(&self, name: &str) -> Arc<str> {
        format!("{self}meta/{name}").into()
    }

    /// The key that the leader of the controllers holds.
    #[must_use]
    pub fn leader(&self) -> Arc<str> {
        format!("{self}leader").into()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn store_keys_name_group_plural_namespace_and_name() {
        let prefix = Prefix::new("demo");
        let rows = [
            (("tenure.dev", "apps", "shop", "web"), "/tenure/demo/tenure.dev/apps/shop/web"),
            (("", "namespaces", "", "shop"), "/tenure/demo/core/namespaces/-/shop"),
        ];
        for ((group, plural, namespace, name), expected) in rows {
            let key = Key::new(&Resource::new(group, plural), namespace, name);
            assert_eq!(&*key.store_key(&prefix), expected);
            assert_eq!(Key::parse(&prefix, expected).as_ref(), Some(&key));
            assert_eq!((key.resource.group(), key.resource.plural()), (group, plural));
        }
    }

    #[test]
    fn resources_are_the_same_and_in_order_whether_known_or_not() {
        let known = KNOWN.map(|(_, group, plural)| Resource::new(group, plural));
        assert!(known.is_sorted());
        for (resource, (text, group, plural)) in known.iter().zip(KNOWN) {
            assert_eq!((resource.as_str(), resource.group(), resource.plural()), (text, group, plural));
            let spelled = Resource(Spelling::Other(text.into()));
            assert_eq!((spelled.group(), spelled.plural()), (group, plural));
            let same_order = known.iter().all(|other| spelled.cmp(other) == resource.cmp(other));
            assert!(same_order, "{text}");
        }
        assert_eq!(Resource::new("core", "secrets"), Resource::new("", "secrets"));
    }

    #[test]
    fn keys_that_hold_no_object_do_not_parse() {
        let prefix = Prefix::new("demo");
        for key in [
            &*prefix.leader(),
            &*prefix.meta("a/b/c/d"),
            "/tenure/other/core/namespaces/-/shop",
            "/tenure/demo/core/namespaces/shop",
            "/tenure/demo/core/namespaces//shop",
            "/tenure/demo/core/namespaces/-/",
            "/tenure/demo/core/namespaces/-/a/b",
        ] {
            assert_eq!(Key::parse(&prefix, key), None, "{key}");
        }
    }

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_store_keys_are(
            a in ("[a.-]{1,3}", "[a-b]{1,3}", "[a-b-]{1,3}x", "[a-b.-]{1,3}"),
            b in ("[a.-]{1,3}", "[a-b]{1,3}", "[a-b-]{1,3}x", "[a-b.-]{1,3}"),
        ) {
            let key = |(group, plural, namespace, name): &(String, String, String, String)| {
                Key::new(&Resource::new(group, plural), namespace, name)
            };
            let (a, b, prefix) = (key(&a), key(&b), Prefix::new("p"));
            prop_assert_eq!(a.cmp(&b), a.store_key(&prefix).cmp(&b.store_key(&prefix)));
        }
    }
}
