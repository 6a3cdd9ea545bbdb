//! The copy that a drill is about.

use crate::store::Result;
use crate::store::database::Job;
use crate::store::live::Entry;
use crate::trace::{ChunkId, ChunkIndex, ChunkRow, ChunkState, DataStore, Kind, Location, Look, Record};

use super::super::Pipeline;
use super::{DrillOrder, NoDrill, impossible};

/// A copy that can be damaged.
pub(super) enum Target {
    /// The live copy.
    Live(ChunkId),
    /// The persistent copy that a row names.
    Kept(ChunkIndex, Location),
    /// The record in the database.
    Record(ChunkRow, Record),
}

impl Target {
    pub(super) fn index(&self) -> ChunkIndex {
        match self {
            Self::Live(chunk) => chunk.index,
            Self::Kept(index, _) => *index,
            Self::Record(row, _) => row.index,
        }
    }
}

impl Pipeline {
    /// The copy that is meant, sound as it is now.
    pub(super) async fn target(&self, job: &Job, order: &DrillOrder) -> std::result::Result<Target, NoDrill> {
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
        let looked = self.look_live(job.id, chunk, &record).await.reached()?;
        Ok((looked.look == Look::Sound).then_some(Target::Live(chunk)))
    }
}
