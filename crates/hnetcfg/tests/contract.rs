//! The contract, called through the declarations of the crate `windows` against the simulated service (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of COM")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "each is one call of a row")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every pointer here is a local of the test or an object"
)]

mod com;
#[path = "../../wlanapi/tests/world/mod.rs"]
mod world;

use std::mem::{offset_of, size_of};

use com::{
    NOT_FOUND, NOT_SUPPORTED, Seen, code, configuration, connections, find, idle, leave, manager, objects,
    pointer, seen, settle, values, wide,
};
use hn_conformance::checks;
use hnetcfg::{symbols, types as ours};
use windows::{
    Win32::{
        Foundation::{E_ACCESSDENIED, E_INVALIDARG, E_NOINTERFACE, E_NOTIMPL, VARIANT_FALSE, VARIANT_TRUE},
        NetworkManagement::WindowsFirewall::*,
        System::{Com::*, Ole::IEnumVARIANT},
    },
    core::{BSTR, GUID, IUnknown, Interface, VARIANT},
};
use world::{World, run, wait};

fn same(ours: &ours::GUID, theirs: GUID) {
    let ours = (ours.Data1, ours.Data2, ours.Data3, ours.Data4);
    assert_eq!(ours, (theirs.data1, theirs.data2, theirs.data3, theirs.data4));
}

#[test]
fn layouts_and_identifiers_are_those_of_the_crate_windows() {
    assert_eq!(size_of::<NETCON_PROPERTIES>(), size_of::<ours::NETCON_PROPERTIES>());
    assert_eq!(size_of::<NETCON_PROPERTIES>(), 80);
    for (theirs, ours) in [
        (offset_of!(NETCON_PROPERTIES, guidId), offset_of!(ours::NETCON_PROPERTIES, guidId)),
        (offset_of!(NETCON_PROPERTIES, pszwName), offset_of!(ours::NETCON_PROPERTIES, pszwName)),
        (offset_of!(NETCON_PROPERTIES, pszwDeviceName), offset_of!(ours::NETCON_PROPERTIES, pszwDeviceName)),
        (offset_of!(NETCON_PROPERTIES, Status), offset_of!(ours::NETCON_PROPERTIES, Status)),
        (offset_of!(NETCON_PROPERTIES, MediaType), offset_of!(ours::NETCON_PROPERTIES, MediaType)),
        (offset_of!(NETCON_PROPERTIES, dwCharacter), offset_of!(ours::NETCON_PROPERTIES, dwCharacter)),
        (
            offset_of!(NETCON_PROPERTIES, clsidThisObject),
            offset_of!(ours::NETCON_PROPERTIES, clsidThisObject),
        ),
        (offset_of!(NETCON_PROPERTIES, clsidUiObject), offset_of!(ours::NETCON_PROPERTIES, clsidUiObject)),
        (size_of::<VARIANT>(), size_of::<ours::VARIANT>()),
        (size_of::<DISPPARAMS>(), size_of::<ours::DISPPARAMS>()),
        (offset_of!(DISPPARAMS, cNamedArgs), offset_of!(ours::DISPPARAMS, cNamedArgs)),
        (size_of::<EXCEPINFO>(), size_of::<ours::EXCEPINFO>()),
        (offset_of!(EXCEPINFO, bstrDescription), offset_of!(ours::EXCEPINFO, bstrDescription)),
        (offset_of!(EXCEPINFO, scode), offset_of!(ours::EXCEPINFO, scode)),
    ] {
        assert_eq!(theirs, ours);
    }
    same(&symbols::CLSID_NetSharingManager, NetSharingManager);
    same(&symbols::IID_IUnknown, IUnknown::IID);
    same(&symbols::IID_IClassFactory, IClassFactory::IID);
    same(&symbols::IID_IDispatch, IDispatch::IID);
    same(&symbols::IID_IEnumVARIANT, IEnumVARIANT::IID);
    same(&symbols::IID_IEnumNetConnection, IEnumNetConnection::IID);
    same(&symbols::IID_INetConnection, INetConnection::IID);
    same(&symbols::IID_INetConnectionManager, INetConnectionManager::IID);
    same(&symbols::IID_INetConnectionProps, INetConnectionProps::IID);
    same(&symbols::IID_INetSharingManager, INetSharingManager::IID);
    same(&symbols::IID_INetSharingConfiguration, INetSharingConfiguration::IID);
    same(&symbols::IID_INetSharingPortMapping, INetSharingPortMapping::IID);
    same(&symbols::IID_INetSharingPortMappingProps, INetSharingPortMappingProps::IID);
    same(&symbols::IID_INetSharingPortMappingCollection, INetSharingPortMappingCollection::IID);
    same(&symbols::IID_INetSharingPublicConnectionCollection, INetSharingPublicConnectionCollection::IID);
    same(&symbols::IID_INetSharingPrivateConnectionCollection, INetSharingPrivateConnectionCollection::IID);
    same(&symbols::IID_INetSharingEveryConnectionCollection, INetSharingEveryConnectionCollection::IID);
    same(&symbols::IID_IEnumNetSharingPortMapping, IEnumNetSharingPortMapping::IID);
    same(&symbols::IID_IEnumNetSharingPublicConnection, IEnumNetSharingPublicConnection::IID);
    same(&symbols::IID_IEnumNetSharingPrivateConnection, IEnumNetSharingPrivateConnection::IID);
    same(&symbols::IID_IEnumNetSharingEveryConnection, IEnumNetSharingEveryConnection::IID);
    assert_eq!(
        (ours::ICSSHARINGTYPE_PUBLIC, ours::ICSSHARINGTYPE_PRIVATE),
        (ICSSHARINGTYPE_PUBLIC.0, ICSSHARINGTYPE_PRIVATE.0)
    );
    assert_eq!((ours::ICSSC_DEFAULT, ours::ICSSC_ENABLED), (ICSSC_DEFAULT.0, ICSSC_ENABLED.0));
    assert_eq!((ours::ICSTT_NAME, ours::ICSTT_IPADDRESS), (ICSTT_NAME.0, ICSTT_IPADDRESS.0));
    for (ours, theirs) in [
        (ours::NCCF_ALL_USERS, NCCF_ALL_USERS),
        (ours::NCCF_INCOMING_ONLY, NCCF_INCOMING_ONLY),
        (ours::NCCF_SHARED, NCCF_SHARED),
        (ours::NCCF_BRIDGED, NCCF_BRIDGED),
        (ours::NCCF_FIREWALLED, NCCF_FIREWALLED),
        (ours::NCCF_DEFAULT, NCCF_DEFAULT),
        (ours::NCCF_HOMENET_CAPABLE, NCCF_HOMENET_CAPABLE),
        (ours::NCCF_SHARED_PRIVATE, NCCF_SHARED_PRIVATE),
        (ours::NCCF_HOSTED_NETWORK, NCCF_HOSTED_NETWORK),
    ] {
        assert_eq!(ours, theirs.0.cast_unsigned());
    }
}

