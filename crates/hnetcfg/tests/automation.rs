//! Objects called by name, as scripts do, through the declarations of the crate `windows` (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of COM")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every pointer here is a local of the test or an object"
)]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "tests read C structures")]

mod com;
#[path = "../../wlanapi/tests/world/mod.rs"]
mod world;

use std::mem::ManuallyDrop;

use com::{code, find, idle, leave, manager, object, pointer, settle, values, wide};
use hnetcfg::types as ours;
use windows::{
    Win32::{
        Foundation::*,
        System::{Com::*, Ole::IEnumVARIANT},
    },
    core::{BSTR, GUID, HRESULT, IUnknown, Interface, PCWSTR, VARIANT},
};
use world::run;

fn numbers(object: &IDispatch, names: &[&str]) -> (HRESULT, Vec<i32>) {
    let texts: Vec<Vec<u16>> = names.iter().map(|name| wide(name)).collect();
    let pointers: Vec<PCWSTR> = texts.iter().map(|text| pointer(text)).collect();
    let mut ids = vec![77; names.len()];
    let count = u32::try_from(names.len()).unwrap();
    let result =
        unsafe { object.GetIDsOfNames(&GUID::zeroed(), pointers.as_ptr(), count, 0x409, ids.as_mut_ptr()) };
    (code(result), ids)
}

/// One call as a script makes it: by name, the arguments in their order. The failure comes with the exception.
fn call(
    object: &IDispatch,
    name: &str,
    flags: DISPATCH_FLAGS,
    arguments: &[VARIANT],
) -> Result<VARIANT, (HRESULT, HRESULT)> {
    let (known, ids) = numbers(object, &[name]);
    assert!(known.is_ok(), "{name}");
    let mut reversed: Vec<VARIANT> = arguments.iter().rev().cloned().collect();
    invoke(object, ids[0], flags, &mut reversed, &mut [], None)
}

fn invoke(
    object: &IDispatch,
    id: i32,
    flags: DISPATCH_FLAGS,
    values: &mut [VARIANT],
    named: &mut [i32],
    wrong: Option<*mut u32>,
) -> Result<VARIANT, (HRESULT, HRESULT)> {
    let params = DISPPARAMS {
        rgvarg: values.as_mut_ptr(),
        rgdispidNamedArgs: named.as_mut_ptr(),
        cArgs: u32::try_from(values.len()).unwrap_or(u32::MAX),
        cNamedArgs: u32::try_from(named.len()).unwrap_or(u32::MAX),
    };
    let mut result = VARIANT::default();
    let mut exception = EXCEPINFO::default();
    let answer = unsafe {
        object.Invoke(
            id,
            &GUID::zeroed(),
            0x409,
            flags,
            &params,
            Some(&mut result),
            Some(&mut exception),
            wrong,
        )
    };
    for text in [&mut exception.bstrSource, &mut exception.bstrDescription] {
        unsafe { ManuallyDrop::drop(text) };
    }
    answer.map(|()| result).map_err(|error| (error.code(), HRESULT(exception.scode)))
}

fn number(value: i32) -> VARIANT {
    VARIANT::from(value)
}

fn text(value: &VARIANT) -> String {
    let raw = unsafe { &value.as_raw().Anonymous.Anonymous };
    assert_eq!(raw.vt, 8);
    let string = unsafe { raw.Anonymous.bstrVal };
    let length = unsafe { hnetcfg::SysStringLen(string) } as usize;
    String::from_utf16(unsafe { std::slice::from_raw_parts(string, length) }).unwrap()
}

fn long(value: &VARIANT) -> i32 {
    let raw = unsafe { &value.as_raw().Anonymous.Anonymous };
    assert!([3, 19].contains(&raw.vt), "{}", raw.vt);
    unsafe { raw.Anonymous.lVal }
}

fn truth(value: &VARIANT) -> bool {
    let raw = unsafe { &value.as_raw().Anonymous.Anonymous };
    assert_eq!(raw.vt, 11);
    match unsafe { raw.Anonymous.boolVal } {
        0 => false,
        -1 => true,
        other => panic!("{other} is neither true nor false"),
    }
}

fn dispatch(value: &VARIANT) -> IDispatch {
    assert_eq!(unsafe { value.as_raw().Anonymous.Anonymous.vt }, 9);
    object(value).cast().unwrap()
}

const GET: DISPATCH_FLAGS = DISPATCH_PROPERTYGET;
/// How scripts read a property or call a method without knowing which it is.
const BOTH: DISPATCH_FLAGS = DISPATCH_FLAGS(3);

