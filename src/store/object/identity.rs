//! Whose store it is.
//!
//! A disk that is not mounted looks like an empty folder, and every object in it would seem to be lost; another bucket
//! than yesterday's looks the same. So a store carries a mark with an id, and the database knows the id. A store without
//! its mark, or with another one's, is not opened, and while it runs it is unavailable, not empty.
//!
//! ```text
//! id into the database -> mark into the store -> the mark noted in the database
//! ```
//! A crash in between leaves an id that is known and not yet noted as marked: the next start goes on from there.

use bytes::Bytes;
use futures::StreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::bucket::Bucket;
use super::errors::{NAME, Operation, is_no_object};
use crate::store::database::facts::{Facts, OBJECT_STORE_ID, OBJECT_STORE_MARKED};
use crate::store::{Result, StoreError};
use crate::trace::ByteSize;

/// The object that marks a store. It is not listed.
pub(super) const MARK: &str = ".veritail-objects";
const MARK_TEXT: &str =
    "Objects of Veritail lie here. Without this mark it takes the store for one that is not mounted.\n";
const ID: &str = "id: ";

/// A mark, and the id on it; those of Veritail's first weeks have none.
type Mark = Option<Option<String>>;

/// What the mark of a store says.
pub(super) fn mark_text(id: Option<&str>) -> String {
    id.map_or_else(|| MARK_TEXT.to_owned(), |id| format!("{MARK_TEXT}{ID}{id}\n"))
}

fn id_on(mark: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(mark);
    text.lines().find_map(|line| line.strip_prefix(ID)).map(|id| id.trim().to_owned())
}

impl Bucket {
    /// Finds out whether this is the store that the database knows, and marks a new one with `new_id`. With `adopt`, the
    /// store is taken as it is found.
    pub async fn identify(mut self, facts: &dyn Facts, new_id: &str, adopt: bool) -> Result<Self> {
        let known = facts.fact(OBJECT_STORE_ID).await?;
        let found = self.read_mark().await?;
        let id = match (known, found) {
            (Some(known), Some(Some(found))) if known == found => known,
            (_, Some(Some(found))) if adopt => {
                tracing::warn!("object.adopt: the object store with the id {found} is taken for this installation's");
                facts.set_fact(OBJECT_STORE_ID, &found).await?;
                found
            }
            (Some(known), Some(Some(found))) => {
                return refused(format!(
                    "it is another store: its mark {MARK} has the id {found}, the database knows {known}. Correct \
                     object.url or object.path; if the objects were moved here on purpose, start once with object.adopt"
                ));
            }
            (None, Some(Some(found))) => {
                return refused(format!(
                    "it belongs to another installation, with the id {found}, which this database does not know. Choose \
                     another bucket, prefix or folder; if this database is to go on with it, start once with object.adopt"
                ));
            }
            (Some(known), found) => {
                let was_marked = facts.fact(OBJECT_STORE_MARKED).await?.as_deref() == Some(&known);
                if was_marked && !adopt {
                    let seen = if found.is_some() { "has no id" } else { "is missing" };
                    return refused(format!(
                        "its mark {MARK} {seen}, the database knows a store with the id {known}. Is the disk not mounted, \
                         or is it another bucket or folder? If the objects were moved here on purpose, start once with \
                         object.adopt"
                    ));
                }
                self.write_mark(&known).await?;
                known
            }
            (None, found) => {
                if found.is_none() && !adopt && self.has_traces().await? {
                    return refused(format!(
                        "it holds traces and no mark {MARK}, and the database knows no store. Choose another bucket, \
                         prefix or folder; if this database is to go on with it, start once with object.adopt"
                    ));
                }
                let id = facts.first_fact(OBJECT_STORE_ID, new_id).await?;
                self.write_mark(&id).await?;
                id
            }
        };
        facts.set_fact(OBJECT_STORE_MARKED, &id).await?;
        self.id = Some(id);
        Ok(self)
    }

    /// Fails if the store has lost its mark, and with it everything, or is another one.
    pub(super) async fn expect_mark(&self) -> Result<()> {
        match self.read_mark().await? {
            None => Err(StoreError::unavailable(NAME, format!("{MARK} is missing: is the disk not mounted?"))),
            Some(found) if self.id.is_some() && found != self.id => {
                Err(StoreError::unavailable(NAME, format!("{MARK} has another id: another store is in its place")))
            }
            Some(_) => Ok(()),
        }
    }

    async fn read_mark(&self) -> Result<Mark> {
        let path = Path::from(MARK);
        let read = async {
            match self.read(&path, ByteSize(u64::MAX)).await {
                Ok(mark) => Ok(Some(mark)),
                Err(error) if is_no_object(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        Ok(self.ask(Operation::Get, read).await?.map(|mark| id_on(&mark)))
    }

    /// Writes the mark and reads it back: what a store does not keep now, it will not keep later.
    async fn write_mark(&self, id: &str) -> Result<()> {
        let text = Bytes::from(mark_text(Some(id)));
        self.ask(Operation::Put, self.objects.put(&Path::from(MARK), text.into())).await?;
        match self.read_mark().await? {
            Some(Some(found)) if found == id => Ok(()),
            _ => {
                Err(StoreError::unavailable(NAME, format!("{MARK} was written and is not there: is it read at once?")))
            }
        }
    }

    async fn has_traces(&self) -> Result<bool> {
        // Past `list`, which expects a mark at its end.
        let mut listed = self.objects.list(Some(&Path::from("traces")));
        let first = self.ask(Operation::List, async { listed.next().await.transpose() }).await;
        first.map(|first| first.is_some())
    }
}

fn refused<T>(message: String) -> Result<T> {
    Err(StoreError::unavailable(NAME, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        assert_eq!(id_on(mark_text(Some("0f1e")).as_bytes()).as_deref(), Some("0f1e"));
        assert_eq!(id_on(mark_text(None).as_bytes()), None);
        assert_eq!(id_on(b"\xff\xfe anything"), None);
    }
}
