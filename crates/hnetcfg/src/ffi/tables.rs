//! The tables of methods, in the order of spec/internet-connection-sharing.md §5.2.

use std::ffi::c_void;

use crate::{
    ffi::{
        bstr::{Text, Wide},
        object::{Given, UnknownTable},
    },
    hresult::HRESULT,
    types::{
        BOOL, BSTR, DISPPARAMS, DWORD, EXCEPINFO, GUID, ICS_TARGETTYPE, NETCON_MEDIATYPE, NETCON_PROPERTIES,
        NETCON_STATUS, NETCONMGR_ENUM_FLAGS, SHARINGCONNECTION_ENUM_FLAGS, SHARINGCONNECTIONTYPE, VARIANT,
        VARIANT_BOOL,
    },
};

type This = *mut c_void;
type Object = *mut *mut c_void;

macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident: $base:ty { $($method:ident($($argument:ty),*);)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(crate) struct $table {
            pub(crate) base: $base,
            $(pub(crate) $method: unsafe extern "C" fn(This $(, $argument)*) -> HRESULT,)*
        }
    )*};
}

tables! {
    /// `IDispatch`.
    DispatchTable: UnknownTable {
        get_type_info_count(*mut u32);
        get_type_info(u32, u32, Object);
        get_ids_of_names(*const GUID, *const *const u16, u32, u32, *mut i32);
        invoke(i32, *const GUID, u32, u16, *const DISPPARAMS, *mut VARIANT, *mut EXCEPINFO, *mut u32);
    }
    /// `INetSharingManager`.
    ManagerTable: DispatchTable {
        sharing_installed(*mut VARIANT_BOOL);
        public(SHARINGCONNECTION_ENUM_FLAGS, Object);
        private(SHARINGCONNECTION_ENUM_FLAGS, Object);
        configuration(Given, Object);
        every(Object);
        properties(Given, Object);
    }
    /// `INetSharingConfiguration`.
    ConfigurationTable: DispatchTable {
        enabled(*mut VARIANT_BOOL);
        role(*mut SHARINGCONNECTIONTYPE);
        disable();
        enable(SHARINGCONNECTIONTYPE);
        firewall(*mut VARIANT_BOOL);
        disable_firewall();
        enable_firewall();
        mappings(SHARINGCONNECTION_ENUM_FLAGS, Object);
        add_mapping(Text, u8, u16, u16, DWORD, Text, ICS_TARGETTYPE, Object);
        remove_mapping(Given);
    }
    /// `INetSharingPortMapping`.
    MappingTable: DispatchTable {
        disable();
        enable();
        properties(Object);
        delete();
    }
    /// `INetSharingPortMappingProps`.
    MappingPropertiesTable: DispatchTable {
        name(*mut BSTR);
        protocol(*mut u8);
        external(*mut i32);
        internal(*mut i32);
        options(*mut i32);
        target_name(*mut BSTR);
        target_address(*mut BSTR);
        enabled(*mut VARIANT_BOOL);
    }
    /// `INetConnection`.
    ConnectionTable: UnknownTable {
        connect();
        disconnect();
        delete();
        duplicate(Wide, Object);
        properties(*mut *mut NETCON_PROPERTIES);
        ui_object_class(*mut GUID);
        rename(Wide);
    }
    /// `INetConnectionProps`.
    PropertiesTable: DispatchTable {
        guid(*mut BSTR);
        name(*mut BSTR);
        device(*mut BSTR);
        status(*mut NETCON_STATUS);
        media(*mut NETCON_MEDIATYPE);
        characteristics(*mut DWORD);
    }
    /// The four collections.
    CollectionTable: DispatchTable {
        new_enum(Object);
        count(*mut i32);
    }
    /// `IEnumVARIANT` and the four enumerators.
    EnumeratorTable: UnknownTable {
        next(u32, *mut VARIANT, *mut u32);
        skip(u32);
        reset();
        clone(Object);
    }
    /// `IEnumNetConnection`.
    ConnectionsTable: UnknownTable {
        next(u32, Object, *mut u32);
        skip(u32);
        reset();
        clone(Object);
    }
    /// `INetConnectionManager`.
    FolderTable: UnknownTable {
        connections(NETCONMGR_ENUM_FLAGS, Object);
    }
    /// `IClassFactory`.
    FactoryTable: UnknownTable {
        create_instance(Given, *const GUID, Object);
        lock_server(BOOL);
    }
}
