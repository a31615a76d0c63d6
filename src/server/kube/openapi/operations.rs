//! What can be done with each kind, and with which parameters: the same for both versions of OpenAPI.

use serde_json::{Map, Value};

use super::definitions::{SCALE, STATUS, name_of};
use super::relative_root;
use crate::registry::KindDef;
use crate::server::kube::facade;

/// One path and its operations.
struct Path {
    path: String,
    /// Those in the path itself.
    parameters: Vec<Parameter>,
    operations: Vec<Operation>,
}

pub(super) struct Operation {
    /// `get`, `put`, `post`, `delete`, `patch`
    pub(super) method: &'static str,
    /// What Kubernetes calls it: `list`, `deletecollection`, …
    pub(super) action: &'static str,
    pub(super) id: String,
    /// Group, version and kind that it works on.
    pub(super) gvk: (String, String, String),
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Body,
    /// The definition that it answers with.
    pub(super) reply: String,
}

/// What a request carries.
pub(super) enum Body {
    Nothing,
    /// An object of this definition.
    Object(String),
    /// A patch of one of these content types.
    Patch(&'static [&'static str]),
    /// Options, which may be left out.
    DeleteOptions,
}

#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// `string`, `integer` or `boolean`
    pub(super) type_: &'static str,
    pub(super) description: &'static str,
}

const fn parameter(name: &'static str, type_: &'static str, description: &'static str) -> Parameter {
    Parameter { name, type_, description }
}

const NAME: Parameter = parameter("name", "string", "name of the object");
const NAMESPACE: Parameter = parameter("namespace", "string", "namespace of the object");

const LIST: [Parameter; 10] = [
    parameter("allowWatchBookmarks", "boolean", "whether a watch may send BOOKMARK events"),
    parameter("continue", "string", "the token of the page before"),
    parameter("fieldSelector", "string", "restricts the objects by their fields"),
    parameter("labelSelector", "string", "restricts the objects by their labels"),
    parameter("limit", "integer", "the most objects of a page"),
    parameter("resourceVersion", "string", "the revision to read or to watch from"),
    parameter("resourceVersionMatch", "string", "how resourceVersion is meant: Exact or NotOlderThan"),
    parameter("sendInitialEvents", "boolean", "whether a watch begins with the present objects"),
    parameter("timeoutSeconds", "integer", "how long a watch lasts"),
    parameter("watch", "boolean", "whether changes follow, as a stream"),
];
const DRY_RUN: Parameter = parameter("dryRun", "string", "All: nothing is stored");
const WRITE: [Parameter; 3] = [
    DRY_RUN,
    parameter("fieldManager", "string", "the name under which the written fields are owned"),
    parameter(
        "fieldValidation",
        "string",
        "what becomes of unknown and duplicate fields: Ignore, Warn or Strict",
    ),
];
const FORCE: Parameter = parameter("force", "boolean", "whether an apply takes fields from other managers");
const DELETE: [Parameter; 4] = [
    DRY_RUN,
    parameter("gracePeriodSeconds", "integer", "accepted; these kinds have no grace period"),
    parameter("orphanDependents", "boolean", "deprecated: propagationPolicy"),
    parameter("propagationPolicy", "string", "what becomes of dependents: Orphan, Background or Foreground"),
];

/// Patches that a kind from a CRD takes; and, with the strategic one, a core kind.
pub(super) const PATCHES_CUSTOM: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
pub(super) const PATCHES_CORE: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// How a version of OpenAPI says an operation, and a parameter in `path` or `query`.
pub(super) struct Dialect {
    pub(super) operation: fn(&Operation) -> Value,
    pub(super) parameter: fn(Parameter, &str) -> Value,
}

impl Dialect {
    /// All paths of all kinds.
    pub(super) fn paths(&self, kinds: &[&KindDef]) -> Map<String, Value> {
        kinds.iter().flat_map(|kind| paths(kind)).map(|path| (path.path.clone(), self.path(&path))).collect()
    }

    fn path(&self, path: &Path) -> Value {
        let operations = path.operations.iter().map(|it| (it.method.to_owned(), (self.operation)(it)));
        let mut item: Map<String, Value> = operations.collect();
        if !path.parameters.is_empty() {
            let inside = path.parameters.iter().map(|parameter| (self.parameter)(*parameter, "path"));
            item.insert("parameters".to_owned(), inside.collect());
        }
        Value::Object(item)
    }
}

