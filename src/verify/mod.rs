//! The verifier: every copy of every chunk held against its record, again and again, for as long as it is kept.
//!
//! ```text
//! hot        every minute: what is live or was proven lately
//! full       all the time, paced: every persistent copy within its cycle
//! inventory  daily: what the stores list against what the database names
//! canary     every few minutes: a synthetic trace, damaged on purpose now and then
//! manual     what a person asks for
//! ```
//!
//! How a chunk is looked at, believed, written down and healed is the pipeline's [`examine`](crate::pipeline::examine);
//! here is decided what is looked at, when, by which node, and how fast. Nothing is written for a chunk that is sound.

pub mod budget;
pub mod canary;
mod coverage;
mod full;
mod hot;
mod hot_shards;
mod inventory;
mod manual;
mod report;
mod runs;
mod settings;
mod shards;
mod status;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

pub use manual::{Scope, TraceChecked, Wanted};
pub use report::RunReport;
pub use runs::Running;
pub use settings::{Budgeted, CanaryDamage, Settings};
pub use status::{Coverage, CycleReport, ScheduleStatus, ShardStatus, Status};

use crate::pipeline::Pipeline;
use crate::pipeline::examine::{Examined, Examiner};
use crate::store::Result;
use crate::store::database::MismatchFilter;
use crate::store::database::verifications::{RunId, Verifications};
use crate::telemetry::verification::{self as telemetry, Tick};
use crate::trace::{ChunkId, ChunkIndex, ChunkRow, Detector, JobId, Schedule, Tally, Timestamp};

use budget::Budget;

/// Open mismatches that one run keeps in mind, so that what is sound again is noted.
const OPEN_MAX: u32 = 10_000;

/// The verifier of one node. Cheap to clone; any number of nodes share the work.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

/// The inside of a verifier; opaque outside of this module.
pub struct Inner {
    node: Pipeline,
    settings: Settings,
    hot_budget: Budget,
    full_budget: Budget,
    inventory_budget: Budget,
    seen: hot::Seen,
    canary_client: OnceLock<Arc<dyn canary::CanaryClient>>,
    /// By schedule: a tick is under way on this node.
    under_way: [AtomicBool; Schedule::ALL.len()],
}

impl std::ops::Deref for Verifier {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Chunks that have open mismatches.
type Open = HashSet<(JobId, ChunkIndex)>;
/// Chunks that are known to have no live copy.
type Released = BTreeSet<(JobId, ChunkId)>;

impl Verifier {
    /// A verifier on this node. Nothing runs by itself: whoever keeps the schedules calls [`tick`](Self::tick).
    pub fn new(node: Pipeline, settings: Settings) -> Self {
        let budget = |budgeted| Budget::new(budgeted, node.seams().clock.clone());
        Self(Arc::new(Inner {
            hot_budget: budget(settings.hot),
            full_budget: budget(settings.full),
            inventory_budget: budget(settings.inventory),
            seen: hot::Seen::default(),
            canary_client: OnceLock::new(),
            under_way: Default::default(),
            node,
            settings,
        }))
    }

    /// A schedule is due on this node. Does what is due and no other node does, unless the tick before is still under way.
    pub async fn tick(&self, schedule: Schedule) -> Result<Tick> {
        let flag = &self.under_way[schedule as usize];
        if flag.swap(true, Ordering::SeqCst) {
            telemetry::ticked(schedule, Tick::Overlapped);
            tracing::warn!("the verifier's {schedule} run is still at work: this time is left out");
            return Ok(Tick::Overlapped);
        }
        let _under_way = UnderWay(flag);
        let done = match schedule {
            Schedule::Hot => self.hot().boxed().await,
            Schedule::Full => self.full().boxed().await,
            Schedule::Inventory => self.inventory().boxed().await,
            Schedule::Canary => self.canary().boxed().await,
            Schedule::Manual => Ok(false),
        };
        let tick = match &done {
            Ok(true) => Tick::Ran,
            Ok(false) => Tick::Idle,
            Err(_) => Tick::Failed,
        };
        telemetry::ticked(schedule, tick);
        if done.is_ok() {
            telemetry::progressed(schedule, self.now());
        }
        done.map(|_| tick)
    }

    /// The node that it runs on.
    pub fn node(&self) -> &Pipeline {
        &self.node
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn now(&self) -> Timestamp {
        self.node.seams().clock.now()
    }

    fn verifications(&self) -> &dyn Verifications {
        self.node.stores().verifications.as_ref()
    }

    fn examiner(&self, detector: Detector, run: RunId) -> Examiner {
        Examiner { detector, run: Some(run), heals: self.settings.repairs }
    }

    /// Examines one chunk within the budget. `released`: those that are known to have no live copy.
    async fn look(
        &self,
        budget: &Budget,
        (job, row): (JobId, &ChunkRow),
        examiner: Examiner,
        (open, released): (&Open, &Released),
    ) -> Result<Examined> {
        budget.take(row).await;
        let examined = if released.contains(&(job, row.id())) {
            self.node.examine_without_live_copy(job, row, examiner).await
        } else {
            self.node.examine(job, row, examiner).await
        };
        let examined = match examined {
            // A copy differs, and who it belongs to cannot be read.
            Err(error) if error.is_unreadable() => self.unreadable_trace(job, examiner).await?,
            examined => examined?,
        };
        if is_sound(&examined.tally) && !row.is_lost() && open.contains(&(job, row.index)) {
            // Somebody put the bytes back by other means.
            match self.node.note_sound_again(job, row).await {
                // Another row of the trace: this one's mismatch waits until that is right.
                Err(error) if error.is_unreadable() => {
                    tracing::warn!(job_id = job.0, %error, "job {job} is not settled")
                }
                noted => noted?,
            }
        }
        Ok(examined)
    }

    /// A trace of which a row cannot be read, and what that is: of its chunks those with an index that can be, or the job's.
    async fn unreadable_trace(&self, job: JobId, examiner: Examiner) -> Result<Examined> {
        match self.node.stores().database.job(job).await {
            Err(error) if error.is_unreadable() => self.node.examine_unreadable(job, None, examiner).await,
            // A chunk's, which the look at that chunk names.
            other => other.map(|_| Examined::default()),
        }
    }

    /// Chunks with open mismatches, as they are now. Not those of bytes that no row speaks for: a look at the copies of a
    /// chunk does not see them.
    async fn open_mismatches(&self) -> Result<Open> {
        let filter = MismatchFilter { open: Some(true), of_logs: true, limit: OPEN_MAX, ..Default::default() };
        let open = self.node.stores().database.mismatches(filter).await?;
        Ok(open.into_iter().filter_map(|open| Some((open.what.job, open.what.chunk?))).collect())
    }
}

/// Makes all these looks, so many at a time; what they saw is in their order. Nothing else is awaited meanwhile: a look
/// that is begun and not polled would keep a connection, or its place in the queue for one, and whoever waits for one
/// instead of polling it would wait for ever.
async fn side_by_side<T>(looks: Vec<BoxFuture<'_, Result<T>>>, at_once: usize) -> Result<Vec<T>> {
    stream::iter(looks).buffered(at_once.max(1)).try_collect().await
}

/// Whether there are copies, and all are as recorded.
fn is_sound(seen: &Tally) -> bool {
    seen.looks > 0 && seen.sound == seen.looks
}

/// Says that a tick is under way until it goes.
struct UnderWay<'a>(&'a AtomicBool);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
