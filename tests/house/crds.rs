//! What stands in `crds/` is what the source generates.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

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

/// Fields at and below a schema that nothing is said about.
fn undescribed(schema: &Value, path: &str) -> Vec<String> {
    let below = schema["properties"].as_object().into_iter().flatten();
    let named = below
        .filter(|(name, _)| !path.is_empty() || !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
    let mut found = Vec::new();
    for (name, field) in named {
        let path = format!("{path}.{name}");
        if field["description"].as_str().is_none_or(|text| text.trim().is_empty()) {
            found.push(path.clone());
        }
        for inner in [field, &field["items"], &field["additionalProperties"]] {
            found.extend(undescribed(inner, &path));
        }
    }
    found
}

#[test]
fn every_field_is_explained() {
    for crd in tenure::api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert!(
            schema["properties"]["status"].is_object() || schema["properties"]["spec"].is_object(),
            "{schema}"
        );
        assert_eq!(undescribed(schema, ""), Vec::<String>::new(), "{}", crd["metadata"]["name"]);
    }
}
