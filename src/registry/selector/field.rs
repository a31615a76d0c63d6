//! `metadata.name=web,involvedObject.kind!=App`: selection by the few fields that a kind offers.

use std::borrow::Cow;

use serde_json::Value;

use crate::registry::doc::{Doc, EventFields};
use crate::registry::failure::Failure;
use crate::registry::kind::KindDef;

/// Every term must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equals: bool,
}

/// The fields of core/v1 Events that their readers select by.
pub const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// The same fields as events.k8s.io/v1 calls them.
pub const NEW_EVENT_FIELDS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

impl FieldSelector {
    /// Parses `text`; the empty text selects everything. The value of a term may be empty.
    ///
    /// # Errors
    /// 400 when a term has no operator.
    pub fn parse(text: &str) -> Result<FieldSelector, Failure> {
        let mut terms = Vec::new();
        for part in split(text).into_iter().filter(|part| !part.is_empty()) {
            terms.push(term(&part).ok_or_else(|| {
                Failure::bad_request(format!("invalid selector: '{part}'; can't understand '{part}'"))
            })?);
        }
        Ok(FieldSelector { terms })
    }

    /// Refuses fields that `kind` does not offer.
    ///
    /// # Errors
    /// 400, naming the field.
    pub fn check(&self, kind: &KindDef) -> Result<(), Failure> {
        let offered = |field: &str| {
            matches!(field, "metadata.name" | "metadata.namespace")
                || kind.selectable.iter().any(|known| known == field)
        };
        match self.terms.iter().find(|term| !offered(&term.field)) {
            Some(term) => Err(Failure::bad_request(format!("field label not supported: {}", term.field))),
            None => Ok(()),
        }
    }

    /// Whether `doc` is selected.
    #[must_use]
    pub fn matches(&self, doc: &Doc) -> bool {
        self.terms.iter().all(|term| (value(doc, &term.field) == term.value) == term.equals)
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one name that can match, if the selector asks for one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let named = |term: &&Term| term.equals && term.field == "metadata.name";
        self.terms.iter().find(named).map(|term| term.value.as_str())
    }
}

/// At commas that are not escaped; `\,`, `\=` and `\\` are unescaped.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, parts.last_mut()) {
            ('\\', Some(part)) => part.extend(chars.next()),
            (',', _) => parts.push(String::new()),
            (c, Some(part)) => part.push(c),
            (_, None) => {}
        }
    }
    parts
}

fn term(text: &str) -> Option<Term> {
    let (operator, equals) = [("!=", false), ("==", true), ("=", true)]
        .into_iter()
        .filter_map(|(operator, equals)| Some((text.find(operator)?, operator, equals)))
        .min_by_key(|&(at, operator, _)| (at, usize::MAX - operator.len()))
        .map(|(_, operator, equals)| (operator, equals))?;
    let (field, value) = text.split_once(operator)?;
    Some(Term { field: field.trim().to_owned(), value: value.trim().to_owned(), equals })
}

fn value<'d>(doc: &'d Doc, field: &str) -> Cow<'d, str> {
    match (field, doc.meta().event.as_deref()) {
        ("metadata.name", _) => Cow::Borrowed(&doc.key().name),
        ("metadata.namespace", _) => Cow::Borrowed(&doc.key().namespace),
        (_, Some(event)) => Cow::Borrowed(event_value(event, field)),
        (_, None) => Cow::Owned(field_value(doc, field)),
    }
}

/// A field that a CRD calls selectable; the text of a scalar, empty when there is none.
fn field_value(doc: &Doc, field: &str) -> String {
    let tree = doc.value().unwrap_or_default();
    match tree.pointer(&format!("/{}", field.replace('.', "/"))) {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        _ => String::new(),
    }
}

fn event_value<'d>(event: &'d EventFields, field: &str) -> &'d str {
    let involved = &event.involved_object;
    match field {
        "involvedObject.kind" | "regarding.kind" => &involved.kind,
        "involvedObject.namespace" | "regarding.namespace" => &involved.namespace,
        "involvedObject.name" | "regarding.name" => &involved.name,
        "involvedObject.uid" | "regarding.uid" => &involved.uid,
        "involvedObject.apiVersion" | "regarding.apiVersion" => &involved.api_version,
        "involvedObject.resourceVersion" | "regarding.resourceVersion" => &involved.resource_version,
        "involvedObject.fieldPath" | "regarding.fieldPath" => &involved.field_path,
        "reason" => &event.reason,
        "type" => &event.type_,
        "source" => &event.source.component,
        "reportingComponent" | "reportingController" => &event.reporting_component,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::key::{Key, Resource};

    fn event() -> Doc {
        let stored = br#"{"metadata":{},"involvedObject":{"kind":"App","name":"web"},"type":"Warning"}"#;
        Doc::from_stored(Key::new(&Resource::new("", "events"), "shop", "web.1"), 3, stored).unwrap()
    }

    #[test]
    fn terms_come_in_any_order_and_values_may_be_empty() {
        for (text, matches) in [
            ("", true),
            ("involvedObject.name=web,metadata.namespace=shop", true),
            ("involvedObject.namespace=,involvedObject.kind==App", true),
            ("type!=Normal", true),
            ("type!=Warning", false),
            ("metadata.name=other", false),
            ("involvedObject.name=a\\,b", false),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(&event()), matches, "{text}");
        }
        assert_eq!(FieldSelector::parse("metadata.name=x").unwrap().name(), Some("x"));
    }

    #[test]
    fn a_term_without_an_operator_is_refused() {
        assert_eq!(FieldSelector::parse("metadata.name").unwrap_err().code, 400);
    }
}
