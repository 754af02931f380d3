//! Memory that changes hands, and names of connections.

use std::ffi::c_void;

use crate::{
    ffi::{
        bstr::{Wide, units},
        take,
    },
    hresult::{E_OUTOFMEMORY, Refusal},
    types::{BOOL, NETCON_MAX_NAME_LEN, NETCON_PROPERTIES, OLECHAR},
};

/// Memory for `cb` bytes; NULL when there is no room.
#[unsafe(no_mangle)]
pub extern "C" fn CoTaskMemAlloc(cb: usize) -> *mut c_void {
    // SAFETY: malloc takes any size. One byte at least: the answer for none is a pointer too.
    unsafe { libc::malloc(cb.max(1)) }
}

/// The block with another size. No block: a new one. No bytes: the block is given back and the answer is NULL.
///
/// # Safety
///
/// `pv` is NULL or a block of [`CoTaskMemAlloc`] that was not given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoTaskMemRealloc(pv: *mut c_void, cb: usize) -> *mut c_void {
    if cb == 0 && !pv.is_null() {
        // SAFETY: the caller's promise; every block comes from malloc.
        unsafe { libc::free(pv) };
        return std::ptr::null_mut();
    }
    // SAFETY: the caller's promise; realloc takes NULL.
    unsafe { libc::realloc(pv, cb.max(1)) }
}

/// Gives a block back. NULL is fine.
///
/// # Safety
///
/// `pv` is NULL or a block of [`CoTaskMemAlloc`] that was not given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoTaskMemFree(pv: *mut c_void) {
    // SAFETY: the caller's promise; every block comes from malloc.
    unsafe { libc::free(pv) };
}

/// Gives the answer of `INetConnection::GetProperties` back. NULL is fine.
///
/// # Safety
///
/// `pProps` is NULL or such an answer that was not given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NcFreeNetconProperties(pProps: *mut NETCON_PROPERTIES) {
    // SAFETY: NULL or an answer, which can be read.
    let Some(properties) = (unsafe { take(pProps) }) else { return };
    for block in [properties.pszwName.cast(), properties.pszwDeviceName.cast(), pProps.cast()] {
        // SAFETY: the strings and the structure are blocks of `CoTaskMemAlloc` of their own.
        unsafe { CoTaskMemFree(block) };
    }
}

/// Whether a connection may have this name: 1 to 256 characters, not only blanks, none of `\ / : * ? " < > |` and no
/// control character.
///
/// # Safety
///
/// `pszwName` is NULL or a zero-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn NcIsValidConnectionName(pszwName: *const OLECHAR) -> BOOL {
    // SAFETY: the caller's promise.
    let name = unsafe { Wide::new(pszwName) };
    name.text(NETCON_MAX_NAME_LEN).is_some_and(|name| valid(&name)).into()
}

fn valid(name: &str) -> bool {
    let forbidden = |character: char| character.is_control() || r#"\/:*?"<>|"#.contains(character);
    !name.trim().is_empty() && !name.chars().any(forbidden)
}

/// A zero-terminated string for the caller.
pub(crate) fn hand_out(text: &str) -> Result<*mut OLECHAR, Refusal> {
    let units = units(text);
    let block = CoTaskMemAlloc(size_of_val(units.as_slice())).cast::<OLECHAR>();
    if block.is_null() {
        return Err(E_OUTOFMEMORY.into());
    }
    // SAFETY: the block is new and as long as `units`; malloc aligns for every type.
    unsafe { block.copy_from_nonoverlapping(units.as_ptr(), units.len()) };
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_connection_is_text_without_characters_of_paths() {
        for good in ["eth0", "Wireless Network Connection 2", "é"] {
            assert!(valid(good), "{good}");
        }
        for wrong in ["", " ", "a/b", "a\tb", "a|b", "\"", "<", "a:", "*", "?", "\\"] {
            assert!(!valid(wrong), "{wrong}");
        }
    }
}
