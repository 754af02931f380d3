//! `cargo xtask test`: all four tiers, ending in one line.
//!
//! T0 and T1 are the tests beside the code; T2 the files `crates/testlab/tests/t2_*.rs`; T3 the scenarios of
//! `hn-testlab`, played inside machines with radios. nextest runs the first three where it is installed, else
//! `cargo test` does. With evidence wanted ([`hn_conformance`]), how each test ended is written down beside what the tests
//! recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use hn_conformance::EVIDENCE_VARIABLE;
use hn_testlab::radio::Hardware;
use hn_testlab::scenario::{self, Outcome};
use hn_testlab::tier::{self, Tier};
use hn_testlab::vm::{Machine, image::Image};

use crate::conformance::collect::{Site, Test};
use crate::examples;
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
    /// Only these
    #[arg(skip)]
    only: Option<BTreeSet<(Wanted, Test)>>,
    /// Where evidence goes; else what the environment says
    #[arg(skip)]
    evidence: Option<PathBuf>,
}

impl Selection {
    /// All tiers, none of which may be missing.
    pub(crate) fn everything_promised(evidence: PathBuf) -> Self {
        Self { strict: true, evidence: Some(evidence), ..Self::default() }
    }

    /// The tests that name rows of the contract, none of which may be missing.
    pub(crate) fn naming(sites: &[Site], evidence: PathBuf) -> Self {
        let tests = |site: &Site| {
            let tier = site.tier;
            site.tests.clone().into_iter().map(move |test| (tier, test))
        };
        let only = Some(sites.iter().flat_map(tests).collect());
        Self { strict: true, only, evidence: Some(evidence), ..Self::default() }
    }
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
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
const TOGETHER: &[&str] = &["hn-daemon", "hostednet", "hn-cli", "hn-wlanapi", "hn-hnetcfg"];
const LAB: &str = "hn-testlab";
/// How many machines with radios run at a time. Emulating one processor each, they keep two cores busy.
const LANES: usize = 2;
/// How many tests with namespaces run at a time. They wait for timers of protocols and of real daemons nine tenths of
/// their time; `.config/nextest.toml` says the same where nextest is asked by hand.
const NAMESPACES: &str = "4";
/// For one lane of scenarios.
const LANE_LIMIT: Duration = Duration::from_secs(3000);

/// The tier of the tests in `file`, a path below the top folder.
pub(crate) fn tier_of(package: &str, file: &str) -> Wanted {
    let program = file.rsplit('/').next().unwrap_or_default();
    if package != LAB {
        return if TOGETHER.contains(&package) { Wanted::T1 } else { Wanted::T0 };
    }
    match file.contains("/tests/").then(|| program.get(..3)).flatten() {
        Some("t1_") => Wanted::T1,
        Some("t2_") => Wanted::T2,
        Some(_) | None => Wanted::T0,
    }
}

/// How a test ended; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    Passed,
    Skipped,
    Failed,
}

impl Ended {
    /// Stands for the package where the runner does not tell it.
    pub(crate) const ANY_PACKAGE: &str = "*";

