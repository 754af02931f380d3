//! What the service needs of a platform: a handful of narrow traits in our own words.
//!
//! Each trait is one *lane*: it is given a complete plan, makes it so, and says what it did. Every
//! operation is idempotent, bounded in time by its caller, and leaves either the old or the new
//! state behind when it fails. Two platforms implement them: the real one and the simulated one.
//!
//! Nothing here decides anything. Drivers do not know sessions, policy or each other.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod services;

use std::{collections::BTreeMap, pin::Pin, rc::Rc};

use hn_types::{
    DriverError, IfName, MacAddr,
    diagnosis::{Examination, Findings},
    neighbour::Neighbour,
    observed::PlatformEvent,
    part::MissingDependency,
    plan::{ApPlan, ApStarted, Counts, FirewallPlan, ForwardingPlan, KeySet, LinkPlan, ServicePlan},
    station::StationLink,
};

/// Whether an operation had anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The system was changed.
    Yes,
    /// It was so already.
    No,
}

/// Where a driver reports what happened by itself. Never blocks: the receiver keeps the last complete
/// view of each kind and a bounded queue of the rest.
#[derive(Clone)]
pub struct EventSink(Rc<dyn Fn(PlatformEvent)>);

impl EventSink {
    /// A sink that hands every event to `receive`.
    pub fn new(receive: impl Fn(PlatformEvent) + 'static) -> Self {
        Self(Rc::new(receive))
    }

    /// Reports `event`.
    pub fn emit(&self, event: PlatformEvent) {
        (self.0)(event);
    }
}

impl std::fmt::Debug for EventSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventSink")
    }
}

/// Measures the connections of Wi-Fi stations. What changes with every frame is not announced by events but read when
/// somebody asks.
#[derive(Clone)]
pub struct Stations(Rc<dyn Fn() -> BTreeMap<IfName, StationLink>>);

impl Stations {
    /// Measures with `read`, which answers within milliseconds and leaves out what it cannot tell.
    pub fn new(read: impl Fn() -> BTreeMap<IfName, StationLink> + 'static) -> Self {
        Self(Rc::new(read))
    }

    /// The connected stations of this moment.
    pub fn read(&self) -> BTreeMap<IfName, StationLink> {
        (self.0)()
    }
}

impl std::fmt::Debug for Stations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stations")
    }
}

/// Looks for what sharing cannot do without. It is looked for when somebody asks, since it can come and go unnoticed.
#[derive(Clone)]
pub struct Dependencies(Rc<dyn Fn() -> Vec<MissingDependency>>);

impl Dependencies {
    /// Looks with `look`, which answers within milliseconds and changes nothing.
    pub fn new(look: impl Fn() -> Vec<MissingDependency> + 'static) -> Self {
        Self(Rc::new(look))
    }

    /// What is not there at this moment.
    pub fn missing(&self) -> Vec<MissingDependency> {
        (self.0)()
    }
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dependencies")
    }
}

/// Looks for other programs that have to do with the network, when somebody asks.
#[derive(Clone)]
pub struct Neighbours(Rc<dyn Fn() -> Vec<Neighbour>>);

impl Neighbours {
    /// Looks with `look`, which answers within milliseconds and changes nothing.
    pub fn new(look: impl Fn() -> Vec<Neighbour> + 'static) -> Self {
        Self(Rc::new(look))
    }

    /// Those that are there at this moment.
    pub fn found(&self) -> Vec<Neighbour> {
        (self.0)()
    }
}

impl std::fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Neighbours")
    }
}

/// Looks for what keeps a device from being online. Unlike a lane it makes nothing so: what it needs to look – a probe,
/// a trace – is undone before it answers.
#[derive(Clone)]
pub struct Examiner(Rc<dyn Fn(Examination) -> Examining>);

/// An examination under way. It ends by itself within ten seconds; given up, it undoes what it did at once.
pub type Examining = Pin<Box<dyn Future<Output = Findings>>>;

impl Examiner {
    /// Examines with `examine`.
    pub fn new(examine: impl Fn(Examination) -> Examining + 'static) -> Self {
        Self(Rc::new(examine))
    }

    /// Looks. One at a time: whoever calls this sees to it.
    pub fn examine(&self, question: Examination) -> Examining {
        (self.0)(question)
    }
}

impl std::fmt::Debug for Examiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Examiner")
    }
}

