//! `tenure rollout undo`: writes the template of an earlier revision back into the app.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::super::connection::{Connection, FIELD_MANAGER, JSON_PATCH, with_query};
use super::super::kinds::{Catalog, Resource};
use super::super::print;
use super::history::numbered;
use crate::api::{Revision, template};

/// Arguments of `rollout undo`.
#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// The apps: NAME…, app NAME… or app/NAME…
    #[arg(required = true)]
    what: Vec<String>,
    /// The revision to go back to [default: the one before the current]
    #[arg(long, value_name = "NUMBER")]
    to_revision: Option<u64>,
}

pub(super) async fn run(connection: &Connection, args: &UndoArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let (apps, names) = super::apps(&catalog, &args.what)?;
    for name in names {
        undo(connection, &catalog, apps, &name, args.to_revision).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn undo(
    connection: &Connection,
    catalog: &Catalog,
    apps: &Resource,
    name: &str,
    number: Option<u64>,
) -> anyhow::Result<()> {
    let path = apps.path(Some(&connection.namespace), Some(name));
    let app = connection.get(&path).await?;
    let revisions = super::revisions(connection, catalog, name).await?;
    let current = app["status"]["revision"].as_str();
    let target = match number {
        Some(number) => numbered(&revisions, number, name)?,
        None => {
            previous(&revisions, current).with_context(|| format!("app {name} has no earlier revision"))?
        }
    };
    if target.metadata.name.as_deref() == current {
        bail!("app {name} is at revision {} already", target.spec.number);
    }
    let wanted =
        serde_json::to_value(&target.spec.template).context("the revision's template is malformed")?;
    let patch = patch(&app, &wanted);
    let path = with_query(&path, &[("fieldManager", Some(FIELD_MANAGER))]);
    connection.patch(&path, JSON_PATCH, &patch).await?;
    print::line(&format!("{} rolled back to revision {}", apps.called(name), target.spec.number))?;
    Ok(())
}

/// The revision with the highest number below the current one's.
fn previous<'a>(revisions: &'a [Revision], current: Option<&str>) -> Option<&'a Revision> {
    let is_current = |revision: &&Revision| revision.metadata.name.as_deref() == current;
    let number = revisions.iter().find(is_current).map_or(u64::MAX, |revision| revision.spec.number);
    revisions
        .iter()
        .filter(|revision| revision.spec.number < number)
        .max_by_key(|revision| revision.spec.number)
}

/// A JSON patch that makes the template fields of an app those of `wanted`, if nobody writes it meanwhile.
fn patch(app: &Value, wanted: &Value) -> Value {
    let none = Map::new();
    let present = app["spec"].as_object().unwrap_or(&none);
    let wanted = wanted.as_object().unwrap_or(&none);
    let mut operations = vec![
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": app["metadata"]["resourceVersion"]}),
    ];
    for &field in template::FIELDS {
        let path = format!("/spec/{field}");
        match (present.get(field), wanted.get(field)) {
            (present, Some(value)) if present != Some(value) => {
                operations.push(json!({"op": "add", "path": path, "value": value}));
            }
            (Some(_), None) => operations.push(json!({"op": "remove", "path": path})),
            _ => {}
        }
    }
    Value::Array(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_template_goes_back() {
        let app = json!({
            "metadata": {"resourceVersion": "7"},
            "spec": {"instances": 5, "cmd": "new", "env": [{"name": "A"}], "kill": {"gracePeriod": "3s"}},
        });
        let wanted = json!({"args": ["old"], "kill": {"gracePeriod": "3s"}});
        assert_eq!(
            patch(&app, &wanted),
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "remove", "path": "/spec/cmd"},
                {"op": "add", "path": "/spec/args", "value": ["old"]},
                {"op": "remove", "path": "/spec/env"},
            ])
        );
    }

    #[test]
    fn the_revision_before_the_current_one_has_the_next_lower_number() {
        let revision = |number: u64| {
            let mut revision = Revision::new(&format!("web-{number}"), crate::api::RevisionSpec::default());
            revision.spec.number = number;
            revision
        };
        let all = [revision(1), revision(4), revision(6)];
        let number = |current: &str| previous(&all, Some(current)).map(|revision| revision.spec.number);
        assert_eq!(number("web-6"), Some(4));
        assert_eq!(number("web-1"), None);
    }
}
