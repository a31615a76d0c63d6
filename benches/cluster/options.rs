//! What is measured, and how large.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Where documents are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Memory,
    Embedded,
    Etcd,
}

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) tasks: usize,
    pub(crate) agents: usize,
    pub(crate) apps: usize,
    pub(crate) store: StoreKind,
    /// How long the quiet part lasts.
    pub(crate) quiet: Duration,
    /// How long one part may take.
    pub(crate) patience: Duration,
    parts: Vec<String>,
}

const PARTS: [&str; 4] = ["rollout", "quiet", "loss", "failover"];

impl Options {
    /// Reads `[--tasks N] [--agents N] [--apps N] [--store memory|embedded|etcd] [--quiet SECONDS] [PART...]`.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Options> {
        let (mut tasks, mut agents, mut apps) = (100_000, 10_000, None);
        let (mut store, mut quiet, mut parts) = (StoreKind::Memory, 60, Vec::new());
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--tasks" => tasks = number(&argument, &value()?)?,
                "--agents" => agents = number(&argument, &value()?)?,
                "--apps" => apps = Some(number(&argument, &value()?)?),
                "--quiet" => quiet = number(&argument, &value()?)?,
                "--store" => store = store_kind(&value()?)?,
                part if PARTS.contains(&part) => parts.push(part.to_owned()),
                other => bail!("{other} is neither an option nor one of {}", PARTS.join(", ")),
            }
        }
        // A hundred tasks an App, as 1,000,000 tasks of 10,000 Apps are.
        let apps = apps.unwrap_or_else(|| tasks.div_ceil(100).clamp(1, 10_000));
        Ok(Options {
            tasks,
            agents,
            apps,
            store,
            quiet: Duration::from_secs(quiet as u64),
            patience: Duration::from_secs(600),
            parts,
        })
    }

    /// Whether a part is wanted; without names all are.
    pub(crate) fn runs(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|it| it == part)
    }

    /// How many instances the App with this number has: all Apps together have the tasks wanted.
    pub(crate) fn instances(&self, app: usize) -> usize {
        self.tasks / self.apps + usize::from(app < self.tasks % self.apps)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { tasks, agents, apps, store, .. } = self;
        write!(f, "{tasks} tasks of {apps} Apps on {agents} simulated agents; store: {store:?}")
    }
}

fn number(option: &str, value: &str) -> Result<usize> {
    match value.parse() {
        Ok(0) | Err(_) => bail!("{option} {value}: a number from 1 is wanted"),
        Ok(number) => Ok(number),
    }
}

fn store_kind(value: &str) -> Result<StoreKind> {
    match value {
        "memory" => Ok(StoreKind::Memory),
        "embedded" => Ok(StoreKind::Embedded),
        "etcd" => Ok(StoreKind::Etcd),
        other => bail!("--store {other}: one of memory, embedded, etcd is wanted"),
    }
}
