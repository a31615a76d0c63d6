//! `tenure diff`: what `apply` would change, as a unified diff of YAML. Exits with 1 if that is anything.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::apply::{Object, content};
use super::applyset::ApplySet;
use super::connection::Connection;
use super::kinds::Catalog;
use super::manifest;
use super::print::{self, Paint};
use super::yaml;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A file, a folder, or - for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    pub files: Vec<String>,
    /// Show also what apply would delete with these flags
    #[arg(long, requires = "applyset")]
    pub prune: bool,
    /// The set that the files are applied as: NAME (of a Secret), secrets/NAME or configmaps/NAME
    #[arg(long, value_name = "[KIND/]NAME", requires = "prune")]
    pub applyset: Option<String>,
}

pub(super) async fn run(connection: &Connection, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let (documents, mut errors) = manifest::read(&args.files);
    let catalog = Catalog::load(connection).await?;
    let set = match &args.applyset {
        Some(set) => Some(ApplySet::open(connection, &catalog, set).await?),
        None => None,
    };
    let (mut differ, mut objects) = (false, Vec::new());
    for document in &documents {
        let told = async {
            let mut object = Object::of(connection, &catalog, &document.value)?;
            if let Some(set) = &set {
                set.take(connection, &mut object).await?;
            }
            let text = difference(connection, &object).await?;
            anyhow::Ok((object, text))
        };
        match told.await {
            Ok((object, text)) => {
                differ |= !text.is_empty();
                print::out(&text)?;
                objects.push(object);
            }
            Err(error) => errors.push(error.context(document.place.to_string())),
        }
    }
    // Nothing is pruned when anything of a set fails.
    if let Some(set) = set.filter(|_| errors.is_empty()) {
        for leftover in set.leftovers(connection, &catalog, &objects).await? {
            differ = true;
            let before = text(&leftover.live(connection).await?)?;
            print::out(&unified(&leftover.called, &before, "", Paint::of_stdout()))?;
        }
    }
    if let Some((last, others)) = errors.split_last() {
        others.iter().for_each(|error| print::note(&format!("error: {error:#}")));
        bail!("{last:#}");
    }
    Ok(if differ { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn difference(connection: &Connection, object: &Object<'_>) -> anyhow::Result<String> {
    let before = object.live(connection).await.with_context(|| object.called())?;
    let after = object.dry_run(connection, true).await.with_context(|| object.called())?;
    let before = before.as_ref().map(text).transpose()?.unwrap_or_default();
    Ok(unified(&object.called(), &before, &text(&after)?, Paint::of_stdout()))
}

fn text(object: &Value) -> anyhow::Result<String> {
    yaml::to_string(&content(object)).context("failed to write YAML")
}

/// A unified diff, or nothing if both are equal.
fn unified(name: &str, before: &str, after: &str, paint: Paint) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(before, after);
    let mut text = format!("--- live/{name}\n+++ wanted/{name}\n");
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        text.push_str(&format!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            text.push_str(&match change.tag() {
                ChangeTag::Delete => paint.red(&format!("-{line}")),
                ChangeTag::Insert => paint.green(&format!("+{line}")),
                ChangeTag::Equal => format!(" {line}"),
            });
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_its_surroundings() {
        let text = unified("app.tenure.dev/web", "a: 1\nb: 2\nc: 3\n", "a: 1\nb: 4\nc: 3\n", Paint::Plain);
        assert_eq!(
            text,
            "--- live/app.tenure.dev/web\n+++ wanted/app.tenure.dev/web\n@@ -1,3 +1,3 @@\n a: 1\n-b: 2\n+b: 4\n c: 3\n"
        );
        assert_eq!(unified("x", "a: 1\n", "a: 1\n", Paint::Plain), "");
    }
}
