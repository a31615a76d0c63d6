//! The walkers by property, over our own kinds' schemas and values that may or may not fit them.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::registry::Scheme;

static APP: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let scheme = Scheme::ours().unwrap();
    scheme.by_kind("tenure.dev/v1", "App").unwrap().schema.clone()
});

/// Specs with known and unknown fields, and values of any type.
fn spec() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..5).prop_map(Value::from),
        "[a-z0-9]{0,3}".prop_map(Value::from),
        Just(json!("500m")),
    ];
    let name = prop::sample::select(vec![
        "container",
        "image",
        "resources",
        "cpus",
        "memory",
        "ports",
        "name",
        "env",
        "value",
        "healthChecks",
        "http",
        "path",
        "update",
        "bogus",
        "instances",
    ]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(name.clone(), inner, 0..4)
                .prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn each_walker_has_nothing_left_to_do_after_itself(spec in spec()) {
        let schema = &APP;
        let mut object = json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": "x"}, "spec": spec});
        for walk in [
            |value: &mut Value, schema: &Schema| drop_nulls(value, schema),
            |value: &mut Value, schema: &Schema| prune(value, schema, "", &mut Vec::new()),
            |value: &mut Value, schema: &Schema| apply_defaults(value, schema),
            |value: &mut Value, schema: &Schema| canonicalise(value, schema, "", &mut Vec::new()),
        ] {
            walk(&mut object, schema);
            let mut again = object.clone();
            walk(&mut again, schema);
            prop_assert_eq!(&object, &again);
        }
        let mut unknown = Vec::new();
        prune(&mut object, schema, "", &mut unknown);
        prop_assert!(unknown.is_empty(), "defaults bring declared fields only: {:?}", unknown);
    }
}

#[test]
fn a_schema_that_asks_for_more_than_is_obeyed_is_refused() {
    let refused = |schema: Value| root(&schema).unwrap_err().to_string();
    assert_eq!(
        refused(json!({"type": "object", "properties": {"spec": {"patternProperties": {}}}})),
        "spec: patternProperties is not supported"
    );
    assert!(refused(json!({"type": "thing"})).contains("is not a JSON type"));
    assert!(refused(json!({"type": "string", "pattern": "("})).contains("pattern"));
    assert!(refused(json!({"type": "array", "x-kubernetes-list-type": "map"})).contains("list-map-keys"));
}

#[test]
fn limits_are_told_in_the_words_of_kubernetes() {
    let schema = root(&json!({"type": "object", "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 5, "exclusiveMaximum": true, "multipleOf": 2},
        "s": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-z]+$"},
        "l": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "integer"}},
        "o": {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "t": {"type": "string", "format": "date-time"},
        "i": {"x-kubernetes-int-or-string": true},
    }}))
    .unwrap();
    let told = |value: Value| -> Vec<String> {
        validate(&value, &schema, "").iter().map(ToString::to_string).collect()
    };
    for (value, message) in [
        (json!({"n": 5}), "n: Invalid value: 5: n in body should be less than 5"),
        (json!({"n": 0}), "n: Invalid value: 0: n in body should be greater than or equal to 1"),
        (json!({"n": 3}), "n: Invalid value: 3: n in body should be a multiple of 2"),
        (json!({"s": "a"}), "s: Invalid value: \"a\": s in body should be at least 2 chars long"),
        (json!({"s": "abcd"}), "s: Too long: may not be more than 3 bytes"),
        (json!({"s": "A1"}), "s: Invalid value: \"A1\": s in body should match '^[a-z]+$'"),
        (json!({"l": []}), "l: Invalid value: 0: l in body should have at least 1 items"),
        (json!({"l": [1, 2, 3]}), "l: Too many: 3: must have at most 2 items"),
        (
            json!({"o": {}}),
            "o: Invalid value: \"\": o in body must validate one and only one schema (oneOf). Found none valid",
        ),
        (json!({"t": "x"}), "t: Invalid value: \"x\": t in body must be of type date-time: \"x\""),
        (
            json!({"i": true}),
            "i: Invalid value: \"boolean\": i in body must be of type integer,string: \"boolean\"",
        ),
    ] {
        let told = told(value);
        assert!(told.iter().any(|line| line == message), "{message}\n{told:?}");
    }
    assert_eq!(told(json!({"n": 2, "s": "ab", "l": [1], "o": {"a": 1}, "i": "5"})), Vec::<String>::new());
}
