//! Whether a program needs anything of the machine that it is run on.

/// A program header that names the loader which a program needs.
const INTERPRETER: u32 = 3;

/// The loader that this program for 64-bit Linux needs on each machine; nothing if it is static, or is no such program.
pub(super) fn interpreter(file: &[u8]) -> Option<String> {
    // 64 bit, least significant byte first.
    if file.get(..6)? != [0x7f, b'E', b'L', b'F', 2, 1] {
        return None;
    }
    let (table, size, count) = (long(file, 0x20)?, short(file, 0x36)?, short(file, 0x38)?);
    (0..usize::from(count)).find_map(|number| {
        let header = file.get(table.checked_add(number * usize::from(size))?..)?;
        let kind = u32::from_le_bytes(header.get(..4)?.try_into().ok()?);
        if kind != INTERPRETER {
            return None;
        }
        let (at, length) = (long(header, 0x08)?, long(header, 0x20)?);
        let path = file.get(at..at.checked_add(length)?)?;
        Some(String::from_utf8_lossy(path).trim_end_matches('\0').to_owned())
    })
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
    usize::try_from(u64::from_le_bytes(bytes)).ok()
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with these headers, each its kind, place and length, and `rest` behind them.
    fn program(headers: &[(u32, u64, u64)], rest: &[u8]) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1];
        file.resize(64, 0);
        file[0x20..0x28].copy_from_slice(&64_u64.to_le_bytes());
        file[0x36..0x38].copy_from_slice(&56_u16.to_le_bytes());
        file[0x38..0x3a].copy_from_slice(&u16::try_from(headers.len()).unwrap().to_le_bytes());
        for (kind, at, length) in headers {
            let mut header = vec![0; 56];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            header[0x08..0x10].copy_from_slice(&at.to_le_bytes());
            header[0x20..0x28].copy_from_slice(&length.to_le_bytes());
            file.extend(header);
        }
        file.extend(rest);
        file
    }

    #[test]
    fn a_program_that_needs_a_loader_is_told_from_a_static_one() {
        let loader = b"/lib64/ld-linux-x86-64.so.2\0";
        let at = 64 + 2 * 56;
        let dynamic = program(&[(1, 0, 9), (INTERPRETER, at, loader.len() as u64)], loader);
        assert_eq!(interpreter(&dynamic).as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(interpreter(&program(&[(1, 0, 9), (2, at, 4)], loader)), None);
        assert_eq!(interpreter(b"#!/bin/sh\n"), None);
        for length in 0..dynamic.len() {
            assert_eq!(interpreter(&dynamic[..length]), None, "cut to {length}");
        }
    }
}
