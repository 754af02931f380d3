//! Handles, adapters, notifications, securable objects and texts.

use std::ffi::c_void;

use hostednet::{
    ConnectionView,
    types::{
        Reason,
        security::TEXT_LIMIT,
        view::{HostedState, SetBy},
    },
};

use super::{code, guard, memory::hand_out, put, value_type, with_client};
use crate::{
    ffi::callback::Callback,
    library::{self, Refusal},
    notify::Registration,
    reasons,
    types::{
        BOOL, DWORD, ERROR_INVALID_STATE, ERROR_NOT_FOUND, ERROR_NOT_SUPPORTED, GUID, HANDLE, WCHAR,
        WLAN_API_VERSION_1_0, WLAN_API_VERSION_2_0, WLAN_INTERFACE_INFO_LIST, WLAN_INTF_OPCODE,
        WLAN_INTF_OPCODES, WLAN_NOTIFICATION_CALLBACK, WLAN_NOTIFICATION_SOURCE_NONE, WLAN_OPCODE_VALUE_TYPE,
        WLAN_SECURABLE_OBJECT, WLAN_SECURABLE_OBJECT_COUNT, wlan_interface_state_connected,
        wlan_interface_state_disconnected, wlan_intf_opcode_hosted_network_capable,
        wlan_intf_opcode_interface_state, wlan_opcode_value_type_query_only,
    },
};

/// Opens a session with the service. Versions are 1 and 2, in the low half of `dwClientVersion`; others are not
/// supported (50).
///
/// # Safety
///
/// Both results are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanOpenHandle(
    dwClientVersion: DWORD,
    pReserved: *mut c_void,
    pdwNegotiatedVersion: *mut DWORD,
    phClientHandle: *mut HANDLE,
) -> DWORD {
    code(guard(|| {
        if !pReserved.is_null() || pdwNegotiatedVersion.is_null() || phClientHandle.is_null() {
            return Err(Refusal::PARAMETER);
        }
        let version = dwClientVersion & 0xffff;
        if !(WLAN_API_VERSION_1_0..=WLAN_API_VERSION_2_0).contains(&version) {
            return Err(Refusal::new(ERROR_NOT_SUPPORTED, Reason::BadParameters));
        }
        let number = library::open()?;
        // SAFETY: the caller's promise about the results.
        unsafe { put(pdwNegotiatedVersion, version) };
        // SAFETY: the same.
        unsafe { put(phClientHandle, std::ptr::without_provenance_mut(number)) };
        Ok(())
    }))
}

/// Ends a session: gives back its references, ends its registrations, waits for a callback that is running.
#[unsafe(no_mangle)]
pub extern "C" fn WlanCloseHandle(hClientHandle: HANDLE, pReserved: *mut c_void) -> DWORD {
    code(guard(|| {
        if hClientHandle.is_null() || !pReserved.is_null() {
            return Err(Refusal::PARAMETER);
        }
        library::close(hClientHandle.addr())
    }))
}

/// The stations: every Wi-Fi adapter, without the one of the hosted network.
fn stations(connections: Vec<ConnectionView>) -> impl Iterator<Item = (GUID, ConnectionView)> {
    connections
        .into_iter()
        .filter(|connection| connection.wireless && !connection.hosted_network)
        .filter_map(|connection| Some((GUID::parse(&connection.guid)?, connection)))
}

fn station_state(connection: &ConnectionView) -> i32 {
    if connection.status == "connected" {
        wlan_interface_state_connected
    } else {
        wlan_interface_state_disconnected
    }
}

pub(super) fn guid_bytes(guid: GUID) -> impl Iterator<Item = u8> {
    let head = guid.Data1.to_ne_bytes().into_iter();
    head.chain(guid.Data2.to_ne_bytes()).chain(guid.Data3.to_ne_bytes()).chain(guid.Data4)
}

