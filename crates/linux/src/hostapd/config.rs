//! The access point in hostapd's words: the `SET` commands that stand for its configuration file.

use hn_types::{
    DriverError, DriverErrorKind, Key,
    plan::ApPlan,
    radio::{PhyType, Width, channel_of, secondary_above},
    wpa::Wpa,
};
use zeroize::Zeroizing;

/// A silent station is asked for a sign of life after so many seconds and let go when it gives none. Short
/// enough that a device that walked away is not shown for minutes; the question costs one frame.
const INACTIVITY_SECONDS: u32 = 60;
/// What hostapd can count to (`MAX_STA_COUNT`).
const STATIONS_LIMIT: u32 = 2007;

/// What an access point of `plan` is configured with, in order. `psk_file` is where hostapd finds the keys. No value
/// holds a secret, a line end or a character that somebody else chose: the SSID goes as hexadecimal digits.
///
/// # Errors
///
/// `Unsupported` for a channel on which WPA2 is not allowed.
pub(super) fn settings(plan: &ApPlan, psk_file: &str) -> Result<Vec<(&'static str, String)>, DriverError> {
    let band = Band::of(plan.frequency_mhz).ok_or_else(|| {
        let cause = "a WPA2 network cannot be on this channel";
        let target = format!("{} MHz", plan.frequency_mhz);
        DriverError::new(DriverErrorKind::Unsupported, "configure the access point", target, cause)
            .with_remedy("use a channel of the 2.4 or 5 GHz band")
    })?;
    let ht = plan.phy >= PhyType::Ht;
    let vht = plan.phy >= PhyType::Vht && band == Band::High;
    let he = plan.phy >= PhyType::He;
    // A plain WPA2 network goes without protection of management frames: drivers that advertise it fail the handshake
    // (peers §3, no. 13).
    let (key_mgmt, management_frames) = match plan.wpa {
        Wpa::Wpa2 => ("WPA-PSK", 0),
        Wpa::Transition => ("WPA-PSK SAE", 1),
        Wpa::Wpa3 => ("SAE", 2),
    };
    let on = |flag: bool| u32::from(flag).to_string();
    let ssid = plan.ssid.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut settings = vec![
        ("ssid2", ssid),
        ("utf8_ssid", on(plan.ssid.as_str().is_some())),
        ("hw_mode", if band == Band::Low { "g" } else { "a" }.to_owned()),
        ("channel", plan.channel.to_string()),
        // HT, VHT and HE stations expect QoS.
        ("wmm_enabled", on(ht)),
        ("ieee80211n", on(ht)),
        ("ieee80211ac", on(vht)),
        ("ieee80211ax", on(he)),
        // By default WPA2-Personal with CCMP and nothing else (spec/hosted-network.md §1).
        ("wpa", "2".to_owned()),
        ("wpa_key_mgmt", key_mgmt.to_owned()),
        ("rsn_pairwise", "CCMP".to_owned()),
        ("ieee80211w", management_frames.to_string()),
        ("ignore_broadcast_ssid", on(plan.hidden)),
        ("max_num_sta", plan.max_peers.min(STATIONS_LIMIT).to_string()),
        ("ap_isolate", on(plan.isolated)),
        ("ap_max_inactivity", INACTIVITY_SECONDS.to_string()),
    ];
    if plan.wpa != Wpa::Wpa3 {
        settings.push(("wpa_psk_file", psk_file.to_owned()));
    }
    if plan.wpa != Wpa::Wpa2 {
        // Both ways of deriving the password element: devices know one or the other.
        settings.push(("sae_pwe", "2".to_owned()));
        settings.push(("sae_require_mfp", "1".to_owned()));
    }
    if plan.sae.len() > 1 {
        settings.push(("sae_track_password", STATIONS_LIMIT.to_string()));
    }
    if ht {
        settings.push(("ht_capab", ht_capabilities(plan)));
    }
    if vht {
        settings.push(("vht_capab", vht_capabilities(plan.vht_capabilities)));
    }
    if let (true, Some(centre)) = (plan.width == Width::Mhz80, channel_of(plan.centre_mhz)) {
        settings.push(("vht_oper_chwidth", "1".to_owned()));
        settings.push(("vht_oper_centr_freq_seg0_idx", centre.to_string()));
        if he {
            settings.push(("he_oper_chwidth", "1".to_owned()));
            settings.push(("he_oper_centr_freq_seg0_idx", centre.to_string()));
        }
    }
    if let Some(country) = plan.country {
        // The country in force, said again: hostapd listens for radar only where it knows one.
        settings.push(("country_code", country.to_string()));
        settings.push(("ieee80211d", "1".to_owned()));
        settings.push(("ieee80211h", "1".to_owned()));
    }
    if let Some(bridge) = plan.bridge {
        settings.push(("bridge", bridge.to_string()));
    }
    Ok(settings)
}

