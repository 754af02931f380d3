//! The state of a machine, to prove that it is afterwards what it was before.
//!
//! A picture holds what a person would look at: links, addresses, every routing table and rule, queueing
//! disciplines, the firewall, wireless interfaces, every setting under `/proc/sys/net`, the processes and the
//! content of `/etc`. Values that change by themselves are left out one by one, each with its reason
//! ([`VOLATILE_SYSCTLS`], `steady`).

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::ns::Namespace;
use crate::wait;

/// Settings below `/proc/sys/net` that are really counters or triggers, with the reason.
pub const VOLATILE_SYSCTLS: &[(&str, &str)] = &[
    ("netfilter/nf_conntrack_count", "the number of connections tracked at this moment"),
    ("ipv4/route/flush", "a trigger, not a value"),
    ("ipv6/route/flush", "a trigger, not a value"),
];

/// What one look at the machine saw: for each section its lines, by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemState {
    sections: BTreeMap<&'static str, Vec<String>>,
}

/// Lines that only one of two pictures has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// (section, line) seen before and missing after.
    pub gone: Vec<(&'static str, String)>,
    /// (section, line) seen after and missing before.
    pub new: Vec<(&'static str, String)>,
}

impl SystemState {
    /// Looks at `place`, at `/etc` and at the names in the folders `watched`.
    ///
    /// # Errors
    /// If one of the programs asked fails.
    pub fn capture(place: &Namespace, watched: &[&Path]) -> Result<Self> {
        let mut sections = BTreeMap::new();
        let mut ask = |section: &'static str, command: &str| -> Result<()> {
            let lines = place.run(command)?.stdout;
            let lines = lines.lines().map(steady).filter(|line| !line.trim().is_empty());
            sections.entry(section).or_insert_with(Vec::new).extend(lines);
            Ok(())
        };
        ask("ip link", "ip -o -d link show")?;
        ask("ip addr", "ip -o addr show")?;
        ask("ip route", "ip -4 -o route show table all")?;
        ask("ip route", "ip -6 -o route show table all")?;
        ask("ip rule", "ip -4 rule show")?;
        ask("ip rule", "ip -6 rule show")?;
        ask("tc qdisc", "tc qdisc show")?;
        ask("nft list ruleset", "nft list ruleset")?;
        // A kernel without wireless has no such folder, and iw fails there.
        if Path::new("/sys/class/ieee80211").exists() {
            ask("iw dev", "iw dev")?;
        }
        // The wireless listing mixes what is set with what is measured.
        if let Some(lines) = sections.get_mut("iw dev") {
            lines.retain(|line| {
                ["phy#", "Interface ", "type ", "addr "]
                    .iter()
                    .any(|kept| line.trim_start().starts_with(kept))
            });
        }
        sections.insert("sysctl net", place.enter(sysctls)?);
        sections.insert("processes", processes(place)?);
        sections.insert("/etc", tree(Path::new("/etc"), Contents::Hashed));
        sections.insert("folders", watched.iter().flat_map(|path| tree(path, Contents::Named)).collect());
        for lines in sections.values_mut() {
            lines.sort_unstable();
        }
        Ok(Self { sections })
    }

    /// What differs between `self` (before) and `after`.
    #[must_use]
    pub fn diff(&self, after: &Self) -> Difference {
        let lines = |state: &Self| -> Vec<(&'static str, String)> {
            state
                .sections
                .iter()
                .flat_map(|(name, lines)| lines.iter().map(|line| (*name, line.clone())))
                .collect()
        };
        let (left, right) = (lines(self), lines(after));
        Difference { gone: minus(&left, &right), new: minus(&right, &left) }
    }

    /// Looks again and again, for at most `limit`, until nothing differs from `self`: the kernel takes some
    /// things down after the call that asked for it has returned. Yields the last difference and the time.
    ///
    /// # Errors
    /// As [`capture`](Self::capture).
    pub fn restored(
        &self,
        place: &Namespace,
        watched: &[&Path],
        limit: Duration,
    ) -> Result<(Difference, Duration)> {
        let started = Instant::now();
        let mut last = Difference::default();
        let seen = wait::holds("the state of before", limit, || {
            last = self.diff(&Self::capture(place, watched)?);
            Ok(last.is_empty())
        });
        if let Err(error) = seen
            && last.is_empty()
        {
            return Err(error);
        }
        Ok((last, started.elapsed()))
    }

    /// How many lines were looked at, by section.
    #[must_use]
    pub fn sizes(&self) -> BTreeMap<&'static str, usize> {
        self.sections.iter().map(|(name, lines)| (*name, lines.len())).collect()
    }
}

impl Difference {
    /// Whether the two pictures were the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing differs");
        }
        for (sign, lines) in [("-", &self.gone), ("+", &self.new)] {
            for (section, line) in lines {
                writeln!(f, "{sign} [{section}] {line}")?;
            }
        }
        Ok(())
    }
}

/// Lines of `left` (sorted by section) that `right` has not, each counted.
fn minus(left: &[(&'static str, String)], right: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let mut counts: BTreeMap<&(&'static str, String), usize> = BTreeMap::new();
    for line in right {
        *counts.entry(line).or_default() += 1;
    }
    let mut rest = Vec::new();
    for line in left {
        match counts.get_mut(line) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) | None => rest.push(line.clone()),
        }
    }
    rest
}

/// A line without what changes by itself: remaining life times of addresses and routes, packet counters, and
/// the numbers `nft` and `ip` give to things that have a name.
fn steady(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for index in 1..words.len() {
        let ticking = matches!(words[index - 1].as_str(), "valid_lft" | "preferred_lft" | "expires" | "age");
        let counting = matches!(words[index - 1].as_str(), "packets" | "bytes" | "used");
        if (ticking && words[index] != "forever") || counting {
            words[index] = "…".to_owned();
        }
    }
    words.join(" ")
}

