//! What happened, a line each: the proof that a seed repeats itself, and the story of one that failed.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use tokio::time::Instant;

/// Lines that are kept for the story.
const TAIL: usize = 120;

/// What becomes of the lines, beside the digest and the last ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Nothing.
    Digest,
    /// All are kept.
    Keep,
    /// Each is printed as it comes.
    Print,
}

/// The log of one run.
pub(crate) struct Log {
    origin: Instant,
    telling: Telling,
    /// Of all lines. It begins with the same keys in every process.
    digest: DefaultHasher,
    lines: u64,
    tail: VecDeque<String>,
    whole: String,
}

impl Log {
    pub(crate) fn new(telling: Telling) -> Log {
        let (origin, digest) = (Instant::now(), DefaultHasher::new());
        let (tail, whole) = (VecDeque::with_capacity(TAIL), String::new());
        Log { origin, telling, digest, lines: 0, tail, whole }
    }

    /// Adds a line, with its time.
    pub(crate) fn line(&mut self, what: fmt::Arguments<'_>) {
        let line = format!("{:10.3} {what}\n", self.origin.elapsed().as_secs_f64());
        self.digest.write(line.as_bytes());
        self.lines += 1;
        match self.telling {
            Telling::Digest => {}
            Telling::Keep => self.whole += &line,
            Telling::Print => print!("{line}"),
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// How many lines there are, and the digest of all of them.
    pub(crate) fn fingerprint(&self) -> (u64, u64) {
        (self.lines, self.digest.finish())
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        self.tail.iter().map(String::as_str).collect()
    }

    /// All lines, if they are kept.
    pub(crate) fn whole(&self) -> String {
        self.whole.clone()
    }
}
