//! The last lines of a byte sequence that arrives in pieces.

use std::collections::VecDeque;

use bytes::Bytes;

/// Where the last `lines` lines of `text` begin. A last line without an end counts.
#[must_use]
pub(super) fn tail_start(text: &[u8], lines: u64) -> usize {
    if lines == 0 {
        return text.len();
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let mut left = lines;
    for (at, byte) in body.iter().enumerate().rev() {
        if *byte == b'\n' {
            left -= 1;
            if left == 0 {
                return at + 1;
            }
        }
    }
    0
}

/// The last `lines` lines over several pieces, the oldest first.
#[must_use]
pub(super) fn tail(pieces: Vec<Bytes>, lines: Option<u64>) -> Vec<Bytes> {
    let Some(mut left) = lines else { return pieces };
    let mut kept = VecDeque::new();
    for piece in pieces.into_iter().rev() {
        if left == 0 {
            break;
        }
        let start = tail_start(&piece, left);
        let part = piece.slice(start..);
        left = left.saturating_sub(line_count(&part));
        kept.push_front(part);
    }
    kept.into()
}

fn line_count(text: &[u8]) -> u64 {
    let ends = text.iter().filter(|byte| **byte == b'\n').count();
    let unfinished = usize::from(!text.is_empty() && text.last() != Some(&b'\n'));
    (ends + unfinished) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_counts_lines_over_pieces() {
        let rows = [
            ("a\nb\n|c\nd\n", Some(1), "d\n"),
            ("a\nb\n|c\nd\n", Some(2), "c\nd\n"),
            ("a\nb\n|c\nd\n", Some(3), "b\nc\nd\n"),
            ("a\nb\n|c\nd\n", Some(9), "a\nb\nc\nd\n"),
            ("a\nb\n|c\nd", Some(2), "c\nd"),
            ("a\nb\n|", Some(1), "b\n"),
            ("a\n|b\n", Some(0), ""),
            ("a\n|b\n", None, "a\nb\n"),
        ];
        for (pieces, lines, expected) in rows {
            let pieces = pieces.split('|').map(|piece| Bytes::copy_from_slice(piece.as_bytes())).collect();
            let kept: Vec<u8> = tail(pieces, lines).concat();
            assert_eq!(String::from_utf8(kept).unwrap(), expected, "{lines:?}");
        }
    }
}
