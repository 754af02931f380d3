//! Kernel and initial RAM disk of the lab's machine, made once and kept.
//!
//! The kernel is the newest the distribution ships, downloaded and unpacked but never installed. It is stored
//! uncompressed: software emulation spends longer on unpacking than on the rest of the boot.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command;

/// Changes when the content of the initial RAM disk does.
const VERSION: u32 = 1;
/// For downloading and unpacking.
const LONG: Duration = Duration::from_secs(600);

/// What qemu boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its initial RAM disk.
    pub initrd: PathBuf,
    /// The kernel's version.
    pub version: String,
}

/// What the machine is for: devices, radios, and all the firewall and link types a test may meet.
const MODULES: &[&str] = &[
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "overlay",
    "cfg80211",
    "mac80211",
    "mac80211_hwsim",
    "ccm",
    "cmac",
    "ctr",
    "gcm",
    "nf_tables",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nft_ct",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_chain_nat",
    "nft_fib_inet",
    "nft_reject_inet",
    "nft_limit",
    "nft_quota",
    "nft_log",
    "nft_flow_offload",
    "nf_flow_table",
    "nf_flow_table_inet",
    "nft_numgen",
    "nft_hash",
    "nft_socket",
    "nft_tproxy",
    "nft_compat",
    "xt_MASQUERADE",
    "xt_conntrack",
    "veth",
    "bridge",
    "br_netfilter",
    "tun",
    "dummy",
    "macvlan",
    "wireguard",
    "sch_htb",
    "sch_tbf",
    "sch_fq_codel",
    "sch_netem",
    "cls_bpf",
    "sch_ingress",
    "af_packet",
    "packet_diag",
    "inet_diag",
    "udp_diag",
    "tcp_diag",
    "unix_diag",
    "netlink_diag",
];

/// Packages a scenario needs that must not be installed beside what a machine has: elogind would replace systemd.
const UNINSTALLED: &[&str] = &["elogind"];

/// Inside the VM: names the folder with the unpacked packages, `PACKAGE.d` each.
pub const PACKAGES: &str = "LAB_PACKAGES";

/// Process 1 of the machine.
const INIT: &str = include_str!("init.sh");

/// Finds or makes the image below `cache`. `say` is told of what takes long.
///
/// # Errors
/// If the kernel's package cannot be downloaded, or a program is missing.
pub fn prepare(cache: &Path, say: &mut dyn FnMut(&str)) -> Result<Image> {
    std::fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let package = kernel_package(cache, say)?;
    let version = package.strip_prefix("linux-image-").context("name of the kernel's package")?.to_owned();
    let kernel = cache.join(format!("vmlinux-{version}"));
    let initrd = cache.join(format!("initrd-{version}-v{VERSION}.cpio"));
    for package in UNINSTALLED {
        if !cache.join(format!("{package}.d")).exists() {
            say(&format!("downloading {package} (unpacked for the lab, not installed)"));
            unpack(cache, package)?;
        }
    }
    if kernel.exists() && initrd.exists() {
        return Ok(Image { kernel, initrd, version });
    }
    say(&format!("downloading {package} and busybox-static (unpacked for the lab, not installed)"));
    let tree = unpack(cache, &package)?;
    let tools = unpack(cache, "busybox-static")?;
    let busybox = ["bin/busybox", "usr/bin/busybox"]
        .map(|file| tools.join(file))
        .into_iter()
        .find(|file| file.exists());
    let busybox = busybox.context("no busybox in the package busybox-static")?;
    uncompress(&tree.join(format!("boot/vmlinuz-{version}")), &kernel)?;
    pack(&tree, &version, &busybox, &initrd)?;
    // The packages' trees (hundreds of megabytes) have served.
    let _ = std::fs::remove_dir_all(&tree);
    let _ = std::fs::remove_dir_all(&tools);
    Ok(Image { kernel, initrd, version })
}

/// The name of the newest kernel's package; a cached one when the distribution cannot be asked.
fn kernel_package(cache: &Path, say: &mut dyn FnMut(&str)) -> Result<String> {
    let ask = || -> Result<Option<String>> {
        let listed =
            command::run(Command::new("apt-cache").args(["depends", "linux-image-amd64"]), command::SHORT)?;
        Ok(listed.stdout.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned))
    };
    if let Some(package) = ask()? {
        return Ok(package);
    }
    for entry in std::fs::read_dir(cache)?.flatten() {
        if let Some(version) = entry.file_name().to_str().and_then(|name| name.strip_prefix("vmlinux-")) {
            return Ok(format!("linux-image-{version}"));
        }
    }
    say("apt-get update");
    command::run(Command::new("apt-get").args(["-qq", "update"]), LONG)?.success()?;
    ask()?.context("the distribution offers no package linux-image-amd64")
}

/// Downloads `package` and unpacks it into a folder below `cache`.
fn unpack(cache: &Path, package: &str) -> Result<PathBuf> {
    let target = cache.join(format!("{package}.d"));
    if target.exists() {
        return Ok(target);
    }
    let work = tempfile::Builder::new().prefix("download-").tempdir_in(cache)?;
    let mut download = Command::new("apt-get");
    download.args(["-qq", "-o", "APT::Sandbox::User=root", "download", package]).current_dir(work.path());
    let done = command::run(&mut download, LONG)?;
    if !done.status.success() {
        // A list older than the mirror: the version it names is gone there.
        command::run(Command::new("apt-get").args(["-qq", "update"]), LONG)?.success()?;
        command::run(&mut download, LONG)?.success()?;
    }
    let deb = std::fs::read_dir(work.path())?.flatten().map(|entry| entry.path());
    let deb = deb.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "deb"));
    let tree = work.path().join("tree");
    let deb = deb.with_context(|| format!("apt-get download {package} left nothing"))?;
    command::run(Command::new("dpkg").arg("-x").arg(deb).arg(&tree), LONG)?.success()?;
    settle(&tree, &target)?;
    Ok(target)
}

