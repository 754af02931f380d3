//! The main job: devices join, are online, reach each other, and are shown.

use anyhow::{Context as _, Result, ensure};
use hn_conformance::checks;
use serde_json::json;

use super::{JOIN, SETTLE, Scenario, Scene, Stage, UPLINK, network};
use crate::command::Background;
use crate::lease::Client;
use crate::radio::Hardware;
use crate::screen::Screen;
use crate::station::{Network, Station};
use crate::{qr, wait};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "two_stations_with_two_keys_are_online_and_reach_each_other",
        hardware: Hardware::radios(3),
        run: two_stations_with_two_keys,
    },
    Scenario {
        name: "a_wrong_key_is_refused_and_shown",
        hardware: Hardware::radios(2),
        run: a_wrong_key_is_refused,
    },
    Scenario {
        name: "the_code_that_up_draws_joins_a_station",
        hardware: Hardware::radios(2),
        run: the_code_joins_a_station,
    },
    Scenario {
        name: "the_access_point_follows_the_channel_of_the_station_beside_it",
        hardware: Hardware { radios: 3, channels: 1 },
        run: follows_the_station,
    },
    Scenario {
        name: "without_a_radio_the_state_is_unavailable_and_says_why",
        hardware: Hardware::radios(0),
        run: without_a_radio,
    },
    Scenario {
        name: "up_without_a_service_runs_one_inside_itself",
        hardware: Hardware::radios(2),
        run: up_without_a_service,
    },
];

/// Issue "main job": primary and secondary key are both valid at once, and everybody is online.
fn two_stations_with_two_keys(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    stage.say("hostednetd runs");
    scene.product.feed(["key", "set"], b"the second key")?;
    let mut up = scene.up("Café ☕")?;
    stage.say("up");
    let primary = scene.primary_key()?;
    let (mut first, mut second) = (stage.station()?, stage.station()?);
    checks!(M002, M010:
        // On an interface of its own, which the machine had not before.
        let interface = scene.product.field("/hosted_network/interface")?;
        let interface = interface.as_str().context("an interface's name")?;
        ensure!(interface != scene.radio.interface, "the access point took over {interface}");
        let kind = stage.machine.run(&format!("iw dev {interface} info"))?.stdout;
        ensure!(kind.contains("type AP"), "{interface}: {kind}");
        first.join(&network("Café ☕", &primary), JOIN)?;
        scene.await_peer(&first, "primary")?;
        let status = first.status()?;
        ensure!(status.contains("key_mgmt=WPA2-PSK"), "the device says:\n{status}");
        ensure!(status.contains("pairwise_cipher=CCMP") && status.contains("group_cipher=CCMP"), "{status}");
    );
    stage.say("the first has joined");
    checks!(M043:
        second.join(&network("Café ☕", "the second key"), JOIN)?;
        scene.await_peer(&second, "secondary")?;
        scene.await_peer(&first, "primary")?;
    );
    stage.say("the second has joined");
    // Each gets a lease, resolves a name and fetches a page whose server sees the uplink's address.
    let (one, two) = checks!(M077, M102:
        (scene.online(&mut first, Client::Udhcpc)?, scene.online(&mut second, Client::Dhclient)?)
    );
    ensure!(one.address != two.address, "both have {}", one.address);
    ensure!(one.address.octets()[..3] == [192, 168, 137], "the address is {}", one.address);
    stage.say("both are online");
    first.place.run(&format!("ping -n -c 2 -W 5 {}", two.address))?;
    second.place.run(&format!("ping -n -c 2 -W 5 {}", one.address))?;
    let status = scene.product.status()?;
    ensure!(status["hosted_network"]["ssid"] == "Café ☕", "{status}");
    ensure!(status["sharing"]["mode"] == "full" && status["sharing"]["public"] == UPLINK, "{status}");
    ensure!(status["sharing"]["subnet"] == "192.168.137.1/24", "{status}");
    let devices = status["devices"].as_array().context("devices is a list")?;
    for (station, lease) in [(&first, &one), (&second, &two)] {
        let mac = station.mac()?;
        let device = devices.iter().find(|device| device["mac"] == mac.as_str());
        let device = device.with_context(|| format!("no device {mac} in {status}"))?;
        ensure!(device["ipv4"] == lease.address.to_string(), "{device}");
    }
    second.leave()?;
    wait::holds("the peer to be gone", SETTLE, || {
        Ok(scene.product.field("/hosted_network/peers")?.as_array().is_some_and(|peers| peers.len() == 1))
    })?;
    interrupt(&mut up)
}

