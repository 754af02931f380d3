//! What happens to a radio and its programs, and what must not come of it (peers §3, no. 8, 18 and 19).

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::serve::interrupt;
use super::{JOIN, SETTLE, Scenario, Scene, Stage, network};
use crate::lease::Client;
use crate::product;
use crate::radio::Hardware;
use crate::state::SystemState;
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "failure_8_a_program_that_may_not_be_run_is_not_called_missing",
        hardware: Hardware::radios(1),
        run: may_not_run,
    },
    Scenario {
        name: "failure_8_a_confined_hostapd_is_told_from_a_missing_file_and_works_with_our_snippet",
        hardware: Hardware::radios(2),
        run: confined,
    },
    Scenario {
        name: "failure_18_a_name_that_somebody_took_and_the_longest_of_names_do_no_harm",
        hardware: Hardware::radios(2),
        run: taken_names,
    },
    Scenario {
        name: "failure_18_an_access_point_that_is_renamed_is_back_under_its_own_name",
        hardware: Hardware::radios(2),
        run: renamed,
    },
    Scenario {
        name: "failure_19_no_orphan_survives_and_a_hanging_hostapd_holds_nothing_up",
        hardware: Hardware::radios(2),
        run: orphans,
    },
    Scenario {
        name: "failure_19_a_hostapd_that_hangs_in_the_start_ends_it_in_time_and_by_name",
        hardware: Hardware::radios(1),
        run: hangs_in_the_start,
    },
];

/// What a start that must fail may take: every patience of the radio's step together, in software emulation.
const BOUNDED: Duration = Duration::from_secs(60);

fn text(scene: &Scene, pointer: &str) -> Result<String> {
    let value = scene.product.field(pointer)?;
    Ok(value.as_str().with_context(|| format!("{pointer} is {value}"))?.to_owned())
}

fn hostapd() -> PathBuf {
    crate::tier::program("hostapd").unwrap_or_else(|| "/usr/sbin/hostapd".into())
}

/// Writes a program for a shell that stands in hostapd's place from the service's next start on.
fn stand_in(stage: &Stage, scene: &Scene, script: &str) -> Result<PathBuf> {
    let path = stage.machine.files().join("hostapd");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
    stage.machine.run(&format!("chmod 755 {}", path.display()))?;
    scene.product.configure(&format!("[hosted_network]\nhostapd = {path:?}\n"))?;
    Ok(path)
}

/// `hostednet start` must fail; what it says.
fn refused(scene: &Scene) -> Result<String> {
    let done = scene.product.attempt(["start"])?;
    let log = scene.product.log();
    ensure!(!done.status.success(), "it started what cannot run; hostednetd says:\n{log}");
    ensure!(done.stderr.contains("step radio"), "the step is not named: {}", done.stderr);
    Ok(done.stderr)
}

/// Nobody is told to install what is there, or that a file is missing.
fn not_called_missing(said: &str) -> Result<()> {
    for wrong in ["apt-get", "not installed", "No such file", "no such file", "does not exist", "missing"] {
        ensure!(!said.contains(wrong), "{wrong:?} in: {said}");
    }
    Ok(())
}

/// Made before the service is, to tell what was written since.
fn beginning(stage: &Stage) -> Result<PathBuf> {
    let path = stage.machine.files().join("beginning");
    std::fs::write(&path, "")?;
    Ok(path)
}

/// Every file in the places for temporary and changing things that was written since `beginning` and holds one of
/// `secrets`.
fn files_with(stage: &Stage, beginning: &Path, secrets: &[String]) -> Result<Vec<PathBuf>> {
    let since = format!("-newer {}", beginning.display());
    // What lies in /tmp of the host of this machine is much, and none of it is new.
    let tops = stage.machine.attempt(&format!("find /tmp -mindepth 1 -maxdepth 1 {since}"))?.stdout;
    let places = tops.lines().chain(["/run", "/var", "/dev/shm", "/etc"]).collect::<Vec<_>>().join(" ");
    // Some of it goes while it is looked for.
    let words = format!("{places} -xdev -type f -size -1000k {since}");
    let mut find = std::process::Command::new("find");
    let written = crate::command::run(find.args(words.split_whitespace()), JOIN)?.stdout;
    let mut found = Vec::new();
    for path in written.lines() {
        let bytes = std::fs::read(path).unwrap_or_default();
        let holds = |secret: &String| {
            bytes.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret.as_bytes()))
        };
        if secrets.iter().any(holds) {
            found.push(path.into());
        }
    }
    Ok(found)
}

