//! What is wrong with a field, in the words and with the reasons of Kubernetes, so that its tools show it as usual.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// What is quoted of a value, or told of a path: up to about so many bytes.
const TOLD_BYTES_MAX: usize = 1_024;

/// A field that does not hold what it must.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Where it stands: `spec.ports[1].name`. Empty for the document itself.
    pub path: String,
    /// What stands there; null where nothing does.
    pub value: Value,
    /// What kind of fault it is.
    pub reason: Reason,
    /// What is allowed, continuing [`Reason`]'s words; may be empty.
    pub message: String,
}

/// Kinds of faults, by the names that Kubernetes gives them in `details.causes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A value that must be there is not.
    Required,
    /// A value that must be unique is there twice.
    Duplicate,
    /// Not of the form or in the range that is allowed.
    Invalid,
    /// Not one of the values that are allowed.
    NotSupported,
    /// May not be given, or may not be given together with another.
    Forbidden,
    /// More characters or bytes than allowed.
    TooLong,
    /// More elements than allowed.
    TooMany,
    /// Not of the type that is allowed.
    TypeInvalid,
}

impl Reason {
    /// The name in `details.causes[].reason`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }

    /// Whether the text quotes the value.
    const fn quotes(self) -> bool {
        matches!(self, Self::Duplicate | Self::Invalid | Self::NotSupported | Self::TypeInvalid)
    }
}

impl FieldError {
    /// `path: Required value: message`
    pub fn required(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), value: Value::Null, reason: Reason::Required, message: message.into() }
    }

    /// `path: Duplicate value: "value"`
    pub fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { path: path.into(), value: value.into(), reason: Reason::Duplicate, message: String::new() }
    }

    /// `path: Invalid value: "value": message`
    pub fn invalid(path: impl Into<String>, value: impl Into<Value>, message: impl Into<String>) -> Self {
        Self { path: path.into(), value: value.into(), reason: Reason::Invalid, message: message.into() }
    }

    /// `path: Unsupported value: "value": supported values: "a", "b"`
    pub fn not_supported(path: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let message = format!("supported values: {}", supported.join(", "));
        Self { path: path.into(), value: value.into(), reason: Reason::NotSupported, message }
    }

    /// `path: Forbidden: message`
    pub fn forbidden(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), value: Value::Null, reason: Reason::Forbidden, message: message.into() }
    }

    /// The text without the path, as `details.causes[].message` has it.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = self.reason.words().to_owned();
        if self.reason.quotes() {
            text = format!("{text}: {}", cut(&self.value));
        }
        if !self.message.is_empty() {
            text = format!("{text}: {}", self.message);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", if self.path.is_empty() { "<nil>" } else { &self.path }, self.body())
    }
}

/// How `shown` begins, with `…` where it is longer than anybody reads. The rest of it is not even written.
#[must_use]
pub fn cut(shown: impl fmt::Display) -> String {
    let mut short = Short(String::new());
    // It fails where there is no more room.
    match write!(short, "{shown}") {
        Ok(()) | Err(fmt::Error) => short.0,
    }
}

/// A text that takes no more than people read.
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TOLD_BYTES_MAX.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
        self.0.push_str(&text[..end]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_cut_where_nobody_reads_on() {
        let long = "ü".repeat(TOLD_BYTES_MAX);
        assert_eq!(cut(&long), format!("{}…", "ü".repeat(TOLD_BYTES_MAX / 2)));
        assert_eq!(cut(&long[..TOLD_BYTES_MAX]), long[..TOLD_BYTES_MAX]);
        assert_eq!(
            cut(format_args!("{}{}", "a".repeat(TOLD_BYTES_MAX), "b")),
            format!("{}…", "a".repeat(TOLD_BYTES_MAX))
        );
        let fault = FieldError::invalid("spec.x", long, "must be short").to_string();
        assert!(fault.ends_with("ü…: must be short") && fault.len() < TOLD_BYTES_MAX + 100, "{fault}");
    }

    #[test]
    fn faults_read_as_in_kubernetes() {
        for (error, text) in [
            (
                FieldError::duplicate("spec.ports[1].name", "http"),
                r#"spec.ports[1].name: Duplicate value: "http""#,
            ),
            (FieldError::required("spec.cmd", ""), "spec.cmd: Required value"),
            (FieldError::forbidden("spec.args", "not with cmd"), "spec.args: Forbidden: not with cmd"),
            (FieldError::invalid("spec.x", 7, "must be even"), "spec.x: Invalid value: 7: must be even"),
            (
                FieldError::not_supported("spec.op", "UNIQ", &["IS", "UNIQUE"]),
                r#"spec.op: Unsupported value: "UNIQ": supported values: "IS", "UNIQUE""#,
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
