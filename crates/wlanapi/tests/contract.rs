//! The contract, called through the declarations of `windows-sys` against the simulated service (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of C functions")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "tests read C structures")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every pointer here is a local of the test or what the call returned"
)]

mod session;
mod world;

use std::{
    ffi::c_void,
    mem::{align_of, offset_of, size_of},
    ptr::{null, null_mut},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
};

use hn_conformance::checks;
use session::*;
use windows_sys::Win32::{Foundation::HANDLE, NetworkManagement::WiFi::*};
use wlanapi::types as ours;
use world::{World, run, wait};

macro_rules! same {
    ($($name:ident { $($field:ident),* })*) => {
        $(
            assert_eq!(size_of::<ours::$name>(), size_of::<$name>(), stringify!($name));
            assert_eq!(align_of::<ours::$name>(), align_of::<$name>(), stringify!($name));
            $(assert_eq!(
                offset_of!(ours::$name, $field), offset_of!($name, $field),
                concat!(stringify!($name), ".", stringify!($field))
            );)*
        )*
    };
}

#[test]
fn layouts_are_those_of_the_windows_headers() {
    use windows_sys::Win32::NetworkManagement::WiFi::L2_NOTIFICATION_DATA as WLAN_NOTIFICATION_DATA;
    same! {
        DOT11_SSID { uSSIDLength, ucSSID }
        WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS { hostedNetworkSSID, dwMaxNumberOfPeers }
        WLAN_HOSTED_NETWORK_SECURITY_SETTINGS { dot11AuthAlgo, dot11CipherAlgo }
        WLAN_HOSTED_NETWORK_PEER_STATE { PeerMacAddress, PeerAuthState }
        WLAN_HOSTED_NETWORK_RADIO_STATE { dot11SoftwareRadioState, dot11HardwareRadioState }
        WLAN_HOSTED_NETWORK_STATE_CHANGE { OldState, NewState, StateChangeReason }
        WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE { OldState, NewState, PeerStateChangeReason }
        WLAN_HOSTED_NETWORK_STATUS {
            HostedNetworkState, IPDeviceID, wlanHostedNetworkBSSID, dot11PhyType, ulChannelFrequency,
            dwNumberOfPeers, PeerList
        }
        WLAN_INTERFACE_INFO { InterfaceGuid, strInterfaceDescription, isState }
        WLAN_INTERFACE_INFO_LIST { dwNumberOfItems, dwIndex, InterfaceInfo }
        WLAN_NOTIFICATION_DATA { NotificationSource, NotificationCode, InterfaceGuid, dwDataSize, pData }
    }
    assert_eq!(ours::wlan_secure_hosted_network_elevated_access, wlan_secure_hosted_network_elevated_access);
    assert_eq!(ours::WLAN_SECURABLE_OBJECT_COUNT, WLAN_SECURABLE_OBJECT_COUNT);
    assert_eq!(ours::wlan_intf_opcode_hosted_network_capable, wlan_intf_opcode_hosted_network_capable);
    assert_eq!(ours::DOT11_AUTH_ALGO_RSNA_PSK, DOT11_AUTH_ALGO_RSNA_PSK as u32);
    assert_eq!(ours::DOT11_CIPHER_ALGO_CCMP, DOT11_CIPHER_ALGO_CCMP as u32);
}

