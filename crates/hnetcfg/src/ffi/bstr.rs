//! Strings: `BSTR` with a length, and zero-terminated ones.
//!
//! ```text
//! block: 4 bytes unused | length in bytes, u32 | UTF-16 units … | zero unit
//!                                                ^ the pointer
//! ```

use std::{ffi::c_void, ptr::null_mut};

use crate::{
    hresult::{E_OUTOFMEMORY, Refusal},
    types::{BOOL, BSTR, OLECHAR},
};

/// What lies before the first unit, so that the first unit is aligned like a block.
const HEADER: usize = 8;
const LENGTH: usize = 4;
const UNIT: usize = size_of::<OLECHAR>();

/// A new string of `bytes` bytes, copied from `from` unless that is NULL (zeros then); NULL when there is no room.
///
/// # Safety
///
/// `from` is NULL or valid for reading `bytes` bytes.
unsafe fn allocate(from: *const u8, bytes: u32) -> BSTR {
    let Some((length, size)) =
        usize::try_from(bytes).ok().and_then(|length| Some((length, length.checked_add(HEADER + 2 * UNIT)?)))
    else {
        return null_mut();
    };
    // SAFETY: calloc takes any size. The zeros at the end terminate the string, whatever its length.
    let block = unsafe { libc::calloc(1, size) }.cast::<u8>();
    if block.is_null() {
        return null_mut();
    }
    // SAFETY: the block is longer than the header.
    unsafe { block.wrapping_add(HEADER - LENGTH).cast::<u32>().write(bytes) };
    let string = block.wrapping_add(HEADER);
    if !from.is_null() {
        // SAFETY: the caller promises that many bytes, and the new block has room for them.
        unsafe { string.copy_from_nonoverlapping(from, length) };
    }
    string.cast()
}

/// Units before the zero.
///
/// # Safety
///
/// `string` is a zero-terminated string.
unsafe fn count(string: *const OLECHAR) -> usize {
    let mut units = 0;
    // SAFETY: every unit before this one was not the zero, so this one is in the string.
    while unsafe { string.wrapping_add(units).read_unaligned() } != 0 {
        units += 1;
    }
    units
}

/// Length in bytes of so many units, if a string can be so long.
fn bytes(units: usize) -> Option<u32> {
    units.checked_mul(UNIT).and_then(|bytes| u32::try_from(bytes).ok())
}

/// A copy of a zero-terminated string. NULL for NULL, or when there is no room.
///
/// # Safety
///
/// `psz` is NULL or a zero-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysAllocString(psz: *const OLECHAR) -> BSTR {
    if psz.is_null() {
        return null_mut();
    }
    // SAFETY: the caller's promise.
    let units = unsafe { count(psz) };
    // SAFETY: so many units were just read.
    bytes(units).map_or(null_mut(), |bytes| unsafe { allocate(psz.cast(), bytes) })
}

/// A string of `ui` units, copied from `strIn` unless that is NULL. NULL when there is no room.
///
/// # Safety
///
/// `strIn` is NULL or valid for reading `ui` units.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysAllocStringLen(strIn: *const OLECHAR, ui: u32) -> BSTR {
    let bytes = usize::try_from(ui).ok().and_then(bytes);
    // SAFETY: the caller's promise.
    bytes.map_or(null_mut(), |bytes| unsafe { allocate(strIn.cast(), bytes) })
}

/// A string of `len` bytes, copied from `psz` unless that is NULL. NULL when there is no room.
///
/// # Safety
///
/// `psz` is NULL or valid for reading `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysAllocStringByteLen(psz: *const u8, len: u32) -> BSTR {
    // SAFETY: the caller's promise.
    unsafe { allocate(psz, len) }
}

/// Exchanges a string for a copy of another; 0 when there is no room, and nothing happened then.
///
/// # Safety
///
/// `pbstr` is NULL or points to NULL or a string of this module; `psz` is NULL or a zero-terminated string, even the one
/// that is exchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysReAllocString(pbstr: *mut BSTR, psz: *const OLECHAR) -> BOOL {
    // SAFETY: the caller's promise.
    let new = unsafe { SysAllocString(psz) };
    // SAFETY: the caller's promise; the copy is made.
    unsafe { exchange(pbstr, new, !psz.is_null()) }
}

