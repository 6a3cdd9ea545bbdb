//! Bad copies that were kept for people to look at: how many there are, and which of them nobody will ask for.

use futures::TryStreamExt as _;

use crate::store::Result;
use crate::store::object::keys;
use crate::telemetry::verification as telemetry;
use crate::trace::{ByteSize, DataStore, Detector, Tally};

use super::Verifier;
use super::listings::Counting;
use crate::verify::runs::Running;

const PREFIX: &str = "quarantine/";

impl Verifier {
    /// One node walks through all of it: there is little. False if the run is to stop.
    pub(super) async fn look_over_quarantine(&self, run: &mut Running) -> Result<bool> {
        let store = DataStore::ObjectStore;
        let objects = self.node.stores().objects.as_ref();
        let kept_for = self.settings.quarantine_kept_for;
        let expires = self.settings.repairs && !kept_for.is_zero();
        let examiner = self.examiner(Detector::Inventory, run.id());
        let mut counting = Counting::begin(self, store).await;
        let (mut count, mut bytes) = (0, ByteSize::ZERO);
        let mut listed = objects.list(PREFIX);
        while let Some(object) = listed.try_next().await? {
            counting.count(self).await;
            let is_ours = keys::parse(&object.key).is_ok();
            let seen = if expires && is_ours && self.is_older(&object, kept_for) {
                self.pay(1).await;
                objects.delete(&object.key).await?;
                telemetry::quarantine_expired();
                tracing::info!(key = object.key, "{} is removed: it was in quarantine for {kept_for:?}", object.key);
                Tally { chunks: 1, ..Tally::default() }
            } else {
                count += 1;
                bytes = bytes + object.size;
                self.weigh_unnamed(store, &object, &mut counting, examiner).await?
            };
            if !run.add(seen).await? {
                return Ok(false);
            }
        }
        counting.end(PREFIX);
        telemetry::quarantine(count, bytes);
        Ok(true)
    }
}