/// Whether a bit is set.
fn has(seen: &Seen, flag: NETCON_CHARACTERISTIC_FLAGS) -> bool {
    seen.flags & flag.0.cast_unsigned() != 0
}

#[test]
fn the_manager_leads_to_every_connection_and_its_properties() {
    run("the_manager_leads_to_every_connection_and_its_properties", |world: &World| {
        let manager = manager();
        checks!(M107: assert_eq!(unsafe { manager.SharingInstalled().unwrap() }, VARIANT_TRUE));
        world.console("link add tun0 tunnel");
        world.console("link add br7 bridge");
        settle(&manager, 5);
        let views = world.session().connections().unwrap();
        let all = connections(&manager);
        let every: Vec<Seen> = all.iter().map(|connection| seen(connection).unwrap()).collect();
        checks!(M109: {
            let names: Vec<&str> = every.iter().map(|seen| seen.name.as_str()).collect();
            let expected: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
            assert_eq!(names, expected);
            for name in ["eth0", "eth1", "wlan0", "tun0", "br7"] {
                assert!(names.contains(&name), "{name}");
            }
        });
        for (view, (connection, seen)) in views.iter().zip(all.iter().zip(&every)) {
            let guid: &str = &format!("{{{:?}}}", seen.guid);
            checks!(M119: {
                assert!(view.guid.eq_ignore_ascii_case(guid), "{} {guid}", view.guid);
                assert_eq!(seen.media, (view.media as u32).cast_signed());
                assert_eq!(seen.status, 2);
                assert!(!seen.device.is_empty());
                assert!(has(seen, NCCF_ALL_USERS));
                assert_eq!(has(seen, NCCF_DEFAULT), view.name == "wlan0");
                assert_eq!(has(seen, NCCF_HOMENET_CAPABLE), view.sharable);
                assert!(!has(seen, NCCF_HOSTED_NETWORK) && !has(seen, NCCF_INCOMING_ONLY));
            });
            let properties = checks!(M117: unsafe { manager.get_NetConnectionProps(connection).unwrap() });
            unsafe {
                checks!(M118: assert_eq!(properties.MediaType().unwrap().0, seen.media));
                assert!(properties.Guid().unwrap().to_string().eq_ignore_ascii_case(guid));
                assert_eq!(properties.Name().unwrap().to_string(), seen.name);
                assert_eq!(properties.DeviceName().unwrap().to_string(), seen.device);
                assert_eq!(properties.Status().unwrap().0, seen.status);
                assert_eq!(properties.Characteristics().unwrap(), seen.flags);
            }
            unsafe {
                assert_eq!(code(connection.Connect()), E_NOTIMPL);
                assert_eq!(code(connection.Disconnect()), E_NOTIMPL);
                assert_eq!(code(connection.Delete()), E_NOTIMPL);
                let name = wide("another");
                assert_eq!(code(connection.Rename(pointer(&name))), E_NOTIMPL);
                assert_eq!(code(connection.Duplicate(pointer(&name))), E_NOTIMPL);
                assert_eq!(code(connection.GetUiObjectClassId()), E_NOTIMPL);
            }
        }
        world.console("link remove tun0");
        settle(&manager, 4);
        let gone = &all[every.iter().position(|seen| seen.name == "tun0").unwrap()];
        assert_eq!(code(seen(gone)), NOT_FOUND);
        unsafe {
            assert_eq!(code(manager.get_NetConnectionProps(gone)), NOT_FOUND);
            assert_eq!(code(manager.get_INetSharingConfigurationForINetConnection(gone)), NOT_FOUND);
        }
        drop((all, manager));
        assert!(idle());
        leave();
    });
}

