//! Wiring: configuration, stores, pipeline, HTTP, in this order; stopping goes the other way.

mod canary;
mod gauges;
mod measure;
mod offline;
mod private;
mod redis;
mod runtime;
mod schedules;
mod stores;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_cron_scheduler::JobSchedulerError;

pub use self::offline::Offline;
use self::schedules::Schedules;
use crate::api::auth::{ADMIN_TOKEN_FILE, Auth, NoAdminToken, admin_token};
use crate::api::limits::{self, Limits};
use crate::api::server::tls::{self, NoTls, Tls};
use crate::api::server::{self, Edge};
use crate::api::{Api, router};
use crate::config::Config;
use crate::config::value::{Secret, Span};
use crate::pipeline::{NOTIFY_INTERVAL, Pipeline, Settings};
use crate::seams::abort::{self, AbortAt, BadFailPoint};
use crate::seams::real::{NoFailPoints, OwnedTasks, SystemChance, SystemClock};
use crate::seams::{Clock, FailPoints, Seams, within};
use crate::store::StoreError;
use crate::telemetry::exporter::{self, CannotExport, UPKEEP_INTERVAL};
use crate::telemetry::metrics::{self, Task};
use crate::trace::chunks::BadChunkSize;
use crate::trace::{ByteSize, ChunkSize};
use crate::verify::Verifier;

use canary::HttpClient;
use webhook::HttpWebhook;

