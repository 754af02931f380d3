//! The service. `hostednetd --help` says what it takes; `hostednetd worker` is for itself only.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use hn_daemon::{
    config::Config,
    run::{self, Lock, Paths},
};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Wireless hosted network and Internet connection sharing.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// The configuration; policy.toml is looked for beside it.
    #[arg(long, value_name = "FILE", default_value = "/etc/hostednet/hostednet.toml")]
    config: PathBuf,
    /// Where settings, leases and the journal of changes are kept.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/hostednet")]
    state_dir: PathBuf,
    /// Where the socket `bus` is made.
    #[arg(long, value_name = "DIR", default_value = "/run/hostednet")]
    runtime_dir: PathBuf,
    /// Run on the simulated platform; needs no privilege and changes nothing on the machine.
    #[arg(long)]
    simulate: bool,
    /// End, with everything undone, when standard input is closed.
    #[arg(long)]
    lifeline: bool,
    /// Undo what a killed service left behind, and end.
    #[arg(long, conflicts_with = "simulate")]
    undo: bool,
    #[command(subcommand)]
    command: Option<Internal>,
}

#[derive(Debug, Subcommand)]
enum Internal {
    /// The process without privilege that runs the protocol engines. Started by the service.
    #[command(hide = true)]
    Worker {
        /// The user to become.
        #[arg(long)]
        uid: u32,
        /// The group to become.
        #[arg(long)]
        gid: u32,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    // The worker gives up everything it holds: it must not open the journal's socket first.
    start_logging(args.command.is_none());
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> anyhow::Result<()> {
    if let Some(Internal::Worker { uid, gid }) = &args.command {
        return Ok(hn_worker::main(hn_worker::Identity { uid: *uid, gid: *gid })?);
    }
    let config = Config::load(&args.config)?;
    let paths = Paths {
        config: args.config.clone(),
        state: args.state_dir.clone(),
        runtime: args.runtime_dir.clone(),
    };
    paths.create()?;
    let _lock = Lock::take(&paths.state)?;
    if args.simulate {
        let simulated = hn_sim::SimConfig { console: Some(paths.runtime.join("sim")) };
        return run::serve(hn_sim::SimPlatform::new(simulated), &config, &paths, args.lifeline);
    }
    let linux = run::linux_config(&config, &paths);
    if args.undo {
        return Ok(hn_linux::undo(&linux)?);
    }
    run::serve(hn_linux::LinuxPlatform::new(linux), &config, &paths, args.lifeline)
}

/// To the journal when the service manager reads it, else to standard error.
fn start_logging(service: bool) {
    let filter =
        EnvFilter::try_from_env("HOSTEDNET_LOG").unwrap_or_else(|_| EnvFilter::new("info,zbus=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    let managed = service && std::env::var_os("JOURNAL_STREAM").is_some();
    let journal = managed.then(|| tracing_journald::layer().ok()).flatten();
    match journal {
        Some(journal) => registry.with(journal).init(),
        None => {
            let colours = std::io::stderr().is_terminal();
            let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
            registry.with(layer.with_target(false)).init();
        }
    }
}
