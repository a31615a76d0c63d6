//! Fields that a definition lets field selectors name.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;
use serde_json::Value;

use crate::registry::field::{FieldError, too_many};
use crate::registry::jsonpath::JsonPath;

/// So many of them one version may have.
const FIELDS_MAX: usize = 8;

/// The fields of `version`, as selectors name them.
pub(super) fn fields(version: &CustomResourceDefinitionVersion) -> Vec<String> {
    let fields = version.selectable_fields.as_deref().unwrap_or_default();
    fields.iter().map(|field| field.json_path.trim_start_matches('.').to_owned()).collect()
}

/// What is wrong with the fields of `version`, a version of a definition as it was written, which stands at `path`.
pub(super) fn selectable_faults(version: &Value, path: &str) -> Vec<FieldError> {
    let fields = version["selectableFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut faults = Vec::new();
    if fields.len() > FIELDS_MAX {
        faults.push(too_many(&format!("{path}.selectableFields"), fields.len(), FIELDS_MAX));
    }
    let mut seen = BTreeSet::new();
    for (at, field) in fields.iter().enumerate() {
        let (place, text) = (format!("{path}.selectableFields[{at}].jsonPath"), text(field));
        if !seen.insert(text) {
            faults.push(FieldError::duplicate(place, text));
        } else if let Some(why) = fault(&version["schema"]["openAPIV3Schema"], text) {
            faults.push(FieldError::invalid(place, text, why));
        }
    }
    faults
}

fn text(field: &Value) -> &str {
    field["jsonPath"].as_str().unwrap_or_default()
}

fn fault(schema: &Value, text: &str) -> Option<String> {
    if let Err(error) = JsonPath::parse(text) {
        return Some(format!("is an invalid path: {error}"));
    }
    let mut node = schema;
    for name in text.trim_start_matches('.').split('.') {
        node = &node["properties"][name];
    }
    match node["type"].as_str() {
        _ if text.starts_with(".metadata.") => Some("must not point to fields in metadata".to_owned()),
        Some("string" | "boolean" | "integer") => None,
        Some(_) => Some(
            "must point to a field of type string, boolean or integer. Enum string fields and strings with allowed \
             formats are allowed."
                .to_owned(),
        ),
        None => Some("does not refer to a valid field".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_fields_with_one_plain_value_can_be_selected_by() {
        let spec = json!({"type": "object", "properties": {"mode": {"type": "string"}, "on": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}}}});
        let told = |paths: &[&str]| -> Vec<String> {
            let fields: Vec<Value> = paths.iter().map(|path| json!({"jsonPath": path})).collect();
            let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}});
            let version = json!({"selectableFields": fields, "schema": schema});
            selectable_faults(&version, "v").iter().map(ToString::to_string).collect()
        };
        assert_eq!(told(&[".spec.mode", ".spec.on"]), Vec::<String>::new());
        for (path, why) in [
            (".spec.nope", "does not refer to a valid field"),
            (".spec.tags", "must point to a field of type string"),
            (".spec", "must point to a field of type string"),
            (".metadata.name", "must not point to fields in metadata"),
            ("spec.mode", "is an invalid path"),
        ] {
            let faults = told(&[path]);
            let start = format!("v.selectableFields[0].jsonPath: Invalid value: {path:?}: {why}");
            assert!(faults.len() == 1 && faults[0].starts_with(&start), "{faults:?}");
        }
        assert_eq!(
            told(&[".spec.on", ".spec.on"]),
            ["v.selectableFields[1].jsonPath: Duplicate value: \".spec.on\""]
        );
        assert!(told(&[".spec.on"; 9])[0].contains("must have at most 8 items"));
    }
}