    /// As evidence has it.
    pub(crate) fn read(word: &str) -> Option<Self> {
        [Self::Passed, Self::Skipped, Self::Failed].into_iter().find(|ended| ended.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

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
    only: Option<&'a BTreeSet<(Wanted, Test)>>,
    evidence: Option<PathBuf>,
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
            only: selection.only.as_ref(),
            evidence: selection
                .evidence
                .clone()
                .or_else(|| std::env::var_os(EVIDENCE_VARIABLE).map(PathBuf::from)),
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
        let calls: [&[&str]; 2] = [&words, &["-p", LAB, "--lib", "--bins"]];
        let mut tally = self.run(Wanted::T0, &expression, &calls)?;
        // Examples in documentation are nobody's but cargo's.
        if self.only.is_none() {
            tally.add(&self.cargo_test("T0 examples", &["--doc", "--workspace"], &[])?);
        }
        Ok(tally)
    }

    fn together(&self) -> Result<Tally> {
        if self.only_of(Wanted::T1).is_some_and(|tests| tests.is_empty()) {
            return Ok(Tally::default());
        }
        self.programs()?;
        let expression: Vec<String> = TOGETHER.iter().map(|package| format!("package({package})")).collect();
        let mut words = vec!["--lib", "--bins", "--tests"];
        for package in TOGETHER {
            words.extend(["-p", package]);
        }
        self.run(Wanted::T1, &expression.join(" | "), &[&words])
    }

    fn namespaces(&self) -> Result<Tally> {
        if self.only_of(Wanted::T2).is_some_and(|tests| tests.is_empty()) {
            return Ok(Tally::default());
        }
        self.programs()?;
        self.run(Wanted::T2, &format!("package({LAB}) & binary(/^t2_/)"), &[&["-p", LAB, "--test", "t2_*"]])
    }

    /// Builds the programs that T1 to T3 start.
    fn programs(&self) -> Result<()> {
        workspace::must(self.workspace.cargo(&["build", "--locked", "--workspace", "--bins"]))
    }

    /// The only tests of `tier` that are wanted, if not all are.
    fn only_of(&self, tier: Wanted) -> Option<Vec<&'a Test>> {
        let only = self.only?;
        Some(only.iter().filter(|(wanted, _)| *wanted == tier).map(|(_, test)| test).collect())
    }

