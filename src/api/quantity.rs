//! Amounts: cpus in thousandths, memory and disk in bytes.
//!
//! A manifest may write them as integer, number or string; one canonical string is stored and shown, so that two
//! spellings of one amount are equal, hash equally and make no diff. Both types are exact: a text that would need
//! rounding is refused.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not an amount. The message completes `Invalid value: "…": `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text has no digits, or an unknown suffix.
    #[error("must be {expected}")]
    Malformed {
        /// What is allowed, with examples.
        expected: &'static str,
    },
    /// A minus sign.
    #[error("must be greater than or equal to 0")]
    Negative,
    /// More digits than the unit can hold.
    #[error("must be a multiple of {unit}")]
    TooPrecise {
        /// The smallest amount.
        unit: &'static str,
    },
    /// Beyond what 64 bits hold.
    #[error("is too large")]
    TooLarge,
}

/// An amount of processor time, in thousandths of a cpu: `500m`, `2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpus(u64);

/// An amount of memory or disk, in bytes: `256Mi`, `1Gi`, `1000000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

const CPUS_EXPECTED: &str = "an amount of cpus such as 500m, 0.5 or 2";
const BYTES_EXPECTED: &str = "an amount of bytes such as 256Mi, 1.5Gi, 500M or 1048576";
const BINARY: [(&str, u32); 6] = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
const DECIMAL: [(&str, u32); 6] = [("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3)];

impl Cpus {
    /// From thousandths of a cpu.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// In thousandths of a cpu.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// As the scalar that Mesos uses; exact to the three digits that Mesos keeps.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl Bytes {
    /// From bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From mebibytes, the unit of Mesos.
    #[must_use]
    pub const fn from_mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In mebibytes, as the scalar that Mesos uses.
    #[must_use]
    pub fn as_mebibytes(self) -> f64 {
        self.0 as f64 / f64::from(1u32 << 20)
    }
}

impl FromStr for Cpus {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (digits, per_unit) = match text.strip_suffix('m') {
            Some(digits) => (digits, 1),
            None => (text, 1000),
        };
        scaled(digits, per_unit, CPUS_EXPECTED, "1m").map(Self)
    }
}

impl FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let binary = BINARY.iter().map(|&(suffix, power)| (suffix, 1u128 << power));
        let decimal = DECIMAL.iter().map(|&(suffix, power)| (suffix, 10u128.pow(power)));
        for (suffix, per_unit) in binary.chain(decimal) {
            if let Some(digits) = text.strip_suffix(suffix) {
                return scaled(digits, per_unit, BYTES_EXPECTED, "one byte").map(Self);
            }
        }
        scaled(text, 1, BYTES_EXPECTED, "one byte").map(Self)
    }
}

/// `digits` (an unsigned decimal fraction) times `per_unit`, exactly.
fn scaled(
    digits: &str,
    per_unit: u128,
    expected: &'static str,
    unit: &'static str,
) -> Result<u64, QuantityError> {
    let malformed = || QuantityError::Malformed { expected };
    if let Some(rest) = digits.strip_prefix('-') {
        return Err(if is_decimal(rest) { QuantityError::Negative } else { malformed() });
    }
    if !is_decimal(digits) {
        return Err(malformed());
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 18 {
        return Err(QuantityError::TooPrecise { unit });
    }
    let shift = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| QuantityError::TooLarge)?);
    let number: u128 = format!("{whole}{fraction}").parse().map_err(|_| QuantityError::TooLarge)?;
    let total = number.checked_mul(per_unit).ok_or(QuantityError::TooLarge)?;
    if total % shift != 0 {
        return Err(QuantityError::TooPrecise { unit });
    }
    u64::try_from(total / shift).map_err(|_| QuantityError::TooLarge)
}

fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction)
}

impl fmt::Display for Cpus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(formatter, "{}", self.0 / 1000)
        } else {
            write!(formatter, "{}m", self.0)
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = BINARY.iter().map(|&(suffix, power)| (suffix, 1u64 << power));
        let decimal = DECIMAL.iter().map(|&(suffix, power)| (suffix, 10u64.pow(power)));
        let exact = binary.chain(decimal).find(|&(_, size)| self.0 >= size && self.0.is_multiple_of(size));
        match exact {
            Some((suffix, size)) => write!(formatter, "{}{suffix}", self.0 / size),
            None => write!(formatter, "{}", self.0),
        }
    }
}

macro_rules! written_as_text {
    ($type_:ident, $format:literal, $expected:expr, $description:literal) => {
        impl Serialize for $type_ {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type_ {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type_;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str($expected)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type_, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type_, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type_, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$type_, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $type_ {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type_).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"x-kubernetes-int-or-string": true, "format": $format, "description": $description})
            }
        }
    };
}

written_as_text!(Cpus, "cpus", CPUS_EXPECTED, "Cpus, in whole or in thousandths: 2, 0.5, 500m.");
written_as_text!(
    Bytes,
    "bytes",
    BYTES_EXPECTED,
    "Bytes, with an optional suffix: 1048576, 256Mi, 1Gi, 500M."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_amount_become_one_canonical_string() {
        for (text, canonical) in
            [("0.5", "500m"), ("500m", "500m"), ("2", "2"), ("2000m", "2"), ("1.50", "1500m")]
        {
            assert_eq!(text.parse::<Cpus>().unwrap().to_string(), canonical, "{text}");
        }
        for (text, canonical) in [
            ("256Mi", "256Mi"),
            ("268435456", "256Mi"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("500M", "500M"),
            ("0", "0"),
            ("1001", "1001"),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn integers_numbers_and_strings_are_accepted() {
        let cpus: Vec<Cpus> = serde_json::from_str(r#"[1, 0.1, "250m"]"#).unwrap();
        assert_eq!(cpus, [Cpus(1000), Cpus(100), Cpus(250)]);
        let bytes: Vec<Bytes> = serde_json::from_str(r#"[1048576, 1e3, "1Ki"]"#).unwrap();
        assert_eq!(bytes, [Bytes(1 << 20), Bytes(1000), Bytes(1024)]);
        assert_eq!(serde_json::to_string(&bytes).unwrap(), r#"["1Mi","1k","1Ki"]"#);
    }

    #[test]
    fn a_bad_amount_says_what_is_allowed() {
        let cpus = |text: &str| text.parse::<Cpus>().unwrap_err().to_string();
        assert_eq!(cpus("lots"), "must be an amount of cpus such as 500m, 0.5 or 2");
        assert_eq!(cpus(""), "must be an amount of cpus such as 500m, 0.5 or 2");
        assert_eq!(cpus("-1"), "must be greater than or equal to 0");
        assert_eq!(cpus("0.0001"), "must be a multiple of 1m");
        assert_eq!(cpus("99999999999999999999"), "is too large");
        let bytes = |text: &str| text.parse::<Bytes>().unwrap_err().to_string();
        assert_eq!(bytes("256MB"), "must be an amount of bytes such as 256Mi, 1.5Gi, 500M or 1048576");
        assert_eq!(bytes("0.5"), "must be a multiple of one byte");
        assert_eq!(bytes("-1Gi"), "must be greater than or equal to 0");
    }

    proptest::proptest! {
        #[test]
        fn the_canonical_string_reads_back_as_the_same_amount(amount: u64) {
            proptest::prop_assert_eq!(Cpus(amount).to_string().parse(), Ok(Cpus(amount)));
            proptest::prop_assert_eq!(Bytes(amount).to_string().parse(), Ok(Bytes(amount)));
        }
    }
}
