//! The eleven functions of the hosted network.

use std::ffi::c_void;

use hostednet::{
    station_profile,
    types::{
        Key, Reason, SecondaryKey, Ssid,
        radio::PhyType,
        view::{HostedState, Snapshot},
    },
};
use zeroize::{Zeroize, Zeroizing};

use super::{
    code, memory::hand_out, put, session::guid_bytes, session::wide, value_type, with_client, with_reason,
};
use crate::{
    library::Refusal,
    types::{
        BOOL, DOT11_AUTH_ALGO_RSNA_PSK, DOT11_CIPHER_ALGO_CCMP, DWORD, ERROR_BAD_CONFIGURATION,
        ERROR_NOT_SUPPORTED, GUID, HANDLE, WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS,
        WLAN_HOSTED_NETWORK_OPCODE, WLAN_HOSTED_NETWORK_REASON, WLAN_HOSTED_NETWORK_STATUS,
        WLAN_OPCODE_VALUE_TYPE, state_number, wlan_hosted_network_opcode_connection_settings,
        wlan_hosted_network_opcode_enable, wlan_hosted_network_opcode_security_settings,
        wlan_hosted_network_opcode_station_profile, wlan_hosted_network_peer_state_authenticated,
        wlan_opcode_value_type_query_only, wlan_opcode_value_type_set_by_user,
    },
};

/// The longest key there is: a passphrase of 63 characters and its zero.
const KEY_LIMIT: usize = 64;

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $call:ident;)*) => {
        $($(#[$doc])*
        ///
        /// # Safety
        ///
        /// `pFailReason` is NULL or valid for writing.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            hClientHandle: HANDLE,
            pFailReason: *mut WLAN_HOSTED_NETWORK_REASON,
            pvReserved: *mut c_void,
        ) -> DWORD {
            let entry = |client: &std::sync::Arc<crate::client::Client>| {
                client.call(async |session| session.$call().await)
            };
            // SAFETY: the caller's promise about `pFailReason`.
            unsafe { with_reason(hClientHandle, pvReserved, pFailReason, entry) }
        })*
    };
}

commands! {
    /// Configures a fresh system; changes nothing on a configured one.
    WlanHostedNetworkInitSettings = init_settings;
    /// Starts the network if needed and gives the handle a reference.
    WlanHostedNetworkStartUsing = start_using;
    /// Gives a reference back; the network stops with the last one.
    WlanHostedNetworkStopUsing = stop_using;
    /// Starts the network for good. Needs the right on object 14.
    WlanHostedNetworkForceStart = force_start;
    /// Stops the network whoever uses it. Needs the right on object 14.
    WlanHostedNetworkForceStop = force_stop;
    /// Makes a new primary key; a running network becomes idle.
    WlanHostedNetworkRefreshSecuritySettings = refresh_key;
}

/// State and devices, in one buffer to be freed with `WlanFreeMemory`. The channel is a channel number.
///
/// # Safety
///
/// `ppWlanHostedNetworkStatus` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanHostedNetworkQueryStatus(
    hClientHandle: HANDLE,
    ppWlanHostedNetworkStatus: *mut *mut WLAN_HOSTED_NETWORK_STATUS,
    pvReserved: *mut c_void,
) -> DWORD {
    code(with_client(hClientHandle, pvReserved, |client| {
        if ppWlanHostedNetworkStatus.is_null() {
            return Err(client.refuse(Refusal::PARAMETER));
        }
        client.active()?;
        let snapshot = client.call(async |session| session.status().await)?;
        let buffer = hand_out(&status_bytes(&snapshot))?;
        // SAFETY: the caller's promise about the result.
        unsafe { put(ppWlanHostedNetworkStatus, buffer.cast()) };
        Ok(())
    }))
}

