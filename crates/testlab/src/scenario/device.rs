//! The device's side with radios: `hostednet join` finds its way back, whatever the network does meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hn_conformance::checks;
use rustix::process::Signal;
use serde_json::Value;

use super::serve::interrupt;
use super::{JOIN, LEASE, SETTLE, Scenario, Scene, Stage};
use crate::command::{self, Background};
use crate::internet;
use crate::radio::Hardware;
use crate::station::Station;
use crate::{product, wait};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a_device_finds_its_way_back_and_moves_with_the_mode",
        hardware: Hardware::radios(2),
        run: finds_its_way_back,
    },
    Scenario {
        name: "a_device_joins_through_the_supplicant_that_runs_already",
        hardware: Hardware::radios(2),
        run: through_a_running_supplicant,
    },
];

/// A name server that answers nobody: what a device had before it joined.
const NOWHERE: &str = "nameserver 192.0.2.1\n";

/// A device on which `hostednet join … --json` runs.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) station: Station,
    join: Background,
}

impl Device {
    /// Starts `hostednet join`; the key travels in a file.
    pub(super) fn start(mut station: Station, ssid: &str, key: &str, more: &[&str]) -> Result<Self> {
        station.place.show("/etc/resolv.conf", NOWHERE)?;
        let join = Background::spawn(joining(&station, ssid, key)?.args(["--json"]).args(more))?;
        Ok(Self { station, join })
    }