#[test]
fn a_collection_never_changes_and_its_enumerators_count_to_the_end() {
    run("a_collection_never_changes_and_its_enumerators_count_to_the_end", |world: &World| {
        let manager = manager();
        settle(&manager, 3);
        let collection = unsafe { manager.EnumEveryConnection().unwrap() };
        let count = unsafe { collection.Count().unwrap() };
        assert_eq!(count, 3);
        world.console("link remove eth1");
        unsafe {
            assert_eq!(collection.Count().unwrap(), count);
            let unknown = collection._NewEnum().unwrap();
            let variants: IEnumVARIANT = unknown.cast().unwrap();
            let every: IEnumNetSharingEveryConnection = variants.cast().unwrap();
            assert_eq!(every.cast::<IUnknown>().unwrap(), unknown, "one object has one identity");
            assert_eq!(code(unknown.cast::<IEnumNetSharingPublicConnection>()), E_NOINTERFACE);
            assert_eq!(code(unknown.cast::<IDispatch>()), E_NOINTERFACE);

            let first = values(&variants);
            assert_eq!(first.len(), 3);
            variants.Reset().unwrap();
            let mut again = [VARIANT::default(), VARIANT::default(), VARIANT::default(), VARIANT::default()];
            let mut fetched = 0;
            assert_eq!(variants.Next(&mut again, &mut fetched).0, 1, "fewer than asked for");
            assert_eq!(fetched, 3);
            for (one, other) in first.iter().zip(&again) {
                assert_eq!(com::object(one), com::object(other), "the same objects each time");
            }
            assert!(again[3].is_empty());
            assert_eq!(variants.Next(&mut again[..1], &mut fetched).0, 1);
            assert_eq!(fetched, 0);

            variants.Reset().unwrap();
            assert_eq!(variants.Skip(1).0, 0);
            let copy = variants.Clone().unwrap();
            assert_eq!(values(&variants).len(), 2);
            assert_eq!(values(&copy).len(), 2, "a clone stands where the other stood");
            variants.Reset().unwrap();
            assert_eq!(variants.Skip(4).0, 1);
            assert!(values(&variants).is_empty());
            assert_eq!(variants.Skip(0).0, 0);
            let every = every.Clone().unwrap();
            every.Reset().unwrap();
            every.Skip(2).unwrap();
            let mut last = [VARIANT::default()];
            every.Next(&mut last, &mut fetched).unwrap();
            assert_eq!(fetched, 1);
            assert_eq!(last[0].as_raw().Anonymous.Anonymous.vt, 13);
        }
        drop((collection, manager));
        leave();
    });
}

#[test]
fn the_connection_manager_enumerates_the_folder() {
    run("the_connection_manager_enumerates_the_folder", |_| {
        let sharing = manager();
        settle(&sharing, 3);
        let class = GUID::from_u128(0xba126ad1_2166_11d1_b1d0_00805fc1270e);
        unsafe {
            let folder: INetConnectionManager = CoCreateInstance(&class, None, CLSCTX_LOCAL_SERVER).unwrap();
            let all = folder.EnumConnections(NCME_DEFAULT).unwrap();
            let mut found: [Option<INetConnection>; 4] = [const { None }; 4];
            let mut fetched = 0;
            let next =
                (Interface::vtable(&all).Next)(all.as_raw(), 4, found.as_mut_ptr().cast(), &mut fetched);
            assert_eq!((next.0, fetched), (1, 3));
            let names: Vec<String> = found.iter().flatten().map(|each| seen(each).unwrap().name).collect();
            let expected: Vec<String> =
                connections(&sharing).iter().map(|each| seen(each).unwrap().name).collect();
            assert_eq!(names, expected);
            all.Reset().unwrap();
            all.Skip(1).unwrap();
            let copy = all.Clone().unwrap();
            let mut one = [None];
            copy.Next(&mut one, &mut fetched).unwrap();
            assert_eq!(seen(one[0].as_ref().unwrap()).unwrap().name, names[1]);
            let skip = Interface::vtable(&all).Skip;
            assert_eq!(skip(all.as_raw(), 9).0, 1);
            assert_eq!(code(folder.EnumConnections(NCME_HIDDEN)).0, 0);
            assert_eq!(code(folder.EnumConnections(NETCONMGR_ENUM_FLAGS(2))), E_INVALIDARG);
            // The objects of one manager are as good as those of the other.
            let configured = sharing.get_INetSharingConfigurationForINetConnection(one[0].as_ref());
            assert_eq!(code(configured).0, 0);
        }
        drop(sharing);
        leave();
    });
}

