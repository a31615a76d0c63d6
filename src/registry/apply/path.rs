//! Paths of fields, sets of them, and their form in `fieldsV1`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::registry::field::cut;

/// Keys of an item up to so many bytes are shown one by one.
const KEY_BYTES_MAX: usize = 4_096;

/// One step of a path. The texts of keys and values are compact JSON with sorted keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// `f:<name>`: a field of a map.
    Field(String),
    /// `k:<json>`: the item of a list-map with these keys.
    Key(String),
    /// `v:<json>`: this member of a set.
    Value(String),
    /// `i:<n>`: an item by its place; never made here, but kept.
    Index(u64),
}

impl PathElement {
    /// The step to the field `name`.
    #[must_use]
    pub fn field(name: &str) -> PathElement {
        PathElement::Field(name.to_owned())
    }

    fn parse(text: &str) -> Option<PathElement> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(PathElement::field(rest)),
            "k" => serde_json::from_str::<Map<String, Value>>(rest)
                .ok()
                .map(|key| PathElement::Key(Value::Object(key).to_string())),
            "v" => {
                serde_json::from_str::<Value>(rest).ok().map(|value| PathElement::Value(value.to_string()))
            }
            "i" => rest.parse().ok().map(PathElement::Index),
            _ => None,
        }
    }

    fn encoded(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(key) => format!("k:{key}"),
            PathElement::Value(value) => format!("v:{value}"),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }
}

/// As conflicts show it: `.spec`, `[name="A"]`, `[="t1"]`, `[3]`. Of what is very long the beginning.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{}", cut(name)),
            // Not worth reading all of it: nobody sees more than how it begins.
            PathElement::Key(key) if key.len() > KEY_BYTES_MAX => write!(f, "[{}]", cut(key)),
            PathElement::Key(key) => {
                let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let parts: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", parts.join(","))
            }
            PathElement::Value(value) => write!(f, "[={}]", cut(value)),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A set of paths, as a trie: `members` end here, `children` go on. A path can do both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub members: BTreeSet<PathElement>,
    pub children: BTreeMap<PathElement, FieldSet>,
}

impl FieldSet {
    /// Whether no path is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(FieldSet::is_empty)
    }

    /// Adds what is `below` a step, and the step itself if it is a member.
    pub fn add(&mut self, step: &PathElement, below: FieldSet, is_member: bool) {
        if is_member {
            self.members.insert(step.clone());
        }
        if below.members.is_empty() && below.children.is_empty() {
            return;
        }
        match self.children.get_mut(step) {
            // Only a broken list leads twice to one item.
            Some(known) => *known = known.union(&below),
            None => drop(self.children.insert(step.clone(), below)),
        }
    }

    /// What goes on below `element`.
    #[must_use]
    pub fn below(&self, element: &PathElement) -> Option<&FieldSet> {
        self.children.get(element).filter(|child| !child.is_empty())
    }

    /// Paths in either.
    #[must_use]
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut union = self.clone();
        union.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            let mine = union.children.entry(element.clone()).or_default();
            *mine = mine.union(child);
        }
        union
    }

    /// Paths in both.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.intersection(&other.members).cloned().collect();
        self.with_children(members, |element, child| {
            other.children.get(element).map(|theirs| child.intersection(theirs)).unwrap_or_default()
        })
    }

    /// Paths of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.difference(&other.members).cloned().collect();
        self.with_children(members, |element, child| match other.children.get(element) {
            Some(theirs) => child.difference(theirs),
            None => child.clone(),
        })
    }

    /// Paths of this set that neither are in `other` nor lead below a member of it.
    #[must_use]
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.difference(&other.members).cloned().collect();
        self.with_children(members, |element, child| {
            if other.members.contains(element) {
                return FieldSet::default();
            }
            match other.children.get(element) {
                Some(theirs) => child.recursive_difference(theirs),
                None => child.clone(),
            }
        })
    }

    fn with_children(
        &self,
        members: BTreeSet<PathElement>,
        make: impl Fn(&PathElement, &FieldSet) -> FieldSet,
    ) -> FieldSet {
        let children = self.children.iter().map(|(element, child)| (element.clone(), make(element, child)));
        FieldSet { members, children: children.filter(|(_, child)| !child.is_empty()).collect() }
    }

    /// How many paths there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len() + self.children.values().map(FieldSet::len).sum::<usize>()
    }

    /// The paths as conflicts show them, at `most` so many: members first, then what goes on below. What is very long is cut.
    #[must_use]
    pub fn paths(&self, most: usize) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", most, &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, most: usize, paths: &mut Vec<String>) {
        let left = most.saturating_sub(paths.len());
        let members = self.members.iter().take(left);
        paths.extend(members.map(|member| cut(format_args!("{prefix}{member}"))));
        for (element, child) in &self.children {
            if paths.len() >= most {
                return;
            }
            child.collect(&cut(format_args!("{prefix}{element}")), most, paths);
        }
    }

    /// From `fieldsV1`. None when it is malformed.
    #[must_use]
    pub fn decode(fields: &Value) -> Option<FieldSet> {
        let mut set = FieldSet::default();
        for (key, value) in fields.as_object()? {
            if key == "." {
                continue;
            }
            let element = PathElement::parse(key)?;
            let inner = value.as_object()?;
            if inner.is_empty() || inner.contains_key(".") {
                set.members.insert(element.clone());
            }
            let child = FieldSet::decode(value)?;
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        Some(set)
    }

    /// As `fieldsV1`.
    #[must_use]
    pub fn encode(&self) -> Value {
        let mut fields = Map::new();
        for member in &self.members {
            fields.insert(member.encoded(), Value::Object(Map::new()));
        }
        for (element, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            let mut inner = child.encode();
            if self.members.contains(element) {
                inner["."] = Value::Object(Map::new());
            }
            fields.insert(element.encoded(), inner);
        }
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(fields: &Value) -> FieldSet {
        FieldSet::decode(fields).unwrap()
    }

    #[test]
    fn fields_v1_reads_and_writes_back() {
        let fields = json!({"f:spec": {".": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}}},
            "f:image": {}, "f:tags": {"v:\"t1\"": {}}}});
        assert_eq!(set(&fields).encode(), fields);
        assert_eq!(FieldSet::decode(&json!({"x:y": {}})), None);
        assert_eq!(
            set(&fields).paths(9),
            [
                ".spec",
                ".spec.image",
                ".spec.env[name=\"A\"]",
                ".spec.env[name=\"A\"].name",
                ".spec.tags[=\"t1\"]"
            ]
        );
        assert_eq!((set(&fields).len(), set(&fields).paths(3).len()), (5, 3));
    }

    #[test]
    fn sets_combine() {
        let (a, b) =
            (set(&json!({"f:a": {}, "f:b": {"f:c": {}, "f:d": {}}})), set(&json!({"f:b": {"f:c": {}}})));
        assert_eq!(a.difference(&b), set(&json!({"f:a": {}, "f:b": {"f:d": {}}})));
        assert_eq!(a.intersection(&b), b);
        assert_eq!(a.union(&b), a);
        assert_eq!(a.recursive_difference(&set(&json!({"f:b": {}}))), set(&json!({"f:a": {}})));
        assert!(a.difference(&a).is_empty());
    }
}
