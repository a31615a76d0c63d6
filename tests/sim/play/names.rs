//! Short names for what the product names by chance and hashes: Tasks and Revisions in the order in which they came to be,
//! machines by their hosts.

use std::collections::BTreeMap;

use regex::Regex;
use tenure::api::{Agent, Revision, Task};
use tenure::registry::{Change, Doc};

/// What everything is called in a transcript.
#[derive(Debug)]
pub(super) struct Names {
    /// By the product's own name.
    short: BTreeMap<String, String>,
    /// By the short one.
    long: BTreeMap<String, String>,
    /// How many of a sort there are already.
    counts: BTreeMap<String, u32>,
    time: Regex,
}

impl Names {
    pub(super) fn new() -> Names {
        let time = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").expect("the pattern is good");
        Names { short: BTreeMap::new(), long: BTreeMap::new(), counts: BTreeMap::new(), time }
    }

    /// Takes in what a commit created. Tasks of one commit are named in the order of their slots.
    pub(super) fn learn(&mut self, changes: &[Change]) {
        let mut tasks = Vec::new();
        for change in changes {
            let Some(doc) = change.new.as_deref() else { continue };
            match change.key.resource.plural() {
                "tasks" => tasks.extend(doc.typed::<Task>().ok()),
                "revisions" => {
                    let Ok(revision) = doc.typed::<Revision>() else { continue };
                    self.number(&change.key.name, &format!("{}.v", revision.spec.app));
                }
                "agents" => {
                    let Some(status) = doc.typed::<Agent>().ok().and_then(|it| it.status.clone()) else {
                        continue;
                    };
                    self.name(&change.key.name, &status.hostname);
                    self.name(&status.agent_id, &status.hostname);
                }
                _ => {}
            }
        }
        tasks.sort_by_key(|task| task.spec.slot);
        for task in tasks {
            let name = task.metadata.name.as_deref().unwrap_or_default();
            self.number(name, &format!("{}-", task.spec.app));
            if let Some(binding) = &task.spec.binding {
                let short = self.short(name);
                self.name(&binding.mesos_task_id, &short);
            }
        }
    }

    fn number(&mut self, long: &str, sort: &str) {
        if !self.short.contains_key(long) {
            let count = self.counts.entry(sort.to_owned()).or_default();
            *count += 1;
            let short = format!("{sort}{count}");
            self.name(long, &short);
        }
    }

    fn name(&mut self, long: &str, short: &str) {
        if !self.short.contains_key(long) {
            self.short.insert(long.to_owned(), short.to_owned());
            self.long.entry(short.to_owned()).or_insert_with(|| long.to_owned());
        }
    }

    /// The short name; the name itself where there is none.
    pub(super) fn short(&self, name: &str) -> String {
        self.short.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    pub(super) fn of(&self, doc: &Doc) -> String {
        self.short(&doc.key().name)
    }

    /// What is called so in a transcript.
    pub(super) fn long(&self, short: &str) -> Option<&str> {
        self.long.get(short).map(String::as_str)
    }

    /// A text of the product with short names. Times are left out: they are no part of the behaviour.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = self.time.replace_all(text, "<time>").into_owned();
        // An id of Mesos contains the name of a Task: the longest first.
        let mut names: Vec<_> = self.short.iter().filter(|(long, _)| text.contains(long.as_str())).collect();
        names.sort_by_key(|(long, _)| std::cmp::Reverse(long.len()));
        for (long, short) in names {
            text = text.replace(long.as_str(), short);
        }
        text
    }
}

/// Sorts by the number at the end: `web-9` before `web-10`.
pub(super) fn in_order(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_cached_key(|name| numbered(name));
    names
}

/// A name as what stands before its number, and the number.
pub(super) fn numbered(name: &str) -> (String, u64) {
    let head = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (head.to_owned(), name[head.len()..].parse().unwrap_or(0))
}
