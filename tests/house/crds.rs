//! What stands in `crds/` is what the source generates.

use std::collections::BTreeMap;
use std::fs;

#[test]
fn generated_crds_are_current() {
    let expected: BTreeMap<String, String> =
        tenure::cli::generate::crd_files().unwrap().into_iter().collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    let committed: BTreeMap<String, String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&expected), "run hack/generate");
    for (name, text) in &expected {
        assert!(committed[name] == *text, "crds/{name} is stale: run hack/generate");
    }
}
