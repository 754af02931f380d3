//! Failures on the bus: an error name of the table, a sentence, and the whole failure as `a{sv}`.

use hn_types::{ErrorCode, Failure, Reason};
use zbus::{DBusError, Message, message::Header, names::ErrorName};

use crate::tree::{self, Fields};

/// A value does not fit the wire form or the expected structure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A D-Bus type that no value of ours uses.
    #[error("the value has a type that is not part of this interface")]
    ForeignType,
    /// Not a dictionary with string keys.
    #[error("the value is not a dictionary with string keys")]
    NotAStructure,
    /// A list has an absent item.
    #[error("a list has an absent item")]
    NullInList,
    /// Not a finite number.
    #[error("a number is not finite")]
    Number,
    /// Nested deeper than [`crate::tree::DEPTH_LIMIT`].
    #[error("the value nests too deep")]
    TooDeep,
    /// A field is missing, unknown or of the wrong type.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// The D-Bus library refused the value.
    #[error("{0}")]
    Bus(#[from] zbus::Error),
}

/// A [`Failure`] as a D-Bus error reply. The body is `(s a{sv})`: the sentence and the fields.
#[derive(Debug)]
pub struct BusFailure {
    failure: Box<Failure>,
    sentence: String,
}

impl BusFailure {
    /// The failure.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }
}

impl From<Failure> for BusFailure {
    fn from(failure: Failure) -> Self {
        Self { sentence: failure.to_string(), failure: Box::new(failure) }
    }
}

impl From<TreeError> for BusFailure {
    fn from(error: TreeError) -> Self {
        Failure::check(ErrorCode::InvalidParameter, Reason::BadParameters, "the request", error).into()
    }
}

impl DBusError for BusFailure {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let fields = tree::to_fields(&*self.failure).unwrap_or_default();
        Message::error(call, self.name()).build(&(self.sentence.as_str(), fields))
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.failure.code.bus_name())
    }

    fn description(&self) -> Option<&str> {
        Some(&self.sentence)
    }
}

/// The failure in an error reply; a reply that carries none of ours becomes one of class
/// [`ErrorCode::GenFailure`].
pub fn failure_from_reply(error: &zbus::Error) -> Failure {
    if let zbus::Error::MethodError(name, _, message) = error
        && ErrorCode::from_bus_name(name.as_str()).is_some()
        && let Ok((_, fields)) = message.body().deserialize::<(String, Fields)>()
        && let Ok(failure) = tree::from_fields::<Failure>(&fields)
    {
        return failure;
    }
    Failure::check(ErrorCode::GenFailure, Reason::Unspecified, "the service", error)
}
