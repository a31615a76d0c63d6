//! The transcripts of `tests/scenarios`: what happens, told by the world itself. With TENURE_UPDATE=1 they are written anew
//! (read the difference); otherwise each must be what is told now. TENURE_SCENARIO names one of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::plants::INCIDENTS;
use crate::play::{Player, play};

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name(file: &Path) -> String {
    file.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The first lines that differ.
fn difference(expected: &str, told: &str) -> String {
    let changes = similar::TextDiff::from_lines(expected, told);
    changes.unified_diff().context_radius(3).to_string()
}

#[test]
fn every_scenario_goes_as_it_is_written() {
    let update = std::env::var("TENURE_UPDATE").is_ok_and(|it| it == "1");
    let only = std::env::var("TENURE_SCENARIO").ok();
    let mut wrong = Vec::new();
    for file in scenarios().iter().filter(|file| only.as_ref().is_none_or(|only| *only == name(file))) {
        let script = fs::read_to_string(file).unwrap();
        match play(&script) {
            Ok(told) if told == script => {}
            Ok(told) if update => fs::write(file, told).unwrap(),
            Ok(told) => wrong.push(format!("{}:\n{}", name(file), difference(&script, &told))),
            Err(error) => wrong.push(format!("{}: {error}", name(file))),
        }
    }
    assert!(wrong.is_empty(), "{}\n(TENURE_UPDATE=1 writes them anew)", wrong.join("\n"));
}

/// As the headings say: what happened to Marathon, and what happens here.
#[test]
fn every_incident_of_marathon_has_its_scenario() {
    let headings: Vec<String> = scenarios()
        .iter()
        .filter_map(|file| fs::read_to_string(file).unwrap().lines().next().map(str::to_owned))
        .filter(|heading| heading.starts_with("# Marathon "))
        .collect();
    let is_named = |incident: &&str| {
        let words = |heading: &String| heading.split([' ', ',', ':']).any(|word| word == *incident);
        headings.iter().any(words)
    };
    let missing: Vec<&str> = INCIDENTS.into_iter().filter(|incident| !is_named(incident)).collect();
    assert!(missing.is_empty(), "no scenario is headed by {missing:?}; headings: {headings:#?}");
}

#[test]
fn scenario_is_told_the_same_way_every_time() {
    let script = fs::read_to_string(&scenarios()[0]).unwrap();
    assert_eq!(play(&script), play(&script));
}

#[test]
fn verb_that_is_not_understood_is_told_with_what_is_expected() {
    let mut player = Player::new();
    for (line, part) in [
        ("shw tasks", "there is no verb \"shw\""),
        ("crash server-9", "there is no server \"server-9\"; there are: server-0"),
        ("fail machine-7", "there are: machine-0, machine-1"),
        ("crash server-0 at noon", "there is no seam \"noon\"; there are: planned"),
        ("tick soon", "\"soon\" is no time such as 30s or 5m"),
        ("kill web-1", "there is no \"web-1\" among the tasks; there are: none"),
        ("cut server-0", "is not understood: cut SERVER from store"),
        ("show me", "\"me\" cannot be shown; there are: apps"),
        ("apply web instances=3", "is not of the form {FIELD: VALUE}"),
        ("fail store slowly", "a store fails `down`, `full` or `stalled`"),
        ("world machines=3", "the world is there already"),
    ] {
        let error = player.verb(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
    assert_eq!(
        Player::new().verb("world machines=0").unwrap_err(),
        "\"machines=0\" is neither servers=0…5 nor machines=1…9"
    );
}
