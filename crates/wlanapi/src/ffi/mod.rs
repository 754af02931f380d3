//! The boundary: every entry point, and every place where a pointer from outside is touched.
//!
//! Each pointer is checked for NULL before it is used, lengths are checked before bytes are read, and results are
//! written whatever their alignment. Nothing behind a handle is a pointer.
#![expect(unsafe_code, reason = "C callers: raw pointers in, raw pointers out")]
#![expect(non_snake_case, non_upper_case_globals, reason = "the names of the Windows headers")]

pub(crate) mod callback;
pub(crate) mod fork;
pub(crate) mod hosted;
pub(crate) mod memory;
pub(crate) mod session;

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use hostednet::types::{Reason, view::SetBy};

use crate::{
    client::Client,
    library::{self, Refusal},
    types::{
        DWORD, ERROR_SUCCESS, HANDLE, WLAN_HOSTED_NETWORK_REASON, WLAN_OPCODE_VALUE_TYPE, reason_number,
        wlan_opcode_value_type_set_by_group_policy, wlan_opcode_value_type_set_by_user,
    },
};

/// Runs an entry point; a panic becomes an error code instead of crossing into C.
fn guard(entry: impl FnOnce() -> Result<(), Refusal>) -> Result<(), Refusal> {
    catch_unwind(AssertUnwindSafe(entry)).unwrap_or(Err(Refusal::DEFECT))
}

/// The return code.
fn code(result: Result<(), Refusal>) -> DWORD {
    result.map_or_else(|refusal| refusal.code, |()| ERROR_SUCCESS)
}

/// Who decided a value.
fn value_type(set_by: SetBy) -> WLAN_OPCODE_VALUE_TYPE {
    match set_by {
        SetBy::Policy => wlan_opcode_value_type_set_by_group_policy,
        SetBy::User => wlan_opcode_value_type_set_by_user,
    }
}

/// Writes a result where the caller wants one.
///
/// # Safety
///
/// `to` is NULL or valid for writing a `T`.
unsafe fn put<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: not NULL, so the caller promises that it can be written; alignment is not asked for.
        unsafe { to.write_unaligned(value) };
    }
}

/// The checks every function with a handle begins with, in their order.
fn with_client(
    handle: HANDLE,
    reserved: *const c_void,
    entry: impl FnOnce(&Arc<Client>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    guard(|| {
        if handle.is_null() || !reserved.is_null() {
            return Err(Refusal::PARAMETER);
        }
        entry(&library::client(handle.addr())?)
    })
}

/// The same for functions with a fail reason, which is written on success too: programs read it without a look at
/// the return code.
///
/// # Safety
///
/// `reason` is NULL or valid for writing.
unsafe fn with_reason(
    handle: HANDLE,
    reserved: *const c_void,
    reason: *mut WLAN_HOSTED_NETWORK_REASON,
    entry: impl FnOnce(&Arc<Client>) -> Result<(), Refusal>,
) -> DWORD {
    let result = with_client(handle, reserved, entry);
    let why = result.map_or_else(|refusal| refusal.reason, |()| reason_number(Reason::Success));
    // SAFETY: the caller's promise about `reason`.
    unsafe { put(reason, why) };
    code(result)
}
