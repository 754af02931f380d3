//! What a Wi-Fi station is connected to, measured when somebody asks: figures from the list of stations, facts from
//! what the joined network announces. Every byte read here came over the air; what does not parse is left out.

use std::collections::BTreeMap;

use hn_types::{
    IfName, MacAddr,
    radio::{IfType, PhyType},
    station::{Authentication, Cipher, StationLink},
};

use super::nl80211::{Nl80211, attr};
use crate::netlink::{attributes, read_u16, read_u32};

/// The connected stations of the machine.
pub(super) fn stations() -> BTreeMap<IfName, StationLink> {
    let read = Nl80211::open().and_then(|nl80211| nl80211.map_or(Ok(BTreeMap::new()), |it| measure(&it)));
    read.unwrap_or_else(|refusal| {
        tracing::debug!(cause = %refusal.cause(), "cannot measure the stations");
        BTreeMap::new()
    })
}

fn measure(nl80211: &Nl80211) -> Result<BTreeMap<IfName, StationLink>, crate::netlink::Refusal> {
    let mut found = BTreeMap::new();
    for adapter in nl80211.adapters()? {
        for interface in adapter.interfaces.iter().filter(|i| i.iftype == IfType::Station && i.connected) {
            let mut link = StationLink::default();
            // Each of the two may be refused by a driver; the other still tells something.
            let _ = nl80211.dump_stations(interface.index, |message| figures(message, &mut link));
            let _ = nl80211.dump_heard(interface.index, |message| announced(message, &mut link));
            if link.phy.is_none() {
                link.phy = interface.frequency_mhz.map(legacy);
            }
            found.insert(interface.name, link);
        }
    }
    Ok(found)
}

const fn legacy(frequency_mhz: u32) -> PhyType {
    if frequency_mhz < 3000 { PhyType::Erp } else { PhyType::Ofdm }
}