/// Every setting under `/proc/sys/net` of the calling thread's namespace.
fn sysctls() -> Vec<String> {
    let mut lines = Vec::new();
    let root = Path::new("/proc/sys/net");
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if VOLATILE_SYSCTLS.iter().any(|(volatile, _)| *volatile == name) {
                continue;
            }
            // Unset secrets and triggers cannot be read; that they cannot is a fact to compare, too.
            let value = std::fs::read(&path).map_or_else(
                |error| format!("({})", error.kind()),
                |bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned(),
            );
            lines.push(format!("{name} = {value}"));
        }
    }
    lines
}

/// The processes that matter at `place`: on a machine of our own all but those in the namespaces of other devices,
/// else those in the namespace and those which carry this project's program names and this namespace in their command line or environment.
fn processes(place: &Namespace) -> Result<Vec<String>> {
    let inside = place.processes()?;
    let elsewhere = named_namespaces();
    let own = std::process::id();
    let mut lines = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let folder = entry.path();
        let Ok(command_line) = std::fs::read(folder.join("cmdline")) else { continue };
        let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let mut fields = fields.split(' ');
        let (kind, parent) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        // Kernel threads come and go as the kernel likes; a dead child of the test itself is the test's affair.
        let kernel = pid == 2 || parent == "2";
        let reaped_soon = kind == "Z" && parent == own.to_string();
        if kernel || reaped_soon || pid == own || parent == own.to_string() && is_probe(&command_line) {
            continue;
        }
        let ours = match place.name() {
            None => !lives_in(&folder, &elsewhere),
            Some(name) => {
                inside.contains(&pid)
                    || std::fs::read(folder.join("environ"))
                        .is_ok_and(|environment| contains(&environment, format!("HN_LAB={name}").as_bytes()))
            }
        };
        if ours {
            let shown = String::from_utf8_lossy(&command_line).replace('\0', " ");
            let name = std::fs::read_to_string(folder.join("comm")).unwrap_or_default();
            lines.push(format!("{pid} {} {kind_if_dead}{shown}", name.trim_end(), kind_if_dead = dead(kind)));
        }
    }
    Ok(lines)
}

/// The inodes of the network namespaces that have a name: the other devices of the laboratory.
fn named_namespaces() -> Vec<u64> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(std::fs::metadata(entry.path()).ok()?.ino())).collect()
}

fn lives_in(process: &Path, namespaces: &[u64]) -> bool {
    std::fs::metadata(process.join("ns/net")).is_ok_and(|meta| namespaces.contains(&meta.ino()))
}

fn dead(kind: &str) -> &'static str {
    if kind == "Z" { "(zombie) " } else { "" }
}

/// Programs [`SystemState::capture`] itself starts, which another thread's look may see.
fn is_probe(command_line: &[u8]) -> bool {
    ["ip\0", "nft\0", "tc\0", "iw\0"].iter().any(|name| command_line.starts_with(name.as_bytes()))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[derive(Clone, Copy)]
enum Contents {
    Hashed,
    Named,
}

/// Every entry below `root`: name, kind, mode, owner, and for [`Contents::Hashed`] what is in it.
fn tree(root: &Path, contents: Contents) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        let mut line =
            format!("{} mode {:o} owner {}:{}", path.display(), meta.mode(), meta.uid(), meta.gid());
        if meta.is_dir() {
            if let Ok(entries) = std::fs::read_dir(&path) {
                open.extend(entries.flatten().map(|entry| entry.path()));
            }
        } else if meta.is_symlink() {
            let target = std::fs::read_link(&path).unwrap_or_default();
            line.push_str(&format!(" -> {}", target.display()));
        } else if meta.is_file()
            && matches!(contents, Contents::Hashed)
            && let Ok(bytes) = std::fs::read(&path)
        {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            line.push_str(&format!(" size {} hash {:016x}", bytes.len(), hasher.finish()));
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn state(lines: &[&str]) -> SystemState {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        SystemState { sections: BTreeMap::from([("ip addr", lines)]) }
    }

    #[test]
    fn equal_pictures_have_no_difference() {
        assert!(state(&["a", "a", "b"]).diff(&state(&["a", "b", "a"])).is_empty());
    }

    #[test]
    fn a_line_that_stands_twice_must_stand_twice_again() {
        let difference = state(&["a", "a"]).diff(&state(&["a"]));
        assert_eq!(difference.gone, [("ip addr", "a".to_owned())]);
        assert!(difference.new.is_empty());
    }

    #[test]
    fn a_difference_reads_like_a_patch() {
        let shown = state(&["10.0.0.1"]).diff(&state(&["10.0.0.2"])).to_string();
        assert_eq!(shown, "- [ip addr] 10.0.0.1\n+ [ip addr] 10.0.0.2\n");
    }

    #[test]
    fn ticking_life_times_and_counters_are_not_state() {
        assert_eq!(
            steady("inet 10.0.0.1/24 valid_lft 3599sec"),
            steady("inet 10.0.0.1/24 valid_lft 3598sec")
        );
        assert_ne!(steady("inet 10.0.0.1/24 valid_lft forever"), steady("inet 10.0.0.1/24 valid_lft 9sec"));
        assert_eq!(steady("counter packets 1 bytes 84 drop"), steady("counter packets 2 bytes 168 drop"));
    }

    #[test]
    fn a_changed_file_changes_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        std::fs::write(&file, "one").unwrap();
        let before = tree(folder.path(), Contents::Hashed);
        assert_eq!(before, tree(folder.path(), Contents::Hashed));
        std::fs::write(&file, "two").unwrap();
        assert_ne!(before, tree(folder.path(), Contents::Hashed));
    }
}
