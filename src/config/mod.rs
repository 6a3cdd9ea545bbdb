//! The configuration: defaults, then a TOML file, then `VERITAIL_*` variables, then flags; the later wins.
//!
//! One struct per concern, each setting declared once with default, range, variable and meaning. A key or variable that
//! nobody knows, and a value that does not fit, are errors that name the place, the value and what is allowed.

use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Deserialize;

mod database;
mod http;
mod live;
mod nearest;
pub mod networks;
mod object;
mod pipeline;
pub mod settings;
mod telemetry;
pub mod value;
mod verify;

pub use database::Database;
pub use http::Http;
pub use live::Live;
pub use object::Object;
pub use pipeline::Pipeline;
pub use telemetry::Telemetry;
pub use verify::Verify;

use settings::{OutOfRange, Row};

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder for everything that has no place of its own.
    pub data_dir: PathBuf,
    /// How requests are taken.
    pub http: Http,
    /// Where the open ends of traces are.
    pub live: Live,
    /// Where everything is written down.
    pub database: Database,
    /// Where proven bytes are kept.
    pub object: Object,
    /// How traces are treated.
    pub pipeline: Pipeline,
    /// Who is told of what is found to be wrong.
    pub verify: Verify,
    /// What Veritail tells about itself.
    pub telemetry: Telemetry,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./veritail-data"),
            http: Http::default(),
            live: Live::default(),
            database: Database::default(),
            object: Object::default(),
            pipeline: Pipeline::default(),
            verify: Verify::default(),
            telemetry: Telemetry::default(),
        }
    }
}

/// Settings given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `http.listen`.
    pub listen: Option<String>,
    /// `data_dir`.
    pub data_dir: Option<PathBuf>,
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A key, a variable or a value.
    #[error("{0}")]
    Setting(String),
}

/// Variables that begin like settings and are none.
const NOT_SETTINGS: &[&str] = &[
    "VERITAIL_CA_CERTIFICATE",
    "VERITAIL_CONFIG",
    "VERITAIL_JOB_TOKEN",
    "VERITAIL_REVISION",
    "VERITAIL_SPOOL_DIR",
    "VERITAIL_TOKEN",
    "VERITAIL_URL",
    crate::seams::abort::VARIABLE,
];

/// A setting as it is in effect.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Its key in the file.
    pub key: &'static str,
    /// Its value as it is written in a file; a secret is masked, `unset` is none.
    pub shown: String,
    /// Where it comes from: `default`, the file's name, the variable, or the command line.
    pub origin: String,
}

impl Config {
    /// Every setting, for reading variables and for the reference page.
    pub fn rows() -> Vec<Row> {
        let data_dir = Row {
            key: "data_dir",
            variable: "VERITAIL_DATA_DIR",
            default: value::Value::show(&Self::default().data_dir),
            range: None,
            help: "The folder for everything that has no place of its own.",
            text: true,
        };
        let concerns = [
            Http::rows(),
            Live::rows(),
            Database::rows(),
            Object::rows(),
            Pipeline::rows(),
            Verify::rows(),
            Telemetry::rows(),
        ];
        std::iter::once(data_dir).chain(concerns.into_iter().flatten()).collect()
    }

    /// Reads the configuration; `variables` are those of the environment.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, BadConfig> {
        Self::effective(file, variables, flags).map(|(config, _)| config)
    }

    /// The same, and of every setting its value and where it comes from.
    pub fn effective(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<(Self, Vec<Effective>), BadConfig> {
        let rows = Self::rows();
        let mut figment = Figment::new();
        if let Some(path) = file {
            let text =
                std::fs::read_to_string(path).map_err(|error| BadConfig::File { path: path.to_owned(), error })?;
            let toml = Toml::string(&text);
            figment = figment.merge(Named { inner: toml, name: path.display().to_string() });
        }
        let environment = Given::environment(&rows, variables)?;
        figment = figment.merge(environment).merge(Given::flags(flags));
        let config: Self = figment.extract().map_err(|error| explain(error, &figment, &rows))?;
        config.check().map_err(|wrong| {
            let place = figment.find_metadata(wrong.key).map(|from| place(from, wrong.key, &rows)).unwrap_or_default();
            BadConfig::Setting(format!("{place}{} is {}, allowed is {}", wrong.key, wrong.value, wrong.range))
        })?;
        let origin = |key: &str| figment.find_metadata(key).map(|from| origin(from, key, &rows));
        let effective = config.shown().into_iter().map(|(key, shown)| Effective {
            key,
            shown,
            origin: origin(key).unwrap_or_else(|| "default".to_owned()),
        });
        let effective = effective.collect();
        Ok((config, effective))
    }

    /// Every setting and its value, as it is written in a file.
    fn shown(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("data_dir", value::Value::show(&self.data_dir))];
        all.extend(self.http.shown());
        all.extend(self.live.shown());
        all.extend(self.database.shown());
        all.extend(self.object.shown());
        all.extend(self.pipeline.shown());
        all.extend(self.verify.shown());
        all.extend(self.telemetry.shown());
        all
    }

    fn check(&self) -> Result<(), OutOfRange> {
        self.http.check()?;
        self.live.check()?;
        self.database.check()?;
        self.object.check()?;
        self.pipeline.check()?;
        self.verify.check()?;
        self.telemetry.check()
    }
}

