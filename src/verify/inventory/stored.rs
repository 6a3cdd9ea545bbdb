//! Persistent copies: a store's listing merged with the rows that name keys in it.

use std::ops::RangeInclusive;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::pipeline::examine::{Examiner, Unnamed};
use crate::store::database::verifications::{Named, Place};
use crate::store::object::{Listed, ObjectStore};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, DataStore, Detector, Kind, Look, Tally};

use super::Verifier;
use super::listings::Counting;
use super::merge::{Merge, Met};
use crate::verify::runs::Running;

/// Rows fetched at a time.
const PAGE: u32 = 1000;

impl Verifier {
    pub(super) async fn look_over_stored(&self, prefixes: RangeInclusive<u8>, run: &mut Running) -> Result<bool> {
        for prefix in prefixes {
            let prefix = format!("traces/{prefix:02x}/");
            for store in [DataStore::ObjectStore, DataStore::Database] {
                if !self.compare(store, &prefix, run).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What lies below `prefix` against the rows. False if the run is to stop.
    async fn compare(&self, store: DataStore, prefix: &str, run: &mut Running) -> Result<bool> {
        let lies_in = self.node.stores().keeping(store);
        let examiner = self.examiner(Detector::Inventory, run.id());
        let mut counting = Counting::begin(self, store).await;
        let mut merge = Merge::new(store, lies_in.list(prefix), self.named(store, prefix));
        while let Some(met) = merge.next().await? {
            if !matches!(met, Met::Named(_)) {
                counting.count(self).await;
            }
            let seen = match met {
                Met::Both(listed, named) if Some(listed.size) == named.size() => {
                    Tally { chunks: 1, ..Tally::default() }
                }
                Met::Both(_, named) => self.look_at_named(&named, examiner).await?,
                Met::Named(named) => self.look_for(lies_in, &named, examiner).await?,
                Met::Listed(object) => self.weigh_unnamed(store, &object, &mut counting, examiner).await?,
            };
            if !run.add(seen).await? {
                return Ok(false);
            }
        }
        counting.end(prefix);
        run.goes_on().await
    }

    /// A row names what the listing does not have. Listings may lag behind: the store is asked for the very key.
    async fn look_for(&self, lies_in: &dyn ObjectStore, named: &Named, examiner: Examiner) -> Result<Tally> {
        self.pay(1).await;
        if lies_in.get(&named.key, ByteSize(1)).await?.is_some() {
            return Ok(Tally { chunks: 1, ..Tally::default() });
        }
        self.look_at_named(named, examiner).await
    }

    /// Something is wrong with the copy that a row names, or it was: the examination says what, and heals it.
    async fn look_at_named(&self, named: &Named, examiner: Examiner) -> Result<Tally> {
        self.pay(1).await;
        let Place { job, index } = named.place;
        let examined = match &named.row {
            Some(row) => self.node.examine(job, row, examiner).await?,
            None => self.node.examine_unreadable(job, Some(index), examiner).await?,
        };
        Ok(examined.tally)
    }

    /// The store lists what no row named when the rows were read.
    pub(super) async fn weigh_unnamed(
        &self,
        store: DataStore,
        object: &Listed,
        counting: &mut Counting,
        examiner: Examiner,
    ) -> Result<Tally> {
        let mut seen = Tally { chunks: 1, ..Tally::default() };
        let Some(key) = counting.ours(object) else { return Ok(seen) };
        let grace = self.grace(store);
        if !self.is_older(object, grace) {
            return Ok(seen);
        }
        self.pay(1).await;
        let removes = self.settings.repairs && self.settings.removes_orphans;
        let weighed = self.node.examine_unnamed(store, (object, &key), examiner, (grace, removes)).await?;
        if weighed == Unnamed::Noted {
            seen.count(Look::Differs(Kind::Orphan), ByteSize::ZERO);
        }
        Ok(seen)
    }

    /// The rows that name keys below `prefix`, a page at a time.
    fn named<'a>(&'a self, store: DataStore, prefix: &'a str) -> BoxStream<'a, Result<Named>> {
        let pages = stream::try_unfold(Some(None::<String>), move |after| async move {
            let Some(after) = after else { return Ok(None) };
            self.pay(1).await;
            let page = self.verifications().named(store, prefix, after.as_deref(), PAGE).await?;
            let next = (page.len() == PAGE as usize).then(|| page.last().map(|last| last.key.clone()));
            Ok::<_, StoreError>(Some((stream::iter(page.into_iter().map(Ok)), next)))
        });
        pages.try_flatten().boxed()
    }
}
