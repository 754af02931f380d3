//! Collections and enumerators: pictures of one moment that never change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    ffi::object::{Interface, Ref},
    ffi::symbols::{
        IID_IEnumNetSharingEveryConnection, IID_IEnumNetSharingPortMapping,
        IID_IEnumNetSharingPrivateConnection, IID_IEnumNetSharingPublicConnection,
        IID_INetSharingEveryConnectionCollection, IID_INetSharingPortMappingCollection,
        IID_INetSharingPrivateConnectionCollection, IID_INetSharingPublicConnectionCollection,
    },
    types::GUID,
    value::Value,
};

/// What a collection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Every,
    Public,
    Private,
    Mappings,
}

impl Kind {
    /// The interface of the collection.
    pub(crate) const fn collection(self) -> &'static GUID {
        match self {
            Self::Every => &IID_INetSharingEveryConnectionCollection,
            Self::Public => &IID_INetSharingPublicConnectionCollection,
            Self::Private => &IID_INetSharingPrivateConnectionCollection,
            Self::Mappings => &IID_INetSharingPortMappingCollection,
        }
    }

    /// The interface of its enumerator, besides `IEnumVARIANT`.
    pub(crate) const fn enumerator(self) -> &'static GUID {
        match self {
            Self::Every => &IID_IEnumNetSharingEveryConnection,
            Self::Public => &IID_IEnumNetSharingPublicConnection,
            Self::Private => &IID_IEnumNetSharingPrivateConnection,
            Self::Mappings => &IID_IEnumNetSharingPortMapping,
        }
    }

    fn value(self, item: Interface) -> Value {
        match self {
            Self::Every | Self::Public | Self::Private => Value::Unknown(Some(item)),
            Self::Mappings => Value::Dispatch(Some(item)),
        }
    }
}

/// A collection.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) kind: Kind,
    items: Arc<[Interface]>,
}

impl Collection {
    pub(crate) fn new(kind: Kind, items: Vec<Interface>) -> Ref<Self> {
        Ref::new(Self { kind, items: items.into() })
    }

    pub(crate) fn count(&self) -> i32 {
        i32::try_from(self.items.len()).unwrap_or(i32::MAX)
    }

    /// A new enumerator at the first item.
    pub(crate) fn enumerator(&self) -> Ref<Enumerator> {
        Ref::new(Enumerator { kind: self.kind, cursor: Cursor::new(Arc::clone(&self.items)) })
    }
}

/// `IEnumVARIANT` and the enumerator of the kind.
#[derive(Debug)]
pub(crate) struct Enumerator {
    pub(crate) kind: Kind,
    pub(crate) cursor: Cursor,
}

impl Enumerator {
    /// The next values, `count` at most.
    pub(crate) fn next(&self, count: usize) -> Vec<Value> {
        self.cursor.next(count).into_iter().map(|item| self.kind.value(item)).collect()
    }

    /// Another enumerator at the same place.
    pub(crate) fn fork(&self) -> Ref<Self> {
        Ref::new(Self { kind: self.kind, cursor: self.cursor.fork() })
    }
}

/// A place in a list.
#[derive(Debug)]
pub(crate) struct Cursor {
    items: Arc<[Interface]>,
    place: Mutex<usize>,
}

impl Cursor {
    pub(crate) fn new(items: Arc<[Interface]>) -> Self {
        Self { items, place: Mutex::new(0) }
    }

    /// The next items, `count` at most.
    pub(crate) fn next(&self, count: usize) -> Vec<Interface> {
        let mut place = self.place();
        let end = place.saturating_add(count).min(self.items.len());
        let items = self.items.get(*place..end).unwrap_or_default().to_vec();
        *place = end;
        items
    }

    /// Passes over `count` items; `false` if there were fewer.
    pub(crate) fn skip(&self, count: usize) -> bool {
        let mut place = self.place();
        let there = self.items.len() - *place >= count;
        *place = place.saturating_add(count).min(self.items.len());
        there
    }

    pub(crate) fn reset(&self) {
        *self.place() = 0;
    }

    /// Another cursor at the same place.
    pub(crate) fn fork(&self) -> Self {
        Self { items: Arc::clone(&self.items), place: Mutex::new(*self.place()) }
    }

    fn place(&self) -> MutexGuard<'_, usize> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
