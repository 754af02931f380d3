//! The C and C++ programs, the examples and those of the laboratory: each is built by the line that its own header
//! comment prints, so that the line is true.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{Workspace, line, must, say};

/// Where sources lie, below the top folder.
const FOLDERS: [&str; 2] = ["examples/c", "crates/testlab/c"];
/// Before the command in the header comment.
const MARK: &str = "Build:";

/// Builds the libraries and then every program, beside the other programs in a folder `c`.
///
/// # Errors
/// If a compiler is missing or does not like what it reads, warnings included.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let folder = workspace.programs().join("c");
    std::fs::create_dir_all(&folder)?;
    let mut headers = Vec::new();
    let mut libraries = vec!["build", "--locked", "--lib"];
    let packages = workspace.metadata.workspace_packages();
    for package in &packages {
        for target in package.targets.iter().filter(|target| target.is_cdylib()) {
            libraries.extend(["-p", package.name.as_str()]);
            headers.extend(
                package.manifest_path.parent().map(|parent| parent.join("include").into_std_path_buf()),
            );
            // Programs that were linked to it ask for the first version of its interface.
            let (link, file) = (format!("lib{}.so.1", target.name), format!("../lib{}.so", target.name));
            let link = folder.join(link);
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(file, link)?;
        }
    }
    must(workspace.cargo(&libraries))?;
    let headers = std::env::join_paths(headers)?;
    for source in sources(workspace)? {
        let text = std::fs::read_to_string(&source).with_context(|| source.display().to_string())?;
        let words = words(&text).with_context(|| format!("{} has no line {MARK:?}", source.display()))?;
        let name = source.file_name().context("a source has a name")?;
        std::fs::copy(&source, folder.join(name))?;
        let (program, arguments) = words.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&folder);
        command.env("CPATH", &headers).env("LIBRARY_PATH", workspace.programs());
        let shown = line(&command);
        say(&shown);
        let done = command.output().with_context(|| format!("cannot start `{shown}`"))?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(
            done.status.success() && said.trim().is_empty(),
            "`{shown}` ended with {}:\n{said}",
            done.status
        );
    }
    Ok(())
}

/// Every program's source, in order.
fn sources(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let folder = workspace.root().join(folder);
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let source =
            |path: &Path| path.extension().is_some_and(|extension| extension == "c" || extension == "cpp");
        found.extend(entries.flatten().map(|entry| entry.path()).filter(|path| source(path)));
    }
    found.sort();
    Ok(found)
}

/// The words after the mark, if there is one.
fn words(text: &str) -> Option<Vec<&str>> {
    let command = text.lines().find_map(|line| line.split_once(MARK))?.1;
    Some(command.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_found_in_the_header_comment() {
        let text = "/* A program.\n *\n * Build: cc -o a a.c -lwlanapi\n */\nint main(void) { return 0; }\n";
        assert_eq!(words(text), Some(vec!["cc", "-o", "a", "a.c", "-lwlanapi"]));
        assert_eq!(words("int main(void) { return 0; }\n"), None);
    }
}
