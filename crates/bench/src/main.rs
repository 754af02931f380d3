//! `cargo xtask bench`: this project beside its peers, in one run.
//!
//! Everything is measured in network namespaces of its own, which are gone at the end. Every round runs every
//! subject once, in an order that is rotated from round to round; ratios are taken inside a round. Servers run on
//! one core and generators on another. Nothing here is a test: no figure makes it fail.
//!
//! | module | owns |
//! |---|---|
//! | `dhcp`, `dns`, `bringup`, `nat` | one comparison each: subjects, figures, how they are measured |
//! | `dhcpload`, `dnsload`, `knock` | the generators |
//! | `service`, `peers` | our programs, and those of others |
//! | `bed`, `machine` | the namespaces, and the machine they are on |
//! | `report`, `goals`, `document` | figures, goals, and where they are written down |
//! | `frame`, `sys` | bytes, and system calls without a safe wrapper |

mod bed;
mod bringup;
mod dhcp;
mod dhcpload;
mod dns;
mod dnsload;
mod document;
mod frame;
mod goals;
mod knock;
mod machine;
mod nat;
mod peers;
mod report;
mod service;
mod sys;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum};

use bed::Lab;
use machine::{Cores, Description, Precedence, Ticks};
use report::{Frame, Sheet, Spread, Table, number, say};

/// Compares this project with its peers, side by side in one run. Needs root.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Args {
    /// What to compare; everything when nothing is named
    #[arg(value_enum)]
    comparisons: Vec<Comparison>,
    /// Rounds; the median of them is shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Short measurements, to see that everything works; the figures are worth little
    #[arg(long)]
    quick: bool,
    /// Measure only this subject, named as in the tables (to profile it, say)
    #[arg(long, value_name = "SUBJECT")]
    only: Option<String>,
    /// Where hostednetd and hostednet are, built for release [default: beside this program]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Write the figures into this document, between its markers
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Comparison {
    Dhcp,
    Dns,
    Bringup,
    Nat,
    All,
}

/// A comparison: what it shows, and how one subject is measured once.
struct Bench {
    which: Comparison,
    frame: &'static Frame,
    measure: fn(&Lab, &str, &mut Sheet<'_>) -> Result<()>,
}

const BENCHES: [Bench; 4] = [
    Bench { which: Comparison::Dhcp, frame: &dhcp::FRAME, measure: dhcp::measure },
    Bench { which: Comparison::Dns, frame: &dns::FRAME, measure: dns::measure },
    Bench { which: Comparison::Bringup, frame: &bringup::FRAME, measure: bringup::measure },
    Bench { which: Comparison::Nat, frame: &nat::FRAME, measure: nat::measure },
];

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "network namespaces need root");
    sys::on_signal(|| {
        say("told to end: removing the namespaces");
        bed::stop();
    })?;
    peers::install()?;
    let programs = match &args.bin_dir {
        Some(folder) => folder.canonicalize().with_context(|| folder.display().to_string())?,
        None => hn_testlab::product::binaries()?,
    };
    for program in ["hostednetd", "hostednet"] {
        ensure!(programs.join(program).is_file(), "no {program} in {}", programs.display());
    }
    // Beside the programs, on a disk: leases in memory would cost nothing to make durable.
    let work = tempfile::Builder::new().prefix("bench-").tempdir_in(&programs)?;
    bed::open(work.path())?;
    let lab = Lab { programs, work: work.path().to_owned(), cores: Cores::find()?, quick: args.quick };
    if lab.cores.server == lab.cores.generator {
        say("there is only one core: servers and generators share it, and ratios mean little");
    }
    let run = run(args, &lab)?;
    let text = run.render(args)?;
    say(&format!("\n{text}"));
    if let Some(path) = &args.write {
        document::write(path, &text)?;
        say(&format!("written to {}", path.display()));
    }
    if !run.failures.is_empty() {
        bail!("{} measurements failed; see above", run.failures.len());
    }
    Ok(())
}

/// Everything a run has found out.
struct Run {
    description: Description,
    versions: Vec<String>,
    tables: Vec<Table>,
    skipped: Vec<String>,
    failures: Vec<String>,
    /// Milliseconds of the fixed work, before and after each round.
    spins: Vec<f64>,
    /// Microseconds of a small durable append, likewise.
    appends: Vec<f64>,
    stolen: f64,
    minutes: f64,
}

