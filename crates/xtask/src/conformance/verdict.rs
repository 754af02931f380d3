//! Compares what the sources name with what was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hn_conformance::rows;

use super::collect::{Site, Test};
use crate::test::Ended;

/// What happened in a run: a file of evidence, read.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    records: Vec<Record>,
    ended: BTreeMap<Test, Ended>,
    /// Lines that say nothing, by number.
    nonsense: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    test: Test,
    row: String,
    place: String,
}

impl Evidence {
    /// Reads lines of `hn_conformance::record` (package, test, row, place) and of the test runner (package, test, how it
    /// ended). The worst end of a test counts.
    pub(super) fn read(text: &str) -> Self {
        let mut evidence = Self::default();
        for (number, line) in text.lines().enumerate() {
            let parts: Vec<&str> = line.split('\t').collect();
            let test = |package: &&str, name: &&str| Test {
                package: (*package).to_owned(),
                name: (*name).to_owned(),
            };
            match parts.as_slice() {
                [package, name, row, place] => evidence.records.push(Record {
                    test: test(package, name),
                    row: (*row).to_owned(),
                    place: (*place).to_owned(),
                }),
                [package, name, ended] if Ended::read(ended).is_some() => {
                    let Some(ended) = Ended::read(ended) else { continue };
                    let entry = evidence.ended.entry(test(package, name)).or_insert(ended);
                    *entry = (*entry).max(ended);
                }
                _ => evidence.nonsense.push(number + 1),
            }
        }
        evidence.records.sort();
        evidence.records.dedup();
        evidence
    }

    /// How `test` ended. `cargo test` does not say whose tests it runs.
    fn ended(&self, test: &Test) -> Option<Ended> {
        let anybody = Test { package: Ended::ANY_PACKAGE.to_owned(), name: test.name.clone() };
        self.ended.get(test).or_else(|| self.ended.get(&anybody)).copied()
    }
}

/// Something that keeps the contract from being proved.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    /// A row, a test, or file and line.
    pub(super) place: String,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The document is not what the sources say.
    Document,
    /// A `checks!` that cannot be found or followed.
    Unreachable,
    /// A test failed.
    Failed,
    /// A test named a row and was not run.
    NotRun,
    /// A test passed and did not check what it names.
    NotChecked,
    /// Evidence that the sources do not know.
    Unknown,
    /// No test proves the row.
    Unproved,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Document => "document",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::NotRun => "not run",
            Self::NotChecked => "not checked",
            Self::Unknown => "unknown",
            Self::Unproved => "unproved",
        })
    }
}

/// The outcome.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) proved: usize,
    pub(super) problems: Vec<Problem>,
}

impl Verdict {
    /// `148/148`
    pub(super) fn line(&self) -> String {
        format!("{}/{}", self.proved, rows::ALL.len())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.problems.is_empty() && self.proved == rows::ALL.len()
    }

    /// The problems as a table.
    pub(super) fn table(&self) -> String {
        let width = self.problems.iter().map(|problem| problem.place.len()).max().unwrap_or(0);
        let line = |problem: &Problem| {
            format!("{:<11}  {:<width$}  {}\n", problem.kind, problem.place, problem.text)
        };
        self.problems.iter().map(line).collect()
    }
}

