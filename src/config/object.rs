//! Settings of the object store.

use std::path::PathBuf;

use super::settings::settings;

settings! {
    /// Where proven bytes are kept.
    Object, "object." {
        /// The folder for objects. Unset: `<data_dir>/objects`.
        path: Option<PathBuf> = None, env "VERITAIL_OBJECT_PATH";
    }
}
