//! What an administrator's policy does to programs, and what the virtual adapter is to them (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of C functions")]
#![expect(clippy::undocumented_unsafe_blocks, reason = "every pointer here is a local of the test")]

mod session;
mod world;

use std::ptr::{null, null_mut};

use hn_conformance::checks;
use hostednet::{
    ConnectionView, ShareArgs,
    types::settings::{PrivateChoice, PublicChoice},
};
use session::*;
use windows_sys::Win32::{Foundation::HANDLE, NetworkManagement::WiFi::*};
use world::{World, run, wait};

/// What `enable` reads as, and who said so: 1 is the policy, 2 the user.
fn enable(handle: HANDLE) -> (i32, i32) {
    let (bytes, kind) = property(handle, wlan_hosted_network_opcode_enable).unwrap();
    (i32::from_ne_bytes(bytes.try_into().unwrap()), kind)
}

#[test]
fn a_policy_beats_the_user_in_both_directions() {
    run("a_policy_beats_the_user_in_both_directions", |world: &World| {
        let handle = open();
        let events = register(handle, 0x80);
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        assert_eq!(next(&events), Seen::State(1, 2, 17));
        assert_eq!(enable(handle), (1, 2));
        world.policy("hosted_network = false\n");
        checks!(M036:
            assert_eq!(next(&events), Seen::State(2, 0, 23), "a running network stops");
            assert_eq!(enable(handle), (0, 1));
            assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (5023, 23));
            assert_eq!(plain(WlanHostedNetworkForceStart, handle), (5023, 23));
            assert_eq!(set_property(handle, 3, &1_i32.to_ne_bytes()), (5, 23));
            assert_eq!(set_property(handle, 3, &0_i32.to_ne_bytes()), (5, 23));
            assert_eq!(set_key(handle, b"still possible\0", true, true), (SUCCESS, 0), "configuring is");
        );
        assert_eq!(set_property(handle, 0, &connection(b"allowed", 7, 9)), (SUCCESS, 0));
        for register in [1, 0] {
            let code = unsafe { WlanRegisterVirtualStationNotification(handle, register, null()) };
            assert_eq!(code, 5023);
        }
        assert_eq!(state(handle), 0);
        world.policy("hosted_network = true\n");
        assert_eq!(next(&events), Seen::State(0, 1, 11));
        assert_eq!(enable(handle), (1, 1));
        assert_eq!(set_property(handle, 3, &0_i32.to_ne_bytes()), (5, 23));
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        world.policy("");
        wait("the user decides again", || enable(handle) == (1, 2));
        assert_eq!(set_property(handle, 3, &0_i32.to_ne_bytes()), (SUCCESS, 0));
        assert_eq!(enable(handle), (0, 2));
        close(handle);
    });
}

/// The adapter of the hosted network among the connections.
fn hosted(world: &World) -> Option<ConnectionView> {
    world.session().connections().unwrap().into_iter().find(|connection| connection.hosted_network)
}

fn guid(guid: windows_sys::core::GUID) -> String {
    let [a, b, c, d, e, f, g, h] = guid.data4;
    format!(
        "{{{:08X}-{:04X}-{:04X}-{a:02X}{b:02X}-{c:02X}{d:02X}{e:02X}{f:02X}{g:02X}{h:02X}}}",
        guid.data1, guid.data2, guid.data3
    )
}

/// The adapters that are stations: GUIDs and names.
fn stations(handle: HANDLE) -> Vec<(String, String)> {
    let mut list = null_mut();
    assert_eq!(unsafe { WlanEnumInterfaces(handle, null(), &mut list) }, SUCCESS);
    let count = unsafe { (*list).dwNumberOfItems };
    assert!(count <= 1, "one adapter, one station");
    let all = (0..count)
        .map(|_| {
            let info = unsafe { (*list).InterfaceInfo[0] };
            let length = info.strInterfaceDescription.iter().position(|unit| *unit == 0).unwrap();
            (guid(info.InterfaceGuid), String::from_utf16_lossy(&info.strInterfaceDescription[..length]))
        })
        .collect();
    unsafe { WlanFreeMemory(list.cast()) };
    all
}

#[test]
fn the_virtual_adapter_comes_and_goes_with_the_physical_one_and_is_no_station() {
    run("the_virtual_adapter_comes_and_goes_with_the_physical_one_and_is_no_station", |world: &World| {
        const NOBODY: &str = "{00000000-0000-0000-0000-000000000000}";
        let handle = open();
        let device = || guid(status(handle).0.IPDeviceID);
        assert_eq!(plain(WlanHostedNetworkStartUsing, handle), (SUCCESS, 0));
        let virtual_adapter = hosted(world).unwrap();
        checks!(M004:
            assert!(virtual_adapter.name.starts_with("hn"), "its name says whose it is: {virtual_adapter:?}");
            assert_eq!(virtual_adapter.device, "Virtual adapter of the hosted network");
            assert_eq!(virtual_adapter.guid, device());
            assert!(virtual_adapter.wireless);
            let all = world.session().connections().unwrap();
            assert_eq!(all.iter().filter(|connection| connection.wireless).count(), 2, "beside the station");
        );
        let [(station, name)]: [_; 1] = stations(handle).try_into().unwrap();
        checks!(M006:
            assert_eq!(name, "wlan0", "the physical adapter is listed");
            assert_ne!(station, virtual_adapter.guid, "the virtual one is not, while it runs");
            assert_eq!(plain(WlanHostedNetworkStopUsing, handle), (SUCCESS, 0));
            assert_eq!(stations(handle), [(station.clone(), name.clone())], "nor while it is idle");
        );
        checks!(M005:
            assert_eq!(device(), virtual_adapter.guid);
            // Nothing a station does can be asked of it.
            let (mut size, mut data) = (0, null_mut());
            let own = status(handle).0.IPDeviceID;
            let opcode = wlan_intf_opcode_interface_state;
            let code =
                unsafe { WlanQueryInterface(handle, &own, opcode, null(), &mut size, &mut data, null_mut()) };
            assert_eq!(code, 1168);
            // Nor does it lead anywhere.
            let public = PublicChoice::Interface(virtual_adapter.name.parse().unwrap());
            let private = vec![PrivateChoice::Interface("lan0".parse().unwrap())];
            world.session().share(&ShareArgs { public, private }).unwrap_err();
        );
        checks!(M003:
            world.console("adapter off");
            wait("the virtual adapter is gone", || device() == NOBODY && hosted(world).is_none());
            world.console("adapter on");
            wait("it is back, and the same", || device() == virtual_adapter.guid);
        );
        close(handle);
    });
}
