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

/// Examples by page: what is typed or printed, without more words than it takes to see why.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "hostednet-share",
        "\
hostednet share auto eth1                 by the default route, wherever it leads
hostednet share eth0 eth1 hosted-network  two private connections, one segment
hostednet share wwan0 eth1                another way out and one wire less: who is online stays online
hostednet share wg0 eth1                  behind a tunnel, names included; when it falls nothing leaves another way
hostednet share ppp0 eth1                 behind PPPoE: devices are told its MTU, TCP is clamped to it both ways
nmcli connection down guests && hostednet share eth0 eth1
                                          where NetworkManager shares eth1 itself",
    ),
    (
        "hostednet-status",
        "\
hostednet status                                    which way IPv6 takes, and why:
  IPv6          2001:db8:100::/64, delegated: 2001:db8:100::/56 was delegated on eth0
hostednet status --json | jq .neighbours            other programs, what they hold and were asked for
hostednet status --json | jq .refused               packets and requests that were refused, by reason",
    ),
    (
        "hostednet-forward",
        "\
hostednet forward add web tcp 8080 tv:80   port 8080 outside leads to the device called tv
hostednet forward list                     these, and what devices opened by UPnP, NAT-PMP and PCP, IPv6 included
hostednet forward remove 3                 whoever opened it",
    ),
    (
        "hostednet-device",
        "\
hostednet device set tv --name 'Living room' --down 20Mbit --quota 5GB --per day
hostednet device set tv --isolate yes     apart from the other devices
hostednet device block tv                 at once, and after a restart
hostednet device list                     with what each has used",
    ),
    (
        "hostednet-settings-set",
        "\
hostednet settings set --security transition --hidden --isolate
hostednet status                          what runs, on which channel, and why it is another than wished for",
    ),
    (
        "hostednet-doctor",
        "\
hostednet doctor pixel
  ✗ rules of nftables drop a name query to 9.9.9.9: inet guard / chain passing / rule 2: ip saddr 192.168.137.20 drop
    try: take that rule away, or put an exception before it
         sudo nft delete rule inet guard passing handle 2",
    ),
];

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
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        if let Some((_, lines)) = EXAMPLES.iter().find(|(page, _)| *page == name) {
            page.push_str(&format!(".SH EXAMPLES\n.EX\n{}\n.EE\n", escaped(lines)));
        }
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
    fn every_example_is_of_a_page_that_exists_and_of_words_that_the_program_takes() {
        let pages = files();
        for (page, lines) in EXAMPLES {
            let found = pages.iter().find(|(name, _)| *name == format!("man/{page}.1"));
            assert!(found.is_some_and(|(_, text)| text.contains(".SH EXAMPLES")), "{page}");
            for line in lines.lines().filter(|line| line.starts_with("hostednet ")) {
                // What follows two blanks or a pipe is no command of ours.
                let typed =
                    line.split("  ").next().and_then(|typed| typed.split(" | ").next()).unwrap_or_default();
                let words = typed.replace("'Living room'", "Living-room");
                let taken = Args::command().try_get_matches_from(words.split(' '));
                assert!(
                    taken.is_ok(),
                    "{words}: {}",
                    taken.err().map(|it| it.to_string()).unwrap_or_default()
                );
            }
        }
    }

    #[test]
    fn the_distributed_pages_and_completions_are_those_of_this_grammar() {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
        for (name, text) in files() {
            let distributed = fs::read_to_string(dist.join(&name)).unwrap_or_default();
            assert!(distributed == text, "dist/{name} is not current: run `cargo xtask man`");
        }
    }
}
