//! Many threads on the same objects, and a service that dies under them (tier T1).
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

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use com::{
    NOT_ACTIVE, code, configuration, connections, find, idle, leave, manager, objects, seen, settle, values,
};
use windows::{
    Win32::{NetworkManagement::WindowsFirewall::*, System::Ole::IEnumVARIANT},
    core::{BSTR, Interface},
};
use world::{World, run, wait};

const THREADS: usize = 8;
const ROUNDS: usize = 20;

/// An object that is used from other threads than that on which it was made: these are free-threaded.
struct Shared<T>(T);

unsafe impl<T> Send for Shared<T> {}
unsafe impl<T> Sync for Shared<T> {}

#[test]
fn objects_are_used_by_many_threads_at_once_and_nothing_is_left() {
    run("objects_are_used_by_many_threads_at_once_and_nothing_is_left", |_| {
        let shared = Shared(manager());
        settle(&shared.0, 3);
        let collection = Shared(unsafe { shared.0.EnumEveryConnection().unwrap() });
        let enumerator: Shared<IEnumVARIANT> =
            Shared(unsafe { collection.0._NewEnum().unwrap().cast().unwrap() });
        let configured = Shared(configuration(&shared.0, "wlan0"));
        let begin = Barrier::new(THREADS);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (shared, collection, enumerator, configured) =
                    (&shared, &collection, &enumerator, &configured);
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    for round in 0..ROUNDS {
                        assert_eq!(connections(&shared.0).len(), 3);
                        let copy = unsafe { enumerator.0.Clone().unwrap() };
                        unsafe { copy.Reset().unwrap() };
                        assert_eq!(values(&copy).len(), 3);
                        unsafe {
                            // The one enumerator of all: somewhere between the beginning and the end.
                            enumerator.0.Reset().unwrap();
                            assert!(enumerator.0.Skip(1).is_ok());
                            assert_eq!(collection.0.Count().unwrap(), 3);
                            assert_eq!(code(configured.0.SharingEnabled()).0, 0);
                            let port = u16::try_from(1000 + number * ROUNDS + round).unwrap();
                            let text = BSTR::from("192.168.137.7");
                            let added =
                                configured.0.AddPortMapping(&text, 6, port, 80, 0, &text, ICSTT_IPADDRESS);
                            let mapping = added.unwrap();
                            mapping.Enable().unwrap();
                            configured.0.RemovePortMapping(&mapping).unwrap();
                        }
                    }
                });
            }
        });
        let left = unsafe { configured.0.get_EnumPortMappings(ICSSC_DEFAULT).unwrap() };
        assert_eq!(unsafe { left.Count().unwrap() }, 0);
        drop((left, enumerator, collection, configured));
        assert!(!idle(), "the manager is there");
        drop(shared);
        assert!(idle());
        leave();
    });
}

#[test]
fn a_dead_service_is_1062_at_once_and_is_used_again_when_it_is_back() {
    run("a_dead_service_is_1062_at_once_and_is_used_again_when_it_is_back", |world: &World| {
        let manager = manager();
        let connection = find(&manager, "wlan0");
        let public = configuration(&manager, "wlan0");
        let text = BSTR::from("192.168.137.7");
        let mapping = unsafe { public.AddPortMapping(&text, 6, 80, 80, 0, &text, ICSTT_IPADDRESS).unwrap() };
        let properties = unsafe { mapping.Properties().unwrap() };
        unsafe {
            public.EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap();
            configuration(&manager, "eth0").EnableSharing(ICSSHARINGTYPE_PRIVATE).unwrap();
        }
        world.kill();
        unsafe {
            assert_eq!(code(manager.SharingInstalled()), NOT_ACTIVE);
            assert_eq!(code(manager.EnumEveryConnection()), NOT_ACTIVE);
            assert_eq!(code(manager.get_EnumPublicConnections(ICSSC_DEFAULT)), NOT_ACTIVE);
            assert_eq!(code(manager.get_NetConnectionProps(&connection)), NOT_ACTIVE);
            assert_eq!(code(manager.get_INetSharingConfigurationForINetConnection(&connection)), NOT_ACTIVE);
            assert_eq!(code(seen(&connection)), NOT_ACTIVE);
            assert_eq!(code(public.SharingEnabled()), NOT_ACTIVE);
            assert_eq!(code(public.EnableSharing(ICSSHARINGTYPE_PRIVATE)), NOT_ACTIVE);
            assert_eq!(code(public.DisableSharing()), NOT_ACTIVE);
            assert_eq!(code(public.EnableInternetFirewall()), NOT_ACTIVE);
            assert_eq!(code(public.get_EnumPortMappings(ICSSC_DEFAULT)), NOT_ACTIVE);
            assert_eq!(code(public.RemovePortMapping(&mapping)), NOT_ACTIVE);
            assert_eq!(code(mapping.Enable()), NOT_ACTIVE);
            assert_eq!(properties.Name().unwrap(), text, "a picture needs no service");
        }
        world.start();
        settle(&manager, 3);
        unsafe {
            assert!(public.SharingEnabled().is_ok());
            mapping.Enable().unwrap();
            public.DisableSharing().unwrap();
            mapping.Delete().unwrap();
        }
        drop((mapping, properties, public, connection, manager));
        assert!(idle());
        leave();
    });
}

#[test]
fn a_service_that_dies_in_mid_call_is_1062_for_everybody_who_waits() {
    run("a_service_that_dies_in_mid_call_is_1062_for_everybody_who_waits", |world: &World| {
        let shared = Shared(manager());
        settle(&shared.0, 3);
        unsafe { configuration(&shared.0, "wlan0").EnableSharing(ICSSHARINGTYPE_PUBLIC).unwrap() };
        let private = Shared(configuration(&shared.0, "eth0"));
        world.console("hang firewall");
        let dead = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let private = &private;
                code(unsafe { private.0.EnableSharing(ICSSHARINGTYPE_PRIVATE) })
            });
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let shared = &shared;
                        loop {
                            let was_dead = dead.load(Ordering::SeqCst);
                            let answer = code(unsafe { shared.0.SharingInstalled() });
                            assert!(answer.is_ok() || answer == NOT_ACTIVE, "{answer:?}");
                            if was_dead {
                                return answer;
                            }
                        }
                    })
                })
                .collect();
            let session = world.session();
            wait("sharing is on its way", || {
                session.status().unwrap().sharing.phase.as_str() == "start_pending"
            });
            world.kill();
            dead.store(true, Ordering::SeqCst);
            assert_eq!(waiting.join().unwrap(), NOT_ACTIVE);
            for reader in readers {
                assert_eq!(reader.join().unwrap(), NOT_ACTIVE);
            }
        });
        world.start();
        settle(&shared.0, 3);
        let all: Vec<INetConnection> =
            objects(&unsafe { shared.0.EnumEveryConnection().unwrap()._NewEnum().unwrap() });
        assert_eq!(all.len(), 3);
        drop((all, private, shared));
        assert!(idle());
        leave();
    });
}
