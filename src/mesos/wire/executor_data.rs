//! What Tenure tells its executors in a MESSAGE. Best effort: one that is lost is missed by whoever waits for its effect.

use serde::{Deserialize, Serialize};

use super::ids::TaskId;

/// The variable that tells an executor whose tasks it runs.
pub const INSTALLATION: &str = "TENURE_INSTALLATION";
/// The variable that is set for an executor that runs all tasks of its agent.
pub const SHARED_EXECUTOR: &str = "TENURE_SHARED_EXECUTOR";
/// The variable that tells an executor its agent's host name, which the agent's certificate names.
pub const AGENT_HOST: &str = "TENURE_AGENT_HOST";
/// Where an executor makes a line to a server.
pub const EXEC_PATH: &str = "/exec";

/// A message to `tenure-executor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecutorData {
    /// Run a command for somebody who waits at a server's side.
    Exec(ExecOrder),
}

/// A command, and where it is waited for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecOrder {
    /// Beside which task.
    pub task: TaskId,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether something may be typed.
    pub stdin: bool,
    /// `HOST:PORT` of the server.
    pub server: String,
    /// Proves to the server who calls; good for one call.
    pub token: String,
    /// The authority (PEM) that has signed the server's certificate, and no other's: the line is secured with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// Without its token.
impl std::fmt::Debug for ExecOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExecOrder({} {:?} for {})", self.task, self.argv, self.server)
    }
}

impl ExecutorData {
    /// The `data` of the message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What `data` says.
    ///
    /// # Errors
    /// When it says nothing that this build knows.
    pub fn decode(data: &[u8]) -> Result<ExecutorData, serde_json::Error> {
        serde_json::from_slice(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_out_as_it_went_in_and_its_token_is_not_shown() {
        let order = ExecOrder {
            task: TaskId::new("shop.web-1.0a1b"),
            argv: vec!["sh".to_owned()],
            terminal: true,
            stdin: true,
            server: "10.0.0.1:7480".to_owned(),
            token: "s3cret".to_owned(),
            authority: Some("-----BEGIN CERTIFICATE-----".to_owned()),
        };
        let message = ExecutorData::Exec(order.clone());
        assert_eq!(ExecutorData::decode(&message.encode()).unwrap(), message);
        assert!(!format!("{message:?}").contains("s3cret"), "{message:?}");
        assert!(ExecutorData::decode(br#"{"dance":{}}"#).is_err());
    }
}
