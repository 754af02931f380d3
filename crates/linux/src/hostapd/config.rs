//! The access point in hostapd's words: the `SET` commands that stand for its configuration file.

use hn_types::{DriverError, DriverErrorKind, plan::ApPlan, radio::PhyType};

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
        // WPA2-Personal with CCMP and nothing else (spec/hosted-network.md §1); management frame protection stays off because
        // drivers that advertise it fail the handshake.
        ("wpa", "2".to_owned()),
        ("wpa_key_mgmt", "WPA-PSK".to_owned()),
        ("rsn_pairwise", "CCMP".to_owned()),
        ("ieee80211w", "0".to_owned()),
        ("wpa_psk_file", psk_file.to_owned()),
        ("max_num_sta", plan.max_peers.min(STATIONS_LIMIT).to_string()),
        ("ap_isolate", "0".to_owned()),
        ("ap_max_inactivity", INACTIVITY_SECONDS.to_string()),
    ];
    if ht {
        settings.push(("ht_capab", ht_capabilities(plan.ht_capabilities)));
    }
    if let Some(bridge) = plan.bridge {
        settings.push(("bridge", bridge.to_string()));
    }
    Ok(settings)
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

/// `ht_capab` from the capability field of the radio (IEEE 802.11-2020, 9.4.2.55.2): what helps on a 20 MHz channel
/// and harms nowhere. hostapd refuses to start when it is told of something the driver cannot do.
fn ht_capabilities(field: u16) -> String {
    let mut text = String::new();
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
            ht_capabilities,
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
