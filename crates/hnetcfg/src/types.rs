//! Numbers and layouts of the contract (spec/internet-connection-sharing.md §5). Names are those of the Windows headers.
#![expect(non_camel_case_types, non_snake_case, reason = "the names of the Windows headers")]
#![expect(missing_docs, reason = "spec/internet-connection-sharing.md §5.2 and §5.3 say what each means")]

use std::{
    ffi::c_void,
    fmt,
    mem::{offset_of, size_of},
};

pub type DWORD = u32;
pub type BOOL = i32;
/// `TRUE` is −1.
pub type VARIANT_BOOL = i16;
/// UTF-16, whatever `wchar_t` is.
pub type OLECHAR = u16;
/// UTF-16 with its length in bytes, a `u32`, before the first unit, and a zero after the last.
pub type BSTR = *mut OLECHAR;
pub type VARTYPE = u16;
pub type NETCON_STATUS = i32;
pub type NETCON_MEDIATYPE = i32;
pub type SHARINGCONNECTIONTYPE = i32;
pub type SHARINGCONNECTION_ENUM_FLAGS = i32;
pub type NETCONMGR_ENUM_FLAGS = i32;
pub type ICS_TARGETTYPE = i32;

pub const VARIANT_TRUE: VARIANT_BOOL = -1;
pub const VARIANT_FALSE: VARIANT_BOOL = 0;

pub const ICSSHARINGTYPE_PUBLIC: SHARINGCONNECTIONTYPE = 0;
pub const ICSSHARINGTYPE_PRIVATE: SHARINGCONNECTIONTYPE = 1;
pub const ICSSC_DEFAULT: SHARINGCONNECTION_ENUM_FLAGS = 0;
pub const ICSSC_ENABLED: SHARINGCONNECTION_ENUM_FLAGS = 1;
pub const ICSTT_NAME: ICS_TARGETTYPE = 0;
pub const ICSTT_IPADDRESS: ICS_TARGETTYPE = 1;
pub const NCME_DEFAULT: NETCONMGR_ENUM_FLAGS = 0;
pub const NCME_HIDDEN: NETCONMGR_ENUM_FLAGS = 1;

pub const NCS_DISCONNECTED: NETCON_STATUS = 0;
pub const NCS_CONNECTED: NETCON_STATUS = 2;
pub const NCS_MEDIA_DISCONNECTED: NETCON_STATUS = 7;

pub const NCCF_ALL_USERS: DWORD = 0x1;
pub const NCCF_INCOMING_ONLY: DWORD = 0x20;
pub const NCCF_SHARED: DWORD = 0x100;
pub const NCCF_BRIDGED: DWORD = 0x200;
pub const NCCF_FIREWALLED: DWORD = 0x400;
pub const NCCF_DEFAULT: DWORD = 0x800;
pub const NCCF_HOMENET_CAPABLE: DWORD = 0x1000;
pub const NCCF_SHARED_PRIVATE: DWORD = 0x2000;
pub const NCCF_HOSTED_NETWORK: DWORD = 0x10000;

/// Longest name of a connection, in units without the zero.
pub const NETCON_MAX_NAME_LEN: usize = 256;

pub const VT_EMPTY: VARTYPE = 0;
pub const VT_NULL: VARTYPE = 1;
pub const VT_I2: VARTYPE = 2;
pub const VT_I4: VARTYPE = 3;
pub const VT_BSTR: VARTYPE = 8;
pub const VT_DISPATCH: VARTYPE = 9;
pub const VT_ERROR: VARTYPE = 10;
pub const VT_BOOL: VARTYPE = 11;
pub const VT_VARIANT: VARTYPE = 12;
pub const VT_UNKNOWN: VARTYPE = 13;
pub const VT_I1: VARTYPE = 16;
pub const VT_UI1: VARTYPE = 17;
pub const VT_UI2: VARTYPE = 18;
pub const VT_UI4: VARTYPE = 19;
pub const VT_I8: VARTYPE = 20;
pub const VT_UI8: VARTYPE = 21;
pub const VT_INT: VARTYPE = 22;
pub const VT_UINT: VARTYPE = 23;
pub const VT_BYREF: VARTYPE = 0x4000;

pub const VARIANT_ALPHABOOL: u16 = 2;

pub const DISPATCH_METHOD: u16 = 1;
pub const DISPATCH_PROPERTYGET: u16 = 2;
pub const DISPATCH_PROPERTYPUT: u16 = 4;
pub const DISPATCH_PROPERTYPUTREF: u16 = 8;

pub const DISPID_UNKNOWN: i32 = -1;
pub const DISPID_NEWENUM: i32 = -4;

pub const COINIT_MULTITHREADED: DWORD = 0;
pub const COINIT_APARTMENTTHREADED: DWORD = 2;
pub const CLSCTX_INPROC_SERVER: DWORD = 1;
pub const CLSCTX_LOCAL_SERVER: DWORD = 4;

/// A globally unique identifier.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}

