//! What the air asks of an access point: channels that move, bands that are closed, radar, protection.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::serve::interrupt;
use super::{JOIN, SETTLE, Scenario, Scene, Stage, UPLINK, network};
use crate::command::{Background, SHORT};
use crate::lease::Client;
use crate::radio::Hardware;
use crate::station::{Credential, Network, Station};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "failure_5_a_wish_for_another_channel_than_the_only_possible_one_is_answered_openly",
        hardware: Hardware { radios: 2, channels: 1 },
        run: the_only_channel,
    },
    Scenario {
        name: "failure_6_the_access_point_follows_when_the_network_of_the_machine_moves",
        hardware: Hardware { radios: 3, channels: 1 },
        run: follows,
    },
    Scenario {
        name: "failure_12_a_closed_band_is_explained_and_an_open_one_is_used_in_full_width",
        hardware: Hardware::radios(2),
        run: closed_band,
    },
    Scenario {
        name: "listening_for_radar_is_shown_with_a_countdown",
        hardware: Hardware::radios(2),
        run: radar,
    },
    Scenario {
        name: "wpa3_is_joined_by_sae_with_protected_management_frames",
        hardware: Hardware::radios(3),
        run: wpa3,
    },
    Scenario {
        name: "a_hidden_network_keeps_its_devices_from_each_other",
        hardware: Hardware::radios(3),
        run: hidden_and_isolated,
    },
];

/// The network that the machine itself is connected to.
pub(super) struct Office {
    hostapd: Background,
    station: Station,
}

impl Office {
    /// Opens it on `channel` and waits until it beacons.
    pub(super) fn open(station: Station, channel: u32) -> Result<Self> {
        let mut office = Self { hostapd: Self::spawn(&station, channel)?, station };
        office.hostapd.await_log("AP-ENABLED", JOIN)?;
        Ok(office)
    }

    fn spawn(station: &Station, channel: u32) -> Result<Background> {
        let file = station.place.files().join("hostapd.conf");
        std::fs::write(
            &file,
            format!(
                "interface={}\ndriver=nl80211\nctrl_interface={}\nssid=office\nhw_mode=g\nchannel={channel}\n\
                 ieee80211n=1\nwpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_passphrase=office only\n",
                station.interface,
                Self::sockets(station).display()
            ),
        )?;
        Background::spawn(station.place.command("hostapd").arg(&file))
    }

    fn sockets(station: &Station) -> PathBuf {
        station.place.files().join("hostapd")
    }

    /// Announces a move and makes it.
    fn move_to(&mut self, frequency_mhz: u32) -> Result<()> {
        let own = self.station.place.files().join("mover");
        let _ = std::fs::remove_file(&own);
        let socket = UnixDatagram::bind(&own)?;
        socket.set_read_timeout(Some(SHORT))?;
        socket.connect(Self::sockets(&self.station).join(&self.station.interface))?;
        socket.send(format!("CHAN_SWITCH 10 {frequency_mhz} ht").as_bytes())?;
        let mut answer = [0; 64];
        let length = socket.recv(&mut answer)?;
        ensure!(answer[..length].starts_with(b"OK"), "{:?}", String::from_utf8_lossy(&answer[..length]));
        self.hostapd.await_log("AP-CSA-FINISHED", JOIN)
    }

    /// The machine joins it.
    pub(super) fn joined_by(stage: &Stage) -> Result<Station> {
        let mut home = Station::at_home(&stage.radio()?)?;
        home.join(&network("office", "office only"), JOIN)?;
        Ok(home)
    }
}

fn text(scene: &Scene, pointer: &str) -> Result<String> {
    let value = scene.product.field(pointer)?;
    Ok(value.as_str().with_context(|| format!("{pointer} is {value}"))?.to_owned())
}

fn interface(scene: &Scene) -> Result<String> {
    text(scene, "/hosted_network/interface")
}

