//! The text console of the simulated machine: one command a line, one answer a line.
//!
//! ```text
//! join MAC KEY|primary|secondary [NAME]   a device joins the access point with this passphrase
//! plug MAC INTERFACE [NAME]               a device is plugged into a wired interface
//! traffic MAC UP DOWN                     a device that is counted sent and got so many bytes
//! leave MAC [timeout]                     it leaves
//! adapter on|off                          the Wi-Fi adapter is plugged in or removed
//! adapter driver NAME                     it is another one, whose driver has this name
//! switch soft|hard on|off                 a radio switch is switched
//! station MHZ|none                        the machine's own station is on another channel, or not connected
//! sleep                                   the machine is about to sleep
//! wake                                    it has slept
//! crash                                   hostapd dies
//! firewall lost                           another program removes the firewall rules
//! uplink INTERFACE|none                   the default route moves
//! link add INTERFACE [MEDIA [incoming]]   an interface comes: wired, or `direct`, `bridge` and so on
//! link remove INTERFACE                   an interface goes
//! dependency NAME up|down                 what sharing cannot do without comes or goes: bfe, rasman, netman, winmgmt
//! ill CHECK on|off                        what `doctor` looks at is not as it should be, or is again: address,
//!                                         forwarding, rules, firewall, tables, packet, gateway, dns,
//!                                         outside
//! fail LANE [CAUSE]                       the next operation of a lane fails
//! hang LANE                               the next operation of a lane hangs until…
//! release LANE                            …this
//! show                                    the plans that hold, as JSON
//! ```
//!
//! The answer is `ok`, the JSON, or `error: ` and a sentence. Lanes are `radio`, `links`, `forwarding`, `firewall` and
//! `services`.

use std::{cell::RefCell, collections::BTreeMap, path::Path, rc::Rc};

use hn_types::{IfName, Key, KeyRole, MacAddr, Step, network::MediaType, observed::Sleep, part::Dependency};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Notify,
    task::spawn_local,
};

use crate::{
    examine::ILLS,
    world::{Fault, World},
};

/// A longer line ends the connection.
const LINE_LIMIT: u64 = 4_096;

type Hung = Rc<RefCell<BTreeMap<Step, Rc<Notify>>>>;

pub(crate) fn listen(path: &Path, world: Rc<RefCell<World>>) -> std::io::Result<()> {
    // A socket left behind by a killed daemon would refuse the new one its place.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    let hung = Hung::default();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(converse(stream, Rc::clone(&world), Rc::clone(&hung)));
        }
    });
    Ok(())
}

