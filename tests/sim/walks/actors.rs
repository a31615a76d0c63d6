//! People who change one App at the same time, each in a way of its own and with fields of its own.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tenure::registry::options::{Admission, FieldValidation};
use tenure::registry::{
    Body, Failure, Key, KindDef, Patch, Registry, Resource, Subresource, WriteOptions, Written,
};

use super::wishes::Wish;

/// How somebody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Server-side apply of all that is wanted.
    Apply,
    /// Reads, edits and puts the whole object.
    Update,
    /// A merge patch.
    Merge,
    /// A JSON patch.
    Json,
}

pub(super) const WAYS: [Way; 4] = [Way::Apply, Way::Update, Way::Merge, Way::Json];

/// Somebody who cares for some fields of the App.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    /// The manager of fields that the store knows.
    pub(super) name: String,
    pub(super) way: Way,
    /// All that was wanted so far and accepted.
    pub(super) config: Wish,
}

/// The App that everybody changes.
pub(super) fn key() -> Key {
    Key::new(&Resource::new("tenure.dev", "apps"), "shop", "web")
}

pub(super) fn kind(door: &Registry) -> Arc<KindDef> {
    door.scheme().by_resource(&Resource::new("tenure.dev", "apps")).cloned().unwrap()
}

/// The App with this spec, without what is null.
pub(super) fn app(name: &str, spec: &Wish) -> Value {
    let spec: Map<String, Value> = spec.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
    json!({
        "apiVersion": "tenure.dev/v1",
        "kind": "App",
        "metadata": {"namespace": "shop", "name": name},
        "spec": spec,
    })
}

impl Actor {
    /// Writes `wish` through `door`; only looks whether it would be accepted when `dry_run`.
    pub(super) async fn write(
        &self,
        door: &Registry,
        wish: &Wish,
        dry_run: bool,
    ) -> Result<Written, Failure> {
        let options = WriteOptions {
            field_manager: self.name.clone(),
            dry_run,
            field_validation: FieldValidation::Strict,
            force: self.way == Way::Apply,
            admission: Admission::default(),
        };
        let (kind, key) = (kind(door), key());
        let patch = match self.way {
            Way::Update => return self.update(door, wish, &options).await,
            Way::Apply => {
                let mut all = self.config.clone();
                all.extend(wish.clone());
                Patch::Apply(Body::of(app("web", &all)))
            }
            Way::Merge => {
                let spec = present(door).await?["spec"].clone();
                let parts = wish.iter().map(|(name, new)| (name.clone(), difference(&spec[name], new)));
                Patch::Merge(Body::of(json!({"spec": parts.collect::<Map<_, _>>()})))
            }
            Way::Json => {
                let spec = present(door).await?["spec"].clone();
                let operation = |(name, new): (&String, &Value)| {
                    let path = format!("/spec/{name}");
                    match (new.is_null(), spec[name].is_null()) {
                        (true, true) => None,
                        (true, false) => Some(json!({"op": "remove", "path": path})),
                        (false, _) => Some(json!({"op": "add", "path": path, "value": new})),
                    }
                };
                Patch::Json(Body::of(wish.iter().filter_map(operation).collect()))
            }
        };
        door.patch(&kind, &key, Subresource::Main, patch, &options).await
    }

    /// Reads, edits and puts, again when somebody else was faster.
    async fn update(&self, door: &Registry, wish: &Wish, options: &WriteOptions) -> Result<Written, Failure> {
        loop {
            let mut object = present(door).await?;
            for (name, value) in wish {
                object["spec"][name] = value.clone();
            }
            let body = Body::of(object);
            match door.update(&kind(door), &key(), Subresource::Main, body, options).await {
                Err(failure) if failure.is_conflict() => {}
                answer => return answer,
            }
        }
    }

    /// Scales through the subresource, as autoscalers do.
    pub(super) async fn scale(&self, door: &Registry, instances: &Value) -> Result<Written, Failure> {
        let options = WriteOptions { field_manager: self.name.clone(), ..WriteOptions::default() };
        let patch = Patch::Merge(Body::of(json!({"spec": {"replicas": instances}})));
        door.patch(&kind(door), &key(), Subresource::Scale, patch, &options).await
    }
}

/// The App as the store has it now.
pub(super) async fn present(door: &Registry) -> Result<Value, Failure> {
    let doc = door.get(&kind(door), &key(), tenure::registry::At::MostRecent).await?;
    let mut value = doc.value().map_err(|error| Failure::internal(error.to_string()))?;
    value["metadata"]["resourceVersion"] = json!(doc.revision().to_string());
    Ok(value)
}

/// The merge patch that makes `new` of `old`.
fn difference(old: &Value, new: &Value) -> Value {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return new.clone() };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let kept = new.iter().map(|(name, value)| {
        (name.clone(), old.get(name).map_or_else(|| value.clone(), |old| difference(old, value)))
    });
    Value::Object(gone.chain(kept).collect())
}
