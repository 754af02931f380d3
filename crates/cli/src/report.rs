//! What is printed: failures, the status, devices, events.

use std::io::Write;

use hostednet::{
    ConnectionView, Error, MappingTarget, MappingView, PartView, SettingsView,
    types::{
        Reason,
        network::MediaType,
        settings::ApSettings,
        text::escape_untrusted,
        view::{
            DeviceView, Event, HostedState, Ipv6Source, NeighbourView, NumberedEvent, PortMapView,
            RadarCheckView, SetBy, SharingMode, Snapshot,
        },
    },
};
use serde::Serialize;

use crate::{
    style::Style,
    table::{bytes, duration, table},
};

/// Writes to standard output. A reader that went away is no error: it has seen enough.
pub(crate) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// One line on standard output.
pub(crate) fn line(text: &str) {
    out(&format!("{text}\n"));
}

/// One line on standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Text on standard error.
pub(crate) fn error(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A value for programs: one object on one line.
pub(crate) fn json<T: Serialize>(value: &T) {
    match serde_json::to_string(value) {
        Ok(text) => line(&text),
        Err(error) => note(&format!("hostednet: cannot print JSON: {error}")),
    }
}

/// A failure: object and cause, step and stable names, remedy.
pub(crate) fn failure(error: &Error) {
    let style = Style::of_stderr();
    let failure = error.to_failure();
    note(&format!("{} {}: {}", style.bad("error:"), failure.object, failure.cause));
    let mut names = format!("step {}, {}", failure.step, failure.code);
    if !matches!(failure.reason, Reason::Success | Reason::Unspecified) {
        names.push_str(&format!(", {}", failure.reason));
    }
    note(&format!("  {} {names}", style.dim("name:")));
    if !failure.remedy.is_empty() {
        note(&format!("  {} {}", style.dim("try: "), failure.remedy));
    }
    if let Some(rollback) = &failure.rollback {
        note(&format!("  {} {rollback}", style.bad("undoing failed too:")));
    }
}

/// Other programs that have to do with the network; nothing when there are none.
fn neighbours(neighbours: &[NeighbourView], style: Style) -> String {
    if neighbours.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", style.bold("Neighbours"));
    for NeighbourView { name, holds, asked, conflict } in neighbours {
        let holds = if holds.is_empty() { "runs".to_owned() } else { format!("has {}", holds.join(", ")) };
        let asked = if asked.is_empty() { String::new() } else { format!("; asked to {}", asked.join(", ")) };
        out.push_str(&format!("  {name:<18}{holds}{asked}\n"));
        if !conflict.is_empty() {
            out.push_str(&format!("  {:<18}{}\n", "", style.warn(conflict)));
        }
    }
    out
}

/// Everything, for people.
pub(crate) fn status(snapshot: &Snapshot) -> String {
    let style = Style::of_stdout();
    let hosted = &snapshot.hosted_network;
    let ap = &hosted.access_point;
    let mut lines = Vec::new();
    let mut row = |label: &str, value: String| lines.push(format!("  {label:<14}{value}"));
    row(
        "state",
        match hosted.state {
            HostedState::Active => style.good("active"),
            HostedState::Idle => "idle".to_owned(),
            HostedState::Unavailable => style.warn(&format!("unavailable ({})", hosted.reason)),
        },
    );
    if !hosted.detail.is_empty() {
        row("", hosted.detail.clone());
    }
    if !hosted.enabled {
        let by = match hosted.set_by {
            SetBy::Policy => "the administrator's policy",
            SetBy::User => "a user",
        };
        row("forbidden", format!("by {by}"));
    }
    row(
        "name",
        hosted.ssid.map_or_else(|| "not configured".to_owned(), |ssid| style.bold(&ssid.to_string())),
    );
    if let (Some(channel), Some(frequency)) = (hosted.channel, hosted.frequency_mhz) {
        let phy = hosted.phy.map_or("", |phy| phy.as_str());
        let width = ap.width_mhz.map(|width| format!(", {width} MHz wide")).unwrap_or_default();
        let following = ap.following.map(|it| format!(", following {it}")).unwrap_or_default();
        row("channel", format!("{channel} ({frequency} MHz{width}, {phy}){following}"));
        if !ap.channel_detail.is_empty() {
            row("", style.warn(&ap.channel_detail));
        }
    }
    if let Some(check) = ap.radar_check {
        let RadarCheckView { channel, total_s, remaining_s } = check;
        row(
            "radar",
            style.warn(&format!("listening on channel {channel}, {remaining_s} of {total_s} s left")),
        );
    }
    if let Some(security) = ap.security {
        let hidden = if ap.hidden { ", hidden" } else { "" };
        let isolated = if ap.isolated { ", devices isolated from each other" } else { "" };
        row("security", format!("{security}{hidden}{isolated}"));
        if !ap.security_detail.is_empty() {
            row("", style.warn(&ap.security_detail));
        }
        if !ap.isolation_detail.is_empty() {
            row("", style.warn(&ap.isolation_detail));
        }
    }
    if let (Some(interface), Some(bssid)) = (hosted.interface, hosted.bssid) {
        row("interface", format!("{interface} ({bssid})"));
    }
    let forced = if hosted.forced { ", started for good" } else { "" };
    row("in use by", format!("{} reference(s){forced}", hosted.references));
    let mut out = format!("{}\n{}\n", style.bold("Hosted network"), lines.join("\n"));

    let sharing = &snapshot.sharing;
    let mut lines = vec![format!("  {:<14}{}, {}", "mode", sharing.mode.as_str(), sharing.phase.as_str())];
    if sharing.mode != SharingMode::Off {
        let private: Vec<_> = sharing.private.iter().map(ToString::to_string).collect();
        let public = match sharing.mode {
            SharingMode::Full => {
                sharing.public.map_or_else(|| style.warn("waiting for one"), |p| p.to_string())
            }
            SharingMode::Standalone | SharingMode::Off => "none".to_owned(),
        };
        lines.push(format!("  {:<14}{public}", "public"));
        lines.push(format!("  {:<14}{}", "private", private.join(", ")));
        if let Some(subnet) = sharing.subnet {
            lines.push(format!("  {:<14}{subnet}", "address"));
        }
        if let Some(prefix) = sharing.ipv6.prefix {
            let way = match sharing.ipv6.source {
                Ipv6Source::Delegated => "delegated",
                Ipv6Source::Relay => "shared with the public connection",
                Ipv6Source::Nat66 => "behind the public connection's address",
                Ipv6Source::None => "local only",
            };
            let way = match sharing.ipv6.detail.as_str() {
                "" => way.to_owned(),
                detail => format!("{way}: {detail}"),
            };
            lines.push(format!("  {:<14}{prefix}, {way}", "IPv6"));
        }
        let mapping = &snapshot.port_mapping;
        if mapping.serving {
            lines.push(format!("  {:<14}{}", "port mapping", port_mapping(mapping)));
        }
        if sharing.rules_restored > 0 {
            let times = sharing.rules_restored;
            lines
                .push(format!("  {:<14}rules that others removed were put back {times} time(s)", "firewall"));
        }
        for detail in &sharing.detail {
            lines.push(format!("  {:<14}{}", "trouble", style.warn(detail)));
        }
    }
    out.push_str(&format!("\n{}\n{}\n", style.bold("Sharing"), lines.join("\n")));
    out.push_str(&neighbours(&snapshot.neighbours, style));
    out.push_str(&format!("\n{}\n{}", style.bold("Devices"), indent(&devices(snapshot))));
    out
}

/// What devices have opened, and what they were refused.
fn port_mapping(view: &PortMapView) -> String {
    let whom = if view.protocols == "any" { "for any device" } else { "by each device for itself" };
    let mut text = format!("{whom}; {} open", view.mappings + view.pinholes);
    let refused: u64 = view.refused.iter().map(|refused| refused.count).sum();
    if refused > 0 {
        let reasons: Vec<_> =
            view.refused.iter().map(|it| format!("{} {}", it.count, it.reason.as_str())).collect();
        text.push_str(&format!(", {refused} refused ({})", reasons.join(", ")));
    }
    text
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The device table.
pub(crate) fn devices(snapshot: &Snapshot) -> String {
    if snapshot.devices.is_empty() {
        return "none\n".to_owned();
    }
    let rows: Vec<_> = snapshot.devices.iter().map(|device| device_row(device, snapshot)).collect();
    table(&["NAME", "ADDRESS", "MAC", "KEY", "SIGNAL", "DOWN", "UP", "SINCE"], &rows)
}

/// The name that was given to a device, else the one that it says of itself.
fn name_of(device: &DeviceView) -> Option<String> {
    let given = device.settings.as_ref().map(|settings| settings.name.as_str());
    given
        .filter(|name| !name.is_empty())
        .map(|name| escape_untrusted(name.as_bytes()))
        .or_else(|| device.hostname.clone())
}

/// One row of the device table.
pub(crate) fn device_row(device: &DeviceView, snapshot: &Snapshot) -> Vec<String> {
    let dash = || "–".to_owned();
    let peer = snapshot.hosted_network.peers.iter().find(|peer| peer.mac == device.mac);
    let connected = match peer {
        Some(peer) => duration(peer.connected_s),
        None if device.settings.as_ref().is_some_and(|settings| settings.blocked) => "blocked".to_owned(),
        None if device.usage.as_ref().is_some_and(|usage| usage.exhausted) => "quota used up".to_owned(),
        None if device.connected => "yes".to_owned(),
        None => "no".to_owned(),
    };
    vec![
        name_of(device).unwrap_or_else(dash),
        device.ipv4.map_or_else(dash, |address| address.to_string()),
        device.mac.to_string(),
        device.key.map_or_else(dash, |key| key.as_str().to_owned()),
        device.signal_dbm.map_or_else(dash, |signal| format!("{signal} dBm")),
        bytes(device.usage.as_ref().map_or(device.tx_bytes, |usage| usage.download.bytes)),
        bytes(device.usage.as_ref().map_or(device.rx_bytes, |usage| usage.upload.bytes)),
        connected,
    ]
}

/// The connections.
pub(crate) fn connections(rows: &[ConnectionView]) -> String {
    let cells: Vec<_> = rows
        .iter()
        .filter(|row| row.media != MediaType::None)
        .map(|row| {
            let mut notes = Vec::new();
            if row.default_route {
                notes.push("default route");
            }
            if row.hosted_network {
                notes.push("hosted network");
            }
            if !row.sharable {
                notes.push(row.detail.as_str());
            }
            vec![
                row.name.clone(),
                row.media.as_str().to_owned(),
                row.status.replace('_', " "),
                row.role.clone(),
                if row.sharable { "yes" } else { "no" }.to_owned(),
                notes.join(", "),
            ]
        })
        .collect();
    table(&["NAME", "KIND", "STATUS", "ROLE", "SHARABLE", "NOTES"], &cells)
}

/// What holds of the access point, one sentence.
pub(crate) fn access_point(view: &SettingsView) -> String {
    let ApSettings { security, hidden, isolated, address } = view.access_point.or(ApSettings::DEFAULT);
    let hidden = if hidden == Some(true) { ", hidden" } else { "" };
    let isolated = if isolated == Some(true) { ", devices isolated from each other" } else { "" };
    let address = address.unwrap_or_default().as_str();
    format!("{}{hidden}{isolated}; {address} address.", security.unwrap_or_default())
}

/// The settings.
pub(crate) fn settings(view: &SettingsView) -> String {
    let style = Style::of_stdout();
    let name = view.ssid.map_or_else(|| "not configured".to_owned(), |ssid| style.bold(&ssid.to_string()));
    let allowed = match (view.enabled, view.set_by) {
        (true, SetBy::User) => "yes",
        (true, SetBy::Policy) => "yes, by policy",
        (false, SetBy::User) => "no",
        (false, SetBy::Policy) => "no, by policy",
    };
    let secondary = match (view.secondary_key, view.secondary_key_persistent) {
        (false, _) => "none",
        (true, true) => "set",
        (true, false) => "set for one session",
    };
    format!(
        "  name           {name}\n  allowed        {allowed}\n  most devices   {}\n  access point   {}\n  \
         secondary key  {secondary}\n",
        view.max_peers,
        access_point(view)
    )
}

/// The parts of the service.
pub(crate) fn parts(parts: &[PartView]) -> String {
    let rows: Vec<_> = parts
        .iter()
        .map(|part| {
            let name = part.display_name.clone();
            vec![part.name.clone(), part.state.clone(), part.start_type.clone(), name, part.detail.clone()]
        })
        .collect();
    table(&["PART", "STATE", "START", "NAME", "DETAIL"], &rows)
}

/// Port mappings and where they lead.
pub(crate) fn mappings(mappings: &[MappingView]) -> String {
    if mappings.is_empty() {
        return "No port leads to a device. `hostednet forward add` makes one.\n".to_owned();
    }
    let mut notes: Vec<&str> = mappings.iter().map(|mapping| mapping.note.as_str()).collect();
    notes.retain(|note| !note.is_empty());
    notes.dedup();
    let note = |note: &&str| format!("Note: {}\n", escape_untrusted(note.as_bytes()));
    let notes: String = notes.iter().map(note).collect();
    let rows: Vec<_> = mappings
        .iter()
        .map(|mapping| {
            let state = if mapping.active { "open".to_owned() } else { mapping.detail.clone() };
            let address =
                mapping.address.filter(|address| mapping.target != MappingTarget::Address(*address));
            let address = address.map(|address| format!(" ({address})")).unwrap_or_default();
            let by = match &mapping.owner {
                Some(owner) => format!("{owner} ({})", mapping.origin),
                None => "administrator".to_owned(),
            };
            let left = mapping.expires_s.map_or_else(|| "–".to_owned(), |left| duration(left.into()));
            vec![
                mapping.id.to_string(),
                escape_untrusted(mapping.name.as_bytes()),
                escape_untrusted(by.as_bytes()),
                left,
                mapping.connection.clone(),
                format!("{} {}", mapping.protocol, mapping.external_port),
                format!(
                    "{}:{}{address}",
                    escape_untrusted(mapping.target.to_string().as_bytes()),
                    mapping.internal_port
                ),
                escape_untrusted(state.as_bytes()),
            ]
        })
        .collect();
    let head = ["ID", "NAME", "BY", "LEFT", "ON", "PORT", "LEADS TO", "STATE"];
    table(&head, &rows) + &notes
}

/// An event as a sentence; `None` for what only programs care about.
pub(crate) fn sentence(event: &Event, style: Style) -> Option<String> {
    Some(match event {
        Event::StateChanged { new, reason, .. } => match new {
            HostedState::Active => style.good("the network is up"),
            HostedState::Idle => style.warn(&format!("the network stopped ({reason})")),
            HostedState::Unavailable => style.bad(&format!("the network is unavailable ({reason})")),
        },
        Event::PeerJoined { mac, key } => {
            format!("{} {mac} joined with the {} key", style.good("+"), key.as_str())
        }
        Event::PeerLeft { mac, reason } => {
            let how = if *reason == Reason::PeerTimeout { "fell silent" } else { "left" };
            format!("{} {mac} {how}", style.dim("-"))
        }
        Event::PeerRefused { mac } => format!("{} {mac} was refused: wrong key", style.bad("!")),
        Event::ChannelChanged { channel, frequency_mhz, following } => {
            let why = following.map(|it| format!(", following {it}")).unwrap_or_default();
            format!("the network moved to channel {channel} ({frequency_mhz} MHz){why}")
        }
        Event::RadarCheck { channel, seconds } => style.warn(&format!(
            "listening for radar on channel {channel}: the network is up in {seconds} s at the earliest"
        )),
        Event::RadioChanged { software_on, hardware_on } => {
            let state = |on: &bool| if *on { "on" } else { "off" };
            format!("radio switch: software {}, hardware {}", state(software_on), state(hardware_on))
        }
        Event::SharingChanged { sharing } => {
            let public = sharing.public.map(|public| format!(", out through {public}")).unwrap_or_default();
            format!("sharing: {}, {}{public}", sharing.mode.as_str(), sharing.phase.as_str())
        }
        Event::LeaseBound { mac, ipv4, hostname, .. } => {
            let name = hostname.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{} {mac}{name} has address {ipv4}", style.good("+"))
        }
        Event::LeaseEnded { mac, ipv4 } => format!("{} {mac} gave back {ipv4}", style.dim("-")),
        Event::Trouble { failure } => {
            let remedy =
                if failure.remedy.is_empty() { String::new() } else { format!("; try: {}", failure.remedy) };
            format!("{} {}: {}{remedy}", style.bad("!"), failure.object, failure.cause)
        }
        Event::SettingsChanged => "the settings changed".to_owned(),
        Event::DeviceChanged { mac, settings } => match settings {
            Some(settings) if settings.blocked => format!("{} {mac} is blocked", style.bad("!")),
            Some(_) => format!("something was decided about {mac}"),
            None => format!("nothing is decided about {mac} any more"),
        },
        Event::QuotaExhausted { mac, bytes: quota } => {
            format!("{} {mac} has used up its quota of {}", style.bad("!"), bytes(*quota))
        }
        Event::QuotaRenewed { mac } => format!("{} the quota of {mac} begins anew", style.good("+")),
        Event::Resync => return None,
    })
}

/// A line of the log that `up` and `monitor` print.
pub(crate) fn event_line(event: &NumberedEvent, style: Style) -> Option<String> {
    let clock = event.time.get(11..19).unwrap_or_default();
    sentence(&event.event, style).map(|sentence| format!("{} {sentence}", style.dim(clock)))
}
