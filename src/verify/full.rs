//! The full run: every persistent copy, within its cycle, at an even pace.
//!
//! Each shard is a walk in the order of jobs and chunks that never ends. Where it stands is saved every few chunks under
//! a version; whoever has the shard's turn goes on from there, on any node, after any crash.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};

use crate::pipeline::examine::{Examiner, adds_up, is_proven};
use crate::store::Result;
use crate::store::database::leases::When;
use crate::store::database::verifications::{Cursor, Cycle as Ended, NewRun, Place, RunEnd};
use crate::telemetry::verification as telemetry;
use crate::trace::{ByteSize, ChunkIndex, ChunkRow, Detector, JobId, RunState, Schedule, Tally, Timestamp, Version};

use super::shards::{Shard, Standing, Tier, behind};
use super::{Open, Released, Verifier, side_by_side};

/// Chunks between two saves of a cursor: after a crash at most so many are looked at again.
const PAGE: u32 = 64;

/// The way of the walks as it is now.
pub(super) struct Way {
    /// The first job that counts as fresh.
    fresh_from: JobId,
    /// One above the newest job.
    end: JobId,
}

/// Some of the chunks of a walk.
#[derive(Debug)]
struct Page {
    rows: Vec<(JobId, ChunkRow)>,
    /// Where there are others, whose rows cannot be read.
    unreadable: Vec<Place>,
    /// Where the walk goes on.
    next: Place,
}

