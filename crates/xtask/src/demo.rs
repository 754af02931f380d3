//! `cargo xtask demo`: packages, build, a machine with radios, and in it the whole story, told as it happens.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use hn_testlab::radio::Hardware;
use hn_testlab::vm::Machine;

use crate::packages;
use crate::workspace::{self, Workspace, must, say};

/// For everything inside the machine.
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let started = Instant::now();
    packages::install(packages::EVERYTHING)?;
    must(workspace.cargo(&["build", "--locked", "--workspace", "--bins"]))?;
    let image = workspace.image()?;
    let out = workspace.target().join("demo");
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out)?;
    say("booting a machine with three radios (software emulation, a few seconds)");
    let color =
        if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() { "1" } else { "0" };
    let machine = Machine {
        hardware: Hardware::radios(3),
        limit: LIMIT,
        out: Some(out.clone()),
        environment: vec![("LAB_COLOR".into(), color.into())],
        ..Machine::default()
    };
    let command = [workspace.programs().join("lab").into_os_string(), "demo".into()];
    let ended = machine.run(&image, &command, &mut workspace::to_stdout)?;
    let report = out.join("report.json");
    let seen = ended.status == 0 && report.exists();
    say(&format!(
        "{} in {:.0} s (boot {:.1} s); report: {}",
        if seen { "all seen" } else { "NOT all seen" },
        started.elapsed().as_secs_f64(),
        ended.boot.as_secs_f64(),
        report.display()
    ));
    Ok(if seen { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
