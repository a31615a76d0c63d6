//! Where endpoints go.
