//! What a write means, for HTTP and controllers alike, and the watch cache. No HTTP.
