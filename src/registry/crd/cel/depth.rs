//! How deeply a rule nests, found before it is parsed: the parser and the interpreter descend a level of the stack for each.

/// As deep as Kubernetes' own parser goes, when an operator counts one.
pub(super) const DEPTH_MAX: usize = 250;
/// What an expression inside another counts: our parser goes to 96 of these.
const INNER: usize = 3;

/// The depth to which parsing `rule` may go at most: open brackets, and operators beside each other, which lean on one another.
///
/// # Errors
/// When it has a text that does not end or that the language cannot read: who knows what is text in it.
pub(super) fn of(rule: &str) -> Result<usize, &'static str> {
    let (mut rest, mut depth) = (rest_of(rule), 0);
    // How many operators stand at each open level so far.
    let mut levels = vec![0_usize];
    while let Some(letter) = rest.next() {
        match letter {
            '"' | '\'' => text(&mut rest, letter)?,
            '/' if rest.peek() == Some('/') => rest.skip_line(),
            '(' | '[' | '{' => levels.push(INNER - 1),
            '?' => add(&mut levels, INNER),
            ')' | ']' | '}' => {
                if levels.len() > 1 {
                    levels.pop();
                }
                step(&mut levels);
            }
            '!' | '-' | '+' | '*' | '/' | '%' | ':' | '.' | '<' | '>' | '=' | '&' | '|' => {
                step(&mut levels);
            }
            // `in` is an operator, and a name like any other for this count.
            letter if letter.is_whitespace() => step_after_word(&mut rest, &mut levels),
            _ => {}
        }
        depth = depth.max(levels.len() + levels.iter().sum::<usize>());
    }
    Ok(depth)
}

fn step(levels: &mut [usize]) {
    add(levels, 1);
}

fn add(levels: &mut [usize], by: usize) {
    if let Some(level) = levels.last_mut() {
        *level += by;
    }
}

/// Counts `in` where it stands alone.
fn step_after_word(rest: &mut Rest<'_>, levels: &mut [usize]) {
    if rest.left.starts_with("in")
        && !rest.left[2..].starts_with(|it: char| it.is_alphanumeric() || it == '_')
    {
        step(levels);
    }
}

/// What is left of a rule, and the letter before.
struct Rest<'r> {
    left: &'r str,
    before: Option<char>,
    current: Option<char>,
}

fn rest_of(rule: &str) -> Rest<'_> {
    Rest { left: rule, before: None, current: None }
}

impl Rest<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.left = &self.left[letter.len_utf8()..];
        (self.before, self.current) = (self.current, Some(letter));
        Some(letter)
    }

    fn peek(&self) -> Option<char> {
        self.left.chars().next()
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|letter| !matches!(letter, '\n' | '\r')) {
            self.next();
        }
    }

    /// Goes past `text` if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let found = self.left.starts_with(text);
        for _ in text.chars().filter(|_| found) {
            self.next();
        }
        found
    }
}

/// Goes past a text, whose first quote was read.
fn text(rest: &mut Rest<'_>, quote: char) -> Result<(), &'static str> {
    let is_raw = matches!(rest.before, Some('r' | 'R'));
    let triple = if quote == '"' { "\"\"" } else { "''" };
    if rest.take(triple) {
        let end = if quote == '"' { "\"\"\"" } else { "'''" };
        while !rest.take(end) {
            letter(rest, is_raw)?;
        }
        return Ok(());
    }
    loop {
        match rest.peek() {
            Some('\n' | '\r') => return Err("a text does not end on its line"),
            Some(letter) if letter == quote => {
                rest.next();
                return Ok(());
            }
            _ => letter(rest, is_raw)?,
        }
    }
}

/// Goes past one letter of a text, or past one that is spelt by a backslash.
fn letter(rest: &mut Rest<'_>, is_raw: bool) -> Result<(), &'static str> {
    match rest.next() {
        None => Err("a text does not end"),
        Some('\\') if !is_raw => {
            let (digits, radix) = match rest.next() {
                Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '?' | '"' | '\'' | '`') => {
                    return Ok(());
                }
                Some('x' | 'X') => (2, 16),
                Some('u') => (4, 16),
                Some('U') => (8, 16),
                Some('0'..='3') => (2, 8),
                _ => return Err("a text has a backslash before what is not spelt so"),
            };
            let all = (0..digits).all(|_| rest.next().is_some_and(|it| it.is_digit(radix)));
            if all { Ok(()) } else { Err("a text has a letter that is spelt by too few digits") }
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_operators_lean_on_each_other() {
        for (rule, depth) in [
            ("self", 1),
            ("self.a <= self.b", 4),
            ("((1))", 7),
            ("a(b(c))", 7),
            ("f(a) + f(b)", 5),
            ("a ? b : c", 5),
            ("'(((' + \"[[[\" + r'\\' + '''a'(''' // ((((", 4),
            ("'\\'((' == '\\x28\\u0028\\050'", 3),
            ("a in b", 2),
        ] {
            let found = of(rule).unwrap();
            assert!((depth..depth + 4).contains(&found), "{rule}: {found}, expected about {depth}");
        }
    }

    #[test]
    fn what_may_or_may_not_be_a_text_is_refused() {
        for rule in ["'((((", "'a\n(((('", "'\\q(((('", "'\\x2((((('", "\"\"\"((((", "'\\"] {
            assert!(of(rule).is_err(), "{rule}");
        }
        // The second quote is in a remark.
        assert!(of("//'\n((((").unwrap() > 4);
    }
}
