//! What `netsh` prints. Pure. Scripts cut values out of these lines: labels, their padding and the sentences are a
//! contract. Nothing here comes from the air unescaped.

use hostednet::{
    ConnectionView, KeysView,
    types::{
        Key,
        network::MediaType,
        radio::PhyType,
        station::{Authentication, Cipher, StationLink, StationView},
        text::escape_untrusted,
        view::{HostedNetworkView, HostedState},
    },
};
use zeroize::Zeroizing;

use super::{
    grammar::{Mistake, Topic},
    help::help,
};

pub(crate) const ALLOWED: &str = "The hosted network mode has been set to allow.\n";
pub(crate) const DISALLOWED: &str = "The hosted network mode has been set to disallow.\n";
pub(crate) const RENAMED: &str = "The SSID of the hosted network has been successfully changed.\n";
pub(crate) const KEY_CHANGED: &str =
    "The user key passphrase of the hosted network has been successfully changed.\n";
pub(crate) const KEY_REFRESHED: &str =
    "The system key of the hosted network has been successfully refreshed.\n";
pub(crate) const STARTED: &str = "The hosted network started.\n";
pub(crate) const STOPPED: &str = "The hosted network stopped.\n";

pub(crate) const NOT_STARTED: &str = "The hosted network couldn't be started.";
pub(crate) const NOT_STOPPED: &str = "The hosted network couldn't be stopped.";
pub(crate) const NOT_SET: &str = "The settings of the hosted network couldn't be changed.";
pub(crate) const NOT_REFRESHED: &str = "The system key of the hosted network couldn't be refreshed.";
pub(crate) const NOT_SHOWN: &str = "The hosted network couldn't be queried.";
pub(crate) const NOT_EXPORTED: &str = "The profile of the hosted network couldn't be saved.";

pub(crate) const NO_SERVICE: &str = "The Wireless AutoConfig Service (wlansvc) is not running.\n";
pub(crate) const NO_RIGHT: &str =
    "You must run this command from a command prompt with administrator privilege.\n";
pub(crate) const NO_INTERFACE: &str = "There is no wireless interface on the system.\n";

const SYNTAX: &str =
    "The syntax supplied for this command is not valid. Check help for the correct syntax.\n";

/// The width of the labels of `show drivers`, and of the others.
const DRIVER_LABEL: usize = 26;
const LABEL: usize = 23;

fn row(text: &mut String, width: usize, label: &str, value: &str) {
    text.push_str(&format!("    {label:<width$}: {value}\n"));
}

/// `Hosted network status`, the value.
pub(crate) const fn status(state: HostedState) -> &'static str {
    match state {
        HostedState::Unavailable => "Not available",
        HostedState::Idle => "Not started",
        HostedState::Active => "Started",
    }
}

/// `show hostednetwork`.
pub(crate) fn hosted_network(view: &HostedNetworkView) -> String {
    let mut text = String::from("\nHosted network settings\n-----------------------\n");
    let ssid = view.ssid.map_or_else(|| "<Not configured>".to_owned(), |ssid| format!("\"{ssid}\""));
    row(&mut text, LABEL, "Mode", if view.enabled { "Allowed" } else { "Disallowed" });
    row(&mut text, LABEL, "SSID name", &ssid);
    row(&mut text, LABEL, "Max number of clients", &view.max_peers.to_string());
    row(&mut text, LABEL, "Authentication", "WPA2-Personal");
    row(&mut text, LABEL, "Cipher", "CCMP");
    text.push_str("\nHosted network status\n---------------------\n");
    row(&mut text, LABEL, "Status", status(view.state));
    if view.state == HostedState::Active {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        row(&mut text, LABEL, "BSSID", &or_dash(view.bssid.map(|bssid| bssid.to_string())));
        row(&mut text, LABEL, "Radio type", view.phy.map_or("-", radio_type));
        row(&mut text, LABEL, "Channel", &or_dash(view.channel.map(|channel| channel.to_string())));
        row(&mut text, LABEL, "Number of clients", &view.peers.len().to_string());
        for peer in &view.peers {
            text.push_str(&format!("        {}        Authenticated\n", peer.mac));
        }
    }
    text.push('\n');
    text
}

