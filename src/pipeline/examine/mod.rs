//! Examine: every copy of a chunk against its record, confirmed, written down, and healed where that is possible.
//!
//! The one look behind the verifier's runs and a person's `verify`. A difference is believed only if row, copy and row
//! again say the same, twice; whether it still counts is then decided by the statement that writes it down. Everything
//! can be repeated, by any number of nodes at once.

mod heal;
mod left_over;
mod open_end;
mod stale;
mod unnamed;
mod unreadable;
mod whole;

use std::collections::BTreeSet;

use bytes::Bytes;

pub use unnamed::Unnamed;
pub use whole::{adds_up, is_proven};

use crate::store::Result;
use crate::store::copies::Looked;
use crate::store::database::verifications::RunId;
use crate::store::database::{MismatchFilter, Resolution};
use crate::telemetry::verification as telemetry;
use crate::trace::verdict::agree_against;
use crate::trace::{
    ByteSize, ChunkId, ChunkRow, ChunkState, DataStore, Detector, JobId, Kind, Location, Look, Record, Stored, Tally,
    TraceState,
};

use super::Pipeline;
use super::loss::{BadCopy, Finder};

/// Who examines, and what may be done about what is found.
#[derive(Clone, Copy, Debug)]
pub struct Examiner {
    /// The label of what it finds.
    pub detector: Detector,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// Whether what can be healed is healed, or only written down.
    pub heals: bool,
}

/// What a chunk's copies came to.
#[derive(Clone, Debug, Default)]
pub struct Examined {
    /// In numbers.
    pub tally: Tally,
    /// What differs, and where; confirmed.
    pub differences: Vec<(Kind, DataStore)>,
}

/// Rounds in which a chunk is looked at again because it moved meanwhile.
const ROUNDS: u32 = 4;
/// Mismatches of one chunk that are looked through.
const KNOWN_MAX: u32 = 10_000;

/// One copy, as it was seen.
struct Sight {
    store: DataStore,
    look: Look,
    bytes: Option<Bytes>,
    stored: Option<Stored>,
    took_ms: u64,
}

impl Sight {
    fn found(&self) -> Option<Record> {
        self.bytes.as_deref().map(Record::of)
    }

    /// Decoded bytes that are the promised ones, even if something else is wrong with the copy.
    fn good_bytes(&self, record: &Record) -> Option<&Bytes> {
        self.bytes.as_ref().filter(|bytes| Record::of(bytes) == *record)
    }
}

/// What the row promises, and where a persistent copy lies.
struct Promise<'a> {
    record: &'a Record,
    at: Option<&'a Location>,
    /// False where the live copy may be gone: a persistent one was proven.
    needs_live: bool,
}

impl Promise<'_> {
    fn of(row: &ChunkRow) -> Option<Promise<'_>> {
        match &row.state {
            ChunkState::Sealed { record } => Some(Promise { record, at: None, needs_live: true }),
            ChunkState::Persisted { record, at } | ChunkState::Wanted { record: Some(record), kept: Some(at), .. } => {
                Some(Promise { record, at: Some(at), needs_live: false })
            }
            ChunkState::Wanted { record: Some(record), kept: None, .. } => {
                Some(Promise { record, at: None, needs_live: true })
            }
            ChunkState::Open | ChunkState::Wanted { record: None, .. } => None,
        }
    }
}

/// What is known of a chunk's live copy before it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LiveCopy {
    /// Nothing.
    Unknown,
    /// It is gone.
    Gone,
}

impl From<Examiner> for Finder {
    fn from(examiner: Examiner) -> Self {
        Self { detector: examiner.detector, run: examiner.run }
    }
}

impl Pipeline {
    /// Looks at every copy of a recorded chunk. `row` as it was listed: if it is another one by now, that one is looked at.
    pub async fn examine(&self, job: JobId, row: &ChunkRow, examiner: Examiner) -> Result<Examined> {
        self.examine_knowing(job, row, examiner, LiveCopy::Unknown).await
    }

    /// The same for a chunk of which [`without_live_copy`](Self::without_live_copy) said that there is no live copy.
    pub async fn examine_without_live_copy(&self, job: JobId, row: &ChunkRow, examiner: Examiner) -> Result<Examined> {
        self.examine_knowing(job, row, examiner, LiveCopy::Gone).await
    }

    /// Those of these chunks that have no live copy and need none, as nearly all that are proven. The store is asked once for
    /// all of them; where it is away nothing is known, and each look finds out by itself.
    pub async fn without_live_copy(
        &self,
        rows: impl Iterator<Item = (JobId, &ChunkRow)> + Send,
    ) -> BTreeSet<(JobId, ChunkId)> {
        let proven = rows.filter(|(_, row)| Promise::of(row).is_some_and(|promise| !promise.needs_live));
        let proven: Vec<(JobId, ChunkId)> = proven.map(|(job, row)| (job, row.id())).collect();
        match self.stores().live.present(&proven).await {
            Ok(present) => proven.into_iter().filter(|copy| !present.contains(copy)).collect(),
            Err(error) => {
                tracing::debug!(%error, "live copies could not be asked for at once");
                BTreeSet::new()
            }
        }
    }

