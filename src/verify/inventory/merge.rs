//! Two streams in the order of keys, side by side: a page of each is in memory, however long they are.

use std::cmp::Ordering;
use std::pin::Pin;

use futures::StreamExt as _;
use futures::stream::{BoxStream, Peekable};

use crate::store::database::verifications::Named;
use crate::store::object::Listed;
use crate::store::{Result, StoreError};
use crate::trace::DataStore;

/// A key that one side has, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// The store lists it and a row names it.
    Both(Listed, Box<Named>),
    /// The store lists it.
    Listed(Listed),
    /// A row names it.
    Named(Box<Named>),
}

/// A store's listing beside the rows that name keys in it.
pub(super) struct Merge<'a> {
    store: DataStore,
    listed: Peekable<BoxStream<'a, Result<Listed>>>,
    named: Peekable<BoxStream<'a, Result<Named>>>,
    /// The key that was met last.
    last: Option<String>,
}

impl<'a> Merge<'a> {
    /// Both sides have to be in the order of keys, byte by byte.
    pub(super) fn new(
        store: DataStore,
        listed: BoxStream<'a, Result<Listed>>,
        named: BoxStream<'a, Result<Named>>,
    ) -> Self {
        Self { store, listed: listed.peekable(), named: named.peekable(), last: None }
    }

    /// The next key. Fails where one side fails or is not in order: what comes then could not be believed.
    pub(super) async fn next(&mut self) -> Result<Option<Met>> {
        let listed = Pin::new(&mut self.listed).peek().await;
        let order = match (listed, Pin::new(&mut self.named).peek().await) {
            (Some(Err(error)), _) | (_, Some(Err(error))) => return Err(error.clone()),
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(Ok(listed)), Some(Ok(named))) => listed.key.cmp(&named.key),
        };
        let listed = if order == Ordering::Greater { None } else { self.listed.next().await.transpose()? };
        let named = if order == Ordering::Less { None } else { self.named.next().await.transpose()?.map(Box::new) };
        let met = match (listed, named) {
            (Some(listed), Some(named)) => Met::Both(listed, named),
            (Some(listed), None) => Met::Listed(listed),
            (None, Some(named)) => Met::Named(named),
            (None, None) => return Ok(None),
        };
        self.expect_order(&met)?;
        Ok(Some(met))
    }

    fn expect_order(&mut self, met: &Met) -> Result<()> {
        let key = match met {
            Met::Both(Listed { key, .. }, _) | Met::Listed(Listed { key, .. }) => key,
            Met::Named(named) => &named.key,
        };
        if let Some(last) = self.last.replace(key.clone())
            && last >= *key
        {
            let message = format!("{key} came behind {last}: not in the order of keys, so nothing can be compared");
            return Err(StoreError::unreadable(self.store.as_str(), message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures::stream;
    use proptest::prelude::*;

    use super::*;
    use crate::store::database::verifications::Place;
    use crate::trace::{ByteSize, ChunkIndex, JobId};

    fn listed(key: &str) -> Listed {
        Listed { key: key.to_owned(), size: ByteSize(1), modified: None }
    }

    fn named(key: &str) -> Named {
        Named { key: key.to_owned(), place: Place { job: JobId(1), index: ChunkIndex(0) }, row: None }
    }

    fn merge(
        here: impl IntoIterator<Item = Result<Listed>, IntoIter: Send + 'static>,
        there: impl IntoIterator<Item = Result<Named>, IntoIter: Send + 'static>,
    ) -> Merge<'static> {
        Merge::new(DataStore::ObjectStore, stream::iter(here).boxed(), stream::iter(there).boxed())
    }

    /// What only one side has, and what both have.
    fn all(mut merge: Merge<'_>) -> Result<[BTreeSet<String>; 3]> {
        let [mut only_listed, mut only_named, mut both] = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
        futures::executor::block_on(async {
            while let Some(met) = merge.next().await? {
                match met {
                    Met::Both(listed, _) => both.insert(listed.key),
                    Met::Listed(listed) => only_listed.insert(listed.key),
                    Met::Named(named) => only_named.insert(named.key),
                };
            }
            Ok([only_listed, only_named, both])
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_sets_would(
            here in proptest::collection::btree_set("[a-c/.]{0,4}", 0..40),
            there in proptest::collection::btree_set("[a-c/.]{0,4}", 0..40),
        ) {
            let set = |keys: Vec<&String>| keys.into_iter().cloned().collect::<BTreeSet<_>>();
            let expected = [
                set(here.difference(&there).collect()),
                set(there.difference(&here).collect()),
                set(here.intersection(&there).collect()),
            ];
            let merge = merge(
                here.iter().map(|key| Ok(listed(key))).collect::<Vec<_>>(),
                there.iter().map(|key| Ok(named(key))).collect::<Vec<_>>(),
            );
            prop_assert_eq!(all(merge).expect("in order"), expected);
        }

        /// A store that does not list in order is not believed; one that breaks off neither.
        #[test]
        fn what_is_not_in_order_is_an_error(keys in proptest::collection::vec("[a-c]{1,2}", 2..10), rows in any::<bool>()) {
            prop_assume!(!keys.windows(2).all(|two| two[0] < two[1]));
            let merge = if rows {
                merge([], keys.iter().map(|key| Ok(named(key))).collect::<Vec<_>>())
            } else {
                merge(keys.iter().map(|key| Ok(listed(key))).collect::<Vec<_>>(), [])
            };
            let is_unreadable = matches!(all(merge), Err(StoreError::Unreadable { .. }));
            prop_assert!(is_unreadable);
        }
    }

    #[test]
    fn a_side_that_breaks_off_is_no_end() {
        let away = || StoreError::unavailable("object_store", "away");
        let broken_listing = merge([Ok(listed("a")), Err(away())], [Ok(named("a")), Ok(named("b"))]);
        let broken_rows = merge([Ok(listed("a")), Ok(listed("b"))], [Ok(named("a")), Err(away())]);
        for merge in [broken_listing, broken_rows] {
            assert!(matches!(all(merge), Err(StoreError::Unavailable { .. })));
        }
    }

    /// Of two endless sides no more is asked for than what was met, and one more of each.
    #[test]
    fn it_holds_one_of_each_side() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        let asked = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let counting = |count: &Arc<AtomicUsize>| {
            let count = count.clone();
            (0u64..).map(move |number| {
                count.fetch_add(1, Ordering::Relaxed);
                format!("{number:020}")
            })
        };
        let mut merge = merge(
            counting(&asked[0]).map(|key| Ok(listed(&key))),
            counting(&asked[1]).step_by(2).map(|key| Ok(named(&key))),
        );
        futures::executor::block_on(async {
            for _ in 0..10_000 {
                merge.next().await.expect("in order").expect("endless");
            }
        });
        assert!(asked.iter().all(|asked| asked.load(Ordering::Relaxed) <= 10_002), "{asked:?}");
    }
}
