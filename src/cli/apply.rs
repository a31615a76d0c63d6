//! `tenure apply`: makes documents what is wanted, by server-side apply under the manager `tenure`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use super::applyset::ApplySet;
use super::connection::{APPLY_PATCH, Connection, FIELD_MANAGER, RequestError, with_query};
use super::kinds::{Catalog, Resource};
use super::manifest::{self, Document};
use super::print::{self, Form};

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A file, a folder, or - for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    pub files: Vec<String>,
    /// Take over fields that others manage
    #[arg(long)]
    pub force_conflicts: bool,
    /// Ask the server what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Delete what was applied earlier with the same --applyset and is not among the files now
    #[arg(long, requires = "applyset")]
    pub prune: bool,
    /// What belongs together, by the Secret or ConfigMap that keeps it: NAME (of a Secret), secrets/NAME or configmaps/NAME
    #[arg(long, value_name = "[KIND/]NAME", requires = "prune")]
    pub applyset: Option<String>,
    /// Show the results as documents
    #[arg(short, long, value_enum)]
    pub output: Option<DocumentForm>,
}

/// Forms of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DocumentForm {
    /// Indented JSON
    Json,
    /// YAML
    Yaml,
    /// TYPE/NAME only
    Name,
}

pub(super) async fn run(connection: &Connection, args: &ApplyArgs) -> anyhow::Result<ExitCode> {
    let (documents, mut errors) = manifest::read(&args.files);
    if documents.is_empty() && errors.is_empty() {
        bail!("no documents in {}", args.files.join(", "));
    }
    if !documents.is_empty() {
        let catalog = Catalog::load(connection).await?;
        match &args.applyset {
            Some(set) => as_set(connection, &catalog, set, &documents, args, &mut errors).await?,
            None => {
                for document in &documents {
                    match one(connection, &catalog, document, args).await {
                        Ok(text) => print::out(&text)?,
                        Err(error) => errors.push(error.context(document.place.to_string())),
                    }
                }
            }
        }
    }
    for error in &errors {
        print::note(&format!("error: {error:#}"));
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Applies all documents as one set and deletes what is in it no more; nothing is deleted when anything of it failed.
async fn as_set(
    connection: &Connection,
    catalog: &Catalog,
    set: &str,
    documents: &[Document],
    args: &ApplyArgs,
    errors: &mut Vec<anyhow::Error>,
) -> anyhow::Result<()> {
    let mut set = ApplySet::open(connection, catalog, set).await?;
    let mut objects = Vec::new();
    for document in documents {
        let taken = async {
            let mut object = Object::of(connection, catalog, &document.value)?;
            set.take(connection, &mut object).await?;
            anyhow::Ok(object)
        };
        match taken.await {
            Ok(object) => objects.push(object),
            Err(error) => errors.push(error.context(document.place.to_string())),
        }
    }
    if !errors.is_empty() {
        // What cannot be read or taken may be what the rest needs, and what would be missed.
        print::note("nothing was applied, because a set is applied as a whole");
        return Ok(());
    }
    if !args.dry_run {
        set.grow(connection, &objects).await?;
    }
    for (object, document) in objects.iter().zip(documents) {
        match object.applied(connection, args).await {
            Ok(text) => print::out(&text)?,
            Err(error) => errors.push(error.context(document.place.to_string())),
        }
    }
    if !errors.is_empty() {
        print::note("nothing was pruned, because not all was applied");
        return Ok(());
    }
    for leftover in set.leftovers(connection, catalog, &objects).await? {
        match leftover.delete(connection, args.dry_run).await {
            Ok(()) => print::line(&format!("{} pruned{}", leftover.called, args.dry()))?,
            Err(error) => errors.push(error),
        }
    }
    // What could not be deleted is still a member.
    if errors.is_empty() && !args.dry_run {
        set.settle(connection, &objects).await?;
    }
    Ok(())
}

async fn one(
    connection: &Connection,
    catalog: &Catalog,
    document: &Document,
    args: &ApplyArgs,
) -> anyhow::Result<String> {
    Object::of(connection, catalog, &document.value)?.applied(connection, args).await
}

impl ApplyArgs {
    /// What is said behind what did not really happen.
    fn dry(&self) -> &'static str {
        if self.dry_run { " (server dry run)" } else { "" }
    }
}

/// Created, changed, or as it was.
fn what_happened(before: Option<&Value>, after: &Value) -> &'static str {
    // A dry run answers with the old resource version, so its content is compared.
    match before {
        None => "created",
        Some(before) if content(before) == content(after) => "unchanged",
        Some(_) => "configured",
    }
}

