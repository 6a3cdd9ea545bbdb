//! `veritail verify`: certain traces are verified now, by a running server or in this process.

mod findings;
mod place;
mod progress;
mod runs;
mod status;
mod target;
mod watch;
mod which;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::place::Place;
use self::target::Target;
use self::watch::{Interrupt, watch};
use self::which::Which;
use super::{Failed, exit};

/// Verify logs now: every copy of every chunk against what was recorded at the door, and the whole.
///
/// A running server does it (`--url`); without one, this process does it over the stores of `--data-dir` or `--config`. It goes
/// on beyond the first problem. Ctrl-C stops the run.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = exit::OF_VERIFY)]
pub(super) struct Verify {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    target: Target,
    /// Begin the run and return; see `veritail verify watch`.
    #[arg(long, conflicts_with_all = ["data_dir", "config"])]
    detach: bool,
    /// Print JSON lines: a `mismatch` each, and the `run` at the end.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = exit::OF_OTHERS)]
    Runs(runs::List),
    #[command(after_help = exit::OF_VERIFY)]
    Watch(runs::Watch),
    #[command(after_help = exit::OF_OTHERS)]
    Stop(runs::Stop),
    #[command(after_help = exit::OF_OTHERS)]
    Status(status::Show),
}

impl Verify {
    pub(super) async fn run(self) -> Result<ExitCode, Failed> {
        match self.command {
            Some(Command::Runs(list)) => list.run().await?,
            Some(Command::Stop(stop)) => stop.run().await?,
            Some(Command::Status(show)) => show.run().await?,
            Some(Command::Watch(watch)) => return Ok(checked(watch.run().await)),
            None => return Ok(checked(self.verify().await)),
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn verify(self) -> Result<ExitCode, Failed> {
        let place = self.target.open().await?;
        let done = Self::verify_at(&place, &self.which, self.detach, self.json).await;
        place.close().await;
        done
    }

    async fn verify_at(place: &Place, which: &Which, detach: bool, json: bool) -> Result<ExitCode, Failed> {
        let run = place.start(which).await?;
        if !detach {
            return watch(place, run, Interrupt::Stops, which, json).await;
        }
        if json {
            println!("{}", serde_json::json!({ "run": run.document }));
        } else {
            println!("run {} has begun; see `veritail verify watch {}`", run.id, run.id);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whatever went wrong, not everything was looked at.
fn checked(done: Result<ExitCode, Failed>) -> ExitCode {
    done.unwrap_or_else(|failed| failed.tell(exit::code(exit::NOT_CHECKED)))
}
