//! What a task's description needs and Mesos has no field for: JSON in `TaskInfo.data`, from the scheduler to the executor.

use serde::{Deserialize, Serialize};

use super::command::CommandInfo;
use super::task::{CheckInfo, HealthCheck};

/// Tenure's own part of a [`TaskInfo`](super::TaskInfo).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TaskData {
    /// What to run, where `TaskInfo` has an executor in the place of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandInfo>,
    /// The image must be on the machine already; with Mesos's own `force_pull_image` that wins.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub never_pull: bool,
    /// For the image's registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_login: Option<RegistryLogin>,
    /// Beside `health_check`; the task is healthy when all say so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<HealthCheck>,
    /// Beside `check`; the task is ready when all say so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckInfo>,
}

/// A login for one registry.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RegistryLogin {
    pub username: String,
    pub password: String,
    /// Empty: the registry that the image's name leads to.
    pub server: String,
}

impl TaskData {
    /// As `TaskInfo.data`; nothing when there is nothing to say.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        // Text, flags and numbers: serialisation has nothing that can fail.
        (*self != TaskData::default()).then(|| serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads `TaskInfo.data`; nothing there means nothing to say.
    ///
    /// # Errors
    /// When it is not what [`TaskData::encode`] writes.
    pub fn decode(data: Option<&[u8]>) -> Result<TaskData, serde_json::Error> {
        data.filter(|data| !data.is_empty()).map_or(Ok(TaskData::default()), serde_json::from_slice)
    }
}

impl std::fmt::Debug for TaskData {
    /// Tells that there are a command and a login, and not which: both may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskData")
            .field("command", &self.command.is_some())
            .field("never_pull", &self.never_pull)
            .field("registry_login", &self.registry_login.is_some())
            .field("health_checks", &self.health_checks)
            .field("checks", &self.checks)
            .finish()
    }
}

impl std::fmt::Debug for RegistryLogin {
    /// Keeps the password to itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistryLogin({} at {})", self.username, self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_survives_the_wire_and_nothing_is_said_when_there_is_nothing() {
        let login =
            RegistryLogin { username: "u".to_owned(), password: "p".to_owned(), server: String::new() };
        let checks = vec![CheckInfo { delay_seconds: Some(0.5), ..CheckInfo::default() }];
        let data = TaskData { never_pull: true, registry_login: Some(login), checks, ..TaskData::default() };
        assert_eq!(TaskData::decode(data.encode().as_deref()).unwrap(), data);
        assert_eq!(TaskData::default().encode(), None);
        assert_eq!(TaskData::decode(None).unwrap(), TaskData::default());
        assert!(TaskData::decode(Some(b"{\"x\":1}")).is_err());
        assert!(!format!("{data:?}").contains("\"p\""));
    }
}
