//! What callers ask and what they are answered.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::net::IpAddr;

use hn_types::{
    ConnectionSettings, Descriptor, Key, MacAddr, SecondaryKey, Ssid,
    device::DeviceChange,
    part::{Part, StartType},
    portmap::{MapRemote, Origin},
    security::Caller,
    settings::{
        ApSettings, MappingTarget, PortMapping, PrivateChoice, Protocol, PublicChoice, Reservation, Role,
        SharingPair,
    },
    view::{DeviceView, SetBy, SharingPhase},
};

/// A session: a client connection, the *handle* of the Windows contract. Numbers are never re-used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// A command under way. Chosen by the caller of [`crate::Core::handle_command`], unique among those
/// not yet answered; each gets exactly one reply unless its session closes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Through which session.
    pub session: SessionId,
    /// The user.
    pub uid: u32,
    /// Whether the caller may do what only administrators may (design §3).
    pub elevated: bool,
    /// The user's groups.
    pub groups: Arc<[u32]>,
}

impl Actor {
    /// The service itself, through `session`.
    pub fn service(session: SessionId) -> Self {
        Self { session, uid: 0, elevated: true, groups: Arc::default() }
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller { uid: self.uid, elevated: self.elevated, groups: &self.groups }
    }
}

/// Argument of [`Command::Up`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpRequest {
    /// The public connection; `None`: the hosted network in standalone mode.
    pub public: Option<PublicChoice>,
    /// The private connections; empty: the hosted network.
    pub private: Vec<PrivateChoice>,
    /// A new name for the network, kept afterwards.
    pub ssid: Option<Ssid>,
    /// A secondary key for this run of the network only.
    pub key: Option<Key>,
}

/// Argument of [`Command::AddMapping`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMapping {
    /// The connection, by interface or GUID; `None`: the one that is public, or would be.
    pub connection: Option<String>,
    /// What it is called.
    pub name: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port outside.
    pub external_port: u16,
    /// The port of the device; `None`: the same.
    pub internal_port: Option<u16>,
    /// The device.
    pub target: MappingTarget,
    /// Whether it is switched on from the beginning.
    pub enabled: bool,
}

/// What can be asked. *E*: needs an elevated caller. *O*: needs write access on the securable object
/// [`hn_types::security::ELEVATED_ACCESS`], which elevated callers have unless its access list says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes sure that name and primary key exist.
    InitSettings,
    /// Takes a reference; starts the hosted network with the first one.
    StartUsing,
    /// Gives a reference back; stops the hosted network with the last one.
    StopUsing,
    /// Starts the hosted network for good (*O*).
    ForceStart,
    /// Stops the hosted network whoever uses it (*O*, see [`crate::Config::force_stop_needs_elevation`]).
    ForceStop,
    /// Sets name and size; stops the hosted network.
    SetConnection(ConnectionSettings),
    /// Sets the name only.
    SetSsid(Ssid),
    /// Sets the size only.
    SetMaxPeers(u32),
    /// Sets what is given of the access point and leaves the rest; stops the hosted network.
    SetAccessPoint(ApSettings),
    /// Allows or forbids the hosted network (*O*).
    SetEnabled(bool),
    /// Makes a new primary key; stops the hosted network.
    RefreshPrimaryKey,
    /// Sets or removes the secondary key. Nobody is dropped.
    SetSecondaryKey(Option<SecondaryKey>),
    /// Both keys (*E* when [`crate::Config::keys_readable_by_all`] is off). Never fails with `bad_configuration`.
    QueryKeys,
    /// The primary key (rights as [`Command::QueryKeys`]).
    QueryPrimaryKey,
    /// The secondary key in force (rights as [`Command::QueryKeys`]).
    QuerySecondaryKey,
    /// The settings, without keys.
    QuerySettings,
    /// The access list of a securable object, 0 to 16. Needs the right to read it.
    QuerySecurity(u32),
    /// Changes the access list of a securable object. Needs the right to change it. Only
    /// [`hn_types::security::ELEVATED_ACCESS`] decides anything here, so the others keep the list they have.
    SetSecurity(u32, Descriptor),
    /// Promises an address to a device (*E*).
    SetReservation(Reservation),
    /// Takes the promise back (*E*).
    RemoveReservation(MacAddr),
    /// Decides something about a device (*E*).
    SetDevice(MacAddr, DeviceChange),
    /// Forgets everything that was decided about a device, its promised address included (*E*).
    ForgetDevice(MacAddr),
    /// Ends the association of a device; it may come back (*E*).
    DisconnectDevice(MacAddr),
    /// Everybody who is attached, and everybody else something was decided about.
    QueryDevices,
    /// Starts full sharing on this pair, or moves it there (*E*).
    Share(SharingPair),
    /// Stops full sharing (*E*).
    Unshare,
    /// Gives a connection, named by interface or GUID, a part in full sharing, which runs once both sides have one (*E*).
    EnableSharing(String, Role),
    /// Takes the part of a connection away and switches its port mappings off (*E*).
    DisableSharing(String),
    /// Whether nothing may come in on a connection unasked (*E*).
    SetFirewall(String, bool),
    /// Adds a port mapping (*E*).
    AddMapping(NewMapping),
    /// Switches a port mapping on or off (*E*).
    SetMappingEnabled(u32, bool),
    /// Removes a port mapping (*E*).
    RemoveMapping(u32),
    /// All port mappings.
    QueryMappings,
    /// The hosted network together with sharing, in one transaction (*E* when `public` is given).
    Up(UpRequest),
    /// Undoes this session's [`Command::Up`].
    Down,
    /// Starts a part of the service (*E*). Sharing starts SharedAccess by itself.
    ServiceStart(Part),
    /// Stops a part of the service (*E*).
    ServiceStop(Part),
    /// Says when a part starts (*E*). What runs goes on.
    SetStartType(Part, StartType),
    /// How both parts are.
    ServiceStatus,
    /// Stops everything; answered when nothing of ours is left. Later commands are refused. From the daemon
    /// itself, not from clients: rights are not checked.
    Shutdown,
}