/// The refusal is an event with the device's address, and the device is never listed.
fn a_wrong_key_is_refused(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let mut up = scene.up("guarded")?;
    let mut stranger = stage.station()?;
    stranger.refused(&network("guarded", "not the key at all"), JOIN)?;
    let mac = stranger.mac()?;
    wait::holds("the refusal to be shown", SETTLE, || {
        Ok(up.log().lines().any(|line| line.contains("peer_refused") && line.contains(&mac)))
    })
    .with_context(|| format!("`up` shows:\n{}", up.log_end()))?;
    let peers = scene.product.field("/hosted_network/peers")?;
    ensure!(peers == json!([]), "the peers are {peers}");
    // The same device is let in with the right key.
    let primary = scene.primary_key()?;
    stranger.join(&network("guarded", &primary), JOIN)?;
    scene.await_peer(&stranger, "primary")?;
    interrupt(&mut up)
}

/// Rows and columns of the terminal in this test.
const TERMINAL: (usize, usize) = (50, 140);

/// Nothing is typed: a picture of the live screen is decoded by zbarimg, and what it says joins a station, which
/// then appears on the screen.
fn the_code_joins_a_station(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let ssid = r#"Bob's "Café"; 5\5:☕"#;
    let mut up = on_a_terminal(&scene, ssid)?;
    let look = |up: &Background| Screen::of(&up.log(), TERMINAL.0, TERMINAL.1).text();
    let text = wait::until("the code on the screen", JOIN, || {
        ensure!(up.ended()?.is_none(), "`up` ended:\n{}", up.log_end());
        qr::read(&look(&up)).map(Some)
    })?;
    stage.say("zbarimg has read the code");
    let read = Network::from_wifi_uri(&text).with_context(|| format!("zbarimg read {text:?}"))?;
    ensure!(read.ssid == ssid.as_bytes(), "the code names {:?}", String::from_utf8_lossy(&read.ssid));
    let mut station = stage.station()?;
    station.join(&read, JOIN)?;
    let mac = station.mac()?;
    let joined = std::time::Instant::now();
    wait::holds("the device on the screen", SETTLE, || Ok(look(&up).contains(&mac)))
        .with_context(|| format!("the screen:\n{}", look(&up)))?;
    // Well within a second on hardware; software emulation on a busy machine gets a few.
    ensure!(joined.elapsed().as_secs_f64() < 5.0, "shown only after {:?}", joined.elapsed());
    stage.say(&format!("shown {:.1} s after the handshake", joined.elapsed().as_secs_f64()));
    let lease = scene.online(&mut station, Client::Udhcpc)?;
    wait::holds("the address on the screen", SETTLE, || Ok(look(&up).contains(&lease.address.to_string())))
        .with_context(|| format!("the screen:\n{}", look(&up)))?;
    // Ctrl-C goes to the terminal's foreground program, a child of the one that keeps the terminal.
    interrupt_terminal(&mut up)
}

