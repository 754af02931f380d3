//! The methods of every interface, as the tables hold them, and the members of those that can be called by name.

use std::ffi::c_void;

use crate::{
    collection::{Collection, Cursor, Enumerator, Kind},
    configuration::{Configuration, NewMapping},
    connection::{Connection, Properties},
    ffi::{
        bstr::{self, Text, Wide},
        class::Factory,
        code,
        dispatch::{Automation, Member, method, property},
        guard,
        memory::{self, CoTaskMemAlloc, CoTaskMemFree, NcFreeNetconProperties},
        object::{Class, Given, Interface, Ref, UnknownTable, body},
        put,
        symbols::{
            GUID_NULL, IID_IClassFactory, IID_IDispatch, IID_IEnumNetConnection, IID_IEnumVARIANT,
            IID_INetConnection, IID_INetConnectionManager, IID_INetConnectionProps,
            IID_INetSharingConfiguration, IID_INetSharingManager, IID_INetSharingPortMapping,
            IID_INetSharingPortMappingProps,
        },
        tables::{
            CollectionTable, ConfigurationTable, ConnectionTable, ConnectionsTable, DispatchTable,
            EnumeratorTable, FactoryTable, FolderTable, ManagerTable, MappingPropertiesTable, MappingTable,
            PropertiesTable,
        },
        take, variant,
    },
    hresult::{E_INVALIDARG, E_NOTIMPL, E_OUTOFMEMORY, E_POINTER, HRESULT, Refusal, S_FALSE, S_OK},
    manager::{Folder, Manager},
    mapping::{Mapping, MappingProperties},
    types::{
        BSTR, DISPID_NEWENUM, DWORD, GUID, ICS_TARGETTYPE, NETCON_MAX_NAME_LEN, NETCON_PROPERTIES,
        NETCONMGR_ENUM_FLAGS, SHARINGCONNECTION_ENUM_FLAGS, SHARINGCONNECTIONTYPE, VARIANT, VARIANT_BOOL,
        VARIANT_FALSE, VARIANT_TRUE, VT_BSTR, VT_I4, VT_UI1, VT_UI2, VT_UI4, VT_UNKNOWN,
    },
    value::Value,
};

/// What only mappings of this library answer to: how one is told from the mapping of somebody else.
static OWN_MAPPING: GUID = GUID::from_u128(0x7a8f1a52_5f0e_4b8e_9f6b_63a35b0e7c11);

/// A result as it crosses the boundary.
trait Out {
    type Raw: Copy;
    /// What is there after a failure.
    const NOTHING: Self::Raw;
    fn raw(self) -> Result<Self::Raw, Refusal>;
}

impl Out for bool {
    type Raw = VARIANT_BOOL;
    const NOTHING: VARIANT_BOOL = VARIANT_FALSE;

    fn raw(self) -> Result<VARIANT_BOOL, Refusal> {
        Ok(if self { VARIANT_TRUE } else { VARIANT_FALSE })
    }
}

macro_rules! plain {
    ($($number:ty),*) => {$(
        impl Out for $number {
            type Raw = $number;
            const NOTHING: $number = 0;

            fn raw(self) -> Result<$number, Refusal> {
                Ok(self)
            }
        }
    )*};
}
plain!(u8, i32, u32);

impl Out for &str {
    type Raw = BSTR;
    const NOTHING: BSTR = std::ptr::null_mut();

    fn raw(self) -> Result<BSTR, Refusal> {
        bstr::new(&self.encode_utf16().collect::<Vec<_>>())
    }
}

impl Out for Interface {
    type Raw = *mut c_void;
    const NOTHING: *mut c_void = std::ptr::null_mut();

    fn raw(self) -> Result<*mut c_void, Refusal> {
        Ok(self.into_raw())
    }
}

impl<T: Class> Out for Ref<T> {
    type Raw = *mut c_void;
    const NOTHING: *mut c_void = std::ptr::null_mut();

    fn raw(self) -> Result<*mut c_void, Refusal> {
        Ok(self.into_raw())
    }
}

/// A method without a result.
///
/// # Safety
///
/// `this` is NULL or an object of class `T`.
unsafe fn call<T: Class>(this: *mut c_void, method: impl FnOnce(&T) -> Result<(), Refusal>) -> HRESULT {
    // SAFETY: the caller's promise.
    code(guard(|| method(unsafe { body::<T>(this) }.ok_or(E_POINTER)?)))
}

