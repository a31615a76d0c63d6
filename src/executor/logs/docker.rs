//! Reads the output that dockerd keeps of a container. When dockerd goes away while somebody follows, reading goes on where it
//! stopped once it is back: every line carries its time, and lines up to the last one seen are left out.

use std::collections::VecDeque;
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

/// Where the reading stands.
enum Stage {
    /// dockerd has not been asked yet, or went away.
    Connect,
    /// The last lines of what was kept.
    Tail(VecDeque<Bytes>),
    Open(Chunks),
    Done,
}

struct Reading {
    env: Env,
    engine: Engine,
    name: String,
    task: TaskId,
    stream: Stream,
    follow: bool,
    /// How many lines of what was kept are wanted, until they are read.
    tail_lines: Option<u64>,
    stage: Stage,
    /// Time of the last line handed out.
    seen: Option<Timestamp>,
    /// After a reconnection lines up to this one come again.
    skip_to: Option<Timestamp>,
    backoff: Backoff,
}

/// The output of the container `name`, which is that of `task`.
#[must_use]
pub fn read_container(env: Env, engine: Engine, name: String, task: TaskId, query: LogQuery) -> Output {
    let LogQuery { stream, tail_lines, follow } = query;
    let reading = Reading {
        env,
        engine,
        name,
        task,
        stream,
        follow,
        tail_lines,
        stage: Stage::Connect,
        seen: None,
        skip_to: None,
        backoff: Backoff::new(AWAY_FIRST, AWAY_MAX),
    };
    stream::unfold(reading, Reading::step).boxed()
}

impl Reading {
    async fn step(mut self) -> Option<(Result<Bytes, LogError>, Reading)> {
        loop {
            let failed = match &mut self.stage {
                Stage::Done => return None,
                Stage::Tail(lines) => {
                    if let Some(line) = lines.pop_front() {
                        return Some((Ok(line), self));
                    }
                    self.stage = if self.follow { Stage::Connect } else { Stage::Done };
                    continue;
                }
                Stage::Connect => match self.connect().await {
                    Ok(stage) => {
                        self.stage = stage;
                        continue;
                    }
                    Err(error) => error,
                },
                Stage::Open(chunks) => match chunks.next().await {
                    // A followed container has ended, or everything that is kept was read.
                    None => return None,
                    Some(Ok(chunk)) => match self.take(&chunk) {
                        Some(line) => return Some((Ok(line), self)),
                        None => continue,
                    },
                    Some(Err(error)) => error,
                },
            };
            if failed.is_away() && self.follow {
                self.stage = Stage::Connect;
                self.env.sleep(self.backoff.next()).await;
                continue;
            }
            self.stage = Stage::Done;
            return Some((Err(self.error(failed)), self));
        }
    }

    async fn connect(&mut self) -> Result<Stage, EngineError> {
        if let Some(lines) = self.tail_lines {
            let tail = self.read_tail(lines).await?;
            self.tail_lines = None;
            return Ok(Stage::Tail(tail));
        }
        self.skip_to = self.seen;
        Ok(Stage::Open(self.open(self.follow)?))
    }

    /// dockerd counts the lines of both streams together, so the last lines of one are counted here.
    async fn read_tail(&mut self, lines: u64) -> Result<VecDeque<Bytes>, EngineError> {
        let mut chunks = self.open(false)?;
        let (mut tail, mut last) = (VecDeque::new(), None);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            let (at, line) = split_time(&chunk).map_or((last, chunk.clone()), |(at, line)| (Some(at), line));
            last = at;
            tail.push_back(line);
            if tail.len() as u64 > lines {
                tail.pop_front();
            }
        }
        self.seen = last;
        Ok(tail)
    }

    fn open(&self, follow: bool) -> Result<Chunks, EngineError> {
        let mut options = LogsOptionsBuilder::new()
            .stdout(self.stream == Stream::Stdout)
            .stderr(self.stream == Stream::Stderr)
            .follow(follow)
            .timestamps(true);
        if let Some(seen) = self.seen {
            // Whole seconds: what is before `seen` in its second comes again, and is left out.
            options = options.since(i32::try_from(seen.as_second()).unwrap_or(0));
        }
        Ok(self.engine.logs(&self.name, options.build())?.boxed())
    }

    /// The chunk without its time, unless it was handed out before.
    fn take(&mut self, chunk: &Bytes) -> Option<Bytes> {
        self.backoff.reset();
        let Some((at, line)) = split_time(chunk) else { return Some(chunk.clone()) };
        if self.skip_to.is_some_and(|seen| at <= seen) {
            return None;
        }
        self.seen = Some(at);
        Some(line)
    }

    fn error(&self, source: EngineError) -> LogError {
        let task = self.task.clone();
        if source.is_not_found() { LogError::NotKept { task } } else { LogError::Engine { task, source } }
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