/// Virtual adapter and access point.
#[expect(
    async_fn_in_trait,
    reason = "every platform runs on a current-thread runtime, so no Send bound is wanted"
)]
pub trait Radio {
    /// Creates the virtual interface and the access point on it. Returns once it beacons; on failure
    /// nothing of it is left. A running access point with the same plan is left alone.
    async fn start(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError>;

    /// Moves the running access point to the channel of `plan`, which differs in nothing else, and has its
    /// stations told beforehand. On failure nobody knows where it is.
    async fn move_to(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError>;

    /// Stops the access point and removes its interface. Goes to the end whatever fails on the way and
    /// returns everything that could not be undone.
    async fn stop(&mut self) -> Result<Changed, Vec<DriverError>>;

    /// Replaces the accepted keys of the running access point. Stations whose key stays are not touched.
    async fn set_keys(&mut self, keys: &KeySet) -> Result<Changed, DriverError>;

    /// Ends the association of a station, which may come back at once.
    async fn disconnect(&mut self, station: MacAddr) -> Result<Changed, DriverError>;

    /// Asks for [`ApEvent::StationStats`](hn_types::observed::ApEvent::StationStats); nothing happens when no access point runs.
    async fn poll_stations(&mut self);
}

/// Bridge and addresses.
#[expect(async_fn_in_trait, reason = "as for Radio")]
pub trait Links {
    /// Makes the plan so. Undoes what an earlier plan did and this one does not want.
    async fn apply(&mut self, plan: &LinkPlan) -> Result<Changed, DriverError>;
}

/// Per-interface forwarding.
#[expect(async_fn_in_trait, reason = "as for Radio")]
pub trait Forwarding {
    /// Turns forwarding on where the plan says so and restores the old value elsewhere.
    async fn apply(&mut self, plan: &ForwardingPlan) -> Result<Changed, DriverError>;
}

/// The one firewall table.
#[expect(async_fn_in_trait, reason = "as for Radio")]
pub trait Firewall {
    /// Replaces the table in one transaction, reads it back and compares. The empty plan removes it.
    async fn apply(&mut self, plan: &FirewallPlan) -> Result<Changed, DriverError>;

    /// Reads what was counted: one entry for each device that the plan in force has a rule for, and for each of its
    /// pinholes. Numbers only grow, also when counters had to be made anew. Fails when the rules of devices are not what was
    /// applied.
    async fn count(&mut self) -> Result<Counts, DriverError>;

    /// The same as it was at the last reading. The table is read before anything of it is taken away.
    fn counted(&self) -> Counts;
}

/// The protocol servers.
#[expect(async_fn_in_trait, reason = "as for Radio")]
pub trait Services {
    /// Serves the segment of the plan and no other. Returns once DHCP can answer; a name server that
    /// cannot have its port is reported by an event and tried again, it does not fail the plan.
    async fn apply(&mut self, plan: &ServicePlan) -> Result<Changed, DriverError>;
}

/// The lanes of one platform. They are taken apart at the start and driven each by its own task.
#[derive(Debug)]
pub struct Lanes<R, L, W, F, S> {
    /// Virtual adapter and access point.
    pub radio: R,
    /// Bridge and addresses.
    pub links: L,
    /// Per-interface forwarding.
    pub forwarding: W,
    /// The firewall table.
    pub firewall: F,
    /// The protocol servers.
    pub services: S,
    /// Not a lane: nothing is done here, and nothing waits for it.
    pub stations: Stations,
    /// Not a lane either.
    pub dependencies: Dependencies,
    /// Not a lane: it looks when somebody asks.
    pub examiner: Examiner,
    /// Nor is this.
    pub neighbours: Neighbours,
}

/// A platform: what the daemon is generic over.
#[expect(async_fn_in_trait, reason = "as for Radio")]
pub trait Platform {
    /// Its radio lane.
    type Radio: Radio + 'static;
    /// Its link lane.
    type Links: Links + 'static;
    /// Its forwarding lane.
    type Forwarding: Forwarding + 'static;
    /// Its firewall lane.
    type Firewall: Firewall + 'static;
    /// Its services lane.
    type Services: Services + 'static;

    /// Undoes whatever an earlier run left behind (it may have been killed), begins to watch the machine
    /// and hands out the lanes. The first complete [`PlatformEvent::Radio`] and [`PlatformEvent::Network`]
    /// are emitted before this returns.
    async fn open(
        self,
        events: EventSink,
    ) -> Result<Lanes<Self::Radio, Self::Links, Self::Forwarding, Self::Firewall, Self::Services>, DriverError>;
}