/// Judges a run.
pub(super) fn judge(sites: &[Site], evidence: &Evidence) -> Verdict {
    let mut problems = Vec::new();
    let mut add = |kind, place: String, text: String| problems.push(Problem { kind, place, text });
    let places: BTreeMap<String, &Site> = sites.iter().map(|site| (site.place(), site)).collect();

    for number in &evidence.nonsense {
        add(Kind::Unknown, format!("line {number}"), "the evidence says nothing there".to_owned());
    }
    for (test, ended) in &evidence.ended {
        if *ended == Ended::Failed {
            add(Kind::Failed, test.to_string(), "a failed test proves nothing".to_owned());
        }
    }
    // What counts: recorded by a test that passed, at a place that names the row.
    let mut reached: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut proved: BTreeSet<&str> = BTreeSet::new();
    for record in &evidence.records {
        let named = places.get(&record.place).is_some_and(|site| site.rows.contains(&record.row));
        match evidence.ended(&record.test) {
            _ if !named => add(
                Kind::Unknown,
                record.place.clone(),
                format!("{} recorded {}, which the sources do not name there", record.test, record.row),
            ),
            Some(Ended::Passed) => {
                reached.insert((&record.place, &record.row));
                proved.insert(&record.row);
            }
            // Told above.
            Some(Ended::Failed) => {}
            Some(Ended::Skipped) | None => add(
                Kind::Unknown,
                record.place.clone(),
                format!("{} recorded {} and nobody saw it pass", record.test, record.row),
            ),
        }
    }
    for (place, site) in &places {
        for row in site.rows.iter().filter(|row| !rows::ALL.iter().any(|known| known.id == **row)) {
            add(Kind::Unknown, place.clone(), format!("there is no row {row}"));
        }
        if site.tests.is_empty() {
            add(
                Kind::Unreachable,
                place.clone(),
                "no test of this file gets here; write it into the test".to_owned(),
            );
            continue;
        }
        let missing: Vec<&str> = site
            .rows
            .iter()
            .map(String::as_str)
            .filter(|row| !reached.contains(&(place.as_str(), *row)))
            .collect();
        if missing.is_empty() {
            continue;
        }
        let names = join(site.tests.iter());
        let ends: Vec<Option<Ended>> = site.tests.iter().map(|test| evidence.ended(test)).collect();
        if ends.contains(&Some(Ended::Passed)) {
            let text = format!("{names} passed without checking {}", missing.join(", "));
            add(Kind::NotChecked, place.clone(), text);
        } else if !ends.contains(&Some(Ended::Failed)) {
            let word = if ends.contains(&Some(Ended::Skipped)) { "skipped" } else { "not run" };
            add(Kind::NotRun, place.clone(), format!("{names}, for {}, was {word}", missing.join(", ")));
        }
    }
    for row in rows::ALL.iter().filter(|row| !proved.contains(row.id)) {
        let naming = sites.iter().filter(|site| site.rows.iter().any(|named| named == row.id));
        let tests: BTreeSet<&Test> = naming.flat_map(|site| &site.tests).collect();
        let text = if tests.is_empty() {
            format!("no test names it: {}", row.text)
        } else {
            format!("not proved by {}", join(tests))
        };
        add(Kind::Unproved, row.id.to_owned(), text);
    }
    problems.sort();
    Verdict { proved: proved.len(), problems }
}

