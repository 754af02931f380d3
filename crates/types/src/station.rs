//! Wi-Fi station interfaces as reported: what the radio is and, while connected, to what.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{MacAddr, Ssid, radio::PhyType};

/// A Wi-Fi interface through which this machine joins networks of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationView {
    /// Its radio, `phy0`.
    pub adapter: String,
    /// The kernel driver of the radio, empty if unknown.
    pub driver: String,
    /// Every generation the radio speaks, in order.
    pub phys: Vec<PhyType>,
    /// Whether the radio can run the hosted network beside the interfaces it has.
    pub hosted_network_supported: bool,
    /// Its address.
    pub address: MacAddr,
    /// The software switch is on.
    pub software_on: bool,
    /// The hardware switch is on.
    pub hardware_on: bool,
    /// Whether it is associated.
    pub connected: bool,
    /// While connected, the name of the network.
    pub ssid: Option<Ssid>,
    /// While connected, the centre frequency in MHz.
    pub frequency_mhz: Option<u32>,
    /// While connected, the channel number.
    pub channel: Option<u32>,
    /// What was measured at the moment of the question, while connected.
    pub link: Option<StationLink>,
}

/// A station's connection at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationLink {
    /// The access point.
    pub bssid: Option<MacAddr>,
    /// The generation the network announces.
    pub phy: Option<PhyType>,
    /// How the network authenticates; of several ways the one most devices use.
    pub authentication: Option<Authentication>,
    /// How it encrypts; of several ciphers the strongest that is common.
    pub cipher: Option<Cipher>,
    /// Signal in dBm.
    pub signal_dbm: Option<i32>,
    /// Rate of the last frame received, in kbit/s.
    pub receive_kbps: Option<u32>,
    /// Rate of the last frame sent, in kbit/s.
    pub transmit_kbps: Option<u32>,
}

/// How a network authenticates its stations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// Not at all.
    Open,
    /// WPA with a shared key.
    WpaPersonal,
    /// WPA with IEEE 802.1X.
    WpaEnterprise,
    /// WPA2 with a shared key.
    Wpa2Personal,
    /// WPA2 with IEEE 802.1X.
    Wpa2Enterprise,
    /// WPA3 with a password (SAE).
    Wpa3Personal,
    /// Opportunistic wireless encryption (RFC 8110).
    Owe,
}

/// How a network encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cipher {
    /// Not at all.
    None,
    /// WEP.
    Wep,
    /// TKIP.
    Tkip,
    /// CCMP (AES).
    Ccmp,
    /// GCMP (AES).
    Gcmp,
}
