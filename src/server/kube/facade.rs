//! Kinds that exist only to be listed: clients ask for them whether or not a server has any.

use std::sync::Arc;

use serde_json::json;

use crate::registry::form::Form;
use crate::registry::kind::Origin;
use crate::registry::names::NameRule;
use crate::registry::{KindDef, Resource, schema};

/// `v1` Services, of which there are none: `kubectl cluster-info` fails where it cannot list them.
pub(super) fn services() -> Option<KindDef> {
    let openapi = json!({
        "type": "object",
        "description": "Kept for clients that list Services; this server has none. See Endpoints of tenure.dev.",
    });
    let schema = schema::root(&openapi).ok()?;
    Some(KindDef {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "Service".to_owned(),
        list_kind: "ServiceList".to_owned(),
        plural: "services".to_owned(),
        singular: "service".to_owned(),
        short_names: vec!["svc".to_owned()],
        categories: Vec::new(),
        namespaced: true,
        resource: Resource::new("", "services"),
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
        prepare: None,
        holds_by_spec: false,
        finalizers: &[],
        ttl: None,
    })
}

/// Whether objects of `kind` can only be read.
pub(super) fn is_read_only(kind: &KindDef) -> bool {
    kind.group.is_empty() && kind.plural == "services"
}