fn status_bytes(snapshot: &Snapshot) -> Vec<u8> {
    let view = &snapshot.hosted_network;
    let active = view.state == HostedState::Active;
    let guid = view.device_guid.as_deref().and_then(GUID::parse).unwrap_or_default();
    let bssid = view.bssid.filter(|_| active).unwrap_or_default();
    let peers = if active { view.peers.as_slice() } else { &[] };
    let phy = match view.phy.filter(|_| active) {
        None => 0_u32,
        Some(PhyType::Ofdm) => 4,
        Some(PhyType::Erp) => 6,
        Some(PhyType::Ht) => 7,
        Some(PhyType::Vht) => 8,
        Some(PhyType::He) => 10,
    };
    let channel = view.channel.filter(|_| active).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size_of::<WLAN_HOSTED_NETWORK_STATUS>() + peers.len() * 12);
    bytes.extend(state_number(view.state).to_ne_bytes());
    bytes.extend(guid_bytes(guid));
    bytes.extend(bssid.0);
    bytes.extend([0; 2]);
    bytes.extend(phy.to_ne_bytes());
    bytes.extend(channel.to_ne_bytes());
    bytes.extend(u32::try_from(peers.len()).unwrap_or_default().to_ne_bytes());
    for peer in peers {
        bytes.extend(peer.mac.0);
        bytes.extend([0; 2]);
        bytes.extend(wlan_hosted_network_peer_state_authenticated.to_ne_bytes());
    }
    bytes.resize(bytes.len().max(size_of::<WLAN_HOSTED_NETWORK_STATUS>()), 0);
    bytes
}

/// One property, in a buffer to be freed with `WlanFreeMemory`.
///
/// # Safety
///
/// Every result is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanHostedNetworkQueryProperty(
    hClientHandle: HANDLE,
    OpCode: WLAN_HOSTED_NETWORK_OPCODE,
    pdwDataSize: *mut DWORD,
    ppvData: *mut *mut c_void,
    pWlanOpcodeValueType: *mut WLAN_OPCODE_VALUE_TYPE,
    pvReserved: *mut c_void,
) -> DWORD {
    code(with_client(hClientHandle, pvReserved, |client| {
        let nowhere = pdwDataSize.is_null() || ppvData.is_null() || pWlanOpcodeValueType.is_null();
        let known = wlan_hosted_network_opcode_connection_settings..=wlan_hosted_network_opcode_enable;
        if nowhere || !known.contains(&OpCode) {
            return Err(client.refuse(Refusal::PARAMETER));
        }
        let settings = client.call(async |session| session.settings().await)?;
        let unconfigured = Refusal::new(ERROR_BAD_CONFIGURATION, Reason::Unspecified);
        let mut kind = wlan_opcode_value_type_query_only;
        let bytes = match OpCode {
            wlan_hosted_network_opcode_connection_settings => {
                kind = wlan_opcode_value_type_set_by_user;
                let ssid = settings.ssid.ok_or(unconfigured)?;
                let mut name = [0; 32];
                for (to, from) in name.iter_mut().zip(ssid.as_bytes()) {
                    *to = *from;
                }
                let length = u32::try_from(ssid.as_bytes().len()).unwrap_or_default();
                length.to_ne_bytes().into_iter().chain(name).chain(settings.max_peers.to_ne_bytes()).collect()
            }
            wlan_hosted_network_opcode_security_settings => {
                [DOT11_AUTH_ALGO_RSNA_PSK, DOT11_CIPHER_ALGO_CCMP].map(u32::to_ne_bytes).concat()
            }
            wlan_hosted_network_opcode_station_profile => {
                let keys = client.call(async |session| session.keys().await)?;
                let (ssid, key) = settings.ssid.zip(keys.primary).ok_or(unconfigured)?;
                wide(&station_profile(&ssid, &key))
            }
            _ => {
                kind = value_type(settings.set_by);
                BOOL::from(settings.enabled).to_ne_bytes().to_vec()
            }
        };
        let bytes = Zeroizing::new(bytes);
        let buffer = hand_out(&bytes)?;
        // SAFETY: the caller's promise about the results.
        unsafe { put(pdwDataSize, DWORD::try_from(bytes.len()).unwrap_or_default()) };
        // SAFETY: the same.
        unsafe { put(ppvData, buffer) };
        // SAFETY: the same.
        unsafe { put(pWlanOpcodeValueType, kind) };
        Ok(())
    }))
}