/// `show hostednetwork setting=security`.
pub(crate) fn security(keys: &KeysView) -> Zeroizing<String> {
    let show = |key: &Option<Key>| {
        Zeroizing::new(match key {
            None => "<Not specified>".to_owned(),
            Some(Key::Passphrase(text)) => text.expose().to_owned(),
            Some(Key::Raw(raw)) => raw.expose().iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    };
    let usage = match (&keys.secondary, keys.secondary_persistent) {
        (None, _) => "<Not specified>",
        (Some(_), true) => "Persistent",
        (Some(_), false) => "Temporary",
    };
    // Room for everything: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str("\nHosted network security settings\n--------------------------------\n");
    for (label, value) in [
        ("System security key", &*show(&keys.primary)),
        ("User security key", &*show(&keys.secondary)),
        ("User security key usage", &usage.to_owned()),
    ] {
        text.push_str("    ");
        text.push_str(label);
        text.extend(std::iter::repeat_n(' ', LABEL.saturating_sub(label.len())));
        text.push_str(": ");
        text.push_str(value);
        text.push('\n');
    }
    text.push('\n');
    text
}

/// The Wi-Fi stations among the connections.
pub(crate) fn stations(rows: &[ConnectionView]) -> Vec<(&ConnectionView, &StationView)> {
    rows.iter()
        .filter(|row| row.media != MediaType::None && !row.hosted_network)
        .filter_map(|row| Some((row, row.station.as_ref()?)))
        .collect()
}

/// `show interfaces`.
pub(crate) fn interfaces(rows: &[ConnectionView], hosted: HostedState) -> String {
    let stations = stations(rows);
    let mut text = match stations.len() {
        1 => "\nThere is 1 interface on the system:\n\n".to_owned(),
        count => format!("\nThere are {count} interfaces on the system:\n\n"),
    };
    for (connection, station) in stations {
        interface(&mut text, connection, station);
        text.push('\n');
    }
    row(&mut text, LABEL, "Hosted network status", status(hosted));
    text.push('\n');
    text
}

fn interface(text: &mut String, connection: &ConnectionView, station: &StationView) {
    row(text, LABEL, "Name", &connection.name);
    row(text, LABEL, "Description", &description(station));
    row(text, LABEL, "GUID", &connection.guid.trim_matches(['{', '}']).to_ascii_lowercase());
    row(text, LABEL, "Physical address", &station.address.to_string());
    row(text, LABEL, "State", if station.connected { "connected" } else { "disconnected" });
    if !station.connected {
        let on = |on: bool| if on { "On" } else { "Off" };
        row(text, LABEL, "Radio status", &format!("Hardware {}", on(station.hardware_on)));
        text.push_str(&format!("{:29}Software {}\n", "", on(station.software_on)));
        return;
    }
    let link = station.link.unwrap_or_default();
    let ssid = station.ssid.map(|ssid| ssid.to_string());
    let rate = |kbps: Option<u32>| kbps.map(rate);
    let phy = link.phy.map(|phy| radio_type(phy).to_owned());
    let authentication = link.authentication.map(|way| authentication(way).to_owned());
    for (label, value) in [
        ("SSID", ssid.clone()),
        ("BSSID", link.bssid.map(|bssid| bssid.to_string())),
        ("Network type", Some("Infrastructure".to_owned())),
        ("Radio type", phy),
        ("Authentication", authentication),
        ("Cipher", link.cipher.map(|cipher| cipher_name(cipher).to_owned())),
        ("Connection mode", Some("Profile".to_owned())),
        ("Channel", station.channel.map(|channel| channel.to_string())),
        ("Receive rate (Mbps)", rate(link.receive_kbps)),
        ("Transmit rate (Mbps)", rate(link.transmit_kbps)),
        ("Signal", quality(&link).map(|quality| format!("{quality}%"))),
        ("Profile", ssid),
    ] {
        if let Some(value) = value {
            row(text, LABEL, label, &value);
        }
    }
}

/// The driver is what tells one card from another here.
fn description(station: &StationView) -> String {
    match station.driver.as_str() {
        "" => format!("{} wireless adapter", station.adapter),
        driver => format!("{} wireless adapter ({})", escape_untrusted(driver.as_bytes()), station.adapter),
    }
}

/// `show drivers`.
pub(crate) fn drivers(rows: &[ConnectionView], only: Option<&str>) -> Option<String> {
    let stations = stations(rows);
    let wanted: Vec<_> = stations
        .into_iter()
        .filter(|(row, _)| only.is_none_or(|name| row.name.eq_ignore_ascii_case(name)))
        .collect();
    if wanted.is_empty() {
        return None;
    }
    let mut text = String::new();
    for (connection, station) in wanted {
        text.push_str(&format!("\nInterface name: {}\n\n", connection.name));
        let mut line = |label: &str, value: &str| row(&mut text, DRIVER_LABEL, label, value);
        let types: Vec<&str> = station.phys.iter().flat_map(|phy| supported(*phy)).copied().collect();
        line("Driver", &description(station));
        line("Vendor", "Linux");
        line("Provider", if station.driver.is_empty() { "mac80211" } else { &station.driver });
        line("Type", "Native Wi-Fi Driver");
        line("Radio types supported", &types.join(" "));
        line("Hosted network supported", if station.hosted_network_supported { "Yes" } else { "No" });
        text.push_str("    Authentication and cipher supported in infrastructure mode:\n");
        for (way, cipher) in [("Open", "None"), ("WPA2-Personal", "CCMP")] {
            text.push_str(&format!("{:32}{way:<16}{cipher}\n", ""));
        }
    }
    text.push('\n');
    Some(text)
}

/// A device that speaks 802.11g speaks 802.11b.
const fn supported(phy: PhyType) -> &'static [&'static str] {
    match phy {
        PhyType::Ofdm => &["802.11a"],
        PhyType::Erp => &["802.11b", "802.11g"],
        PhyType::Ht => &["802.11n"],
        PhyType::Vht => &["802.11ac"],
        PhyType::He => &["802.11ax"],
    }
}

const fn radio_type(phy: PhyType) -> &'static str {
    match phy {
        PhyType::Ofdm => "802.11a",
        PhyType::Erp => "802.11g",
        PhyType::Ht => "802.11n",
        PhyType::Vht => "802.11ac",
        PhyType::He => "802.11ax",
    }
}

