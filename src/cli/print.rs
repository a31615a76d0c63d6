//! What goes to standard output: tables as kubectl sets them, documents, and colour where a terminal shows it.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use serde_json::Value;

use super::yaml;

/// Writes a text and what stands behind it in the buffer.
///
/// # Errors
///
/// If standard output is closed.
pub fn out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line.
///
/// # Errors
///
/// If standard output is closed.
pub fn line(text: &str) -> io::Result<()> {
    out(&format!("{text}\n"))
}

/// Writes a warning or an error to standard error, which may be closed: nobody listens then.
#[allow(clippy::print_stderr, reason = "the CLI speaks to people here")]
pub fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    let _nobody_listens = writeln!(stderr, "{text}");
}

/// Colours, or none where they would only be noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Escape sequences are written.
    Colored,
    /// The text as it is.
    Plain,
}

impl Paint {
    /// Colours if standard output is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn of_stdout() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if io::stdout().is_terminal() && !dumb && !refused { Self::Colored } else { Self::Plain }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Colored => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }

    /// Good news.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Bad news.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Not settled yet.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Less important.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// A cell in the colour of what it says, if it is one of our words for states.
    fn cell(self, text: &str, padded: &str) -> String {
        match text {
            "Running" | "True" | "Ready" => self.green(padded),
            "Failed" | "Lost" | "False" | "Warning" => self.red(padded),
            "Pending" | "Bound" | "Launching" | "Stopping" | "Unknown" => self.yellow(padded),
            _ => padded.to_owned(),
        }
    }
}

/// Rows under headings, in columns that are as wide as their widest cell and three spaces apart.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// Adds a row; the headings are the first one.
    pub fn row<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        for (index, cell) in cells.iter().enumerate() {
            let width = cell.chars().count();
            match self.widths.get_mut(index) {
                Some(widest) => *widest = width.max(*widest),
                None => self.widths.push(width),
            }
        }
        self.rows.push(cells);
    }

    /// The rows added since the last call. Columns never get narrower, so that the rows of a watch stay aligned.
    pub fn take(&mut self, paint: Paint) -> String {
        let rows = std::mem::take(&mut self.rows);
        rows.iter().map(|row| self.set(row, paint)).collect()
    }

    fn set(&self, row: &[String], paint: Paint) -> String {
        let mut text = String::new();
        for (index, cell) in row.iter().enumerate() {
            if index + 1 == row.len() {
                text.push_str(&paint.cell(cell, cell));
            } else {
                let gap = self.widths[index] + 3 - cell.chars().count();
                text.push_str(&paint.cell(cell, cell));
                text.push_str(&" ".repeat(gap));
            }
        }
        format!("{}\n", text.trim_end())
    }
}

/// How `get` shows a Table of the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableOptions<'a> {
    /// With the columns of lesser priority.
    pub wide: bool,
    /// With a column for the namespace in front.
    pub with_namespace: bool,
    /// What stands before each name: `app.tenure.dev/`.
    pub name_prefix: &'a str,
    /// Without headings.
    pub no_headers: bool,
}

/// The columns of a Table that are shown; a watch sends them with its first event only.
#[derive(Clone, Debug, Default)]
pub struct Columns(Vec<(usize, String)>);

impl Columns {
    /// Reads `columnDefinitions`.
    ///
    /// # Errors
    ///
    /// If the value is not a Table.
    pub fn read(table: &Value, wide: bool) -> anyhow::Result<Self> {
        let definitions =
            table["columnDefinitions"].as_array().context("the server's answer is not a table")?;
        let shown = definitions
            .iter()
            .enumerate()
            .filter(|(_, column)| wide || column["priority"].as_i64() <= Some(0));
        let heading = |column: &Value| column["name"].as_str().unwrap_or_default().to_uppercase();
        Ok(Self(shown.map(|(index, column)| (index, heading(column))).collect()))
    }

    /// Adds the headings to a grid.
    pub fn head(&self, grid: &mut Grid, options: TableOptions<'_>) {
        if !options.no_headers {
            let namespace = options.with_namespace.then(|| "NAMESPACE".to_owned());
            grid.row(namespace.into_iter().chain(self.0.iter().map(|(_, name)| name.clone())));
        }
    }

    /// Adds the rows of a Table to a grid; how many there were.
    pub fn rows(&self, table: &Value, grid: &mut Grid, options: TableOptions<'_>) -> usize {
        let rows = table["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        for row in rows {
            let namespace = row["object"]["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
            let cells = self.0.iter().enumerate().map(|(position, (index, _))| {
                let text = cell(&row["cells"][*index]);
                if position == 0 { format!("{}{text}", options.name_prefix) } else { text }
            });
            grid.row(options.with_namespace.then_some(namespace).into_iter().chain(cells));
        }
        rows.len()
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace('\n', " "),
        other => other.to_string(),
    }
}

/// A document as `-o json` or `-o yaml` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Form {
    /// The text of a document, ending in a newline.
    ///
    /// # Errors
    ///
    /// If it has no such form.
    pub fn text(self, document: &Value) -> anyhow::Result<String> {
        match self {
            Self::Json => Ok(format!("{document:#}\n")),
            Self::Yaml => yaml::to_string(document).context("failed to write YAML"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Value {
        json!({
            "kind": "Table",
            "columnDefinitions": [
                {"name": "Name", "type": "string", "priority": 0},
                {"name": "Ready", "type": "string", "priority": 0},
                {"name": "Image", "type": "string", "priority": 1},
                {"name": "Age", "type": "date", "priority": 0},
            ],
            "rows": [
                {"cells": ["web", "True", "web:1", "5m"], "object": {"metadata": {"name": "web", "namespace": "shop"}}},
                {"cells": ["a-longer-name", null, null, "3s"], "object": {"metadata": {"name": "x", "namespace": "a"}}},
            ],
        })
    }

    fn shown(options: TableOptions<'_>, paint: Paint) -> String {
        let columns = Columns::read(&table(), options.wide).unwrap();
        let mut grid = Grid::default();
        columns.head(&mut grid, options);
        columns.rows(&table(), &mut grid, options);
        grid.take(paint)
    }

    #[test]
    fn a_table_is_set_in_columns() {
        let text = shown(TableOptions::default(), Paint::Plain);
        assert_eq!(
            text,
            "NAME            READY   AGE\nweb             True    5m\na-longer-name           3s\n"
        );
        let options = TableOptions {
            wide: true,
            with_namespace: true,
            name_prefix: "app.tenure.dev/",
            no_headers: true,
        };
        assert_eq!(
            shown(options, Paint::Plain),
            "shop   app.tenure.dev/web             True   web:1   5m\na      app.tenure.dev/a-longer-name                  3s\n"
        );
    }

    #[test]
    fn colour_does_not_move_the_columns() {
        let text = shown(TableOptions::default(), Paint::Colored);
        assert!(text.contains("web             \x1b[32mTrue\x1b[0m    5m\n"), "{text:?}");
    }

    #[test]
    fn rows_of_a_watch_stay_aligned() {
        let mut grid = Grid::default();
        grid.row(["NAME", "AGE"]);
        grid.row(["a-long-name", "1s"]);
        grid.take(Paint::Plain);
        grid.row(["b", "2s"]);
        assert_eq!(grid.take(Paint::Plain), "b             2s\n");
    }

    #[test]
    fn an_answer_that_is_no_table_is_refused() {
        assert!(Columns::read(&json!({"kind": "AppList"}), false).is_err());
    }
}
