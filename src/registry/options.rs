//! What a request asks for beside its body: the query parameters of Kubernetes, parsed with its messages.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::failure::Failure;
use super::field::{FieldError, too_long};
use super::selector::{FieldSelector, LabelSelector};
use crate::store::Revision;

/// What happens to fields that no schema declares, and to keys that stand twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Dropped, with a warning.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// How a write is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Who becomes owner of the fields; `unknown` when empty.
    pub field_manager: String,
    /// Everything but the write.
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    /// Takes fields from other appliers.
    pub force: bool,
    /// What must hold beside the rules of the kind.
    pub admission: Admission,
}

type Admit = dyn Fn(&Value, Option<&Value>) -> Result<(), Failure> + Send + Sync;

/// Looks at what is about to be stored, and at the object that it replaces, and may refuse it.
#[derive(Clone, Default)]
pub struct Admission(Option<Arc<Admit>>);

impl Admission {
    /// Refuses what `admit` refuses.
    #[must_use]
    pub fn new(
        admit: impl Fn(&Value, Option<&Value>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Admission {
        Admission(Some(Arc::new(admit)))
    }

    /// # Errors
    /// Why `new` may not take the place of `old` (none: of nothing).
    pub(super) fn check(&self, new: &Value, old: Option<&Value>) -> Result<(), Failure> {
        self.0.as_ref().map_or(Ok(()), |admit| admit(new, old))
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

/// Equal is what is the same.
impl PartialEq for Admission {
    fn eq(&self, other: &Admission) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Admission {}

/// Which verb's options are parsed; it stands in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
    Patch,
    /// A patch that applies: it needs a field manager and may force.
    Apply,
}

impl Verb {
    fn options(self) -> &'static str {
        match self {
            Verb::Create => "CreateOptions",
            Verb::Update => "UpdateOptions",
            Verb::Patch | Verb::Apply => "PatchOptions",
        }
    }
}

/// Query parameters: the last value of each name counts.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// From decoded pairs.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Query {
        Query { pairs: pairs.into_iter().collect() }
    }

    /// The value called `name`; empty when absent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// The value called `name`.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values called `name`, in their order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the value called `name` is true; `1` is.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1" | "True" | "TRUE" | "t")
    }
}

impl WriteOptions {
    /// The options of a write. `user_agent` names the field manager when none is given.
    ///
    /// # Errors
    /// 422 about `CreateOptions` and the like.
    pub fn parse(verb: Verb, query: &Query, user_agent: &str) -> Result<WriteOptions, Failure> {
        let mut errors = Vec::new();
        let dry_run = dry_run(query.given("dryRun"), &mut errors);
        let field_validation = field_validation(query.text("fieldValidation"), &mut errors);
        let field_manager = query.text("fieldManager");
        if field_manager.len() > 128 {
            errors.push(too_long("fieldManager", 128));
        }
        if verb == Verb::Apply && field_manager.is_empty() {
            errors.push(FieldError::required("fieldManager", "is required for apply patch"));
        }
        if verb == Verb::Patch && query.given("force").is_some() {
            errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
        }
        if !errors.is_empty() {
            return Err(Failure::invalid_options(verb.options(), errors));
        }
        let field_manager =
            if field_manager.is_empty() { agent(user_agent) } else { field_manager.to_owned() };
        Ok(WriteOptions {
            field_manager,
            dry_run,
            field_validation,
            force: query.flag("force"),
            admission: Admission::default(),
        })
    }
}

/// The field manager that a User-Agent stands for: up to the first `/`, printable, at most 128 characters.
fn agent(user_agent: &str) -> String {
    let name = user_agent.split('/').next().unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(128).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

fn dry_run(given: Option<&str>, errors: &mut Vec<FieldError>) -> bool {
    match given {
        None | Some("") => false,
        Some("All") => true,
        Some(other) => {
            errors.push(FieldError::not_supported("dryRun", json!([other]), &["All"]));
            false
        }
    }
}

fn field_validation(text: &str, errors: &mut Vec<FieldError>) -> FieldValidation {
    match text {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            errors.push(FieldError::not_supported(
                "fieldValidation",
                other,
                &["", "Ignore", "Strict", "Warn"],
            ));
            FieldValidation::Warn
        }
    }
}

/// What becomes of an object's dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// How a deletion is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub dry_run: bool,
    /// None: the kind's habit (background), and existing `orphan` or `foregroundDeletion` finalizers stay.
    pub propagation: Option<Propagation>,
    /// The object must be this one.
    pub uid: Option<String>,
    /// The object must be at this version.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// From a body (null when there is none) or, without one, from the query.
    ///
    /// # Errors
    /// 422 about `DeleteOptions`, 400 for a body of another shape.
    pub fn parse(body: &Value, query: &Query) -> Result<DeleteOptions, Failure> {
        let mut errors = Vec::new();
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
        if !(body.is_null() || body.is_object()) {
            return Err(Failure::bad_request("the body of a deletion must be a DeleteOptions object"));
        }
        let in_body = body.pointer("/dryRun/0").and_then(Value::as_str);
        let policy =
            text("/propagationPolicy").or_else(|| query.given("propagationPolicy").map(str::to_owned));
        let orphans = body.get("orphanDependents").and_then(Value::as_bool);
        let orphans =
            orphans.or_else(|| query.given("orphanDependents").map(|_| query.flag("orphanDependents")));
        let options = DeleteOptions {
            dry_run: dry_run(in_body.or_else(|| query.given("dryRun")), &mut errors),
            propagation: propagation(policy.as_deref(), orphans, &mut errors),
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
        };
        if errors.is_empty() { Ok(options) } else { Err(Failure::invalid_options("DeleteOptions", errors)) }
    }
}