/// A method with a result.
///
/// # Safety
///
/// `this` is NULL or an object of class `T`; `out` is NULL or valid for writing.
unsafe fn get<'a, T: Class, R: Out>(
    this: *mut c_void,
    out: *mut R::Raw,
    method: impl FnOnce(&'a T) -> Result<R, Refusal>,
) -> HRESULT {
    if out.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller's promise.
    let answer = guard(|| method(unsafe { body::<T>(this) }.ok_or(E_POINTER)?)?.raw());
    let result = answer.as_ref().map_or_else(|refusal| refusal.code, |_| S_OK);
    // SAFETY: the caller's promise.
    unsafe { put(out, answer.unwrap_or(R::NOTHING)) };
    result
}

/// Functions for tables: `calls` have no result, `gets` have one.
macro_rules! methods {
    ($class:ty;
     calls { $($call:ident($($given:ident: $type:ty),*) = $run:expr;)* }
     gets { $($get:ident($($taken:ident: $kind:ty),*) -> $out:ty = $answer:expr;)* }) => {
        $(unsafe extern "C" fn $call(this: *mut c_void $(, $given: $type)*) -> HRESULT {
            // SAFETY: the function is found in the table of an object of this class only.
            unsafe { call::<$class>(this, $run) }
        })*
        $(unsafe extern "C" fn $get(this: *mut c_void $(, $taken: $kind)*, out: *mut $out) -> HRESULT {
            // SAFETY: the function is found in the table of an object of this class only, and the caller promises a place
            // for the result.
            unsafe { get(this, out, $answer) }
        })*
    };
}

mod manager {
    use super::*;

    type Object = *mut c_void;

    methods! { Manager;
        calls {}
        gets {
            sharing_installed() -> VARIANT_BOOL = Manager::sharing_installed;
            public(flags: SHARINGCONNECTION_ENUM_FLAGS) -> Object =
                |manager: &Manager| manager.with_role(flags, Kind::Public);
            private(flags: SHARINGCONNECTION_ENUM_FLAGS) -> Object =
                |manager: &Manager| manager.with_role(flags, Kind::Private);
            configuration(connection: Given) -> Object =
                |manager: &Manager| manager.configuration(connection.interface().as_ref());
            every() -> Object = Manager::every;
            properties(connection: Given) -> Object =
                |manager: &Manager| manager.properties(connection.interface().as_ref());
        }
    }

    impl Class for Manager {
        type Table = ManagerTable;
        const TABLE: &'static ManagerTable = &ManagerTable {
            base: DispatchTable::of::<Self>(),
            sharing_installed,
            public,
            private,
            configuration,
            every,
            properties,
        };

        fn has(&self, interface: &GUID) -> bool {
            [IID_IDispatch, IID_INetSharingManager].contains(interface)
        }
    }

    impl Automation for Manager {
        const MEMBERS: &'static [Member<Self>] = &[
            property(1, "SharingInstalled", &[], |manager, _| manager.sharing_installed().map(Value::from)),
            property(2, "EnumPublicConnections", &[("Flags", VT_I4)], |manager, arguments| {
                manager.with_role(arguments.integer(0)?, Kind::Public).map(Value::from)
            }),
            property(3, "EnumPrivateConnections", &[("Flags", VT_I4)], |manager, arguments| {
                manager.with_role(arguments.integer(0)?, Kind::Private).map(Value::from)
            }),
            property(
                6,
                "INetSharingConfigurationForINetConnection",
                &[("pNetConnection", VT_UNKNOWN)],
                |manager, arguments| manager.configuration(arguments.object(0)?).map(Value::from),
            ),
            property(7, "EnumEveryConnection", &[], |manager, _| manager.every().map(Value::from)),
            property(8, "NetConnectionProps", &[("pNetConnection", VT_UNKNOWN)], |manager, arguments| {
                manager.properties(arguments.object(0)?).map(Value::from)
            }),
        ];
    }
}

mod configuration {
    use super::*;

    type Object = *mut c_void;

