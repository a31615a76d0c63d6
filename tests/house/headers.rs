//! Each source file begins by saying what it keeps true.

use std::fs;

use crate::arrows::sources;

#[test]
fn every_file_begins_with_its_purpose() {
    let bare: Vec<String> = sources()
        .iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(bare.is_empty(), "files without a `//!` header:\n{}", bare.join("\n"));
}
