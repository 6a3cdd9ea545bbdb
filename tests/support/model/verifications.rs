//! What the verifier remembers, in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use veritail::store::Result;
use veritail::store::database::Job;
use veritail::store::database::verifications::{
    Cursor, Named, NewRun, Place, Run, RunEnd, RunFilter, RunId, Verifications,
};
use veritail::trace::{ChunkRow, DataStore, JobId, Location, RunState, Tally, Timestamp, Version};

use super::database::ModelDatabase;

/// The runs and the cursors.
#[derive(Clone, Default)]
pub(super) struct Tables {
    runs: BTreeMap<RunId, Run>,
    runs_made: i64,
    cursors: BTreeMap<String, Cursor>,
}

impl Tables {
    fn running(&mut self, run: RunId) -> Option<&mut Run> {
        self.runs.get_mut(&run).filter(|run| run.state == RunState::Running)
    }
}

#[async_trait]
impl Verifications for ModelDatabase {
    async fn begin_run(&self, new: &NewRun) -> Result<Run> {
        let tables = &mut self.tables().verifications;
        tables.runs_made += 1;
        let run = Run {
            id: RunId(tables.runs_made),
            schedule: new.schedule,
            scope: new.scope.clone(),
            node: new.node.clone(),
            expected: new.expected,
            state: RunState::Running,
            tally: Tally::default(),
            started_at: new.at,
            heard_at: new.at,
            ended_at: None,
            message: None,
            stop_asked_by: None,
        };
        tables.runs.insert(run.id, run.clone());
        Ok(run)
    }

    async fn note_progress(&self, run: RunId, tally: &Tally, at: Timestamp) -> Result<bool> {
        let tables = &mut self.tables().verifications;
        let Some(run) = tables.running(run) else { return Ok(false) };
        run.tally = *tally;
        run.heard_at = run.heard_at.max(at);
        Ok(run.stop_asked_by.is_none())
    }

    async fn end_run(
        &self,
        run: RunId,
        state: RunState,
        message: Option<&str>,
        tally: &Tally,
        at: Timestamp,
    ) -> Result<()> {
        assert_ne!(state, RunState::Running, "this is no end");
        if let Some(run) = self.tables().verifications.running(run) {
            run.state = state;
            run.message = message.map(str::to_owned);
            run.tally = *tally;
            run.heard_at = run.heard_at.max(at);
            run.ended_at = Some(at);
        }
        Ok(())
    }

