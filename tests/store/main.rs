//! The stores: one conformance suite for memory, embedded and a real etcd, and what each must do beside it.
#![allow(clippy::unwrap_used, reason = "a failing test ends by a panic")]

mod cache;
mod conformance;
mod embedded;
mod etcd;
mod killed;
mod memory;
mod model;

#[path = "../support/etcd.rs"]
mod support;

/// Runs every function of the conformance suite as a test of its own, over a fresh store that `$open` makes.
macro_rules! conforms {
    ($open:expr) => {
        conforms!(
            $open,
            a_transaction_applies_wholly,
            a_refusal_names_every_loser_and_changes_nothing,
            a_guard_on_creation_holds_over_later_writes,
            a_deposed_leader_is_refused,
            each_transaction_takes_one_revision,
            a_transaction_without_effect_takes_none,
            values_and_keys_come_back_exactly,
            ranges_are_paged_in_key_order_at_one_revision,
            a_compacted_revision_is_refused_and_the_present_is_kept,
            a_watch_tells_every_change_of_its_prefix_in_order,
            a_watch_from_the_past_tells_what_happened_since,
            a_watch_from_before_a_compaction_ends_as_compacted,
            a_watch_reaches_every_revision_that_was_told,
            concurrent_writers_lose_no_update_and_a_watch_sees_them_all,
            an_expired_lease_takes_its_keys_away,
            a_revoked_lease_takes_its_keys_away_at_once,
            a_renewed_lease_keeps_its_keys,
            a_key_put_again_leaves_its_lease,
            a_gone_lease_is_refused,
            what_is_too_large_is_refused_and_what_is_just_small_enough_is_not,
        );
    };
    ($open:expr, $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (store, _kept) = $open.await;
                crate::conformance::$name(store).await;
            }
        )+
    };
}
pub(crate) use conforms;
