//! `cargo xtask test`: all four tiers, ending in one line.
//!
//! T0 and T1 are the tests beside the code; T2 the files `crates/testlab/tests/t2_*.rs`; T3 the scenarios of
//! `hn-testlab`, played inside machines with radios. nextest runs the first three where it is installed, else
//! `cargo test` does.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use hn_testlab::radio::Hardware;
use hn_testlab::scenario::{self, Outcome};
use hn_testlab::tier::{self, Tier};
use hn_testlab::vm::{Machine, image::Image};

use crate::packages;
use crate::workspace::{self, Workspace, say};

/// Which tests.
#[derive(Args, Debug, Default)]
pub(crate) struct Selection {
    /// One tier; all if absent
    tier: Option<Wanted>,
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Skips are failures (also with CI=true or LAB_STRICT=1)
    #[arg(long)]
    strict: bool,
}

impl Selection {
    /// All tiers, none of which may be missing.
    pub(crate) fn everything_promised() -> Self {
        Self { strict: true, ..Self::default() }
    }
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    /// Engines, encoders, machines
    T0,
    /// Service, bus, client and command line together, simulated platform
    T1,
    /// Network namespaces
    T2,
    /// Radios
    T3,
}

const ALL: [Wanted; 4] = [Wanted::T0, Wanted::T1, Wanted::T2, Wanted::T3];

/// Packages whose own tests need the simulated platform: tier T1.
const TOGETHER: &[&str] = &["hn-daemon", "hostednet", "hn-cli", "hn-wlanapi"];
const LAB: &str = "hn-testlab";
/// How many machines with radios run at a time. Scenarios mostly wait, so two fill two cores.
const LANES: usize = 2;
/// For one lane of scenarios.
const LANE_LIMIT: Duration = Duration::from_secs(1500);

/// What a tier, or all of them, came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[expect(clippy::print_stdout, reason = "the closing line is the interface")]
pub(crate) fn run(workspace: &Workspace, selection: &Selection) -> Result<ExitCode> {
    let tiers: Vec<Wanted> =
        ALL.into_iter().filter(|tier| selection.tier.is_none_or(|wanted| wanted == *tier)).collect();
    let laboratory = tiers.iter().any(|tier| matches!(tier, Wanted::T2 | Wanted::T3));
    if laboratory && rustix::process::geteuid().is_root() {
        packages::install(packages::EVERYTHING)?;
    }
    let runner = Runner::new(workspace, selection)?;
    let mut total = Tally::default();
    let mut lines = Vec::new();
    for tier in tiers {
        let started = Instant::now();
        let tally = match tier {
            Wanted::T0 => runner.pure()?,
            Wanted::T1 => runner.together()?,
            Wanted::T2 => runner.namespaces()?,
            Wanted::T3 => runner.radios()?,
        };
        lines.push(format!("{tier:?}: {tally} in {:.0} s", started.elapsed().as_secs_f64()));
        total.add(&tally);
    }
    for failure in runner.failures.borrow().iter() {
        say(&format!("failed: {failure}"));
    }
    for line in lines {
        say(&line);
    }
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Runner<'a> {
    workspace: &'a Workspace,
    filter: Option<&'a str>,
    strict: bool,
    nextest: bool,
    skips: PathBuf,
    failures: std::cell::RefCell<Vec<String>>,
}

impl<'a> Runner<'a> {
    fn new(workspace: &'a Workspace, selection: &'a Selection) -> Result<Self> {
        let promised = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
        let folder = workspace.target().join("lab");
        std::fs::create_dir_all(&folder)?;
        let nextest = Command::new("cargo")
            .args(["nextest", "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        Ok(Self {
            workspace,
            filter: selection.filter.as_deref(),
            strict: selection.strict || promised("CI", "true") || promised("LAB_STRICT", "1"),
            nextest: nextest.is_ok_and(|status| status.success()),
            skips: folder.join(format!("skips-{}", std::process::id())),
            failures: std::cell::RefCell::default(),
        })
    }

    fn pure(&self) -> Result<Tally> {
        let mut expression = format!("not (package({LAB}) & binary(/^t[12]_/))");
        for package in TOGETHER {
            expression.push_str(&format!(" & not package({package})"));
        }
        let members = self.workspace.members();
        let mut words = vec!["--lib", "--bins", "--tests"];
        for name in members.iter().filter(|name| !TOGETHER.contains(&name.as_str()) && *name != LAB) {
            words.extend(["-p", name]);
        }
        let mut tally = self.run("T0", &expression, &[&words, &["-p", LAB, "--lib", "--bins"]])?;
        // Examples in documentation are nobody's but cargo's.
        tally.add(&self.cargo_test("T0 examples", &["--doc", "--workspace"])?);
        Ok(tally)
    }

