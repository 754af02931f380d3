//! The links lane: the bridge, its members, our addresses, and interfaces set up for them.
//!
//! It holds what it did and compares every plan with that and with what the kernel says, so that an address
//! somebody removed comes back and an interface that was made anew is treated as a new one. Nothing that was
//! there before is touched: an interface that was up stays up, an address that was there stays. It never forwards.

mod announced;
pub(crate) mod steering;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use hn_ports::{Changed, Links};
use hn_types::{
    DriverError, DriverErrorKind, IfName, MacAddr, Subnet6,
    plan::{BridgePlan, LinkAddress, LinkAddress6, LinkPlan, LinkRoute6, Steering},
};

use tokio::time::sleep;

use self::{
    announced::Announced,
    steering::{Piece, Standing},
};
use crate::{
    neighbour::manager::{Claimant, Manager},
    netlink::{CREATE, EXCL, Netlink, ROUTE, Refusal, attribute, nested, text},
    network::{
        Watch,
        tables::{self, AddressRow, IFF_UP, LinkRow},
    },
    tag,
    undo::{EntryId, Undo, UndoJournal, driver_error},
};

/// A carrier that is gone for so long is noticed: the kernel announces it at most once a second.
const SILENCE: Duration = Duration::from_millis(1500);
const NEW_LINK: u16 = 16;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The links lane.
#[derive(Debug)]
pub struct LinuxLinks {
    journal: Rc<UndoJournal>,
    /// What stands, in the order in which it was done.
    done: Vec<Done>,
    plan: LinkPlan,
    /// Who is asked to leave alone what we configure.
    manager: Option<Manager>,
    /// The watcher lives as long as the lane.
    _watch: Option<Watch>,
}

/// One change that stands.
#[derive(Clone, Debug)]
struct Done {
    what: What,
    /// Index of the interface it was done to.
    index: u32,
    entry: EntryId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Bridge(IfName),
    Member(IfName),
    Up(IfName),
    Address(LinkAddress),
    Address6(LinkAddress6),
    Route6(LinkRoute6),
    /// Rules go by name: they outlive the private interface and hold for the next one of that name.
    Steered(Steering, Piece),
}

/// The kernel's side at one moment.
struct Snapshot {
    links: BTreeMap<IfName, LinkRow>,
    addresses: Vec<AddressRow>,
    /// Of IPv6, with the indexes of their interfaces.
    addresses6: Vec<(u32, Subnet6)>,
    /// Routes of ours.
    routes6: Vec<(Subnet6, u32)>,
    /// Read only where there is or was any.
    steering: Standing,
}

impl Snapshot {
    fn read(route: &Netlink, steered: bool) -> Result<Self, DriverError> {
        let failed = |refusal: &Refusal| driver_error("read the interfaces", "rtnetlink", refusal);
        let links = tables::links(route).map_err(|refusal| failed(&refusal))?;
        let addresses = tables::addresses(route).map_err(|refusal| failed(&refusal))?;
        // A kernel without IPv6 has none.
        let addresses6 = tables::addresses6(route).unwrap_or_default();
        let routes6 = tables::own_routes6(route).unwrap_or_default();
        let links = links.into_iter().map(|link| (link.name, link)).collect();
        let steering = if steered { Standing::read(route) } else { Ok(Standing::default()) };
        let steering = steering.map_err(|refusal| failed(&refusal))?;
        Ok(Self { links, addresses, addresses6, routes6, steering })
    }

    fn name(&self, index: u32) -> Option<IfName> {
        self.links.values().find(|link| link.index == index).map(|link| link.name)
    }

