//! A machine with radios: the distribution's own kernel under qemu, with `mac80211_hwsim`.
//!
//! The radios hear each other through the kernel's whole 802.11 stack; nl80211, hostapd and wpa_supplicant
//! behave as on hardware. Everything else is the machine this runs on: its root file system is the VM's
//! (read-only, writes go to memory and are lost), the working directory and the environment are the caller's.
//! Nothing is installed and no KVM is needed.
//!
//! [`image`] makes kernel and initial RAM disk once; [`Machine::run`] boots them and runs one command.

pub mod image;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::radio::Hardware;
use image::Image;

/// Inside the VM: the folder that the host gets back.
pub const OUT: &str = "/mnt/out";
/// Inside the VM: the kernel modules that were loaded, to load `mac80211_hwsim` again with other radios.
pub const MODULES: &str = "/mnt/modules";

/// Whether this process runs inside the lab's VM.
#[must_use]
pub fn inside() -> bool {
    std::fs::read_to_string("/proc/cmdline")
        .is_ok_and(|line| line.split_whitespace().any(|word| word == "hostednet.lab"))
}

/// A machine to be booted.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its radios at boot.
    pub hardware: Hardware,
    /// Its memory.
    pub memory_mib: u32,
    /// Its processors.
    pub processors: u32,
    /// For how long it may live.
    pub limit: Duration,
    /// A folder of the host that the command can write to as [`OUT`].
    pub out: Option<PathBuf>,
    /// Added to the caller's environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            hardware: Hardware::radios(4),
            memory_mib: 1024,
            processors: 2,
            limit: Duration::from_secs(300),
            out: None,
            environment: Vec::new(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The command's exit status.
    pub status: i32,
    /// From the start of qemu to the command's first instruction.
    pub boot: Duration,
    /// From the start of qemu to its end.
    pub total: Duration,
}

impl Machine {
    /// Boots, runs `command`, hands its output (both streams) to `sink` as it comes, and ends.
    ///
    /// # Errors
    /// If qemu cannot be started or the command has not ended within the limit: with the end of the console.
    pub fn run(&self, image: &Image, command: &[OsString], sink: &mut dyn FnMut(&[u8])) -> Result<Ended> {
        let job = tempfile::tempdir()?;
        std::fs::write(job.path().join("command"), self.script(command)?)?;
        std::fs::write(job.path().join("run"), RUN)?;
        let output = job.path().join("output");
        File::create(&output)?;
        let started = Instant::now();
        let mut boot = None;
        let mut qemu = self.qemu(image, job.path())?.spawn().context("cannot start qemu-system-x86_64")?;
        let mut reader = File::open(&output)?;
        let deadline = started + self.limit;
        let mut late = false;
        loop {
            let ended = command::wait_child(&mut qemu, Duration::from_millis(50))?;
            if boot.is_none() && job.path().join("started").exists() {
                boot = Some(started.elapsed());
            }
            forward(&mut reader, sink)?;
            if ended.is_some() {
                break;
            }
            if Instant::now() > deadline {
                late = true;
                qemu.kill()?;
                qemu.wait()?;
                forward(&mut reader, sink)?;
                break;
            }
        }
        let Ok(status) = std::fs::read_to_string(job.path().join("status")) else {
            let console = std::fs::read(job.path().join("console")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console).into_owned();
            let lines: Vec<&str> = console.lines().collect();
            let end = lines[lines.len().saturating_sub(20)..].join("\n");
            let how = if late {
                format!("did not finish in {:.0} s", self.limit.as_secs_f64())
            } else {
                "stopped by itself".into()
            };
            bail!("the machine {how}; its console ended:\n{end}");
        };
        let status = status.trim().parse().context("the command's exit status")?;
        let total = started.elapsed();
        Ok(Ended { status, boot: boot.unwrap_or(total), total })
    }

