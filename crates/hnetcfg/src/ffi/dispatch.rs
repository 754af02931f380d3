//! `IDispatch`: methods by name and number, arguments as `VARIANT`s.
//!
//! A method that fails answers `DISP_E_EXCEPTION` where the caller has an `EXCEPINFO` to take its number and sentence, and
//! its own number where not. There is no type information.

use std::ffi::c_void;

use crate::{
    ffi::{
        bstr::{self, Wide},
        guard,
        object::{Class, Interface, Ref, UnknownTable, body},
        put,
        symbols::IID_NULL,
        tables::DispatchTable,
        take, variant,
    },
    hresult::{
        DISP_E_BADINDEX, DISP_E_BADPARAMCOUNT, DISP_E_EXCEPTION, DISP_E_MEMBERNOTFOUND, DISP_E_PARAMNOTFOUND,
        DISP_E_PARAMNOTOPTIONAL, DISP_E_UNKNOWNINTERFACE, DISP_E_UNKNOWNNAME, E_INVALIDARG, E_NOTIMPL,
        E_POINTER, E_UNEXPECTED, HRESULT, Refusal, S_OK,
    },
    types::{
        DISPATCH_METHOD, DISPATCH_PROPERTYGET, DISPATCH_PROPERTYPUT, DISPATCH_PROPERTYPUTREF, DISPID_UNKNOWN,
        DISPPARAMS, EXCEPINFO, GUID, VARIANT, VARTYPE, VT_I4, VT_UI1, VT_UI4,
    },
    value::Value,
};

/// Names are not longer.
const NAME_LIMIT: usize = 128;
/// More names than a method has parameters need not be read.
const NAMES_LIMIT: usize = 64;

/// A class whose objects can be called by name.
pub(crate) trait Automation: Class {
    /// Its members.
    const MEMBERS: &'static [Member<Self>];
}

