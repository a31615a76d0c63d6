//! The part of kubectl's JSONPath that `wait` needs: `{.status.conditions[?(@.type=="Ready")].status}`.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Elements whose field is this text.
    Where(String, String),
}

/// Why a text is not a path that we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a path such as {{.status.phase}}: {problem}")]
pub struct JsonPathError {
    path: String,
    problem: String,
}

impl JsonPath {
    /// Reads `{.a.b[0]}`, `.a.b` or `a.b`.
    ///
    /// # Errors
    ///
    /// If the text is something else, such as a range or a slice, which this does not know.
    pub fn parse(path: &str) -> Result<Self, JsonPathError> {
        let failed = |problem: &str| JsonPathError { path: path.to_owned(), problem: problem.to_owned() };
        let mut rest = path.trim();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner.strip_suffix('}').ok_or_else(|| failed("the brace is not closed"))?;
        }
        rest = rest.strip_prefix('$').unwrap_or(rest);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let end = closing(inner).ok_or_else(|| failed("the bracket is not closed"))?;
                steps.push(bracket(inner[..end].trim()).ok_or_else(|| failed("unknown form in brackets"))?);
                rest = &inner[end + 1..];
            } else {
                rest = rest.strip_prefix('.').unwrap_or(rest);
                // A dot that belongs to the name is written as \.
                let (name, after) = field(rest);
                if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "{}()".contains(c)) {
                    return Err(failed("a name is missing"));
                }
                steps.push(if name == "*" { Step::All } else { Step::Field(name) });
                rest = after;
            }
        }
        if steps.is_empty() { Err(failed("it is empty")) } else { Ok(Self(steps)) }
    }

    /// All values that the path leads to.
    #[must_use]
    pub fn find<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![document], |values, step| {
            values.into_iter().flat_map(|value| step.from(value)).collect()
        })
    }
}

impl Step {
    fn from<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let elements = value.as_array().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
                let index = if *index < 0 { length + index } else { *index };
                usize::try_from(index).ok().and_then(|index| elements.get(index)).into_iter().collect()
            }
            Self::All => match value {
                Value::Object(map) => map.values().collect(),
                _ => elements.iter().collect(),
            },
            Self::Where(field, text) => elements
                .iter()
                .filter(|element| element.get(field).is_some_and(|value| shown(value) == *text))
                .collect(),
        }
    }
}

/// A value as kubectl prints it: texts without quotes.
#[must_use]
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            other => name.push(other),
        }
    }
    (name, "")
}

/// Where the bracket ends, outside quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, ']') => return Some(at),
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), character) if open == character => quote = None,
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::All);
    }
    if let Ok(index) = inner.parse() {
        return Some(Step::Index(index));
    }
    if let Some(name) = unquoted(inner) {
        return Some(Step::Field(name));
    }
    let condition = inner.strip_prefix("?(")?.strip_suffix(')')?;
    let (left, right) = condition.split_once("==")?;
    Some(Step::Where(left.trim().strip_prefix("@.")?.to_owned(), unquoted(right.trim())?))
}

fn unquoted(text: &str) -> Option<String> {
    let strip = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    strip('\'').or_else(|| strip('"')).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let document = json!({
            "status": {"running": 5, "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}]},
            "metadata": {"labels": {"tenure.dev/app": "web"}},
        });
        for (path, found) in [
            ("{.status.running}", vec![json!(5)]),
            (".status.running", vec![json!(5)]),
            ("{.status.conditions[?(@.type==\"Ready\")].status}", vec![json!("True")]),
            ("{.status.conditions[0].type}", vec![json!("Ready")]),
            ("{.status.conditions[-1].type}", vec![json!("Other")]),
            ("{.status.conditions[*].type}", vec![json!("Ready"), json!("Other")]),
            ("{.metadata.labels['tenure.dev/app']}", vec![json!("web")]),
            ("{.metadata.labels.tenure\\.dev/app}", vec![json!("web")]),
            ("{.status.absent.deeper}", vec![]),
        ] {
            let values: Vec<Value> =
                JsonPath::parse(path).unwrap().find(&document).into_iter().cloned().collect();
            assert_eq!(values, found, "{path}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for path in ["", "{}", "{.a", "{.a[1:2]}", "{.a[}", "{..a}", "{range .items[*]}{.a}{end}"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
