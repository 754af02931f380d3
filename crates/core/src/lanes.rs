//! From what is applied to what is wanted, one lane at a time, in an order that is safe at every moment.
//!
//! Every lane remembers the plan it last confirmed, or that it does not know (after a failure, a missed
//! deadline or a late answer). [`Lanes::drive`] compares that with the goal and emits whatever may be done
//! at once, at most one effect for each lane.
//!
//! Which effects may go out at a moment is said by `order`.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

use hn_types::{
    DriverError, IfName, MacAddr, Monotonic, Step, StoredSettings,
    device::DevicePlan,
    network::NetworkView,
    plan::{ApPlan, FirewallPlan, ForwardingPlan, LinkPlan, NextHop, ServicePlan, Steering},
};

use crate::{
    config::Deadlines,
    effect::{Effect, EffectDone, EffectId, Output},
    lane::{Finished, Flight, Lane},
    plan::SystemPlan,
};

/// A station poll is a question, not a change: it may hang for this long at most.
const POLL_DEADLINE: Duration = Duration::from_secs(5);

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
    pub(crate) links: Lane<LinkPlan>,
    pub(crate) firewall: Lane<FirewallPlan>,
    pub(crate) forwarding: Lane<ForwardingPlan>,
    pub(crate) services: Lane<ServicePlan>,
    poll: Option<Poll>,
    /// Numbers of polls whose answers no longer matter.
    missed_poll: Option<u64>,
    /// A question to the firewall under way.
    count: Option<Poll>,
    missed_count: Option<u64>,
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
            count: None,
            missed_count: None,
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
        let mut quiet = self.poll.is_none() && self.count.is_none();
        each_lane!(self, lane => quiet &= !lane.busy());
        quiet
    }

    /// Whether anything but the store awaits an answer.
    pub(crate) fn quiet_but_store(&self) -> bool {
        self.quiet()
            || (self.store.busy()
                && self.poll.is_none()
                && self.count.is_none()
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

    /// What was served when the lane last answered.
    pub(crate) fn served(&self) -> Option<&ServicePlan> {
        self.services.state.as_ref()
    }

    /// The kernel takes routes away with the carrier; ours has to be put back when it returns.
    pub(crate) fn check_steering(&mut self, network: &NetworkView) {
        let stands = |steering: &Steering| {
            let led = match steering.next {
                NextHop::Ipv4(_) => &network.steered,
                NextHop::Ipv6(_) => &network.ipv6.steered,
            };
            led.contains(&(steering.table(), steering.public))
        };
        if self.links.state.as_ref().is_some_and(|plan| !plan.steering.iter().all(stands)) {
            self.links.doubt();
        }
    }

    /// What the interface of the running access point should be called, and what `view` calls it, if that is not the same.
    pub(crate) fn renamed_ap(&self, view: &NetworkView) -> Option<(IfName, IfName)> {
        let (Some(index), Some(Some(plan)), None) = (self.ap_index, &self.radio.state, &self.radio.flight)
        else {
            return None;
        };
        let link = view.links.iter().find(|link| link.index == index)?;
        (link.name != plan.interface).then_some((plan.interface, link.name))
    }

    /// The bridge of ours that is there in `before` and not in `after`.
    pub(crate) fn missing_bridge(&self, before: &NetworkView, after: &NetworkView) -> Option<IfName> {
        let (Some(LinkPlan { bridge: Some(bridge), .. }), None) = (&self.links.state, &self.links.flight)
        else {
            return None;
        };
        let there = |view: &NetworkView| view.link(bridge.name.as_str()).is_some();
        (there(before) && !there(after)).then_some(bridge.name)
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
            (Some(Some(held)), Some(target)) => !held.adapts_to(target),
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
        let poll = self.poll.as_ref().map(|poll| (poll.deadline, "deadline of a station poll"));
        let count = self.count.as_ref().map(|count| (count.deadline, "deadline of the counters"));
        let mut first = poll.into_iter().chain(count).min_by_key(|(at, _)| *at);
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
        if let Some(count) = self.count.take_if(|count| count.deadline <= now) {
            self.missed_count = Some(count.number);
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
                    Ok(EffectDone::Done | EffectDone::Counted(_)) | Err(_) => None,
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

    /// Ends the association of a station if the radio has nothing better to do; the number of the effect.
    pub(crate) fn disconnect(
        &mut self,
        mac: MacAddr,
        now: Monotonic,
        out: &mut VecDeque<Output>,
    ) -> Option<u64> {
        if self.radio.busy() || self.poll.is_some() {
            return None;
        }
        let number = self.number();
        self.poll = Some(Poll { number, deadline: now + POLL_DEADLINE });
        let id = EffectId { number, lane: Step::Radio };
        out.push_back(Output::Effect { id, effect: Effect::Disconnect(mac) });
        Some(number)
    }

    /// Whether the radio has not answered this yet.
    pub(crate) fn asks_radio(&self, number: u64) -> bool {
        self.poll.as_ref().is_some_and(|poll| poll.number == number)
    }

    /// Asks what was counted if the firewall has nothing better to do.
    pub(crate) fn ask_counts(&mut self, now: Monotonic, out: &mut VecDeque<Output>) {
        if self.firewall.busy() || self.count.is_some() {
            return;
        }
        let number = self.number();
        self.count = Some(Poll { number, deadline: now + POLL_DEADLINE });
        let id = EffectId { number, lane: Step::Firewall };
        out.push_back(Output::Effect { id, effect: Effect::Count });
    }

    /// The rules of single devices are not there; those of everybody are.
    pub(crate) fn forget_device_rules(&mut self) {
        if let Some(held) = &mut self.firewall.state {
            held.devices = DevicePlan::default();
        }
    }

    /// Whether the firewall has been asked what it counted and may still answer in time.
    pub(crate) const fn counting(&self) -> bool {
        self.count.is_some()
    }

    /// Whether this was the question for what was counted, answered in time or not.
    pub(crate) fn was_counting(&mut self, id: EffectId) -> bool {
        self.count.take_if(|count| count.number == id.number).is_some()
            || self.missed_count.take_if(|missed| *missed == id.number).is_some()
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
            ($lane:ident, $target:expr, $effect:expr) => {
                launch!($lane, $target, |_| Duration::ZERO, $effect)
            };
            ($lane:ident, $target:expr, $longer:expr, $effect:expr) => {{
                let target = $target;
                if self.$lane.wants(&target) {
                    let number = self.number();
                    let lane = self.$lane.step;
                    let deadline = now + self.deadlines.of(lane) + ($longer)(&target);
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
            // Nothing shortens the time for which radar must be listened for.
            let longer = |plan: &Option<ApPlan>| {
                Duration::from_secs(plan.as_ref().map_or(0, |plan| plan.cac_s.into()))
            };
            launch!(radio, target, longer, |plan: &Option<ApPlan>, state: &Option<Option<ApPlan>>| {
                match (plan, state) {
                    (None, _) => Effect::StopAp,
                    (Some(plan), Some(Some(old))) if old.same_but_keys(plan) => {
                        Effect::SetKeys(plan.keys.clone())
                    }
                    (Some(plan), Some(Some(old))) if old.adapts_to(plan) => Effect::MoveAp(plan.clone()),
                    (Some(plan), _) => Effect::StartAp(plan.clone()),
                }
            });
        }
        if let Some(target) = wanted.firewall
            && self.count.is_none()
        {
            launch!(firewall, target, |plan: &FirewallPlan, _: &_| Effect::Firewall(plan.clone()));
        }
    }
}
