//! Logs are nobody else's business: what Veritail makes on the disk is its user's alone.
//!
//! A data folder that is there already keeps its mode, for it may be somebody's `/srv`; what Veritail keeps directly in it
//! is made private at every start, also where an earlier version or another hand left it open.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
/// What anybody but the owner may do.
const OTHERS: u32 = 0o077;

/// Makes a folder, and what it lies in, for this user alone. One that is there stays as it is.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// The same, and one that is there is closed to others.
pub(super) fn folder(path: &Path) -> Result<()> {
    make_folder(path)?;
    close(path, FOLDER)
}

/// Makes an empty file for this user alone, or closes the one that is there to others. SQLite takes an empty file for a
/// new database, and gives the files beside it the same mode.
pub(super) fn file(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(FILE).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => close(path, FILE),
        made => made.map(drop),
    }
}

fn close(path: &Path, mode: u32) -> Result<()> {
    let now = fs::metadata(path)?.permissions().mode();
    if now & OTHERS == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        // Another user's, or a file system that knows no modes: whoever mounted it decides who may look.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            let (path, mode) = (path.display(), format!("{:03o}", now & 0o777));
            tracing::warn!(%path, mode, %error, "others can look at what is stored, and this cannot be changed");
            Ok(())
        }
        changed => changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_private_and_what_is_there_is_closed_to_others() {
        let place = tempfile::tempdir().expect("a folder");
        let (data, live, database) =
            (place.path().join("a/data"), place.path().join("a/data/live"), place.path().join("a/data/veritail.db"));
        make_folder(&data).expect("made");
        folder(&live).expect("made");
        file(&database).expect("made");
        assert_eq!([&data, &live, &database].map(|path| mode(path)), [0o700, 0o700, 0o600]);

        fs::write(&database, "kept").expect("written");
        for path in [&data, &live, &database] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).expect("opened");
        }
        make_folder(&data).expect("there");
        folder(&live).expect("closed");
        file(&database).expect("closed");
        assert_eq!([&data, &live, &database].map(|path| mode(path)), [0o755, 0o700, 0o600]);
        assert_eq!(fs::read_to_string(&database).expect("read"), "kept");
    }
}
