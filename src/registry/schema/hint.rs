//! The declared name that was probably meant.

/// Nothing that is declared is as long: what is longer is no slip.
const NAME_BYTES_MAX: usize = 256;

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