    /// What it has told so far.
    fn told(&self) -> Vec<Value> {
        self.join.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a change after the first `skip` of them that satisfies `wanted`; how many there were up to it.
    pub(super) fn await_change(
        &self,
        skip: usize,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<(usize, Value)> {
        wait::until(what, limit, || {
            let told = self.told();
            let found = told.iter().enumerate().skip(skip).find(|(_, change)| wanted(change));
            Ok(found.map(|(index, change)| (index + 1, change.clone())))
        })
        .with_context(|| format!("`hostednet join` says:\n{}", self.join.log_end()))
    }

    /// Waits until it is online in `subnet`, and checks with `ip` and `ping` that it is.
    pub(super) fn online(&self, skip: usize, subnet: &str) -> Result<usize> {
        let in_subnet = |change: &Value| {
            change["state"] == "online"
                && change["address"].as_str().is_some_and(|address| address.starts_with(subnet))
        };
        let (index, change) =
            self.await_change(skip, &format!("an address in {subnet}x"), JOIN, in_subnet)?;
        let address = change["address"].as_str().context("an address")?;
        let shown = self.station.place.ip(&format!("-4 -o addr show dev {}", self.station.interface))?.stdout;
        ensure!(shown.contains(address), "{address} is not configured:\n{shown}");
        ensure!(shown.matches("inet ").count() == 1, "an earlier address is still there:\n{shown}");
        self.station.place.run(&format!("ping -n -c 1 -W 10 {subnet}1"))?;
        Ok(index)
    }

    /// Ctrl-C; then nothing of it is left.
    pub(super) fn end(mut self) -> Result<()> {
        let status = self.join.end(Signal::INT, product::GOODBYE)?;
        ensure!(status.success(), "`hostednet join` ended with {status}:\n{}", self.join.log_end());
        let Station { place, interface, .. } = &self.station;
        let shown = place.ip(&format!("-4 -o addr show dev {interface}"))?.stdout;
        ensure!(shown.trim().is_empty(), "an address is left:\n{shown}");
        let routes = place.ip("route show")?.stdout;
        ensure!(routes.trim().is_empty(), "a route is left:\n{routes}");
        let names = place.run("cat /etc/resolv.conf")?.stdout;
        ensure!(names == NOWHERE, "the name servers are:\n{names}");
        Ok(())
    }
}

/// `hostednet join SSID` on the device.
fn joining(station: &Station, ssid: &str, key: &str) -> Result<std::process::Command> {
    let file = station.place.files().join("key");
    std::fs::write(&file, key)?;
    let mut command = station.place.command(product::binaries()?.join("hostednet"));
    command.args(["join", ssid, "--interface", &station.interface, "--key-file"]).arg(file);
    Ok(command)
}

/// Sequences §5.2: the network stops, the driver says so, the device looks for it, joins it when it is there again, and
/// has another address, since the network is in another mode.
fn finds_its_way_back(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    scene.product.run(["settings", "set", "--ssid", "homeward"])?;
    let station = stage.station()?;
    let down = station.place.ip(&format!("-o link show dev {}", station.interface))?.stdout;
    ensure!(!down.contains("UP"), "the device's interface is up before anybody asked: {down}");
    // What the kernel's own tool hears of the driver, beside the program under test.
    let events = Background::spawn(station.place.command("iw").args(["event", "-t"]))?;
    let device = Device::start(station, "homeward", &scene.primary_key()?, &["--resolv-conf"])?;
    let (skip, _) =
        device.await_change(0, "a second look", JOIN, |change| change["attempt"].as_u64() >= Some(2))?;
    stage.say("the device looks for a network that is not there");
    scene.product.run(["start"])?;
    let skip = device.online(skip, "192.168.173.")?;
    stage.say("online in the standalone mode");

    scene.product.run(["stop"])?;
    let skip = checks!(M145:
        let lost = |change: &Value| change["state"] == "lost";
        let (skip, lost) = device.await_change(skip, "the loss", SETTLE, lost)?;
        ensure!(lost["locally"] == false, "the device itself ended it: {lost}");
        wait::holds("the driver's report", SETTLE, || Ok(events.log().contains("disconnected")))
            .with_context(|| format!("iw heard:\n{}", events.log_end()))?;
        let link = device.station.place.run(&format!("iw dev {} link", device.station.interface))?.stdout;
        ensure!(link.starts_with("Not connected"), "{link}");
        skip
    );
    stage.say("the driver has reported the loss");
    let skip = checks!(M146:
        let scans = events.log().matches("scan started").count();
        let again = |change: &Value| change["state"] == "scanning" && change["attempt"].as_u64() >= Some(3);
        let (skip, _) = device.await_change(skip, "three looks", JOIN, again)?;
        wait::holds("the driver's scans", SETTLE, || Ok(events.log().matches("scan started").count() >= scans + 2))?;
        skip
    );
    stage.say("the device looks again and again");

    let mut up = scene.up("homeward")?;
    let skip = checks!(M147:
        let (skip, _) = device.await_change(skip, "joining again", JOIN, |change| change["state"] == "getting_address")?;
        scene.await_peer(&device.station, "primary")?;
        skip
    );
    checks!(M148: device.online(skip, "192.168.137.")?);
    let page = format!("curl -sS --max-time 30 http://{}/", internet::WEB_NAME);
    let page = wait::until("a page", LEASE, || Ok(Some(device.station.place.run(&page)?.stdout)))?;
    ensure!(page.contains(&internet::UPLINK.to_string()), "{page}");
    stage.say("online in the full mode, with the name server that came with the address");

    let Station { place, interface, .. } = &device.station;
    let (place_link, here) = (format!("-o link show dev {interface}"), place.processes()?.len());
    ensure!(here >= 2, "no supplicant runs on the device");
    let left = device.station.mac()?;
    let look = device.station.place.ip(&place_link)?.stdout;
    ensure!(look.contains("LOWER_UP"), "{look}");
    device.end()?;
    wait::holds("the device to be gone", SETTLE, || {
        let peers = scene.product.field("/hosted_network/peers")?;
        Ok(!peers.to_string().contains(&left))
    })?;
    interrupt(&mut up)
}

/// Somebody's wpa_supplicant runs for the interface: it is used, keeps what it had, and forgets our network.
fn through_a_running_supplicant(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let mut up = scene.up("shared air")?;
    let station = stage.station()?;
    let folder = "/run/wpa_supplicant";
    let mut supplicant = station.place.command("wpa_supplicant");
    let mut supplicant =
        Background::spawn(supplicant.args(["-D", "nl80211", "-i", &station.interface, "-C", folder]))?;
    let cli = |station: &Station, words: &str| -> Result<String> {
        Ok(station.place.run(&format!("wpa_cli -p {folder} -i {} {words}", station.interface))?.stdout)
    };
    wait::until("the supplicant", JOIN, || cli(&station, "ping").map(Some))?;
    // A network of theirs, which is not here.
    ensure!(cli(&station, "add_network")?.trim() == "0", "a fresh supplicant");
    cli(&station, "set_network 0 ssid \"elsewhere\"")?;
    cli(&station, "set_network 0 key_mgmt NONE")?;
    cli(&station, "enable_network 0")?;
    let before = cli(&station, "list_networks")?;
    refused_once(&station, &scene, "shared air", "not the key of it")?;
    let device = Device::start(station, "shared air", &scene.primary_key()?, &["--once"])?;
    device.online(0, "192.168.137.")?;
    scene.await_peer(&device.station, "primary")?;
    let during = cli(&device.station, "list_networks")?;
    ensure!(during.contains("shared air"), "another supplicant is used:\n{during}");
    let Device { station, mut join } = device;
    let status = join.end(Signal::TERM, product::GOODBYE)?;
    ensure!(status.success(), "`hostednet join` ended with {status}:\n{}", join.log_end());
    ensure!(supplicant.ended()?.is_none(), "the supplicant was ended");
    let after = cli(&station, "list_networks")?;
    ensure!(before == after, "its networks were:\n{before}\nand are:\n{after}");
    interrupt(&mut up)
}

/// `hostednet join --once` with a key that is not the network's: status 1, and the key is named as the cause.
pub(super) fn refused_once(station: &Station, scene: &Scene, ssid: &str, key: &str) -> Result<()> {
    let done = command::run(joining(station, ssid, key)?.arg("--once"), JOIN)?;
    let said = format!("{}{}", done.stdout, done.stderr);
    ensure!(done.code() == 1, "`{}` ended with {}: {said}", done.line, done.code());
    ensure!(said.contains("the key is not the network's"), "the key is not named as the cause:\n{said}");
    ensure!(said.contains("key show"), "no remedy:\n{said}");
    ensure!(!said.contains(key), "the key is printed:\n{said}");
    let peers = scene.product.field("/hosted_network/peers")?;
    ensure!(!peers.to_string().contains(&station.mac()?), "the peers are {peers}");
    Ok(())
}
