//! Many threads on few handles (tier T1).
#![expect(unsafe_code, reason = "calls of C functions")]
#![expect(clippy::undocumented_unsafe_blocks, reason = "every pointer here is NULL or a local of the test")]

mod world;

use std::{
    ffi::c_void,
    ptr::{null_mut, without_provenance_mut},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use wlanapi::{types::*, *};
use world::run;

const THREADS: usize = 8;
const ROUNDS: usize = 20;

unsafe extern "C" fn count(_: *mut WLAN_NOTIFICATION_DATA, context: *mut c_void) {
    let calls = unsafe { &*context.cast::<AtomicUsize>() };
    calls.fetch_add(1, Ordering::SeqCst);
}

fn open() -> HANDLE {
    let (mut version, mut handle) = (0, null_mut());
    assert_eq!(unsafe { WlanOpenHandle(2, null_mut(), &mut version, &mut handle) }, 0);
    handle
}

fn state(handle: HANDLE) -> (DWORD, i32) {
    let mut status = null_mut();
    let code = unsafe { WlanHostedNetworkQueryStatus(handle, &mut status, null_mut()) };
    let state = if code == 0 { unsafe { (*status).HostedNetworkState } } else { -1 };
    unsafe { WlanFreeMemory(status.cast()) };
    (code, state)
}

/// What one thread does with a handle that another one closes at some moment.
fn use_until_closed(number: usize, calls: &AtomicUsize) {
    let handle = || without_provenance_mut(number);
    let context = || (&raw const *calls).cast_mut().cast();
    for turn in 0.. {
        let code = match turn % 5 {
            0 => unsafe { WlanHostedNetworkStartUsing(handle(), null_mut(), null_mut()) },
            1 => state(handle()).0,
            2 => unsafe { WlanHostedNetworkStopUsing(handle(), null_mut(), null_mut()) },
            3 => unsafe {
                WlanRegisterNotification(handle(), 0x80, 0, Some(count), context(), null_mut(), null_mut())
            },
            _ => unsafe {
                WlanRegisterNotification(handle(), 0, 0, None, null_mut(), null_mut(), null_mut())
            },
        };
        match code {
            // A stop without a reference: another thread gave it back.
            0 | ERROR_INVALID_STATE => {}
            ERROR_INVALID_HANDLE => return,
            other => panic!("turn {turn}: {other}"),
        }
    }
}

#[test]
fn a_handle_closed_while_other_threads_use_it_is_6_for_all_of_them_and_leaves_nothing() {
    run("a_handle_closed_while_other_threads_use_it_is_6_for_all_of_them_and_leaves_nothing", |world| {
        for round in 0..ROUNDS {
            let calls = AtomicUsize::new(0);
            let number = open().addr();
            let begin = Barrier::new(THREADS + 1);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        begin.wait();
                        use_until_closed(number, &calls);
                    });
                }
                begin.wait();
                for _ in 0..round {
                    let other = open();
                    assert_eq!(state(other).0, 0);
                    assert_eq!(WlanCloseHandle(other, null_mut()), 0);
                }
                assert_eq!(WlanCloseHandle(without_provenance_mut(number), null_mut()), 0);
            });
            // Nothing calls back after the end: the counter is gone with this round.
            let session = world.session();
            world::wait("every reference is given back", || {
                session.status().is_ok_and(|status| {
                    let view = status.hosted_network;
                    view.references == 0 && view.state.as_str() == "idle"
                })
            });
        }
    });
}
