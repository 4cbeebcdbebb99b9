//! Tables, lists of facts, and JSON on standard output.

use crate::error::CliError;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, Write as _};
use std::path::Path;

/// A table that is also good to `grep` and `awk`: no lines, columns two blanks apart.
pub(crate) struct Rows {
    table: Table,
}

impl Rows {
    /// An empty table. Headings that start with `>` are of columns of numbers.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(
            headings
                .iter()
                .map(|heading| heading.trim_start_matches('>').to_uppercase()),
        );
        for (index, heading) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, 2));
                if heading.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { table }
    }

    pub(crate) fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells.into_iter().collect::<Vec<_>>());
    }

    /// The text, with no blanks at line ends.
    pub(crate) fn text(&self) -> String {
        self.table.trim_fmt() + "\n"
    }

    /// Prints it, or the text for when there is nothing.
    pub(crate) fn print(&self, empty: &str) -> Result<(), CliError> {
        if self.table.row_count() == 0 {
            print(&format!("{empty}\n"))
        } else {
            print(&self.text())
        }
    }
}

/// What stands where there is nothing to say.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `name:  value` lines, values in one column.
pub(crate) fn facts(facts: &[(&str, String)]) -> Result<(), CliError> {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let lines = facts
        .iter()
        .map(|(name, value)| format!("{:width$}  {value}\n", format!("{name}:")));
    print(&lines.collect::<String>())
}

/// Prints text. A reader that went away (`| head`) ends the program quietly.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(|source| CliError::file("write to", Path::new("standard output"), source)),
    }
}

/// Prints a value as JSON, indented.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    encoded(serde_json::to_string_pretty(value))
}

/// Prints a value as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), CliError> {
    encoded(serde_json::to_string(value))
}

fn encoded(text: serde_json::Result<String>) -> Result<(), CliError> {
    let text = text.map_err(|error| CliError::file("encode", Path::new("JSON"), error.into()))?;
    print(&format!("{text}\n"))
}