    /// Whether what was done still stands.
    fn holds(&self, done: &Done) -> bool {
        let same = |name| self.links.get(&name).is_some_and(|link| link.index == done.index);
        match done.what {
            What::Bridge(name) | What::Up(name) | What::Member(name) => same(name),
            What::Address(LinkAddress { interface, address }) => {
                same(interface)
                    && self.addresses.iter().any(|row| row.index == done.index && row.address == address)
            }
            What::Address6(LinkAddress6 { interface, address }) => {
                same(interface) && self.addresses6.contains(&(done.index, address))
            }
            What::Route6(LinkRoute6 { destination, interface }) => {
                interface.is_none_or(same) && self.routes6.contains(&(destination, done.index))
            }
            What::Steered(steering, piece) => self.steering.has(&steering, piece, done.index),
        }
    }
}

impl LinuxLinks {
    /// A lane that has done nothing yet. `watch` ends with it.
    pub const fn new(journal: Rc<UndoJournal>, watch: Option<Watch>) -> Self {
        let plan = LinkPlan {
            bridge: None,
            addresses: Vec::new(),
            addresses6: Vec::new(),
            routes6: Vec::new(),
            steering: Vec::new(),
            moves: 0,
        };
        Self { journal, done: Vec::new(), plan, manager: None, _watch: watch }
    }

    /// The lane on a machine where NetworkManager may run.
    pub(crate) fn beside(self, manager: Manager) -> Self {
        Self { manager: Some(manager), ..self }
    }

    fn make(&mut self, plan: &LinkPlan) -> Result<Changed, DriverError> {
        if self.done.is_empty() && *plan == LinkPlan::default() {
            return Ok(Changed::No);
        }
        let route = Netlink::open(ROUTE)
            .map_err(|error| driver_error("reach the kernel", "rtnetlink", &error.into()))?;
        let steered =
            !plan.steering.is_empty() || self.done.iter().any(|done| matches!(done.what, What::Steered(..)));
        let mut snapshot = Snapshot::read(&route, steered)?;
        if self.put_names_back(&snapshot) {
            snapshot = Snapshot::read(&route, steered)?;
        }
        let mut changed = self.forget_lost(&snapshot);
        // Before anything is changed, so that a plan that cannot be leaves everything as it is.
        self.check(plan, &snapshot)?;
        let unwanted = |done: &Done| !wanted(&done.what, plan);
        if self.done.iter().any(unwanted) {
            changed = Changed::Yes;
            self.retract(unwanted)?;
        }
        let stood = self.done.len();
        match self.extend(plan, &route, &snapshot) {
            Ok(Changed::Yes) => Ok(Changed::Yes),
            Ok(Changed::No) => Ok(changed),
            Err(error) => {
                // Only what this plan did; the rest stands as before.
                let mut failures = Vec::new();
                for done in self.done.drain(stood..).rev() {
                    failures.extend(self.journal.undo(done.entry).err());
                }
                Err(with_rollback(error, &failures))
            }
        }
    }

    /// A bridge of ours that somebody renamed is called again what the plan calls it; `true` if there was one.
    fn put_names_back(&self, snapshot: &Snapshot) -> bool {
        let mut renamed = false;
        for done in &self.done {
            if let What::Bridge(name) = done.what
                && snapshot.name(done.index).is_some_and(|other| other != name)
            {
                match tag::put_name_back(done.index, name) {
                    Ok(written) => renamed |= written,
                    Err(refusal) => {
                        tracing::warn!(bridge = %name, cause = %refusal.cause(), "cannot put the name back");
                    }
                }
            }
        }
        renamed
    }

    /// Strikes out what went away by itself: an interface that is gone or was made anew took everything with it. A bridge
    /// that kept another name than its own is no bridge of the plan any more, and is removed.
    fn forget_lost(&mut self, snapshot: &Snapshot) -> Changed {
        let before = self.done.len();
        let journal = &self.journal;
        let mut lost = Vec::new();
        self.done.retain(|done| {
            let holds = snapshot.holds(done);
            if !holds {
                let stray = matches!(done.what, What::Bridge(_)) && snapshot.name(done.index).is_some();
                match stray.then(|| journal.undo(done.entry)) {
                    None => lost.push(done.entry),
                    Some(Ok(())) => {}
                    Some(Err(error)) => tracing::warn!(%error, "a bridge of ours stays until the next start"),
                }
            }
            holds
        });
        journal.done_all(lost);
        if self.done.len() == before { Changed::No } else { Changed::Yes }
    }

