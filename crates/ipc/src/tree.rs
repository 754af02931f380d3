//! Values with fields as `a{sv}`, and back.
//!
//! | value | D-Bus |
//! |---|---|
//! | structure or map | `a{sv}`, absent options left out |
//! | text | `s` |
//! | boolean | `b` |
//! | integer | `t` when not negative, else `x` |
//! | list of structures | `aa{sv}` |
//! | list of texts | `as` |
//! | any other list, the empty one included | `av` |
//!
//! Reading accepts every integer type and every list type. Depth is bounded by [`DEPTH_LIMIT`].

use std::collections::HashMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value};
use zbus::wire::{Array, Dict, OwnedVariant, Signature, Variant};

use crate::error::TreeError;

/// Values nest no deeper.
pub const DEPTH_LIMIT: usize = 16;

/// The wire form of a structure.
pub type Fields = HashMap<String, OwnedVariant>;

/// A structure as `a{sv}`.
pub fn to_fields<T: Serialize>(value: &T) -> Result<Fields, TreeError> {
    let Value::Object(map) = serde_json::to_value(value)? else { return Err(TreeError::NotAStructure) };
    map.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| Ok((name, to_variant(value, DEPTH_LIMIT)?.try_into_owned()?)))
        .collect()
}

/// A structure from `a{sv}`.
pub fn from_fields<T: DeserializeOwned>(fields: &Fields) -> Result<T, TreeError> {
    let mut map = Map::new();
    for (name, value) in fields {
        map.insert(name.clone(), from_variant(value, DEPTH_LIMIT)?);
    }
    Ok(serde_json::from_value(Value::Object(map))?)
}

fn to_variant(value: Value, depth: usize) -> Result<Variant<'static>, TreeError> {
    let depth = depth.checked_sub(1).ok_or(TreeError::TooDeep)?;
    Ok(match value {
        Value::Null => return Err(TreeError::NullInList),
        Value::Bool(flag) => Variant::from(flag),
        Value::Number(number) => number_to_variant(&number)?,
        Value::String(text) => Variant::from(text),
        Value::Array(items) => {
            let signature = if !items.is_empty() && items.iter().all(Value::is_object) {
                fields_signature()?
            } else if !items.is_empty() && items.iter().all(Value::is_string) {
                Signature::Str
            } else {
                Signature::Variant
            };
            let boxed = signature == Signature::Variant;
            let mut array = Array::new(&signature);
            for item in items {
                let item = to_variant(item, depth)?;
                array.append(if boxed { Variant::Variant(Box::new(item)) } else { item })?;
            }
            Variant::Array(array)
        }
        Value::Object(map) => {
            let mut dict = Dict::new(&Signature::Str, &Signature::Variant);
            for (name, value) in map {
                if !value.is_null() {
                    dict.append(Variant::from(name), Variant::Variant(Box::new(to_variant(value, depth)?)))?;
                }
            }
            Variant::Dict(dict)
        }
    })
}

fn fields_signature() -> Result<Signature, TreeError> {
    Signature::try_from("a{sv}").map_err(|error| TreeError::Bus(error.into()))
}

fn number_to_variant(number: &Number) -> Result<Variant<'static>, TreeError> {
    if let Some(n) = number.as_u64() {
        Ok(Variant::from(n))
    } else if let Some(n) = number.as_i64() {
        Ok(Variant::from(n))
    } else {
        number.as_f64().map(Variant::from).ok_or(TreeError::Number)
    }
}

fn from_variant(value: &Variant<'_>, depth: usize) -> Result<Value, TreeError> {
    let depth = depth.checked_sub(1).ok_or(TreeError::TooDeep)?;
    Ok(match value {
        Variant::U8(n) => Value::from(*n),
        Variant::Bool(flag) => Value::from(*flag),
        Variant::I16(n) => Value::from(*n),
        Variant::U16(n) => Value::from(*n),
        Variant::I32(n) => Value::from(*n),
        Variant::U32(n) => Value::from(*n),
        Variant::I64(n) => Value::from(*n),
        Variant::U64(n) => Value::from(*n),
        Variant::F64(n) => Number::from_f64(*n).map(Value::Number).ok_or(TreeError::Number)?,
        Variant::Str(text) => Value::from(text.as_str()),
        Variant::Variant(inner) => from_variant(inner, depth)?,
        Variant::Array(items) => Value::Array(
            items.inner().iter().map(|item| from_variant(item, depth)).collect::<Result<_, _>>()?,
        ),
        Variant::Dict(dict) => {
            let mut map = Map::new();
            for (name, value) in dict.iter() {
                let Variant::Str(name) = name else { return Err(TreeError::NotAStructure) };
                map.insert(name.as_str().to_owned(), from_variant(value, depth)?);
            }
            Value::Object(map)
        }
        Variant::Signature(_) | Variant::ObjectPath(_) | Variant::Structure(_) | Variant::Fd(_) => {
            return Err(TreeError::ForeignType);
        }
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hn_types::{
        Reason, Ssid,
        view::{Event, HostedState, NumberedEvent},
    };
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        text: String,
        absent: Option<u32>,
        present: Option<i64>,
        list: Vec<Inner>,
        names: Vec<String>,
        empty: Vec<Inner>,
        ssid: Ssid,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        flag: bool,
        numbers: Vec<u64>,
    }

    #[test]
    fn a_structure_survives_the_wire() {
        let sample = Sample {
            text: "x".into(),
            absent: None,
            present: Some(-3),
            list: vec![Inner { flag: true, numbers: vec![1, u64::MAX] }],
            names: vec!["a".into(), "b".into()],
            empty: vec![],
            ssid: Ssid::new(b"\xff\x00").unwrap(),
        };
        let fields = to_fields(&sample).unwrap();
        assert!(!fields.contains_key("absent"));
        assert_eq!(fields["list"].value_signature().to_string(), "aa{sv}");
        assert_eq!(fields["names"].value_signature().to_string(), "as");
        assert_eq!(from_fields::<Sample>(&fields).unwrap(), sample);
    }

    #[test]
    fn an_event_survives_the_wire() {
        let event = NumberedEvent {
            sequence: 7,
            time: "2026-01-01T00:00:00Z".into(),
            event: Event::StateChanged {
                old: HostedState::Idle,
                new: HostedState::Active,
                reason: Reason::UserAction,
            },
        };
        let fields = to_fields(&event).unwrap();
        assert_eq!(from_fields::<NumberedEvent>(&fields).unwrap(), event);
    }

    #[test]
    fn a_value_that_nests_too_deep_is_refused() {
        let mut value = Variant::from(1_u32);
        for _ in 0..=DEPTH_LIMIT {
            value = Variant::Variant(Box::new(value));
        }
        assert!(matches!(from_variant(&value, DEPTH_LIMIT), Err(TreeError::TooDeep)));
    }
}
