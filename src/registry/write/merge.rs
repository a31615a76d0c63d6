//! A controller's merge patch: what is judged of the object, and what is stored after it.
//!
//! Most of what controllers write is `status`. A patch of `status` and `metadata` alone is judged by those alone, and
//! the bytes of all else stay as they are.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::commit::{CommitError, Step, invalid};
use super::settle::{Outcome, complete, complete_parts, count_generation, faults, faults_of_parts, outcome};
use crate::registry::Registry;
use crate::registry::doc::Doc;
use crate::registry::failure::Failure;
use crate::registry::field::FieldError;
use crate::registry::kind::KindDef;
use crate::registry::object::{is_terminating, meta_value, restore, seconds, set, take};
use crate::registry::parts::Parts;

/// The fields that a small patch may touch: no rule of a kind and no other field depends on them.
const SMALL: [&str; 2] = ["metadata", "status"];

/// What of an object is decoded.
enum Scope<'d> {
    Whole,
    /// The fields [`SMALL`].
    Parts(Parts<'d>),
}

impl Registry {
    /// What `patch` comes to, applied to `base`.
    pub(super) async fn merge(&self, base: Arc<Doc>, patch: &Value) -> Result<Step, CommitError> {
        let kind = self.kind_of(base.key())?;
        if let Some(step) = self.merge_status(&kind, &base, patch).await? {
            return Ok(step);
        }
        let document = base.bytes().clone();
        let scope = Scope::of(&kind, patch, &document);
        let live = scope.value(&base)?;
        let mut object = live.clone();
        json_patch::merge(&mut object, patch);
        take(&mut object, "resourceVersion");
        for name in ["uid", "creationTimestamp", "generation", "name", "namespace"] {
            restore(&mut object, &live, name);
        }
        self.settle_end(&mut object, &live);
        let errors = scope.judge(&kind, &mut object, &live);
        if !errors.is_empty() {
            return Err(invalid(base.key(), Failure::invalid(&kind, &base.key().name, errors)));
        }
        match outcome(&kind, &mut object, &live) {
            Outcome::Unchanged => Ok(Step::Keep { base, guard: None }),
            Outcome::Removed => Ok(Step::Delete { key: base.key().clone(), guard: self.at(&base) }),
            Outcome::Replaced => {
                let value = scope.encoded(&object).and_then(|bytes| self.checked_size(bytes));
                let value = value.map_err(|failure| invalid(base.key(), failure))?;
                self.put(&kind, base.key().clone(), value, self.at(&base), None).await
            }
        }
    }

    /// An end that has begun cannot be taken back, and begins now.
    fn settle_end(&self, object: &mut Value, live: &Value) {
        if is_terminating(live) {
            restore(object, live, "deletionTimestamp");
            restore(object, live, "deletionGracePeriodSeconds");
        } else if is_terminating(object) {
            set(object, "deletionTimestamp", seconds(self.env.now()));
            if meta_value(object, "deletionGracePeriodSeconds").is_none() {
                set(object, "deletionGracePeriodSeconds", 0);
            }
        }
    }
}

impl<'d> Scope<'d> {
    fn of(kind: &KindDef, patch: &Value, document: &'d Bytes) -> Scope<'d> {
        let fields = patch.as_object().into_iter().flatten();
        let is_small = kind.status
            && kind.prepare.is_none()
            && !kind.is_core()
            && fields.clone().all(|(name, value)| SMALL.contains(&name.as_str()) && value.is_object());
        let parts = if is_small { Parts::of(document) } else { None };
        parts.map_or(Scope::Whole, Scope::Parts)
    }

    fn value(&self, base: &Doc) -> Result<Value, CommitError> {
        let damaged = |problem| CommitError::Damaged { key: base.key().clone(), problem };
        match self {
            Scope::Whole => base.value().map_err(|error| damaged(error.to_string())),
            Scope::Parts(parts) => parts.select(&SMALL).map_err(|error| damaged(error.to_string())),
        }
    }

    /// Completes `object`, counts its generation, and tells what is wrong with it.
    fn judge(&self, kind: &KindDef, object: &mut Value, live: &Value) -> Vec<FieldError> {
        let quantities = match self {
            Scope::Whole => complete(kind, object),
            Scope::Parts(_) => complete_parts(kind, object),
        };
        count_generation(kind, object, live);
        // Controllers may begin an end, which people may not: the rule about immutable metadata does not see it.
        let before = with_same_end(live, object);
        match self {
            Scope::Whole => faults(kind, object, Some(&before), quantities, &mut Vec::new()),
            Scope::Parts(_) => faults_of_parts(kind, object, &before, quantities),
        }
    }

    fn encoded(&self, object: &Value) -> Result<Vec<u8>, Failure> {
        let bytes = match (self, object.as_object()) {
            (Scope::Parts(parts), Some(object)) => parts.with(&SMALL, object),
            _ => serde_json::to_vec(object),
        };
        bytes.map_err(|error| Failure::internal(error.to_string()))
    }
}

fn with_same_end<'v>(live: &'v Value, object: &Value) -> Cow<'v, Value> {
    const END: [&str; 2] = ["deletionTimestamp", "deletionGracePeriodSeconds"];
    if END.iter().all(|name| meta_value(live, name) == meta_value(object, name)) {
        return Cow::Borrowed(live);
    }
    let mut before = live.clone();
    END.iter().for_each(|name| restore(&mut before, object, name));
    Cow::Owned(before)
}
