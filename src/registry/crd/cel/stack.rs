//! A stack for what nests as deeply as it may: the parser and the interpreter take a good part of it for each level, more than
//! the threads have that requests are answered in.

use std::panic::resume_unwind;
use std::thread::{Builder, scope};

/// Enough for [`super::depth::DEPTH_MAX`] levels of the parser in a build without optimisation. What is not used costs nothing.
const BYTES: usize = 128 * 1_024 * 1_024;

/// Does `work` on such a stack, and waits for it.
///
/// # Panics
/// As `work` does, and when the system has no thread left.
pub(super) fn on_a_large_one<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    scope(|scope| {
        let thread = Builder::new().name("rules".to_owned()).stack_size(BYTES).spawn_scoped(scope, work);
        let done = thread.expect("the system has a thread left").join();
        done.unwrap_or_else(|panic| resume_unwind(panic))
    })
}
