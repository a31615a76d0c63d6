//! The decisions: a snapshot in, actions and reasons out. Never awaits, reads no clock.
