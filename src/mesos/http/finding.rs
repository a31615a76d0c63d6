//! How the leading master is found: which of those that are known are asked, in which order, and how long each is waited for.
//!
//! A master may be slow: after a failover with thousands of agents an answer takes minutes, and a SUBSCRIBE that is given up and sent
//! again is one more failover for it. One that takes connections and is dead is silent in the same way. So of several that are listed
//! one is passed over for the others if nothing at all has come from it within `silence_timeout`, neither now nor ever since it last
//! was waited for in vain. Waited for, as long as `subscribe_timeout` says, is a master that
//!
//! - is the only one, or has answered before, whatever it was;
//! - was named as the leader by another one;
//! - was passed over, once all others have been asked and were of no use; or is the last of them.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use hyper::body::Incoming;

use super::calls::Leader;
use super::dial::{SendError, exchange, text_of};
use super::url::MasterUrl;
use super::{Client, REDIRECTS_MAX, answer};
use crate::mesos::connection::{ConnectionError, MayAct};

/// What is remembered of the masters.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// The place in the list of the one to be asked first: the one that answered last.
    first: AtomicUsize,
    /// `HOST:PORT` of those that answered when they were asked last.
    answered: Mutex<BTreeSet<String>>,
}

impl Roll {
    fn has_answered(&self, url: &MasterUrl) -> bool {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).contains(&url.authority())
    }

    fn note(&self, url: &MasterUrl, has_answered: bool) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        match has_answered {
            true => answered.insert(url.authority()),
            false => answered.remove(&url.authority()),
        };
    }
}

/// A master that leads, and its answer.
type Found = (Leader, Response<Incoming>);

impl Client {
    /// What `accept` makes of the leading one of `masters` and its answer to the SUBSCRIBE in `body`, a 200. They are asked one after the
    /// other, in the order of this module, the one that was accepted last first.
    ///
    /// # Errors
    /// [`ConnectionError::Unreachable`] with all that was tried; any other error of the one that was asked last, which is asked last the
    /// next time.
    pub(super) async fn find_leader_of<T>(
        &self,
        masters: &[MasterUrl],
        body: &Bytes,
        may_act: MayAct<'_>,
        accept: impl Fn(Found) -> Result<T, ConnectionError>,
    ) -> Result<T, ConnectionError> {
        let (count, first) = (masters.len(), self.roll.first.load(Ordering::Relaxed));
        let mut waiting: VecDeque<_> = (0..count).map(|step| ((first + step) % count, false)).collect();
        let mut tried = Vec::new();
        while let Some((index, was_passed_over)) = waiting.pop_front() {
            if !may_act() {
                return Err(ConnectionError::deposed());
            }
            let master = &masters[index];
            let is_waited_for = was_passed_over || waiting.is_empty() || self.roll.has_answered(master);
            let patience = (!is_waited_for).then_some(self.silence_timeout);
            let found = self.find_leader(master, patience, body, may_act).await;
            match found.and_then(|found| found.map(&accept).transpose()) {
                Ok(Some(accepted)) => {
                    self.roll.first.store(index, Ordering::Relaxed);
                    return Ok(accepted);
                }
                Ok(None) => {
                    tracing::warn!(%master, "takes connections and says nothing: the others are asked first");
                    waiting.push_back((index, true));
                }
                Err(ConnectionError::Unreachable { message }) => tried.push(message),
                Err(error @ ConnectionError::NotSent { .. }) => return Err(error),
                Err(error) => {
                    // One that takes requests and does not answer must not be asked first for ever.
                    self.roll.first.store(index + 1, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Err(ConnectionError::Unreachable { message: tried.join("; ") })
    }

    /// Asks `start`, and whom it points at. The answer is a 200; nothing if `start` was silent for all of `patience`, if that is given.
    pub(super) async fn find_leader(
        &self,
        start: &MasterUrl,
        mut patience: Option<Duration>,
        body: &Bytes,
        may_act: MayAct<'_>,
    ) -> Result<Option<Found>, ConnectionError> {
        let mut url = start.clone();
        for _ in 0..=REDIRECTS_MAX {
            let asked = self.ask(&url, patience, body, may_act).await?;
            let Some((answer, address)) = asked else { return Ok(None) };
            // Whom a master names is waited for.
            patience = None;
            match answer.status() {
                StatusCode::OK => return Ok(Some((Leader { url, address: Some(address) }, answer))),
                StatusCode::TEMPORARY_REDIRECT => url = follow(&url, &answer)?,
                status => {
                    let text = text_of(answer.into_body(), self.subscribe_timeout).await.unwrap_or_default();
                    return Err(named(
                        &url,
                        answer::to_subscribe(status, &text, self.authorization.is_some()),
                    ));
                }
            }
        }
        Err(ConnectionError::Unreachable { message: format!("{start}: more than {REDIRECTS_MAX} redirects") })
    }

    /// One SUBSCRIBE on a new connection; nothing if no answer begins within `patience`, if that is given.
    async fn ask(
        &self,
        url: &MasterUrl,
        patience: Option<Duration>,
        body: &Bytes,
        may_act: MayAct<'_>,
    ) -> Result<Option<(Response<Incoming>, SocketAddr)>, ConnectionError> {
        let unreachable = |why: &str| ConnectionError::Unreachable { message: format!("{url}: {why}") };
        let dialled = self.dialer.dial_at(url, None).await;
        let (mut line, address) = dialled.map_err(|why| unreachable(&why))?;
        if !may_act() {
            return Err(ConnectionError::deposed());
        }
        let request = self.request(url, None, body.clone());
        let answered = exchange(&mut line, request, self.subscribe_timeout);
        let answered = match patience {
            None => answered.await,
            Some(patience) => match tokio::time::timeout(patience, answered).await {
                Ok(answered) => answered,
                Err(_) => return Ok(None),
            },
        };
        self.roll.note(url, answered.is_ok());
        answered.map(|answer| Some((answer, address))).map_err(|error| match error {
            SendError::NotSent => unreachable("the connection was closed at once"),
            // A new framework may be there now; it ends by itself (see `session`).
            SendError::Unanswered(why) => ConnectionError::Lost { message: format!("{url}: {why}") },
        })
    }
}

/// Whom a redirect of `url` points at.
pub(super) fn follow<B>(url: &MasterUrl, answer: &Response<B>) -> Result<MasterUrl, ConnectionError> {
    let location = answer.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
    let next = url.follow(location.unwrap_or_default());
    next.map_err(|why| ConnectionError::Unreachable { message: format!("{url}: {why}") })
}

/// The error with the master that it is about.
fn named(url: &MasterUrl, error: ConnectionError) -> ConnectionError {
    let name = |message: String| format!("{url}: {message}");
    match error {
        ConnectionError::Unreachable { message } => ConnectionError::Unreachable { message: name(message) },
        ConnectionError::Refused { message } => ConnectionError::Refused { message: name(message) },
        other => other,
    }
}
