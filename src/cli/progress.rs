//! Long work, shown while it goes on: a live line per subject on a terminal, a line per change when piped.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::print;

/// The lines of what is going on.
#[derive(Debug)]
pub struct Progress {
    screen: Option<MultiProgress>,
    lines: BTreeMap<String, Line>,
}

#[derive(Debug)]
struct Line {
    text: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Live lines if standard output is a terminal.
    #[must_use]
    pub fn of_stdout() -> Self {
        let live = io::stdout().is_terminal();
        let screen = live.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout()));
        Self { screen, lines: BTreeMap::new() }
    }

    /// What is to be said of a subject now. Saying the same again shows nothing.
    ///
    /// # Errors
    ///
    /// If standard output is closed.
    pub fn say(&mut self, subject: &str, text: &str) -> io::Result<()> {
        if self.lines.get(subject).is_some_and(|line| line.text == text) {
            return Ok(());
        }
        let shown = format!("{subject}: {text}");
        let line = self
            .lines
            .entry(subject.to_owned())
            .or_insert_with(|| Line { text: String::new(), bar: self.screen.as_ref().map(live_line) });
        text.clone_into(&mut line.text);
        match &line.bar {
            Some(bar) => {
                bar.set_message(shown);
                Ok(())
            }
            None => print::line(&shown),
        }
    }

    /// The last that is to be said of a subject; its line stays.
    ///
    /// # Errors
    ///
    /// If standard output is closed.
    pub fn end(&mut self, subject: &str, text: &str) -> io::Result<()> {
        match self.lines.remove(subject) {
            Some(Line { bar: Some(bar), .. }) => {
                bar.finish_and_clear();
                print::line(&format!("{subject}: {text}"))
            }
            Some(line) if line.text == text => Ok(()),
            _ => print::line(&format!("{subject}: {text}")),
        }
    }
}

fn live_line(screen: &MultiProgress) -> ProgressBar {
    let bar = screen.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