impl Verifier {
    /// One tick: every shard that is due and that no other node works on goes as far as it should be by now. True if
    /// there was something to do.
    pub(super) async fn full(&self) -> Result<bool> {
        let until = self.now().after(self.settings.full_slice);
        let way = self.way().await?;
        let known = self.verifications().cursors().await?;
        let mut shards = Vec::new();
        for shard in Shard::all() {
            let cursor = self.cursor(shard, &known, &way).await?;
            shards.push((shard, self.standing(shard, &cursor, &way), cursor));
        }
        self.show_coverage(&shards);
        shards.retain(|(_, standing, _)| standing.is_due() || standing.is_over());
        shards.sort_by(|(_, one, _), (_, other, _)| other.lag().total_cmp(&one.lag()));
        let open = self.open_mismatches().await?;
        let mut worked = false;
        let mut failed = None;
        for (shard, ..) in shards {
            if self.now() >= until {
                break;
            }
            let lease = format!("verify/full/{shard}");
            let walk = self.walk(shard, &way, until, &open).boxed();
            let walked = self.node.in_turn(&lease, When::Due, Duration::ZERO, walk).await?;
            match walked.transpose() {
                Ok(walked) => worked |= walked.is_some(),
                // The others go on: what stops one walk, such as a row that cannot be read, may stop no other.
                Err(error) => {
                    tracing::warn!(%shard, %error, "the verifier's full run cannot go on in shard {shard}");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(worked), Err)
    }

    /// As it is now.
    pub(super) async fn way(&self) -> Result<Way> {
        let young = self.now().before(self.settings.fresh_for);
        let fresh_from = self.verifications().first_job_since(young).await?;
        let newest = self.verifications().newest_job().await?;
        Ok(Way { fresh_from, end: JobId(newest.0 + 1) })
    }

    pub(super) fn promised(&self, tier: Tier) -> Duration {
        match tier {
            Tier::Fresh => self.settings.fresh_cycle,
            Tier::Old => self.settings.old_cycle,
        }
    }

    pub(super) fn standing(&self, shard: Shard, cursor: &Cursor, way: &Way) -> Standing {
        let end = match shard.tier {
            Tier::Fresh => way.end,
            Tier::Old => cursor.to,
        };
        Standing::of(cursor, end, self.promised(shard.tier), self.now())
    }

    /// Where the shard's walk stands; the first time, where it begins.
    async fn cursor(&self, shard: Shard, known: &[Cursor], way: &Way) -> Result<Cursor> {
        let name = shard.to_string();
        match known.iter().find(|cursor| cursor.shard == name) {
            Some(cursor) => Ok(cursor.clone()),
            None => self.verifications().first_cursor(&self.begin_cycle(shard, way, None, known).await?).await,
        }
    }

    /// A new cycle at its beginning.
    async fn begin_cycle(&self, shard: Shard, way: &Way, before: Option<&Cursor>, known: &[Cursor]) -> Result<Cursor> {
        let now = self.now();
        let (from, to) = match shard.tier {
            Tier::Fresh => (way.fresh_from.min(taken_over(shard, known)), JobId(i64::MAX)),
            Tier::Old => (JobId(1), way.fresh_from),
        };
        let run = NewRun {
            schedule: Schedule::Full,
            scope: shard.to_string(),
            node: self.node.name().to_owned(),
            expected: before.map(|before| before.tally.chunks),
            at: now,
        };
        let run = self.verifications().begin_run(&run).await?;
        Ok(Cursor {
            shard: shard.to_string(),
            version: before.map_or(Version::FIRST, |before| before.version),
            from,
            to,
            at: Place { job: from, index: ChunkIndex(0) },
            started_at: now,
            tally: Tally::default(),
            run: run.id,
            previous: before.map(|before| Ended {
                started_at: before.started_at,
                ended_at: now,
                chunks: before.tally.chunks,
            }),
        })
    }

    /// Goes on with a shard's walk until it is where it should be.
    async fn walk(&self, shard: Shard, way: &Way, until: Timestamp, open: &Open) -> Result<()> {
        // As it is now that the turn is ours.
        let known = self.verifications().cursors().await?;
        let mut cursor = self.cursor(shard, &known, way).await?;
        while self.now() < until {
            let standing = self.standing(shard, &cursor, way);
            if standing.is_over() {
                return self.end_cycle(shard, &cursor, way, &known).await;
            }
            if !standing.is_due() {
                break;
            }
            let (from, block_end) = shard.block_at(cursor.at.job);
            let end = cursor.to.min(way.end);
            if from >= end {
                cursor.at = Place { job: end, index: ChunkIndex(0) };
                self.save(&mut cursor).await?;
                continue;
            }
            if from > cursor.at.job {
                cursor.at = Place { job: from, index: ChunkIndex(0) };
            }
            let Page { rows, unreadable, next } = self.page(cursor.at, end.min(block_end)).await?;
            let examiner = self.examiner(Detector::Full, cursor.run);
            let seen = self.look_at_all(&rows, examiner, open).await?;
            let nothing_seen = seen.looks > 0 && seen.unreachable == seen.looks;
            if seen.unreachable > 0 && (standing.has_time() || (nothing_seen && self.is_store_away().await)) {
                // What was not seen is not passed over: not while the store is away, nor some of it for as long as there
                // is time to wait.
                tracing::warn!(%shard, unreachable = seen.unreachable, "the verifier's full run waits for a store");
                break;
            }
            cursor.tally += seen;
            for Place { job, index } in unreadable {
                cursor.tally += self.node.examine_unreadable(job, Some(index), examiner).await?.tally;
            }
            cursor.tally += self.look_at_wholes((cursor.at, next), &rows, examiner).await?;
            cursor.tally += self.look_at_lost((cursor.at, next), &rows, examiner, open).await?;
            cursor.at = next;
            if !self.save(&mut cursor).await? {
                // Somebody else goes on: this turn ended unseen.
                break;
            }
            telemetry::progressed(Schedule::Full, self.now());
        }
        Ok(())
    }

    /// Saves where the walk stands. False if it is not this node's any more.
    async fn save(&self, cursor: &mut Cursor) -> Result<bool> {
        let saved = self.verifications().save_cursor(cursor).await?;
        cursor.version = Version(cursor.version.0 + 1);
        if saved {
            self.verifications().note_progress(cursor.run, &cursor.tally, self.now()).await?;
        }
        Ok(saved)
    }

    async fn end_cycle(&self, shard: Shard, cursor: &Cursor, way: &Way, known: &[Cursor]) -> Result<()> {
        let next = self.begin_cycle(shard, way, Some(cursor), known).await?;
        let state = if cursor.tally.unreachable > 0 { RunState::Partial } else { RunState::Complete };
        let ended = RunEnd { run: cursor.run, state, tally: cursor.tally, at: self.now() };
        if self.verifications().next_cycle(&next, &ended).await? {
            telemetry::run_ended(Schedule::Full, state, ended.at.ms_since(cursor.started_at));
        } else {
            // The run that nobody came to need.
            self.verifications().end_run(next.run, RunState::Complete, None, &next.tally, ended.at).await?;
        }
        Ok(())
    }

    /// The chunks from `at` on, of jobs below `to`.
    async fn page(&self, at: Place, to: JobId) -> Result<Page> {
        let next = |last: Option<Place>, found: usize| match last {
            Some(last) if found == PAGE as usize => behind(last.job, last.index),
            _ => Place { job: to, index: ChunkIndex(0) },
        };
        match self.verifications().kept_chunks(at, to, PAGE).await {
            Ok(rows) => {
                let last = rows.last().map(|(job, row)| Place { job: *job, index: row.index });
                Ok(Page { next: next(last, rows.len()), rows, unreadable: Vec::new() })
            }
            // One of them: each by itself.
            Err(error) if error.is_unreadable() => {
                let places = self.verifications().kept_places(at, to, PAGE).await?;
                let next = next(places.last().copied(), places.len());
                let (rows, unreadable) = self.node.each_row(places).await?;
                Ok(Page { rows, unreadable, next })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the object store answers nothing: where it does, it is these objects alone that cannot be had.
    async fn is_store_away(&self) -> bool {
        self.node.stores().objects.ping().await.is_err()
    }

    /// Looks at chunks side by side.
    async fn look_at_all<'a>(
        &'a self,
        rows: &'a [(JobId, ChunkRow)],
        examiner: Examiner,
        open: &'a Open,
    ) -> Result<Tally> {
        let released = &self.node.without_live_copy(rows.iter().map(|(job, row)| (*job, row))).await;
        let look = |(job, row): &'a (JobId, ChunkRow)| {
            let look = self.look(&self.full_budget, (*job, row), examiner, (open, released));
            look.map_ok(|examined| examined.tally).boxed()
        };
        let looks: Vec<BoxFuture<'_, _>> = rows.iter().map(look).collect();
        let mut seen = Tally::default();
        for look in side_by_side(looks, self.settings.full.concurrency).await? {
            seen += look;
        }
        Ok(seen)
    }

    /// The whole of each trace that ends between two places, by the rows among `kept`, the chunks there: one statement for all of
    /// these traces. One that does not add up is read by itself: it may have begun before, or changed meanwhile. So are those
    /// that have bytes and no row with a copy of any, which no look at a chunk meets.
    async fn look_at_wholes(
        &self,
        (from, to): (Place, Place),
        kept: &[(JobId, ChunkRow)],
        examiner: Examiner,
    ) -> Result<Tally> {
        let mut seen = Tally::default();
        for (id, row) in self.verifications().passed_jobs(from.job, to.job).await? {
            let here = kept.iter().filter(|(job, _)| *job == id).map(|(_, row)| row);
            if row.is_some_and(|job| !is_proven(&job) || adds_up(&job, here)) {
                continue;
            }
            self.full_budget.take_amount(ByteSize::ZERO, 1).await;
            seen += self.look_at_whole(id, examiner).await?;
        }
        Ok(seen)
    }

    /// Chunks with open mismatches between two places of which no row names a copy any more, for they were asked for again and
    /// never came: somebody may have put one back.
    async fn look_at_lost(
        &self,
        (from, to): (Place, Place),
        kept: &[(JobId, ChunkRow)],
        examiner: Examiner,
        open: &Open,
    ) -> Result<Tally> {
        let way = (from.job, from.index)..(to.job, to.index);
        let is_kept = |chunk: &(JobId, ChunkIndex)| kept.iter().any(|(job, row)| (*job, row.index) == *chunk);
        let mut seen = Tally::default();
        for (job, index) in open.iter().copied().filter(|chunk| way.contains(chunk) && !is_kept(chunk)) {
            let row = match self.node.stores().database.chunk(job, index).await {
                // It is named already, and kept its place among the open ones by that.
                Err(error) if error.is_unreadable() => continue,
                row => row?,
            };
            let Some(row) = row.filter(ChunkRow::is_lost) else { continue };
            seen += self.look(&self.full_budget, (job, &row), examiner, (open, &Released::new())).await?.tally;
        }
        Ok(seen)
    }

    async fn look_at_whole(&self, job: JobId, examiner: Examiner) -> Result<Tally> {
        match self.node.examine_whole(job, examiner).await {
            Ok(wrong) => Ok(Tally { differs: wrong.is_some().into(), ..Tally::default() }),
            Err(error) if error.is_unreadable() => Ok(self.unreadable_trace(job, examiner).await?.tally),
            Err(error) => Err(error),
        }
    }
}

/// Up to which job the walk over old ones has taken over from the one over fresh ones. A job that grows old in the middle
/// of the long walk stays with the short one until the next long one begins: it is never without either.
fn taken_over(fresh: Shard, known: &[Cursor]) -> JobId {
    let old = fresh.in_tier(Tier::Old).to_string();
    known.iter().find(|cursor| cursor.shard == old).map_or(JobId(i64::MAX), |cursor| cursor.to)
}
