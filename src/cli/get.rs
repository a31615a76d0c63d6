//! `tenure get`: objects as the server's tables, or as documents; once or as they change.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::connection::{Connection, TABLE};
use super::kinds::{Catalog, Resource, select};
use super::print::{self, Columns, Form, Grid, Paint, TableOptions};
use super::watch::{Event, Query, Watch};

/// Arguments of `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// What to show: TYPE, TYPE,TYPE, TYPE NAME…, TYPE/NAME… or `all`
    #[arg(required_unless_present = "raw")]
    pub what: Vec<String>,
    /// How to show it
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
    /// Go on with changes as they happen
    #[arg(short, long)]
    pub watch: bool,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only objects with these labels: app=web,tier!=db
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only objects with these fields: metadata.name=web
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// Without headings
    #[arg(long)]
    pub no_headers: bool,
    /// An object that does not exist is no failure
    #[arg(long)]
    pub ignore_not_found: bool,
    /// With managedFields, in documents
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Show what the server answers to a GET of this path
    #[arg(long, value_name = "PATH", conflicts_with_all = ["what", "watch"])]
    pub raw: Option<String>,
}

/// Forms of `get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table with all columns
    Wide,
    /// Indented JSON
    Json,
    /// YAML
    Yaml,
    /// TYPE/NAME only
    Name,
}

impl Output {
    fn form(self) -> Option<Form> {
        match self {
            Self::Json => Some(Form::Json),
            Self::Yaml => Some(Form::Yaml),
            Self::Wide | Self::Name => None,
        }
    }
}

pub(super) async fn run(connection: &Connection, args: &GetArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.raw {
        print::line(connection.get_text(path).await?.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let catalog = Catalog::load(connection).await?;
    let selected = select(&catalog, &args.what)?;
    match args.output {
        _ if args.watch => watch(connection, &selected, args).await,
        None | Some(Output::Wide) => tables(connection, &selected, args).await,
        Some(output) => documents(connection, &selected, args, output).await,
    }
}

type Selected<'a> = (&'a Resource, Option<String>);

/// What is asked for one kind. A named object is asked for by a field selector where a table or a watch is wanted.
fn query(connection: &Connection, resource: &Resource, name: Option<&str>, args: &GetArgs) -> Query {
    let namespace = (!args.all_namespaces).then_some(connection.namespace.as_str());
    let by_name = name.map(|name| format!("metadata.name={name}"));
    let fields: Vec<String> = args.field_selector.clone().into_iter().chain(by_name).collect();
    Query {
        path: resource.path(namespace, None),
        label_selector: args.selector.clone(),
        field_selector: (!fields.is_empty()).then(|| fields.join(",")),
        accept: "application/json",
    }
}

fn options<'a>(resource: &Resource, prefix: &'a str, args: &GetArgs) -> TableOptions<'a> {
    TableOptions {
        wide: args.output == Some(Output::Wide),
        with_namespace: args.all_namespaces && resource.namespaced,
        name_prefix: prefix,
        no_headers: args.no_headers,
    }
}