/// Why Veritail does not start. Each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// The data folder, or something in it, cannot be made.
    #[error("{} cannot be made: {error}; choose another folder with --data-dir, or give this user the right to it", path.display())]
    DataDir {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Stores are looked for where there are none.
    #[error("there is no installation: {} is not there; see --data-dir and --config", path.display())]
    NoInstallation {
        /// The file or folder.
        path: PathBuf,
    },
    /// A store cannot be opened.
    #[error("{place} cannot be opened: {error}; see {setting}")]
    Store {
        /// Where it is.
        place: String,
        /// Why.
        error: StoreError,
        /// The setting that says where it is.
        setting: &'static str,
    },
    /// Both databases were configured.
    #[error("database.path ({}) and database.url (VERITAIL_DATABASE_URL) are both set; choose one", path.display())]
    TwoDatabases {
        /// The file.
        path: PathBuf,
    },
    /// Both a folder and a URL are given for the objects.
    #[error("object.path and object.url are both set: choose one; see `veritail config` for where each comes from")]
    TwoObjectStores,
    /// There is no admin token.
    #[error(transparent)]
    AdminToken(#[from] NoAdminToken),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] NoTls),
    /// The webhook cannot be used as configured.
    #[error("{0}")]
    Webhook(&'static str),
    /// The canary's client cannot be made.
    #[error("the canary's HTTP client cannot be made: {0}")]
    Canary(reqwest::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The chunk size is none.
    #[error(transparent)]
    ChunkSize(#[from] BadChunkSize),
    /// The fail point for a crash test cannot be read.
    #[error(transparent)]
    FailPoint(#[from] BadFailPoint),
    /// The verifier's schedules cannot be kept.
    #[error("the verifier's schedules cannot be kept: {0}; see the settings of verify")]
    Schedules(#[from] JobSchedulerError),
    /// Metrics cannot be recorded.
    #[error(transparent)]
    Metrics(#[from] CannotExport),
}

/// A running Veritail.
pub struct Running {
    /// Where it listens; the real port where 0 was asked for.
    pub address: SocketAddr,
    /// The token that may do everything.
    pub admin_token: Secret,
    /// The file that holds it, unless it was configured.
    pub admin_token_file: Option<PathBuf>,
    api: Api,
    pipeline: Pipeline,
    verifier: Verifier,
    schedules: Schedules,
    tls: Option<Arc<Tls>>,
    drain_timeout: Duration,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
    tasks: Arc<OwnedTasks>,
}

/// Starts everything. Several can run in one process, each with a data folder of its own; they share the metrics.
pub async fn start(config: Config) -> Result<Running, CannotStart> {
    start_told(config, fail_points()?).await
}

/// The same; `points` is told at every named point between two durable steps.
pub async fn start_told(config: Config, points: Arc<dyn FailPoints>) -> Result<Running, CannotStart> {
    let exporter = exporter::install()?;
    tls::choose_cryptography();
    let webhook = HttpWebhook::of(&config.verify)?;
    let tls = Tls::of(config.http.tls_certificate.as_deref(), config.http.tls_key.as_deref())?;
    let tasks = Arc::new(OwnedTasks::default());
    let seams = Seams { clock: Arc::new(SystemClock), chance: Arc::new(SystemChance), spawn: tasks.clone(), points };
    private::make_folder(&config.data_dir)
        .map_err(|error| CannotStart::DataDir { path: config.data_dir.clone(), error })?;
    let opened = stores::open(&config, &seams).await?;
    let admin_token = admin_token(config.http.admin_token.as_ref(), &config.data_dir, seams.chance.as_ref())?;
    let configured = config.http.admin_token.is_some();
    let admin_token_file = (!configured).then(|| config.data_dir.join(ADMIN_TOKEN_FILE));

    let pipeline = Pipeline::new(opened.stores, seams.clone(), pipeline_settings(&config));
    let limits = Limits::from(&config.http);
    let auth = Auth::new(&admin_token, config.http.auth_ttl.0, opened.accounts, seams.clock.clone(), limits);
    let verifier = Verifier::new(pipeline.clone(), (&config.verify).into());
    let api = Api::new(
        verifier.clone(),
        opened.listing,
        auth,
        exporter,
        config.http.body_timeout.0,
        ChunkSize::new(config.pipeline.chunk_size)?,
        ByteSize(config.pipeline.trace_limit),
        config.http.external_url.clone(),
    );
    let cannot_listen = |error| CannotStart::Listen { address: config.http.listen, error };
    let listener = TcpListener::bind(config.http.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;

    schedule_tasks(&config, &seams);
    pipeline.start();
    verifier.set_canary_client(Arc::new(HttpClient::of(&config.verify, address, tls.is_some(), &admin_token)?));
    let schedules = schedules::start(&config.verify, &verifier).await?;
    if let Some(webhook) = webhook {
        metrics::task_scheduled(Task::Notify, NOTIFY_INTERVAL, seams.clock.now());
        pipeline.start_notifying(Arc::new(webhook));
    }
    let sampler = gauges::sample_for_ever(pipeline.clone(), opened.connections, config.telemetry.gauge_interval.0);
    seams.spawn.spawn("gauges", Box::pin(sampler));
    if let Some(redis) = opened.redis {
        seams.spawn.spawn("redis", Box::pin(redis::watch_for_ever(redis, pipeline.clone())));
    }
    seams.spawn.spawn("last_seen", Box::pin(write_last_seen_for_ever(api.clone(), seams.clock.clone())));
    let limited = api.clone();
    let forget_idle = again_and_again(limits::FORGETS, seams.clock.clone(), move || limited.auth.forget_idle());
    seams.spawn.spawn("forget_idle", Box::pin(forget_idle));
    let upkeep = again_and_again(UPKEEP_INTERVAL, seams.clock.clone(), || exporter.upkeep());
    seams.spawn.spawn("upkeep", Box::pin(upkeep));
    let (stop, asked_to_stop) = oneshot::channel();
    let (has_stopped, stopped) = oneshot::channel();
    let (edge, routes, its_seams) = (Edge::new(&config.http, tls.clone()), router::router(api.clone()), seams.clone());
    let served = async move {
        // Dropped without a word: whoever started this is gone, which is the same.
        let asked = async { drop(asked_to_stop.await) };
        server::serve(listener, routes, edge, its_seams, asked).await;
        let _ = has_stopped.send(());
    };
    seams.spawn.spawn("http", Box::pin(served));
    let drain_timeout = config.http.drain_timeout.0;
    Ok(Running {
        address,
        admin_token,
        admin_token_file,
        api,
        pipeline,
        verifier,
        schedules,
        tls,
        drain_timeout,
        stop,
        stopped,
        tasks,
    })
}

/// As configured; a node that was given no name has its machine's.
fn pipeline_settings(config: &Config) -> Settings {
    let settings = Settings::from(&config.pipeline);
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    Settings {
        node_name: Some(settings.node_name.unwrap_or_else(machine)),
        notify: config.verify.webhook_url.is_some(),
        drill_deadline: config.verify.full_cycle.0,
        ..settings
    }
}

/// How often it is written down when tokens and runners were last seen.
const LAST_SEEN_INTERVAL: Duration = Duration::from_secs(60);

async fn write_last_seen_for_ever(api: Api, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(LAST_SEEN_INTERVAL).await;
        write_last_seen(&api).await;
    }
}

/// Does what takes no time, for as long as the process lives.
async fn again_and_again(interval: Duration, clock: Arc<dyn Clock>, work: impl Fn() + Send + Sync) {
    loop {
        clock.sleep(interval).await;
        work();
    }
}

async fn write_last_seen(api: &Api) {
    if let Err(error) = api.auth.write_last_seen().await {
        tracing::warn!(%error, "when tokens were last used could not be written: {error}");
    }
}

/// None, but where the environment names one.
fn fail_points() -> Result<Arc<dyn FailPoints>, BadFailPoint> {
    let Ok(text) = std::env::var(abort::VARIABLE) else { return Ok(Arc::new(NoFailPoints)) };
    let point: AbortAt = text.parse()?;
    tracing::warn!(point = point.point(), "this process will abort at a fail point: for crash tests only");
    Ok(Arc::new(point))
}

/// From now on each task is late if it does not succeed in its time.
fn schedule_tasks(config: &Config, seams: &Seams) {
    let now = seams.clock.now();
    for (task, interval) in [
        (Task::Contacts, config.pipeline.contact_interval),
        (Task::Sweep, config.pipeline.sweep_interval),
        (Task::LiveSweep, config.pipeline.live_sweep_interval),
        (Task::Gauges, config.telemetry.gauge_interval),
    ] {
        metrics::task_scheduled(task, interval.0, now);
    }
}

impl Running {
    /// From now on `/readyz` says 503, so that a balancer sends no more; everything is still answered.
    pub fn begin_draining(&self) {
        self.api.begin_draining();
    }

    /// `https`, or `http` where there is no certificate.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Reads the certificate and its key again; false if there are none.
    pub fn reload_certificate(&self) -> Result<bool, NoTls> {
        self.tls.as_ref().map_or(Ok(false), |tls| tls.reload().map(|()| true))
    }

    /// Its pipeline, for tests and tools in the same process.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Its verifier, for the same.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Stops in reverse order: takes no more connections, finishes requests in flight, then what the pipeline has
    /// acknowledged. True if everything settled in time; what did not is taken up after the next start.
    pub async fn stop(self) -> bool {
        self.begin_draining();
        let clock = self.pipeline.seams().clock.clone();
        let _ = self.stop.send(());
        let finished = within(clock.as_ref(), self.drain_timeout, self.stopped).await.is_some();
        if !finished {
            let waited = Span(self.drain_timeout);
            tracing::warn!("requests were still in flight after {waited}; they are cut");
        }
        let _ = within(clock.as_ref(), self.drain_timeout, write_last_seen(&self.api)).await;
        self.schedules.stop().await;
        let settled = self.pipeline.drain(self.drain_timeout).await;
        self.tasks.end().await;
        finished && settled
    }
}
