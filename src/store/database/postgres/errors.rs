//! What PostgreSQL's errors mean: for the caller, and for whether the statement may be given again.

use sqlx::Error;

use super::super::NAME;
use crate::store::StoreError;

/// What is known of a statement that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It had no effect, and the connection is sound: another transaction was in its way.
    InTheWay,
    /// It had no effect, and the server is not one that takes changes: a replica, or one that starts or stops.
    WrongServer,
    /// The connection is gone, or says what cannot be trusted. Whether the statement had an effect is not known.
    Lost,
    /// The server refused it, and would again.
    Refused,
}

/// SQLSTATEs, see the appendix "PostgreSQL Error Codes" of its manual.
mod code {
    pub(super) const SERIALIZATION_FAILURE: &str = "40001";
    pub(super) const DEADLOCK_DETECTED: &str = "40P01";
    pub(super) const READ_ONLY_TRANSACTION: &str = "25006";
    pub(super) const CANNOT_CONNECT_NOW: &str = "57P03";
    pub(super) const DISK_FULL: &str = "53100";
    /// Ended by an administrator or a crash, or idle for too long: the server closes the connection.
    pub(super) const ENDED: &[&str] = &["57P01", "57P02", "57P04", "57P05", "25P03"];
    /// Classes in which asking again does not help: what is stored, asked, damaged or granted does not fit.
    pub(super) const HOPELESS: &[&str] = &["22", "23", "28", "3D", "42", "XX"];
}

/// What is known of the statement that failed so.
pub(super) fn fate(error: &Error) -> Fate {
    let Error::Database(answer) = error else {
        return match error {
            Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) | Error::RowNotFound => {
                Fate::Refused
            }
            _ => Fate::Lost,
        };
    };
    match answer.code().as_deref() {
        Some(code::SERIALIZATION_FAILURE | code::DEADLOCK_DETECTED) => Fate::InTheWay,
        Some(code::READ_ONLY_TRANSACTION | code::CANNOT_CONNECT_NOW) => Fate::WrongServer,
        Some(code) if code.starts_with("08") || code::ENDED.contains(&code) => Fate::Lost,
        _ => Fate::Refused,
    }
}

/// Sorts an error by what the caller does next. The text is the server's or the driver's; neither repeats the URL.
pub(super) fn failed(error: Error) -> StoreError {
    match &error {
        Error::Database(answer) => match answer.code().as_deref() {
            Some(code::DISK_FULL) => StoreError::Full { store: NAME, message: error.to_string() },
            Some(code) if code::HOPELESS.iter().any(|class| code.starts_with(class)) => {
                StoreError::unreadable(NAME, error)
            }
            _ => StoreError::unavailable(NAME, error),
        },
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) | Error::Configuration(_) => {
            StoreError::unreadable(NAME, error)
        }
        _ => StoreError::unavailable(NAME, error),
    }
}

/// Sorts an error of a connection that did not come to be, and names the part of the URL to look at where one is to blame.
pub(super) fn cannot_connect(error: Error) -> StoreError {
    let blamed = match &error {
        Error::Tls(_) => Some("sslmode and sslrootcert"),
        Error::Io(cause) if cause.to_string().contains("certificate") => Some("sslrootcert, and the host"),
        // The file of a certificate, or of a socket.
        Error::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => Some("sslrootcert, and the host"),
        _ => None,
    };
    match blamed {
        Some(part) => StoreError::unavailable(NAME, format_args!("{error}; see {part}, in the URL")),
        None => failed(error),
    }
}
