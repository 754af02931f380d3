//! Calls through the declarations of `windows-sys`, with what they return in Rust's terms.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of C functions")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "tests read C structures")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every pointer here is a local of the test or what the call returned"
)]

use std::{
    ffi::c_void,
    ptr::{null, null_mut},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use windows_sys::Win32::{Foundation::HANDLE, NetworkManagement::WiFi::*};

// The declarations of windows-sys are all that is called: what answers is this library.
use wlanapi as _;

use crate::world::LIMIT;

pub(crate) const SUCCESS: u32 = 0;

pub(crate) fn open() -> HANDLE {
    let (mut version, mut handle) = (0, null_mut());
    assert_eq!(unsafe { WlanOpenHandle(2, null(), &mut version, &mut handle) }, SUCCESS);
    assert_eq!(version, 2);
    assert!(!handle.is_null());
    handle
}

pub(crate) fn close(handle: HANDLE) {
    assert_eq!(unsafe { WlanCloseHandle(handle, null()) }, SUCCESS);
}

pub(crate) type Plain =
    unsafe extern "system" fn(HANDLE, *mut WLAN_HOSTED_NETWORK_REASON, *const c_void) -> u32;

/// Return code and fail reason.
pub(crate) fn plain(function: Plain, handle: HANDLE) -> (u32, i32) {
    let mut reason = -1;
    let code = unsafe { function(handle, &mut reason, null()) };
    (code, reason)
}

pub(crate) fn status(handle: HANDLE) -> (WLAN_HOSTED_NETWORK_STATUS, Vec<WLAN_HOSTED_NETWORK_PEER_STATE>) {
    let mut status = null_mut();
    assert_eq!(unsafe { WlanHostedNetworkQueryStatus(handle, &mut status, null()) }, SUCCESS);
    let copy = unsafe { *status };
    let peers = unsafe { &raw const (*status).PeerList }.cast::<WLAN_HOSTED_NETWORK_PEER_STATE>();
    let peers = (0..copy.dwNumberOfPeers as usize).map(|i| unsafe { *peers.add(i) }).collect();
    unsafe { WlanFreeMemory(status.cast()) };
    (copy, peers)
}

pub(crate) fn state(handle: HANDLE) -> i32 {
    status(handle).0.HostedNetworkState
}

/// Size, bytes and value type.
pub(crate) fn property(handle: HANDLE, opcode: i32) -> Result<(Vec<u8>, i32), u32> {
    let (mut size, mut data, mut kind) = (0, null_mut(), -1);
    match unsafe { WlanHostedNetworkQueryProperty(handle, opcode, &mut size, &mut data, &mut kind, null()) } {
        SUCCESS => {
            let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size as usize) }.to_vec();
            unsafe { WlanFreeMemory(data) };
            Ok((bytes, kind))
        }
        code => Err(code),
    }
}

pub(crate) fn set_property(handle: HANDLE, opcode: i32, bytes: &[u8]) -> (u32, i32) {
    let mut reason = -1;
    let data = if bytes.is_empty() { null() } else { bytes.as_ptr().cast() };
    let size = bytes.len() as u32;
    let code = unsafe { WlanHostedNetworkSetProperty(handle, opcode, size, data, &mut reason, null()) };
    (code, reason)
}

pub(crate) fn connection(ssid: &[u8], length: u32, peers: u32) -> Vec<u8> {
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(ssid);
    bytes.resize(36, 0);
    bytes.extend(peers.to_ne_bytes());
    bytes
}

pub(crate) fn set_key(handle: HANDLE, bytes: &[u8], passphrase: bool, persistent: bool) -> (u32, i32) {
    let mut reason = -1;
    let (length, data) = (bytes.len() as u32, bytes.as_ptr());
    let data = if bytes.is_empty() { null() } else { data };
    let flags = (passphrase.into(), persistent.into());
    let code = unsafe {
        WlanHostedNetworkSetSecondaryKey(handle, length, data, flags.0, flags.1, &mut reason, null())
    };
    (code, reason)
}

pub(crate) fn key(handle: HANDLE) -> (Vec<u8>, bool, bool) {
    let (mut length, mut data, mut passphrase, mut persistent, mut reason) = (9, null_mut(), -1, -1, -1);
    let code = unsafe {
        WlanHostedNetworkQuerySecondaryKey(
            handle,
            &mut length,
            &mut data,
            &mut passphrase,
            &mut persistent,
            &mut reason,
            null(),
        )
    };
    assert_eq!((code, reason), (SUCCESS, 0));
    if length == 0 {
        assert!(data.is_null());
        return (Vec::new(), passphrase != 0, persistent != 0);
    }
    let bytes = unsafe { std::slice::from_raw_parts(data, length as usize) }.to_vec();
    unsafe { WlanFreeMemory(data.cast()) };
    (bytes, passphrase != 0, persistent != 0)
}

/// A notification as a callback sees it.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    State(i32, i32, i32),
    Peer(u8, i32, i32, i32),
    Radio(u32, u32),
}

pub(crate) unsafe extern "system" fn seen(data: *mut L2_NOTIFICATION_DATA, context: *mut c_void) {
    let sender = unsafe { &*context.cast::<Mutex<Sender<Seen>>>() };
    let data = unsafe { &*data };
    assert_eq!(data.NotificationSource, 0x80);
    let seen = match (data.NotificationCode, data.dwDataSize) {
        (0x1000, 12) => {
            let change = unsafe { &*data.pData.cast::<WLAN_HOSTED_NETWORK_STATE_CHANGE>() };
            Seen::State(change.OldState, change.NewState, change.StateChangeReason)
        }
        (0x1001, 28) => {
            let change = unsafe { &*data.pData.cast::<WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE>() };
            assert_eq!(change.OldState.PeerMacAddress, change.NewState.PeerMacAddress);
            let mac = change.NewState.PeerMacAddress[5];
            let (old, new) = (change.OldState.PeerAuthState, change.NewState.PeerAuthState);
            Seen::Peer(mac, old, new, change.PeerStateChangeReason)
        }
        (0x1002, 8) => {
            let radio = unsafe { &*data.pData.cast::<WLAN_HOSTED_NETWORK_RADIO_STATE>() };
            Seen::Radio(radio.dot11SoftwareRadioState as u32, radio.dot11HardwareRadioState as u32)
        }
        other => panic!("{other:?}"),
    };
    sender.lock().unwrap().send(seen).unwrap();
}

pub(crate) fn register(handle: HANDLE, sources: u32) -> Receiver<Seen> {
    let (sender, receiver) = channel();
    let context = Box::into_raw(Box::new(Mutex::new(sender)));
    let code = unsafe {
        WlanRegisterNotification(handle, sources, 0, Some(seen), context.cast(), null(), null_mut())
    };
    assert_eq!(code, SUCCESS);
    receiver
}

pub(crate) fn next(notifications: &Receiver<Seen>) -> Seen {
    notifications.recv_timeout(LIMIT).unwrap()
}
