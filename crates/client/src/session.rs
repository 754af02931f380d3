//! One connection to the service.

use std::{
    env,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use hn_ipc::{
    args::{
        ConnectionView, DeviceChange, KeysView, MappingArgs, MappingView, PartView, Role, SecuritySettings,
        SettingsView, ShareArgs, UpArgs,
    },
    error::{TreeError, failure_from_reply},
    proxy::{HostedNetworkProxy, ServiceProxy, SharingProxy},
    tree::{Fields, from_fields, to_fields},
};
use hn_types::{
    ErrorCode, Failure, Key, MacAddr, Reason, SecondaryKey, Ssid,
    diagnosis::Diagnosis,
    part::StartType,
    settings::{ApSettings, Reservation},
    view::{DeviceView, SetBy, Snapshot},
};
use serde::de::DeserializeOwned;
use zbus::connection::Builder;

use crate::{Error, EventStream};

/// The socket clients use: `HOSTEDNET_SOCKET` if set, else `/run/hostednet/bus`.
pub fn socket_path() -> PathBuf {
    env::var_os(hn_ipc::SOCKET_VARIABLE).map_or_else(|| hn_ipc::DEFAULT_SOCKET.into(), PathBuf::from)
}

/// A session with the service. Dropping it gives back every reference it holds.
#[derive(Clone, Debug)]
pub struct Session {
    connection: zbus::Connection,
    hosted_network: HostedNetworkProxy<'static>,
    sharing: SharingProxy<'static>,
    service: ServiceProxy<'static>,
    socket: PathBuf,
}

impl Session {
    /// Connects to the service at [`socket_path`].
    pub async fn connect_default() -> Result<Self, Error> {
        Self::connect(&socket_path()).await
    }

    /// Connects to the service that listens on `socket`.
    pub async fn connect(socket: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(socket).map_err(|error| not_running(socket, &error))?;
        Self::over(stream, socket).await
    }

    /// A session over a stream that is connected already; `socket` is what errors name.
    ///
    /// # Errors
    ///
    /// A failure of [`ErrorCode::SessionLimitExceeded`] when the service admits no more sessions, [`Error::NotRunning`] when it does not
    /// answer as ours does.
    pub async fn over(stream: UnixStream, socket: &Path) -> Result<Self, Error> {
        let connect = async {
            let connection = Builder::unix_stream(stream).p2p().build().await?;
            let hosted_network = HostedNetworkProxy::new(&connection).await?;
            let sharing = SharingProxy::new(&connection).await?;
            let service = ServiceProxy::new(&connection).await?;
            Ok::<_, zbus::Error>((connection, hosted_network, sharing, service))
        };
        let (connection, hosted_network, sharing, service) =
            connect.await.map_err(|error| refused(socket, &error))?;
        Ok(Self { connection, hosted_network, sharing, service, socket: socket.to_owned() })
    }

    /// Resolves when the service has gone away or closed this session.
    pub async fn closed(&self) {
        self.connection.closed().await;
    }

    /// Configures a fresh system (name, primary key); changes nothing on a configured one.
    pub async fn init_settings(&self) -> Result<(), Error> {
        self.done(self.hosted_network.init_settings().await)
    }

    /// Starts the network if needed and takes a reference. Every success wants one [`Session::stop_using`],
    /// or the end of the session.
    pub async fn start_using(&self) -> Result<(), Error> {
        self.done(self.hosted_network.start_using().await)
    }

    /// Gives one reference back; the network stops with the last one.
    pub async fn stop_using(&self) -> Result<(), Error> {
        self.done(self.hosted_network.stop_using().await)
    }

    /// Starts the network so that it outlives this session. Needs elevation.
    pub async fn force_start(&self) -> Result<(), Error> {
        self.done(self.hosted_network.force_start().await)
    }

    /// Stops the network whatever references exist. Needs elevation.
    pub async fn force_stop(&self) -> Result<(), Error> {
        self.done(self.hosted_network.force_stop().await)
    }

    /// Allows or disallows the network. Needs elevation.
    pub async fn set_enabled(&self, enabled: bool) -> Result<(), Error> {
        self.done(self.hosted_network.set_enabled(enabled).await)
    }

    /// Names the network. A running one stops (`properties_change`).
    pub async fn set_ssid(&self, ssid: &Ssid) -> Result<(), Error> {
        self.done(self.hosted_network.set_ssid(ssid.as_bytes()).await)
    }

    /// Names the network and limits the number of devices in one step. A running network stops (`properties_change`).
    pub async fn set_connection(&self, ssid: &Ssid, max_peers: u32) -> Result<(), Error> {
        self.done(self.hosted_network.set_connection(ssid.as_bytes(), max_peers).await)
    }

    /// Sets what is given of security, hiding, isolation and address of the access point, and leaves the rest. A
    /// running network stops (`properties_change`).
    pub async fn set_access_point(&self, settings: &ApSettings) -> Result<(), Error> {
        self.done(self.hosted_network.set_access_point(&to_fields(settings).map_err(protocol)?).await)
    }

    /// Limits the number of devices. A running network stops (`properties_change`).
    pub async fn set_max_peers(&self, peers: u32) -> Result<(), Error> {
        self.done(self.hosted_network.set_max_peers(peers).await)
    }

    /// Makes a new primary key. A running network stops.
    pub async fn refresh_key(&self) -> Result<(), Error> {
        self.done(self.hosted_network.refresh_key().await)
    }

    /// Sets the secondary key, or removes it with `None`.
    pub async fn set_secondary_key(&self, key: Option<&SecondaryKey>) -> Result<(), Error> {
        let Some(SecondaryKey { key, persistent }) = key else {
            return self.done(self.hosted_network.clear_secondary_key().await);
        };
        let (kind, bytes) = match key {
            Key::Passphrase(passphrase) => ("passphrase", passphrase.expose().as_bytes()),
            Key::Raw(raw) => ("raw", &raw.expose()[..]),
        };
        self.done(self.hosted_network.set_secondary_key(kind, bytes, *persistent).await)
    }

    /// Both keys.
    pub async fn keys(&self) -> Result<KeysView, Error> {
        self.fields(self.hosted_network.keys().await)
    }

    /// The settings.
    pub async fn settings(&self) -> Result<SettingsView, Error> {
        self.fields(self.hosted_network.settings().await)
    }

    /// The access list of securable object `object`, 0 to 16, and what this caller may do.
    pub async fn security_settings(&self, object: u32) -> Result<SecuritySettings, Error> {
        let answer = self.hosted_network.security_settings(object).await;
        let (sddl, set_by, granted_access) = answer.map_err(|error| self.error(&error))?;
        let set_by = match set_by.as_str() {
            "policy" => SetBy::Policy,
            "user" => SetBy::User,
            other => return Err(Error::Protocol(format!("{other:?} is neither policy nor user"))),
        };
        Ok(SecuritySettings { sddl, set_by, granted_access })
    }

    /// Changes the access list of securable object `object`. Needs write access on it.
    pub async fn set_security_settings(&self, object: u32, sddl: &str) -> Result<(), Error> {
        self.done(self.hosted_network.set_security_settings(object, sddl).await)
    }

    /// The hosted network with sharing, in one transaction, for as long as this session lives.
    pub async fn up(&self, args: &UpArgs) -> Result<(), Error> {
        let fields = to_fields(args).map_err(protocol)?;
        self.done(self.sharing.up(fields).await)
    }

    /// Undoes what [`Session::up`] did and returns when it is undone.
    pub async fn down(&self) -> Result<(), Error> {
        self.done(self.sharing.down().await)
    }

    /// Full sharing until [`Session::unshare`]. Needs elevation.
    pub async fn share(&self, args: &ShareArgs) -> Result<(), Error> {
        let fields = to_fields(args).map_err(protocol)?;
        self.done(self.sharing.share(fields).await)
    }

    /// Ends full sharing. Needs elevation.
    pub async fn unshare(&self) -> Result<(), Error> {
        self.done(self.sharing.unshare().await)
    }

    /// Promises an address to a device. Needs elevation.
    pub async fn set_reservation(&self, promise: &Reservation) -> Result<(), Error> {
        let Reservation { mac, host, name } = promise;
        self.done(self.sharing.set_reservation(&mac.to_string(), *host, name).await)
    }

    /// Takes the promise back. Needs elevation.
    pub async fn remove_reservation(&self, mac: MacAddr) -> Result<(), Error> {
        self.done(self.sharing.remove_reservation(&mac.to_string()).await)
    }

    /// Every device that is attached or that something was decided about.
    pub async fn devices(&self) -> Result<Vec<DeviceView>, Error> {
        self.rows(self.sharing.devices().await)
    }

    /// Decides something about a device; what `change` leaves out stays. Needs elevation.
    pub async fn set_device(&self, mac: MacAddr, change: &DeviceChange) -> Result<(), Error> {
        let fields = to_fields(change).map_err(protocol)?;
        self.done(self.sharing.set_device(&mac.to_string(), fields).await)
    }

    /// Forgets what was decided about a device, its promised address included. Needs elevation.
    pub async fn forget_device(&self, mac: MacAddr) -> Result<(), Error> {
        self.done(self.sharing.forget_device(&mac.to_string()).await)
    }

    /// Ends the association of a device, which may come back. Needs elevation.
    pub async fn disconnect_device(&self, mac: MacAddr) -> Result<(), Error> {
        self.done(self.sharing.disconnect_device(&mac.to_string()).await)
    }

    /// Every connection of the machine and whether it can be shared.
    pub async fn connections(&self) -> Result<Vec<ConnectionView>, Error> {
        self.rows(self.sharing.connections().await)
    }

    /// Gives a connection, by interface or GUID, its part in sharing, which runs once both sides have one. Needs elevation.
    pub async fn enable_sharing(&self, connection: &str, role: Role) -> Result<(), Error> {
        self.done(self.sharing.enable_sharing(connection, role.as_str()).await)
    }

    /// Takes the part of a connection away and switches its port mappings off. Needs elevation.
    pub async fn disable_sharing(&self, connection: &str) -> Result<(), Error> {
        self.done(self.sharing.disable_sharing(connection).await)
    }

    /// Whether nothing may come in on a connection unasked; kept over restarts. Needs elevation.
    pub async fn set_firewall(&self, connection: &str, on: bool) -> Result<(), Error> {
        self.done(self.sharing.set_firewall(connection, on).await)
    }

    /// Every port mapping, oldest first.
    pub async fn mappings(&self) -> Result<Vec<MappingView>, Error> {
        self.rows(self.sharing.mappings().await)
    }

    /// Adds a port mapping and tells its number. Needs elevation.
    pub async fn add_mapping(&self, args: &MappingArgs) -> Result<u32, Error> {
        let fields = to_fields(args).map_err(protocol)?;
        self.sharing.add_mapping(fields).await.map_err(|error| self.error(&error))
    }

    /// Switches a port mapping on or off. Needs elevation.
    pub async fn set_mapping_enabled(&self, id: u32, on: bool) -> Result<(), Error> {
        self.done(self.sharing.set_mapping_enabled(id, on).await)
    }

    /// Removes a port mapping. Needs elevation.
    pub async fn remove_mapping(&self, id: u32) -> Result<(), Error> {
        self.done(self.sharing.remove_mapping(id).await)
    }

    /// Everything at this moment.
    pub async fn status(&self) -> Result<Snapshot, Error> {
        self.fields(self.service.status().await)
    }

    /// The parts of the service.
    pub async fn parts(&self) -> Result<Vec<PartView>, Error> {
        self.rows(self.service.parts().await)
    }

    /// Starts a part, `wlan` or `sharedaccess` (also under its other names). Needs elevation.
    pub async fn start_part(&self, name: &str) -> Result<(), Error> {
        self.done(self.service.start_part(name).await)
    }

    /// Stops a part, `wlan` or `sharedaccess`. Needs elevation.
    pub async fn stop_part(&self, name: &str) -> Result<(), Error> {
        self.done(self.service.stop_part(name).await)
    }

    /// Says when a part starts. What runs goes on. Needs elevation.
    pub async fn set_start_type(&self, name: &str, start_type: StartType) -> Result<(), Error> {
        self.done(self.service.set_start_type(name, start_type.as_str()).await)
    }

    /// Why a device – by link-layer address, IPv4 address or name – or, with `None`, any device is not online. Takes some
    /// seconds: packets are sent and waited for.
    pub async fn diagnose(&self, device: Option<&str>) -> Result<Diagnosis, Error> {
        self.fields(self.service.diagnose(device.unwrap_or_default()).await)
    }

    /// The snapshot of this moment and every event after it; nothing falls between.
    pub async fn events(&self) -> Result<(Snapshot, EventStream), Error> {
        // The stream is made before the subscription, so that the first signal is not missed.
        let signals = self.service.receive_event().await.map_err(|error| self.error(&error))?;
        let (sequence, fields) = self.service.subscribe().await.map_err(|error| self.error(&error))?;
        let snapshot = from_fields(&fields).map_err(protocol)?;
        Ok((snapshot, EventStream::new(signals, sequence)))
    }

    fn error(&self, error: &zbus::Error) -> Error {
        if self.connection.is_closed() || matches!(error, zbus::Error::InputOutput(_)) {
            return Error::NotRunning {
                socket: self.socket.display().to_string(),
                cause: "it closed the connection".to_owned(),
            };
        }
        failure_from_reply(error).into()
    }

    fn done(&self, result: zbus::Result<()>) -> Result<(), Error> {
        result.map_err(|error| self.error(&error))
    }

    fn fields<T: DeserializeOwned>(&self, result: zbus::Result<Fields>) -> Result<T, Error> {
        let fields = result.map_err(|error| self.error(&error))?;
        from_fields(&fields).map_err(protocol)
    }

    fn rows<T: DeserializeOwned>(&self, result: zbus::Result<Vec<Fields>>) -> Result<Vec<T>, Error> {
        let rows = result.map_err(|error| self.error(&error))?;
        rows.iter().map(|fields| from_fields(fields).map_err(protocol)).collect()
    }
}

/// Why there is no session on a stream that was connected.
fn refused(socket: &Path, error: &zbus::Error) -> Error {
    let full = matches!(error, zbus::Error::Handshake(text) if text.contains(hn_ipc::SESSION_LIMIT));
    if !full {
        return not_running(socket, error);
    }
    let cause = "the service admits no more sessions of this user";
    Failure::check(ErrorCode::SessionLimitExceeded, Reason::InsufficientResources, "session", cause)
        .with_remedy("end programs that use it")
        .into()
}

fn not_running(socket: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::NotRunning { socket: socket.display().to_string(), cause: cause.to_string() }
}

fn protocol(error: TreeError) -> Error {
    Error::Protocol(error.to_string())
}
