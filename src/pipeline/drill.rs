//! Drills: one copy is damaged on purpose, announced before, to see that it is found.
//!
//! Copies are damaged by what the stores can do anyhow: an object is put over its key or deleted, a live copy is released
//! and begun again with other bytes. Only the database's own record needs a method of its own, which acts on what was
//! announced and on nothing else.

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::copies::look_live;
use crate::store::database::drills::{Drill, DrillId, NewDrill};
use crate::store::database::{Job, MismatchFilter};
use crate::store::live::{Append, Entry, Outcome};
use crate::store::{Result, StoreError};
use crate::telemetry::verification as telemetry;
use crate::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkRow, ChunkState, DataStore, Detection, Detector, JobId, Kind, Location, Look,
    Record, Sha256, Timestamp,
};

use super::Pipeline;

/// Which copy is to be damaged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillOrder {
    /// The job.
    pub job: JobId,
    /// The chunk; `None`: the last one that has such a copy.
    pub chunk: Option<ChunkIndex>,
    /// Where the copy lies.
    pub store: DataStore,
    /// What will be wrong with it: `Checksum`, `Size`, `Missing`, or in the database also `Record`.
    pub kind: Kind,
    /// Who wants it.
    pub by: String,
    /// Until when it has to be found.
    pub must_be_found_by: Timestamp,
}

/// Why nothing was damaged.
#[derive(Debug, thiserror::Error)]
pub enum NoDrill {
    /// There is no such job.
    #[error("there is no such job")]
    Unknown,
    /// The copy is not there, is not sound, or cannot be damaged in this way; it says what to do.
    #[error("{0}")]
    Impossible(String),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A drill, as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DrillReport {
    /// Its number.
    pub id: DrillId,
    /// The job.
    pub job_id: JobId,
    /// The chunk.
    pub chunk_index: ChunkIndex,
    /// What was announced to be wrong.
    pub kind: Kind,
    /// Where.
    pub store: DataStore,
    /// Who did it: `canary`, or a person by their token's name.
    pub by: String,
    /// When it was announced, RFC 3339.
    pub announced_at: String,
    /// When the damage was done, RFC 3339; null where it was not.
    #[schema(required, format = DateTime)]
    pub damaged_at: Option<String>,
    /// Until when it has to be found, RFC 3339.
    pub must_be_found_by: String,
    /// When it was found, RFC 3339.
    #[schema(required, format = DateTime)]
    pub found_at: Option<String>,
    /// As what it was found.
    #[schema(required)]
    pub found_kind: Option<Kind>,
    /// Where it was found.
    #[schema(required)]
    pub found_store: Option<DataStore>,
    /// Who found it.
    #[schema(required)]
    pub found_by: Option<Detector>,
    /// What came of it; null while it is under way, or where it was called off.
    #[schema(required)]
    pub result: Option<Detection>,
    /// When it ended, RFC 3339.
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
}

impl From<&Drill> for DrillReport {
    fn from(drill: &Drill) -> Self {
        let what = &drill.what;
        Self {
            id: drill.id,
            job_id: what.job,
            chunk_index: what.chunk,
            kind: what.kind,
            store: what.store,
            by: what.by.clone(),
            announced_at: what.at.to_rfc3339(),
            damaged_at: drill.damaged_at.map(Timestamp::to_rfc3339),
            must_be_found_by: what.must_be_found_by.to_rfc3339(),
            found_at: drill.found.map(|found| found.at.to_rfc3339()),
            found_kind: drill.found.map(|found| found.kind),
            found_store: drill.found.map(|found| found.store),
            found_by: drill.found.map(|found| found.detector),
            result: drill.result,
            ended_at: drill.ended_at.map(Timestamp::to_rfc3339),
        }
    }
}

/// A copy that can be damaged.
enum Target {
    /// The live copy.
    Live(ChunkId),
    /// The persistent copy that a row names.
    Kept(ChunkIndex, Location),
    /// The record in the database.
    Record(ChunkRow, Record),
}

impl Target {
    fn index(&self) -> ChunkIndex {
        match self {
            Self::Live(chunk) => chunk.index,
            Self::Kept(index, _) => *index,
            Self::Record(row, _) => row.index,
        }
    }
}

impl Pipeline {
    /// Announces damage and does it. It is found like any other, and counts as a drill alone.
    pub async fn drill(&self, order: &DrillOrder) -> std::result::Result<Drill, NoDrill> {
        let job = self.stores().database.job(order.job).await?.ok_or(NoDrill::Unknown)?;
        let target = self.target(&job, order).await?;
        let chunk = target.index();
        self.refuse_damaged(&job, chunk).await?;
        let drills = self.stores().drills.as_ref();
        let new = NewDrill {
            job: job.id,
            chunk,
            kind: order.kind,
            store: order.store,
            by: order.by.clone(),
            at: self.now(),
            must_be_found_by: order.must_be_found_by,
        };
        let NewDrill { job: id, kind, store, by, .. } = &new;
        let drill = drills.announce(&new).await?;
        tracing::warn!(
            drill_id = drill.0, job_id = id.0, chunk = chunk.0, %kind, %store, by,
            "drill {drill}: chunk {chunk} of job {id} is damaged in {store} on purpose, for {by}"
        );
        // Where this fails it is not known whether the damage was done. The announcement stays until that shows.
        if self.damage(&job, &target, order.kind, drill).await? {
            drills.note_damaged(drill, self.now()).await?;
        } else {
            drills.call_off(drill, self.now()).await?;
            return Err(impossible("the copy went away before it could be damaged: it moved on; try again"));
        }
        drills.drill(drill).await?.ok_or(NoDrill::Unknown)
    }