#[test]
fn names_are_found_in_any_case_and_unknown_ones_are_minus_one() {
    run("names_are_found_in_any_case_and_unknown_ones_are_minus_one", |_| {
        let manager = manager();
        let automatic: IDispatch = manager.cast().unwrap();
        assert_eq!(numbers(&automatic, &["SharingInstalled"]), (HRESULT(0), vec![1]));
        assert_eq!(numbers(&automatic, &["ENUMEVERYCONNECTION"]), (HRESULT(0), vec![7]));
        assert_eq!(numbers(&automatic, &["NetConnectionProps", "pnetconnection"]), (HRESULT(0), vec![8, 0]));
        assert_eq!(numbers(&automatic, &["Nothing"]), (DISP_E_UNKNOWNNAME, vec![-1]));
        assert_eq!(numbers(&automatic, &["Nothing", "Flags"]), (DISP_E_UNKNOWNNAME, vec![-1, -1]));
        assert_eq!(
            numbers(&automatic, &["EnumPublicConnections", "Flag"]),
            (DISP_E_UNKNOWNNAME, vec![2, -1])
        );
        unsafe {
            assert_eq!(automatic.GetTypeInfoCount().unwrap(), 0);
            assert_eq!(code(automatic.GetTypeInfo(0, 0)), E_NOTIMPL);
            assert_eq!(code(automatic.GetTypeInfo(1, 0)), DISP_E_BADINDEX);
            let name = wide("Count");
            let names = [pointer(&name)];
            let mut id = 0;
            let strange = IUnknown::IID;
            let refused = automatic.GetIDsOfNames(&strange, names.as_ptr(), 1, 0, &mut id);
            assert_eq!(code(refused), DISP_E_UNKNOWNINTERFACE);
        }
        drop((automatic, manager));
        assert!(idle());
        leave();
    });
}

#[test]
fn a_script_shares_and_maps_a_port_by_names_alone() {
    run("a_script_shares_and_maps_a_port_by_names_alone", |world| {
        let sharing = manager();
        settle(&sharing, 3);
        let manager: IDispatch = sharing.cast().unwrap();
        drop(sharing);
        assert!(truth(&call(&manager, "SharingInstalled", BOTH, &[]).unwrap()));
        let every = dispatch(&call(&manager, "EnumEveryConnection", BOTH, &[]).unwrap());
        assert_eq!(long(&call(&every, "Count", GET, &[]).unwrap()), 3);
        let enumerator: IEnumVARIANT =
            object(&invoke(&every, -4, BOTH, &mut [], &mut [], None).unwrap()).cast().unwrap();
        let mut found = Vec::new();
        for value in values(&enumerator) {
            let properties =
                dispatch(&call(&manager, "NetConnectionProps", BOTH, std::slice::from_ref(&value)).unwrap());
            let name = text(&call(&properties, "Name", GET, &[]).unwrap());
            assert_eq!(long(&call(&properties, "MediaType", GET, &[]).unwrap()), 3);
            assert_eq!(long(&call(&properties, "Status", GET, &[]).unwrap()), 2);
            assert_eq!(text(&call(&properties, "Guid", GET, &[]).unwrap()).len(), 38);
            assert!(!text(&call(&properties, "DeviceName", GET, &[]).unwrap()).is_empty());
            assert_ne!(long(&call(&properties, "Characteristics", GET, &[]).unwrap()), 0);
            let asked = call(&manager, "INetSharingConfigurationForINetConnection", BOTH, &[value]);
            found.push((name, dispatch(&asked.unwrap())));
        }
        let configuration = |name: &str| &found.iter().find(|(found, _)| found == name).unwrap().1;
        let (public, private) = (configuration("wlan0"), configuration("eth0"));
        call(public, "EnableSharing", BOTH, &[number(0)]).unwrap();
        // A script's numbers may be text.
        call(private, "EnableSharing", BOTH, &[VARIANT::from(BSTR::from("1"))]).unwrap();
        assert_eq!(world.session().status().unwrap().sharing.mode.as_str(), "full");
        assert!(truth(&call(public, "SharingEnabled", GET, &[]).unwrap()));
        assert_eq!(long(&call(private, "SharingConnectionType", GET, &[]).unwrap()), 1);
        for (name, count) in [("EnumPublicConnections", 1), ("EnumPrivateConnections", 1)] {
            let collection = dispatch(&call(&manager, name, BOTH, &[number(0)]).unwrap());
            assert_eq!(long(&call(&collection, "Count", GET, &[]).unwrap()), count);
        }
        let (web, target) = (VARIANT::from(BSTR::from("web")), VARIANT::from(BSTR::from("192.168.137.7")));
        let arguments = [web, number(6), number(8080), number(80), number(0), target, number(1)];
        let mapping = dispatch(&call(public, "AddPortMapping", BOTH, &arguments).unwrap());
        call(&mapping, "Enable", DISPATCH_METHOD, &[]).unwrap();
        let properties = dispatch(&call(&mapping, "Properties", GET, &[]).unwrap());
        assert!(truth(&call(&properties, "Enabled", GET, &[]).unwrap()));
        assert_eq!(text(&call(&properties, "Name", GET, &[]).unwrap()), "web");
        assert_eq!(text(&call(&properties, "TargetIPAddress", GET, &[]).unwrap()), "192.168.137.7");
        assert_eq!(text(&call(&properties, "TargetName", GET, &[]).unwrap()), "");
        assert_eq!(long(&call(&properties, "ExternalPort", GET, &[]).unwrap()), 8080);
        assert_eq!(long(&call(&properties, "InternalPort", GET, &[]).unwrap()), 80);
        assert_eq!(long(&call(&properties, "Options", GET, &[]).unwrap()), 0);
        let protocol = call(&properties, "IPProtocol", GET, &[]).unwrap();
        assert_eq!(unsafe { protocol.as_raw().Anonymous.Anonymous.vt }, 17);
        call(&mapping, "Disable", DISPATCH_METHOD, &[]).unwrap();
        let taken = call(public, "AddPortMapping", BOTH, &arguments).err().unwrap();
        assert_eq!(taken, (DISP_E_EXCEPTION, E_INVALIDARG), "the exception carries the number");
        let all = dispatch(&call(public, "EnumPortMappings", BOTH, &[number(0)]).unwrap());
        assert_eq!(long(&call(&all, "Count", GET, &[]).unwrap()), 1);
        call(public, "RemovePortMapping", BOTH, &[VARIANT::from(mapping.cast::<IUnknown>().unwrap())])
            .unwrap();
        assert_eq!(call(&mapping, "Delete", BOTH, &[]).err().unwrap().0, DISP_E_EXCEPTION);
        for (name, on) in [("EnableInternetFirewall", true), ("DisableInternetFirewall", false)] {
            call(public, name, BOTH, &[]).unwrap();
            assert_eq!(truth(&call(public, "InternetFirewallEnabled", GET, &[]).unwrap()), on);
        }
        call(private, "DisableSharing", BOTH, &[]).unwrap();
        assert_eq!(world.session().status().unwrap().sharing.mode.as_str(), "off");
        drop((found, manager, every, enumerator, properties, mapping, all));
        assert!(idle(), "values and exceptions own what they hold");
        leave();
    });
}

