//! The laboratory proves itself: radios, keys, refusal and comparison work without the programs under test.

use anyhow::{Result, ensure};

use super::{JOIN, SETTLE, Scenario, Stage, network};
use crate::command::Background;
use crate::radio::Hardware;
use crate::state::SystemState;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "lab_stations_join_an_ordinary_access_point",
    hardware: Hardware::radios(3),
    run: stations_join_an_ordinary_access_point,
}];

/// hostapd as anyone would run it: right keys join, a wrong one is refused, and the pictures of the machine
/// taken before and after differ only while it runs.
fn stations_join_an_ordinary_access_point(stage: &mut Stage) -> Result<()> {
    let radio = stage.radio()?;
    // What a first use leaves (a queueing discipline) is the kernel's affair.
    stage.machine.ip(&format!("link set {} up", radio.interface))?;
    stage.machine.ip(&format!("link set {} down", radio.interface))?;
    let before = SystemState::capture(&stage.machine, &[])?;
    stage.say("picture taken");
    let file = stage.machine.files().join("hostapd.conf");
    std::fs::write(
        &file,
        format!(
            "interface={}\ndriver=nl80211\nssid2=\"Café ☕\"\nutf8_ssid=1\nhw_mode=g\nchannel=6\nwpa=2\n\
             wpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_passphrase=open sesame\n",
            radio.interface
        ),
    )?;
    let mut hostapd = Background::spawn(stage.machine.command("hostapd").arg(&file))?;
    hostapd.await_log("AP-ENABLED", JOIN)?;
    stage.say("access point is up");
    let mut guest = stage.station()?;
    let joined = guest.join(&network("Café ☕", "open sesame"), JOIN)?;
    ensure!(joined.frequency_mhz == 2437, "channel 6 is 2437 MHz, not {}", joined.frequency_mhz);
    stage.say("guest has joined");
    let mut stranger = stage.station()?;
    stranger.refused(&network("Café ☕", "open barley"), JOIN)?;
    stage.say("stranger was refused");
    let during = SystemState::capture(&stage.machine, &[])?;
    ensure!(!before.diff(&during).is_empty(), "a running access point must be seen");
    hostapd.end(rustix::process::Signal::TERM, JOIN)?;
    let (difference, _) = before.restored(&stage.machine, &[], SETTLE)?;
    ensure!(difference.is_empty(), "hostapd left something behind:\n{difference}");
    Ok(())
}