#[test]
fn the_call_order_of_a_typical_client_works() {
    run("the_call_order_of_a_typical_client_works", |_| {
        let handle = open();
        let events = register(handle, 0xffff);
        checks!(M024:
            assert_eq!(property(handle, 0), Err(1610), "nothing is configured yet");
            assert_eq!(property(handle, 2), Err(1610));
            assert_eq!(plain(WlanHostedNetworkInitSettings, handle), (SUCCESS, 0));
            let settings = property(handle, 0).unwrap();
            assert_eq!((settings.0.len(), &settings.0[36..]), (40, &100_u32.to_ne_bytes()[..]));
            let profile = property(handle, 2).unwrap();
            assert_eq!(plain(WlanHostedNetworkInitSettings, handle), (SUCCESS, 0));
            assert_eq!(property(handle, 0).unwrap(), settings, "a second time changes nothing");
            assert_eq!(property(handle, 2).unwrap(), profile, "a second time changes nothing");
            assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0), "ready to use");
            assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (SUCCESS, 0));
            assert_eq!(next(&events), Seen::State(1, 2, 17));
            assert_eq!(next(&events), Seen::State(2, 1, 17));
        );
        checks!(M025:
            let (enable, kind) = property(handle, 3).unwrap();
            assert_eq!((enable, kind), (1_i32.to_ne_bytes().to_vec(), 2), "allowed, by the user");
            assert_eq!(state(handle), 1, "available");
        );
        checks!(M026:
            assert_eq!(property(handle, 0).unwrap().1, 2);
            let (security, kind) = property(handle, 1).unwrap();
            assert_eq!((security, kind), ([7_u32.to_ne_bytes(), 4_u32.to_ne_bytes()].concat(), 0));
            assert_eq!(property(handle, 2).unwrap().1, 0);
            assert_eq!(property(handle, 3).unwrap().0.len(), 4);
        );
        checks!(M027:
            assert_eq!(set_property(handle, 0, &connection(b"Office <1>", 10, 12)), (SUCCESS, 0));
            assert_eq!(property(handle, 0).unwrap().0, connection(b"Office <1>", 10, 12));
            assert_eq!(set_property(handle, 3, &0_i32.to_ne_bytes()), (SUCCESS, 0));
            assert_eq!(property(handle, 3).unwrap().0, 0_i32.to_ne_bytes());
            assert_eq!(set_property(handle, 3, &1_i32.to_ne_bytes()), (SUCCESS, 0));
            assert_eq!(next(&events), Seen::State(1, 0, 17));
            assert_eq!(next(&events), Seen::State(0, 1, 17));
        );
        assert_eq!(set_key(handle, b"correct horse\0", true, true), (SUCCESS, 0));
        checks!(M007, M066:
            assert_eq!(state(handle), wlan_hosted_network_idle, "before the start");
            assert_eq!(property(handle, 3).unwrap().0, 1_i32.to_ne_bytes());
            assert_eq!(plain(WlanHostedNetworkForceStop, handle), (SUCCESS, 0), "while idle, too");
            assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
            assert_eq!(next(&events), Seen::State(1, 2, 17));
            assert_eq!(state(handle), wlan_hosted_network_active, "after the start");
        );
        let (active, peers) = status(handle);
        assert_eq!((active.HostedNetworkState, peers.len()), (2, 0));
        assert_ne!(active.IPDeviceID.data1, 0);
        assert_ne!(active.wlanHostedNetworkBSSID, [0; 6]);
        assert!(active.dot11PhyType > 0 && (1..200).contains(&active.ulChannelFrequency));
        let (profile, kind) = property(handle, 2).unwrap();
        let units: Vec<u16> = profile.chunks(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect();
        assert_eq!((units.last(), kind), (Some(&0), 0));
        let profile = String::from_utf16(&units).unwrap();
        assert!(
            profile.contains("<name>Office &lt;1&gt;</name>") && profile.contains("WPA2PSK"),
            "{profile}"
        );
        assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(2, 1, 17));
        assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (5023, 10));
        close(handle);
    });
}

