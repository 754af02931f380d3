//! `hostednet device`: what is decided about single devices.

use std::net::Ipv4Addr;

use clap::Subcommand;
use hostednet::{
    DeviceChange, Error, Session,
    types::{
        DeviceSettings, ErrorCode, Failure, MacAddr, QuotaPeriod, Reason, Subnet4, text::escape_untrusted,
        view::DeviceView,
    },
};

use crate::{
    args::Json,
    commands::usage,
    report,
    table::{bytes, table},
};

/// Verbs of `device`.
#[derive(Debug, Subcommand)]
pub enum DeviceVerb {
    /// Show every device that is attached or that something was decided about
    List(Json),
    /// Show all about one device
    Show {
        /// Its MAC address, name or address here
        device: String,
        /// How to print
        #[command(flatten)]
        json: Json,
    },
    /// Decide something about a device: `hostednet device set tv --down 20Mbit --quota 5GB --per day`
    Set(Box<Set>),
    /// Keep a device out: it is sent away at once, cannot join, gets no address, and nothing of it passes
    Block {
        /// Its MAC address, name or address here
        device: String,
    },
    /// Let a blocked device in again
    Allow {
        /// Its MAC address or name
        device: String,
    },
    /// Send a device away from the access point; it may come back
    Disconnect {
        /// Its MAC address, name or address here
        device: String,
    },
    /// Forget what was decided about a device, its promised address and its counters
    Forget {
        /// Its MAC address or name
        device: String,
    },
}

/// Arguments of `device set`.
#[derive(Debug, clap::Args)]
#[group(multiple = true, id = "change")]
pub struct Set {
    /// Its MAC address, name or address here
    #[arg(group = "which")]
    pub device: String,
    /// What to call it; empty for nothing
    #[arg(long, group = "change")]
    pub name: Option<String>,
    /// What else to remember of it
    #[arg(long, group = "change")]
    pub note: Option<String>,
    /// Promise it this address: 192.168.137.20, or .20 in whatever the network is; none to take it back
    #[arg(long, group = "change", value_name = "ADDRESS|none", value_parser = parse_host)]
    pub address: Option<Host>,
    /// Let it send at most so much a second: 10Mbit, 500kB, or a number of bytes
    #[arg(long, group = "change", value_name = "RATE|none", value_parser = parse_rate)]
    pub up: Option<u64>,
    /// Let it receive at most so much a second
    #[arg(long, group = "change", value_name = "RATE|none", value_parser = parse_rate)]
    pub down: Option<u64>,
    /// Let it send and receive so much in all: 5GB, 500MiB; then nothing passes
    #[arg(long, group = "change", value_name = "SIZE|none", value_parser = parse_size)]
    pub quota: Option<u64>,
    /// When the quota begins anew: every day, every month (UTC), or only with --reset-quota
    #[arg(long, group = "change", value_name = "day|month|total", value_parser = parse_period)]
    pub per: Option<QuotaPeriod>,
    /// Keep it and the other devices from reaching each other
    #[arg(long, group = "change", value_name = "yes|no", value_parser = parse_yes)]
    pub isolate: Option<bool>,
    /// Let its quota begin anew now
    #[arg(long, group = "change")]
    pub reset_quota: bool,
    /// Let its counters begin anew
    #[arg(long, group = "change")]
    pub reset_counters: bool,
}

/// What `--address` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// No promise.
    None,
    /// This host part.
    Number(u32),
    /// This address.
    Address(Ipv4Addr),
}

fn parse_host(text: &str) -> Result<Host, String> {
    if text == "none" {
        return Ok(Host::None);
    }
    if let Ok(address) = text.parse() {
        return Ok(Host::Address(address));
    }
    let number = text.strip_prefix('.').unwrap_or(text).parse().ok().filter(|number| *number != 0);
    number.map(Host::Number).ok_or_else(|| "it is neither an address nor .20 or the like".to_owned())
}

/// A number with a unit, exactly.
fn scaled(text: &str, units: &[(&str, u64, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let (_, times, through) =
        units.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(unit.trim_start()))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?;
    let denominator = 10_u64.checked_pow(digits)?;
    let value: u64 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = u128::from(value) * u128::from(*times) / u128::from(denominator) / u128::from(*through);
    u64::try_from(scaled).ok()
}

const SIZES: [(&str, u64, u64); 12] = [
    ("", 1, 1),
    ("b", 1, 1),
    ("k", 1_000, 1),
    ("kb", 1_000, 1),
    ("mb", 1_000_000, 1),
    ("m", 1_000_000, 1),
    ("gb", 1_000_000_000, 1),
    ("g", 1_000_000_000, 1),
    ("tb", 1_000_000_000_000, 1),
    ("kib", 1 << 10, 1),
    ("mib", 1 << 20, 1),
    ("gib", 1 << 30, 1),
];

fn parse_size(text: &str) -> Result<u64, String> {
    if text == "none" {
        return Ok(0);
    }
    scaled(text, &SIZES)
        .filter(|size| *size != 0)
        .ok_or_else(|| "a size is a number of bytes with kB, MB, GB, TB, KiB, MiB or GiB, or none".to_owned())
}

fn parse_rate(text: &str) -> Result<u64, String> {
    if text == "none" {
        return Ok(0);
    }
    let bits = [("bit", 1, 8), ("kbit", 1_000, 8), ("mbit", 1_000_000, 8), ("gbit", 1_000_000_000, 8)];
    let text = text.strip_suffix("/s").unwrap_or(text);
    scaled(text, &bits).or_else(|| scaled(text, &SIZES)).filter(|rate| *rate != 0).ok_or_else(|| {
        "a rate is a number with kbit, Mbit, Gbit, kB, MB or GB, for each second, or none".to_owned()
    })
}

fn parse_period(text: &str) -> Result<QuotaPeriod, String> {
    text.parse().map_err(|error: hostednet::types::device::QuotaPeriodError| error.to_string())
}

fn parse_yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("it is neither yes nor no".to_owned()),
    }
}

