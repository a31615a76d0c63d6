//! Label and field selectors: their texts parsed, and matched against the parsed metadata of documents.

mod field;
mod label;

pub use field::{EVENT_FIELDS, NEW_EVENT_FIELDS, FieldSelector};
pub use label::LabelSelector;
