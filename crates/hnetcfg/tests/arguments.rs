//! Every method and function with every bad argument: the documented number, whatever else is right (tier T1).
#![expect(unsafe_code, reason = "calls of COM")]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every pointer here is NULL, a local of the test or an object"
)]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "each is one call of a row")]

#[path = "../../wlanapi/tests/world/mod.rs"]
mod world;

use std::{ffi::c_void, ptr::null_mut};

use hnetcfg::{
    hresult::{
        CLASS_E_CLASSNOTAVAILABLE, CLASS_E_NOAGGREGATION, CO_E_CLASSSTRING, CO_E_IIDSTRING,
        CO_E_NOTINITIALIZED, E_INVALIDARG, E_NOINTERFACE, E_NOTIMPL, E_POINTER, HRESULT, REGDB_E_CLASSNOTREG,
        RPC_E_CHANGED_MODE, RPC_E_TOO_LATE, S_FALSE, S_OK,
    },
    symbols::*,
    types::*,
    *,
};
use world::run;

/// An argument as it goes into a register. What is wrong with a call is wrong in one of them.
type Word = usize;

/// Calls the method in a slot with these arguments. All that the methods take, pointers and integers, are words.
fn call(object: *mut c_void, slot: usize, arguments: &[Word]) -> HRESULT {
    let table = unsafe { object.cast::<*const usize>().read() };
    let method = unsafe { table.add(slot).read() };
    let word = |place: usize| arguments.get(place).copied().unwrap_or_default();
    type Method =
        unsafe extern "C" fn(*mut c_void, Word, Word, Word, Word, Word, Word, Word, Word) -> HRESULT;
    let method = unsafe { std::mem::transmute::<usize, Method>(method) };
    unsafe { method(object, word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)) }
}

