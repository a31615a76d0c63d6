//! The executor: what it starts, what it reports, what it finds again.

mod adoption;
mod away;
mod checks;
mod containers;
mod output;
mod processes;