/// While the network runs, no file holds its key but our own settings, and those are for root alone.
fn no_secret_lies_about(stage: &Stage, scene: &Scene, ssid: &str, since: &Path) -> Result<()> {
    let key = scene.primary_key()?;
    let derived = stage.machine.run(&format!("wpa_passphrase {ssid} {key}"))?.stdout;
    let psk = derived.lines().find_map(|line| line.trim().strip_prefix("psk=")).filter(|psk| psk.len() == 64);
    let psk = psk.with_context(|| format!("wpa_passphrase says {derived}"))?.to_owned();
    let found = files_with(stage, since, &[key.clone(), psk])?;
    let settings = scene.product.state.join("settings.json");
    ensure!(found == [settings.as_path()], "files with the key: {found:?}");
    let mode = std::fs::metadata(&settings)?.mode() & 0o777;
    ensure!(mode == 0o600, "{} has mode {mode:o}", settings.display());
    // Nor does a line of a process's arguments or environment.
    for entry in std::fs::read_dir("/proc")?.flatten() {
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
            let told = bytes.windows(key.len()).any(|window| window == key.as_bytes());
            ensure!(!told, "{} holds the key", entry.path().join(file).display());
        }
    }
    Ok(())
}

/// The kernel answers `EACCES` to the attempt to run hostapd, as it does for a mandatory access control: that is said,
/// with the path and a remedy, and nobody is told to install what is there.
fn may_not_run(stage: &mut Stage) -> Result<()> {
    let since = beginning(stage)?;
    let mut scene = stage.scene()?;
    scene.product.run(["settings", "set", "--ssid", "denied"])?;
    scene.product.terminate()?;
    let folder = stage.machine.files().join("noexec");
    std::fs::create_dir_all(&folder)?;
    stage.machine.run(&format!("mount -t tmpfs -o noexec,mode=755 tmpfs {}", folder.display()))?;
    let copy = folder.join("hostapd");
    std::fs::copy(hostapd(), &copy)?;
    stage.machine.run(&format!("chmod 755 {}", copy.display()))?;
    scene.product.configure(&format!("[hosted_network]\nhostapd = {copy:?}\n"))?;
    scene.product.start(&stage.machine)?;
    let running = SystemState::capture(&stage.machine, &[])?;
    let said = refused(&scene)?;
    ensure!(said.contains(&copy.display().to_string()) && said.contains("may not run"), "{said}");
    ensure!(said.contains("noexec") && said.contains("system_denied"), "{said}");
    not_called_missing(&said)?;
    let (difference, _) = running.restored(&stage.machine, &[], SETTLE)?;
    ensure!(difference.is_empty(), "not rolled back:\n{difference}");
    stage.say("denied by the kernel");
    // The same file without the mark of a program.
    scene.product.terminate()?;
    stage.machine.run(&format!("umount {}", folder.display()))?;
    std::fs::copy(hostapd(), &copy)?;
    stage.machine.run(&format!("chmod 644 {}", copy.display()))?;
    scene.product.start(&stage.machine)?;
    let said = refused(&scene)?;
    ensure!(said.contains("may not run") && said.contains("chmod"), "{said}");
    not_called_missing(&said)?;
    stage.say("denied by its mode");
    // The remedy is one, and what then runs has no file with a secret.
    stage.machine.run(&format!("chmod +x {}", copy.display()))?;
    scene.product.run(["start"])?;
    scene.product.await_field("/hosted_network/state", &json!("active"), JOIN)?;
    no_secret_lies_about(stage, &scene, "denied", &since)
}

/// A profile as distributions ship them: hostapd may read what is in its own folder of `/etc`, make its sockets in its own
/// folder of `/run`, and nothing else. The machine of the lab is a changed root, hence the flag.
const PROFILE: &str = "abi <abi/3.0>,\n\
    include <tunables/global>\n\
    profile hostapd /{root/,}usr/sbin/hostapd flags=(chroot_relative) {\n\
    include <abstractions/base>\n\
    capability net_admin,\n\
    capability net_raw,\n\
    network,\n\
    /usr/sbin/hostapd mr,\n\
    /etc/hostapd.* r,\n\
    @{run}/hostapd/ rw,\n\
    @{run}/hostapd/** rw,\n\
    /dev/rfkill rw,\n\
    @{sys}/** r,\n\
    include if exists <local/hostapd>\n\
    }\n";

