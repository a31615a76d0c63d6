//! Names for what is called differently in each run: ids of frameworks, agents, offers and updates.
//!
//! Each side of a comparison has its own names, made in the same way: by who was told of it first, and as the how
//! manieth of its kind. What has the same name on both sides is the same thing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

#[derive(Debug, Default)]
pub(crate) struct Names {
    by_id: BTreeMap<String, String>,
    by_name: BTreeMap<String, String>,
    counts: BTreeMap<String, usize>,
    /// The framework of each connection.
    frameworks: BTreeMap<String, String>,
}

impl Names {
    /// Learns what an event tells of.
    pub(crate) fn note(&mut self, conn: &str, event: &Value) {
        if let Some(id) = event["subscribed"]["framework_id"]["value"].as_str() {
            self.name(id, || format!("framework of {conn}"));
            self.frameworks.insert(conn.to_owned(), self.by_id[id].clone());
        }
        for offer in event["offers"]["offers"].as_array().into_iter().flatten() {
            let agent = self.agent(offer);
            let role = offer["allocation_info"]["role"].as_str().unwrap_or("*");
            self.count(&offer["id"], format!("offer/{conn}/{agent}/{role}"));
        }
        for offer in event["inverse_offers"]["inverse_offers"].as_array().into_iter().flatten() {
            let agent = self.of(offer["agent_id"]["value"].as_str().unwrap_or_default());
            self.count(&offer["id"], format!("inverse offer/{conn}/{agent}"));
        }
        let status = &event["update"]["status"];
        if status["uuid"].is_string() {
            let framework = self.frameworks.get(conn).cloned().unwrap_or_default();
            let task = status["task_id"]["value"].as_str().unwrap_or_default();
            let kind = format!("update/{framework}/{task}");
            if let Some(uuid) = status["uuid"].as_str() {
                self.count_id(uuid, kind);
            }
        }
    }

    fn agent(&mut self, offer: &Value) -> String {
        let id = offer["agent_id"]["value"].as_str().unwrap_or_default();
        let host = offer["hostname"].as_str().unwrap_or_default();
        self.agent_is(id, host)
    }

    /// The agent of this id calls its host so.
    pub(crate) fn agent_is(&mut self, id: &str, host: &str) -> String {
        if !self.by_id.contains_key(id) {
            let count = self.counts.entry(host.to_owned()).or_default();
            *count += 1;
            let name = if *count == 1 { host.to_owned() } else { format!("{host} no. {count}") };
            self.name(id, || name);
        }
        self.by_id[id].clone()
    }

    fn count(&mut self, id: &Value, kind: String) {
        if let Some(id) = id["value"].as_str() {
            self.count_id(id, kind);
        }
    }

    fn count_id(&mut self, id: &str, kind: String) {
        if self.by_id.contains_key(id) {
            return;
        }
        let count = self.counts.entry(kind.clone()).or_default();
        *count += 1;
        let name = format!("{kind}/{count}");
        self.name(id, || name);
    }

    fn name(&mut self, id: &str, name: impl FnOnce() -> String) {
        if self.by_id.contains_key(id) {
            return;
        }
        let name = name();
        self.by_name.insert(name.clone(), id.to_owned());
        self.by_id.insert(id.to_owned(), name);
    }

    /// The name of an id; the id itself when it has none.
    pub(crate) fn of(&self, id: &str) -> String {
        self.by_id.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    pub(crate) fn id(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// The same text with names in the place of ids.
    pub(crate) fn text(&self, text: &str) -> String {
        if let Some(name) = self.by_id.get(text) {
            return name.clone();
        }
        let mut text = text.to_owned();
        // Longer ids first: one may begin like another.
        let mut ids: Vec<_> = self.by_id.iter().filter(|(id, _)| text.contains(id.as_str())).collect();
        ids.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
        let found: Vec<(String, String)> =
            ids.into_iter().map(|(id, name)| (id.clone(), name.clone())).collect();
        for (id, name) in found {
            text = text.replace(&id, &name);
        }
        text
    }

    /// The same tree with names in the place of ids.
    pub(crate) fn tree(&self, value: &Value) -> Value {
        map_texts(value, &mut |text| self.text(text))
    }
}

/// A tree with every text replaced.
pub(crate) fn map_texts(value: &Value, change: &mut dyn FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(list) => list.iter().map(|it| map_texts(it, change)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, it)| (name.clone(), map_texts(it, change)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
