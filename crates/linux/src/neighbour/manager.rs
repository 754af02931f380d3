//! NetworkManager: asked to leave the interfaces alone that carry a private segment, for as long as they do.
//!
//! Its `Managed` property of a device is what `nmcli device set IFACE managed no` sets: it holds until NetworkManager or
//! the machine ends, and no file is written but its own note below `/run`. What was so before is in the undo
//! journal: a profile that was active is activated again. An interface that it did not manage is not touched.
//!
//! An interface on which NetworkManager itself shares a connection is not taken away from it: two programs
//! that serve one network are a mistake somebody has to decide about.
//!
//! Who comes late is asked late: NetworkManager may start or restart while a segment runs, and an interface may
//! appear after the plan that names it. While nothing is claimed nobody listens to the bus.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    time::Duration,
};

use futures_util::stream::{SelectAll, StreamExt as _, select_all};
use hn_types::{DriverError, DriverErrorKind, IfName};
use tokio::{
    sync::{Mutex, Notify},
    task::JoinHandle,
    time::{sleep, timeout},
};
use zbus::{MatchRule, MessageStream, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, message::Type};

use super::bus::{Object, SystemBus, Trouble, apart};
use crate::undo::{EntryId, Undo, UndoJournal};

/// Its name on the bus.
pub(crate) const NAME: &str = "org.freedesktop.NetworkManager";
const ROOT: Object<'_> = Object { name: NAME, path: "/org/freedesktop/NetworkManager", interface: NAME };
const SETTINGS: Object<'_> = Object {
    name: NAME,
    path: "/org/freedesktop/NetworkManager/Settings",
    interface: "org.freedesktop.NetworkManager.Settings",
};
const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";
/// `NM_ACTIVATION_STATE_FLAG_EXTERNAL`: somebody else configured the interface, and it only watches.
const EXTERNAL: u32 = 0x80;
/// `NM_DEVICE_STATE_UNMANAGED`.
const UNMANAGED: u32 = 10;
/// All questions of one plan together. One that hangs does not keep sharing from running.
const PATIENCE: Duration = Duration::from_secs(5);
/// Without a bus it is looked for again after this, while there is something to ask for.
const RETRY: Duration = Duration::from_secs(10);

/// A profile's settings: `ipv4` → `method` → value.
type Profile = HashMap<String, HashMap<String, OwnedVariant>>;

/// Who needs an interface left alone. Each claims on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claimant {
    /// Addresses and the bridge.
    Links,
    /// The access point.
    Radio,
}

/// Our side of NetworkManager. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    shared: Rc<Shared>,
    _listening: Rc<Listening>,
}

#[derive(Debug)]
struct Shared {
    bus: SystemBus,
    journal: Rc<UndoJournal>,
    claims: RefCell<Claims>,
    /// One conversation at a time.
    turn: Mutex<()>,
    /// The claims changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Claims {
    wanted: BTreeMap<Claimant, BTreeSet<IfName>>,
    /// What it let go of for us.
    taken: BTreeMap<IfName, EntryId>,
}

/// The task that listens; it ends with the last clone.
#[derive(Debug)]
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is known of a device that it manages.
struct Managed {
    path: OwnedObjectPath,
    /// The active profile, unless it only watches what somebody else configured.
    profile: Option<Active>,
}

struct Active {
    uuid: String,
    name: String,
    shares: bool,
}

impl Manager {
    /// Nothing is claimed yet. What an earlier run could not give back because NetworkManager was away is given back
    /// when it comes. Needs a [`LocalSet`](tokio::task::LocalSet).
    pub(crate) fn open(bus: SystemBus, journal: Rc<UndoJournal>) -> Self {
        let taken = journal.pending().into_iter().filter_map(|(entry, undo)| {
            if let Undo::Unmanaged { interface, .. } = undo { Some((interface, entry)) } else { None }
        });
        let claims = Claims { wanted: BTreeMap::new(), taken: taken.collect() };
        let shared = Rc::new(Shared {
            bus,
            journal,
            claims: RefCell::new(claims),
            turn: Mutex::new(()),
            changed: Notify::new(),
        });
        let listening = tokio::task::spawn_local(listen(Rc::clone(&shared)));
        Self { shared, _listening: Rc::new(Listening(listening)) }
    }