impl GUID {
    /// The one written as this number in hexadecimal digits.
    pub const fn from_u128(number: u128) -> Self {
        let b = number.to_be_bytes();
        Self {
            Data1: u32::from_be_bytes([b[0], b[1], b[2], b[3]]),
            Data2: u16::from_be_bytes([b[4], b[5]]),
            Data3: u16::from_be_bytes([b[6], b[7]]),
            Data4: [b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]],
        }
    }

    /// Reads `{8-4-4-4-12}` hexadecimal digits in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        let dashes = [8, 13, 18, 23];
        let wrong = |(place, byte): (usize, u8)| {
            if dashes.contains(&place) { byte != b'-' } else { !byte.is_ascii_hexdigit() }
        };
        if inner.len() != 36 || inner.bytes().enumerate().any(wrong) {
            return None;
        }
        let digits: String = inner.split('-').collect();
        u128::from_str_radix(&digits, 16).ok().map(Self::from_u128)
    }
}

impl fmt::Display for GUID {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i] = self.Data4;
        write!(f, "{{{:08X}-{:04X}-{:04X}-{a:02X}{b:02X}-", self.Data1, self.Data2, self.Data3)?;
        write!(f, "{c:02X}{d:02X}{e:02X}{g:02X}{h:02X}{i:02X}}}")
    }
}

/// What a `VARIANT` holds, by its type.
#[repr(C)]
#[derive(Clone, Copy)]
pub union VARIANT_DATA {
    pub cVal: i8,
    pub bVal: u8,
    pub iVal: i16,
    pub uiVal: u16,
    pub boolVal: VARIANT_BOOL,
    pub lVal: i32,
    pub ulVal: u32,
    pub llVal: i64,
    pub ullVal: u64,
    pub bstrVal: BSTR,
    pub punkVal: *mut c_void,
    pub byref: *mut c_void,
    /// What is the widest.
    pub record: [*mut c_void; 2],
}

/// A value with its type.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct VARIANT {
    pub vt: VARTYPE,
    pub reserved: [u16; 3],
    pub data: VARIANT_DATA,
}

impl fmt::Debug for VARIANT {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VARIANT").field("vt", &self.vt).finish_non_exhaustive()
    }
}

impl fmt::Debug for VARIANT_DATA {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VARIANT_DATA")
    }
}

impl VARIANT {
    /// Nothing.
    pub const EMPTY: Self = Self {
        vt: VT_EMPTY,
        reserved: [0; 3],
        data: VARIANT_DATA { record: [std::ptr::null_mut(), std::ptr::null_mut()] },
    };
}

/// The arguments of `Invoke`, last one first; named ones before the others.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DISPPARAMS {
    pub rgvarg: *mut VARIANT,
    pub rgdispidNamedArgs: *mut i32,
    pub cArgs: u32,
    pub cNamedArgs: u32,
}

/// What went wrong in `Invoke`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EXCEPINFO {
    pub wCode: u16,
    pub wReserved: u16,
    pub bstrSource: BSTR,
    pub bstrDescription: BSTR,
    pub bstrHelpFile: BSTR,
    pub dwHelpContext: DWORD,
    pub pvReserved: *mut c_void,
    pub pfnDeferredFillIn: *mut c_void,
    pub scode: i32,
}

/// What `INetConnection::GetProperties` answers; given back with [`crate::NcFreeNetconProperties`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NETCON_PROPERTIES {
    pub guidId: GUID,
    pub pszwName: *mut OLECHAR,
    pub pszwDeviceName: *mut OLECHAR,
    pub Status: NETCON_STATUS,
    pub MediaType: NETCON_MEDIATYPE,
    pub dwCharacter: DWORD,
    pub clsidThisObject: GUID,
    pub clsidUiObject: GUID,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<VARIANT>() == 24 && offset_of!(VARIANT, data) == 8);
    assert!(size_of::<DISPPARAMS>() == 24 && size_of::<EXCEPINFO>() == 64);
    assert!(offset_of!(NETCON_PROPERTIES, pszwName) == 16);
    assert!(offset_of!(NETCON_PROPERTIES, pszwDeviceName) == 24);
    assert!(offset_of!(NETCON_PROPERTIES, Status) == 32 && offset_of!(NETCON_PROPERTIES, MediaType) == 36);
    assert!(offset_of!(NETCON_PROPERTIES, dwCharacter) == 40);
    assert!(offset_of!(NETCON_PROPERTIES, clsidThisObject) == 44);
    assert!(offset_of!(NETCON_PROPERTIES, clsidUiObject) == 60);
    assert!(size_of::<NETCON_PROPERTIES>() == 80);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_read_and_printed_with_braces() {
        let text = "{C08956B7-1CD3-11D1-B1C5-00805FC1270E}";
        let guid = GUID::from_u128(0xc08956b7_1cd3_11d1_b1c5_00805fc1270e);
        assert_eq!(GUID::parse(text), Some(guid));
        assert_eq!(GUID::parse(&text.to_lowercase()), Some(guid));
        assert_eq!(guid.to_string(), text);
        for wrong in [
            "",
            "{}",
            "C08956B7-1CD3-11D1-B1C5-00805FC1270E",
            "{C08956B71CD3-11D1-B1C5-00805FC1270E-}",
            "{C08956B7-1CD3-11D1-B1C5-00805FC1270}",
            "{+08956B7-1CD3-11D1-B1C5-00805FC1270E}",
            "{é08956B-1CD3-11D1-B1C5-00805FC1270E}",
        ] {
            assert_eq!(GUID::parse(wrong), None, "{wrong}");
        }
    }
}
