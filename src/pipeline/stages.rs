//! The stages of a log's way through this node: each is timed, and has a span for whoever collects spans.

use futures::FutureExt as _;
use tracing::{Instrument as _, Span};

use crate::telemetry::metrics::{self, Stage};
use crate::trace::{ChunkIndex, JobId};

use super::Pipeline;

impl Pipeline {
    /// Does `work`, which is a stage of a chunk's way. However it ends, its time counts.
    pub(super) fn stage<T>(
        &self,
        stage: Stage,
        job: JobId,
        chunk: ChunkIndex,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        self.timed(stage, span(stage, job, Some(chunk)), work)
    }

    /// Does `work`, which is a stage of a whole trace's way.
    pub(super) fn stage_of_trace<T>(
        &self,
        stage: Stage,
        job: JobId,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        self.timed(stage, span(stage, job, None), work)
    }

    /// Not an `async fn`: that would keep the work twice, as an argument and as what it waits for.
    fn timed<T>(
        &self,
        stage: Stage,
        span: Span,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        let clock = &self.seams().clock;
        let began = clock.passed();
        work.instrument(span).inspect(move |_| metrics::passed(stage, clock.passed().saturating_sub(began)))
    }
}

/// Nobody pays for it unless spans are collected or messages of this level are written.
fn span(stage: Stage, job: JobId, chunk: Option<ChunkIndex>) -> Span {
    let (job, chunk) = (job.0, chunk.map(|chunk| chunk.0));
    match stage {
        Stage::Append => tracing::debug_span!("append", job_id = job, chunk),
        Stage::Record => tracing::debug_span!("record", job_id = job, chunk),
        Stage::Put => tracing::debug_span!("put", job_id = job, chunk),
        Stage::ReadBack => tracing::debug_span!("read_back", job_id = job, chunk),
        Stage::Persist => tracing::debug_span!("persist", job_id = job, chunk),
        Stage::Evaluate => tracing::debug_span!("evaluate", job_id = job),
        Stage::Read => tracing::debug_span!("read", job_id = job, chunk),
    }
}
