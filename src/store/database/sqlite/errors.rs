//! What SQLite's errors mean for the caller.

use crate::store::StoreError;

use super::NAME;

/// Primary result codes, <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const ERROR: i32 = 1;
    pub(super) const BUSY: i32 = 5;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

/// Sorts an error by what the caller does next.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(answer) => match primary_code(answer.as_ref()) {
            Some(code::FULL) => StoreError::Full { store: NAME, message: error.to_string() },
            // Asking again does not help: the file is damaged, or holds what this version does not know or refuses.
            Some(code::ERROR | code::CORRUPT | code::CONSTRAINT | code::MISMATCH | code::NOT_A_DATABASE) => {
                StoreError::unreadable(NAME, error)
            }
            _ => StoreError::unavailable(NAME, error),
        },
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreError::unreadable(NAME, error)
        }
        _ => StoreError::unavailable(NAME, error),
    }
}

/// True if another handle has a lock that was not waited for.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(primary_code) == Some(code::BUSY)
}

/// The low byte of an extended code is the primary one.
fn primary_code(answer: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    Some(answer.code()?.parse::<i32>().ok()? & 0xff)
}
