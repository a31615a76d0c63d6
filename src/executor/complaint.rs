//! A trouble that goes on is told when it begins, when it becomes another one, and in between less and less often.

use std::time::Duration;

use tokio::time::Instant;

use super::retry::Backoff;

/// The wait before the same is told again.
const FIRST: Duration = Duration::from_secs(60);
/// The longest such wait.
const LONGEST: Duration = Duration::from_secs(3600);

/// What was told last.
#[derive(Debug)]
pub(super) struct Complaint {
    told: Option<(String, Instant)>,
    waits: Backoff,
}

impl Complaint {
    /// Nothing was told yet.
    pub(super) fn new() -> Complaint {
        Complaint { told: None, waits: Backoff::new(FIRST, LONGEST) }
    }

    /// Whether `why` is to be told now; if so, it counts as told.
    pub(super) fn is_due(&mut self, why: &str) -> bool {
        let now = Instant::now();
        match &self.told {
            Some((told, again_at)) if told == why && now < *again_at => return false,
            Some((told, _)) if told == why => {}
            _ => self.waits.reset(),
        }
        self.told = Some((why.to_owned(), now + self.waits.next()));
        true
    }

    /// The trouble is over: the next one is told at once.
    pub(super) fn over(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_told_less_and_less_often_and_another_trouble_at_once() {
        let mut complaint = Complaint::new();
        let mut told = Vec::new();
        for second in 0..600 {
            if complaint.is_due("dockerd does not answer") {
                told.push(second);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told, [0, 60, 180, 420]);
        assert!(complaint.is_due("dockerd refused it"));
        assert!(!complaint.is_due("dockerd refused it"));
        complaint.over();
        assert!(complaint.is_due("dockerd refused it"));
    }
}
