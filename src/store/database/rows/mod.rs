//! Rows to types and back, which every database does alike: the same columns have the same names and mean the same.
//!
//! What does not fit is `Unreadable`: no version of Veritail wrote it.

pub(super) mod accounts;
pub(super) mod bytes;
pub(super) mod chunks;
pub(super) mod drills;
pub(super) mod gauges;
pub(super) mod jobs;
pub(super) mod listing;
pub(super) mod mismatches;
pub(super) mod statements;
pub(super) mod verifications;

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::NAME;
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, Crc32, Record, Sha256, Timestamp};

/// A row of any database, column by column. `None` is NULL.
pub(super) trait Cells {
    /// A whole number.
    fn integer(&self, column: &str) -> Result<Option<i64>>;

    /// True or false.
    fn truth(&self, column: &str) -> Result<Option<bool>>;

    /// A text.
    fn string(&self, column: &str) -> Result<Option<String>>;

    /// Bytes.
    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>>;
}

/// Implements it for a row of `sqlx`, whose errors `$failed` sorts.
macro_rules! cells {
    ($row:ty, $failed:expr) => {
        impl $crate::store::database::rows::Cells for $row {
            fn integer(&self, column: &str) -> $crate::store::Result<Option<i64>> {
                sqlx::Row::try_get(self, column).map_err($failed)
            }

            fn truth(&self, column: &str) -> $crate::store::Result<Option<bool>> {
                sqlx::Row::try_get(self, column).map_err($failed)
            }

            fn string(&self, column: &str) -> $crate::store::Result<Option<String>> {
                sqlx::Row::try_get(self, column).map_err($failed)
            }

            fn bytes(&self, column: &str) -> $crate::store::Result<Option<Vec<u8>>> {
                sqlx::Row::try_get(self, column).map_err($failed)
            }
        }
    };
}
pub(super) use cells;

fn bad(column: &str, error: impl Display) -> StoreError {
    StoreError::unreadable(NAME, format!("column {column}: {error}"))
}

/// What of these rows can be read. A list of what is to be done goes on without the one that cannot. The log says so each time; a
/// mismatch it becomes once the verifier walks over it, or a person asks for its job.
pub(super) fn readable<R: Cells, T>(rows: &[R], read: impl Fn(&R) -> Result<T>) -> Vec<T> {
    let read = |row| match read(row) {
        Ok(read) => Some(read),
        Err(error) => {
            let key = |column| optional_number::<i64>(row, column).ok().flatten();
            let (job, chunk) = (key("job_id").or_else(|| key("id")), key("chunk_index"));
            tracing::error!(job_id = job, chunk, %error, "a row is left out, for it cannot be read");
            None
        }
    };
    rows.iter().filter_map(read).collect()
}

/// A number, or `None` for NULL.
pub(super) fn optional_number<T: TryFrom<i64>>(row: &impl Cells, column: &str) -> Result<Option<T>> {
    let fit = |number| T::try_from(number).map_err(|_| bad(column, format!("{number} is out of range")));
    row.integer(column)?.map(fit).transpose()
}

/// A number.
pub(super) fn number<T: TryFrom<i64>>(row: &impl Cells, column: &str) -> Result<T> {
    optional_number(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// A moment, or `None` for NULL.
pub(super) fn optional_time(row: &impl Cells, column: &str) -> Result<Option<Timestamp>> {
    Ok(optional_number(row, column)?.map(Timestamp))
}

/// A moment.
pub(super) fn time(row: &impl Cells, column: &str) -> Result<Timestamp> {
    number(row, column).map(Timestamp)
}

/// True or false, or `None` for NULL.
pub(super) fn optional_flag(row: &impl Cells, column: &str) -> Result<Option<bool>> {
    row.truth(column)
}

/// True or false.
pub(super) fn flag(row: &impl Cells, column: &str) -> Result<bool> {
    optional_flag(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// A text, or `None` for NULL.
pub(super) fn optional_text(row: &impl Cells, column: &str) -> Result<Option<String>> {
    row.string(column)
}

/// A text.
pub(super) fn text(row: &impl Cells, column: &str) -> Result<String> {
    optional_text(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// A value of an enum, or `None` for NULL.
pub(super) fn optional_name<T: FromStr<Err: Display>>(row: &impl Cells, column: &str) -> Result<Option<T>> {
    let text = optional_text(row, column)?;
    text.map(|text| text.parse().map_err(|error| bad(column, error))).transpose()
}

/// A value of an enum.
pub(super) fn name<T: FromStr<Err: Display>>(row: &impl Cells, column: &str) -> Result<T> {
    optional_name(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// A SHA-256, or `None` for NULL.
pub(super) fn optional_digest(row: &impl Cells, column: &str) -> Result<Option<[u8; 32]>> {
    row.bytes(column)?.map(|bytes| bytes.try_into().map_err(|_| bad(column, "is not 32 bytes"))).transpose()
}

/// A SHA-256.
pub(super) fn digest(row: &impl Cells, column: &str) -> Result<[u8; 32]> {
    optional_digest(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// The record in the columns `size`, `crc32` and `sha256`, or `None` if there is none.
pub(super) fn record(row: &impl Cells) -> Result<Option<Record>> {
    let Some(size) = optional_number(row, "size")?.map(ByteSize) else { return Ok(None) };
    let (crc32, sha256) = (Crc32(number(row, "crc32")?), Sha256(digest(row, "sha256")?));
    Ok(Some(Record { size, crc32, sha256 }))
}

/// Something that was stored as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &impl Cells, column: &str) -> Result<T> {
    serde_json::from_str(&text(row, column)?).map_err(|error| bad(column, error))
}

/// The JSON of a value.
pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::unreadable(NAME, error))
}

/// A length or size, as a database can store it: up to 2^63 - 1.
pub(super) fn stored(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::unreadable(NAME, format!("{number} is too large to be stored")))
}
