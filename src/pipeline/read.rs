//! Read: a trace as a stream of verified bytes.
//!
//! Chunk by chunk, each compared with its record before a byte of it is handed out, live and persisted alike; so a read
//! needs the memory of one chunk, and no bad byte is served as good (guarantee 5). A chunk that is not as recorded in one
//! store is looked for in the other; where none has it, the mismatch is written down and the stream ends with an error.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tracing::Instrument as _;

use crate::store::database::{Job, Lost, Rewind};
use crate::store::live::Entry;
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, Stage};
use crate::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkRow, ChunkState, Detector, JobId, JobStatus, Kind, Location, Look, Offset,
    Record, Span, TraceState,
};

use super::Pipeline;
use super::loss::BadCopy;
use super::reconcile::{Reconciled, asks};
use super::repair::FROM_LIVE;

/// Whether bytes that are not as recorded are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Never.
    Verified,
    /// What is there is handed out as it is, with NUL bytes where nothing is. For people who look into a damage.
    Unverified,
}

/// Why a stream ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No store has the bytes as they were recorded.
    #[error("job {job}, chunk {chunk}: no copy is as it was recorded ({kind})")]
    Damaged {
        /// The job.
        job: JobId,
        /// The chunk.
        chunk: ChunkIndex,
        /// What is wrong with the copy that the row names.
        kind: Kind,
    },
    /// Bytes that were acknowledged are gone.
    #[error("job {job}: bytes from {offset} on are lost")]
    Lost {
        /// The job.
        job: JobId,
        /// Where the loss begins.
        offset: Offset,
    },
    /// A store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReadError {
    /// The job whose bytes are wrong or gone.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Self::Damaged { job, .. } | Self::Lost { job, .. } => Some(*job),
            Self::Store(_) => None,
        }
    }
}

/// A trace, ready to be read.
pub struct Reading {
    node: Pipeline,
    job: Job,
    size: ByteSize,
    gaps: Vec<(Offset, Offset)>,
    mode: Mode,
}

/// What there is to read.
pub enum OpenedReading {
    /// A trace.
    Open(Box<Reading>),
    /// It is erased.
    Erased,
    /// There is no such job.
    Unknown,
}

/// Rounds in which a chunk is looked for again because it moved meanwhile.
const ROUNDS: u32 = 8;

impl Pipeline {
    /// Opens a trace for reading, as long as it is now. Reading a trace that still grows makes its reader a watcher: the
    /// runner is told to send often.
    pub async fn open_reading(&self, job: JobId, mode: Mode) -> Result<OpenedReading> {
        let Some(job) = self.stores().database.job(job).await? else { return Ok(OpenedReading::Unknown) };
        let size = match job.state {
            TraceState::Erased => return Ok(OpenedReading::Erased),
            TraceState::Closed | TraceState::Archived => job.size.unwrap_or(ByteSize::ZERO),
            TraceState::Open | TraceState::Closing => self.readable(&job).await?,
        };
        let gaps = self.gaps(job.id).await?;
        Ok(OpenedReading::Open(Box::new(Reading { node: self.clone(), job, size, gaps, mode })))
    }

    /// How much of an unfinished trace can be read from its start.
    async fn readable(&self, job: &Job) -> Result<ByteSize> {
        if job.status == JobStatus::Pending || (job.installed_epoch.is_none() && job.acked_length == Offset::ZERO) {
            // Nothing was ever sent; a reader makes no trace key.
            return Ok(ByteSize::ZERO);
        }
        self.stores().live.watch(job.id, self.now().after(self.settings().watch_time)).await?;
        if let Some(end) = self.open_end(job).await? {
            return Ok(end.readable() - Offset::ZERO);
        }
        match self.reconcile(job.id, false, Detector::Read).await? {
            Reconciled::Live(agreed) => Ok(agreed.end.readable() - Offset::ZERO),
            Reconciled::Over(job) => Ok(job.size.unwrap_or(ByteSize::ZERO)),
            Reconciled::Unknown => Ok(ByteSize::ZERO),
        }
    }

