//! Damage that is done on purpose, in memory.

use async_trait::async_trait;
use veritail::store::Result;
use veritail::store::database::Job;
use veritail::store::database::NewMismatch;
use veritail::store::database::drills::{CANARY_PROJECT, Drill, DrillFilter, DrillId, Finding, NewDrill};
use veritail::trace::{ChunkState, Detection, Kind, Sha256, Timestamp, TraceState, Version};

use super::database::{ModelDatabase, Tables};

/// In order of number.
#[derive(Clone, Default)]
pub(super) struct Drills {
    all: Vec<Drill>,
    made: i64,
}

impl Drills {
    fn find(&mut self, id: DrillId) -> Option<&mut Drill> {
        self.all.iter_mut().find(|drill| drill.id == id)
    }
}

impl Tables {
    /// The drill that speaks for what a mismatch is of.
    pub(super) fn announced(&self, new: &NewMismatch) -> Option<DrillId> {
        let is_healed = |id| self.mismatches.0.iter().any(|known| known.drill == Some(id) && known.resolved.is_some());
        let speaks = |drill: &&Drill| {
            drill.what.job == new.job
                && Some(drill.what.chunk) == new.chunk
                && (drill.ended_at.is_none() || drill.result.is_some())
                && !is_healed(drill.id)
                && (drill.result != Some(Detection::Missed)
                    || (drill.what.kind, drill.what.store) == (new.kind, new.store))
        };
        self.drills.all.iter().rev().find(speaks).map(|drill| drill.id)
    }
}

fn is_canary(job: &Job) -> bool {
    job.project_path == CANARY_PROJECT
}

#[async_trait]
impl veritail::store::database::drills::Drills for ModelDatabase {
    async fn announce(&self, new: &NewDrill) -> Result<DrillId> {
        let drills = &mut self.tables().drills;
        drills.made += 1;
        let id = DrillId(drills.made);
        drills.all.push(Drill { id, what: new.clone(), damaged_at: None, found: None, result: None, ended_at: None });
        Ok(id)
    }

    async fn note_damaged(&self, drill: DrillId, at: Timestamp) -> Result<()> {
        if let Some(drill) = self.tables().drills.find(drill) {
            drill.damaged_at.get_or_insert(at);
        }
        Ok(())
    }

    async fn call_off(&self, drill: DrillId, at: Timestamp) -> Result<()> {
        if let Some(drill) = self.tables().drills.find(drill) {
            drill.ended_at.get_or_insert(at);
        }
        Ok(())
    }

    async fn damage_record(&self, drill: DrillId, version: Version, wrong: Sha256) -> Result<bool> {
        let mut tables = self.tables();
        let announced =
            tables.drills.find(drill).filter(|drill| drill.ended_at.is_none() && drill.what.kind == Kind::Record);
        let Some(place) = announced.map(|drill| (drill.what.job, drill.what.chunk)) else { return Ok(false) };
        let Some(row) = tables.rows.get_mut(&place).map(|row| &mut row.row) else { return Ok(false) };
        match &mut row.state {
            _ if row.version != version => Ok(false),
            ChunkState::Sealed { record }
            | ChunkState::Persisted { record, .. }
            | ChunkState::Wanted { record: Some(record), .. } => {
                record.sha256 = wrong;
                row.version = Version(version.0 + 1);
                Ok(true)
            }
            ChunkState::Open | ChunkState::Wanted { record: None, .. } => Ok(false),
        }
    }

    async fn drill(&self, drill: DrillId) -> Result<Option<Drill>> {
        Ok(self.tables().drills.find(drill).cloned())
    }

    async fn drills(&self, filter: &DrillFilter) -> Result<Vec<Drill>> {
        let tables = self.tables();
        let listed = tables.drills.all.iter().rev().filter(|drill| {
            filter.job.is_none_or(|job| drill.what.job == job)
                && filter.by.as_ref().is_none_or(|by| drill.what.by == *by)
                && filter.under_way.is_none_or(|under_way| drill.ended_at.is_none() == under_way)
                && filter.before.is_none_or(|before| drill.id < before)
        });
        Ok(listed.take(filter.limit_or_default() as usize).cloned().collect())
    }

    async fn settle_drills(&self, now: Timestamp) -> Result<Vec<Drill>> {
        let Tables { drills, mismatches, .. } = &mut *self.tables();
        let mut settled = Vec::new();
        for drill in drills.all.iter_mut().filter(|drill| drill.ended_at.is_none()) {
            let what = &drill.what;
            let is_right = |found: &NewMismatch| (found.kind, found.store) == (what.kind, what.store);
            let found: Vec<_> =
                mismatches.0.iter().filter(|known| known.drill == Some(drill.id)).map(|known| &known.what).collect();
            let is_told = drill.damaged_at.is_some() || found.iter().any(|found| is_right(found));
            match found.first().filter(|_| is_told) {
                Some(found) => {
                    let (at, kind, store, detector) = (found.at, found.kind, found.store, found.detector);
                    drill.result = Some(match is_right(found) {
                        false => Detection::WrongLabel,
                        true if at <= what.must_be_found_by => Detection::Found,
                        true => Detection::Late,
                    });
                    drill.found = Some(Finding { at, kind, store, detector });
                }
                None if what.must_be_found_by.0 + (what.must_be_found_by.0 - what.at.0) <= now.0 => {
                    drill.result = drill.damaged_at.map(|_| Detection::Missed);
                }
                None => continue,
            }
            drill.ended_at = Some(now);
            settled.push(drill.clone());
        }
        Ok(settled)
    }

    async fn canary_jobs(&self, limit: u32) -> Result<Vec<Job>> {
        let tables = self.tables();
        let jobs = tables.jobs.values().filter(|job| is_canary(job) && job.state != TraceState::Erased);
        Ok(jobs.take(limit as usize).cloned().collect())
    }

    async fn remove_canary_jobs(&self, before: Timestamp) -> Result<u64> {
        let mut tables = self.tables();
        let has_objects = |job: &Job| tables.deletions.values().any(|(of, _)| *of == job.id);
        let is_gone = |job: &&Job| {
            let erased = job.erased.as_ref().is_some_and(|(at, _)| *at < before);
            is_canary(job) && erased && !has_objects(job)
        };
        let gone: Vec<_> = tables.jobs.values().filter(is_gone).map(|job| job.id).collect();
        let newest = tables.mismatches.0.last().map(|newest| newest.id);
        tables.mismatches.0.retain(|known| Some(known.id) == newest || !gone.contains(&known.what.job));
        tables.drills.all.retain(|drill| drill.ended_at.is_none() || !gone.contains(&drill.what.job));
        tables.jobs.retain(|id, _| !gone.contains(id));
        Ok(gone.len() as u64)
    }
}
