//! The peers: programs of the distribution, their configurations, and how they get here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use hn_testlab::command::{self, Background, SHORT};
use hn_testlab::tier;

use crate::bed::{Bed, HOST, Lab, PRIVATE, SERVER};
use crate::machine::pin;
use crate::report::say;

/// The packages a full run uses, and the program each is here for.
const PACKAGES: &[(&str, &str)] = &[
    ("iproute2", "ip"),
    ("nftables", "nft"),
    ("procps", "sysctl"),
    ("dnsmasq-base", "dnsmasq"),
    ("kea-dhcp4-server", "kea-dhcp4"),
    ("unbound", "unbound"),
];

/// Installs what is missing from the distribution, with a word about each; what cannot be installed is left out of
/// the comparison, loudly. No service of theirs is started.
pub(crate) fn install() -> Result<()> {
    let missing = || PACKAGES.iter().filter(|(_, program)| tier::program(program).is_none());
    let wanted: Vec<&str> = missing().map(|(package, _)| *package).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    say(&format!("installing from the distribution: {}", wanted.join(" ")));
    let deny = Denial::put()?;
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(words);
        command::run(&mut apt, std::time::Duration::from_secs(600)).and_then(command::Finished::success)
    };
    let get = |names: &[&str]| apt(&[&["-qq", "-y", "--no-install-recommends", "install"], names].concat());
    if get(&wanted).is_err() {
        if let Err(error) = apt(&["-qq", "update"]) {
            say(&format!("{error:#}"));
        }
        // One by one, so that one that is not there does not take the others with it.
        for package in &wanted {
            if let Err(error) = get(&[package]) {
                say(&format!("{error:#}"));
            }
        }
    }
    drop(deny);
    // Debian enables what it installs; nobody asked for these to run after the next boot.
    if Path::new("/run/systemd/system").exists() {
        for unit in ["kea-dhcp4-server", "unbound"].into_iter().filter(|unit| wanted.contains(unit)) {
            let _ = command::run(Command::new("systemctl").args(["disable", "--quiet", unit]), SHORT);
        }
    }
    for (package, program) in missing() {
        say(&format!("NOT COMPARED: {program} ({package}) could not be installed"));
    }
    for program in ["ip", "nft", "sysctl"] {
        ensure!(tier::program(program).is_some(), "{program} is needed for any comparison");
    }
    Ok(())
}

