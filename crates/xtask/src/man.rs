//! `cargo xtask man`: man pages and completions of the command line, made from its grammar into `dist/`, beside the
//! pages that people write there.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use hn_testlab::tier;

use crate::workspace::{Workspace, must, say};

/// How.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Options {
    /// Only check that they are current and that the readers of man pages find no fault with them
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.check {
        return current(workspace);
    }
    make(workspace, &workspace.root().join("dist"))
}

/// Fails when a file in `dist/` is not what the grammar makes, or when mandoc or man complain about a page.
pub(crate) fn current(workspace: &Workspace) -> Result<()> {
    let fresh = workspace.target().join("dist");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    make(workspace, &fresh)?;
    let dist = workspace.root().join("dist");
    let mut complaints = Vec::new();
    for folder in ["man", "completions"] {
        let made = names(&fresh.join(folder))?;
        for name in &made {
            let path = Path::new(folder).join(name);
            if std::fs::read(dist.join(&path)).ok() != Some(std::fs::read(fresh.join(&path))?) {
                complaints.push(format!("dist/{} is not current", path.display()));
            }
        }
        // Section 1 is made; what is there and was not made belongs to a command that is gone.
        let gone = names(&dist.join(folder))?;
        let gone =
            gone.iter().filter(|name| (folder != "man" || name.ends_with(".1")) && !made.contains(name));
        complaints.extend(gone.map(|name| format!("dist/{folder}/{name} belongs to no command")));
    }
    for page in names(&dist.join("man"))? {
        complaints.extend(lint(&dist.join("man"), &page)?);
    }
    for complaint in &complaints {
        say(complaint);
    }
    ensure!(complaints.is_empty(), "{} complaints; `cargo xtask man` makes the pages", complaints.len());
    Ok(())
}

fn make(workspace: &Workspace, folder: &Path) -> Result<()> {
    let mut command = workspace.cargo(&["run", "--locked", "--quiet", "-p", "hn-cli", "--", "man", "--to"]);
    command.arg(folder);
    must(command)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// What the readers of man pages that are installed complain about.
fn lint(folder: &Path, page: &str) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let link = std::fs::read_to_string(folder.join(page))?.starts_with(".so ");
    if link {
        return Ok(complaints);
    }
    if let Some(mandoc) = tier::program("mandoc") {
        let mut command = Command::new(mandoc);
        command.args(["-T", "lint", "-W", "warning"]).arg(page).current_dir(folder);
        complaints.extend(told(&mut command)?);
    }
    if let Some(man) = tier::program("man") {
        let mut command = Command::new(man);
        command.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(page).current_dir(folder);
        command.env("LC_ALL", "C.UTF-8").stdout(std::process::Stdio::null());
        complaints.extend(told(&mut command)?);
    }
    Ok(complaints)
}

fn told(command: &mut Command) -> Result<Vec<String>> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let both = [output.stdout, output.stderr].concat();
    // The generator puts one paragraph too many around lists of values; nobody sees it.
    let harmless = |line: &&str| line.contains("skipping paragraph macro");
    let lines = String::from_utf8_lossy(&both);
    Ok(lines.lines().filter(|line| !harmless(line)).map(str::to_owned).collect())
}
