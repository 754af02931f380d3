//! A callback that does not return for long (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of C functions")]
#![expect(clippy::undocumented_unsafe_blocks, reason = "every pointer here is a local of the test")]

mod session;
mod world;

use std::{
    ffi::c_void,
    ptr::{null, null_mut},
    sync::{
        Mutex, MutexGuard,
        mpsc::{Receiver, Sender, channel},
    },
};

use session::{SUCCESS, Seen, close, next, open, plain, seen, state};
use windows_sys::Win32::NetworkManagement::WiFi::*;
use world::{World, run};

/// More notifications than wait for a callback (`src/notify.rs`), two for each turn of the switch.
const TURNS: usize = 4_200;

/// A lock that the callback takes and its program holds while it calls, as Microsoft's sample does.
static LOCK: Mutex<()> = Mutex::new(());

fn hold() -> MutexGuard<'static, ()> {
    LOCK.lock().unwrap()
}

unsafe extern "system" fn locked(data: *mut L2_NOTIFICATION_DATA, context: *mut c_void) {
    let _lock = hold();
    unsafe { seen(data, context) };
}

#[test]
fn a_callback_that_falls_behind_is_told_what_leads_to_what_is() {
    run("a_callback_that_falls_behind_is_told_what_leads_to_what_is", |world: &World| {
        let handle = open();
        let (sender, notifications): (Sender<Seen>, Receiver<Seen>) = channel();
        let context = Box::into_raw(Box::new(Mutex::new(sender)));
        let lock = hold();
        let code = unsafe {
            WlanRegisterNotification(handle, 0x80, 1, Some(locked), context.cast(), null(), null_mut())
        };
        assert_eq!(code, SUCCESS);
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        world.commands(["join 02:00:00:00:00:01 primary", "join 02:00:00:00:00:02 primary"]);
        assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (SUCCESS, 0));
        world.commands(["switch soft off", "switch soft on"].into_iter().cycle().take(TURNS));
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0), "no call waits for it");
        world.commands(["join 02:00:00:00:00:02 primary", "join 02:00:00:00:00:03 primary"]);
        drop(lock);
        let (mut count, mut last, mut present) = (0, 1, Vec::new());
        while last != 2 || present != [2, 3] {
            count += 1;
            match next(&notifications) {
                Seen::State(old, new, _) => {
                    assert_eq!((old, old == new), (last, false), "each begins where the last ended");
                    assert!(new == 2 || present.is_empty(), "devices depart before the stop");
                    last = new;
                }
                Seen::Peer(mac, 0, 1, 20) => {
                    assert!(last == 2 && !present.contains(&mac), "joined once, and after the start");
                    present.push(mac);
                    present.sort_unstable();
                }
                Seen::Peer(mac, 1, 0, _) => {
                    let place = present.iter().position(|known| *known == mac);
                    present.remove(place.expect("left after it joined"));
                }
                Seen::Peer(..) => panic!("neither joined nor left"),
                Seen::Radio(..) => {}
            }
        }
        assert!((100..2 * TURNS).contains(&count), "{count}: what was too much was dropped");
        assert_eq!(state(handle), 2);
        close(handle);
        assert!(notifications.try_recv().is_err(), "and nothing is told twice");
    });
}
