//! A controller's patch of `status` alone: the ordinary one. Of an object that lives its metadata stays as it is, so nothing
//! else is decoded, judged or encoded.

use std::sync::Arc;

use serde_json::Value;

use super::commit::{CommitError, Step, invalid};
use super::settle::{complete_parts, new_faults};
use crate::registry::Registry;
use crate::registry::doc::Doc;
use crate::registry::failure::Failure;
use crate::registry::kind::KindDef;
use crate::registry::parts::Parts;
use crate::registry::splice;

const STATUS: [&str; 1] = ["status"];

impl Registry {
    /// What `patch` comes to, applied to `base`; none when it touches more than the status, or the status is not all that
    /// there is to judge.
    pub(super) async fn merge_status(
        &self,
        kind: &KindDef,
        base: &Arc<Doc>,
        patch: &Value,
    ) -> Result<Option<Step>, CommitError> {
        let document = base.bytes().clone();
        let Some(mut parts) = status_alone(kind, base, patch).then(|| Parts::of(&document)).flatten() else {
            return Ok(None);
        };
        let metadata = parts.get("metadata").and_then(|it| splice::without_revision(it, base.revision()));
        let Some(metadata) = metadata else { return Ok(None) };
        parts.replace("metadata", &metadata);
        let damaged = |error: serde_json::Error| CommitError::Damaged {
            key: base.key().clone(),
            problem: error.to_string(),
        };
        let live = parts.select(&STATUS).map_err(damaged)?;
        let mut object = live.clone();
        json_patch::merge(&mut object, patch);
        let mut errors = complete_parts(kind, &mut object);
        errors.append(&mut new_faults(kind, &object, &live));
        let failed = |failure| invalid(base.key(), failure);
        if !errors.is_empty() {
            return Err(failed(Failure::invalid(kind, &base.key().name, errors)));
        }
        if object == live {
            return Ok(Some(Step::Keep { base: base.clone(), guard: None }));
        }
        let fields = object.as_object().cloned().unwrap_or_default();
        let bytes = parts.with(&STATUS, &fields).map_err(|error| Failure::internal(error.to_string()));
        let value = bytes.and_then(|bytes| self.checked_size(bytes)).map_err(failed)?;
        let (key, guard) = (base.key().clone(), self.at(base));
        self.put(kind, key, value, guard, Some(base.shared_meta())).await.map(Some)
    }
}

fn status_alone(kind: &KindDef, base: &Doc, patch: &Value) -> bool {
    let mut fields = patch.as_object().into_iter().flatten();
    let patches_status =
        matches!((fields.next(), fields.next()), (Some((name, Value::Object(_))), None) if name == "status");
    let is_ours = kind.status && kind.prepare.is_none() && !kind.is_core();
    // Of one that ends it is asked whether anything still holds it, and one without a generation gets it.
    let lives = base.meta().deletion.is_none() && base.meta().generation > 0;
    patches_status && is_ours && lives
}