/// The radio's one channel is taken by the machine's own connection, and the administrator wished for another: the
/// network is where it can be, and says that it is not where it was wished for.
fn the_only_channel(stage: &mut Stage) -> Result<()> {
    let _office = Office::open(stage.station()?, 11)?;
    let _home = Office::joined_by(stage)?;
    let mut scene = stage.scene()?;
    scene.product.terminate()?;
    scene.product.configure("[hosted_network]\nchannel = 1\n")?;
    scene.product.start(&stage.machine)?;
    let mut up = scene.up("beside")?;
    ensure!(scene.product.field("/hosted_network/channel")? == 11, "{}", scene.product.status()?);
    let why = text(&scene, "/hosted_network/channel_detail")?;
    ensure!(why.contains(&scene.radio.interface), "it says: {why}");
    ensure!(text(&scene, "/hosted_network/following")? == scene.radio.interface);
    let real = stage.machine.run(&format!("iw dev {} info", interface(&scene)?))?.stdout;
    ensure!(real.contains("2462 MHz"), "{real}");
    interrupt(&mut up)
}

/// The access point that the machine is connected to announces a move while a device is online. The machine stays
/// connected, our access point is on the new channel, and the device is online there with the address it had.
fn follows(stage: &mut Stage) -> Result<()> {
    let mut office = Office::open(stage.station()?, 11)?;
    let home = Office::joined_by(stage)?;
    let scene = stage.scene()?;
    let mut up = scene.up("beside")?;
    let mut guest = stage.station()?;
    guest.join(&network("beside", &scene.primary_key()?), JOIN)?;
    let lease = scene.online(&mut guest, Client::Udhcpc)?;
    stage.say("a device is online on channel 11");
    office.move_to(2412)?;
    stage.say("the office has moved to channel 1");
    scene
        .product
        .await_field("/hosted_network/frequency_mhz", &json!(2412), SETTLE)
        .with_context(|| format!("hostednetd says:\n{}", scene.product.log()))?;
    wait::holds("the machine to be connected on the new channel", JOIN, || {
        let status = home.status()?;
        Ok(status.contains("wpa_state=COMPLETED") && status.contains("freq=2412"))
    })
    .with_context(|| {
        format!("{:?}\n{}\nhostednetd says:\n{}", home.status(), home.log(), scene.product.log())
    })?;
    ensure!(text(&scene, "/hosted_network/state")? == "active");
    ensure!(text(&scene, "/hosted_network/following")? == scene.radio.interface);
    let real = stage.machine.run(&format!("iw dev {} info", interface(&scene)?))?.stdout;
    ensure!(real.contains("2412 MHz"), "{real}");
    wait::holds("the device on the new channel", JOIN, || {
        let status = guest.status()?;
        Ok(status.contains("wpa_state=COMPLETED") && status.contains("freq=2412"))
    })
    .with_context(|| format!("{}\nhostednetd says:\n{}", guest.log(), scene.product.log()))?;
    scene.await_peer(&guest, "primary")?;
    let again = scene.online(&mut guest, Client::Udhcpc)?;
    ensure!(again.address == lease.address, "{} became {}", lease.address, again.address);
    ensure!(up.log().contains("channel_changed"), "no event of it:\n{}", up.log_end());
    interrupt(&mut up)
}