    methods! { Configuration;
        calls {
            disable() = Configuration::disable;
            enable(role: SHARINGCONNECTIONTYPE) = |configuration: &Configuration| configuration.enable(role);
            disable_firewall() = |configuration: &Configuration| configuration.set_firewall(false);
            enable_firewall() = |configuration: &Configuration| configuration.set_firewall(true);
            remove_mapping(mapping: Given) =
                |configuration: &Configuration| configuration.remove(mapping.interface().as_ref());
        }
        gets {
            enabled() -> VARIANT_BOOL = Configuration::enabled;
            role() -> SHARINGCONNECTIONTYPE = Configuration::role;
            firewall() -> VARIANT_BOOL = Configuration::firewall;
            mappings(flags: SHARINGCONNECTION_ENUM_FLAGS) -> Object =
                |configuration: &Configuration| configuration.mappings(flags);
            add_mapping(
                name: Text,
                protocol: u8,
                external: u16,
                internal: u16,
                options: DWORD,
                target: Text,
                kind: ICS_TARGETTYPE
            ) -> Object = |configuration: &Configuration| {
                let (name, target) = (name.units(), target.units());
                configuration.add(&NewMapping { name, protocol, external, internal, options, target, kind })
            };
        }
    }

    impl Class for Configuration {
        type Table = ConfigurationTable;
        const TABLE: &'static ConfigurationTable = &ConfigurationTable {
            base: DispatchTable::of::<Self>(),
            enabled,
            role,
            disable,
            enable,
            firewall,
            disable_firewall,
            enable_firewall,
            mappings,
            add_mapping,
            remove_mapping,
        };

        fn has(&self, interface: &GUID) -> bool {
            [IID_IDispatch, IID_INetSharingConfiguration].contains(interface)
        }
    }

    impl Automation for Configuration {
        const MEMBERS: &'static [Member<Self>] = &[
            property(1, "SharingEnabled", &[], |this, _| this.enabled().map(Value::from)),
            property(2, "SharingConnectionType", &[], |this, _| this.role().map(Value::from)),
            method(3, "DisableSharing", &[], |this, _| this.disable().map(Value::from)),
            method(4, "EnableSharing", &[("Type", VT_I4)], |this, arguments| {
                this.enable(arguments.integer(0)?).map(Value::from)
            }),
            property(5, "InternetFirewallEnabled", &[], |this, _| this.firewall().map(Value::from)),
            method(6, "DisableInternetFirewall", &[], |this, _| this.set_firewall(false).map(Value::from)),
            method(7, "EnableInternetFirewall", &[], |this, _| this.set_firewall(true).map(Value::from)),
            property(8, "EnumPortMappings", &[("Flags", VT_I4)], |this, arguments| {
                this.mappings(arguments.integer(0)?).map(Value::from)
            }),
            method(
                9,
                "AddPortMapping",
                &[
                    ("bstrName", VT_BSTR),
                    ("ucIPProtocol", VT_UI1),
                    ("usExternalPort", VT_UI2),
                    ("usInternalPort", VT_UI2),
                    ("dwOptions", VT_UI4),
                    ("bstrTargetNameOrIPAddress", VT_BSTR),
                    ("eTargetType", VT_I4),
                ],
                |this, arguments| {
                    let new = NewMapping {
                        name: arguments.text(0)?,
                        protocol: arguments.integer(1)?,
                        external: arguments.integer(2)?,
                        internal: arguments.integer(3)?,
                        options: arguments.integer(4)?,
                        target: arguments.text(5)?,
                        kind: arguments.integer(6)?,
                    };
                    this.add(&new).map(Value::from)
                },
            ),
            method(10, "RemovePortMapping", &[("pMapping", VT_UNKNOWN)], |this, arguments| {
                this.remove(arguments.object(0)?).map(Value::from)
            }),
        ];
    }
}

mod mapping {
    use super::*;

    methods! { Mapping;
        calls {
            disable() = |mapping: &Mapping| mapping.set_enabled(false);
            enable() = |mapping: &Mapping| mapping.set_enabled(true);
            delete() = Mapping::delete;
        }
        gets { properties() -> *mut c_void = Mapping::properties; }
    }

    impl Class for Mapping {
        type Table = MappingTable;
        const TABLE: &'static MappingTable =
            &MappingTable { base: DispatchTable::of::<Self>(), disable, enable, properties, delete };

        fn has(&self, interface: &GUID) -> bool {
            [IID_IDispatch, IID_INetSharingPortMapping, OWN_MAPPING].contains(interface)
        }
    }

