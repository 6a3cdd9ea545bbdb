//! The command line: one file a subcommand.

mod accounts;
mod bench;
mod cat;
mod client;
mod completions;
mod config;
mod demo;
mod drill;
mod exit;
mod inspect;
mod job;
mod mismatches;
mod send;
mod serve;
mod signals;
mod sources;
mod table;
mod terminal;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::api::server::tls::choose_cryptography;

/// Verified build logs: every byte a CI runner sent is recorded at the door and proven in storage; damage is found and named.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take logs from runners, and serve them to readers, until SIGTERM or Ctrl-C.
    Serve(serve::Serve),
    /// Show in a quarter of a minute what Veritail does, each claim checked.
    Demo(demo::Demo),
    Send(send::Send),
    Cat(cat::Cat),
    Job(job::Job),
    /// Show what was promised of a job's log, where every copy of it is, and what is wrong with it.
    Inspect(inspect::Inspect),
    Mismatches(mismatches::Mismatches),
    Drill(drill::Drill),
    Verify(verify::Verify),
    /// Make, list and revoke runners: whoever asks for pending jobs.
    Runner(accounts::Runner),
    /// Make, list, rotate and revoke tokens for the API.
    Token(accounts::Token),
    /// List projects.
    Project(accounts::Project),
    /// Measure a Veritail: how fast it takes logs, gives them back and moves them on, and whether they stay what they were.
    Bench(bench::Bench),
    #[command(after_help = exit::OF_OTHERS)]
    Config(config::Show),
    #[command(after_help = exit::OF_OTHERS)]
    Completions(completions::Completions),
}

/// What ends the command badly, as a sentence for whoever typed it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

impl Failed {
    fn because(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }

    /// Says it, and ends with this code.
    fn tell(&self, code: ExitCode) -> ExitCode {
        eprintln!("veritail: {self}");
        code
    }
}

impl Cli {
    /// Does what was asked; the code says how it went, where there is more to say than good or bad.
    pub async fn run(self) -> Result<ExitCode, Failed> {
        // Before the first client or server.
        choose_cryptography();
        match self.command {
            Command::Send(send) => return send.run().await,
            Command::Cat(cat) => return cat.run().await,
            Command::Job(job) => return job.run().await,
            Command::Mismatches(mismatches) => return mismatches.run().await,
            Command::Drill(drill) => return drill.run().await,
            Command::Verify(verify) => return verify.run().await,
            Command::Inspect(inspect) => return Ok(inspect.run().await),
            Command::Bench(bench) => return bench.run().await,
            Command::Config(config) => return config.run(),
            Command::Completions(completions) => return completions.run(),
            Command::Serve(serve) => serve.run().await?,
            Command::Demo(demo) => demo.run().await?,
            Command::Runner(runner) => runner.run().await?,
            Command::Token(token) => token.run().await?,
            Command::Project(project) => project.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_well_formed() {
        Cli::command().debug_assert();
    }
}
