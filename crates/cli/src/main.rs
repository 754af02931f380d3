//! `hostednet`, the command line.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    hn_cli::run(hn_cli::args::Args::parse())
}