#[test]
fn wrong_arguments_of_invoke_have_their_numbers_and_their_place() {
    run("wrong_arguments_of_invoke_have_their_numbers_and_their_place", |_| {
        let sharing = manager();
        let manager: IDispatch = sharing.cast().unwrap();
        let connection = VARIANT::from(find(&sharing, "wlan0").cast::<IUnknown>().unwrap());
        let refused = |id, flags, values: &mut [VARIANT], named: &mut [i32]| {
            let mut place = 99;
            let outcome = invoke(&manager, id, flags, values, named, Some(&mut place));
            (outcome.map_or_else(|(code, _)| code, |_| S_OK), place)
        };
        assert_eq!(refused(99, BOTH, &mut [], &mut []).0, DISP_E_MEMBERNOTFOUND);
        assert_eq!(refused(1, DISPATCH_METHOD, &mut [], &mut []).0, DISP_E_MEMBERNOTFOUND);
        assert_eq!(refused(1, DISPATCH_PROPERTYPUT, &mut [], &mut []).0, DISP_E_MEMBERNOTFOUND);
        assert_eq!(refused(1, DISPATCH_FLAGS(0), &mut [], &mut []).0, E_INVALIDARG);
        assert_eq!(refused(1, DISPATCH_FLAGS(0x11), &mut [], &mut []).0, E_INVALIDARG);
        assert_eq!(refused(1, GET, &mut [number(1)], &mut []).0, DISP_E_BADPARAMCOUNT);
        assert_eq!(refused(2, GET, &mut [], &mut []).0, DISP_E_BADPARAMCOUNT);
        assert_eq!(refused(2, GET, &mut [number(0)], &mut [0]).0, S_OK, "by its name");
        assert_eq!(refused(2, GET, &mut [number(0)], &mut [1]), (DISP_E_PARAMNOTFOUND, 0));
        assert_eq!(refused(2, GET, &mut [number(0)], &mut [0, 0]).0, E_INVALIDARG);
        assert_eq!(refused(2, GET, &mut [connection.clone()], &mut []), (DISP_E_TYPEMISMATCH, 0));
        assert_eq!(refused(8, GET, &mut [number(3)], &mut []), (DISP_E_TYPEMISMATCH, 0));
        let nothing = BSTR::from("nothing");
        assert_eq!(refused(2, GET, &mut [VARIANT::from(nothing)], &mut []), (DISP_E_TYPEMISMATCH, 0));
        assert_eq!(refused(2, GET, &mut [VARIANT::from(i64::MAX)], &mut []), (DISP_E_OVERFLOW, 0));
        assert_eq!(refused(2, GET, &mut [VARIANT::from(0.5_f64)], &mut []), (DISP_E_BADVARTYPE, 0));

        let asked = call(&manager, "INetSharingConfigurationForINetConnection", BOTH, &[connection]);
        let configuration = dispatch(&asked.unwrap());
        // AddPortMapping, three arguments by name: name, internal port and options; the others by place.
        let text = |text: &str| VARIANT::from(BSTR::from(text));
        let good =
            || [number(1), text("192.168.137.9"), number(0), number(81), number(80), text("web"), number(6)];
        let named = |values: &mut [VARIANT], names: &mut [i32]| {
            let mut place = 99;
            let outcome = invoke(&configuration, 9, BOTH, values, names, Some(&mut place));
            (outcome.map_or_else(|(code, _)| code, |_| S_OK), place)
        };
        assert_eq!(named(&mut good(), &mut [6, 5, 4, 2, 3, 0, 1]), (S_OK, 99));
        let mut wrong = good();
        wrong[6] = number(256);
        assert_eq!(named(&mut wrong, &mut [6, 5, 4, 2, 3, 0, 1]), (DISP_E_OVERFLOW, 6));
        assert_eq!(named(&mut good(), &mut [6, 6]), (DISP_E_PARAMNOTFOUND, 1), "one argument twice");

        unsafe {
            let none = DISPPARAMS::default();
            let id = GUID::zeroed();
            assert_eq!(
                code(manager.Invoke(1, &IUnknown::IID, 0, GET, &none, None, None, None)),
                DISP_E_UNKNOWNINTERFACE
            );
            assert_eq!(
                code(manager.Invoke(1, &id, 0, GET, &none, None, None, None)),
                S_OK,
                "nobody wants the result"
            );
            let two = DISPPARAMS { cArgs: 1, ..none };
            assert_eq!(code(manager.Invoke(2, &id, 0, GET, &two, None, None, None)), E_INVALIDARG);
            // Without a place for the exception the number of the failure itself comes.
            let mut flags = [number(1)];
            let flags = DISPPARAMS { rgvarg: flags.as_mut_ptr(), cArgs: 1, ..none };
            assert_eq!(code(manager.Invoke(2, &id, 0, GET, &flags, None, None, None)), E_INVALIDARG);
        }
        drop((configuration, manager, sharing));
        leave();
    });
}

