//! Replacement and patches by people.

use std::sync::Arc;

use serde_json::Value;

use super::settle::{Author, Outcome, complete, isolate, settle};
use super::{Subresource, Written, intake, scale};
use crate::registry::body::Body;
use crate::registry::doc::Doc;
use crate::registry::failure::Failure;
use crate::registry::field::FieldError;
use crate::registry::key::Key;
use crate::registry::kind::KindDef;
use crate::registry::object::{meta_value, text};
use crate::registry::options::WriteOptions;
use crate::registry::patch::Patch;
use crate::registry::{Registry, form};
use crate::store::{Guard, Op, Revision, Txn, TxnOutcome};

/// How often a write without a resourceVersion is tried again when another comes first. Each try that loses is somebody
/// else's success, so only more simultaneous writers of one object than this can see a conflict.
pub(super) const CONFLICT_TRIES: usize = 100;

/// What a request makes of the live object, before anything is checked.
pub(super) struct Edited {
    pub object: Value,
    pub warnings: Vec<String>,
    /// The version that the request insists on.
    pub precondition: Option<Revision>,
    /// Fields that the request owns from now on are known already (an apply), so they are not derived from the
    /// difference.
    pub tracked: bool,
}

impl Registry {
    /// Replaces an object, or a subresource of it, by the one in `body`.
    ///
    /// # Errors
    /// A [`Failure`]; nothing is stored then.
    pub async fn update(
        &self,
        kind: &KindDef,
        key: &Key,
        subresource: Subresource,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let edit = |doc: &Doc, live: &Value| match subresource {
            Subresource::Scale => scale::replaced(kind, key, doc, live, &body.value),
            Subresource::Main | Subresource::Status | Subresource::Finalize => {
                replaced(kind, key, doc, &body, options)
            }
        };
        self.modify(kind, key, subresource, options, &edit).await
    }

    /// Patches an object or a subresource of it. An apply creates the object if it is missing.
    ///
    /// # Errors
    /// A [`Failure`]; nothing is stored then.
    pub async fn patch(
        &self,
        kind: &KindDef,
        key: &Key,
        subresource: Subresource,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        if let Patch::Apply(body) = &patch {
            return self.apply(kind, key, subresource, body, options).await;
        }
        let edit = |doc: &Doc, live: &Value| match subresource {
            Subresource::Scale => {
                let view = scale::view(kind, doc, live)?;
                scale::replaced(kind, key, doc, live, &patch.edit(kind, &view)?)
            }
            Subresource::Main | Subresource::Status | Subresource::Finalize => {
                patched(kind, key, &patch, live, options)
            }
        };
        self.modify(kind, key, subresource, options, &edit).await
    }

    /// Reads, edits and writes back, again when somebody was faster and the request does not insist on a version.
    pub(super) async fn modify(
        &self,
        kind: &KindDef,
        key: &Key,
        subresource: Subresource,
        options: &WriteOptions,
        edit: &(dyn Fn(&Doc, &Value) -> Result<Edited, Failure> + Sync),
    ) -> Result<Written, Failure> {
        let is_there = match subresource {
            Subresource::Status => kind.status,
            Subresource::Finalize => kind.holds_by_spec,
            Subresource::Main | Subresource::Scale => true,
        };
        if !is_there {
            return Err(Failure::not_found(kind, &key.name));
        }
        let kept = self.kept_as(kind);
        let kept = kept.as_deref().unwrap_or(kind);
        for _ in 0..CONFLICT_TRIES {
            let doc = self.live(key).await?.ok_or_else(|| Failure::not_found(kind, &key.name))?;
            let mut live = doc.value().map_err(|error| Failure::damaged(&error))?;
            kind.form.show(kind, &mut live);
            let mut edited = edit(&doc, &live)?;
            kind.form.keep(kept, &mut edited.object);
            kind.form.keep(kept, &mut live);
            if edited.precondition.is_some_and(|revision| revision != doc.revision()) {
                return Err(Failure::conflict(kind, &key.name));
            }
            let insists = edited.precondition.is_some();
            match self.write_back(kept, &doc, &live, subresource, edited, options).await? {
                Some(mut written) => {
                    if subresource != Subresource::Scale {
                        written.object = form::shown(kind, written.object)?;
                    }
                    return Ok(written);
                }
                None if insists => return Err(Failure::conflict(kind, &key.name)),
                None => {}
            }
        }
        Err(Failure::conflict(kind, &key.name))
    }

    /// The version of `key` that the store has now.
    pub(in crate::registry) async fn live(&self, key: &Key) -> Result<Option<Arc<Doc>>, Failure> {
        let record = self.store.get(&key.store_key(&self.prefix)).await;
        let Some(record) = record.map_err(|error| Failure::store(&error))? else { return Ok(None) };
        let doc = Doc::from_stored(key.clone(), record.revision, &record.value);
        doc.map(|doc| Some(Arc::new(doc))).map_err(|error| Failure::damaged(&error))
    }

