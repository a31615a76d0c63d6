//! What a write means, for HTTP and controllers alike, and the watch cache. No HTTP.

pub mod cache;
pub mod doc;
pub mod key;
pub mod snapshot;
mod splice;
