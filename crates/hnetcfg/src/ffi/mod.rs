//! The boundary: every entry point, every table of methods, and every place where a pointer from outside is touched.
//!
//! Pointers from outside are checked for NULL before they are used; more cannot be known of them. Pointers to
//! results are written whatever their alignment, and hold NULL or zero after a failure.
#![expect(unsafe_code, reason = "COM: raw pointers in, raw pointers out")]
#![expect(non_snake_case, reason = "the names of the Windows headers")]

pub(crate) mod apartment;
pub(crate) mod bstr;
pub(crate) mod class;
mod dispatch;
mod interfaces;
pub(crate) mod memory;
pub(crate) mod object;
pub mod symbols;
mod tables;
pub(crate) mod variant;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::hresult::{E_UNEXPECTED, HRESULT, Refusal, S_OK};

/// Runs an entry point; a panic becomes an error instead of crossing into C.
fn guard<T>(entry: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(entry)).unwrap_or_else(|_| Err(E_UNEXPECTED.into()))
}

/// The number for the outcome.
fn code(outcome: Result<(), Refusal>) -> HRESULT {
    outcome.map_or_else(|refusal| refusal.code, |()| S_OK)
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

/// Reads an argument.
///
/// # Safety
///
/// `from` is NULL or valid for reading a `T`.
unsafe fn take<T: Copy>(from: *const T) -> Option<T> {
    if from.is_null() {
        return None;
    }
    // SAFETY: not NULL, so the caller promises that it can be read; alignment is not asked for.
    Some(unsafe { from.read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_number() {
        assert_eq!(code(guard(|| panic!("a defect"))), E_UNEXPECTED);
        assert_eq!(code(guard(|| Ok(()))), S_OK);
    }
}