/// A parameter: its name and its type.
pub(crate) type Parameter = (&'static str, VARTYPE);

/// A method or a property that can be read.
pub(crate) struct Member<T> {
    name: &'static str,
    id: i32,
    kind: u16,
    parameters: &'static [Parameter],
    run: fn(&T, &Arguments) -> Result<Value, Refusal>,
}

/// A property.
pub(crate) const fn property<T>(
    id: i32,
    name: &'static str,
    parameters: &'static [Parameter],
    run: fn(&T, &Arguments) -> Result<Value, Refusal>,
) -> Member<T> {
    Member { name, id, kind: DISPATCH_PROPERTYGET, parameters, run }
}

/// A method.
pub(crate) const fn method<T>(
    id: i32,
    name: &'static str,
    parameters: &'static [Parameter],
    run: fn(&T, &Arguments) -> Result<Value, Refusal>,
) -> Member<T> {
    Member { name, id, kind: DISPATCH_METHOD, parameters, run }
}

/// The arguments in the order of the parameters, each of the type of its parameter.
#[derive(Debug)]
pub(crate) struct Arguments(Vec<Value>);

impl Arguments {
    pub(crate) fn integer<T: TryFrom<i128>>(&self, place: usize) -> Result<T, Refusal> {
        match self.0.get(place) {
            Some(Value::Integer(_, value)) => T::try_from(*value).map_err(|_| E_UNEXPECTED.into()),
            _ => Err(E_UNEXPECTED.into()),
        }
    }

    pub(crate) fn text(&self, place: usize) -> Result<Vec<u16>, Refusal> {
        match self.0.get(place) {
            Some(Value::Text(text)) => Ok(text.clone()),
            _ => Err(E_UNEXPECTED.into()),
        }
    }

    pub(crate) fn object(&self, place: usize) -> Result<Option<&Interface>, Refusal> {
        match self.0.get(place) {
            Some(Value::Unknown(object) | Value::Dispatch(object)) => Ok(object.as_ref()),
            _ => Err(E_UNEXPECTED.into()),
        }
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Empty
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(VT_I4, number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(VT_UI4, number.into())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::Integer(VT_UI1, number.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl<T: Automation> From<Ref<T>> for Value {
    fn from(object: Ref<T>) -> Self {
        Self::Dispatch(Some(object.into_interface()))
    }
}

impl DispatchTable {
    /// The methods of the objects of a class.
    pub(crate) const fn of<T: Automation>() -> Self {
        Self {
            base: UnknownTable::of::<T>(),
            get_type_info_count,
            get_type_info,
            get_ids_of_names: get_ids_of_names::<T>,
            invoke: invoke::<T>,
        }
    }
}

unsafe extern "C" fn get_type_info_count(_: *mut c_void, count: *mut u32) -> HRESULT {
    if count.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller promises a place for the number.
    unsafe { put(count, 0) };
    S_OK
}

unsafe extern "C" fn get_type_info(_: *mut c_void, index: u32, _: u32, info: *mut *mut c_void) -> HRESULT {
    if info.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller promises a place for the pointer.
    unsafe { put(info, std::ptr::null_mut()) };
    if index == 0 { E_NOTIMPL } else { DISP_E_BADINDEX }
}

unsafe extern "C" fn get_ids_of_names<T: Automation>(
    _: *mut c_void,
    riid: *const GUID,
    names: *const *const u16,
    count: u32,
    _: u32,
    ids: *mut i32,
) -> HRESULT {
    if ids.is_null() {
        return E_POINTER;
    }
    let outcome = guard(|| {
        // SAFETY: the caller promises NULL or an identifier.
        check_reserved(unsafe { take(riid) })?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if names.is_null() || count == 0 || count > NAMES_LIMIT {
            return Err(E_INVALIDARG.into());
        }
        let mut texts = Vec::new();
        for place in 0..count {
            // SAFETY: the caller promises `count` names.
            let name = unsafe { names.wrapping_add(place).read_unaligned() };
            // SAFETY: the caller promises zero-terminated strings.
            let name = unsafe { Wide::new(name) };
            if name.is_null() {
                return Err(E_INVALIDARG.into());
            }
            texts.push(name.text(NAME_LIMIT).unwrap_or_default());
        }
        Ok(texts)
    });
    let texts = match outcome {
        Ok(texts) => texts,
        Err(refusal) => return refusal.code,
    };
    let found = numbers(T::MEMBERS, &texts);
    for (place, id) in found.iter().enumerate() {
        // SAFETY: the caller promises as many places as names.
        unsafe { put(ids.wrapping_add(place), *id) };
    }
    if found.contains(&DISPID_UNKNOWN) { DISP_E_UNKNOWNNAME } else { S_OK }
}

/// The number of a member, and those of its parameters after it.
fn numbers<T>(members: &[Member<T>], names: &[String]) -> Vec<i32> {
    let member =
        names.first().and_then(|name| members.iter().find(|member| member.name.eq_ignore_ascii_case(name)));
    let parameter = |name: &String| {
        let place = member?.parameters.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
        i32::try_from(place).ok()
    };
    let first = member.map_or(DISPID_UNKNOWN, |member| member.id);
    let others = names.iter().skip(1).map(|name| parameter(name).unwrap_or(DISPID_UNKNOWN));
    std::iter::once(first).chain(others).collect()
}

fn check_reserved(riid: Option<GUID>) -> Result<(), Refusal> {
    match riid {
        None => Err(E_INVALIDARG.into()),
        Some(riid) if riid == IID_NULL => Ok(()),
        Some(_) => Err(DISP_E_UNKNOWNINTERFACE.into()),
    }
}

unsafe extern "C" fn invoke<T: Automation>(
    this: *mut c_void,
    id: i32,
    riid: *const GUID,
    _: u32,
    flags: u16,
    params: *const DISPPARAMS,
    result: *mut VARIANT,
    exception: *mut EXCEPINFO,
    wrong: *mut u32,
) -> HRESULT {
    let mut failed = None;
    let outcome = guard(|| {
        // SAFETY: the caller promises NULL or an identifier.
        check_reserved(unsafe { take(riid) })?;
        // SAFETY: the caller promises NULL or the arguments.
        let params = unsafe { take(params) }.ok_or(E_INVALIDARG)?;
        // SAFETY: the method was found in the table of an object of this class.
        let body = unsafe { body::<T>(this) }.ok_or(E_POINTER)?;
        let member = T::MEMBERS.iter().find(|member| member.id == id).ok_or(DISP_E_MEMBERNOTFOUND)?;
        let known = DISPATCH_METHOD | DISPATCH_PROPERTYGET | DISPATCH_PROPERTYPUT | DISPATCH_PROPERTYPUTREF;
        if flags == 0 || flags & !known != 0 {
            return Err(E_INVALIDARG.into());
        }
        if flags & member.kind == 0 {
            return Err(DISP_E_MEMBERNOTFOUND.into());
        }
        // SAFETY: the caller promises that the arguments are what their counts say.
        let arguments = unsafe { arguments(member.parameters, &params) };
        let arguments = match arguments {
            Ok(arguments) => arguments,
            Err((code, place)) => {
                if let Some(place) = place {
                    // SAFETY: the caller promises NULL or a place for the number.
                    unsafe { put(wrong, place) };
                }
                return Err(code.into());
            }
        };
        let value = (member.run)(body, &arguments).inspect_err(|refusal| failed = Some(refusal.clone()))?;
        variant::write(value)
    });
    match outcome {
        Ok(value) if result.is_null() => {
            let mut value = value;
            // SAFETY: a value of our own that nobody else knows.
            unsafe { variant::VariantClear(&raw mut value) };
            S_OK
        }
        Ok(value) => {
            // SAFETY: the caller promises a place for the value.
            unsafe { put(result, value) };
            S_OK
        }
        Err(_) if failed.is_some() && !exception.is_null() => {
            let info = failed.map(|refusal| describe(&refusal));
            if let Some(info) = info {
                // SAFETY: the caller promises a place for the description.
                unsafe { put(exception, info) };
            }
            DISP_E_EXCEPTION
        }
        Err(refusal) => refusal.code,
    }
}

/// A failure for those who take a sentence. Strings for which there is no room are left out.
fn describe(refusal: &Refusal) -> EXCEPINFO {
    let text =
        |text: &str| bstr::new(&text.encode_utf16().collect::<Vec<_>>()).unwrap_or(std::ptr::null_mut());
    EXCEPINFO {
        wCode: 0,
        wReserved: 0,
        bstrSource: text("HNetCfg.HNetShare"),
        bstrDescription: text(&refusal.sentence),
        bstrHelpFile: std::ptr::null_mut(),
        dwHelpContext: 0,
        pvReserved: std::ptr::null_mut(),
        pfnDeferredFillIn: std::ptr::null_mut(),
        scode: refusal.code,
    }
}

/// The number of the failure, and the place in `rgvarg` of the argument at fault.
type Fault = (HRESULT, Option<u32>);

/// Puts the arguments into the order and the types of the parameters. Positional ones come last one first, after the
/// named ones.
///
/// # Safety
///
/// `rgvarg` points to `cArgs` values and `rgdispidNamedArgs` to `cNamedArgs` numbers, or is NULL.
unsafe fn arguments(parameters: &[Parameter], params: &DISPPARAMS) -> Result<Arguments, Fault> {
    let (count, named) = (params.cArgs, params.cNamedArgs);
    let missing = (count > 0 && params.rgvarg.is_null()) || (named > 0 && params.rgdispidNamedArgs.is_null());
    if missing || named > count {
        return Err((E_INVALIDARG, None));
    }
    let total = usize::try_from(count).unwrap_or(usize::MAX);
    if total != parameters.len() {
        return Err((DISP_E_BADPARAMCOUNT, None));
    }
    let mut values: Vec<Option<Value>> = vec![None; total];
    for place in 0..count {
        let offset = usize::try_from(place).unwrap_or(usize::MAX);
        let parameter = if place < named {
            // SAFETY: `place` is below the count of named arguments.
            let id = unsafe { params.rgdispidNamedArgs.wrapping_add(offset).read_unaligned() };
            usize::try_from(id).ok()
        } else {
            Some(total - 1 - offset)
        };
        let free =
            parameter.and_then(|parameter| Some((values.get_mut(parameter)?, parameters.get(parameter)?)));
        let Some((value @ None, (_, kind))) = free else { return Err((DISP_E_PARAMNOTFOUND, Some(place))) };
        // SAFETY: `place` is below the count of arguments.
        let argument = unsafe { params.rgvarg.wrapping_add(offset).read_unaligned() };
        let read = match variant::read(&argument) {
            Ok(Value::Error(DISP_E_PARAMNOTFOUND)) => Err(DISP_E_PARAMNOTOPTIONAL),
            Ok(read) => read.coerce(*kind, false),
            Err(code) => Err(code),
        };
        *value = Some(read.map_err(|code| (code, Some(place)))?);
    }
    let complete: Option<Vec<Value>> = values.into_iter().collect();
    complete.map(Arguments).ok_or((DISP_E_PARAMNOTOPTIONAL, None))
}

/// The class of members the tables of dispatch numbers are compared with.
#[cfg(test)]
pub(crate) fn members<T: Automation>() -> Vec<(&'static str, i32, bool)> {
    T::MEMBERS.iter().map(|member| (member.name, member.id, member.kind == DISPATCH_METHOD)).collect()
}