    /// A chunk's verified bytes, at least up to `to`.
    async fn read_chunk(&self, job: &Job, index: ChunkIndex, to: ByteSize) -> std::result::Result<Bytes, ReadError> {
        for round in 0..ROUNDS {
            let row = self.stores().database.chunk(job.id, index).await?;
            let found = match row.as_ref().map(|row| (row, &row.state)) {
                Some((row, ChunkState::Sealed { record })) => self.read_sealed(job, row, record).await?,
                Some((
                    row,
                    ChunkState::Persisted { record, at }
                    | ChunkState::Wanted { record: Some(record), kept: Some(at), .. },
                )) => self.read_persisted(job, row, record, at, Detector::Read).await?,
                _ => self.read_open(job, index, round > 0).await?,
            };
            if let Some(bytes) = found.filter(|bytes| ByteSize::of(bytes) >= to) {
                return Ok(bytes);
            }
        }
        Err(ReadError::Lost { job: job.id, offset: job.chunk_size.start_of(index) })
    }

    /// A persistent chunk's verified bytes. A copy that is not as recorded is written down and healed where that is
    /// possible. `None`: the row changed meanwhile, look again.
    pub(super) async fn read_persisted(
        &self,
        job: &Job,
        row: &ChunkRow,
        record: &Record,
        at: &Location,
        detector: Detector,
    ) -> std::result::Result<Option<Bytes>, ReadError> {
        let look = || self.look_persisted(at, record);
        let looked = look().await.confirmed_by(look()).await.reached()?;
        let Look::Differs(kind) = looked.look else { return Ok(looked.bytes) };
        // The live copy may still be there: for a while after the move, or for longer after a crash.
        let good = self.look_live(job.id, row.id(), record).await.sound();
        let seen = BadCopy::of(looked.bytes.as_deref(), looked.stored, good.as_deref());
        if self.note_difference(job, row, record, (kind, at.store(), detector.into()), seen).await? == Look::Moved {
            return Ok(None);
        }
        if let Some(bytes) = good {
            if let Err(error) = self.repair(job.id, row, record, &bytes, FROM_LIVE).await {
                tracing::warn!(job_id = job.id.0, %error, "job {}: chunk {} is not repaired yet", job.id, row.index);
            }
            return Ok(Some(bytes));
        }
        self.want_again(job.id, row).await?;
        Err(ReadError::Damaged { job: job.id, chunk: row.index, kind })
    }

    /// A proven chunk has no good copy any more: a runner that is still there and can send again is asked for it.
    /// Otherwise the row keeps the copy that it has, bad as it is.
    pub(super) async fn want_again(&self, job: JobId, row: &ChunkRow) -> Result<()> {
        let Some(job) = self.stores().database.job(job).await? else { return Ok(()) };
        if !job.is_unfinished() || !asks(&job) {
            return Ok(());
        }
        let rewind = Rewind {
            lost: vec![Lost { index: row.index, version: Some(row.version) }],
            ..Rewind::of(&job, self.now())
        };
        if self.stores().database.rewind(job.id, &rewind).await? {
            metrics::rewind(metrics::RewindCause::Hole, metrics::RewindResult::Started);
            self.reconcile(job.id, false, Detector::Read).await?;
        }
        Ok(())
    }

    async fn read_sealed(
        &self,
        job: &Job,
        row: &ChunkRow,
        record: &Record,
    ) -> std::result::Result<Option<Bytes>, ReadError> {
        let looked = self.look_live(job.id, row.id(), record).await.reached()?;
        if looked.look == Look::Sound {
            return Ok(looked.bytes);
        }
        // Looks again, writes it down, and asks the runner if it can send again.
        self.reconcile(job.id, true, Detector::Read).await?;
        Ok(None)
    }

    /// The chunk has no record in the database: the open end says what its bytes must be.
    async fn read_open(
        &self,
        job: &Job,
        index: ChunkIndex,
        suspect: bool,
    ) -> std::result::Result<Option<Bytes>, ReadError> {
        let live = &self.stores().live;
        let promised = |entry: &Entry| match entry {
            Entry::Live(end) if end.is_of_job_made_at(job.created_at) => end.promised(index),
            _ => None,
        };
        let Some(trace) = live.load(job.id).await? else { return Ok(None) };
        let Some((chunk, _)) = promised(&trace.entry) else { return Ok(None) };
        // The copy and the promise as they are in the same moment.
        let copy = live.read_open(job.id, chunk).await?;
        let Some((_, record)) = copy.trace.and_then(|trace| promised(&trace.entry)).filter(|now| now.0 == chunk) else {
            return Ok(None);
        };
        match copy.bytes.filter(|bytes| Record::of(bytes) == record) {
            Some(bytes) => Ok(Some(bytes)),
            None => {
                if suspect {
                    self.reconcile(job.id, true, Detector::Read).await?;
                }
                Ok(None)
            }
        }
    }