/// One table per kind; kinds without objects are left out where several were asked for.
async fn tables(
    connection: &Connection,
    selected: &[Selected<'_>],
    args: &GetArgs,
) -> anyhow::Result<ExitCode> {
    let groups = by_kind(selected);
    let several = groups.len() > 1;
    let (mut shown, mut failed) = (0, false);
    for (resource, names) in &groups {
        let mut grid = Grid::default();
        let prefix = if several { resource.called("") } else { String::new() };
        let options = options(resource, &prefix, args);
        let mut headed = false;
        let mut rows = 0;
        for table in asked(connection, resource, names, args, TABLE, &mut failed).await? {
            let columns = Columns::read(&table, options.wide)?;
            if !headed && table["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
                columns.head(&mut grid, options);
                headed = true;
            }
            rows += columns.rows(&table, &mut grid, options);
        }
        if rows > 0 {
            let gap = if shown > 0 { "\n" } else { "" };
            print::out(&format!("{gap}{}", grid.take(Paint::of_stdout())))?;
        }
        shown += rows;
    }
    if shown == 0 && !failed && !args.ignore_not_found {
        let place = match args.all_namespaces || groups.iter().all(|(resource, _)| !resource.namespaced) {
            true => String::new(),
            false => format!(" in {} namespace", connection.namespace),
        };
        print::note(&format!("No resources found{place}"));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Named objects of one kind stand together.
fn by_kind<'a>(selected: &[Selected<'a>]) -> Vec<(&'a Resource, Vec<String>)> {
    let mut groups: Vec<(&Resource, Vec<String>)> = Vec::new();
    for (resource, name) in selected {
        match groups.iter_mut().find(|(known, _)| known == resource) {
            Some((_, names)) => names.extend(name.clone()),
            None => groups.push((resource, name.clone().into_iter().collect())),
        }
    }
    groups
}

/// The list of a kind, or its named objects one by one. A missing one is told and is a failure, unless ignored.
async fn asked(
    connection: &Connection,
    resource: &Resource,
    names: &[String],
    args: &GetArgs,
    accept: &str,
    failed: &mut bool,
) -> anyhow::Result<Vec<Value>> {
    if names.is_empty() {
        let path = query(connection, resource, None, args).list_path();
        return Ok(vec![connection.get_as(&path, accept).await?]);
    }
    if args.all_namespaces && resource.namespaced {
        bail!("an object cannot be named across all namespaces");
    }
    let mut answers = Vec::new();
    for name in names {
        match connection.get_as(&resource.path(Some(&connection.namespace), Some(name)), accept).await {
            Ok(answer) => answers.push(answer),
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            Err(error) if error.is_not_found() => {
                *failed = true;
                print::note(&format!("error: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answers)
}

async fn documents(
    connection: &Connection,
    selected: &[Selected<'_>],
    args: &GetArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut failed = false;
    let mut found: Vec<(&Resource, Value)> = Vec::new();
    for (resource, names) in by_kind(selected) {
        for answer in asked(connection, resource, &names, args, "application/json", &mut failed).await? {
            if names.is_empty() {
                found.extend(items(resource, answer).into_iter().map(|item| (resource, item)));
            } else {
                found.push((resource, answer));
            }
        }
    }
    if !args.show_managed_fields {
        found.iter_mut().for_each(|(_, object)| without_managed_fields(object));
    }
    if let Some(form) = output.form() {
        let one_named = matches!(selected, [(_, Some(_))]);
        match (one_named, found.len()) {
            (true, 1) => print::out(&form.text(&found[0].1)?)?,
            (true, _) => {}
            (false, _) => {
                let items: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
                let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items});
                print::out(&form.text(&list)?)?;
            }
        }
    } else {
        for (resource, object) in &found {
            print::line(&resource.called(object["metadata"]["name"].as_str().unwrap_or_default()))?;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The items of a list as documents that say what they are.
pub(super) fn items(resource: &Resource, mut list: Value) -> Vec<Value> {
    let Value::Array(mut items) = list["items"].take() else { return Vec::new() };
    for item in &mut items {
        if let Value::Object(item) = item {
            item.entry("apiVersion").or_insert_with(|| resource.api_version().into());
            item.entry("kind").or_insert_with(|| resource.kind.clone().into());
        }
    }
    items
}

fn without_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// What there is, then each change, until interrupted.
async fn watch(
    connection: &Connection,
    selected: &[Selected<'_>],
    args: &GetArgs,
) -> anyhow::Result<ExitCode> {
    let [(resource, name)] = selected else {
        bail!("one type of resource, and at most one name, can be watched")
    };
    let mut query = query(connection, resource, name.as_deref(), args);
    let as_table = matches!(args.output, None | Some(Output::Wide));
    if as_table {
        query.accept = TABLE;
    }
    let mut view = View { resource, args, grid: Grid::default(), columns: Columns::default(), headed: false };
    loop {
        let list = connection.get_as(&query.list_path(), query.accept).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        if as_table {
            view.table(&list)?;
        } else {
            for item in items(resource, list) {
                view.document(item)?;
            }
        }
        let mut watch = Watch::from(connection, query.clone(), &version);
        loop {
            match watch.next().await {
                Ok(Event::Applied(object) | Event::Deleted(object)) if as_table => view.table(&object)?,
                Ok(Event::Applied(object) | Event::Deleted(object)) => view.document(object)?,
                // What changed meanwhile is forgotten: show everything as it is now.
                Err(error) if error.is_expired() => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

struct View<'a> {
    resource: &'a Resource,
    args: &'a GetArgs,
    grid: Grid,
    columns: Columns,
    headed: bool,
}

impl View<'_> {
    fn table(&mut self, table: &Value) -> anyhow::Result<()> {
        let options = options(self.resource, "", self.args);
        // Only the first event of a watch has the columns.
        if table["columnDefinitions"].is_array() {
            self.columns = Columns::read(table, options.wide)?;
        }
        if !self.headed {
            self.columns.head(&mut self.grid, options);
            self.headed = true;
        }
        self.columns.rows(table, &mut self.grid, options);
        Ok(print::out(&self.grid.take(Paint::of_stdout()))?)
    }

    fn document(&self, mut object: Value) -> anyhow::Result<()> {
        if !self.args.show_managed_fields {
            without_managed_fields(&mut object);
        }
        let text = match self.args.output.and_then(Output::form) {
            Some(Form::Yaml) => format!("---\n{}", Form::Yaml.text(&object)?),
            Some(Form::Json) => Form::Json.text(&object)?,
            None => {
                format!("{}\n", self.resource.called(object["metadata"]["name"].as_str().unwrap_or_default()))
            }
        };
        Ok(print::out(&text)?)
    }
}
