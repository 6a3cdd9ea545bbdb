//! Where the configuration comes from, for the commands that read it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::Failed;
use crate::config::{Config, Effective, Flags};

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(super) struct Sources {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<String>,
    /// Folder for everything that has no place of its own [default: ./veritail-data].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE", env = "VERITAIL_CONFIG")]
    config: Option<PathBuf>,
}

impl Sources {
    /// Those of a command that listens to nobody.
    pub(super) fn of(data_dir: Option<PathBuf>, config: Option<PathBuf>) -> Self {
        Self { listen: None, data_dir, config }
    }

    pub(super) fn load(self) -> Result<Config, Failed> {
        self.effective().map(|(config, _)| config)
    }

    /// The configuration, and where each of its values comes from.
    pub(super) fn effective(self) -> Result<(Config, Vec<Effective>), Failed> {
        let flags = Flags { listen: self.listen, data_dir: self.data_dir };
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::effective(self.config.as_deref(), variables, &flags).map_err(Failed::because)
    }
}

/// The text, if it is an address and a port.
fn address(text: &str) -> Result<String, &'static str> {
    let address = text.parse::<SocketAddr>().map(|_| text.to_owned());
    address.map_err(|_| "not an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080")
}
