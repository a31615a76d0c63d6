//! The live object with a configuration laid over it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::path::PathElement;
use super::tree::{Shape, both_empty, fields, indexed, list, shape};
use super::{below, items};
use crate::registry::schema::Schema;

/// `live` with every field of `config` set as it is there. None when neither holds anything.
pub(super) fn merge(live: Option<&Value>, config: Option<&Value>, schema: &Schema) -> Option<Value> {
    let shape = shape(schema, live, config);
    if shape == Shape::Leaf || both_empty(live, config) {
        return config.or(live).cloned();
    }
    match shape {
        Shape::Map => Some(merge_maps(fields(live), fields(config), schema)),
        Shape::List => Some(Value::Array(merge_lists(list(live), list(config), schema))),
        Shape::Leaf => None,
    }
}

fn merge_maps(
    live: Option<&Map<String, Value>>,
    config: Option<&Map<String, Value>>,
    schema: &Schema,
) -> Value {
    let names: BTreeSet<&String> = live.into_iter().chain(config).flat_map(Map::keys).collect();
    let mut merged = Map::new();
    for name in names {
        let (live, config) = (live.and_then(|map| map.get(name)), config.and_then(|map| map.get(name)));
        if let Some(value) = merge(live, config, below(schema, name)) {
            merged.insert(name.clone(), value);
        }
    }
    Value::Object(merged)
}

/// Items that only `live` has keep their places; shared ones take the configuration's order; new ones follow those
/// that they follow in the configuration.
fn merge_lists(live: &[Value], config: &[Value], schema: &Schema) -> Vec<Value> {
    let (live, config) = (indexed(schema, live), indexed(schema, config));
    let by_step = |list: &[(PathElement, &Value)]| -> BTreeMap<PathElement, Value> {
        list.iter().map(|(step, item)| (step.clone(), (*item).clone())).collect()
    };
    let (in_live, in_config) = (by_step(&live), by_step(&config));
    let both = |step: &PathElement| merge(in_live.get(step), in_config.get(step), items(schema));
    let mut shared: VecDeque<&PathElement> =
        config.iter().map(|(step, _)| step).filter(|step| in_live.contains_key(*step)).collect();
    let mut merged = Vec::new();
    let mut done: BTreeSet<&PathElement> = BTreeSet::new();
    let (mut left, mut right) = (live.iter().peekable(), config.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return merged,
            (Some((step, _)), Some((wanted, _))) if step == wanted => {
                done.insert(wanted);
                merged.extend(both(wanted));
                left.next();
                right.next();
                shared.pop_front();
                continue;
            }
            // Shared, but its turn comes later.
            (Some((step, _)), Some(_))
                if in_config.contains_key(step) && shared.front().is_some_and(|next| *next != step) =>
            {
                left.next();
                continue;
            }
            _ => {}
        }
        if let Some((step, item)) = left.peek() {
            if !in_config.contains_key(step) {
                merged.extend(merge(Some(item), None, items(schema)));
                left.next();
                continue;
            }
            if done.contains(step) {
                left.next();
            }
        }
        if let Some((step, _)) = right.next() {
            done.insert(step);
            merged.extend(both(step));
            if shared.front() == Some(&step) {
                shared.pop_front();
            }
        }
    }
}
