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
        _ if is_narrow(&error) => narrow(&error),
        _ => StoreError::unavailable(NAME, error),
    }
}

/// What the scripts use, for a server that does not say which of them it refused.
const IN_SCRIPTS: &str = "hmget hget hset get set append strlen bitop rename persist pexpire pttl unlink";

/// Newer servers say `ACL failure in script`, older ones only that something cannot be run.
fn is_narrow(error: &RedisError) -> bool {
    let text = error.to_string();
    error.code() == Some("NOPERM")
        || ["has no permissions", "ACL failure", "can't run this command"].iter().any(|part| text.contains(part))
}

fn narrow(error: &RedisError) -> StoreError {
    StoreError::unavailable(NAME, format_args!("the user's ACL is too narrow (scripts use {IN_SCRIPTS}): {error}"))
}
