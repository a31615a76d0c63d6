//! How much one user may have at a time, so that there is something left for the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::auth::user::User;

/// What each user holds of something. The administrator's groups are not counted.
#[derive(Debug)]
pub(crate) struct Shares {
    most: usize,
    /// Who holds nothing does not stand here.
    held: Mutex<BTreeMap<String, usize>>,
}

/// One piece, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share(Option<(Arc<Shares>, String)>);

impl Shares {
    /// At most `most` for each.
    pub(crate) fn of(most: usize) -> Arc<Shares> {
        Arc::new(Shares { most, held: Mutex::default() })
    }

    /// One more for `user`; none when they have all that they may.
    pub(crate) fn take(self: &Arc<Shares>, user: &User) -> Option<Share> {
        if user.is_master() {
            return Some(Share(None));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(user.name.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share(Some((self.clone(), user.name.clone()))))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((shares, name)) = self.0.take() else { return };
        let mut held = shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                held.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_leaves_room_for_another_and_gets_back_what_they_gave() {
        let shares = Shares::of(2);
        let (ann, bob) = (User::named("ann", []), User::named("bob", []));
        let first = shares.take(&ann).unwrap();
        let _second = shares.take(&ann).unwrap();
        assert!(shares.take(&ann).is_none());
        let bobs = shares.take(&bob).unwrap();
        drop(first);
        let _third = shares.take(&ann).unwrap();
        drop(bobs);
        assert_eq!(shares.held.lock().unwrap().keys().collect::<Vec<_>>(), ["ann"]);
        assert!((0..9).all(|_| shares.take(&User::admin()).is_some()));
    }
}
