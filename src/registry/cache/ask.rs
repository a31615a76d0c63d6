//! One question for the store's revision, shared by everybody who waits for an answer to it.

use std::future::Future;
use std::sync::Arc;

use crate::env::watch;
use crate::store::{Revision, Store, StoreError};

/// An answer is good for those who asked before the question was sent: tickets up to its number.
type Answer = (u64, Result<Revision, StoreError>);

/// Asks on behalf of many. At most one question is under way; who comes meanwhile shares the next one.
pub(super) struct Asker {
    tickets: watch::Sender<u64>,
    answers: watch::Receiver<Answer>,
}

impl Asker {
    /// The asker, and the task that asks `store` for it.
    pub(super) fn new(store: Arc<dyn Store>) -> (Asker, impl Future<Output = ()> + Send + 'static) {
        let (tickets, mut wanted) = watch::channel(0);
        let (answer, answers) = watch::channel((0, Ok(0)));
        let asking = async move {
            while wanted.changed().await.is_ok() {
                let ticket = *wanted.borrow_and_update();
                let revision = store.revision().await;
                answer.send_modify(|answer| *answer = (ticket, revision));
            }
        };
        (Asker { tickets, answers }, asking)
    }

    /// The store's revision at some moment after this call.
    pub(super) async fn ask(&self) -> Result<Revision, StoreError> {
        let mut ticket = 0;
        self.tickets.send_modify(|last| {
            *last += 1;
            ticket = *last;
        });
        let mut answers = self.answers.clone();
        let answer = answers.wait_for(|(answered, _)| *answered >= ticket).await;
        match answer {
            Ok(answer) => answer.1.clone(),
            Err(_) => Err(StoreError::Unavailable("the watch cache has stopped".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use jiff::Timestamp;

    use super::*;
    use crate::env::Env;
    use crate::store::memory::{Fault, MemoryStore};

    #[tokio::test(start_paused = true)]
    async fn simultaneous_questions_share_one() {
        let env = Env::simulated("test", 1, Timestamp::UNIX_EPOCH);
        let store = MemoryStore::new(&env);
        store.inject(Fault::Delay(Duration::from_secs(1)));
        let (asker, asking) = Asker::new(store.clone());
        let task = env.spawn("ask", asking);
        let first = asker.ask();
        let others = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            join_all((0..50).map(|_| asker.ask())).await
        };
        let (first, others) = futures::join!(first, others);
        assert!(first.is_ok() && others.iter().all(Result::is_ok));
        assert_eq!(store.requests(), 2, "those who came during the first question share the second");
        task.abort();
    }
}
