//! The model's table of mismatches.

use std::collections::{BTreeMap, BTreeSet};

use veritail::store::database::drills::DrillId;
use veritail::store::database::{CorruptTraces, Mismatch, MismatchFilter, NewMismatch, Note, Opened, Resolution};
use veritail::trace::{ChunkIndex, DataStore, JobId, Kind, ProjectId, Timestamp};

/// In order of number.
#[derive(Clone, Default)]
pub(super) struct Mismatches(pub(super) Vec<Mismatch>);

impl Mismatches {
    pub(super) fn open(&mut self, new: &NewMismatch, announced: Option<DrillId>) -> Opened {
        let known = self.0.iter_mut().find(|known| {
            let key = |what: &NewMismatch| (what.job, what.chunk, what.epoch, what.store, what.kind);
            known.resolved.is_none() && key(&known.what) == key(new)
        });
        if let Some(known) = known {
            known.last_seen = known.last_seen.max(new.at);
            known.times_seen += 1;
            return known.drill.map_or(Opened::Known, |drill| Opened::Announced {
                mismatch: known.id,
                drill,
                is_new: false,
            });
        }
        let id = self.0.last().map_or(0, |last| last.id) + 1;
        let notify_at = new.notify_at.filter(|_| announced.is_none());
        let (what, last_seen) = (NewMismatch { notify_at, ..new.clone() }, new.at);
        self.0.push(Mismatch { id, what, last_seen, times_seen: 1, drill: announced, resolved: None, note: None });
        announced.map_or(Opened::New(id), |drill| Opened::Announced { mismatch: id, drill, is_new: true })
    }

    pub(super) fn resolve(
        &mut self,
        job: JobId,
        chunk: Option<ChunkIndex>,
        resolution: Resolution,
        note: &Note,
        at: Timestamp,
    ) -> u64 {
        let is_healed = matches!(resolution, Resolution::Repaired | Resolution::Resent);
        let is_meant = |known: &&mut Mismatch| {
            known.resolved.is_none()
                && known.what.job == job
                && (chunk.is_none() || known.what.chunk == chunk)
                && !(is_healed && known.what.kind == Kind::Orphan)
        };
        let mut resolved = 0;
        for known in self.0.iter_mut().filter(is_meant) {
            known.resolved = Some((resolution, at));
            known.note = Some(note.clone());
            resolved += 1;
        }
        resolved
    }

    pub(super) fn resolve_one(
        &mut self,
        id: i64,
        resolution: Resolution,
        note: &Note,
        at: Timestamp,
    ) -> Option<Mismatch> {
        let known = self.0.iter_mut().find(|known| known.id == id)?;
        if known.resolved.is_none() {
            known.resolved = Some((resolution, at));
            known.note = Some(note.clone());
        }
        Some(known.clone())
    }

    pub(super) fn list(&self, filter: MismatchFilter, project: impl Fn(JobId) -> Option<ProjectId>) -> Vec<Mismatch> {
        let listed = self.0.iter().filter(|known| {
            let what = &known.what;
            known.id > filter.after
                && filter.job.is_none_or(|job| what.job == job)
                && filter.chunk.is_none_or(|chunk| what.chunk == Some(chunk))
                && (!filter.of_logs || what.kind.is_of_a_log())
                && filter.project.is_none_or(|wanted| project(what.job) == Some(wanted))
                && filter.open.is_none_or(|open| known.resolved.is_none() == open)
                && filter.kind.is_none_or(|kind| what.kind == kind)
                && filter.store.is_none_or(|store| what.store == store)
                && filter.detector.is_none_or(|detector| what.detector == detector)
                && filter.since.is_none_or(|since| what.at >= since)
                && filter.seen_since.is_none_or(|since| known.last_seen >= since)
        });
        listed.take(filter.limit_or_default() as usize).cloned().collect()
    }

    pub(super) fn due(&self, now: Timestamp, limit: u32) -> Vec<Mismatch> {
        let is_due = |known: &&Mismatch| known.what.notify_at.is_some_and(|at| at <= now);
        let mut due: Vec<Mismatch> = self.0.iter().filter(is_due).cloned().collect();
        due.sort_by_key(|known| (known.what.notify_at, known.id));
        due.truncate(limit as usize);
        due
    }

    pub(super) fn notify(&mut self, id: i64, next: Option<Timestamp>) {
        let known = self.0.iter_mut().find(|known| known.id == id);
        if let Some(known) = known.filter(|known| known.what.notify_at.is_some()) {
            known.what.notify_at = next;
        }
    }

    pub(super) fn corrupt_traces(&self) -> CorruptTraces {
        let mut jobs: BTreeMap<(Kind, DataStore), BTreeSet<JobId>> = BTreeMap::new();
        let mut harmed = BTreeSet::new();
        for known in self.0.iter().filter(|known| known.resolved.is_none() && known.drill.is_none()) {
            jobs.entry((known.what.kind, known.what.store)).or_default().insert(known.what.job);
            harmed.extend(known.what.kind.is_of_a_log().then_some(known.what.job));
        }
        let by_kind = jobs.into_iter().map(|((kind, store), jobs)| (kind, store, jobs.len() as u64)).collect();
        CorruptTraces { by_kind, traces: harmed.len() as u64 }
    }
}