fn run(args: &Args, lab: &Lab) -> Result<Run> {
    let began = Instant::now();
    let wanted = |bench: &&Bench| {
        let named = |which| args.comparisons.contains(&which);
        args.comparisons.is_empty() || named(bench.which) || named(Comparison::All)
    };
    let benches: Vec<&Bench> = BENCHES.iter().filter(wanted).collect();
    let mut run = Run {
        description: Description::take(&lab.work)?,
        versions: peers::versions(),
        tables: benches.iter().map(|bench| Table::new(bench.frame)).collect(),
        skipped: Vec::new(),
        failures: Vec::new(),
        spins: Vec::new(),
        appends: Vec::new(),
        stolen: 0.0,
        minutes: 0.0,
    };
    for subject in benches.iter().flat_map(|bench| bench.frame.subjects) {
        if let Some(program) = subject.needs.filter(|program| !peers::has(program)) {
            let line = format!("NOT COMPARED: {} ({program} is not installed)", subject.name);
            if !run.skipped.contains(&line) {
                say(&line);
                run.skipped.push(line);
            }
        }
    }
    machine::pin(lab.cores.server)?;
    let _precedence = Precedence::take();
    let ticks = Ticks::read()?;
    for round in 0..args.rounds {
        run.listen(lab)?;
        for (bench, table) in benches.iter().zip(&mut run.tables) {
            let subjects = bench.frame.subjects;
            for place in 0..subjects.len() {
                let subject = &subjects[(place + round as usize) % subjects.len()];
                let asked = args.only.as_deref().is_none_or(|only| only == subject.name);
                if !asked || subject.needs.is_some_and(|program| !peers::has(program)) {
                    continue;
                }
                let started = Instant::now();
                let result = (bench.measure)(lab, subject.name, &mut table.sheet(subject.name, round));
                let time = started.elapsed().as_secs_f64();
                let what = format!("round {}, {}: {}", round + 1, bench.frame.name, subject.name);
                match result {
                    Ok(()) => say(&format!("{what}: {time:.1} s")),
                    Err(_) if bed::stopped() => bail!("told to end"),
                    Err(error) => {
                        say(&format!("{what}: FAILED: {error:#}"));
                        run.failures.push(format!("{what}: {error}"));
                    }
                }
            }
        }
        run.listen(lab)?;
    }
    run.stolen = Ticks::read()?.stolen_since(ticks);
    run.minutes = began.elapsed().as_secs_f64() / 60.0;
    Ok(run)
}

impl Run {
    /// Looks how quiet the machine is.
    fn listen(&mut self, lab: &Lab) -> Result<()> {
        self.spins.push(machine::spin());
        self.appends.extend(machine::append_times(&lab.work)?);
        Ok(())
    }

    fn render(&self, args: &Args) -> Result<String> {
        let spin = Spread::of(self.spins.iter().copied()).context("no round was run")?;
        let append = Spread::of(self.appends.iter().copied()).context("no round was run")?;
        let mut text = String::from("### Conditions\n\n");
        text.push_str(&self.description.to_string());
        text.push_str(&format!("* peers: {}\n", self.versions.join(", ")));
        text.push_str(&format!(
            "* this run: {} rounds{}, {} minutes, this project {}\n",
            args.rounds,
            if args.quick {
                " of short measurements (`--quick`), whose figures are worth little"
            } else {
                ""
            },
            number(self.minutes, 0),
            env!("CARGO_PKG_VERSION")
        ));
        text.push_str(&format!(
            "* noise: before and after each round the same work took {} ms ({}–{}), so the machine was up to {} % \
             slower than at its best; a small durable append took {} µs ({}–{}); {} % of the time was stolen by the \
             hypervisor\n",
            number(spin.median, 1),
            number(spin.least, 1),
            number(spin.greatest, 1),
            number(100.0 * (spin.greatest / spin.least - 1.0), 0),
            number(append.median, 0),
            number(append.least, 0),
            number(append.greatest, 0),
            number(self.stolen, 2)
        ));
        for line in self.skipped.iter().chain(&self.failures) {
            text.push_str(&format!("* {}\n", line.lines().next().unwrap_or_default()));
        }
        text.push_str("\nFigures are medians over the rounds, with (least–greatest); [n] where only n rounds have one.\n");
        for table in &self.tables {
            text.push('\n');
            text.push_str(&table.render(args.rounds));
        }
        text.push_str("\n### Goals and distance\n\n");
        text.push_str(&goals::render(&self.tables));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_comparison_divides_subjects_it_has() {
        for bench in &BENCHES {
            for name in bench.frame.pairs.iter().flat_map(|(ours, theirs)| [ours, theirs]) {
                assert!(bench.frame.subjects.iter().any(|subject| subject.name == *name), "{name}");
            }
        }
    }
}
