//! Every function with every bad argument: the documented code, whatever else is right (tier T1).
#![expect(unsafe_code, reason = "calls of C functions")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "each is one call of a row")]
#![expect(clippy::undocumented_unsafe_blocks, reason = "every pointer here is NULL or a local of the test")]

mod world;

use std::{ffi::c_void, ptr::null_mut};

use wlanapi::{types::*, *};
use world::run;

/// What the columns of the table turn wrong, one at a time.
#[derive(Clone, Copy)]
struct Call {
    handle: HANDLE,
    reserved: *mut c_void,
    /// The result or argument with this number is NULL; 0 for none.
    missing: u32,
    /// NULL or a place for the fail reason.
    reason: *mut WLAN_HOSTED_NETWORK_REASON,
}

/// Places for results.
#[derive(Default)]
struct Out {
    words: [u32; 4],
    pointers: [usize; 2],
}

impl Out {
    fn word<T>(&mut self, call: &Call, number: u32) -> *mut T {
        let place = usize::try_from(number).unwrap_or_default() % 4;
        if call.missing == number { null_mut() } else { (&raw mut self.words[place]).cast() }
    }

    fn pointer<T>(&mut self, call: &Call, number: u32, place: usize) -> *mut T {
        if call.missing == number { null_mut() } else { (&raw mut self.pointers[place]).cast() }
    }
}

type Function = fn(&Call, &mut Out) -> DWORD;

