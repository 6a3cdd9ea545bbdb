//! The command line: one file a subcommand.

mod accounts;
mod client;
mod demo;
mod inspect;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Show what was promised of a job's log, where every copy of it is, and what is wrong with it.
    Inspect(inspect::Inspect),
    /// Make, list and revoke runners: whoever asks for pending jobs.
    Runner(accounts::Runner),
    /// Make, list, rotate and revoke tokens for the API.
    Token(accounts::Token),
    /// List projects.
    Project(accounts::Project),
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
    /// Does what was asked; whatever ends it badly is said on standard error.
    pub async fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(serve) => serve.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Inspect(inspect) => return inspect.run().await,
            Command::Runner(runner) => runner.run().await,
            Command::Token(token) => token.run().await,
            Command::Project(project) => project.run().await,
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => failed.tell(ExitCode::FAILURE),
        }
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
