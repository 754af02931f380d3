//! From what is applied to what is wanted, one lane at a time, in an order that is safe at every moment.
//!
//! Every lane remembers the plan it last confirmed, or that it does not know (after a failure, a missed
//! deadline or a late answer). [`Lanes::drive`] compares that with the goal and emits whatever may be done
//! at once, at most one effect for each lane.
//!
//! The order: **the firewall is the first in and the last out**. A segment is closed before it exists,
//! because a host may already forward by a setting of its own (containers do that). Then
//! the access point, then its address (a bridge comes before the access point that joins it), then
//! forwarding and services side by side. Going down is the reverse. When only a part changes, whatever does
//! not fit the goal is first taken away, the firewall is exchanged in one piece, and the rest is built:
//! no interface ever forwards that the firewall in force does not name. A step that fails on the
//! way down does not keep the others from going down, except that the firewall stays while there is
//! something left that it guards.

use alloc::{
    collections::{BTreeSet, VecDeque},
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::{fmt::Debug, time::Duration};

use hn_types::{
    DriverError, DriverErrorKind, IfName, Monotonic, Step, StoredSettings,
    plan::{ApPlan, FirewallPlan, ForwardingPlan, LinkPlan, ServicePlan},
};

use crate::{
    config::Deadlines,
    effect::{Effect, EffectDone, EffectId, Output},
    plan::SystemPlan,
};

/// A station poll is a question, not a change: it may hang for this long at most.
const POLL_DEADLINE: Duration = Duration::from_secs(5);
/// Longest pause between attempts of a lane that keeps failing.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane<P> {
    step: Step,
    /// What holds; `None`: not known. While an effect is out, what held before it.
    state: Option<P>,
    flight: Option<Flight<P>>,
    blocked: Option<Blocked<P>>,
    attempts: u32,
}

#[derive(Debug)]
struct Flight<P> {
    number: u64,
    target: P,
    deadline: Monotonic,
    /// Something happened meanwhile that makes the result doubtful.
    spoiled: bool,
}

/// The last attempt failed; the same one is not repeated before its time.
#[derive(Debug)]
struct Blocked<P> {
    target: P,
    retry_at: Monotonic,
    /// The time has come.
    due: bool,
    failure: String,
}

/// How an effect ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) lane: Step,
    pub(crate) result: Result<EffectDone, Vec<DriverError>>,
    /// How often the lane has failed in a row, this time included.
    pub(crate) attempts: u32,
    /// The access point is down by our own doing.
    pub(crate) ap_stopped: bool,
}

impl<P: Clone + PartialEq + Debug> Lane<P> {
    const fn new(step: Step, state: P) -> Self {
        Self { step, state: Some(state), flight: None, blocked: None, attempts: 0 }
    }

    /// Whether `goal` holds and nothing is under way.
    pub(crate) fn at(&self, goal: &P) -> bool {
        self.flight.is_none() && self.state.as_ref() == Some(goal)
    }

    /// Whether an effect is out.
    pub(crate) const fn busy(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether the last attempt failed.
    const fn blocked(&self) -> bool {
        self.flight.is_none() && self.blocked.is_some()
    }

    /// Whether `target` should be applied and may be.
    fn wants(&self, target: &P) -> bool {
        !self.at(target)
            && self.flight.is_none()
            && self.blocked.as_ref().is_none_or(|blocked| blocked.due || blocked.target != *target)
    }

    fn doubt(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.spoiled = true;
        } else {
            self.state = None;
        }
    }

