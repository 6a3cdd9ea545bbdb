//! Settings of the database.

use std::path::PathBuf;

use super::settings::settings;
use super::value::{Secret, Span};

settings! {
    /// Where everything is written down.
    Database, "database." {
        /// The SQLite file. Unset: `<data_dir>/veritail.db`.
        path: Option<PathBuf> = None, env "VERITAIL_DATABASE_PATH";
        /// URL of a PostgreSQL database (14 or newer), such as
        /// `postgres://veritail@db.example.com/veritail?sslmode=verify-full`, in place of the SQLite file: not both.
        url: Option<Secret> = None, env "VERITAIL_DATABASE_URL";
        /// The most connections to PostgreSQL at a time, of this node. A statement takes about a millisecond and an append
        /// none, so that 10 serve thousands of runners; a server with 100 connections has room for 9 nodes.
        pool_size: u32 = 10, range 2..=1000, env "VERITAIL_DATABASE_POOL_SIZE";
        /// How long a call waits for a connection to PostgreSQL.
        acquire_timeout: Span = Span::secs(5), range Span::ms(100)..=Span::secs(60), env "VERITAIL_DATABASE_ACQUIRE_TIMEOUT";
        /// How long a statement may take in PostgreSQL, half of it waiting for locks. A call is given up as "unavailable" after
        /// this and the time for a connection.
        statement_timeout: Span = Span::secs(10), range Span::ms(100)..=Span::secs(600), env "VERITAIL_DATABASE_STATEMENT_TIMEOUT";
    }
}
