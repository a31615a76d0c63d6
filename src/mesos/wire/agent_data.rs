//! What a machine tells beside the states of its tasks and Mesos has no field for: JSON in the data of a MESSAGE, from the
//! executor's side to the scheduler.

use serde::{Deserialize, Serialize};

/// The executor that speaks for a whole machine.
pub const MACHINE_EXECUTOR: &str = "tenure-machine";

/// Tenure's own words about a machine. Sent again after every subscription, so the latest is the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentData {
    /// Its container engine.
    pub engine: Engine,
    /// Why its agent cannot write its journal, while it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_trouble: Option<String>,
}

/// A machine's container engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Engine {
    /// Nothing is known of it, or not yet.
    #[default]
    Unknown,
    /// It answers.
    Ready,
    /// The machine has none: it has never answered, and there is nothing to connect to.
    Absent {
        /// What is missing.
        why: String,
    },
    /// It does not answer now. What it ran may run on.
    Away {
        /// What was tried.
        why: String,
    },
}

impl Engine {
    /// Why it cannot be asked, while it cannot.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Engine::Unknown | Engine::Ready => None,
            Engine::Absent { why } | Engine::Away { why } => Some(why),
        }
    }
}

impl AgentData {
    /// As the data of a MESSAGE.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Text and tags: serialisation has nothing that can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`AgentData::encode`] writes; fields of newer versions are passed over.
    ///
    /// # Errors
    /// When it is something else.
    pub fn decode(data: &[u8]) -> Result<AgentData, serde_json::Error> {
        serde_json::from_slice(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_survives_the_wire_and_may_grow() {
        let (engine, trouble) = (Engine::Away { why: "no answer".to_owned() }, "no space left".to_owned());
        let data = AgentData { engine, journal_trouble: Some(trouble) };
        assert_eq!(AgentData::decode(&data.encode()).unwrap(), data);
        let newer = br#"{"engine":{"state":"ready","since":1},"disks":2}"#;
        assert_eq!(AgentData::decode(newer).unwrap().engine, Engine::Ready);
        assert!(AgentData::decode(b"{}").is_err());
    }
}
