//! `veritail send`: standard input becomes a job's log, with the care of a runner.
//!
//! What is read goes to a file first (`spool`), and only what that file's disk has is sent. The file stays until the server
//! has proven the whole, so whatever is lost on the way, or behind the server's door, can be sent again.

mod intake;
mod spool;
mod upload;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::client::Connection;
use super::signals::Signals;
use super::{Failed, exit};
use crate::config::value::Span;
use crate::seams::real::SystemClock;
use crate::seams::within;
use intake::{End, Intake};
use spool::{Ending, Origin, Spool};
use upload::{Outcome, Upload};
use wire::Wire;

/// Send standard input as a job's log, and say whether it is proven.
///
/// `some-command 2>&1 | veritail send --project group/demo --name build` makes a job and streams to it. What is read is kept
/// in a spool folder until the server has stored it, read it back and found it equal; where the server is away or loses
/// something, it is sent again from there. With `set -o pipefail` a pipeline fails if either side does.
#[derive(Debug, Args)]
#[command(after_help = exit::OF_SEND)]
pub(super) struct Send {
    /// The project's path; it is made if there is none.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["job", "resume"])]
    project: Option<String>,
    /// The job's name.
    #[arg(long, required_unless_present_any = ["job", "resume"])]
    name: Option<String>,
    /// Send to a job that there is, instead of making one.
    #[arg(long, value_name = "ID", requires = "job_token", conflicts_with_all = ["project", "name", "resume"])]
    job: Option<i64>,
    /// The token of that job.
    #[arg(long, value_name = "TOKEN", env = "VERITAIL_JOB_TOKEN", hide_env_values = true)]
    job_token: Option<String>,
    /// Send on what an earlier run has left in the spool. Standard input is not read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["project", "name", "tee"])]
    resume: Option<PathBuf>,
    /// How the job ended, once standard input has. An interrupt makes it `canceled`.
    #[arg(long, value_enum, default_value_t = Ended::Success)]
    state: Ended,
    /// The exit code of what ran.
    #[arg(long, value_name = "CODE")]
    exit_code: Option<i64>,
    /// Write what is read to standard output too.
    #[arg(long)]
    tee: bool,
    /// How long to try once standard input has ended. While it has not, trying never ends.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    give_up_after: Span,
    /// Where logs are kept until they are proven [default: ~/.local/state/veritail, as `XDG_STATE_HOME` has it].
    #[arg(long, value_name = "FOLDER", env = "VERITAIL_SPOOL_DIR")]
    spool_dir: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
    /// Print a JSON document about how it went.
    #[arg(long, conflicts_with = "tee")]
    json: bool,
}

/// How a job may have ended.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ended {
    Success,
    Failed,
    Canceled,
}

/// After an interrupt: how long the other side of the pipe may still write its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

impl Send {
    pub(super) async fn run(mut self) -> Result<ExitCode, Failed> {
        let mut signals = Signals::listen().map_err(Failed::because)?;
        let spool = match &self.resume {
            Some(file) => Spool::resume(file)?,
            None => self.begin()?,
        };
        let intake = if spool.origin().ending.is_some() {
            Intake::done(&spool)?
        } else if self.resume.is_some() {
            Intake::broken_off(&spool)?
        } else {
            Intake::of_stdin(&spool, self.tee)?
        };
        let intake = Arc::new(intake);
        let wire = Wire::new(&self.connection, spool.origin(), self.resume.is_some())?;
        let ended = self.ending();
        let mut upload = Upload::new(wire, spool, intake.taken(), ended, self.give_up_after.0);
        let outcome = tokio::select! {
            outcome = upload.run() => Some(outcome),
            () = interrupted(&mut signals, &intake) => None,
        };
        let outcome = outcome.unwrap_or_else(|| Outcome::NotYet("it was interrupted twice".to_owned()));
        self.tell(&upload, outcome)
    }

    /// A spool for a new log.
    fn begin(&mut self) -> Result<Spool, Failed> {
        let folder = self.spool_dir.take().unwrap_or_else(spool::default_folder);
        let job = self.job.zip(self.job_token.take());
        let origin = Origin {
            url: self.connection.url.trim_end_matches('/').to_owned(),
            project: self.project.take(),
            name: self.name.take(),
            job: job.map(|(id, token)| spool::Job { id, token }),
            ending: None,
        };
        Spool::create(&folder, origin)
    }

    fn ending(&self) -> Ending {
        let state = match self.state {
            Ended::Success => "success",
            Ended::Failed => "failed",
            Ended::Canceled => "canceled",
        };
        Ending { state: state.to_owned(), exit_code: self.exit_code, size: 0, crc32: 0 }
    }

    /// Says how it went, and what to do next.
    fn tell(&self, upload: &Upload, outcome: Outcome) -> Result<ExitCode, Failed> {
        let spool = &upload.spool;
        let job = spool.origin().job.as_ref().map(|job| job.id);
        let named = job.map_or_else(|| "the job".to_owned(), |job| format!("job {job}"));
        let (ending, resume) = (spool.origin().ending.as_ref(), spool.file().display());
        let (size, crc32) = ending.map_or((None, None), |end| (Some(end.size), Some(format!("{:08x}", end.crc32))));
        let (code, verdict, says) = match outcome {
            Outcome::Proven => {
                let crc32 = crc32.clone().unwrap_or_default();
                (0, "verified", format!("{named}: {} bytes, proven (crc32 {crc32})", size.unwrap_or_default()))
            }
            Outcome::NotYet(why) => {
                let says =
                    format!("{named} is not proven: {why}\nveritail: go on with: veritail send --resume {resume}");
                (exit::NOT_YET, "pending", says)
            }
            Outcome::Refused(why) => (exit::REFUSED, "refused", format!("{named}: {why}; the log is kept: {resume}")),
            Outcome::Verdict(verdict) => {
                let says = format!("{named} ended, but its verdict is {verdict}; the log is kept: {resume}");
                let code = exit::NOT_AS_RECORDED;
                eprintln!("veritail: {says}");
                self.print(
                    &json!({ "job": job, "verdict": verdict, "size": size, "crc32": crc32, "spool": spool.file() }),
                );
                return Ok(exit::code(code));
            }
        };
        eprintln!("veritail: {says}");
        let kept = if code == 0 { None } else { Some(spool.file()) };
        self.print(&json!({ "job": job, "verdict": verdict, "size": size, "crc32": crc32, "spool": kept }));
        if code == 0 {
            spool.remove()?;
        }
        Ok(exit::code(code))
    }

    fn print(&self, document: &serde_json::Value) {
        if self.json {
            println!("{document:#}");
        }
    }
}

/// After the first signal the log ends, with what still comes in a moment; returns at the second.
async fn interrupted(signals: &mut Signals, intake: &Intake) {
    signals.next().await;
    intake.cancel();
    let mut taken = intake.taken();
    let ends = taken.wait_for(|taken| taken.end.is_some());
    let ended = within(&SystemClock, LAST_LINES, async { ends.await.is_ok() }).await;
    if ended.is_none() {
        intake.stop(End::Canceled);
    }
    signals.next().await;
}