    /// Undoes what `which` selects, newest first.
    fn retract(&mut self, which: impl Fn(&Done) -> bool) -> Result<(), DriverError> {
        let mut failures = Vec::new();
        let mut kept = Vec::new();
        for done in self.done.drain(..).rev() {
            if which(&done) {
                match self.journal.undo(done.entry) {
                    Ok(()) => continue,
                    Err(error) => failures.push(error),
                }
            }
            kept.push(done);
        }
        kept.reverse();
        self.done = kept;
        match failures.pop() {
            Some(last) => Err(with_rollback(last, &failures)),
            None => Ok(()),
        }
    }

    /// Refuses plans that cannot be made so.
    fn check(&self, plan: &LinkPlan, snapshot: &Snapshot) -> Result<(), DriverError> {
        let ours = |what: &What| self.done.iter().any(|done| done.what == *what);
        if let Some(BridgePlan { name, members }) = &plan.bridge {
            if snapshot.links.contains_key(name) && !ours(&What::Bridge(*name)) {
                return Err(DriverError::new(
                    DriverErrorKind::Busy,
                    "create the bridge",
                    name,
                    "an interface of that name exists and is not ours",
                )
                .with_remedy(format!("rename or remove {name}")));
            }
            for member in members {
                if !snapshot.links.contains_key(member) {
                    return Err(gone("add the interface to the bridge", *member));
                }
            }
        }
        let bridge = plan.bridge.as_ref().map(|bridge| bridge.name);
        for wanted in &plan.addresses {
            let interface = wanted.interface;
            if bridge != Some(interface) && !snapshot.links.contains_key(&interface) {
                return Err(gone("give the interface an address", interface));
            }
            // An address of ours that is about to move from another interface is no obstacle.
            let taken = snapshot.addresses.iter().find(|row| {
                let on = snapshot.name(row.index);
                let moving = on.is_some_and(|on| {
                    ours(&What::Address(LinkAddress { interface: on, address: row.address }))
                });
                row.address.address() == wanted.address.address()
                    && !(on == Some(interface) && row.address == wanted.address)
                    && !moving
            });
            if let Some(row) = taken {
                let holder =
                    snapshot.name(row.index).map_or_else(|| row.index.to_string(), |n| n.to_string());
                return Err(DriverError::new(
                    DriverErrorKind::Busy,
                    "give the interface an address",
                    format!("{} on {interface}", wanted.address),
                    format!("address taken: {holder} has {}", row.address),
                )
                .with_remedy(format!("remove {} from {holder}, or let another subnet be chosen", row.address))
                .with_errno(libc::EADDRINUSE));
            }
        }
        Ok(())
    }