    impl Automation for Mapping {
        const MEMBERS: &'static [Member<Self>] = &[
            method(1, "Disable", &[], |this, _| this.set_enabled(false).map(Value::from)),
            method(2, "Enable", &[], |this, _| this.set_enabled(true).map(Value::from)),
            property(3, "Properties", &[], |this, _| this.properties().map(Value::from)),
            method(4, "Delete", &[], |this, _| this.delete().map(Value::from)),
        ];
    }
}

mod mapping_properties {
    use super::*;

    methods! { MappingProperties;
        calls {}
        gets {
            name() -> BSTR = |this: &MappingProperties| Ok(this.name.as_str());
            protocol() -> u8 = |this: &MappingProperties| Ok(this.protocol);
            external() -> i32 = |this: &MappingProperties| Ok(this.external);
            internal() -> i32 = |this: &MappingProperties| Ok(this.internal);
            options() -> i32 = |_: &MappingProperties| Ok(0);
            target_name() -> BSTR = |this: &MappingProperties| Ok(this.target_name.as_str());
            target_address() -> BSTR = |this: &MappingProperties| Ok(this.target_address.as_str());
            enabled() -> VARIANT_BOOL = |this: &MappingProperties| Ok(this.enabled);
        }
    }

    impl Class for MappingProperties {
        type Table = MappingPropertiesTable;
        const TABLE: &'static MappingPropertiesTable = &MappingPropertiesTable {
            base: DispatchTable::of::<Self>(),
            name,
            protocol,
            external,
            internal,
            options,
            target_name,
            target_address,
            enabled,
        };

        fn has(&self, interface: &GUID) -> bool {
            [IID_IDispatch, IID_INetSharingPortMappingProps].contains(interface)
        }
    }

    impl Automation for MappingProperties {
        const MEMBERS: &'static [Member<Self>] = &[
            property(1, "Name", &[], |this, _| Ok(Value::from(this.name.as_str()))),
            property(2, "IPProtocol", &[], |this, _| Ok(Value::from(this.protocol))),
            property(3, "ExternalPort", &[], |this, _| Ok(Value::from(this.external))),
            property(4, "InternalPort", &[], |this, _| Ok(Value::from(this.internal))),
            property(5, "Options", &[], |_, _| Ok(Value::from(0_i32))),
            property(6, "TargetName", &[], |this, _| Ok(Value::from(this.target_name.as_str()))),
            property(7, "TargetIPAddress", &[], |this, _| Ok(Value::from(this.target_address.as_str()))),
            property(8, "Enabled", &[], |this, _| Ok(Value::from(this.enabled))),
        ];
    }
}

mod connection {
    use super::*;

    methods! { Connection;
        calls {
            // Bringing interfaces up and down, making, removing and naming them is for the tools of the system.
            connect() = |_: &Connection| Err(E_NOTIMPL.into());
            disconnect() = |_: &Connection| Err(E_NOTIMPL.into());
            delete() = |_: &Connection| Err(E_NOTIMPL.into());
            rename(name: Wide) = |_: &Connection| {
                name.text(NETCON_MAX_NAME_LEN).ok_or(E_INVALIDARG)?;
                Err(E_NOTIMPL.into())
            };
        }
        gets { duplicate(name: Wide) -> *mut c_void = |_: &Connection| -> Result<Interface, Refusal> {
            name.text(NETCON_MAX_NAME_LEN).ok_or(E_INVALIDARG)?;
            Err(E_NOTIMPL.into())
        }; }
    }

    unsafe extern "C" fn properties(this: *mut c_void, out: *mut *mut NETCON_PROPERTIES) -> HRESULT {
        // SAFETY: the function is found in the table of an object of this class only.
        unsafe { get(this, out, Connection::properties) }
    }

    unsafe extern "C" fn ui_object_class(_: *mut c_void, out: *mut GUID) -> HRESULT {
        if out.is_null() {
            return E_POINTER;
        }
        // SAFETY: the caller promises a place for the identifier.
        unsafe { put(out, GUID_NULL) };
        E_NOTIMPL
    }

    impl Out for Properties {
        type Raw = *mut NETCON_PROPERTIES;
        const NOTHING: *mut NETCON_PROPERTIES = std::ptr::null_mut();

