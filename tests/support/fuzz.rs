//! Feeds a decoder with every input that is kept for it in `tests/corpus`, then with mutations of them: the same ones each time,
//! so that what fails fails again. `TENURE_FUZZ_ROUNDS` and `TENURE_FUZZ_SEED` make it longer, and other.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failing test ends by a panic, and tells the input"
)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

const ROUNDS: u64 = 2_000;
/// Mutations grow no further.
const BYTES_MAX: usize = 64 * 1_024;

/// Hands inputs to `judge`, which panics about one that is not decoded as it should be; it is told then. `words` are put in here
/// and there; of the rounds this many at a time are left out, for decoders that are slow.
pub(crate) fn feed(corpus: &str, (words, every): (&[&str], u64), judge: impl Fn(&[u8])) {
    let kept = kept(corpus);
    let number = |name: &str, other| std::env::var(name).map_or(other, |text| text.parse().unwrap());
    let mut chance = Chance(number("TENURE_FUZZ_SEED", 1));
    kept.iter().for_each(|input| judged(corpus, input, &judge));
    for _ in 0..number("TENURE_FUZZ_ROUNDS", ROUNDS) / every {
        let mut input = chance.pick(&kept).clone();
        for _ in 0..=chance.below(6) {
            chance.mutate(&mut input, words, &kept);
            input.truncate(BYTES_MAX);
        }
        judged(corpus, &input, &judge);
    }
}

/// The kept inputs of a decoder, by their names.
fn kept(corpus: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(corpus);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn judged(corpus: &str, input: &[u8], judge: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| judge(input))) {
        eprintln!("keep this input in tests/corpus/{corpus}: b\"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

/// Seeded chance: splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A place in `input`, its end included.
    fn place(&mut self, input: &[u8]) -> usize {
        self.below(input.len() + 1)
    }

    /// A short part of `input`.
    fn part(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let from = self.place(input);
        from..(from + self.below(40)).min(input.len())
    }

    fn mutate(&mut self, input: &mut Vec<u8>, words: &[&str], kept: &[Vec<u8>]) {
        const BYTES: &[u8] = b"\0\x01\x7f\x80\xff \n\t\"'\\{}[]():,.-+*&!|/=~<>0189eEnNyYkKmM";
        let at = self.place(input);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = *self.pick(BYTES),
            2 => input.insert(at, *self.pick(BYTES)),
            3 => drop(input.drain(self.part(&input.clone()))),
            4 => {
                let part = self.part(input);
                let repeated = input[part].repeat(1 + self.below(4));
                input.splice(at..at, repeated);
            }
            5 => {
                let other = self.pick(kept);
                let part = self.part(other);
                input.splice(at..at, other[part].iter().copied());
            }
            6 => input.truncate(at),
            // Deep nesting.
            7 => {
                let byte = *self.pick(b"[{(-!");
                let deep = [byte].repeat(self.below(300));
                input.splice(at..at, deep);
            }
            _ => {
                let word = if words.is_empty() { "" } else { self.pick(words) };
                input.splice(at..at, word.bytes());
            }
        }
    }
}
