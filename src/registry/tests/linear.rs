//! Decoders of what people send work in proportion to its length, however it is made: with many fields below a name of a
//! megabyte, with keys that come twice and fields that nobody knows, with long lists of everything.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::bench::widgets;
use crate::api::{self, Bytes, Cpus, Span};
use crate::proportion::{is_kept, is_small};
use crate::registry::apply::{Applier, FieldSet, apply};
use crate::registry::body::{Body, Encoding};
use crate::registry::crd::cel::Expressions;
use crate::registry::jsonpath::JsonPath;
use crate::registry::schema::{canonicalise, drop_nulls, prune, validate};
use crate::registry::selector::{FieldSelector, LabelSelector};
use crate::registry::{Failure, KindDef, Patch, Resource, Scheme, Subresource};

fn repeated(text: &str, count: usize) -> String {
    vec![text; count].join(",")
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("n{number:06}"))
}

/// A kind with a list of each type, a map, and a place for anything.
fn kind() -> KindDef {
    let spec = json!({"type": "object", "properties": {
        "named": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}, "numbers": {"type": "array", "items": {"type": "integer"}}}}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"type": "integer"}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    widgets(&spec)
}

/// Specs of about so many items or bytes, each of another make.
fn specs(size: usize) -> [Value; 6] {
    let (long, fields): (String, Map<String, Value>) =
        ("x".repeat(size), names(size).map(|name| (name, json!(1))).collect());
    [
        json!({"named": names(size).map(|name| json!({"name": name, "numbers": [1]})).collect::<Vec<_>>()}),
        json!({"named": [{"name": long, "numbers": vec![1; size]}]}),
        json!({"set": names(size).collect::<Vec<_>>()}),
        json!({"map": {long.clone(): fields}}),
        json!({"free": {long: {"list": vec![1; size], "fields": fields}}}),
        json!({"named": vec!["wrong"; size], "set": vec!["twice"; size], "map": names(size).map(|it| (it, json!(7))).collect::<Map<_, _>>()}),
    ]
}

