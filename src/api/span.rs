//! Lengths of time in manifests: `30s`, `5m`, `1h30m`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not a length of time. The message completes `Invalid value: "…": `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not digits and units.
    #[error("must be a duration such as 30s, 5m or 1h30m")]
    Malformed,
    /// A minus sign.
    #[error("must be greater than or equal to 0s")]
    Negative,
    /// Beyond what 64 bits of milliseconds hold.
    #[error("is too long")]
    TooLong,
}

/// A length of time in whole milliseconds, written as in Go and Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Span {
    /// From seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// As std's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.duration()
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        if text == "0" {
            return Ok(Self(0));
        }
        if let Some(rest) = text.strip_prefix('-') {
            return Err(rest.parse::<Self>().map_or(SpanError::Malformed, |_| SpanError::Negative));
        }
        if text.is_empty() {
            return Err(SpanError::Malformed);
        }
        let mut rest = text;
        let mut millis: u64 = 0;
        while !rest.is_empty() {
            let (part, after) = leading_part(rest)?;
            millis = millis.checked_add(part).ok_or(SpanError::TooLong)?;
            rest = after;
        }
        Ok(Self(millis))
    }
}

/// The first number and unit of `text` in milliseconds, and what follows.
fn leading_part(text: &str) -> Result<(u64, &str), SpanError> {
    let unit_at = text.find(|byte: char| !byte.is_ascii_digit()).ok_or(SpanError::Malformed)?;
    let (digits, rest) = text.split_at(unit_at);
    let unit_end = rest.find(|byte: char| byte.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    let &(_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(SpanError::Malformed)?;
    if digits.is_empty() {
        return Err(SpanError::Malformed);
    }
    let number: u64 = digits.parse().map_err(|_| SpanError::TooLong)?;
    Ok((number.checked_mul(size).ok_or(SpanError::TooLong)?, after))
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return formatter.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= size {
                write!(formatter, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "duration"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (text, millis, shown) in [
            ("30s", 30_000, "30s"),
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90s", 90_000, "1m30s"),
            ("250ms", 250, "250ms"),
            ("2d", 172_800_000, "48h"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.millis(), span.to_string().as_str()), (millis, shown), "{text}");
        }
    }

    #[test]
    fn a_bad_duration_says_what_is_allowed() {
        for text in ["", "30", "s", "5 m", "1.5h", "5min", "--1s"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError::Malformed), "{text:?}");
        }
        assert_eq!("-5s".parse::<Span>().unwrap_err().to_string(), "must be greater than or equal to 0s");
        assert_eq!("99999999999999999d".parse::<Span>(), Err(SpanError::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same_duration(millis: u64) {
            proptest::prop_assert_eq!(Span(millis).to_string().parse(), Ok(Span(millis)));
        }
    }
}
