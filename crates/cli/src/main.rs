//! `hostednet`, the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    hn_cli::run(std::env::args_os().collect())
}
