//! Files to be fetched: from where, and under which names.

use super::super::{Fetch, FieldError};

/// What stands in a sandbox already.
const TAKEN: [&str; 5] = ["tenure-executor", "executor.log", "executor.lock", "stdout", "stderr"];

pub(super) fn validate(files: &[Fetch], errors: &mut Vec<FieldError>) {
    for (index, file) in files.iter().enumerate() {
        let path = format!("spec.fetch[{index}]");
        uri(&format!("{path}.uri"), file, errors);
        if let Some(name) = &file.output_file {
            output_file(&format!("{path}.outputFile"), name, errors);
        }
    }
}

fn uri(path: &str, file: &Fetch, errors: &mut Vec<FieldError>) {
    let uri = file.uri.as_str();
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    let plain = |scheme: &str| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    if !uri.starts_with('/') && !scheme.is_some_and(plain) {
        errors.push(FieldError::invalid(
            path,
            uri,
            "must be a URI such as https://host/file, or an absolute path",
        ));
        return;
    }
    let end = uri.split(['?', '#']).next().unwrap_or_default();
    let end = end.split_once("://").map_or(end, |(_, rest)| rest);
    let name = end.rsplit_once('/').map_or("", |(_, name)| name);
    if file.output_file.is_none() && name.is_empty() {
        errors.push(FieldError::invalid(path, uri, "names no file: say in outputFile what it is called"));
    }
    if file.output_file.is_none() && TAKEN.contains(&name) {
        let message = format!("{name} is taken in a sandbox: say in outputFile what it is called");
        errors.push(FieldError::invalid(path, uri, message));
    }
}

fn output_file(path: &str, name: &str, errors: &mut Vec<FieldError>) {
    let leaves = name.starts_with('/')
        || name.ends_with('/')
        || name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if leaves {
        errors.push(FieldError::invalid(path, name, "must be a relative path of a file, without . and .."));
    } else if TAKEN.contains(&name) || name.starts_with(".tenure") {
        errors.push(FieldError::invalid(path, name, "is taken in a sandbox"));
    }
}
