//! The numbers methods answer with (spec/internet-connection-sharing.md §5.1).

use hostednet::Error;

/// What a function of COM answers. Negative: it failed.
pub type HRESULT = i32;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        $($(#[$doc])* pub const $name: HRESULT = u32::cast_signed($number);)*
    };
}

numbers! {
    /// Done.
    S_OK = 0;
    /// Done, and the answer is no: fewer elements than asked for.
    S_FALSE = 1;
    /// Not offered here.
    E_NOTIMPL = 0x8000_4001;
    /// The object has no such interface.
    E_NOINTERFACE = 0x8000_4002;
    /// A pointer to a result is NULL.
    E_POINTER = 0x8000_4003;
    /// Something failed that has no number.
    E_FAIL = 0x8000_4005;
    /// A defect of the library.
    E_UNEXPECTED = 0x8000_FFFF;
    /// The caller may not do it.
    E_ACCESSDENIED = 0x8007_0005;
    /// No memory.
    E_OUTOFMEMORY = 0x8007_000E;
    /// An argument is wrong.
    E_INVALIDARG = 0x8007_0057;
    /// `Invoke`, `GetIDsOfNames`: the reserved interface is not `IID_NULL`.
    DISP_E_UNKNOWNINTERFACE = 0x8002_0001;
    /// No member has this number, or not of this kind.
    DISP_E_MEMBERNOTFOUND = 0x8002_0003;
    /// No parameter has the number of a named argument.
    DISP_E_PARAMNOTFOUND = 0x8002_0004;
    /// A value cannot become one of the wanted type.
    DISP_E_TYPEMISMATCH = 0x8002_0005;
    /// No member or parameter has this name.
    DISP_E_UNKNOWNNAME = 0x8002_0006;
    /// A `VARIANT` of a type that does not occur here.
    DISP_E_BADVARTYPE = 0x8002_0008;
    /// The method failed; the `EXCEPINFO` says how.
    DISP_E_EXCEPTION = 0x8002_0009;
    /// The value does not fit.
    DISP_E_OVERFLOW = 0x8002_000A;
    /// There is no type information with this index.
    DISP_E_BADINDEX = 0x8002_000B;
    /// Too many or too few arguments.
    DISP_E_BADPARAMCOUNT = 0x8002_000E;
    /// An argument that must be given was left out.
    DISP_E_PARAMNOTOPTIONAL = 0x8002_000F;
    /// These objects cannot be part of others.
    CLASS_E_NOAGGREGATION = 0x8004_0110;
    /// The library has no such class.
    CLASS_E_CLASSNOTAVAILABLE = 0x8004_0111;
    /// There is no such class.
    REGDB_E_CLASSNOTREG = 0x8004_0154;
    /// The thread did not call `CoInitialize`.
    CO_E_NOTINITIALIZED = 0x8004_01F0;
    /// The text is neither a class identifier nor a known program identifier.
    CO_E_CLASSSTRING = 0x8004_01F3;
    /// The text is not an interface identifier.
    CO_E_IIDSTRING = 0x8004_01F4;
    /// The thread is in an apartment of the other kind.
    RPC_E_CHANGED_MODE = 0x8001_0106;
    /// Security was set before.
    RPC_E_TOO_LATE = 0x8001_0119;
}

/// `HRESULT_FROM_WIN32`.
pub const fn from_win32(code: u32) -> HRESULT {
    if code == 0 { S_OK } else { (0x8007_0000 | (code & 0xffff)).cast_signed() }
}

/// The object is gone.
pub const NOT_FOUND: HRESULT = from_win32(1168);
/// The connection cannot be shared.
pub const NOT_SUPPORTED: HRESULT = from_win32(50);
/// The service does not run.
pub const SERVICE_NOT_ACTIVE: HRESULT = from_win32(1062);

/// Why a method did not succeed: the number, and a sentence for those who can take one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: HRESULT,
    pub(crate) sentence: String,
}

impl From<HRESULT> for Refusal {
    fn from(code: HRESULT) -> Self {
        Self { code, sentence: String::new() }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { code: from_win32(error.code().win32()), sentence: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use hostednet::types::{ErrorCode, Failure, Reason};

    use super::*;

    #[test]
    fn failures_of_the_service_have_the_documented_numbers() {
        let code = |code| {
            Refusal::from(Error::from(Failure::check(code, Reason::Unspecified, "a test", "a cause"))).code
        };
        assert_eq!(code(ErrorCode::AccessDenied), E_ACCESSDENIED);
        assert_eq!(code(ErrorCode::InvalidParameter), E_INVALIDARG);
        assert_eq!(code(ErrorCode::ServiceNotActive).cast_unsigned(), 0x8007_0426);
        assert_eq!(code(ErrorCode::ServiceDependencyFail).cast_unsigned(), 0x8007_042C);
        assert_eq!(code(ErrorCode::SharingAddressExists).cast_unsigned(), 0x8007_02FD);
        assert_eq!(code(ErrorCode::NotFound).cast_unsigned(), 0x8007_0490);
        assert_eq!(code(ErrorCode::NotSupported).cast_unsigned(), 0x8007_0032);
        assert_eq!(from_win32(0), S_OK);
    }
}
