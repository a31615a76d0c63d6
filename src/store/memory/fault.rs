//! How the memory store can fail: as etcd does when it is down, full, slow, or has the watch bugs of 3.4.23.

use std::time::Duration;

use crate::store::{Event, StoreError};

/// One way to fail. Those that count wear off by themselves; the others last until `MemoryStore::heal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next requests are refused and not carried out.
    RefuseNext(u32),
    /// The next transactions are carried out, but nobody answers.
    LoseAnswers(u32),
    /// Every request takes this long.
    Delay(Duration),
    /// Nobody answers, and watches end.
    Down,
    /// Transactions find the disk full.
    Full,
    /// Every watch ends now.
    BreakWatches,
    /// Watches stay open and tell nothing.
    StallWatches,
    /// The next batches of a watch are followed by events it has told before, from the past.
    RepeatBatches(u32),
    /// The next events are never told to a watch.
    LoseEvents(u32),
    /// The next events are told to a watch only after their successors.
    DelayEvents(u32),
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    requests: u64,
    refuse: u32,
    lose_answers: u32,
    delay: Option<Duration>,
    down: bool,
    full: bool,
    breaks: u64,
    stalled: bool,
    repeat_batches: u32,
    lose_events: u32,
    delay_events: u32,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::RefuseNext(n) => self.refuse += n,
            Fault::LoseAnswers(n) => self.lose_answers += n,
            Fault::Delay(delay) => self.delay = Some(delay),
            Fault::Down => {
                self.down = true;
                self.breaks += 1;
            }
            Fault::Full => self.full = true,
            Fault::BreakWatches => self.breaks += 1,
            Fault::StallWatches => self.stalled = true,
            Fault::RepeatBatches(n) => self.repeat_batches += n,
            Fault::LoseEvents(n) => self.lose_events += n,
            Fault::DelayEvents(n) => self.delay_events += n,
        }
    }

    pub(super) fn heal(&mut self) {
        *self = Faults { requests: self.requests, breaks: self.breaks, ..Faults::default() };
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Counts a request, and refuses or delays it.
    pub(super) fn admit(&mut self) -> Result<Option<Duration>, StoreError> {
        self.requests += 1;
        if self.down {
            return Err(StoreError::Unavailable("the store is down".to_owned()));
        }
        if take(&mut self.refuse) {
            return Err(StoreError::Unavailable("the request was refused".to_owned()));
        }
        Ok(self.delay)
    }

    pub(super) fn admit_write(&self) -> Result<(), StoreError> {
        if self.full { Err(StoreError::NoSpace("the disk is full".to_owned())) } else { Ok(()) }
    }

    pub(super) fn admit_answer(&mut self) -> Result<(), StoreError> {
        let lost = take(&mut self.lose_answers);
        if lost { Err(StoreError::Unavailable("the answer was lost".to_owned())) } else { Ok(()) }
    }

    /// How often watches were broken so far.
    pub(super) fn breaks(&self) -> u64 {
        self.breaks
    }

    pub(super) fn are_watches_stalled(&self) -> bool {
        self.stalled
    }

    pub(super) fn are_events_withheld(&self) -> bool {
        self.lose_events > 0 || self.delay_events > 0
    }

    pub(super) fn repeats_batch(&mut self) -> bool {
        take(&mut self.repeat_batches)
    }

    /// Takes away the events that are lost, and those that are told late.
    pub(super) fn withhold(&mut self, events: &mut Vec<Event>, late: &mut Vec<Event>) {
        events.retain(|event| {
            if take(&mut self.lose_events) {
                return false;
            }
            let delayed = take(&mut self.delay_events);
            if delayed {
                late.push(event.clone());
            }
            !delayed
        });
    }
}

fn take(count: &mut u32) -> bool {
    let any = *count > 0;
    *count -= u32::from(any);
    any
}
