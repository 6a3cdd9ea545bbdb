//! What is damaged, in turn, and the wait until it is found.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pipeline::{DrillOrder, NoDrill};
use crate::store::Result;
use crate::store::database::drills::{CANARY, Drill, DrillFilter};
use crate::trace::{ChunkIndex, DataStore, Kind};

use super::super::{CanaryDamage, Verifier};
use super::client::CanaryJob;
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

    /// True if it takes a copy of its own, put into a persistent store for it.
    pub(super) fn needs_new_copy(&self) -> bool {
        !self.is_live() && self.kind != Kind::Record
    }

    /// All of them, in the order in which they have their turns.
    fn all(live: DataStore) -> Vec<Self> {
        let all = [
            (live, Kind::Checksum),
            (DataStore::ObjectStore, Kind::Checksum),
            (DataStore::Database, Kind::Record),
            (DataStore::Database, Kind::Checksum),
            (DataStore::ObjectStore, Kind::Missing),
            (live, Kind::Size),
            (DataStore::ObjectStore, Kind::Size),
        ];
        all.into_iter().map(|(store, kind)| Self { store, kind }).collect()
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

/// The last chunk of the canary's log: the one that is live for longest.
const LAST: ChunkIndex = ChunkIndex(content::SIZE / CHUNK_SIZE);
/// Between two looks whether it was found, at least and at most.
const LOOK_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);

impl Verifier {
    /// What is to be damaged in this run: the next in turn, and those that come after it. Nothing while some is under way.
    pub(super) async fn next_damages(&self) -> Result<VecDeque<Damage>> {
        if self.settings.canary_damage == CanaryDamage::Off {
            return Ok(VecDeque::new());
        }
        let stores = self.node.stores();
        let last = DrillFilter { by: Some(CANARY.to_owned()), limit: 1, ..DrillFilter::default() };
        let last = stores.drills.drills(&last).await?.pop();
        if last.as_ref().is_some_and(|last| last.ended_at.is_none()) {
            return Ok(VecDeque::new());
        }
        let spills = !self.node.settings().spill_max.is_zero();
        let mut damages = Damage::behind(Damage::all(stores.live.name()), last.as_ref());
        damages.retain(|damage| {
            !damage.needs_new_copy() || !self.spares_objects() && (damage.store != DataStore::Database || spills)
        });
        Ok(damages)
    }

    /// Whether no object is damaged because each would stay for good, as far as that is known.
    pub(super) fn spares_objects(&self) -> bool {
        self.settings.canary_damage == CanaryDamage::Auto && self.node.stores().objects.keeps_versions()
    }

    /// Damages the canary's trace and waits until that is found, or for as long as the next run allows: what is not found by
    /// then is found later, or missed. False if it could not be damaged.
    pub(super) async fn damage_and_watch(&self, job: &CanaryJob, damage: Damage) -> Result<bool> {
        let Damage { store, kind } = damage;
        let within = match damage.is_live() {
            // Its trace waits for that, and must not be taken for one whose runner vanished.
            true => self.settings.canary_deadline.min(self.node.settings().runner_timeout / 4),
            false => self.settings.canary_deadline,
        };
        let by = CANARY.to_owned();
        let order = DrillOrder { job: job.id, chunk: Some(LAST), store, kind, by, within };
        // A copy that was looked at already would be looked at again only by the full run: days later.
        let drill = match damage.needs_new_copy() {
            true => self.node.drill_new_copy(&order, LAST).await,
            false => self.node.drill(&order).await,
        };
        match drill {
            Ok(drill) => self.watch(&drill, damage.is_live()).await.map(|()| true),
            Err(NoDrill::Store(error)) => Err(error),
            Err(why) => {
                tracing::warn!(job_id = job.id.0, %store, %kind, %why, "the canary could not be damaged: {why}");
                Ok(false)
            }
        }
    }

    /// Nothing is read or appended meanwhile: it is the verifier who has to find it.
    async fn watch(&self, drill: &Drill, is_live: bool) -> Result<()> {
        let began = self.now();
        // The damage of a live copy is met when its trace goes on: there the next ticks are left out until it is found or
        // missed.
        let limit = if is_live { Duration::MAX } else { self.settings.canary_interval.mul_f64(0.7) };
        let look_every = (self.settings.canary_deadline / 60).clamp(*LOOK_EVERY.start(), *LOOK_EVERY.end());
        loop {
            self.node.settle_drills().await?;
            let now = self.node.stores().drills.drill(drill.id).await?;
            if now.is_none_or(|now| now.ended_at.is_some()) || self.now().since(began) >= limit {
                return Ok(());
            }
            self.node.seams().clock.sleep(look_every).await;
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
            let all = Damage::all(live);
            let mut last: Option<Drill> = None;
            for turn in 0..3 * all.len() {
                let order = Damage::behind(all.clone(), last.as_ref());
                assert_eq!((order.len(), order.front()), (all.len(), Some(&all[turn % all.len()])));
                last = order.front().map(|next| drill(*next));
            }
        }
    }

    #[test]
    fn after_damage_of_another_live_store_the_first_comes_next() {
        let all = Damage::all(DataStore::Redis);
        let of_another_live_store = drill(Damage { store: DataStore::Embedded, kind: Kind::Checksum });
        assert_eq!(Damage::behind(all.clone(), Some(&of_another_live_store)).front(), all.first());
    }
}
