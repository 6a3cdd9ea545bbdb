//! The Veritail that is measured: one that runs somewhere, or one started here for the occasion.

use std::future::Future;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::flips::Flips;
use super::wire::Wire;
use crate::app::{self, Running};
use crate::cli::Failed;
use crate::cli::client::{Client, Connection};
use crate::cli::signals::Signals;
use crate::config::{Config, Flags};
use crate::store::live::LiveStore;
use crate::telemetry::logs;

/// Which Veritail.
#[derive(Clone, Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    connection: Connection,
    /// Start one in this process instead, on a free port of the loopback interface, over a folder that is gone afterwards.
    ///
    /// It takes its settings from `VERITAIL_*`, such as `VERITAIL_REDIS_URL`, so that other stores than the embedded ones
    /// can be measured; a Redis must have no traces of other jobs. Traces have no limit, and a token may make as many requests as it can, unless variables say
    /// otherwise. The folder is made where temporary ones are: set TMPDIR to measure another disk.
    #[arg(long)]
    start: bool,
}

/// The Veritail, ready.
pub(super) struct Target {
    pub(super) wire: Wire,
    /// Where it was started here.
    pub(super) own: Option<Own>,
}

/// A Veritail of our own.
pub(super) struct Own {
    pub(super) running: Running,
    pub(super) folder: TempDir,
    pub(super) config: Config,
    /// When chunks become persistent.
    pub(super) flips: Arc<Flips>,
    /// Settings that are not the defaults.
    settings: Vec<(&'static str, String)>,
}

/// So many that a token's limit is counted but never met.
const REQUESTS: u32 = 1_000_000;

/// Pages of a live store that are looked at.
const SCANS_MAX: usize = 1000;

impl Place {
    /// Does `work` with the Veritail; whatever comes of it, one started here is stopped and its folder goes.
    pub(super) async fn with<'a, T, W: Future<Output = Result<T, Failed>>>(
        target: &'a Target,
        signals: &mut Signals,
        work: impl FnOnce(&'a Target) -> W,
    ) -> Result<T, Failed> {
        tokio::select! {
            done = work(target) => done,
            signal = signals.next() => Err(Failed(format!("ended by {signal}"))),
        }
    }

    pub(super) async fn open(&self) -> Result<Target, Failed> {
        if !self.start {
            return Ok(Target { wire: Wire { client: self.connection.client()? }, own: None });
        }
        Target::own(Own::start(|_| ()).await?)
    }
}

impl Own {
    /// Starts it; `change` is made to its settings last.
    pub(super) async fn start(change: impl FnOnce(&mut Config)) -> Result<Self, Failed> {
        let folder = tempfile::Builder::new().prefix("veritail-bench-").tempdir().map_err(Failed::because)?;
        let listen = Some("127.0.0.1:0".to_owned());
        let flags = Flags { listen, data_dir: Some(folder.path().to_owned()) };
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let (mut config, effective) = Config::effective(None, variables, &flags).map_err(Failed::because)?;
        let is_default = |key: &str| effective.iter().any(|row| row.key == key && row.origin == "default");
        let mut settings: Vec<(&'static str, String)> = effective
            .iter()
            .filter(|row| row.origin != "default" && row.key != "data_dir" && row.key != "http.listen")
            .map(|row| (row.key, row.shown.clone()))
            .collect();
        if is_default("pipeline.trace_limit") {
            config.pipeline.trace_limit = 0;
            settings.push(("pipeline.trace_limit", "0".to_owned()));
        }
        for (key, setting) in [
            ("http.token_requests_per_second", &mut config.http.token_requests_per_second),
            ("http.job_requests_per_second", &mut config.http.job_requests_per_second),
        ] {
            if is_default(key) {
                *setting = REQUESTS;
                settings.push((key, REQUESTS.to_string()));
            }
        }
        change(&mut config);
        // As `serve` does it: what is not logged costs nothing, and that would be no fair picture.
        logs::install(config.telemetry.log_format, &config.telemetry.log, None).map_err(Failed::because)?;
        let flips = Arc::new(Flips::default());
        let running = app::start_told(config.clone(), flips.clone()).await.map_err(Failed::because)?;
        if let Err(taken) = is_empty(running.pipeline().stores().live.as_ref()).await {
            running.stop().await;
            return Err(taken);
        }
        Ok(Self { running, folder, config, flips, settings })
    }
}

/// The database is new and numbers its jobs from 1: traces of other jobs in the live store would be taken for theirs, and
/// harmed.
async fn is_empty(live: &dyn LiveStore) -> Result<(), Failed> {
    let mut from = None;
    for _ in 0..SCANS_MAX {
        let page = live.scan(from, 1000).await.map_err(Failed::because)?;
        if !page.found.is_empty() {
            return Err(Failed(
                "the live store has traces of other jobs already; --start needs one of its own, such as another database \
                 number in VERITAIL_REDIS_URL or an empty Redis"
                    .to_owned(),
            ));
        }
        from = page.next;
        if from.is_none() {
            return Ok(());
        }
    }
    Err(Failed("the Redis of VERITAIL_REDIS_URL has too many keys to look at; --start needs one of its own".to_owned()))
}

impl Target {
    /// One that was started here.
    pub(super) fn own(own: Own) -> Result<Self, Failed> {
        let url = format!("{}://{}", own.running.scheme(), own.running.address);
        let token = own.running.admin_token.reveal().to_owned();
        Ok(Self { wire: Wire { client: Client::loopback(url, token)? }, own: Some(own) })
    }

    /// Which one, for the report.
    pub(super) fn describe(&self) -> Value {
        match &self.own {
            None => json!({ "started": false }),
            Some(own) => {
                let settings: serde_json::Map<String, Value> =
                    own.settings.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
                let live = own.running.pipeline().stores().live.name();
                json!({ "started": true, "live_store": live.as_str(), "settings": settings })
            }
        }
    }

    /// The size of its chunks, where that is known.
    pub(super) fn chunk_size(&self) -> Option<u64> {
        self.own.as_ref().map(|own| own.config.pipeline.chunk_size.into())
    }

    pub(super) async fn close(self) {
        if let Some(own) = self.own {
            own.running.stop().await;
        }
    }
}