/// The Wi-Fi adapters that are stations. The adapter of the hosted network is none. Free with `WlanFreeMemory`.
///
/// # Safety
///
/// `ppInterfaceList` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanEnumInterfaces(
    hClientHandle: HANDLE,
    pReserved: *mut c_void,
    ppInterfaceList: *mut *mut WLAN_INTERFACE_INFO_LIST,
) -> DWORD {
    code(with_client(hClientHandle, pReserved, |client| {
        if ppInterfaceList.is_null() {
            return Err(client.refuse(Refusal::PARAMETER));
        }
        client.active()?;
        let connections = client.call(async |session| session.connections().await)?;
        let mut items = 0_u32;
        let mut list = Vec::new();
        for (guid, connection) in stations(connections) {
            items += 1;
            list.extend(guid_bytes(guid));
            let mut description = [0_u16; 256];
            // The last place stays zero.
            for (to, from) in description.iter_mut().take(255).zip(connection.name.encode_utf16()) {
                *to = from;
            }
            list.extend(description.into_iter().flat_map(WCHAR::to_ne_bytes));
            list.extend(station_state(&connection).to_ne_bytes());
        }
        let mut bytes: Vec<u8> = [items, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend(list);
        bytes.resize(bytes.len().max(size_of::<WLAN_INTERFACE_INFO_LIST>()), 0);
        let buffer = hand_out(&bytes)?;
        // SAFETY: the caller's promise about the result.
        unsafe { put(ppInterfaceList, buffer.cast()) };
        Ok(())
    }))
}

/// Two facts about an adapter: whether it can carry a hosted network, and whether it is connected. Other operation
/// codes of Windows are not supported (50), a number that is none is a wrong parameter (87). An adapter that does not
/// exist is not found (1168).
///
/// # Safety
///
/// Every pointer is NULL or valid for reading or writing what it points to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanQueryInterface(
    hClientHandle: HANDLE,
    pInterfaceGuid: *const GUID,
    OpCode: WLAN_INTF_OPCODE,
    pReserved: *mut c_void,
    pdwDataSize: *mut DWORD,
    ppData: *mut *mut c_void,
    pWlanOpcodeValueType: *mut WLAN_OPCODE_VALUE_TYPE,
) -> DWORD {
    code(with_client(hClientHandle, pReserved, |client| {
        let nowhere = pInterfaceGuid.is_null() || pdwDataSize.is_null() || ppData.is_null();
        if nowhere || !WLAN_INTF_OPCODES.contains(&OpCode) {
            return Err(client.refuse(Refusal::PARAMETER));
        }
        // SAFETY: not NULL, so the caller promises a GUID; alignment is not asked for.
        let guid = unsafe { pInterfaceGuid.read_unaligned() };
        client.active()?;
        if OpCode != wlan_intf_opcode_hosted_network_capable && OpCode != wlan_intf_opcode_interface_state {
            return Err(Refusal::new(ERROR_NOT_SUPPORTED, Reason::BadParameters));
        }
        let connections = client.call(async |session| session.connections().await)?;
        let Some((_, station)) = stations(connections).find(|(known, _)| *known == guid) else {
            return Err(Refusal::new(ERROR_NOT_FOUND, Reason::BadParameters));
        };
        let value: i32 = if OpCode == wlan_intf_opcode_interface_state {
            station_state(&station)
        } else {
            let view = client.call(async |session| session.status().await)?.hosted_network;
            let blocked = view.state == HostedState::Unavailable
                && matches!(view.reason, Reason::InterfaceUnavailable | Reason::DeviceChange);
            BOOL::from(!blocked)
        };
        let buffer = hand_out(&value.to_ne_bytes())?;
        // SAFETY: the caller's promise about the results.
        unsafe { put(pdwDataSize, 4) };
        // SAFETY: the same.
        unsafe { put(ppData, buffer) };
        // SAFETY: the same.
        unsafe { put(pWlanOpcodeValueType, wlan_opcode_value_type_query_only) };
        Ok(())
    }))
}

/// Registers a callback for sources of notifications, in place of what the handle had registered; NONE ends it and
/// waits for a callback that is running. The hosted network (0x80) is the only source that ever says anything.
///
/// # Safety
///
/// `funcCallback` may be called with `pCallbackContext` on another thread until the registration ends;
/// `pdwPrevNotifSource` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanRegisterNotification(
    hClientHandle: HANDLE,
    dwNotifSource: DWORD,
    bIgnoreDuplicate: BOOL,
    funcCallback: WLAN_NOTIFICATION_CALLBACK,
    pCallbackContext: *mut c_void,
    pReserved: *mut c_void,
    pdwPrevNotifSource: *mut DWORD,
) -> DWORD {
    let ends = dwNotifSource == WLAN_NOTIFICATION_SOURCE_NONE;
    let before = |before: DWORD| {
        // SAFETY: the caller's promise about the result.
        unsafe { put(pdwPrevNotifSource, before) };
    };
    if ends {
        // This works without a service.
        return code(guard(|| {
            if hClientHandle.is_null() || !pReserved.is_null() {
                return Err(Refusal::PARAMETER);
            }
            before(library::find(hClientHandle.addr())?.unregister());
            Ok(())
        }));
    }
    code(with_client(hClientHandle, pReserved, |client| {
        let Some(function) = funcCallback else { return Err(client.refuse(Refusal::PARAMETER)) };
        let callback = Callback::new(function, pCallbackContext);
        let registration =
            Registration { sources: dwNotifSource, ignore_duplicate: bIgnoreDuplicate != 0, callback };
        before(client.register(registration)?);
        Ok(())
    }))
}

