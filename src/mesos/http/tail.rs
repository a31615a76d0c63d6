//! The text of a growing file of an agent: from a line near its end, or from its start, and on while it grows.
//!
//! An agent tells nothing by itself, so that who follows asks now and then. Meanwhile the file may have been rotated, any number of times:
//! what was written before then stands beside it, under the names that logrotate gives (`stdout.1`, `stdout.2`, the higher the older). So
//! each piece is asked for with the last bytes that were read before it: where others stand, it is another file, and the one that was read
//! is looked for under the next names. One that is not there any more was lost, and the reader is told. (Only text that is alike for
//! hundreds of bytes cannot be told apart.)

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
/// By so many bytes before it a place in a file is known again.
const KNOWN_BY: usize = 256;
/// What stands where something should.
const LOST: &str = "\u{2026} output was lost here\n";

/// Whether the file's writer has ended: it then is read to its end once more.
pub type HasEnded = Arc<dyn Fn() -> bool + Send + Sync>;

/// Who reads a file.
struct Tail {
    file: AgentFile,
    place: Place,
    /// Absent: to the end that the file has now.
    has_ended: Option<HasEnded>,
    is_last_look: bool,
    away_since: Option<Instant>,
    over: bool,
}

/// Where to go on.
#[derive(Debug, Clone)]
struct Place {
    /// Under which name the file stood last: 0 is the present one, 1 the one before.
    number: u32,
    offset: u64,
    /// What stands just before, or else, at the start of a file, where the file before ends.
    before: Before,
}

