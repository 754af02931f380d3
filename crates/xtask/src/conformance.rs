//! `cargo xtask conformance`: is every row of the contract proved by a test that passes?
//!
//! The sources name rows ([`collect`]), running tests record them, and both are compared ([`verdict`]).

pub(crate) mod collect;
mod document;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::test;
use crate::workspace::{Workspace, say};
use collect::Site;
use verdict::{Evidence, Kind, Problem, Verdict};

/// How.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Only write docs/conformance.md
    #[arg(long)]
    write: bool,
    /// Judge what `HOSTEDNET_EVIDENCE=FILE cargo xtask test` wrote down, instead of running the tests that name rows
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
}

#[expect(clippy::print_stdout, reason = "the closing line is the interface")]
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let sites = collect::collect(workspace)?;
    if options.write {
        let path = workspace.root().join(document::PATH);
        std::fs::write(&path, document::write(&document::Notes::own()?, &sites))?;
        say(&format!("wrote {}", path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let (file, tests) = match &options.evidence {
        Some(file) => (file.clone(), ExitCode::SUCCESS),
        None => {
            let file = fresh(workspace)?;
            (file.clone(), test::run(workspace, &test::Selection::naming(&sites, file))?)
        }
    };
    let verdict = judge(workspace, &sites, &file)?;
    print!("{}", verdict.table());
    println!("{}", verdict.line());
    let clean = verdict.is_whole() && tests == ExitCode::SUCCESS;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a run of all tests has proved, for CI; true if everything.
///
/// # Errors
/// If the sources or the evidence cannot be read.
#[expect(clippy::print_stdout, reason = "the closing line is the interface")]
pub(crate) fn after(workspace: &Workspace, file: &Path) -> Result<bool> {
    let verdict = judge(workspace, &collect::collect(workspace)?, file)?;
    print!("{}", verdict.table());
    println!("conformance: {}", verdict.line());
    Ok(verdict.is_whole())
}

/// An empty file for the evidence of a run.
pub(crate) fn fresh(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target().join("lab");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("evidence.tsv");
    std::fs::write(&file, "")?;
    Ok(file)
}

fn judge(workspace: &Workspace, sites: &[Site], file: &Path) -> Result<Verdict> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut verdict = verdict::judge(sites, &Evidence::read(&text));
    verdict.problems.extend(stale(workspace, sites)?);
    verdict.problems.sort();
    Ok(verdict)
}

/// Fails if the document is not what the sources and the notes say.
///
/// # Errors
/// Says what to do.
pub(crate) fn current(workspace: &Workspace) -> Result<()> {
    let stale = stale(workspace, &collect::collect(workspace)?)?;
    anyhow::ensure!(
        stale.is_none(),
        "{} is not current; run `cargo xtask conformance --write`",
        document::PATH
    );
    Ok(())
}

fn stale(workspace: &Workspace, sites: &[Site]) -> Result<Option<Problem>> {
    let wanted = document::write(&document::Notes::own()?, sites);
    let there = std::fs::read_to_string(workspace.root().join(document::PATH)).unwrap_or_default();
    Ok((there != wanted).then(|| Problem {
        kind: Kind::Document,
        place: document::PATH.to_owned(),
        text: "is not current; run `cargo xtask conformance --write`".to_owned(),
    }))
}