    async fn examine_knowing(
        &self,
        job: JobId,
        row: &ChunkRow,
        examiner: Examiner,
        mut live_copy: LiveCopy,
    ) -> Result<Examined> {
        let mut row = row.clone();
        for _ in 0..ROUNDS {
            match self.examine_once(job, &row, examiner, live_copy).await? {
                Some(mut examined) => {
                    // A row that promises nothing yet has no copies.
                    examined.tally.chunks = u64::from(examined.tally.looks > 0);
                    return Ok(examined);
                }
                None => match self.stores().database.chunk(job, row.index).await? {
                    Some(now) => (row, live_copy) = (now, LiveCopy::Unknown),
                    // It went with its trace: there is nothing to look at any more.
                    None if self.is_erased(job).await? => return Ok(Examined::default()),
                    None => break,
                },
            }
        }
        Ok(Examined { tally: Tally { chunks: 1, moved: 1, looks: 1, ..Tally::default() }, ..Examined::default() })
    }

    async fn is_erased(&self, job: JobId) -> Result<bool> {
        let job = self.stores().database.job(job).await?;
        Ok(job.is_none_or(|job| job.state == TraceState::Erased))
    }

    /// `None`: the row is another one by now.
    async fn examine_once(
        &self,
        job: JobId,
        row: &ChunkRow,
        examiner: Examiner,
        live_copy: LiveCopy,
    ) -> Result<Option<Examined>> {
        let Some(promise) = Promise::of(row) else { return Ok(Some(Examined::default())) };
        let look = |live_copy| self.look_around(job, row, &promise, live_copy, examiner.detector);
        let mut sights = look(live_copy).await;
        if has_difference(&sights) {
            // What is seen once may be a row that moved, or bytes that were on their way.
            if !self.is_unchanged(job, row).await? {
                return Ok(None);
            }
            let mut again = look(LiveCopy::Unknown).await;
            sights.retain_mut(|first| {
                let Look::Differs(_) = first.look else { return true };
                // A live copy that is gone by now went as it should.
                let Some(at) = again.iter().position(|second| second.store == first.store) else { return false };
                let second = again.swap_remove(at);
                if let Look::Sound = second.look {
                    let (store, look) = (first.store, first.look);
                    tracing::warn!(job_id = job.0, chunk = row.index.0, %store, %look,
                        "job {job}: chunk {} was read wrong from {store} once, and right a moment later", row.index);
                }
                *first = second;
                true
            });
            accuse_the_record(&promise, &mut sights);
            for sight in &mut sights {
                if let Look::Differs(kind) = sight.look {
                    sight.look = Look::Differs(self.precise_kind(job, row, kind, sight.found().as_ref()).await);
                }
            }
        }
        let is_needed = row.is_lost() || has_difference(&sights);
        let known = if is_needed { self.stores().database.job(job).await? } else { None };
        if row.is_lost() && known.as_ref().is_some_and(|known| !known.is_unfinished()) {
            // Bytes that came back to the live store of a trace that is over are still in no persistent one.
            for sight in sights.iter_mut().filter(|sight| sight.look == Look::Sound) {
                sight.look = Look::Differs(Kind::Missing);
            }
        }
        let mut examined = Examined::default();
        for sight in &sights {
            let read = sight.bytes.as_deref().map_or(ByteSize::ZERO, ByteSize::of);
            examined.tally.count(sight.look, read);
            telemetry::looked(sight.store, sight.look, read, sight.took_ms);
        }
        let Some(known) = known.filter(|_| has_difference(&sights)) else { return Ok(Some(examined)) };
        if row.is_lost() && known.is_unfinished() {
            // Bytes that the runner was asked for are no news.
            return Ok(Some(Examined::default()));
        }
        if self.is_misplaced(&known, row.index).await? {
            // Nothing is healed: what the row says of its copies tells a person which row it is.
            examined.differences.push((Kind::Record, DataStore::Database));
            let noted = self.note_misplaced(&known, row, examiner.into()).await? != Look::Moved;
            return Ok(noted.then_some(examined));
        }
        let loss = self.known_loss(job, row).await?;
        for sight in &sights {
            let Look::Differs(kind) = sight.look else { continue };
            let difference = loss.unwrap_or((kind, kind.store(sight.store)));
            if examined.differences.contains(&difference) {
                continue;
            }
            let label = (kind, sight.store, examiner.into());
            let seen = bad_copy(sight, &sights, promise.record);
            if loss.is_none() && self.note_difference(&known, row, promise.record, label, seen).await? == Look::Moved {
                return Ok(None);
            }
            examined.differences.push(difference);
        }
        if examiner.heals && known.state != TraceState::Erased {
            // Asked before it is healed: a drill speaks for its chunk until then.
            let is_drill = self.is_drill(job, row.index).await?;
            let healed = match self.heal(&known, row, &promise, &sights, examiner).await {
                Ok(healed) => healed,
                // It is written down. A store that was needed could not be asked: whoever looks comes again for that.
                Err(error) => {
                    examined.tally.count(Look::Unreachable, ByteSize::ZERO);
                    tracing::warn!(job_id = job.0, chunk = row.index.0, %error,
                        "job {job}: chunk {} could not be healed yet", row.index);
                    Some(false)
                }
            };
            if healed == Some(true) {
                examined.tally.repaired = examined.differences.len() as u64;
            }
            if let Some(healed) = healed.filter(|_| !is_drill) {
                telemetry::repaired(healed);
            }
        }
        Ok(Some(examined))
    }