/// What a caller wants to set.
enum Property {
    Connection { ssid: Ssid, peers: u32 },
    Enabled(bool),
}

/// Reads the data of `WlanHostedNetworkSetProperty`. The size is exact.
///
/// # Safety
///
/// `data` is NULL or valid for reading `size` bytes.
unsafe fn property(
    opcode: WLAN_HOSTED_NETWORK_OPCODE,
    size: DWORD,
    data: *const c_void,
) -> Result<Property, Refusal> {
    let is = |length| usize::try_from(size).is_ok_and(|size| size == length);
    if size == 0 || data.is_null() {
        return Err(Refusal::PARAMETER);
    }
    match opcode {
        wlan_hosted_network_opcode_connection_settings
            if is(size_of::<WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS>()) =>
        {
            // SAFETY: not NULL and of this size, and any bytes are such a structure; alignment is not asked for.
            let settings = unsafe { data.cast::<WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS>().read_unaligned() };
            let name = settings.hostedNetworkSSID;
            let length = usize::try_from(name.uSSIDLength).unwrap_or(usize::MAX);
            let ssid = name.ucSSID.get(..length).and_then(|bytes| Ssid::new(bytes).ok());
            Ok(Property::Connection {
                ssid: ssid.ok_or(Refusal::PARAMETER)?,
                peers: settings.dwMaxNumberOfPeers,
            })
        }
        wlan_hosted_network_opcode_enable if is(size_of::<BOOL>()) => {
            // SAFETY: not NULL and of this size; alignment is not asked for.
            let enabled = unsafe { data.cast::<BOOL>().read_unaligned() };
            Ok(Property::Enabled(enabled != 0))
        }
        wlan_hosted_network_opcode_security_settings | wlan_hosted_network_opcode_station_profile => {
            Err(Refusal::new(ERROR_NOT_SUPPORTED, Reason::ReadOnly))
        }
        _ => Err(Refusal::PARAMETER),
    }
}

/// Sets the connection settings (any user) or whether the network is allowed (right on object 14). A running network
/// stops.
///
/// # Safety
///
/// `pvData` is NULL or valid for reading `dwDataSize` bytes; `pFailReason` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanHostedNetworkSetProperty(
    hClientHandle: HANDLE,
    OpCode: WLAN_HOSTED_NETWORK_OPCODE,
    dwDataSize: DWORD,
    pvData: *mut c_void,
    pFailReason: *mut WLAN_HOSTED_NETWORK_REASON,
    pvReserved: *mut c_void,
) -> DWORD {
    let entry = |client: &std::sync::Arc<crate::client::Client>| {
        // SAFETY: the caller's promise about the data.
        let property = unsafe { property(OpCode, dwDataSize, pvData) };
        match property.map_err(|refusal| client.refuse(refusal))? {
            Property::Enabled(enabled) => {
                client.call(async move |session| session.set_enabled(enabled).await)
            }
            Property::Connection { ssid, peers } => {
                client.call(async move |session| session.set_connection(&ssid, peers).await)
            }
        }
    };
    // SAFETY: the caller's promise about `pFailReason`.
    unsafe { with_reason(hClientHandle, pvReserved, pFailReason, entry) }
}

/// Reads the key of `WlanHostedNetworkSetSecondaryKey`; `None` removes it.
///
/// # Safety
///
/// `data` is NULL or valid for reading `length` bytes.
unsafe fn key(length: DWORD, data: *const u8, passphrase: bool) -> Result<Option<Key>, Refusal> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match (length, data.is_null()) {
        (0, true) => return Ok(None),
        (0, false) | (_, true) => return Err(Refusal::PARAMETER),
        (1..=KEY_LIMIT, false) => {}
        (_, false) => return Err(Refusal::PARAMETER),
    }
    let mut bytes = Zeroizing::new([0_u8; KEY_LIMIT]);
    // SAFETY: `data` has `length` bytes, which is no more than there is room for; the two do not overlap.
    unsafe { data.copy_to_nonoverlapping(bytes.as_mut_ptr(), length) };
    let bytes = bytes.get(..length).ok_or(Refusal::PARAMETER)?;
    let key = if passphrase {
        let (0, text) = bytes.split_last().map(|(last, text)| (*last, text)).ok_or(Refusal::PARAMETER)?
        else {
            return Err(Refusal::PARAMETER);
        };
        let text = std::str::from_utf8(text).map_err(|_| Refusal::PARAMETER)?;
        Key::passphrase(text.to_owned())
    } else {
        Key::raw(bytes)
    };
    key.map(Some).map_err(|_| Refusal::PARAMETER)
}