#[test]
fn the_adapter_of_the_hosted_network_is_in_the_folder_only_once_it_was_started() {
    run("the_adapter_of_the_hosted_network_is_in_the_folder_only_once_it_was_started", |world: &World| {
        let manager = manager();
        let adapter = || {
            let all = connections(&manager);
            all.iter().map(|each| seen(each).unwrap()).find(|seen| has(seen, NCCF_HOSTED_NETWORK))
        };
        let session = world.session();
        session.init_settings().unwrap();
        assert_eq!(adapter(), None, "configured, but never started");
        session.start_using().unwrap();
        let identifier = session.status().unwrap().hosted_network.device_guid.unwrap();
        let active = checks!(M110, M111: {
            let active = adapter().expect("running");
            assert_eq!((active.media, active.status), (NCM_LAN.0, NCS_CONNECTED.0));
            assert!(identifier.eq_ignore_ascii_case(&format!("{{{:?}}}", active.guid)));
            let collection = unsafe { manager.EnumEveryConnection().unwrap() };
            let each: IEnumNetSharingEveryConnection = unsafe { collection._NewEnum().unwrap().cast().unwrap() };
            let mut found = 0;
            for _ in 0..unsafe { collection.Count().unwrap() } {
                let (mut value, mut fetched) = ([VARIANT::default()], 0);
                unsafe { each.Next(&mut value, &mut fetched).unwrap() };
                assert_eq!(fetched, 1);
                let connection: INetConnection = com::object(&value[0]).cast().unwrap();
                found += usize::from(seen(&connection).unwrap() == active);
            }
            assert_eq!(found, 1);
            active
        });
        session.stop_using().unwrap();
        let idle = adapter().expect("it stays while the network is available");
        assert_eq!((idle.guid, idle.status), (active.guid, NCS_MEDIA_DISCONNECTED.0));
        world.console("adapter off");
        wait("the adapter is gone", || adapter().is_none());
        drop(manager);
        leave();
    });
}

#[test]
fn the_media_type_and_the_direction_say_which_connection_can_be_shared() {
    run("the_media_type_and_the_direction_say_which_connection_can_be_shared", |world: &World| {
        let manager = manager();
        let kinds = [
            ("direct", NCM_DIRECT, true),
            ("isdn", NCM_ISDN, true),
            ("lan", NCM_LAN, true),
            ("phone", NCM_PHONE, true),
            ("tunnel", NCM_TUNNEL, true),
            ("pppoe", NCM_PPPOE, true),
            ("bridge", NCM_BRIDGE, false),
        ];
        for (kind, media, candidate) in kinds {
            world.console(&format!("link add {kind}0 {kind}"));
            world.console(&format!("link add {kind}1 {kind} incoming"));
            let configure = |connection: &INetConnection| unsafe {
                code(manager.get_INetSharingConfigurationForINetConnection(connection))
            };
            let outgoing = find(&manager, &format!("{kind}0"));
            let incoming = find(&manager, &format!("{kind}1"));
            checks!(M103, M104: {
                let properties = unsafe { manager.get_NetConnectionProps(&outgoing).unwrap() };
                assert_eq!(unsafe { properties.MediaType().unwrap() }, media);
                assert_eq!(has(&seen(&outgoing).unwrap(), NCCF_HOMENET_CAPABLE), candidate, "{kind}");
                assert_eq!(configure(&outgoing).is_ok(), candidate, "{kind}");
            });
            checks!(M105: {
                assert!(!has(&seen(&outgoing).unwrap(), NCCF_INCOMING_ONLY));
                assert!(has(&seen(&incoming).unwrap(), NCCF_INCOMING_ONLY));
                assert!(!has(&seen(&incoming).unwrap(), NCCF_HOMENET_CAPABLE));
                assert_eq!(configure(&incoming), NOT_SUPPORTED);
            });
        }
        drop(manager);
        leave();
    });
}

