//! The limits of a schema beyond its type.

use serde_json::Value;

use super::check as check_value;
use crate::registry::field::{FieldError, FieldReason, Place, cut, too_long, too_many, wrong_type};
use crate::registry::schema::{Bound, Found, Schema, Type};

/// Everything of `schema`'s rules that `value`, whose type fits, breaks.
pub(super) fn check(value: &Value, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Number(_) => number(value, schema, path, errors),
        Value::String(text) => string(text, schema, path, errors),
        Value::Array(items) => count(Counted::Items, items.len(), schema, path, errors),
        Value::Object(map) => count(Counted::Properties, map.len(), schema, path, errors),
        Value::Null | Value::Bool(_) => {}
    }
    if !schema.rules.enum_.is_empty() && !schema.rules.enum_.contains(value) {
        errors.push(not_among(path, value, &schema.rules.enum_));
    }
    branches(value, schema, path, errors);
}

fn not_among(path: &Place<'_>, value: &Value, allowed: &[Value]) -> FieldError {
    let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
    FieldError {
        path: path.to_string(),
        value: value.clone(),
        reason: FieldReason::NotSupported,
        message: format!("supported values: {}", allowed.join(", ")),
    }
}

fn number(value: &Value, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    range_of_format(value, schema, path, errors);
    let Some(number) = value.as_f64() else { return };
    let mut broken = |text: String| {
        errors.push(FieldError::invalid(path.to_string(), value.clone(), format!("{path} in body {text}")));
    };
    if let Some(Bound { value: least, text, exclusive }) = &schema.rules.minimum {
        match exclusive {
            true if number <= *least => broken(format!("should be greater than {text}")),
            false if number < *least => broken(format!("should be greater than or equal to {text}")),
            _ => {}
        }
    }
    if let Some(Bound { value: most, text, exclusive }) = &schema.rules.maximum {
        match exclusive {
            true if number >= *most => broken(format!("should be less than {text}")),
            false if number > *most => broken(format!("should be less than or equal to {text}")),
            _ => {}
        }
    }
    if let Some(step) = schema.rules.multiple_of
        && (number / step).fract() != 0.0
    {
        broken(format!("should be a multiple of {step}"));
    }
}

/// Reports a number that does not fit its `int32` or `int64`, under the path that a real apiserver gives it.
pub(super) fn range_of_format(
    value: &Value,
    schema: &Schema,
    path: &Place<'_>,
    errors: &mut Vec<FieldError>,
) {
    let (Type::Integer, Some(format), Value::Number(number)) =
        (schema.type_, schema.format.as_deref(), value)
    else {
        return;
    };
    let whole = number.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = match format {
        "int32" => number
            .as_f64()
            .is_some_and(|number| number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX)),
        "int64" => number.as_i64().is_some() || number.is_f64(),
        _ => true,
    };
    if !(whole && fits) {
        let text = format!("Checked value must be of type integer with format {format} in {path}");
        errors.push(FieldError::invalid("", "", text));
    }
}

fn string(text: &str, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    let rules = &schema.rules;
    let length = text.chars().count();
    let mut broken = |text_: String| {
        errors.push(FieldError::invalid(path.to_string(), text, format!("{path} in body {text_}")));
    };
    if let Some(least) = rules.min_length.filter(|&least| length < least) {
        broken(format!("should be at least {least} chars long"));
    }
    if let Some(pattern) = rules.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        broken(format!("should match '{pattern}'"));
    }
    if let Some(most) = rules.max_length.filter(|&most| length > most) {
        errors.push(too_long(&path.to_string(), most));
    }
    if let Some(format) = schema.format.as_deref().filter(|format| !has_format(text, format)) {
        let quoted = cut(Value::from(text));
        errors.push(wrong_type(
            &path.to_string(),
            text,
            format!("{path} in body must be of type {format}: {quoted}"),
        ));
    }
}

/// Whether `text` is of `format`; true for formats that nothing is known about, as in Kubernetes.
fn has_format(text: &str, format: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        _ => true,
    }
}

#[derive(Clone, Copy)]
enum Counted {
    Items,
    Properties,
}

fn count(counted: Counted, count: usize, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    let rules = &schema.rules;
    let (least, most, noun) = match counted {
        Counted::Items => (rules.min_items, rules.max_items, "items"),
        Counted::Properties => (rules.min_properties, rules.max_properties, "properties"),
    };
    if let Some(least) = least.filter(|&least| count < least) {
        let text = format!("{path} in body should have at least {least} {noun}");
        errors.push(FieldError::invalid(path.to_string(), count, text));
    }
    if let Some(most) = most.filter(|&most| count > most) {
        errors.push(too_many(&path.to_string(), count, most));
    }
}

fn branches(value: &Value, schema: &Schema, path: &Place<'_>, errors: &mut Vec<FieldError>) {
    let rules = &schema.rules;
    let holds = |branch: &Schema| {
        let mut found = Found::default();
        check_value((value, None), branch, path, &mut found);
        found.is_empty()
    };
    let mut broken = |text: &str| {
        errors.push(FieldError::invalid(path.to_string(), "", format!("{path} in body {text}")));
    };
    if !rules.any_of.is_empty() && !rules.any_of.iter().any(holds) {
        broken("must validate at least one schema (anyOf)");
    }
    match rules.one_of.iter().filter(|branch| holds(branch)).count() {
        0 if !rules.one_of.is_empty() => {
            broken("must validate one and only one schema (oneOf). Found none valid");
        }
        0 | 1 => {}
        count => {
            broken(&format!(
                "must validate one and only one schema (oneOf). Found {count} valid alternatives"
            ));
        }
    }
    if !rules.all_of.iter().all(holds) {
        broken("must validate all the schemas (allOf)");
    }
    if rules.not.as_deref().is_some_and(holds) {
        broken("must not validate the schema (not)");
    }
}
