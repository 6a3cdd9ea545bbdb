//! Settings of the database.

use std::path::PathBuf;

use super::settings::settings;

settings! {
    /// Where everything is written down.
    Database, "database." {
        /// The SQLite file. Unset: `<data_dir>/veritail.db`.
        path: Option<PathBuf> = None, env "VERITAIL_DATABASE_PATH";
    }
}
