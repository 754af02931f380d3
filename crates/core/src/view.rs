//! Connections as callers see them.

use alloc::string::String;

use hn_types::{IfName, network::MediaType, station::StationView};

/// Part a connection has in sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionRole {
    /// Not shared.
    None,
    /// The public side of full sharing.
    Public,
    /// A private side of full sharing.
    Private,
}

impl ConnectionRole {
    /// `none`, `public` or `private`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// `NETCON_STATUS`, as far as Linux knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionStatus {
    /// Up with a carrier.
    Connected,
    /// Up without a carrier; the hosted network while idle.
    MediaDisconnected,
    /// Down.
    Disconnected,
}

impl ConnectionStatus {
    /// `connected`, `media_disconnected` or `disconnected`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::MediaDisconnected => "media_disconnected",
            Self::Disconnected => "disconnected",
        }
    }
}

/// A connection: a network interface in the words of Windows (design §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// The interface.
    pub name: IfName,
    /// Its GUID with braces, upper case.
    pub guid: String,
    /// Its media type.
    pub media: MediaType,
    /// It is a Wi-Fi adapter.
    pub wireless: bool,
    /// Whether it is connected.
    pub status: ConnectionStatus,
    /// Its part in full sharing.
    pub role: ConnectionRole,
    /// Why it cannot be shared, one sentence; `None` when it can.
    pub not_sharable: Option<String>,
    /// It is the adapter of the hosted network.
    pub hosted_network: bool,
    /// The default route leads through it.
    pub default_route: bool,
    /// The server side of a dial-in or VPN link.
    pub incoming_only: bool,
    /// It is a member of a bridge.
    pub bridged: bool,
    /// Nothing comes in on it unasked.
    pub firewalled: bool,
    /// What it is, for people.
    pub device: &'static str,
    /// What it is as a Wi-Fi station, if it is one. Nothing in it is measured.
    pub station: Option<StationView>,
}
