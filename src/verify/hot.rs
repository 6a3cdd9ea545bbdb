//! The hot run: what is in the live store, and what was proven lately, every copy against its record.
//!
//! Which chunks were looked at is remembered by this node alone: another node that takes the turn looks again, which
//! costs and harms nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::pipeline::examine::Examiner;
use crate::store::Result;
use crate::store::database::verifications::{Place, RunFilter};
use crate::telemetry::verification as telemetry;
use crate::trace::{ChunkIndex, ChunkRow, Detector, JobId, RunState, Schedule, Tally, Timestamp, Version};

use super::hot_shards::HotShards;
use super::runs::Running;
use super::{Open, Released, Verifier};

/// Rows fetched at a time.
const PAGE: u32 = 500;
/// Earlier runs fetched at a time.
const RUNS: u32 = 50;
/// Sealed chunks looked for in one run; what is more than that is a backlog, and paged about as one.
const SEALED_MAX: u32 = 10_000;
/// Nodes' clocks may be apart by so much.
const CLOCKS_APART: Duration = Duration::from_secs(60);
/// After a longer pause, what was proven before it is left to the full run.
const LOOKS_BACK: Duration = Duration::from_hours(24);

/// What this node has looked at, and when.
#[derive(Default)]
pub(super) struct Seen {
    chunks: Mutex<HashMap<(JobId, ChunkIndex, Version), Timestamp>>,
    open_ends: Mutex<HashMap<JobId, Timestamp>>,
}

impl Seen {
    /// True if the row was not looked at as it is.
    fn is_new(&self, job: JobId, row: &ChunkRow) -> bool {
        !self.chunks.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&(job, row.index, row.version))
    }

    /// A chunk was looked at. Only then it counts as seen: a run may end in the middle of its list.
    fn saw(&self, job: JobId, row: &ChunkRow, now: Timestamp) {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).insert((job, row.index, row.version), now);
    }

    /// True if the open end of the job was not looked at for `time`.
    fn is_open_end_due(&self, job: JobId, time: Duration, now: Timestamp) -> bool {
        let seen = self.open_ends.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&job).is_none_or(|before| now.since(*before) >= time)
    }

    /// An open end was looked at.
    fn saw_open_end(&self, job: JobId, now: Timestamp) {
        self.open_ends.lock().unwrap_or_else(PoisonError::into_inner).insert(job, now);
    }

    /// Forgets what no run asks about any more.
    fn forget_before(&self, since: Timestamp) {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, at| *at >= since);
        self.open_ends.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, at| *at >= since);
    }
}

impl Verifier {
    /// One tick. True if this node had a turn.
    pub(super) async fn hot(&self) -> Result<bool> {
        // Each node begins somewhere else, so that all of them get their share.
        let mut shards: Vec<u32> = HotShards::numbers().collect();
        let first = usize::try_from(self.node.seams().chance.bits() % shards.len() as u64).unwrap_or_default();
        shards.rotate_left(first);
        let turns = self.node.take_turns_of(shards.iter().copied().map(lease).collect()).await?;
        if turns.is_empty() {
            return Ok(false);
        }
        let held = shards.into_iter().filter(|shard| turns.iter().any(|(name, _)| *name == lease(*shard))).collect();
        // A little less than the interval, so that the next tick finds the turn due whatever the jitter.
        let every = self.settings.hot_interval.mul_f64(0.75);
        self.node.hold(&turns, |_| every, self.run_hot(held).boxed()).await?;
        Ok(true)
    }

    async fn run_hot(&self, shards: HotShards) -> Result<()> {
        self.tidy_runs().await?;
        let since = self.hot_since(shards).await?;
        let mut run = self.begin(Schedule::Hot, shards.to_string(), None).await?;
        let done = self.look_hot(shards, since, &mut run).await;
        let is_complete = done.is_ok();
        run.end(done.map(drop)).await?;
        if is_complete {
            telemetry::completed(Schedule::Hot, self.now());
        }
        self.seen.forget_before(since.before(self.settings.open_interval));
        Ok(())
    }

