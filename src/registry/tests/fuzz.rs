//! Every decoder of what people send, fed with what is nearly right: it never panics, and what it prints it reads as the same.

use serde_json::{Value, json};

use crate::api::{Bytes, Cpus, Span};
use crate::fuzz::feed;
use crate::registry::body::{Body, Encoding};
use crate::registry::crd::cel::{Expressions, expression_faults};
use crate::registry::jsonpath::JsonPath;
use crate::registry::labels::Labels;
use crate::registry::selector::{FieldSelector, LabelSelector};
use crate::registry::{KindDef, Patch, Resource, Scheme};

const JSON: &[&str] = &[
    "null",
    "true",
    "-0",
    "1e308",
    "18446744073709551615",
    "0.1",
    "\\u0000",
    "\\ud800",
    "\"a\":",
    "[]",
    "{}",
];

/// What is printed of `body` is read as the same.
fn is_stable(body: &Body) {
    let printed = body.value.to_string();
    let again = Body::decode(printed.as_bytes(), Encoding::Json);
    assert_eq!(again.expect("what was printed is JSON").value, body.value, "{printed}");
}

#[test]
fn json_documents_are_read_as_they_are_printed() {
    feed("json", (JSON, 1), |bytes| {
        if let Ok(body) = Body::decode(bytes, Encoding::Json) {
            is_stable(&body);
        }
    });
}

#[test]
fn yaml_documents_become_json() {
    let words = &[
        "&a ",
        "*a",
        "<<: ",
        "!!binary ",
        "|\n ",
        ">-\n ",
        "? ",
        "- ",
        "---\n",
        "%YAML 1.1\n",
        ".nan",
        "0o17",
        "y: ",
    ];
    feed("yaml", (words, 4), |bytes| {
        if let Ok(body) = Body::decode(bytes, Encoding::Yaml) {
            is_stable(&body);
        }
    });
}

fn kind(group: &str, plural: &str) -> std::sync::Arc<KindDef> {
    Scheme::ours().unwrap().by_resource(&Resource::new(group, plural)).unwrap().clone()
}

fn live() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": {"a": "b"},
        "ownerReferences": [{"uid": "u", "name": "o", "kind": "K", "apiVersion": "v1"}], "finalizers": ["x/y"]},
        "data": {"a": "1", "b": "2"}})
}

#[test]
fn patches_change_a_document_or_are_refused_and_a_merge_merges_once() {
    let words = &[
        JSON,
        &[
            "$patch",
            "$retainKeys",
            "$setElementOrder/",
            "$deleteFromPrimitiveList/",
            "/metadata/labels/a",
            "/-",
            "~1",
            "~0",
        ],
    ]
    .concat();
    let (map, live) = (kind("", "configmaps"), live());
    feed("patch", (words, 1), |bytes| {
        let Ok(body) = Body::decode(bytes, Encoding::Json) else { return };
        for patch in [Patch::Json(body.clone()), Patch::Strategic(body.clone())] {
            if let Ok(object) = patch.edit(&map, &live) {
                is_stable(&Body::of(object));
            }
        }
        let merge = Patch::Merge(body);
        if let Ok(object) = merge.edit(&map, &live) {
            assert_eq!(merge.edit(&map, &object).unwrap(), object);
        }
    });
}

#[test]
fn selectors_select_or_are_refused() {
    let labels: Labels = [("a", "b"), ("x.y/z", "1")].into_iter().collect();
    let words = &[" in ", " notin ", "(a,b)", "==", "!=", "!", ",", " gt 5", "metadata.name=", "\\,", "\\="];
    feed("selector", (words, 1), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(selector) = LabelSelector::parse(text) {
            assert!(
                !selector.is_empty() || selector.matches(&labels),
                "{text:?}: what asks for nothing takes all"
            );
        }
        let _ = FieldSelector::parse(text).map(|selector| selector.name().map(str::to_owned));
    });
}

/// What `T` prints it reads as the same.
fn reads_what_it_prints<T>(text: &str)
where
    T: std::str::FromStr + ToString + PartialEq + std::fmt::Debug,
{
    if let Ok(first) = text.parse::<T>() {
        let printed = first.to_string();
        assert_eq!(printed.parse::<T>().ok(), Some(first), "{text:?} is printed as {printed:?}");
    }
}

#[test]
fn amounts_and_durations_are_read_as_they_are_printed() {
    let words = &["m", "Mi", "Gi", "k", "e3", "E", "s", "ms", "h", "d", "1.5", "-1", "99999999999999999999"];
    feed("amount", (words, 1), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        reads_what_it_prints::<Cpus>(text);
        reads_what_it_prints::<Bytes>(text);
        reads_what_it_prints::<Span>(text);
    });
}

#[test]
fn paths_of_columns_lead_somewhere_or_are_refused() {
    let object = live();
    let words = &[".metadata", "['a']", "[*]", "[0]", "[-1]", "[?(@.name==\"o\")]", "..", "{", "}", "$"];
    feed("jsonpath", (words, 1), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(path) = JsonPath::parse(text) {
            let _ = path.find(&object);
        }
    });
}

#[test]
fn rules_are_judged_or_refused() {
    let words = &[
        "self",
        "oldSelf",
        ".all(x, ",
        ".exists(",
        "has(self.a)",
        " ? ",
        " : ",
        "size()",
        "matches('",
        "[1,2]",
        "1/0",
    ];
    let object = json!({"spec": {"min": 1, "max": 2, "names": ["a", "b"], "map": {"k": "v"}}});
    feed("cel", (words, 10), |bytes| {
        let Ok(rule) = std::str::from_utf8(bytes) else { return };
        let schema = json!({"type": "object", "properties": {"spec": {
            "type": "object", "x-kubernetes-validations": [{"rule": rule}],
            "properties": {"min": {"type": "integer"}, "max": {"type": "integer"},
                "names": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10}},
                "map": {"type": "object", "maxProperties": 10, "additionalProperties": {"type": "string"}}},
        }}});
        if expression_faults(&schema, "").is_empty() {
            let rules = Expressions::of(&schema, ("a/v1", "a", "A")).unwrap();
            let _ = rules.faults(&object, Some(&object));
        }
    });
}