pub(crate) async fn device(session: &Session, verb: DeviceVerb) -> Result<(), Error> {
    match verb {
        DeviceVerb::List(form) => {
            let devices = session.devices().await?;
            if form.json { report::json(&devices) } else { report::out(&list(&devices)) }
        }
        DeviceVerb::Show { device, json } => {
            let mac = find(session, &device).await?;
            let devices = session.devices().await?;
            let Some(view) = devices.iter().find(|view| view.mac == mac) else {
                return Err(unknown(&device));
            };
            if json.json { report::json(view) } else { report::out(&show(view)) }
        }
        DeviceVerb::Set(set) => {
            let mac = find(session, &set.device).await?;
            let change = change(session, *set).await?;
            if change == DeviceChange::default() {
                return Err(usage("device set", "it is not said what to change"));
            }
            session.set_device(mac, &change).await?;
            report::line(&format!("Decided about {mac}."));
        }
        DeviceVerb::Block { device } => {
            let mac = find(session, &device).await?;
            let change = DeviceChange { blocked: Some(true), ..DeviceChange::default() };
            session.set_device(mac, &change).await?;
            report::line(&format!("{mac} is blocked."));
        }
        DeviceVerb::Allow { device } => {
            let mac = find(session, &device).await?;
            let change = DeviceChange { blocked: Some(false), ..DeviceChange::default() };
            session.set_device(mac, &change).await?;
            report::line(&format!("{mac} is allowed."));
        }
        DeviceVerb::Disconnect { device } => {
            let mac = find(session, &device).await?;
            session.disconnect_device(mac).await?;
            report::line(&format!("{mac} was sent away. It may come back; `device block` keeps it out."));
        }
        DeviceVerb::Forget { device } => {
            let mac = find(session, &device).await?;
            session.forget_device(mac).await?;
            report::line(&format!("What was decided about {mac} is forgotten."));
        }
    }
    Ok(())
}

async fn change(session: &Session, set: Set) -> Result<DeviceChange, Error> {
    let host = match set.address {
        None => None,
        Some(Host::None) => Some(0),
        Some(Host::Number(number)) => Some(number),
        Some(Host::Address(address)) => {
            let subnet = session.status().await?.sharing.subnet;
            let subnet = subnet.or_else(|| Subnet4::new(address, 24));
            let subnet = subnet.filter(|subnet| subnet.contains(address));
            let network = subnet.map(|subnet| subnet.network().address());
            let outside = || usage(&address.to_string(), "it is not an address of the shared network");
            Some(address.to_bits() - network.ok_or_else(outside)?.to_bits())
        }
    };
    Ok(DeviceChange {
        name: set.name,
        note: set.note,
        blocked: None,
        isolated: set.isolate,
        upload_limit: set.up,
        download_limit: set.down,
        quota_bytes: set.quota,
        quota_period: set.per,
        host,
        reset_quota: set.reset_quota,
        reset_counters: set.reset_counters,
    })
}

/// The device that is meant. A MAC address need not be known yet.
async fn find(session: &Session, text: &str) -> Result<MacAddr, Error> {
    if let Ok(mac) = text.parse() {
        return Ok(mac);
    }
    let devices = session.devices().await?;
    let address: Option<Ipv4Addr> = text.parse().ok();
    let called = |name: &str| !name.is_empty() && name.eq_ignore_ascii_case(text);
    let named = |view: &&DeviceView| view.settings.as_ref().is_some_and(|settings| called(&settings.name));
    let seen = |view: &&DeviceView| {
        view.hostname.as_deref().is_some_and(called) || (address.is_some() && view.ipv4 == address)
    };
    // A name that was given counts more than one that a device says of itself.
    for found in [devices.iter().filter(named).collect::<Vec<_>>(), devices.iter().filter(seen).collect()] {
        match found.as_slice() {
            [] => {}
            [only] => return Ok(only.mac),
            several => {
                let macs: Vec<String> = several.iter().map(|view| view.mac.to_string()).collect();
                return Err(usage(text, format!("several devices are called so: {}", macs.join(", "))));
            }
        }
    }
    Err(unknown(text))
}

