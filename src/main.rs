//! The `veritail` command.

use std::process::ExitCode;

use clap::Parser;
use veritail::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("veritail: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(cli.run())
}