#[test]
fn devices_are_announced_before_and_after_and_depart_before_the_stop() {
    run("devices_are_announced_before_and_after_and_depart_before_the_stop", |world: &World| {
        let handle = open();
        let events = register(handle, 0x80);
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(1, 2, 17));
        world.console("join 02:00:00:00:00:01 primary");
        world.console("join 02:00:00:00:00:02 primary");
        world.console("join 02:00:00:00:00:03 primary");
        for mac in 1..=3 {
            assert_eq!(next(&events), Seen::Peer(mac, 0, 1, 20));
        }
        let (header, peers) = status(handle);
        assert_eq!((header.dwNumberOfPeers, peers.len()), (3, 3));
        for (peer, last) in peers.iter().zip(1..) {
            assert_eq!((peer.PeerMacAddress, peer.PeerAuthState), ([2, 0, 0, 0, 0, last], 1));
        }
        world.console("leave 02:00:00:00:00:01");
        assert_eq!(next(&events), Seen::Peer(1, 1, 0, 21));
        world.console("leave 02:00:00:00:00:02 timeout");
        assert_eq!(next(&events), Seen::Peer(2, 1, 0, 22));
        assert_eq!(plain(WlanHostedNetworkRefreshSecuritySettings, handle), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::Peer(3, 1, 0, 21));
        assert_eq!(next(&events), Seen::State(2, 1, 26));
        world.console("switch soft off");
        let mut off = vec![next(&events), next(&events)];
        off.sort_by_key(|seen| matches!(seen, Seen::Radio(..)));
        assert_eq!(off, [Seen::State(1, 0, 12), Seen::Radio(2, 1)]);
        checks!(M020:
            assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (5023, 12), "unavailable");
            assert_eq!(plain(WlanHostedNetworkForceStart, handle), (5023, 12), "unavailable");
            assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (5023, 10), "not started");
        );
        close(handle);
    });
}

#[test]
fn keys_are_taken_and_given_back_in_both_forms() {
    run("keys_are_taken_and_given_back_in_both_forms", |_| {
        let handle = open();
        checks!(M045:
            assert_eq!(plain(WlanHostedNetworkInitSettings, handle), (SUCCESS, 0));
            assert_eq!(key(handle).0, b"", "none is made with the settings");
            assert_eq!(plain(WlanHostedNetworkRefreshSecuritySettings, handle), (SUCCESS, 0));
            assert_eq!(key(handle).0, b"", "nor with a new primary key");
            assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
            assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (SUCCESS, 0));
            assert_eq!(key(handle).0, b"", "nor with a start");
        );
        checks!(M028, M037:
            for length in [9, 10, 63, 64] {
                let mut text: Vec<u8> = (b' '..=b'~').cycle().take(length - 1).collect();
                text.push(0);
                for persistent in [true, false] {
                    assert_eq!(set_key(handle, &text, true, persistent), (SUCCESS, 0));
                    assert_eq!(key(handle), (text.clone(), true, persistent));
                }
            }
        );
        let raw: Vec<u8> = (0..32).collect();
        checks!(M028, M038:
            assert_eq!(set_key(handle, &raw, false, true), (SUCCESS, 0));
            assert_eq!(key(handle), (raw.clone(), false, true));
            assert_eq!(set_key(handle, &raw, false, false), (SUCCESS, 0));
            assert_eq!(key(handle), (raw.clone(), false, false));
        );
        let longer = [vec![b'k'; 64], vec![0]].concat();
        let bad: &[(&[u8], bool)] = &[
            (&longer, true),
            (b"1234567\0", true),
            (b"12345678", true),
            (b"1234\x005678\0", true),
            (b"k\xc3\xa9kekekeke\0", true),
            (&[b'k'; 65], true),
            (&[7; 31], false),
            (&[7; 33], false),
            (b"\0", true),
        ];
        checks!(M042:
            for (bytes, passphrase) in bad {
                assert_eq!(set_key(handle, bytes, *passphrase, true), (87, 2), "{bytes:?}");
            }
        );
        let mut reason = -1;
        let empty =
            unsafe { WlanHostedNetworkSetSecondaryKey(handle, 0, b"x".as_ptr(), 1, 1, &mut reason, null()) };
        assert_eq!((empty, reason), (87, 2));
        let absent =
            unsafe { WlanHostedNetworkSetSecondaryKey(handle, 9, null(), 1, 1, &mut reason, null()) };
        assert_eq!((absent, reason), (87, 2));
        assert_eq!(key(handle).0, raw, "what was refused changed nothing");
        checks!(M039:
            assert_eq!(set_key(handle, b"", true, true), (SUCCESS, 0));
            assert_eq!(key(handle).0, b"");
            assert_eq!(set_key(handle, b"", false, false), (SUCCESS, 0), "there was none");
        );
        close(handle);
    });
}