/// `hostednet up` on a terminal of its own (util-linux's `script` keeps it).
fn on_a_terminal(scene: &Scene, ssid: &str) -> Result<Background> {
    let up = scene.product.hostednet(["up", "--public", UPLINK, "--ssid", ssid]);
    let (rows, columns) = TERMINAL;
    // The words travel in the environment, so that no shell looks into them.
    let line = format!(
        "stty rows {rows} cols {columns}; exec \"$LAB_PROGRAM\" up --public {UPLINK} --ssid \"$LAB_SSID\""
    );
    let mut command = std::process::Command::new("script");
    command.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
    command.envs(up.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("LAB_PROGRAM", up.get_program()).env("LAB_SSID", ssid).env("TERM", "xterm-256color");
    Background::spawn(&mut command)
}

/// Ctrl-C on that terminal: the signal goes to the program in it, whose end is then the keeper's.
fn interrupt_terminal(up: &mut Background) -> Result<()> {
    for child in crate::product::children(up.pid())? {
        rustix::process::kill_process(child, rustix::process::Signal::INT)?;
    }
    let status = up.await_end(crate::product::GOODBYE)?;
    ensure!(status.success(), "`hostednet up` ended with {status}:\n{}", up.log_end());
    Ok(())
}

/// The radio can use one channel at a time and its station is on 11: so is the access point, and the station
/// stays connected.
fn follows_the_station(stage: &mut Stage) -> Result<()> {
    let office = stage.station()?;
    let file = office.place.files().join("hostapd.conf");
    std::fs::write(
        &file,
        format!(
            "interface={}\ndriver=nl80211\nssid=office\nhw_mode=g\nchannel=11\nwpa=2\nwpa_key_mgmt=WPA-PSK\n\
             rsn_pairwise=CCMP\nwpa_passphrase=office only\n",
            office.interface
        ),
    )?;
    let mut hostapd = Background::spawn(office.place.command("hostapd").arg(&file))?;
    hostapd.await_log("AP-ENABLED", JOIN)?;
    let radio = stage.radio()?;
    let mut home = Station::at_home(&radio)?;
    let joined = home.join(&network("office", "office only"), JOIN)?;
    ensure!(joined.frequency_mhz == 2462, "the office is on {} MHz", joined.frequency_mhz);
    stage.say("the station at home is connected on channel 11");
    let scene = stage.scene()?;
    let mut up = scene.up("beside")?;
    let frequency = scene.product.field("/hosted_network/frequency_mhz")?;
    ensure!(frequency == 2462, "the access point is on {frequency} MHz");
    let mut guest = stage.station()?;
    let joined = guest.join(&network("beside", &scene.primary_key()?), JOIN)?;
    ensure!(joined.frequency_mhz == 2462, "the guest found it on {} MHz", joined.frequency_mhz);
    scene.online(&mut guest, Client::Udhcpc)?;
    checks!(M001, M005:
        // One radio, two adapters: the one joins a network, the other makes one and does nothing else.
        let status = home.status()?;
        ensure!(status.contains("wpa_state=COMPLETED"), "the station at home: {status}");
        let made = scene.product.field("/hosted_network/interface")?;
        let made = made.as_str().context("an interface's name")?;
        let kind = |interface: &str| stage.machine.run(&format!("iw dev {interface} info"));
        let (own, other) = (kind(&radio.interface)?.stdout, kind(made)?.stdout);
        ensure!(own.contains("type managed") && other.contains("type AP"), "{own}{other}");
        let phy = |text: &str| text.lines().find_map(|line| line.trim().strip_prefix("wiphy ")).map(str::to_owned);
        ensure!(phy(&own).is_some() && phy(&own) == phy(&other), "two radios:\n{own}{other}");
        // It is no way to the Internet, and cannot be chosen as one.
        let routes = stage.machine.ip("route show default")?.stdout;
        ensure!(!routes.contains(made), "{routes}");
        let chosen = scene.product.attempt(["share", made, radio.interface.as_str()])?;
        ensure!(!chosen.status.success(), "{made} is taken for a connection that leads out");
    );
    interrupt(&mut up)
}

fn without_a_radio(stage: &mut Stage) -> Result<()> {
    let _internet = stage.internet()?;
    let mut product = crate::product::Product::install(&stage.machine)?;
    product.start(&stage.machine)?;
    let status = product.status()?;
    ensure!(status["hosted_network"]["state"] == "unavailable", "{status}");
    ensure!(status["hosted_network"]["detail"].as_str().is_some_and(|text| !text.is_empty()), "{status}");
    let up = product.attempt(["up", "--public", UPLINK])?;
    ensure!(up.code() != 0 && up.code() < 128, "`up` ended with {}: {}", up.code(), up.stderr);
    ensure!(!up.stderr.trim().is_empty(), "`up` failed without a word");
    Ok(())
}

/// What a laptop owner does: no service runs, one command, Ctrl-C, nothing left.
fn up_without_a_service(stage: &mut Stage) -> Result<()> {
    let radio = stage.radio()?;
    let _internet = stage.internet()?;
    stage.machine.ip(&format!("link set {} up", radio.interface))?;
    let before = crate::state::SystemState::capture(&stage.machine, &[])?;
    let program = crate::product::binaries()?.join("hostednet");
    let mut up = Background::spawn(stage.machine.command(&program).args(["up", "--ssid", "laptop"]))?;
    up.await_log("Network", JOIN)?;
    let network = Network::from_wifi_uri(&qr::read(&up.log())?)?;
    let mut guest = stage.station()?;
    guest.join(&network, JOIN)?;
    crate::wired::online(&mut guest.place, &guest.interface, Client::Udhcpc, super::LEASE)?;
    guest.leave()?;
    interrupt(&mut up)?;
    let left = crate::product::processes()?;
    ensure!(left.is_empty(), "still running: {left:?}");
    let (difference, _) = before.restored(&stage.machine, &[], SETTLE)?;
    ensure!(difference.is_empty(), "the machine is not as before:\n{difference}");
    Ok(())
}

/// Ctrl-C on `up`: it must end well.
pub(super) fn interrupt(up: &mut Background) -> Result<()> {
    let status = up.end(rustix::process::Signal::INT, crate::product::GOODBYE)?;
    ensure!(status.success(), "`hostednet up` ended with {status}:\n{}", up.log_end());
    Ok(())
}