    fn together(&self) -> Result<Tally> {
        self.programs()?;
        let expression: Vec<String> = TOGETHER.iter().map(|package| format!("package({package})")).collect();
        let mut words = vec!["--lib", "--bins", "--tests"];
        for package in TOGETHER {
            words.extend(["-p", package]);
        }
        self.run("T1", &expression.join(" | "), &[&words])
    }

    fn namespaces(&self) -> Result<Tally> {
        self.programs()?;
        self.run("T2", &format!("package({LAB}) & binary(/^t2_/)"), &[&["-p", LAB, "--test", "t2_*"]])
    }

    /// Builds the programs that T1 to T3 start.
    fn programs(&self) -> Result<()> {
        workspace::must(self.workspace.cargo(&["build", "--locked", "--workspace", "--bins"]))
    }

    /// Runs one tier with nextest (`expression`) or with one `cargo test` for each of `calls`.
    fn run(&self, name: &str, expression: &str, calls: &[&[&str]]) -> Result<Tally> {
        if !self.nextest {
            let mut tally = Tally::default();
            for words in calls {
                tally.add(&self.cargo_test(name, words)?);
            }
            return Ok(tally);
        }
        let mut command = self.workspace.cargo(&[
            "nextest",
            "run",
            "--locked",
            "--workspace",
            "--no-fail-fast",
            "--no-tests",
            "pass",
        ]);
        command.args(["--status-level", "fail", "--final-status-level", "fail", "--hide-progress-bar"]);
        let expression = match self.filter {
            Some(filter) => format!("({expression}) & test({filter})"),
            None => expression.to_owned(),
        };
        command.args(["-E", &expression]);
        self.judge(name, command, nextest_summary)
    }

    fn cargo_test(&self, name: &str, words: &[&str]) -> Result<Tally> {
        let mut command = self.workspace.cargo(&["test", "--locked", "--no-fail-fast", "--quiet"]);
        command.args(words);
        if let Some(filter) = self.filter {
            command.args(["--", filter]);
        }
        self.judge(name, command, libtest_summary)
    }

    /// Runs a test program, shows what it prints, and adds up the lines that are summaries.
    fn judge(&self, name: &str, mut command: Command, summary: fn(&str) -> Option<Tally>) -> Result<Tally> {
        let line = workspace::line(&command);
        say(&line);
        let _ = std::fs::remove_file(&self.skips);
        command.env("LAB_SKIPS", &self.skips).env("LAB_STRICT", if self.strict { "1" } else { "0" });
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (child.stdout.take().context("piped")?, child.stderr.take().context("piped")?);
        let mut tally = std::thread::scope(|scope| {
            let out = scope.spawn(|| follow(out, summary));
            let mut tally = follow(err, summary);
            tally.add(&out.join().unwrap_or_default());
            tally
        });
        let status = child.wait()?;
        if !status.success() && tally.failed == 0 {
            tally.failed = 1;
            self.failures.borrow_mut().push(format!("{name}: `{line}` ended with {status}"));
        } else if tally.failed > 0 {
            self.failures.borrow_mut().push(format!("{name}: {} tests, named above", tally.failed));
        }
        let skips = std::fs::read_to_string(&self.skips).unwrap_or_default();
        for skip in skips.lines() {
            say(&format!("SKIPPED {}", skip.replace('\t', ": ")));
        }
        let skipped = skips.lines().count();
        tally.passed = tally.passed.saturating_sub(skipped);
        tally.skipped += skipped;
        let _ = std::fs::remove_file(&self.skips);
        Ok(tally)
    }

    fn radios(&self) -> Result<Tally> {
        let names: Vec<String> = scenario::all()
            .into_iter()
            .map(|scenario| scenario.name.to_owned())
            .filter(|name| self.filter.is_none_or(|filter| name.contains(filter)))
            .collect();
        let mut tally = Tally::default();
        if names.is_empty() {
            return Ok(tally);
        }
        if let Some(reason) = tier::lacking(Tier::Radios) {
            for name in &names {
                say(&format!("{} {name}: {reason}", if self.strict { "FAILED" } else { "SKIPPED" }));
            }
            *(if self.strict { &mut tally.failed } else { &mut tally.skipped }) = names.len();
            return Ok(tally);
        }
        self.programs()?;
        let image = self.workspace.image()?;
        let lanes = LANES.min(names.len());
        let shares: Vec<Vec<String>> =
            (0..lanes).map(|lane| names.iter().skip(lane).step_by(lanes).cloned().collect()).collect();
        let outcomes = play(self.workspace, &image, &shares);
        for name in &names {
            match outcomes.get(name) {
                Some(outcome) if outcome.failure.is_none() => {
                    outcome.record()?;
                    tally.passed += 1;
                }
                Some(_) | None => {
                    tally.failed += 1;
                    self.failures.borrow_mut().push(format!("T3: {name}"));
                }
            }
        }
        Ok(tally)
    }
}

