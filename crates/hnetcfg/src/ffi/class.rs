//! Making objects: classes, factories, identifiers as text.

use std::{
    ffi::c_void,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    ffi::{
        apartment,
        bstr::Wide,
        bstr::units,
        code, guard,
        object::{Given, Interface, Ref, live},
        put,
        symbols::{CLSID_ConnectionManager, CLSID_NetSharingManager},
        take,
    },
    hresult::{
        CLASS_E_CLASSNOTAVAILABLE, CLASS_E_NOAGGREGATION, CO_E_CLASSSTRING, CO_E_IIDSTRING,
        CO_E_NOTINITIALIZED, E_INVALIDARG, E_POINTER, HRESULT, REGDB_E_CLASSNOTREG, Refusal, S_FALSE, S_OK,
    },
    manager::{Folder, Manager},
    types::{CLSCTX_INPROC_SERVER, CLSCTX_LOCAL_SERVER, DWORD, GUID, OLECHAR},
};

/// No identifier as text is longer, in units.
const TEXT_LIMIT: usize = 64;

/// Locks on the library ([`Factory::lock`]).
static LOCKS: AtomicUsize = AtomicUsize::new(0);

/// `IClassFactory` of one class.
#[derive(Debug)]
pub(crate) struct Factory {
    class: GUID,
}

impl Factory {
    /// A new object of the class, by the wanted interface.
    pub(crate) fn create(&self, outer: Given, iid: Option<GUID>) -> Result<Interface, Refusal> {
        let iid = iid.ok_or(E_INVALIDARG)?;
        if !outer.is_null() {
            return Err(CLASS_E_NOAGGREGATION.into());
        }
        let object = make(&self.class).ok_or(CLASS_E_CLASSNOTAVAILABLE)?;
        Ok(object.query(&iid)?)
    }

    /// Keeps the library in use, or no longer.
    pub(crate) fn lock(&self, lock: bool) {
        let change = |locks: usize| if lock { locks.checked_add(1) } else { locks.checked_sub(1) };
        // A lock that was not there cannot be taken away.
        let _ = LOCKS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }
}

fn make(class: &GUID) -> Option<Interface> {
    if *class == CLSID_NetSharingManager {
        Some(Ref::new(Manager).into_interface())
    } else if *class == CLSID_ConnectionManager {
        Some(Ref::new(Folder).into_interface())
    } else {
        None
    }
}

/// Makes an object of `NetSharingManager` or `ConnectionManager`. The service need not run for that.
///
/// # Safety
///
/// `rclsid` and `riid` are NULL or identifiers, `pUnkOuter` is NULL or an object, `ppv` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoCreateInstance(
    rclsid: *const GUID,
    pUnkOuter: *mut c_void,
    dwClsContext: DWORD,
    riid: *const GUID,
    ppv: *mut *mut c_void,
) -> HRESULT {
    // SAFETY: the caller's promise.
    let class = unsafe { take(rclsid) };
    // SAFETY: the caller's promise.
    let iid = unsafe { take(riid) };
    // SAFETY: the caller's promise.
    let outer = unsafe { Given::new(pUnkOuter) };
    let create = || {
        let class = class.ok_or(E_INVALIDARG)?;
        iid.ok_or(E_INVALIDARG)?;
        if !apartment::entered() {
            return Err(CO_E_NOTINITIALIZED.into());
        }
        let context = dwClsContext & (CLSCTX_INPROC_SERVER | CLSCTX_LOCAL_SERVER) != 0;
        if !context || make(&class).is_none() {
            return Err(REGDB_E_CLASSNOTREG.into());
        }
        Factory { class }.create(outer, iid)
    };
    // SAFETY: the caller's promise.
    unsafe { answer(ppv, create) }
}

/// Runs `create` and hands out what it made.
///
/// # Safety
///
/// `out` is NULL or valid for writing.
unsafe fn answer(out: *mut *mut c_void, create: impl FnOnce() -> Result<Interface, Refusal>) -> HRESULT {
    if out.is_null() {
        return E_POINTER;
    }
    let made = guard(create);
    let result = made.as_ref().map_or_else(|refusal| refusal.code, |_| S_OK);
    // SAFETY: the caller's promise.
    unsafe { put(out, made.map_or(std::ptr::null_mut(), Interface::into_raw)) };
    result
}