/// The answer to a command that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// To [`Command::QuerySettings`].
    Settings(Settings),
    /// To [`Command::QueryKeys`].
    Keys(Keys),
    /// To [`Command::QuerySecurity`].
    Security(Security),
    /// To [`Command::QueryPrimaryKey`].
    PrimaryKey(Key),
    /// To [`Command::QuerySecondaryKey`]; `None` when there is none.
    SecondaryKey(Option<SecondaryKey>),
    /// To [`Command::AddMapping`]: its number.
    Mapping(u32),
    /// To [`Command::QueryMappings`], oldest first.
    Mappings(Vec<MappingStatus>),
    /// To [`Command::QueryDevices`].
    Devices(Vec<DeviceView>),
    /// To [`Command::ServiceStatus`].
    Parts([PartStatus; 2]),
}

/// A port mapping and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingStatus {
    /// As it was asked for.
    pub mapping: PortMapping,
    /// Where it leads; the cause, one sentence, when it leads nowhere at the moment.
    pub leads: Result<IpAddr, String>,
    /// What else is to be known although it leads there, one sentence; empty: nothing.
    pub note: String,
    /// Of one that a device asked for; `None`: the administrator made it.
    pub asked: Option<Asked>,
}

/// What is known of a mapping that a device asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Through which protocol.
    pub origin: Origin,
    /// From where.
    pub owner: IpAddr,
    /// The device that had a lease on that address.
    pub mac: Option<MacAddr>,
    /// It ends in so many seconds.
    pub expires_s: u32,
    /// Who may come in; empty: everybody.
    pub remotes: Vec<MapRemote>,
}

/// The settings as they are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name and size; `None` before the first use.
    pub connection: Option<ConnectionSettings>,
    /// Whether the hosted network is allowed.
    pub enabled: bool,
    /// Who said so.
    pub set_by: SetBy,
    /// Whether there is a secondary key, and if so whether it is persistent.
    pub secondary_key: Option<bool>,
    /// Addresses promised to devices.
    pub reservations: Vec<Reservation>,
    /// What holds of the access point: everything in it is given.
    pub access_point: ApSettings,
}

/// A securable object as its caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Its access list.
    pub descriptor: Descriptor,
    /// Who said so.
    pub set_by: SetBy,
    /// What the caller may do: an access mask.
    pub granted: u32,
}

/// Both keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// `None` before the first use.
    pub primary: Option<Key>,
    /// The one in force.
    pub secondary: Option<SecondaryKey>,
}

/// How a part of the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartStatus {
    /// Which.
    pub part: Part,
    /// Whether it runs. SharedAccess runs while anything is shared, or after it was started for itself.
    pub phase: SharingPhase,
    /// When it starts.
    pub start_type: StartType,
    /// Why it could not start or what of it does not work; empty when nothing is wrong.
    pub detail: String,
}
