//! `app=web,tier in (a,b),!old,n gt 3`: selection by labels.

use std::collections::BTreeSet;

use crate::registry::failure::Failure;
use crate::registry::labels::Labels;

/// Every requirement must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    Absent,
    In(BTreeSet<String>),
    /// Also holds when the label is absent.
    NotIn(BTreeSet<String>),
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    /// Parses `text`; the empty text selects everything.
    ///
    /// # Errors
    /// 400 with Kubernetes' text.
    pub fn parse(text: &str) -> Result<LabelSelector, Failure> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut requirements = Vec::new();
        while parser.peek() != Token::End {
            requirements.push(parser.requirement().map_err(|problem| {
                Failure::bad_request(format!("unable to parse requirement: {problem}"))
            })?);
            match parser.next() {
                Token::Comma if parser.peek() != Token::End => {}
                Token::End => break,
                Token::Comma => {
                    let text = "unable to parse requirement: found '', expected: identifier after ','";
                    return Err(Failure::bad_request(text));
                }
                other => {
                    let text = format!(
                        "unable to parse requirement: found '{other}', expected: ',' or 'end of string'"
                    );
                    return Err(Failure::bad_request(text));
                }
            }
        }
        Ok(LabelSelector { requirements })
    }

    /// Whether an object with `labels` is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels.get(&requirement.key)))
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl Requirement {
    fn holds(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|label| label.parse::<i64>().ok());
        match &self.operator {
            Operator::Exists => label.is_some(),
            Operator::Absent => label.is_none(),
            Operator::In(values) => label.is_some_and(|label| values.contains(label)),
            Operator::NotIn(values) => label.is_none_or(|label| !values.contains(label)),
            Operator::Greater(bound) => number().is_some_and(|number| number > *bound),
            Operator::Less(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Comma,
    Open,
    Close,
    Equals,
    Differs,
    Not,
    Greater,
    Less,
    End,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Token::Word(word) => word,
            Token::Comma => ",",
            Token::Open => "(",
            Token::Close => ")",
            Token::Equals => "=",
            Token::Differs => "!=",
            Token::Not => "!",
            Token::Greater => ">",
            Token::Less => "<",
            Token::End => "",
        })
    }
}

fn tokens(text: &str) -> Vec<Token> {
    const SYMBOLS: [(&str, Token); 9] = [
        ("==", Token::Equals),
        ("!=", Token::Differs),
        ("=", Token::Equals),
        ("!", Token::Not),
        (",", Token::Comma),
        ("(", Token::Open),
        (")", Token::Close),
        (">", Token::Greater),
        ("<", Token::Less),
    ];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let symbol = SYMBOLS.iter().find_map(|(symbol, token)| Some((rest.strip_prefix(symbol)?, token)));
        let after = match symbol {
            Some((after, token)) => {
                tokens.push(token.clone());
                after
            }
            None => {
                let ends = |c: char| c.is_whitespace() || "=!,()<>".contains(c);
                let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                tokens.push(Token::Word(word.to_owned()));
                after
            }
        };
        rest = after.trim_start();
    }
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens.get(self.at).cloned().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek() == Token::Not;
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(word) => word,
            other => return Err(format!("found '{other}', expected: !, identifier, or 'end of string'")),
        };
        if let Some(fault) = crate::registry::names::qualified_faults(&key).first() {
            return Err(format!("<nil>: Invalid value: {key:?}: {fault}"));
        }
        let operator = if absent { Operator::Absent } else { self.operator()? };
        Ok(Requirement { key, operator })
    }

    fn operator(&mut self) -> Result<Operator, String> {
        match self.peek() {
            Token::End | Token::Comma => return Ok(Operator::Exists),
            _ => {}
        }
        match self.next() {
            Token::Equals => Ok(Operator::In([self.value()?].into())),
            Token::Differs => Ok(Operator::NotIn([self.value()?].into())),
            Token::Greater => Ok(Operator::Greater(self.bound()?)),
            Token::Less => Ok(Operator::Less(self.bound()?)),
            Token::Word(word) => match word.as_str() {
                "in" => Ok(Operator::In(self.values()?)),
                "notin" => Ok(Operator::NotIn(self.values()?)),
                "gt" => Ok(Operator::Greater(self.bound()?)),
                "lt" => Ok(Operator::Less(self.bound()?)),
                other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
            },
            other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Comma | Token::Close => Ok(String::new()),
            Token::Word(word) => {
                self.next();
                match crate::registry::names::label_value_faults(&word).first() {
                    Some(fault) => Err(format!("values[0][{word}]: Invalid value: {word:?}: {fault}")),
                    None => Ok(word),
                }
            }
            other => Err(format!("found '{other}', expected: identifier")),
        }
    }

    fn bound(&mut self) -> Result<i64, String> {
        let text = self.value()?;
        text.parse().map_err(|_| {
            format!("values[0][{text}]: Invalid value: {text:?}: for 'Gt', 'Lt' operators, the value must be an integer")
        })
    }

    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        match self.next() {
            Token::Open => {}
            other => return Err(format!("found '{other}' expected: '('")),
        }
        let mut values = BTreeSet::from([self.value()?]);
        loop {
            match self.next() {
                Token::Comma => {
                    values.insert(self.value()?);
                }
                Token::Close => return Ok(values),
                other => return Err(format!("found '{other}', expected: ',' or ')'")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_hold_as_in_kubernetes() {
        let labels = Labels::from_iter([("app", "web"), ("n", "4"), ("e", "")]);
        for (text, holds) in [
            ("", true),
            ("app=web", true),
            ("app==web,n=4", true),
            ("app != web", false),
            ("other!=web", true),
            ("app in (web, db)", true),
            ("app notin (db),other notin (x)", true),
            ("app", true),
            ("other", false),
            ("!other", true),
            ("!app", false),
            ("n gt 3", true),
            ("n<4", false),
            ("app gt 3", false),
            ("e=", true),
            ("app in ()", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&labels), holds, "{text}");
        }
    }

    #[test]
    fn a_bad_selector_is_told_in_kubernetes_words() {
        let message = |text| LabelSelector::parse(text).unwrap_err().message;
        assert_eq!(
            message("a b c"),
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
        );
        assert!(message("a in b").contains("expected: '('"));
        assert!(message("a,").contains("expected: identifier after ','"));
        assert!(message("-a=b").contains("name part must consist of"));
    }
}
