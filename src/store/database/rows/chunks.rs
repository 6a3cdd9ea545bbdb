//! A chunk's row out of its columns.

use super::{Cells, digest, number, optional_name, record, text, time};
use crate::store::database::{NAME, Waiting};
use crate::store::{Result, StoreError};
use crate::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkState, DataStore, Epoch, JobId, Location, Record, Sha256, StoredObject,
    Timestamp, Version,
};

/// The columns of a chunk's row.
macro_rules! chunk_columns {
    () => {
        "job_id, chunk_index, epoch, version, state, size, crc32, sha256,
         data_store, object_key, stored_size, stored_sha256, asked_in, persisted_at"
    };
}
pub(in crate::store::database) use chunk_columns;

/// A row and its job.
pub(in crate::store::database) fn read_waiting(row: &impl Cells) -> Result<Waiting> {
    Ok(Waiting { job: JobId(number(row, "job_id")?), row: read(row)? })
}

/// A row out of its [`chunk_columns`].
pub(in crate::store::database) fn read(row: &impl Cells) -> Result<ChunkRow> {
    let (record, kept) = (record(row)?, read_location(row)?);
    let persisted_at = kept.is_some().then(|| time(row, "persisted_at")).transpose()?;
    let state = match (text(row, "state")?.as_str(), record, kept) {
        ("open", None, None) => ChunkState::Open,
        ("sealed", Some(record), None) => ChunkState::Sealed { record },
        ("persisted", Some(record), Some(at)) => ChunkState::Persisted { record, at },
        ("wanted", record, kept) => ChunkState::Wanted { record, kept, asked_in: Epoch(number(row, "asked_in")?) },
        (state, ..) => {
            return Err(StoreError::unreadable(NAME, format!("a chunk's row is {state:?} and does not fit")));
        }
    };
    Ok(ChunkRow {
        index: ChunkIndex(number(row, "chunk_index")?),
        epoch: Epoch(number(row, "epoch")?),
        version: Version(number(row, "version")?),
        state,
        persisted_at,
    })
}

fn read_location(row: &impl Cells) -> Result<Option<Location>> {
    let Some(store) = optional_name::<DataStore>(row, "data_store")? else { return Ok(None) };
    let object = StoredObject {
        key: text(row, "object_key")?,
        size: ByteSize(number(row, "stored_size")?),
        sha256: Sha256(digest(row, "stored_sha256")?),
    };
    match store {
        DataStore::Database => Ok(Some(Location::Database(object))),
        DataStore::ObjectStore => Ok(Some(Location::Object(object))),
        other => Err(StoreError::unreadable(NAME, format!("no chunk's copy is kept in {other}"))),
    }
}

/// The arguments of `Database::record`.
pub(in crate::store::database) struct Sealing<'a> {
    pub(in crate::store::database) job: JobId,
    pub(in crate::store::database) epoch: Epoch,
    pub(in crate::store::database) index: ChunkIndex,
    pub(in crate::store::database) begun: Epoch,
    pub(in crate::store::database) record: &'a Record,
    pub(in crate::store::database) next: Option<ChunkIndex>,
    pub(in crate::store::database) at: Timestamp,
}
