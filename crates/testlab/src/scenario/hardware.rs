//! The adapter itself: switched off and on, unplugged and plugged in.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use hn_conformance::checks;

use super::{JOIN, SETTLE, Scenario, Scene, Stage, network};
use crate::radio::{self, Hardware, Radio};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "the_virtual_adapter_goes_and_comes_with_the_physical_one",
    hardware: Hardware::radios(2),
    run: goes_and_comes,
}];

/// The software switch of a radio, as `rfkill` turns it.
pub(super) fn switch(radio: &Radio) -> Result<PathBuf> {
    let entries = std::fs::read_dir(Path::new("/sys/class/ieee80211").join(&radio.phy))?;
    let name = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rfkill"))
            && path.join("soft").exists()
    };
    let found = entries.flatten().map(|entry| entry.path()).find(name);
    Ok(found.with_context(|| format!("{} has no switch", radio.phy))?.join("soft"))
}

/// Starts the network for good; the name of its virtual adapter.
fn begin(stage: &Stage, scene: &Scene) -> Result<String> {
    scene.product.run(["start"])?;
    scene.product.await_field("/hosted_network/state", &"active".into(), JOIN)?;
    let interface = scene.product.field("/hosted_network/interface")?;
    let interface = interface.as_str().context("an interface's name")?.to_owned();
    ensure!(stage.machine.has_interface(&interface)?, "there is no {interface}");
    Ok(interface)
}

/// Waits until the network is unavailable, says why, and its virtual adapter is gone.
fn gone(stage: &Stage, scene: &Scene, interface: &str) -> Result<()> {
    scene.product.await_field("/hosted_network/state", &"unavailable".into(), SETTLE)?;
    crate::wait::holds(&format!("{interface} to be gone"), SETTLE, || {
        Ok(!stage.machine.has_interface(interface)?)
    })?;
    let status = scene.product.status()?;
    ensure!(status["hosted_network"]["interface"].is_null(), "{status}");
    ensure!(status["hosted_network"]["detail"].as_str().is_some_and(|text| !text.is_empty()), "{status}");
    let refused = scene.product.attempt(["start"])?;
    ensure!(!refused.status.success(), "it starts without an adapter");
    Ok(())
}

fn goes_and_comes(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    scene.product.run(["settings", "set", "--ssid", "virtual"])?;
    let mut station = stage.station()?;
    checks!(M008:
        let interface = begin(stage, &scene)?;
        // Disabled and enabled.
        let switch = switch(&scene.radio)?;
        std::fs::write(&switch, "1")?;
        gone(stage, &scene, &interface)?;
        stage.say("switched off, and gone");
        std::fs::write(&switch, "0")?;
        scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)?;
        let interface = begin(stage, &scene)?;
        station.join(&network("virtual", &scene.primary_key()?), JOIN)?;
        scene.await_peer(&station, "primary")?;
        station.leave()?;
        stage.say("switched on, and back");
        // Unplugged and plugged in: the device's radio goes with ours.
        stage.machine.run("rmmod mac80211_hwsim")?;
        gone(stage, &scene, &interface)?;
        radio::install(Hardware::radios(1))?;
        scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)?;
        begin(stage, &scene)?;
    );
    scene.product.run(["stop"])?;
    scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)
}
