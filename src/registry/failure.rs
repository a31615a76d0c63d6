//! A refusal as a value: what Kubernetes calls a `Status`, with its exact texts. Free of HTTP: `code` is a number that
//! the server sends as it is.
//!
//! Clients branch on `reason` and `code`, tools match the message; so there is one constructor per row of the table of
//! answers, and nobody writes these texts elsewhere.

use std::fmt;

use serde_json::{Map, Value, json};

use super::doc::DecodeError;
use super::field::{FAULTS_MAX, FieldError};
use super::kind::KindDef;
use crate::store::{Limits, StoreError};

/// The largest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The word that clients branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
}

impl Reason {
    /// As it stands in a `Status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::AlreadyExists => "AlreadyExists",
            Reason::BadRequest => "BadRequest",
            Reason::Conflict => "Conflict",
            Reason::Expired => "Expired",
            Reason::Forbidden => "Forbidden",
            Reason::Invalid => "Invalid",
            Reason::MethodNotAllowed => "MethodNotAllowed",
            Reason::NotAcceptable => "NotAcceptable",
            Reason::NotFound => "NotFound",
            Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
            Reason::ServiceUnavailable => "ServiceUnavailable",
            Reason::Timeout => "Timeout",
            Reason::TooManyRequests => "TooManyRequests",
            Reason::Unauthorized => "Unauthorized",
            Reason::UnsupportedMediaType => "UnsupportedMediaType",
        }
    }
}

/// One of several grounds, by field where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub reason: &'static str,
    pub message: String,
    /// Empty when the cause is not about a field.
    pub field: String,
}

/// What the refusal is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    pub name: String,
    pub group: String,
    /// The plural or the kind, as Kubernetes has it for the case at hand.
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
}