    async fn ask_to_stop(&self, run: RunId, by: &str) -> Result<Option<Run>> {
        let tables = &mut self.tables().verifications;
        if let Some(run) = tables.running(run) {
            run.stop_asked_by.get_or_insert_with(|| by.to_owned());
        }
        Ok(tables.runs.get(&run).cloned())
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>> {
        Ok(self.tables().verifications.runs.get(&run).cloned())
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        let tables = self.tables();
        let listed = tables.verifications.runs.values().rev().filter(|run| {
            filter.schedule.is_none_or(|schedule| run.schedule == schedule)
                && filter.state.is_none_or(|state| run.state == state)
                && filter.before.is_none_or(|before| run.id < before)
        });
        Ok(listed.take(filter.limit_or_default() as usize).cloned().collect())
    }

    async fn end_silent_runs(&self, silent_since: Timestamp, message: &str, at: Timestamp) -> Result<u64> {
        let Tables { runs, cursors, .. } = &mut self.tables().verifications;
        let is_lost = |run: &&mut Run| {
            run.state == RunState::Running
                && run.heard_at < silent_since
                && cursors.values().all(|cursor| cursor.run != run.id)
        };
        let mut ended = 0;
        for run in runs.values_mut().filter(is_lost) {
            run.state = RunState::Failed;
            run.message = Some(message.to_owned());
            run.ended_at = Some(at);
            ended += 1;
        }
        Ok(ended)
    }

    async fn remove_runs(&self, before: Timestamp) -> Result<u64> {
        let mut tables = self.tables();
        let named: BTreeSet<_> = tables.mismatches.0.iter().filter_map(|known| known.what.run).map(RunId).collect();
        let runs = &mut tables.verifications.runs;
        let newest: BTreeMap<_, _> = runs.values().map(|run| (run.schedule, run.id)).collect();
        let stays = |id: &RunId, run: &Run| {
            run.ended_at.is_none_or(|at| at >= before) || newest.get(&run.schedule) == Some(id) || named.contains(id)
        };
        let there = runs.len();
        runs.retain(|id, run| stays(id, run));
        Ok((there - runs.len()) as u64)
    }

    async fn cursors(&self) -> Result<Vec<Cursor>> {
        Ok(self.tables().verifications.cursors.values().cloned().collect())
    }

    async fn first_cursor(&self, cursor: &Cursor) -> Result<Cursor> {
        let cursors = &mut self.tables().verifications.cursors;
        let first = || Cursor { version: Version::FIRST, ..cursor.clone() };
        Ok(cursors.entry(cursor.shard.clone()).or_insert_with(first).clone())
    }

    async fn save_cursor(&self, cursor: &Cursor) -> Result<bool> {
        let cursors = &mut self.tables().verifications.cursors;
        let known = cursors.get_mut(&cursor.shard).filter(|known| known.version == cursor.version);
        let next = || Cursor { version: Version(cursor.version.0 + 1), ..cursor.clone() };
        Ok(known.map(|known| *known = next()).is_some())
    }

    async fn next_cycle(&self, next: &Cursor, ended: &RunEnd) -> Result<bool> {
        if !self.save_cursor(next).await? {
            return Ok(false);
        }
        self.end_run(ended.run, ended.state, None, &ended.tally, ended.at).await?;
        Ok(true)
    }

    async fn passed_jobs(&self, from: JobId, to: JobId) -> Result<Vec<(JobId, Option<Job>)>> {
        let tables = self.tables();
        let passed = |(id, job): (&JobId, &Job)| (*id, Some(job.clone()));
        Ok(tables.jobs.range(from..to).map(passed).collect())
    }

    async fn kept_chunks(&self, at: Place, to: JobId, limit: u32) -> Result<Vec<(JobId, ChunkRow)>> {
        let tables = self.tables();
        Ok(tables.kept_from(at, to).take(limit as usize).map(|(job, row)| (job, row.clone())).collect())
    }

    async fn kept_places(&self, at: Place, to: JobId, limit: u32) -> Result<Vec<Place>> {
        let kept = self.kept_chunks(at, to, limit).await?;
        Ok(kept.iter().map(|(job, row)| Place { job: *job, index: row.index }).collect())
    }

    async fn persisted_since(
        &self,
        since: Timestamp,
        after: Option<(Timestamp, Place)>,
        limit: u32,
    ) -> Result<Vec<(JobId, ChunkRow)>> {
        let tables = self.tables();
        let persisted = tables.kept().filter(|(_, row, _)| !row.is_wanted());
        let placed =
            persisted.filter_map(|(job, row, _)| Some(((row.persisted_at?, Place { job, index: row.index }), row)));
        let mut found: Vec<_> =
            placed.filter(|(place, _)| place.0 >= since && after.is_none_or(|after| *place > after)).collect();
        found.sort_by_key(|(place, _)| *place);
        Ok(found.into_iter().take(limit as usize).map(|((_, place), row)| (place.job, row.clone())).collect())
    }

    async fn named(&self, store: DataStore, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Named>> {
        let tables = self.tables();
        let mut named: Vec<Named> = tables
            .kept()
            .filter(|(_, _, copy)| copy.store() == store)
            .map(|(job, row, copy)| (job, row, Location::object(copy)))
            .filter(|(_, _, object)| {
                object.key.starts_with(prefix) && after.is_none_or(|after| object.key.as_str() > after)
            })
            .map(|(job, row, object)| Named {
                key: object.key.clone(),
                place: Place { job, index: row.index },
                row: Some(row.clone()),
            })
            .collect();
        named.sort_by(|one, other| one.key.cmp(&other.key));
        named.truncate(limit as usize);
        Ok(named)
    }

    async fn newest_job(&self) -> Result<JobId> {
        Ok(self.tables().jobs.keys().next_back().copied().unwrap_or_default())
    }

    async fn first_job_since(&self, since: Timestamp) -> Result<JobId> {
        let tables = self.tables();
        let first = tables.jobs.values().find(|job| job.created_at >= since).map(|job| job.id);
        let after_all = || JobId(tables.jobs.keys().next_back().map_or(1, |newest| newest.0 + 1));
        Ok(first.unwrap_or_else(after_all))
    }
}
