//! Objects that are files: read without a thread that waits for the disk, where nobody has to.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use bytes::Bytes;
use object_store::Error;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use super::errors::NAME;
use crate::trace::ByteSize;

/// The first `most` bytes of a file. What the kernel has in memory is copied at once; for all else one turn of another thread
/// opens and reads it. `object_store` takes two such turns, and each costs the verifier about as much as the hashing.
pub(super) async fn read(folder: &Arc<LocalFileSystem>, path: &Path, most: ByteSize) -> object_store::Result<Bytes> {
    let file = folder.path_to_filesystem(path)?;
    if let Some(bytes) = in_memory(&file, most) {
        return Ok(bytes);
    }
    let path = path.clone();
    let read = move || {
        let file = File::open(file).map_err(|error| no_file(&path, error))?;
        let found = file.metadata().map_err(|error| no_file(&path, error))?;
        if found.is_dir() {
            return Err(no_file(&path, io::ErrorKind::NotFound.into()));
        }
        let mut bytes = Vec::with_capacity(ByteSize(found.len().min(most.0)).as_usize());
        file.take(most.0).read_to_end(&mut bytes).map_err(|error| no_file(&path, error))?;
        Ok(bytes.into())
    };
    tokio::task::spawn_blocking(read).await?
}

/// The next read of a file comes from its disk: pages that are as they are there leave the memory. A put syncs, so all of an
/// object's are.
pub(super) async fn drop_pages(folder: &Arc<LocalFileSystem>, path: &Path) {
    // Whatever keeps it from being done shows when the file is read.
    if let Ok(file) = folder.path_to_filesystem(path) {
        let _ = tokio::task::spawn_blocking(move || forget(&file)).await;
    }
}

fn no_file(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path: path.to_string(), source: error.into() },
        _ => Error::Generic { store: NAME, source: error.into() },
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::IoSliceMut;
    use std::path::Path;

    use bytes::Bytes;
    use rustix::fs::{Advice, CWD, FileType, Mode, OFlags, ResolveFlags, fadvise, fstat, openat2};
    use rustix::io::{ReadWriteFlags, preadv2};

    use crate::trace::ByteSize;

    /// More than this is copied by another thread: the ones that requests are answered on are not kept from it for long.
    const AT_ONCE_MAX: u64 = 1 << 20;

    /// The first `most` bytes of a file of which the kernel has names and content in memory. It never waits for a disk, which
    /// `openat2` and `preadv2` promise (Linux 5.12 or later, and most file systems); `None` wherever it would, or something else
    /// is the matter.
    pub(super) fn in_memory(file: &Path, most: ByteSize) -> Option<Bytes> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = openat2(CWD, file, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
        let found = fstat(&opened).ok()?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return None;
        }
        let size = u64::try_from(found.st_size).ok()?.min(most.0);
        if size > AT_ONCE_MAX {
            return None;
        }
        let mut bytes = vec![0; ByteSize(size).as_usize()];
        let read = preadv2(&opened, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT).ok()?;
        (read == bytes.len()).then(|| bytes.into())
    }

    pub(super) fn forget(file: &Path) -> Option<()> {
        fadvise(std::fs::File::open(file).ok()?, 0, None, Advice::DontNeed).ok()
    }

    #[cfg(test)]
    mod tests {
        use crate::store::object::ObjectStore as _;
        use crate::store::object::bucket::Bucket;

        use super::*;

        #[tokio::test]
        async fn what_the_kernel_forgot_is_read_from_the_disk() {
            let folder = tempfile::tempdir().unwrap();
            let bucket = Bucket::folder(folder.path()).unwrap();
            bucket.put("traces/1", Bytes::from_static(b"a log")).await.unwrap();
            let in_memory = || in_memory(&folder.path().join("traces/1"), ByteSize(5));
            match in_memory() {
                Some(bytes) => {
                    assert_eq!(bytes, "a log");
                    bucket.drop_cache("traces/1").await;
                    assert_eq!(in_memory(), None);
                }
                None => println!("this file system does not tell"),
            }
            assert_eq!(bucket.get("traces/1", ByteSize(5)).await.unwrap().unwrap(), "a log");
            bucket.drop_cache("traces/2").await;
        }

        #[test]
        fn no_more_is_taken_than_was_asked_for_and_nothing_of_what_is_no_file() {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("log");
            assert_eq!(in_memory(&file, ByteSize(9)), None, "nothing is there");
            assert_eq!(in_memory(folder.path(), ByteSize(9)), None, "a folder");
            let size = usize::try_from(AT_ONCE_MAX).unwrap() + 1;
            std::fs::write(&file, vec![b'x'; size]).unwrap();
            assert_eq!(in_memory(&file, ByteSize(AT_ONCE_MAX + 1)), None, "too large to be copied here");
            for most in [0, 4, AT_ONCE_MAX] {
                if let Some(bytes) = in_memory(&file, ByteSize(most)) {
                    assert_eq!(ByteSize::of(&bytes), ByteSize(most));
                }
            }
        }
    }
}

#[cfg(target_os = "linux")]
use linux::{forget, in_memory};

/// Other systems do not tell.
#[cfg(not(target_os = "linux"))]
fn in_memory(_file: &std::path::Path, _most: ByteSize) -> Option<Bytes> {
    None
}

/// Other systems have no such advice.
#[cfg(not(target_os = "linux"))]
fn forget(_file: &std::path::Path) -> Option<()> {
    None
}
