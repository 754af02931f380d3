//! `docs/conformance.md`: rows, tests and decisions for people. Made from the sources and from `notes.toml`, without
//! anything that changes from run to run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use hn_conformance::rows;
use serde::Deserialize;

use super::collect::Site;

/// Below the top folder.
pub(super) const PATH: &str = "docs/conformance.md";

/// What people have to say about rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notes {
    /// Before the tables.
    introduction: String,
    /// What a row means here, where it cannot be meant literally.
    linux: BTreeMap<String, String>,
    /// Sources against each other.
    contradiction: Vec<Decision>,
    /// What no source tells.
    silence: Vec<Decision>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    subject: String,
    /// What the sources say, or do not.
    sources: String,
    decision: String,
    reason: String,
}

impl Notes {
    /// The notes of this repository.
    ///
    /// # Errors
    /// If they cannot be read, or name a row that does not exist.
    pub(super) fn own() -> Result<Self> {
        Self::read(include_str!("notes.toml")).context("notes.toml")
    }

    fn read(text: &str) -> Result<Self> {
        let notes: Self = toml::from_str(text)?;
        for id in notes.linux.keys() {
            ensure!(rows::ALL.iter().any(|row| row.id == id), "there is no row {id}");
        }
        Ok(notes)
    }
}

/// The whole document.
pub(super) fn write(notes: &Notes, sites: &[Site]) -> String {
    let mut text =
        format!("<!-- Made by `cargo xtask conformance --write`. -->\n\n{}\n", notes.introduction.trim());
    let mut area = "";
    for row in rows::ALL {
        if row.area != area {
            area = row.area;
            text.push_str(&format!(
                "\n## {area}\n\n| row | behaviour | on Linux | proved by | tier |\n|---|---|---|---|---|\n"
            ));
        }
        let naming: Vec<&Site> =
            sites.iter().filter(|site| site.rows.iter().any(|id| id == row.id)).collect();
        let tests: BTreeSet<String> = naming
            .iter()
            .flat_map(|site| site.tests.iter().map(|test| format!("[{}](../{})", test.name, site.file)))
            .collect();
        let tiers: BTreeSet<String> = naming.iter().map(|site| format!("{:?}", site.tier)).collect();
        let cells = [
            row.id.to_owned(),
            cell(row.text),
            notes.linux.get(row.id).map_or_else(String::new, |note| cell(note)),
            joined(tests, "<br>"),
            joined(tiers, ", "),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text.push_str("\n## Decisions\n\n### Where the sources contradict each other\n");
    text.push_str(&decisions(&notes.contradiction));
    text.push_str("\n### Where the sources are silent\n");
    text.push_str(&decisions(&notes.silence));
    text
}

fn decisions(all: &[Decision]) -> String {
    let line = |decision: &Decision| {
        let Decision { subject, sources, decision, reason } = decision;
        format!("| {} | {} | {} | {} |\n", cell(subject), cell(sources), cell(decision), cell(reason))
    };
    let lines: String = all.iter().map(line).collect();
    format!("\n| subject | sources | decision | reason |\n|---|---|---|---|\n{lines}")
}

/// Text that may stand in a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn joined(parts: BTreeSet<String>, between: &str) -> String {
    parts.into_iter().collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::conformance::collect::Test;
    use crate::test::Wanted;

    const NOTES: &str = "introduction = \"# T\"\n[linux]\nM001 = \"a | b\"\n\
                         [[contradiction]]\nsubject=\"s\"\nsources=\"x\\ny\"\ndecision=\"d\"\nreason=\"r\"\n[[silence]]\n\
                         subject=\"q\"\nsources=\"-\"\ndecision=\"d\"\nreason=\"r\"\n";

    fn site(file: &str, name: &str, tier: Wanted) -> Site {
        let test = Test { package: "hn-x".to_owned(), name: name.to_owned() };
        Site { file: file.to_owned(), line: 3, rows: vec!["M001".to_owned()], tests: vec![test], tier }
    }

    #[test]
    fn a_row_shows_its_tests_once_and_its_tiers() {
        let sites = [
            site("crates/x/tests/b.rs", "b", Wanted::T1),
            site("crates/x/tests/a.rs", "a", Wanted::T0),
            site("crates/x/tests/a.rs", "a", Wanted::T0),
        ];
        let text = write(&Notes::read(NOTES).unwrap(), &sites);
        let row = text.lines().find(|line| line.starts_with("| M001 ")).unwrap();
        assert!(
            row.ends_with(
                "| a \\| b | [a](../crates/x/tests/a.rs)<br>[b](../crates/x/tests/b.rs) | T0, T1 |"
            ),
            "{row}"
        );
        assert!(text.contains("| s | x y | d | r |") && text.contains("| q | - | d | r |"));
        assert_eq!(text.lines().filter(|line| line.starts_with("| M")).count(), 148);
    }

    #[test]
    fn a_note_for_a_row_that_does_not_exist_is_refused() {
        assert!(Notes::read(&NOTES.replace("M001", "M149")).is_err());
    }

    #[test]
    fn the_notes_of_this_repository_can_be_read() {
        let notes = Notes::own().unwrap();
        assert!(!notes.contradiction.is_empty() && !notes.silence.is_empty());
    }
}
