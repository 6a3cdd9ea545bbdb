//! What a person asks for: certain traces, whole, now.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::lock::Mutex;
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, stream};
use tokio::sync::Semaphore;

use crate::pipeline::examine::{Examined, Examiner, adds_up, is_proven};
use crate::store::database::Job;
use crate::store::database::listing::{JobFilter, Listing, Page, PageStart};
use crate::store::database::verifications::{Place, Run};
use crate::store::{Result, StoreError};
use crate::trace::{
    ChunkIndex, ChunkRow, DataStore, Detector, JobId, Kind, Offset, ProjectId, Schedule, Tally, Timestamp,
};

use super::runs::Running;
use super::{Open, Verifier};

/// Which traces. Those of jobs that are made after the run began are not looked at.
#[derive(Clone)]
pub enum Scope {
    /// These.
    Jobs(Vec<JobId>),
    /// Those of a project, out of its list of jobs.
    Project(ProjectId, Arc<dyn Listing>),
    /// All from this one to the newest.
    From(JobId),
}

/// Which traces, as people say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of these jobs.
    Jobs(Vec<JobId>),
    /// Those of this project's jobs; with its path.
    Project(ProjectId, String),
    /// Those of all jobs made then or later.
    Since(Timestamp),
    /// All.
    All,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jobs(jobs) => match jobs.as_slice() {
                [job] => write!(f, "job {job}"),
                [first, .., last] => write!(f, "{} jobs, {first} to {last}", jobs.len()),
                [] => f.write_str("no job"),
            },
            Self::Project(_, path) => write!(f, "project {path}"),
            Self::Since(at) => write!(f, "since {}", at.to_rfc3339()),
            Self::All => f.write_str("all"),
        }
    }
}

/// What one trace came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceChecked {
    /// The job.
    pub job: JobId,
    /// In numbers.
    pub tally: Tally,
    /// What differs, and where; `None` for the chunk: the whole.
    pub differences: Vec<(Option<ChunkIndex>, Kind, DataStore)>,
}

impl TraceChecked {
    fn note(&mut self, chunk: Option<ChunkIndex>, look: Examined) {
        self.tally += look.tally;
        self.differences.extend(look.differences.into_iter().map(|(kind, store)| (chunk, kind, store)));
    }
}

/// Rows fetched at a time.
const PAGE: u32 = 256;
/// Traces on their way at the same time: each has a page of rows in memory, and asks for a connection to the database.
const TRACES_AT_ONCE: usize = 4;
/// Up to here a row is looked for beside one that cannot be read.
const SPARSE_MAX: u32 = 1 << 16;
/// The chunks of so many jobs are counted before a run, one job after the other.
const COUNTED_MAX: usize = 256;

impl Verifier {
    /// Begins a run over what somebody asks for, and answers at once; the run goes on by itself.
    pub async fn ask(&self, mut wanted: Wanted, listing: Arc<dyn Listing>) -> Result<Run> {
        if let Wanted::Jobs(jobs) = &mut wanted {
            jobs.sort_unstable();
            jobs.dedup();
        }
        let label = wanted.to_string();
        let scope = match wanted {
            Wanted::Jobs(jobs) => Scope::Jobs(jobs),
            Wanted::Project(project, _) => Scope::Project(project, listing),
            Wanted::Since(at) => Scope::From(self.verifications().first_job_since(at).await?),
            Wanted::All => Scope::From(JobId(1)),
        };
        self.start(scope, label).await
    }

    /// Begins a run over these traces and answers at once; the run goes on by itself.
    pub async fn start(&self, scope: Scope, label: String) -> Result<Run> {
        let (mut run, way) = self.begin_manual(scope, label).await?;
        let (begun, verifier) = (run.run().clone(), self.clone());
        let work = async move {
            let done = verifier.check(way, &mut run, |_| ()).await;
            if let Err(error) = run.end(done).await {
                tracing::warn!(%error, "a run of the verifier that was asked for failed");
            }
        };
        self.node.seams().spawn.spawn("verify", Box::pin(work));
        Ok(begun)
    }

    /// Looks at these traces, some of them at a time, and says of each what it came to, in their order and beyond the first
    /// problem. A run that is asked to stop ends without an error.
    pub async fn verify(&self, scope: Scope, label: String, tell: impl FnMut(&TraceChecked) + Send) -> Result<Tally> {
        let (mut run, way) = self.begin_manual(scope, label).await?;
        let done = self.check(way, &mut run, tell).await;
        let tally = run.run().tally;
        run.end(done).await?;
        Ok(tally)
    }

    async fn begin_manual(&self, scope: Scope, label: String) -> Result<(Running, Way)> {
        let newest = self.verifications().newest_job().await?;
        let way = Way { scope, newest, after: JobId(0) };
        let expected = self.expected(&way).await?;
        Ok((self.begin(Schedule::Manual, label, expected).await?, way))
    }

