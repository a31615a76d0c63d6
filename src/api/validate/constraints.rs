//! Rules of constraints: which operand each operator takes.

use regex::Regex;

use super::super::{Constraint, FieldError, Operator};
use super::repeats;

pub(super) fn validate(constraints: &[Constraint], errors: &mut Vec<FieldError>) {
    let keys = constraints.iter().map(|it| (&it.attribute, it.operator, &it.value));
    for ((index, constraint), is_again) in constraints.iter().enumerate().zip(repeats(keys)) {
        operand(&format!("spec.constraints[{index}].value"), constraint, errors);
        if is_again {
            errors.push(FieldError::duplicate(
                format!("spec.constraints[{index}]"),
                serde_json::json!({"attribute": constraint.attribute, "operator": constraint.operator}),
            ));
        }
    }
}

fn operand(path: &str, constraint: &Constraint, errors: &mut Vec<FieldError>) {
    let value = constraint.value.as_deref();
    match (constraint.operator, value) {
        (Operator::Unique, Some(_)) => {
            errors.push(FieldError::forbidden(path, "operator UNIQUE takes no value"));
        }
        (Operator::Like | Operator::Unlike, Some(pattern)) => {
            if let Err(error) = Regex::new(&format!("^(?:{pattern})$")) {
                let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                let message =
                    format!("must be a regular expression: {}", reason.trim_start_matches("error: "));
                errors.push(FieldError::invalid(path, pattern, message));
            }
        }
        (Operator::Is, Some(literal)) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_/.-".contains(c);
            if !literal.chars().all(plain) {
                let message = "must consist of letters, digits, '_', '/', '.' and '-'";
                errors.push(FieldError::invalid(path, literal, message));
            }
        }
        (Operator::MaxPer | Operator::GroupBy, Some(number)) => {
            if !number.parse::<u32>().is_ok_and(|number| number > 0) {
                errors.push(FieldError::invalid(path, number, "must be a whole number from 1"));
            }
        }
        (Operator::Like | Operator::Unlike, None) => {
            errors.push(FieldError::required(path, "the regular expression to compare with"));
        }
        (Operator::Is, None) => errors.push(FieldError::required(path, "the text to compare with")),
        (Operator::MaxPer, None) => errors.push(FieldError::required(path, "the most instances per value")),
        (Operator::Unique | Operator::GroupBy, None) | (Operator::Cluster, _) => {}
    }
}
