//! Creation by people.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::settle::{birth, complete, faults};
use super::{Subresource, Written, intake};
use crate::registry::body::Body;
use crate::registry::doc::Doc;
use crate::registry::failure::Failure;
use crate::registry::key::Key;
use crate::registry::kind::KindDef;
use crate::registry::names;
use crate::registry::object::{set, text};
use crate::registry::options::WriteOptions;
use crate::registry::{Registry, apply, form};
use crate::store::{Guard, Op, Txn, TxnOutcome};

/// How often a generated name may be taken.
const GENERATED_NAME_TRIES: usize = 8;

impl Registry {
    /// Creates the object in `body`, in `namespace` (ignored for a cluster kind).
    ///
    /// # Errors
    /// A [`Failure`] per rule that is broken; nothing is stored then.
    pub async fn create(
        &self,
        kind: &KindDef,
        namespace: &str,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        if kind.terminating {
            return Err(Failure::definition_terminating());
        }
        let (mut object, warnings) = decoded(kind, namespace, body, options)?;
        let kept = self.kept_as(kind);
        let kept = kept.as_deref().unwrap_or(kind);
        kind.form.keep(kept, &mut object);
        let mut written = self.create_kept(kept, namespace, object, options, warnings).await?;
        written.object = form::shown(kind, written.object)?;
        Ok(written)
    }

    async fn create_kept(
        &self,
        kind: &KindDef,
        namespace: &str,
        object: Value,
        options: &WriteOptions,
        mut warnings: Vec<String>,
    ) -> Result<Written, Failure> {
        self.open_namespace(kind, namespace, text(&object, "name")).await?;
        let prefix = if text(&object, "name").is_empty() { text(&object, "generateName") } else { "" };
        let prefix = prefix.to_owned();
        for _ in 0..GENERATED_NAME_TRIES {
            let mut object = object.clone();
            if !prefix.is_empty() {
                set(&mut object, "name", names::generated(&self.env, &prefix));
            }
            match self.create_once(kind, namespace, object, options, &mut warnings).await {
                Err(taken) if taken.is_already_exists() && !prefix.is_empty() => {}
                answer => return answer,
            }
        }
        Err(Failure::already_exists(kind, &prefix))
    }

    async fn create_once(
        &self,
        kind: &KindDef,
        namespace: &str,
        mut object: Value,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Written, Failure> {
        birth(kind, &mut object, &self.env);
        let quantities = complete(kind, &mut object);
        apply::track(
            kind,
            &Value::Null,
            &mut object,
            &options.field_manager,
            Subresource::Main,
            self.env.now(),
        );
        let errors = faults(kind, &object, None, quantities, warnings);
        let name = text(&object, "name").to_owned();
        if !errors.is_empty() {
            return Err(Failure::invalid(kind, &name, errors));
        }
        self.store_new(kind, namespace, object, options, std::mem::take(warnings)).await
    }

    /// Stores a complete and valid object that must not exist yet.
    pub(super) async fn store_new(
        &self,
        kind: &KindDef,
        namespace: &str,
        object: Value,
        options: &WriteOptions,
        warnings: Vec<String>,
    ) -> Result<Written, Failure> {
        options.admission.check(&object, None)?;
        let name = text(&object, "name").to_owned();
        let key = kind.key(namespace, &name);
        let store_key = key.store_key(&self.prefix);
        let value = self.encoded(&object)?;
        if options.dry_run {
            if self.store.get(&store_key).await.map_err(|error| Failure::store(&error))?.is_some() {
                return Err(Failure::already_exists(kind, &name));
            }
            return Ok(Written { object: value, created: true, warnings, revision: None });
        }
        let put =
            Op::Put { key: store_key.clone(), value: value.clone(), lease: self.lease_for(kind).await? };
        let txn = Txn { guards: vec![Guard::Absent(store_key)], ops: vec![put] };
        match self.transact(txn).await.map_err(|error| Failure::store(&error))? {
            TxnOutcome::Refused { .. } => Err(Failure::already_exists(kind, &name)),
            TxnOutcome::Committed(revision) => {
                let doc =
                    Doc::from_stored(key, revision, &value).map_err(|error| Failure::damaged(&error))?;
                let object = doc.bytes().clone();
                Ok(Written { object, created: true, warnings, revision: Some(revision) })
            }
        }
    }

    /// The bytes that are stored for `object`.
    pub(super) fn encoded(&self, object: &Value) -> Result<Bytes, Failure> {
        let bytes = serde_json::to_vec(object).map_err(|error| Failure::internal(error.to_string()))?;
        self.checked_size(bytes)
    }

    /// A document that is not too large for the store.
    pub(super) fn checked_size(&self, bytes: Vec<u8>) -> Result<Bytes, Failure> {
        let limits = self.store.limits();
        if bytes.len() > limits.bytes_max {
            return Err(Failure::object_too_large(bytes.len(), limits));
        }
        // What is kept is kept without the room that it grew in.
        Ok(bytes.into_boxed_slice().into())
    }

    /// Refuses what would be created in a namespace that is missing or going.
    pub(super) async fn open_namespace(
        &self,
        kind: &KindDef,
        namespace: &str,
        name: &str,
    ) -> Result<(), Failure> {
        if !kind.namespaced {
            return Ok(());
        }
        match self.namespace(namespace).await? {
            None => Err(Failure::namespace_not_found(namespace)),
            Some(doc) if doc.meta().deletion.is_some() => {
                Err(Failure::namespace_terminating(kind, name, namespace))
            }
            Some(_) => Ok(()),
        }
    }

    /// From the cache, unless it does not know it: it may have been created a moment ago.
    async fn namespace(&self, name: &str) -> Result<Option<Arc<Doc>>, Failure> {
        let key = Key::new(&self.namespaces, "", name);
        match self.cache.snapshot().get(&key) {
            Some(doc) => Ok(Some(doc.clone())),
            None => self.live(&key).await,
        }
    }
}

/// The object that a body holds, and the warnings about it.
fn decoded(
    kind: &KindDef,
    namespace: &str,
    body: Body,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), Failure> {
    let mut object = body.value.clone();
    intake::check_type(kind, &mut object, &body.text)?;
    intake::check_metadata(kind, &mut object)?;
    intake::check_namespace(kind, namespace, &mut object)?;
    intake::check_content(kind, &object)?;
    let unknown = intake::tidy(kind, &mut object);
    let warnings = intake::judge_object(kind, &unknown, &body, options.field_validation)?;
    if !text(&object, "resourceVersion").is_empty() {
        return Err(Failure::internal("resourceVersion should not be set on objects to be created"));
    }
    if kind.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    Ok((object, warnings))
}
