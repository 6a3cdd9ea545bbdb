//! What is damaged, in turn, and the wait until it is found.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pipeline::{DrillOrder, NoDrill};
use crate::store::Result;
use crate::store::database::drills::{CANARY, Drill, DrillFilter};
use crate::trace::{ChunkIndex, DataStore, Kind};

use super::super::Verifier;
use super::client::{CanaryClient, CanaryJob};
use super::{CHUNK_SIZE, content};

/// One kind of damage in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    store: DataStore,
    kind: Kind,
}

impl Damage {
    pub(super) fn is_live(&self) -> bool {
        matches!(self.store, DataStore::Redis | DataStore::Embedded)
    }

    /// All of them, in the order in which they have their turns.
    fn all(live: DataStore, spills: bool) -> Vec<Self> {
        let all = [
            (live, Kind::Checksum),
            (DataStore::ObjectStore, Kind::Checksum),
            (DataStore::Database, Kind::Record),
            (DataStore::Database, Kind::Checksum),
            (DataStore::ObjectStore, Kind::Missing),
            (live, Kind::Size),
            (DataStore::ObjectStore, Kind::Size),
        ];
        let done = |damage: &Self| spills || (damage.store, damage.kind) != (DataStore::Database, Kind::Checksum);
        all.into_iter().map(|(store, kind)| Self { store, kind }).filter(done).collect()
    }

    /// The order of turns from the one behind the last.
    fn behind(mut all: Vec<Self>, last: Option<&Drill>) -> VecDeque<Self> {
        let is_last =
            |damage: &Self| last.is_some_and(|last| (last.what.store, last.what.kind) == (damage.store, damage.kind));
        let next = all.iter().position(is_last).map_or(0, |at| at + 1);
        let all_of_them = all.len();
        all.rotate_left(next % all_of_them);
        all.into()
    }
}

/// The last chunk of the canary's log: of all it was proven last, so the hot run has not seen it yet.
const LAST: ChunkIndex = ChunkIndex(content::SIZE / CHUNK_SIZE);
/// How long the verifier has to find it by itself, as a share of the deadline; after it, reads come too.
const ALONE: f64 = 1.0 / 4.0;
/// Between two looks whether it was found, at least and at most.
const LOOK_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);

impl Verifier {
    /// What is to be damaged in this run: the next in turn, and those that come after it. Nothing while some is under way.
    pub(super) async fn next_damages(&self) -> Result<VecDeque<Damage>> {
        if !self.settings.canary_damage {
            return Ok(VecDeque::new());
        }
        let last = DrillFilter { by: Some(CANARY.to_owned()), limit: 1, ..DrillFilter::default() };
        let last = self.node.stores().drills.drills(&last).await?.pop();
        if last.as_ref().is_some_and(|last| last.ended_at.is_none()) {
            return Ok(VecDeque::new());
        }
        let spills = !self.node.settings().spill_max.is_zero();
        Ok(Damage::behind(Damage::all(self.node.stores().live.name(), spills), last.as_ref()))
    }

    /// Damages the canary's trace and waits until that is found, or for as long as the next run allows: what is not found by
    /// then is found later, or missed. False if it could not be damaged.
    pub(super) async fn damage_and_watch(
        &self,
        client: &dyn CanaryClient,
        job: &CanaryJob,
        Damage { store, kind }: Damage,
    ) -> Result<bool> {
        if (store, kind) == (DataStore::Database, Kind::Checksum) && !self.node.move_to_database(job.id, LAST).await? {
            return Ok(false);
        }
        let must_be_found_by = self.now().after(self.settings.canary_deadline);
        let by = CANARY.to_owned();
        let order = DrillOrder { job: job.id, chunk: Some(LAST), store, kind, by, must_be_found_by };
        match self.node.drill(&order).await {
            Ok(drill) => self.watch(client, job, &drill).await.map(|()| true),
            Err(NoDrill::Store(error)) => Err(error),
            Err(why) => {
                tracing::warn!(job_id = job.id.0, %store, %kind, %why, "the canary could not be damaged: {why}");
                Ok(false)
            }
        }
    }

    async fn watch(&self, client: &dyn CanaryClient, job: &CanaryJob, drill: &Drill) -> Result<()> {
        let (began, deadline) = (self.now(), self.settings.canary_deadline);
        // Whoever reads or appends to live bytes that no record speaks for asks for them again, and writes nothing down: there
        // the verifier is alone, and a tick of the canary may be left out while it takes its time.
        let is_live = drill.what.store == self.node.stores().live.name();
        let limit = if is_live { deadline } else { deadline.min(self.settings.canary_interval.mul_f64(0.7)) };
        loop {
            self.node.settle_drills().await?;
            let now = self.node.stores().drills.drill(drill.id).await?;
            let waited = self.now().since(began);
            if now.is_none_or(|now| now.ended_at.is_some()) || waited >= limit {
                return Ok(());
            }
            if !is_live && waited >= limit.mul_f64(ALONE) {
                // It meets the damage, and fails or is served from a good copy: either way it is found.
                let _ = client.read(job).await;
            }
            self.node.seams().clock.sleep((deadline / 60).clamp(*LOOK_EVERY.start(), *LOOK_EVERY.end())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::drills::{DrillId, NewDrill};
    use crate::trace::{JobId, Timestamp};

    fn drill(damage: Damage) -> Drill {
        let what = NewDrill {
            job: JobId(1),
            chunk: LAST,
            kind: damage.kind,
            store: damage.store,
            by: CANARY.to_owned(),
            at: Timestamp(0),
            must_be_found_by: Timestamp(1),
        };
        Drill { id: DrillId(1), what, damaged_at: None, found: None, result: None, ended_at: None }
    }

    #[test]
    fn every_store_has_its_turn_again_and_again() {
        for live in [DataStore::Redis, DataStore::Embedded] {
            let all = Damage::all(live, true);
            let mut last: Option<Drill> = None;
            for turn in 0..3 * all.len() {
                let order = Damage::behind(all.clone(), last.as_ref());
                assert_eq!((order.len(), order.front()), (all.len(), Some(&all[turn % all.len()])));
                last = order.front().map(|next| drill(*next));
            }
        }
    }

    #[test]
    fn what_was_never_damaged_before_comes_first_and_what_takes_no_chunks_is_left_out() {
        let all = Damage::all(DataStore::Redis, false);
        assert!(all.iter().all(|damage| (damage.store, damage.kind) != (DataStore::Database, Kind::Checksum)));
        let of_another_live_store = drill(Damage { store: DataStore::Embedded, kind: Kind::Checksum });
        assert_eq!(Damage::behind(all.clone(), Some(&of_another_live_store)).front(), all.first());
    }
}
