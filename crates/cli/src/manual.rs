//! The man pages and the completions, made from the grammar. `cargo xtask man` writes them to `dist/`.

use std::{fs, io, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::args::{AFTER, Args};

/// What is printed at the foot of every page.
const SOURCE: &str = concat!("hostednet ", env!("CARGO_PKG_VERSION"));

/// When the pages were last gone through. Not the day they are made: the same grammar makes the same pages.
const DATE: &str = "2026-11-21";

/// What the grammar does not know.
const ROOT_END: &str = r"
.SH ENVIRONMENT
.TP
.B HOSTEDNET_SOCKET
The socket of the service, where
.B \-\-socket
is not given.
.TP
.B NO_COLOR
If set, nothing is coloured.
.SH FILES
.TP
.I /run/hostednet/bus
The socket of the service.
.SH SEE ALSO
.BR hostednetd (8),
.BR netsh (1hostednet),
.BR hostednet.toml (5),
.BR policy.toml (5)
";

/// The page of one command.
pub(crate) fn page(command: &Command) -> String {
    let man = Man::new(command.clone()).date(DATE).source(SOURCE).manual("hostednet");
    let mut roff = Vec::new();
    // Writing to memory does not fail.
    let _ = man.render_title(&mut roff);
    let _ = man.render_name_section(&mut roff);
    let _ = man.render_synopsis_section(&mut roff);
    let _ = man.render_description_section(&mut roff);
    let _ = man.render_options_section(&mut roff);
    if command.get_subcommands().any(|inner| !inner.is_hide_set()) {
        let _ = man.render_subcommands_section(&mut roff);
    }
    let mut page = String::from_utf8_lossy(&roff).into_owned();
    if command.get_name() == "hostednet" {
        let (examples, status) = AFTER.split_once("\n\n").unwrap_or((AFTER, ""));
        let examples: String =
            examples.lines().skip(1).map(|line| format!("{}\n", escaped(line.trim_start()))).collect();
        let status = status.strip_prefix("Exit status: ").unwrap_or(status);
        page.push_str(&format!(".SH EXAMPLES\n.EX\n{examples}.EE\n.SH \"EXIT STATUS\"\n{}", escaped(status)));
        page.push_str(ROOT_END);
    } else {
        page.push_str(".SH \"SEE ALSO\"\n.BR hostednet (1)\n");
    }
    page
}

/// Text that means itself in roff. No line of ours begins with a control character.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributed_pages_and_completions_are_those_of_this_grammar() {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
        for (name, text) in files() {
            let distributed = fs::read_to_string(dist.join(&name)).unwrap_or_default();
            assert!(distributed == text, "dist/{name} is not current: run `cargo xtask man`");
        }
    }
}