/// Says where a setting went wrong, what was found and what is allowed.
fn explain(errors: figment::Error, figment: &Figment, rows: &[Row]) -> BadConfig {
    let lines: Vec<String> = errors
        .into_iter()
        .map(|error| {
            let key = error.path.join(".");
            let from = error.metadata.as_ref().map(|from| place(from, &key, rows)).unwrap_or_default();
            let row = rows.iter().find(|row| row.key == key);
            let range = row.and_then(|row| row.range.as_ref()).map(|range| format!("; allowed is {range}"));
            // What was found may be a secret that was written with the wrong type.
            let kind = match (&error.kind, row) {
                // Ours: it says what was found where that is not secret.
                (Kind::Message(said), Some(row)) => match found(figment, row) {
                    Some(text) if !said.contains(&format!("{text:?}")) => {
                        format!("{text:?}: {said}; the default is {}", row.default)
                    }
                    _ => said.clone(),
                },
                (_, Some(row)) if row.default == "unset" => "not a text".to_owned(),
                (Kind::UnknownField(name, known), _) => {
                    format!("there is no such key; {}", nearest::hint(name, known.iter().copied()))
                }
                (Kind::InvalidType(found, wanted), _) if ["u16", "u32", "u64", "usize"].contains(&wanted.as_str()) => {
                    format!("found {found}, a whole number is needed")
                }
                (kind, _) => kind.to_string(),
            };
            let key = if key.is_empty() { key } else { format!("{key}: ") };
            format!("{from}{key}{kind}{}", range.unwrap_or_default())
        })
        .collect();
    BadConfig::Setting(lines.join("\n"))
}

/// The text that was given for a setting that cannot be a secret.
fn found(figment: &Figment, row: &Row) -> Option<String> {
    let value = figment.find_value(row.key).ok().filter(|_| row.default != "unset")?;
    value.as_str().map(|text| text.chars().take(64).collect())
}

/// Where a value came from, ready to stand before a message.
fn place(from: &Metadata, key: &str, rows: &[Row]) -> String {
    format!("{}: ", origin(from, key, rows))
}

fn origin(from: &Metadata, key: &str, rows: &[Row]) -> String {
    match (from.name.as_ref(), rows.iter().find(|row| row.key == key)) {
        (ENVIRONMENT, Some(row)) => row.variable.to_owned(),
        (name, _) => name.to_owned(),
    }
}

const ENVIRONMENT: &str = "the environment";

/// A provider under another name.
struct Named<P> {
    inner: P,
    name: String,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.inner.data()
    }
}

/// Values given by name.
struct Given {
    name: &'static str,
    values: Vec<(&'static str, Value)>,
}

impl Given {
    fn environment(rows: &[Row], variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadConfig> {
        let mut values = Vec::new();
        for (name, text) in variables {
            if !name.starts_with("VERITAIL_") || NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let Some(row) = rows.iter().find(|row| row.variable == name) else {
                let hint = nearest::hint(&name, rows.iter().map(|row| row.variable));
                return Err(BadConfig::Setting(format!("{name}: there is no such variable; {hint}")));
            };
            // A token made of digits stays a text.
            let value = if row.text { Value::from(text) } else { read_plain(&text) };
            values.push((row.key, value));
        }
        Ok(Self { name: ENVIRONMENT, values })
    }

    fn flags(flags: &Flags) -> Self {
        let listen = flags.listen.as_ref().map(|listen| ("http.listen", Value::from(listen.as_str())));
        let data_dir = flags.data_dir.as_ref().map(|path| ("data_dir", Value::from(path.display().to_string())));
        Self { name: "the command line", values: listen.into_iter().chain(data_dir).collect() }
    }
}

/// A number or a truth value; anything else stays a text, and does not fit.
fn read_plain(text: &str) -> Value {
    if let Ok(number) = text.parse::<u64>() {
        Value::from(number)
    } else if let Ok(truth) = text.parse::<bool>() {
        Value::from(truth)
    } else {
        Value::from(text)
    }
}

impl Provider for Given {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut all = Dict::new();
        for (key, value) in &self.values {
            match key.split_once('.') {
                None => {
                    all.insert((*key).to_owned(), value.clone());
                }
                Some((section, field)) => {
                    let section = all.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
                    if let Value::Dict(_, fields) = section {
                        fields.insert(field.to_owned(), value.clone());
                    }
                }
            }
        }
        Ok(Map::from([(Profile::Default, all)]))
    }
}

#[cfg(test)]
mod tests;