    /// Runs one tier with nextest (`expression`) or with one `cargo test` for each of `calls`.
    fn run(&self, tier: Wanted, expression: &str, calls: &[&[&str]]) -> Result<Tally> {
        let only = self.only_of(tier);
        if only.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Tally::default());
        }
        let name = format!("{tier:?}");
        if !self.nextest {
            let mut tally = Tally::default();
            let names: Vec<&str> = only.iter().flatten().map(|test| test.name.as_str()).collect();
            for words in calls {
                tally.add(&self.cargo_test(&name, words, &names)?);
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
        let level = if self.evidence.is_some() { "pass" } else { "fail" };
        command.args(["--status-level", level, "--final-status-level", "fail", "--hide-progress-bar"]);
        if tier == Wanted::T2 {
            command.args(["--test-threads", NAMESPACES]);
        }
        command.args(["-E", &nextest_expression(expression, self.filter, only.as_deref())]);
        self.judge(&name, command, nextest_line)
    }

    /// Runs the tests that `words` select, or of these only `names`.
    fn cargo_test(&self, name: &str, words: &[&str], names: &[&str]) -> Result<Tally> {
        let mut command = self.workspace.cargo(&["test", "--locked", "--no-fail-fast"]);
        if self.evidence.is_none() {
            command.arg("--quiet");
        }
        command.args(words).arg("--");
        if !names.is_empty() {
            command.arg("--exact").args(names);
        }
        command.args(self.filter);
        self.judge(name, command, libtest_line)
    }

    /// Runs a test program, shows what it prints, and adds up the lines that are summaries.
    fn judge(&self, name: &str, mut command: Command, read: fn(&str) -> Line) -> Result<Tally> {
        let line = workspace::line(&command);
        say(&if line.len() > 400 {
            format!("{}…", line.chars().take(400).collect::<String>())
        } else {
            line.clone()
        });
        let _ = std::fs::remove_file(&self.skips);
        command.env("LAB_SKIPS", &self.skips).env("LAB_STRICT", if self.strict { "1" } else { "0" });
        match &self.evidence {
            // Tests run in the folders of their packages.
            Some(file) => command.env(EVIDENCE_VARIABLE, std::path::absolute(file)?),
            None => command.env_remove(EVIDENCE_VARIABLE),
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (child.stdout.take().context("piped")?, child.stderr.take().context("piped")?);
        let (mut tally, mut ended) = std::thread::scope(|scope| {
            let out = scope.spawn(|| follow(out, read));
            let (mut tally, mut ended) = follow(err, read);
            let (more, others) = out.join().unwrap_or_default();
            tally.add(&more);
            ended.extend(others);
            (tally, ended)
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
            let skipped = skip.split('\t').next().unwrap_or_default();
            for (test, end) in &mut ended {
                if test.name == skipped {
                    *end = Ended::Skipped.max(*end);
                }
            }
        }
        self.write_down(&ended)?;
        let skipped = skips.lines().count();
        tally.passed = tally.passed.saturating_sub(skipped);
        tally.skipped += skipped;
        let _ = std::fs::remove_file(&self.skips);
        Ok(tally)
    }

    /// Adds to the evidence how tests ended.
    fn write_down(&self, ended: &[(Test, Ended)]) -> Result<()> {
        let line =
            |(test, ended): &(Test, Ended)| format!("{}\t{}\t{}\n", test.package, test.name, ended.word());
        self.append(&ended.iter().map(line).collect::<String>())
    }

    fn append(&self, lines: &str) -> Result<()> {
        let Some(path) = &self.evidence else { return Ok(()) };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        written.with_context(|| format!("cannot write evidence to {}", path.display()))
    }

    fn radios(&self) -> Result<Tally> {
        let only = self.only_of(Wanted::T3);
        let names: Vec<String> = scenario::all()
            .into_iter()
            .map(|scenario| scenario.name.to_owned())
            .filter(|name| self.filter.is_none_or(|filter| name.contains(filter)))
            .filter(|name| only.as_ref().is_none_or(|only| only.iter().any(|test| test.name == *name)))
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
        examples::build(self.workspace)?;
        let image = self.workspace.image()?;
        let outcomes = play(self.workspace, &image, &names)?;
        for name in &names {
            let test = Test { package: LAB.to_owned(), name: name.clone() };
            match outcomes.get(name) {
                Some(outcome) if outcome.failure.is_none() => {
                    tally.passed += 1;
                    self.append(&outcome.evidence)?;
                    self.write_down(&[(test, Ended::Passed)])?;
                }
                Some(_) | None => {
                    tally.failed += 1;
                    self.failures.borrow_mut().push(format!("T3: {name}"));
                    self.write_down(&[(test, Ended::Failed)])?;
                }
            }
        }
        Ok(tally)
    }
}

/// Plays the scenarios in several machines at the same time; each takes the next one that no other has taken.
fn play(workspace: &Workspace, image: &Image, names: &[String]) -> Result<BTreeMap<String, Outcome>> {
    let lanes = LANES.min(names.len());
    let processors = if lanes > 1 { 1 } else { 2 };
    let out = workspace.target().join("lab").join("out");
    let _ = std::fs::remove_dir_all(&out);
    let taken = out.join("taken");
    std::fs::create_dir_all(&taken).with_context(|| format!("cannot make {}", taken.display()))?;
    let machine = Machine {
        hardware: Hardware::radios(1),
        processors,
        limit: LANE_LIMIT,
        out: Some(out.clone()),
        ..Machine::default()
    };
    Ok(std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes)
            .map(|lane| format!("machine {lane}"))
            .map(|lane| {
                let (machine, out) = (&machine, &out);
                scope.spawn(move || play_lane(workspace, image, machine, out, &lane, names))
            })
            .collect();
        lanes
            .into_iter()
            .flat_map(|lane| lane.join().unwrap_or_default())
            .map(|outcome| (outcome.name.clone(), outcome))
            .collect()
    }))
}

/// Plays what `machine` takes of `names`. A scenario without an outcome was never reached.
fn play_lane(
    workspace: &Workspace,
    image: &Image,
    machine: &Machine,
    out: &Path,
    lane: &str,
    names: &[String],
) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    // A scenario may want another boot: the machine is then started again, goes on with it, and takes more.
    let mut again = String::new();
    loop {
        let mut command = vec![workspace.programs().join("lab").into_os_string(), "run".into()];
        command.extend([lane, again.as_str()].map(Into::into));
        command.extend(names.iter().map(Into::into));
        let ended = machine.run(image, &command, &mut workspace::to_stdout);
        let results = std::fs::read_to_string(out.join(format!("{lane}.jsonl"))).unwrap_or_default();
        let all: Vec<Outcome> = results.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let fresh = all.len() - outcomes.len().min(all.len());
        outcomes = all;
        match ended {
            Ok(ended) if ended.status == 0 => say(&format!(
                "{lane}: {fresh} scenarios in {:.0} s, of which {:.1} s boot",
                ended.total.as_secs_f64(),
                ended.boot.as_secs_f64()
            )),
            Ok(ended) => say(&format!("{lane}: the scenarios ended with {}", ended.status)),
            Err(error) => say(&format!("{lane}: {error:#}")),
        }
        match outcomes.last().filter(|last| fresh > 0 && last.unfinished) {
            Some(last) => again.clone_from(&last.name),
            None => return whole(outcomes),
        }
    }
}

