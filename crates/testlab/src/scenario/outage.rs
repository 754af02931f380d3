//! What happens to a radio and its programs, and what must not come of it (peers §3).

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::serve::interrupt;
use super::{JOIN, SETTLE, Scenario, Scene, Stage, network};
use crate::lease::Client;
use crate::product;
use crate::radio::Hardware;
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "failure_7_a_radio_that_was_off_returns_with_key_address_and_leases",
        hardware: Hardware::radios(2),
        run: off_and_on,
    },
    Scenario {
        name: "failure_8_a_program_that_may_not_be_run_is_not_called_missing",
        hardware: Hardware::radios(1),
        run: may_not_run,
    },
    Scenario {
        name: "failure_18_a_name_that_somebody_took_and_the_longest_of_names_do_no_harm",
        hardware: Hardware::radios(2),
        run: names,
    },
    Scenario {
        name: "failure_19_no_orphan_survives_and_a_hanging_hostapd_holds_nothing_up",
        hardware: Hardware::radios(2),
        run: orphans,
    },
];

fn text(scene: &Scene, pointer: &str) -> Result<String> {
    let value = scene.product.field(pointer)?;
    Ok(value.as_str().with_context(|| format!("{pointer} is {value}"))?.to_owned())
}

/// A switch is turned while a device is online, as on a laptop that sleeps: the network says that it is unavailable,
/// comes back by itself while somebody wants it, and the device finds everything as it was.
fn off_and_on(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let mut up = scene.up("laptop")?;
    let key = scene.primary_key()?;
    let bssid = text(&scene, "/hosted_network/bssid")?;
    let mut guest = stage.station()?;
    guest.join(&network("laptop", &key), JOIN)?;
    let lease = scene.online(&mut guest, Client::Udhcpc)?;
    let switch = super::hardware::switch(&scene.radio)?;
    std::fs::write(&switch, "1")?;
    scene.product.await_field("/hosted_network/state", &json!("unavailable"), SETTLE)?;
    ensure!(!text(&scene, "/hosted_network/detail")?.is_empty(), "it does not say why");
    let interface = "hnap0";
    wait::holds("the access point to be gone", SETTLE, || Ok(!stage.machine.has_interface(interface)?))?;
    stage.say("off");
    std::fs::write(&switch, "0")?;
    scene
        .product
        .await_field("/hosted_network/state", &json!("active"), JOIN)
        .with_context(|| format!("`up` says:\n{}", up.log_end()))?;
    stage.say("on");
    ensure!(scene.primary_key()? == key, "another key");
    ensure!(text(&scene, "/hosted_network/bssid")? == bssid, "another address of the access point");
    guest.join(&network("laptop", &key), JOIN)?;
    let again = scene.online(&mut guest, Client::Udhcpc)?;
    ensure!(
        (again.address, again.router) == (lease.address, lease.router),
        "{} by {:?} became {} by {:?}",
        lease.address,
        lease.router,
        again.address,
        again.router
    );
    interrupt(&mut up)
}

/// The kernel answers `EACCES` to the attempt to run hostapd, as it does for a mandatory access control: that is said,
/// with the path, and nobody is told to install what is there.
fn may_not_run(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    scene.product.terminate()?;
    let folder = stage.machine.files().join("noexec");
    std::fs::create_dir_all(&folder)?;
    stage.machine.run(&format!("mount -t tmpfs -o noexec,mode=755 tmpfs {}", folder.display()))?;
    let real = crate::tier::program("hostapd").unwrap_or_else(|| "/usr/sbin/hostapd".into());
    let copy = folder.join("hostapd");
    std::fs::copy(&real, &copy)?;
    stage.machine.run(&format!("chmod 755 {}", copy.display()))?;
    scene.product.configure(&format!("[hosted_network]\nhostapd = {copy:?}\n"))?;
    scene.product.start(&stage.machine)?;
    let refused = scene.product.attempt(["start"])?;
    let said = refused.stderr;
    ensure!(!refused.status.success(), "it started what may not be run");
    ensure!(said.contains(&copy.display().to_string()) && said.contains("may not run"), "it says: {said}");
    ensure!(!said.contains("apt-get") && !said.contains("not installed"), "it says: {said}");
    // The same file without the mark of a program.
    scene.product.terminate()?;
    stage.machine.run(&format!("umount {}", folder.display()))?;
    std::fs::copy(&real, &copy)?;
    stage.machine.run(&format!("chmod 644 {}", copy.display()))?;
    scene.product.start(&stage.machine)?;
    let said = scene.product.attempt(["start"])?.stderr;
    ensure!(said.contains("may not run") && said.contains("chmod"), "it says: {said}");
    Ok(())
}