/// AppArmor confines hostapd and knows nothing of us. What it denies is said so, with where to allow it; with what we ship
/// for that, devices get online, and the profile enforces as before.
fn confined(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    scene.product.run(["settings", "set", "--ssid", "confined"])?;
    scene.product.terminate()?;
    // The folders of an installation: the snippet speaks of them.
    scene.product.runtime = "/run/hostednet".into();
    scene
        .product
        .configure(&format!("[hosted_network]\nhostapd = {:?}\n", Path::new("/usr/sbin/hostapd")))?;
    let _ = stage.machine.attempt("mount -t securityfs securityfs /sys/kernel/security")?;
    let profile = Path::new("/etc/apparmor.d/hostapd");
    let local = Path::new("/etc/apparmor.d/local/hostapd");
    std::fs::write(profile, PROFILE)?;
    let _ = std::fs::remove_file(local);
    let load = format!("apparmor_parser --replace --skip-cache {}", profile.display());
    let enforced = || -> Result<bool> {
        let loaded = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles")?;
        Ok(loaded.lines().any(|line| line == "hostapd (enforce)"))
    };
    stage.machine.run(&load)?;
    ensure!(enforced()?, "the profile is not loaded");
    stage.say("hostapd is confined");
    scene.product.start(&stage.machine)?;
    let running = SystemState::capture(&stage.machine, &[])?;
    let said = refused(&scene)?;
    stage.say(&said);
    ensure!(said.contains("system_denied") && said.contains("AppArmor"), "{said}");
    ensure!(said.contains("/etc/apparmor.d/local"), "no remedy: {said}");
    not_called_missing(&said)?;
    let (difference, _) = running.restored(&stage.machine, &[], SETTLE)?;
    ensure!(difference.is_empty(), "not rolled back:\n{difference}");
    ensure!(enforced()?, "somebody weakened the profile");
    // The remedy.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/apparmor/local/hostapd");
    std::fs::copy(&ours, local).with_context(|| format!("copy {}", ours.display()))?;
    stage.machine.run(&load)?;
    let mut up = scene.up("confined").with_context(|| {
        let denials = stage.machine.attempt("dmesg").map(|done| done.stdout).unwrap_or_default();
        denials.lines().filter(|line| line.contains("DENIED")).collect::<Vec<_>>().join("\n")
    })?;
    stage.say("it runs, confined");
    let mut guest = stage.station()?;
    guest.join(&network("confined", &scene.primary_key()?), JOIN)?;
    scene.online(&mut guest, Client::Udhcpc)?;
    guest.leave()?;
    // Keys that change are read again, and a second one too.
    scene.product.feed(["key", "set"], b"another long key")?;
    guest.join(&network("confined", "another long key"), JOIN)?;
    scene.await_peer(&guest, "secondary")?;
    guest.leave()?;
    interrupt(&mut up)?;
    ensure!(enforced()?, "somebody weakened the profile");
    scene.product.terminate()?;
    std::fs::remove_file(profile)?;
    std::fs::remove_file(local)?;
    scene.restored(&stage.machine)
}

