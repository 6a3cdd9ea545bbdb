//! `veritail bench`: load as runners and readers make it, what it costs, and whether every byte came out as it went in.
//!
//! Speed without proof is no figure: whatever was written is read back and compared, and a run that finds a difference
//! fails. Figures are of one machine at one time; only ratios of one run (`--baseline`) say something of the program.

mod bare;
mod clock;
mod compare;
mod content;
mod counts;
mod flips;
mod idle;
mod ingest;
mod latency;
mod load;
mod migrate;
mod process;
mod progress;
mod proof;
mod read;
mod report;
mod runner;
mod size;
mod target;
mod verify;
mod wire;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::signals::Signals;
use super::{Failed, exit};

/// Measure a Veritail: how fast it takes logs, gives them back and moves them on, and whether they stay what they were.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    #[command(after_help = exit::OF_BENCH)]
    Ingest(ingest::Ingest),
    #[command(after_help = exit::OF_BENCH)]
    Read(read::Read),
    #[command(after_help = exit::OF_BENCH)]
    Migrate(migrate::Migrate),
    #[command(after_help = exit::OF_BENCH)]
    Idle(idle::Idle),
    #[command(after_help = exit::OF_BENCH)]
    Verify(verify::Verify),
}

impl Bench {
    pub(super) async fn run(self) -> Result<ExitCode, Failed> {
        let mut signals = Signals::listen().map_err(Failed::because)?;
        let proven = match self.what {
            What::Ingest(ingest) => ingest.run(&mut signals).await?,
            What::Read(read) => read.run(&mut signals).await?,
            What::Migrate(migrate) => migrate.run(&mut signals).await?,
            What::Idle(idle) => idle.run(&mut signals).await?,
            What::Verify(verify) => verify.run(&mut signals).await?,
        };
        Ok(if proven { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