/// Plays each share of the scenarios in a machine of its own, all at the same time.
fn play(workspace: &Workspace, image: &Image, shares: &[Vec<String>]) -> BTreeMap<String, Outcome> {
    let processors = if shares.len() > 1 { 1 } else { 2 };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = shares
            .iter()
            .enumerate()
            .map(|(lane, names)| scope.spawn(move || play_share(workspace, image, lane, processors, names)))
            .collect();
        lanes
            .into_iter()
            .flat_map(|lane| lane.join().unwrap_or_default())
            .map(|outcome| (outcome.name.clone(), outcome))
            .collect()
    })
}

/// Plays `names` in one machine. A scenario without an outcome was never reached.
fn play_share(
    workspace: &Workspace,
    image: &Image,
    lane: usize,
    processors: u32,
    names: &[String],
) -> Vec<Outcome> {
    let out = workspace.target().join("lab").join(format!("lane{lane}"));
    let _ = std::fs::remove_dir_all(&out);
    let machine = Machine {
        hardware: Hardware::radios(1),
        processors,
        limit: LANE_LIMIT,
        out: Some(out.clone()),
        ..Machine::default()
    };
    let mut command = vec![workspace.programs().join("lab").into_os_string(), "run".into()];
    command.extend(names.iter().map(Into::into));
    match machine.run(image, &command, &mut workspace::to_stdout) {
        Ok(ended) if ended.status == 0 => say(&format!(
            "machine {lane}: {} scenarios in {:.0} s, of which {:.1} s boot",
            names.len(),
            ended.total.as_secs_f64(),
            ended.boot.as_secs_f64()
        )),
        Ok(ended) => say(&format!("machine {lane}: the scenarios ended with {}", ended.status)),
        Err(error) => say(&format!("machine {lane}: {error:#}")),
    }
    let results = std::fs::read_to_string(out.join("results.jsonl")).unwrap_or_default();
    results.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Shows what a program prints, line by line, and adds up its summaries.
fn follow(from: impl std::io::Read, summary: fn(&str) -> Option<Tally>) -> Tally {
    let mut tally = Tally::default();
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        workspace::to_stdout(&line);
        if let Some(found) = summary(&String::from_utf8_lossy(&line)) {
            tally.add(&found);
        }
        line.clear();
    }
    tally
}

/// `Summary [ 1.2s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 7 skipped`. What nextest calls skipped
/// was not selected.
fn nextest_summary(line: &str) -> Option<Tally> {
    let (_, rest) = line.trim_start().strip_prefix("Summary [")?.split_once("run: ")?;
    // What is in brackets ("1 slow, 1 leaky") describes tests that are counted before it.
    let counts: String =
        rest.split('(').map(|part| part.split_once(')').map_or(part, |(_, after)| after)).collect();
    let mut tally = Tally::default();
    for part in counts.split(", ") {
        let mut words = part.trim().splitn(2, ' ');
        let Some(count) = words.next().and_then(|word| word.parse::<usize>().ok()) else { continue };
        match words.next().unwrap_or("") {
            word if word.starts_with("passed") => tally.passed += count,
            word if word.starts_with("skipped") => {}
            _ => tally.failed += count,
        }
    }
    Some(tally)
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest_summary(line: &str) -> Option<Tally> {
    let rest = line.trim_start().strip_prefix("test result: ")?;
    let mut tally = Tally::default();
    for part in rest.split([';', '.']) {
        let mut words = part.trim().splitn(2, ' ');
        let Some(count) = words.next().and_then(|word| word.parse::<usize>().ok()) else { continue };
        match words.next().unwrap_or("") {
            "passed" => tally.passed += count,
            "failed" => tally.failed += count,
            "ignored" => tally.skipped += count,
            _ => {}
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: usize, failed: usize, skipped: usize) -> Option<Tally> {
        Some(Tally { passed, failed, skipped })
    }

    #[test]
    fn the_closing_line_is_plain() {
        assert_eq!(Tally { passed: 3, failed: 0, skipped: 1 }.to_string(), "3 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn summaries_of_nextest_are_understood() {
        let line = "     Summary [   1.2s] 5 tests run: 3 passed (1 slow, 1 leaky), 1 failed, 1 timed out, 7 skipped";
        assert_eq!(nextest_summary(line), tally(3, 2, 0));
        assert_eq!(nextest_summary("     Summary [   0.0s] 1 test run: 1 passed, 0 skipped"), tally(1, 0, 0));
        assert_eq!(nextest_summary("        FAIL [   0.0s] hn-dns tests::x"), None);
    }

    #[test]
    fn summaries_of_cargo_test_are_understood() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.00s";
        assert_eq!(libtest_summary(line), tally(5, 2, 1));
        assert_eq!(libtest_summary("test result_is_right ... ok"), None);
    }
}
