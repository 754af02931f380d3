//! The same session for programs without an asynchronous runtime.

use std::path::Path;

use futures_util::StreamExt;
use hn_types::{
    MacAddr, SecondaryKey, Ssid,
    diagnosis::Diagnosis,
    part::StartType,
    settings::{ApSettings, Reservation},
    view::{DeviceView, NumberedEvent, Snapshot},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    ConnectionView, DeviceChange, Error, EventStream, KeysView, MappingArgs, MappingView, PartView, Role,
    SecuritySettings, SettingsView, ShareArgs, UpArgs,
};

/// A session whose calls wait for their answer. See [`crate::Session`] for what each call means.
///
/// It drives its connection only while one of its calls runs; the service keeps its references all the
/// time, since they belong to the connection.
#[derive(Debug)]
pub struct Session {
    inner: crate::Session,
    runtime: Runtime,
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Session {
            $($(#[$doc])* pub fn $name(&self, $($arg: $type),*) -> Result<$answer, Error> {
                self.runtime.block_on(self.inner.$name($($arg),*))
            })*
        }
    };
}

calls! {
    /// See [`crate::Session::init_settings`].
    init_settings() -> ();
    /// See [`crate::Session::start_using`].
    start_using() -> ();
    /// See [`crate::Session::stop_using`].
    stop_using() -> ();
    /// See [`crate::Session::force_start`].
    force_start() -> ();
    /// See [`crate::Session::force_stop`].
    force_stop() -> ();
    /// See [`crate::Session::set_enabled`].
    set_enabled(enabled: bool) -> ();
    /// See [`crate::Session::set_ssid`].
    set_ssid(ssid: &Ssid) -> ();
    /// See [`crate::Session::set_connection`].
    set_connection(ssid: &Ssid, max_peers: u32) -> ();
    /// See [`crate::Session::set_max_peers`].
    set_max_peers(peers: u32) -> ();
    /// See [`crate::Session::set_access_point`].
    set_access_point(settings: &ApSettings) -> ();
    /// See [`crate::Session::refresh_key`].
    refresh_key() -> ();
    /// See [`crate::Session::set_secondary_key`].
    set_secondary_key(key: Option<&SecondaryKey>) -> ();
    /// See [`crate::Session::keys`].
    keys() -> KeysView;
    /// See [`crate::Session::settings`].
    settings() -> SettingsView;
    /// See [`crate::Session::security_settings`].
    security_settings(object: u32) -> SecuritySettings;
    /// See [`crate::Session::set_security_settings`].
    set_security_settings(object: u32, sddl: &str) -> ();
    /// See [`crate::Session::up`].
    up(args: &UpArgs) -> ();
    /// See [`crate::Session::down`].
    down() -> ();
    /// See [`crate::Session::share`].
    share(args: &ShareArgs) -> ();
    /// See [`crate::Session::unshare`].
    unshare() -> ();
    /// See [`crate::Session::set_reservation`].
    set_reservation(promise: &Reservation) -> ();
    /// See [`crate::Session::remove_reservation`].
    remove_reservation(mac: MacAddr) -> ();
    /// See [`crate::Session::devices`].
    devices() -> Vec<DeviceView>;
    /// See [`crate::Session::set_device`].
    set_device(mac: MacAddr, change: &DeviceChange) -> ();
    /// See [`crate::Session::forget_device`].
    forget_device(mac: MacAddr) -> ();
    /// See [`crate::Session::disconnect_device`].
    disconnect_device(mac: MacAddr) -> ();
    /// See [`crate::Session::connections`].
    connections() -> Vec<ConnectionView>;
    /// See [`crate::Session::enable_sharing`].
    enable_sharing(connection: &str, role: Role) -> ();
    /// See [`crate::Session::disable_sharing`].
    disable_sharing(connection: &str) -> ();
    /// See [`crate::Session::set_firewall`].
    set_firewall(connection: &str, on: bool) -> ();
    /// See [`crate::Session::mappings`].
    mappings() -> Vec<MappingView>;
    /// See [`crate::Session::add_mapping`].
    add_mapping(args: &MappingArgs) -> u32;
    /// See [`crate::Session::set_mapping_enabled`].
    set_mapping_enabled(id: u32, on: bool) -> ();
    /// See [`crate::Session::remove_mapping`].
    remove_mapping(id: u32) -> ();
    /// See [`crate::Session::status`].
    status() -> Snapshot;
    /// See [`crate::Session::diagnose`].
    diagnose(device: Option<&str>) -> Diagnosis;
    /// See [`crate::Session::parts`].
    parts() -> Vec<PartView>;
    /// See [`crate::Session::start_part`].
    start_part(name: &str) -> ();
    /// See [`crate::Session::stop_part`].
    stop_part(name: &str) -> ();
    /// See [`crate::Session::set_start_type`].
    set_start_type(name: &str, start_type: StartType) -> ();
}

impl Session {
    /// See [`crate::Session::connect`].
    pub fn connect(socket: &Path) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Protocol(format!("cannot start a runtime: {error}")))?;
        let inner = runtime.block_on(crate::Session::connect(socket))?;
        Ok(Self { inner, runtime })
    }

    /// See [`crate::Session::events`].
    pub fn events(&self) -> Result<(Snapshot, Events<'_>), Error> {
        let (snapshot, stream) = self.runtime.block_on(self.inner.events())?;
        Ok((snapshot, Events { stream, session: self }))
    }
}

/// Events, one for each call of `next`, which waits for it.
#[derive(Debug)]
pub struct Events<'a> {
    stream: EventStream,
    session: &'a Session,
}

impl Iterator for Events<'_> {
    type Item = NumberedEvent;

    fn next(&mut self) -> Option<Self::Item> {
        self.session.runtime.block_on(self.stream.next())
    }
}
