//! The Kubernetes dialect of JSONPath, as far as columns and scale paths use it: `.spec.image`, `.items[0].name`,
//! `.metadata.labels['a.b/c']`, `.status.conditions[?(@.type=="Ready")].status`, `[*]`.

use std::fmt;

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items whose value at the path equals (or, for false, differs from) the literal.
    Filter {
        path: Vec<String>,
        equals: bool,
        literal: Value,
    },
}

/// Why a text is not a path that is understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a path such as .spec.image or .items[?(@.type==\"Ready\")].status: {problem} at byte {at}"
)]
pub struct JsonPathError {
    text: String,
    problem: &'static str,
    at: usize,
}

impl JsonPathError {
    /// What was to be a path.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl JsonPath {
    /// Parses `text`. Braces around it and a leading `$` are allowed.
    ///
    /// # Errors
    /// When it is not understood.
    pub fn parse(text: &str) -> Result<JsonPath, JsonPathError> {
        let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
        let mut parser = Parser { text, rest: inner.strip_prefix('$').unwrap_or(inner) };
        let mut steps = Vec::new();
        while !parser.rest.is_empty() {
            steps.push(parser.step()?);
        }
        Ok(JsonPath { text: text.to_owned(), steps })
    }

    /// The path of plain `fields`.
    #[must_use]
    pub fn field(fields: &[&str]) -> JsonPath {
        JsonPath {
            text: fields.iter().map(|field| format!(".{field}")).collect(),
            steps: fields.iter().map(|&field| Step::Field(field.to_owned())).collect(),
        }
    }

    /// Everything in `value` that the path leads to, in order.
    #[must_use]
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        self.steps
            .iter()
            .fold(vec![value], |found, step| found.into_iter().flat_map(|value| step.follow(value)).collect())
    }

    /// The field names, if the path is made of nothing else.
    #[must_use]
    pub fn fields(&self) -> Option<Vec<&str>> {
        let mut names = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let Step::Field(name) = step else { return None };
            names.push(name.as_str());
        }
        Some(names)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    fn follow<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => at(value, *index).into_iter().collect(),
            Step::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            },
            Step::Filter { path, equals, literal } => {
                let matches = |item: &&Value| {
                    let found = path.iter().try_fold(*item, |value, name| value.get(name));
                    found.is_some_and(|found| (found == literal) == *equals)
                };
                value.as_array().into_iter().flatten().filter(matches).collect()
            }
        }
    }
}

/// The item at `index`, counted from the end when negative.
fn at(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let index = if index < 0 { i64::try_from(items.len()).ok()? + index } else { index };
    items.get(usize::try_from(index).ok()?)
}

struct Parser<'t> {
    text: &'t str,
    rest: &'t str,
}

impl Parser<'_> {
    fn error(&self, problem: &'static str) -> JsonPathError {
        let at = self.text.len().saturating_sub(self.rest.len());
        JsonPathError { text: self.text.to_owned(), problem, at }
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str, problem: &'static str) -> Result<(), JsonPathError> {
        if self.eat(token) { Ok(()) } else { Err(self.error(problem)) }
    }

    fn step(&mut self) -> Result<Step, JsonPathError> {
        if self.eat("[?(") {
            return self.filter();
        }
        if self.eat("[") {
            return self.bracket();
        }
        self.expect(".", "expected '.' or '['")?;
        if self.eat("*") { Ok(Step::All) } else { self.name().map(Step::Field) }
    }

    /// A field name; `\.` stands for a dot in it.
    fn name(&mut self) -> Result<String, JsonPathError> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
                '.' | '[' | ']' | '=' | '!' | ')' | ' ' => {
                    end = at;
                    break;
                }
                _ => name.push(c),
            }
        }
        self.rest = &self.rest[end..];
        if name.is_empty() { Err(self.error("expected a field name")) } else { Ok(name) }
    }

    fn bracket(&mut self) -> Result<Step, JsonPathError> {
        let (inside, rest) = self.rest.split_once(']').ok_or_else(|| self.error("expected ']'"))?;
        let step = match inside.trim() {
            "*" => Step::All,
            text => match unquoted(text) {
                Some(name) => Step::Field(name.to_owned()),
                None => Step::Index(text.parse().map_err(|_| self.error("expected an index"))?),
            },
        };
        self.rest = rest;
        Ok(step)
    }

    fn filter(&mut self) -> Result<Step, JsonPathError> {
        self.expect("@", "expected '@'")?;
        let mut path = Vec::new();
        while self.eat(".") {
            path.push(self.name()?);
        }
        self.rest = self.rest.trim_start();
        let equals = self.eat("==");
        if !equals {
            self.expect("!=", "expected == or !=")?;
        }
        let (literal, rest) = self.rest.split_once(")]").ok_or_else(|| self.error("expected ')]'"))?;
        let literal = literal.trim();
        let literal = match unquoted(literal) {
            Some(text) => Value::from(text),
            None => serde_json::from_str(literal).map_err(|_| self.error("expected a literal"))?,
        };
        self.rest = rest;
        Ok(Step::Filter { path, equals, literal })
    }
}

/// The text between single or double quotes.
fn unquoted(text: &str) -> Option<&str> {
    ['"', '\''].iter().find_map(|&quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_columns_find_their_values() {
        let object = json!({
            "spec": {"ports": [{"n": 1}, {"n": 2}]},
            "metadata": {"labels": {"a.b/c": "x"}},
            "status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        for (path, found) in [
            (".spec.ports[1].n", vec![json!(2)]),
            (".spec.ports[-1].n", vec![json!(2)]),
            (".spec.ports[*].n", vec![json!(1), json!(2)]),
            ("{.spec.ports[*].n}", vec![json!(1), json!(2)]),
            (".metadata.labels['a.b/c']", vec![json!("x")]),
            (".metadata.labels.a\\.b/c", vec![json!("x")]),
            (".status.conditions[?(@.type==\"Ready\")].status", vec![json!("True")]),
            (".status.conditions[?(@.type=='Ready')].status", vec![json!("True")]),
            (".status.conditions[?(@.type != 'Ready')].status", vec![json!("False")]),
            (".status.nothing", vec![]),
        ] {
            let found: Vec<&Value> = found.iter().collect();
            assert_eq!(JsonPath::parse(path).unwrap().find(&object), found, "{path}");
        }
    }

    #[test]
    fn a_path_that_is_not_understood_says_where() {
        let error = |text| JsonPath::parse(text).unwrap_err().to_string();
        assert!(error("spec").contains("expected '.' or '[' at byte 0"), "{}", error("spec"));
        assert!(error(".a[x]").contains("expected an index"));
        assert!(error(".a[?(@.b>1)]").contains("expected == or !="));
    }
}