/// Names of the connections in a collection.
fn names(enumerator: &IUnknown) -> Vec<String> {
    objects::<INetConnection>(enumerator).iter().map(|each| seen(each).unwrap().name).collect()
}

/// Names of the public and of the private connections.
fn halves(manager: &INetSharingManager) -> (Vec<String>, Vec<String>) {
    unsafe {
        let public = manager.get_EnumPublicConnections(ICSSC_DEFAULT).unwrap();
        let private = manager.get_EnumPrivateConnections(ICSSC_DEFAULT).unwrap();
        let answer = (names(&public._NewEnum().unwrap()), names(&private._NewEnum().unwrap()));
        assert_eq!(public.Count().unwrap() as usize, answer.0.len());
        assert_eq!(private.Count().unwrap() as usize, answer.1.len());
        answer
    }
}

fn mode(world: &World) -> String {
    world.session().status().unwrap().sharing.mode.as_str().to_owned()
}

#[test]
fn sharing_needs_a_public_and_a_private_half_and_each_is_switched_on_its_own() {
    run("sharing_needs_a_public_and_a_private_half_and_each_is_switched_on_its_own", |world: &World| {
        let manager = manager();
        let (public, private) = (configuration(&manager, "wlan0"), configuration(&manager, "eth0"));
        let other = configuration(&manager, "eth1");
        unsafe {
            checks!(M112, M113: {
                assert_eq!(public.SharingEnabled().unwrap(), VARIANT_FALSE);
                assert_eq!(code(public.SharingConnectionType()).0, 0);
                assert_eq!(public.InternetFirewallEnabled().unwrap(), VARIANT_FALSE);
            });
            assert_eq!(code(public.EnableSharing(SHARINGCONNECTIONTYPE(2))), E_INVALIDARG);
            checks!(M099: {
                public.EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap();
                assert_eq!(mode(world), "off", "one half is not enough");
                assert_eq!(public.SharingEnabled().unwrap(), VARIANT_TRUE);
                private.EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap();
                assert_eq!(mode(world), "full");
            });
            checks!(M075, M081, M114: {
                let view = world.session().status().unwrap().sharing;
                assert_eq!(view.public.unwrap().as_str(), "wlan0");
                assert_eq!(view.private.len(), 1);
                assert_eq!(view.private[0].as_str(), "eth0");
                assert_eq!(private.SharingEnabled().unwrap(), VARIANT_TRUE);
                assert_eq!(public.SharingConnectionType().unwrap(), ICSSHARINGTYPE_PUBLIC);
                assert_eq!(private.SharingConnectionType().unwrap(), ICSSHARINGTYPE_PRIVATE);
            });
            checks!(M097: {
                assert_eq!(halves(&manager), (vec!["wlan0".to_owned()], vec!["eth0".to_owned()]));
                let seen = |name| seen(&find(&manager, name)).unwrap();
                // The public one is that with the way to the Internet.
                assert!(has(&seen("wlan0"), NCCF_SHARED) && has(&seen("wlan0"), NCCF_DEFAULT));
                assert!(has(&seen("eth0"), NCCF_SHARED_PRIVATE) && !has(&seen("eth0"), NCCF_SHARED));
                assert_eq!(other.SharingEnabled().unwrap(), VARIANT_FALSE);
            });
            // Already so: nothing happens.
            private.EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap();
            assert_eq!(mode(world), "full");
            checks!(M101: {
                other.EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap();
                assert_eq!(halves(&manager), (vec!["eth1".to_owned()], vec!["eth0".to_owned()]));
                assert_eq!(public.SharingEnabled().unwrap(), VARIANT_FALSE);
                assert_eq!(world.session().status().unwrap().sharing.public.unwrap().as_str(), "eth1");
            });
            checks!(M115: {
                private.DisableSharing().unwrap();
                assert_eq!(mode(world), "off");
                assert_eq!(private.SharingEnabled().unwrap(), VARIANT_FALSE);
                assert_eq!(halves(&manager), (vec!["eth1".to_owned()], Vec::new()), "the other half is remembered");
                other.DisableSharing().unwrap();
                assert_eq!(halves(&manager), (Vec::new(), Vec::new()));
                other.DisableSharing().unwrap();
            });
            for flags in [ICSSC_ENABLED, SHARINGCONNECTION_ENUM_FLAGS(2)] {
                assert_eq!(code(manager.get_EnumPublicConnections(flags)), E_INVALIDARG);
                assert_eq!(code(manager.get_EnumPrivateConnections(flags)), E_INVALIDARG);
            }
        }
        drop((public, private, other, manager));
        assert!(idle());
        leave();
    });
}

