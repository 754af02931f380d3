//! Threads that use COM. Objects here can be used from any of them, so apartments are only counted.

use std::{
    cell::Cell,
    ffi::c_void,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{
    client,
    hresult::{
        CO_E_NOTINITIALIZED, E_INVALIDARG, HRESULT, RPC_E_CHANGED_MODE, RPC_E_TOO_LATE, S_FALSE, S_OK,
    },
    types::{COINIT_APARTMENTTHREADED, DWORD},
};

/// The flags of `CoInitializeEx` that there are: apartment threads, and two that mean nothing here (no OLE 1, speed).
const KNOWN: DWORD = COINIT_APARTMENTTHREADED | 0x4 | 0x8;

/// Threads that have called `CoInitialize`.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// Those of them that share the multithreaded apartment. While there is one, every thread of the process is in it.
static MULTITHREADED: AtomicUsize = AtomicUsize::new(0);
static SECURED: AtomicBool = AtomicBool::new(false);

/// What one thread has called.
struct Apartment {
    depth: Cell<u32>,
    alone: Cell<bool>,
}

thread_local! {
    static APARTMENT: Apartment = const { Apartment { depth: Cell::new(0), alone: Cell::new(false) } };
}

impl Apartment {
    fn enter(&self, alone: bool) -> HRESULT {
        let depth = self.depth.get();
        if depth > 0 {
            if self.alone.get() != alone {
                return RPC_E_CHANGED_MODE;
            }
            self.depth.set(depth.saturating_add(1));
            return S_FALSE;
        }
        self.depth.set(1);
        self.alone.set(alone);
        THREADS.fetch_add(1, Ordering::SeqCst);
        if !alone {
            MULTITHREADED.fetch_add(1, Ordering::SeqCst);
        }
        S_OK
    }

    /// `true`: no thread of the process uses COM after that.
    fn leave(&self) -> bool {
        let depth = self.depth.get();
        self.depth.set(depth.saturating_sub(1));
        if depth != 1 {
            return false;
        }
        if !self.alone.get() {
            MULTITHREADED.fetch_sub(1, Ordering::SeqCst);
        }
        THREADS.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

impl Drop for Apartment {
    fn drop(&mut self) {
        // A thread that ends has left. The connection stays: a thread at its end must wait for nobody.
        self.depth.set(self.depth.get().min(1));
        self.leave();
    }
}

/// Whether this thread may make objects.
pub(crate) fn entered() -> bool {
    MULTITHREADED.load(Ordering::SeqCst) > 0
        || APARTMENT.try_with(|apartment| apartment.depth.get() > 0).unwrap_or(false)
}

/// [`CoInitializeEx`] for a thread of its own apartment.
#[unsafe(no_mangle)]
pub extern "C" fn CoInitialize(pvReserved: *mut c_void) -> HRESULT {
    CoInitializeEx(pvReserved, COINIT_APARTMENTTHREADED)
}

/// Begins the use of COM on this thread: `S_OK` the first time, `S_FALSE` while it is begun, `RPC_E_CHANGED_MODE` for the
/// other kind of apartment. Each success wants one [`CoUninitialize`].
#[unsafe(no_mangle)]
pub extern "C" fn CoInitializeEx(pvReserved: *mut c_void, dwCoInit: DWORD) -> HRESULT {
    if !pvReserved.is_null() || dwCoInit & !KNOWN != 0 {
        return E_INVALIDARG;
    }
    let alone = dwCoInit & COINIT_APARTMENTTHREADED != 0;
    APARTMENT.try_with(|apartment| apartment.enter(alone)).unwrap_or(CO_E_NOTINITIALIZED)
}

/// Ends what one [`CoInitializeEx`] began. Objects live on until they are released.
#[unsafe(no_mangle)]
pub extern "C" fn CoUninitialize() {
    if APARTMENT.try_with(Apartment::leave).unwrap_or(false) {
        client::hang_up();
    }
}

/// Takes the settings of the documented call, once in a process. The service knows its callers by the credentials of
/// their socket, so the levels change nothing: packets cannot be read or forged, and nobody is impersonated.
///
/// # Safety
///
/// None of the pointers is followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoInitializeSecurity(
    pSecDesc: *const c_void,
    cAuthSvc: i32,
    asAuthSvc: *const c_void,
    pReserved1: *const c_void,
    dwAuthnLevel: DWORD,
    dwImpLevel: DWORD,
    pAuthList: *const c_void,
    dwCapabilities: DWORD,
    pReserved3: *const c_void,
) -> HRESULT {
    /// `RPC_C_AUTHN_LEVEL_PKT_PRIVACY`
    const AUTHENTICATION: DWORD = 6;
    /// `RPC_C_IMP_LEVEL_DELEGATE`
    const IMPERSONATION: DWORD = 4;
    let reserved = !pReserved1.is_null() || !pReserved3.is_null();
    let services = cAuthSvc < -1 || (cAuthSvc > 0 && asAuthSvc.is_null());
    // What is not NULL here would be a promise that nobody keeps.
    let foreign = !pSecDesc.is_null() || !pAuthList.is_null();
    if reserved || services || foreign || dwAuthnLevel > AUTHENTICATION || dwImpLevel > IMPERSONATION {
        return E_INVALIDARG;
    }
    // Flags of the implementation of Windows: cloaking, access control by an object of the program.
    let _ = dwCapabilities;
    if !entered() {
        return CO_E_NOTINITIALIZED;
    }
    if SECURED.swap(true, Ordering::SeqCst) { RPC_E_TOO_LATE } else { S_OK }
}
