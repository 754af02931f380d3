//! What compiler and linter do not see: long files, words that tell history, names of crates that are gone.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::workspace::{Workspace, say};

/// Beyond this, a file is asked what the second idea in it is.
const LONG: usize = 900;

/// Words that do not belong into a comment, and why. Spelt in two halves, so that this file passes.
const WORDS: &[(&[&str], &str)] = &[
    (&["TO", "DO"], "do it, or open an issue"),
    (&["FIX", "ME"], "fix it, or open an issue"),
    (&["previous", "ly"], "comments tell what is, the history is in git"),
    (&["used ", "to be"], "comments tell what is, the history is in git"),
    (&["/work/", "shared"], "a path of one machine"),
];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut complaints = Vec::new();
    for file in sources(&workspace.root().join("crates")) {
        let text = std::fs::read_to_string(&file)?;
        let shown = file.strip_prefix(workspace.root()).unwrap_or(&file).display().to_string();
        complaints.extend(complain(&text).into_iter().map(|complaint| format!("{shown}:{complaint}")));
    }
    let architecture = workspace.root().join("ARCHITECTURE.md");
    if architecture.exists() {
        let text = std::fs::read_to_string(&architecture)?;
        let folders = folders(workspace);
        complaints.extend(
            unknown_crates(&text, &folders)
                .into_iter()
                .map(|name| format!("ARCHITECTURE.md: no crate {name:?}")),
        );
        let silent = folders.iter().filter(|folder| {
            !text.contains(&format!("`{folder}`")) && !text.contains(&format!("crates/{folder}"))
        });
        complaints.extend(silent.map(|folder| format!("ARCHITECTURE.md does not name the crate `{folder}`")));
    } else {
        complaints.push("there is no ARCHITECTURE.md".to_owned());
    }
    for complaint in &complaints {
        say(complaint);
    }
    if !complaints.is_empty() {
        bail!("{} complaints", complaints.len());
    }
    Ok(())
}

/// Folder names below `crates/`.
fn folders(workspace: &Workspace) -> Vec<String> {
    let packages = workspace.metadata.workspace_packages();
    let folder =
        |package: &&cargo_metadata::Package| Some(package.manifest_path.parent()?.file_name()?.to_owned());
    packages.iter().filter_map(folder).collect()
}

/// Rust files below `folder`, in order.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            open.extend(entries.map(|entry| entry.path()).filter(|path| !path.ends_with("target")));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is wrong with one file: line and reason.
fn complain(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let count = text.lines().count();
    if count > LONG {
        complaints.push(format!("{count}: longer than {LONG} lines; what is the second idea in it?"));
    }
    for (number, line) in text.lines().enumerate() {
        let Some((_, comment)) = line.split_once("//") else { continue };
        for (halves, reason) in WORDS {
            let word = halves.concat();
            let lower = comment.to_lowercase();
            if comment.contains(&word) || (!word.chars().all(char::is_uppercase) && lower.contains(&word)) {
                complaints.push(format!("{}: {word:?} in a comment: {reason}", number + 1));
            }
        }
    }
    complaints
}

/// Crates that `text` names (`crates/NAME` or `hn-NAME`) and that do not exist.
fn unknown_crates(text: &str, folders: &[String]) -> Vec<String> {
    let mut unknown = Vec::new();
    for prefix in ["crates/", "hn-"] {
        for (start, _) in text.match_indices(prefix) {
            let boundary = text[..start]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && before != '-');
            let rest = &text[start + prefix.len()..];
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if boundary && !name.is_empty() && !folders.contains(&name) {
                unknown.push(name);
            }
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_in_a_comment_is_found_and_in_a_string_is_not() {
        let text = format!("let a = \"used {}\";\nlet b = 1; // used {} two\n", "to be", "to be");
        let complaints = complain(&text);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with("2:"));
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(complain(&"\n".repeat(LONG)).is_empty());
        assert_eq!(complain(&"\n".repeat(LONG + 1)).len(), 1);
    }

    #[test]
    fn names_of_crates_that_are_gone_are_found() {
        let folders = ["dns".to_owned(), "dhcp4".to_owned()];
        let text = "`crates/dns` and hn-dhcp4, then crates/oldone and hn-gone; john-doe is no crate";
        assert_eq!(unknown_crates(text, &folders), ["oldone", "gone"]);
    }
}
