//! Who verifies: a running server, or this process over the stores.

use std::env::var;
use std::path::PathBuf;

use clap::Args;

use super::place::Place;
use crate::app::{CannotStart, Offline};
use crate::cli::Failed;
use crate::cli::client::Connection;
use crate::cli::sources::Sources;

/// Who verifies. What is in the environment is not taken for a choice, so nothing here is read from it by `clap`.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown, reason = "the comments are texts of `--help`, where backticks would show")]
#[command(group = clap::ArgGroup::new("stores").args(["data_dir", "config"]).multiple(true))]
pub(super) struct Target {
    /// Where Veritail listens [env: VERITAIL_URL] [default: http://127.0.0.1:8080].
    #[arg(long, conflicts_with_all = ["data_dir", "config"])]
    url: Option<String>,
    /// The token to use; without it the admin token in the data folder [env: VERITAIL_TOKEN].
    #[arg(long, conflicts_with_all = ["data_dir", "config"])]
    token: Option<String>,
    /// A PEM file with certificates to trust beside those of this machine [env: VERITAIL_CA_CERTIFICATE].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "config"])]
    ca_certificate: Option<PathBuf>,
    /// No server: verify in this process, over the stores of this data folder. None may be running on the embedded ones.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The same, over the stores that this TOML file names.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Heal nothing: only write down what differs. Only without a server; a server has `verify.mode`.
    #[arg(long, requires = "stores")]
    report_only: bool,
}

impl Target {
    /// The server, or the open stores.
    pub(super) async fn open(self) -> Result<Place, Failed> {
        if self.data_dir.is_none() && self.config.is_none() {
            return Ok(Place::Server(self.connection().client()?));
        }
        let file = self.config.or_else(|| path_in("VERITAIL_CONFIG"));
        let config = Sources::of(self.data_dir, file).load()?;
        let opened = Offline::open(&config, !self.report_only).await;
        Ok(Place::Stores(Box::new(opened.map_err(refused)?)))
    }

    fn connection(&self) -> Connection {
        let default = || "http://127.0.0.1:8080".to_owned();
        Connection {
            url: self.url.clone().or_else(|| var("VERITAIL_URL").ok()).unwrap_or_else(default),
            token: self.token.clone().or_else(|| var("VERITAIL_TOKEN").ok()),
            data_dir: path_in("VERITAIL_DATA_DIR").unwrap_or_else(|| "./veritail-data".into()),
            ca_certificate: self.ca_certificate.clone().or_else(|| path_in("VERITAIL_CA_CERTIFICATE")),
        }
    }
}

fn path_in(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The likeliest reason why stores do not open is a server that works over them.
fn refused(error: CannotStart) -> Failed {
    match error {
        CannotStart::Store { .. } => Failed(format!(
            "{error}; if a server is running over these stores, ask it: --url and --token instead of --data-dir and --config"
        )),
        other => Failed::because(other),
    }
}
