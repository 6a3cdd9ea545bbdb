//! Live copies against the jobs and rows that they are for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::Result;
use crate::store::live::Found;
use crate::trace::{ByteSize, ChunkId, Detector, JobId, Kind, Look, Tally};

use super::Verifier;
use super::listings::Counting;
use crate::verify::runs::Running;

/// Things fetched at a time.
const PAGE: usize = 500;
/// Stale copies looked at in one pass; what is more than that is left to the next.
const STALE_MAX: usize = 10_000;
/// While it waits, the run says so often that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

impl Verifier {
    /// False if the run is to stop.
    pub(super) async fn look_over_live(&self, run: &mut Running) -> Result<bool> {
        let mut counting = Counting::begin(self, self.node.stores().live.name()).await;
        let (mut stale, mut from) = (Vec::new(), None);
        loop {
            let page = self.node.stores().live.scan(from, PAGE).await?;
            let mut by_job: BTreeMap<JobId, Vec<ChunkId>> = BTreeMap::new();
            for found in page.found {
                counting.count(self).await;
                // A released copy goes by itself, and a trace's entry without copies holds no log.
                if let Found::Chunk { job, chunk, released: false, .. } = found {
                    by_job.entry(job).or_default().push(chunk);
                }
            }
            for (job, chunks) in by_job {
                let seen = self.weigh_copies(job, &chunks, &mut stale, run).await?;
                if !run.add(seen).await? {
                    return Ok(false);
                }
            }
            if !run.goes_on().await? {
                return Ok(false);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        self.note_what_stays(stale, run).await
    }

    /// Writes down copies of a job that nobody knows, and adds to `stale` what the live sweep should have removed.
    async fn weigh_copies(
        &self,
        id: JobId,
        chunks: &[ChunkId],
        stale: &mut Vec<(JobId, ChunkId)>,
        run: &Running,
    ) -> Result<Tally> {
        let mut seen = Tally { chunks: chunks.len() as u64, ..Tally::default() };
        self.pay(1).await;
        let job = self.node.stores().database.job(id).await?;
        for chunk in chunks {
            let grace = self.settings.orphan_grace;
            match &job {
                None => {
                    let examiner = self.examiner(Detector::Inventory, run.id());
                    if self.node.note_left_over(id, *chunk, examiner, grace).await? {
                        seen.count(Look::Differs(Kind::Orphan), ByteSize::ZERO);
                    }
                }
                Some(job) => {
                    if stale.len() < STALE_MAX && self.node.was_left_over(job, *chunk, grace).await? {
                        stale.push((id, *chunk));
                    }
                }
            }
        }
        Ok(seen)
    }

    /// A live store that was just restored brings back what was long gone, and the live sweep removes it with its next turn:
    /// only what is still there after two of them stays.
    async fn note_what_stays(&self, stale: Vec<(JobId, ChunkId)>, run: &mut Running) -> Result<bool> {
        if stale.is_empty() {
            return Ok(true);
        }
        let settings = self.node.settings();
        let until = self.now().after(settings.live_sweep_interval * 2 + settings.live_grace);
        while self.now() < until {
            let wait = until.since(self.now()).min(SIGN_OF_LIFE);
            self.node.seams().clock.sleep(wait).await;
            if !run.add(Tally::default()).await? {
                return Ok(false);
            }
        }
        let examiner = self.examiner(Detector::Inventory, run.id());
        for (job, chunk) in stale {
            self.pay(1).await;
            let mut seen = Tally::default();
            if self.node.note_left_over(job, chunk, examiner, self.settings.orphan_grace).await? {
                seen.count(Look::Differs(Kind::Orphan), ByteSize::ZERO);
            }
            if !run.add(seen).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