/// All paths of `kind`.
fn paths(kind: &KindDef) -> Vec<Path> {
    let root = format!("/{}", relative_root(&kind.group, &kind.version));
    let (collection, outer) = if kind.namespaced {
        (format!("{root}/namespaces/{{namespace}}/{}", kind.plural), vec![NAMESPACE])
    } else {
        (format!("{root}/{}", kind.plural), vec![])
    };
    let item = format!("{collection}/{{name}}");
    let inner: Vec<Parameter> = [NAME].into_iter().chain(outer.iter().copied()).collect();
    let mut paths = vec![
        Path { path: collection, parameters: outer, operations: on_collection(kind) },
        Path { path: item.clone(), parameters: inner.clone(), operations: on_object(kind) },
    ];
    if kind.status {
        let operations = on_subresource(kind, "Status", &name_of(kind, ""));
        paths.push(Path { path: format!("{item}/status"), parameters: inner.clone(), operations });
    }
    if kind.scale.is_some() {
        let operations = on_subresource(kind, "Scale", SCALE);
        paths.push(Path { path: format!("{item}/scale"), parameters: inner, operations });
    }
    if kind.namespaced {
        let mut all = operation(kind, "get", "list", "ForAllNamespaces");
        all.parameters = LIST.to_vec();
        all.reply = name_of(kind, "List");
        paths.push(Path {
            path: format!("{root}/{}", kind.plural),
            parameters: vec![],
            operations: vec![all],
        });
    }
    if facade::is_review(kind) {
        paths.truncate(1);
        paths[0].operations.retain(|operation| operation.method == "post");
    }
    if facade::is_read_only(kind) {
        for path in &mut paths {
            path.operations.retain(|operation| operation.method == "get");
        }
    }
    paths
}

fn on_collection(kind: &KindDef) -> Vec<Operation> {
    vec![
        Operation {
            parameters: LIST.to_vec(),
            reply: name_of(kind, "List"),
            ..operation(kind, "get", "list", "")
        },
        Operation {
            parameters: WRITE.to_vec(),
            body: Body::Object(name_of(kind, "")),
            ..operation(kind, "post", "post", "")
        },
        Operation {
            parameters: LIST.iter().chain(&DELETE).copied().collect(),
            body: Body::DeleteOptions,
            reply: STATUS.to_owned(),
            ..operation(kind, "delete", "deletecollection", "")
        },
    ]
}

fn on_object(kind: &KindDef) -> Vec<Operation> {
    let mut operations = on_subresource(kind, "", &name_of(kind, ""));
    operations.push(Operation {
        parameters: DELETE.to_vec(),
        body: Body::DeleteOptions,
        reply: STATUS.to_owned(),
        ..operation(kind, "delete", "delete", "")
    });
    operations
}

/// Read, replace, patch: of an object or of a part of it that has a path of its own.
fn on_subresource(kind: &KindDef, part: &str, definition: &str) -> Vec<Operation> {
    let patches: &[&str] = if kind.is_core() { &PATCHES_CORE } else { &PATCHES_CUSTOM };
    let mut operations = vec![
        operation(kind, "get", "get", part),
        Operation {
            parameters: WRITE.to_vec(),
            body: Body::Object(definition.to_owned()),
            ..operation(kind, "put", "put", part)
        },
        Operation {
            parameters: WRITE.iter().chain([&FORCE]).copied().collect(),
            body: Body::Patch(patches),
            ..operation(kind, "patch", "patch", part)
        },
    ];
    for operation in &mut operations {
        definition.clone_into(&mut operation.reply);
        if definition == SCALE {
            operation.gvk = ("autoscaling".to_owned(), "v1".to_owned(), "Scale".to_owned());
        }
    }
    operations
}

fn operation(kind: &KindDef, method: &'static str, action: &'static str, suffix: &str) -> Operation {
    Operation {
        method,
        action,
        id: format!("{action}{}{suffix}", identifier(kind)),
        gvk: (kind.group.clone(), kind.version.clone(), kind.kind.clone()),
        parameters: vec![],
        body: Body::Nothing,
        reply: name_of(kind, ""),
    }
}

/// `TenureDevV1App`
fn identifier(kind: &KindDef) -> String {
    let group = if kind.group.is_empty() { "core" } else { &kind.group };
    let words = group.split(['.', '-']).chain([kind.version.as_str(), kind.kind.as_str()]);
    words
        .map(|word| {
            word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect::<String>()
        })
        .collect()
}
