//! The text of a growing file of an agent: from a line near its end, or from its start, and on while it grows.
//!
//! An agent tells nothing by itself, so that who follows asks now and then. A file that became shorter was rotated. What was written
//! before stands beside it, under the names that logrotate gives (`stdout.1`, `stdout.2`, the higher the older), and is read first.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::time::Instant;

use super::sandbox::{AgentFile, FileError, PIECE, Piece};

/// How often a file is looked at that has nothing new.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an agent may be away (it restarts under its tasks) before who follows is told.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// The most older files that are looked for.
const OLDER_MAX: u32 = 1000;
/// How often files may be rotated on while one of them is read.
const ROTATIONS_MAX: u32 = 10;

/// Whether the file's writer has ended: it then is read to its end once more.
pub type HasEnded = Arc<dyn Fn() -> bool + Send + Sync>;

/// Who reads a file.
struct Tail {
    file: AgentFile,
    /// Files of before that are to be read first, the oldest last.
    older: Vec<Older>,
    /// Where to go on in the oldest of `older`, else in `file`.
    offset: u64,
    /// How long `file` was at least: one that is shorter was rotated.
    known: u64,
    /// Absent: to the end that the file has now.
    has_ended: Option<HasEnded>,
    is_last_look: bool,
    away_since: Option<Instant>,
    over: bool,
}

/// A file that is not written any more.
#[derive(Debug)]
struct Older {
    file: AgentFile,
    number: u32,
    /// Its length, if it was seen when that was final: whatever has its name and not its length has taken its place.
    size: Option<u64>,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("file", &self.file).field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl AgentFile {
    /// The text from the last `tail_lines` lines on, or from the start; to its end, or while it grows until `follow` says that
    /// nobody writes it any more.
    ///
    /// # Errors
    /// When there is nothing to begin with. What fails later is an item of the stream, its last.
    pub async fn tail(
        mut self,
        tail_lines: Option<u64>,
        follow: Option<HasEnded>,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, FileError> {
        let size = self.size().await?;
        let mut start = start_of_last(&mut self, size, tail_lines).await?;
        let mut older = Vec::new();
        while start.is_missing_lines() && older.len() < OLDER_MAX as usize {
            let Some((before, its_start)) = Older::before(&self, &older, start.missing).await? else { break };
            older.push(before);
            start = its_start;
        }
        let tail = Tail {
            file: self,
            older,
            offset: start.offset,
            known: size,
            has_ended: follow,
            is_last_look: false,
            away_since: None,
            over: false,
        };
        let pieces = stream::unfold(tail, async |mut tail| {
            let piece = tail.next().await?;
            tail.over = piece.is_err();
            Some((piece, tail))
        });
        Ok(pieces.boxed())
    }
}

/// Where to begin in a file.
#[derive(Debug, Clone, Copy)]
struct Start {
    offset: u64,
    /// How many more lines are wanted than it has; absent: all that there are.
    missing: Option<u64>,
}

impl Start {
    fn is_missing_lines(self) -> bool {
        self.missing != Some(0)
    }
}

/// Where the last `lines` lines (or all) of the first `size` bytes begin. The end of the last line does not begin another.
async fn start_of_last(file: &mut AgentFile, size: u64, lines: Option<u64>) -> Result<Start, FileError> {
    let Some(lines) = lines else { return Ok(Start { offset: 0, missing: None }) };
    if lines == 0 {
        return Ok(Start { offset: size, missing: Some(0) });
    }
    let (mut begin, mut found) = (size, 0);
    while begin > 0 {
        let end = begin;
        begin = end.saturating_sub(PIECE);
        let Piece { data, .. } = file.read(begin, end - begin).await?;
        for (index, _) in data.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = begin + index as u64 + 1;
            found += u64::from(after < size);
            if found == lines && after < size {
                return Ok(Start { offset: after, missing: Some(0) });
            }
        }
    }
    let has = if size > 0 { found + 1 } else { 0 };
    Ok(Start { offset: 0, missing: Some(lines - has) })
}

impl Older {
    /// The one before those that are known, and where to begin in it; nothing when there is none.
    async fn before(
        present: &AgentFile,
        known: &[Older],
        lines: Option<u64>,
    ) -> Result<Option<(Older, Start)>, FileError> {
        let number = known.last().map_or(1, |older| older.number + 1);
        let mut file = present.beside(&format!(".{number}"));
        let size = match file.size().await {
            Ok(size) => size,
            Err(FileError::Absent { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let start = start_of_last(&mut file, size, lines).await?;
        Ok(Some((Older { file, number, size: Some(size) }, start)))
    }

    /// What stands at `offset`; nothing when it is gone.
    async fn read(&mut self, present: &AgentFile, offset: u64) -> Result<Piece, FileError> {
        for _ in 0..ROTATIONS_MAX {
            let piece = or_empty(self.file.read(offset, PIECE).await)?;
            if self.size.is_none_or(|size| size == piece.size) {
                return Ok(piece);
            }
            self.number += 1;
            self.file = present.beside(&format!(".{}", self.number));
        }
        Ok(Piece { size: 0, data: Bytes::new() })
    }
}

/// A file that was there and is not now is being rotated, or was the last of its kind.
fn or_empty(read: Result<Piece, FileError>) -> Result<Piece, FileError> {
    match read {
        Err(FileError::Absent { .. }) => Ok(Piece { size: 0, data: Bytes::new() }),
        read => read,
    }
}

impl Tail {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        while !self.over {
            let piece = match self.read().await {
                Ok(piece) => piece,
                Err(error) if self.waits_out(&error) => {
                    self.file.env().sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Some(Err(io::Error::other(error))),
            };
            self.away_since = None;
            if self.is_rotated(&piece) {
                let file = self.file.beside(".1");
                self.older.push(Older { file, number: 1, size: None });
            } else if !piece.data.is_empty() {
                self.offset += piece.data.len() as u64;
                return Some(Ok(piece.data));
            } else if let Some(read) = self.older.pop() {
                self.offset = 0;
                if read.size.is_none() {
                    // What was known was of the file that is read now.
                    self.known = 0;
                }
            } else {
                self.at_the_end().await;
            }
        }
        None
    }

    async fn read(&mut self) -> Result<Piece, FileError> {
        match self.older.last_mut() {
            Some(older) => older.read(&self.file, self.offset).await,
            None => or_empty(self.file.read(self.offset, PIECE).await),
        }
    }

    /// Whether the file is another one than before.
    fn is_rotated(&mut self, piece: &Piece) -> bool {
        if !self.older.is_empty() {
            return false;
        }
        let known = std::mem::replace(&mut self.known, piece.size);
        piece.size < known
    }

    /// Nothing new is there.
    async fn at_the_end(&mut self) {
        match &self.has_ended {
            // What was written before the end was known is seen by another look.
            Some(has_ended) if !self.is_last_look => {
                self.is_last_look = has_ended();
                if !self.is_last_look {
                    self.file.env().sleep(PAUSE).await;
                }
            }
            Some(_) | None => self.over = true,
        }
    }

    /// Whether it is too early to give up.
    fn waits_out(&mut self, error: &FileError) -> bool {
        let since = *self.away_since.get_or_insert_with(Instant::now);
        let may_be_back = matches!(error, FileError::Unreachable { .. });
        self.has_ended.is_some() && may_be_back && since.elapsed() < AWAY_MAX
    }
}
