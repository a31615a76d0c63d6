//! A candidate that lets others go first.

use std::time::Duration;

use tokio::time::Instant;

use super::Election;

/// How often it looks who leads, in TTLs: whoever stands has noticed by then that nobody does.
const LOOK: f64 = 1.2;

impl Election {
    /// Lets everybody else go first for `how_long`, after a term that was resigned. Returns earlier when nobody has led at
    /// two looks in a row, more than a TTL apart: nobody else stands then.
    pub async fn stand_back(&self, how_long: Duration) {
        let end = Instant::now() + how_long;
        let mut was_vacant = true;
        while Instant::now() < end {
            let pause = self.env.jitter(self.ttl.mul_f64(LOOK), 0.1);
            tokio::time::sleep_until(end.min(Instant::now() + pause)).await;
            // While the store does not answer, nothing is known.
            let is_vacant = matches!(self.store.get(&self.key).await, Ok(None));
            if was_vacant && is_vacant {
                return;
            }
            was_vacant = is_vacant;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::LEADER_TTL;
    use crate::runtime::support::candidates;

    #[tokio::test(start_paused = true)]
    async fn who_stands_back_alone_stands_again_soon() {
        let began = Instant::now();
        let [alone] = candidates(["a"]);
        alone.stand_back(Duration::from_secs(3600)).await;
        let away = began.elapsed();
        assert!(away > LEADER_TTL && away < LEADER_TTL * 2, "{away:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_back_leaves_the_office_to_others_each_time_it_is_vacant() {
        let [a, b, c] = candidates(["a", "b", "c"]);
        let others = b.env.clone();
        let of_a = a.campaign().await;
        let of_b = others.spawn("b", async move { b.campaign().await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        of_a.resign().await.unwrap();
        let began = Instant::now();
        let env = a.env.clone();
        let back = env.spawn("a", async move {
            a.stand_back(Duration::from_secs(600)).await;
        });
        let of_b = of_b.join().await.unwrap();
        let of_c = others.spawn("c", async move { c.campaign().await });
        // Whatever time it is when that one goes, the other one is there before.
        tokio::time::sleep(Duration::from_secs(100)).await;
        of_b.resign().await.unwrap();
        let of_c = of_c.join().await.unwrap();
        back.join().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 600);
        assert!(of_c.is_held());
    }
}