#[test]
fn a_private_connection_is_a_wire_a_cable_or_the_hosted_network() {
    run("a_private_connection_is_a_wire_a_cable_or_the_hosted_network", |world: &World| {
        let manager = manager();
        let session = world.session();
        world.console("link add cable0 direct");
        session.init_settings().unwrap();
        session.start_using().unwrap();
        let wireless = session.status().unwrap().hosted_network.interface.unwrap();
        unsafe { configuration(&manager, "wlan0").EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap() };
        for name in ["eth0", "cable0", wireless.as_str()] {
            let private = configuration(&manager, name);
            checks!(M098: {
                unsafe { private.EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap() };
                assert_eq!(mode(world), "full", "{name}");
                assert_eq!(halves(&manager).1, [name.to_owned()]);
            });
            unsafe { private.DisableSharing().unwrap() };
        }
        // Several wires become one segment.
        for name in ["eth0", "eth1"] {
            unsafe { configuration(&manager, name).EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap() };
        }
        assert_eq!(halves(&manager).1, ["eth0".to_owned(), "eth1".to_owned()]);
        for name in ["eth0", "eth1"] {
            assert!(has(&seen(&find(&manager, name)).unwrap(), NCCF_BRIDGED), "{name}");
        }
        drop(manager);
        leave();
    });
}

#[test]
fn sharing_that_fails_leaves_the_halves_as_they_were() {
    run("sharing_that_fails_leaves_the_halves_as_they_were", |world: &World| {
        let manager = manager();
        unsafe {
            configuration(&manager, "wlan0").EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap();
            world.console("fail firewall the kernel refused");
            let private = configuration(&manager, "eth0");
            let error = private.EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap_err();
            assert_eq!(error.code().0.cast_unsigned(), 0x8007_001f, "a failure of the system is 31");
            assert_eq!(mode(world), "off");
            assert_eq!(private.SharingEnabled().unwrap(), VARIANT_FALSE);
            assert_eq!(halves(&manager), (vec!["wlan0".to_owned()], Vec::new()));
            private.EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap();
            assert_eq!(mode(world), "full");
        }
        drop(manager);
        leave();
    });
}

fn mappings(
    configuration: &INetSharingConfiguration,
    flags: SHARINGCONNECTION_ENUM_FLAGS,
) -> Vec<INetSharingPortMapping> {
    unsafe {
        let collection = configuration.get_EnumPortMappings(flags).unwrap();
        let enumerator = collection._NewEnum().unwrap();
        enumerator.cast::<IEnumNetSharingPortMapping>().unwrap();
        let found: Vec<INetSharingPortMapping> = objects(&enumerator);
        assert_eq!(collection.Count().unwrap() as usize, found.len());
        for value in
            values(&enumerator.cast::<IEnumNetSharingPortMapping>().unwrap().Clone().unwrap().cast().unwrap())
        {
            assert_eq!(value.as_raw().Anonymous.Anonymous.vt, 9, "port mappings come as IDispatch");
        }
        found
    }
}

#[test]
fn a_port_mapping_is_disabled_until_somebody_enables_it() {
    run("a_port_mapping_is_disabled_until_somebody_enables_it", |_| {
        let manager = manager();
        let public = configuration(&manager, "wlan0");
        let (web, tv) = (BSTR::from("web"), BSTR::from("tv"));
        let address = BSTR::from("192.168.137.7");
        unsafe {
            let add = |protocol, external, target: &BSTR, kind| {
                public.AddPortMapping(&web, protocol, external, 80, 0, target, kind)
            };
            let first = add(6, 8080, &address, ICSTT_IPADDRESS).unwrap();
            let properties = first.Properties().unwrap();
            assert_eq!(properties.Name().unwrap(), web);
            assert_eq!(properties.IPProtocol().unwrap(), 6);
            assert_eq!(properties.ExternalPort().unwrap(), 8080);
            assert_eq!(properties.InternalPort().unwrap(), 80);
            assert_eq!(properties.Options().unwrap(), 0);
            assert_eq!(properties.TargetName().unwrap(), BSTR::new());
            assert_eq!(properties.TargetIPAddress().unwrap(), address);
            assert_eq!(properties.Enabled().unwrap(), VARIANT_FALSE);
            first.Enable().unwrap();
            assert_eq!(properties.Enabled().unwrap(), VARIANT_FALSE, "properties are a picture");
            assert_eq!(first.Properties().unwrap().Enabled().unwrap(), VARIANT_TRUE);

            let second = add(17, 8080, &tv, ICSTT_NAME).unwrap();
            let properties = second.Properties().unwrap();
            assert_eq!(properties.IPProtocol().unwrap(), 17);
            assert_eq!(properties.TargetName().unwrap(), tv);
            assert_eq!(properties.TargetIPAddress().unwrap(), BSTR::new(), "no such device");
            assert_eq!(code(add(17, 8080, &tv, ICSTT_NAME)), E_INVALIDARG, "the port is taken");

            assert_eq!(mappings(&public, ICSSC_DEFAULT).len(), 2);
            assert_eq!(mappings(&public, ICSSC_ENABLED).len(), 1);
            let none = configuration(&manager, "eth0");
            assert!(mappings(&none, ICSSC_DEFAULT).is_empty());

            // Even though nothing is shared, this disables the mappings.
            public.DisableSharing().unwrap();
            assert!(mappings(&public, ICSSC_ENABLED).is_empty());
            assert_eq!(mappings(&public, ICSSC_DEFAULT).len(), 2);
            first.Enable().unwrap();
            first.Disable().unwrap();
            assert!(mappings(&public, ICSSC_ENABLED).is_empty());

            assert_eq!(
                code(none.RemovePortMapping(&first)),
                E_INVALIDARG,
                "it is not one of this connection"
            );
            public.RemovePortMapping(&first).unwrap();
            assert_eq!(code(first.Enable()), NOT_FOUND);
            assert_eq!(code(first.Properties()), NOT_FOUND);
            assert_eq!(code(public.RemovePortMapping(&first)), NOT_FOUND);
            second.Delete().unwrap();
            assert_eq!(code(second.Delete()), NOT_FOUND);
            assert!(mappings(&public, ICSSC_DEFAULT).is_empty());
        }
        drop((public, manager));
        assert!(idle());
        leave();
    });
}

