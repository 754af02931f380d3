//! The interfaces as a client calls them. The daemon's test compares its introspection with these.

use zbus::proxy;

use crate::tree::Fields;

/// The hosted network. Methods are those of the Windows contract; the session is the connection.
#[proxy(
    interface = "org.hostednet1.HostedNetwork",
    default_service = "org.hostednet1",
    default_path = "/org/hostednet1"
)]
pub trait HostedNetwork {
    /// Configures a fresh system; changes nothing on a configured one.
    fn init_settings(&self) -> zbus::Result<()>;
    /// Starts the network if needed and gives this session a reference.
    fn start_using(&self) -> zbus::Result<()>;
    /// Gives one reference back.
    fn stop_using(&self) -> zbus::Result<()>;
    /// Starts the network without tying it to a session. Needs elevation.
    fn force_start(&self) -> zbus::Result<()>;
    /// Stops the network whatever references exist. Needs elevation.
    fn force_stop(&self) -> zbus::Result<()>;
    /// Allows or disallows the network. Needs elevation.
    fn set_enabled(&self, enabled: bool) -> zbus::Result<()>;
    /// Names the network.
    fn set_ssid(&self, ssid: &[u8]) -> zbus::Result<()>;
    /// Name and size in one step. A running network stops.
    fn set_connection(&self, ssid: &[u8], peers: u32) -> zbus::Result<()>;
    /// Limits the number of devices.
    fn set_max_peers(&self, peers: u32) -> zbus::Result<()>;
    /// Sets `security`, `hidden`, `isolated` or `address` ([`crate::args::SettingsView`]), whichever are given. A
    /// running network stops.
    fn set_access_point(&self, settings: &Fields) -> zbus::Result<()>;
    /// Makes a new primary key.
    fn refresh_key(&self) -> zbus::Result<()>;
    /// Sets the secondary key: `kind` is `passphrase` or `raw`.
    fn set_secondary_key(&self, kind: &str, key: &[u8], persistent: bool) -> zbus::Result<()>;
    /// Removes the secondary key.
    fn clear_secondary_key(&self) -> zbus::Result<()>;
    /// Both keys: [`crate::args::KeysView`].
    fn keys(&self) -> zbus::Result<Fields>;
    /// The settings: [`crate::args::SettingsView`].
    fn settings(&self) -> zbus::Result<Fields>;
    /// The access list of a securable object (0 to 16) in SDDL, `policy` or `user`, and what the caller may do.
    fn security_settings(&self, object: u32) -> zbus::Result<(String, String, u32)>;
    /// Changes the access list of a securable object. Needs write access on it.
    fn set_security_settings(&self, object: u32, sddl: &str) -> zbus::Result<()>;
}

/// Sharing.
#[proxy(
    interface = "org.hostednet1.Sharing",
    default_service = "org.hostednet1",
    default_path = "/org/hostednet1"
)]
pub trait Sharing {
    /// The hosted network with sharing in one transaction, for as long as this session lives:
    /// [`crate::args::UpArgs`].
    fn up(&self, args: Fields) -> zbus::Result<()>;
    /// Undoes what `Up` did in this session.
    fn down(&self) -> zbus::Result<()>;
    /// Full sharing: [`crate::args::ShareArgs`]. Needs elevation.
    fn share(&self, args: Fields) -> zbus::Result<()>;
    /// Ends full sharing. Needs elevation.
    fn unshare(&self) -> zbus::Result<()>;
    /// Gives a connection (interface or GUID) the part `public` or `private`; sharing runs once both sides have
    /// one. Needs elevation.
    fn enable_sharing(&self, connection: &str, role: &str) -> zbus::Result<()>;
    /// Takes the part of a connection away and switches its port mappings off. Needs elevation.
    fn disable_sharing(&self, connection: &str) -> zbus::Result<()>;
    /// Whether nothing may come in on a connection unasked. Needs elevation.
    fn set_firewall(&self, connection: &str, on: bool) -> zbus::Result<()>;
    /// Every port mapping: [`crate::args::MappingView`].
    fn mappings(&self) -> zbus::Result<Vec<Fields>>;
    /// Adds a port mapping ([`crate::args::MappingArgs`]) and tells its number. Needs elevation.
    fn add_mapping(&self, args: Fields) -> zbus::Result<u32>;
    /// Switches a port mapping on or off. Needs elevation.
    fn set_mapping_enabled(&self, id: u32, on: bool) -> zbus::Result<()>;
    /// Removes a port mapping. Needs elevation.
    fn remove_mapping(&self, id: u32) -> zbus::Result<()>;
    /// Promises an address to a device: the host part `host` in whatever the subnet is, 20 for `.20`. Needs elevation.
    fn set_reservation(&self, mac: &str, host: u32, name: &str) -> zbus::Result<()>;
    /// Takes the promise back. Needs elevation.
    fn remove_reservation(&self, mac: &str) -> zbus::Result<()>;
    /// Every device that is attached or that something was decided about: [`hn_types::view::DeviceView`].
    fn devices(&self) -> zbus::Result<Vec<Fields>>;
    /// Decides something about a device: [`crate::args::DeviceChange`]. Needs elevation.
    fn set_device(&self, mac: &str, change: Fields) -> zbus::Result<()>;
    /// Forgets what was decided about a device. Needs elevation.
    fn forget_device(&self, mac: &str) -> zbus::Result<()>;
    /// Ends the association of a device, which may come back. Needs elevation.
    fn disconnect_device(&self, mac: &str) -> zbus::Result<()>;
    /// Every connection: [`crate::args::ConnectionView`].
    fn connections(&self) -> zbus::Result<Vec<Fields>>;
}

/// The service itself.
#[proxy(
    interface = "org.hostednet1.Service",
    default_service = "org.hostednet1",
    default_path = "/org/hostednet1"
)]
pub trait Service {
    /// Everything: [`hn_types::view::Snapshot`].
    fn status(&self) -> zbus::Result<Fields>;
    /// From here on this connection gets `Event` signals; the answer is the number of the last
    /// event before and the snapshot at that moment, so that nothing falls between.
    fn subscribe(&self) -> zbus::Result<(u64, Fields)>;
    /// The parts of the service: [`crate::args::PartView`].
    fn parts(&self) -> zbus::Result<Vec<Fields>>;
    /// Starts a part, `wlan` or `sharedaccess` or another of its names in any case. Needs elevation.
    fn start_part(&self, name: &str) -> zbus::Result<()>;
    /// Stops a part. Needs elevation.
    fn stop_part(&self, name: &str) -> zbus::Result<()>;
    /// Says when a part starts: `automatic`, `manual` or `disabled`. Needs elevation.
    fn set_start_type(&self, name: &str, start_type: &str) -> zbus::Result<()>;
    /// Why a device is not online: [`hn_types::diagnosis::Diagnosis`]. `device` is a link-layer address, an IPv4 address or
    /// a name; empty: any. Takes some seconds.
    fn diagnose(&self, device: &str) -> zbus::Result<Fields>;
    /// What happened: [`hn_types::view::NumberedEvent`].
    #[zbus(signal)]
    fn event(&self, event: Fields) -> zbus::Result<()>;
    /// The version of the service.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;
}
