//! Panics of a run: a task of ours that panics does not take the run down, but nothing of it is as it should be.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Begins to note the panics of this thread.
pub(crate) fn forget() {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            before(info);
        }));
    });
    PANICS.with_borrow_mut(Vec::clear);
}

/// The panics since [`forget`].
pub(crate) fn take() -> Vec<String> {
    PANICS.with_borrow_mut(std::mem::take)
}