    /// Does what the plan wants and does not stand yet. Whatever is done is in `self.done` at once.
    fn extend(
        &mut self,
        plan: &LinkPlan,
        route: &Netlink,
        snapshot: &Snapshot,
    ) -> Result<Changed, DriverError> {
        let before = self.done.len();
        let stands = |done: &[Done], what: What| done.iter().any(|done| done.what == what);
        let mut bridge = None;
        if let Some(wanted) = &plan.bridge {
            let created = if stands(&self.done, What::Bridge(wanted.name)) {
                snapshot.links.get(&wanted.name).cloned()
            } else {
                Some(self.create_bridge(wanted, route, snapshot)?)
            };
            let created = created.ok_or_else(|| gone("use the bridge", wanted.name))?;
            // Everything else is known, so one write covers it all.
            let joining: Vec<&LinkRow> = wanted
                .members
                .iter()
                .filter_map(|member| snapshot.links.get(member))
                .filter(|member| member.master != created.index)
                .collect();
            let undos = joining.iter().map(|member| Undo::BridgeMember {
                interface: member.name,
                index: member.index,
                master: member.master,
            });
            let entries = self.journal.record_all(undos)?;
            let mut joined = Ok(());
            for (member, entry) in joining.into_iter().zip(&entries) {
                if joined.is_err() || stands(&self.done, What::Member(member.name)) {
                    // Never tried, or somebody took it away from the bridge and its record stands.
                    self.journal.done(*entry);
                    if joined.is_err() {
                        continue;
                    }
                } else {
                    let what = What::Member(member.name);
                    self.done.push(Done { what, index: member.index, entry: *entry });
                }
                joined = enslave(route, member.index, created.index).map_err(|refusal| {
                    driver_error("add the interface to the bridge", member.name, &refusal)
                });
            }
            joined?;
            bridge = Some(created);
        }
        let row = |name: IfName| {
            bridge.iter().find(|bridge| bridge.name == name).or_else(|| snapshot.links.get(&name))
        };
        let members = plan.bridge.iter().flat_map(|bridge| bridge.members.iter().copied());
        let bridge_name = plan.bridge.iter().map(|bridge| bridge.name);
        let addressed = plan.addresses.iter().map(|address| address.interface);
        let mut steps: Vec<(What, &LinkRow, Undo)> = Vec::new();
        for name in members.chain(bridge_name).chain(addressed) {
            let Some(link) = row(name) else { return Err(gone("set the interface up", name)) };
            let planned = steps.iter().any(|(what, ..)| *what == What::Up(name));
            if !link.up() && !planned {
                steps.push((
                    What::Up(name),
                    link,
                    Undo::LinkUp { interface: name, index: link.index, fresh: link.fresh },
                ));
            }
        }
        for wanted in &plan.addresses {
            let Some(link) = row(wanted.interface) else {
                return Err(gone("give the interface an address", wanted.interface));
            };
            let there = |row: &AddressRow| row.index == link.index && row.address == wanted.address;
            if !snapshot.addresses.iter().any(there) {
                let undo =
                    Undo::Address { interface: wanted.interface, index: link.index, address: wanted.address };
                steps.push((What::Address(*wanted), link, undo));
            }
        }
        for wanted in &plan.addresses6 {
            let Some(link) = row(wanted.interface) else {
                return Err(gone("give the interface an address", wanted.interface));
            };
            if !snapshot.addresses6.contains(&(link.index, wanted.address)) {
                let undo = Undo::Address6 {
                    interface: wanted.interface,
                    index: link.index,
                    address: wanted.address,
                };
                steps.push((What::Address6(*wanted), link, undo));
            }
        }
        for wanted in &plan.steering {
            let Some(link) = row(wanted.public) else {
                return Err(gone("lead devices out", wanted.public));
            };
            for piece in Piece::of(wanted) {
                if !snapshot.steering.has(wanted, piece, link.index) {
                    steps.push((What::Steered(*wanted, piece), link, piece.undo(wanted, link.index)));
                }
            }
        }
        let entries = self.journal.record_all(steps.iter().map(|(.., undo)| undo.clone()))?;
        let given6 = steps.iter().filter_map(|(what, link, _)| match what {
            What::Address6(wanted) => Some((link.index, wanted.address)),
            What::Bridge(_)
            | What::Member(_)
            | What::Up(_)
            | What::Address(_)
            | What::Route6(_)
            | What::Steered(..) => None,
        });
        let given6: Vec<_> = given6.collect();
        // Without it there is merely less order.
        let announced = if given6.is_empty() { None } else { Announced::open().ok() };
        let mut made = Ok(());
        for ((what, link, _), entry) in steps.iter().zip(&entries) {
            if made.is_err() || stands(&self.done, *what) {
                // Never tried, or recorded when it was done first.
                self.journal.done(*entry);
                if made.is_err() {
                    continue;
                }
            } else {
                self.done.push(Done { what: *what, index: link.index, entry: *entry });
            }
            made = match what {
                What::Up(name) => set_up(route, link.index)
                    .map_err(|refusal| driver_error("set the interface up", name, &refusal)),
                What::Address(wanted) => add_address(route, link.index, *wanted).map_err(|refusal| {
                    let target = format!("{} on {}", wanted.address, wanted.interface);
                    driver_error("give the interface an address", target, &refusal)
                }),
                What::Address6(wanted) => add_address6(route, link.index, *wanted).map_err(|refusal| {
                    let target = format!("{} on {}", wanted.address, wanted.interface);
                    driver_error("give the interface an address", target, &refusal)
                }),
                What::Steered(wanted, piece) => steering::add(route, wanted, *piece, link.index)
                    .map_err(|refusal| driver_error("lead devices out", wanted.public, &refusal)),
                What::Bridge(_) | What::Member(_) | What::Route6(_) => Ok(()),
            };
        }
        made?;
        if let Some(announced) = announced
            && let Err(error) = announced.wait(given6)
        {
            tracing::debug!(%error, "announcements of addresses cannot be heard");
        }
        let changed = self.done.len() > before || !steps.is_empty();
        let index_of = |name: IfName| row(name).map(|link| link.index);
        let routed = self.extend_routes(&plan.routes6, route, snapshot, index_of)?;
        Ok(if changed || routed { Changed::Yes } else { Changed::No })
    }

