//! Reads the output that dockerd keeps of a container. When dockerd goes away while somebody follows, reading goes on where it
//! stopped once it is back: every line carries its time, and lines up to the last one seen are left out.

use std::time::Duration;

use bollard::query_parameters::LogsOptionsBuilder;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{LogError, LogQuery, Output, Stream};
use crate::env::Env;
use crate::executor::docker::{Engine, EngineError};
use crate::executor::retry::Backoff;
use crate::mesos::wire::TaskId;

const AWAY_FIRST: Duration = Duration::from_millis(200);
const AWAY_MAX: Duration = Duration::from_secs(3);

type Chunks = BoxStream<'static, Result<Bytes, EngineError>>;

struct Follow {
    env: Env,
    engine: Engine,
    name: String,
    task: TaskId,
    query: LogQuery,
    chunks: Option<Chunks>,
    /// Time of the last line handed out.
    seen: Option<Timestamp>,
    backoff: Backoff,
    done: bool,
}

/// The output of the container `name`, which is that of `task`.
#[must_use]
pub fn read_container(env: Env, engine: Engine, name: String, task: TaskId, query: LogQuery) -> Output {
    let backoff = Backoff::new(AWAY_FIRST, AWAY_MAX);
    let follow = Follow { env, engine, name, task, query, chunks: None, seen: None, backoff, done: false };
    stream::unfold(follow, Follow::step).boxed()
}

impl Follow {
    async fn step(mut self) -> Option<(Result<Bytes, LogError>, Follow)> {
        while !self.done {
            let chunk = match self.open() {
                Ok(chunks) => chunks.next().await,
                Err(error) => Some(Err(error)),
            };
            match chunk {
                // A followed container has ended, or everything that is kept was read.
                None => return None,
                Some(Ok(chunk)) => {
                    self.backoff.reset();
                    if let Some(line) = self.fresh(&chunk) {
                        return Some((Ok(line), self));
                    }
                }
                Some(Err(error)) if error.is_away() && self.query.follow => {
                    self.chunks = None;
                    self.env.sleep(self.backoff.next()).await;
                }
                Some(Err(source)) => {
                    self.done = true;
                    let task = self.task.clone();
                    let error = if source.is_not_found() {
                        LogError::NotKept { task }
                    } else {
                        LogError::Engine { task, source }
                    };
                    return Some((Err(error), self));
                }
            }
        }
        None
    }

    fn open(&mut self) -> Result<&mut Chunks, EngineError> {
        let chunks = match self.chunks.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        Ok(self.chunks.insert(chunks))
    }

    fn connect(&self) -> Result<Chunks, EngineError> {
        let mut options = LogsOptionsBuilder::new()
            .stdout(self.query.stream == Stream::Stdout)
            .stderr(self.query.stream == Stream::Stderr)
            .follow(self.query.follow)
            .timestamps(true);
        if let Some(seen) = self.seen {
            // Whole seconds: what is before `seen` in its second comes again, and is left out.
            options = options.since(i32::try_from(seen.as_second()).unwrap_or(0));
        } else if let Some(lines) = self.query.tail_lines {
            options = options.tail(&lines.to_string());
        }
        Ok(self.engine.logs(&self.name, options.build())?.boxed())
    }

    /// The chunk without its time, unless it was handed out before.
    fn fresh(&mut self, chunk: &Bytes) -> Option<Bytes> {
        let Some((at, line)) = split_time(chunk) else { return Some(chunk.clone()) };
        if self.seen.is_some_and(|seen| at <= seen) {
            return None;
        }
        self.seen = Some(at);
        Some(line)
    }
}

/// `2026-11-20T12:00:00.123456789Z text`.
fn split_time(chunk: &Bytes) -> Option<(Timestamp, Bytes)> {
    let space = chunk.iter().position(|byte| *byte == b' ')?;
    let at = std::str::from_utf8(&chunk[..space]).ok()?.parse().ok()?;
    Some((at, chunk.slice(space + 1..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_before_a_line_is_split_off() {
        let chunk = Bytes::from_static(b"2026-11-20T12:00:00.5Z hello world\n");
        let (at, line) = split_time(&chunk).unwrap();
        assert_eq!(
            (at.to_string().as_str(), line.as_ref()),
            ("2026-11-20T12:00:00.5Z", &b"hello world\n"[..])
        );
        assert!(split_time(&Bytes::from_static(b"no time\n")).is_none());
    }
}