    /// Ends drills of which it is known what came of them, and counts them.
    pub async fn settle_drills(&self) -> Result<()> {
        for drill in self.stores().drills.settle_drills(self.now()).await? {
            let Some(result) = drill.result else { continue };
            let (id, job, kind, store) = (drill.id, drill.what.job, drill.what.kind, drill.what.store);
            telemetry::detected(store, kind, result);
            let detector = drill.found.map(|found| found.detector.as_str());
            if result == Detection::Found {
                tracing::info!(drill_id = id.0, job_id = job.0, %kind, %store, detector, "drill {id}: {result}");
            } else {
                let found = drill.found.map(|found| format!("{} in {}", found.kind, found.store));
                tracing::error!(
                    drill_id = id.0, job_id = job.0, %kind, %store, %result, detector, found,
                    "drill {id}: announced damage was not found as it should be: {result}"
                );
            }
        }
        Ok(())
    }

    /// True if what is wrong with the chunk is announced damage.
    pub(super) async fn is_drill(&self, job: JobId, index: ChunkIndex) -> Result<bool> {
        let filter = MismatchFilter { job: Some(job), limit: 1000, ..MismatchFilter::default() };
        let known = self.stores().database.mismatches(filter).await?;
        let newest = known.iter().rev().find(|known| known.what.chunk == Some(index));
        Ok(newest.is_some_and(|newest| newest.drill.is_some()))
    }

    /// Damage on damage tells nothing.
    async fn refuse_damaged(&self, job: &Job, chunk: ChunkIndex) -> std::result::Result<(), NoDrill> {
        let filter = MismatchFilter { job: Some(job.id), open: Some(true), limit: 1000, ..MismatchFilter::default() };
        let open = self.stores().database.mismatches(filter).await?;
        if open.iter().any(|open| open.what.chunk == Some(chunk)) {
            return Err(impossible(&format!("chunk {chunk} has an open mismatch already; choose another chunk")));
        }
        Ok(())
    }

    /// The copy that is meant, sound as it is now.
    async fn target(&self, job: &Job, order: &DrillOrder) -> std::result::Result<Target, NoDrill> {
        let (live, store, kind) = (self.stores().live.name(), order.store, order.kind);
        let is_live = store == live;
        let is_kept = matches!(store, DataStore::ObjectStore | DataStore::Database);
        if !is_live && !is_kept {
            return Err(impossible(&format!("no copy lies in {store} here; the live store of this server is {live}")));
        }
        let is_record = kind == Kind::Record && store == DataStore::Database;
        if !is_record && !matches!(kind, Kind::Checksum | Kind::Size | Kind::Missing) {
            return Err(impossible(&format!(
                "a copy in {store} cannot be damaged as {kind}; choose checksum, size or missing, or record in the database"
            )));
        }
        let rows = self.all_rows(job.id).await?;
        let mut found = Vec::new();
        for row in &rows {
            found.extend(match (&row.state, is_live) {
                (_, true) => self.live_target(job, row).await?,
                (ChunkState::Persisted { record, .. }, false) if is_record => {
                    Some(Target::Record(row.clone(), *record))
                }
                (ChunkState::Persisted { at, .. }, false) if at.store() == store && !is_record => {
                    Some(Target::Kept(row.index, at.clone()))
                }
                _ => None,
            });
        }
        found.retain(|target| order.chunk.is_none_or(|chunk| chunk == target.index()));
        found.pop().ok_or_else(|| {
            let of = order.chunk.map_or_else(String::new, |chunk| format!(" of chunk {chunk}"));
            impossible(&format!(
                "job {} has no sound copy{of} in {store} that can be damaged; `veritail inspect {0}` shows where its copies are",
                job.id
            ))
        })
    }

