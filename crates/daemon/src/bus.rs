//! The private socket: one D-Bus connection is one session.
//!
//! | task | owns | waits on | its end |
//! |---|---|---|---|
//! | listener | the socket | new connections | the daemon ends |
//! | one per session | its connection | the connection's end | the session is closed in the core |
//! | one per refused client, 16 at most | its stream | its greeting | it is told that there is no room |
//! | one per subscriber | its event queue | events | the queue closes with the session |
//!
//! Who asks is found out once, when the connection is made (`SO_PEERCRED`), and travels with each request.
//! Any local user may connect; what each may do is the core's decision.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    net::IpAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hn_core::{
    Actor, Command, Keys, MappingStatus, NewMapping, Part, PartStatus, Reply, Security, SessionId, StartType,
    UpRequest,
};
use hn_ipc::{
    args::{DeviceChange, KeysView, MappingArgs, MappingView, PartView, SettingsView, ShareArgs, UpArgs},
    error::BusFailure,
    tree::{Fields, from_fields, to_fields},
};
use hn_types::{
    ConnectionSettings, Descriptor, ErrorCode, Failure, Key, Reason, SecondaryKey, Ssid,
    mac::MacAddrError,
    portmap::MapRemote,
    settings::{ApSettings, Reservation, Role, SharingPair},
    view::NumberedEvent,
};
use rustix::net::{UCred, sockopt::socket_peercred};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
};
use zbus::{Connection, Guid, connection::Builder, interface};

use crate::control::{Request, ending};

/// Sessions in all.
const SESSIONS: usize = 1_024;

/// Sessions of one user other than root.
const SESSIONS_PER_USER: usize = 256;

/// Clients that are told at once that there is no room; more are disconnected without a word.
const REFUSALS: usize = 16;

/// A client that does not finish its authentication is disconnected.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Groups of one caller that are looked at; Linux allows no more (`NGROUPS_MAX`).
const GROUPS: usize = 65_536;

/// `CAP_NET_ADMIN` in `CapEff` of `/proc/PID/status`.
const CAP_NET_ADMIN: u32 = 12;

/// The listening socket; its file is removed when this is dropped.
#[derive(Debug)]
pub struct Bus {
    listener: UnixListener,
    path: PathBuf,
}