    /// About how many chunks there are on the way, where that can be known without walking it.
    async fn expected(&self, way: &Way) -> Result<Option<u64>> {
        let all = match &way.scope {
            Scope::Jobs(jobs) => jobs.clone(),
            Scope::Project(project, listing) => {
                let listed = list(listing.as_ref(), *project, JobId(0), COUNTED_MAX).await?;
                return Ok((!listed.1).then(|| listed.0.iter().map(chunks_of).sum()));
            }
            Scope::From(first) => (first.0..=way.newest.0).take(COUNTED_MAX + 1).map(JobId).collect(),
        };
        if all.len() > COUNTED_MAX {
            let Scope::From(JobId(..=1)) = way.scope else { return Ok(None) };
            // Everything that is kept: as many as the last cycles of the full run counted, once there were some.
            let cursors = self.verifications().cursors().await?;
            let counted =
                cursors.iter().map(|cursor| cursor.previous.map(|cycle| cycle.chunks.max(cursor.tally.chunks)));
            return Ok(counted.sum::<Option<u64>>().filter(|counted| *counted > 0));
        }
        let mut chunks = 0;
        for job in all {
            match self.node.stores().database.job(job).await {
                Err(error) if error.is_unreadable() => {}
                job => chunks += job?.as_ref().map_or(0, chunks_of),
            }
        }
        Ok(Some(chunks))
    }

    /// A few traces at a time: most have fewer chunks than may be looked at at once. An error of one is heard once those before it
    /// are done; the wish to stop ends all that are under way: what was seen of them counts, and nothing is said of them.
    async fn check(&self, mut way: Way, run: &mut Running, mut tell: impl FnMut(&TraceChecked) + Send) -> Result<()> {
        let at_once = self.settings.full.concurrency.max(1);
        let check = &Check {
            open: self.open_mismatches().await?,
            examiner: self.examiner(Detector::Manual, run.id()),
            looks: Semaphore::new(at_once),
            run: Mutex::new(run),
        };
        loop {
            let jobs = way.next_jobs().await?;
            if jobs.is_empty() {
                return Ok(());
            }
            let traces = jobs.into_iter().map(|job| self.check_trace(job, check).boxed());
            let mut traces = stream::iter(traces).buffered(at_once.min(TRACES_AT_ONCE));
            while let Some(checked) = traces.next().await {
                let Some(checked) = checked? else { return Ok(()) };
                tell(&checked);
            }
        }
    }

    /// One trace: what is live, every recorded chunk, and the whole. In this order: a chunk whose record is written meanwhile
    /// is among the recorded ones. `None`: the run is to stop.
    async fn check_trace(&self, job: JobId, check: &Check<'_>) -> Result<Option<TraceChecked>> {
        let mut checked = TraceChecked { job, tally: Tally::default(), differences: Vec::new() };
        let known = self.known(job, check.examiner, &mut checked).await?;
        if !check.add(checked.tally).await? {
            return Ok(None);
        }
        let (mut next, mut all) = (Some(ChunkIndex(0)), None);
        while let Some(from) = next {
            let page = self.trace_page(job, from).await?;
            let is_all = from == ChunkIndex(0) && page.next.is_none() && page.unreadable.is_empty();
            if !self.check_chunks(&page.rows, check, &mut checked).await? {
                return Ok(None);
            }
            for index in page.unreadable {
                let seen = self.node.examine_unreadable(job, Some(index), check.examiner).await?;
                let goes_on = check.add(seen.tally).await?;
                checked.note(Some(index), seen);
                if !goes_on {
                    return Ok(None);
                }
            }
            next = page.next;
            all = is_all.then_some(page.rows);
        }
        // What was proven of a trace does not change, and neither do its chunks, but to be erased.
        let is_whole = known.zip(all).is_some_and(|(job, rows)| is_proven(&job) && adds_up(&job, &rows));
        if !is_whole
            && checked.tally.sound == checked.tally.looks
            && let Some(kind) = self.node.examine_whole(job, check.examiner).await?
        {
            checked.differences.push((None, kind, DataStore::Database));
            let whole = Tally { differs: 1, ..Tally::default() };
            checked.tally += whole;
            return Ok(check.add(whole).await?.then_some(checked));
        }
        Ok(check.add(Tally::default()).await?.then_some(checked))
    }

    /// A job's row and what is live of its trace; `None` for one that cannot be read, which is noted, or is not there.
    async fn known(&self, job: JobId, examiner: Examiner, checked: &mut TraceChecked) -> Result<Option<Job>> {
        let looked = async {
            let known = self.node.stores().database.job(job).await?;
            if let Some(known) = &known {
                checked.tally = self.node.examine_if_unfinished(known, examiner).await?;
            }
            Ok::<_, StoreError>(known)
        };
        match looked.await {
            Err(error) if error.is_unreadable() => {
                checked.note(None, self.node.examine_unreadable(job, None, examiner).await?);
                Ok(None)
            }
            looked => looked,
        }
    }

