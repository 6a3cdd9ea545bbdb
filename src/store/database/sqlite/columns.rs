//! Columns to types and back. What does not fit is `Unreadable`: no version of Veritail wrote it.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, Crc32, Record, Sha256, Timestamp};

use super::NAME;
use super::errors::failed;

fn bad(column: &str, error: impl Display) -> StoreError {
    StoreError::unreadable(NAME, format!("column {column}: {error}"))
}

/// A number, or `None` for NULL.
pub(super) fn optional_number<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<Option<T>> {
    let number: Option<i64> = row.try_get(column).map_err(failed)?;
    let fit = |number| T::try_from(number).map_err(|_| bad(column, format!("{number} is out of range")));
    number.map(fit).transpose()
}

/// A number.
pub(super) fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<T> {
    optional_number(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// A moment, or `None` for NULL.
pub(super) fn optional_time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(optional_number(row, column)?.map(Timestamp))
}

/// A moment.
pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp> {
    number(row, column).map(Timestamp)
}

/// A text, or `None` for NULL.
pub(super) fn optional_text(row: &SqliteRow, column: &str) -> Result<Option<String>> {
    row.try_get(column).map_err(failed)
}

/// A text.
pub(super) fn text(row: &SqliteRow, column: &str) -> Result<String> {
    optional_text(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// A value of an enum, or `None` for NULL.
pub(super) fn optional_name<T: FromStr<Err: Display>>(row: &SqliteRow, column: &str) -> Result<Option<T>> {
    let text = optional_text(row, column)?;
    text.map(|text| text.parse().map_err(|error| bad(column, error))).transpose()
}

/// A value of an enum.
pub(super) fn name<T: FromStr<Err: Display>>(row: &SqliteRow, column: &str) -> Result<T> {
    optional_name(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// A SHA-256, or `None` for NULL.
pub(super) fn optional_digest(row: &SqliteRow, column: &str) -> Result<Option<[u8; 32]>> {
    let bytes: Option<Vec<u8>> = row.try_get(column).map_err(failed)?;
    bytes.map(|bytes| bytes.try_into().map_err(|_| bad(column, "is not 32 bytes"))).transpose()
}

/// A SHA-256.
pub(super) fn digest(row: &SqliteRow, column: &str) -> Result<[u8; 32]> {
    optional_digest(row, column)?.ok_or_else(|| bad(column, "is NULL"))
}

/// The record in the columns `size`, `crc32` and `sha256`, or `None` if there is none.
pub(super) fn record(row: &SqliteRow) -> Result<Option<Record>> {
    let Some(size) = optional_number(row, "size")?.map(ByteSize) else { return Ok(None) };
    let (crc32, sha256) = (Crc32(number(row, "crc32")?), Sha256(digest(row, "sha256")?));
    Ok(Some(Record { size, crc32, sha256 }))
}

/// Something that was stored as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T> {
    serde_json::from_str(&text(row, column)?).map_err(|error| bad(column, error))
}

/// The JSON of a value.
pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::unreadable(NAME, error))
}

/// A length or size, as SQLite can store it: up to 2^63 - 1.
pub(super) fn stored(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::unreadable(NAME, format!("{number} is too large to be stored")))
}
