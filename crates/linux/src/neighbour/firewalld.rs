//! firewalld: a segment is put into a zone that lets it through, at run-time only, and taken out again.
//!
//! The zone is `hostednet`, which our packages bring; where it is not known it is NetworkManager's `nm-shared`, which
//! comes with firewalld and is for the same purpose, else `trusted`. What firewalld has on disk is never touched, so a
//! reload of it forgets us, and the way is opened again.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use hn_types::{DriverError, DriverErrorKind, IfName};
use tokio::time::timeout;

use super::bus::{self, Object, SystemBus, Trouble};
use crate::undo::{EntryId, Undo, UndoJournal};

const NAME: &str = "org.fedoraproject.FirewallD1";
const ZONES: Object<'static> = Object {
    name: NAME,
    path: "/org/fedoraproject/FirewallD1",
    interface: "org.fedoraproject.FirewallD1.zone",
};

/// Zones that accept what is forwarded, the tightest towards this machine first.
const OPEN: [&str; 3] = ["hostednet", "nm-shared", "trusted"];

/// For everything that one interface needs, in which firewalld may be reading its configuration.
const PATIENCE: Duration = Duration::from_secs(20);

/// The interfaces that firewalld lets through because we asked it to.
#[derive(Debug)]
pub struct Firewalld {
    bus: SystemBus,
    journal: Rc<UndoJournal>,
    open: BTreeMap<IfName, Opened>,
}

#[derive(Clone, Debug)]
struct Opened {
    entry: EntryId,
    zone: String,
    old: String,
}

impl Firewalld {
    /// Nothing is asked yet. What is opened is written down in `journal` with its inverse.
    pub fn new(bus: SystemBus, journal: Rc<UndoJournal>) -> Self {
        Self { bus, journal, open: BTreeMap::new() }
    }

    /// Has what comes from `interface` let through. Does nothing if that was done and still holds.
    ///
    /// # Errors
    ///
    /// `Unsupported` when firewalld is not on the bus; otherwise what it answered.
    pub async fn open(&mut self, interface: IfName) -> Result<(), DriverError> {
        const OP: &str = "ask firewalld to let the private connection through";
        let done = timeout(PATIENCE, self.ask(interface)).await;
        done.unwrap_or(Err(Refusal::Bus(Trouble::Silent))).map_err(|refusal| match refusal {
            Refusal::Bus(trouble) => trouble.into_error(OP, interface),
            Refusal::Absent => {
                let cause = "firewalld is not on the system bus";
                DriverError::new(DriverErrorKind::Unsupported, OP, interface, cause)
            }
            Refusal::Journal(error) => error,
        })
    }

    async fn ask(&mut self, interface: IfName) -> Result<(), Refusal> {
        if !self.bus.present(NAME).await {
            return Err(Refusal::Absent);
        }
        let zones: Vec<String> = self.bus.call(ZONES, "getZones", &()).await?;
        let zone = OPEN.into_iter().find(|zone| zones.iter().any(|known| known == zone));
        let zone =
            zone.ok_or_else(|| Trouble::Broken("it has no zone that accepts everything".to_owned()))?;
        let old = zone_of(&self.bus, interface).await?;
        if old == zone {
            return Ok(());
        }
        let undo = Undo::FirewalldZone { interface, zone: zone.to_owned(), old: old.clone() };
        let entry = self.journal.record(undo).map_err(Refusal::Journal)?;
        let opened = Opened { entry, zone: zone.to_owned(), old };
        // A reload has forgotten an earlier one: there is one inverse only.
        if let Some(earlier) = self.open.insert(interface, opened) {
            self.journal.done(earlier.entry);
        }
        change(&self.bus, interface, zone).await?;
        tracing::info!(%interface, zone, "firewalld lets the private connection through");
        Ok(())
    }

    /// Undoes [`Self::open`] for every interface that `wanted` does not name. What fails stays written down.
    pub async fn close_others(&mut self, wanted: impl Fn(&IfName) -> bool) {
        let closing: Vec<IfName> = self.open.keys().filter(|name| !wanted(name)).copied().collect();
        for interface in closing {
            let Some(opened) = self.open.remove(&interface) else { continue };
            match timeout(PATIENCE, restore(&self.bus, interface, &opened.zone, &opened.old)).await {
                Ok(Ok(())) => self.journal.done(opened.entry),
                Ok(Err(trouble)) => tracing::warn!(%interface, %trouble, "firewalld's zone is not as it was"),
                Err(_) => {
                    tracing::warn!(%interface, trouble = %Trouble::Silent, "firewalld's zone is not as it was")
                }
            }
        }
    }
}

#[derive(Debug)]
enum Refusal {
    Bus(Trouble),
    Absent,
    Journal(DriverError),
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        Self::Bus(trouble)
    }
}

/// The zone that somebody put the interface into; empty: nobody did.
async fn zone_of(bus: &SystemBus, interface: IfName) -> Result<String, Trouble> {
    bus.call(ZONES, "getZoneOfInterface", &(interface.as_str(),)).await
}

async fn change(bus: &SystemBus, interface: IfName, zone: &str) -> Result<(), Trouble> {
    let _: String = bus.call(ZONES, "changeZoneOfInterface", &(zone, interface.as_str())).await?;
    Ok(())
}

/// Puts the interface back where it was, unless somebody has moved it since or firewalld is gone.
async fn restore(bus: &SystemBus, interface: IfName, zone: &str, old: &str) -> Result<(), Trouble> {
    if !bus.present(NAME).await || zone_of(bus, interface).await? != zone {
        return Ok(());
    }
    if !old.is_empty() && change(bus, interface, old).await.is_ok() {
        return Ok(());
    }
    // It was in no zone, or in one that is no more.
    let _: String = bus.call(ZONES, "removeInterface", &(zone, interface.as_str())).await?;
    Ok(())
}

/// The inverse, outside of any runtime.
pub(crate) fn undo(interface: IfName, zone: &str, old: &str) -> Result<(), DriverError> {
    const OP: &str = "have firewalld put the connection back into its zone";
    let done = bus::apart(async |bus: SystemBus| {
        timeout(PATIENCE, restore(&bus, interface, zone, old)).await.unwrap_or(Err(Trouble::Silent))
    });
    match done {
        Ok(done) => done.map_err(|trouble| trouble.into_error(OP, interface)),
        Err(error) => Err(DriverError::new(DriverErrorKind::Io, OP, interface, error)),
    }
}
