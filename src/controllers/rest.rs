//! What a loop that looks at everything waits for between two passes.

use std::time::Duration;

use super::session::Signals;
use crate::env::{Env, watch};
use crate::runtime::{Index, News, View};

/// Waits until the view changes (what of is told), the session does, or `wait` is over.
pub(super) async fn rest<I: Index>(
    env: &Env,
    view: &mut View<I>,
    signals: &mut watch::Receiver<Signals>,
    wait: Option<Duration>,
) -> Option<News> {
    tokio::select! {
        biased;
        news = view.changed() => Some(news),
        () = news_or_time(env, signals, wait) => None,
    }
}

/// Waits until the session changes, or `wait` is over.
pub(super) async fn news_or_time(env: &Env, signals: &mut watch::Receiver<Signals>, wait: Option<Duration>) {
    let over = async {
        match wait {
            Some(wait) => env.sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        // The sender goes only when the whole term does.
        _ = signals.changed() => {}
        () = over => {}
    }
}
