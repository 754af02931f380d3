//! Buffers that change hands.

use std::ffi::c_void;

use hostednet::types::Reason;
use nix::errno::Errno;

use crate::{
    library::Refusal,
    types::{DWORD, ERROR_OUTOFMEMORY},
};

/// Memory for `dwMemorySize` bytes, to be given back with [`WlanFreeMemory`]. NULL, with `errno` set, for no bytes (`EINVAL`) or
/// when there is no room (`ENOMEM`).
#[unsafe(no_mangle)]
pub extern "C" fn WlanAllocateMemory(dwMemorySize: DWORD) -> *mut c_void {
    let Some(size) = usize::try_from(dwMemorySize).ok().filter(|size| *size > 0) else {
        Errno::EINVAL.set();
        return std::ptr::null_mut();
    };
    // SAFETY: malloc takes any size.
    unsafe { libc::malloc(size) }
}

/// Gives back a buffer of [`WlanAllocateMemory`] or one that a function of this library handed out. NULL is fine.
///
/// # Safety
///
/// `pMemory` is NULL or such a buffer, not yet given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WlanFreeMemory(pMemory: *mut c_void) {
    // SAFETY: the caller's promise; every such buffer comes from malloc.
    unsafe { libc::free(pMemory) };
}

/// A buffer for the caller with these bytes.
pub(crate) fn hand_out(bytes: &[u8]) -> Result<*mut c_void, Refusal> {
    // SAFETY: malloc takes any size; one byte at least, so that NULL means no room.
    let buffer = unsafe { libc::malloc(bytes.len().max(1)) };
    if buffer.is_null() {
        return Err(Refusal::new(ERROR_OUTOFMEMORY, Reason::InsufficientResources));
    }
    // SAFETY: the buffer is new and at least as long as `bytes`.
    unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    Ok(buffer)
}
