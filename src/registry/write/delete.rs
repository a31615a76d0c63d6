//! Deletion by people: at once, or by finalizers.

use std::time::Duration;

use serde_json::Value;

use super::Deleted;
use super::settle::{Outcome, is_held, terminate};
use super::update::CONFLICT_TRIES;
use crate::registry::doc::Doc;
use crate::registry::failure::Failure;
use crate::registry::key::Key;
use crate::registry::kind::KindDef;
use crate::registry::object::{finalizers, is_terminating, set_finalizers, take};
use crate::registry::options::{DeleteOptions, ListQuery, Propagation};
use crate::registry::read::ListPage;
use crate::registry::{Registry, form};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How long the answer to the deletion of a namespace waits for those who create in it to see that.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

impl Registry {
    /// Deletes an object, or begins to while finalizers hold it.
    ///
    /// # Errors
    /// 404, 409 for a precondition that does not hold, or what the store answered.
    pub async fn delete(
        &self,
        kind: &KindDef,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<Deleted, Failure> {
        let kept = self.kept_as(kind);
        let kept = kept.as_deref().unwrap_or(kind);
        for _ in 0..CONFLICT_TRIES {
            let doc = self.live(key).await?.ok_or_else(|| Failure::not_found(kind, &key.name))?;
            check_preconditions(kind, &doc, options)?;
            match self.delete_version(kept, &doc, options).await? {
                Some(Deleted::Terminating(object)) => {
                    return Ok(Deleted::Terminating(form::shown(kind, object)?));
                }
                Some(gone @ Deleted::Gone { .. }) => return Ok(gone),
                None => {}
            }
        }
        Err(Failure::conflict(kind, &key.name))
    }

    /// Deletes everything that `query` selects, one by one, and tells what that was.
    ///
    /// # Errors
    /// Those of a list and of a deletion; what was deleted before stays deleted.
    pub async fn delete_collection(
        &self,
        kind: &KindDef,
        query: &ListQuery,
        options: &DeleteOptions,
    ) -> Result<ListPage, Failure> {
        let page = self.list(kind, query).await?;
        for doc in &page.docs {
            match self.delete(kind, doc.key(), options).await {
                Err(failure) if !failure.is_not_found() => return Err(failure),
                _ => {}
            }
        }
        Ok(page)
    }

    /// None when somebody else wrote first.
    async fn delete_version(
        &self,
        kind: &KindDef,
        doc: &Doc,
        options: &DeleteOptions,
    ) -> Result<Option<Deleted>, Failure> {
        let live = doc.value().map_err(|error| Failure::damaged(&error))?;
        let mut object = live.clone();
        take(&mut object, "resourceVersion");
        propagate(&mut object, options.propagation);
        let gone = || Deleted::Gone { key: doc.key().clone(), uid: doc.meta().uid.clone() };
        if !is_held(kind, &object) {
            if options.dry_run {
                return Ok(Some(gone()));
            }
            let removed = self.replace(kind, doc, &object, &Outcome::Removed).await?;
            return Ok(removed.map(|_| gone()));
        }
        if is_terminating(&live) && finalizers(&object) == finalizers(&live) {
            return Ok(Some(Deleted::Terminating(doc.bytes().clone())));
        }
        if !is_terminating(&live) {
            terminate(kind, &mut object, self.env.now());
        }
        if options.dry_run {
            let value = self.encoded(&object)?;
            let as_if = Doc::from_stored(doc.key().clone(), doc.revision(), &value);
            let as_if = as_if.map_err(|error| Failure::damaged(&error))?;
            return Ok(Some(Deleted::Terminating(as_if.bytes().clone())));
        }
        let replaced = self.replace(kind, doc, &object, &Outcome::Replaced).await?;
        if let Some(Some(going)) = &replaced
            && doc.key().resource == self.namespaces
        {
            // Nothing is created in it any more, as far as whoever asked can see. Where the cache stands still, what comes late is swept.
            let _is_shown = self.cache.at_least(going.revision(), SHOWN_WITHIN).await;
        }
        Ok(replaced.map(|new| new.map_or_else(gone, |new| Deleted::Terminating(new.bytes().clone()))))
    }
}

fn check_preconditions(kind: &KindDef, doc: &Doc, options: &DeleteOptions) -> Result<(), Failure> {
    let refuse = |text: String| Err(Failure::precondition(kind, &doc.key().name, &text));
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != doc.meta().uid) {
        return refuse(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            doc.meta().uid
        ));
    }
    let present = doc.revision().to_string();
    if let Some(version) = options.resource_version.as_ref().filter(|version| **version != present) {
        return refuse(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
             ({present}). The object might have been modified"
        ));
    }
    Ok(())
}

/// Leaves for the garbage collector what it shall do with the object's dependents.
fn propagate(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut held: Vec<String> = finalizers(object)
        .into_iter()
        .filter(|name| *name != ORPHAN && *name != FOREGROUND)
        .map(str::to_owned)
        .collect();
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => held.push(FOREGROUND.to_owned()),
        Propagation::Orphan => held.push(ORPHAN.to_owned()),
    }
    set_finalizers(object, &held.iter().map(String::as_str).collect::<Vec<_>>());
}