#[derive(Debug, Clone)]
enum Before {
    Here(Vec<u8>),
    /// The length of the file before, and its last bytes.
    Older(u64, Vec<u8>),
    /// There is no older file.
    Nothing,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("file", &self.file).field("place", &self.place).finish_non_exhaustive()
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
        let mut number = 0;
        while start.is_missing_lines() && number < OLDER_MAX {
            let mut older = self.older(number + 1);
            let Some(size) = if_there(older.size().await)? else { break };
            start = start_of_last(&mut older, size, start.missing).await?;
            number += 1;
        }
        let place = self.place(number, start.offset).await?;
        let tail =
            Tail { file: self, place, has_ended: follow, is_last_look: false, away_since: None, over: false };
        let pieces = stream::unfold(tail, async |mut tail| {
            let piece = tail.next().await?;
            tail.over = piece.is_err();
            Some((piece, tail))
        });
        Ok(pieces.boxed())
    }

    /// The file that stands under this number now.
    fn older(&self, number: u32) -> AgentFile {
        if number == 0 { self.beside("") } else { self.beside(&format!(".{number}")) }
    }

    /// A place in the file that stands under this number now.
    async fn place(&mut self, number: u32, offset: u64) -> Result<Place, FileError> {
        let before = if offset > 0 {
            let known = offset.min(KNOWN_BY as u64);
            let Piece { data, .. } = self.older(number).read(offset - known, known).await?;
            Before::Here(data.to_vec())
        } else {
            let mut older = self.older(number + 1);
            match if_there(older.size().await)? {
                None => Before::Nothing,
                Some(size) => {
                    let known = size.min(KNOWN_BY as u64);
                    let piece = if_there(older.read(size - known, known.max(1)).await)?;
                    Before::Older(size, piece.map_or_else(Vec::new, |piece| piece.data.to_vec()))
                }
            }
        };
        Ok(Place { number, offset, before })
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

/// Nothing, when there is no such file (any more).
fn if_there<T>(read: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(FileError::Absent { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What stands under a name.
enum Look {
    /// The file that is being read, and what follows in it.
    Here(Bytes),
    Another,
    Absent,
}

impl Tail {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        while !self.over {
            let data = match self.read().await {
                Ok(Some(data)) => data,
                Ok(None) => match self.begin_at_oldest().await {
                    Ok(None) => continue,
                    Ok(Some(words)) => return Some(Ok(words)),
                    Err(error) => match self.failed(error).await {
                        None => continue,
                        Some(error) => return Some(Err(error)),
                    },
                },
                Err(error) => match self.failed(error).await {
                    None => continue,
                    Some(error) => return Some(Err(error)),
                },
            };
            self.away_since = None;
            if !data.is_empty() {
                self.place.go_on(&data);
                return Some(Ok(data));
            }
            match self.place.number {
                0 => self.at_the_end().await,
                _ => self.place.go_to_newer(),
            }
        }
        None
    }

    /// What follows, which is nothing at the end of the file that is being read; or nothing at all when that is not to be found. It is
    /// looked for twice: files may be on their way from one name to the next.
    async fn read(&mut self) -> Result<Option<Bytes>, FileError> {
        for _ in 0..2 {
            let mut gaps = 0;
            for number in self.place.number..self.place.number + OLDER_MAX {
                match self.look(number).await? {
                    Look::Here(data) => {
                        self.place.number = number;
                        return Ok(Some(data));
                    }
                    Look::Another => gaps = 0,
                    // One name is free while files are renamed, and no more.
                    Look::Absent if gaps > 0 => break,
                    Look::Absent => gaps += 1,
                }
            }
        }
        Ok(None)
    }

    async fn look(&mut self, number: u32) -> Result<Look, FileError> {
        let Place { offset, before, .. } = self.place.clone();
        let (known, offset) = match &before {
            Before::Here(known) => (known.as_slice(), offset - known.len() as u64),
            Before::Older(..) | Before::Nothing => (&[][..], 0),
        };
        // The present file is asked on one connection.
        let read = match number {
            0 => self.file.read(offset, PIECE).await,
            _ => self.file.older(number).read(offset, PIECE).await,
        };
        let Some(piece) = if_there(read)? else { return self.absent(number).await };
        let is_it = match &before {
            Before::Here(_) => piece.data.starts_with(known),
            Before::Older(..) | Before::Nothing => self.is_before(number, &before).await?,
        };
        Ok(if is_it { Look::Here(piece.data.slice(known.len()..)) } else { Look::Another })
    }

    /// A file of which nothing was read yet may not have been begun.
    async fn absent(&mut self, number: u32) -> Result<Look, FileError> {
        let before = self.place.before.clone();
        let is_begun = matches!(before, Before::Here(_)) || number > 0;
        let is_it = !is_begun && self.is_before(number, &before).await?;
        Ok(if is_it { Look::Here(Bytes::new()) } else { Look::Absent })
    }

    /// Whether the file before the one of this number is that one.
    async fn is_before(&mut self, number: u32, before: &Before) -> Result<bool, FileError> {
        let mut older = self.file.older(number + 1);
        match before {
            Before::Here(_) => Ok(true),
            Before::Nothing => Ok(if_there(older.size().await)?.is_none()),
            Before::Older(size, end) => {
                let known = end.len() as u64;
                let piece = if_there(older.read(size - known, known.max(1)).await)?;
                Ok(piece.is_some_and(|piece| piece.size == *size && piece.data == end))
            }
        }
    }

    /// Goes on where there still is something, and says that something was lost, unless there is nothing at all.
    async fn begin_at_oldest(&mut self) -> Result<Option<Bytes>, FileError> {
        let mut number = 0;
        while number < OLDER_MAX && if_there(self.file.older(number + 1).size().await)?.is_some() {
            number += 1;
        }
        let is_empty = number == 0 && if_there(self.file.size().await)?.is_none_or(|size| size == 0);
        let line = matches!(&self.place.before, Before::Here(known) if known.last() != Some(&b'\n'));
        self.place = self.file.place(number, 0).await?;
        let words = if line { format!("\n{LOST}") } else { LOST.to_owned() };
        Ok((!is_empty).then(|| words.into()))
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

    /// Waits a while if it is too early to give up; the error otherwise.
    async fn failed(&mut self, error: FileError) -> Option<io::Error> {
        let since = *self.away_since.get_or_insert_with(Instant::now);
        let may_be_back = matches!(error, FileError::Unreachable { .. });
        if self.has_ended.is_none() || !may_be_back || since.elapsed() >= AWAY_MAX {
            return Some(io::Error::other(error));
        }
        self.file.env().sleep(PAUSE).await;
        None
    }
}

impl Place {
    fn go_on(&mut self, data: &[u8]) {
        let known = match &mut self.before {
            Before::Here(known) => std::mem::take(known),
            Before::Older(..) | Before::Nothing => Vec::new(),
        };
        let known = [&known, data].concat();
        self.before = Before::Here(known[known.len().saturating_sub(KNOWN_BY)..].to_vec());
        self.offset += data.len() as u64;
    }

    /// The end of a file that nobody writes any more.
    fn go_to_newer(&mut self) {
        let known = match &mut self.before {
            Before::Here(known) => std::mem::take(known),
            Before::Older(..) | Before::Nothing => Vec::new(),
        };
        *self = Place { number: self.number - 1, offset: 0, before: Before::Older(self.offset, known) };
    }
}
