//! How much is measured.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) tasks: usize,
    pub(crate) agents: usize,
    pub(crate) apps: usize,
    pub(crate) rounds: usize,
    /// How long one measurement may take.
    pub(crate) patience: Duration,
}

impl Options {
    /// Reads `[--tasks N] [--agents N] [--apps N] [--rounds N]`.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Options> {
        let (mut tasks, mut agents, mut apps, mut rounds) = (20_000, 10_000, None, 3);
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
                number(&argument, &value)
            };
            match argument.as_str() {
                "--tasks" => tasks = value()?,
                "--agents" => agents = value()?,
                "--apps" => apps = Some(value()?),
                "--rounds" => rounds = value()?,
                other => bail!("{other} is none of --tasks, --agents, --apps, --rounds"),
            }
        }
        // A hundred tasks an App.
        let apps = apps.unwrap_or_else(|| tasks.div_ceil(100));
        Ok(Options { tasks, agents, apps, rounds, patience: Duration::from_secs(600) })
    }

    /// How many instances the App with this number has: all Apps together have the tasks wanted.
    pub(crate) fn instances(&self, app: usize) -> usize {
        self.tasks / self.apps + usize::from(app < self.tasks % self.apps)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { tasks, agents, apps, rounds, .. } = self;
        write!(f, "{tasks} tasks of {apps} Apps on {agents} simulated agents, {rounds} rounds")
    }
}

fn number(option: &str, value: &str) -> Result<usize> {
    match value.parse() {
        Ok(0) | Err(_) => bail!("{option} {value}: a number from 1 is wanted"),
        Ok(number) => Ok(number),
    }
}
