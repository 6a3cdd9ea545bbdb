//! A database in memory, for simulations: everything happens at once under one lock, in an order that a seed repeats.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::mismatches::Mismatches;
use super::objects::ModelObjects;
use async_trait::async_trait;
use veritail::seams::Clock;
use veritail::store::Result;
use veritail::store::database::verifications::Place;
use veritail::store::database::{
    Backlog, Basis, Closing, Contact, CorruptTraces, Database, Deletion, Erased, Job, Mismatch, MismatchFilter, NewJob,
    NewMismatch, Note, Opened, Recorded, Resolution, Rewind, RowOpened, Unfinished, Waiting, decide,
};
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkState, Crc32, DataStore, Ending, Epoch, JobId, JobStatus, Location, Offset,
    Origin, ProjectId, Record, Timestamp, TraceState, Verdict, Version,
};

/// See the module.
pub struct ModelDatabase {
    pub(super) tables: Mutex<Tables>,
    bytes: Arc<ModelObjects>,
}

#[derive(Default)]
pub(super) struct Tables {
    pub(super) projects: Vec<String>,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) jobs_made: i64,
    pub(super) accounts: super::accounts::Tables,
    pub(super) verifications: super::verifications::Tables,
    pub(super) drills: super::drills::Drills,
    pub(super) rows: BTreeMap<(JobId, ChunkIndex), Row>,
    pub(super) mismatches: Mismatches,
    /// By their numbers: the job, and from when on.
    pub(super) deletions: BTreeMap<i64, (JobId, Timestamp)>,
    pub(super) deletions_made: i64,
}

#[derive(Clone)]
pub(super) struct Row {
    pub(super) row: ChunkRow,
    sealed_at: Timestamp,
}

impl ModelDatabase {
    /// An empty database; `clock` is its own.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { tables: Mutex::default(), bytes: Arc::new(ModelObjects::new(clock)) }
    }

    /// The bytes of chunks that the object store did not take.
    pub fn chunk_bytes(&self) -> Arc<ModelObjects> {
        self.bytes.clone()
    }

    /// All jobs, in order.
    pub fn jobs(&self) -> Vec<Job> {
        self.tables().jobs.values().cloned().collect()
    }

    /// All rows of a job, in order.
    pub fn all_rows(&self, job: JobId) -> Vec<ChunkRow> {
        self.tables().rows_of(job, ChunkIndex(0)).cloned().collect()
    }

    /// Changes a row without anybody's knowledge. False if there is none.
    pub fn damage_row(&self, job: JobId, index: ChunkIndex, damage: impl FnOnce(&mut ChunkRow)) -> bool {
        self.tables().rows.get_mut(&(job, index)).map(|row| damage(&mut row.row)).is_some()
    }

    /// Gives a row another number, without anybody's knowledge. False if there is none.
    pub fn renumber_row(&self, job: JobId, from: ChunkIndex, to: ChunkIndex) -> bool {
        let mut tables = self.tables();
        let Some(mut row) = tables.rows.remove(&(job, from)) else { return false };
        row.row.index = to;
        tables.rows.insert((job, to), row);
        true
    }

    /// Changes a job without anybody's knowledge. False if there is none.
    pub fn change_job(&self, job: JobId, change: impl FnOnce(&mut Job)) -> bool {
        self.tables().jobs.get_mut(&job).map(change).is_some()
    }

    /// Loses the rows of a job that `which` says, without anybody's knowledge.
    pub fn lose_rows(&self, job: JobId, which: impl Fn(&ChunkRow) -> bool) {
        self.tables().rows.retain(|(of, _), row| *of != job || !which(&row.row));
    }

    /// All mismatches, in order.
    pub fn all_mismatches(&self) -> Vec<Mismatch> {
        self.tables().mismatches.0.clone()
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn job_if(&mut self, job: JobId, condition: impl FnOnce(&Job) -> bool) -> Option<&mut Job> {
        self.jobs.get_mut(&job).filter(|job| condition(job))
    }

    fn rows_of(&self, job: JobId, from: ChunkIndex) -> impl Iterator<Item = &ChunkRow> {
        self.rows.range((job, from)..=(job, ChunkIndex(u32::MAX))).map(|(_, row)| &row.row)
    }

    /// Rows with a persistent copy, with their jobs, in order.
    pub(super) fn kept(&self) -> impl Iterator<Item = (JobId, &ChunkRow, &Location)> {
        self.rows.iter().filter_map(|((job, _), row)| Some((*job, &row.row, row.row.persistent_copy()?)))
    }

    /// The same, from a place on, of jobs before `to`.
    pub(super) fn kept_from(&self, at: Place, to: JobId) -> impl Iterator<Item = (JobId, &ChunkRow)> {
        let rows = (at.job < to).then(|| self.rows.range((at.job, at.index)..(to, ChunkIndex(0))));
        rows.into_iter()
            .flatten()
            .filter(|(_, row)| row.row.persistent_copy().is_some())
            .map(|((job, _), row)| (*job, &row.row))
    }

    fn row(&self, job: JobId, index: ChunkIndex) -> Option<&ChunkRow> {
        self.rows.get(&(job, index)).map(|row| &row.row)
    }

    fn put_row(&mut self, job: JobId, row: ChunkRow, at: Timestamp) {
        self.rows.insert((job, row.index), Row { row, sealed_at: at });
    }

    fn make_row(&mut self, job: JobId, epoch: Epoch, index: ChunkIndex, at: Timestamp) {
        let row = ChunkRow { index, epoch, version: Version::FIRST, state: ChunkState::Open, persisted_at: None };
        self.rows.entry((job, index)).or_insert(Row { row, sealed_at: at });
    }

    /// Sealed chunks with their jobs, sizes and times.
    fn sealed(&self) -> impl Iterator<Item = (JobId, &Row, ByteSize)> {
        self.rows.iter().filter_map(|((job, _), row)| match row.row.state {
            ChunkState::Sealed { record } => Some((*job, row, record.size)),
            _ => None,
        })
    }

    /// Chunks whose copies lie in the database, with their jobs and sizes.
    fn in_database(&self) -> impl Iterator<Item = (JobId, &ChunkRow, ByteSize)> {
        self.rows.iter().filter_map(|((job, _), row)| match &row.row.state {
            ChunkState::Persisted { record, at: Location::Database(_) }
            | ChunkState::Wanted { record: Some(record), kept: Some(Location::Database(_)), .. } => {
                Some((*job, &row.row, record.size))
            }
            _ => None,
        })
    }
}

