//! `tenure delete`: asks for the end of objects and, unless told otherwise, waits until they are gone.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::apply::Object;
use super::connection::{Connection, with_query};
use super::get::items;
use super::kinds::{Catalog, Resource, select};
use super::manifest;
use super::print;
use super::progress::Progress;
use super::wait::{Deadline, until_gone};
use super::watch::Query;
use crate::api::Span;

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// What to delete: TYPE NAME… or TYPE/NAME…
    #[arg(required_unless_present = "files")]
    pub what: Vec<String>,
    /// What the documents of a file, a folder, or - for standard input, name; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", conflicts_with_all = ["what", "selector", "all"])]
    pub files: Vec<String>,
    /// All objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub selector: Option<String>,
    /// All objects of the type
    #[arg(long)]
    pub all: bool,
    /// What happens to what they own
    #[arg(long, value_enum, default_value = "background")]
    pub cascade: Cascade,
    /// Wait until they are gone
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span>,
    /// An object that does not exist is no failure
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Ask the server whether it would work, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What happens to what an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cascade {
    /// Ends after it
    Background,
    /// Ends before it
    Foreground,
    /// Stays
    Orphan,
}

impl Cascade {
    fn policy(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// One object to delete.
struct Victim<'a> {
    resource: &'a Resource,
    namespace: Option<String>,
    name: String,
}

pub(super) async fn run(connection: &Connection, args: &DeleteArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let (victims, mut failed) = victims(connection, &catalog, args).await?;
    let mut going = Vec::new();
    for victim in victims {
        match delete(connection, &victim, args).await {
            Ok(None) => {}
            Ok(Some(uid)) => {
                let dry = if args.dry_run { " (server dry run)" } else { "" };
                print::line(&format!("{} deleted{dry}", victim.resource.called(&victim.name)))?;
                going.push((victim, uid));
            }
            Err(error) => {
                failed = true;
                print::note(&format!("error: {error:#}"));
            }
        }
    }
    if args.wait && !args.dry_run {
        let deadline = Deadline::after(args.timeout);
        let mut progress = Progress::of_stdout();
        for (victim, uid) in going {
            let path = victim.resource.path(victim.namespace.as_deref(), None);
            let called = victim.resource.called(&victim.name);
            let query = Query::named(path, &victim.name);
            until_gone(connection, query, Some(&uid), &called, &deadline, &mut progress).await?;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The objects that are meant, and whether some source could not be read.
async fn victims<'a>(
    connection: &Connection,
    catalog: &'a Catalog,
    args: &DeleteArgs,
) -> anyhow::Result<(Vec<Victim<'a>>, bool)> {
    if !args.files.is_empty() {
        return Ok(of_files(connection, catalog, &args.files));
    }
    let mut victims = Vec::new();
    for (resource, name) in select(catalog, &args.what)? {
        let namespace = resource.namespaced.then(|| connection.namespace.clone());
        if let Some(name) = name {
            victims.push(Victim { resource, namespace, name });
        } else if args.all || args.selector.is_some() {
            let path = resource.path(namespace.as_deref(), None);
            let list =
                connection.get(&with_query(&path, &[("labelSelector", args.selector.as_deref())])).await?;
            victims.extend(items(resource, list).into_iter().map(|item| Victim {
                resource,
                namespace: namespace.clone(),
                name: item["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            }));
        } else {
            bail!("name what to delete, or give --all or -l SELECTOR");
        }
    }
    if victims.is_empty() {
        print::note("No resources found");
    }
    Ok((victims, false))
}

/// The last document first: what was applied later may depend on what was applied earlier.
fn of_files<'a>(connection: &Connection, catalog: &'a Catalog, files: &[String]) -> (Vec<Victim<'a>>, bool) {
    let (documents, mut errors) = manifest::read(files);
    let mut victims = Vec::new();
    for document in documents.iter().rev() {
        match catalog.of_document(&document.value).and_then(|resource| {
            let object = Object::of(connection, catalog, &document.value)?;
            Ok(Victim {
                resource,
                namespace: object.namespace().map(ToOwned::to_owned),
                name: object.name.to_owned(),
            })
        }) {
            Ok(victim) => victims.push(victim),
            Err(error) => errors.push(error.context(document.place.to_string())),
        }
    }
    for error in &errors {
        print::note(&format!("error: {error:#}"));
    }
    (victims, !errors.is_empty())
}

/// The uid of the object that is going, or nothing if there was none and that is no failure.
async fn delete(
    connection: &Connection,
    victim: &Victim<'_>,
    args: &DeleteArgs,
) -> anyhow::Result<Option<String>> {
    let path = victim.resource.path(victim.namespace.as_deref(), Some(&victim.name));
    let path = with_query(&path, &[("dryRun", args.dry_run.then_some("All"))]);
    let options =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": args.cascade.policy()});
    match connection.delete(&path, &options).await {
        Ok(answer) => Ok(Some(uid(&answer).to_owned())),
        Err(error) if error.is_not_found() && args.ignore_not_found => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The answer is a Status if the object is gone already, else the object as it goes.
fn uid(answer: &Value) -> &str {
    answer["details"]["uid"].as_str().or_else(|| answer["metadata"]["uid"].as_str()).unwrap_or_default()
}
