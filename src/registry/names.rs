//! What objects, namespaces, labels and finalizers may be called, and Kubernetes' texts for what they may not.

use crate::env::Env;

/// Which names a kind's objects may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain, at most 253 characters.
    Subdomain,
    /// RFC 1123 label, at most 63 characters: what becomes a host name.
    Label,
    /// Whatever can stand between two slashes of a URL: names of roles.
    Segment,
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SEGMENT: &str = "may not be '.' or '..' and may not contain '/' or '%'";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What `generateName` is cut to.
const GENERATED_PREFIX_MAX: usize = 58;
/// Letters of the generated end of a name: none that could form a word or be mistaken for another.
const GENERATED_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl NameRule {
    /// What is wrong with `name`, one text per fault.
    #[must_use]
    pub fn faults(self, name: &str) -> Vec<String> {
        let (max, well_formed, text) = match self {
            NameRule::Label => (63, is_label(name), LABEL),
            NameRule::Subdomain => (253, name.split('.').all(is_label), SUBDOMAIN),
            NameRule::Segment => (253, is_segment(name), SEGMENT),
        };
        let mut faults = Vec::new();
        if name.len() > max {
            faults.push(format!("must be no more than {max} bytes"));
        }
        if !well_formed {
            faults.push(text.to_owned());
        }
        faults
    }
}

/// A name made of `prefix` and five letters of chance.
#[must_use]
pub fn generated(env: &Env, prefix: &str) -> String {
    let mut end = prefix.len().min(GENERATED_PREFIX_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = prefix[..end].to_owned();
    for _ in 0..5 {
        let letter = usize::try_from(env.below(GENERATED_LETTERS.len() as u64)).unwrap_or_default();
        name.push(char::from(GENERATED_LETTERS[letter]));
    }
    name
}

/// What is wrong with `key` as the key of a label, an annotation or a finalizer: `[prefix/]name`.
#[must_use]
pub fn qualified_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            }
            faults.extend(
                NameRule::Subdomain.faults(prefix).into_iter().map(|fault| format!("prefix part {fault}")),
            );
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        faults.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_qualified_name(name) {
        faults.push(QUALIFIED.to_owned());
    }
    faults
}

/// What is wrong with `value` as the value of a label.
#[must_use]
pub fn label_value_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > 63 {
        faults.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_qualified_name(value) {
        faults.push(LABEL_VALUE.to_owned());
    }
    faults
}

fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(['/', '%'])
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.is_some_and(|&byte| inner(byte));
    let bytes = text.as_bytes();
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
}

fn is_qualified_name(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_their_rule() {
        let long = "a".repeat(64);
        for (rule, name, ok) in [
            (NameRule::Label, "web-1", true),
            (NameRule::Label, "web.1", false),
            (NameRule::Label, long.as_str(), false),
            (NameRule::Subdomain, "web.example", true),
            (NameRule::Subdomain, "web..example", false),
            (NameRule::Subdomain, "Web", false),
            (NameRule::Subdomain, "", false),
        ] {
            assert_eq!(rule.faults(name).is_empty(), ok, "{name}");
        }
    }

    #[test]
    fn label_keys_and_values_are_checked() {
        for (key, ok) in
            [("a", true), ("a.b/c_d", true), ("A.b/c", false), ("/c", false), ("a/", false), ("a b", false)]
        {
            assert_eq!(qualified_faults(key).is_empty(), ok, "{key}");
        }
        for (value, ok) in [("", true), ("a_b.C", true), ("-a", false), ("a b", false)] {
            assert_eq!(label_value_faults(value).is_empty(), ok, "{value}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_generated_name_is_a_cut_prefix_and_five_letters() {
        let env = Env::simulated("test", 1, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(generated(&env, "web-").len(), 9);
        assert_eq!(generated(&env, &"x".repeat(100)).len(), 63);
        assert_ne!(generated(&env, "web-"), generated(&env, "web-"));
    }
}