    /// None when somebody else wrote first.
    async fn write_back(
        &self,
        kind: &KindDef,
        doc: &Doc,
        live: &Value,
        subresource: Subresource,
        edited: Edited,
        options: &WriteOptions,
    ) -> Result<Option<Written>, Failure> {
        let Edited { mut object, mut warnings, tracked, .. } = edited;
        isolate(kind, &mut object, live, subresource);
        let quantities = complete(kind, &mut object);
        let author = Author { manager: &options.field_manager, subresource, now: self.env.now() };
        let author = (!tracked).then_some(&author);
        let outcome = settle(kind, &mut object, live, author, quantities, &mut warnings)?;
        let answer = |object: &Value, doc: &Doc| match subresource {
            Subresource::Scale => scale::view(kind, doc, object).map(|view| view.to_string().into()),
            Subresource::Main | Subresource::Status | Subresource::Finalize => Ok(doc.bytes().clone()),
        };
        let written = |object, revision| Written { object, created: false, warnings, revision };
        let as_if = |object: &Value| {
            let value = self.encoded(object)?;
            Doc::from_stored(doc.key().clone(), doc.revision(), &value)
                .map_err(|error| Failure::damaged(&error))
        };
        if outcome == Outcome::Unchanged {
            return Ok(Some(written(answer(live, doc)?, Some(doc.revision()))));
        }
        options.admission.check(&object, Some(live))?;
        if options.dry_run {
            return Ok(Some(written(answer(&object, &as_if(&object)?)?, None)));
        }
        match self.replace(kind, doc, &object, &outcome).await? {
            None => Ok(None),
            Some(None) => Ok(Some(written(answer(&object, &as_if(&object)?)?, None))),
            Some(Some(new)) => Ok(Some(written(answer(&object, &new)?, Some(new.revision())))),
        }
    }

    /// Writes `object` over `doc`, or removes it. None when `doc` is no longer the present version; `Some(None)` when
    /// the object is gone.
    pub(super) async fn replace(
        &self,
        kind: &KindDef,
        doc: &Doc,
        object: &Value,
        outcome: &Outcome,
    ) -> Result<Option<Option<Doc>>, Failure> {
        let key = doc.key().store_key(&self.prefix);
        let guards = vec![Guard::At(key.clone(), doc.revision())];
        let value = self.encoded(object)?;
        let op = match outcome {
            Outcome::Removed => Op::Delete { key },
            Outcome::Unchanged | Outcome::Replaced => {
                Op::Put { key, value: value.clone(), lease: self.lease_for(kind).await? }
            }
        };
        match self.transact(Txn { guards, ops: vec![op] }).await.map_err(|error| Failure::store(&error))? {
            TxnOutcome::Refused { .. } => Ok(None),
            TxnOutcome::Committed(_) if *outcome == Outcome::Removed => Ok(Some(None)),
            TxnOutcome::Committed(revision) => {
                let new = Doc::from_stored(doc.key().clone(), revision, &value);
                new.map(|new| Some(Some(new))).map_err(|error| Failure::damaged(&error))
            }
        }
    }
}

/// What a PUT makes of the live object.
fn replaced(
    kind: &KindDef,
    key: &Key,
    doc: &Doc,
    body: &Body,
    options: &WriteOptions,
) -> Result<Edited, Failure> {
    let mut object = body.value.clone();
    intake::check_type(kind, &mut object, &body.text)?;
    intake::check_metadata(kind, &mut object)?;
    intake::check_namespace(kind, &key.namespace, &mut object)?;
    intake::check_name(&key.name, &object)?;
    intake::check_content(kind, &object)?;
    let unknown = intake::tidy(kind, &mut object);
    let warnings = intake::judge_object(kind, &unknown, body, options.field_validation)?;
    let precondition = precondition(&object)?;
    if precondition.is_none() && !kind.is_core() {
        let error = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
        return Err(Failure::invalid_resource(kind, &key.name, vec![error]));
    }
    let uid = text(&object, "uid");
    if !uid.is_empty() && uid != doc.meta().uid {
        let text = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            doc.meta().uid
        );
        return Err(Failure::conflict_because(kind, &key.name, &text));
    }
    Ok(Edited { object, warnings, precondition, tracked: false })
}

/// What a patch other than an apply makes of the live object.
fn patched(
    kind: &KindDef,
    key: &Key,
    patch: &Patch,
    live: &Value,
    options: &WriteOptions,
) -> Result<Edited, Failure> {
    let mut object = patch.edit(kind, live)?;
    intake::check_type(kind, &mut object, "")?;
    let shown = object.to_string();
    intake::check_metadata(kind, &mut object)?;
    intake::check_namespace(kind, &key.namespace, &mut object)?;
    intake::check_name(&key.name, &object)?;
    let unknown = intake::tidy(kind, &mut object);
    let warnings =
        intake::judge(&unknown, &patch.body().duplicates, options.field_validation).map_err(|text| {
            Failure::invalid_named("", "", "", vec![FieldError::invalid("patch", shown, text)])
        })?;
    // The patched object carries the live version unless the patch names another.
    let unchanged = meta_value(&object, "resourceVersion") == meta_value(live, "resourceVersion");
    let precondition = if unchanged && !insists(patch) { None } else { precondition(&object)? };
    Ok(Edited { object, warnings, precondition, tracked: false })
}

/// Whether the patch itself names the version: then it must still be the present one when it is written.
fn insists(patch: &Patch) -> bool {
    match patch {
        Patch::Json(body) => body.value.as_array().into_iter().flatten().any(|operation| {
            operation.get("path").and_then(Value::as_str) == Some("/metadata/resourceVersion")
        }),
        Patch::Merge(body) | Patch::Strategic(body) | Patch::Apply(body) => {
            meta_value(&body.value, "resourceVersion").is_some_and(|version| !version.is_null())
        }
    }
}

/// The version that an object carries: the one it was made from.
pub(super) fn precondition(object: &Value) -> Result<Option<Revision>, Failure> {
    match text(object, "resourceVersion") {
        "" | "0" => Ok(None),
        version => version.parse().map(Some).map_err(|_| {
            Failure::internal(format!("strconv.ParseUint: parsing {version:?}: invalid syntax"))
        }),
    }
}
