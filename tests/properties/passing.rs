//! Time that passes by itself, and what is counted meanwhile.

#![allow(clippy::disallowed_methods, reason = "its time is virtual")]

use std::time::Duration;

use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::Instant;
use veritail::seams::Clock;
use veritail::trace::Timestamp;

/// When it begins.
pub const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

/// Time that passes as soon as everybody waits for it.
pub struct Virtual(Instant);

impl Virtual {
    /// A clock that begins at [`BEGIN`].
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        BEGIN.after(self.0.elapsed())
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// What was counted.
pub struct Page(String);

impl Page {
    /// The value of a series, whose name is without `veritail_`; 0 if there is none.
    pub fn value(&self, series: &str) -> f64 {
        let of = |line: &str| line.strip_prefix("veritail_")?.strip_prefix(series)?.trim().parse().ok();
        self.0.lines().find_map(of).unwrap_or(0.0)
    }
}

/// Does the work in virtual time, and says what was counted meanwhile.
pub fn counted<T>(work: impl Future<Output = T>) -> (T, Page) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let done = metrics::with_local_recorder(&recorder, || runtime.block_on(work));
    (done, Page(page.render()))
}