/// The factory of a class, as the loader of a library asks for it.
///
/// # Safety
///
/// `rclsid` and `riid` are NULL or identifiers, `ppv` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DllGetClassObject(
    rclsid: *const GUID,
    riid: *const GUID,
    ppv: *mut *mut c_void,
) -> HRESULT {
    // SAFETY: the caller's promise.
    let class = unsafe { take(rclsid) };
    // SAFETY: the caller's promise.
    let iid = unsafe { take(riid) };
    let create = || {
        let (class, iid) = (class.ok_or(E_INVALIDARG)?, iid.ok_or(E_INVALIDARG)?);
        if make(&class).is_none() {
            return Err(CLASS_E_CLASSNOTAVAILABLE.into());
        }
        Ok(Ref::new(Factory { class }).into_interface().query(&iid)?)
    };
    // SAFETY: the caller's promise.
    unsafe { answer(ppv, create) }
}

/// `S_OK` when no object exists and nobody has locked the library, else `S_FALSE`.
#[unsafe(no_mangle)]
pub extern "C" fn DllCanUnloadNow() -> HRESULT {
    if live() == 0 && LOCKS.load(Ordering::SeqCst) == 0 { S_OK } else { S_FALSE }
}

fn class_of(name: &str) -> Option<GUID> {
    let known = ["HNetCfg.HNetShare", "HNetCfg.HNetShare.1"];
    known.iter().any(|known| known.eq_ignore_ascii_case(name)).then_some(CLSID_NetSharingManager)
}

/// The class of a program identifier: `HNetCfg.HNetShare` or `HNetCfg.HNetShare.1`, in any case.
///
/// # Safety
///
/// `lpszProgID` is NULL or a zero-terminated string, `lpclsid` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CLSIDFromProgID(lpszProgID: *const OLECHAR, lpclsid: *mut GUID) -> HRESULT {
    // SAFETY: the caller's promise.
    unsafe { identify(lpszProgID, lpclsid, CO_E_CLASSSTRING, class_of) }
}

/// The class from its identifier in braces or its program identifier.
///
/// # Safety
///
/// `lpsz` is NULL or a zero-terminated string, `pclsid` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CLSIDFromString(lpsz: *const OLECHAR, pclsid: *mut GUID) -> HRESULT {
    let either = |text: &str| GUID::parse(text).or_else(|| class_of(text));
    // SAFETY: the caller's promise.
    unsafe { identify(lpsz, pclsid, CO_E_CLASSSTRING, either) }
}

/// The interface from its identifier in braces.
///
/// # Safety
///
/// `lpsz` is NULL or a zero-terminated string, `lpiid` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IIDFromString(lpsz: *const OLECHAR, lpiid: *mut GUID) -> HRESULT {
    // SAFETY: the caller's promise.
    unsafe { identify(lpsz, lpiid, CO_E_IIDSTRING, GUID::parse) }
}

/// # Safety
///
/// `text` is NULL or a zero-terminated string, `out` is NULL or valid for writing.
unsafe fn identify(
    text: *const OLECHAR,
    out: *mut GUID,
    wrong: HRESULT,
    find: impl FnOnce(&str) -> Option<GUID>,
) -> HRESULT {
    if out.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { Wide::new(text) };
    let found = guard(|| {
        if text.is_null() {
            return Err(E_INVALIDARG.into());
        }
        let text = text.text(TEXT_LIMIT).ok_or(wrong)?;
        Ok(find(&text).ok_or(wrong)?)
    });
    // SAFETY: the caller's promise.
    unsafe { put(out, found.clone().unwrap_or_default()) };
    code(found.map(drop))
}

/// An identifier as text in braces: 39 characters with the zero, which is the answer; 0 if `cchMax` is less.
///
/// # Safety
///
/// `rguid` is NULL or an identifier, `lpsz` is NULL or valid for writing `cchMax` characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn StringFromGUID2(rguid: *const GUID, lpsz: *mut OLECHAR, cchMax: i32) -> i32 {
    // SAFETY: the caller's promise.
    let Some(guid) = (unsafe { take(rguid) }) else { return 0 };
    let text = units(&guid.to_string());
    let length = i32::try_from(text.len()).unwrap_or(i32::MAX);
    if lpsz.is_null() || cchMax < length {
        return 0;
    }
    for (place, unit) in text.into_iter().enumerate() {
        // SAFETY: `place` is below `cchMax`.
        unsafe { put(lpsz.wrapping_add(place), unit) };
    }
    length
}
