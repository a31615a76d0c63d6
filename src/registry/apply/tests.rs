//! Server-side apply by property: what it promises whatever the objects.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::managed::{Entries, Manager, Operation};
use super::updater::{Outcome, apply};
use crate::registry::schema::{Schema, root};
use crate::registry::write::Subresource;

pub(super) fn schema() -> Schema {
    let item = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "value": {"type": "string"}}});
    root(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "image": {"type": "string"},
        "command": {"type": "array", "items": {"type": "string"}},
        "selector": {"type": "object", "additionalProperties": {"type": "string"}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "env": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": item},
    }}}}))
    .unwrap()
}

fn manager(name: &str) -> Manager {
    Manager::new(name, Operation::Apply, "tenure.dev/v1", Subresource::Main)
}

fn applied(live: &Value, config: &Value, entries: &mut Entries, name: &str) -> Value {
    let Ok(Outcome { object, entries: new, .. }) =
        apply(&schema(), live, config, entries, &manager(name), true)
    else {
        panic!("forced applies do not conflict");
    };
    *entries = new;
    object
}

fn letters() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("[a-d]", 0..4).prop_map(|set| set.into_iter().collect())
}

prop_compose! {
    fn config()(
        image in prop::option::of("[x-z]"),
        command in prop::option::of(letters()),
        selector in prop::option::of(prop::collection::btree_map("[a-c]", "[x-z]", 1..3)),
        tags in prop::option::of(letters()),
        env in prop::option::of(prop::collection::btree_map("[A-C]", prop::option::of("[x-z]"), 1..3)),
    ) -> Value {
        let mut spec = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                spec.insert(name.to_owned(), value);
            }
        };
        set("image", image.map(Value::from));
        set("command", command.map(Value::from));
        set("selector", selector.map(|map| map.into_iter().map(|(key, value)| (key, Value::from(value))).collect()));
        set("tags", tags.filter(|tags| !tags.is_empty()).map(Value::from));
        set("env", env.map(|env| env.into_iter().map(|(name, value)| match value {
            Some(value) => json!({"name": name, "value": value}),
            None => json!({"name": name}),
        }).collect()));
        json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": "x"}, "spec": spec})
    }
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(live in config(), config in config()) {
        let mut entries = Entries::default();
        let live = applied(&json!({}), &live, &mut entries, "other");
        let once = applied(&live, &config, &mut entries, "me");
        let (before, again) = (entries.clone(), applied(&once, &config, &mut entries, "me"));
        prop_assert_eq!(&once, &again);
        prop_assert_eq!(before, entries);
    }

    #[test]
    fn what_only_its_manager_had_disappears_when_it_is_dropped(theirs in config(), first in config()) {
        let mut entries = Entries::default();
        let base = applied(&json!({}), &theirs, &mut entries, "other");
        let mut shared = entries.clone();
        let with = applied(&base, &first, &mut entries, "me");
        let without = applied(&with, &theirs, &mut entries, "me");
        let never = applied(&base, &theirs, &mut shared, "me");
        let unordered = |value: &Value| {
            let mut value = value.clone();
            for list in ["/spec/tags", "/spec/env"] {
                if let Some(Value::Array(items)) = value.pointer_mut(list) {
                    items.sort_by_key(Value::to_string);
                }
            }
            value
        };
        prop_assert_eq!(unordered(&without), unordered(&never));
    }

    #[test]
    fn a_configuration_stands_in_the_object_as_it_was_written(live in config(), config in config()) {
        let mut entries = Entries::default();
        let live = applied(&json!({}), &live, &mut entries, "other");
        let object = applied(&live, &config, &mut entries, "me");
        for (name, value) in config["spec"].as_object().unwrap() {
            match name.as_str() {
                "image" | "command" => prop_assert_eq!(&object["spec"][name], value),
                "tags" => {
                    let tags = object["spec"][name].as_array().unwrap();
                    prop_assert!(value.as_array().unwrap().iter().all(|tag| tags.contains(tag)));
                }
                "selector" => {
                    for (key, value) in value.as_object().unwrap() {
                        prop_assert_eq!(&object["spec"][name][key], value);
                    }
                }
                _ => {}
            }
        }
    }
}