fn unknown(text: &str) -> Error {
    Failure::check(
        ErrorCode::NotFound,
        Reason::Unspecified,
        text,
        "no device of this name or address is known",
    )
    .with_remedy("see `hostednet device list`, or name its MAC address")
    .into()
}

fn name_of(view: &DeviceView) -> String {
    let given = view.settings.as_ref().map(|settings| settings.name.as_str()).filter(|name| !name.is_empty());
    let name = given.or(view.hostname.as_deref()).map(|name| escape_untrusted(name.as_bytes()));
    name.unwrap_or_else(|| "–".to_owned())
}

fn rate(limit: u64) -> String {
    format!("{}/s", bytes(limit))
}

/// What holds for a device, in a few words.
fn decided(settings: &DeviceSettings, view: &DeviceView) -> Vec<String> {
    let mut words = Vec::new();
    if settings.blocked {
        words.push("blocked".to_owned());
    }
    if settings.isolated {
        words.push("isolated".to_owned());
    }
    words.extend(settings.upload_limit.map(|limit| format!("up {}", rate(limit))));
    words.extend(settings.download_limit.map(|limit| format!("down {}", rate(limit))));
    if let Some(quota) = settings.quota {
        let usage = view.usage.as_ref();
        let spent = usage.map_or(0, |usage| usage.spent).min(quota.bytes);
        let state = if usage.is_some_and(|usage| usage.exhausted) { ", used up" } else { "" };
        words.push(format!("{} of {} per {}{state}", bytes(spent), bytes(quota.bytes), quota.period));
    }
    words
}

fn list(devices: &[DeviceView]) -> String {
    if devices.is_empty() {
        return "none\n".to_owned();
    }
    let rows: Vec<_> = devices
        .iter()
        .map(|view| {
            let used = |count: fn(&hostednet::types::DeviceUsage) -> u64| {
                view.usage.as_ref().map_or_else(|| "–".to_owned(), |usage| bytes(count(usage)))
            };
            let address = view.ipv4.or(view.fixed_ipv4).map(|address| address.to_string());
            let settings = view.settings.as_ref().map(|settings| decided(settings, view));
            vec![
                name_of(view),
                address.unwrap_or_else(|| "–".to_owned()),
                view.mac.to_string(),
                if view.connected { "yes" } else { "no" }.to_owned(),
                used(|usage| usage.download.bytes),
                used(|usage| usage.upload.bytes),
                settings.map(|words| words.join(", ")).unwrap_or_default(),
            ]
        })
        .collect();
    table(&["NAME", "ADDRESS", "MAC", "HERE", "DOWN", "UP", "DECIDED"], &rows)
}

fn show(view: &DeviceView) -> String {
    let mut lines = Vec::new();
    let mut row = |label: &str, value: String| lines.push(format!("  {label:<10}{value}\n"));
    row("name", name_of(view));
    row("MAC", format!("{}{}", view.mac, if view.random_mac { " (made up by the device)" } else { "" }));
    let fixed = view.fixed_ipv4.map(|address| format!("{address}, promised"));
    match (view.ipv4, fixed) {
        (Some(address), Some(_)) if Some(address) == view.fixed_ipv4 => {
            row("address", format!("{address}, promised"))
        }
        (Some(address), Some(fixed)) => row("address", format!("{address}; {fixed}")),
        (Some(address), None) => row("address", address.to_string()),
        (None, Some(fixed)) => row("address", fixed),
        (None, None) => {}
    }
    row("here", if view.connected { "yes" } else { "no" }.to_owned());
    if let Some(settings) = &view.settings {
        if !settings.note.is_empty() {
            row("note", escape_untrusted(settings.note.as_bytes()));
        }
        for words in decided(settings, view) {
            row("decided", words);
        }
    }
    if let Some(usage) = &view.usage {
        for (label, traffic) in [("down", usage.download), ("up", usage.upload)] {
            row(label, format!("{} in {} packets", bytes(traffic.bytes), traffic.packets));
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes_are_read_with_their_units() {
        for (text, value) in
            [("10Mbit", 1_250_000), ("1.5MB/s", 1_500_000), ("500kB", 500_000), ("4000", 4_000), ("none", 0)]
        {
            assert_eq!(parse_rate(text), Ok(value), "{text}");
        }
        for (text, value) in [("5GB", 5_000_000_000), ("1.5 GiB", 1_610_612_736), ("none", 0)] {
            assert_eq!(parse_size(text), Ok(value), "{text}");
        }
        for wrong in ["", "fast", "5 apples", "-1", "1.2.3MB", "0", "99999999999TB"] {
            assert!(parse_size(wrong).is_err() && parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_whole_or_its_host_part() {
        assert_eq!(parse_host(".20"), Ok(Host::Number(20)));
        assert_eq!(parse_host("20"), Ok(Host::Number(20)));
        assert_eq!(parse_host("192.168.137.20"), Ok(Host::Address(Ipv4Addr::new(192, 168, 137, 20))));
        assert_eq!(parse_host("none"), Ok(Host::None));
        assert!(parse_host(".0").is_err() && parse_host("tv").is_err());
    }
}