#[test]
fn the_primary_key_is_made_by_the_system_and_can_be_made_anew() {
    run("the_primary_key_is_made_by_the_system_and_can_be_made_anew", |world: &World| {
        let handle = open();
        assert_eq!(plain(WlanHostedNetworkInitSettings, handle), (SUCCESS, 0));
        let primary = || match world.session().keys().unwrap().primary {
            Some(hostednet::types::Key::Passphrase(text)) => text.expose().to_owned(),
            other => panic!("{other:?}"),
        };
        let before = primary();
        let settings = property(handle, 0).unwrap();
        checks!(M044:
            assert_eq!(before.len(), 63, "as long as a passphrase can be");
            let kinds: std::collections::BTreeSet<u8> = before.bytes().collect();
            assert!(kinds.len() > 20, "of many different characters");
            assert!(before.bytes().any(|byte| byte.is_ascii_digit()));
            assert!(before.bytes().any(|byte| byte.is_ascii_alphabetic()));
        );
        checks!(M029:
            assert_eq!(plain(WlanHostedNetworkRefreshSecuritySettings, handle), (SUCCESS, 0));
            let after = primary();
            assert_ne!(after, before);
            assert_eq!(after.len(), 63);
            let common = after.bytes().zip(before.bytes()).filter(|(new, old)| new == old).count();
            assert!(common < 20, "nothing of the old key is in the new one");
            assert_eq!(property(handle, 0).unwrap(), settings, "what the user configured stays");
        );
        close(handle);
    });
}

#[test]
fn references_belong_to_their_handle() {
    run("references_belong_to_their_handle", |_| {
        let (a, b) = (open(), open());
        let events = register(b, 0x80);
        assert_eq!(plain(WlanHostedNetworkStartUsing, a), (SUCCESS, 0));
        assert_eq!(plain(WlanHostedNetworkStartUsing, b), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(1, 2, 17));
        close(a);
        assert_eq!(state(b), 2);
        assert_eq!(plain(WlanHostedNetworkStopUsing, b), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(2, 1, 17));
        let c = open();
        assert_eq!(plain(WlanHostedNetworkStartUsing, c), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(1, 2, 17));
        close(c);
        assert_eq!(next(&events), Seen::State(2, 1, 18));
        let d = open();
        assert_eq!(plain(WlanHostedNetworkForceStart, d), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(1, 2, 17));
        close(d);
        assert_eq!(plain(WlanHostedNetworkStartUsing, b), (SUCCESS, 0));
        assert_eq!(plain(WlanHostedNetworkForceStop, b), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(2, 1, 17));
        assert_eq!(plain(WlanHostedNetworkStopUsing, b), (5023, 10), "the reference is void");
        close(b);
    });
}

#[test]
fn a_dead_service_is_1062_at_once_and_is_used_again_when_it_comes_back() {
    run("a_dead_service_is_1062_at_once_and_is_used_again_when_it_comes_back", |world: &World| {
        let handle = open();
        let events = register(handle, 0x80);
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(1, 2, 17));
        world.kill();
        assert_eq!(next(&events), Seen::State(2, 0, 24));
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (1062, 24));
        assert_eq!(plain(WlanHostedNetworkStartUsing, 0x7777 as HANDLE), (1062, 24), "before 6");
        assert_eq!(set_key(handle, b"short\0", true, true), (1062, 24), "before 87");
        let (mut version, mut none) = (0, null_mut());
        assert_eq!(unsafe { WlanOpenHandle(2, null(), &mut version, &mut none) }, 1062);
        world.start();
        assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (5023, 10), "references are void");
        assert_eq!(next(&events), Seen::State(0, 1, 11));
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(1, 2, 17));
        let session = world.session();
        session.stop_part("wlan").unwrap();
        assert_eq!(plain(WlanHostedNetworkForceStart, handle), (1062, 24));
        let mut status = null_mut();
        assert_eq!(unsafe { WlanHostedNetworkQueryStatus(handle, &mut status, null()) }, 1062);
        assert_eq!(plain(WlanHostedNetworkForceStart, 0x7777 as HANDLE), (1062, 24));
        session.start_part("wlan").unwrap();
        assert_eq!(plain(WlanHostedNetworkForceStart, 0x7777 as HANDLE), (6, 2));
        close(handle);
    });
}

