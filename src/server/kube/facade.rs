//! Kinds of which nothing is stored: those that exist only to be listed, because clients ask for them whether or not a
//! server has any; reviews, which are asked by creating them; and Offers, which only the leader's memory holds.

use std::sync::Arc;

use serde_json::json;

use crate::api::{self, Offer};
use crate::registry::crd;
use crate::registry::form::Form;
use crate::registry::jsonpath::JsonPath;
use crate::registry::kind::{Cell, Column, ColumnType, Origin};
use crate::registry::names::NameRule;
use crate::registry::{KindDef, Resource, schema};

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// In Kubernetes' own words, which clients may show.
const AGE_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
    not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented \
    in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// All of them.
pub(super) fn kinds() -> Vec<Arc<KindDef>> {
    let services = "Kept for clients that list Services; this server has none. See Endpoints of tenure.dev.";
    let review = |group, kind, plural, about| facade(group, kind, plural, &[], false, about);
    let all = [
        facade("", "Service", "services", &["svc"], true, services),
        review(
            AUTHORIZATION,
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
            "Whether whoever asks may do something.",
        ),
        review(
            AUTHORIZATION,
            "SelfSubjectRulesReview",
            "selfsubjectrulesreviews",
            "What whoever asks may do in a namespace.",
        ),
        review(
            AUTHORIZATION,
            "SubjectAccessReview",
            "subjectaccessreviews",
            "Whether somebody may do something.",
        ),
        facade(
            AUTHORIZATION,
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
            &[],
            true,
            "Whether somebody may do something in a namespace.",
        ),
        review(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", "Who asks."),
        review(AUTHENTICATION, "TokenReview", "tokenreviews", "Whom a token stands for."),
        offers(),
    ];
    all.into_iter().map(Arc::new).collect()
}

fn facade(
    group: &str,
    kind: &str,
    plural: &str,
    short_names: &[&str],
    namespaced: bool,
    about: &str,
) -> KindDef {
    let openapi = json!({
        "type": "object", "description": about, "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    });
    let schema = schema::root(&openapi).expect("a schema that is written here is structural");
    KindDef {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short_names.iter().map(|&name| name.to_owned()).collect(),
        categories: Vec::new(),
        namespaced,
        resource: Resource::new(group, plural),
        form: Form::Served,
        schema: Arc::new(schema),
        openapi: Arc::new(openapi),
        status: false,
        scale: None,
        columns: Vec::new(),
        origin: Origin::Core,
        selectable: Vec::new(),
        served: true,
        terminating: false,
        counted: false,
        name_rule: NameRule::Label,
        rules: None,
        expressions: None,
        prepare: None,
        holds_by_spec: false,
        finalizers: &[],
        ttl: None,
    }
}

/// `autoscaling/v1` Scale as a Table shows it, whatever kind it is a part of. It has no route of its own.
pub(super) fn scale() -> KindDef {
    let column = |name: &str, path: &[&str], description: &str| Column {
        name: name.to_owned(),
        type_: ColumnType::Integer,
        format: String::new(),
        description: description.to_owned(),
        priority: 0,
        cell: Cell::At(JsonPath::field(path)),
    };
    let age = Column { description: AGE_DESCRIPTION.to_owned(), ..crd::age_column() };
    let columns = vec![
        column("Desired", &["spec", "replicas"], "Number of desired replicas"),
        column("Available", &["status", "replicas"], "Number of actual replicas"),
        age,
    ];
    let about = "How many are wanted, and how many there are.";
    KindDef { columns, ..facade("autoscaling", "Scale", "scales", &[], true, about) }
}

/// As its own declaration has it, but without a category: `get all` is for what is stored.
fn offers() -> KindDef {
    let kind =
        crd::kind(&api::crd::crd::<Offer>()).expect("a kind of ours has a definition that can be served");
    KindDef { categories: Vec::new(), status: false, counted: false, ..kind }
}

/// Whether objects of `kind` can only be read.
pub(super) fn is_read_only(kind: &KindDef) -> bool {
    is_live(kind) || (kind.group.is_empty() && kind.plural == "services")
}

/// Whether objects of `kind` are those that the leader's memory holds, which can be listed and got but not watched.
pub(super) fn is_live(kind: &KindDef) -> bool {
    kind.group == api::GROUP && kind.plural == "offers"
}

/// Whether `kind` is a question, which can only be created.
pub(super) fn is_review(kind: &KindDef) -> bool {
    matches!(kind.group.as_str(), AUTHORIZATION | AUTHENTICATION)
}