async fn converse(mut stream: UnixStream, world: Rc<RefCell<World>>, hung: Hung) {
    let (read, mut write) = stream.split();
    let mut reader = BufReader::new(read);
    let mut line = String::new();
    loop {
        line.clear();
        let taken = (&mut reader).take(LINE_LIMIT).read_line(&mut line).await;
        if !matches!(taken, Ok(1..)) || !line.ends_with('\n') {
            return;
        }
        let answer = match act(line.trim(), &world, &hung) {
            Ok(answer) => answer,
            Err(cause) => format!("error: {cause}"),
        };
        if write.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

fn act(line: &str, world: &RefCell<World>, hung: &Hung) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut world = world.borrow_mut();
    match words.as_slice() {
        ["join", mac, key, rest @ ..] => {
            let key = match *key {
                "primary" => world.key(KeyRole::Primary).ok_or("there is no primary key")?,
                "secondary" => world.key(KeyRole::Secondary).ok_or("there is no secondary key")?,
                text => Key::passphrase(text.to_owned()).map_err(|error| error.to_string())?,
            };
            world.join(parse_mac(mac)?, &key, rest.first().unwrap_or(&""))?;
        }
        ["plug", mac, interface, rest @ ..] => {
            world.plug(parse_mac(mac)?, parse_name(interface)?, rest.first().unwrap_or(&""))?;
        }
        ["traffic", mac, up, down] => world.traffic(parse_mac(mac)?, parse_bytes(up)?, parse_bytes(down)?)?,
        ["leave", mac, rest @ ..] => world.leave(parse_mac(mac)?, rest.first() == Some(&"timeout"))?,
        ["adapter", "driver", name] => world.set_driver(name)?,
        ["adapter", state] => world.set_adapter(parse_state(state)?),
        ["switch", kind @ ("soft" | "hard"), state] => {
            world.set_switch(*kind == "hard", !parse_state(state)?)?;
        }
        ["station", "none"] => world.set_station(None)?,
        ["station", mhz] => {
            let mhz = mhz.parse().map_err(|_| format!("{mhz:?} is not a frequency in MHz"))?;
            world.set_station(Some(mhz))?;
        }
        ["sleep"] => world.sleep(Sleep::Coming),
        ["wake"] => world.sleep(Sleep::Over),
        ["crash"] => world.crash_ap()?,
        ["firewall", "lost"] => world.lose_firewall()?,
        ["uplink", "none"] => world.set_uplink(None),
        ["uplink", interface] => world.set_uplink(Some(parse_name(interface)?)),
        ["link", "add", interface, rest @ ..] => {
            let media = rest.first().map_or(Ok(MediaType::Lan), |text| parse_media(text))?;
            let incoming = match rest.get(1..).unwrap_or_default() {
                [] => false,
                ["incoming"] => true,
                other => return Err(format!("{other:?} is not a property of a link")),
            };
            world.add_link(parse_name(interface)?, media, incoming);
        }
        ["link", "remove", interface] => world.remove_link(parse_name(interface)?),
        ["dependency", name, state @ ("up" | "down")] => {
            let dependency = Dependency::ALL
                .into_iter()
                .find(|dependency| dependency.service_name().eq_ignore_ascii_case(name))
                .ok_or_else(|| format!("{name:?} is not a dependency"))?;
            world.set_dependency(dependency, *state == "up");
        }
        ["ill", check, state] => {
            let check = ILLS
                .into_iter()
                .find(|ill| ill.as_str() == *check)
                .ok_or_else(|| format!("{check:?} cannot be made ill"))?;
            world.set_ill(check, parse_state(state)?);
        }
        ["fail", lane, cause @ ..] => {
            let cause = if cause.is_empty() { "the console said so".to_owned() } else { cause.join(" ") };
            world.set_fault(parse_lane(lane)?, Fault::Fail(cause));
        }
        ["hang", lane] => {
            let lane = parse_lane(lane)?;
            let release = Rc::new(Notify::new());
            hung.borrow_mut().insert(lane, Rc::clone(&release));
            world.set_fault(lane, Fault::Hang(release));
        }
        ["release", lane] => {
            let release = hung.borrow_mut().remove(&parse_lane(lane)?).ok_or("the lane does not hang")?;
            release.notify_one();
        }
        ["show"] => return serde_json::to_string(world.applied()).map_err(|error| error.to_string()),
        _ => return Err(format!("{line:?} is not a command of this console")),
    }
    Ok("ok".to_owned())
}

fn parse_mac(text: &str) -> Result<MacAddr, String> {
    text.parse().map_err(|error: hn_types::mac::MacAddrError| error.to_string())
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number of bytes"))
}

fn parse_name(text: &str) -> Result<IfName, String> {
    text.parse().map_err(|error: hn_types::IfNameError| error.to_string())
}

fn parse_media(text: &str) -> Result<MediaType, String> {
    [
        MediaType::Direct,
        MediaType::Isdn,
        MediaType::Lan,
        MediaType::Phone,
        MediaType::Tunnel,
        MediaType::Pppoe,
        MediaType::Bridge,
    ]
    .into_iter()
    .find(|media| media.as_str() == text)
    .ok_or_else(|| format!("{text:?} is not a kind of link"))
}

fn parse_state(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

fn parse_lane(text: &str) -> Result<Step, String> {
    [Step::Radio, Step::Links, Step::Forwarding, Step::Firewall, Step::Services]
        .into_iter()
        .find(|lane| lane.as_str() == text)
        .ok_or_else(|| format!("{text:?} is not a lane"))
}