/// Exchanges a string for a copy of `len` units of another; 0 when there is no room, and nothing happened then.
///
/// # Safety
///
/// `pbstr` is NULL or points to NULL or a string of this module; `psz` is NULL or valid for reading `len` units, even ones of
/// the string that is exchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysReAllocStringLen(pbstr: *mut BSTR, psz: *const OLECHAR, len: u32) -> BOOL {
    // SAFETY: the caller's promise.
    let new = unsafe { SysAllocStringLen(psz, len) };
    // SAFETY: the caller's promise; the copy is made.
    unsafe { exchange(pbstr, new, true) }
}

/// # Safety
///
/// `place` is NULL or points to NULL or a string of this module, and `new` is NULL or one.
unsafe fn exchange(place: *mut BSTR, new: BSTR, wanted: bool) -> BOOL {
    if place.is_null() || (new.is_null() && wanted) {
        // SAFETY: a string of this module that nobody else knows.
        unsafe { SysFreeString(new) };
        return 0;
    }
    // SAFETY: the caller's promise.
    let old = unsafe { place.replace(new) };
    // SAFETY: the caller's promise; nobody finds it where it was.
    unsafe { SysFreeString(old) };
    1
}

/// Gives a string back. NULL is fine.
///
/// # Safety
///
/// `bstrString` is NULL or a string of this module that was not given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysFreeString(bstrString: BSTR) {
    if !bstrString.is_null() {
        let block = bstrString.cast::<u8>().wrapping_sub(HEADER).cast::<c_void>();
        // SAFETY: the caller's promise; the block begins there and comes from malloc.
        unsafe { libc::free(block) };
    }
}

/// Units of a string, without the zero; 0 for NULL.
///
/// # Safety
///
/// `pbstr` is NULL or a string of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysStringLen(pbstr: *const OLECHAR) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { SysStringByteLen(pbstr) / 2 }
}

/// Bytes of a string, without the zero; 0 for NULL.
///
/// # Safety
///
/// `bstr` is NULL or a string of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysStringByteLen(bstr: *const OLECHAR) -> u32 {
    if bstr.is_null() {
        return 0;
    }
    let place = bstr.cast::<u8>().wrapping_sub(LENGTH).cast::<u32>();
    // SAFETY: the caller's promise: the length lies before the first unit.
    unsafe { place.read_unaligned() }
}

/// A `BSTR` for the caller.
pub(crate) fn new(units: &[u16]) -> Result<BSTR, Refusal> {
    let length = u32::try_from(units.len()).map_err(|_| E_OUTOFMEMORY)?;
    // SAFETY: the slice has that many units.
    let string = unsafe { SysAllocStringLen(units.as_ptr(), length) };
    if string.is_null() { Err(E_OUTOFMEMORY.into()) } else { Ok(string) }
}

/// A `BSTR` argument. Whoever makes one promises that it is NULL or a string of this module, or laid out like one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text(*const OLECHAR);

impl Text {
    /// # Safety
    ///
    /// The promise of the type.
    pub(crate) const unsafe fn new(string: *const OLECHAR) -> Self {
        Self(string)
    }

    /// Its units; none for NULL.
    pub(crate) fn units(self) -> Vec<u16> {
        // SAFETY: the promise of the type.
        let length = unsafe { SysStringLen(self.0) };
        let read = |place| {
            // SAFETY: the promise of the type: so many units lie there.
            unsafe { self.0.wrapping_add(place).read_unaligned() }
        };
        (0..usize::try_from(length).unwrap_or_default()).map(read).collect()
    }
}

/// A zero-terminated argument. Whoever makes one promises that it is NULL or such a string.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide(*const OLECHAR);

impl Wide {
    /// # Safety
    ///
    /// The promise of the type.
    pub(crate) const unsafe fn new(string: *const OLECHAR) -> Self {
        Self(string)
    }

    /// Whether there is no string.
    pub(crate) const fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The text, if there is one of at most `limit` units that is UTF-16.
    pub(crate) fn text(self, limit: usize) -> Option<String> {
        if self.0.is_null() {
            return None;
        }
        let mut units = Vec::new();
        loop {
            // SAFETY: the promise of the type: no unit before this one was the zero.
            let unit = unsafe { self.0.wrapping_add(units.len()).read_unaligned() };
            if unit == 0 {
                return String::from_utf16(&units).ok();
            }
            if units.len() == limit {
                return None;
            }
            units.push(unit);
        }
    }
}

/// Text as zero-terminated UTF-16.
pub(crate) fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
