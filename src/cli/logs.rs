//! `tenure logs`: what tasks wrote, of one task or of all tasks of an app.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use super::connection::{Connection, with_query};
use super::get::items;
use super::kinds::{Catalog, Resource, select};
use super::print;
use crate::api::labels;

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Whose: a task (NAME or task/NAME), or all tasks of an app (app/NAME)
    #[arg(required = true)]
    pub what: Vec<String>,
    /// Go on as more is written
    #[arg(short, long)]
    pub follow: bool,
    /// Only this many lines from the end, of each task
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u64>,
    /// Only one of the two streams
    #[arg(long, value_enum)]
    pub stream: Option<Stream>,
    /// The task's name before each line, even if there is only one
    #[arg(long)]
    pub prefix: bool,
}

/// A stream of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stream {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

pub(super) async fn run(connection: &Connection, args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let tasks = catalog.find("tasks.tenure.dev")?;
    let names = names(connection, &catalog, tasks, &args.what).await?;
    let prefixed = args.prefix || names.len() > 1;
    let mut streams = Vec::new();
    let mut refused = Vec::new();
    for name in names {
        match lines(connection, tasks, &name, args, prefixed).await {
            Ok(lines) => streams.push(lines),
            Err(error) if prefixed => refused.push(format!("[{name}] {error:#}")),
            Err(error) => return Err(error),
        }
    }
    if streams.is_empty() {
        bail!(refused.join("\n"));
    }
    // One task that is gone, or of which nothing is kept, does not hide what the others wrote.
    refused.iter().for_each(|why| print::note(why));
    if args.follow {
        write(stream::select_all(streams)).await?;
    } else {
        // One task after the other: without following there is no order between them.
        write(stream::iter(streams).flatten()).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn write(
    mut lines: impl futures::Stream<Item = std::io::Result<String>> + Unpin,
) -> anyhow::Result<()> {
    while let Some(line) = lines.next().await {
        print::line(&line?)?;
    }
    Ok(())
}

/// The tasks that are meant. An app stands for all tasks of it that are in the store.
async fn names(
    connection: &Connection,
    catalog: &Catalog,
    tasks: &Resource,
    what: &[String],
) -> anyhow::Result<Vec<String>> {
    if let [name] = what
        && !name.contains('/')
    {
        return Ok(vec![name.clone()]);
    }
    let mut names = Vec::new();
    for (resource, name) in select(catalog, what)? {
        let Some(name) = name else { bail!("name a task or an app, such as app/web") };
        match resource.plural.as_str() {
            "tasks" => names.push(name),
            "apps" => {
                // Tells a missing app from one without tasks.
                connection.get(&resource.path(Some(&connection.namespace), Some(&name))).await?;
                let selector = format!("{}={name}", labels::APP);
                let path = tasks.path(Some(&connection.namespace), None);
                let list = connection.get(&with_query(&path, &[("labelSelector", Some(&selector))])).await?;
                let bound = items(tasks, list).into_iter().filter(|task| !task["spec"]["binding"].is_null());
                names.extend(bound.filter_map(|task| Some(task["metadata"]["name"].as_str()?.to_owned())));
            }
            other => bail!("{other} have no logs: name a task or an app"),
        }
    }
    if names.is_empty() {
        bail!("no task of {} has been launched yet", what.join(" "));
    }
    Ok(names)
}

async fn lines(
    connection: &Connection,
    tasks: &Resource,
    name: &str,
    args: &LogsArgs,
    prefixed: bool,
) -> anyhow::Result<BoxStream<'static, std::io::Result<String>>> {
    let tail = args.tail.map(|lines| lines.to_string());
    let path = with_query(
        &format!("{}/log", tasks.path(Some(&connection.namespace), Some(name))),
        &[
            ("follow", args.follow.then_some("true")),
            ("tailLines", tail.as_deref()),
            ("stream", args.stream.map(Stream::name)),
        ],
    );
    let lines = connection.lines(&path, "*/*").await?;
    let name = name.to_owned();
    Ok(if prefixed {
        lines.map(move |line| line.map(|line| format!("[{name}] {line}"))).boxed()
    } else {
        lines.boxed()
    })
}