/// Turns notifications about virtual stations on or off. Linux has no virtual stations of vendors, so there are none to come.
#[unsafe(no_mangle)]
pub extern "C" fn WlanRegisterVirtualStationNotification(
    hClientHandle: HANDLE,
    bRegister: BOOL,
    pReserved: *mut c_void,
) -> DWORD {
    let _ = bRegister;
    code(with_client(hClientHandle, pReserved, |client| {
        let settings = client.call(async |session| session.settings().await)?;
        if settings.set_by == SetBy::Policy && !settings.enabled {
            return Err(Refusal::new(ERROR_INVALID_STATE, Reason::GpDenied));
        }
        Ok(())
    }))
}

/// Whether there is such an object.
fn securable(object: WLAN_SECURABLE_OBJECT) -> Option<u32> {
    (0..WLAN_SECURABLE_OBJECT_COUNT).contains(&object).then(|| object.cast_unsigned())
}

/// The access list of a securable object, and what it grants to the caller. Free the text with `WlanFreeMemory`.
///
/// # Safety
///
/// Every result is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanGetSecuritySettings(
    hClientHandle: HANDLE,
    SecurableObject: WLAN_SECURABLE_OBJECT,
    pValueType: *mut WLAN_OPCODE_VALUE_TYPE,
    pstrCurrentSDDL: *mut *mut WCHAR,
    pdwGrantedAccess: *mut DWORD,
) -> DWORD {
    code(with_client(hClientHandle, std::ptr::null(), |client| {
        let nowhere = pstrCurrentSDDL.is_null() || pdwGrantedAccess.is_null();
        let object = securable(SecurableObject).filter(|_| !nowhere);
        let object = object.ok_or_else(|| client.refuse(Refusal::PARAMETER))?;
        let security = client.call(async move |session| session.security_settings(object).await)?;
        let buffer = hand_out(&wide(&security.sddl))?;
        // SAFETY: the caller's promise about the results.
        unsafe { put(pValueType, value_type(security.set_by)) };
        // SAFETY: the same.
        unsafe { put(pstrCurrentSDDL, buffer.cast()) };
        // SAFETY: the same.
        unsafe { put(pdwGrantedAccess, security.granted_access) };
        Ok(())
    }))
}

/// Changes the access list of a securable object. Only that of `wlan_secure_hosted_network_elevated_access` decides
/// anything here; another list for another object is not supported (50).
///
/// # Safety
///
/// `strModifiedSDDL` is NULL or a zero-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanSetSecuritySettings(
    hClientHandle: HANDLE,
    SecurableObject: WLAN_SECURABLE_OBJECT,
    strModifiedSDDL: *const WCHAR,
) -> DWORD {
    code(with_client(hClientHandle, std::ptr::null(), |client| {
        let object = securable(SecurableObject).filter(|_| !strModifiedSDDL.is_null());
        let object = object.ok_or_else(|| client.refuse(Refusal::PARAMETER))?;
        // SAFETY: not NULL, so the caller promises a string.
        let text = unsafe { descriptor(strModifiedSDDL) };
        let text = text.ok_or_else(|| client.refuse(Refusal::PARAMETER))?;
        // The text is read before the part of the service is looked at.
        client.active()?;
        client.call(async move |session| session.set_security_settings(object, &text).await)
    }))
}

/// A string of the caller, if it is text and not too long for a descriptor.
///
/// # Safety
///
/// `string` is zero-terminated.
unsafe fn descriptor(string: *const WCHAR) -> Option<String> {
    let mut units = Vec::new();
    while units.len() <= TEXT_LIMIT {
        // SAFETY: every unit before this one was not the terminator, so this one is in the string.
        let next = unsafe { string.add(units.len()) };
        // SAFETY: the same; alignment is not asked for.
        match unsafe { next.read_unaligned() } {
            0 => return String::from_utf16(&units).ok(),
            unit => units.push(unit),
        }
    }
    None
}

/// The sentence for a reason code, cut to `dwBufferSize` characters with the zero.
///
/// # Safety
///
/// `pStringBuffer` is NULL or valid for writing `dwBufferSize` characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanReasonCodeToString(
    dwReasonCode: DWORD,
    dwBufferSize: DWORD,
    pStringBuffer: *mut WCHAR,
    pReserved: *mut c_void,
) -> DWORD {
    code(guard(|| {
        if dwBufferSize == 0 || pStringBuffer.is_null() || !pReserved.is_null() {
            return Err(Refusal::PARAMETER);
        }
        let room = usize::try_from(dwBufferSize).unwrap_or_default().saturating_sub(1);
        let characters = reasons::sentence(dwReasonCode).encode_utf16().take(room).chain([0]);
        for (place, character) in characters.enumerate() {
            // SAFETY: `place` is below `dwBufferSize`, the length the caller promises.
            let to = unsafe { pStringBuffer.add(place) };
            // SAFETY: the same.
            unsafe { put(to, character) };
        }
        Ok(())
    }))
}

/// Text as zero-terminated UTF-16, in bytes.
pub(super) fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(WCHAR::to_ne_bytes).collect()
}