/// One outcome for each scenario that is over: what an earlier boot has shown is part of it.
fn whole(outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let mut begun: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut over = Vec::new();
    for mut outcome in outcomes {
        if outcome.unfinished {
            begun.insert(outcome.name.clone(), outcome);
            continue;
        }
        if let Some(earlier) = begun.remove(&outcome.name) {
            outcome.follow(&earlier);
        }
        over.push(outcome);
    }
    over
}

/// What one line of a test runner means.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    summary: Option<Tally>,
    ended: Option<(Test, Ended)>,
}

/// Shows what a program prints, line by line, without the tests that passed; adds up its summaries.
fn follow(from: impl std::io::Read, read: fn(&str) -> Line) -> (Tally, Vec<(Test, Ended)>) {
    let (mut tally, mut all) = (Tally::default(), Vec::new());
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let Line { summary, ended } = read(&String::from_utf8_lossy(&line));
        if !matches!(ended, Some((_, Ended::Passed))) {
            workspace::to_stdout(&line);
        }
        tally.add(&summary.unwrap_or_default());
        all.extend(ended);
        line.clear();
    }
    (tally, all)
}

/// What nextest is asked for.
fn nextest_expression(tier: &str, filter: Option<&str>, only: Option<&[&Test]>) -> String {
    let mut expression = format!("({tier})");
    if let Some(filter) = filter {
        expression.push_str(&format!(" & test({filter})"));
    }
    if let Some(only) = only {
        let each: Vec<String> =
            only.iter().map(|test| format!("(package(={}) & test(={}))", test.package, test.name)).collect();
        expression.push_str(&format!(" & ({})", each.join(" | ")));
    }
    expression
}

fn nextest_line(line: &str) -> Line {
    Line { summary: nextest_summary(line), ended: nextest_ended(line) }
}

fn libtest_line(line: &str) -> Line {
    Line { summary: libtest_summary(line), ended: libtest_ended(line) }
}

/// `PASS [   0.010s] (1/2) hn-core::machines table::e1`. Words that do not end a test are left out.
fn nextest_ended(line: &str) -> Option<(Test, Ended)> {
    let (word, rest) = line.trim_start().split_once(" [")?;
    let (_, rest) = rest.split_once("s] ")?;
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('(') {
        Some(counted) => counted.split_once(") ")?.1,
        None => rest,
    };
    let mut names = rest.split_whitespace();
    let (program, name) = (names.next()?, names.next()?);
    let ended = match word.trim() {
        "PASS" | "LEAK" => Ended::Passed,
        word if word.starts_with("FLAKY") => Ended::Passed,
        word if word.starts_with("TRY") || matches!(word, "SLOW" | "TERMINATING" | "START" | "Summary") => {
            return None;
        }
        word if word.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '-' | ' ')) => Ended::Failed,
        _ => return None,
    };
    let package = program.split("::").next().unwrap_or(program);
    Some((Test { package: package.to_owned(), name: name.to_owned() }, ended))
}

