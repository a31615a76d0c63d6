//! Label and field selectors: their texts parsed, and matched against the parsed metadata of documents.

mod field;
mod label;

pub use field::{EVENT_FIELDS, FieldSelector, NEW_EVENT_FIELDS};
pub use label::LabelSelector;
