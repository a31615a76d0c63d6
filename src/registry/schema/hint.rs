//! The declared name that was probably meant, or all that are declared.

use super::Schema;
use crate::registry::field::cut;

/// Nothing that is declared is as long: what is longer is no slip.
const NAME_BYTES_MAX: usize = 256;

/// Declared names are gathered up to about so many bytes; fewer are shown.
const NAMES_BYTES_MAX: usize = 4_096;

/// The name nearest to `name`, if one is near enough to be a slip: at most a third of its letters differ, or only
/// case, `-` and `_` do. Ties go to the first in order.
pub(in crate::registry) fn nearest<'n>(
    name: &str,
    declared: impl Iterator<Item = &'n String>,
) -> Option<&'n str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let folded = fold(name);
    declared
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate.as_str()))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()).div_ceil(3).min(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The names that `schema` declares, for people: as many as they read.
pub(in crate::registry) fn declared(schema: &Schema) -> String {
    let mut names = String::new();
    for name in schema.properties.keys() {
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.push_str(name);
        // Of what follows nothing would be shown.
        if names.len() > NAMES_BYTES_MAX {
            break;
        }
    }
    cut(names)
}

fn fold(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions and substitutions from `a` to `b` (Levenshtein). Names are short.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_declared_names_the_first_are_told() {
        let schema = |count: usize| {
            let names = (0..count).map(|number| (format!("n{number:05}"), Schema::default()));
            Schema { properties: names.collect(), ..Schema::default() }
        };
        assert_eq!(declared(&schema(3)), "n00000, n00001, n00002");
        let many = declared(&schema(100_000));
        assert!(many.len() < NAMES_BYTES_MAX && many.ends_with('…'), "{many}");
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let names: Vec<String> =
            ["container", "instances", "healthChecks", "env", "cmd"].map(str::to_owned).into();
        for (name, near) in [
            ("instance", Some("instances")),
            ("instnaces", Some("instances")),
            ("health_checks", Some("healthChecks")),
            ("healthcheck", Some("healthChecks")),
            ("evn", None),
            ("envs", Some("env")),
            ("bogus", None),
            ("replicas", None),
        ] {
            assert_eq!(nearest(name, names.iter()), near, "{name}");
        }
    }
}