/// A document without what the server says about its writing.
pub(super) fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"] {
            metadata.remove(field);
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    object
}

/// A document with the place that it belongs to.
pub(super) struct Object<'a> {
    pub(super) resource: &'a Resource,
    pub(super) name: &'a str,
    path: String,
    body: Value,
}

impl<'a> Object<'a> {
    /// Finds kind, name and namespace.
    pub(super) fn of(
        connection: &Connection,
        catalog: &'a Catalog,
        document: &'a Value,
    ) -> anyhow::Result<Self> {
        let resource = catalog.of_document(document)?;
        let name = match &document["metadata"]["name"] {
            Value::String(name) if !name.is_empty() => name.as_str(),
            Value::Null => bail!("{}: metadata.name: Required value", resource.kind),
            other => bail!("{}: metadata.name: Invalid value: {other}: must be a text", resource.kind),
        };
        let mut body = document.clone();
        let namespace = namespace(connection, resource, document).with_context(|| resource.called(name))?;
        if let Some(namespace) = namespace {
            body["metadata"]["namespace"] = namespace.into();
        }
        Ok(Self { resource, name, path: resource.path(namespace, Some(name)), body })
    }

    /// The namespace that it belongs to, if its kind has them.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.body["metadata"]["namespace"].as_str().filter(|_| self.resource.namespaced)
    }

    pub(super) fn called(&self) -> String {
        self.resource.called(self.name)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A label of its document.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.body["metadata"]["labels"].get(key)?.as_str()
    }

    /// Sets a label of its document; labels that are no object are left for the server to refuse.
    pub(super) fn set_label(&mut self, key: &str, value: &str) {
        let labels = &mut self.body["metadata"]["labels"];
        if labels.is_object() || labels.is_null() {
            labels[key] = value.into();
        }
    }

    /// Applies it and says what happened, in the form that was asked for.
    async fn applied(&self, connection: &Connection, args: &ApplyArgs) -> anyhow::Result<String> {
        let before = self.live(connection).await.with_context(|| self.called())?;
        let after = self.apply(connection, args).await.with_context(|| self.called())?;
        Ok(match args.output {
            Some(DocumentForm::Json) => Form::Json.text(&after)?,
            Some(DocumentForm::Yaml) => Form::Yaml.text(&after)?,
            Some(DocumentForm::Name) => format!("{}\n", self.called()),
            None => {
                let happened = what_happened(before.as_ref(), &after);
                format!("{} {happened}{}\n", self.called(), args.dry())
            }
        })
    }

    /// What stands in the store, if anything.
    pub(super) async fn live(&self, connection: &Connection) -> Result<Option<Value>, RequestError> {
        match connection.get(&self.path).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What would stand in the store after an apply.
    pub(super) async fn dry_run(&self, connection: &Connection, force: bool) -> Result<Value, RequestError> {
        self.patch(connection, force, true).await
    }

    async fn apply(&self, connection: &Connection, args: &ApplyArgs) -> anyhow::Result<Value> {
        match self.patch(connection, args.force_conflicts, args.dry_run).await {
            // `tenure scale` and `rollout` write under the same name as `apply`: what is applied later wins.
            Err(RequestError::Refused(status)) if only_with_ourselves(&status) => {
                Ok(self.patch(connection, true, args.dry_run).await?)
            }
            Err(RequestError::Refused(status)) if is_about_managers(&status) => {
                bail!("{}\nTo take over these fields: --force-conflicts", explained(&status))
            }
            result => Ok(result?),
        }
    }

    async fn patch(
        &self,
        connection: &Connection,
        force: bool,
        dry_run: bool,
    ) -> Result<Value, RequestError> {
        let path = with_query(
            &self.path,
            &[
                ("fieldManager", Some(FIELD_MANAGER)),
                ("fieldValidation", Some("Strict")),
                ("force", force.then_some("true")),
                ("dryRun", dry_run.then_some("All")),
            ],
        );
        connection.patch(&path, APPLY_PATCH, &self.body).await
    }
}

