//! What a refusal of the table becomes in each protocol.

use hn_types::portmap::MapRefusal;

macro_rules! codes {
    ($($(#[doc = $type_doc:literal])* $name:ident: $repr:ty { $($(#[doc = $doc:literal])* $variant:ident = $value:literal,)* })*) => {
        $(
            $(#[doc = $type_doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum $name {
                $($(#[doc = $doc])* $variant,)*
            }

            impl $name {
                /// The number on the wire.
                pub const fn number(self) -> $repr {
                    match self { $(Self::$variant => $value,)* }
                }
            }
        )*
    };
}

codes! {
    /// Result codes of NAT-PMP (RFC 6886 §3.5).
    NatPmpCode: u16 {
        /// It was done.
        Success = 0,
        /// Another version is asked for.
        UnsupportedVersion = 1,
        /// Refused.
        NotAuthorized = 2,
        /// No address outside.
        NetworkFailure = 3,
        /// No room.
        OutOfResources = 4,
        /// An unknown operation.
        UnsupportedOpcode = 5,
    }

    /// Result codes of PCP (RFC 6887 §7.4).
    PcpCode: u8 {
        /// It was done.
        Success = 0,
        /// Another version is asked for.
        UnsuppVersion = 1,
        /// Refused.
        NotAuthorized = 2,
        /// The request cannot be read.
        MalformedRequest = 3,
        /// An unknown operation.
        UnsuppOpcode = 4,
        /// An option that must be understood and is not.
        UnsuppOption = 5,
        /// An option that cannot be read.
        MalformedOption = 6,
        /// No address outside.
        NetworkFailure = 7,
        /// No room.
        NoResources = 8,
        /// A transport protocol that cannot be mapped.
        UnsuppProtocol = 9,
        /// The client has as many as one may have.
        UserExQuota = 10,
        /// Not this port or address, and another was not wanted.
        CannotProvideExternal = 11,
        /// A NAT is between client and server.
        AddressMismatch = 12,
        /// Too many filters.
        ExcessiveRemotePeers = 13,
    }
}

impl PcpCode {
    /// How long the client should believe it, in seconds (RFC 6887 §7.4: some errors are of short, some of long
    /// lifetime).
    pub const fn lifetime_s(self) -> u32 {
        match self {
            Self::Success => 0,
            Self::NetworkFailure | Self::NoResources | Self::UserExQuota | Self::CannotProvideExternal => 30,
            Self::UnsuppVersion
            | Self::NotAuthorized
            | Self::MalformedRequest
            | Self::UnsuppOpcode
            | Self::UnsuppOption
            | Self::MalformedOption
            | Self::UnsuppProtocol
            | Self::AddressMismatch
            | Self::ExcessiveRemotePeers => 1_800,
        }
    }
}

/// An error of a UPnP action: its number and its standard description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpnpCode {
    /// `errorCode`.
    pub number: u16,
    /// `errorDescription`.
    pub text: &'static str,
}

const fn upnp(number: u16, text: &'static str) -> UpnpCode {
    UpnpCode { number, text }
}

impl UpnpCode {
    pub(crate) const INVALID_ACTION: Self = upnp(401, "Invalid Action");
    pub(crate) const INVALID_ARGS: Self = upnp(402, "Invalid Args");
    pub(crate) const ACTION_FAILED: Self = upnp(501, "Action Failed");
    pub(crate) const NOT_AUTHORIZED: Self = upnp(606, "Action not authorized");
    pub(crate) const PINHOLE_SPACE: Self = upnp(701, "PinholeSpaceExhausted");
    pub(crate) const FIREWALL_DISABLED: Self = upnp(702, "FirewallDisabled");
    pub(crate) const PINHOLE_NOT_ALLOWED: Self = upnp(703, "InboundPinholeNotAllowed");
    pub(crate) const NO_SUCH_ENTRY: Self = upnp(704, "NoSuchEntry");
    pub(crate) const SETUP_FAILED: Self = upnp(704, "ConnectionSetupFailed");
    pub(crate) const PROTOCOL_NOT_SUPPORTED: Self = upnp(705, "ProtocolNotSupported");
    pub(crate) const INTERNAL_PORT_WILDCARD: Self = upnp(706, "InternalPortWildcardingNotAllowed");
    pub(crate) const PROTOCOL_WILDCARD: Self = upnp(707, "ProtocolWildcardingNotAllowed");
    pub(crate) const SOURCE_WILDCARD: Self = upnp(708, "WildCardNotPermittedInSrcIP");
    pub(crate) const NO_TRAFFIC: Self = upnp(709, "NoTrafficReceived");
    pub(crate) const INDEX_INVALID: Self = upnp(713, "SpecifiedArrayIndexInvalid");
    pub(crate) const NO_SUCH_ENTRY_IN_ARRAY: Self = upnp(714, "NoSuchEntryInArray");
    pub(crate) const EXTERNAL_PORT_WILDCARD: Self = upnp(716, "WildCardNotPermittedInExtPort");
    pub(crate) const CONFLICT: Self = upnp(718, "ConflictInMappingEntry");
    pub(crate) const REMOTE_WILDCARD_ONLY: Self = upnp(726, "RemoteHostOnlySupportsWildcard");
    pub(crate) const NO_PORT_MAPS: Self = upnp(728, "NoPortMapsAvailable");
    pub(crate) const OTHER_MECHANISM: Self = upnp(729, "ConflictWithOtherMechanisms");
    pub(crate) const NOT_FOUND: Self = upnp(730, "PortMappingNotFound");
    pub(crate) const READ_ONLY: Self = upnp(731, "ReadOnly");
    pub(crate) const INT_PORT_WILDCARD: Self = upnp(732, "WildCardNotPermittedInIntPort");
    pub(crate) const INCONSISTENT: Self = upnp(733, "InconsistentParameters");
}

/// The UPnP services that ask the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpnpService {
    /// `WANIPConnection:1` of IGD 1.
    WanIp1,
    /// `WANIPConnection:2` of IGD 2.
    WanIp2,
    /// `WANIPv6FirewallControl:1` of IGD 2.
    Firewall6,
}

/// What a refusal becomes in a UPnP service. Version 1 of `WANIPConnection` does not know the numbers that version
/// 2 added, and its clients try another port on 718 only.
pub const fn upnp_code(refusal: MapRefusal, service: UpnpService) -> UpnpCode {
    match (refusal, service) {
        (MapRefusal::Off | MapRefusal::Unsupported, UpnpService::Firewall6) => UpnpCode::PINHOLE_NOT_ALLOWED,
        (MapRefusal::Off | MapRefusal::NotYours | MapRefusal::Nonce, _) => UpnpCode::NOT_AUTHORIZED,
        (MapRefusal::Conflict, _) | (MapRefusal::Reserved, UpnpService::WanIp1) => UpnpCode::CONFLICT,
        (MapRefusal::Reserved, _) => UpnpCode::OTHER_MECHANISM,
        (MapRefusal::Limit | MapRefusal::Full, UpnpService::WanIp2) => UpnpCode::NO_PORT_MAPS,
        (MapRefusal::Limit | MapRefusal::Full, UpnpService::Firewall6) => UpnpCode::PINHOLE_SPACE,
        (MapRefusal::BadAddress, _) => UpnpCode::INVALID_ARGS,
        (MapRefusal::NotFound, UpnpService::Firewall6) => UpnpCode::NO_SUCH_ENTRY,
        (MapRefusal::NotFound, UpnpService::WanIp1 | UpnpService::WanIp2) => UpnpCode::NO_SUCH_ENTRY_IN_ARRAY,
        (MapRefusal::Remotes, UpnpService::WanIp1 | UpnpService::WanIp2) => UpnpCode::REMOTE_WILDCARD_ONLY,
        (
            MapRefusal::Limit
            | MapRefusal::Full
            | MapRefusal::NoUplink
            | MapRefusal::Remotes
            | MapRefusal::Unsupported
            | MapRefusal::Failed,
            _,
        ) => UpnpCode::ACTION_FAILED,
    }
}

/// What a refusal becomes in NAT-PMP.
pub const fn natpmp_code(refusal: MapRefusal) -> NatPmpCode {
    match refusal {
        MapRefusal::Off | MapRefusal::NotYours | MapRefusal::Nonce | MapRefusal::BadAddress => {
            NatPmpCode::NotAuthorized
        }
        MapRefusal::NoUplink => NatPmpCode::NetworkFailure,
        MapRefusal::Conflict
        | MapRefusal::Reserved
        | MapRefusal::Limit
        | MapRefusal::Full
        | MapRefusal::NotFound
        | MapRefusal::Remotes
        | MapRefusal::Unsupported
        | MapRefusal::Failed => NatPmpCode::OutOfResources,
    }
}

/// What a refusal becomes in PCP.
pub const fn pcp_code(refusal: MapRefusal) -> PcpCode {
    match refusal {
        MapRefusal::Off | MapRefusal::NotYours | MapRefusal::Nonce | MapRefusal::BadAddress => {
            PcpCode::NotAuthorized
        }
        MapRefusal::Conflict | MapRefusal::Reserved => PcpCode::CannotProvideExternal,
        MapRefusal::Limit => PcpCode::UserExQuota,
        MapRefusal::NoUplink => PcpCode::NetworkFailure,
        MapRefusal::Remotes => PcpCode::ExcessiveRemotePeers,
        MapRefusal::Unsupported => PcpCode::UnsuppOpcode,
        MapRefusal::Full | MapRefusal::NotFound | MapRefusal::Failed => PcpCode::NoResources,
    }
}