    /// From when on what was proven is looked at: everything since the last whole run of each of these shards, with some
    /// time to spare. Nodes share the shards, so that may be several runs.
    async fn hot_since(&self, shards: HotShards) -> Result<Timestamp> {
        let now = self.now();
        let earliest = now.before(LOOKS_BACK);
        let mut since = now.before(self.node.settings().live_grace.max(self.settings.hot_interval * 2) + CLOCKS_APART);
        let (mut left, mut before) = (shards, None);
        loop {
            let state = Some(RunState::Complete);
            let filter = RunFilter { schedule: Some(Schedule::Hot), state, limit: RUNS, before };
            let runs = self.verifications().runs(filter).await?;
            for run in &runs {
                let looked_at: HotShards = run.scope.parse().unwrap_or_default();
                if left.without(looked_at) != left {
                    left = left.without(looked_at);
                    since = since.min(run.started_at.before(CLOCKS_APART));
                }
            }
            if left.is_empty() {
                return Ok(since.max(earliest));
            }
            before = match runs.last() {
                Some(last) if runs.len() == RUNS as usize && last.started_at >= earliest => Some(last.id),
                // Of some of them there was none for so long.
                _ => return Ok(earliest),
            };
        }
    }

    async fn look_hot(&self, shards: HotShards, since: Timestamp, run: &mut Running) -> Result<()> {
        let open = self.open_mismatches().await?;
        let database = self.node.stores().database.as_ref();
        let sealed = database.waiting(self.now(), SEALED_MAX).await?;
        let sealed = sealed.into_iter().map(|waiting| (waiting.job, waiting.row)).collect();
        if !self.look_at_new(sealed, shards, &open, run).await? || !self.look_at_open_ends(shards, run).await? {
            return Ok(());
        }
        // What is proven meanwhile is the next run's: chunks may come as fast as this one looks.
        let until = self.now();
        let mut after = None;
        loop {
            let rows = self.verifications().persisted_since(since, after, PAGE).await?;
            let last =
                rows.last().and_then(|(job, row)| Some((row.persisted_at?, Place { job: *job, index: row.index })));
            // A page that is not full may lack a row that cannot be read: only an empty one is the last.
            let is_last = last.is_none_or(|(proven_at, _)| proven_at > until);
            if !self.look_at_new(rows, shards, &open, run).await? || is_last {
                return Ok(());
            }
            after = last;
        }
    }

    /// Looks at those chunks of these shards that this node has not looked at yet. False if the run is to stop.
    async fn look_at_new(
        &self,
        rows: Vec<(JobId, ChunkRow)>,
        shards: HotShards,
        open: &Open,
        run: &mut Running,
    ) -> Result<bool> {
        let new: Vec<_> =
            rows.into_iter().filter(|(job, row)| shards.have(*job) && self.seen.is_new(*job, row)).collect();
        let examiner = self.examiner(Detector::Hot, run.id());
        let looks: Vec<BoxFuture<'_, _>> =
            new.iter().map(|(job, row)| self.look_while_hot(*job, row, examiner, open).boxed()).collect();
        let (run, at_once) = (futures::lock::Mutex::new(run), self.settings.hot.concurrency);
        Ok(Running::add_all(&run, looks, at_once, |look| *look).await?.is_some())
    }

    async fn look_while_hot(&self, job: JobId, row: &ChunkRow, examiner: Examiner, open: &Open) -> Result<Tally> {
        // Most have one still: they were proven a moment ago.
        let look = self
            .look(&self.hot_budget, (job, row), examiner, (open, &Released::new()))
            .await
            .map(|examined| examined.tally);
        if look.as_ref().is_ok_and(|look| look.unreachable == 0 && look.moved == 0) {
            self.seen.saw(job, row, self.now());
        }
        look
    }

    async fn look_at_open_ends(&self, shards: HotShards, run: &mut Running) -> Result<bool> {
        let mut after = JobId(0);
        loop {
            let jobs = self.node.stores().database.unfinished_jobs(after, PAGE).await?;
            let Some(last) = jobs.last() else { return Ok(true) };
            if !run.goes_on().await? {
                return Ok(false);
            }
            after = last.id;
            let now = self.now();
            let due = jobs.iter().filter(|job| {
                shards.have(job.id)
                    && job.installed_epoch.is_some()
                    && self.seen.is_open_end_due(job.id, self.settings.open_interval, now)
            });
            for job in due {
                self.hot_budget.take_amount(job.chunk_size.bytes(), 1).await;
                let seen = self.node.examine_unfinished(job.id, self.examiner(Detector::Hot, run.id())).await?;
                if seen.unreachable == 0 {
                    self.seen.saw_open_end(job.id, now);
                }
                if !run.add(seen).await? {
                    return Ok(false);
                }
            }
        }
    }
}

fn lease(shard: u32) -> String {
    format!("verify/hot/{shard:02}")
}