/// The machine's station has a name of 15 bytes, as udev gives them, and somebody has an interface called as ours
/// would be. Ours gets another name, theirs stays, and after a crash only ours is cleared away.
fn names(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    let long = "wlx0200000000ab";
    stage.machine.ip(&format!("link set {} down", scene.radio.interface))?;
    stage.machine.ip(&format!("link set {} name {long}", scene.radio.interface))?;
    stage.machine.ip(&format!("link set {long} up"))?;
    stage.machine.ip("link add hnap0 type dummy")?;
    let mut up = scene.up("names")?;
    let ours = text(&scene, "/hosted_network/interface")?;
    ensure!(ours != "hnap0" && ours.starts_with("hnap"), "ours is {ours}");
    let mut guest = stage.station()?;
    guest.join(&network("names", &scene.primary_key()?), JOIN)?;
    scene.online(&mut guest, Client::Udhcpc)?;
    guest.leave()?;
    scene.product.kill()?;
    up.await_end(SETTLE)?;
    scene.product.start(&stage.machine)?;
    wait::holds("our stale interface to be gone", SETTLE, || Ok(!stage.machine.has_interface(&ours)?))?;
    ensure!(stage.machine.has_interface("hnap0")?, "the interface of somebody else was taken away");
    let mut up = scene.up("names")?;
    ensure!(text(&scene, "/hosted_network/interface")? == ours, "another name after the crash");
    interrupt(&mut up)?;
    ensure!(stage.machine.has_interface("hnap0")?, "the interface of somebody else was taken away");
    stage.machine.ip("link del hnap0").map(drop)
}

/// hostapd and the worker end with a service that is killed, however; and a hostapd that hangs is ended in bounded time.
fn orphans(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    let mut up = scene.up("orphans")?;
    let daemon = scene.product.pid().context("the service runs")?;
    let children = product::children(daemon)?;
    ensure!(children.len() >= 2, "hostapd and the worker are there: {children:?}");
    scene.product.kill()?;
    up.await_end(SETTLE)?;
    wait::holds("the children of the service to end", SETTLE, || {
        Ok(children.iter().all(|child| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
            stat.map_or(true, |stat| stat.contains(") Z "))
        }))
    })?;
    stage.say("killed, and nothing of it is left");
    scene.product.start(&stage.machine)?;
    let mut up = scene.up("orphans")?;
    let daemon = scene.product.pid().context("the service runs")?;
    let hangs = product::children(daemon)?.into_iter().find(|child| {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", child.as_raw_nonzero()));
        name.is_ok_and(|name| name.trim() == "hostapd")
    });
    let hangs = hangs.context("hostapd runs")?;
    rustix::process::kill_process(hangs, rustix::process::Signal::STOP)?;
    let asked = Instant::now();
    interrupt(&mut up)?;
    scene.product.await_field("/hosted_network/state", &json!("idle"), SETTLE)?;
    stage.say(&format!("a hanging hostapd was ended in {:.1} s", asked.elapsed().as_secs_f64()));
    wait::holds("hostapd to be gone", SETTLE, || {
        let gone = std::fs::read_to_string(format!("/proc/{}/stat", hangs.as_raw_nonzero()));
        Ok(gone.map_or(true, |stat| stat.contains(") Z ")))
    })?;
    scene.product.terminate()?;
    scene.restored(&stage.machine)
}