        fn raw(self) -> Result<*mut NETCON_PROPERTIES, Refusal> {
            let block = CoTaskMemAlloc(size_of::<NETCON_PROPERTIES>()).cast::<NETCON_PROPERTIES>();
            if block.is_null() {
                return Err(E_OUTOFMEMORY.into());
            }
            let mut properties = NETCON_PROPERTIES {
                guidId: self.guid,
                pszwName: std::ptr::null_mut(),
                pszwDeviceName: std::ptr::null_mut(),
                Status: self.status,
                MediaType: self.media,
                dwCharacter: self.characteristics,
                clsidThisObject: GUID_NULL,
                clsidUiObject: GUID_NULL,
            };
            let names = memory::hand_out(&self.name).and_then(|name| {
                properties.pszwName = name;
                properties.pszwDeviceName = memory::hand_out(&self.device)?;
                Ok(())
            });
            if let Err(refusal) = names {
                for part in [properties.pszwName.cast(), block.cast()] {
                    // SAFETY: NULL or a block of ours that nobody else knows.
                    unsafe { CoTaskMemFree(part) };
                }
                return Err(refusal);
            }
            // SAFETY: the block is new and has the size.
            unsafe { block.write(properties) };
            Ok(block)
        }
    }

    impl Class for Connection {
        type Table = ConnectionTable;
        const TABLE: &'static ConnectionTable = &ConnectionTable {
            base: UnknownTable::of::<Self>(),
            connect,
            disconnect,
            delete,
            duplicate,
            properties,
            ui_object_class,
            rename,
        };

        fn has(&self, interface: &GUID) -> bool {
            *interface == IID_INetConnection
        }
    }
}

mod properties {
    use super::*;

    methods! { Properties;
        calls {}
        gets {
            name() -> BSTR = |this: &Properties| Ok(this.name.as_str());
            device() -> BSTR = |this: &Properties| Ok(this.device.as_str());
            status() -> i32 = |this: &Properties| Ok(this.status);
            media() -> i32 = |this: &Properties| Ok(this.media);
            characteristics() -> DWORD = |this: &Properties| Ok(this.characteristics);
        }
    }

    unsafe extern "C" fn guid(this: *mut c_void, out: *mut BSTR) -> HRESULT {
        if out.is_null() {
            return E_POINTER;
        }
        // SAFETY: the function is found in the table of an object of this class only.
        let text = unsafe { body::<Properties>(this) }.map(|this| this.guid.to_string());
        let answer = guard(|| text.as_deref().ok_or(E_POINTER)?.raw());
        let result = answer.as_ref().map_or_else(|refusal| refusal.code, |_| S_OK);
        // SAFETY: the caller promises a place for the string.
        unsafe { put(out, answer.unwrap_or(std::ptr::null_mut())) };
        result
    }

    impl Class for Properties {
        type Table = PropertiesTable;
        const TABLE: &'static PropertiesTable = &PropertiesTable {
            base: DispatchTable::of::<Self>(),
            guid,
            name,
            device,
            status,
            media,
            characteristics,
        };

        fn has(&self, interface: &GUID) -> bool {
            [IID_IDispatch, IID_INetConnectionProps].contains(interface)
        }
    }

    impl Automation for Properties {
        const MEMBERS: &'static [Member<Self>] = &[
            property(1, "Guid", &[], |this, _| Ok(Value::text(&this.guid.to_string()))),
            property(2, "Name", &[], |this, _| Ok(Value::from(this.name.as_str()))),
            property(3, "DeviceName", &[], |this, _| Ok(Value::from(this.device.as_str()))),
            property(4, "Status", &[], |this, _| Ok(Value::from(this.status))),
            property(5, "MediaType", &[], |this, _| Ok(Value::from(this.media))),
            property(6, "Characteristics", &[], |this, _| Ok(Value::from(this.characteristics))),
        ];
    }
}

mod collection {
    use super::*;

    methods! { Collection;
        calls {}
        gets {
            new_enum() -> *mut c_void = |this: &Collection| Ok(this.enumerator());
            count() -> i32 = |this: &Collection| Ok(this.count());
        }
    }

    impl Class for Collection {
        type Table = CollectionTable;
        const TABLE: &'static CollectionTable =
            &CollectionTable { base: DispatchTable::of::<Self>(), new_enum, count };

        fn has(&self, interface: &GUID) -> bool {
            *interface == IID_IDispatch || interface == self.kind.collection()
        }
    }

