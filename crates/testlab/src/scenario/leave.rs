//! Whatever happens, the machine is left as it was found.

use anyhow::{Result, ensure};

use super::serve::interrupt;
use super::{JOIN, SETTLE, Scenario, Scene, Stage, network};
use crate::lease::Client;
use crate::radio::Hardware;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "after_stop_and_sigterm_the_machine_is_as_before",
        hardware: Hardware::radios(2),
        run: after_stop_and_sigterm,
    },
    Scenario {
        name: "sigterm_with_a_station_online_leaves_nothing",
        hardware: Hardware::radios(2),
        run: sigterm_with_a_station,
    },
    Scenario {
        name: "kill_9_and_a_restart_leave_nothing",
        hardware: Hardware::radios(2),
        run: kill_and_restart,
    },
];

/// `start` (ForceStart) and `stop` (ForceStop), then the service ends.
fn after_stop_and_sigterm(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    let running = crate::state::SystemState::capture(&stage.machine, &[])?;
    scene.product.run(["settings", "set", "--ssid", "forced"])?;
    scene.product.run(["start"])?;
    scene.product.await_field("/hosted_network/state", &"active".into(), JOIN)?;
    scene.product.await_field("/sharing/mode", &"standalone".into(), SETTLE)?;
    let subnet = scene.product.field("/sharing/subnet")?;
    ensure!(subnet == "192.168.173.1/24", "standalone is {subnet}");
    scene.product.run(["stop"])?;
    scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)?;
    // The service still runs and has nothing else left of the network.
    let (difference, _) = running.restored(&stage.machine, &[], SETTLE)?;
    ensure!(difference.is_empty(), "after stop:\n{difference}");
    scene.product.terminate()?;
    scene.restored(&stage.machine)
}

fn online(stage: &mut Stage, scene: &Scene) -> Result<(crate::command::Background, crate::station::Station)> {
    let up = scene.up("leaving")?;
    let mut station = stage.station()?;
    station.join(&network("leaving", &scene.primary_key()?), JOIN)?;
    scene.online(&mut station, Client::Udhcpc)?;
    Ok((up, station))
}

fn sigterm_with_a_station(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    let (mut up, mut station) = online(stage, &scene)?;
    scene.product.terminate()?;
    // `up` notices that its service is gone: status 3, not a crash.
    let status = up.await_end(SETTLE)?;
    ensure!(status.code() == Some(3), "`up` ended with {status}:\n{}", up.log_end());
    station.leave()?;
    scene.restored(&stage.machine)
}

/// Nothing can be cleaned up by a process that was killed: the next start does it, from the journal.
fn kill_and_restart(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    let (mut up, mut station) = online(stage, &scene)?;
    scene.product.kill()?;
    up.await_end(SETTLE)?;
    station.leave()?;
    let stale = scene.before.diff(&crate::state::SystemState::capture(&stage.machine, &[])?);
    ensure!(!stale.is_empty(), "kill -9 left nothing to clean: the test proves nothing");
    stage.say("killed");
    scene.product.start(&stage.machine)?;
    let state = scene.product.field("/hosted_network/state")?;
    ensure!(state == "idle", "after the restart the network is {state}");
    // And it works again.
    let mut up = scene.up("again")?;
    interrupt(&mut up)?;
    scene.product.terminate()?;
    scene.restored(&stage.machine)
}
