//! Each room of `src/` uses only the rooms that ARCHITECTURE.md lets it use.
//!
//! The compiler cannot keep arrows inside one package; this reads every `crate::` and `super::` path instead.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// What a room may use beside itself. A path such as `mesos::wire` opens that part of the room only.
const ARROWS: [(&str, &[&str]); 14] = [
    ("env", &[]),
    ("api", &[]),
    ("plan", &["api"]),
    ("store", &["env", "api"]),
    ("mesos", &["env", "api"]),
    ("registry", &["store", "api", "env"]),
    ("runtime", &["registry", "store", "env"]),
    ("executor", &["mesos::wire", "mesos::recordio", "mesos::launcher", "env", "api::exec", "api::names"]),
    ("controllers", &["plan", "registry", "runtime", "mesos", "api", "env"]),
    ("discovery", &["registry", "runtime", "api", "env"]),
    ("server", &["registry", "runtime", "api", "env"]),
    ("cli", &["api"]),
    // No room: the crate's root alone names it, in the macro `planted`.
    ("planted", &[]),
    // Wires everything; only main uses it.
    (
        "serve",
        &[
            "api",
            "cli",
            "controllers",
            "discovery",
            "env",
            "executor",
            "mesos",
            "registry",
            "runtime",
            "server",
            "store",
        ],
    ),
];

#[test]
fn rooms_use_only_what_their_arrows_allow() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let wrong: Vec<String> = sources()
        .iter()
        .filter_map(|file| Some((room_of(file)?, file)))
        .flat_map(|(room, file)| {
            let allowed = arrows.get(room.as_str()).unwrap_or_else(|| panic!("room {room} has no arrows"));
            let text = fs::read_to_string(file).unwrap();
            uses(&module_of(file), &text)
                .into_iter()
                .filter(|path| arrows.contains_key(path[0].as_str()))
                .filter(|path| path[0] != room && !is_allowed(path, allowed))
                .map(|path| format!("{} uses {}", file.display(), path.join("::")))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "arrows that ARCHITECTURE.md does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_paths_sees_groups_nesting_and_super() {
    let text = "use crate::{env::Env, mesos::{wire::TaskInfo, session}};\nuse super::super::plan::x;\n// crate::cli\n";
    let seen: Vec<String> =
        uses(&["executor".into(), "docker".into()], text).iter().map(|p| p.join("::")).collect();
    assert_eq!(seen, ["env::Env", "mesos::wire::TaskInfo", "mesos::session", "plan::x"]);
}

/// Every path of our own crate that `text`, the file of `module`, names.
fn uses(module: &[String], text: &str) -> Vec<Vec<String>> {
    let code = Regex::new(r"(?m)//.*$").unwrap().replace_all(text, "");
    let start = Regex::new(r"\b(crate|(?:super::)*super)::").unwrap();
    let mut found = Vec::new();
    for hit in start.captures_iter(&code) {
        let whole = hit.get(0).unwrap();
        let base: Vec<String> = match &hit[1] {
            "crate" => Vec::new(),
            supers => {
                let up = supers.matches("super").count();
                module[..module.len().saturating_sub(up)].to_vec()
            }
        };
        expand(&base, &code[whole.end()..], &mut found);
    }
    found.retain(|path| !path.is_empty() && path[0] != "self" && path[0] != "*");
    found
}

/// Follows one path, branching at groups, and returns what is left of the text.
fn expand<'t>(base: &[String], text: &'t str, found: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let before = rest.len();
            rest = expand(base, rest, found);
            rest = rest.trim_start().strip_prefix(',').unwrap_or(rest);
            if rest.len() == before {
                return rest;
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut path = base.to_vec();
    if end > 0 {
        path.push(text[..end].to_owned());
    }
    match text[end..].strip_prefix("::") {
        Some(rest) if end > 0 => expand(&path, rest, found),
        _ => {
            found.push(path);
            &text[end..]
        }
    }
}

fn is_allowed(path: &[String], allowed: &[&str]) -> bool {
    allowed.iter().any(|arrow| {
        let arrow: Vec<&str> = arrow.split("::").collect();
        path.len() >= arrow.len() && path.iter().zip(&arrow).all(|(a, b)| a == b)
    })
}

/// The room that a file belongs to; none for the crate root and the binaries.
fn room_of(file: &Path) -> Option<String> {
    module_of(file).into_iter().next()
}

/// `src/store/etcd.rs` is `store::etcd`, `src/store/mod.rs` is `store`.
fn module_of(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(root()).unwrap().with_extension("");
    let mut parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    if parts.first().is_some_and(|part| part == "bin") { Vec::new() } else { parts }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file under `src`, in a stable order.
pub(crate) fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
