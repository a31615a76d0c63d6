//! `metadata.managedFields`: who owns which fields, read and written in Kubernetes' order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::path::FieldSet;
use crate::registry::write::Subresource;

/// How a manager came to its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// Identity of an entry. The version is part of it for updates only, but there is one version per kind here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub operation: Operation,
    pub name: String,
    pub api_version: String,
    pub subresource: String,
}

impl Manager {
    pub(super) fn new(
        name: &str,
        operation: Operation,
        api_version: &str,
        subresource: Subresource,
    ) -> Manager {
        Manager {
            operation,
            name: if name.is_empty() { "unknown".to_owned() } else { name.to_owned() },
            api_version: api_version.to_owned(),
            subresource: subresource.as_str().to_owned(),
        }
    }

    /// As conflicts name it.
    pub(super) fn shown(&self) -> String {
        let mut shown = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            shown.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            shown.push_str(&format!(" using {}", self.api_version));
        }
        shown
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owned {
    pub fields: FieldSet,
    pub time: Option<String>,
}

/// All entries of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entries {
    entries: BTreeMap<Manager, Owned>,
}

impl Entries {
    /// None when an entry cannot be understood: then the account that is stored counts.
    pub(super) fn decode(managed_fields: Option<&Value>) -> Option<Entries> {
        let mut entries = Entries::default();
        for entry in managed_fields.and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let operation = match text("operation").as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let manager = Manager {
                operation,
                name: text("manager"),
                api_version: text("apiVersion"),
                subresource: text("subresource"),
            };
            let fields = FieldSet::decode(entry.get("fieldsV1").unwrap_or(&json!({})))?;
            let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
            entries.insert(manager, fields, time);
        }
        Some(entries)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, manager: &Manager) -> Option<&Owned> {
        self.entries.get(manager)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Manager, &Owned)> {
        self.entries.iter()
    }

    /// Everything but `manager`'s own.
    pub(super) fn others_mut<'e>(
        &'e mut self,
        manager: &'e Manager,
    ) -> impl Iterator<Item = (&'e Manager, &'e mut Owned)> {
        self.entries.iter_mut().filter(move |(other, _)| *other != manager)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Owned> {
        self.entries.values_mut()
    }

    pub(super) fn insert(&mut self, manager: Manager, fields: FieldSet, time: Option<String>) {
        self.entries.insert(manager, Owned { fields, time });
    }

    pub(super) fn remove(&mut self, manager: &Manager) -> Option<Owned> {
        self.entries.remove(manager)
    }

    /// Sets what `manager` owns and leaves its time.
    pub(super) fn set_fields(&mut self, manager: &Manager, fields: FieldSet) {
        self.entries.entry(manager.clone()).or_default().fields = fields;
    }

    pub(super) fn set_time(&mut self, manager: &Manager, time: Option<String>) {
        if let Some(owned) = self.entries.get_mut(manager) {
            owned.time = time;
        }
    }

    /// Forgets managers that own nothing any more.
    pub(super) fn drop_empty(&mut self) {
        self.entries.retain(|_, owned| !owned.fields.is_empty());
    }

    /// All fields that somebody owns.
    pub(super) fn union(&self) -> FieldSet {
        self.entries.values().fold(FieldSet::default(), |all, owned| all.union(&owned.fields))
    }

    /// As `managedFields`: appliers first, then by time (none first), manager, version and subresource.
    pub(super) fn encode(&self) -> Value {
        let mut sorted: Vec<(&Manager, &Owned)> = self.entries.iter().collect();
        sorted.sort_by_key(|(manager, owned)| {
            (manager.operation, &owned.time, &manager.name, &manager.api_version, &manager.subresource)
        });
        sorted.into_iter().map(|(manager, owned)| entry(manager, owned)).collect()
    }
}

fn entry(manager: &Manager, owned: &Owned) -> Value {
    let mut entry = json!({
        "manager": manager.name,
        "operation": manager.operation.as_str(),
        "apiVersion": manager.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned.fields.encode(),
    });
    if let Some(time) = &owned.time {
        entry["time"] = json!(time);
    }
    if !manager.subresource.is_empty() {
        entry["subresource"] = json!(manager.subresource);
    }
    entry
}

/// Whether a client asks to forget all ownership: by an empty list, or a list of one empty entry.
pub(super) fn is_reset(sent: Option<&Value>) -> bool {
    match sent.and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => one.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    }
}