#[test]
fn the_firewall_of_a_connection_is_switched_and_stays_when_sharing_ends() {
    run("the_firewall_of_a_connection_is_switched_and_stays_when_sharing_ends", |_| {
        let manager = manager();
        let public = configuration(&manager, "wlan0");
        let firewalled = || has(&seen(&find(&manager, "wlan0")).unwrap(), NCCF_FIREWALLED);
        unsafe {
            public.DisableInternetFirewall().unwrap();
            assert!(!firewalled());
            public.EnableInternetFirewall().unwrap();
            assert_eq!(public.InternetFirewallEnabled().unwrap(), VARIANT_TRUE);
            assert!(firewalled());
            public.EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap();
            public.DisableSharing().unwrap();
            assert_eq!(public.InternetFirewallEnabled().unwrap(), VARIANT_TRUE);
            public.DisableInternetFirewall().unwrap();
            assert_eq!(public.InternetFirewallEnabled().unwrap(), VARIANT_FALSE);
        }
        drop((public, manager));
        leave();
    });
}

#[test]
fn every_interface_is_reached_from_the_manager() {
    run("every_interface_is_reached_from_the_manager", |_| {
        let manager = manager();
        let public = configuration(&manager, "wlan0");
        let target = BSTR::from("192.168.137.7");
        unsafe {
            let mapping = public.AddPortMapping(&target, 6, 80, 80, 0, &target, ICSTT_IPADDRESS).unwrap();
            public.EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap();
            configuration(&manager, "eth0").EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap();
            let connection = find(&manager, "wlan0");
            let every = manager.EnumEveryConnection().unwrap();
            let publics = manager.get_EnumPublicConnections(ICSSC_DEFAULT).unwrap();
            let privates = manager.get_EnumPrivateConnections(ICSSC_DEFAULT).unwrap();
            let mappings = public.get_EnumPortMappings(ICSSC_DEFAULT).unwrap();
            let own: Vec<(IUnknown, GUID)> = vec![
                (manager.cast().unwrap(), INetSharingManager::IID),
                (public.cast().unwrap(), INetSharingConfiguration::IID),
                (connection.cast().unwrap(), INetConnection::IID),
                (
                    manager.get_NetConnectionProps(&connection).unwrap().cast().unwrap(),
                    INetConnectionProps::IID,
                ),
                (mapping.cast().unwrap(), INetSharingPortMapping::IID),
                (mapping.Properties().unwrap().cast().unwrap(), INetSharingPortMappingProps::IID),
                (every.cast().unwrap(), INetSharingEveryConnectionCollection::IID),
                (publics.cast().unwrap(), INetSharingPublicConnectionCollection::IID),
                (privates.cast().unwrap(), INetSharingPrivateConnectionCollection::IID),
                (mappings.cast().unwrap(), INetSharingPortMappingCollection::IID),
                (every._NewEnum().unwrap(), IEnumNetSharingEveryConnection::IID),
                (publics._NewEnum().unwrap(), IEnumNetSharingPublicConnection::IID),
                (privates._NewEnum().unwrap(), IEnumNetSharingPrivateConnection::IID),
                (mappings._NewEnum().unwrap(), IEnumNetSharingPortMapping::IID),
            ];
            let ask = |object: &IUnknown, iid: &GUID| {
                let mut out = std::ptr::null_mut();
                let code = object.query(iid, &mut out);
                code.is_ok().then(|| IUnknown::from_raw(out))
            };
            // IConnectionPointContainer: how a program would register for events of sharing.
            let events = GUID::from_u128(0xb196b284_bab4_101a_b69c_00aa00341d07);
            checks!(M106: {
                let mut kinds: Vec<GUID> = own.iter().map(|(_, iid)| *iid).collect();
                kinds.dedup();
                assert_eq!(kinds.len(), 14);
                for (object, iid) in &own {
                    let by_interface = ask(object, iid).expect("its own interface");
                    assert_eq!(by_interface.as_raw(), object.as_raw(), "one pointer for every interface");
                    // Symmetric, transitive, and one identity.
                    assert_eq!(ask(&by_interface, &IUnknown::IID).unwrap(), *object);
                    assert!(ask(&by_interface, iid).is_some());
                    for (_, other) in own.iter().filter(|(_, other)| other != iid) {
                        assert!(ask(object, other).is_none());
                    }
                    let automatic = ask(object, &IDispatch::IID).is_some();
                    let enumerates = ask(object, &IEnumVARIANT::IID).is_some();
                    let plain = *iid == INetConnection::IID;
                    assert_eq!(u8::from(automatic) + u8::from(enumerates) + u8::from(plain), 1);
                }
            });
            for (object, _) in &own {
                assert!(ask(object, &events).is_none(), "nobody can register for events of sharing");
            }
        }
        drop((public, manager));
        leave();
    });
}