/// A value of our own declaration.
fn raw(vt: u16, set: impl FnOnce(&mut ours::VARIANT_DATA)) -> ours::VARIANT {
    let mut value = ours::VARIANT { vt, ..ours::VARIANT::EMPTY };
    set(&mut value.data);
    value
}

#[test]
fn arguments_may_come_by_reference() {
    run("arguments_may_come_by_reference", |_| {
        let sharing = manager();
        let manager: IDispatch = sharing.cast().unwrap();
        let connection = find(&sharing, "wlan0");
        let (mut flags, mut short) = (0_i32, 0_i16);
        let mut inner = raw(3, |data| data.lVal = 0);
        let mut object = connection.as_raw();
        let by_reference = [
            (2, raw(0x4003, |data| data.byref = (&raw mut flags).cast()), 0),
            (2, raw(0x4002, |data| data.byref = (&raw mut short).cast()), 0),
            (2, raw(0x400c, |data| data.byref = (&raw mut inner).cast()), 0),
            (2, raw(0x400b, |data| data.byref = (&raw mut short).cast()), 0),
            (8, raw(0x400d, |data| data.byref = (&raw mut object).cast()), 0),
            (2, raw(0x4003, |data| data.byref = std::ptr::null_mut()), E_INVALIDARG.0),
            (2, raw(0x2003, |_| ()), DISP_E_BADVARTYPE.0),
            (2, raw(12, |_| ()), DISP_E_BADVARTYPE.0),
            (2, raw(10, |data| data.lVal = DISP_E_PARAMNOTFOUND.0), DISP_E_PARAMNOTOPTIONAL.0),
            (8, raw(13, |data| data.punkVal = std::ptr::null_mut()), DISP_E_EXCEPTION.0),
        ];
        for (place, (id, mut value, expected)) in by_reference.into_iter().enumerate() {
            let values = unsafe { std::slice::from_raw_parts_mut((&raw mut value).cast::<VARIANT>(), 1) };
            let outcome = invoke(&manager, id, GET, values, &mut [], None);
            assert_eq!(outcome.map_or_else(|(code, _)| code.0, |_| 0), expected, "row {place}");
        }
        drop((connection, manager, sharing));
        assert!(idle(), "borrowed objects are not given back");
        leave();
    });
}

