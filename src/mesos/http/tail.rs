//! The text of a growing file of an agent: from a line near its end, or from its start, and on while it grows.
//!
//! An agent tells nothing by itself, so that who follows asks now and then. A file that became shorter was rotated: what is left of
//! the old one stands beside it, under the name that logrotate gives (`stdout.1`), and is read to its end first.

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
/// What logrotate calls the file before the present one.
const ROTATED: &str = ".1";

/// Whether the file's writer has ended: it then is read to its end once more.
pub type HasEnded = Arc<dyn Fn() -> bool + Send + Sync>;

/// Who reads a file.
struct Tail {
    file: AgentFile,
    /// The file before the present one, while there is something in it that was not read.
    rotated: Option<AgentFile>,
    offset: u64,
    /// Absent: to the end that the file has now.
    has_ended: Option<HasEnded>,
    is_last_look: bool,
    away_since: Option<Instant>,
    over: bool,
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
        let offset = match tail_lines {
            None => 0,
            Some(lines) => start_of_last(&mut self, size, lines).await?,
        };
        let tail = Tail {
            file: self,
            rotated: None,
            offset,
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

/// Where the last `lines` lines of the first `size` bytes begin. The end of the last line does not begin another.
async fn start_of_last(file: &mut AgentFile, size: u64, lines: u64) -> Result<u64, FileError> {
    if lines == 0 {
        return Ok(size);
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
                return Ok(after);
            }
        }
    }
    Ok(0)
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
            if !piece.data.is_empty() {
                self.offset += piece.data.len() as u64;
                return Some(Ok(piece.data));
            }
            if self.rotated.take().is_some() {
                self.offset = 0;
            } else if piece.size < self.offset {
                self.rotated = Some(self.file.beside(ROTATED));
            } else {
                self.at_the_end().await;
            }
        }
        None
    }

    async fn read(&mut self) -> Result<Piece, FileError> {
        let file = self.rotated.as_mut().unwrap_or(&mut self.file);
        match file.read(self.offset, PIECE).await {
            // It was there: it is being rotated, or was emptied in place and has no older one beside it.
            Err(FileError::Absent { .. }) => Ok(Piece { size: 0, data: Bytes::new() }),
            read => read,
        }
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