    fn finish(&mut self, result: Result<EffectDone, Vec<DriverError>>, now: Monotonic) -> Option<Finished> {
        let flight = self.flight.take()?;
        match &result {
            Ok(_) => {
                self.state = (!flight.spoiled).then_some(flight.target);
                self.blocked = None;
                self.attempts = 0;
            }
            Err(errors) => {
                self.state = None;
                self.attempts = self.attempts.saturating_add(1);
                let pause = Duration::from_secs(1_u64 << (self.attempts - 1).min(6)).min(LONGEST_PAUSE);
                let failure = errors.first().map(ToString::to_string).unwrap_or_default();
                self.blocked =
                    Some(Blocked { target: flight.target, retry_at: now + pause, due: false, failure });
            }
        }
        Some(Finished { lane: self.step, result, attempts: self.attempts, ap_stopped: false })
    }

    fn expire(&mut self, now: Monotonic) -> Option<Finished> {
        if let Some(blocked) = &mut self.blocked
            && blocked.retry_at <= now
        {
            blocked.due = true;
        }
        self.flight.as_ref().filter(|flight| flight.deadline <= now)?;
        let error = DriverError::new(
            DriverErrorKind::Timeout,
            "wait for an answer",
            self.step,
            "the step did not answer in time",
        );
        self.finish(Err(vec![error]), now)
    }

    fn wake(&self) -> Option<(Monotonic, &'static str)> {
        match (&self.flight, &self.blocked) {
            (Some(flight), _) => Some((flight.deadline, "deadline of an effect")),
            (None, Some(blocked)) if !blocked.due => Some((blocked.retry_at, "retry of a failed step")),
            (None, _) => None,
        }
    }
}

/// A question to the radio under way.
#[derive(Debug)]
struct Poll {
    number: u64,
    deadline: Monotonic,
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) store: Lane<StoredSettings>,
    pub(crate) radio: Lane<Option<ApPlan>>,
    links: Lane<LinkPlan>,
    firewall: Lane<FirewallPlan>,
    forwarding: Lane<ForwardingPlan>,
    services: Lane<ServicePlan>,
    poll: Option<Poll>,
    /// Numbers of polls whose answers no longer matter.
    missed_poll: Option<u64>,
    /// Index of the interface of the running access point.
    ap_index: Option<u32>,
    next: u64,
    deadlines: Deadlines,
}

macro_rules! each_lane {
    ($self:ident, $lane:ident => $body:expr) => {{
        let $lane = &$self.store;
        $body;
        let $lane = &$self.radio;
        $body;
        let $lane = &$self.links;
        $body;
        let $lane = &$self.firewall;
        $body;
        let $lane = &$self.forwarding;
        $body;
        let $lane = &$self.services;
        $body;
    }};
    (mut $self:ident, $lane:ident => $body:expr) => {{
        let $lane = &mut $self.store;
        $body;
        let $lane = &mut $self.radio;
        $body;
        let $lane = &mut $self.links;
        $body;
        let $lane = &mut $self.firewall;
        $body;
        let $lane = &mut $self.forwarding;
        $body;
        let $lane = &mut $self.services;
        $body;
    }};
}

impl Lanes {
    pub(crate) fn new(stored: StoredSettings, deadlines: Deadlines) -> Self {
        Self {
            store: Lane::new(Step::Store, stored),
            radio: Lane::new(Step::Radio, None),
            links: Lane::new(Step::Links, LinkPlan::default()),
            firewall: Lane::new(Step::Firewall, FirewallPlan::default()),
            forwarding: Lane::new(Step::Forwarding, ForwardingPlan::default()),
            services: Lane::new(Step::Services, ServicePlan::default()),
            poll: None,
            missed_poll: None,
            ap_index: None,
            next: 1,
            deadlines,
        }
    }

    /// Whether every lane but the store has reached the goal.
    pub(crate) fn settled(&self, goal: &SystemPlan) -> bool {
        self.radio.at(&goal.ap)
            && self.links.at(&goal.links)
            && self.firewall.at(&goal.firewall)
            && self.forwarding.at(&goal.forwarding)
            && self.services.at(&goal.services)
    }

    /// Whether no answer is awaited.
    pub(crate) fn quiet(&self) -> bool {
        let mut quiet = self.poll.is_none();
        each_lane!(self, lane => quiet &= !lane.busy());
        quiet
    }

