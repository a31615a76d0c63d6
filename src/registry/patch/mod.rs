//! The patches of Kubernetes: each turns a live object into the one that is wanted.

mod strategic;

use std::slice;

use json_patch::PatchOperation;
use serde_json::Value;

use super::body::Body;
use super::failure::{BODY_BYTES_MAX, Failure};
use super::kind::KindDef;

/// The most operations that one JSON patch may have.
const OPERATIONS_MAX: usize = 10_000;
/// What its `copy` operations may copy in all, as in Kubernetes: a few short ones can double a document again and again.
const COPIED_BYTES_MAX: usize = BODY_BYTES_MAX;
/// Items of lists that may move because others are put in or taken out before them.
const MOVED_MAX: usize = 50_000_000;

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
    let (mut object, mut cost) = (live.clone(), Cost::default());
    for operation in &operations {
        cost.add(operation, &object)?;
        json_patch::patch(&mut object, slice::from_ref(operation)).map_err(|_| Failure::patch_failed())?;
    }
    Ok(object)
}

/// What the operations of a patch have cost.
#[derive(Default)]
struct Cost {
    copied: usize,
    moved: usize,
}

impl Cost {
    /// Counts an operation that is about to change `object`.
    fn add(&mut self, operation: &PatchOperation, object: &Value) -> Result<(), Failure> {
        if let PatchOperation::Copy(copy) = operation {
            self.copied += object.pointer(copy.from.as_str()).map_or(0, size);
        }
        self.moved += moved(operation, object);
        match () {
            () if self.copied > COPIED_BYTES_MAX => Err(Failure::too_large(&format!(
                "The copy operations of a JSON patch may copy {COPIED_BYTES_MAX} bytes in all"
            ))),
            () if self.moved > MOVED_MAX => Err(Failure::too_large(&format!(
                "The operations of a JSON patch may move {MOVED_MAX} items of lists in all"
            ))),
            () => Ok(()),
        }
    }
}

/// How many items of lists in `object` make room, or close the gap, for what an operation puts in or takes out.
fn moved(operation: &PatchOperation, object: &Value) -> usize {
    let behind = |path: &str| {
        let (list, at) = path.rsplit_once('/')?;
        // At `-` nothing does.
        let (at, list): (usize, _) = (at.parse().ok()?, object.pointer(list)?.as_array()?);
        Some(list.len().saturating_sub(at))
    };
    let behind = |path: &str| behind(path).unwrap_or_default();
    match operation {
        PatchOperation::Add(_) | PatchOperation::Copy(_) | PatchOperation::Remove(_) => {
            behind(operation.path().as_str())
        }
        PatchOperation::Move(it) => behind(it.from.as_str()) + behind(it.path.as_str()),
        PatchOperation::Replace(_) | PatchOperation::Test(_) => 0,
    }
}

/// About how many bytes a value has as text.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(size).sum::<usize>() + items.len() + 2,
        Value::Object(map) => map.iter().map(|(name, value)| name.len() + size(value) + 4).sum::<usize>() + 2,
        Value::String(text) => text.len() + 2,
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
    }
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

    #[test]
    fn a_json_patch_that_copies_or_moves_without_end_is_refused() {
        let live = json!({"a": ["x".repeat(1_000)], "list": vec![0; 10_000]});
        // Each doubles what there is: 40 of them would make a petabyte.
        let double = |at: usize| json!({"op": "copy", "from": "/a", "path": format!("/a/{at}")});
        let doubling: Vec<Value> = (0..40).map(|_| double(0)).collect();
        let refused = json(&doubling.into(), &live).unwrap_err();
        assert_eq!((refused.code, refused.message.contains("may copy 3145728 bytes")), (413, true));
        assert!(json(&json!([double(0), double(1)]), &live).is_ok());
        let moving: Vec<Value> =
            (0..OPERATIONS_MAX).map(|_| json!({"op": "add", "path": "/list/0", "value": 1})).collect();
        let refused = json(&moving.into(), &live).unwrap_err();
        assert_eq!((refused.code, refused.message.contains("may move 50000000 items")), (413, true));
    }

    #[test]
    fn a_json_patch_may_do_as_often_as_it_likes_what_moves_nothing() {
        let live = json!({"list": vec![1; 5_001]});
        for operation in [
            json!({"op": "test", "path": "/list/0", "value": 1}),
            json!({"op": "replace", "path": "/list/0", "value": 2}),
            json!({"op": "add", "path": "/list/-", "value": 1}),
            json!({"op": "copy", "from": "/list/0", "path": "/list/-"}),
            json!({"op": "move", "from": "/list/5000", "path": "/list/5000"}),
        ] {
            let patch = Value::Array(vec![operation; OPERATIONS_MAX]);
            assert_eq!(json(&patch, &live).map(drop), Ok(()), "{}", patch[0]);
        }
    }

    #[test]
    fn what_moves_is_counted_for_each_operation_that_moves_it() {
        let live = json!({"list": [0, 1, 2, 3], "map": {"0": 1}});
        for (operation, count) in [
            (json!({"op": "add", "path": "/list/1", "value": 1}), 3),
            (json!({"op": "add", "path": "/list/4", "value": 1}), 0),
            (json!({"op": "copy", "from": "/list/0", "path": "/list/0"}), 4),
            (json!({"op": "remove", "path": "/list/2"}), 2),
            (json!({"op": "move", "from": "/list/3", "path": "/list/0"}), 5),
            (json!({"op": "remove", "path": "/map/0"}), 0),
            (json!({"op": "remove", "path": "/list/9"}), 0),
        ] {
            let read: PatchOperation = serde_json::from_value(operation.clone()).unwrap();
            assert_eq!(moved(&read, &live), count, "{operation}");
        }
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
