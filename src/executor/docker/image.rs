//! Sees to it that a machine has an image before a container is made of it.
//!
//! One look or one pull at a time for an image, shared by all tasks that wait for it; and its outcome holds for every task
//! of the same revision, so that a rollout asks the registry once and not once per task, and a tag that moves in
//! the registry does not split one revision over two images.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::engine::{Engine, EngineError, Image};
use crate::executor::task::{PullPolicy, RegistryLogin};

/// More outcomes than any machine has revisions; all are forgotten when it is reached.
const REMEMBERED_MAX: usize = 4096;

/// Why the machine does not have the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("image {image} is not on this machine and pullPolicy is Never")]
    Absent { image: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ImageError {
    /// Whether dockerd did not answer, so that asking again is right.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, ImageError::Engine(error) if error.is_away())
    }
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub image: String,
    pub policy: PullPolicy,
    pub login: Option<RegistryLogin>,
    /// What shares one outcome: the revision, or the task id when it has none.
    pub scope: String,
}

type Key = (String, String, PullPolicy);
type Outcome = Shared<BoxFuture<'static, Result<Image, ImageError>>>;

/// The images that this process has seen to.
#[derive(Debug, Clone)]
pub struct Images {
    engine: Engine,
    outcomes: Arc<Mutex<BTreeMap<Key, Outcome>>>,
}

impl Images {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(engine: Engine) -> Images {
        Images { engine, outcomes: Arc::default() }
    }

    /// The machine has the image afterwards.
    ///
    /// # Errors
    /// Failures are not remembered: the next task tries again.
    pub async fn ensure(&self, wanted: &Wanted) -> Result<Image, ImageError> {
        let key = (wanted.image.clone(), wanted.scope.clone(), wanted.policy);
        let outcome = self.outcome(&key, wanted);
        let result = outcome.clone().await;
        if result.is_err() {
            self.forget_if(&key, |stored| stored.ptr_eq(&outcome));
        }
        result
    }

    /// Forgets what is known of an image that dockerd turned out not to have (someone removed it).
    pub fn forget(&self, wanted: &Wanted) {
        self.forget_if(&(wanted.image.clone(), wanted.scope.clone(), wanted.policy), |_| true);
    }

    fn outcome(&self, key: &Key, wanted: &Wanted) -> Outcome {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if outcomes.len() >= REMEMBERED_MAX {
            outcomes.clear();
        }
        let start = || obtain(self.engine.clone(), wanted.clone()).boxed().shared();
        outcomes.entry(key.clone()).or_insert_with(start).clone()
    }

    fn forget_if(&self, key: &Key, condition: impl Fn(&Outcome) -> bool) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if outcomes.get(key).is_some_and(condition) {
            outcomes.remove(key);
        }
    }
}

async fn obtain(engine: Engine, wanted: Wanted) -> Result<Image, ImageError> {
    let Wanted { image, policy, login, scope: _ } = wanted;
    if policy != PullPolicy::Always {
        match engine.image(&image).await {
            Ok(found) => return Ok(found),
            Err(error) if !error.is_not_found() => return Err(error.into()),
            Err(_) if policy == PullPolicy::Never => return Err(ImageError::Absent { image }),
            Err(_) => {}
        }
    }
    let (name, tag) = split(&image);
    let login = login.map(|login| for_registry_of(&image, login));
    engine.pull(name, tag, login.as_ref()).await?;
    Ok(engine.image(&image).await?)
}

/// Name and tag, or name and digest. Without either Docker would fetch every tag there is.
fn split(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

fn for_registry_of(image: &str, login: RegistryLogin) -> RegistryLogin {
    let server = if login.server.is_empty() { registry(image).to_owned() } else { login.server };
    RegistryLogin { server, ..login }
}

/// The registry that an image's name leads to.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "https://index.docker.io/v1/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_follows_the_last_colon_after_the_last_slash() {
        let rows = [
            ("web", ("web", "latest")),
            ("web:1.4", ("web", "1.4")),
            ("registry.local:5000/web", ("registry.local:5000/web", "latest")),
            ("registry.local:5000/web:1.4", ("registry.local:5000/web", "1.4")),
            ("web@sha256:abc", ("web", "sha256:abc")),
        ];
        for (image, expected) in rows {
            assert_eq!(split(image), expected);
        }
    }

    #[test]
    fn the_registry_is_the_first_part_when_it_looks_like_a_host() {
        let rows = [
            ("localhost/web", "localhost"),
            ("registry.local:5000/a/web:1", "registry.local:5000"),
            ("library/web", "https://index.docker.io/v1/"),
            ("web", "https://index.docker.io/v1/"),
        ];
        for (image, expected) in rows {
            assert_eq!(registry(image), expected);
        }
    }
}
