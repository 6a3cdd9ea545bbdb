//! `veritail completions SHELL`: what a shell needs to complete this command line.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Failed};

/// Print what a shell needs to complete `veritail`.
///
/// For bash: `veritail completions bash > ~/.local/share/bash-completion/completions/veritail`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "veritail", &mut script);
        // Somebody may only look at the beginning.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
        Ok(ExitCode::SUCCESS)
    }
}
