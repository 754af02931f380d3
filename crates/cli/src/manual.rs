//! The man pages and the completions, made from the grammar.

use std::{fs, io, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::args::Args;

/// What is printed at the foot of every page.
const SOURCE: &str = concat!("hostednet ", env!("CARGO_PKG_VERSION"));

/// The page of one command.
pub(crate) fn page(command: &Command) -> String {
    let mut roff = Vec::new();
    let man = Man::new(command.clone()).source(SOURCE).manual("hostednet");
    // Writing to memory does not fail.
    let _ = man.render(&mut roff);
    String::from_utf8_lossy(&roff).into_owned()
}

/// Every page and every completion, by its name below the folder of distribution files: `man/hostednet-up.1`,
/// `completions/hostednet.bash`.
pub fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut root = Args::command().disable_help_subcommand(true);
    // Gives every subcommand its whole name.
    root.build();
    pages(&root, &mut files);
    for (shell, name) in
        [(Shell::Bash, "hostednet.bash"), (Shell::Zsh, "_hostednet"), (Shell::Fish, "hostednet.fish")]
    {
        let mut script = Vec::new();
        generate(shell, &mut Args::command(), "hostednet", &mut script);
        files.push((format!("completions/{name}"), String::from_utf8_lossy(&script).into_owned()));
    }
    files
}

fn pages(command: &Command, files: &mut Vec<(String, String)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    files.push((format!("man/{name}.1"), page(command)));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages(inner, files);
    }
}

/// Writes all of [`files`] below `folder`.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    for (name, text) in files() {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