/// The machine's station has a name of 15 bytes, as udev gives them, and somebody has an interface called as ours
/// would be. Ours gets another name, theirs stays, and after a crash only ours is cleared away, even when the journal of
/// what we did is lost.
fn taken_names(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    scene.product.terminate()?;
    let long = "wlx0200000000ab";
    stage.machine.ip(&format!("link set {} down", scene.radio.interface))?;
    stage.machine.ip(&format!("link set {} name {long}", scene.radio.interface))?;
    stage.machine.ip(&format!("link set {long} up"))?;
    stage.machine.ip("link add hnap0 type dummy")?;
    stage.machine.ip("link set hnap0 alias hostednet")?;
    scene.before = SystemState::capture(&stage.machine, &[])?;
    let theirs = |stage: &Stage| stage.machine.ip("-o link show dev hnap0").map(|done| done.stdout);
    let foreign = theirs(stage)?;
    scene.product.start(&stage.machine)?;
    let mut up = scene.up("names")?;
    let ours = text(&scene, "/hosted_network/interface")?;
    ensure!(ours != "hnap0" && ours.starts_with("hnap"), "ours is {ours}");
    let mut guest = stage.station()?;
    guest.join(&network("names", &scene.primary_key()?), JOIN)?;
    scene.online(&mut guest, Client::Udhcpc)?;
    guest.leave()?;
    scene.product.kill()?;
    up.await_end(SETTLE)?;
    // What a kernel that does not take it away with its maker would leave, and a crash that costs the journal.
    wait::holds("the kernel to take it away", SETTLE, || Ok(!stage.machine.has_interface(&ours)?))?;
    let maker = std::fs::read_to_string("/proc/self/stat")?;
    let started: u64 =
        maker.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)?.parse().ok()).unwrap_or(1);
    let namespace = std::fs::metadata("/proc/self/ns/pid")?.ino();
    // The id of this very process with another start: whoever had it is dead.
    let tag = format!("hostednet {} {} {namespace}", std::process::id(), started.saturating_sub(1));
    stage.machine.run(&format!("iw phy {} interface add {ours} type __ap", scene.radio.phy))?;
    let words = ["link", "set", "dev", ours.as_str(), "alias", tag.as_str()];
    crate::command::run(std::process::Command::new("ip").args(words), crate::command::SHORT)?.success()?;
    std::fs::remove_file(scene.product.state.join("undo.journal"))?;
    stage.say("killed, and the journal is lost");
    scene.product.start(&stage.machine)?;
    ensure!(!stage.machine.has_interface(&ours)?, "our stale interface is there still");
    ensure!(theirs(stage)? == foreign, "the interface of somebody else was touched");
    let mut up = scene.up("names")?;
    ensure!(text(&scene, "/hosted_network/interface")? == ours, "another name after the crash");
    guest.join(&network("names", &scene.primary_key()?), JOIN)?;
    interrupt(&mut up)?;
    ensure!(theirs(stage)? == foreign, "the interface of somebody else was touched");
    scene.product.terminate()?;
    stage.machine.ip("link del hnap0").map(drop)
}

/// A rule of udev renames what we make the moment it is there: hostapd does not find it, it gets its name back, and the
/// start goes on. And while the network runs somebody sets it down to rename it: the network is back by itself, and nothing of
/// it stays behind under any other name.
fn renamed(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    scene.product.terminate()?;
    let done = stage.machine.files().join("renamed");
    // As udev: once for each new device, before anybody uses it.
    let script = format!(
        "test -e {done} || {{ ip link set hnap0 name wlx020000000100 && touch {done}; }}\nexec {hostapd} \"$@\"",
        done = done.display(),
        hostapd = hostapd().display()
    );
    stand_in(stage, &scene, &script)?;
    scene.product.start(&stage.machine)?;
    let mut up = scene.up("renamed")?;
    ensure!(done.exists(), "nobody renamed it: the test proves nothing");
    ensure!(text(&scene, "/hosted_network/interface")? == "hnap0", "its name is not its own");
    ensure!(!stage.machine.has_interface("wlx020000000100")?, "it has the name that it was given");
    let mut guest = stage.station()?;
    guest.join(&network("renamed", &scene.primary_key()?), JOIN)?;
    scene.online(&mut guest, Client::Udhcpc)?;
    guest.leave()?;
    stage.say("renamed in the start");
    // While it runs. A kernel that renames what is up (6.2 and later) is asked to rename it back; this one says that it is
    // busy, and whoever insists takes the access point down, which `up` wants and so makes anew.
    let other = "wlx020000000101";
    let wanted = format!("link set hnap0 name {other}");
    if !stage.machine.attempt(&format!("ip {wanted}"))?.status.success() {
        // In one breath, before anybody can act on the first of the two.
        let batch = stage.machine.files().join("batch");
        std::fs::write(&batch, format!("link set hnap0 down\n{wanted}\n"))?;
        stage.machine.run(&format!("ip -batch {}", batch.display()))?;
    }
    wait::holds("nothing to have the other name", SETTLE, || Ok(!stage.machine.has_interface(other)?))
        .with_context(|| scene.product.log())?;
    scene.product.await_field("/hosted_network/state", &json!("active"), JOIN)?;
    ensure!(text(&scene, "/hosted_network/interface")? == "hnap0", "its name is not its own");
    ensure!(stage.machine.has_interface("hnap0")?, "there is none of this name");
    stage.say("renamed while it ran");
    guest.join(&network("renamed", &scene.primary_key()?), JOIN)?;
    scene.online(&mut guest, Client::Udhcpc)?;
    guest.leave()?;
    interrupt(&mut up)?;
    scene.product.terminate()?;
    scene.restored(&stage.machine)
}

