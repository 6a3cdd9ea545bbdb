//! `veritail serve`: runs until it is told to stop, and stops without losing what it acknowledged.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failed;
use crate::app;
use crate::config::{Config, Flags};
use crate::telemetry::{exporter, logs, panics};

/// Take logs from runners, and serve them to readers, until SIGTERM or Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct Serve {
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

/// The text, if it is an address and a port.
fn address(text: &str) -> Result<String, &'static str> {
    let address = text.parse::<SocketAddr>().map(|_| text.to_owned());
    address.map_err(|_| "not an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080")
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let flags = Flags { listen: self.listen, data_dir: self.data_dir };
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let config = Config::load(self.config.as_deref(), variables, &flags).map_err(Failed::because)?;
        logs::install(config.telemetry.log_format, &config.telemetry.log).map_err(Failed::because)?;
        panics::install();
        let mut signals = Signals::listen().map_err(Failed::because)?;

        let drain_delay = config.http.drain_delay.0;
        let data_dir = config.data_dir.clone();
        let running = app::start(config).await.map_err(Failed::because)?;
        let admin = match &running.admin_token_file {
            Some(file) => format!("admin token in {}", file.display()),
            None => "admin token from VERITAIL_ADMIN_TOKEN or the configuration".to_owned(),
        };
        println!("veritail listens on http://{}; {admin}", running.address);

        tracing::info!(
            version = exporter::VERSION,
            revision = exporter::REVISION,
            address = %running.address,
            live_store = %running.pipeline().stores().live.name(),
            data_dir = %data_dir.display(),
            "started"
        );

        let asked = signals.next().await;
        tracing::info!(signal = asked, "stopping");
        running.begin_draining();
        // A second signal means: now.
        let delay = running.pipeline().seams().clock.clone();
        tokio::select! {
            () = delay.sleep(drain_delay) => {}
            _ = signals.next() => {}
        }
        let settled = running.stop().await;
        tracing::info!(
            settled,
            "stopped; {}",
            if settled { "everything settled" } else { "the rest is done after the next start" }
        );
        Ok(())
    }
}

/// The signals that ask a program to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they no longer end this process by themselves.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one, by its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
