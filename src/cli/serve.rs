//! `veritail serve`: runs until it is told to stop, and stops without losing what it acknowledged.

use clap::Args;

use super::Failed;
use super::signals::Signals;
use super::sources::Sources;
use crate::app::{self, Running};
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
        tracing::info!(
            settled,
            "stopped; {}",
            if settled { "everything settled" } else { "the rest is done after the next start" }
        );
        Ok(())
    }
}

/// Reads again what can be read again while it runs: the certificate.
fn reload(running: &Running) {
    match running.reload_certificate() {
        Ok(true) => tracing::info!("SIGHUP: the certificate was read again, for connections from now on"),
        Ok(false) => tracing::info!("SIGHUP: there is no certificate to read again"),
        Err(error) => tracing::error!(%error, "SIGHUP: the certificate stays as it was: {error}"),
    }
}
