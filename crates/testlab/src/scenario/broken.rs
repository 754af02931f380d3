//! A start that fails in the middle is undone to exactly the state before, and names the step.

use anyhow::{Context as _, Result, ensure};

use super::{JOIN, SETTLE, Scenario, Scene, Stage, UPLINK};
use crate::command::Background;
use crate::firewall::OwnedTable;
use crate::radio::Hardware;
use crate::state::SystemState;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "without_hostapd_nothing_changes_and_the_radio_step_is_named",
        hardware: Hardware::radios(1),
        run: without_hostapd,
    },
    Scenario {
        name: "failure_5_a_driver_that_refuses_the_channel_is_rolled_back",
        hardware: Hardware::radios(1),
        run: driver_refuses,
    },
    Scenario {
        name: "a_rejected_table_is_rolled_back_with_the_access_point",
        hardware: Hardware::radios(1),
        run: table_rejected,
    },
    Scenario {
        name: "a_fixed_subnet_that_is_taken_is_refused_by_name",
        hardware: Hardware::radios(1),
        run: address_taken,
    },
];

/// `up` must fail, name `step`, and leave the machine as in `running`.
fn must_fail(stage: &Stage, scene: &Scene, running: &SystemState, step: &str) -> Result<String> {
    let said = refused(scene, step)?;
    unchanged(stage, scene, running)?;
    Ok(said)
}

fn refused(scene: &Scene, step: &str) -> Result<String> {
    let mut up = scene.product.stay(["up", "--public", UPLINK, "--ssid", "never"])?;
    let status = up.await_end(JOIN)?;
    let said = up.log();
    let log = scene.product.log();
    ensure!(!status.success(), "`up` succeeded:\n{said}");
    ensure!(
        said.contains(&format!("step {step}")),
        "step {step} is not named:\n{said}\nhostednetd says:\n{log}"
    );
    Ok(said)
}

fn unchanged(stage: &Stage, scene: &Scene, running: &SystemState) -> Result<()> {
    let (difference, _) = running.restored(&stage.machine, &[], SETTLE)?;
    ensure!(
        difference.is_empty(),
        "not rolled back:\n{difference}\nhostednetd says:\n{}",
        scene.product.log()
    );
    Ok(())
}

fn without_hostapd(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let running = SystemState::capture(&stage.machine, &[])?;
    let hostapd = crate::tier::program("hostapd").unwrap_or_else(|| "/usr/sbin/hostapd".into());
    let aside = hostapd.with_extension("aside");
    // The VM's root is a layer of memory over the real one.
    std::fs::rename(&hostapd, &aside)?;
    let result = must_fail(stage, &scene, &running, "radio");
    std::fs::rename(&aside, &hostapd)?;
    let said = result?;
    ensure!(said.contains("hostapd"), "hostapd is not named:\n{said}");
    // With hostapd back it works without a restart.
    let mut up = scene.up("back")?;
    super::serve::interrupt(&mut up)
}

/// Another program takes the radio's only channel between our look at the radio and our access point's start.
/// It is started by what stands in hostapd's place, which then becomes hostapd itself: the refusal is the
/// kernel's.
fn driver_refuses(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    scene.product.terminate()?;
    let hostapd = crate::tier::program("hostapd").unwrap_or_else(|| "/usr/sbin/hostapd".into());
    let file = |name: &str| stage.machine.files().join(name);
    stage.machine.run(&format!("iw dev {} interface add other0 type __ap", scene.radio.interface))?;
    std::fs::write(
        file("other.conf"),
        "interface=other0\ndriver=nl80211\nssid=other\nhw_mode=g\nchannel=11\n",
    )?;
    let script = format!(
        "#!/bin/sh\n{hostapd} -B -P {pid} {conf} >/dev/null 2>&1\nexec {hostapd} \"$@\"\n",
        hostapd = hostapd.display(),
        pid = file("other.pid").display(),
        conf = file("other.conf").display()
    );
    std::fs::write(file("slow-hostapd"), script)?;
    stage.machine.run(&format!("chmod 755 {}", file("slow-hostapd").display()))?;
    // A first use of the other interface, so that what it leaves is in the picture.
    let mut other = Background::spawn(stage.machine.command(&hostapd).arg(file("other.conf")))?;
    other.await_log("AP-ENABLED", JOIN)?;
    other.end(rustix::process::Signal::TERM, SETTLE)?;
    scene
        .product
        .configure(&format!("[hosted_network]\nchannel = 1\nhostapd = {:?}\n", file("slow-hostapd")))?;
    scene.product.start(&stage.machine)?;
    let running = SystemState::capture(&stage.machine, &[])?;
    let said = refused(&scene, "radio")?;
    let pid = std::fs::read_to_string(file("other.pid"))?.trim().parse()?;
    let pid = rustix::process::Pid::from_raw(pid).context("a process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    unchanged(stage, &scene, &running)?;
    ensure!(said.contains("ap_start_failed"), "the reason is not named:\n{said}");
    Ok(())
}

/// A table of our name that another process owns (`flags owner`): the kernel refuses every change to it.
fn table_rejected(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let owner = OwnedTable::take(&stage.machine)?;
    let running = SystemState::capture(&stage.machine, &[])?;
    must_fail(stage, &scene, &running, "firewall")?;
    owner.release(&stage.machine)?;
    let mut up = scene.up("free again")?;
    super::serve::interrupt(&mut up)
}

/// An administrator fixed the subnet, and it collides: no other one is taken silently.
fn address_taken(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    scene.product.terminate()?;
    stage.machine.ip(&format!("addr add 10.44.0.9/16 dev {UPLINK}"))?;
    scene.product.configure("[sharing]\nfull_subnet = \"10.44.5.1/24\"\n")?;
    scene.product.start(&stage.machine)?;
    let running = SystemState::capture(&stage.machine, &[])?;
    let said = must_fail(stage, &scene, &running, "check")?;
    ensure!(said.contains("sharing_address_exists") && said.contains(UPLINK), "{said}");
    Ok(())
}