const fn authentication(way: Authentication) -> &'static str {
    match way {
        Authentication::Open => "Open",
        Authentication::WpaPersonal => "WPA-Personal",
        Authentication::WpaEnterprise => "WPA-Enterprise",
        Authentication::Wpa2Personal => "WPA2-Personal",
        Authentication::Wpa2Enterprise => "WPA2-Enterprise",
        Authentication::Wpa3Personal => "WPA3-Personal",
        Authentication::Owe => "OWE",
    }
}

const fn cipher_name(cipher: Cipher) -> &'static str {
    match cipher {
        Cipher::None => "None",
        Cipher::Wep => "WEP",
        Cipher::Tkip => "TKIP",
        Cipher::Ccmp => "CCMP",
        Cipher::Gcmp => "GCMP",
    }
}

/// Mbit/s with one decimal where there is one.
fn rate(kbps: u32) -> String {
    match (kbps / 1000, kbps % 1000 / 100) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}.{tenth}"),
    }
}

/// Signal quality as Windows counts it: 0 % at -100 dBm, 100 % at -50 dBm (`wlanSignalQuality`).
fn quality(link: &StationLink) -> Option<i32> {
    link.signal_dbm.map(|dbm| dbm.saturating_add(100).saturating_mul(2).clamp(0, 100))
}

/// `export hostednetworkprofile` is done.
pub(crate) fn exported(name: &str, file: &str) -> String {
    format!("Hosted network profile \"{name}\" is saved in file \"{file}\" successfully.\n")
}

/// A sentence, and the system's for the error.
pub(crate) fn refused(sentence: &str, number: u32) -> String {
    let system = crate::win32::text(number).unwrap_or("Unknown error.");
    format!("{sentence}\n{system}\n\n")
}

/// What is said to a line that means nothing.
pub(crate) fn mistake(mistake: &Mistake) -> String {
    match mistake {
        Mistake::NotFound(typed) => format!("The following command was not found: {typed}.\n"),
        Mistake::Syntax { topic, word } => {
            let named =
                word.as_ref().map(|word| format!("{word} is not a valid argument for this command.\n"));
            format!("{}{SYNTAX}{}", named.unwrap_or_default(), usage(*topic))
        }
        Mistake::Missing(topic) => format!(
            "One or more essential parameters were not entered.\nVerify the required parameters, and reenter \
             them.\n{SYNTAX}{}",
            usage(*topic)
        ),
        Mistake::Value { tag, value } => {
            refused(&format!("{value} is not an acceptable value for {tag}."), 87)
        }
        Mistake::Ssid(length) => refused(&format!("An SSID has 1 to 32 bytes, this one has {length}."), 87),
        Mistake::Key(error) => refused(&format!("The user security key is not valid: {error}."), 87),
    }
}

