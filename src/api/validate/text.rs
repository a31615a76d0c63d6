//! Names and paths, with the texts of Kubernetes.

use super::super::FieldError;

/// A DNS label: what host names, and so app names, are made of.
pub(super) fn dns_label(path: &str, name: &str, errors: &mut Vec<FieldError>) {
    if name.len() > 63 {
        errors.push(FieldError::invalid(path, name, "must be no more than 63 characters"));
    }
    if !is_dns_label(name) {
        errors.push(FieldError::invalid(
            path,
            name,
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ));
    }
}

/// A DNS subdomain of at most 253 characters: the name of a Secret.
pub(super) fn dns_subdomain(path: &str, name: &str, errors: &mut Vec<FieldError>) {
    if name.len() > 253 || !name.split('.').all(is_dns_label) {
        errors.push(FieldError::invalid(
            path,
            name,
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ));
    }
}

/// A path that does not depend on a working directory and does not climb.
pub(super) fn absolute_path(path: &str, value: &str, errors: &mut Vec<FieldError>) {
    if !value.starts_with('/') {
        errors.push(FieldError::invalid(path, value, "must be an absolute path"));
    }
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
    if value.contains([':', '\0']) {
        errors.push(FieldError::invalid(path, value, "must not contain ':'"));
    }
}

/// Lower-case letters, digits and inner dashes.
pub(super) fn is_dns_label(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().all(|byte| allowed(byte) || byte == b'-')
        && name.bytes().next().is_some_and(allowed)
        && name.bytes().last().is_some_and(allowed)
}
