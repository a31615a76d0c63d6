//! Labels as a document keeps them: a sorted list, for they are few and there are as many lists as versions.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// `metadata.labels`: keys and values, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of the label `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let place = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.0[place].1)
    }
}

impl<K: Into<Box<str>> + Ord, V: Into<Box<str>>> FromIterator<(K, V)> for Labels {
    /// The last value given for a key counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Labels {
        let sorted: BTreeMap<K, V> = labels.into_iter().collect();
        Labels(sorted.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl Index<&str> for Labels {
    type Output = str;

    /// Panics when there is no such label.
    fn index(&self, key: &str) -> &str {
        self.get(key).expect("the label is there")
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut entries: Vec<(Box<str>, Box<str>)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                // Stored documents are in order nearly always.
                if entries.is_sorted_by(|a, b| a.0 < b.0) {
                    return Ok(Labels(entries.into()));
                }
                Ok(entries.into_iter().collect())
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_whatever_order_they_were_written_in() {
        let labels: Labels = serde_json::from_str(r#"{"b": "2", "a": "1", "c": "", "b": "3"}"#).unwrap();
        assert_eq!((labels.get("a"), labels.get("b"), labels.get("c")), (Some("1"), Some("3"), Some("")));
        assert_eq!(labels.get("d"), None);
        assert_eq!(labels, Labels::from_iter([("a", "1"), ("b", "3"), ("c", "")]));
        assert!(serde_json::from_str::<Labels>(r#"{"a": 1}"#).is_err());
    }
}
