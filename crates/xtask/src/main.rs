//! `cargo xtask`: the one entry to every chore of this repository.
//!
//! Each chore is a module; this file holds only the grammar. Chores print what they do, run other programs in
//! the foreground, and end with the first failure.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to people")]

mod check;
mod conformance;
mod demo;
mod examples;
mod layers;
mod man;
mod packages;
mod test;
mod tidy;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use hn_testlab::radio::Hardware;
use hn_testlab::vm::Machine;

use workspace::Workspace;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Show the whole service at work: a machine with radios, an upstream network, two devices
    Demo,
    /// Run the tests of all four tiers, or of one: t0, t1, t2, t3
    Test(test::Selection),
    /// Prove the rows of the contract: run the tests that name rows, end in `148/148`
    Conformance(conformance::Options),
    /// Compare this project with its peers
    Bench {
        /// Arguments for the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Everything CI checks: fmt, clippy, doc, deny, tidy, test, conformance
    Ci,
    /// Formatting
    Fmt,
    /// Lints, warnings denied
    Clippy,
    /// Documentation, private items included, warnings denied
    Doc,
    /// Licences, duplicates, sources of the dependencies (installs cargo-deny below target/ if needed)
    Deny,
    /// What other tools do not check: file lengths, words in comments, names in ARCHITECTURE.md
    Tidy,
    /// Man pages and completions in dist/, made from the grammar of the command line
    Man(man::Options),
    /// Install the distribution's packages that the chores need
    Setup,
    /// Run a command on a machine with radios
    Vm(VmOptions),
}

#[derive(Args)]
struct VmOptions {
    /// Number of radios, phy0 and on
    #[arg(long, default_value_t = 4)]
    radios: u32,
    /// Channels each radio can use at once; with 2 a station and an access point may differ
    #[arg(long, default_value_t = 1)]
    channels: u32,
    /// Memory in MiB
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// Seconds for the whole run
    #[arg(long, default_value_t = 300)]
    timeout: u64,
    /// A folder the command can write to: it is /mnt/out inside
    #[arg(long)]
    out: Option<PathBuf>,
    /// The command; its exit status becomes ours
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match run(Cli::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match chore {
        Chore::Demo => return demo::run(&workspace),
        Chore::Test(selection) => return test::run(&workspace, &selection),
        Chore::Conformance(options) => return conformance::run(&workspace, &options),
        Chore::Bench { arguments } => check::bench(&workspace, &arguments)?,
        Chore::Ci => return check::ci(&workspace),
        Chore::Fmt => check::fmt(&workspace)?,
        Chore::Clippy => check::clippy(&workspace)?,
        Chore::Doc => check::doc(&workspace)?,
        Chore::Deny => check::deny(&workspace)?,
        Chore::Tidy => tidy::run(&workspace)?,
        Chore::Man(options) => man::run(&workspace, &options)?,
        Chore::Setup => packages::install(packages::EVERYTHING)?,
        Chore::Vm(options) => return vm(&workspace, options),
    }
    Ok(ExitCode::SUCCESS)
}

fn vm(workspace: &Workspace, options: VmOptions) -> Result<ExitCode> {
    packages::install(packages::MACHINE)?;
    let machine = Machine {
        hardware: Hardware { radios: options.radios, channels: options.channels },
        memory_mib: options.memory,
        limit: Duration::from_secs(options.timeout),
        out: options.out,
        ..Machine::default()
    };
    let ended = machine.run(&workspace.image()?, &options.command, &mut workspace::to_stdout)?;
    Ok(ExitCode::from(u8::try_from(ended.status).unwrap_or(1)))
}