    /// Whether anything but the store awaits an answer.
    pub(crate) fn quiet_but_store(&self) -> bool {
        self.quiet()
            || (self.store.busy()
                && self.poll.is_none()
                && !self.radio.busy()
                && !self.links.busy()
                && !self.firewall.busy()
                && !self.forwarding.busy()
                && !self.services.busy())
    }

    /// The highest number of failures in a row.
    pub(crate) fn worst(&self) -> u32 {
        let mut worst = 0;
        each_lane!(self, lane => worst = worst.max(lane.attempts));
        worst
    }

    /// What keeps failing, one sentence for each lane.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut found = Vec::new();
        each_lane!(self, lane => {
            if let Some(blocked) = &lane.blocked {
                found.push(blocked.failure.clone());
            }
        });
        found
    }

    /// Forgets pauses: somebody wants it now.
    pub(crate) fn unblock(&mut self) {
        each_lane!(mut self, lane => { lane.blocked = None; lane.attempts = 0; });
    }

    /// Addresses of ours that hold or may hold.
    pub(crate) fn links_state(&self) -> impl Iterator<Item = &LinkPlan> {
        self.links.state.iter().chain(self.links.flight.as_ref().map(|flight| &flight.target))
    }

    /// What is served, as far as it is known.
    pub(crate) fn served(&self) -> Option<&ServicePlan> {
        self.services.state.as_ref().filter(|_| !self.services.busy())
    }

    /// The access point is gone, or may be.
    pub(crate) fn doubt_radio(&mut self) {
        self.radio.doubt();
        self.ap_index = None;
    }

    /// Whether the access point is known to be gone and nothing is under way.
    pub(crate) fn ap_gone(&self) -> bool {
        self.radio.at(&None)
    }

    /// Whether a start of the access point is under way.
    pub(crate) fn ap_starting(&self) -> bool {
        self.radio.flight.as_ref().is_some_and(|flight| match (&self.radio.state, &flight.target) {
            (Some(Some(held)), Some(target)) => !held.same_but_keys(target),
            (_, target) => target.is_some(),
        })
    }

    /// The running access point moved to another channel by itself.
    pub(crate) fn ap_moved(&mut self, frequency_mhz: u32, channel: u32) {
        let moved = |plan: &mut Option<ApPlan>| {
            if let Some(plan) = plan {
                plan.frequency_mhz = frequency_mhz;
                plan.channel = channel;
            }
        };
        self.radio.state.iter_mut().for_each(moved);
        self.radio.flight.iter_mut().map(|flight| &mut flight.target).for_each(moved);
    }

    /// When something has to be done without anybody saying so.
    pub(crate) fn wake(&self) -> Option<(Monotonic, &'static str)> {
        let mut first = self.poll.as_ref().map(|poll| (poll.deadline, "deadline of a station poll"));
        each_lane!(self, lane => {
            if let Some(wake) = lane.wake()
                && first.is_none_or(|first| wake.0 < first.0)
            {
                first = Some(wake);
            }
        });
        first
    }

    /// Deadlines and retries that have come.
    pub(crate) fn expire(&mut self, now: Monotonic) -> Vec<Finished> {
        if let Some(poll) = self.poll.take_if(|poll| poll.deadline <= now) {
            self.missed_poll = Some(poll.number);
        }
        let mut finished = Vec::new();
        each_lane!(mut self, lane => finished.extend(lane.expire(now)));
        finished
    }

    /// An answer. `None`: it came too late to count, or was to a poll.
    pub(crate) fn finish(
        &mut self,
        id: EffectId,
        result: Result<EffectDone, Vec<DriverError>>,
        now: Monotonic,
    ) -> Option<Finished> {
        let number = id.number;
        if self.poll.take_if(|poll| poll.number == number).is_some()
            || self.missed_poll.take_if(|missed| *missed == number).is_some()
        {
            return None;
        }
        macro_rules! answer {
            ($lane:expr) => {{
                if $lane.flight.as_ref().is_some_and(|flight| flight.number == number) {
                    $lane.finish(result, now)
                } else {
                    // Late: whatever it did, it may have undone what was done since.
                    $lane.doubt();
                    None
                }
            }};
        }
        match id.lane {
            Step::Check => None,
            Step::Store => answer!(self.store),
            Step::Links => answer!(self.links),
            Step::Forwarding => answer!(self.forwarding),
            Step::Firewall => answer!(self.firewall),
            Step::Services => answer!(self.services),
            Step::Radio => {
                let started = match &result {
                    Ok(EffectDone::ApStarted(started)) => Some(*started),
                    Ok(EffectDone::Done) | Err(_) => None,
                };
                let mut finished = answer!(self.radio)?;
                match &self.radio.state {
                    Some(None) => {
                        self.ap_index = None;
                        finished.ap_stopped = finished.result.is_ok();
                    }
                    Some(Some(plan)) => {
                        let interface = plan.interface;
                        if let Some(started) = started
                            && self.ap_index.replace(started.index) != Some(started.index)
                        {
                            self.doubt_dependents(interface);
                        }
                    }
                    None => {}
                }
                Some(finished)
            }
        }
    }

    /// The interface was made anew: what was on the old one is gone.
    fn doubt_dependents(&mut self, interface: IfName) {
        let on_links = |plan: &LinkPlan| plan.addresses.iter().any(|a| a.interface == interface);
        if self.links.state.as_ref().is_some_and(on_links) || self.links.busy() {
            self.links.doubt();
        }
        if self.forwarding.state.as_ref().is_some_and(|plan| plan.ipv4.contains(&interface)) {
            self.forwarding.doubt();
        }
        let on_services =
            |plan: &ServicePlan| plan.segment.as_ref().is_some_and(|segment| segment.interface == interface);
        if self.services.state.as_ref().is_some_and(on_services) {
            self.services.doubt();
        }
    }

    /// Asks for the stations' figures if the radio has nothing better to do.
    pub(crate) fn poll_stations(&mut self, now: Monotonic, out: &mut VecDeque<Output>) -> bool {
        if self.radio.busy() || self.poll.is_some() || !matches!(self.radio.state, Some(Some(_))) {
            return false;
        }
        let number = self.number();
        self.poll = Some(Poll { number, deadline: now + POLL_DEADLINE });
        let id = EffectId { number, lane: Step::Radio };
        out.push_back(Output::Effect { id, effect: Effect::PollStations });
        true
    }

    const fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Emits every effect that brings the system nearer to the goal and is safe at this moment.
    pub(crate) fn drive(
        &mut self,
        goal: &SystemPlan,
        settings: &StoredSettings,
        now: Monotonic,
        out: &mut VecDeque<Output>,
    ) {
        let wanted = self.next_targets(goal);
        macro_rules! launch {
            ($lane:ident, $target:expr, $effect:expr) => {{
                let target = $target;
                if self.$lane.wants(&target) {
                    let number = self.number();
                    let lane = self.$lane.step;
                    let deadline = now + self.deadlines.of(lane);
                    let effect = ($effect)(&target, &self.$lane.state);
                    self.$lane.flight = Some(Flight { number, target, deadline, spoiled: false });
                    out.push_back(Output::Effect { id: EffectId { number, lane }, effect });
                }
            }};
        }
        launch!(store, settings.clone(), |plan: &StoredSettings, _: &_| Effect::Save(plan.clone()));
        if let Some(target) = wanted.services {
            launch!(services, target, |plan: &ServicePlan, _: &_| Effect::Services(plan.clone()));
        }
        if let Some(target) = wanted.forwarding {
            launch!(forwarding, target, |plan: &ForwardingPlan, _: &_| Effect::Forwarding(plan.clone()));
        }
        if let Some(target) = wanted.links {
            launch!(links, target, |plan: &LinkPlan, _: &_| Effect::Links(plan.clone()));
        }
        if let Some(target) = wanted.ap
            && self.poll.is_none()
        {
            launch!(radio, target, |plan: &Option<ApPlan>, state: &Option<Option<ApPlan>>| {
                match (plan, state) {
                    (None, _) => Effect::StopAp,
                    (Some(plan), Some(Some(old))) if old.same_but_keys(plan) => {
                        Effect::SetKeys(plan.keys.clone())
                    }
                    (Some(plan), _) => Effect::StartAp(plan.clone()),
                }
            });
        }
        if let Some(target) = wanted.firewall {
            launch!(firewall, target, |plan: &FirewallPlan, _: &_| Effect::Firewall(plan.clone()));
        }
    }

    /// What each lane may be brought to at this moment; `None`: nothing, it has to wait or is there.
    fn next_targets(&self, goal: &SystemPlan) -> Targets {
        let ap_interface = goal.ap.as_ref().map(|ap| ap.interface);
        let radio_at = self.radio.at(&goal.ap);
        let links_at = self.links.at(&goal.links);
        let firewall_at = self.firewall.at(&goal.firewall);
        // What stands on the access point waits for it; what does not, does not.
        let radio_ready = |interfaces: &[IfName]| {
            radio_at || !interfaces.iter().any(|interface| Some(*interface) == ap_interface)
        };
        let vanishing = self.vanishing(goal);

        let services_ready = firewall_at
            && links_at
            && radio_ready(goal.services.segment.as_ref().map(|segment| segment.interface).as_slice());
        let services_rest = self.services.state.as_ref().map(|held| held_services(held, goal, &vanishing));
        let services_down = settled_at(&self.services, services_rest.as_ref());
        let services = if services_ready {
            Some(goal.services.clone())
        } else {
            Some(services_rest.unwrap_or_default())
        };

        let forwarding_ready =
            firewall_at && links_at && radio_ready(&goal.forwarding.ipv4.iter().copied().collect::<Vec<_>>());
        let forwarding_rest = self.forwarding.state.as_ref().map(|held| {
            if self.firewall.state.is_none() && !self.firewall.busy() {
                return ForwardingPlan::default();
            }
            let kept = held.ipv4.intersection(&goal.forwarding.ipv4).filter(|name| !vanishing.contains(name));
            ForwardingPlan { ipv4: kept.copied().collect() }
        });
        let forwarding_down = settled_at(&self.forwarding, forwarding_rest.as_ref());
        let forwarding = if forwarding_ready {
            Some(goal.forwarding.clone())
        } else {
            Some(forwarding_rest.unwrap_or_default())
        };

        // The access point leaves its bridge before the bridge goes; otherwise addresses go first.
        let radio_rest = match &self.radio.state {
            Some(Some(held)) => {
                Some(goal.ap.as_ref().filter(|ap| ap.same_but_keys(held)).map(|_| held.clone()))
            }
            Some(None) => Some(None),
            None => None,
        };
        let radio_down = settled_at(&self.radio, radio_rest.as_ref());
        let links_rest = self.links.state.as_ref().map(|held| held_links(held, goal, &vanishing));
        let links_down = settled_at(&self.links, links_rest.as_ref());
        let bridge_goes = self.links.state.as_ref().is_some_and(|held| {
            held.bridge.is_some() && links_rest.as_ref().is_some_and(|rest| rest.bridge.is_none())
        });
        let ap_bridged = match &self.radio.state {
            Some(held) => held.as_ref().is_some_and(|ap| ap.bridge.is_some()),
            None => bridge_goes,
        };
        let above_links = (services_down || self.services.blocked())
            && (forwarding_down || self.forwarding.blocked())
            && (!(bridge_goes && ap_bridged) || radio_down || self.radio.blocked());
        let links_ready = firewall_at
            && radio_ready(&goal.links.addresses.iter().map(|address| address.interface).collect::<Vec<_>>());
        let links = if !above_links {
            None
        } else if links_ready {
            Some(goal.links.clone())
        } else {
            Some(links_rest.unwrap_or_default())
        };

        let above_radio = ap_bridged
            || ((services_down || self.services.blocked())
                && (forwarding_down || self.forwarding.blocked())
                && (links_down || self.links.blocked()));
        let radio_may_rise =
            firewall_at && (links_at || goal.ap.as_ref().is_none_or(|ap| ap.bridge.is_none()));
        let ap = match (&self.radio.state, &goal.ap) {
            (Some(Some(held)), Some(wanted)) if held.same_but_keys(wanted) => Some(goal.ap.clone()),
            (Some(None) | None, Some(_)) if radio_may_rise => Some(goal.ap.clone()),
            (Some(None), _) => None,
            (Some(Some(_)) | None, _) => above_radio.then_some(None),
        };

        let drops = self.firewall.state.as_ref().is_none_or(|held| {
            held.segments
                .iter()
                .any(|old| !goal.firewall.segments.iter().any(|new| new.interface == old.interface))
        });
        let links_clear = links_down || (!drops && self.links.blocked());
        let radio_clear = radio_down || (!drops && self.radio.blocked());
        let services_clear = services_down || self.services.blocked();
        let firewall =
            (forwarding_down && links_clear && radio_clear && services_clear).then(|| goal.firewall.clone());

        Targets { ap, links, firewall, forwarding, services }
    }

    /// Interfaces of ours that go, or are made anew, on the way to the goal.
    fn vanishing(&self, goal: &SystemPlan) -> BTreeSet<IfName> {
        let mut vanishing = BTreeSet::new();
        if let Some(Some(held)) = &self.radio.state
            && !goal.ap.as_ref().is_some_and(|ap| ap.same_but_keys(held))
        {
            vanishing.insert(held.interface);
        }
        if let Some(bridge) = self.links.state.as_ref().and_then(|links| links.bridge.as_ref())
            && goal.links.bridge.as_ref().map(|bridge| bridge.name) != Some(bridge.name)
        {
            vanishing.insert(bridge.name);
        }
        vanishing
    }
}

