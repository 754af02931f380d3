//! Values of automation and what they become when another type is wanted.

use crate::{
    ffi::object::Interface,
    hresult::{DISP_E_BADVARTYPE, DISP_E_OVERFLOW, DISP_E_TYPEMISMATCH, HRESULT},
    types::{
        VARTYPE, VT_BOOL, VT_BSTR, VT_DISPATCH, VT_EMPTY, VT_ERROR, VT_I1, VT_I2, VT_I4, VT_I8, VT_INT,
        VT_NULL, VT_UI1, VT_UI2, VT_UI4, VT_UI8, VT_UINT, VT_UNKNOWN,
    },
};

/// What a `VARIANT` holds. Text is UTF-16 as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Empty,
    Null,
    /// An integer of the type in the first field, in its range.
    Integer(VARTYPE, i128),
    Bool(bool),
    Text(Vec<u16>),
    Error(HRESULT),
    Unknown(Option<Interface>),
    Dispatch(Option<Interface>),
}

/// Least and greatest value of an integer type.
fn range(kind: VARTYPE) -> Option<(i128, i128)> {
    Some(match kind {
        VT_I1 => (i8::MIN.into(), i8::MAX.into()),
        VT_I2 => (i16::MIN.into(), i16::MAX.into()),
        VT_I4 | VT_INT => (i32::MIN.into(), i32::MAX.into()),
        VT_I8 => (i64::MIN.into(), i64::MAX.into()),
        VT_UI1 => (0, u8::MAX.into()),
        VT_UI2 => (0, u16::MAX.into()),
        VT_UI4 | VT_UINT => (0, u32::MAX.into()),
        VT_UI8 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn fit(kind: VARTYPE, value: i128) -> Result<Value, HRESULT> {
    let (least, greatest) = range(kind).ok_or(DISP_E_BADVARTYPE)?;
    if (least..=greatest).contains(&value) { Ok(Value::Integer(kind, value)) } else { Err(DISP_E_OVERFLOW) }
}

fn number(text: &[u16]) -> Result<i128, HRESULT> {
    let text = String::from_utf16(text).map_err(|_| DISP_E_TYPEMISMATCH)?;
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DISP_E_TYPEMISMATCH);
    }
    text.parse().map_err(|_| DISP_E_OVERFLOW)
}

fn truth(text: &[u16]) -> Result<bool, HRESULT> {
    let lower = String::from_utf16_lossy(text).trim().to_ascii_lowercase();
    match lower.as_str() {
        "true" | "#true#" => Ok(true),
        "false" | "#false#" => Ok(false),
        _ => number(text).map(|number| number != 0),
    }
}

impl Value {
    /// Text.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.encode_utf16().collect())
    }

    /// The same as a value of type `wanted`. `words`: truth becomes `True` and `False` as text, not `-1` and `0`.
    pub(crate) fn coerce(self, wanted: VARTYPE, words: bool) -> Result<Self, HRESULT> {
        if range(wanted).is_some() {
            return match self {
                Self::Integer(_, value) => fit(wanted, value),
                Self::Bool(truth) => {
                    // TRUE is all ones in every width.
                    let greatest =
                        range(wanted).filter(|(least, _)| *least == 0).map_or(-1, |(_, most)| most);
                    fit(wanted, if truth { greatest } else { 0 })
                }
                Self::Text(text) => fit(wanted, number(&text)?),
                Self::Empty => fit(wanted, 0),
                Self::Null | Self::Error(_) | Self::Unknown(_) | Self::Dispatch(_) => {
                    Err(DISP_E_TYPEMISMATCH)
                }
            };
        }
        match wanted {
            VT_BOOL => match self {
                Self::Bool(truth) => Ok(Self::Bool(truth)),
                Self::Integer(_, value) => Ok(Self::Bool(value != 0)),
                Self::Text(text) => truth(&text).map(Self::Bool),
                Self::Empty => Ok(Self::Bool(false)),
                Self::Null | Self::Error(_) | Self::Unknown(_) | Self::Dispatch(_) => {
                    Err(DISP_E_TYPEMISMATCH)
                }
            },
            VT_BSTR => match self {
                Self::Text(text) => Ok(Self::Text(text)),
                Self::Integer(_, value) => Ok(Self::text(&value.to_string())),
                Self::Bool(truth) => Ok(Self::text(match (truth, words) {
                    (true, true) => "True",
                    (false, true) => "False",
                    (true, false) => "-1",
                    (false, false) => "0",
                })),
                Self::Empty => Ok(Self::Text(Vec::new())),
                Self::Null | Self::Error(_) | Self::Unknown(_) | Self::Dispatch(_) => {
                    Err(DISP_E_TYPEMISMATCH)
                }
            },
            VT_UNKNOWN => match self {
                Self::Unknown(object) | Self::Dispatch(object) => Ok(Self::Unknown(object)),
                Self::Empty
                | Self::Null
                | Self::Integer(..)
                | Self::Bool(_)
                | Self::Text(_)
                | Self::Error(_) => Err(DISP_E_TYPEMISMATCH),
            },
            VT_DISPATCH => match self {
                Self::Dispatch(object) => Ok(Self::Dispatch(object)),
                Self::Unknown(None) => Ok(Self::Dispatch(None)),
                Self::Unknown(Some(object)) => {
                    let object =
                        object.query(&crate::symbols::IID_IDispatch).map_err(|_| DISP_E_TYPEMISMATCH)?;
                    Ok(Self::Dispatch(Some(object)))
                }
                Self::Empty
                | Self::Null
                | Self::Integer(..)
                | Self::Bool(_)
                | Self::Text(_)
                | Self::Error(_) => Err(DISP_E_TYPEMISMATCH),
            },
            VT_EMPTY => Ok(Self::Empty),
            VT_NULL => Ok(Self::Null),
            VT_ERROR => match self {
                Self::Error(code) => Ok(Self::Error(code)),
                Self::Empty
                | Self::Null
                | Self::Integer(..)
                | Self::Bool(_)
                | Self::Text(_)
                | Self::Unknown(_)
                | Self::Dispatch(_) => Err(DISP_E_TYPEMISMATCH),
            },
            _ => Err(DISP_E_BADVARTYPE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn become_(value: Value, wanted: VARTYPE) -> Result<Value, HRESULT> {
        value.coerce(wanted, false)
    }

    #[test]
    fn integers_change_their_width_while_they_fit() {
        assert_eq!(become_(Value::Integer(VT_I4, 6), VT_UI1), Ok(Value::Integer(VT_UI1, 6)));
        assert_eq!(become_(Value::Integer(VT_I4, 256), VT_UI1), Err(DISP_E_OVERFLOW));
        assert_eq!(become_(Value::Integer(VT_I2, -1), VT_UI4), Err(DISP_E_OVERFLOW));
        assert_eq!(become_(Value::Integer(VT_UI8, u64::MAX.into()), VT_I8), Err(DISP_E_OVERFLOW));
    }

    #[test]
    fn text_becomes_what_it_says() {
        assert_eq!(become_(Value::text(" 17 "), VT_UI1), Ok(Value::Integer(VT_UI1, 17)));
        assert_eq!(become_(Value::text("-5"), VT_I4), Ok(Value::Integer(VT_I4, -5)));
        assert_eq!(become_(Value::text("9".repeat(60).as_str()), VT_I4), Err(DISP_E_OVERFLOW));
        for wrong in ["", "x", "1x", "--1", "-"] {
            assert_eq!(become_(Value::text(wrong), VT_I4), Err(DISP_E_TYPEMISMATCH), "{wrong}");
        }
        assert_eq!(become_(Value::text("TRUE"), VT_BOOL), Ok(Value::Bool(true)));
        assert_eq!(become_(Value::text("0"), VT_BOOL), Ok(Value::Bool(false)));
    }

    #[test]
    fn truth_is_all_ones() {
        assert_eq!(become_(Value::Bool(true), VT_I4), Ok(Value::Integer(VT_I4, -1)));
        assert_eq!(become_(Value::Bool(true), VT_UI1), Ok(Value::Integer(VT_UI1, 255)));
        assert_eq!(become_(Value::Bool(true), VT_BSTR), Ok(Value::text("-1")));
        assert_eq!(Value::Bool(true).coerce(VT_BSTR, true), Ok(Value::text("True")));
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        assert_eq!(become_(Value::Null, VT_I4), Err(DISP_E_TYPEMISMATCH));
        assert_eq!(become_(Value::Empty, VT_UNKNOWN), Err(DISP_E_TYPEMISMATCH));
        assert_eq!(become_(Value::Empty, VT_I4), Ok(Value::Integer(VT_I4, 0)));
        assert_eq!(become_(Value::Empty, 14), Err(DISP_E_BADVARTYPE));
    }
}