    /// Makes the routes that are missing; whether there were any.
    fn extend_routes(
        &mut self,
        wanted: &[LinkRoute6],
        route: &Netlink,
        snapshot: &Snapshot,
        index_of: impl Fn(IfName) -> Option<u32>,
    ) -> Result<bool, DriverError> {
        let mut missing = Vec::new();
        for wanted in wanted {
            let index = match wanted.interface {
                None => 0,
                Some(name) => index_of(name).ok_or_else(|| gone("make the route", name))?,
            };
            let stands = self.done.iter().any(|done| done.what == What::Route6(*wanted));
            if !stands || !snapshot.routes6.contains(&(wanted.destination, index)) {
                missing.push((*wanted, index));
            }
        }
        let undos = missing
            .iter()
            .map(|(wanted, index)| Undo::Route6 { destination: wanted.destination, index: *index });
        let entries = self.journal.record_all(undos)?;
        for ((wanted, index), entry) in missing.iter().zip(entries) {
            self.done.push(Done { what: What::Route6(*wanted), index: *index, entry });
            let body = tables::route6_body(wanted.destination, *index);
            match route.request(NEW_ROUTE, CREATE | EXCL, &body) {
                // One that an earlier run left, or somebody else's: it leads to the same place.
                Err(refusal) if refusal.errno != libc::EEXIST => {
                    return Err(driver_error("make the route", wanted.destination, &refusal));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(!missing.is_empty())
    }

    /// Takes the carrier away from whoever is at the other end of a wire, for as long as that takes to be noticed. What the
    /// kernel forgets of an interface that is down is missing in the next plan's picture and done again.
    async fn interrupt(&self, plan: &LinkPlan) {
        let wires = interfaces(plan).into_iter().filter(|name| is_wire(*name));
        let indexes =
            wires.filter_map(|name| Some((name, nix::net::if_::if_nametoindex(name.as_str()).ok()?)));
        let mut silenced = Vec::new();
        for (interface, index) in indexes {
            let entry = match self.journal.record(Undo::LinkDown { interface, index }) {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::warn!(%error, "the wire at {interface} is not interrupted");
                    continue;
                }
            };
            silenced.push(entry);
            let down = Netlink::open(ROUTE)
                .map_err(Refusal::from)
                .and_then(|route| route.request(SET_LINK, 0, &link_body(index, 0, IFF_UP)));
            if let Err(refusal) = down {
                tracing::warn!(cause = refusal.cause(), "the wire at {interface} cannot be interrupted");
            }
        }
        if !silenced.is_empty() {
            sleep(SILENCE).await;
        }
        for entry in silenced {
            if let Err(error) = self.journal.undo(entry) {
                tracing::warn!(%error, "a wire that was interrupted stays so");
            }
        }
    }

    fn create_bridge(
        &mut self,
        wanted: &BridgePlan,
        route: &Netlink,
        snapshot: &Snapshot,
    ) -> Result<LinkRow, DriverError> {
        let failed = |refusal: &Refusal| driver_error("create the bridge", wanted.name, refusal);
        // A fixed address: devices remember it, and the kernel would change it with every member that comes.
        let relative = wanted.members.iter().find_map(|member| snapshot.links.get(member)?.address);
        let address = match relative {
            Some(address) => address.derived(BRIDGE_RELATIVE),
            None => random_address().map_err(|error| failed(&error.into()))?,
        };
        let planned = self.journal.record(Undo::Link { name: wanted.name, index: 0 })?;
        let mut body = link_body(0, IFF_UP, IFF_UP);
        attribute(&mut body, IFLA_IFNAME, &text(wanted.name.as_str()));
        attribute(&mut body, IFLA_ADDRESS, &address.0);
        nested(&mut body, IFLA_LINKINFO, |info| attribute(info, 1, b"bridge\0"));
        if let Err(refusal) = route.request(NEW_LINK, CREATE | EXCL, &body) {
            self.journal.done(planned);
            return Err(failed(&refusal));
        }
        let row = tables::link(route, wanted.name).map_err(|refusal| failed(&refusal));
        // Until its index is known it can only be named in the journal.
        let index = row.as_ref().ok().and_then(|row| row.as_ref().map(|row| row.index)).unwrap_or_default();
        let what = What::Bridge(wanted.name);
        self.done.push(Done { what, index, entry: planned });
        let row = row?.ok_or_else(|| gone("use the bridge", wanted.name))?;
        let entry = self.journal.record(Undo::Link { name: wanted.name, index })?;
        self.journal.done(planned);
        if let Some(done) = self.done.last_mut() {
            done.entry = entry;
        }
        // A bridge without a tag serves as well; it is merely known by the journal alone.
        if let Err(refusal) = tag::mark(index, None) {
            tracing::debug!(cause = %refusal.cause(), "cannot tag the bridge");
        }
        Ok(row)
    }
}

impl Links for LinuxLinks {
    async fn apply(&mut self, plan: &LinkPlan) -> Result<Changed, DriverError> {
        // Whoever configures an interface too is off it before we touch it, and back on it when we have left.
        if let Some(manager) = &self.manager {
            manager.claim(Claimant::Links, &interfaces(plan)).await?;
        }
        let made = match self.make(plan) {
            Ok(changed) => {
                let before = std::mem::replace(&mut self.plan, plan.clone());
                if plan.moves > before.moves {
                    self.interrupt(&before).await;
                }
                Ok(changed)
            }
            Err(error) => {
                // What the plan before wanted and this one had already taken away.
                let old = self.plan.clone();
                let again = self.make(&old).err();
                Err(with_rollback(error, again.as_slice()))
            }
        };
        if let Some(manager) = &self.manager {
            manager.release(Claimant::Links, &interfaces(&self.plan)).await;
        }
        made
    }
}

/// Whether there is a cable at it: neither a radio nor a bridge.
fn is_wire(name: IfName) -> bool {
    let folder = std::path::Path::new("/sys/class/net").join(name.as_str());
    !["phy80211", "bridge"].iter().any(|kind| folder.join(kind).exists())
}

/// Every private interface that the plan says something of; the public one is not ours.
fn interfaces(plan: &LinkPlan) -> BTreeSet<IfName> {
    let LinkPlan { bridge, addresses, addresses6, routes6: _, moves: _, steering: _ } = plan;
    let bridged = bridge.iter().flat_map(|bridge| bridge.members.iter().copied().chain(Some(bridge.name)));
    let addressed = addresses.iter().map(|address| address.interface);
    let addressed6 = addresses6.iter().map(|address| address.interface);
    bridged.chain(addressed).chain(addressed6).collect()
}

/// Tells the bridge's address from that of a virtual adapter.
const BRIDGE_RELATIVE: u8 = 30;

fn wanted(what: &What, plan: &LinkPlan) -> bool {
    match what {
        What::Bridge(name) => plan.bridge.as_ref().is_some_and(|bridge| bridge.name == *name),
        What::Member(name) => plan.bridge.as_ref().is_some_and(|bridge| bridge.members.contains(name)),
        What::Up(name) => {
            plan.addresses.iter().any(|address| address.interface == *name)
                || plan
                    .bridge
                    .as_ref()
                    .is_some_and(|bridge| bridge.name == *name || bridge.members.contains(name))
        }
        What::Address(address) => plan.addresses.contains(address),
        What::Address6(address) => plan.addresses6.contains(address),
        What::Route6(route) => plan.routes6.contains(route),
        What::Steered(steering, _) => plan.steering.contains(steering),
    }
}

fn enslave(route: &Netlink, index: u32, master: u32) -> Result<(), Refusal> {
    let mut body = link_body(index, 0, 0);
    attribute(&mut body, IFLA_MASTER, &master.to_ne_bytes());
    route.request(SET_LINK, 0, &body)
}

fn set_up(route: &Netlink, index: u32) -> Result<(), Refusal> {
    route.request(SET_LINK, 0, &link_body(index, IFF_UP, IFF_UP))
}

/// Once the kernel has acknowledged it, an IPv4 address is usable: there is no duplicate detection to wait for.
fn add_address(route: &Netlink, index: u32, wanted: LinkAddress) -> Result<(), Refusal> {
    let address = wanted.address;
    let mut body = vec![AF_INET, address.prefix(), 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    attribute(&mut body, 2, &address.address().octets());
    attribute(&mut body, 1, &address.address().octets());
    // Links of two addresses have no broadcast address (RFC 3021).
    if address.prefix() < 31 {
        attribute(&mut body, 4, &address.broadcast().octets());
    }
    route.request(NEW_ADDRESS, CREATE | EXCL, &body)
}

/// Without duplicate detection it is usable at once: it is made of a hash of this machine, and devices are told
/// of it in the same second.
fn add_address6(route: &Netlink, index: u32, wanted: LinkAddress6) -> Result<(), Refusal> {
    const NO_DAD: u8 = 2;
    let mut body = vec![AF_INET6, wanted.address.prefix(), NO_DAD, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    attribute(&mut body, 2, &wanted.address.address().octets());
    attribute(&mut body, 1, &wanted.address.address().octets());
    route.request(NEW_ADDRESS, CREATE | EXCL, &body)
}

/// `struct ifinfomsg`.
fn link_body(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend_from_slice(&index.to_ne_bytes());
    body.extend_from_slice(&flags.to_ne_bytes());
    body.extend_from_slice(&change.to_ne_bytes());
    body
}

fn random_address() -> std::io::Result<MacAddr> {
    use std::io::Read;
    let mut bytes = [0; 6];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(MacAddr(bytes).derived(BRIDGE_RELATIVE))
}

fn gone(op: &str, name: IfName) -> DriverError {
    DriverError::new(DriverErrorKind::Gone, op, name, "there is no such interface").with_errno(libc::ENODEV)
}

/// The error with what could not be put back.
fn with_rollback(mut error: DriverError, failures: &[DriverError]) -> DriverError {
    for failure in failures {
        error.cause = format!("{}; putting it back failed too: {failure}", error.cause);
    }
    error
}