/// A refusal. [`Failure::status`] is its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status code.
    pub code: u16,
    pub reason: Option<Reason>,
    pub message: String,
    pub details: Option<Box<Details>>,
    /// Seconds after which the same request is welcome; set only where a repeat can help.
    pub retry_after_secs: Option<u32>,
    /// Where an expired list may go on without consistency.
    pub continue_: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    fn new(code: u16, reason: Option<Reason>, message: impl Into<String>) -> Failure {
        Failure {
            code,
            reason,
            message: message.into(),
            details: None,
            retry_after_secs: None,
            continue_: None,
        }
    }

    fn about(mut self, name: &str, group: &str, kind: &str) -> Failure {
        self.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            ..Details::default()
        }));
        self
    }

    /// 400 with this text.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(400, Some(Reason::BadRequest), message)
    }

    /// 500 with this text and no reason, as Kubernetes answers errors that nobody classified.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Failure {
        Failure::new(500, None, message)
    }

    /// 404: no object of this name.
    #[must_use]
    pub fn not_found(kind: &KindDef, name: &str) -> Failure {
        Failure::new(404, Some(Reason::NotFound), format!("{} \"{name}\" not found", kind.group_resource()))
            .about(name, &kind.group, &kind.plural)
    }

    /// 404: no such namespace to create into.
    #[must_use]
    pub fn namespace_not_found(namespace: &str) -> Failure {
        Failure::new(404, Some(Reason::NotFound), format!("namespaces \"{namespace}\" not found")).about(
            namespace,
            "",
            "namespaces",
        )
    }

    /// 403: the namespace is going.
    #[must_use]
    pub fn namespace_terminating(kind: &KindDef, name: &str, namespace: &str) -> Failure {
        let mut failure = Failure::new(
            403,
            Some(Reason::Forbidden),
            format!(
                "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is \
                 being terminated",
                kind.group_resource()
            ),
        )
        .about(name, &kind.group, &kind.plural);
        failure.push_cause(Cause {
            reason: "NamespaceTerminating",
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        });
        failure
    }

    /// 403: not for this user, or not at all. `text` completes `is forbidden: `.
    #[must_use]
    pub fn forbidden(group: &str, plural: &str, name: &str, text: &str) -> Failure {
        let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        let named = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
        Failure::new(403, Some(Reason::Forbidden), format!("{resource}{named} is forbidden: {text}"))
            .about(name, group, plural)
    }

    /// 403: a path that is no object's. `text` says who may not do what.
    #[must_use]
    pub fn forbidden_path(text: &str) -> Failure {
        Failure::new(403, Some(Reason::Forbidden), format!("forbidden: {text}"))
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(kind: &KindDef, name: &str) -> Failure {
        Failure::new(
            409,
            Some(Reason::AlreadyExists),
            format!("{} \"{name}\" already exists", kind.group_resource()),
        )
        .about(name, &kind.group, &kind.plural)
    }

    /// 409: somebody wrote in between.
    #[must_use]
    pub fn conflict(kind: &KindDef, name: &str) -> Failure {
        Failure::conflict_because(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 with another ground.
    #[must_use]
    pub fn conflict_because(kind: &KindDef, name: &str, text: &str) -> Failure {
        Failure::new(
            409,
            Some(Reason::Conflict),
            format!("Operation cannot be fulfilled on {} \"{name}\": {text}", kind.group_resource()),
        )
        .about(name, &kind.group, &kind.plural)
    }

    /// 409: a precondition of a deletion does not hold. Names the kind where [`Failure::conflict`] names the plural.
    #[must_use]
    pub fn precondition(kind: &KindDef, name: &str, text: &str) -> Failure {
        Failure::new(
            409,
            Some(Reason::Conflict),
            format!("Operation cannot be fulfilled on {} \"{name}\": {text}", kind.group_kind()),
        )
        .about(name, &kind.group, &kind.kind)
    }

    /// 409: `count` fields belong to other appliers. `conflicts` are (manager as shown, fields), in order: those that are told.
    #[must_use]
    pub fn apply_conflict(conflicts: &[(String, Vec<String>)], count: usize) -> Failure {
        let mut message =
            format!("Apply failed with {count} conflict{}: ", if count == 1 { "" } else { "s" });
        let each: Vec<String> = conflicts
            .iter()
            .map(|(manager, fields)| match fields.as_slice() {
                [field] => format!("conflict with {manager}: {field}"),
                many => format!("conflicts with {manager}:\n- {}", many.join("\n- ")),
            })
            .collect();
        message.push_str(&each.join("\n"));
        let causes = conflicts.iter().flat_map(|(manager, fields)| {
            fields.iter().map(move |field| Cause {
                reason: "FieldManagerConflict",
                message: format!("conflict with {manager}"),
                field: field.clone(),
            })
        });
        let mut failure = Failure::new(409, Some(Reason::Conflict), message);
        failure.details = Some(Box::new(Details { causes: causes.collect(), ..Details::default() }));
        failure
    }

    /// 422: the object breaks these rules.
    #[must_use]
    pub fn invalid(kind: &KindDef, name: &str, errors: Vec<FieldError>) -> Failure {
        Failure::invalid_named(&kind.group, &kind.kind, name, errors)
    }

    /// 422 for a PUT without resourceVersion: here, and only here, Kubernetes names the plural.
    #[must_use]
    pub fn invalid_resource(kind: &KindDef, name: &str, errors: Vec<FieldError>) -> Failure {
        Failure::invalid_named(&kind.group, &kind.plural, name, errors)
    }

    /// 422 about the options of a request, e.g. `CreateOptions`.
    #[must_use]
    pub fn invalid_options(options: &str, errors: Vec<FieldError>) -> Failure {
        Failure::invalid_named("meta.k8s.io", options, "", errors)
    }

    /// 422 under a name of one's own. Each fault is told once, and of many the first hundred.
    #[must_use]
    pub fn invalid_named(group: &str, kind: &str, name: &str, errors: Vec<FieldError>) -> Failure {
        let subject = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let (mut texts, mut causes): (Vec<String>, Vec<Cause>) = (Vec::new(), Vec::new());
        for error in errors {
            if texts.len() == FAULTS_MAX {
                break;
            }
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
                causes.push(Cause::of(&error));
            }
        }
        let list = if let [one] = texts.as_slice() { one.clone() } else { format!("[{}]", texts.join(", ")) };
        let mut failure =
            Failure::new(422, Some(Reason::Invalid), format!("{subject} \"{name}\" is invalid: {list}"))
                .about(name, group, kind);
        causes.into_iter().for_each(|cause| failure.push_cause(cause));
        failure
    }

    /// 422: a JSON patch does not fit the object.
    #[must_use]
    pub fn patch_failed() -> Failure {
        let mut failure = Failure::new(
            422,
            Some(Reason::Invalid),
            "the server rejected our request due to an error in our request",
        );
        failure.details = Some(Box::default());
        failure
    }

    /// 413 with this ground.
    #[must_use]
    pub fn too_large(text: &str) -> Failure {
        Failure::new(413, Some(Reason::RequestEntityTooLarge), format!("Request entity too large: {text}"))
    }

    /// 413: the body of a request.
    #[must_use]
    pub fn body_too_large() -> Failure {
        Failure::too_large(&format!("limit is {BODY_BYTES_MAX}"))
    }

    /// 413: one object, as it would be stored.
    #[must_use]
    pub fn object_too_large(bytes: usize, limits: Limits) -> Failure {
        Failure::too_large(&format!("the object has {bytes} bytes, limit is {}", limits.bytes_max))
    }

    /// 415: a content type that this request cannot have.
    #[must_use]
    pub fn unsupported_media_type(accepted: &str) -> Failure {
        Failure::new(
            415,
            Some(Reason::UnsupportedMediaType),
            format!(
                "the body of the request was in an unknown format - accepted media types include: {accepted}"
            ),
        )
    }

    /// 406: nothing the client accepts can be made.
    #[must_use]
    pub fn not_acceptable(accepted: &str) -> Failure {
        Failure::new(
            406,
            Some(Reason::NotAcceptable),
            format!("only the following media types are accepted: {accepted}"),
        )
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed() -> Failure {
        Failure::new(
            405,
            Some(Reason::MethodNotAllowed),
            "the server does not allow this method on the requested resource",
        )
    }

    /// 405: the definition of the kind is going.
    #[must_use]
    pub fn definition_terminating() -> Failure {
        Failure::new(
            405,
            Some(Reason::MethodNotAllowed),
            "create not allowed while custom resource definition is terminating",
        )
    }

    /// 401.
    #[must_use]
    pub fn unauthorized() -> Failure {
        Failure::new(401, Some(Reason::Unauthorized), "Unauthorized")
    }

    /// 410 with this text. `continue_` lets the client go on without consistency.
    #[must_use]
    pub fn expired(message: impl Into<String>, continue_: Option<String>) -> Failure {
        Failure { continue_, ..Failure::new(410, Some(Reason::Expired), message) }
    }

    /// 504: the cache has not yet seen the revision that was asked for.
    #[must_use]
    pub fn revision_too_large(asked: u64, current: u64) -> Failure {
        let mut failure = Failure::new(
            504,
            Some(Reason::Timeout),
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
        );
        failure.retry_after_secs = Some(1);
        failure.push_cause(Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".to_owned(),
            field: String::new(),
        });
        failure
    }

    /// 429: busy; come again after `secs`.
    #[must_use]
    pub fn too_many_requests(text: &str, secs: u32) -> Failure {
        let mut failure = Failure::new(429, Some(Reason::TooManyRequests), text);
        failure.retry_after_secs = Some(secs);
        failure
    }

    /// 503: there is nobody yet who could answer.
    #[must_use]
    pub fn unavailable(text: &str) -> Failure {
        Failure::new(503, Some(Reason::ServiceUnavailable), text)
    }

    /// What a failed store means for a request: 503 while it does not answer, 507 when it is full, 413 when the
    /// object does not fit, 500 when it is damaged.
    #[must_use]
    pub fn store(error: &StoreError) -> Failure {
        let text = error.to_string();
        match error {
            StoreError::Unavailable(_) | StoreError::LeaseGone(_) => {
                Failure::new(503, Some(Reason::ServiceUnavailable), text)
            }
            StoreError::NoSpace(_) => Failure::new(507, None, text),
            StoreError::TooLarge { .. } => Failure::too_large(&text),
            StoreError::Compacted { .. } => Failure::expired(text, None),
            StoreError::Denied(_) | StoreError::Untrusted(_) | StoreError::Damaged(_) => {
                Failure::internal(text)
            }
        }
    }

    /// 500: a stored document cannot be read.
    #[must_use]
    pub fn damaged(error: &DecodeError) -> Failure {
        Failure::internal(error.to_string())
    }

    fn push_cause(&mut self, cause: Cause) {
        self.details.get_or_insert_default().causes.push(cause);
    }

    /// Whether it says that the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.reason == Some(Reason::NotFound)
    }

    /// Whether it says that the name is taken.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.reason == Some(Reason::AlreadyExists)
    }

    /// Whether it says that another write came first.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.reason == Some(Reason::Conflict)
    }

    /// The `Status` object.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_ {
            metadata.insert("continue".to_owned(), json!(token));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if let Some(reason) = self.reason {
            status["reason"] = json!(reason.as_str());
        }
        if self.details.is_some() || self.retry_after_secs.is_some() {
            status["details"] = self.details_value();
        }
        status
    }

    fn details_value(&self) -> Value {
        let mut map = Map::new();
        let details = self.details.as_deref().cloned().unwrap_or_default();
        let texts =
            [("name", details.name), ("group", details.group), ("kind", details.kind), ("uid", details.uid)];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            map.insert(key.to_owned(), json!(text));
        }
        if !details.causes.is_empty() {
            map.insert("causes".to_owned(), details.causes.iter().map(Cause::value).collect());
        }
        if let Some(secs) = self.retry_after_secs {
            map.insert("retryAfterSeconds".to_owned(), json!(secs));
        }
        Value::Object(map)
    }
}

impl Cause {
    fn of(error: &FieldError) -> Cause {
        let field = if error.path.is_empty() { "<nil>".to_owned() } else { error.path.clone() };
        Cause { reason: error.reason.name(), message: error.body(), field }
    }

    fn value(&self) -> Value {
        let mut value = json!({"reason": self.reason, "message": self.message});
        if !self.field.is_empty() {
            value["field"] = json!(self.field);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_told_once_and_of_many_the_first_hundred() {
        let faults = (0..1_000).flat_map(|at| vec![FieldError::required(format!("spec.f{at}"), ""); 2]);
        let failure = Failure::invalid_named("", "Widget", "w", faults.collect());
        let causes = failure.details.unwrap().causes;
        assert_eq!((causes.len(), &*causes[99].field), (FAULTS_MAX, "spec.f99"));
        assert!(failure.message.ends_with("spec.f99: Required value]"), "{}", failure.message);
    }
}
