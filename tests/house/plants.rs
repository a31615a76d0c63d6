//! The planted bugs: the catalogue and the source name the same ones, and nothing of them is in the product.

use std::collections::BTreeMap;
use std::fs;

use regex::Regex;

use crate::arrows::sources;
use crate::catalogue::PLANTS;

/// Where each bug stands, by name: files below `src`, once for every time.
fn planted() -> BTreeMap<String, Vec<String>> {
    let use_of = Regex::new(r#"planted!\("([^"]*)"\)"#).unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let place = file.display().to_string();
        let place = place.rsplit_once("src/").map_or(place.as_str(), |(_, place)| place).to_owned();
        for name in use_of.captures_iter(&text) {
            found.entry(name[1].to_owned()).or_default().push(place.clone());
        }
    }
    found
}

#[test]
fn every_planted_bug_stands_once_where_the_catalogue_says() {
    let catalogue: BTreeMap<String, Vec<String>> =
        PLANTS.iter().map(|it| (it.name.to_owned(), vec![it.place.to_owned()])).collect();
    assert_eq!(catalogue.len(), PLANTS.len(), "a name stands twice in the catalogue");
    assert_eq!(planted(), catalogue);
    assert!(PLANTS.len() >= 40 && PLANTS.iter().all(|it| !it.breaks.is_empty() && !it.check.is_empty()));
}

/// Only the crate's root knows what the macro stands for, and only a compiler flag turns it on.
#[test]
fn nothing_of_the_planted_bugs_is_in_the_product() {
    let knows = |text: &str| text.contains("tenure_planted") || text.contains("planted::");
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|file| !file.ends_with("src/lib.rs") && knows(&fs::read_to_string(file).unwrap()))
        .map(|file| file.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let root = fs::read_to_string("src/lib.rs").unwrap();
    assert!(root.contains("#[cfg(tenure_planted)]\npub mod planted;"));
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let mentions: Vec<&str> = manifest.lines().filter(|line| line.contains("planted")).collect();
    assert!(matches!(mentions.as_slice(), [line] if line.starts_with("unexpected_cfgs")), "{mentions:?}");
}
