//! Every exported function × every bad argument × what the service is doing: return code, fail reason, and results
//! that stay untouched (tier T1).
//!
//! The cells come from the table of functions below: an argument says of what kind it is, the kind what is bad.
//! A function of the header without a row fails the test.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of C functions")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "each is one call of a row")]
#![expect(clippy::undocumented_unsafe_blocks, reason = "every pointer here is NULL or memory of the test")]

mod world;

use std::{
    collections::BTreeSet,
    ffi::c_void,
    ptr::{null_mut, with_exposed_provenance_mut},
};

use hn_conformance::checks;
use wlanapi::{types::*, *};
use world::{World, run};

const SUCCESS: Expect = Expect { code: 0, reason: 0 };
const PARAMETER: Expect = Expect { code: 87, reason: 2 };
const HANDLE_UNKNOWN: Expect = Expect { code: 6, reason: 2 };
const READ_ONLY: Expect = Expect { code: 50, reason: 6 };
const NO_SERVICE: Expect = Expect { code: 1062, reason: 24 };

#[derive(Clone, Copy, Debug, PartialEq)]
struct Expect {
    code: DWORD,
    reason: i32,
}

/// A reason that nobody can be told.
const fn code(code: DWORD) -> Expect {
    Expect { code, reason: -1 }
}

