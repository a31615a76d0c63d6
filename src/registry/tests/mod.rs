//! The registry over a store in memory: what people and controllers can do, and what a real apiserver answered.

#[path = "../../../tests/support/answers.rs"]
mod answers;
mod bench;
mod commits;
mod faults;
mod fuzz;
mod linear;
mod ratchet;
mod replay;
