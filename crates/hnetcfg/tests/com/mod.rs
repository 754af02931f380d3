//! What the tests that speak through the crate `windows` share.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of COM")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every pointer here is a local of the test or an object"
)]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "tests read C structures")]

// The functions of COM that the crate `windows` declares are those of our library.
use hnetcfg as _;
use windows::{
    Win32::{
        NetworkManagement::WindowsFirewall::*,
        System::{Com::*, Ole::IEnumVARIANT},
    },
    core::{GUID, HRESULT, IUnknown, Interface, PCWSTR, VARIANT},
};

use crate::world::wait;

/// What the crate `windows` asks of Windows besides: what the system knows of an error. It knows nothing here.
mod system {
    use std::ffi::c_void;

    #[unsafe(no_mangle)]
    extern "C" fn GetErrorInfo(_: u32, _: *mut *mut c_void) -> i32 {
        1
    }

    #[unsafe(no_mangle)]
    extern "C" fn SetErrorInfo(_: u32, _: *mut c_void) -> i32 {
        0
    }

    #[unsafe(no_mangle)]
    extern "C" fn GetLastError() -> u32 {
        0
    }

    #[unsafe(no_mangle)]
    extern "C" fn GetProcessHeap() -> *mut c_void {
        std::ptr::null_mut()
    }

    #[unsafe(no_mangle)]
    extern "C" fn HeapFree(_: *mut c_void, _: u32, _: *const c_void) -> i32 {
        1
    }

    #[unsafe(no_mangle)]
    extern "C" fn LoadLibraryExA(_: *const u8, _: *mut c_void, _: u32) -> *mut c_void {
        std::ptr::null_mut()
    }

    #[unsafe(no_mangle)]
    extern "C" fn FormatMessageW(
        _: u32,
        _: *const c_void,
        _: u32,
        _: u32,
        _: *mut u16,
        _: u32,
        _: *const *const i8,
    ) -> u32 {
        0
    }
}

pub(crate) const NOT_ACTIVE: HRESULT = HRESULT(0x8007_0426_u32.cast_signed());
pub(crate) const NOT_FOUND: HRESULT = HRESULT(0x8007_0490_u32.cast_signed());
pub(crate) const NOT_SUPPORTED: HRESULT = HRESULT(0x8007_0032_u32.cast_signed());

/// The number of a call that failed, or `S_OK`.
pub(crate) fn code<T>(result: windows::core::Result<T>) -> HRESULT {
    result.map_or_else(|error| error.code(), |_| HRESULT(0))
}

/// Begins COM on this thread and makes the manager.
pub(crate) fn manager() -> INetSharingManager {
    unsafe {
        assert!(CoInitializeEx(None, COINIT_MULTITHREADED).is_ok());
        CoCreateInstance(&NetSharingManager, None, CLSCTX_INPROC_SERVER).unwrap()
    }
}

/// Every value an enumerator has left.
pub(crate) fn values(enumerator: &IEnumVARIANT) -> Vec<VARIANT> {
    let mut all = Vec::new();
    loop {
        let mut value = [VARIANT::default()];
        let mut fetched = 7;
        let code = unsafe { enumerator.Next(&mut value, &mut fetched) };
        match code.0 {
            0 => {
                assert_eq!(fetched, 1);
                all.extend(value);
            }
            1 => {
                assert_eq!(fetched, 0);
                return all;
            }
            other => panic!("{other:#x}"),
        }
    }
}

/// The objects of a collection: its enumerator's values.
pub(crate) fn objects<T: Interface>(enumerator: &IUnknown) -> Vec<T> {
    let values = values(&enumerator.cast().unwrap());
    values.iter().map(|value| object(value).cast().unwrap()).collect()
}

/// The object of a value.
pub(crate) fn object(value: &VARIANT) -> IUnknown {
    let raw = unsafe { &value.as_raw().Anonymous.Anonymous };
    assert!([9, 13].contains(&raw.vt), "type {}", raw.vt);
    let pointer = unsafe { raw.Anonymous.punkVal };
    unsafe { IUnknown::from_raw_borrowed(&pointer) }.unwrap().clone()
}

/// Every connection of the folder.
pub(crate) fn connections(manager: &INetSharingManager) -> Vec<INetConnection> {
    objects(&unsafe { manager.EnumEveryConnection().unwrap()._NewEnum().unwrap() })
}

/// The properties of a connection, by `INetConnection::GetProperties`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) guid: GUID,
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) status: i32,
    pub(crate) media: i32,
    pub(crate) flags: u32,
}

pub(crate) fn seen(connection: &INetConnection) -> windows::core::Result<Seen> {
    let properties = unsafe { connection.GetProperties()? };
    let copy = unsafe { *properties };
    assert_eq!((copy.clsidThisObject, copy.clsidUiObject), (GUID::zeroed(), GUID::zeroed()));
    let seen = Seen {
        guid: copy.guidId,
        name: text(copy.pszwName.0),
        device: text(copy.pszwDeviceName.0),
        status: copy.Status.0,
        media: copy.MediaType.0,
        flags: copy.dwCharacter,
    };
    unsafe { NcFreeNetconProperties(properties) };
    Ok(seen)
}

/// The connection with this name, once the service knows it.
pub(crate) fn find(manager: &INetSharingManager, name: &str) -> INetConnection {
    let named = |connection: &INetConnection| seen(connection).is_ok_and(|seen| seen.name == name);
    let mut found = None;
    wait(&format!("there is {name}"), || {
        found = connections(manager).into_iter().find(named);
        found.is_some()
    });
    found.unwrap()
}

/// Waits until the folder has so many connections.
pub(crate) fn settle(manager: &INetSharingManager, count: usize) {
    wait("every connection is known", || connections(manager).len() == count);
}

/// The configuration of the connection with this name.
pub(crate) fn configuration(manager: &INetSharingManager, name: &str) -> INetSharingConfiguration {
    let connection = find(manager, name);
    unsafe { manager.get_INetSharingConfigurationForINetConnection(&connection).unwrap() }
}

/// A zero-terminated string. The crate's own reader counts units of the size of `wchar_t`.
fn text(string: *const u16) -> String {
    let units: Vec<u16> =
        (0..).map(|place| unsafe { string.add(place).read() }).take_while(|unit| *unit != 0).collect();
    String::from_utf16(&units).unwrap()
}

/// Zero-terminated UTF-16.
pub(crate) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

pub(crate) fn pointer(text: &[u16]) -> PCWSTR {
    PCWSTR(text.as_ptr())
}

/// Whether nothing of the library is in use.
pub(crate) fn idle() -> bool {
    hnetcfg::DllCanUnloadNow() == 0
}

pub(crate) fn leave() {
    unsafe { CoUninitialize() };
}
