//! Rules of environment variables.

use super::super::{EnvVar, FieldError};
use super::{repeats, text};

pub(super) fn validate(env: &[EnvVar], errors: &mut Vec<FieldError>) {
    let names = env.iter().map(|variable| &variable.name);
    for ((index, variable), is_again) in env.iter().enumerate().zip(repeats(names)) {
        let path = format!("spec.env[{index}]");
        if variable.name.contains(['=', '\0']) {
            let message = "must not contain '=' or a zero byte";
            errors.push(FieldError::invalid(format!("{path}.name"), variable.name.as_str(), message));
        }
        if is_again {
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
