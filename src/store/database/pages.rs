//! Listing the bytes of chunks that lie in a database, a page at a time: memory is that of a page.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::store::object::{Listed, Objects};
use crate::store::{Result, StoreError};

/// Rows fetched at a time.
const ROWS: u32 = 1000;

/// A page of keys.
pub(super) struct Page {
    /// Keys on it are greater.
    pub(super) after: String,
    /// Keys on it are smaller.
    pub(super) end: String,
    /// Rows on it, at most.
    pub(super) rows: u32,
}

/// What is above every key that begins with `prefix`: a whole path, ending in `/`, or empty for all keys. The prefix itself is
/// no key, and below all of them.
pub(super) fn end_of(prefix: &str) -> String {
    // What follows '/' among the bytes is '0'. Nothing follows the last character that there is.
    prefix.strip_suffix('/').map_or_else(|| char::MAX.into(), |path| format!("{path}0"))
}

/// Everything below `prefix`, in the order of keys, which is that of their bytes.
pub(super) fn list<F>(prefix: &str, fetch: impl Fn(Page) -> F + Clone + Send + 'static) -> Objects
where
    F: Future<Output = Result<Vec<Listed>>> + Send,
{
    let end = end_of(prefix);
    let pages = stream::try_unfold(Some(prefix.to_owned()), move |after| {
        let (end, fetch) = (end.clone(), fetch.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let page = fetch(Page { after, end, rows: ROWS }).await?;
            let is_last = page.len() < ROWS as usize;
            let next = page.last().filter(|_| !is_last).map(|last| last.key.clone());
            Ok::<_, StoreError>(Some((stream::iter(page.into_iter().map(Ok)), next)))
        }
    });
    pages.try_flatten().boxed()
}
