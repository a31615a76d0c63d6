//! Server-side apply by people: creates or changes.

use serde_json::Value;

use super::settle::{birth, complete, faults};
use super::update::{Edited, precondition};
use super::{Subresource, Written, intake, scale};
use crate::registry::Registry;
use crate::registry::apply::{self, Applier};
use crate::registry::body::Body;
use crate::registry::doc::Doc;
use crate::registry::failure::Failure;
use crate::registry::field::FieldError;
use crate::registry::form;
use crate::registry::key::Key;
use crate::registry::kind::KindDef;
use crate::registry::object::{meta_value, restore, set, text};
use crate::registry::options::WriteOptions;

/// How often an apply is tried again when the object appears or vanishes meanwhile.
const TRIES: usize = 5;

impl Registry {
    pub(super) async fn apply(
        &self,
        kind: &KindDef,
        key: &Key,
        subresource: Subresource,
        body: &Body,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let config = config(kind, key, subresource, body)?;
        let warnings = intake::judge(&[], &body.duplicates, options.field_validation)
            .map_err(|text| Failure::bad_request(format!("error decoding YAML: {text}")))?;
        let edit = |_: &Doc, live: &Value| {
            let edited = self.applied(kind, live, &config, subresource, options)?;
            Ok(Edited { warnings: warnings.clone(), ..edited })
        };
        for _ in 0..TRIES {
            match self.modify(kind, key, subresource, options, &edit).await {
                Err(failure) if failure.is_not_found() && subresource == Subresource::Main => {}
                answer => return answer,
            }
            if precondition(&config)?.is_some() && !text(&config, "uid").is_empty() {
                return Err(Failure::conflict(kind, &key.name));
            }
            match self.create_by_apply(kind, key, &config, options, warnings.clone()).await {
                Err(failure) if failure.is_already_exists() && !options.dry_run => {}
                answer => return answer,
            }
        }
        Err(Failure::conflict(kind, &key.name))
    }

    fn applied(
        &self,
        kind: &KindDef,
        live: &Value,
        config: &Value,
        subresource: Subresource,
        options: &WriteOptions,
    ) -> Result<Edited, Failure> {
        let insisted = precondition(config)?;
        let present = precondition(live)?;
        if insisted.is_some() && insisted != present {
            return Err(Failure::conflict(kind, text(live, "name")));
        }
        let applier = self.applier(subresource, options);
        let mut object = apply::apply(kind, live, config, &applier)?.object;
        restore(&mut object, live, "resourceVersion");
        Ok(Edited { object, warnings: Vec::new(), precondition: insisted, tracked: true })
    }

    fn applier<'a>(&self, subresource: Subresource, options: &'a WriteOptions) -> Applier<'a> {
        Applier { manager: &options.field_manager, subresource, force: options.force, now: self.env.now() }
    }

    async fn create_by_apply(
        &self,
        kind: &KindDef,
        key: &Key,
        config: &Value,
        options: &WriteOptions,
        mut warnings: Vec<String>,
    ) -> Result<Written, Failure> {
        if kind.terminating {
            return Err(Failure::definition_terminating());
        }
        self.open_namespace(kind, &key.namespace, &key.name).await?;
        let applier = self.applier(Subresource::Main, options);
        let mut object = apply::apply(kind, &Value::Null, config, &applier)?.object;
        let account = meta_value(&object, "managedFields").cloned();
        if let Some(uid) = meta_value(&object, "uid").cloned() {
            let error = FieldError::invalid("metadata.uid", uid, "field is immutable");
            return Err(Failure::invalid(kind, &key.name, vec![error]));
        }
        intake::check_namespace(kind, &key.namespace, &mut object)?;
        let kept = self.kept_as(kind);
        let kept = kept.as_deref().unwrap_or(kind);
        kind.form.keep(kept, &mut object);
        birth(kept, &mut object, &self.env);
        if let Some(account) = account {
            set(&mut object, "managedFields", account);
        }
        let quantities = complete(kept, &mut object);
        let errors = faults(kept, &object, None, quantities, &mut warnings);
        if !errors.is_empty() {
            return Err(Failure::invalid(kind, &key.name, errors));
        }
        let mut written = self.store_new(kept, &key.namespace, object, options, warnings).await?;
        written.object = form::shown(kind, written.object)?;
        Ok(written)
    }
}

/// The configuration that a body holds: of the right type and name, and limited to its subresource.
fn config(kind: &KindDef, key: &Key, subresource: Subresource, body: &Body) -> Result<Value, Failure> {
    let mut config = body.value.clone();
    let given = |name: &str| body.value.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_scale = subresource == Subresource::Scale;
    let expected = if is_scale {
        ("autoscaling/v1".to_owned(), "Scale".to_owned())
    } else {
        (kind.api_version(), kind.kind.clone())
    };
    if (given("apiVersion"), given("kind")) != (expected.0.as_str(), expected.1.as_str()) {
        let version = if given("apiVersion").contains('/') {
            given("apiVersion").to_owned()
        } else {
            format!("/{}", given("apiVersion"))
        };
        return Err(Failure::bad_request(format!("invalid object type: {version}, Kind={}", given("kind"))));
    }
    intake::check_metadata(kind, &mut config)?;
    if meta_value(&config, "managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    if text(&config, "name").is_empty() {
        set(&mut config, "name", &*key.name);
    }
    intake::check_name(&key.name, &config)?;
    intake::check_namespace(kind, &key.namespace, &mut config.clone())?;
    if is_scale {
        return scale::config(kind, key, &config);
    }
    if subresource == Subresource::Main
        && kind.status
        && let Some(fields) = config.as_object_mut()
    {
        fields.remove("status");
    }
    Ok(config)
}
