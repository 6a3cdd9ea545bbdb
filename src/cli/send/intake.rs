//! Standard input, read into the spool by a thread of its own: it goes on while the server is away, so that whatever writes
//! to the pipe never waits for the network.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crc32fast::Hasher;
use tokio::sync::watch;

use super::spool::Spool;
use crate::cli::Failed;

/// How far the log is.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// Bytes in the spool.
    pub(super) size: u64,
    /// Their checksum.
    pub(super) crc32: Hasher,
    /// How it ended, once it has.
    pub(super) end: Option<End>,
}

/// Why there will be no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Standard input ended.
    Whole,
    /// Somebody interrupted.
    Canceled,
    /// It cannot be read or kept any more, or an earlier run was killed while it read.
    Broken(String),
}

/// Reads for as long as there is something to read.
pub(super) struct Intake {
    taken: watch::Sender<Taken>,
    canceled: Arc<AtomicBool>,
    /// Held while bytes are added: after [`stop`](Self::stop) none are.
    stopped: Arc<Mutex<bool>>,
}

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

impl Intake {
    /// Begins to read standard input.
    pub(super) fn of_stdin(spool: &Spool, tee: bool) -> Result<Self, Failed> {
        let log = spool.log()?;
        let intake = Self::new(Taken::default());
        let (taken, canceled, stopped) = (intake.taken.clone(), intake.canceled.clone(), intake.stopped.clone());
        let reading = move || {
            let end = match read(&log, tee, &taken, &stopped) {
                Ok(()) if canceled.load(Ordering::SeqCst) => End::Canceled,
                Ok(()) => End::Whole,
                Err(broken) => End::Broken(broken),
            };
            taken.send_modify(|taken| taken.end = taken.end.take().or(Some(end)));
        };
        std::thread::Builder::new().name("stdin".to_owned()).spawn(reading).map_err(Failed::because)?;
        Ok(intake)
    }

    /// A log that had ended when an earlier run stopped sending it.
    pub(super) fn done(spool: &Spool) -> Result<Self, Failed> {
        let size = spool.origin().ending.as_ref().map_or(0, |ending| ending.size);
        let crc32 = checksum(spool, Some(size))?.1;
        if spool.origin().ending.as_ref().is_none_or(|ending| ending.crc32 != crc32.clone().finalize()) {
            return Err(Failed(format!("{}: the log beside it is not as it was written", spool.file().display())));
        }
        Ok(Self::new(Taken { size, crc32, end: Some(End::Whole) }))
    }

    /// A log that an earlier run was killed over.
    pub(super) fn broken_off(spool: &Spool) -> Result<Self, Failed> {
        let (size, crc32) = checksum(spool, None)?;
        let end = End::Broken("an earlier run ended before its log did".to_owned());
        Ok(Self::new(Taken { size, crc32, end: Some(end) }))
    }

    fn new(taken: Taken) -> Self {
        Self { taken: watch::channel(taken).0, canceled: Arc::default(), stopped: Arc::default() }
    }

    /// To see how far it is.
    pub(super) fn taken(&self) -> watch::Receiver<Taken> {
        self.taken.subscribe()
    }

    /// However it ends now, it was canceled.
    pub(super) fn cancel(&self) {
        self.canceled.store(true, Ordering::SeqCst);
    }

    /// Takes no more.
    pub(super) fn stop(&self, end: End) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.taken.send_modify(|taken| taken.end = taken.end.take().or(Some(end)));
    }
}

/// Reads to the end, or until told to stop.
fn read(mut log: &File, mut tee: bool, taken: &watch::Sender<Taken>, stopped: &Mutex<bool>) -> Result<(), String> {
    let mut piece = vec![0; PIECE];
    let mut stdin = io::stdin().lock();
    loop {
        let size = match stdin.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("standard input cannot be read: {error}")),
        };
        let bytes = piece.get(..size).unwrap_or_default();
        {
            let stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            if *stopped {
                return Ok(());
            }
            log.write_all(bytes).map_err(|error| format!("the spool takes no more: {error}"))?;
            taken.send_modify(|taken| {
                taken.crc32.update(bytes);
                taken.size += bytes.len() as u64;
            });
        }
        // Who does not listen any more is no reason to lose the log.
        tee = tee && io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()).is_ok();
    }
}

/// Size and checksum of the log in a spool, or of its first bytes.
fn checksum(spool: &Spool, first: Option<u64>) -> Result<(u64, Hasher), Failed> {
    let failed = |error: io::Error| Failed(format!("the log beside {}: {error}", spool.file().display()));
    let mut log = spool.log()?;
    log.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut log = log.take(first.unwrap_or(u64::MAX));
    let (mut size, mut crc32, mut piece) = (0, Hasher::new(), vec![0; PIECE]);
    loop {
        match log.read(&mut piece).map_err(failed)? {
            0 => return Ok((size, crc32)),
            read => {
                crc32.update(piece.get(..read).unwrap_or_default());
                size += read as u64;
            }
        }
    }
}