    fn qemu(&self, image: &Image, job: &Path) -> Result<Command> {
        // setpriv: a lab whose caller is killed must not leave a machine running.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-nodefaults", "-vga", "none"]);
        qemu.args(["-display", "none", "-no-reboot", "-net", "none"]);
        qemu.arg("-smp").arg(self.processors.to_string()).arg("-m").arg(self.memory_mib.to_string());
        qemu.arg("-serial").arg(format!("file:{}", option_text(&job.join("console"))?));
        qemu.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initrd);
        let Hardware { radios, channels } = self.hardware;
        qemu.arg("-append").arg(format!("{KERNEL_LINE} radios={radios} channels={channels}"));
        qemu.args(["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]);
        qemu.arg("-virtfs")
            .arg(format!("local,path={},mount_tag=job,security_model=none", option_text(job)?));
        if let Some(out) = &self.out {
            std::fs::create_dir_all(out)?;
            let out = option_text(&out.canonicalize()?)?;
            qemu.arg("-virtfs").arg(format!("local,path={out},mount_tag=out,security_model=none"));
        }
        qemu.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(qemu)
    }

    /// The command as a script: environment, folder, words, all quoted.
    fn script(&self, command: &[OsString]) -> Result<Vec<u8>> {
        let mut script = Vec::new();
        let inherited = std::env::vars_os().filter(|(name, _)| {
            !["PWD", "OLDPWD", "SHLVL", "_"].iter().any(|skipped| name == OsStr::new(skipped))
        });
        for (name, value) in inherited.chain(self.environment.iter().cloned()) {
            let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            if !name.as_bytes().iter().all(word) || name.as_bytes().first().is_none_or(u8::is_ascii_digit) {
                continue;
            }
            script.extend_from_slice(b"export ");
            script.extend_from_slice(name.as_bytes());
            script.push(b'=');
            quote(&mut script, value.as_bytes());
            script.push(b'\n');
        }
        script.extend_from_slice(b"cd ");
        quote(&mut script, std::env::current_dir()?.as_os_str().as_bytes());
        script.extend_from_slice(b" || exit 125\n");
        for word in command {
            quote(&mut script, word.as_bytes());
            script.push(b' ');
        }
        script.push(b'\n');
        Ok(script)
    }
}

/// Arguments for a kernel that starts quickly: no probing of clocks, no self-tests, no mitigations (the
/// machine is an emulation anyway). The last word is how [`inside`] knows.
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 tsc=reliable clocksource=tsc no_timer_check mitigations=off \
    audit=0 selinux=0 apparmor=1 nokaslr cryptomgr.notests=1 rcupdate.rcu_expedited=1 random.trust_cpu=on \
    ima=off 8250.nr_uarts=1 i8042.noaux i8042.nokbd nowatchdog hostednet.lab";

/// What the machine runs when it is up.
const RUN: &str = "date +%s.%N >/mnt/job/started\n\
    bash /mnt/job/command >/mnt/job/output 2>&1 </dev/null\n\
    echo $? >/mnt/job/status.tmp && mv /mnt/job/status.tmp /mnt/job/status\n\
    sync\n";

/// A path inside a qemu option, where a comma must be doubled.
fn option_text(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.replace(',', ",,"))
}

/// Appends `word` in single quotes, for the shell.
fn quote(script: &mut Vec<u8>, word: &[u8]) {
    script.push(b'\'');
    for byte in word {
        match byte {
            b'\'' => script.extend_from_slice(b"'\\''"),
            other => script.push(*other),
        }
    }
    script.push(b'\'');
}

fn forward(reader: &mut File, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut bytes = Vec::new();
    // The file grows behind the kernel's back: go to where we were, so that nothing stale is believed.
    let position = reader.stream_position()?;
    reader.seek(SeekFrom::Start(position))?;
    reader.read_to_end(&mut bytes)?;
    if !bytes.is_empty() {
        sink(&bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn words_reach_the_machine_whatever_they_contain() {
        let words = ["printf", "%s|", "it's", "$HOME `x` \"y\"", "", "Café ☕"].map(OsString::from);
        let script = Machine::default().script(&words).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, script).unwrap();
        let done = command::run(Command::new("bash").arg(file), command::SHORT).unwrap();
        assert_eq!(done.stdout, "it's|$HOME `x` \"y\"||Café ☕|");
    }

    #[test]
    fn a_comma_in_a_path_is_doubled_for_qemu() {
        assert_eq!(option_text(Path::new("/a,b")).unwrap(), "/a,,b");
    }
}