fn usage(topic: Topic) -> String {
    help(topic)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hostednet::types::{
        KeyRole, MacAddr, Reason, Ssid,
        view::{AccessPointView, PeerView, SetBy},
    };

    use super::*;

    fn view() -> HostedNetworkView {
        let peer = |last| PeerView {
            mac: MacAddr([0, 255, 255, 255, 255, last]),
            key: KeyRole::Primary,
            connected_s: 1,
        };
        HostedNetworkView {
            state: HostedState::Active,
            reason: Reason::UserAction,
            detail: String::new(),
            enabled: true,
            set_by: SetBy::User,
            ssid: Ssid::new(b"name").ok(),
            interface: None,
            device_guid: None,
            bssid: Some(MacAddr([0x68, 0x94, 0x23, 0xb9, 0x86, 0x9d])),
            channel: Some(11),
            frequency_mhz: Some(2462),
            phy: Some(PhyType::Ht),
            max_peers: 100,
            references: 1,
            forced: true,
            peers: vec![peer(255), peer(254)],
            access_point: AccessPointView::default(),
        }
    }

    #[test]
    fn a_running_network_is_shown_as_netsh_shows_it() {
        let golden = "
Hosted network settings
-----------------------
    Mode                   : Allowed
    SSID name              : \"name\"
    Max number of clients  : 100
    Authentication         : WPA2-Personal
    Cipher                 : CCMP

Hosted network status
---------------------
    Status                 : Started
    BSSID                  : 68:94:23:b9:86:9d
    Radio type             : 802.11n
    Channel                : 11
    Number of clients      : 2
        00:ff:ff:ff:ff:ff        Authenticated
        00:ff:ff:ff:ff:fe        Authenticated

";
        assert_eq!(hosted_network(&view()), golden);
    }

    #[test]
    fn a_network_that_does_not_run_has_a_status_and_nothing_below() {
        let view = HostedNetworkView { state: HostedState::Idle, ssid: None, enabled: false, ..view() };
        let text = hosted_network(&view);
        assert!(text.contains("    Mode                   : Disallowed\n"), "{text}");
        assert!(text.contains("    SSID name              : <Not configured>\n"), "{text}");
        assert!(text.ends_with("---\n    Status                 : Not started\n\n"), "{text}");
        assert_eq!(status(HostedState::Unavailable), "Not available");
    }

    #[test]
    fn a_name_from_the_air_cannot_drive_the_terminal() {
        let view = HostedNetworkView { ssid: Ssid::new(b"\x1b[2J\n").ok(), ..view() };
        assert!(!hosted_network(&view).contains('\u{1b}'));
    }

    #[test]
    fn keys_are_shown_with_their_usage() {
        let secondary = Key::passphrase("open sesame".to_owned()).ok();
        let keys = KeysView { primary: Key::raw(&[7; 32]).ok(), secondary, secondary_persistent: false };
        let golden = format!(
            "
Hosted network security settings
--------------------------------
    System security key    : {}
    User security key      : open sesame
    User security key usage: Temporary

",
            "07".repeat(32)
        );
        assert_eq!(*security(&keys), golden);
        let none = KeysView { primary: None, secondary: None, secondary_persistent: false };
        assert_eq!(security(&none).matches(": <Not specified>\n").count(), 3);
    }

    #[test]
    fn figures_are_written_as_windows_writes_them() {
        assert_eq!((rate(72_200), rate(65_000), rate(1_000)), ("72.2".into(), "65".into(), "1".into()));
        let percent =
            |dbm| quality(&StationLink { signal_dbm: Some(dbm), ..StationLink::default() }).unwrap();
        assert_eq!((percent(-52), percent(-20), percent(-100), percent(-120)), (96, 100, 0, 0));
        assert_eq!(quality(&StationLink::default()), None);
    }
}
