//! `VARIANT`s.

use crate::{
    ffi::{
        bstr::{self, SysAllocStringByteLen, SysFreeString, SysStringByteLen, Text},
        guard,
        object::{Given, Interface},
        put, take,
    },
    hresult::{DISP_E_BADVARTYPE, E_INVALIDARG, E_OUTOFMEMORY, HRESULT, Refusal, S_OK},
    types::{
        BSTR, VARIANT, VARIANT_ALPHABOOL, VARIANT_DATA, VARIANT_FALSE, VARIANT_TRUE, VARTYPE, VT_BOOL,
        VT_BSTR, VT_BYREF, VT_DISPATCH, VT_EMPTY, VT_ERROR, VT_I1, VT_I2, VT_I4, VT_I8, VT_INT, VT_NULL,
        VT_UI1, VT_UI2, VT_UI4, VT_UI8, VT_UINT, VT_UNKNOWN, VT_VARIANT,
    },
    value::Value,
};

/// What a field of the union of a value says.
macro_rules! field {
    ($data:expr, $field:ident) => {{
        let data: VARIANT_DATA = $data;
        // SAFETY: every field is plain data that takes any bits, and the union is as long as the longest.
        unsafe { data.$field }
    }};
}

/// Makes a value empty without a look at what it was.
///
/// # Safety
///
/// `pvarg` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantInit(pvarg: *mut VARIANT) {
    // SAFETY: the caller's promise.
    unsafe { put(pvarg, VARIANT::EMPTY) };
}

/// Gives back what a value holds and makes it empty. Arrays, records and unknown types do not occur here
/// (`DISP_E_BADVARTYPE`).
///
/// # Safety
///
/// `pvarg` is NULL or points to a value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantClear(pvarg: *mut VARIANT) -> HRESULT {
    // SAFETY: the caller's promise.
    let Some(value) = (unsafe { take(pvarg) }) else { return E_INVALIDARG };
    if !known(value.vt) {
        return DISP_E_BADVARTYPE;
    }
    // SAFETY: the caller's promise. Nobody finds what is given back.
    unsafe { put(pvarg, VARIANT::EMPTY) };
    match value.vt {
        VT_BSTR => {
            let string = field!(value.data, bstrVal);
            // SAFETY: the value owned the string.
            unsafe { SysFreeString(string) };
        }
        VT_UNKNOWN | VT_DISPATCH => {
            let object = field!(value.data, punkVal);
            // SAFETY: the value owned the reference.
            drop(unsafe { Interface::adopt(object) });
        }
        _ => {}
    }
    S_OK
}

/// Makes a value a copy of another, after giving back what it held.
///
/// # Safety
///
/// Both are NULL or point to values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantCopy(pvargDest: *mut VARIANT, pvargSrc: *const VARIANT) -> HRESULT {
    // SAFETY: the caller's promise.
    let Some(source) = (unsafe { take(pvargSrc) }) else { return E_INVALIDARG };
    if pvargDest.is_null() {
        return E_INVALIDARG;
    }
    if std::ptr::eq(pvargDest, pvargSrc) {
        return S_OK;
    }
    let copy = match copy(&source) {
        Ok(copy) => copy,
        Err(code) => return code,
    };
    // SAFETY: the caller's promise.
    let cleared = unsafe { VariantClear(pvargDest) };
    let mut copy = copy;
    let (to, rest) =
        if cleared == S_OK { (pvargDest, None) } else { (std::ptr::null_mut(), Some(&raw mut copy)) };
    if let Some(rest) = rest {
        // SAFETY: a copy of our own that nobody else knows.
        unsafe { VariantClear(rest) };
    }
    // SAFETY: the caller's promise.
    unsafe { put(to, copy) };
    cleared
}

/// A copy that owns what it holds.
fn copy(source: &VARIANT) -> Result<VARIANT, HRESULT> {
    if !known(source.vt) {
        return Err(DISP_E_BADVARTYPE);
    }
    let mut copy = *source;
    match source.vt {
        VT_BSTR => copy.data = VARIANT_DATA { bstrVal: copy_string(field!(source.data, bstrVal))? },
        VT_UNKNOWN | VT_DISPATCH => {
            let object = field!(source.data, punkVal);
            // SAFETY: the value holds NULL or an object.
            let object = unsafe { Given::new(object) }.interface();
            copy.data.punkVal = object.map_or(std::ptr::null_mut(), Interface::into_raw);
        }
        _ => {}
    }
    Ok(copy)
}

fn copy_string(string: BSTR) -> Result<BSTR, HRESULT> {
    if string.is_null() {
        return Ok(string);
    }
    // SAFETY: the value holds a string.
    let length = unsafe { SysStringByteLen(string) };
    // SAFETY: the string has so many bytes.
    let copy = unsafe { SysAllocStringByteLen(string.cast(), length) };
    if copy.is_null() { Err(E_OUTOFMEMORY) } else { Ok(copy) }
}

/// Makes a value one of another type; both may be the same place. Integers, truth values, text and objects.
///
/// # Safety
///
/// Both are NULL or point to values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantChangeType(
    pvargDest: *mut VARIANT,
    pvarSrc: *const VARIANT,
    wFlags: u16,
    vt: VARTYPE,
) -> HRESULT {
    // SAFETY: the caller's promise.
    let Some(source) = (unsafe { take(pvarSrc) }) else { return E_INVALIDARG };
    if pvargDest.is_null() {
        return E_INVALIDARG;
    }
    let words = wFlags & VARIANT_ALPHABOOL != 0;
    let changed = guard(|| write(read(&source)?.coerce(vt, words)?));
    match changed {
        Ok(mut changed) => {
            // SAFETY: the caller's promise.
            let cleared = unsafe { VariantClear(pvargDest) };
            if cleared == S_OK {
                // SAFETY: the caller's promise.
                unsafe { put(pvargDest, changed) };
            } else {
                // SAFETY: a value of our own that nobody else knows.
                unsafe { VariantClear(&raw mut changed) };
            }
            cleared
        }
        Err(refusal) => refusal.code,
    }
}