#[test]
fn a_service_killed_in_mid_call_is_1062_and_a_handle_closed_in_mid_call_is_6() {
    run("a_service_killed_in_mid_call_is_1062_and_a_handle_closed_in_mid_call_is_6", |world: &World| {
        let start = || {
            let handle = open();
            world.console("hang radio");
            let number = handle.addr();
            let call = thread::spawn(move || plain(WlanHostedNetworkStartUsing, number as HANDLE));
            // The start has begun when another command is not answered by the idle service.
            wait("the start waits for the radio", || !call.is_finished() && started());
            (handle, call)
        };
        let (handle, call) = start();
        close(handle);
        assert_eq!(call.join().unwrap(), (6, 2));
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (6, 2));
        assert_eq!(unsafe { WlanCloseHandle(handle, null()) }, 6);
        world.console("release radio");
        let other = open();
        wait("the aborted start is undone", || state(other) == 1 && !started());
        let (handle, call) = start();
        world.kill();
        assert_eq!(call.join().unwrap(), (1062, 24));
        close(handle);
        close(other);
    });
}

/// Whether the simulated radio lane is at work: it stays so only while it hangs.
fn started() -> bool {
    let handle = open();
    let (sender, answer) = channel();
    let number = handle.addr();
    let asked = thread::spawn(move || {
        let _ = sender.send(plain(WlanHostedNetworkStopUsing, number as HANDLE));
    });
    // A command that needs its turn is answered at once by a service that does nothing else.
    let waiting = answer.recv_timeout(std::time::Duration::from_millis(300)).is_err();
    close(handle);
    asked.join().unwrap();

    waiting
}

#[test]
fn no_call_waits_for_a_callback_and_the_end_of_a_registration_does() {
    static ENTERED: AtomicBool = AtomicBool::new(false);
    static LEAVE: AtomicBool = AtomicBool::new(false);
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "system" fn slow(_: *mut L2_NOTIFICATION_DATA, context: *mut c_void) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        ENTERED.store(true, Ordering::SeqCst);
        // Calls from inside are fine.
        assert_eq!(plain(WlanHostedNetworkInitSettings, context), (SUCCESS, 0));
        wait("the callback may leave", || LEAVE.load(Ordering::SeqCst));
    }
    run("no_call_waits_for_a_callback_and_the_end_of_a_registration_does", |world: &World| {
        let handle = open();
        let mut before = 77;
        let mut register = |sources, callback: WLAN_NOTIFICATION_CALLBACK| {
            let code = unsafe {
                WlanRegisterNotification(handle, sources, 1, callback, handle, null(), &mut before)
            };
            (code, before)
        };
        assert_eq!(register(0x80, Some(slow)), (SUCCESS, 0));
        assert_eq!(register(0x88, Some(slow)), (SUCCESS, 0x80));
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        wait("the callback runs", || ENTERED.load(Ordering::SeqCst));
        for _ in 0..100 {
            assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (SUCCESS, 0));
            assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        }
        let number = handle.addr();
        let end = thread::spawn(move || unsafe {
            WlanRegisterNotification(number as HANDLE, 0, 0, None, null(), null(), null_mut())
        });
        for _ in 0..50 {
            assert_eq!(state(handle), 2);
            assert!(!end.is_finished(), "a callback runs");
        }
        LEAVE.store(true, Ordering::SeqCst);
        assert_eq!(end.join().unwrap(), SUCCESS);
        let calls = CALLS.load(Ordering::SeqCst);
        world.console("crash");
        wait("the network is idle", || state(handle) == 1);
        assert_eq!(CALLS.load(Ordering::SeqCst), calls, "what was not delivered is dropped");
        close(handle);
    });
}

