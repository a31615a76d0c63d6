//! Rules of environment variables.

use std::collections::BTreeSet;

use super::super::{EnvVar, FieldError};
use super::text;

pub(super) fn validate(env: &[EnvVar], errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, variable) in env.iter().enumerate() {
        let path = format!("spec.env[{index}]");
        if variable.name.contains(['=', '\0']) {
            let message = "must not contain '=' or a zero byte";
            errors.push(FieldError::invalid(format!("{path}.name"), variable.name.as_str(), message));
        }
        if !seen.insert(variable.name.as_str()) {
            errors.push(FieldError::duplicate(format!("{path}.name"), variable.name.as_str()));
        }
        if variable.value.as_deref().is_some_and(|value| value.contains('\0')) {
            let message = "must not contain a zero byte";
            errors.push(FieldError::invalid(format!("{path}.value"), variable.value.clone(), message));
        }
        if let Some(source) = &variable.value_from {
            if variable.value.is_some() {
                let message = "may not be given together with value";
                errors.push(FieldError::forbidden(format!("{path}.valueFrom"), message));
            }
            text::dns_subdomain(
                &format!("{path}.valueFrom.secretKeyRef.name"),
                &source.secret_key_ref.name,
                errors,
            );
        }
    }
}
