//! The Revision of the present template: found by its hash, made when there is none, raised when it is an old one.
//!
//! Numbers count up; the highest is the current one. Going back to an earlier template (undo) makes its Revision the
//! current one again under a new number, so history reads in the order in which templates were wanted.

use std::collections::BTreeSet;

use super::rollout::Start;
use super::{Action, Snapshot};
use crate::api::{App, ObjectMeta, Revision, RevisionSpec, Task, TaskSpec, TaskStatus, labels, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// Revisions kept beside the current one and those that still have Tasks.
const KEPT_REVISIONS: usize = 10;

/// The Revision of the present template, existing once `action` was done.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) name: String,
    hash: String,
    pub(super) action: Option<Action>,
}

impl Current {
    pub(super) fn of(snapshot: &Snapshot<'_>) -> Self {
        let app = snapshot.app;
        let app_name = app.metadata.name.as_deref().unwrap_or_default();
        let hash = names::template_hash(&app.spec.template);
        let highest = snapshot.revisions.iter().map(|it| it.spec.number).max().unwrap_or(0);
        if let Some(found) = snapshot.revisions.iter().find(|it| {
            it.spec.hash == hash
                && !(it.spec.number < highest && planted!("rollback-makes-its-revision-anew"))
        }) {
            let name = found.metadata.name.clone().unwrap_or_default();
            let action = (found.spec.number < highest)
                .then(|| Action::RenumberRevision { name: name.clone(), number: highest + 1 });
            return Self { name, hash, action };
        }
        let name = names::revision_name(app_name, &hash);
        let metadata = ObjectMeta {
            annotations: cause(app).map(|it| [(labels::CHANGE_CAUSE.to_owned(), it)].into()),
            ..owned(app, &name, &hash)
        };
        let spec = RevisionSpec {
            app: app_name.into(),
            number: highest + 1,
            hash: hash.clone(),
            template: app.spec.template.clone(),
        };
        let action = Action::CreateRevision(Box::new(Revision { metadata, spec }));
        Self { name, hash, action: Some(action) }
    }

    /// The Task that fills `start`, named after the App's counter.
    pub(super) fn task(&self, snapshot: &Snapshot<'_>, start: &Start, launched: u64) -> Task {
        let app = snapshot.app;
        let app_name = app.metadata.name.as_deref().unwrap_or_default();
        let uid = app.metadata.uid.as_deref().unwrap_or_default();
        let name = names::task_name(app_name, &self.hash, uid, launched);
        let metadata = ObjectMeta {
            finalizers: Some(vec![labels::CLUSTER_FINALIZER.into()]),
            ..owned(app, &name, &self.hash)
        };
        let spec = TaskSpec {
            app: app_name.into(),
            revision: self.name.clone(),
            slot: start.slot,
            replaces: start.replaces.clone(),
            binding: None,
            stop: None,
        };
        // Said from the start, so that `get tasks` shows where a task is that nobody has reported on.
        Task { metadata, spec, status: Some(TaskStatus::default()) }
    }

    /// Revisions beyond history that no Task needs, oldest first.
    pub(super) fn outdated(&self, snapshot: &Snapshot<'_>) -> impl Iterator<Item = String> {
        let used: BTreeSet<_> = snapshot.tasks.iter().map(|it| it.spec.revision.as_str()).collect();
        let mut past: Vec<_> = snapshot
            .revisions
            .iter()
            .filter_map(|it| Some((it.spec.number, it.metadata.name.as_deref()?)))
            .filter(|(_, name)| *name != self.name && !used.contains(name))
            .collect();
        past.sort_unstable();
        past.truncate(past.len().saturating_sub(KEPT_REVISIONS));
        past.into_iter().map(|(_, name)| name.to_owned()).collect::<Vec<_>>().into_iter()
    }
}

/// Metadata of an object that belongs to the App and goes when it goes.
fn owned(app: &App, name: &str, hash: &str) -> ObjectMeta {
    let app_name = app.metadata.name.clone().unwrap_or_default();
    let mut all = app.metadata.labels.clone().unwrap_or_default();
    all.insert(labels::APP.into(), app_name.clone());
    all.insert(labels::REVISION.into(), hash.into());
    ObjectMeta {
        name: Some(name.into()),
        namespace: app.metadata.namespace.clone(),
        labels: Some(all),
        owner_references: Some(vec![OwnerReference {
            api_version: crate::api::API_VERSION.into(),
            kind: "App".into(),
            name: app_name,
            uid: app.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

fn cause(app: &App) -> Option<String> {
    app.metadata.annotations.as_ref()?.get(labels::CHANGE_CAUSE).cloned()
}
