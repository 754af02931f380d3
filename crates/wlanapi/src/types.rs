//! Numbers and layouts of the contract (spec/hosted-network.md §8). Names are those of the Windows headers.
#![expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    reason = "the names of the Windows headers"
)]
#![expect(missing_docs, reason = "spec/hosted-network.md §4, §5, §7 and §8 say what each means")]

use std::{
    ffi::c_void,
    mem::{offset_of, size_of},
};

use hostednet::types::{Reason, view::HostedState};

pub type DWORD = u32;
pub type BOOL = i32;
pub type WCHAR = u16;
/// A number, never a pointer.
pub type HANDLE = *mut c_void;
pub type WLAN_HOSTED_NETWORK_REASON = i32;
pub type WLAN_HOSTED_NETWORK_STATE = i32;
pub type WLAN_HOSTED_NETWORK_OPCODE = i32;
pub type WLAN_HOSTED_NETWORK_PEER_AUTH_STATE = i32;
pub type WLAN_OPCODE_VALUE_TYPE = i32;
pub type WLAN_SECURABLE_OBJECT = i32;
pub type WLAN_INTF_OPCODE = i32;

pub const ERROR_SUCCESS: DWORD = 0;
pub const ERROR_ACCESS_DENIED: DWORD = 5;
pub const ERROR_INVALID_HANDLE: DWORD = 6;
pub const ERROR_NOT_ENOUGH_MEMORY: DWORD = 8;
pub const ERROR_OUTOFMEMORY: DWORD = 14;
pub const ERROR_GEN_FAILURE: DWORD = 31;
pub const ERROR_NOT_SUPPORTED: DWORD = 50;
pub const ERROR_INVALID_PARAMETER: DWORD = 87;
pub const ERROR_SERVICE_NOT_ACTIVE: DWORD = 1062;
pub const ERROR_NOT_FOUND: DWORD = 1168;
pub const ERROR_REMOTE_SESSION_LIMIT_EXCEEDED: DWORD = 1220;
pub const ERROR_BAD_CONFIGURATION: DWORD = 1610;
pub const ERROR_INVALID_STATE: DWORD = 5023;

pub const WLAN_API_VERSION_1_0: DWORD = 1;
pub const WLAN_API_VERSION_2_0: DWORD = 2;

pub const WLAN_NOTIFICATION_SOURCE_NONE: DWORD = 0;
pub const WLAN_NOTIFICATION_SOURCE_HNWK: DWORD = 0x80;
pub const WLAN_NOTIFICATION_SOURCE_ALL: DWORD = 0xffff;

pub const wlan_hosted_network_state_change: DWORD = 0x1000;
pub const wlan_hosted_network_peer_state_change: DWORD = 0x1001;
pub const wlan_hosted_network_radio_state_change: DWORD = 0x1002;

pub const wlan_hosted_network_opcode_connection_settings: WLAN_HOSTED_NETWORK_OPCODE = 0;
pub const wlan_hosted_network_opcode_security_settings: WLAN_HOSTED_NETWORK_OPCODE = 1;
pub const wlan_hosted_network_opcode_station_profile: WLAN_HOSTED_NETWORK_OPCODE = 2;
pub const wlan_hosted_network_opcode_enable: WLAN_HOSTED_NETWORK_OPCODE = 3;

pub const wlan_hosted_network_peer_state_invalid: WLAN_HOSTED_NETWORK_PEER_AUTH_STATE = 0;
pub const wlan_hosted_network_peer_state_authenticated: WLAN_HOSTED_NETWORK_PEER_AUTH_STATE = 1;

pub const wlan_opcode_value_type_query_only: WLAN_OPCODE_VALUE_TYPE = 0;
pub const wlan_opcode_value_type_set_by_group_policy: WLAN_OPCODE_VALUE_TYPE = 1;
pub const wlan_opcode_value_type_set_by_user: WLAN_OPCODE_VALUE_TYPE = 2;