/// In the world domain nobody may begin to send in the 5 GHz band. The wish for it is answered with the reason for
/// every channel and a network in the other band; told its country, the same machine is on 36 and 80 MHz wide.
fn closed_band(stage: &mut Stage) -> Result<()> {
    stage.machine.run("iw reg set 00")?;
    let mut scene = stage.scene()?;
    scene.product.terminate()?;
    scene.product.configure("[hosted_network]\nband = \"5\"\n")?;
    scene.product.start(&stage.machine)?;
    let mut up = scene.up("closed")?;
    let why = text(&scene, "/hosted_network/channel_detail")?;
    ensure!(why.contains("36") && why.contains("world domain"), "it says: {why}");
    ensure!(scene.product.field("/hosted_network/frequency_mhz")? == 2437, "{}", scene.product.status()?);
    let shown = scene.product.run(["status"])?.stdout;
    ensure!(shown.contains("world domain"), "people see:\n{shown}");
    interrupt(&mut up)?;
    // Without a fallback it is a refusal that says the same and how to go on.
    scene.product.terminate()?;
    scene.product.configure("[hosted_network]\nband = \"5\"\nfallback = false\n")?;
    scene.product.start(&stage.machine)?;
    let refused = scene.product.attempt(["start"])?;
    ensure!(!refused.status.success() && refused.stderr.contains("world domain"), "{}", refused.stderr);
    ensure!(refused.stderr.contains("iw reg set"), "no remedy: {}", refused.stderr);
    stage.machine.run("iw reg set DE")?;
    scene.product.await_field("/hosted_network/state", &json!("idle"), SETTLE)?;
    let mut up = scene.up("open")?;
    ensure!(scene.product.field("/hosted_network/channel")? == 36, "{}", scene.product.status()?);
    ensure!(scene.product.field("/hosted_network/width_mhz")? == 80, "{}", scene.product.status()?);
    let real = stage.machine.run(&format!("iw dev {} info", interface(&scene)?))?.stdout;
    ensure!(real.contains("width: 80 MHz") && real.contains("center1: 5210"), "{real}");
    let mut guest = stage.station()?;
    let joined = guest.join(&network("open", &scene.primary_key()?), JOIN)?;
    ensure!(joined.frequency_mhz == 5180, "joined on {} MHz", joined.frequency_mhz);
    let link = guest.place.run(&format!("iw dev {} info", guest.interface))?.stdout;
    ensure!(link.contains("width: 80 MHz"), "the device is on {link}");
    scene.online(&mut guest, Client::Udhcpc)?;
    interrupt(&mut up)?;
    stage.machine.run("iw reg set 00").map(drop)
}

/// Channel 52 wants a minute of listening: that is a state with a countdown, not a start that hangs.
fn radar(stage: &mut Stage) -> Result<()> {
    stage.machine.run("iw reg set DE")?;
    let mut scene = stage.scene()?;
    scene.product.terminate()?;
    scene.product.configure("[hosted_network]\nchannel = 52\n")?;
    scene.product.start(&stage.machine)?;
    let mut up = scene.product.stay(["up", "--public", UPLINK, "--ssid", "radar", "--json"])?;
    let left = wait::until("the countdown", JOIN, || {
        ensure!(up.ended()?.is_none(), "`up` ended:\n{}\n{}", up.log_end(), scene.product.log());
        Ok(scene.product.field("/hosted_network/radar_check/remaining_s")?.as_u64())
    })
    .with_context(|| format!("hostednetd says:\n{}", scene.product.log()))?;
    ensure!((1..=60).contains(&left), "{left} seconds are left");
    ensure!(scene.product.field("/hosted_network/radar_check/channel")? == 52);
    let shown = scene.product.run(["status"])?.stdout;
    ensure!(shown.contains("listening on channel 52"), "people see:\n{shown}");
    wait::holds("the countdown to count down", JOIN, || {
        let now = scene.product.field("/hosted_network/radar_check/remaining_s")?;
        Ok(now.as_u64().is_some_and(|now| now < left))
    })?;
    ensure!(up.ended()?.is_none() && text(&scene, "/hosted_network/state")? == "idle");
    scene
        .product
        .await_field("/hosted_network/state", &json!("active"), JOIN)
        .with_context(|| format!("hostednetd says:\n{}", scene.product.log()))?;
    ensure!(scene.product.field("/hosted_network/channel")? == 52, "{}", scene.product.status()?);
    ensure!(scene.product.field("/hosted_network/radar_check")?.is_null());
    let mut guest = stage.station()?;
    let joined = guest.join(&network("radar", &scene.primary_key()?), JOIN)?;
    ensure!(joined.frequency_mhz == 5260, "joined on {} MHz", joined.frequency_mhz);
    interrupt(&mut up)?;
    stage.machine.run("iw reg set 00").map(drop)
}

fn by_sae(ssid: &str, password: &str) -> Network {
    Network { ssid: ssid.into(), credential: Credential::Sae(password.to_owned()) }
}