#[test]
fn sources_other_than_the_hosted_network_stay_silent() {
    run("sources_other_than_the_hosted_network_stay_silent", |world: &World| {
        let (silent, only, with_others) = (open(), open(), open());
        let nothing = register(silent, 0x7f);
        let events = register(only, 0x80);
        let together = register(with_others, 0x80 | 0x8 | 0x10);
        checks!(M015:
            for register in [1, 0] {
                for handle in [silent, with_others] {
                    let code = unsafe { WlanRegisterVirtualStationNotification(handle, register, null()) };
                    assert_eq!(code, SUCCESS);
                }
            }
        );
        // The sharing that starts and the leases it gives are no events of the hosted network.
        assert_eq!(plain(WlanHostedNetworkStartUsing, silent), (SUCCESS, 0));
        world.console("join 02:00:00:00:00:01 primary phone");
        assert_eq!(plain(WlanHostedNetworkStopUsing, silent), (SUCCESS, 0));
        let all =
            [Seen::State(1, 2, 17), Seen::Peer(1, 0, 1, 20), Seen::Peer(1, 1, 0, 21), Seen::State(2, 1, 17)];
        // `seen` itself looks at the source of each.
        checks!(M013:
            for expected in &all {
                assert_eq!(next(&events), *expected);
            }
            close(only);
            assert!(events.try_recv().is_err(), "nothing else");
        );
        checks!(M014:
            for expected in &all {
                assert_eq!(next(&together), *expected);
            }
            close(with_others);
            assert!(together.try_recv().is_err(), "nothing else");
        );
        assert!(nothing.try_recv().is_err());
        close(silent);
    });
}

#[test]
fn adapters_are_listed_without_the_one_of_the_hosted_network() {
    run("adapters_are_listed_without_the_one_of_the_hosted_network", |world: &World| {
        let handle = open();
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        let hosted = status(handle).0.IPDeviceID;
        let mut list = null_mut();
        assert_eq!(unsafe { WlanEnumInterfaces(handle, null(), &mut list) }, SUCCESS);
        assert_eq!(unsafe { (*list).dwNumberOfItems }, 1);
        let info = unsafe { (*list).InterfaceInfo[0] };
        unsafe { WlanFreeMemory(list.cast()) };
        let fields = |guid: windows_sys::core::GUID| (guid.data1, guid.data2, guid.data3, guid.data4);
        assert_ne!(fields(info.InterfaceGuid), fields(hosted));
        assert_eq!(String::from_utf16_lossy(&info.strInterfaceDescription[..6]), "wlan0\0");
        let query = |guid: &windows_sys::core::GUID, opcode| {
            let (mut size, mut data, mut kind) = (0, null_mut(), -1);
            let code =
                unsafe { WlanQueryInterface(handle, guid, opcode, null(), &mut size, &mut data, &mut kind) };
            if code != SUCCESS {
                return (code, 0);
            }
            assert_eq!((size, kind), (4, 0));
            let value = unsafe { *data.cast::<i32>() };
            unsafe { WlanFreeMemory(data) };
            (code, value)
        };
        assert_eq!(query(&info.InterfaceGuid, wlan_intf_opcode_hosted_network_capable), (SUCCESS, 1));
        assert_eq!(query(&info.InterfaceGuid, wlan_intf_opcode_interface_state), (SUCCESS, info.isState));
        assert_eq!(query(&info.InterfaceGuid, wlan_intf_opcode_statistics), (50, 0));
        assert_eq!(query(&hosted, wlan_intf_opcode_hosted_network_capable), (1168, 0));
        world.console("adapter off");
        let nothing_to_run_on =
            || query(&info.InterfaceGuid, wlan_intf_opcode_hosted_network_capable) == (SUCCESS, 0);
        wait("the adapter is gone", nothing_to_run_on);
        close(handle);
    });
}

