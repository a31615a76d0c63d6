//! Whose containers these are: what each of them carries, and by what they are found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::executor::life::Signs;

/// The label that says which installation a container belongs to.
pub const INSTALLATION_LABEL: &str = "tenure.dev/installation";
/// The label that says which executor of a Mesos agent has made a container.
pub const EXECUTOR_LABEL: &str = "tenure.dev/executor";
/// The label that holds the path of a file that this executor keeps locked while it lives.
pub const LOCK_LABEL: &str = "tenure.dev/executor-lock";
/// The label that holds what process this executor is, for when that file is not there any more.
pub const PROCESS_LABEL: &str = "tenure.dev/executor-process";

/// Who makes containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The installation's uid.
    pub installation: String,
    /// One executor of many on the machine, each with containers of its own; absent where one process has all of them.
    pub executor: Option<Executor>,
}

/// One of several executors on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executor {
    /// Framework and executor id.
    pub id: String,
    /// Locked while it lives.
    pub lock: PathBuf,
    /// Which process it is.
    pub process: String,
    /// By which others like it are known to live; absent where it cannot have its file among theirs.
    pub signs: Option<Signs>,
}

impl Owner {
    /// What its containers carry.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<&'static str, String> {
        let mut labels = BTreeMap::from([(INSTALLATION_LABEL, self.installation.clone())]);
        if let Some(Executor { id, lock, process, .. }) = &self.executor {
            labels.insert(EXECUTOR_LABEL, id.clone());
            labels.insert(LOCK_LABEL, lock.display().to_string());
            labels.insert(PROCESS_LABEL, process.clone());
        }
        labels
    }

    /// The label, and its value, that its containers have and no other.
    #[must_use]
    pub fn filter(&self) -> (&'static str, &str) {
        match &self.executor {
            Some(executor) => (EXECUTOR_LABEL, &executor.id),
            None => (INSTALLATION_LABEL, &self.installation),
        }
    }

    /// Whether a container is one of its own, by the value that it has of a label.
    #[must_use]
    pub fn owns<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.labels().iter().all(|(label, wanted)| value(label) == Some(wanted.as_str()))
    }
}