/// The children of the service: hostapd and the worker.
fn children(scene: &Scene) -> Result<Vec<Pid>> {
    product::children(scene.product.pid().context("the service runs")?)
}

/// Whether a process is gone but for its parent's word.
fn is_gone(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// hostapd and the worker end with a service that is killed, however; what the dead service left in its folders keeps no
/// new one from starting; and a hostapd that hangs is ended in bounded time.
fn orphans(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    let mut up = scene.up("orphans")?;
    let family = children(&scene)?;
    ensure!(family.len() >= 2, "hostapd and the worker are there: {family:?}");
    scene.product.kill()?;
    up.await_end(SETTLE)?;
    wait::holds("the children of the service to end", SETTLE, || {
        Ok(family.iter().all(|child| is_gone(*child)))
    })?;
    let stale: Vec<_> = ["bus", "hostapd/global"].map(|name| scene.product.runtime.join(name)).to_vec();
    ensure!(stale.iter().all(|path| path.exists()), "it left no socket: the test proves nothing");
    ensure!(scene.product.state.join("lock").exists(), "it left no lock: the test proves nothing");
    stage.say("killed, and nothing of it runs");
    scene.product.start(&stage.machine)?;
    let mut up = scene.up("orphans")?;
    let hangs = children(&scene)?.into_iter().find(|child| {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", child.as_raw_nonzero()));
        name.is_ok_and(|name| name.trim() == "hostapd")
    });
    let hangs = hangs.context("hostapd runs")?;
    kill_process(hangs, Signal::STOP)?;
    let asked = Instant::now();
    interrupt(&mut up)?;
    scene.product.await_field("/hosted_network/state", &json!("idle"), BOUNDED)?;
    stage.say(&format!("a hanging hostapd was ended in {:.1} s", asked.elapsed().as_secs_f64()));
    wait::holds("hostapd to be gone", SETTLE, || Ok(is_gone(hangs)))?;
    // And at the end of the service itself.
    let _up = scene.up("orphans")?;
    let family = children(&scene)?;
    for child in &family {
        kill_process(*child, Signal::STOP)?;
    }
    scene.product.terminate()?;
    ensure!(family.iter().all(|child| is_gone(*child)), "a child that hangs survives its service");
    scene.restored(&stage.machine)
}

/// hostapd hangs before it has a socket, and after it has one: the start fails in bounded time, names the step and what
/// hangs, and leaves nothing; the next one works.
fn hangs_in_the_start(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    scene.product.run(["settings", "set", "--ssid", "hangs"])?;
    let real = hostapd();
    // Stopped the moment it answers on its socket: by then it is told of the interface.
    let stopped = format!(
        "me=$$\n( while ! test -S {socket}; do :; done; kill -STOP $me ) &\nexec {real} \"$@\"",
        socket = scene.product.runtime.join("hostapd/global").display(),
        real = real.display()
    );
    for (when, script) in [("before", "exec sleep 1000"), ("after", stopped.as_str())] {
        scene.product.terminate()?;
        let program = stand_in(stage, &scene, script)?;
        scene.product.start(&stage.machine)?;
        let running = SystemState::capture(&stage.machine, &[])?;
        let asked = Instant::now();
        let said = refused(&scene)?;
        let took = asked.elapsed();
        ensure!(took < BOUNDED, "it took {took:?}");
        ensure!(said.contains("does not answer") && said.contains("hostapd"), "{when}: {said}");
        let (difference, _) = running.restored(&stage.machine, &[], SETTLE)?;
        ensure!(difference.is_empty(), "{when}: not rolled back:\n{difference}");
        let left = product::processes()?;
        ensure!(!left.iter().any(|line| line.ends_with("hostapd")), "{when}: still there: {left:?}");
        stage.say(&format!("hung {when} its socket: {:.1} s: {}", took.as_secs_f64(), said.trim()));
        std::fs::remove_file(program)?;
    }
    scene.product.terminate()?;
    scene.product.configure("")?;
    scene.product.start(&stage.machine)?;
    let mut up = scene.up("hangs")?;
    interrupt(&mut up)?;
    scene.product.terminate()?;
    scene.restored(&stage.machine)
}