/// Whether a value of this type can be copied and given back: no array, no record, nothing unheard of.
const fn known(vt: VARTYPE) -> bool {
    let base = vt & !VT_BYREF;
    base <= VT_UINT && base != 15 && (base != VT_VARIANT || vt & VT_BYREF != 0)
}

/// Bytes of a simple value of this type.
const fn width(base: VARTYPE) -> Option<usize> {
    Some(match base {
        VT_I1 | VT_UI1 => 1,
        VT_I2 | VT_UI2 | VT_BOOL => 2,
        VT_I4 | VT_UI4 | VT_INT | VT_UINT | VT_ERROR => 4,
        VT_I8 | VT_UI8 => 8,
        VT_BSTR | VT_UNKNOWN | VT_DISPATCH => size_of::<usize>(),
        _ => return None,
    })
}

/// What a value holds, also by reference. The value stays the owner of what it holds.
pub(crate) fn read(value: &VARIANT) -> Result<Value, HRESULT> {
    if value.vt & VT_BYREF == 0 {
        return simple(value.vt, value.data);
    }
    let base = value.vt & !VT_BYREF;
    let place = field!(value.data, byref);
    if place.is_null() {
        return Err(E_INVALIDARG);
    }
    if base == VT_VARIANT {
        // SAFETY: the type says that a value lies there.
        let inner = unsafe { place.cast::<VARIANT>().read_unaligned() };
        return simple(inner.vt, inner.data);
    }
    let width = width(base).ok_or(DISP_E_BADVARTYPE)?;
    let mut data = VARIANT_DATA { ullVal: 0 };
    // SAFETY: the type says that so many bytes lie there, and the union has room for them.
    unsafe { (&raw mut data).cast::<u8>().copy_from_nonoverlapping(place.cast::<u8>(), width) };
    simple(base, data)
}

fn simple(vt: VARTYPE, data: VARIANT_DATA) -> Result<Value, HRESULT> {
    let object = || {
        let raw = field!(data, punkVal);
        // SAFETY: the type says that it is NULL or an object.
        unsafe { Given::new(raw) }.interface()
    };
    Ok(match vt {
        VT_EMPTY => Value::Empty,
        VT_NULL => Value::Null,
        VT_I1 => Value::Integer(vt, field!(data, cVal).into()),
        VT_UI1 => Value::Integer(vt, field!(data, bVal).into()),
        VT_I2 => Value::Integer(vt, field!(data, iVal).into()),
        VT_UI2 => Value::Integer(vt, field!(data, uiVal).into()),
        VT_I4 | VT_INT => Value::Integer(vt, field!(data, lVal).into()),
        VT_UI4 | VT_UINT => Value::Integer(vt, field!(data, ulVal).into()),
        VT_I8 => Value::Integer(vt, field!(data, llVal).into()),
        VT_UI8 => Value::Integer(vt, field!(data, ullVal).into()),
        VT_BOOL => Value::Bool(field!(data, boolVal) != VARIANT_FALSE),
        VT_ERROR => Value::Error(field!(data, lVal)),
        VT_BSTR => {
            let string = field!(data, bstrVal);
            // SAFETY: the type says that it is NULL or a string.
            Value::Text(unsafe { Text::new(string) }.units())
        }
        VT_UNKNOWN => Value::Unknown(object()),
        VT_DISPATCH => Value::Dispatch(object()),
        _ => return Err(DISP_E_BADVARTYPE),
    })
}

/// A value for the caller.
pub(crate) fn write(value: Value) -> Result<VARIANT, Refusal> {
    let raw = |object: Option<Interface>| VARIANT_DATA {
        punkVal: object.map_or(std::ptr::null_mut(), Interface::into_raw),
    };
    let (vt, data) = match value {
        Value::Empty => (VT_EMPTY, VARIANT_DATA { ullVal: 0 }),
        Value::Null => (VT_NULL, VARIANT_DATA { ullVal: 0 }),
        // Two's complement: the low bytes are the value in its own width.
        Value::Integer(vt, number) => {
            let low = number.to_le_bytes();
            let low = u64::from_le_bytes([low[0], low[1], low[2], low[3], low[4], low[5], low[6], low[7]]);
            (vt, narrow(vt, low))
        }
        Value::Bool(truth) => {
            (VT_BOOL, VARIANT_DATA { boolVal: if truth { VARIANT_TRUE } else { VARIANT_FALSE } })
        }
        Value::Error(code) => (VT_ERROR, VARIANT_DATA { lVal: code }),
        Value::Text(text) => (VT_BSTR, VARIANT_DATA { bstrVal: bstr::new(&text)? }),
        Value::Unknown(object) => (VT_UNKNOWN, raw(object)),
        Value::Dispatch(object) => (VT_DISPATCH, raw(object)),
    };
    Ok(VARIANT { vt, data, ..VARIANT::EMPTY })
}

/// The low bytes of a number where a value of this type has them.
fn narrow(vt: VARTYPE, low: u64) -> VARIANT_DATA {
    let [a, b, c, d, ..] = low.to_le_bytes();
    match vt {
        VT_I1 | VT_UI1 => VARIANT_DATA { bVal: a },
        VT_I2 | VT_UI2 => VARIANT_DATA { uiVal: u16::from_le_bytes([a, b]) },
        VT_I8 | VT_UI8 => VARIANT_DATA { ullVal: low },
        _ => VARIANT_DATA { ulVal: u32::from_le_bytes([a, b, c, d]) },
    }
}
