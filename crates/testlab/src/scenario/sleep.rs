//! The machine sleeps and wakes while devices are online.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::hardware::switch;
use super::serve::interrupt;
use super::{JOIN, SETTLE, Scenario, Scene, Stage, network};
use crate::command::Background;
use crate::lease::Client;
use crate::radio::Hardware;
use crate::station::Station;
use crate::vm::image::PACKAGES;
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "failure_7_a_sleep_waits_for_the_network_and_it_returns_with_key_address_and_leases",
        hardware: Hardware::radios(2),
        run: announced,
    },
    Scenario {
        name: "failure_7_an_access_point_that_a_sleep_killed_unannounced_is_noticed_and_returns",
        hardware: Hardware::radios(2),
        run: unannounced,
    },
];

const BUS: &str = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n\
    \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
    <busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>\n\
    <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/>\n\
    <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/></policy></busconfig>\n";

/// The system bus and logind, as elogind ships it.
struct Logind {
    /// What the machine looks like while it sleeps, as a script sees it that logind runs before and after.
    diary: PathBuf,
    _daemons: [Background; 2],
}

impl Logind {
    /// The kernel of an emulated machine cannot cut the power of its devices and live (virtio). It sleeps as far as
    /// freezing every process, for two seconds; that the radio is off then is the script's work.
    fn start(stage: &Stage, radio: &Path) -> Result<Self> {
        let machine = &stage.machine;
        let packages = std::env::var(PACKAGES).context("the lab's packages")?;
        let diary = machine.files().join("diary");
        std::fs::create_dir_all("/run/dbus")?;
        let bus = machine.files().join("bus.conf");
        std::fs::write(&bus, BUS)?;
        let hook = format!(
            "#!/bin/sh\n\
             {{ echo \"$1 $2\"; ls /sys/class/net; }} >>{diary}\n\
             [ \"$1\" = pre ] && echo 1 >{switch}\n\
             exit 0\n",
            diary = diary.display(),
            switch = radio.display(),
        );
        std::fs::create_dir_all("/lib/elogind")?;
        machine.run(&format!("cp -a {packages}/elogind.d/lib/elogind/. /lib/elogind/"))?;
        machine.run(&format!(
            "cp {packages}/elogind.d/bin/loginctl {packages}/elogind.d/bin/elogind-inhibit /usr/bin/"
        ))?;
        std::fs::create_dir_all("/etc/elogind")?;
        std::fs::write("/lib/elogind/system-sleep/lab", hook)?;
        machine.run("chmod 755 /lib/elogind/system-sleep/lab")?;
        std::fs::write("/sys/power/pm_test", "freezer")?;
        std::fs::write("/sys/module/suspend/parameters/pm_test_delay", "2")?;
        let mut command = machine.command("dbus-daemon");
        let dbus = Background::spawn(
            command.args(["--nofork", "--nopidfile"]).arg(format!("--config-file={}", bus.display())),
        )?;
        wait::holds("the bus", SETTLE, || Ok(Path::new("/run/dbus/system_bus_socket").exists()))?;
        let elogind = Background::spawn(&mut machine.command("/lib/elogind/elogind"))?;
        wait::holds("logind", SETTLE, || Ok(machine.attempt("elogind-inhibit --list")?.status.success()))?;
        Ok(Self { diary, _daemons: [dbus, elogind] })
    }

    /// Whether somebody called hostednet wants to be waited for.
    fn waits(stage: &Stage) -> Result<bool> {
        let listed = stage.machine.run("elogind-inhibit --list")?.stdout;
        let line = listed.lines().find(|line| line.starts_with("hostednet "));
        if let Some(line) = line {
            ensure!(line.contains(" sleep ") && line.trim_end().ends_with("delay"), "it forbids: {line}");
        }
        Ok(line.is_some())
    }
}

struct Online {
    up: Background,
    guest: Station,
    key: String,
    bssid: serde_json::Value,
    lease: crate::lease::Lease,
}

fn online(stage: &mut Stage, scene: &Scene) -> Result<Online> {
    let up = scene.up("laptop")?;
    let key = scene.primary_key()?;
    let bssid = scene.product.field("/hosted_network/bssid")?;
    let mut guest = stage.station()?;
    guest.join(&network("laptop", &key), JOIN)?;
    let lease = scene.online(&mut guest, Client::Udhcpc)?;
    stage.say("a device is online");
    Ok(Online { up, guest, key, bssid, lease })
}

