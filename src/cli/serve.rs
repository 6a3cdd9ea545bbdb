//! `veritail serve`: runs until it is told to stop, and stops without losing what it acknowledged.

use clap::Args;
use tokio::runtime::Handle;

use super::Failed;
use super::signals::Signals;
use super::sources::Sources;
use crate::app::{self, Running};
use crate::config::{Config, Telemetry};
use crate::telemetry::traces::Collector;
use crate::telemetry::{exporter, logs, panics};

/// Take logs from runners, and serve them to readers, until SIGTERM or Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    sources: Sources,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let config = self.sources.load()?;
        let collector = collector(&config)?;
        let Telemetry { log_format, log, .. } = &config.telemetry;
        logs::install(*log_format, log, collector.as_ref()).map_err(Failed::because)?;
        panics::install();
        let mut signals = Signals::listen().map_err(Failed::because)?;

        let drain_delay = config.http.drain_delay.0;
        let data_dir = config.data_dir.clone();
        let running = app::start(config).await.map_err(Failed::because)?;
        let admin = match &running.admin_token_file {
            Some(file) => format!("admin token in {}", file.display()),
            None => "admin token from VERITAIL_ADMIN_TOKEN or the configuration".to_owned(),
        };
        println!("veritail listens on {}://{}; {admin}", running.scheme(), running.address);

        tracing::info!(
            version = exporter::VERSION,
            revision = exporter::REVISION,
            node = running.pipeline().name(),
            address = %running.address,
            live_store = %running.pipeline().stores().live.name(),
            data_dir = %data_dir.display(),
            "started"
        );

        let asked = loop {
            match signals.next().await {
                Signals::HANGUP => reload(&running),
                asked => break asked,
            }
        };
        tracing::info!(signal = asked, "stopping");
        running.begin_draining();
        // A second signal means: now.
        let delay = running.pipeline().seams().clock.clone();
        tokio::select! {
            () = delay.sleep(drain_delay) => {}
            _ = signals.next() => {}
        }
        let settled = running.stop().await;
        if let Some(collector) = collector {
            let stopped = tokio::task::spawn_blocking(move || collector.stop());
            stopped.await.map_err(Failed::because)?;
        }
        tracing::info!(
            settled,
            "stopped; {}",
            if settled { "everything settled" } else { "the rest is done after the next start" }
        );
        Ok(())
    }
}

/// The collector of spans, where one is configured.
fn collector(config: &Config) -> Result<Option<Collector>, Failed> {
    let Some(endpoint) = &config.telemetry.otlp_endpoint else { return Ok(None) };
    let (one_in, node) = (config.telemetry.otlp_one_in, config.pipeline.node_name.as_deref());
    let collector = Collector::connect(endpoint.reveal(), one_in, node, Handle::current());
    collector.map(Some).map_err(Failed::because)
}

/// Reads again what can be read again while it runs: the certificate.
fn reload(running: &Running) {
    match running.reload_certificate() {
        Ok(true) => tracing::info!("SIGHUP: the certificate was read again, for connections from now on"),
        Ok(false) => tracing::info!("SIGHUP: there is no certificate to read again"),
        Err(error) => tracing::error!(%error, "SIGHUP: the certificate stays as it was: {error}"),
    }
}