/// WPA3 alone; then a secondary key comes, which SAE cannot have beside the primary one: the network becomes a
/// transition one by itself, says why, and both keys work, each in its way.
fn wpa3(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let told = scene.product.run(["settings", "set", "--security", "wpa3"])?.stdout;
    ensure!(told.contains("WPA3"), "{told}");
    let mut up = scene.up("modern")?;
    ensure!(text(&scene, "/hosted_network/security")? == "wpa3");
    ensure!(text(&scene, "/hosted_network/security_detail")?.is_empty());
    let primary = scene.primary_key()?;
    let mut modern = stage.station()?;
    modern
        .join(&by_sae("modern", &primary), JOIN)
        .with_context(|| format!("hostednetd says:\n{}", scene.product.log()))?;
    let status = modern.status()?;
    ensure!(status.contains("key_mgmt=SAE") && status.contains("pmf=2"), "the device says:\n{status}");
    scene.await_peer(&modern, "primary")?;
    scene.online(&mut modern, Client::Udhcpc)?;
    stage.say("joined by SAE");
    scene.product.feed(["key", "set"], b"the second key")?;
    scene.product.await_field("/hosted_network/security", &json!("transition"), SETTLE)?;
    let why = text(&scene, "/hosted_network/security_detail")?;
    ensure!(why.contains("secondary key"), "it says: {why}");
    let mut old = stage.station()?;
    old.join(&network("modern", "the second key"), JOIN)?;
    scene.await_peer(&old, "secondary")?;
    stage.say("joined with the secondary key by WPA2");
    modern.join(&by_sae("modern", &primary), JOIN)?;
    let status = modern.status()?;
    // The network only offers the protection here; a device of SAE takes it all the same.
    ensure!(status.contains("key_mgmt=SAE") && status.contains("mgmt_group_cipher=BIP"), "{status}");
    interrupt(&mut up)
}

/// Its name is in no list, devices that know it join, and they reach the machine but not each other: neither directly
/// nor by way of the machine.
fn hidden_and_isolated(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    scene.product.run(["settings", "set", "--hidden", "--isolate"])?;
    let mut up = scene.up("discreet")?;
    ensure!(scene.product.field("/hosted_network/hidden")? == true);
    ensure!(scene.product.field("/hosted_network/isolated")? == true);
    let (mut one, mut two) = (stage.station()?, stage.station()?);
    one.place.ip(&format!("link set {} up", one.interface))?;
    let bssid = text(&scene, "/hosted_network/bssid")?;
    let heard = wait::until("the beacons to be heard", JOIN, || {
        let heard = one.place.attempt(&format!("iw dev {} scan passive", one.interface))?;
        Ok(heard.stdout.contains(&bssid).then_some(heard.stdout))
    })?;
    ensure!(!heard.contains("discreet"), "the beacons tell the name:\n{heard}");
    let primary = scene.primary_key()?;
    one.join(&network("discreet", &primary), JOIN)?;
    two.join(&network("discreet", &primary), JOIN)?;
    let first = scene.online(&mut one, Client::Udhcpc)?;
    let second = scene.online(&mut two, Client::Udhcpc)?;
    let reaches = |from: &Station, to: std::net::Ipv4Addr| -> Result<bool> {
        Ok(from.place.attempt(&format!("ping -n -c 3 -W 2 {to}"))?.status.success())
    };
    ensure!(!reaches(&one, second.address)? && !reaches(&two, first.address)?, "they reach each other");
    let gateway = second.router.context("a router")?;
    ensure!(reaches(&one, gateway)? && reaches(&two, gateway)?, "they do not reach the machine");
    // By way of the machine, which they may send to.
    for (station, other) in [(&one, second.address), (&two, first.address)] {
        station.place.ip(&format!("route add {other}/32 via {gateway} dev {}", station.interface))?;
    }
    ensure!(!reaches(&one, second.address)?, "the machine carries it from one to the other");
    interrupt(&mut up)?;
    // Neighbours again, as it always was.
    scene.product.run(["settings", "set", "--hidden=no", "--isolate=no"])?;
    let mut up = scene.up("discreet")?;
    for (station, other) in [(&one, second.address), (&two, first.address)] {
        let _ = station.place.attempt(&format!("ip route del {other}/32"))?;
    }
    one.join(&network("discreet", &primary), JOIN)?;
    two.join(&network("discreet", &primary), JOIN)?;
    scene.online(&mut one, Client::Udhcpc)?;
    let second = scene.online(&mut two, Client::Udhcpc)?;
    ensure!(reaches(&one, second.address)?, "they do not reach each other");
    interrupt(&mut up)
}
