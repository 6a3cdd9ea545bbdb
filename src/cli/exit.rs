//! What the exit codes of all commands mean.

use std::process::ExitCode;

/// Something went wrong that has no code of its own.
pub(super) const OTHER: u8 = 1;
/// The log is not proven yet: it is kept, and can be sent on.
pub(super) const NOT_YET: u8 = 3;
/// The server does not take it, and will not.
pub(super) const REFUSED: u8 = 4;
/// The log is not as it was promised.
pub(super) const NOT_AS_RECORDED: u8 = 5;

/// For the end of `--help`.
pub(super) const OF_SEND: &str = "\
Exit codes:
  0  proven: every byte is stored, was read back, and the whole equals what was sent
  1  something else went wrong before anything was sent
  2  the command line is wrong
  3  not proven in time; the log is kept in the spool, and the message says how to go on
  4  the server refuses the log: no such job, wrong token, job is over, log too long; the spool is kept
  5  the job ended and its verdict is not `verified`; the spool is kept";

/// For the end of `--help`.
pub(super) const OF_CAT: &str = "\
Exit codes:
  0  the whole log was written, and its checksum is the recorded one where the job has ended
  1  something else went wrong: no such job, no answer, no place to write to, or a reader such as `head` that wants no more
  2  the command line is wrong
  5  the log broke off because a part is not as it was recorded, or the whole is not; what was written is not all";

/// Something that was verified is not as recorded.
pub(super) const MISMATCHES: u8 = 1;
/// Not everything could be verified. Wrong arguments end with the same.
pub(super) const NOT_CHECKED: u8 = 2;

/// For the end of `--help`.
pub(super) const OF_VERIFY: &str = "\
Exit codes:
  0  everything was looked at, and is as recorded
  1  something is not as recorded, or was not and is healed; the table says what
  2  not everything could be looked at: a store or the server was away, the run was stopped, something changed with every
     look, or the command line is wrong";

/// For the end of `--help`, of commands that do one thing.
pub(super) const OF_OTHERS: &str = "\
Exit codes:
  0  done
  1  something went wrong; the message says what to do next
  2  the command line is wrong";

/// For the end of `--help`.
pub(super) const OF_BENCH: &str = "\
Exit codes:
  0  measured, and everything that was written came out as it went in
  1  something was not proven or not as it was written, or the run could not be made; the message says what
  2  the command line is wrong";

/// A code for the shell.
pub(super) fn code(number: u8) -> ExitCode {
    ExitCode::from(number)
}