/// `test table::e1 ... ok`
fn libtest_ended(line: &str) -> Option<(Test, Ended)> {
    let (name, end) = line.trim_end().strip_prefix("test ")?.split_once(" ... ")?;
    let ended = match end {
        "ok" => Ended::Passed,
        "FAILED" => Ended::Failed,
        _ if end.starts_with("ignored") => Ended::Skipped,
        _ => return None,
    };
    let name = name.split(" - should panic").next().unwrap_or(name);
    Some((Test { package: Ended::ANY_PACKAGE.to_owned(), name: name.to_owned() }, ended))
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
    fn a_scenario_of_two_boots_has_one_outcome_with_the_evidence_of_both() {
        let outcome = |name: &str, unfinished: bool, evidence: &str| Outcome {
            name: name.to_owned(),
            failure: None,
            seconds: 1.0,
            unfinished,
            evidence: evidence.to_owned(),
        };
        let over =
            whole(vec![outcome("a", false, "1\n"), outcome("b", true, "2\n"), outcome("b", false, "3\n")]);
        assert_eq!(over.len(), 2);
        assert_eq!((over[1].evidence.as_str(), over[1].seconds), ("2\n3\n", 2.0));
        assert_eq!(whole(vec![outcome("b", true, "2\n")]), [], "it never came to its end");
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

    fn end(package: &str, name: &str, ended: Ended) -> Option<(Test, Ended)> {
        Some((Test { package: package.to_owned(), name: name.to_owned() }, ended))
    }

    #[test]
    fn nextest_tells_how_each_test_ended() {
        let line = "        PASS [   0.010s] hn-core::machines table::e1";
        assert_eq!(nextest_ended(line), end("hn-core", "table::e1", Ended::Passed));
        let line = "        LEAK [   0.010s] ( 12/100) hn-dns tests::x";
        assert_eq!(nextest_ended(line), end("hn-dns", "tests::x", Ended::Passed));
        for word in ["FAIL", "SIGABRT", "TIMEOUT", "LEAK-FAIL"] {
            let line = format!("     {word} [   1.000s] (1/2) hn-dns tests::x\n");
            assert_eq!(nextest_ended(&line), end("hn-dns", "tests::x", Ended::Failed), "{word}");
        }
        for line in [
            "        SLOW [> 60.000s] hn-dns tests::x",
            "  TRY 1 FAIL [   1.000s] hn-dns tests::x",
            "     Summary [   0.010s] 2 tests run: 2 passed, 0 skipped",
            "    Starting 2 tests across 1 binary",
            "panicked at [1s] a b",
        ] {
            assert_eq!(nextest_ended(line), None, "{line}");
        }
    }

    #[test]
    fn cargo_test_tells_how_each_test_ended() {
        let any = Ended::ANY_PACKAGE;
        assert_eq!(libtest_ended("test table::e1 ... ok\n"), end(any, "table::e1", Ended::Passed));
        assert_eq!(libtest_ended("test table::e1 ... FAILED"), end(any, "table::e1", Ended::Failed));
        assert_eq!(libtest_ended("test a ... ignored, why"), end(any, "a", Ended::Skipped));
        assert_eq!(libtest_ended("test a - should panic ... ok"), end(any, "a", Ended::Passed));
        assert_eq!(libtest_ended("test result: ok. 5 passed; 0 failed"), None);
    }

    #[test]
    fn only_the_named_tests_are_asked_for() {
        let test = |package: &str, name: &str| Test { package: package.to_owned(), name: name.to_owned() };
        let (a, b) = (test("hn-core", "x::a"), test("hn-nft", "b"));
        assert_eq!(nextest_expression("all()", None, None), "(all())");
        assert_eq!(
            nextest_expression("all()", Some("x"), Some(&[&a, &b])),
            "(all()) & test(x) & ((package(=hn-core) & test(=x::a)) | (package(=hn-nft) & test(=b)))"
        );
    }

    #[test]
    fn files_have_tiers() {
        assert_eq!(tier_of("hn-core", "crates/core/tests/machines/table.rs"), Wanted::T0);
        assert_eq!(tier_of("hn-daemon", "crates/daemon/tests/simulated.rs"), Wanted::T1);
        assert_eq!(tier_of(LAB, "crates/testlab/tests/t2_undo.rs"), Wanted::T2);
        assert_eq!(tier_of(LAB, "crates/testlab/src/state.rs"), Wanted::T0);
    }

    #[test]
    fn ends_are_read_as_they_are_written() {
        for ended in [Ended::Passed, Ended::Skipped, Ended::Failed] {
            assert_eq!(Ended::read(ended.word()), Some(ended));
        }
        assert_eq!(Ended::read("M001"), None);
    }
}
