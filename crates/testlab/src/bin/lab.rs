//! `lab`: what runs inside the lab's VM. `cargo xtask test t3` and `cargo xtask demo` start it there.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to people")]

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use hn_testlab::{demo, scenario, vm};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("list", [])) => {
            for scenario in scenario::all() {
                println!("{}", scenario.name);
            }
            Ok(())
        }
        Some(("play", [name])) => scenario::play(scenario::find(name)?),
        Some(("run", [lane, again, names @ ..])) => play_all(lane, again, names),
        Some(("demo", [])) => {
            demo::tell(Path::new(vm::OUT), std::env::var("LAB_COLOR").is_ok_and(|value| value == "1"))
        }
        _ => bail!("usage: lab demo | list | play SCENARIO | run LANE AGAIN SCENARIO..."),
    }
}

/// Plays each scenario that no other machine has taken, and appends its outcome, one JSON object a line, to
/// `LANE.jsonl` for the host. An earlier boot of this machine has taken and begun `again`.
fn play_all(lane: &str, again: &str, names: &[String]) -> Result<()> {
    let out = Path::new(vm::OUT);
    let path = out.join(format!("{lane}.jsonl"));
    let mut results = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    // Whoever makes the folder has it: the host's file system decides that for all machines.
    let mut take = |name: &str| match std::fs::create_dir(out.join("taken").join(name)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(name == again),
        Err(error) => Err(error).with_context(|| format!("cannot take {name}")),
    };
    scenario::play_all(names, &mut take, &mut |outcome| {
        let word = match (&outcome.failure, outcome.unfinished) {
            (Some(_), _) => "FAIL",
            (None, true) => "BOOT",
            (None, false) => "PASS",
        };
        println!("{word} [{:>7.1} s] {}", outcome.seconds, outcome.name);
        if let Some(failure) = &outcome.failure {
            println!("    {}", failure.trim_end().replace('\n', "\n    "));
        }
        writeln!(results, "{}", serde_json::to_string(outcome)?)?;
        Ok(results.sync_all()?)
    })
}
