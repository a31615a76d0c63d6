//! What is measured, and how large.

use std::fmt;

use anyhow::{Context as _, Result, bail};

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    /// Objects that are written, read and listed.
    pub(crate) objects: usize,
    /// Objects of another kind that stand beside them.
    pub(crate) others: usize,
    /// How often a measure alternates.
    pub(crate) rounds: usize,
    pub(crate) clients: usize,
    /// How many watch at once.
    pub(crate) watchers: Vec<usize>,
    /// Apps that want no instance, which Tenure's loops look after meanwhile, instead of objects that nobody looks after.
    pub(crate) apps: bool,
}

impl Options {
    /// Reads `[--objects N] [--others N] [--rounds N] [--clients N] [--watchers N,N…] [--apps]`.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options {
            objects: 10_000,
            others: 100_000,
            rounds: 5,
            clients: 16,
            watchers: vec![1, 100, 1_000],
            apps: false,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--objects" => options.objects = number(&argument, &value()?)?,
                "--others" => options.others = value()?.parse().context("--others: a number is wanted")?,
                "--rounds" => options.rounds = number(&argument, &value()?)?,
                "--clients" => options.clients = number(&argument, &value()?)?,
                "--watchers" => {
                    let list = value()?;
                    options.watchers =
                        list.split(',').map(|it| number(&argument, it)).collect::<Result<_>>()?;
                }
                "--apps" => options.apps = true,
                other => {
                    bail!("{other} is none of --objects, --others, --rounds, --clients, --watchers, --apps")
                }
            }
        }
        Ok(options)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.apps { "Apps" } else { "objects of a user's kind" };
        let Options { objects, others, rounds, clients, .. } = self;
        write!(
            f,
            "{objects} {kind} beside {others} others; {clients} clients; {rounds} rounds; store: embedded"
        )
    }
}

fn number(option: &str, value: &str) -> Result<usize> {
    match value.parse() {
        Ok(0) | Err(_) => bail!("{option} {value}: a number from 1 is wanted"),
        Ok(number) => Ok(number),
    }
}
