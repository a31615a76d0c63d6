//! Wires the rooms into a running server; only main uses it.