/// Address, signal and rates of the access point (`NL80211_STA_INFO_*`, `NL80211_RATE_INFO_*`).
fn figures(message: &[u8], link: &mut StationLink) {
    const SIGNAL: u16 = 7;
    const TRANSMIT: u16 = 8;
    const RECEIVE: u16 = 14;
    for (kind, value) in message.get(4..).into_iter().flat_map(attributes) {
        match kind {
            attr::MAC => link.bssid = value.try_into().ok().map(MacAddr),
            attr::STA_INFO => {
                for (kind, value) in attributes(value) {
                    match kind {
                        SIGNAL => link.signal_dbm = value.first().map(|dbm| i32::from(dbm.cast_signed())),
                        TRANSMIT => link.transmit_kbps = rate(value),
                        RECEIVE => link.receive_kbps = rate(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// A rate in kbit/s; the kernel gives multiples of 100.
fn rate(info: &[u8]) -> Option<u32> {
    const NARROW: u16 = 1;
    const WIDE: u16 = 5;
    let field = |wanted| attributes(info).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let wide = field(WIDE).and_then(|value| read_u32(value, 0));
    let rate = wide.or_else(|| field(NARROW).and_then(|value| read_u16(value, 0)).map(u32::from))?;
    rate.checked_mul(100)
}

/// Security and generation of the joined network among the networks heard (`NL80211_BSS_*`).
fn announced(message: &[u8], link: &mut StationLink) {
    const BSSID: u16 = 1;
    const CAPABILITY: u16 = 5;
    const INFORMATION_ELEMENTS: u16 = 6;
    const STATUS: u16 = 9;
    const BEACON_ELEMENTS: u16 = 11;
    const ASSOCIATED: u32 = 1;
    const PRIVACY: u16 = 1 << 4;
    let Some((_, bss)) =
        message.get(4..).into_iter().flat_map(attributes).find(|(kind, _)| *kind == attr::BSS)
    else {
        return;
    };
    let field = |wanted| attributes(bss).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    if field(STATUS).and_then(|value| read_u32(value, 0)) != Some(ASSOCIATED) {
        return;
    }
    link.bssid = field(BSSID).and_then(|value| value.try_into().ok().map(MacAddr)).or(link.bssid);
    let Some(elements) = field(INFORMATION_ELEMENTS).or_else(|| field(BEACON_ELEMENTS)) else { return };
    let privacy =
        field(CAPABILITY).and_then(|value| read_u16(value, 0)).is_some_and(|set| set & PRIVACY != 0);
    let told = Announced::read(elements);
    let (authentication, cipher) = match (told.rsn.or(told.wpa), privacy) {
        (Some((authentication, cipher)), _) => (authentication, cipher),
        (None, true) => (Some(Authentication::Open), Some(Cipher::Wep)),
        (None, false) => (Some(Authentication::Open), Some(Cipher::None)),
    };
    link.authentication = authentication;
    link.cipher = cipher;
    link.phy = told.phy;
}

type Security = (Option<Authentication>, Option<Cipher>);

/// What the elements of a beacon say (IEEE 802.11-2020, 9.4.2).
#[derive(Debug, Default, PartialEq, Eq)]
struct Announced {
    rsn: Option<Security>,
    wpa: Option<Security>,
    phy: Option<PhyType>,
}

impl Announced {
    fn read(mut elements: &[u8]) -> Self {
        const HT_CAPABILITIES: u8 = 45;
        const RSN: u8 = 48;
        const VHT_CAPABILITIES: u8 = 191;
        const VENDOR: u8 = 221;
        const EXTENSION: u8 = 255;
        const HE_CAPABILITIES: u8 = 35;
        const WPA: &[u8] = &[0x00, 0x50, 0xf2, 0x01];
        let mut told = Self::default();
        while let Some((&[id, length], rest)) = elements.split_first_chunk::<2>() {
            let Some((value, rest)) = rest.split_at_checked(usize::from(length)) else { break };
            elements = rest;
            match (id, value) {
                (HT_CAPABILITIES, _) => told.phy = told.phy.max(Some(PhyType::Ht)),
                (VHT_CAPABILITIES, _) => told.phy = told.phy.max(Some(PhyType::Vht)),
                (EXTENSION, [HE_CAPABILITIES, ..]) => told.phy = told.phy.max(Some(PhyType::He)),
                (RSN, _) => told.rsn = Some(security(value, rsn_authentication)),
                (VENDOR, _) => {
                    if let Some(value) = value.strip_prefix(WPA) {
                        told.wpa = Some(security(value, wpa_authentication));
                    }
                }
                _ => {}
            }
        }
        told
    }
}

/// Version, group cipher, list of pairwise ciphers, list of key managements: the form RSN and WPA share.
fn security(element: &[u8], authentication: fn(u8) -> Option<Authentication>) -> Security {
    let mut rest = element.get(6..).unwrap_or_default();
    let mut list = || {
        let count =
            usize::from(rest.split_first_chunk::<2>().map_or(0, |(count, _)| u16::from_le_bytes(*count)));
        let all = rest.get(2..).unwrap_or_default();
        let end = count.saturating_mul(4).min(all.len());
        let (suites, after) = all.split_at_checked(end).unwrap_or_default();
        rest = after;
        // The organisation is left aside: nobody reuses the numbers for something else.
        suites.chunks_exact(4).filter_map(|suite| suite.last().copied()).collect::<Vec<u8>>()
    };
    let (ciphers, managements) = (list(), list());
    let cipher = ciphers.into_iter().filter_map(cipher).max();
    (managements.into_iter().filter_map(authentication).min(), cipher)
}

const fn cipher(suite: u8) -> Option<Cipher> {
    match suite {
        1 | 5 => Some(Cipher::Wep),
        2 => Some(Cipher::Tkip),
        4 | 10 => Some(Cipher::Ccmp),
        8 | 9 => Some(Cipher::Gcmp),
        _ => None,
    }
}

const fn rsn_authentication(suite: u8) -> Option<Authentication> {
    match suite {
        1 | 3 | 5 | 11 | 12 | 13 => Some(Authentication::Wpa2Enterprise),
        2 | 4 | 6 => Some(Authentication::Wpa2Personal),
        8 | 9 | 24 | 25 => Some(Authentication::Wpa3Personal),
        18 => Some(Authentication::Owe),
        _ => None,
    }
}

const fn wpa_authentication(suite: u8) -> Option<Authentication> {
    match suite {
        1 => Some(Authentication::WpaEnterprise),
        2 => Some(Authentication::WpaPersonal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::{attribute, nested};

    const WPA2: &[u8] =
        b"\x30\x14\x01\x00\x00\x0f\xac\x04\x01\x00\x00\x0f\xac\x04\x01\x00\x00\x0f\xac\x02\x00\x00";

    fn heard(status: u32, capability: u16, elements: &[u8]) -> StationLink {
        let mut message = vec![34, 1, 0, 0];
        nested(&mut message, attr::BSS, |bss| {
            attribute(bss, 1, &[2, 0, 0, 0, 0, 9]);
            attribute(bss, 5, &capability.to_ne_bytes());
            attribute(bss, 6, elements);
            attribute(bss, 9, &status.to_ne_bytes());
        });
        let mut link = StationLink::default();
        announced(&message, &mut link);
        link
    }

    #[test]
    fn the_security_of_the_joined_network_is_named() {
        let link = heard(1, 0x11, &[b"\x00\x04home\x2d\x02\x6e\x00", WPA2].concat());
        assert_eq!(link.authentication, Some(Authentication::Wpa2Personal));
        assert_eq!((link.cipher, link.phy), (Some(Cipher::Ccmp), Some(PhyType::Ht)));
        assert_eq!(link.bssid, Some(MacAddr([2, 0, 0, 0, 0, 9])));
        assert_eq!(heard(1, 0x01, b"").authentication, Some(Authentication::Open));
        assert_eq!(heard(1, 0x11, b"").cipher, Some(Cipher::Wep));
        assert_eq!(heard(0, 0x11, WPA2), StationLink::default(), "a network that was not joined");
    }

    #[test]
    fn of_several_ways_in_the_one_most_devices_use_is_told() {
        let both = b"\x30\x18\x01\x00\x00\x0f\xac\x04\x01\x00\x00\x0f\xac\x04\x02\x00\x00\x0f\xac\x08\x00\x0f\xac\x02\x00\x00";
        assert_eq!(heard(1, 0x11, both).authentication, Some(Authentication::Wpa2Personal));
        let sae = b"\x30\x14\x01\x00\x00\x0f\xac\x04\x01\x00\x00\x0f\xac\x09\x01\x00\x00\x0f\xac\x08\x00\x00";
        let link = heard(1, 0x11, sae);
        assert_eq!(
            (link.authentication, link.cipher),
            (Some(Authentication::Wpa3Personal), Some(Cipher::Gcmp))
        );
    }

    #[test]
    fn rates_and_signal_are_read() {
        let mut message = vec![17, 1, 0, 0];
        attribute(&mut message, attr::MAC, &[2, 0, 0, 0, 0, 1]);
        nested(&mut message, attr::STA_INFO, |info| {
            attribute(info, 7, &[(-52_i8).cast_unsigned()]);
            nested(info, 8, |rate| attribute(rate, 1, &722_u16.to_ne_bytes()));
            nested(info, 14, |rate| {
                attribute(rate, 1, &1_u16.to_ne_bytes());
                attribute(rate, 5, &8667_u32.to_ne_bytes());
            });
        });
        let mut link = StationLink::default();
        figures(&message, &mut link);
        assert_eq!(link.bssid, Some(MacAddr([2, 0, 0, 0, 0, 1])));
        assert_eq!(
            (link.signal_dbm, link.transmit_kbps, link.receive_kbps),
            (Some(-52), Some(72_200), Some(866_700))
        );
    }

    proptest! {
        #[test]
        fn no_byte_from_the_air_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut link = StationLink::default();
            figures(&bytes, &mut link);
            announced(&bytes, &mut link);
            heard(1, 0x11, &bytes);
        }
    }
}
