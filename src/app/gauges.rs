//! What is not counted as it happens but looked at now and then: dependencies, backlog, what is live, what is wrong.

use std::time::Duration;

use crate::pipeline::{LiveCount, Pipeline, Stores};
use crate::seams::{Clock, within};
use crate::store::database::waits::Connections;
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, Answer, Dependency, StoreOperation, Task};
use crate::trace::{DataStore, Timestamp};

use super::runtime::Runtime;

/// How long a dependency has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Samples every `interval` until its node ends.
pub(super) async fn sample_for_ever(
    node: Pipeline,
    connections: Box<dyn Fn() -> Connections + Send + Sync>,
    interval: Duration,
) {
    let clock = node.seams().clock.clone();
    let mut runtime = Runtime::new(clock.now());
    metrics::limits(node.settings().resend_window, node.settings().spill_max);
    loop {
        let began = clock.now();
        runtime.sample(began);
        let Connections { idle, in_use, most } = connections();
        metrics::connections(idle, in_use, most);
        show_live_count(node.live_count(), node.settings().live_sweep_interval, began);
        probe(&node).await;
        // One that does not answer keeps nobody from seeing the other.
        let patience = interval.max(PATIENCE);
        let (database, live) = futures::join!(
            in_time(clock.as_ref(), patience, "database", sample_database(&node, began)),
            in_time(clock.as_ref(), patience, "live", sample_live(node.stores())),
        );
        for error in [&database, &live].into_iter().filter_map(|sampled| sampled.as_ref().err()) {
            tracing::warn!(%error, "gauges could not be sampled");
        }
        let now = clock.now();
        metrics::task_ran(Task::Gauges, database.is_ok() && live.is_ok(), now.ms_since(began), now);
        clock.sleep(interval).await;
    }
}

/// What `store` says within this time.
async fn in_time(
    clock: &dyn Clock,
    time: Duration,
    store: &'static str,
    sample: impl Future<Output = Result<()>> + Send,
) -> Result<()> {
    let sampled = within(clock, time, sample).await;
    sampled.unwrap_or_else(|| Err(StoreError::unavailable(store, "no answer in time")))
}

/// What this node counted in the live store, until it is so old that another node must have counted since.
fn show_live_count(count: Option<LiveCount>, every: Duration, now: Timestamp) {
    match count {
        Some(count) if now.since(count.at) <= every * 2 => metrics::live_counted(count.chunks, count.bytes),
        Some(_) => metrics::live_count_is_old(),
        None => {}
    }
}

/// Asks every dependency whether it answers.
async fn probe(node: &Pipeline) {
    let stores = node.stores();
    let clock = node.seams().clock.as_ref();
    let (live, database, objects) = futures::join!(
        within(clock, PATIENCE, stores.live.ping()),
        within(clock, PATIENCE, stores.database.ping(PATIENCE)),
        within(clock, PATIENCE, stores.objects.ping()),
    );
    let live_name = Dependency::of_live(stores.live.name());
    for (dependency, answer) in
        [(live_name, live), (Dependency::Database, database), (Dependency::ObjectStore, objects)]
    {
        if answer.is_none() {
            // Given up from outside: nobody else counts it.
            metrics::dependency_answered(dependency, StoreOperation::Ping, Answer::Timeout, PATIENCE);
        }
        metrics::dependency_up(dependency, matches!(answer, Some(Ok(()))));
    }
}

async fn sample_database(node: &Pipeline, now: Timestamp) -> Result<()> {
    let database = node.stores().database.as_ref();
    let corrupt = database.corrupt_traces().await?;
    metrics::corrupt_traces(&corrupt.by_kind, corrupt.traces);
    let backlog = database.backlog().await?;
    let oldest = backlog.oldest.map_or(0, |sealed| now.ms_since(sealed));
    metrics::backlog(backlog.chunks, backlog.bytes, oldest);
    let spill = database.spill().await?;
    let oldest = spill.oldest.map_or(0, |spilled| now.ms_since(spilled));
    metrics::spill(spill.chunks, spill.bytes, oldest);
    let unfinished = database.unfinished().await?;
    metrics::live(unfinished.live_chunks, unfinished.live_bytes);
    let ended: Vec<_> = unfinished.ended.iter().map(|(status, jobs, _)| (*status, *jobs)).collect();
    let oldest = unfinished.ended.iter().map(|(_, _, since)| now.ms_since(*since)).max().unwrap_or(0);
    metrics::finished_but_live(&ended, oldest);
    Ok(())
}

async fn sample_live(stores: &Stores) -> Result<()> {
    if stores.live.name() == DataStore::Redis {
        let usage = stores.live.usage().await?;
        metrics::redis_usage(usage.used, usage.limit, usage.fullest, usage.evicted);
    }
    Ok(())
}