fn propagation(
    policy: Option<&str>,
    orphans: Option<bool>,
    errors: &mut Vec<FieldError>,
) -> Option<Propagation> {
    const FIELD: &str = "propagationPolicy";
    if let (Some(policy), Some(_)) = (policy, orphans) {
        let text = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(FIELD, policy, text));
        return None;
    }
    match policy {
        None => orphans.map(|orphans| if orphans { Propagation::Orphan } else { Propagation::Background }),
        Some("Background") => Some(Propagation::Background),
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Orphan") => Some(Propagation::Orphan),
        Some(other) => {
            let allowed = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(FIELD, other, &allowed));
            None
        }
    }
}

/// How recent an answer must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum At {
    /// Every write answered before the question is seen.
    #[default]
    MostRecent,
    /// Whatever the cache has.
    Cached,
    /// At or after this revision.
    AtLeast(Revision),
    /// As of this revision.
    Exact(Revision),
}

impl At {
    /// From `resourceVersion` and `resourceVersionMatch`.
    ///
    /// # Errors
    /// 422 or 400 about `ListOptions`.
    pub fn parse(query: &Query) -> Result<At, Failure> {
        const FIELD: &str = "resourceVersionMatch";
        let refuse = |error| Err(Failure::invalid_options("ListOptions", vec![error]));
        let version = query.text("resourceVersion");
        let exact = match (query.text(FIELD), version) {
            ("", _) => false,
            ("Exact" | "NotOlderThan", "") => {
                let text = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                return refuse(FieldError::forbidden(FIELD, text));
            }
            ("Exact", "0") => {
                let text = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                return refuse(FieldError::forbidden(FIELD, text));
            }
            ("Exact", _) => true,
            ("NotOlderThan", _) => false,
            (other, _) => {
                return refuse(FieldError::not_supported(FIELD, other, &["Exact", "NotOlderThan", ""]));
            }
        };
        Ok(
            match revision(version)
                .map_err(|text| Failure::bad_request(format!("invalid resource version: {text}")))?
            {
                None => At::MostRecent,
                Some(0) => At::Cached,
                Some(revision) if exact => At::Exact(revision),
                Some(revision) => At::AtLeast(revision),
            },
        )
    }
}

/// A resourceVersion; none when empty.
fn revision(text: &str) -> Result<Option<Revision>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        )
    })
}

/// What a list shall hold.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// None: all namespaces.
    pub namespace: Option<String>,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    /// At most so many objects; 0 for all.
    pub limit: usize,
    /// Where an earlier page ended.
    pub continue_: Option<String>,
    pub at: At,
}

impl ListQuery {
    /// The query of a list. Whether the kind has the fields that are selected is checked when it is listed.
    ///
    /// # Errors
    /// 400 or 422, naming the parameter.
    pub fn parse(namespace: Option<&str>, query: &Query) -> Result<ListQuery, Failure> {
        if query.given("sendInitialEvents").is_some() {
            let error = FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
            return Err(Failure::invalid_options("ListOptions", vec![error]));
        }
        let continue_ = query.given("continue").filter(|token| !token.is_empty());
        if continue_.is_some() && !matches!(query.text("resourceVersion"), "" | "0") {
            return Err(Failure::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        Ok(ListQuery {
            namespace: namespace.map(str::to_owned),
            labels: LabelSelector::parse(query.text("labelSelector"))?,
            fields: FieldSelector::parse(query.text("fieldSelector"))?,
            limit: limit(query.text("limit"))?,
            continue_: continue_.map(str::to_owned),
            at: At::parse(query)?,
        })
    }
}

fn limit(text: &str) -> Result<usize, Failure> {
    if text.is_empty() {
        return Ok(0);
    }
    let parsed: Result<i64, _> = text.parse();
    let number = parsed
        .map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?;
    Ok(usize::try_from(number).unwrap_or_default())
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The present state as additions, at least as recent as asked for, then changes.
    Present(At),
    /// Changes after this revision.
    After(Revision),
}

/// What a watch shall tell.
#[derive(Debug, Clone)]
pub struct WatchQuery {
    /// None: all namespaces.
    pub namespace: Option<String>,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    pub start: Start,
    /// Whether bookmarks are wanted.
    pub bookmarks: bool,
    /// Whether the end of the present state is marked by a bookmark.
    pub marks_initial_end: bool,
}

impl WatchQuery {
    /// The query of a watch.
    ///
    /// # Errors
    /// 400, 422 or 500, as a real apiserver has it.
    pub fn parse(namespace: Option<&str>, query: &Query) -> Result<WatchQuery, Failure> {
        let initial = query.given("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
        let bookmarks = query.flag("allowWatchBookmarks");
        let version = revision(query.text("resourceVersion")).map_err(Failure::internal)?;
        if initial.is_some() && query.text("resourceVersionMatch") != "NotOlderThan" {
            let text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            let error = FieldError::forbidden("resourceVersionMatch", text);
            return Err(Failure::invalid_options("ListOptions", vec![error]));
        }
        let start = match (initial, version) {
            (Some(true), None) => Start::Present(At::MostRecent),
            (Some(true), Some(0)) => Start::Present(At::Cached),
            (Some(true), Some(revision)) => Start::Present(At::AtLeast(revision)),
            (_, None) => Start::Present(At::MostRecent),
            (_, Some(0)) => Start::Present(At::Cached),
            (_, Some(revision)) => Start::After(revision),
        };
        Ok(WatchQuery {
            namespace: namespace.map(str::to_owned),
            labels: LabelSelector::parse(query.text("labelSelector"))?,
            fields: FieldSelector::parse(query.text("fieldSelector"))?,
            start,
            bookmarks,
            marks_initial_end: initial == Some(true) && bookmarks,
        })
    }
}
