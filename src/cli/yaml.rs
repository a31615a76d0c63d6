//! YAML as kubectl reads and writes it: 1.1 booleans and octal numbers in, quoted where they would be misread out.

use serde::Serialize;
use serde_json::Value;

/// What is wrong with a YAML document, and in which of its lines (from 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// The line, where the parser knows it.
    pub line: Option<u64>,
    /// One line of text without position.
    pub message: String,
}

/// Reads one document. An empty one is null.
///
/// # Errors
///
/// If the text is not YAML, repeats a key, or has more than one document.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Option<Value>>(text, options)
        .map(Option::unwrap_or_default)
        .map_err(|error| located(&error))
}

fn located(error: &serde_saphyr::Error) -> YamlError {
    let error = error.without_snippet();
    let line = error.location().map(|location| location.line()).filter(|&line| line > 0);
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    // The caller knows in which line of which file the document begins; the parser does not.
    let message = first.split_once(" at line ").map_or(first, |(message, _)| message);
    // Advice for programmers.
    let message = message.split_once(", set DuplicateKeyPolicy").map_or(message, |(message, _)| message);
    YamlError { line, message: message.to_owned() }
}

/// Writes a document, ending in a newline.
///
/// # Errors
///
/// If the value has no YAML form, such as a map with keys that are maps.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, YamlError> {
    serde_saphyr::to_string(value).map_err(|error| YamlError { line: None, message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_those_of_yaml_1_1() {
        let read = parse("a: yes\nb: off\nc: 0644\nd: '0644'\ne: 1.5\nf: 10\ng: ~\nh: y\n").unwrap();
        assert_eq!(
            read,
            json!({"a": true, "b": false, "c": 420, "d": "0644", "e": 1.5, "f": 10, "g": null, "h": true})
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let error = parse("kind: App\nspec:\n  cmd: [a\n").unwrap_err();
        assert!(error.line.is_some_and(|line| line >= 3), "{error:?}");
        let error = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(error.line, Some(3), "{error:?}");
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        let value =
            json!({"a": "yes", "b": "0644", "c": "1.5", "d": "null", "e": "plain", "f": "two\nlines\n"});
        let text = to_string(&value).unwrap();
        assert_eq!(parse(&text).unwrap(), value, "{text}");
    }
}