fn widget(spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

/// A text of about so many items or bytes.
type Text = fn(usize) -> String;

#[test]
fn documents_are_read_in_proportion_to_their_length() {
    let texts: [(&str, Text); 5] = [
        ("a long name over many items", |size| {
            // YAML takes no key of more than 1,024 characters.
            format!("{{\"{}\":[{}]}}", "x".repeat(size / 4), repeated("1", size))
        }),
        ("a key that comes again and again", |size| {
            format!("{{\"{}\":{{{}}}}}", "x".repeat(size / 4), repeated("\"a\":1", size))
        }),
        ("many fields", |size| {
            let fields: Vec<String> = names(size).map(|name| format!("\"{name}\":{{\"a\":[1]}}")).collect();
            format!("{{{}}}", fields.join(","))
        }),
        ("long texts", |size| format!("[\"{}\",\"{}\"]", "\\u00fc".repeat(size), "x".repeat(size))),
        ("what is no document", |size| format!("[{}", repeated("\"a\"", size))),
    ];
    for (what, text) in texts {
        for encoding in [Encoding::Json, Encoding::Yaml] {
            is_kept(what, text, |text: &String| Body::decode(text.as_bytes(), encoding).is_ok());
        }
    }
    let lines =
        |size| names(size).map(|name| format!("- {name}: |\n    text\n  b: &b{name} [*b{name}]\n")).collect();
    is_kept("YAML in blocks", lines, |text: &String| Body::decode(text.as_bytes(), Encoding::Yaml).is_ok());
}

#[test]
fn documents_are_judged_in_proportion_to_their_length() {
    let kind = kind();
    for at in 0..specs(1).len() {
        is_kept(
            "a schema",
            |size| widget(&specs(size)[at]),
            |object: &Value| {
                let (mut object, mut unknown, mut faults) = (object.clone(), Vec::new(), Vec::new());
                drop_nulls(&mut object, &kind.schema);
                prune(&mut object, &kind.schema, "", &mut unknown);
                canonicalise(&mut object, &kind.schema, "", &mut faults);
                unknown.is_empty() && validate(&object, &kind.schema, "").is_empty()
            },
        );
    }
    let strange = |size| {
        let fields: Map<String, Value> = names(size).map(|name| (name, json!(1))).collect();
        json!({"named": [{"name": "x".repeat(size), "more": fields}], "x".repeat(size): fields})
    };
    is_kept(
        "unknown fields",
        |size| widget(&strange(size)),
        |object: &Value| {
            let (mut object, mut unknown) = (object.clone(), Vec::new());
            prune(&mut object, &kind.schema, "", &mut unknown);
            unknown.is_empty()
        },
    );
    let rule = json!({"type": "object", "properties": {"spec": {"type": "object", "additionalProperties": {
        "type": "object", "additionalProperties": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": "size(self) >= 0"}]}}}});
    let rules = Expressions::of(&rule, ("example.com/v1", "widgets", "Widget")).unwrap();
    let ruled = |size: usize| {
        let fields: Map<String, Value> = names(size).map(|name| (name, json!({"a": 1}))).collect();
        json!({"spec": fields})
    };
    is_kept("rules", ruled, |object: &Value| rules.faults(object, None).is_empty());
}

#[test]
fn configurations_are_applied_in_proportion_to_their_length() {
    let kind = kind();
    let me = |manager| Applier {
        manager,
        subresource: Subresource::Main,
        force: true,
        now: Timestamp::UNIX_EPOCH,
    };
    for at in 0..specs(1).len() {
        is_kept(
            "an apply",
            |size| widget(&specs(size)[at]),
            |config: &Value| {
                let Ok(applied) = apply(&kind, &Value::Null, config, &me("a")) else { return false };
                let taken = apply(&kind, &applied.object, config, &me("b")).unwrap();
                apply(&kind, &taken.object, &widget(&json!({})), &me("b")).is_ok()
            },
        );
    }
    let fields = |size| {
        let many: Map<String, Value> =
            names(size).map(|name| (format!("f:{name}"), json!({"f:a": {}}))).collect();
        json!({format!("f:{}", "x".repeat(size)): many})
    };
    is_kept("an account of fields", fields, |fields: &Value| {
        let Some(set) = FieldSet::decode(fields) else { return false };
        let again = FieldSet::decode(&set.encode()).unwrap_or_default();
        !again.union(&set).difference(&FieldSet::default()).is_empty()
    });
}

/// Specs of an App of about so many items, some of which are judged by all of another list.
fn app_specs(size: usize) -> [Value; 6] {
    let each = |item: &dyn Fn(String) -> Value| names(size).map(item).collect::<Vec<_>>();
    [
        json!({"dependsOn": names(size).collect::<Vec<_>>()}),
        json!({"env": each(&|name| json!({"name": format!("={name}")}))}),
        json!({"constraints": each(&|name| json!({"attribute": name, "operator": "IS", "value": "a"}))}),
        json!({"container": {"image": "web", "volumes": each(&|name| json!({
            "containerPath": format!("/{name}"), "hostPath": "srv", "mode": "RW"}))}}),
        json!({"ports": each(&|name| json!({"name": name})),
            "healthChecks": vec![json!({"tcp": {"port": "no-such"}}); size]}),
        json!({"container": {"image": "web", "parameters": each(&|name| json!({"key": name, "value": "x"}))}}),
    ]
}

#[test]
fn apps_are_judged_in_proportion_to_their_length() {
    for at in 0..app_specs(1).len() {
        is_kept(
            "an App",
            |size| {
                let mut spec = app_specs(size)[at].clone();
                spec["cmd"] = json!("run");
                json!({"apiVersion": "tenure.dev/v1", "kind": "App", "metadata": {"name": "web"}, "spec": spec})
            },
            |app: &Value| {
                let faults = api::validate::document("apps", app, None);
                faults.is_empty() || Failure::invalid_named("tenure.dev", "App", "web", faults).code != 422
            },
        );
    }
}

#[test]
fn what_is_wrong_below_a_long_name_is_told_without_repeating_it() {
    const BYTES: usize = 200_000;
    let (kind, name) = (kind(), "x".repeat(BYTES));
    let many: Map<String, Value> = names(100).map(|name| (name, json!("1"))).collect();
    let numbers: Vec<Value> = names(100).map(Value::from).collect();
    for spec in [
        json!({"map": {&name: many}}),
        json!({"named": [{"name": name, "numbers": numbers}]}),
        json!({"set": vec![&name; 101]}),
    ] {
        let object = widget(&spec);
        is_small("faults", object.to_string().len(), || {
            let faults = validate(&object, &kind.schema, "");
            assert_eq!(faults.len(), 100);
            let told = Failure::invalid(&kind, "w", faults).status().to_string();
            assert!(told.len() < 100 * 5_000, "{}", told.len());
        });
    }
    let me =
        Applier { manager: "a", subresource: Subresource::Main, force: true, now: Timestamp::UNIX_EPOCH };
    let mut item = many;
    item.insert("name".to_owned(), json!(&name));
    for spec in [
        json!({"named": [item]}),
        json!({"named": [{"name": &name, "numbers": numbers}]}),
        json!({"set": vec![&name; 3], "named": vec![json!([&name]); 3]}),
        json!({"map": {"a": {"b": [&name]}}}),
    ] {
        let config = widget(&spec);
        is_small("an apply", config.to_string().len(), || {
            let refused = apply(&kind, &Value::Null, &config, &me).err().unwrap();
            assert!(refused.message.len() < 100 * 5_000, "{}", refused.message.len());
        });
    }
}

#[test]
fn of_very_many_conflicts_the_first_are_told_and_all_are_counted() {
    let kind = kind();
    let me = |manager| Applier {
        manager,
        subresource: Subresource::Main,
        force: false,
        now: Timestamp::UNIX_EPOCH,
    };
    let config = |number: i64| {
        let fields: Map<String, Value> = names(300).map(|name| (name, json!(number))).collect();
        widget(&json!({"map": {"x".repeat(200_000): fields}}))
    };
    let live = apply(&kind, &Value::Null, &config(1), &me("a")).unwrap().object;
    let refused = apply(&kind, &live, &config(2), &me("b")).err().unwrap();
    assert!(
        refused.message.starts_with("Apply failed with 300 conflicts: conflicts with \"a\""),
        "{refused}"
    );
    assert!(refused.message.len() < 100 * 1_100, "{}", refused.message.len());
    assert_eq!(refused.details.unwrap().causes.len(), 100);
}

#[test]
fn patches_are_applied_in_proportion_to_their_length() {
    let map = Scheme::ours().unwrap().by_resource(&Resource::new("", "configmaps")).unwrap().clone();
    let live = |size| {
        json!({"metadata": {"name": "c", "finalizers": names(size).collect::<Vec<_>>(),
            "ownerReferences": names(size).map(|uid| json!({"uid": uid, "name": "o"})).collect::<Vec<_>>()}})
    };
    let patched = |patch: Patch, live: &Value| patch.edit(&map, live).is_ok();
    is_kept("a strategic merge patch", live, |live: &Value| {
        let mut patch = live.clone();
        patch["metadata"]["$setElementOrder/finalizers"] = live["metadata"]["finalizers"].clone();
        patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = live["metadata"]["finalizers"].clone();
        patched(Patch::Strategic(Body::of(patch)), live)
    });
    is_kept("a merge patch", live, |live: &Value| patched(Patch::Merge(Body::of(live.clone())), live));
    // Of few operations, whatever the document: each may look at all of it.
    let operations = json!([{"op": "add", "path": "/metadata/finalizers/0", "value": "x"},
        {"op": "copy", "from": "/metadata/finalizers/0", "path": "/metadata/finalizers/-"},
        {"op": "test", "path": "/metadata/name", "value": "c"}]);
    is_kept("a JSON patch", live, |live: &Value| patched(Patch::Json(Body::of(operations.clone())), live));
}

#[test]
fn short_texts_are_read_in_proportion_to_their_length() {
    let text = |text: &'static str| move |size: usize| repeated(text, size);
    is_kept("a selector", text("a in (b,c,d),!e"), |text: &String| LabelSelector::parse(text).is_ok());
    is_kept(
        "values",
        |size| format!("a in ({})", repeated("b", size)),
        |text: &String| LabelSelector::parse(text).is_ok(),
    );
    is_kept("fields", text("metadata.name!=a"), |text: &String| FieldSelector::parse(text).is_ok());
    is_kept("a path", |size| ".a[0]['b']".repeat(size), |text: &String| JsonPath::parse(text).is_ok());
    for digits in ["1", "0", "1."] {
        is_kept(
            "an amount",
            |size| digits.repeat(size),
            |text: &String| {
                text.parse::<Cpus>().is_ok() | text.parse::<Bytes>().is_ok() | text.parse::<Span>().is_ok()
            },
        );
    }
}