/// Counts what waits: since when, and its size.
fn backlog(waiting: impl Iterator<Item = (Timestamp, ByteSize)>) -> Backlog {
    waiting.fold(Backlog::default(), |backlog, (since, size)| Backlog {
        chunks: backlog.chunks + 1,
        bytes: backlog.bytes + size,
        oldest: Some(backlog.oldest.map_or(since, |oldest| oldest.min(since))),
    })
}

#[async_trait]
impl Database for ModelDatabase {
    async fn create_job(&self, new: NewJob) -> Result<Job> {
        let mut tables = self.tables();
        let position = tables.projects.iter().position(|path| *path == new.project_path).unwrap_or_else(|| {
            tables.projects.push(new.project_path.clone());
            tables.projects.len() - 1
        });
        tables.jobs_made += 1;
        let job = Job {
            id: JobId(tables.jobs_made),
            project: ProjectId(position as i64 + 1),
            project_path: new.project_path,
            name: new.name,
            token_sha256: new.token_sha256,
            status: new.status,
            state: TraceState::Open,
            epoch: Epoch::FIRST,
            installed_epoch: None,
            chunk_size: new.chunk_size,
            trace_limit: new.trace_limit,
            acked_length: Offset::ZERO,
            ending: None,
            ended_at: None,
            resend_attempts: 0,
            asked_everything: false,
            trace_reset: new.trace_reset,
            created_at: new.at,
            started_at: (new.status != JobStatus::Pending).then_some(new.at),
            last_contact_at: new.at,
            changed_at: new.at,
            closed_at: None,
            size: None,
            crc32: None,
            verdict: Verdict::Pending,
            erased: None,
        };
        tables.jobs.insert(job.id, job.clone());
        if let Some(payload) = new.payload {
            tables.accounts.payloads.insert(job.id, payload);
        }
        Ok(job)
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>> {
        Ok(self.tables().jobs.get(&job).cloned())
    }

    async fn unfinished_jobs(&self, after: JobId, limit: u32) -> Result<Vec<Job>> {
        let tables = self.tables();
        let jobs = tables.jobs.values().filter(|job| job.id > after && job.is_unfinished());
        Ok(jobs.take(limit as usize).cloned().collect())
    }

    async fn changed_jobs(&self, since: Timestamp, after: JobId, limit: u32) -> Result<Vec<Job>> {
        let tables = self.tables();
        let jobs = tables.jobs.values().filter(|job| job.id > after && job.changed_at >= since);
        Ok(jobs.take(limit as usize).cloned().collect())
    }

    async fn note_contacts(&self, contacts: &[Contact], now: Timestamp) -> Result<()> {
        let mut tables = self.tables();
        for contact in contacts {
            if let Some(job) = tables.job_if(contact.job, |job| job.created_at == contact.made_at) {
                let size = job.size.filter(|_| job.state == TraceState::Closed);
                let is_short = size.is_some_and(|size| contact.acked_length > Offset::ZERO + size);
                if is_short && contact.acked_length > job.acked_length {
                    job.changed_at = job.changed_at.max(now);
                }
                job.acked_length = job.acked_length.max(contact.acked_length);
                job.last_contact_at = job.last_contact_at.max(contact.at);
            }
        }
        Ok(())
    }

    async fn set_trace_reset(&self, job: JobId, trace_reset: bool) -> Result<()> {
        if let Some(job) = self.tables().jobs.get_mut(&job) {
            job.trace_reset = Some(trace_reset);
        }
        Ok(())
    }

    async fn mark_installed(&self, job: JobId, epoch: Epoch) -> Result<bool> {
        let mut tables = self.tables();
        let Some(job) = tables.job_if(job, |job| job.epoch == epoch && job.is_unfinished()) else { return Ok(false) };
        job.installed_epoch = Some(epoch);
        Ok(true)
    }

    async fn rewind(&self, id: JobId, rewind: &Rewind) -> Result<bool> {
        let mut tables = self.tables();
        let rows_are_the_same =
            rewind.lost.iter().all(|lost| tables.row(id, lost.index).map(|row| row.version) == lost.version);
        if !rows_are_the_same {
            return Ok(false);
        }
        let is_as_decided_on = |job: &Job| job.epoch == rewind.from && job.state == rewind.state;
        let Some(job) = tables.job_if(id, is_as_decided_on).filter(|_| rewind.makes_sense()) else { return Ok(false) };
        job.epoch = rewind.to;
        job.state = rewind.next_state;
        job.changed_at = rewind.at;
        job.resend_attempts += u32::from(rewind.counts_as_attempt);
        job.asked_everything |= rewind.everything;

        let lost: BTreeSet<ChunkIndex> = rewind.lost.iter().map(|lost| lost.index).collect();
        let mut changed: Vec<ChunkRow> =
            lost.iter().map(|index| decide::lost(tables.row(id, *index), *index, rewind.to)).collect();
        if rewind.everything {
            let others = tables.rows_of(id, ChunkIndex(0)).filter(|row| !lost.contains(&row.index));
            changed.extend(others.filter_map(|row| decide::wanted_again(row, rewind.to)));
        }
        for row in changed {
            tables.put_row(id, row, rewind.at);
        }
        Ok(true)
    }

    async fn end(&self, job: JobId, ending: &Ending, at: Timestamp, trace_reset: Option<bool>) -> Result<Option<Job>> {
        let mut tables = self.tables();
        if let Some(job) = tables.job_if(job, Job::is_unfinished) {
            job.trace_reset = trace_reset.or(job.trace_reset);
            let says_no_other = job.ending.as_ref().is_none_or(|first| first.same_as(ending));
            if ending.origin == Origin::Runner && says_no_other {
                job.last_contact_at = job.last_contact_at.max(at);
            }
            if job.state == TraceState::Open && says_no_other {
                job.state = TraceState::Closing;
                job.changed_at = at;
                job.ending.get_or_insert_with(|| ending.clone());
                job.ended_at.get_or_insert(at);
            }
        }
        Ok(tables.jobs.get(&job).cloned())
    }

    async fn reopen(&self, job: JobId, epoch: Epoch, at: Timestamp) -> Result<bool> {
        let mut tables = self.tables();
        let is_closing = |job: &Job| job.state == TraceState::Closing && job.epoch == epoch;
        let Some(job) = tables.job_if(job, is_closing) else { return Ok(false) };
        job.state = TraceState::Open;
        job.changed_at = at;
        job.resend_attempts += 1;
        Ok(true)
    }

    async fn cancel(&self, job: JobId, at: Timestamp) -> Result<Option<Job>> {
        let mut tables = self.tables();
        if let Some(job) = tables.job_if(job, |job| job.state == TraceState::Open && job.ending.is_none()) {
            match job.status {
                JobStatus::Running => {
                    job.status = JobStatus::Canceling;
                    job.changed_at = at;
                }
                JobStatus::Pending => {
                    job.status = JobStatus::Canceled;
                    job.state = TraceState::Closed;
                    job.ending = Some(decide::canceled_before_it_ran());
                    job.ended_at = Some(at);
                    job.closed_at = Some(at);
                    job.changed_at = at;
                    job.size = Some(ByteSize::ZERO);
                    job.crc32 = Some(Crc32::default());
                    job.verdict = Verdict::Unclaimed;
                }
                _ => {}
            }
        }
        Ok(tables.jobs.get(&job).cloned())
    }

    async fn close(&self, job: JobId, epoch: Epoch, closing: &Closing) -> Result<bool> {
        let mut tables = self.tables();
        let is_closing = |job: &Job| job.state == TraceState::Closing && job.epoch == epoch;
        let Some(job) = tables.job_if(job, is_closing) else { return Ok(false) };
        let Some(ending) = &job.ending else { return Ok(false) };
        job.status = decide::final_status(job.status, ending);
        job.state = TraceState::Closed;
        job.verdict = closing.verdict;
        job.size = Some(closing.size);
        job.crc32 = closing.crc32;
        job.closed_at = Some(closing.at);
        job.changed_at = closing.at;
        Ok(true)
    }

    async fn erase(&self, id: JobId, by: &str, at: Timestamp, again_at: Timestamp) -> Result<Erased> {
        let mut tables = self.tables();
        let is_finished = |job: &Job| matches!(job.state, TraceState::Closed | TraceState::Archived);
        let Some(job) = tables.job_if(id, is_finished) else {
            return Ok(match tables.jobs.get(&id) {
                Some(job) if job.state == TraceState::Erased => Erased::Done(Box::new(job.clone())),
                Some(_) => Erased::Unfinished,
                None => Erased::Unknown,
            });
        };
        job.state = TraceState::Erased;
        job.verdict = Verdict::Erased;
        job.epoch = job.epoch.next();
        job.changed_at = at;
        job.erased = Some((at, by.to_owned()));
        job.crc32 = None;
        let erased = job.clone();
        tables.rows.retain(|(job, _), _| *job != id);
        let note = Note { by: by.to_owned(), comment: "the trace was erased".to_owned() };
        tables.mismatches.resolve(id, None, Resolution::Erased, &note, at);
        for not_before in [at, again_at] {
            tables.deletions_made += 1;
            let number = tables.deletions_made;
            tables.deletions.insert(number, (id, not_before));
        }
        Ok(Erased::Done(Box::new(erased)))
    }

    async fn due_deletions(&self, now: Timestamp, limit: u32) -> Result<Vec<Deletion>> {
        let tables = self.tables();
        let mut due: Vec<(Timestamp, i64, JobId)> = tables
            .deletions
            .iter()
            .filter(|(_, (_, not_before))| *not_before <= now)
            .map(|(id, (job, not_before))| (*not_before, *id, *job))
            .collect();
        due.sort();
        Ok(due.into_iter().take(limit as usize).map(|(_, id, job)| Deletion { id, job }).collect())
    }

    async fn deletion_done(&self, id: i64) -> Result<()> {
        self.tables().deletions.remove(&id);
        Ok(())
    }

    async fn open_chunk(&self, job: JobId, epoch: Epoch, index: ChunkIndex, at: Timestamp) -> Result<RowOpened> {
        let mut tables = self.tables();
        if tables.job_if(job, |job| job.state == TraceState::Open && job.epoch == epoch).is_none() {
            return Ok(RowOpened::Stale);
        }
        tables.make_row(job, epoch, index, at);
        let is_recorded = tables.row(job, index).is_some_and(|row| row.record().is_some());
        Ok(if is_recorded { RowOpened::Recorded } else { RowOpened::Ready })
    }

    async fn record(
        &self,
        job: JobId,
        epoch: Epoch,
        index: ChunkIndex,
        begun: Epoch,
        record: &Record,
        next: Option<ChunkIndex>,
        at: Timestamp,
    ) -> Result<Recorded> {
        let mut tables = self.tables();
        if tables.job_if(job, |job| job.is_unfinished() && job.epoch == epoch).is_none() {
            return Ok(Recorded::Stale);
        }
        let decision = decide::record(tables.row(job, index), index, begun, record);
        if let Some(row) = decision.row {
            tables.put_row(job, row, at);
        }
        if let Some(next) = next.filter(|_| decision.answer.is_taken()) {
            tables.make_row(job, epoch, next, at);
            tables.make_row(job, epoch, next.next(), at);
        }
        Ok(decision.answer)
    }

    async fn chunk(&self, job: JobId, index: ChunkIndex) -> Result<Option<ChunkRow>> {
        Ok(self.tables().row(job, index).cloned())
    }

    async fn chunks(&self, job: JobId, from: ChunkIndex, limit: u32) -> Result<Vec<ChunkRow>> {
        Ok(self.tables().rows_of(job, from).take(limit as usize).cloned().collect())
    }

    async fn persist(
        &self,
        job: JobId,
        index: ChunkIndex,
        version: Version,
        to: &Location,
        at: Timestamp,
    ) -> Result<bool> {
        let mut tables = self.tables();
        if tables.job_if(job, |job| job.state != TraceState::Erased).is_none() {
            return Ok(false);
        }
        if matches!(to, Location::Database(kept) if self.bytes.bytes(&kept.key).is_none()) {
            return Ok(false);
        }
        let Some(row) = tables.row(job, index).filter(|row| row.version == version) else { return Ok(false) };
        let (ChunkState::Sealed { record }
        | ChunkState::Persisted { record, .. }
        | ChunkState::Wanted { record: Some(record), .. }) = row.state
        else {
            return Ok(false);
        };
        let state = ChunkState::Persisted { record, at: to.clone() };
        let row = ChunkRow { version: Version(version.0 + 1), state, persisted_at: Some(at), ..row.clone() };
        tables.put_row(job, row, at);
        Ok(true)
    }

    async fn waiting(&self, until: Timestamp, limit: u32) -> Result<Vec<Waiting>> {
        let tables = self.tables();
        let mut sealed: Vec<_> = tables.sealed().filter(|(_, row, _)| row.sealed_at <= until).collect();
        sealed.sort_by_key(|(job, row, _)| (row.sealed_at, *job, row.row.index));
        let waiting = sealed.into_iter().map(|(job, row, _)| Waiting { job, row: row.row.clone() });
        Ok(waiting.take(limit as usize).collect())
    }

    async fn backlog(&self) -> Result<Backlog> {
        Ok(backlog(self.tables().sealed().map(|(_, row, size)| (row.sealed_at, size))))
    }

    async fn spilled(&self, limit: u32) -> Result<Vec<Waiting>> {
        let tables = self.tables();
        let closed = |job: &JobId| tables.jobs.get(job).is_some_and(|job| job.state == TraceState::Closed);
        let mut spilled: Vec<_> =
            tables.in_database().filter(|(job, row, _)| !row.is_wanted() || closed(job)).collect();
        spilled.sort_by_key(|(job, row, _)| (row.persisted_at, *job, row.index));
        let waiting = spilled.into_iter().map(|(job, row, _)| Waiting { job, row: row.clone() });
        Ok(waiting.take(limit as usize).collect())
    }

    async fn spill(&self) -> Result<Backlog> {
        let tables = self.tables();
        Ok(backlog(tables.in_database().filter_map(|(_, row, size)| Some((row.persisted_at?, size)))))
    }

    async fn remove_unnamed_bytes(&self, grace: Duration) -> Result<u64> {
        let tables = self.tables();
        let in_database = tables.kept().filter(|(_, _, copy)| copy.store() == DataStore::Database);
        let named: BTreeSet<&str> = in_database.map(|(_, _, copy)| copy.object().key.as_str()).collect();
        let old = self.bytes.older_than(grace);
        let unnamed: Vec<_> = old.into_iter().filter(|key| !named.contains(key.as_str())).collect();
        for key in &unnamed {
            self.bytes.lose(key);
        }
        Ok(unnamed.len() as u64)
    }

    async fn unfinished(&self) -> Result<Unfinished> {
        let tables = self.tables();
        let mut ended: BTreeMap<JobStatus, (u64, Timestamp)> = BTreeMap::new();
        let (mut live_bytes, mut live_chunks) = (ByteSize::ZERO, 0);
        for (_, _, size) in tables.sealed() {
            live_bytes = live_bytes + size;
            live_chunks += 1;
        }
        for job in tables.jobs.values().filter(|job| job.is_unfinished()) {
            if let (Some(ending), Some(at)) = (&job.ending, job.ended_at) {
                let (count, oldest) = ended.entry(decide::final_status(job.status, ending)).or_insert((0, at));
                *count += 1;
                *oldest = at.min(*oldest);
            }
            let recorded = tables.rows_of(job.id, ChunkIndex(0));
            let last = recorded.filter_map(|row| Some((row.index, row.record()?.size))).last();
            let (bytes, chunks) = decide::open_end(job.acked_length, job.chunk_size, last);
            live_bytes = live_bytes + bytes;
            live_chunks += chunks;
        }
        let ended = ended.into_iter().map(|(status, (count, oldest))| (status, count, oldest)).collect();
        Ok(Unfinished { ended, live_bytes, live_chunks })
    }

    async fn open_mismatch(&self, new: &NewMismatch, basis: Basis) -> Result<Opened> {
        let mut tables = self.tables();
        let holds = match basis {
            Basis::Row(version) => {
                new.chunk.and_then(|index| tables.row(new.job, index)).is_some_and(|row| row.version == version)
            }
            Basis::Trace(epoch) => tables.job_if(new.job, |job| job.epoch == epoch && job.is_unfinished()).is_some(),
            Basis::Closed(epoch) => {
                let is_closed = |job: &Job| matches!(job.state, TraceState::Closed | TraceState::Archived);
                tables.job_if(new.job, |job| job.epoch == epoch && is_closed(job)).is_some()
            }
            Basis::Nothing => true,
        };
        if !holds {
            return Ok(Opened::Moved);
        }
        let announced = tables.announced(new);
        Ok(tables.mismatches.open(new, announced))
    }

    async fn resolve_mismatches(
        &self,
        job: JobId,
        chunk: Option<ChunkIndex>,
        resolution: Resolution,
        note: &Note,
        at: Timestamp,
    ) -> Result<u64> {
        Ok(self.tables().mismatches.resolve(job, chunk, resolution, note, at))
    }

    async fn resolve_mismatch(
        &self,
        id: i64,
        resolution: Resolution,
        note: &Note,
        at: Timestamp,
    ) -> Result<Option<Mismatch>> {
        Ok(self.tables().mismatches.resolve_one(id, resolution, note, at))
    }

    async fn mismatch(&self, id: i64) -> Result<Option<Mismatch>> {
        Ok(self.tables().mismatches.0.iter().find(|known| known.id == id).cloned())
    }

    async fn mismatches(&self, filter: MismatchFilter) -> Result<Vec<Mismatch>> {
        let tables = self.tables();
        let of_project = |job: JobId| tables.jobs.get(&job).map(|job| job.project);
        Ok(tables.mismatches.list(filter, of_project))
    }

    async fn due_notifications(&self, now: Timestamp, limit: u32) -> Result<Vec<Mismatch>> {
        Ok(self.tables().mismatches.due(now, limit))
    }

    async fn set_notification(&self, id: i64, next: Option<Timestamp>) -> Result<()> {
        self.tables().mismatches.notify(id, next);
        Ok(())
    }

    async fn corrupt_traces(&self) -> Result<CorruptTraces> {
        Ok(self.tables().mismatches.corrupt_traces())
    }

    async fn ping(&self, _limit: Duration) -> Result<()> {
        Ok(())
    }
}