#[test]
fn settings_that_are_malformed_or_read_only_are_refused() {
    run("settings_that_are_malformed_or_read_only_are_refused", |_| {
        let handle = open();
        assert_eq!(plain(WlanHostedNetworkInitSettings, handle), (SUCCESS, 0));
        let before = property(handle, 0).unwrap();
        for bad in [
            connection(b"", 0, 100),
            connection(&[b'x'; 32], 33, 100),
            connection(b"x", u32::MAX, 100),
            connection(b"x", 1, 0),
            connection(b"x", 1, u32::MAX),
            connection(b"x", 1, 100)[..39].to_vec(),
            [connection(b"x", 1, 100), vec![0]].concat(),
        ] {
            assert_eq!(set_property(handle, 0, &bad), (87, 2), "{bad:?}");
        }
        assert_eq!(set_property(handle, 3, &[1, 0]), (87, 2));
        assert_eq!(set_property(handle, 1, &[0; 8]), (50, 6));
        assert_eq!(set_property(handle, 2, &[0; 8]), (50, 6));
        for opcode in [-1, 4, i32::MAX] {
            assert_eq!(set_property(handle, opcode, &[0; 8]), (87, 2));
            assert_eq!(property(handle, opcode), Err(87));
        }
        assert_eq!(property(handle, 0).unwrap(), before);
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        assert_eq!(set_property(handle, 3, &0_i32.to_ne_bytes()), (SUCCESS, 0));
        assert_eq!(state(handle), 0);
        assert_eq!(property(handle, 3).unwrap().0, 0_i32.to_ne_bytes());
        assert_eq!(plain(WlanHostedNetworkForceStart, handle).0, 5023);
        assert_eq!(set_property(handle, 3, &(-1_i32).to_ne_bytes()), (SUCCESS, 0), "any BOOL but 0 is TRUE");
        assert_eq!(state(handle), 1);
        close(handle);
    });
}

/// The access list of an object and what it grants.
fn security(handle: HANDLE, object: i32) -> Result<(String, u32), u32> {
    let (mut kind, mut text, mut granted) = (-1, null_mut(), 0);
    match unsafe { WlanGetSecuritySettings(handle, object, &mut kind, &mut text, &mut granted) } {
        SUCCESS => {
            assert_eq!(kind, wlan_opcode_value_type_set_by_user);
            let length = (0..).take_while(|i| unsafe { *text.add(*i) } != 0).count();
            let copy = String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(text, length) });
            unsafe { WlanFreeMemory(text.cast()) };
            Ok((copy, granted))
        }
        code => Err(code),
    }
}

fn secure(handle: HANDLE, object: i32, list: &str) -> u32 {
    let list: Vec<u16> = list.encode_utf16().chain([0]).collect();
    unsafe { WlanSetSecuritySettings(handle, object, list.as_ptr()) }
}