/// Whether the lane has nothing left to take away.
fn settled_at<P: Clone + PartialEq + Debug>(lane: &Lane<P>, rest: Option<&P>) -> bool {
    rest.is_some_and(|rest| lane.at(rest))
}

struct Targets {
    ap: Option<Option<ApPlan>>,
    links: Option<LinkPlan>,
    firewall: Option<FirewallPlan>,
    forwarding: Option<ForwardingPlan>,
    services: Option<ServicePlan>,
}

/// The servers may go on while their address stays.
fn held_services(held: &ServicePlan, goal: &SystemPlan, vanishing: &BTreeSet<IfName>) -> ServicePlan {
    match (&held.segment, &goal.services.segment) {
        (Some(old), Some(new))
            if old.interface == new.interface
                && old.address == new.address
                && !vanishing.contains(&old.interface) =>
        {
            held.clone()
        }
        _ => ServicePlan::default(),
    }
}

/// What of the addresses and the bridge is also part of the goal.
fn held_links(held: &LinkPlan, goal: &SystemPlan, vanishing: &BTreeSet<IfName>) -> LinkPlan {
    let bridge = match (&held.bridge, &goal.links.bridge) {
        (Some(old), Some(new)) if old.name == new.name => {
            let mut bridge = old.clone();
            bridge.members.retain(|member| new.members.contains(member));
            Some(bridge)
        }
        _ => None,
    };
    let addresses = held
        .addresses
        .iter()
        .filter(|address| goal.links.addresses.contains(address) && !vanishing.contains(&address.interface))
        .copied()
        .collect();
    LinkPlan { bridge, addresses }
}