#[test]
fn values_are_copied_changed_and_cleared() {
    use hnetcfg::{SysFreeString, VariantChangeType, VariantClear, VariantCopy, VariantInit};
    run("values_are_copied_changed_and_cleared", |_| {
        let manager: IUnknown = manager().cast().unwrap();
        unsafe {
            let mut value = raw(77, |_| ());
            VariantInit(&mut value);
            assert_eq!(value.vt, 0);
            // Text is copied.
            let mut source = raw(8, |data| data.bstrVal = BSTR::from("text").into_raw().cast_mut());
            assert_eq!(VariantCopy(&mut value, &source), 0);
            assert_ne!(value.data.bstrVal, source.data.bstrVal);
            assert_eq!(VariantClear(&mut source), 0);
            assert_eq!(source.vt, 0);
            assert_eq!(VariantCopy(&mut value, &value.clone()), 0);
            // Objects are counted.
            let object = raw(13, |data| data.punkVal = manager.as_raw());
            assert_eq!(VariantCopy(&mut value, &object), 0);
            assert_eq!(value.data.punkVal, manager.as_raw());
            assert_eq!(VariantChangeType(&mut value, &object, 0, 9), 0);
            assert_eq!(value.vt, 9);
            assert_eq!(VariantClear(&mut value), 0);
            // Numbers, text, truth.
            let source = raw(3, |data| data.lVal = -5);
            assert_eq!(VariantChangeType(&mut value, &source, 0, 8), 0);
            assert_eq!(hnetcfg::SysStringLen(value.data.bstrVal), 2);
            let text = value;
            assert_eq!(VariantChangeType(&mut value, &text, 0, 20), 0, "in its own place");
            assert_eq!((value.vt, value.data.llVal), (20, -5));
            assert_eq!(VariantChangeType(&mut value, &source, 0, 17), DISP_E_OVERFLOW.0);
            assert_eq!(VariantChangeType(&mut value, &source, 0, 11), 0);
            assert_eq!(value.data.boolVal, -1);
            let yes = value;
            assert_eq!(VariantChangeType(&mut value, &yes, 2, 8), 0);
            assert_eq!(hnetcfg::SysStringLen(value.data.bstrVal), 4, "True");
            assert_eq!(VariantChangeType(&mut value, &source, 0, 5), DISP_E_BADVARTYPE.0);
            assert_eq!(VariantClear(&mut value), 0);
            // What does not occur is left alone.
            let mut array = raw(0x2003, |_| ());
            assert_eq!(VariantClear(&mut array), DISP_E_BADVARTYPE.0);
            assert_eq!(array.vt, 0x2003);
            assert_eq!(VariantCopy(&mut value, &array), DISP_E_BADVARTYPE.0);
            assert_eq!(VariantCopy(&mut array, &source), DISP_E_BADVARTYPE.0);
            // What is borrowed is not given back.
            let mut string = BSTR::from("mine").into_raw().cast_mut();
            let mut borrowed = raw(0x4008, |data| data.byref = (&raw mut string).cast());
            assert_eq!(VariantClear(&mut borrowed), 0);
            SysFreeString(string);
            assert_eq!(VariantClear(std::ptr::null_mut()), E_INVALIDARG.0);
            assert_eq!(VariantCopy(std::ptr::null_mut(), &source), E_INVALIDARG.0);
            assert_eq!(VariantCopy(&mut value, std::ptr::null()), E_INVALIDARG.0);
            assert_eq!(VariantChangeType(std::ptr::null_mut(), &source, 0, 3), E_INVALIDARG.0);
            assert_eq!(VariantChangeType(&mut value, std::ptr::null(), 0, 3), E_INVALIDARG.0);
            VariantInit(std::ptr::null_mut());
        }
        drop(manager);
        assert!(idle());
        leave();
    });
}