/// The device has done nothing but wait: its supplicant finds the network again by name and key.
fn returned(stage: &Stage, scene: &Scene, online: &mut Online) -> Result<()> {
    let active = scene.product.await_field("/hosted_network/state", &json!("active"), JOIN);
    active.with_context(|| {
        format!("`up` says:\n{}\nhostednetd says:\n{}", online.up.log_end(), scene.product.log())
    })?;
    ensure!(scene.primary_key()? == online.key, "another key");
    let bssid = scene.product.field("/hosted_network/bssid")?;
    ensure!(bssid == online.bssid, "{} became {bssid}", online.bssid);
    wait::holds("the device to be back", JOIN, || Ok(scene.await_peer(&online.guest, "primary").is_ok()))?;
    let lease = scene.online(&mut online.guest, Client::Udhcpc)?;
    ensure!(
        (lease.address, lease.router) == (online.lease.address, online.lease.router),
        "{:?} became {lease:?}",
        online.lease
    );
    stage.say("everything is back");
    Ok(())
}

fn announced(stage: &mut Stage) -> Result<()> {
    let radio = switch(&stage.radio()?)?;
    let logind = Logind::start(stage, &radio)?;
    let mut scene = stage.scene()?;
    let mut online = online(stage, &scene)?;
    wait::holds("logind to be asked to wait", SETTLE, || Logind::waits(stage))?;
    stage.machine.run("loginctl suspend")?;
    wait::holds("the machine to have slept", JOIN, || {
        Ok(std::fs::read_to_string(&logind.diary).is_ok_and(|diary| diary.contains("post suspend")))
    })?;
    let diary = std::fs::read_to_string(&logind.diary)?;
    ensure!(
        diary.contains("pre suspend") && !diary.contains("hnap"),
        "not stopped before the sleep:\n{diary}"
    );
    let kernel = stage.machine.run("dmesg")?.stdout;
    ensure!(kernel.contains("suspend debug: Waiting for 2 second"), "nobody slept:\n{kernel}");
    stage.say("slept, and nothing ran meanwhile");
    // Awake, but the radio is not there yet: that is what is said, and nobody claims that it serves.
    scene.product.await_field("/hosted_network/state", &json!("unavailable"), SETTLE)?;
    wait::holds("the state to name the switch", SETTLE, || {
        let detail = scene.product.field("/hosted_network/detail")?;
        Ok(detail.as_str().is_some_and(|detail| detail.contains("switch") || detail.contains("off")))
    })?;
    ensure!(!Logind::waits(stage)?, "there is nothing to wait for");
    std::fs::write(&radio, "0")?;
    returned(stage, &scene, &mut online)?;
    wait::holds("logind to be asked again", SETTLE, || Logind::waits(stage))?;
    interrupt(&mut online.up)?;
    wait::holds("logind to be free", SETTLE, || Ok(!Logind::waits(stage)?))?;
    online.guest.leave()?;
    scene.product.terminate()?;
    // The switch took down every interface of the radio.
    stage.machine.ip(&format!("link set {} up", scene.radio.interface))?;
    scene.restored(&stage.machine)
}

/// The kernel stops access points when it suspends and tells nobody; on waking the clock jumps. Both happen here, and
/// there is no logind.
fn unannounced(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    let mut online = online(stage, &scene)?;
    let interface = scene.product.field("/hosted_network/interface")?;
    let interface = interface.as_str().context("an interface's name")?;
    let began = scene.product.field("/hosted_network/state")?;
    ensure!(began == "active", "{began}");
    stage.machine.run(&format!("iw dev {interface} ap stop"))?;
    stage.machine.run("date --set=+1hour")?;
    wait::holds("the end to be noticed", SETTLE, || {
        Ok(online.up.log().contains("as it does when the machine sleeps"))
    })
    .with_context(|| {
        format!("`up` says:\n{}\nhostednetd says:\n{}", online.up.log_end(), scene.product.log())
    })?;
    stage.say("noticed");
    returned(stage, &scene, &mut online)?;
    // A clock that is set while everything is well changes nothing.
    let said = online.up.log().len();
    stage.machine.run("date --set=-1hour")?;
    scene.online(&mut online.guest, Client::Udhcpc)?;
    let since = online.up.log().split_off(said);
    ensure!(!since.contains("state_changed"), "it stopped for nothing:\n{since}");
    interrupt(&mut online.up)?;
    online.guest.leave()?;
    scene.product.terminate()?;
    scene.restored(&stage.machine)
}