/// Sets the secondary key: a passphrase with its zero, or 32 bytes; no bytes at NULL remove it.
///
/// # Safety
///
/// `pucKeyData` is NULL or valid for reading `dwKeyLength` bytes; `pFailReason` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanHostedNetworkSetSecondaryKey(
    hClientHandle: HANDLE,
    dwKeyLength: DWORD,
    pucKeyData: *mut u8,
    bIsPassPhrase: BOOL,
    bPersistent: BOOL,
    pFailReason: *mut WLAN_HOSTED_NETWORK_REASON,
    pvReserved: *mut c_void,
) -> DWORD {
    let entry = |client: &std::sync::Arc<crate::client::Client>| {
        // SAFETY: the caller's promise about the key.
        let key = unsafe { key(dwKeyLength, pucKeyData, bIsPassPhrase != 0) };
        let key = key.map_err(|refusal| client.refuse(refusal))?;
        let key = key.map(|key| SecondaryKey { key, persistent: bPersistent != 0 });
        client.call(async move |session| session.set_secondary_key(key.as_ref()).await)
    };
    // SAFETY: the caller's promise about `pFailReason`.
    unsafe { with_reason(hClientHandle, pvReserved, pFailReason, entry) }
}

/// The secondary key, in a buffer to be freed with `WlanFreeMemory`; a passphrase comes with its zero. No key:
/// length 0 and NULL.
///
/// # Safety
///
/// Every result is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanHostedNetworkQuerySecondaryKey(
    hClientHandle: HANDLE,
    pdwKeyLength: *mut DWORD,
    ppucKeyData: *mut *mut u8,
    pbIsPassPhrase: *mut BOOL,
    pbPersistent: *mut BOOL,
    pFailReason: *mut WLAN_HOSTED_NETWORK_REASON,
    pvReserved: *mut c_void,
) -> DWORD {
    let entry = |client: &std::sync::Arc<crate::client::Client>| {
        let nowhere = pdwKeyLength.is_null() || ppucKeyData.is_null();
        if nowhere || pbIsPassPhrase.is_null() || pbPersistent.is_null() {
            return Err(client.refuse(Refusal::PARAMETER));
        }
        let keys = client.call(async |session| session.keys().await)?;
        let (mut bytes, passphrase) = match &keys.secondary {
            None => (Vec::new(), true),
            Some(Key::Passphrase(text)) => ([text.expose().as_bytes(), &[0]].concat(), true),
            Some(Key::Raw(raw)) => (raw.expose().to_vec(), false),
        };
        let buffer = if bytes.is_empty() { std::ptr::null_mut() } else { hand_out(&bytes)? };
        let length = DWORD::try_from(bytes.len()).unwrap_or_default();
        bytes.zeroize();
        // SAFETY: the caller's promise about the results.
        unsafe { put(pdwKeyLength, length) };
        // SAFETY: the same.
        unsafe { put(ppucKeyData, buffer.cast()) };
        // SAFETY: the same.
        unsafe { put(pbIsPassPhrase, BOOL::from(passphrase)) };
        // SAFETY: the same.
        unsafe { put(pbPersistent, BOOL::from(keys.secondary_persistent)) };
        Ok(())
    };
    // SAFETY: the caller's promise about `pFailReason`.
    unsafe { with_reason(hClientHandle, pvReserved, pFailReason, entry) }
}