#[test]
fn the_access_list_of_object_14_decides_who_may_force() {
    if !nix::unistd::geteuid().is_root() {
        world::skip("only root can become somebody else");
        return;
    }
    run("the_access_list_of_object_14_decides_who_may_force", |_| {
        const OPEN: &str = "O:BAG:BAD:(A;;0x70023;;;BA)(A;;0x70023;;;S-1-22-1-65534)(A;;0x20021;;;WD)";
        let root = open();
        let object = wlan_secure_hosted_network_elevated_access;
        let (before, granted) = security(root, object).unwrap();
        assert_eq!(granted, 0x0007_0023);
        let become_user = |uid| nix::unistd::seteuid(nix::unistd::Uid::from_raw(uid)).unwrap();
        become_user(65_534);
        let nobody = open();
        become_user(0);
        checks!(M023, M062:
            assert_eq!(security(nobody, object), Ok((before.clone(), 0x0002_0021)));
            assert_eq!(plain(WlanHostedNetworkForceStart, nobody), (5, 5));
            assert_eq!(plain(WlanHostedNetworkForceStop, nobody), (5, 5));
            assert_eq!(set_property(nobody, 3, &0_i32.to_ne_bytes()), (5, 5));
            assert_eq!(secure(nobody, object, OPEN), 5);
            assert_eq!(secure(root, object, OPEN), SUCCESS);
            assert_eq!(security(nobody, object), Ok((OPEN.to_owned(), 0x0007_0023)));
            assert_eq!(plain(WlanHostedNetworkForceStart, nobody), (SUCCESS, 0));
            assert_eq!(plain(WlanHostedNetworkForceStop, nobody), (SUCCESS, 0));
            assert_eq!(set_property(nobody, 3, &0_i32.to_ne_bytes()), (SUCCESS, 0));
            assert_eq!(set_property(nobody, 3, &1_i32.to_ne_bytes()), (SUCCESS, 0));
            assert_eq!(secure(root, object, &before), SUCCESS);
            assert_eq!(plain(WlanHostedNetworkForceStart, nobody), (5, 5));
        );
        for list in ["", "nonsense", "D:(A;;0x70023;;;XX)", &"D:".repeat(5_000)] {
            assert_eq!(secure(root, object, list), 87, "{list}");
        }
        for object in 0..17 {
            assert!(security(root, object).is_ok());
            assert_eq!(secure(root, object, &before), SUCCESS, "what is in force");
        }
        assert_eq!(secure(root, 0, OPEN), 50, "nothing would obey it");
        close(nobody);
        close(root);
    });
}

#[test]
fn without_elevation_the_forced_calls_are_refused_and_the_others_work() {
    if !nix::unistd::geteuid().is_root() {
        world::skip("only root can become somebody else");
        return;
    }
    run("without_elevation_the_forced_calls_are_refused_and_the_others_work", |_| {
        nix::unistd::seteuid(nix::unistd::Uid::from_raw(65_534)).unwrap();
        let handle = open();
        assert_eq!(plain(WlanHostedNetworkForceStart, handle), (5, 5));
        assert_eq!(plain(WlanHostedNetworkForceStop, handle), (5, 5));
        assert_eq!(set_property(handle, 3, &0_i32.to_ne_bytes()), (5, 5));
        assert_eq!(plain(WlanHostedNetworkInitSettings, handle), (SUCCESS, 0));
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        assert_eq!(set_key(handle, b"a persistent key\0", true, true), (SUCCESS, 0));
        assert_eq!(plain(WlanHostedNetworkRefreshSecuritySettings, handle), (SUCCESS, 0));
        assert_eq!(key(handle).0, b"a persistent key\0");
        assert_eq!(set_property(handle, 0, &connection(b"theirs", 6, 5)), (SUCCESS, 0));
        close(handle);
        nix::unistd::seteuid(nix::unistd::Uid::from_raw(0)).unwrap();
    });
}

#[test]
fn memory_and_sentences() {
    unsafe {
        assert!(WlanAllocateMemory(0).is_null());
        let memory = WlanAllocateMemory(24);
        memory.cast::<u8>().write_bytes(7, 24);
        WlanFreeMemory(memory);
        WlanFreeMemory(null());
        let mut text = [0xffff_u16; 12];
        let say = |code, size, to: *mut u16, reserved: *const c_void| {
            WlanReasonCodeToString(code, size, to, reserved)
        };
        assert_eq!(say(0, 10, text.as_mut_ptr(), null()), SUCCESS);
        assert_eq!(String::from_utf16_lossy(&text[..10]), "The opera\0");
        assert_eq!(text[10], 0xffff, "not beyond the size");
        assert_eq!(say(0, 0, text.as_mut_ptr(), null()), 87);
        assert_eq!(say(0, 10, null_mut(), null()), 87);
        assert_eq!(say(0, 10, text.as_mut_ptr(), text.as_ptr().cast()), 87);
    }
}