fn join<'a>(tests: impl IntoIterator<Item = &'a Test>) -> String {
    tests.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::Wanted;

    fn site(line: usize, row: &[&str], tests: &[&str]) -> Site {
        Site {
            file: "crates/x/tests/a.rs".to_owned(),
            line,
            rows: row.iter().map(|row| (*row).to_owned()).collect(),
            tests: tests
                .iter()
                .map(|name| Test { package: "hn-x".to_owned(), name: (*name).to_owned() })
                .collect(),
            tier: Wanted::T0,
        }
    }

    /// Sites for all rows, and evidence that proves them all.
    fn whole() -> (Vec<Site>, String) {
        let all = rows::ALL.iter().enumerate();
        let sites: Vec<Site> =
            all.map(|(index, row)| site(index + 1, &[row.id], &[&format!("t{index}")])).collect();
        let mut text = String::new();
        for (index, site) in sites.iter().enumerate() {
            text.push_str(&format!("hn-x\tt{index}\t{}\t{}\n", site.rows[0], site.place()));
            text.push_str(&format!("hn-x\tt{index}\tpassed\n"));
        }
        (sites, text)
    }

    /// The problems of a run that is whole but for one change.
    fn changed(change: impl FnOnce(&mut Vec<Site>, &mut String)) -> (String, Vec<(Kind, String, String)>) {
        let (mut sites, mut text) = whole();
        change(&mut sites, &mut text);
        let verdict = judge(&sites, &Evidence::read(&text));
        assert_eq!(verdict.is_whole(), verdict.problems.is_empty());
        let line = verdict.line();
        (line, verdict.problems.into_iter().map(|p| (p.kind, p.place, p.text)).collect())
    }

    fn kinds(problems: &[(Kind, String, String)]) -> Vec<Kind> {
        problems.iter().map(|(kind, _, _)| *kind).collect()
    }

    #[test]
    fn all_rows_recorded_by_tests_that_passed_is_148_of_148() {
        assert_eq!(changed(|_, _| {}), ("148/148".to_owned(), vec![]));
    }

    #[test]
    fn a_row_that_no_test_names_is_unproved() {
        let (line, problems) = changed(|sites, text| {
            sites.remove(4);
            *text = text.replace("hn-x\tt4\tM005\tcrates/x/tests/a.rs:5\n", "");
        });
        assert_eq!(line, "147/148");
        assert_eq!(kinds(&problems), [Kind::Unproved]);
        assert_eq!(problems[0].1, "M005");
        assert!(problems[0].2.starts_with("no test names it"), "{problems:?}");
    }

    #[test]
    fn a_test_that_passes_without_recording_what_it_names_is_told_with_its_line() {
        let (line, problems) = changed(|_, text| {
            *text = text.replace("hn-x\tt4\tM005\tcrates/x/tests/a.rs:5\n", "");
        });
        assert_eq!(line, "147/148");
        assert_eq!(kinds(&problems), [Kind::NotChecked, Kind::Unproved]);
        assert_eq!(problems[0].1, "crates/x/tests/a.rs:5");
        assert_eq!(problems[0].2, "hn-x t4 passed without checking M005");
    }

    #[test]
    fn a_second_check_of_a_proved_row_must_be_reached_too() {
        let (line, problems) = changed(|sites, _| sites.push(site(900, &["M001"], &["t0"])));
        assert_eq!((line.as_str(), kinds(&problems)), ("148/148", vec![Kind::NotChecked]));
        assert_eq!(problems[0].1, "crates/x/tests/a.rs:900");
    }

    #[test]
    fn what_a_failed_test_recorded_counts_for_nothing() {
        let (line, problems) = changed(|_, text| text.push_str("hn-x\tt4\tfailed\n"));
        assert_eq!((line.as_str(), kinds(&problems)), ("147/148", vec![Kind::Failed, Kind::Unproved]));
        assert_eq!(problems[0].1, "hn-x t4");
    }

    #[test]
    fn a_failed_test_that_names_nothing_is_a_problem_too() {
        let (line, problems) = changed(|_, text| text.push_str("hn-y\tother\tfailed\n"));
        assert_eq!((line.as_str(), kinds(&problems)), ("148/148", vec![Kind::Failed]));
    }

    #[test]
    fn a_test_that_was_not_run_or_skipped_is_told() {
        for (end, word) in [("", "was not run"), ("hn-x\tt4\tskipped\n", "was skipped")] {
            let (line, problems) = changed(|_, text| {
                *text = text.replace("hn-x\tt4\tM005\tcrates/x/tests/a.rs:5\n", "");
                *text = text.replace("hn-x\tt4\tpassed\n", end);
            });
            assert_eq!((line.as_str(), kinds(&problems)), ("147/148", vec![Kind::NotRun, Kind::Unproved]));
            assert!(problems[0].2.ends_with(word), "{problems:?}");
        }
    }

    #[test]
    fn evidence_that_the_sources_do_not_name_is_refused() {
        let (line, problems) = changed(|sites, _| sites[4].rows[0] = "M006".to_owned());
        assert_eq!(line, "147/148");
        assert_eq!(kinds(&problems), [Kind::NotChecked, Kind::Unknown, Kind::Unproved]);
        let (_, problems) = changed(|_, text| text.push_str("hn-x\tt4\tM005\tcrates/x/src/lib.rs:5\n"));
        assert_eq!(kinds(&problems), [Kind::Unknown]);
    }

    #[test]
    fn evidence_of_a_test_that_nobody_saw_pass_is_refused() {
        let (line, problems) = changed(|_, text| *text = text.replace("hn-x\tt4\tpassed\n", ""));
        assert_eq!(line, "147/148");
        assert_eq!(kinds(&problems), [Kind::NotRun, Kind::Unknown, Kind::Unproved]);
    }

    #[test]
    fn rows_that_do_not_exist_and_lines_that_say_nothing_are_told() {
        let (_, problems) = changed(|sites, text| {
            sites[0].rows.push("M149".to_owned());
            text.push_str("hn-x\tt0\tM149\tcrates/x/tests/a.rs:1\nhalf a line\n");
        });
        assert_eq!(kinds(&problems), [Kind::Unknown, Kind::Unknown]);
        assert!(problems[0].2.contains("M149") && problems[1].1.starts_with("line "), "{problems:?}");
    }

    #[test]
    fn a_check_that_no_test_reaches_is_told() {
        let (_, problems) = changed(|sites, _| sites.push(site(900, &["M001"], &[])));
        assert_eq!(kinds(&problems), [Kind::Unreachable]);
    }

    #[test]
    fn one_of_several_callers_is_enough_for_a_shared_check() {
        let (line, problems) = changed(|sites, _| {
            let more = Test { package: "hn-x".to_owned(), name: "t9".to_owned() };
            sites[4].tests.push(more);
        });
        assert_eq!((line.as_str(), problems), ("148/148", vec![]));
    }

    #[test]
    fn cargo_test_does_not_say_whose_test_passed() {
        let (line, problems) = changed(|_, text| *text = text.replace("hn-x\tt4\tpassed", "*\tt4\tpassed"));
        assert_eq!((line.as_str(), problems), ("148/148", vec![]));
    }

    #[test]
    fn the_table_is_aligned() {
        let (mut sites, text) = whole();
        sites.push(site(900, &["M001"], &[]));
        sites.push(site(9000, &["M002"], &[]));
        let table = judge(&sites, &Evidence::read(&text)).table();
        let columns: Vec<_> = table.lines().map(|line| line.find("no test of")).collect();
        assert_eq!(columns.len(), 2);
        assert!(columns[0].is_some() && columns[0] == columns[1], "{table}");
    }
}
