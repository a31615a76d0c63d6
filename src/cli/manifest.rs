//! From files, folders and standard input to documents, each with the place it came from.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::yaml;

/// A document and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its file and first line.
    pub place: Place,
    /// Its content.
    pub value: Value,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named; `-` for standard input.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// The documents of all sources in order, and an error for each part that could not be read.
///
/// A source is a file, a folder (its `.yaml`, `.yml` and `.json` files, by name) or `-`. The items of a List become
/// documents of their own.
#[must_use]
pub fn read(sources: &[String]) -> (Vec<Document>, Vec<anyhow::Error>) {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    for source in sources {
        match texts(source) {
            Ok(texts) => {
                for (file, text) in texts {
                    split(&file, &text, &mut documents, &mut errors);
                }
            }
            Err(error) => errors.push(error),
        }
    }
    (documents, errors)
}

fn texts(source: &str) -> anyhow::Result<Vec<(String, String)>> {
    if source == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("failed to read standard input")?;
        return Ok(vec![("-".to_owned(), text)]);
    }
    let path = Path::new(source);
    let files = if path.is_dir() { files_of(path)? } else { vec![path.to_owned()] };
    files
        .into_iter()
        .map(|path| {
            let text =
                fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            Ok((path.display().to_string(), text))
        })
        .collect()
}

fn files_of(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("failed to read {}", folder.display()))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} has no .yaml, .yml or .json files", folder.display());
    }
    files.sort();
    Ok(files)
}

/// Cuts a text at the lines that begin a YAML document, so that a mistake in one does not hide the others.
fn split(file: &str, text: &str, documents: &mut Vec<Document>, errors: &mut Vec<anyhow::Error>) {
    let mut start = 1;
    let mut part = String::new();
    let mut parts = Vec::new();
    for (number, line) in (1u64..).zip(text.split_inclusive('\n')) {
        let rest = line.trim_end();
        if rest == "---" || rest.starts_with("--- ") {
            parts.push((start, std::mem::take(&mut part)));
            // What follows on the line, such as a comment, keeps its column.
            part.push_str(&line.replacen("---", "   ", 1));
            start = number;
        } else {
            part.push_str(line);
        }
    }
    parts.push((start, part));
    for (start, part) in parts {
        match yaml::parse(&part) {
            Ok(Value::Null) => {}
            Ok(value) => {
                items(Place { file: file.to_owned(), line: start + blank_lines(&part) }, value, documents);
            }
            Err(error) => {
                let line = start + error.line.unwrap_or(1) - 1;
                errors.push(anyhow::anyhow!("{file}:{line}: invalid YAML: {}", error.message));
            }
        }
    }
}

/// Lines before the first one with content.
fn blank_lines(part: &str) -> u64 {
    let blank = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    part.lines().take_while(blank).map(|_| 1).sum()
}

fn items(place: Place, value: Value, documents: &mut Vec<Document>) {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Object(mut list) if is_list => {
            let inner = list.remove("items").and_then(|items| match items {
                Value::Array(items) => Some(items),
                _ => None,
            });
            let inner = inner.unwrap_or_default().into_iter();
            documents.extend(inner.map(|value| Document { place: place.clone(), value }));
        }
        value => documents.push(Document { place, value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Vec<(u64, Value)>, Vec<String>) {
        let (mut documents, mut errors) = (Vec::new(), Vec::new());
        split("f.yaml", text, &mut documents, &mut errors);
        (
            documents.into_iter().map(|document| (document.place.line, document.value)).collect(),
            errors.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn documents_know_their_first_line() {
        let (documents, errors) =
            read_text("# a comment\nkind: A\n---\n\nkind: B\n--- # three\n---\nkind: C\n");
        let lines: Vec<(u64, &str)> =
            documents.iter().map(|(line, value)| (*line, value["kind"].as_str().unwrap())).collect();
        assert_eq!(lines, [(2, "A"), (5, "B"), (8, "C")]);
        assert!(errors.is_empty());
    }

    #[test]
    fn a_mistake_in_one_document_leaves_the_others() {
        let (documents, errors) = read_text("kind: A\n---\nkind: B\nx: [\n---\nkind: C\n");
        assert_eq!(documents.len(), 2);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("f.yaml:") && errors[0].contains("invalid YAML: "), "{errors:?}");
    }

    #[test]
    fn json_and_lists_are_read_too() {
        let (documents, _) = read_text(r#"{"kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]}"#);
        assert_eq!(documents.len(), 2);
    }

    #[test]
    fn a_folder_gives_its_manifests_by_name_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yaml", "kind: B"), ("a.yml", "kind: A"), ("note.txt", "kind: X")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (documents, errors) = read(&[folder.path().display().to_string(), "/nowhere.yaml".to_owned()]);
        let kinds: Vec<&Value> = documents.iter().map(|document| &document.value["kind"]).collect();
        assert_eq!(kinds, ["A", "B"]);
        assert_eq!(errors[0].to_string(), "failed to read /nowhere.yaml");
    }
}
