//! The string formats of our schemas: `cpus`, `bytes` and `duration`.
//!
//! A schema can say that a field is an integer or a string, but not which strings. A walker over a schema calls
//! [`canonical`] wherever one has a `format`; this is the one place where our CRDs ask for more than a structural
//! schema can: `cpus` and `bytes` also accept numbers with a fraction and are stored in one spelling.

use serde_json::Value;

use super::{Bytes, Cpus, Span};

/// The value as it is stored, or what is allowed instead (the end of `Invalid value: …: `). `None` for a format
/// that is not ours, about which nothing is said.
#[must_use]
pub fn canonical(format: &str, value: &Value) -> Option<Result<Value, String>> {
    match format {
        "cpus" => Some(reparsed::<Cpus>(value)),
        "bytes" => Some(reparsed::<Bytes>(value)),
        // A duration keeps the author's spelling: 90s is not better said as 1m30s.
        "duration" => Some(reparsed::<Span>(value).map(|_| value.clone())),
        _ => None,
    }
}

fn reparsed<T: serde::de::DeserializeOwned + ToString>(value: &Value) -> Result<Value, String> {
    T::deserialize(value).map(|amount| Value::from(amount.to_string())).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_stored_in_one_spelling_and_durations_as_written() {
        assert_eq!(canonical("cpus", &json!(0.5)), Some(Ok(json!("500m"))));
        assert_eq!(canonical("bytes", &json!(268_435_456)), Some(Ok(json!("256Mi"))));
        assert_eq!(canonical("duration", &json!("90s")), Some(Ok(json!("90s"))));
        assert_eq!(canonical("date-time", &json!("x")), None);
    }

    #[test]
    fn a_wrong_value_says_what_is_allowed() {
        let message = |format, value| canonical(format, &value).unwrap().unwrap_err();
        assert_eq!(message("cpus", json!("lots")), "must be an amount of cpus such as 500m, 0.5 or 2");
        assert_eq!(message("bytes", json!(-5)), "must be greater than or equal to 0");
        assert_eq!(
            message("cpus", json!(true)),
            "invalid type: boolean `true`, expected an amount of cpus such as 500m, 0.5 or 2"
        );
        assert_eq!(message("duration", json!("soon")), "must be a duration such as 30s, 5m or 1h30m");
    }
}
