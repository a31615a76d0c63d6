//! Fetch: files that an instance finds in its working directory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file that is fetched before an instance starts: into the working directory of a plain process, and for a container into the
/// folder that it finds at `/mnt/mesos/sandbox` and in `MESOS_SANDBOX`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fetch {
    /// From where: `http://`, `https://`, `ftp://`, `file://`, a path of the agent, or what else its agents can fetch.
    #[schemars(length(min = 1))]
    pub uri: String,
    /// Whether an archive (tar, zip, gz, by its name) is unpacked. One that is made executable is not.
    #[serde(default = "yes")]
    pub extract: bool,
    /// Whether it can be executed.
    #[serde(default)]
    pub executable: bool,
    /// Whether agents of Apache Mesos keep it for the next instance. They do not ask whether it has changed.
    #[serde(default)]
    pub cache: bool,
    /// What it is called there, if not as in the URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub output_file: Option<String>,
}

fn yes() -> bool {
    true
}

impl Default for Fetch {
    fn default() -> Self {
        Self { uri: String::new(), extract: true, executable: false, cache: false, output_file: None }
    }
}
