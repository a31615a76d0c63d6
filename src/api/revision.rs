//! Revision: an immutable, numbered copy of an App's template; what history and undo are made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Template;

resource! {
    /// An immutable, numbered copy of an App's template.
    Revision {
        scope: Namespaced,
        plural: "revisions",
        singular: "revision",
        short: ["rev"],
        spec: RevisionSpec,
        columns: [
            ("App", string, ".spec.app"),
            ("Number", integer, ".spec.number"),
            ("Image", string, ".spec.template.container.image"),
            ("Hash", string, ".spec.hash", wide),
            ("Age", date, ".metadata.creationTimestamp"),
        ],
    }
}

/// A template with the number it was first wanted as. Going back to it later raises the number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionSpec {
    /// Name of the App.
    pub app: String,
    /// Counts the App's revisions from 1; the highest is the current one.
    pub number: u64,
    /// Canonical hash of the template.
    pub hash: String,
    /// The template, with all defaults.
    pub template: Template,
}
