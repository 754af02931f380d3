//! Checks that other programs do: formatting, lints, documentation, dependencies; and all of them in CI's order.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;
use hn_testlab::tier;

use crate::workspace::{Workspace, must, say};
use crate::{conformance, man, packages, test, tidy};

pub(crate) fn fmt(workspace: &Workspace) -> Result<()> {
    must(workspace.cargo(&["fmt", "--all", "--check"]))
}

pub(crate) fn clippy(workspace: &Workspace) -> Result<()> {
    must(workspace.cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

pub(crate) fn doc(workspace: &Workspace) -> Result<()> {
    let mut command =
        workspace.cargo(&["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    must(command)
}

pub(crate) fn bench(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    must(workspace.cargo(&["build", "--locked", "--release", "-p", "hn-daemon", "-p", "hn-cli"]))?;
    let mut command = workspace.cargo(&["run", "--locked", "--release", "-p", "hn-bench", "--"]);
    command.args(arguments);
    must(command)
}

/// Licences, bans and sources. The advisory database needs a network that CI machines may not have: run
/// `cargo deny check advisories` by hand.
pub(crate) fn deny(workspace: &Workspace) -> Result<()> {
    let program = cargo_deny(workspace)?;
    let mut command = Command::new(program);
    command
        .args(["--locked", "--offline", "check", "bans", "licenses", "sources"])
        .current_dir(workspace.root());
    must(command)
}

/// cargo-deny: the installed one, else one built (about two minutes) and kept below `target/tools`.
fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(program) = tier::program("cargo-deny") {
        return Ok(program);
    }
    let folder = workspace.target().join("tools");
    let program = folder.join("bin/cargo-deny");
    if !program.exists() {
        say("building cargo-deny once");
        let mut install = workspace.cargo(&["install", "cargo-deny", "--locked", "--quiet", "--root"]);
        install.arg(&folder).env("CARGO_TARGET_DIR", folder.join("build"));
        must(install)?;
        // The build's objects are ten times the program.
        let _ = std::fs::remove_dir_all(folder.join("build"));
    }
    Ok(program)
}

/// Everything, in the order that finds mistakes soonest. The tests come last, once: what they recorded on the way is
/// judged when they are through.
pub(crate) fn ci(workspace: &Workspace) -> Result<ExitCode> {
    packages::install(packages::EVERYTHING)?;
    type Check = fn(&Workspace) -> Result<()>;
    let checks: [(&str, Check); 7] = [
        ("fmt", fmt),
        ("tidy", tidy::run),
        ("conformance.md", conformance::current),
        ("clippy", clippy),
        ("doc", doc),
        ("man", man::current),
        ("deny", deny),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        let started = Instant::now();
        let result = check(workspace);
        say(&format!(
            "{name}: {} in {:.0} s",
            if result.is_ok() { "clean" } else { "FAILED" },
            started.elapsed().as_secs_f64()
        ));
        if let Err(error) = result {
            say(&format!("{error:#}"));
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        say(&format!("not clean: {}", failed.join(", ")));
    }
    let evidence = conformance::fresh(workspace)?;
    let tests = test::run(workspace, &test::Selection::everything_promised(evidence.clone()))?;
    let proved = conformance::after(workspace, &evidence)?;
    Ok(if failed.is_empty() && proved { tests } else { ExitCode::FAILURE })
}
