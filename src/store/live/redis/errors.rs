//! The servers' errors, by what the caller does next.

use ::redis::{ErrorKind, RedisError};

use super::NAME;
use crate::store::StoreError;

/// Out of memory is `Full`: the server refuses such a script before it begins. Replies of the wrong type or shape are
/// `Unreadable`. All else may pass: no connection, no answer in time, `LOADING`, `READONLY`, `MISCONF`, `BUSY`, `NOPERM`.
pub(super) fn error(error: RedisError) -> StoreError {
    // A command behind `ASKING` fails as one of two.
    let refused = error.clone().into_server_errors();
    let code = refused.as_ref().and_then(|all| all.first()).map(|(_, refused)| refused.code());
    match (error.kind(), error.code().or(code)) {
        (_, Some("OOM")) => StoreError::Full { store: NAME, message: error.to_string() },
        (_, Some("WRONGTYPE")) | (ErrorKind::UnexpectedReturnType | ErrorKind::Parse, _) => {
            StoreError::unreadable(NAME, error)
        }
        // In a script an inner command's refusal comes as the script's.
        (_, Some("NOPERM")) => StoreError::unavailable(NAME, format_args!("the user's ACL is too narrow: {error}")),
        _ if error.to_string().contains("has no permissions") => {
            StoreError::unavailable(NAME, format_args!("the user's ACL is too narrow: {error}"))
        }
        _ => StoreError::unavailable(NAME, error),
    }
}
