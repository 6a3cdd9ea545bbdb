//! Where a log is written to: standard output, or a file that gets its name once it is whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cli::Failed;

/// An open output.
pub(super) enum Output {
    /// Standard output.
    Screen {
        /// Whoever read it wants no more, as `head` does once it has its lines.
        closed: bool,
    },
    /// A file under another name until it is whole.
    File {
        /// The file so far; gone when it was kept or given up.
        file: Option<NamedTempFile>,
        /// The name that it will have.
        path: PathBuf,
    },
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failed> {
        let Some(path) = path else { return Ok(Self::Screen { closed: false }) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".veritail-").tempfile_in(folder);
        let file = file.map_err(|error| Failed(format!("{}: {error}", path.display())))?;
        Ok(Self::File { file: Some(file), path: path.to_owned() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let written = match self {
            Self::Screen { closed } => {
                let written = io::stdout().write_all(bytes);
                *closed = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
                written
            }
            Self::File { file, .. } => file.as_mut().map_or(Ok(()), |file| file.write_all(bytes)),
        };
        written.map_err(|error| Failed(format!("the log cannot be written on: {error}; what was written is not all")))
    }

    /// What was written can be seen.
    pub(super) fn flush(&mut self) -> Result<(), Failed> {
        match self {
            Self::Screen { closed } => {
                let flushed = io::stdout().flush();
                *closed = flushed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
                flushed.map_err(Failed::because)
            }
            Self::File { .. } => Ok(()),
        }
    }

    /// Nobody reads it any more: nothing is wrong, and there is nobody to tell.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Screen { closed: true })
    }

    /// The log is whole.
    pub(super) fn keep(self) -> Result<(), Failed> {
        let Self::File { file: Some(file), path } = self else { return Ok(()) };
        let failed = |error: io::Error| Failed(format!("{}: {error}", path.display()));
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// It is not; says what becomes of what was written.
    pub(super) fn abandon(&mut self) -> String {
        match self {
            Self::Screen { .. } => "what was written is not all".to_owned(),
            Self::File { file, path } => {
                *file = None;
                format!("{} was not written", path.display())
            }
        }
    }
}
