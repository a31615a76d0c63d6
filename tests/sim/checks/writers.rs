//! No accepted write is lost: what a person wrote stays until a person writes something else, and revisions only grow.

use std::collections::BTreeMap;

use serde_json::Value;
use tenure::registry::{Key, Prefix};
use tenure::store::{Op, Revision, Txn};

use super::{Check, Scene, Step, Writer};

/// What people want of each App, as they wrote it last.
#[derive(Default)]
pub(super) struct Writers {
    specs: BTreeMap<Key, Value>,
    last: Revision,
}

impl Check for Writers {
    fn committed(&mut self, step: &Step<'_>, broken: &mut Vec<String>) {
        if step.after.revision <= self.last {
            broken.push(format!("revision {} follows {}", step.after.revision, self.last));
        }
        self.last = step.after.revision;
        for change in step.changes.iter().filter(|it| it.key.resource.plural() == "apps") {
            if change.new.is_none() {
                self.specs.remove(&change.key);
            }
        }
    }

    fn wrote(&mut self, writer: Writer<'_>, txn: &Txn, _: Revision, scene: &Scene, broken: &mut Vec<String>) {
        for op in &txn.ops {
            let Some(key) = Key::parse(&Prefix::new("demo"), op.key()) else { continue };
            let (Op::Put { .. }, "apps") = (op, key.resource.plural()) else { continue };
            let Some(spec) = scene.objects.get(&key).and_then(|doc| doc.value().ok()?.get("spec").cloned())
            else {
                continue;
            };
            match writer {
                Writer::Person => {
                    self.specs.insert(key, spec);
                }
                Writer::Loops(server) => {
                    if self.specs.get(&key).is_some_and(|wanted| *wanted != spec) {
                        broken.push(format!("{server} changed what is wanted of {}", key.name));
                    }
                }
            }
        }
    }
}