    /// From here on these interfaces are left alone, too, those included that do not exist yet.
    ///
    /// # Errors
    ///
    /// `Busy` when NetworkManager shares a connection on one of them; nothing is claimed then.
    pub(crate) async fn claim(
        &self,
        claimant: Claimant,
        names: &BTreeSet<IfName>,
    ) -> Result<(), DriverError> {
        let shared = &self.shared;
        let held = shared.claims.borrow().wanted.get(&claimant).cloned().unwrap_or_default();
        let new: BTreeSet<IfName> = names.difference(&held).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let claimed = timeout(PATIENCE, async {
            let _turn = shared.turn.lock().await;
            let found = shared.look(&new).await?;
            if let Err(conflict) = refuse_shared(&found) {
                return Ok(Err(conflict));
            }
            shared.claims.borrow_mut().wanted.entry(claimant).or_default().extend(&new);
            for (name, device) in found {
                shared.take(name, &device).await;
            }
            Ok(Ok(()))
        });
        match claimed.await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(trouble)) if is_absent(&trouble) => {}
            Ok(Err(trouble)) => {
                tracing::warn!(%trouble, "NetworkManager cannot be asked to leave the interfaces alone");
            }
            Err(_) => tracing::warn!("NetworkManager does not answer"),
        }
        shared.claims.borrow_mut().wanted.entry(claimant).or_default().extend(&new);
        shared.changed.notify_one();
        Ok(())
    }

    /// The interfaces that it was asked to leave alone.
    pub(crate) fn taken(&self) -> Vec<IfName> {
        self.shared.claims.borrow().taken.keys().copied().collect()
    }

    /// Refuses an interface on which it shares a connection itself.
    ///
    /// # Errors
    ///
    /// `Busy`, with the profile and how to end it.
    pub(crate) async fn shares_none(&self, names: &BTreeSet<IfName>) -> Result<(), DriverError> {
        match timeout(PATIENCE, self.shared.look(names)).await {
            Ok(Ok(found)) => refuse_shared(&found),
            // Who cannot be asked cannot be accused.
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// The claimant needs only these interfaces any more. What nobody needs is given back.
    pub(crate) async fn release(&self, claimant: Claimant, keep: &BTreeSet<IfName>) {
        let shared = &self.shared;
        {
            let mut claims = shared.claims.borrow_mut();
            let Some(wanted) = claims.wanted.get_mut(&claimant) else { return };
            let before = wanted.len();
            wanted.retain(|name| keep.contains(name));
            if wanted.len() == before {
                return;
            }
        }
        let giving = timeout(PATIENCE, async {
            let _turn = shared.turn.lock().await;
            shared.give_back().await;
        });
        if giving.await.is_err() {
            tracing::warn!("NetworkManager does not answer; it gets its interfaces back later");
        }
        shared.changed.notify_one();
    }
}

impl Shared {
    fn is_wanted(&self, name: IfName) -> bool {
        self.claims.borrow().wanted.values().any(|names| names.contains(&name))
    }

    fn idle(&self) -> bool {
        let claims = self.claims.borrow();
        claims.taken.is_empty() && claims.wanted.values().all(BTreeSet::is_empty)
    }

    /// Those of the interfaces that it manages.
    async fn look(&self, names: &BTreeSet<IfName>) -> Result<BTreeMap<IfName, Managed>, Trouble> {
        let mut found = BTreeMap::new();
        if !self.bus.present(NAME).await {
            return Ok(found);
        }
        for name in names {
            if let Some(path) = device(&self.bus, *name).await?
                && let Some(managed) = managed(&self.bus, path).await?
            {
                found.insert(*name, managed);
            }
        }
        Ok(found)
    }

    /// Asks it to leave the interface alone.
    async fn take(&self, name: IfName, device: &Managed) {
        let known = self.claims.borrow().taken.get(&name).copied();
        let entry = match known {
            // It forgot, for instance in a restart; what was before is written down already.
            Some(entry) => entry,
            None => {
                let profile = device.profile.as_ref().map(|active| active.uuid.clone());
                match self.journal.record(Undo::Unmanaged { interface: name, profile }) {
                    Ok(entry) => entry,
                    Err(error) => {
                        tracing::warn!(%error, "NetworkManager is not asked to leave {name} alone");
                        return;
                    }
                }
            }
        };
        self.claims.borrow_mut().taken.insert(name, entry);
        let object = Object { name: NAME, path: device.path.as_str(), interface: DEVICE };
        match set(&self.bus, object, "Managed", Variant::Bool(false)).await {
            Ok(()) => tracing::info!("NetworkManager leaves {name} alone"),
            Err(cause) => tracing::warn!(%cause, "NetworkManager does not leave {name} alone"),
        }
    }

    /// Asks again where that is needed: for all interfaces, or for those only that it did not know before.
    async fn ask_again(&self, all: bool) {
        let _turn = self.turn.lock().await;
        self.give_back().await;
        let wanted: BTreeSet<IfName> = {
            let claims = self.claims.borrow();
            let names = claims.wanted.values().flatten().copied();
            names.filter(|name| all || !claims.taken.contains_key(name)).collect()
        };
        if wanted.is_empty() {
            return;
        }
        for (name, device) in self.look(&wanted).await.unwrap_or_default() {
            if let Some(active) = device.profile.as_ref().filter(|active| active.shares) {
                // It came later than the segment; what runs is not for us to end, here as little as there.
                tracing::warn!(profile = active.name, "NetworkManager shares {name}, too");
            }
            if self.is_wanted(name) {
                self.take(name, &device).await;
            }
        }
    }

    /// Gives back what nobody needs.
    async fn give_back(&self) {
        let free: Vec<(IfName, EntryId)> = {
            let taken = self.claims.borrow().taken.clone();
            taken.into_iter().filter(|(name, _)| !self.is_wanted(*name)).collect()
        };
        let pending: BTreeMap<EntryId, Undo> =
            if free.is_empty() { BTreeMap::new() } else { self.journal.pending().into_iter().collect() };
        for (name, entry) in free {
            let given = if let Some(Undo::Unmanaged { interface, profile }) = pending.get(&entry) {
                restore(&self.bus, *interface, profile.as_deref()).await
            } else {
                Ok(())
            };
            match given {
                Ok(()) => {
                    self.journal.done(entry);
                    self.claims.borrow_mut().taken.remove(&name);
                    tracing::info!("NetworkManager may manage {name} again");
                }
                // It gets it back when it comes.
                Err(trouble) if is_absent(&trouble) => {}
                Err(trouble) => {
                    tracing::warn!(%trouble, "NetworkManager cannot be given {name} back yet");
                }
            }
        }
    }
}

/// Follows NetworkManager while there is something to ask of it.
async fn listen(shared: Rc<Shared>) {
    loop {
        if shared.idle() {
            shared.changed.notified().await;
            continue;
        }
        let Ok(mut signals) = signals(&shared.bus).await else {
            tokio::select! {
                () = sleep(RETRY) => {}
                () = shared.changed.notified() => {}
            }
            continue;
        };
        shared.ask_again(true).await;
        while !shared.idle() {
            tokio::select! {
                signal = signals.next() => match signal.and_then(Result::ok) {
                    Some(signal) => match concern(&signal) {
                        Concern::All => shared.ask_again(true).await,
                        Concern::New => shared.ask_again(false).await,
                        Concern::Nothing => {}
                    },
                    None => break,
                },
                () = shared.changed.notified() => {}
            }
        }
    }
}

/// NetworkManager coming and going, devices coming, and becoming managed.
async fn signals(bus: &SystemBus) -> Result<SelectAll<MessageStream>, Trouble> {
    const BUS: &str = "org.freedesktop.DBus";
    let rule = |interface: &'static str, member: &'static str| {
        MatchRule::builder().msg_type(Type::Signal).interface(interface).member(member)
    };
    let owner = rule(BUS, "NameOwnerChanged").sender(BUS).arg(0, NAME);
    let added = rule(NAME, "DeviceAdded").sender(NAME);
    let state = rule(DEVICE, "StateChanged").sender(NAME);
    let mut streams = Vec::new();
    for rule in [owner, added, state] {
        streams.push(bus.follow(rule.build()?).await?);
    }
    Ok(select_all(streams))
}

enum Concern {
    All,
    New,
    Nothing,
}

fn concern(signal: &zbus::Message) -> Concern {
    let header = signal.header();
    match header.member().map(|member| member.as_str()) {
        Some("NameOwnerChanged" | "DeviceAdded") => Concern::All,
        Some("StateChanged") => match signal.body().deserialize::<(u32, u32, u32)>() {
            Ok((_, UNMANAGED, _)) => Concern::New,
            Ok(_) | Err(_) => Concern::Nothing,
        },
        _ => Concern::Nothing,
    }
}

/// Whether there is nobody to ask: a machine without a bus, or NetworkManager is not on it.
fn is_absent(trouble: &Trouble) -> bool {
    const NOBODY: [&str; 3] = ["ServiceUnknown", "NameHasNoOwner", "NoReply"];
    match trouble {
        Trouble::Absent(_) => true,
        // Who ends while it is asked does not answer any more.
        Trouble::Refused { name, .. } => {
            name.strip_prefix("org.freedesktop.DBus.Error.").is_some_and(|error| NOBODY.contains(&error))
        }
        Trouble::Silent | Trouble::Broken(_) => false,
    }
}

async fn get<T: TryFrom<OwnedVariant>>(
    bus: &SystemBus,
    object: Object<'_>,
    property: &str,
) -> Result<T, Trouble> {
    let properties = Object { interface: PROPERTIES, ..object };
    let value: OwnedVariant = bus.call(properties, "Get", &(object.interface, property)).await?;
    T::try_from(value).map_err(|_| Trouble::Broken(format!("{property} is of another type")))
}

async fn set(bus: &SystemBus, object: Object<'_>, property: &str, value: Variant<'_>) -> Result<(), Trouble> {
    let properties = Object { interface: PROPERTIES, ..object };
    bus.call(properties, "Set", &(object.interface, property, value)).await
}

/// Its object of an interface; `None` when it knows none of that name.
async fn device(bus: &SystemBus, name: IfName) -> Result<Option<OwnedObjectPath>, Trouble> {
    match bus.call::<_, OwnedObjectPath>(ROOT, "GetDeviceByIpIface", &(name.as_str(),)).await {
        Ok(path) => Ok(Some(path)),
        Err(trouble @ Trouble::Refused { .. }) if !is_absent(&trouble) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// The device, if it manages it.
async fn managed(bus: &SystemBus, path: OwnedObjectPath) -> Result<Option<Managed>, Trouble> {
    let object = Object { name: NAME, path: path.as_str(), interface: DEVICE };
    if !get::<bool>(bus, object, "Managed").await? {
        return Ok(None);
    }
    let active: OwnedObjectPath = get(bus, object, "ActiveConnection").await?;
    let mut profile = None;
    if active.as_str() != "/" {
        let active = Object { name: NAME, path: active.as_str(), interface: ACTIVE };
        let external = get::<u32>(bus, active, "StateFlags").await.unwrap_or_default() & EXTERNAL != 0;
        if !external {
            let applied = bus.call::<_, (Profile, u64)>(object, "GetAppliedConnection", &(0_u32,)).await;
            profile = Some(Active {
                uuid: get(bus, active, "Uuid").await?,
                name: get(bus, active, "Id").await?,
                shares: applied.is_ok_and(|(profile, _)| shares(&profile)),
            });
        }
    }
    Ok(Some(Managed { path, profile }))
}

fn shares(profile: &Profile) -> bool {
    ["ipv4", "ipv6"].into_iter().any(|family| {
        let method = profile.get(family).and_then(|settings| settings.get("method"));
        method.and_then(|method| <&str>::try_from(&**method).ok()) == Some("shared")
    })
}

fn refuse_shared(found: &BTreeMap<IfName, Managed>) -> Result<(), DriverError> {
    let shared = found.iter().find_map(|(name, device)| {
        device.profile.as_ref().filter(|active| active.shares).map(|active| (*name, active))
    });
    shared.map_or(Ok(()), |(name, active)| Err(conflict(name, active)))
}

fn conflict(interface: IfName, active: &Active) -> DriverError {
    // The name is a person's, and the remedy is for a shell.
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let which = if plain(&active.name) { active.name.clone() } else { format!("uuid {}", active.uuid) };
    let cause = format!(
        "NetworkManager shares a connection there itself, with the profile {:?}",
        active.name.chars().filter(|c| !c.is_control()).collect::<String>()
    );
    DriverError::new(DriverErrorKind::Busy, "take the interface over", interface, cause)
        .with_remedy(format!("nmcli connection down {which}"))
}

/// Refuses an interface that NetworkManager manages, to a program that is about to configure it for itself and has no
/// journal: whoever joins networks there would join others.
///
/// # Errors
///
/// `Busy`, with both ways out.
pub(crate) async fn left_alone(bus: &SystemBus, name: IfName) -> Result<(), DriverError> {
    let manages = async {
        if !bus.present(NAME).await {
            return Ok(false);
        }
        let Some(path) = device(bus, name).await? else { return Ok(false) };
        get::<bool>(bus, Object { name: NAME, path: path.as_str(), interface: DEVICE }, "Managed").await
    };
    let manages: Result<Result<bool, Trouble>, _> = timeout(PATIENCE, manages).await;
    if !matches!(manages, Ok(Ok(true))) {
        return Ok(());
    }
    let cause = "NetworkManager manages it and joins networks there itself";
    let remedy =
        format!("join with `nmcli device wifi connect`, or run `nmcli device set {name} managed no` first");
    Err(DriverError::new(DriverErrorKind::Busy, "join a network", name, cause).with_remedy(remedy))
}

/// Lets it manage the interface again. One that is gone, or managed by somebody's decision, needs nothing.
async fn restore(bus: &SystemBus, name: IfName, profile: Option<&str>) -> Result<(), Trouble> {
    let away = |cause: &str| Err(Trouble::Absent(cause.into()));
    if !bus.present(NAME).await {
        return away("NetworkManager does not run");
    }
    let Some(path) = device(bus, name).await? else {
        // While it starts it does not know every interface yet.
        let exists = nix::net::if_::if_nametoindex(name.as_str()).is_ok();
        return if exists { away("NetworkManager does not know the interface yet") } else { Ok(()) };
    };
    let object = Object { name: NAME, path: path.as_str(), interface: DEVICE };
    if get::<bool>(bus, object, "Managed").await? {
        return Ok(());
    }
    set(bus, object, "Managed", Variant::Bool(true)).await?;
    let Some(uuid) = profile else { return Ok(()) };
    // A profile that somebody removed, or that does not fit any more, is not missed by us.
    let activated = async {
        let profile: OwnedObjectPath = bus.call(SETTINGS, "GetConnectionByUuid", &(uuid,)).await?;
        let nothing = ObjectPath::from_static_str_unchecked("/");
        let arguments = (&profile, &path, &nothing);
        bus.call::<_, OwnedObjectPath>(ROOT, "ActivateConnection", &arguments).await
    };
    if let Err(cause) = activated.await {
        tracing::warn!(%cause, uuid, "NetworkManager does not activate the profile of {name} again");
    }
    Ok(())
}

/// The same from the journal.
///
/// # Errors
///
/// `Gone` while NetworkManager does not run.
pub(crate) fn restore_now(interface: IfName, profile: Option<&str>) -> Result<(), DriverError> {
    let failed = |kind, cause: String| {
        Err(DriverError::new(kind, "let NetworkManager manage the interface again", interface, cause))
    };
    match apart(async |bus| restore(&bus, interface, profile).await) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(trouble)) if is_absent(&trouble) => failed(DriverErrorKind::Gone, "it does not run".into()),
        Ok(Err(trouble)) => failed(DriverErrorKind::Io, trouble.to_string()),
        Err(error) => failed(DriverErrorKind::Io, error.to_string()),
    }
}
