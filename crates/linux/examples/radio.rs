//! An access point by hand: `radio DIR WIPHY INTERFACE BSSID SSID FREQUENCY`, orders on standard input, events on
//! standard output. Ends, and takes everything down, at the end of its input.
//!
//! Orders: `keys PRIMARY SECONDARY [MAC=RETAINED]…` starts the access point or replaces its keys, `poll` asks for the
//! stations, `frequency MHZ` and `bridge NAME` change the plan of the next start, `stop` takes it down.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::{path::PathBuf, rc::Rc, time::Instant};

use anyhow::{Context, Result, bail};
use hn_linux::{
    radio::{LinuxRadio, RadioConfig},
    undo::UndoJournal,
};
use hn_ports::{EventSink, Radio};
use hn_types::{
    Key, KeyRole, Ssid,
    observed::PlatformEvent,
    plan::{ApPlan, KeyEntry, KeySet},
    radio::{PhyType, RadioView, Width, channel_of},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe,
    task::LocalSet,
};

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run())
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, wiphy, interface, bssid, ssid, frequency] = arguments.as_slice() else {
        bail!("usage: radio DIR WIPHY INTERFACE BSSID SSID FREQUENCY");
    };
    let began = Instant::now();
    let events = EventSink::new(move |event| match event {
        PlatformEvent::Radio(view) => println!("{:?} radio {}", began.elapsed(), summary(&view)),
        PlatformEvent::Ap(event) => println!("{:?} ap {event:?}", began.elapsed()),
        PlatformEvent::Network(_)
        | PlatformEvent::Service(_)
        | PlatformEvent::FirewallLost { .. }
        | PlatformEvent::FirewallBlocked(_)
        | PlatformEvent::PortMap { .. }
        | PlatformEvent::Sleep(_) => {}
    });
    let dir = PathBuf::from(dir);
    std::fs::create_dir_all(&dir)?;
    let journal = Rc::new(UndoJournal::open(&dir.join("undo"))?);
    for failure in journal.replay() {
        println!("replay failed: {failure}");
    }
    let config = RadioConfig { runtime_dir: dir, hostapd: None };
    let mut radio = LinuxRadio::open(config, journal, events);
    let frequency_mhz = frequency.parse()?;
    let mut plan = ApPlan {
        wiphy: wiphy.parse()?,
        interface: interface.parse()?,
        bssid: bssid.parse()?,
        ssid: Ssid::new(ssid.as_bytes())?,
        frequency_mhz,
        channel: channel_of(frequency_mhz).context("no channel")?,
        phy: PhyType::Ht,
        width: Width::Mhz20,
        centre_mhz: frequency_mhz,
        cac_s: 0,
        country: None,
        ht_capabilities: 0x20,
        vht_capabilities: 0,
        wpa: hn_types::wpa::Wpa::Wpa2,
        sae: Vec::new(),
        hidden: false,
        isolated: false,
        movable: true,
        max_peers: 100,
        bridge: None,
        keys: KeySet::default(),
    };
    // A pipe, not a blocking thread: the process ends with its input.
    let input = pipe::Receiver::from_file(std::fs::File::open("/proc/self/fd/0")?)?;
    let mut orders = BufReader::new(input).lines();
    while let Some(order) = orders.next_line().await? {
        let asked = Instant::now();
        let answer = match order.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
            ["keys", primary, secondary, retained @ ..] => {
                plan.keys = keys(primary, secondary, retained)?;
                format!("{:?}", radio.start(&plan).await)
            }
            ["frequency", mhz] => {
                plan.frequency_mhz = mhz.parse()?;
                plan.channel = channel_of(plan.frequency_mhz).context("no channel")?;
                String::new()
            }
            ["bridge", name] => {
                plan.bridge = Some(name.parse()?);
                String::new()
            }
            ["poll"] => {
                radio.poll_stations().await;
                "polled".to_owned()
            }
            ["stop"] => format!("{:?}", radio.stop().await),
            other => bail!("what is {other:?}?"),
        };
        println!("{:?} done {} in {:?}: {answer}", began.elapsed(), order.len(), asked.elapsed());
    }
    println!("{:?} end: {:?}", began.elapsed(), radio.stop().await);
    Ok(())
}

fn keys(primary: &str, secondary: &str, retained: &[&str]) -> Result<KeySet> {
    let entry = |role, key: &str, station| -> Result<KeyEntry> {
        Ok(KeyEntry { role, key: Key::passphrase(key.into()).map_err(|e| anyhow::anyhow!("{e}"))?, station })
    };
    let mut entries =
        vec![entry(KeyRole::Primary, primary, None)?, entry(KeyRole::Secondary, secondary, None)?];
    for pair in retained {
        let (mac, key) = pair.split_once('=').context("MAC=KEY")?;
        entries.push(entry(KeyRole::Secondary, key, Some(mac.parse()?))?);
    }
    Ok(KeySet { entries, ..KeySet::default() })
}

fn summary(view: &RadioView) -> String {
    let interfaces = |adapter: &hn_types::radio::Adapter| -> Vec<String> {
        adapter
            .interfaces
            .iter()
            .map(|i| {
                let ssid = i.ssid.map(|ssid| ssid.to_text()).unwrap_or_default();
                format!(
                    "{}:{:?}@{}{}{ssid}",
                    i.name,
                    i.iftype,
                    i.frequency_mhz.unwrap_or(0),
                    if i.connected { "+" } else { "-" }
                )
            })
            .collect()
    };
    let adapters: Vec<String> = view
        .adapters
        .iter()
        .map(|a| {
            format!(
                "{} {} {:?}{}",
                a.name,
                a.driver,
                interfaces(a),
                if a.blocked.soft { " soft" } else { "" }
            )
        })
        .collect();
    adapters.join(" | ")
}