/// What is passed in one place.
#[derive(Clone, Copy, Debug)]
enum Value {
    Null,
    Number(i64),
    Bytes(&'static [u8]),
    /// The handle of the test, a closed one, one that never was.
    Open,
    Closed,
    Never,
    /// A place for the result of this argument.
    Place,
    Callback,
    /// The GUID of the station, and one of nobody.
    Station,
    Nobody,
    /// The descriptor in force, and no descriptor.
    Descriptor,
    Nonsense,
}

type Bad = (&'static str, Value, Expect);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Handle,
    Reserved,
    /// The place for the fail reason: optional, written on every outcome.
    Reason,
    /// A result: a number; a buffer that is freed; a handle that is closed.
    Out,
    Buffer,
    Opened,
    /// A result nobody has to take.
    Maybe,
    In(Value, &'static [Bad]),
}

use Kind::{Buffer, Handle, In, Maybe, Opened, Out, Reason, Reserved};

struct Row {
    name: &'static str,
    /// What tells rows of one function apart.
    form: &'static str,
    arguments: &'static [Kind],
    call: fn(&[usize]) -> DWORD,
    /// What it answers when every argument is right.
    good: Expect,
    /// Whether it asks the service for anything.
    service: bool,
}

/// Any number as the type of an argument: callers of C do the same.
macro_rules! row {
    ($name:ident, $form:literal, [$($place:literal: $kind:expr),*], $good:expr, $service:expr) => {
        Row {
            name: stringify!($name),
            form: $form,
            arguments: &[$($kind),*],
            #[expect(clippy::allow_attributes, reason = "functions without pointers are safe")]
            call: |a| {
                #[allow(unused_unsafe, reason = "some of them are safe")]
                unsafe { $name($(a[$place] as _),*) }
            },
            good: $good,
            service: $service,
        }
    };
}

const NULL_IS_BAD: &[Bad] = &[("NULL", Value::Null, PARAMETER)];
const VERSIONS: &[Bad] = &[
    ("version 0", Value::Number(0), code(50)),
    ("version 3", Value::Number(3), code(50)),
    ("version 0.2", Value::Number(0x2_0000), code(50)),
    ("version 65535", Value::Number(0xffff), code(50)),
];
const OBJECTS: &[Bad] = &[
    ("object 17", Value::Number(17), PARAMETER),
    ("object -1", Value::Number(-1), PARAMETER),
    ("object 2147483647", Value::Number(i32::MAX as i64), PARAMETER),
];
const OPCODES: &[Bad] = &[
    ("opcode 4", Value::Number(4), PARAMETER),
    ("opcode -1", Value::Number(-1), PARAMETER),
    ("opcode 2147483647", Value::Number(i32::MAX as i64), PARAMETER),
];
const SET_ENABLE: &[Bad] = &[
    ("opcode 4", Value::Number(4), PARAMETER),
    ("opcode -1", Value::Number(-1), PARAMETER),
    ("opcode 2147483647", Value::Number(i32::MAX as i64), PARAMETER),
    ("opcode 0 with the size of another", Value::Number(0), PARAMETER),
    ("opcode 1", Value::Number(1), READ_ONLY),
    ("opcode 2", Value::Number(2), READ_ONLY),
];
const SIZES_OF_ENABLE: &[Bad] = &[
    ("size 0", Value::Number(0), PARAMETER),
    ("size 1", Value::Number(1), PARAMETER),
    ("size 3", Value::Number(3), PARAMETER),
    ("size 5", Value::Number(5), PARAMETER),
    ("size 4294967295", Value::Number(u32::MAX as i64), PARAMETER),
];
const SIZES_OF_CONNECTION: &[Bad] = &[
    ("size 0", Value::Number(0), PARAMETER),
    ("size 36", Value::Number(36), PARAMETER),
    ("size 39", Value::Number(39), PARAMETER),
    ("size 41", Value::Number(41), PARAMETER),
];
/// Connection settings and one byte more.
const fn connection(length: u8, devices: u16) -> [u8; 41] {
    let mut bytes = [0; 41];
    bytes[0] = length;
    let mut i = 4;
    while i < 36 {
        bytes[i] = b'n';
        i += 1;
    }
    [bytes[36], bytes[37]] = devices.to_le_bytes();
    bytes
}

static CONNECTION: [u8; 41] = connection(4, 100);
static NO_NAME: [u8; 41] = connection(0, 100);
static LONG_NAME: [u8; 41] = connection(33, 100);
static NO_DEVICES: [u8; 41] = connection(4, 0);
static MANY_DEVICES: [u8; 41] = connection(4, 2_008);
static CONNECTIONS: [Bad; 5] = [
    ("NULL", Value::Null, PARAMETER),
    ("no name", Value::Bytes(&NO_NAME), PARAMETER),
    ("a name of 33 bytes", Value::Bytes(&LONG_NAME), PARAMETER),
    ("no devices", Value::Bytes(&NO_DEVICES), PARAMETER),
    ("2008 devices", Value::Bytes(&MANY_DEVICES), PARAMETER),
];
/// Eight characters and their zero, and more behind it than any length says.
const PASSPHRASE: &[u8; 80] =
    b"password\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
const LENGTHS: &[Bad] = &[
    ("length 0 with a key", Value::Number(0), PARAMETER),
    ("length 1", Value::Number(1), PARAMETER),
    ("length 8 without the zero", Value::Number(8), PARAMETER),
    ("length 10", Value::Number(10), PARAMETER),
    ("length 64", Value::Number(64), PARAMETER),
    ("length 65", Value::Number(65), PARAMETER),
    ("length 4294967295", Value::Number(u32::MAX as i64), PARAMETER),
];
const PASSPHRASES: &[Bad] = &[
    ("NULL", Value::Null, PARAMETER),
    ("seven characters", Value::Bytes(b"1234567\0\0"), PARAMETER),
    ("a letter that is not ASCII", Value::Bytes(b"passw\xc3\xb6r\0"), PARAMETER),
];
const IS_RAW: &[Bad] = &[("raw, of nine bytes", Value::Number(0), PARAMETER)];
const IS_TEXT: &[Bad] = &[("a passphrase, of 32 bytes without a zero", Value::Number(1), PARAMETER)];
const RAW_LENGTHS: &[Bad] =
    &[("length 31", Value::Number(31), PARAMETER), ("length 33", Value::Number(33), PARAMETER)];
const GUIDS: &[Bad] = &[("NULL", Value::Null, PARAMETER), ("of nobody", Value::Nobody, code(1168))];
const INTERFACE_OPCODES: &[Bad] = &[
    ("opcode 0", Value::Number(0), PARAMETER),
    ("opcode -1", Value::Number(-1), PARAMETER),
    ("opcode 0x40000000", Value::Number(0x4000_0000), PARAMETER),
    ("the current connection", Value::Number(7), code(50)),
    ("statistics", Value::Number(0x1000_0101), code(50)),
];
const DESCRIPTORS: &[Bad] = &[("NULL", Value::Null, PARAMETER), ("nonsense", Value::Nonsense, PARAMETER)];

const fn number(value: i64) -> Kind {
    In(Value::Number(value), &[])
}

static TABLE: &[Row] = &[
    row!(WlanOpenHandle, "", [0: In(Value::Number(2), VERSIONS), 1: Reserved, 2: Out, 3: Opened], SUCCESS, true),
    row!(WlanEnumInterfaces, "", [0: Handle, 1: Reserved, 2: Buffer], SUCCESS, true),
    row!(
        WlanQueryInterface, "",
        [0: Handle, 1: In(Value::Station, GUIDS), 2: In(Value::Number(15), INTERFACE_OPCODES), 3: Reserved, 4: Out,
            5: Buffer, 6: Maybe],
        SUCCESS, true
    ),
    Row {
        name: "WlanRegisterNotification",
        form: "",
        arguments: &[
            Handle,
            number(0x80),
            number(1),
            In(Value::Callback, NULL_IS_BAD),
            number(0),
            Reserved,
            Maybe,
        ],
        call: register,
        good: SUCCESS,
        service: true,
    },
    Row {
        name: "WlanRegisterNotification",
        form: " of none",
        arguments: &[Handle, number(0), number(0), number(0), number(0), Reserved, Maybe],
        call: register,
        good: SUCCESS,
        service: false,
    },
    row!(WlanRegisterVirtualStationNotification, "", [0: Handle, 1: number(1), 2: Reserved], SUCCESS, true),
    row!(
        WlanGetSecuritySettings, "",
        [0: Handle, 1: In(Value::Number(14), OBJECTS), 2: Maybe, 3: Buffer, 4: Out], SUCCESS, true
    ),
    row!(
        WlanSetSecuritySettings, "",
        [0: Handle, 1: In(Value::Number(14), OBJECTS), 2: In(Value::Descriptor, DESCRIPTORS)], SUCCESS, true
    ),
    Row {
        name: "WlanAllocateMemory",
        form: "",
        // Whether there is memory stands for the code.
        arguments: &[In(Value::Number(8), &[("no bytes", Value::Number(0), code(0))])],
        call: |a| {
            let memory = WlanAllocateMemory(a[0] as _);
            unsafe { WlanFreeMemory(memory) };
            (!memory.is_null()).into()
        },
        good: code(1),
        service: false,
    },
    Row {
        name: "WlanFreeMemory",
        form: "",
        arguments: &[In(Value::Null, &[])],
        call: |a| {
            unsafe { WlanFreeMemory(with_exposed_provenance_mut(a[0])) };
            0
        },
        good: SUCCESS,
        service: false,
    },
    row!(
        WlanReasonCodeToString, "",
        [0: number(0), 1: In(Value::Number(2), &[("size 0", Value::Number(0), PARAMETER)]), 2: Out, 3: Reserved],
        SUCCESS, false
    ),
    row!(WlanHostedNetworkInitSettings, "", [0: Handle, 1: Reason, 2: Reserved], SUCCESS, true),
    row!(WlanHostedNetworkQueryStatus, "", [0: Handle, 1: Buffer, 2: Reserved], SUCCESS, true),
    row!(
        WlanHostedNetworkQueryProperty, "",
        [0: Handle, 1: In(Value::Number(0), OPCODES), 2: Out, 3: Buffer, 4: Out, 5: Reserved], SUCCESS, true
    ),
    row!(
        WlanHostedNetworkSetProperty, " of enable",
        [0: Handle, 1: In(Value::Number(3), SET_ENABLE), 2: In(Value::Number(4), SIZES_OF_ENABLE),
            3: In(Value::Bytes(b"\x01\0\0\0\0\0\0\0"), NULL_IS_BAD), 4: Reason, 5: Reserved],
        SUCCESS, true
    ),
    row!(
        WlanHostedNetworkSetProperty, " of the connection",
        [0: Handle, 1: In(Value::Number(0), OPCODES), 2: In(Value::Number(40), SIZES_OF_CONNECTION),
            3: In(Value::Bytes(&CONNECTION), &CONNECTIONS), 4: Reason, 5: Reserved],
        SUCCESS, true
    ),
    row!(
        WlanHostedNetworkSetSecondaryKey, " of a passphrase",
        [0: Handle, 1: In(Value::Number(9), LENGTHS), 2: In(Value::Bytes(PASSPHRASE), PASSPHRASES),
            3: In(Value::Number(1), IS_RAW), 4: number(1), 5: Reason, 6: Reserved],
        SUCCESS, true
    ),
    row!(
        WlanHostedNetworkSetSecondaryKey, " of 32 bytes",
        [0: Handle, 1: In(Value::Number(32), RAW_LENGTHS), 2: In(Value::Bytes(PASSPHRASE), NULL_IS_BAD),
            3: In(Value::Number(0), IS_TEXT), 4: number(0), 5: Reason, 6: Reserved],
        SUCCESS, true
    ),
    row!(
        WlanHostedNetworkQuerySecondaryKey, "",
        [0: Handle, 1: Out, 2: Buffer, 3: Out, 4: Out, 5: Reason, 6: Reserved], SUCCESS, true
    ),
    row!(WlanHostedNetworkRefreshSecuritySettings, "", [0: Handle, 1: Reason, 2: Reserved], SUCCESS, true),
    row!(WlanHostedNetworkStartUsing, "", [0: Handle, 1: Reason, 2: Reserved], SUCCESS, true),
    row!(WlanHostedNetworkStopUsing, "", [0: Handle, 1: Reason, 2: Reserved], SUCCESS, true),
    row!(WlanHostedNetworkForceStart, "", [0: Handle, 1: Reason, 2: Reserved], SUCCESS, true),
    row!(WlanHostedNetworkForceStop, "", [0: Handle, 1: Reason, 2: Reserved], SUCCESS, true),
    // Last: what it is given is closed afterwards.
    row!(WlanCloseHandle, "", [0: Handle, 1: Reserved], SUCCESS, false),
];

fn register(a: &[usize]) -> DWORD {
    let callback: WLAN_NOTIFICATION_CALLBACK = if a[3] == 0 { None } else { Some(ignore) };
    unsafe {
        WlanRegisterNotification(a[0] as _, a[1] as _, a[2] as _, callback, null_mut(), a[5] as _, a[6] as _)
    }
}

unsafe extern "C" fn ignore(_: *mut WLAN_NOTIFICATION_DATA, _: *mut c_void) {}

/// One call: which arguments differ from the right ones, and what it comes to while the service runs.
struct Cell {
    row: &'static Row,
    what: String,
    changes: Vec<(usize, Value)>,
    expect: Expect,
}

/// What is wrong in a place of this kind.
fn bad(kind: Kind) -> Vec<Bad> {
    match kind {
        Handle => vec![
            ("NULL handle", Value::Null, PARAMETER),
            ("closed handle", Value::Closed, HANDLE_UNKNOWN),
            ("handle that never was", Value::Never, HANDLE_UNKNOWN),
            ("handle -1", Value::Number(-1), HANDLE_UNKNOWN),
        ],
        Reserved => vec![("reserved argument", Value::Number(1), PARAMETER)],
        Out | Buffer | Opened => vec![("NULL result", Value::Null, PARAMETER)],
        Reason | Maybe => vec![("nowhere for an optional result", Value::Null, SUCCESS)],
        In(_, bad) => bad.to_vec(),
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for row in TABLE {
        let whole = |what: String, changes, expect| Cell { row, what, changes, expect };
        cells.push(whole("nothing wrong".to_owned(), vec![], row.good));
        let all: Vec<(usize, Bad)> = row
            .arguments
            .iter()
            .enumerate()
            .flat_map(|(i, kind)| bad(*kind).into_iter().map(move |bad| (i, bad)))
            .collect();
        for (place, (what, value, expect)) in &all {
            let expect = if *expect == SUCCESS { row.good } else { *expect };
            cells.push(whole(format!("{what} ({place})"), vec![(*place, *value)], expect));
            if let Some(reason) = row.arguments.iter().position(|kind| matches!(kind, Reason))
                && reason != *place
            {
                let changes = vec![(*place, *value), (reason, Value::Null)];
                cells.push(whole(format!("{what} ({place}), nowhere for the reason"), changes, expect));
            }
        }
        // Two things wrong at once: NULL handle and reserved argument come first, the unknown handle second.
        for (place, (what, value, expect)) in &all {
            for (other, (and, second, then)) in &all {
                let (first, last) = (row.arguments[*place], row.arguments[*other]);
                if !matches!(first, Handle) || other == place || *expect == SUCCESS || *then == SUCCESS {
                    continue;
                }
                let expect = if matches!(last, Reserved) { PARAMETER } else { *expect };
                cells.push(whole(
                    format!("{what} and {and} ({other})"),
                    vec![(*place, *value), (*other, *second)],
                    expect,
                ));
            }
        }
    }
    cells
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Service {
    Running,
    Dead,
    Stopped,
}

/// Handles and memory of the test.
struct Ground {
    open: HANDLE,
    closed: HANDLE,
    station: GUID,
    descriptor: Vec<u16>,
    nonsense: Vec<u16>,
}

const UNTOUCHED: usize = 0x5a5a_5a5a_5a5a_5a5a;

impl Ground {
    fn value(&self, value: Value, place: *mut usize) -> usize {
        match value {
            Value::Null => 0,
            Value::Number(number) => number as usize,
            Value::Bytes(bytes) => bytes.as_ptr().expose_provenance(),
            Value::Open => self.open.addr(),
            Value::Closed => self.closed.addr(),
            Value::Never => 0x4141_4140,
            Value::Place => place.expose_provenance(),
            Value::Callback => 1,
            Value::Station => (&raw const self.station).expose_provenance(),
            Value::Nobody => NOBODY.as_ptr().expose_provenance(),
            Value::Descriptor => self.descriptor.as_ptr().expose_provenance(),
            Value::Nonsense => self.nonsense.as_ptr().expose_provenance(),
        }
    }

    /// Makes the call of a cell and looks at all that came out of it.
    fn check(&self, cell: &Cell, service: Service) {
        let Cell { row, what, changes, .. } = cell;
        let expect = cell.under(service);
        let mut places = [UNTOUCHED; 8];
        let values: Vec<usize> = row
            .arguments
            .iter()
            .enumerate()
            .map(|(i, kind)| {
                let right = match kind {
                    Handle => Value::Open,
                    Reserved => Value::Null,
                    Reason | Out | Buffer | Opened | Maybe => Value::Place,
                    In(value, _) => *value,
                };
                let value = changes.iter().find(|(place, _)| *place == i).map_or(right, |(_, value)| *value);
                self.value(value, &raw mut places[i])
            })
            .collect();
        let name = format!("{}{}: {what}, service {service:?}", row.name, row.form);
        let returned = (row.call)(&values);
        assert_eq!(returned, expect.code, "{name}");
        for (i, kind) in row.arguments.iter().enumerate() {
            let place = places[i];
            let touched = place != UNTOUCHED;
            if values[i] == 0 {
                continue;
            }
            if matches!(kind, Reason) {
                assert_eq!(place as u32 as i32, expect.reason, "{name}: the reason");
            } else if matches!(kind, Out | Buffer | Opened | Maybe) {
                assert_eq!(touched, expect.code == 0, "{name}: result {i}");
            }
            let pointer = with_exposed_provenance_mut(place);
            if touched && matches!(kind, Buffer) {
                unsafe { WlanFreeMemory(pointer) };
            } else if touched && matches!(kind, Opened) {
                assert_eq!(WlanCloseHandle(pointer, null_mut()), 0, "{name}");
            }
        }
    }
}

/// Sixteen bytes that name no adapter.
static NOBODY: [u8; 16] = [0xee; 16];

impl Cell {
    /// What the cell comes to: a service that does not run is found after what is wrong whatever happens.
    fn under(&self, service: Service) -> Expect {
        let wrong = |kind: fn(&Kind) -> bool, value: fn(&Value) -> bool| {
            self.changes.iter().any(|(place, with)| kind(&self.row.arguments[*place]) && value(with))
        };
        let first = wrong(|kind| matches!(kind, Handle), |value| matches!(value, Value::Null))
            || wrong(|kind| matches!(kind, Reserved), |_| true)
            || self.row.name == "WlanOpenHandle" && self.expect.code != 0;
        if service == Service::Running || first || !self.row.service { self.expect } else { NO_SERVICE }
    }
}

fn ground() -> Ground {
    let (mut version, mut open, mut closed) = (0, null_mut(), null_mut());
    unsafe {
        assert_eq!(WlanOpenHandle(2, null_mut(), &mut version, &mut open), 0);
        assert_eq!(WlanOpenHandle(2, null_mut(), &mut version, &mut closed), 0);
        assert_eq!(WlanHostedNetworkInitSettings(open, null_mut(), null_mut()), 0);
    }
    assert_eq!(WlanCloseHandle(closed, null_mut()), 0);
    let mut list = null_mut();
    assert_eq!(unsafe { WlanEnumInterfaces(open, null_mut(), &mut list) }, 0);
    let station = unsafe { (*list).InterfaceInfo[0].InterfaceGuid };
    unsafe { WlanFreeMemory(list.cast()) };
    let (mut text, mut granted) = (null_mut(), 0);
    assert_eq!(unsafe { WlanGetSecuritySettings(open, 14, null_mut(), &mut text, &mut granted) }, 0);
    let length = (0..).take_while(|i| unsafe { *text.add(*i) } != 0).count();
    let descriptor = unsafe { std::slice::from_raw_parts(text, length + 1) }.to_vec();
    unsafe { WlanFreeMemory(text.cast()) };
    Ground { open, closed, station, descriptor, nonsense: "nonsense\0".encode_utf16().collect() }
}

/// Plays every cell in a world of its own; what a function does when nothing is wrong is wanted only while it can be done.
fn play(world: &World, service: Service) {
    let ground = ground();
    let session = world.session();
    match service {
        Service::Running => {}
        Service::Dead => world.kill(),
        Service::Stopped => session.stop_part("wlan").unwrap(),
    }
    let cells = cells();
    let last = cells.len() - 1;
    for cell in &cells {
        if cell.row.name != "WlanCloseHandle" || cell.expect != SUCCESS {
            ground.check(cell, service);
        }
    }
    assert_eq!(cells[last].row.name, "WlanCloseHandle");
    let close = cells.iter().find(|cell| cell.row.name == "WlanCloseHandle" && cell.expect == SUCCESS);
    ground.check(close.unwrap(), service);
}

/// What the header declares.
fn declared() -> BTreeSet<&'static str> {
    let header = include_str!("../include/wlanapi.h");
    let names = header.split("WINAPI ").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
    names.filter(|name| name.starts_with("Wlan")).collect()
}

#[expect(clippy::print_stdout, reason = "the size of the table is a figure of the report")]
fn count(service: Service) {
    let cells = cells();
    println!("{} functions, {} cells, service {service:?}", declared().len(), cells.len());
    assert!(cells.len() > 350, "{} cells", cells.len());
}

#[test]
fn every_exported_function_has_a_row_in_the_table() {
    let rows: BTreeSet<&str> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(rows, declared());
    assert_eq!(rows.len(), 22);
}

#[test]
fn every_function_answers_every_bad_argument_with_its_code_and_reason() {
    count(Service::Running);
    run("every_function_answers_every_bad_argument_with_its_code_and_reason", |world| {
        checks!(M011, M016, M017, M018, M022, M040, M041: play(world, Service::Running));
    });
}

#[test]
fn a_dead_service_comes_after_null_handles_and_before_everything_else() {
    count(Service::Dead);
    run("a_dead_service_comes_after_null_handles_and_before_everything_else", |world| {
        checks!(M019: play(world, Service::Dead));
    });
}

#[test]
fn a_stopped_wlan_part_offers_nothing() {
    count(Service::Stopped);
    run("a_stopped_wlan_part_offers_nothing", |world| {
        checks!(M009, M019: play(world, Service::Stopped));
    });
}

#[test]
fn handles_are_never_used_twice_and_there_are_at_most_256() {
    run("handles_are_never_used_twice_and_there_are_at_most_256", |_| {
        let (mut version, mut handle) = (0, null_mut());
        unsafe { assert_eq!(WlanOpenHandle(1, null_mut(), &mut version, &mut handle), 0) };
        assert_eq!(version, 1);
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

#[test]
fn a_session_the_service_has_no_room_for_is_1220() {
    if !nix::unistd::geteuid().is_root() {
        world::skip("only root can become somebody else");
        return;
    }
    run("a_session_the_service_has_no_room_for_is_1220", |world| {
        // The limit of one user: root has none.
        nix::unistd::seteuid(nix::unistd::Uid::from_raw(65_534)).unwrap();
        let held: Vec<_> = (0..256).map(|_| world.session()).collect();
        let (mut version, mut handle) = (0, null_mut());
        assert_eq!(unsafe { WlanOpenHandle(2, null_mut(), &mut version, &mut handle) }, 1220);
        assert!(handle.is_null());
        drop(held);
        world::wait("there is room again", || unsafe {
            WlanOpenHandle(2, null_mut(), &mut version, &mut handle) == 0
        });
        assert_eq!(WlanCloseHandle(handle, null_mut()), 0);
        nix::unistd::seteuid(nix::unistd::Uid::from_raw(0)).unwrap();
    });
}
