//! Server-side apply, fed with configurations and accounts of fields that are nearly right.

use serde_json::{Value, json};

use super::checked;
use super::managed::{Entries, Manager, Operation};
use super::path::FieldSet;
use super::tests::schema;
use super::updater::{Outcome, apply};
use crate::fuzz::feed;
use crate::registry::body::{Body, Encoding};
use crate::registry::write::Subresource;

const WORDS: &[&str] = &[
    "null",
    "{}",
    "[]",
    "\"env\":",
    "\"name\":",
    "\"tags\":",
    "\"f:spec\":",
    "\"k:{\\\"name\\\":\\\"A\\\"}\":",
    "\"v:1\":",
    "\".\":{}",
    "\"i:0\":",
];

fn decoded(bytes: &[u8]) -> Option<Value> {
    Body::decode(bytes, Encoding::Json).ok().map(|body| body.value)
}

#[test]
fn an_account_of_fields_is_read_as_it_is_printed() {
    feed("fields", (WORDS, 1), |bytes| {
        let Some(set) = decoded(bytes).as_ref().and_then(FieldSet::decode) else { return };
        let printed = set.encode();
        let again = FieldSet::decode(&printed).expect("what was printed is an account");
        assert_eq!(again.encode(), printed);
        assert_eq!(again.paths(usize::MAX), set.paths(usize::MAX));
        assert!(set.difference(&again).is_empty());
    });
}

#[test]
fn what_is_applied_twice_is_applied_once() {
    let live =
        json!({"spec": {"image": "x", "tags": ["t"], "env": [{"name": "A", "value": "1"}, {"name": "B"}]}});
    let me = Manager::new("me", Operation::Apply, "tenure.dev/v1", Subresource::Main);
    feed("apply", (WORDS, 1), |bytes| {
        let Some(config) = decoded(bytes).filter(Value::is_object) else { return };
        if checked::check(&config, &schema()).is_err() {
            return;
        }
        let Ok(Outcome { object, entries, .. }) =
            apply(&schema(), &live, &config, &mut Entries::default(), &me, true)
        else {
            panic!("forced applies do not conflict");
        };
        let stored = entries.encode();
        let mut read = Entries::decode(Some(&stored)).expect("what was printed is an account");
        let Ok(again) = apply(&schema(), &object, &config, &mut read, &me, true) else {
            panic!("forced applies do not conflict");
        };
        assert_eq!((&again.object, again.entries.encode()), (&object, stored));
    });
}
