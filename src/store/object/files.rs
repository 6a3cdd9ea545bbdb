//! Objects that are files: read without a thread that waits for the disk, where nobody has to.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use object_store::Error;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use super::errors::NAME;
use crate::trace::ByteSize;

/// A folder whose files are objects. Cheap to clone.
#[derive(Clone)]
pub(super) struct Files {
    folder: Arc<LocalFileSystem>,
    /// Whether its file system tells what is in memory, once a thread that may wait has asked. One behind a network does not:
    /// there even opening a file can take for ever.
    tells: Arc<OnceLock<bool>>,
}

impl Files {
    pub(super) fn new(folder: Arc<LocalFileSystem>) -> Self {
        Self { folder, tells: Arc::default() }
    }

    /// The first `most` bytes of a file. What the kernel has in memory is copied at once; for all else one turn of another thread
    /// opens and reads it. `object_store` takes two such turns, and each costs the verifier about as much as the hashing.
    pub(super) async fn read(&self, path: &Path, most: ByteSize) -> object_store::Result<Bytes> {
        let file = self.folder.path_to_filesystem(path)?;
        if self.tells.get() == Some(&true)
            && let Some(bytes) = in_memory(&file, most)
        {
            return Ok(bytes);
        }
        let (path, tells) = (path.clone(), self.tells.clone());
        let read = move || {
            let file = File::open(file).map_err(|error| no_file(&path, error))?;
            let found = file.metadata().map_err(|error| no_file(&path, error))?;
            if found.is_dir() {
                return Err(no_file(&path, io::ErrorKind::NotFound.into()));
            }
            tells.get_or_init(|| tells_what_is_in_memory(&file));
            let mut bytes = Vec::with_capacity(ByteSize(found.len().min(most.0)).as_usize());
            file.take(most.0).read_to_end(&mut bytes).map_err(|error| no_file(&path, error))?;
            Ok(bytes.into())
        };
        tokio::task::spawn_blocking(read).await?
    }

    /// The next read of a file comes from its disk: pages that are as they are there leave the memory. A put syncs, so all of an
    /// object's are.
    pub(super) async fn drop_pages(&self, path: &Path) {
        // Whatever keeps it from being done shows when the file is read.
        if let Ok(file) = self.folder.path_to_filesystem(path) {
            let _ = tokio::task::spawn_blocking(move || forget(&file)).await;
        }
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
    use std::fs::File;
    use std::io::IoSliceMut;
    use std::path::Path;

    use bytes::Bytes;
    use rustix::fs::{Advice, CWD, FileType, Mode, OFlags, ResolveFlags, fadvise, fstat, openat2};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use crate::trace::ByteSize;

    /// More than this is copied by another thread: the ones that requests are answered on are not kept from it for long.
    const AT_ONCE_MAX: u64 = 1 << 20;

    /// The first `most` bytes of a file of which the kernel has the names on its path and the content in memory: neither is waited
    /// for (`openat2` of Linux 5.12 or later, `preadv2`), and no time of reading is written. `None` wherever it would have to wait,
    /// or something else is the matter. Only for files of a file system that [tells](tells_what_is_in_memory).
    pub(super) fn in_memory(file: &Path, most: ByteSize) -> Option<Bytes> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOATIME;
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

    /// Whether a read that may not wait is answered for this file, be it by "it would have to wait". Those of networks and a few
    /// others do not take such reads at all.
    pub(super) fn tells_what_is_in_memory(file: &File) -> bool {
        let read = preadv2(file, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT);
        matches!(read, Ok(_) | Err(Errno::AGAIN))
    }

    pub(super) fn forget(file: &Path) -> Option<()> {
        fadvise(File::open(file).ok()?, 0, None, Advice::DontNeed).ok()
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
            let file = folder.path().join("traces/1");
            if tells_what_is_in_memory(&File::open(&file).unwrap()) {
                assert_eq!(in_memory(&file, ByteSize(5)).unwrap(), "a log");
                bucket.drop_cache("traces/1").await;
                assert_eq!(in_memory(&file, ByteSize(5)), None);
            }
            assert_eq!(bucket.get("traces/1", ByteSize(5)).await.unwrap().unwrap(), "a log");
            bucket.drop_cache("traces/2").await;
        }

        /// The first read finds out whether the file system tells, and the second goes by that.
        #[tokio::test]
        async fn the_short_way_and_the_long_one_come_to_the_same() {
            let folder = tempfile::tempdir().unwrap();
            let bucket = Bucket::folder(folder.path()).unwrap();
            let large = vec![b'x'; usize::try_from(AT_ONCE_MAX).unwrap() + 1];
            for (key, bytes) in [("traces/1", &b"a log"[..]), ("traces/2", &b""[..]), ("traces/3", &large[..])] {
                bucket.put(key, Bytes::copy_from_slice(bytes)).await.unwrap();
                for most in [0, 2, 5, 1 << 30] {
                    let first = bytes.len().min(most);
                    for _ in 0..2 {
                        let got = bucket.get(key, ByteSize(most as u64)).await.unwrap();
                        assert!(got.is_some_and(|got| got == bytes[..first]), "{key} {most}");
                    }
                }
            }
            assert_eq!(bucket.get("traces", ByteSize(1)).await.unwrap(), None, "a folder");
            assert_eq!(bucket.get("traces/4", ByteSize(1)).await.unwrap(), None);
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
use linux::{forget, in_memory, tells_what_is_in_memory};

/// Other systems do not tell.
#[cfg(not(target_os = "linux"))]
fn in_memory(_file: &std::path::Path, _most: ByteSize) -> Option<Bytes> {
    None
}

/// Other systems do not.
#[cfg(not(target_os = "linux"))]
fn tells_what_is_in_memory(_file: &File) -> bool {
    false
}

/// Other systems have no such advice.
#[cfg(not(target_os = "linux"))]
fn forget(_file: &std::path::Path) -> Option<()> {
    None
}
