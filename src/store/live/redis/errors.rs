//! The server's errors, by what the caller does next.

use ::redis::{ErrorKind, RedisError};

use super::NAME;
use crate::store::StoreError;

/// Out of memory is `Full`: the server refuses such a script before it begins. Replies of the wrong type or shape are
/// `Unreadable`. All else may pass: no connection, no answer in time, `LOADING`, `READONLY`, `MISCONF`, `BUSY`.
pub(super) fn error(error: RedisError) -> StoreError {
    match (error.kind(), error.code()) {
        (_, Some("OOM")) => StoreError::Full { store: NAME, message: error.to_string() },
        (_, Some("WRONGTYPE")) | (ErrorKind::UnexpectedReturnType | ErrorKind::Parse, _) => {
            StoreError::unreadable(NAME, error)
        }
        _ => StoreError::unavailable(NAME, error),
    }
}
