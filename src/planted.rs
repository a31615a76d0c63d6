//! Which planted bug is in force on this thread: a simulation runs on one. Absent from the product; see the macro `planted`.

use std::cell::Cell;

thread_local! {
    static IN_FORCE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// From now on the bug of this name is in force on this thread, or none.
pub fn choose(name: Option<&'static str>) {
    IN_FORCE.set(name);
}

/// Whether it is this one.
#[must_use]
pub fn is_in_force(name: &str) -> bool {
    IN_FORCE.get() == Some(name)
}
