//! Every App in `manifests/` decodes without an unknown field and breaks no rule.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenure::api::{self, App};
use tenure::cli::yaml;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { self::files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// Fields of `given` that `known`, the same object after a round trip through its type, does not have.
fn unknown(given: &Value, known: &Value, path: &str) -> Vec<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given
            .iter()
            .flat_map(|(key, value)| match known.get(key) {
                Some(known) => unknown(value, known, &format!("{path}.{key}")),
                None => vec![format!("{path}.{key}")],
            })
            .collect(),
        (Value::Array(given), Value::Array(known)) => {
            given.iter().zip(known).flat_map(|(given, known)| unknown(given, known, path)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_manifest_is_a_valid_app() {
    let files = files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/manifests")));
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let document = yaml::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if document["kind"] != "App" {
            continue;
        }
        let app: App = serde_json::from_value(document.clone())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let round_trip = serde_json::to_value(&app).unwrap();
        assert_eq!(unknown(&document, &round_trip, ""), Vec::<String>::new(), "{}", file.display());
        assert_eq!(api::validate::validate(&app, None), [], "{}", file.display());
    }
}