/// Name, whether it has a reserved argument, whether it has a fail reason, how many results or arguments must not be
/// NULL, and the call.
type Row = (&'static str, bool, bool, u32, Function);

unsafe extern "C" fn ignore(_: *mut WLAN_NOTIFICATION_DATA, _: *mut c_void) {}

macro_rules! plain {
    ($function:ident) => {
        (stringify!($function), true, true, 0, |call, _| unsafe {
            $function(call.handle, call.reason, call.reserved)
        })
    };
}

const TABLE: &[Row] = &[
    plain!(WlanHostedNetworkInitSettings),
    plain!(WlanHostedNetworkRefreshSecuritySettings),
    plain!(WlanHostedNetworkStartUsing),
    plain!(WlanHostedNetworkStopUsing),
    plain!(WlanHostedNetworkForceStart),
    plain!(WlanHostedNetworkForceStop),
    ("WlanHostedNetworkQueryStatus", true, false, 1, |call, out| unsafe {
        WlanHostedNetworkQueryStatus(call.handle, out.pointer(call, 1, 0), call.reserved)
    }),
    ("WlanHostedNetworkQueryProperty", true, false, 3, |call, out| unsafe {
        let (size, data, kind) = (out.word(call, 1), out.pointer(call, 2, 0), out.word(call, 3));
        WlanHostedNetworkQueryProperty(call.handle, 1, size, data, kind, call.reserved)
    }),
    ("WlanHostedNetworkSetProperty", true, true, 1, |call, _| unsafe {
        let mut enabled: BOOL = 1;
        let data = if call.missing == 1 { null_mut() } else { (&raw mut enabled).cast() };
        WlanHostedNetworkSetProperty(call.handle, 3, 4, data, call.reason, call.reserved)
    }),
    ("WlanHostedNetworkSetProperty without bytes", true, true, 1, |call, _| unsafe {
        let mut enabled: BOOL = 1;
        let size = if call.missing == 1 { 0 } else { 4 };
        WlanHostedNetworkSetProperty(
            call.handle,
            3,
            size,
            (&raw mut enabled).cast(),
            call.reason,
            call.reserved,
        )
    }),
    ("WlanHostedNetworkSetSecondaryKey", true, true, 1, |call, _| unsafe {
        let mut key = *b"password\0";
        let data = if call.missing == 1 { null_mut() } else { key.as_mut_ptr() };
        WlanHostedNetworkSetSecondaryKey(call.handle, 9, data, 1, 1, call.reason, call.reserved)
    }),
    ("WlanHostedNetworkSetSecondaryKey of no length", true, true, 1, |call, _| unsafe {
        let mut key = *b"password\0";
        let length = if call.missing == 1 { 0 } else { 9 };
        WlanHostedNetworkSetSecondaryKey(
            call.handle,
            length,
            key.as_mut_ptr(),
            1,
            1,
            call.reason,
            call.reserved,
        )
    }),
    ("WlanHostedNetworkQuerySecondaryKey", true, true, 4, |call, out| unsafe {
        WlanHostedNetworkQuerySecondaryKey(
            call.handle,
            out.word(call, 1),
            out.pointer(call, 2, 0),
            out.word(call, 3),
            out.word(call, 4),
            call.reason,
            call.reserved,
        )
    }),
    ("WlanEnumInterfaces", true, false, 1, |call, out| unsafe {
        WlanEnumInterfaces(call.handle, call.reserved, out.pointer(call, 1, 0))
    }),
    ("WlanRegisterNotification", true, false, 1, |call, out| unsafe {
        let callback: WLAN_NOTIFICATION_CALLBACK = if call.missing == 1 { None } else { Some(ignore) };
        let before = out.word(call, 2);
        WlanRegisterNotification(call.handle, 0x80, 0, callback, null_mut(), call.reserved, before)
    }),
    ("WlanRegisterNotification to none", true, false, 0, |call, out| unsafe {
        let before = out.word(call, 2);
        WlanRegisterNotification(call.handle, 0, 0, None, null_mut(), call.reserved, before)
    }),
    ("WlanRegisterVirtualStationNotification", true, false, 0, |call, _| {
        WlanRegisterVirtualStationNotification(call.handle, 1, call.reserved)
    }),
    ("WlanGetSecuritySettings", false, false, 2, |call, out| unsafe {
        let (text, granted) = (out.pointer(call, 1, 0), out.word(call, 2));
        WlanGetSecuritySettings(call.handle, 14, null_mut(), text, granted)
    }),
];

#[test]
fn every_bad_argument_of_every_function_has_its_code() {
    run("every_bad_argument_of_every_function_has_its_code", |_| {
        let (mut version, mut handle, mut closed) = (0, null_mut(), null_mut());
        unsafe {
            assert_eq!(WlanOpenHandle(2, null_mut(), &mut version, &mut handle), 0);
            assert_eq!(WlanOpenHandle(2, null_mut(), &mut version, &mut closed), 0);
            assert_eq!(WlanHostedNetworkInitSettings(handle, null_mut(), null_mut()), 0);
        }
        assert_eq!(WlanCloseHandle(closed, null_mut()), 0);
        let never = std::ptr::without_provenance_mut(0x4141_4140);
        let invalid = std::ptr::without_provenance_mut(usize::MAX);
        let mut reason = 0;
        let mut something = 0_u8;
        let good = Call { handle, reserved: null_mut(), missing: 0, reason: &raw mut reason };
        for (name, reserved, has_reason, arguments, function) in TABLE {
            let check = |what: &str, call: Call, expected: DWORD| {
                let told = call.reason;
                if !told.is_null() {
                    unsafe { told.write(-1) };
                }
                assert_eq!(function(&call, &mut Out::default()), expected, "{name}: {what}");
                if *has_reason && !told.is_null() {
                    assert_eq!(unsafe { told.read() }, 2, "{name}: {what}: bad_parameters");
                }
            };
            let nowhere = Call { reason: null_mut(), ..good };
            check("NULL handle", Call { handle: null_mut(), ..good }, 87);
            check("NULL handle, nowhere for a reason", Call { handle: null_mut(), ..nowhere }, 87);
            for (what, handle) in [("closed", closed), ("never opened", never), ("invalid", invalid)] {
                check(what, Call { handle, ..good }, 6);
                check(what, Call { handle, ..nowhere }, 6);
                if *reserved {
                    let both = Call { handle, reserved: (&raw mut something).cast(), ..good };
                    check("reserved comes before an unknown handle", both, 87);
                }
                if *arguments > 0 {
                    check(
                        "an unknown handle comes before the arguments",
                        Call { handle, missing: 1, ..good },
                        6,
                    );
                }
            }
            if *reserved {
                check("reserved", Call { reserved: (&raw mut something).cast(), ..good }, 87);
            }
            for missing in 1..=*arguments {
                check(&format!("argument {missing}"), Call { missing, ..good }, 87);
                check(&format!("argument {missing}, nowhere for a reason"), Call { missing, ..nowhere }, 87);
            }
        }
        assert_eq!(WlanCloseHandle(handle, null_mut()), 0);
    });
}

#[test]
fn bad_arguments_of_the_functions_that_make_and_end_handles() {
    run("bad_arguments_of_the_functions_that_make_and_end_handles", |_| {
        let (mut version, mut handle) = (0, null_mut());
        let mut something = 0_u8;
        let reserved = (&raw mut something).cast();
        unsafe {
            assert_eq!(WlanOpenHandle(2, reserved, &mut version, &mut handle), 87);
            assert_eq!(WlanOpenHandle(2, null_mut(), null_mut(), &mut handle), 87);
            assert_eq!(WlanOpenHandle(2, null_mut(), &mut version, null_mut()), 87);
            for strange in [0, 3, 0x1_0000] {
                assert_eq!(WlanOpenHandle(strange, null_mut(), &mut version, &mut handle), 50);
            }
            assert!(handle.is_null());
            assert_eq!(WlanOpenHandle(1, null_mut(), &mut version, &mut handle), 0);
        }
        assert_eq!(version, 1);
        assert_eq!(WlanCloseHandle(null_mut(), null_mut()), 87);
        assert_eq!(WlanCloseHandle(handle, reserved), 87);
        assert_eq!(WlanCloseHandle(handle, null_mut()), 0);
        assert_eq!(WlanCloseHandle(handle, null_mut()), 6);
        let first = handle;
        unsafe { assert_eq!(WlanOpenHandle(2, null_mut(), &mut version, &mut handle), 0) };
        assert_ne!(first, handle, "numbers are not used twice");
        let mut opened = vec![handle];
        let refused = loop {
            match unsafe { WlanOpenHandle(2, null_mut(), &mut version, &mut handle) } {
                0 => opened.push(handle),
                code => break code,
            }
        };
        assert_eq!((refused, opened.len()), (1220, 256));
        for handle in opened {
            assert_eq!(WlanCloseHandle(handle, null_mut()), 0);
        }
    });
}
