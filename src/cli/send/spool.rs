//! The log on this machine's disk, until the server has proven it: `send-….log` with its bytes, and beside it
//! `send-….json` with what is needed to send it on. Nobody else can read them: the second holds the job's token.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::Failed;

/// What is needed to send a log on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The server.
    pub(super) url: String,
    /// The project of a job that may not be made yet.
    pub(super) project: Option<String>,
    /// Its name.
    pub(super) name: Option<String>,
    /// The job, once there is one.
    pub(super) job: Option<Job>,
    /// How it ended, once it has.
    pub(super) ending: Option<Ending>,
}

/// A job as whoever sends its log knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) id: i64,
    pub(super) token: String,
}

/// The end of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) state: String,
    pub(super) exit_code: Option<i64>,
    /// Bytes in all.
    pub(super) size: u64,
    pub(super) crc32: u32,
}

/// A log on the disk, held by this process alone.
#[derive(Debug)]
pub(super) struct Spool {
    file: PathBuf,
    origin: Origin,
    log: File,
}

/// `$XDG_STATE_HOME/veritail`, which is `~/.local/state/veritail`; without a home a folder for files that do not last.
pub(super) fn default_folder() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = of("XDG_STATE_HOME").or_else(|| of("HOME").map(|home| home.join(".local/state")));
    state.unwrap_or_else(std::env::temp_dir).join("veritail")
}

impl Spool {
    /// An empty spool.
    pub(super) fn create(folder: &Path, origin: Origin) -> Result<Self, Failed> {
        let failed = |error: std::io::Error| {
            Failed(format!("no spool in {}: {error}; choose another with --spool-dir", folder.display()))
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        // Readable for its owner only, and under a name that no other run has.
        let made = tempfile::Builder::new().prefix("send-").suffix(".log").tempfile_in(folder).map_err(failed)?;
        let (log, path) = made.keep().map_err(|error| failed(error.error))?;
        let spool = Self { file: path.with_extension("json"), origin, log };
        spool.hold()?;
        spool.write_down()?;
        Ok(spool)
    }

    /// The spool that an earlier run has left.
    pub(super) fn resume(file: &Path) -> Result<Self, Failed> {
        let failed = |error: &dyn std::fmt::Display| Failed(format!("{}: {error}", file.display()));
        let text = fs::read(file).map_err(|error| failed(&error))?;
        let origin = serde_json::from_slice(&text).map_err(|error| failed(&format_args!("no spool ({error})")))?;
        let path = file.with_extension("log");
        let log = OpenOptions::new().read(true).write(true).open(&path);
        let log = log.map_err(|error| Failed(format!("{}: {error}", path.display())))?;
        let spool = Self { file: file.to_owned(), origin, log };
        spool.hold()?;
        Ok(spool)
    }

    /// Two processes that send the same log would get in each other's way.
    fn hold(&self) -> Result<(), Failed> {
        let taken = |_| Failed(format!("{} is being sent by another process", self.file.display()));
        self.log.try_lock().map_err(taken)
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The file to resume from.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The log itself, to write to or to read from.
    pub(super) fn log(&self) -> Result<File, Failed> {
        self.log.try_clone().map_err(Failed::because)
    }

    /// There is a job now.
    pub(super) fn belongs_to(&mut self, job: Job) -> Result<(), Failed> {
        self.origin.job = Some(job);
        self.write_down()
    }

    /// The log has ended; from now on this is what is claimed of it.
    pub(super) fn ends(&mut self, ending: Ending) -> Result<(), Failed> {
        self.origin.ending = Some(ending);
        self.write_down()
    }

    /// Written whole and to the disk before it has its name.
    fn write_down(&self) -> Result<(), Failed> {
        let failed = |error: &dyn std::fmt::Display| Failed(format!("{}: {error}", self.file.display()));
        let text = serde_json::to_vec_pretty(&self.origin).map_err(|error| failed(&error))?;
        let fresh = self.file.with_extension("json.new");
        let written = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.file)?;
            // The names too, of this file and of the log beside it.
            self.file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        written().map_err(|error| failed(&error))
    }

    /// It is proven elsewhere.
    pub(super) fn remove(&self) -> Result<(), Failed> {
        let gone = fs::remove_file(self.file.with_extension("log")).and_then(|()| fs::remove_file(&self.file));
        gone.map_err(|error| Failed(format!("{}: it is proven, but cannot be removed: {error}", self.file.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_spool_is_its_owners_and_is_found_again_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let origin =
            Origin { url: "http://127.0.0.1:1".to_owned(), project: None, name: None, job: None, ending: None };
        let mut spool = Spool::create(&folder.path().join("new"), origin).expect("made");
        let ending = Ending { state: "failed".to_owned(), exit_code: Some(3), size: 4, crc32: 7 };
        spool.belongs_to(Job { id: 7, token: "t".to_owned() }).expect("written");
        spool.ends(ending.clone()).expect("written");
        for file in [spool.file().to_owned(), spool.file().with_extension("log")] {
            assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        let file = spool.file().to_owned();
        assert!(Spool::resume(&file).expect_err("held").to_string().contains("another process"));
        drop(spool);
        let again = Spool::resume(&file).expect("left");
        assert_eq!((again.origin().job.as_ref().map(|job| job.id), &again.origin().ending), (Some(7), &Some(ending)));
        again.remove().expect("removed");
        assert_eq!(fs::read_dir(folder.path().join("new")).expect("there").count(), 0);
    }
}