    /// A live copy, while its trace is written: one whose trace is over goes by itself.
    async fn live_target(&self, job: &Job, row: &ChunkRow) -> Result<Option<Target>> {
        if !job.is_unfinished() {
            return Ok(None);
        }
        let promised = match self.stores().live.load(job.id).await?.map(|trace| trace.entry) {
            Some(Entry::Live(end)) => match row.record() {
                Some(record) => Some((row.id(), *record)),
                None => end.promised(row.index),
            },
            _ => None,
        };
        let Some((chunk, record)) = promised.filter(|(_, record)| !record.size.is_zero()) else { return Ok(None) };
        let looked = look_live(self.stores().live.as_ref(), job.id, chunk, &record).await.reached()?;
        Ok((looked.look == Look::Sound).then_some(Target::Live(chunk)))
    }

    /// False if the copy is not there any more: then nothing was damaged.
    async fn damage(&self, job: &Job, target: &Target, kind: Kind, drill: DrillId) -> Result<bool> {
        match target {
            Target::Live(chunk) => self.damage_live(job.id, *chunk, kind).await,
            Target::Kept(index, at) => self.damage_kept(job.id, *index, at, kind).await,
            Target::Record(row, record) => {
                let mut wrong = record.sha256.0;
                wrong[0] = !wrong[0];
                self.stores().drills.damage_record(drill, row.version, Sha256(wrong)).await
            }
        }
    }

    async fn damage_live(&self, job: JobId, chunk: ChunkId, kind: Kind) -> Result<bool> {
        let live = self.stores().live.as_ref();
        let copy = live.read_chunk(job, chunk).await?;
        let (Some(trace), Some(bytes)) = (copy.trace, copy.bytes) else { return Ok(false) };
        let Some(damaged) = damaged(&bytes, kind) else {
            live.release(job, chunk, std::time::Duration::ZERO).await?;
            return Ok(true);
        };
        let again = Append {
            epoch: trace.entry.epoch(),
            expected: trace.raw.clone(),
            chunk,
            at: ByteSize::ZERO,
            bytes: damaged,
            seals: false,
            next: trace.raw,
        };
        live.release(job, chunk, std::time::Duration::ZERO).await?;
        // Refused, for somebody else writes at this moment: then the copy is missing, which is damage too.
        Ok(matches!(live.append(job, again).await?, Outcome::Stored { .. } | Outcome::Refused(_)))
    }

    async fn damage_kept(&self, job: JobId, index: ChunkIndex, at: &Location, kind: Kind) -> Result<bool> {
        let (store, key) = (self.stores().of(at), &at.object().key);
        let Some(bytes) = store.get_whole(key).await? else { return Ok(false) };
        match damaged(&bytes, kind) {
            Some(damaged) => store.put(key, damaged).await?,
            None => store.delete(key).await?,
        }
        let row = self.stores().database.chunk(job, index).await?;
        let is_named = row.as_ref().and_then(ChunkRow::persistent_copy).is_some_and(|named| named == at);
        if !is_named {
            // It moved on meanwhile: no row speaks for these bytes any more.
            store.delete(key).await?;
        }
        Ok(is_named)
    }

    /// Moves the copy of a proven chunk into the database, as if the object store took nothing. It moves on by itself. False
    /// if it is not in the object store, or if the database is to take no chunks.
    pub async fn move_to_database(&self, id: JobId, index: ChunkIndex) -> Result<bool> {
        let database = &self.stores().database;
        let Some(row) = database.chunk(id, index).await? else { return Ok(false) };
        let ChunkState::Persisted { record, at: from @ Location::Object(_) } = &row.state else { return Ok(false) };
        let Some(bytes) = self.look_persisted(from, record).await.reached()?.sound() else { return Ok(false) };
        if self.settings().spill_max.is_zero() {
            return Ok(false);
        }
        let to = self.keep_in_database(id, &row, &bytes, record).await?;
        let moved = database.persist(id, index, row.version, &to, self.now()).await?;
        self.remove_unnamed(if moved { from } else { &to }).await;
        Ok(moved)
    }
}

fn impossible(why: &str) -> NoDrill {
    NoDrill::Impossible(why.to_owned())
}

/// The bytes with the damage; `None`: there are to be none.
fn damaged(bytes: &Bytes, kind: Kind) -> Option<Bytes> {
    let mut bytes = bytes.to_vec();
    match kind {
        Kind::Checksum => {
            let middle = bytes.len() / 2;
            let byte = bytes.get_mut(middle)?;
            *byte = !*byte;
        }
        // An empty copy would be none.
        Kind::Size if bytes.len() > 1 => bytes.truncate(bytes.len() - 1),
        Kind::Size => bytes.push(b'\n'),
        _ => return None,
    }
    Some(bytes.into())
}