/// Moves a finished file or folder to its place; another process may have been faster.
fn settle(from: &Path, to: &Path) -> Result<()> {
    match std::fs::rename(from, to) {
        Err(_) if to.exists() => Ok(()),
        other => other.with_context(|| format!("cannot move {} to {}", from.display(), to.display())),
    }
}

/// Takes the kernel proper out of a bzImage (Linux/x86 boot protocol 2.08: `payload_offset` at 0x248,
/// `payload_length` at 0x24c, the set-up's sectors at 0x1f1).
fn uncompress(image: &Path, kernel: &Path) -> Result<()> {
    let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let payload = payload(&bytes).context("the kernel is no bzImage of protocol 2.08")?;
    let folder = kernel.parent().context("a kernel needs a folder")?;
    let work = tempfile::tempdir_in(folder)?;
    let (packed, plain) = (work.path().join("packed"), work.path().join("plain"));
    std::fs::write(&packed, payload)?;
    let program = match payload {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ => bail!("the kernel is compressed in an unknown way"),
    };
    let mut unpack = Command::new(program);
    unpack.arg("-dc").stdin(File::open(&packed)?).stdout(File::create(&plain)?).stderr(Stdio::null());
    // The payload ends in its own length, which the program may call garbage: the result is judged, not the status.
    unpack.status().with_context(|| format!("cannot start {program}"))?;
    ensure!(std::fs::read(&plain)?.starts_with(b"\x7fELF"), "{program} did not yield a kernel");
    settle(&plain, kernel)
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| -> Option<usize> {
        usize::try_from(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?)).ok()
    };
    (image.get(0x202..0x206)? == b"HdrS").then_some(())?;
    let start = (usize::from(*image.get(0x1f1)?) + 1) * 512 + number(0x248)?;
    image.get(start..start.checked_add(number(0x24c)?)?.checked_sub(4)?)
}

/// Builds the initial RAM disk: busybox, the modules in the order they load, the regulatory database, init.
fn pack(tree: &Path, version: &str, busybox: &Path, initrd: &Path) -> Result<()> {
    command::run(Command::new("depmod").arg("-b").arg(tree).arg(version), LONG)?.success()?;
    let folder = initrd.parent().context("an image needs a folder")?;
    let stage = tempfile::tempdir_in(folder)?;
    for name in ["bin", "modules", "proc", "sys", "dev", "host", "overlay", "root", "lib/firmware"] {
        std::fs::create_dir_all(stage.path().join(name))?;
    }
    std::fs::copy(busybox, stage.path().join("bin/busybox"))?;
    for name in ["regulatory.db", "regulatory.db.p7s"] {
        let file = Path::new("/lib/firmware").join(name);
        if file.exists() {
            std::fs::copy(file, stage.path().join("lib/firmware").join(name))?;
        }
    }
    let (mut seen, mut order) = (BTreeSet::new(), String::new());
    for module in MODULES {
        let mut list = Command::new("modprobe");
        list.arg("-d").arg(tree).args(["-S", version, "--show-depends", module]);
        // Some of these are built into one kernel and modules of another.
        let listed = command::run(&mut list, command::SHORT)?;
        for path in listed.stdout.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            // After the path may stand options that this machine's /etc/modprobe.d gives.
            let path = Path::new(path.split_inclusive(".ko").next().unwrap_or(path));
            let name = path.file_name().context("a module without a name")?.to_string_lossy().into_owned();
            if seen.insert(name.clone()) {
                std::fs::copy(path, stage.path().join("modules").join(&name))
                    .with_context(|| format!("cannot copy {}", path.display()))?;
                order.push_str(&name);
                order.push('\n');
            }
        }
    }
    ensure!(seen.contains("mac80211_hwsim.ko"), "the kernel's package has no mac80211_hwsim");
    std::fs::write(stage.path().join("modules/order"), order)?;
    let init = stage.path().join("init");
    std::fs::write(&init, INIT)?;
    command::run(Command::new("chmod").arg("755").arg(&init), command::SHORT)?.success()?;
    let packed = tempfile::NamedTempFile::new_in(folder)?;
    let mut cpio = Command::new("sh");
    cpio.args(["-c", "find . | cpio -o -H newc --quiet >\"$0\""])
        .arg(packed.path())
        .current_dir(stage.path());
    command::run(&mut cpio, LONG)?.success()?;
    let (_, path) = packed.keep()?;
    settle(&path, initrd)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_payload_of_a_kernel_is_found_by_its_header() {
        let mut image = vec![0_u8; 4096];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&12_u32.to_le_bytes());
        image[1040..1048].copy_from_slice(b"PAYLOAD!");
        assert_eq!(payload(&image).unwrap(), b"PAYLOAD!");
    }

    #[test]
    fn a_file_that_is_no_kernel_has_no_payload() {
        assert_eq!(payload(b"#!/bin/sh\n"), None);
        let mut image = vec![0_u8; 4096];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&u32::MAX.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(payload(&image), None);
    }
}
