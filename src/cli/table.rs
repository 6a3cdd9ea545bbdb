//! Tables for people: columns as wide as their widest cell, the head in bold on a terminal that wants it.

use std::io::{self, Write as _};

use serde_json::Value;

use super::terminal;

/// Prints a table to standard output.
pub(super) fn print(head: &[&str], rows: &[Vec<String>]) {
    let bold = terminal::is_fancy(&io::stdout());
    let mut out = io::stdout().lock();
    for (at, line) in lines(head, rows).into_iter().enumerate() {
        // Whoever does not read on need not.
        let _ = if at == 0 && bold { writeln!(out, "\x1b[1m{line}\x1b[0m") } else { writeln!(out, "{line}") };
    }
}

/// Prints documents as a table of some of their fields.
pub(super) fn print_documents(columns: &[&str], documents: &[Value]) {
    let row = |document: &Value| columns.iter().map(|column| cell(&document[*column])).collect();
    print(columns, &documents.iter().map(row).collect::<Vec<_>>());
}

/// A value for people: printable, whatever its maker called it.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        other => other.to_string(),
    }
}

/// The head and the rows, aligned.
fn lines(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &&Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["1".to_owned(), "ümläut".to_owned(), "x".to_owned()], vec!["22".to_owned()]];
        assert_eq!(lines(&["id", "name", "more"], &rows), ["id  name    more", "1   ümläut  x", "22"]);
    }
}