/// What an argument of a method is.
#[derive(Clone, Copy)]
enum Kind {
    /// A place for a result: NULL is `E_POINTER`.
    Out,
    /// A number that is right, and numbers that are not.
    Number(Word, &'static [Word]),
    /// Text that is right (a `BSTR`), and whether NULL is wrong.
    Text(&'static str),
    /// Zero-terminated text.
    Wide(&'static str),
    /// An object of the world below that is right; NULL and another object are wrong.
    Object(usize),
    /// An identifier: NULL is `E_INVALIDARG`.
    Identifier,
}

use Kind::{Identifier, Number, Object, Out, Text, Wide};

const NEGATIVE: Word = 0xffff_ffff;

/// The objects of the table, by number.
const MANAGER: usize = 0;
const CONFIGURATION: usize = 1;
const CONNECTION: usize = 2;
const PROPERTIES: usize = 3;
const MAPPING: usize = 4;
const MAPPING_PROPERTIES: usize = 5;
const EVERY: usize = 6;
const PUBLIC: usize = 7;
const PRIVATE: usize = 8;
const MAPPINGS: usize = 9;
const ENUMERATOR: usize = 10;
const FOLDER: usize = 11;
const CONNECTIONS: usize = 12;
const FACTORY: usize = 13;
const OBJECTS: usize = 14;

/// Object, slot, arguments.
const TABLE: &[(usize, usize, &[Kind])] = &[
    (MANAGER, 7, &[Out]),
    (MANAGER, 8, &[Number(0, &[1, 2, NEGATIVE]), Out]),
    (MANAGER, 9, &[Number(0, &[1, 2, NEGATIVE]), Out]),
    (MANAGER, 10, &[Object(CONNECTION), Out]),
    (MANAGER, 11, &[Out]),
    (MANAGER, 12, &[Object(CONNECTION), Out]),
    (CONFIGURATION, 7, &[Out]),
    (CONFIGURATION, 8, &[Out]),
    (CONFIGURATION, 10, &[Number(0, &[2, 3, NEGATIVE])]),
    (CONFIGURATION, 11, &[Out]),
    (CONFIGURATION, 14, &[Number(0, &[2, NEGATIVE]), Out]),
    (
        CONFIGURATION,
        15,
        &[
            Text("web"),
            Number(6, &[0, 1, 255]),
            Number(81, &[0]),
            Number(80, &[0]),
            Number(0, &[1]),
            Text("192.168.137.9"),
            Number(1, &[2, NEGATIVE]),
            Out,
        ],
    ),
    (CONFIGURATION, 16, &[Object(MAPPING)]),
    (MAPPING, 9, &[Out]),
    (MAPPING_PROPERTIES, 7, &[Out]),
    (MAPPING_PROPERTIES, 8, &[Out]),
    (MAPPING_PROPERTIES, 9, &[Out]),
    (MAPPING_PROPERTIES, 10, &[Out]),
    (MAPPING_PROPERTIES, 11, &[Out]),
    (MAPPING_PROPERTIES, 12, &[Out]),
    (MAPPING_PROPERTIES, 13, &[Out]),
    (MAPPING_PROPERTIES, 14, &[Out]),
    (CONNECTION, 6, &[Wide("name"), Out]),
    (CONNECTION, 7, &[Out]),
    (CONNECTION, 8, &[Out]),
    (CONNECTION, 9, &[Wide("name")]),
    (PROPERTIES, 7, &[Out]),
    (PROPERTIES, 8, &[Out]),
    (PROPERTIES, 9, &[Out]),
    (PROPERTIES, 10, &[Out]),
    (PROPERTIES, 11, &[Out]),
    (PROPERTIES, 12, &[Out]),
    (EVERY, 7, &[Out]),
    (EVERY, 8, &[Out]),
    (PUBLIC, 7, &[Out]),
    (PUBLIC, 8, &[Out]),
    (PRIVATE, 7, &[Out]),
    (PRIVATE, 8, &[Out]),
    (MAPPINGS, 7, &[Out]),
    (MAPPINGS, 8, &[Out]),
    (ENUMERATOR, 3, &[Number(1, &[]), Out]),
    (ENUMERATOR, 6, &[Out]),
    (FOLDER, 3, &[Number(0, &[2, NEGATIVE]), Out]),
    (CONNECTIONS, 3, &[Number(1, &[]), Out]),
    (CONNECTIONS, 6, &[Out]),
    (FACTORY, 3, &[Number(0, &[]), Identifier, Out]),
];

/// Room for any result, and where it lies.
#[derive(Default)]
struct Room([Word; 8]);

fn bstr(text: &str) -> BSTR {
    let units: Vec<u16> = text.encode_utf16().collect();
    unsafe { SysAllocStringLen(units.as_ptr(), u32::try_from(units.len()).unwrap()) }
}

fn release(object: *mut c_void) {
    call(object, 2, &[]);
}

fn out(object: *mut c_void, slot: usize, arguments: &[Word]) -> *mut c_void {
    let mut result: *mut c_void = null_mut();
    let words: Vec<Word> = arguments.iter().copied().chain([(&raw mut result).addr()]).collect();
    assert_eq!(call(object, slot, &words), S_OK, "slot {slot}");
    result
}

/// One object of each class.
fn objects() -> [*mut c_void; OBJECTS] {
    let create = |class: &GUID| {
        let mut object = null_mut();
        assert_eq!(unsafe { CoCreateInstance(class, null_mut(), 1, &IID_IUnknown, &mut object) }, S_OK);
        object
    };
    let mut all = [null_mut(); OBJECTS];
    all[MANAGER] = create(&CLSID_NetSharingManager);
    all[FOLDER] = create(&CLSID_ConnectionManager);
    all[CONNECTIONS] = out(all[FOLDER], 3, &[0]);
    let mut connection: *mut c_void = null_mut();
    assert_eq!(call(all[CONNECTIONS], 3, &[1, (&raw mut connection).addr(), 0]), S_OK);
    all[CONNECTION] = connection;
    all[CONFIGURATION] = out(all[MANAGER], 10, &[connection.addr()]);
    all[PROPERTIES] = out(all[MANAGER], 12, &[connection.addr()]);
    let (name, target) = (bstr("old"), bstr("192.168.137.8"));
    all[MAPPING] = out(all[CONFIGURATION], 15, &[name.addr(), 6, 70, 70, 0, target.addr(), 1]);
    for string in [name, target] {
        unsafe { SysFreeString(string) };
    }
    all[MAPPING_PROPERTIES] = out(all[MAPPING], 9, &[]);
    all[EVERY] = out(all[MANAGER], 11, &[]);
    all[PUBLIC] = out(all[MANAGER], 8, &[0]);
    all[PRIVATE] = out(all[MANAGER], 9, &[0]);
    all[MAPPINGS] = out(all[CONFIGURATION], 14, &[0]);
    all[ENUMERATOR] = out(all[EVERY], 7, &[]);
    let mut factory = null_mut();
    let made = unsafe { DllGetClassObject(&CLSID_NetSharingManager, &IID_IClassFactory, &mut factory) };
    assert_eq!(made, S_OK);
    all[FACTORY] = factory;
    all
}

#[test]
fn every_method_answers_every_bad_argument_with_its_number() {
    run("every_method_answers_every_bad_argument_with_its_number", |_| {
        assert_eq!(CoInitialize(null_mut()), S_OK);
        let all = objects();
        let mut calls = 0;
        for (object, slot, kinds) in TABLE {
            let mut room = Room([NEGATIVE; 8]);
            let mut strings = Vec::new();
            let mut wide = Vec::new();
            let good: Vec<Word> = kinds
                .iter()
                .map(|kind| match kind {
                    Out => (&raw mut room).addr(),
                    Number(number, _) => *number,
                    Text(text) => {
                        strings.push(bstr(text));
                        strings[strings.len() - 1].addr()
                    }
                    Wide(text) => {
                        wide.push(text.encode_utf16().chain([0]).collect::<Vec<u16>>());
                        wide[wide.len() - 1].as_ptr().addr()
                    }
                    Object(object) => all[*object].addr(),
                    Identifier => (&raw const IID_IUnknown).addr(),
                })
                .collect();
            for (place, kind) in kinds.iter().enumerate() {
                let (expected, wrong): (HRESULT, Vec<Word>) = match kind {
                    Out => (E_POINTER, vec![0]),
                    Number(_, wrong) => (E_INVALIDARG, wrong.to_vec()),
                    Text(_) | Wide(_) | Identifier => (E_INVALIDARG, vec![0]),
                    Object(right) => {
                        let stranger = if *right == CONNECTION { MANAGER } else { CONNECTION };
                        (E_INVALIDARG, vec![0, all[stranger].addr()])
                    }
                };
                for word in wrong {
                    let mut bad = good.clone();
                    bad[place] = word;
                    let code = call(all[*object], *slot, &bad);
                    assert_eq!(code, expected, "object {object}, slot {slot}, argument {place} = {word:#x}");
                    if matches!(kind, Number(..) | Object(_)) && kinds.iter().any(|kind| matches!(kind, Out))
                    {
                        assert_eq!(room.0[0] & 0xffff, 0, "a result of a failure is nothing: slot {slot}");
                    }
                    room = Room([NEGATIVE; 8]);
                    calls += 1;
                }
            }
            for string in strings {
                unsafe { SysFreeString(string) };
            }
        }
        assert!(calls > 70, "{calls}");
        // The rules that all classes share: QueryInterface.
        for object in all {
            let mut found = null_mut::<c_void>();
            let place = (&raw mut found).addr();
            assert_eq!(call(object, 0, &[(&raw const IID_IUnknown).addr(), 0]), E_POINTER);
            assert_eq!(call(object, 0, &[0, place]), E_INVALIDARG);
            found = std::ptr::dangling_mut();
            assert_eq!(call(object, 0, &[(&raw const GUID_NULL).addr(), place]), E_NOINTERFACE);
            assert!(found.is_null());
        }
        for object in all {
            release(object);
        }
        assert_eq!(DllCanUnloadNow(), S_OK, "no failure leaves a reference behind");
        CoUninitialize();
    });
}

#[test]
fn enumerators_want_a_place_for_each_element_and_a_count_for_many() {
    run("enumerators_want_a_place_for_each_element_and_a_count_for_many", |_| {
        assert_eq!(CoInitialize(null_mut()), S_OK);
        let all = objects();
        for object in [ENUMERATOR, CONNECTIONS] {
            let object = all[object];
            assert_eq!(call(object, 5, &[]), S_OK);
            let mut fetched = 9_u32;
            let count = (&raw mut fetched).addr();
            assert_eq!(call(object, 3, &[0, 0, count]), S_OK, "nothing wanted, nothing missing");
            assert_eq!(fetched, 0);
            let mut room = [VARIANT::EMPTY; 4];
            assert_eq!(call(object, 3, &[2, room.as_mut_ptr().addr(), 0]), E_POINTER);
            fetched = 9;
            assert_eq!(call(object, 3, &[2, 0, count]), E_POINTER);
            assert_eq!(fetched, 0);
            assert_eq!(call(object, 4, &[NEGATIVE]), S_FALSE);
            assert_eq!(call(object, 3, &[1, room.as_mut_ptr().addr(), 0]), S_FALSE);
        }
        for object in all {
            release(object);
        }
        CoUninitialize();
    });
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

#[test]
fn objects_are_made_by_known_classes_on_threads_that_began() {
    run("objects_are_made_by_known_classes_on_threads_that_began", |_| {
        let create = |class: *const GUID, outer: *mut c_void, context, iid: *const GUID| {
            let mut object = std::ptr::dangling_mut();
            let code = unsafe { CoCreateInstance(class, outer, context, iid, &mut object) };
            assert_eq!(code == S_OK, !object.is_null());
            if code == S_OK {
                release(object);
            }
            code
        };
        let manager = &raw const CLSID_NetSharingManager;
        let iid = &raw const IID_INetSharingManager;
        let nothing = null_mut();
        assert_eq!(create(manager, nothing, 1, iid), CO_E_NOTINITIALIZED);
        let security = || unsafe {
            let none = std::ptr::null();
            CoInitializeSecurity(none, -1, none, none, 4, 3, none, 0, none)
        };
        assert_eq!(security(), CO_E_NOTINITIALIZED);
        let mut something = 0_u8;
        assert_eq!(CoInitialize((&raw mut something).cast()), E_INVALIDARG);
        assert_eq!(CoInitializeEx(nothing, 0x10), E_INVALIDARG);
        assert_eq!(CoInitialize(nothing), S_OK);
        assert_eq!(CoInitialize(nothing), S_FALSE);
        assert_eq!(CoInitializeEx(nothing, 2 | 4 | 8), S_FALSE);
        assert_eq!(CoInitializeEx(nothing, 0), RPC_E_CHANGED_MODE);
        assert_eq!(create(manager, nothing, 1, iid), S_OK);
        for _ in 0..2 {
            CoUninitialize();
            assert_eq!(create(manager, nothing, 1, iid), S_OK, "begun more often than ended");
        }
        // Another thread has to begin for itself, unless somebody is in the apartment of all.
        let elsewhere = || {
            std::thread::spawn(move || {
                create(&CLSID_NetSharingManager, null_mut(), 1, &IID_INetSharingManager)
            })
        };
        assert_eq!(elsewhere().join().unwrap(), CO_E_NOTINITIALIZED);
        CoUninitialize();
        CoUninitialize();
        assert_eq!(create(manager, nothing, 1, iid), CO_E_NOTINITIALIZED);
        assert_eq!(CoInitializeEx(nothing, 0), S_OK);
        assert_eq!(elsewhere().join().unwrap(), S_OK);
        let left = std::thread::spawn(|| CoInitializeEx(null_mut(), 2)).join().unwrap();
        assert_eq!(left, S_OK, "a thread that ends has left");

        assert_eq!(create(std::ptr::null(), nothing, 1, iid), E_INVALIDARG);
        assert_eq!(create(manager, nothing, 1, std::ptr::null()), E_INVALIDARG);
        assert_eq!(create(&IID_IUnknown, nothing, 1, iid), REGDB_E_CLASSNOTREG);
        for context in [0, 2, 0x10] {
            assert_eq!(create(manager, nothing, context, iid), REGDB_E_CLASSNOTREG);
        }
        for context in [4, 5, 0x17, 0x405] {
            assert_eq!(create(manager, nothing, context, iid), S_OK);
        }
        assert_eq!(create(manager, nothing, 1, &IID_INetConnectionManager), E_NOINTERFACE);
        assert_eq!(create(&CLSID_ConnectionManager, nothing, 1, &IID_INetConnectionManager), S_OK);
        let mut outer = null_mut();
        let made = unsafe { CoCreateInstance(manager, null_mut(), 1, iid, &mut outer) };
        assert_eq!(made, S_OK);
        assert_eq!(create(manager, outer, 1, &IID_IUnknown), CLASS_E_NOAGGREGATION);
        unsafe {
            assert_eq!(CoCreateInstance(manager, nothing, 1, iid, null_mut()), E_POINTER);
            assert_eq!(DllGetClassObject(manager, &IID_IClassFactory, null_mut()), E_POINTER);
            let mut factory = null_mut();
            assert_eq!(DllGetClassObject(std::ptr::null(), &IID_IClassFactory, &mut factory), E_INVALIDARG);
            assert_eq!(DllGetClassObject(manager, std::ptr::null(), &mut factory), E_INVALIDARG);
            assert_eq!(DllGetClassObject(iid, &IID_IClassFactory, &mut factory), CLASS_E_CLASSNOTAVAILABLE);
            assert_eq!(DllGetClassObject(manager, &IID_IDispatch, &mut factory), E_NOINTERFACE);
            assert_eq!(DllGetClassObject(manager, &IID_IClassFactory, &mut factory), S_OK);
            let mut object: *mut c_void = null_mut();
            let place = (&raw mut object).addr();
            let words = [outer.addr(), (&raw const IID_IUnknown).addr(), place];
            assert_eq!(call(factory, 3, &words), CLASS_E_NOAGGREGATION);
            assert_eq!(call(factory, 3, &[0, iid.addr(), place]), S_OK);
            release(object);
            // LockServer
            assert_eq!(call(factory, 4, &[1]), S_OK);
            release(factory);
            release(outer);
            assert_eq!(DllCanUnloadNow(), S_FALSE, "locked");
            assert_eq!(DllGetClassObject(manager, &IID_IClassFactory, &mut factory), S_OK);
            assert_eq!(call(factory, 4, &[0]), S_OK);
            assert_eq!(call(factory, 4, &[0]), S_OK, "one too many does no harm");
            release(factory);
            assert_eq!(DllCanUnloadNow(), S_OK);

            let none = std::ptr::null();
            let some = (&raw const something).cast();
            for wrong in [
                CoInitializeSecurity(none, -2, none, none, 4, 3, none, 0, none),
                CoInitializeSecurity(none, 1, none, none, 4, 3, none, 0, none),
                CoInitializeSecurity(none, -1, none, some, 4, 3, none, 0, none),
                CoInitializeSecurity(none, -1, none, none, 7, 3, none, 0, none),
                CoInitializeSecurity(none, -1, none, none, 4, 5, none, 0, none),
                CoInitializeSecurity(none, -1, none, none, 4, 3, none, 0, some),
            ] {
                assert_eq!(wrong, E_INVALIDARG);
            }
        }
        assert_eq!(security(), S_OK);
        assert_eq!(security(), RPC_E_TOO_LATE);
        CoUninitialize();
    });
}

#[test]
fn identifiers_are_read_from_text_and_printed() {
    let read = |function: unsafe extern "C" fn(*const u16, *mut GUID) -> HRESULT, text: &str| {
        let mut guid = IID_IUnknown;
        let text = wide(text);
        let code = unsafe { function(text.as_ptr(), &mut guid) };
        (code, guid)
    };
    for name in ["HNetCfg.HNetShare", "HNetCfg.HNetShare.1", "hnetcfg.hnetshare"] {
        assert_eq!(read(CLSIDFromProgID, name), (S_OK, CLSID_NetSharingManager));
        assert_eq!(read(CLSIDFromString, name), (S_OK, CLSID_NetSharingManager));
    }
    let long = "HNetCfg.HNetShare".repeat(9);
    for wrong in ["HNetCfg.HNetShare.2", "HNetCfg", "", long.as_str()] {
        assert_eq!(read(CLSIDFromProgID, wrong), (CO_E_CLASSSTRING, GUID_NULL));
    }
    let braces = "{5c63c1ad-3956-4ff8-8486-40034758315b}";
    assert_eq!(read(CLSIDFromString, braces), (S_OK, CLSID_NetSharingManager));
    assert_eq!(read(IIDFromString, braces), (S_OK, CLSID_NetSharingManager));
    assert_eq!(read(IIDFromString, "HNetCfg.HNetShare"), (CO_E_IIDSTRING, GUID_NULL));
    assert_eq!(read(CLSIDFromProgID, braces), (CO_E_CLASSSTRING, GUID_NULL));
    let mut room = [7_u16; 40];
    unsafe {
        assert_eq!(StringFromGUID2(&CLSID_NetSharingManager, room.as_mut_ptr(), 38), 0);
        assert_eq!(StringFromGUID2(std::ptr::null(), room.as_mut_ptr(), 40), 0);
        assert_eq!(StringFromGUID2(&CLSID_NetSharingManager, null_mut(), 40), 0);
        assert_eq!(StringFromGUID2(&CLSID_NetSharingManager, room.as_mut_ptr(), 39), 39);
        assert_eq!(room[38..], [0, 7]);
        assert_eq!(room[..39], *wide(&braces.to_uppercase()));
        for function in [CLSIDFromProgID, CLSIDFromString, IIDFromString] {
            assert_eq!(function(std::ptr::null(), &mut { GUID_NULL }), E_INVALIDARG);
            assert_eq!(function(room.as_ptr(), null_mut()), E_POINTER);
        }
    }
}

#[test]
fn strings_carry_their_length_and_end_with_a_zero() {
    let text = wide("abc");
    unsafe {
        let mut string = SysAllocString(text.as_ptr());
        assert_eq!((SysStringLen(string), SysStringByteLen(string)), (3, 6));
        assert_eq!(string.cast::<u32>().sub(1).read_unaligned(), 6, "the length lies before the pointer");
        assert_eq!(string.add(3).read(), 0);
        assert!(string.is_aligned());
        // Copies of a part of itself.
        assert_eq!(SysReAllocStringLen(&mut string, string.add(1), 2), 1);
        assert_eq!(std::slice::from_raw_parts(string, 3), [b'b'.into(), b'c'.into(), 0]);
        assert_eq!(SysReAllocString(&mut string, text.as_ptr()), 1);
        assert_eq!(SysStringLen(string), 3);
        assert_eq!(SysReAllocString(&mut string, std::ptr::null()), 1);
        assert!(string.is_null());
        assert_eq!(SysReAllocString(null_mut(), text.as_ptr()), 0);
        assert_eq!(SysReAllocStringLen(null_mut(), text.as_ptr(), 1), 0);

        let zeros = SysAllocStringLen(std::ptr::null(), 5);
        assert_eq!(std::slice::from_raw_parts(zeros, 6), [0; 6]);
        let inner = SysAllocStringLen([0x61, 0, 0x62].as_ptr(), 3);
        assert_eq!(SysStringLen(inner), 3, "a zero inside does not end it");
        let odd = SysAllocStringByteLen(b"xyz".as_ptr(), 3);
        assert_eq!((SysStringByteLen(odd), SysStringLen(odd)), (3, 1));
        let empty = SysAllocString([0].as_ptr());
        assert!(!empty.is_null());
        assert_eq!(SysStringLen(empty), 0);
        for string in [zeros, inner, odd, empty, null_mut()] {
            SysFreeString(string);
        }
        assert!(SysAllocString(std::ptr::null()).is_null());
        assert!(SysAllocStringLen(std::ptr::null(), u32::MAX).is_null(), "longer than a length can say");
        assert_eq!((SysStringLen(null_mut()), SysStringByteLen(null_mut())), (0, 0));

        let block = CoTaskMemAlloc(0);
        assert!(!block.is_null());
        let block = CoTaskMemRealloc(block, 100);
        assert!(CoTaskMemRealloc(block, 0).is_null());
        CoTaskMemFree(CoTaskMemRealloc(null_mut(), 8));
        CoTaskMemFree(null_mut());
        NcFreeNetconProperties(null_mut());
        assert_eq!(NcIsValidConnectionName(std::ptr::null()), 0);
        assert_eq!(NcIsValidConnectionName(text.as_ptr()), 1);
        assert_eq!(NcIsValidConnectionName(wide("a/b").as_ptr()), 0);
        assert_eq!(NcIsValidConnectionName(wide(&"x".repeat(256)).as_ptr()), 1);
        assert_eq!(NcIsValidConnectionName(wide(&"x".repeat(257)).as_ptr()), 0);
    }
}

#[test]
fn what_is_not_offered_says_so() {
    run("what_is_not_offered_says_so", |_| {
        assert_eq!(CoInitialize(null_mut()), S_OK);
        let all = objects();
        for slot in [3, 4, 5] {
            assert_eq!(call(all[CONNECTION], slot, &[]), E_NOTIMPL, "slot {slot}");
        }
        for object in all {
            release(object);
        }
        CoUninitialize();
    });
}