/// The values of `sae_password`, in the order in which hostapd is to be told: it tries the last one first. They are
/// secret, and wiped when dropped.
pub(super) fn passwords(plan: &ApPlan) -> Vec<Zeroizing<String>> {
    let spoken = plan.sae.iter().rev().filter_map(|entry| match &entry.key {
        Key::Passphrase(text) => Some(text.expose().to_owned()),
        Key::Raw(_) => None,
    });
    spoken.map(Zeroizing::new).collect()
}

/// The order that moves a running access point to the channel of `plan`, announced in `beacons` beacons.
pub(super) fn channel_switch(plan: &ApPlan, beacons: u32) -> String {
    let mut order = format!("CHAN_SWITCH {beacons} {}", plan.frequency_mhz);
    let secondary = secondary_above(plan.frequency_mhz, plan.centre_mhz, plan.width);
    if let Some(above) = secondary {
        let offset = if above { 1 } else { -1 };
        order.push_str(&format!(" sec_channel_offset={offset} center_freq1={}", plan.centre_mhz));
    }
    order.push_str(&format!(" bandwidth={}", plan.width.mhz()));
    for (known, flag) in [
        (plan.phy >= PhyType::Ht, " ht"),
        (plan.phy >= PhyType::Vht && plan.frequency_mhz >= 5000, " vht"),
        (plan.phy >= PhyType::He, " he"),
    ] {
        if known {
            order.push_str(flag);
        }
    }
    order
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Band {
    Low,
    High,
}

impl Band {
    const fn of(frequency_mhz: u32) -> Option<Self> {
        match frequency_mhz {
            2412..=2484 => Some(Self::Low),
            5000..=5895 => Some(Self::High),
            _ => None,
        }
    }
}

/// `ht_capab` from the capability field of the radio (IEEE 802.11-2020, 9.4.2.55.2): what helps and harms nowhere.
/// hostapd refuses to start when it is told of something the driver cannot do.
fn ht_capabilities(plan: &ApPlan) -> String {
    let field = plan.ht_capabilities;
    let mut text = String::new();
    let secondary = secondary_above(plan.frequency_mhz, plan.centre_mhz, plan.width);
    if let Some(above) = secondary {
        text.push_str(if above { "[HT40+]" } else { "[HT40-]" });
        if field & 0x0040 != 0 {
            text.push_str("[SHORT-GI-40]");
        }
    }
    for (bit, name) in
        [(0x0001, "[LDPC]"), (0x0020, "[SHORT-GI-20]"), (0x0080, "[TX-STBC]"), (0x0800, "[MAX-AMSDU-7935]")]
    {
        if field & bit != 0 {
            text.push_str(name);
        }
    }
    text.push_str(match field >> 8 & 3 {
        1 => "[RX-STBC1]",
        2 => "[RX-STBC12]",
        3 => "[RX-STBC123]",
        _ => "",
    });
    text
}

/// `vht_capab` from the capability field of the radio (IEEE 802.11-2020, 9.4.2.157.2), by the same rule.
fn vht_capabilities(field: u32) -> String {
    let mut text = String::new();
    text.push_str(match field & 3 {
        1 => "[MAX-MPDU-7991]",
        2 => "[MAX-MPDU-11454]",
        _ => "",
    });
    for (bit, name) in [(1 << 4, "[RXLDPC]"), (1 << 5, "[SHORT-GI-80]"), (1 << 7, "[TX-STBC-2BY1]")] {
        if field & bit != 0 {
            text.push_str(name);
        }
    }
    text.push_str(match field >> 8 & 7 {
        1 => "[RX-STBC-1]",
        2 => "[RX-STBC-12]",
        3 => "[RX-STBC-123]",
        4 => "[RX-STBC-1234]",
        _ => "",
    });
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hn_types::{
        Key, KeyRole, MacAddr, Ssid,
        plan::{KeyEntry, KeySet},
    };
    use proptest::prelude::*;

    use super::*;

    fn plan(ssid: &[u8], frequency_mhz: u32, channel: u32, phy: PhyType, ht_capabilities: u16) -> ApPlan {
        let key = Key::passphrase("do not tell anyone".into()).unwrap();
        ApPlan {
            wiphy: 0,
            interface: "hnap0".parse().unwrap(),
            bssid: MacAddr::ZERO,
            ssid: Ssid::new(ssid).unwrap(),
            frequency_mhz,
            channel,
            phy,
            width: Width::Mhz20,
            centre_mhz: frequency_mhz,
            cac_s: 0,
            country: None,
            ht_capabilities,
            vht_capabilities: 0,
            wpa: Wpa::Wpa2,
            sae: Vec::new(),
            hidden: false,
            isolated: false,
            movable: true,
            max_peers: 100,
            bridge: None,
            keys: KeySet {
                entries: vec![KeyEntry { role: KeyRole::Primary, key, station: None }],
                ..KeySet::default()
            },
        }
    }

    fn value(settings: &[(&'static str, String)], name: &str) -> Option<String> {
        settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn a_plan_for_24_ghz_is_wpa2_and_11n() {
        let plan = plan("Caf\u{e9} \u{2615}".as_bytes(), 2437, 6, PhyType::He, 0x13ef);
        let settings = settings(&plan, "/proc/self/fd/9").unwrap();
        for (name, expected) in [
            ("ssid2", "436166c3a920e29895"),
            ("utf8_ssid", "1"),
            ("hw_mode", "g"),
            ("channel", "6"),
            ("ieee80211n", "1"),
            ("ieee80211ac", "0"),
            ("ieee80211ax", "1"),
            ("wpa", "2"),
            ("wpa_key_mgmt", "WPA-PSK"),
            ("rsn_pairwise", "CCMP"),
            ("max_num_sta", "100"),
            ("ap_isolate", "0"),
            ("wpa_psk_file", "/proc/self/fd/9"),
            ("ht_capab", "[LDPC][SHORT-GI-20][TX-STBC][RX-STBC123]"),
        ] {
            assert_eq!(value(&settings, name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value(&settings, "bridge"), None);
    }

    #[test]
    fn a_plan_for_5_ghz_has_11ac_and_its_bridge() {
        let mut plan = plan(b"\xff", 5180, 36, PhyType::Vht, 0);
        plan.bridge = Some("hnbr0".parse().unwrap());
        plan.max_peers = u32::MAX;
        let settings = settings(&plan, "/proc/self/fd/9").unwrap();
        for (name, expected) in [
            ("hw_mode", "a"),
            ("ieee80211ac", "1"),
            ("bridge", "hnbr0"),
            ("utf8_ssid", "0"),
            ("max_num_sta", "2007"),
            ("ht_capab", ""),
        ] {
            assert_eq!(value(&settings, name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn width_and_secondary_channel_come_from_the_plan() {
        let mut plan = plan(b"x", 5200, 40, PhyType::Vht, 0x0062);
        (plan.width, plan.centre_mhz, plan.vht_capabilities) = (Width::Mhz80, 5210, 0x0000_01b2);
        let wide = settings(&plan, "f").unwrap();
        for (name, expected) in [
            ("ht_capab", "[HT40-][SHORT-GI-40][SHORT-GI-20]"),
            ("vht_capab", "[MAX-MPDU-11454][RXLDPC][SHORT-GI-80][TX-STBC-2BY1][RX-STBC-1]"),
            ("vht_oper_chwidth", "1"),
            ("vht_oper_centr_freq_seg0_idx", "42"),
        ] {
            assert_eq!(value(&wide, name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value(&wide, "he_oper_chwidth"), None);
        let order = channel_switch(&plan, 5);
        assert_eq!(order, "CHAN_SWITCH 5 5200 sec_channel_offset=-1 center_freq1=5210 bandwidth=80 ht vht");
        (plan.width, plan.centre_mhz) = (Width::Mhz40, 5190);
        assert_eq!(value(&settings(&plan, "f").unwrap(), "vht_oper_chwidth"), None);
        plan = self::plan(b"x", 2462, 11, PhyType::Ht, 0);
        assert_eq!(channel_switch(&plan, 3), "CHAN_SWITCH 3 2462 bandwidth=20 ht");
    }

    #[test]
    fn radar_is_listened_for_by_the_rules_of_the_country() {
        let mut plan = plan(b"x", 5260, 52, PhyType::Vht, 0);
        assert_eq!(value(&settings(&plan, "f").unwrap(), "country_code"), None);
        plan.country = Some(hn_types::radio::Country(*b"DE"));
        let heard = settings(&plan, "f").unwrap();
        for (name, expected) in [("country_code", "DE"), ("ieee80211d", "1"), ("ieee80211h", "1")] {
            assert_eq!(value(&heard, name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn sae_comes_with_protected_management_frames_and_its_passwords_apart() {
        let mut plan = plan(b"x", 2437, 6, PhyType::Ht, 0);
        plan.sae = plan.keys.entries.clone();
        for (wpa, key_mgmt, management_frames, psk_file) in
            [(Wpa::Transition, "WPA-PSK SAE", "1", Some("f")), (Wpa::Wpa3, "SAE", "2", None)]
        {
            plan.wpa = wpa;
            let settings = settings(&plan, "f").unwrap();
            for (name, expected) in
                [("wpa_key_mgmt", key_mgmt), ("ieee80211w", management_frames), ("sae_pwe", "2")]
            {
                assert_eq!(value(&settings, name).as_deref(), Some(expected), "{name}");
            }
            assert_eq!(value(&settings, "wpa_psk_file").as_deref(), psk_file);
            assert!(settings.iter().all(|(_, value)| !value.contains("tell")));
        }
        let told: Vec<String> = passwords(&plan).iter().map(|it| it.to_string()).collect();
        assert_eq!(told, ["do not tell anyone"]);
    }

    #[test]
    fn a_hidden_network_of_strangers_says_so() {
        let mut plan = plan(b"x", 2437, 6, PhyType::Ht, 0);
        (plan.hidden, plan.isolated) = (true, true);
        let settings = settings(&plan, "f").unwrap();
        assert_eq!(value(&settings, "ignore_broadcast_ssid").as_deref(), Some("1"));
        assert_eq!(value(&settings, "ap_isolate").as_deref(), Some("1"));
    }

    #[test]
    fn an_old_radio_is_not_promised_high_throughput() {
        let settings = settings(&plan(b"x", 2412, 1, PhyType::Erp, 0xffff), "f").unwrap();
        assert_eq!(value(&settings, "ieee80211n").as_deref(), Some("0"));
        assert_eq!(value(&settings, "ht_capab"), None);
    }

    #[test]
    fn a_channel_of_the_6_ghz_band_is_refused() {
        let error = settings(&plan(b"x", 5955, 1, PhyType::He, 0), "f").unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Unsupported);
    }

    proptest! {
        #[test]
        fn no_setting_holds_a_line_end_or_a_secret(
            ssid in proptest::collection::vec(any::<u8>(), 1..=32), field: u16, max_peers: u32,
        ) {
            let mut plan = plan(&ssid, 2437, 6, PhyType::Ht, field);
            plan.max_peers = max_peers;
            for (name, value) in settings(&plan, "/proc/self/fd/3").unwrap() {
                prop_assert!(value.bytes().all(|b| b.is_ascii_graphic()), "{name}={value:?}");
                prop_assert!(!value.contains("tell"));
            }
        }
    }
}