pub const wlan_secure_hosted_network_elevated_access: WLAN_SECURABLE_OBJECT = 14;
pub const WLAN_SECURABLE_OBJECT_COUNT: WLAN_SECURABLE_OBJECT = 17;

pub const wlan_intf_opcode_interface_state: WLAN_INTF_OPCODE = 6;
pub const wlan_intf_opcode_hosted_network_capable: WLAN_INTF_OPCODE = 15;

/// From the first code of automatic configuration to the last of a vendor's.
pub const WLAN_INTF_OPCODES: std::ops::RangeInclusive<WLAN_INTF_OPCODE> = 1..=0x3fff_ffff;

pub const wlan_interface_state_connected: i32 = 1;
pub const wlan_interface_state_disconnected: i32 = 4;

pub const dot11_radio_state_on: u32 = 1;
pub const dot11_radio_state_off: u32 = 2;

pub const DOT11_AUTH_ALGO_RSNA_PSK: u32 = 7;
pub const DOT11_CIPHER_ALGO_CCMP: u32 = 4;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}

impl GUID {
    /// Reads `{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        let lengths = [8, 4, 4, 4, 12];
        let parts: Vec<&str> = inner.split('-').collect();
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if parts.len() != lengths.len()
            || !parts.iter().zip(lengths).all(|(part, length)| part.len() == length && digits(part))
        {
            return None;
        }
        let number = u128::from_str_radix(&parts.concat(), 16).ok()?;
        let [a, b, c, d, e, f, g, h, tail @ ..] = number.to_be_bytes();
        Some(Self {
            Data1: u32::from_be_bytes([a, b, c, d]),
            Data2: u16::from_be_bytes([e, f]),
            Data3: u16::from_be_bytes([g, h]),
            Data4: tail,
        })
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DOT11_SSID {
    pub uSSIDLength: u32,
    pub ucSSID: [u8; 32],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS {
    pub hostedNetworkSSID: DOT11_SSID,
    pub dwMaxNumberOfPeers: DWORD,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WLAN_HOSTED_NETWORK_SECURITY_SETTINGS {
    pub dot11AuthAlgo: u32,
    pub dot11CipherAlgo: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WLAN_HOSTED_NETWORK_PEER_STATE {
    pub PeerMacAddress: [u8; 6],
    pub PeerAuthState: WLAN_HOSTED_NETWORK_PEER_AUTH_STATE,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WLAN_HOSTED_NETWORK_RADIO_STATE {
    pub dot11SoftwareRadioState: u32,
    pub dot11HardwareRadioState: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WLAN_HOSTED_NETWORK_STATE_CHANGE {
    pub OldState: WLAN_HOSTED_NETWORK_STATE,
    pub NewState: WLAN_HOSTED_NETWORK_STATE,
    pub StateChangeReason: WLAN_HOSTED_NETWORK_REASON,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE {
    pub OldState: WLAN_HOSTED_NETWORK_PEER_STATE,
    pub NewState: WLAN_HOSTED_NETWORK_PEER_STATE,
    pub PeerStateChangeReason: WLAN_HOSTED_NETWORK_REASON,
}

/// The header of the answer; `dwNumberOfPeers` entries begin at [`Self::PeerList`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WLAN_HOSTED_NETWORK_STATUS {
    pub HostedNetworkState: WLAN_HOSTED_NETWORK_STATE,
    pub IPDeviceID: GUID,
    pub wlanHostedNetworkBSSID: [u8; 6],
    pub dot11PhyType: u32,
    /// The channel number; 0 while not active.
    pub ulChannelFrequency: u32,
    pub dwNumberOfPeers: DWORD,
    pub PeerList: [WLAN_HOSTED_NETWORK_PEER_STATE; 1],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WLAN_INTERFACE_INFO {
    pub InterfaceGuid: GUID,
    pub strInterfaceDescription: [WCHAR; 256],
    pub isState: i32,
}

/// The header of the answer; `dwNumberOfItems` entries begin at [`Self::InterfaceInfo`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WLAN_INTERFACE_INFO_LIST {
    pub dwNumberOfItems: DWORD,
    pub dwIndex: DWORD,
    pub InterfaceInfo: [WLAN_INTERFACE_INFO; 1],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WLAN_NOTIFICATION_DATA {
    pub NotificationSource: DWORD,
    pub NotificationCode: DWORD,
    pub InterfaceGuid: GUID,
    pub dwDataSize: DWORD,
    pub pData: *mut c_void,
}

pub type WLAN_NOTIFICATION_CALLBACK =
    Option<unsafe extern "C" fn(data: *mut WLAN_NOTIFICATION_DATA, context: *mut c_void)>;

const _: () = {
    assert!(size_of::<GUID>() == 16);
    assert!(size_of::<DOT11_SSID>() == 36);
    assert!(offset_of!(DOT11_SSID, ucSSID) == 4);
    assert!(size_of::<WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS>() == 40);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS, dwMaxNumberOfPeers) == 36);
    assert!(size_of::<WLAN_HOSTED_NETWORK_SECURITY_SETTINGS>() == 8);
    assert!(size_of::<WLAN_HOSTED_NETWORK_PEER_STATE>() == 12);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_PEER_STATE, PeerAuthState) == 8);
    assert!(size_of::<WLAN_HOSTED_NETWORK_RADIO_STATE>() == 8);
    assert!(size_of::<WLAN_HOSTED_NETWORK_STATE_CHANGE>() == 12);
    assert!(size_of::<WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE>() == 28);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE, NewState) == 12);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE, PeerStateChangeReason) == 24);
    assert!(size_of::<WLAN_HOSTED_NETWORK_STATUS>() == 52);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_STATUS, IPDeviceID) == 4);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_STATUS, wlanHostedNetworkBSSID) == 20);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_STATUS, dot11PhyType) == 28);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_STATUS, ulChannelFrequency) == 32);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_STATUS, dwNumberOfPeers) == 36);
    assert!(offset_of!(WLAN_HOSTED_NETWORK_STATUS, PeerList) == 40);
    assert!(size_of::<WLAN_INTERFACE_INFO>() == 532);
    assert!(offset_of!(WLAN_INTERFACE_INFO, isState) == 528);
    assert!(size_of::<WLAN_INTERFACE_INFO_LIST>() == 540);
    assert!(offset_of!(WLAN_INTERFACE_INFO_LIST, InterfaceInfo) == 8);
    assert!(offset_of!(WLAN_NOTIFICATION_DATA, InterfaceGuid) == 8);
    assert!(offset_of!(WLAN_NOTIFICATION_DATA, dwDataSize) == 24);
    let pointer = size_of::<*mut c_void>();
    assert!(offset_of!(WLAN_NOTIFICATION_DATA, pData) == if pointer == 8 { 32 } else { 28 });
    assert!(size_of::<WLAN_NOTIFICATION_DATA>() == if pointer == 8 { 40 } else { 32 });
};

/// A reason in the type C sees. The numbers are dense and small.
pub(crate) const fn reason_number(reason: Reason) -> WLAN_HOSTED_NETWORK_REASON {
    reason.number().cast_signed()
}

/// A state in the type C sees.
pub(crate) const fn state_number(state: HostedState) -> WLAN_HOSTED_NETWORK_STATE {
    match state {
        HostedState::Unavailable => 0,
        HostedState::Idle => 1,
        HostedState::Active => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_read_in_the_order_of_its_fields() {
        let guid = GUID::parse("{00112233-4455-6677-8899-AABBCCDDEEFF}");
        let expected = GUID {
            Data1: 0x0011_2233,
            Data2: 0x4455,
            Data3: 0x6677,
            Data4: [0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff],
        };
        assert_eq!(guid, Some(expected));
        for bad in
            ["", "{}", "00112233-4455-6677-8899-AABBCCDDEEFF", "{00112233-4455-6677-8899-AABBCCDDEEF+}"]
        {
            assert_eq!(GUID::parse(bad), None, "{bad}");
        }
    }
}