/// The namespace of a document: its own, else that of the command line or context.
fn namespace<'a>(
    connection: &'a Connection,
    resource: &Resource,
    document: &'a Value,
) -> anyhow::Result<Option<&'a str>> {
    if !resource.namespaced {
        return Ok(None);
    }
    match document["metadata"]["namespace"].as_str() {
        Some(own) if connection.namespace_given && own != connection.namespace => {
            bail!("its namespace {own:?} is not the one of --namespace, {:?}", connection.namespace)
        }
        Some(own) => Ok(Some(own)),
        None => Ok(Some(&connection.namespace)),
    }
}

/// Whether all conflicts are with writes of this program.
fn only_with_ourselves(status: &kube::core::Status) -> bool {
    let ours = format!("conflict with \"{FIELD_MANAGER}\"");
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    status.code == 409
        && !causes.is_empty()
        && causes
            .iter()
            .all(|cause| cause.reason == "FieldManagerConflict" && cause.message.starts_with(&ours))
}

/// A conflict with the fields that it is about.
fn explained(status: &kube::core::Status) -> String {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    // The message itself names fields, if not all of them.
    let unnamed = causes.iter().filter(|cause| !status.message.contains(&cause.field));
    let fields: Vec<String> =
        unnamed.map(|cause| format!("\n  {}: {}", cause.field, cause.message)).collect();
    format!("{}{}", status.message, fields.concat())
}

/// Whether fields have other managers; a stale resourceVersion is another conflict, which force does not end.
fn is_about_managers(status: &kube::core::Status) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    status.code == 409 && causes.iter().any(|cause| cause.reason == "FieldManagerConflict")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conflict(messages: &[&str]) -> kube::core::Status {
        let cause = |message: &&str| json!({"reason": "FieldManagerConflict", "message": message, "field": ".spec.instances"});
        serde_json::from_value(json!({
            "status": "Failure", "code": 409, "reason": "Conflict", "message": "Apply failed",
            "details": {"causes": messages.iter().map(cause).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    #[test]
    fn only_conflicts_with_ourselves_are_taken_over() {
        assert!(only_with_ourselves(&conflict(&[
            "conflict with \"tenure\" with subresource \"scale\" using tenure.dev/v1"
        ])));
        assert!(!only_with_ourselves(&conflict(&[
            "conflict with \"tenure\"",
            "conflict with \"kubectl-edit\""
        ])));
        assert!(!only_with_ourselves(&conflict(&[])));
        let text = explained(&conflict(&["conflict with \"kubectl-edit\""]));
        assert_eq!(text, "Apply failed\n  .spec.instances: conflict with \"kubectl-edit\"");
        assert!(is_about_managers(&conflict(&["conflict with \"kubectl-edit\""])));
        let mut told = conflict(&["conflict with \"kubectl-edit\""]);
        told.message = "Apply failed: conflict with \"kubectl-edit\": .spec.instances".into();
        assert_eq!(explained(&told), told.message, "once is enough");
        let stale = json!({"status": "Failure", "code": 409, "reason": "Conflict", "message": "modified"});
        assert!(!is_about_managers(&serde_json::from_value(stale).unwrap()));
    }

    #[test]
    fn what_the_server_says_about_a_write_is_no_change() {
        let before = json!({"metadata": {"name": "web", "resourceVersion": "1"}, "spec": {"a": 1}, "status": {"x": 1}});
        let after =
            json!({"metadata": {"name": "web", "resourceVersion": "2", "generation": 2}, "spec": {"a": 1}});
        assert_eq!(what_happened(Some(&before), &after), "unchanged");
        assert_eq!(what_happened(None, &after), "created");
        assert_eq!(
            what_happened(Some(&json!({"metadata": {"name": "web"}, "spec": {"a": 2}})), &after),
            "configured"
        );
    }
}