#[test]
fn only_the_user_interface_hears_of_sharing() {
    run("only_the_user_interface_hears_of_sharing", |world: &World| {
        use std::sync::atomic::{AtomicUsize, Ordering};

        use hostednet::types::view::Event;

        static CALLS: AtomicUsize = AtomicUsize::new(0);
        unsafe extern "C" fn count(_: *mut wlanapi::types::WLAN_NOTIFICATION_DATA, _: *mut std::ffi::c_void) {
            CALLS.fetch_add(1, Ordering::SeqCst);
        }
        let manager = manager();
        let (mut version, mut handle) = (0, std::ptr::null_mut());
        unsafe {
            assert_eq!(wlanapi::WlanOpenHandle(2, std::ptr::null_mut(), &mut version, &mut handle), 0);
            let nothing = std::ptr::null_mut;
            let all = wlanapi::types::WLAN_NOTIFICATION_SOURCE_ALL;
            let registered = wlanapi::WlanRegisterNotification(
                handle,
                all,
                1,
                Some(count),
                nothing(),
                nothing(),
                std::ptr::null_mut(),
            );
            assert_eq!(registered, 0);
        }
        let session = world.session();
        let (_, mut events) = session.events().unwrap();
        checks!(M116: {
            unsafe {
                configuration(&manager, "wlan0").EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap();
                configuration(&manager, "eth0").EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap();
                configuration(&manager, "eth0").DisableSharing().unwrap();
            }
            // What screens are drawn from: the mode went to full and back.
            let mut modes = Vec::new();
            while modes.last().is_none_or(|mode| mode != "off") || !modes.contains(&"full".to_owned()) {
                if let Event::SharingChanged { sharing } = events.next().unwrap().event {
                    modes.push(sharing.mode.as_str().to_owned());
                }
            }
            assert_eq!(wlanapi::WlanCloseHandle(handle, std::ptr::null_mut()), 0);
            assert_eq!(CALLS.load(Ordering::SeqCst), 0, "no other application is told");
        });
        drop(manager);
        leave();
    });
}

#[test]
fn without_elevation_settings_are_read_and_not_changed() {
    if !nix::unistd::geteuid().is_root() {
        world::skip("only root can become somebody else");
        return;
    }
    run("without_elevation_settings_are_read_and_not_changed", |_| {
        nix::unistd::seteuid(nix::unistd::Uid::from_raw(65_534)).unwrap();
        let manager = manager();
        let configuration = configuration(&manager, "wlan0");
        let text = BSTR::from("192.168.137.7");
        unsafe {
            assert_eq!(code(manager.SharingInstalled()).0, 0);
            assert_eq!(code(configuration.SharingEnabled()).0, 0);
            assert_eq!(code(configuration.EnableSharing(ICSSHARINGTYPE_PUBLIC)), E_ACCESSDENIED);
            assert_eq!(code(configuration.DisableSharing()), E_ACCESSDENIED);
            assert_eq!(code(configuration.EnableInternetFirewall()), E_ACCESSDENIED);
            let add = configuration.AddPortMapping(&text, 6, 80, 80, 0, &text, ICSTT_IPADDRESS);
            assert_eq!(code(add), E_ACCESSDENIED);
        }
        drop((configuration, manager));
        leave();
    });
}