    /// A chunk's bytes as they are, cut or filled with NUL bytes to `to`.
    async fn read_unverified(&self, job: &Job, index: ChunkIndex, to: ByteSize) -> Result<Bytes> {
        if let Ok(bytes) = self.read_chunk(job, index, to).await {
            return Ok(bytes);
        }
        let mut bytes = match self.stores().database.chunk(job.id, index).await? {
            Some(row) => self.any_copy(job.id, &row).await?,
            None => None,
        }
        .unwrap_or_default()
        .to_vec();
        bytes.resize(to.as_usize(), 0);
        Ok(bytes.into())
    }

    async fn any_copy(&self, job: JobId, row: &ChunkRow) -> Result<Option<Bytes>> {
        if let ChunkState::Persisted { record, at } | ChunkState::Wanted { record: Some(record), kept: Some(at), .. } =
            &row.state
            && let Some(bytes) = self.look_persisted(at, record).await.bytes
        {
            return Ok(Some(bytes));
        }
        // Copies begun before the bytes were asked for again keep their names.
        for epoch in (1..=row.epoch.0).rev().take(ROUNDS as usize) {
            let chunk = ChunkId { index: row.index, epoch: crate::trace::Epoch(epoch) };
            if let Some(bytes) = self.stores().live.read_chunk(job, chunk).await? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

impl Reading {
    /// The job as it was when the reading was opened.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// How many bytes there are to read.
    pub fn size(&self) -> ByteSize {
        self.size
    }

    /// True if the trace does not grow any more.
    pub fn is_finished(&self) -> bool {
        matches!(self.job.state, TraceState::Closed | TraceState::Archived)
    }

    /// The bytes of `range` (which is cut to what there is), in pieces of at most one chunk. After an error it ends.
    pub fn stream(
        self,
        range: Range<Offset>,
    ) -> impl Stream<Item = std::result::Result<Bytes, ReadError>> + Send + 'static {
        let end = range.end.min(Offset::ZERO + self.size);
        let spans = self.job.chunk_size.spans(range.start, end);
        // The request's span goes on for as long as its answer does.
        let request = tracing::Span::current();
        stream::unfold(Some((self, spans, request)), |state| async move {
            let (reading, mut spans, request) = state?;
            let piece = reading.piece(spans.next()?).instrument(request.clone()).await;
            let next = if piece.is_ok() { Some((reading, spans, request)) } else { None };
            Some((piece, next))
        })
        .inspect(|piece| {
            if let Ok(bytes) = piece {
                metrics::served(ByteSize::of(bytes));
            }
        })
    }

    /// Bytes of a gap are filler. In a trace that still grows a gap may have come since the reading was opened: it is
    /// written down before its filler is, so asking after the bytes were read cannot miss it.
    async fn refuse_filler(&self, span: Span) -> std::result::Result<(), ReadError> {
        let start = self.job.chunk_size.start_of(span.index);
        let (from, to) = (start + span.from, start + span.to);
        let now = if self.is_finished() { None } else { Some(self.node.gaps(self.job.id).await?) };
        match now.as_ref().unwrap_or(&self.gaps).iter().find(|(gap, end)| *gap < to && *end > from) {
            Some((gap, _)) => Err(ReadError::Lost { job: self.job.id, offset: *gap }),
            None => Ok(()),
        }
    }

    async fn piece(&self, span: Span) -> std::result::Result<Bytes, ReadError> {
        let Self { node, job, .. } = self;
        let chunk = match self.mode {
            Mode::Unverified => node.read_unverified(job, span.index, span.to).await?,
            Mode::Verified => {
                let read = node.read_chunk(job, span.index, span.to);
                let bytes = node.stage(Stage::Read, job.id, span.index, read).await?;
                self.refuse_filler(span).await?;
                bytes
            }
        };
        Ok(chunk.slice(span.from.as_usize()..span.to.as_usize()))
    }
}