impl Bus {
    /// Listens on `path`, replacing a socket nobody answers on. Everybody may connect.
    pub fn listen(path: &Path) -> std::io::Result<Self> {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => {
                return Err(std::io::Error::new(ErrorKind::AddrInUse, "another hostednetd answers there"));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Accepts sessions until the loop behind `requests` is gone.
    pub async fn serve(self, requests: mpsc::Sender<Request>) {
        let census = Arc::new(Census::default());
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        loop {
            let stream = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of descriptors, most likely: some session must end first.
                        tracing::warn!(%error, "cannot accept a session");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = requests.closed() => return,
            };
            match census.admit(&stream) {
                Ok(place) => {
                    tokio::spawn(session(stream, place, requests.clone()));
                }
                Err(cause) => {
                    tracing::warn!(%cause, "a session is refused");
                    if let Ok(turn) = Arc::clone(&refusals).try_acquire_owned() {
                        tokio::spawn(refuse(stream, turn));
                    }
                }
            }
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// How many sessions each user has.
#[derive(Debug, Default)]
struct Census {
    users: Mutex<HashMap<u32, usize>>,
    next: AtomicU64,
}

/// One place in the census, given back when dropped.
#[derive(Debug)]
struct Place {
    census: Arc<Census>,
    actor: Actor,
}

impl Census {
    fn admit(self: &Arc<Self>, stream: &UnixStream) -> Result<Place, String> {
        let peer = socket_peercred(stream).map_err(|error| format!("who asks is unknown: {error}"))?;
        let uid = peer.uid.as_raw();
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (users.values().sum::<usize>(), users.get(&uid).copied().unwrap_or_default());
        if all >= SESSIONS || (uid != 0 && own >= SESSIONS_PER_USER) {
            return Err(format!("user {uid} has {own} of {all} sessions"));
        }
        users.insert(uid, own + 1);
        drop(users);
        let session = SessionId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let Identity { elevated, groups } = identify(peer);
        let actor = Actor { session, uid, elevated, groups: groups.into() };
        Ok(Place { census: Arc::clone(self), actor })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.census.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = users.get_mut(&self.actor.uid) {
            *own -= 1;
            if *own == 0 {
                users.remove(&self.actor.uid);
            }
        }
    }
}

/// What is known of the process at the other end beyond its user.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    elevated: bool,
    groups: Vec<u32>,
}

/// The user and primary group are those of the moment of `connect`. Capabilities and further groups are read from
/// `/proc`, and believed only while that process belongs to the very user: the kernel gives the files of a process
/// that gained privilege by a set-user-id program or file capabilities to root, so that nobody becomes elevated by
/// connecting and then executing one.
fn identify(peer: UCred) -> Identity {
    let uid = peer.uid.as_raw();
    let folder = PathBuf::from(format!("/proc/{}", peer.pid.as_raw_nonzero()));
    let same = || fs::metadata(&folder).is_ok_and(|data| data.uid() == uid);
    let status = same().then(|| fs::read_to_string(folder.join("status")).ok()).flatten().filter(|_| same());
    let field = |name: &str| {
        status
            .iter()
            .flat_map(|text| text.lines())
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
    };
    let capable = u64::from_str_radix(field("CapEff:").trim(), 16)
        .is_ok_and(|capabilities| capabilities >> CAP_NET_ADMIN & 1 == 1);
    let further = field("Groups:").split_ascii_whitespace().filter_map(|group| group.parse().ok());
    let groups = std::iter::once(peer.gid.as_raw()).chain(further).take(GROUPS).collect();
    Identity { elevated: uid == 0 || capable, groups }
}

/// Tells a client that there is no room for it, in the words of the authentication it begins with.
async fn refuse(mut stream: UnixStream, _turn: OwnedSemaphorePermit) {
    // It is heard first: what arrives at a closed socket would reach the client before the answer does.
    let mut greeting = [0; 512];
    let answer = async {
        if stream.read(&mut greeting).await? > 0 {
            stream.write_all(format!("ERROR {}\r\n", hn_ipc::SESSION_LIMIT).as_bytes()).await?;
        }
        stream.shutdown().await
    };
    // Somebody who does not listen is not waited for.
    let _ = tokio::time::timeout(HANDSHAKE, answer).await;
}

async fn session(stream: UnixStream, place: Place, requests: mpsc::Sender<Request>) {
    let id = place.actor.session;
    let link = Link { actor: place.actor.clone(), requests: requests.clone() };
    if requests.send(Request::Opened(id)).await.is_err() {
        return;
    }
    if let Err(error) = serve_session(stream, link).await {
        tracing::debug!(%error, session = id.0, "a session did not begin");
    }
    let _ = requests.send(Request::Closed(id)).await;
}

async fn serve_session(stream: UnixStream, link: Link) -> zbus::Result<()> {
    let requests = link.requests.clone();
    let path = hn_ipc::OBJECT_PATH;
    let builder = Builder::unix_stream(stream.into_std()?)
        .server(Guid::generate())
        .p2p()
        .serve_at(path, HostedNetwork { link: link.clone() })
        .serve_at(path, Sharing { link: link.clone() })
        .serve_at(path, Service { link });
    let timeout = || std::io::Error::new(ErrorKind::TimedOut, "the client did not authenticate in time");
    let connection = tokio::time::timeout(HANDSHAKE, builder.build())
        .await
        .map_err(|_| zbus::Error::from(timeout()))??;
    tokio::select! {
        () = connection.closed() => {}
        () = requests.closed() => { let _ = connection.close().await; }
    }
    Ok(())
}

/// The way of one session to the loop.
#[derive(Clone, Debug)]
struct Link {
    actor: Actor,
    requests: mpsc::Sender<Request>,
}

impl Link {
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, BusFailure> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(request(sender)).await.map_err(|_| ending())?;
        Ok(answer.await.map_err(|_| ending())?)
    }

    async fn command(&self, command: Command) -> Result<Reply, BusFailure> {
        let command = Box::new(command);
        let actor = self.actor.clone();
        Ok(self.ask(|answer| Request::Command { actor, command, answer }).await??)
    }

    async fn done(&self, command: Command) -> Result<(), BusFailure> {
        self.command(command).await.map(drop)
    }
}

fn bad(object: &str, cause: impl std::fmt::Display) -> BusFailure {
    Failure::check(ErrorCode::InvalidParameter, Reason::BadParameters, object, cause).into()
}

fn mapping_view(MappingStatus { mapping, leads, note, asked }: MappingStatus) -> MappingView {
    let (address, address6) = match leads {
        Ok(IpAddr::V4(address)) => (Some(address), None),
        Ok(IpAddr::V6(address)) => (None, Some(address)),
        Err(_) => (None, None),
    };
    let remote = |MapRemote { address, prefix, port }: &MapRemote| match port {
        0 => format!("{address}/{prefix}"),
        port => format!("{address}/{prefix} port {port}"),
    };
    MappingView {
        id: mapping.id,
        connection: mapping.connection.to_string(),
        name: mapping.name,
        protocol: mapping.protocol,
        external_port: mapping.external_port,
        internal_port: mapping.internal_port,
        target: mapping.target,
        enabled: mapping.enabled,
        active: leads.is_ok(),
        address,
        address6,
        detail: leads.err().unwrap_or_default(),
        origin: asked.as_ref().map_or("administrator", |asked| asked.origin.as_str()).to_owned(),
        owner: asked.as_ref().map(|asked| asked.owner.to_string()),
        owner_mac: asked.as_ref().and_then(|asked| asked.mac).map(|mac| mac.to_string()),
        expires_s: asked.as_ref().map(|asked| asked.expires_s),
        remotes: asked.iter().flat_map(|asked| &asked.remotes).map(remote).collect(),
        note,
    }
}

fn unexpected() -> BusFailure {
    let cause = "it answered another question";
    Failure::check(ErrorCode::GenFailure, Reason::Unspecified, "the service", cause).into()
}

struct HostedNetwork {
    link: Link,
}

#[interface(name = "org.hostednet1.HostedNetwork")]
impl HostedNetwork {
    async fn init_settings(&self) -> Result<(), BusFailure> {
        self.link.done(Command::InitSettings).await
    }

    async fn start_using(&self) -> Result<(), BusFailure> {
        self.link.done(Command::StartUsing).await
    }

    async fn stop_using(&self) -> Result<(), BusFailure> {
        self.link.done(Command::StopUsing).await
    }

    async fn force_start(&self) -> Result<(), BusFailure> {
        self.link.done(Command::ForceStart).await
    }

    async fn force_stop(&self) -> Result<(), BusFailure> {
        self.link.done(Command::ForceStop).await
    }

    async fn set_enabled(&self, enabled: bool) -> Result<(), BusFailure> {
        self.link.done(Command::SetEnabled(enabled)).await
    }

    async fn set_ssid(&self, ssid: &[u8]) -> Result<(), BusFailure> {
        let ssid = Ssid::new(ssid).map_err(|error| bad("ssid", error))?;
        self.link.done(Command::SetSsid(ssid)).await
    }

    async fn set_connection(&self, ssid: &[u8], peers: u32) -> Result<(), BusFailure> {
        let ssid = Ssid::new(ssid).map_err(|error| bad("ssid", error))?;
        self.link.done(Command::SetConnection(ConnectionSettings { ssid, max_peers: peers })).await
    }

    async fn set_max_peers(&self, peers: u32) -> Result<(), BusFailure> {
        self.link.done(Command::SetMaxPeers(peers)).await
    }

    async fn set_access_point(&self, settings: Fields) -> Result<(), BusFailure> {
        let settings: ApSettings = from_fields(&settings)?;
        self.link.done(Command::SetAccessPoint(settings)).await
    }

    async fn refresh_key(&self) -> Result<(), BusFailure> {
        self.link.done(Command::RefreshPrimaryKey).await
    }

    async fn set_secondary_key(&self, kind: &str, key: &[u8], persistent: bool) -> Result<(), BusFailure> {
        let key = match kind {
            "passphrase" => match std::str::from_utf8(key) {
                Ok(text) => Key::passphrase(text.to_owned()),
                Err(_) => Err(hn_types::KeyError::NotPrintableAscii),
            },
            "raw" => Key::raw(key),
            other => return Err(bad("kind", format!("{other:?} is neither passphrase nor raw"))),
        };
        let key = key.map_err(|error| bad("the secondary key", error))?;
        self.link.done(Command::SetSecondaryKey(Some(SecondaryKey { key, persistent }))).await
    }

    async fn clear_secondary_key(&self) -> Result<(), BusFailure> {
        self.link.done(Command::SetSecondaryKey(None)).await
    }

    async fn keys(&self) -> Result<Fields, BusFailure> {
        let Reply::Keys(Keys { primary, secondary }) = self.link.command(Command::QueryKeys).await? else {
            return Err(unexpected());
        };
        Ok(to_fields(&KeysView {
            primary,
            secondary_persistent: secondary.as_ref().is_some_and(|key| key.persistent),
            secondary: secondary.map(|secondary| secondary.key),
        })?)
    }

    async fn settings(&self) -> Result<Fields, BusFailure> {
        let Reply::Settings(settings) = self.link.command(Command::QuerySettings).await? else {
            return Err(unexpected());
        };
        Ok(to_fields(&SettingsView {
            ssid: settings.connection.as_ref().map(|connection| connection.ssid),
            max_peers: settings.connection.map_or(100, |connection| connection.max_peers),
            enabled: settings.enabled,
            set_by: settings.set_by,
            authentication: "wpa2_personal".to_owned(),
            cipher: "ccmp".to_owned(),
            secondary_key: settings.secondary_key.is_some(),
            secondary_key_persistent: settings.secondary_key == Some(true),
            reservations: settings.reservations,
            access_point: settings.access_point,
        })?)
    }

    #[zbus(out_args("sddl", "set_by", "granted_access"))]
    async fn security_settings(&self, object: u32) -> Result<(String, String, u32), BusFailure> {
        let Reply::Security(Security { descriptor, set_by, granted }) =
            self.link.command(Command::QuerySecurity(object)).await?
        else {
            return Err(unexpected());
        };
        Ok((descriptor.into(), set_by.as_str().to_owned(), granted))
    }

    async fn set_security_settings(&self, object: u32, sddl: &str) -> Result<(), BusFailure> {
        let descriptor = Descriptor::parse(sddl).map_err(|error| bad("the security descriptor", error))?;
        self.link.done(Command::SetSecurity(object, descriptor)).await
    }
}

struct Sharing {
    link: Link,
}

#[interface(name = "org.hostednet1.Sharing")]
impl Sharing {
    async fn up(&self, args: Fields) -> Result<(), BusFailure> {
        let UpArgs { public, private, ssid, key } = from_fields(&args)?;
        self.link.done(Command::Up(UpRequest { public, private, ssid, key })).await
    }

    async fn down(&self) -> Result<(), BusFailure> {
        self.link.done(Command::Down).await
    }

    async fn share(&self, args: Fields) -> Result<(), BusFailure> {
        let ShareArgs { public, private } = from_fields(&args)?;
        self.link.done(Command::Share(SharingPair { public, private })).await
    }

    async fn unshare(&self) -> Result<(), BusFailure> {
        self.link.done(Command::Unshare).await
    }

    async fn enable_sharing(&self, connection: String, role: &str) -> Result<(), BusFailure> {
        let role = match role {
            "public" => Role::Public,
            "private" => Role::Private,
            other => return Err(bad("role", format!("{other:?} is neither public nor private"))),
        };
        self.link.done(Command::EnableSharing(connection, role)).await
    }

    async fn disable_sharing(&self, connection: String) -> Result<(), BusFailure> {
        self.link.done(Command::DisableSharing(connection)).await
    }

    async fn set_firewall(&self, connection: String, on: bool) -> Result<(), BusFailure> {
        self.link.done(Command::SetFirewall(connection, on)).await
    }

    async fn mappings(&self) -> Result<Vec<Fields>, BusFailure> {
        let Reply::Mappings(mappings) = self.link.command(Command::QueryMappings).await? else {
            return Err(unexpected());
        };
        mappings.into_iter().map(|status| Ok(to_fields(&mapping_view(status))?)).collect()
    }

    #[zbus(out_args("id"))]
    async fn add_mapping(&self, args: Fields) -> Result<u32, BusFailure> {
        let MappingArgs { connection, name, protocol, external_port, internal_port, target, enabled } =
            from_fields(&args)?;
        let new = NewMapping { connection, name, protocol, external_port, internal_port, target, enabled };
        let Reply::Mapping(id) = self.link.command(Command::AddMapping(new)).await? else {
            return Err(unexpected());
        };
        Ok(id)
    }

    async fn set_mapping_enabled(&self, id: u32, on: bool) -> Result<(), BusFailure> {
        self.link.done(Command::SetMappingEnabled(id, on)).await
    }

    async fn remove_mapping(&self, id: u32) -> Result<(), BusFailure> {
        self.link.done(Command::RemoveMapping(id)).await
    }

    async fn set_reservation(&self, mac: &str, host: u32, name: String) -> Result<(), BusFailure> {
        let mac = mac.parse().map_err(|error: MacAddrError| bad("mac", error))?;
        self.link.done(Command::SetReservation(Reservation { mac, host, name })).await
    }

    async fn remove_reservation(&self, mac: &str) -> Result<(), BusFailure> {
        let mac = mac.parse().map_err(|error: MacAddrError| bad("mac", error))?;
        self.link.done(Command::RemoveReservation(mac)).await
    }

    async fn devices(&self) -> Result<Vec<Fields>, BusFailure> {
        let Reply::Devices(devices) = self.link.command(Command::QueryDevices).await? else {
            return Err(unexpected());
        };
        Ok(devices.iter().map(to_fields).collect::<Result<_, _>>()?)
    }

    async fn set_device(&self, mac: &str, change: Fields) -> Result<(), BusFailure> {
        let mac = mac.parse().map_err(|error: MacAddrError| bad("mac", error))?;
        let change: DeviceChange = from_fields(&change)?;
        self.link.done(Command::SetDevice(mac, change)).await
    }

    async fn forget_device(&self, mac: &str) -> Result<(), BusFailure> {
        let mac = mac.parse().map_err(|error: MacAddrError| bad("mac", error))?;
        self.link.done(Command::ForgetDevice(mac)).await
    }

    async fn disconnect_device(&self, mac: &str) -> Result<(), BusFailure> {
        let mac = mac.parse().map_err(|error: MacAddrError| bad("mac", error))?;
        self.link.done(Command::DisconnectDevice(mac)).await
    }

    async fn connections(&self) -> Result<Vec<Fields>, BusFailure> {
        let rows = self.link.ask(Request::Connections).await?;
        Ok(rows.iter().map(to_fields).collect::<Result<_, _>>()?)
    }
}

struct Service {
    link: Link,
}

impl Service {
    async fn part(&self, name: &str, start: bool) -> Result<(), BusFailure> {
        let part = part_of(name)?;
        self.link.done(if start { Command::ServiceStart(part) } else { Command::ServiceStop(part) }).await
    }
}

#[interface(name = "org.hostednet1.Service")]
impl Service {
    async fn status(&self) -> Result<Fields, BusFailure> {
        Ok(to_fields(&self.link.ask(Request::Status).await?)?)
    }

    #[zbus(out_args("sequence", "snapshot"))]
    async fn subscribe(
        &self,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(u64, Fields), BusFailure> {
        let session = self.link.actor.session;
        let (sequence, snapshot, events) =
            self.link.ask(|answer| Request::Subscribe { session, answer }).await?;
        tokio::spawn(forward(connection.clone(), events));
        Ok((sequence, to_fields(&snapshot)?))
    }

    async fn parts(&self) -> Result<Vec<Fields>, BusFailure> {
        let Reply::Parts(parts) = self.link.command(Command::ServiceStatus).await? else {
            return Err(unexpected());
        };
        parts.into_iter().map(|part| Ok(to_fields(&part_view(part))?)).collect()
    }

    async fn diagnose(&self, device: String) -> Result<Fields, BusFailure> {
        // What was changed a moment ago has reached the picture of the network by then.
        const SETTLED: Duration = Duration::from_secs(1);
        tokio::time::sleep(SETTLED).await;
        let device = Some(device).filter(|device| !device.is_empty());
        let diagnosis = self.link.ask(|answer| Request::Diagnose { device, answer }).await??;
        Ok(to_fields(&diagnosis)?)
    }

    async fn set_start_type(&self, name: &str, start_type: &str) -> Result<(), BusFailure> {
        let part = part_of(name)?;
        let start_type = StartType::from_name(start_type).ok_or_else(|| {
            bad("the start type", format!("{start_type:?} is none of automatic, manual and disabled"))
        })?;
        self.link.done(Command::SetStartType(part, start_type)).await
    }

    async fn start_part(&self, name: &str) -> Result<(), BusFailure> {
        self.part(name, true).await
    }

    async fn stop_part(&self, name: &str) -> Result<(), BusFailure> {
        self.part(name, false).await
    }

    #[zbus(signal)]
    async fn event(emitter: &zbus::object_server::SignalEmitter<'_>, event: Fields) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }
}

fn part_of(name: &str) -> Result<Part, BusFailure> {
    Part::from_name(name).ok_or_else(|| bad("the part", format!("{name:?} is neither wlan nor sharedaccess")))
}

fn part_view(status: PartStatus) -> PartView {
    let PartStatus { part, phase, start_type, detail } = status;
    let depends_on = part.depends_on().iter().map(|it| it.display_name().to_owned()).collect();
    PartView {
        name: part.as_str().to_owned(),
        state: phase.as_str().to_owned(),
        display_name: part.display_name().to_owned(),
        start_type: start_type.as_str().to_owned(),
        depends_on,
        dependents: Vec::new(),
        detail,
        process: format!("hostednetd (pid {})", std::process::id()),
    }
}

/// Sends one subscriber's events. A client that does not read stalls this task and then fills its own queue.
async fn forward(connection: Connection, mut events: mpsc::Receiver<NumberedEvent>) {
    while let Some(event) = events.recv().await {
        let Ok(fields) = to_fields(&event) else { continue };
        let sent = connection
            .emit_signal(None::<&str>, hn_ipc::OBJECT_PATH, hn_ipc::SERVICE, "Event", &(fields,))
            .await;
        if sent.is_err() {
            return;
        }
    }
}
