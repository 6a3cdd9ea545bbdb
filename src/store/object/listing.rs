//! Listings in the order of keys, a page at a time.
//!
//! S3, GCS and Azure list in this order. A folder does not, so it is walked folder by folder, each sorted: memory is
//! that of the largest folder on the way, not of the store.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, Result};

enum Entry {
    Folder(Path),
    Object(ObjectMeta),
}

/// Everything below `top`, in the order of keys.
pub(super) fn in_order(objects: Arc<dyn ObjectStore>, top: Option<Path>) -> BoxStream<'static, Result<ObjectMeta>> {
    let left = vec![Entry::Folder(top.unwrap_or_default())];
    let walk = stream::try_unfold(left, move |mut left| {
        let objects = objects.clone();
        async move {
            while let Some(entry) = left.pop() {
                match entry {
                    Entry::Object(object) => return Ok(Some((object, left))),
                    Entry::Folder(path) => left.extend(reversed(objects.as_ref(), &path).await?),
                }
            }
            Ok(None)
        }
    });
    walk.boxed()
}

/// What lies in one folder, last key first. A folder's keys go on with `/`, so it is sorted as if it ended in one.
async fn reversed(objects: &dyn ObjectStore, folder: &Path) -> Result<impl Iterator<Item = Entry> + use<>> {
    let here = objects.list_with_delimiter(Some(folder)).await?;
    let folders = here.common_prefixes.into_iter().map(|path| (format!("{path}/"), Entry::Folder(path)));
    let files = here.objects.into_iter().map(|object| (object.location.to_string(), Entry::Object(object)));
    let mut entries: Vec<(String, Entry)> = folders.chain(files).collect();
    entries.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
    Ok(entries.into_iter().map(|(_, entry)| entry))
}
