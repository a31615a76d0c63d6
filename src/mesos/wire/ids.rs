//! Ids: opaque text, each of its own type so that one cannot stand for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// The text; empty when the message lacked it.
            #[prost(string, required, tag = "1")]
            pub value: String,
        }

        impl $name {
            /// The id spelled `value`.
            pub fn new(value: impl Into<String>) -> $name {
                $name { value: value.into() }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.value)
            }
        }
    };
}

id!(/// A framework, as the master numbered it: `<master uuid>-0007`.
    FrameworkId);
id!(/// An agent: `<master uuid>-S12`. Not a host: one host may have had several.
    AgentId);
id!(/// An offer: `<master uuid>-O345`; inverse offers count in the same series.
    OfferId);
id!(/// A task, chosen by the framework and never used twice.
    TaskId);
id!(/// An executor; equal to the task's id where the agent made the executor itself.
    ExecutorId);
id!(/// An operation on resources.
    OperationId);
id!(/// A resource provider.
    ResourceProviderId);

/// A container of an agent, possibly nested in another.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerId {
    /// The text; empty when the message lacked it.
    #[prost(string, required, tag = "1")]
    pub value: String,
    /// The container that this one is nested in.
    #[prost(message, optional, boxed, tag = "2")]
    pub parent: Option<Box<ContainerId>>,
}
