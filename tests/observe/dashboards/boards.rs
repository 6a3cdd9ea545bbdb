//! The dashboards as they are in the repository.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// A dashboard.
pub struct Board {
    /// Its file's name.
    pub file: String,
    /// All of it.
    pub json: Value,
}

/// A panel that is not a row.
pub struct Panel<'a> {
    /// Its dashboard and its title.
    pub name: String,
    /// All of it.
    pub json: &'a Value,
}

/// A query of a panel.
pub struct Target<'a> {
    /// What is asked.
    pub expr: &'a str,
    /// How its series are called.
    pub legend: &'a str,
    /// Whether it is asked for the end of the time alone.
    pub instant: bool,
    /// Whether it becomes a table.
    pub is_table: bool,
}

impl Board {
    /// Its panels, without the heads of rows.
    pub fn panels(&self) -> Vec<Panel<'_>> {
        let panels = list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row");
        panels.map(|json| Panel { name: format!("{}: {}", self.file, text(&json["title"])), json }).collect()
    }
}

impl<'a> Panel<'a> {
    /// Its kind.
    pub fn kind(&self) -> &str {
        text(&self.json["type"])
    }

    /// What it asks.
    pub fn targets(&self) -> Vec<Target<'a>> {
        let target = |json: &'a Value| Target {
            expr: text(&json["expr"]),
            legend: text(&json["legendFormat"]),
            instant: json["instant"] == true,
            is_table: json["format"] == "table",
        };
        list(&self.json["targets"]).iter().map(target).collect()
    }
}

/// All of them, by file name.
pub fn all() -> Vec<Board> {
    let entries = std::fs::read_dir(folder()).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("text");
        Board {
            file: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            json: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        }
    };
    files.iter().map(read).collect()
}

/// A string; empty if it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list; empty if it is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