    impl Automation for Collection {
        const MEMBERS: &'static [Member<Self>] = &[
            property(DISPID_NEWENUM, "_NewEnum", &[], |this, _| {
                Ok(Value::Unknown(Some(this.enumerator().into_interface())))
            }),
            property(1, "Count", &[], |this, _| Ok(Value::from(this.count()))),
        ];
    }
}

/// The part of `Next` that every enumerator has: the places, and how many were filled.
///
/// # Safety
///
/// `places` is NULL or valid for writing `count` results, `fetched` is NULL or valid for writing.
unsafe fn next<R: Copy>(
    count: u32,
    places: *mut R,
    fetched: *mut u32,
    nothing: R,
    take: impl FnOnce(usize) -> Result<Vec<R>, Refusal>,
) -> HRESULT {
    // SAFETY: the caller's promise.
    unsafe { put(fetched, 0) };
    if (places.is_null() && count > 0) || (fetched.is_null() && count > 1) {
        return E_POINTER;
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let items = match guard(|| take(count)) {
        Ok(items) => items,
        Err(refusal) => return refusal.code,
    };
    let number = items.len();
    for (place, item) in items.into_iter().enumerate() {
        // SAFETY: no more items come than there are places.
        unsafe { put(places.wrapping_add(place), item) };
    }
    if number < count {
        // A program that clears the place after the last item finds nothing to give back there.
        // SAFETY: this place is below `count`.
        unsafe { put(places.wrapping_add(number), nothing) };
    }
    // SAFETY: the caller's promise.
    unsafe { put(fetched, u32::try_from(number).unwrap_or(u32::MAX)) };
    if number == count { S_OK } else { S_FALSE }
}

/// `Skip` of a cursor.
fn skip_over(cursor: &Cursor, count: u32) -> HRESULT {
    if cursor.skip(usize::try_from(count).unwrap_or(usize::MAX)) { S_OK } else { S_FALSE }
}

mod enumerator {
    use super::*;

    unsafe extern "C" fn next(
        this: *mut c_void,
        count: u32,
        values: *mut VARIANT,
        fetched: *mut u32,
    ) -> HRESULT {
        let take = |count| {
            // SAFETY: the function is found in the table of an object of this class only.
            let this = unsafe { body::<Enumerator>(this) }.ok_or(E_POINTER)?;
            this.next(count).into_iter().map(variant::write).collect()
        };
        // SAFETY: the caller promises places for the results.
        unsafe { super::next(count, values, fetched, VARIANT::EMPTY, take) }
    }

    unsafe extern "C" fn skip(this: *mut c_void, count: u32) -> HRESULT {
        // SAFETY: the function is found in the table of an object of this class only.
        unsafe { body::<Enumerator>(this) }.map_or(E_POINTER, |this| skip_over(&this.cursor, count))
    }

    methods! { Enumerator;
        calls { reset() = |this: &Enumerator| { this.cursor.reset(); Ok(()) }; }
        gets { clone() -> *mut c_void = |this: &Enumerator| Ok(this.fork()); }
    }

    impl Class for Enumerator {
        type Table = EnumeratorTable;
        const TABLE: &'static EnumeratorTable =
            &EnumeratorTable { base: UnknownTable::of::<Self>(), next, skip, reset, clone };

        fn has(&self, interface: &GUID) -> bool {
            *interface == IID_IEnumVARIANT || interface == self.kind.enumerator()
        }
    }
}

/// `IEnumNetConnection`.
mod connections {
    use super::*;

    unsafe extern "C" fn next(
        this: *mut c_void,
        count: u32,
        objects: *mut *mut c_void,
        fetched: *mut u32,
    ) -> HRESULT {
        let take = |count| {
            // SAFETY: the function is found in the table of an object of this class only.
            let this = unsafe { body::<Cursor>(this) }.ok_or(E_POINTER)?;
            Ok(this.next(count).into_iter().map(Interface::into_raw).collect())
        };
        // SAFETY: the caller promises places for the results.
        unsafe { super::next(count, objects, fetched, std::ptr::null_mut(), take) }
    }

    unsafe extern "C" fn skip(this: *mut c_void, count: u32) -> HRESULT {
        // SAFETY: the function is found in the table of an object of this class only.
        unsafe { body::<Cursor>(this) }.map_or(E_POINTER, |this| skip_over(this, count))
    }

    methods! { Cursor;
        calls { reset() = |this: &Cursor| { this.reset(); Ok(()) }; }
        gets { clone() -> *mut c_void = |this: &Cursor| Ok(Ref::new(this.fork())); }
    }

    impl Class for Cursor {
        type Table = ConnectionsTable;
        const TABLE: &'static ConnectionsTable =
            &ConnectionsTable { base: UnknownTable::of::<Self>(), next, skip, reset, clone };

        fn has(&self, interface: &GUID) -> bool {
            *interface == IID_IEnumNetConnection
        }
    }
}

mod folder {
    use super::*;

    methods! { Folder;
        calls {}
        gets { connections(flags: NETCONMGR_ENUM_FLAGS) -> *mut c_void =
            |this: &Folder| this.connections(flags).map(Ref::new); }
    }

    impl Class for Folder {
        type Table = FolderTable;
        const TABLE: &'static FolderTable = &FolderTable { base: UnknownTable::of::<Self>(), connections };

        fn has(&self, interface: &GUID) -> bool {
            *interface == IID_INetConnectionManager
        }
    }
}

mod factory {
    use super::*;

    unsafe extern "C" fn create_instance(
        this: *mut c_void,
        outer: Given,
        iid: *const GUID,
        out: *mut *mut c_void,
    ) -> HRESULT {
        // SAFETY: the caller promises NULL or an identifier.
        let iid = unsafe { take(iid) };
        // SAFETY: the function is found in the table of an object of this class only.
        unsafe { get(this, out, |this: &Factory| this.create(outer, iid)) }
    }

    methods! { Factory;
        calls { lock_server(lock: i32) = |this: &Factory| { this.lock(lock != 0); Ok(()) }; }
        gets {}
    }

    impl Class for Factory {
        type Table = FactoryTable;
        const TABLE: &'static FactoryTable =
            &FactoryTable { base: UnknownTable::of::<Self>(), create_instance, lock_server };

        fn has(&self, interface: &GUID) -> bool {
            *interface == IID_IClassFactory
        }
    }
}

impl Interface {
    /// The identifier of the connection behind an `INetConnection`, whoever implements it.
    pub(crate) fn connection(&self) -> Result<GUID, Refusal> {
        let connection = self.query(&IID_INetConnection).map_err(|_| E_INVALIDARG)?;
        // SAFETY: an object begins with its table.
        let table = unsafe { connection.as_raw().cast::<*const ConnectionTable>().read() };
        // SAFETY: it answered to the interface with this table.
        let ConnectionTable { properties, .. } = unsafe { table.read() };
        let mut block = std::ptr::null_mut();
        // SAFETY: the object is alive, and the place is ours.
        let code = unsafe { properties(connection.as_raw(), &raw mut block) };
        if code < 0 {
            return Err(code.into());
        }
        // SAFETY: what succeeds has handed out NULL or properties.
        let guid = unsafe { take(block) }.map(|properties| properties.guidId).ok_or(E_INVALIDARG);
        // SAFETY: the properties are ours to give back.
        unsafe { NcFreeNetconProperties(block) };
        Ok(guid?)
    }

    /// The mapping of this library behind the interface.
    pub(crate) fn mapping(&self) -> Option<Ref<Mapping>> {
        let own = self.query(&OWN_MAPPING).ok()?;
        // SAFETY: only mappings of this library answer to that.
        unsafe { Ref::adopt(own) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::dispatch::members;

    #[test]
    fn the_numbers_of_the_members_are_those_of_the_contract() {
        assert_eq!(
            members::<Manager>(),
            [
                ("SharingInstalled", 1, false),
                ("EnumPublicConnections", 2, false),
                ("EnumPrivateConnections", 3, false),
                ("INetSharingConfigurationForINetConnection", 6, false),
                ("EnumEveryConnection", 7, false),
                ("NetConnectionProps", 8, false),
            ]
        );
        assert_eq!(members::<Collection>(), [("_NewEnum", -4, false), ("Count", 1, false)]);
        let numbers =
            |members: Vec<(&str, i32, bool)>| members.into_iter().map(|member| member.1).collect::<Vec<_>>();
        assert_eq!(numbers(members::<Configuration>()), (1..=10).collect::<Vec<_>>());
        assert_eq!(numbers(members::<Mapping>()), (1..=4).collect::<Vec<_>>());
        assert_eq!(numbers(members::<MappingProperties>()), (1..=8).collect::<Vec<_>>());
        assert_eq!(numbers(members::<Properties>()), (1..=6).collect::<Vec<_>>());
    }
}