    /// The rows of a trace from `from` on.
    async fn trace_page(&self, job: JobId, from: ChunkIndex) -> Result<TracePage> {
        match self.node.stores().database.chunks(job, from, PAGE).await {
            Ok(rows) => {
                let next =
                    rows.last().filter(|_| rows.len() == PAGE as usize).and_then(|last| last.index.checked_next());
                Ok(TracePage { rows, unreadable: Vec::new(), next })
            }
            // One of them: each by itself.
            Err(error) if error.is_unreadable() => {
                let behind = from.0.saturating_add(PAGE);
                let places = (from.0..behind).map(|index| Place { job, index: ChunkIndex(index) });
                let (rows, unreadable) = self.node.each_row(places).await?;
                if rows.is_empty() && unreadable.is_empty() && from.0 >= SPARSE_MAX {
                    return Err(error);
                }
                Ok(TracePage {
                    rows: rows.into_iter().map(|(_, row)| row).collect(),
                    unreadable: unreadable.into_iter().map(|place| place.index).collect(),
                    next: Some(ChunkIndex(behind)),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at these chunks of a trace side by side. False: the run is to stop.
    async fn check_chunks<'a>(
        &'a self,
        rows: &'a [ChunkRow],
        check: &'a Check<'_>,
        checked: &mut TraceChecked,
    ) -> Result<bool> {
        let job = checked.job;
        let released = &self.node.without_live_copy(rows.iter().map(|row| (job, row))).await;
        let look = |row: &'a ChunkRow| {
            let look = async move {
                // It is never closed.
                let _one = check.looks.acquire().await;
                self.look(&self.full_budget, (job, row), check.examiner, (&check.open, released)).await
            };
            look.map_ok(|look| (row.index, look)).boxed()
        };
        let looks: Vec<BoxFuture<'_, _>> = rows.iter().map(look).collect();
        let looks = Running::add_all(&check.run, looks, self.settings.full.concurrency, |(_, look)| look.tally).await?;
        let Some(looks) = looks else { return Ok(false) };
        for (index, look) in looks {
            checked.note(Some(index), look);
        }
        Ok(true)
    }
}

/// What the looks of a run have in common.
struct Check<'a> {
    open: Open,
    examiner: Examiner,
    /// Chunks with a record that are looked at at the same time, whichever traces they are of.
    looks: Semaphore,
    run: Mutex<&'a mut Running>,
}

impl Check<'_> {
    /// Adds what was seen. False if the run is to stop.
    async fn add(&self, seen: Tally) -> Result<bool> {
        self.run.lock().await.add(seen).await
    }
}

/// Some of the rows of a trace.
struct TracePage {
    rows: Vec<ChunkRow>,
    /// Others, which cannot be read.
    unreadable: Vec<ChunkIndex>,
    /// Where there may be more.
    next: Option<ChunkIndex>,
}

/// The way of a run: which jobs come next.
struct Way {
    scope: Scope,
    /// The newest job when the run began.
    newest: JobId,
    /// The job that was handed out last.
    after: JobId,
}

impl Way {
    /// The next jobs; none at the end.
    async fn next_jobs(&mut self) -> Result<Vec<JobId>> {
        let jobs = match &mut self.scope {
            Scope::Jobs(jobs) => std::mem::take(jobs),
            Scope::Project(project, listing) => {
                let (jobs, _) = list(listing.as_ref(), *project, self.after, PAGE as usize).await?;
                jobs.iter().map(|job| job.id).filter(|job| *job <= self.newest).collect()
            }
            Scope::From(first) => {
                let from = first.0.max(self.after.0 + 1);
                (from..=self.newest.0).take(PAGE as usize).map(JobId).collect()
            }
        };
        self.after = jobs.last().copied().unwrap_or(self.after);
        Ok(jobs)
    }
}

/// So many jobs of a project, in order, and whether there are more.
async fn list(listing: &dyn Listing, project: ProjectId, after: JobId, most: usize) -> Result<(Vec<Job>, bool)> {
    let filter = JobFilter { project, statuses: None };
    let size = u32::try_from(most).unwrap_or(u32::MAX);
    let page = Page { start: PageStart::Behind(Some(after.0)), size, newest_first: false };
    let listed = listing.jobs(&filter, page).await?;
    Ok((listed.items, listed.more))
}

/// How many chunks a job's trace has, as far as its row tells.
fn chunks_of(job: &Job) -> u64 {
    let size = job.size.unwrap_or(job.acked_length - Offset::ZERO);
    size.0.div_ceil(job.chunk_size.bytes().0)
}