    /// What is written down of a chunk whose bytes were asked for again and never came: that is the loss, in the store that had
    /// them, and not that they are in no other one either.
    async fn known_loss(&self, job: JobId, row: &ChunkRow) -> Result<Option<(Kind, DataStore)>> {
        if !row.is_lost() {
            return Ok(None);
        }
        let filter = MismatchFilter {
            job: Some(job),
            chunk: Some(row.index),
            of_logs: true,
            limit: KNOWN_MAX,
            ..Default::default()
        };
        let known = self.stores().database.mismatches(filter).await?;
        let unhealed =
            known.iter().find(|known| !matches!(known.resolved, Some((Resolution::Resent | Resolution::Repaired, _))));
        Ok(unhealed.map(|known| (known.what.kind, known.what.store)))
    }

    /// Every copy that there should be, and the live one if it is still there.
    async fn look_around(
        &self,
        job: JobId,
        row: &ChunkRow,
        promise: &Promise<'_>,
        live_copy: LiveCopy,
        detector: Detector,
    ) -> Vec<Sight> {
        let live = self.stores().live.as_ref();
        let live_copy = async {
            if live_copy == LiveCopy::Gone {
                return None;
            }
            let looking = self.look_live(job, row.id(), promise.record);
            let sight = self.sight(live.name(), looking).await;
            let is_gone = sight.look == Look::Differs(Kind::Missing) && !promise.needs_live;
            Some(sight).filter(|_| !is_gone)
        };
        let persistent_copy = async {
            match promise.at {
                Some(at) => {
                    if detector == Detector::Full {
                        // It is the medium that is to be proven, by this run if by none.
                        self.stores().of(at).drop_cache(&at.object().key).await;
                    }
                    Some(self.sight(at.store(), self.look_persisted(at, promise.record)).await)
                }
                None => None,
            }
        };
        let (persistent, live) = futures::join!(persistent_copy, live_copy);
        persistent.into_iter().chain(live).collect()
    }

    async fn sight(&self, store: DataStore, looking: impl Future<Output = Looked>) -> Sight {
        let began = self.now();
        let looked = looking.await;
        if let Some(error) = &looked.error {
            tracing::debug!(%store, %error, "a copy could not be looked at");
        }
        let took_ms = self.now().ms_since(began);
        Sight { store, look: looked.look, bytes: looked.bytes, stored: looked.stored, took_ms }
    }

    /// A chunk that has open mismatches is found to be sound wherever it lies: they are resolved, but for a gap.
    pub async fn note_sound_again(&self, job: JobId, row: &ChunkRow) -> Result<()> {
        self.note_repaired(job, row.index, "every copy was found as recorded").await
    }
}

/// What is known of a difference: where bytes begin to differ is known if another copy is right.
fn bad_copy(sight: &Sight, sights: &[Sight], record: &Record) -> BadCopy {
    let good = sights.iter().find_map(|sight| sight.good_bytes(record));
    BadCopy::of(sight.bytes.as_deref(), sight.stored, good.map(|good| &good[..]))
}

fn has_difference(sights: &[Sight]) -> bool {
    sights.iter().any(|sight| matches!(sight.look, Look::Differs(_)))
}

/// Copies in two stores that agree with each other are right, and the record is wrong.
fn accuse_the_record(promise: &Promise<'_>, sights: &mut [Sight]) {
    let found: Vec<Record> = sights.iter().filter_map(Sight::found).collect();
    if let [one, other] = found.as_slice()
        && agree_against(promise.record, one, other)
    {
        for sight in sights {
            sight.look = Look::Differs(Kind::Record);
        }
    }
}
