//! The patches of Kubernetes: each turns a live object into the one that is wanted.

mod strategic;

use json_patch::PatchOperation;
use serde_json::Value;

use super::body::Body;
use super::failure::Failure;
use super::kind::KindDef;

/// The most operations that one JSON patch may have.
const OPERATIONS_MAX: usize = 10_000;

/// A change to an object, by content type.
#[derive(Debug, Clone)]
pub enum Patch {
    /// `application/json-patch+json`, RFC 6902.
    Json(Body),
    /// `application/merge-patch+json`, RFC 7386.
    Merge(Body),
    /// `application/strategic-merge-patch+json`: core kinds only.
    Strategic(Body),
    /// `application/apply-patch+yaml`: server-side apply.
    Apply(Body),
}

impl Patch {
    /// The object that the patch makes of `live`.
    ///
    /// # Errors
    /// 400 for a patch of the wrong shape, 413 for too many operations, 415 for one that the kind does not take, 422
    /// for one that does not fit the object.
    pub(super) fn edit(&self, kind: &KindDef, live: &Value) -> Result<Value, Failure> {
        match self {
            Patch::Json(body) => json(&body.value, live),
            Patch::Merge(body) => {
                let patch = object(&body.value)?;
                let mut object = live.clone();
                json_patch::merge(&mut object, patch);
                Ok(object)
            }
            Patch::Strategic(body) if kind.is_core() => {
                let patch = object(&body.value)?;
                strategic::merge(live, patch, &kind.schema)
            }
            Patch::Strategic(_) | Patch::Apply(_) => {
                Err(Failure::unsupported_media_type(Patch::accepted(kind)))
            }
        }
    }

    /// The content types that objects of `kind` can be patched with.
    #[must_use]
    pub fn accepted(kind: &KindDef) -> &'static str {
        if kind.is_core() {
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml"
        } else {
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        }
    }

    pub(super) fn body(&self) -> &Body {
        match self {
            Patch::Json(body) | Patch::Merge(body) | Patch::Strategic(body) | Patch::Apply(body) => body,
        }
    }
}

/// A merge patch must be an object: anything else would replace the whole document.
fn object(patch: &Value) -> Result<&Value, Failure> {
    if patch.is_object() {
        return Ok(patch);
    }
    Err(Failure::bad_request(format!(
        "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
        go_type(patch)
    )))
}

fn json(patch: &Value, live: &Value) -> Result<Value, Failure> {
    let Value::Array(items) = patch else {
        return Err(Failure::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
            go_type(patch)
        )));
    };
    if items.len() > OPERATIONS_MAX {
        return Err(Failure::too_large(&format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            items.len()
        )));
    }
    let operations: Vec<PatchOperation> = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    let mut object = live.clone();
    json_patch::patch(&mut object, &operations).map_err(|_| Failure::patch_failed())?;
    Ok(object)
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn failure(patch: &Value) -> Failure {
        json(patch, &json!({"spec": {"image": "x"}})).unwrap_err()
    }

    #[test]
    fn a_json_patch_that_does_not_fit_is_refused_as_a_whole() {
        for operation in [
            json!({"op": "test", "path": "/spec/image", "value": "y"}),
            json!({"op": "remove", "path": "/spec/nope"}),
            json!({"op": "replace", "path": "/spec/nope", "value": 1}),
        ] {
            let failure = failure(&json!([operation]));
            assert_eq!((failure.code, failure.status()["details"].clone()), (422, json!({})));
        }
    }

    #[test]
    fn a_json_patch_of_the_wrong_shape_says_so() {
        assert_eq!(
            failure(&json!({})).message,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        );
        let many: Vec<Value> = (0..=OPERATIONS_MAX)
            .map(|_| json!({"op": "test", "path": "/spec/image", "value": "x"}))
            .collect();
        let failure = failure(&Value::Array(many));
        assert_eq!(
            (failure.code, failure.message.as_str()),
            (
                413,
                "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
            )
        );
    }

    /// RFC 7386, section 2, word for word.
    fn rfc7386(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut target = target.as_object().cloned().unwrap_or_default();
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                let merged = rfc7386(target.get(name).unwrap_or(&Value::Null), value);
                target.insert(name.clone(), merged);
            }
        }
        Value::Object(target)
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from)];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_merge_patch_is_rfc_7386(target in tree(), patch in tree()) {
            let mut merged = target.clone();
            json_patch::merge(&mut merged, &patch);
            prop_assert_eq!(merged, rfc7386(&target, &patch));
        }
    }
}