/// While it exists, packages that are installed do not start their services (Debian policy §9.3.3).
struct Denial(Option<&'static Path>);

impl Denial {
    fn put() -> Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        std::fs::write(path, "#!/bin/sh\nexit 101\n")?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for Denial {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Program and version of each peer that is here.
pub(crate) fn versions() -> Vec<String> {
    let first = |program: &str, words: &[&str]| {
        let path = tier::program(program)?;
        let said = command::run(Command::new(path).args(words), SHORT).ok()?;
        let text = format!("{}{}", said.stdout, said.stderr);
        Some(text.lines().find(|line| line.chars().any(|c| c.is_ascii_digit()))?.trim().to_owned())
    };
    let asked: [(&str, &str, &[&str]); 5] = [
        ("dnsmasq", "dnsmasq", &["--version"]),
        ("Kea", "kea-dhcp4", &["-v"]),
        ("unbound", "unbound", &["-V"]),
        ("nftables", "nft", &["--version"]),
        ("iproute2", "ip", &["-V"]),
    ];
    asked
        .into_iter()
        .map(|(name, program, words)| {
            let line = first(program, words).unwrap_or_else(|| "not installed, not compared".to_owned());
            let word =
                |word: &&str| word.trim_start_matches(['v', 'i']).starts_with(|c: char| c.is_ascii_digit());
            let version = line.split_whitespace().find(word).map(|word| word.trim_end_matches(','));
            format!("{name} {}", version.unwrap_or(&line))
        })
        .collect()
}

/// Whether a peer is here.
pub(crate) fn has(program: &str) -> bool {
    tier::program(program).is_some()
}

/// A peer at work in the router.
#[derive(Debug)]
pub(crate) struct Peer {
    program: Background,
    /// When it was started.
    pub(crate) began: Instant,
    folder: tempfile::TempDir,
}

impl Peer {
    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// The end of its log, for messages.
    pub(crate) fn log(&self) -> String {
        let own = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        format!("{}\n{own}", self.program.log_end())
    }
}

/// Starts `program` in the router on the servers' core, from a copy of its own: where AppArmor confines the
/// installed one to `/etc` and `/var`, the copy may read its configuration here.
fn start(
    lab: &Lab,
    bed: &Bed,
    program: &str,
    prepare: impl FnOnce(&Path, &mut Command) -> Result<()>,
) -> Result<Peer> {
    let folder = lab.folder()?;
    let mut command = bed.router.command(copy(program, folder.path())?);
    prepare(folder.path(), &mut command)?;
    pin(lab.cores.server)?;
    let began = Instant::now();
    Ok(Peer { program: Background::spawn(&mut command)?, began, folder })
}

/// A copy of an installed program in `folder`.
pub(crate) fn copy(program: &str, folder: &Path) -> Result<PathBuf> {
    let installed = tier::program(program).with_context(|| format!("{program} is not installed"))?;
    let copy = folder.join(program);
    std::fs::copy(installed, &copy)?;
    Ok(copy)
}

/// Hardware and IP address of a lease.
pub(crate) type Known = (String, std::net::Ipv4Addr);

/// dnsmasq as a DHCP server: `ping` is its own conflict check; `known` leases are there from the start.
pub(crate) fn dnsmasq_dhcp(lab: &Lab, bed: &Bed, ping: bool, known: &[Known]) -> Result<Peer> {
    start(lab, bed, "dnsmasq", |folder, command| {
        let at = |name: &str| folder.join(name);
        let check = if ping { "" } else { "no-ping\n" };
        let text = format!(
            "port=0\n{check}interface={PRIVATE}\nbind-interfaces\ndhcp-authoritative\n\
             dhcp-range=10.77.1.0,10.77.255.254,255.255.0.0,12h\ndhcp-lease-max=100000\n\
             dhcp-leasefile={}\npid-file={}\nuser=root\nquiet-dhcp\n",
            at("leases").display(),
            at("pid").display()
        );
        std::fs::write(at("conf"), text)?;
        let until = now() + 43_200;
        let leases: String = known.iter().map(|(mac, ip)| format!("{until} {mac} {ip} * *\n")).collect();
        std::fs::write(at("leases"), leases)?;
        command.arg("-k").arg("-C").arg(at("conf"));
        Ok(())
    })
}

/// Kea's configuration in `folder`; returns the file.
pub(crate) fn kea_configuration(folder: &Path) -> Result<PathBuf> {
    let at = |name: &str| folder.join(name);
    let options = [("routers", SERVER), ("domain-name-servers", SERVER)]
        .map(|(name, data)| serde_json::json!({"name": name, "data": data}));
    let text = serde_json::json!({"Dhcp4": {
        "interfaces-config": {"interfaces": [PRIVATE], "dhcp-socket-type": "raw"},
        "lease-database": {"type": "memfile", "persist": true, "name": at("leases.csv"), "lfc-interval": 0},
        "valid-lifetime": 43200,
        "multi-threading": {"enable-multi-threading": false},
        "subnet4": [{
            "subnet": "10.77.0.0/16",
            "pools": [{"pool": "10.77.1.0 - 10.77.255.254"}],
            "option-data": options,
        }],
        "loggers": [{"name": "kea-dhcp4", "severity": "ERROR", "output_options": [{"output": at("log")}]}],
    }});
    std::fs::write(at("conf"), serde_json::to_vec(&text)?)?;
    Ok(at("conf"))
}

/// Kea with its lease file; it does not check for conflicts.
pub(crate) fn kea(lab: &Lab, bed: &Bed, known: &[Known]) -> Result<Peer> {
    start(lab, bed, "kea-dhcp4", |folder, command| {
        let configuration = kea_configuration(folder)?;
        if !known.is_empty() {
            let until = now() + 43_200;
            let mut text = String::from(
                "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n",
            );
            for (mac, ip) in known {
                text.push_str(&format!("{ip},{mac},,43200,{until},1,0,0,,0,\n"));
            }
            std::fs::write(folder.join("leases.csv"), text)?;
        }
        command.arg("-c").arg(configuration).env("KEA_PIDFILE_DIR", folder).env("KEA_LOCKFILE_DIR", folder);
        Ok(())
    })
}

/// dnsmasq as a forwarder, with a cache of 10,000 names or its own default of 150.
pub(crate) fn dnsmasq_dns(lab: &Lab, bed: &Bed, large: bool) -> Result<Peer> {
    start(lab, bed, "dnsmasq", |folder, command| {
        let size = if large { "cache-size=10000\ndns-forward-max=10000\n" } else { "" };
        let text = format!(
            "no-resolv\nno-hosts\nserver={HOST}\nlisten-address={SERVER}\nbind-interfaces\nuser=root\n\
             pid-file={}\n{size}",
            folder.join("pid").display()
        );
        std::fs::write(folder.join("conf"), text)?;
        command.arg("-k").arg("-C").arg(folder.join("conf"));
        Ok(())
    })
}

/// unbound as a forwarder with one thread, without DNSSEC.
pub(crate) fn unbound(lab: &Lab, bed: &Bed) -> Result<Peer> {
    start(lab, bed, "unbound", |folder, command| {
        let at = folder.display();
        let text = format!(
            "server:\n interface: {SERVER}\n access-control: 10.77.0.0/16 allow\n num-threads: 1\n chroot: \"\"\n \
             directory: \"{at}\"\n username: \"\"\n pidfile: \"{at}/pid\"\n use-syslog: no\n logfile: \"{at}/log\"\n \
             module-config: \"iterator\"\n do-daemonize: no\n msg-cache-size: 32m\n rrset-cache-size: 64m\n \
             outgoing-range: 8192\n num-queries-per-thread: 4096\nremote-control:\n control-enable: no\n\
             forward-zone:\n name: \".\"\n forward-addr: {HOST}\n"
        );
        std::fs::write(folder.join("conf"), text)?;
        command.arg("-d").arg("-c").arg(folder.join("conf"));
        Ok(())
    })
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
