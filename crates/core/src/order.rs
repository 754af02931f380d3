//! In which order lanes may move, so that every moment on the way is safe.
//!
//! The order: **the firewall is the first in and the last out**. A segment is closed before it exists,
//! because a host may already forward by a setting of its own (containers do that). Then
//! the access point, then its address (a bridge comes before the access point that joins it), then
//! forwarding and services side by side. Going down is the reverse. When only a part changes, whatever does
//! not fit the goal is first taken away, the firewall is exchanged in one piece, and the rest is built:
//! no interface ever forwards that the firewall in force does not name. A step that fails on the
//! way down does not keep the others from going down, except that the firewall stays while there is
//! something left that it guards.

use alloc::{collections::BTreeSet, vec::Vec};
use core::fmt::Debug;

use hn_types::{
    IfName,
    plan::{ApPlan, FirewallPlan, ForwardingPlan, LinkPlan, LinkRoute6, ServicePlan},
};

use crate::{lane::Lane, lanes::Lanes, plan::SystemPlan};

impl Lanes {
    /// What each lane may be brought to at this moment; `None`: nothing, it has to wait or is there.
    pub(crate) fn next_targets(&self, goal: &SystemPlan) -> Targets {
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
            let ipv6 = held
                .ipv6
                .filter(|held| goal.forwarding.ipv6 == Some(*held) && !vanishing.contains(&held.private));
            let loose = held.loose.intersection(&goal.forwarding.loose).copied().collect();
            ForwardingPlan { ipv4: kept.copied().collect(), ipv6, loose }
        });
        let forwarding_down = settled_at(&self.forwarding, forwarding_rest.as_ref());
        let forwarding = if forwarding_ready {
            Some(goal.forwarding.clone())
        } else {
            Some(forwarding_rest.unwrap_or_default())
        };

        // The access point leaves its bridge before the bridge goes; otherwise addresses go first.
        let radio_rest = match &self.radio.state {
            Some(Some(held)) => Some(goal.ap.as_ref().filter(|ap| held.adapts_to(ap)).map(|_| held.clone())),
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
            (Some(Some(held)), Some(wanted)) if held.adapts_to(wanted) => Some(goal.ap.clone()),
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
            && !goal.ap.as_ref().is_some_and(|ap| held.adapts_to(ap))
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

/// What may be applied at once; `None`: the lane has to wait.
#[derive(Debug)]
pub(crate) struct Targets {
    /// `Some(None)`: no access point.
    pub(crate) ap: Option<Option<ApPlan>>,
    pub(crate) links: Option<LinkPlan>,
    pub(crate) firewall: Option<FirewallPlan>,
    pub(crate) forwarding: Option<ForwardingPlan>,
    pub(crate) services: Option<ServicePlan>,
}

/// The servers may go on while their address stays.
fn held_services(held: &ServicePlan, goal: &SystemPlan, vanishing: &BTreeSet<IfName>) -> ServicePlan {
    match (&held.segment, &goal.services.segment) {
        (Some(old), Some(new))
            if old.interface == new.interface
                && old.address == new.address
                && old.ipv6.as_ref().map(|ipv6| ipv6.address)
                    == new.ipv6.as_ref().map(|ipv6| ipv6.address)
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
    let addresses6 = held
        .addresses6
        .iter()
        .filter(|address| goal.links.addresses6.contains(address) && !vanishing.contains(&address.interface))
        .copied()
        .collect();
    let kept = |route: &&LinkRoute6| route.interface.is_none_or(|name| !vanishing.contains(&name));
    let routes6 = held.routes6.iter().filter(|route| goal.links.routes6.contains(route)).filter(kept);
    let routes6 = routes6.copied().collect();
    let steering =
        held.steering.iter().filter(|steering| goal.links.steering.contains(steering)).copied().collect();
    LinkPlan { bridge, addresses, addresses6, routes6, steering, moves: goal.links.moves }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::VecDeque, vec};

    use hn_types::{
        MacAddr, Monotonic, Ssid, Step, StoredSettings, Subnet4,
        plan::{ApStarted, FirewallSegment, KeySet, LinkAddress, Reach},
        radio::PhyType,
    };

    use super::*;
    use crate::{
        config::Deadlines,
        effect::{Effect, EffectDone, Output},
    };

    fn plan(channel: u32) -> SystemPlan {
        let interface: IfName = "hnap0".parse().expect("valid");
        let address: Subnet4 = "192.168.137.1/24".parse().expect("valid");
        let reach = Reach::Public("eth0".parse().expect("valid"));
        SystemPlan {
            ap: Some(ApPlan {
                wiphy: 0,
                interface,
                bssid: MacAddr::ZERO,
                ssid: Ssid::new(b"x").expect("valid"),
                frequency_mhz: 2407 + 5 * channel,
                channel,
                phy: PhyType::Ht,
                width: hn_types::radio::Width::Mhz20,
                centre_mhz: 2407 + 5 * channel,
                cac_s: 0,
                country: None,
                ht_capabilities: 0,
                vht_capabilities: 0,
                wpa: hn_types::wpa::Wpa::Wpa2,
                sae: vec![],
                hidden: false,
                isolated: false,
                movable: false,
                max_peers: 1,
                bridge: None,
                keys: KeySet::default(),
            }),
            links: LinkPlan { addresses: vec![LinkAddress { interface, address }], ..LinkPlan::default() },
            firewall: FirewallPlan {
                segments: vec![FirewallSegment { interface, subnet: Some(address), reach, ipv6: None }],
                ..FirewallPlan::default()
            },
            forwarding: ForwardingPlan {
                ipv4: [interface, "eth0".parse().expect("valid")].into(),
                ..ForwardingPlan::default()
            },
            services: ServicePlan::default(),
        }
    }

    /// The lanes in which effects go out until the goal is reached, those of one moment together.
    fn way(lanes: &mut Lanes, goal: &SystemPlan) -> Vec<Vec<Step>> {
        let now = Monotonic::ZERO;
        let mut way = Vec::new();
        while !lanes.settled(goal) && way.len() < 20 {
            let mut out = VecDeque::new();
            lanes.drive(goal, &StoredSettings::default(), now, &mut out);
            let effects: Vec<_> = out
                .into_iter()
                .filter_map(|output| match output {
                    Output::Effect { id, effect } => Some((id, effect)),
                    Output::Reply { .. } | Output::Event(_) => None,
                })
                .collect();
            way.push(effects.iter().map(|(id, _)| id.lane()).collect());
            for (id, effect) in effects {
                let index = u32::try_from(way.len()).unwrap_or(0);
                let started = ApStarted { index, bssid: MacAddr::ZERO, frequency_mhz: 0 };
                let done = if matches!(effect, Effect::StartAp(_)) {
                    EffectDone::ApStarted(started)
                } else {
                    EffectDone::Done
                };
                lanes.finish(id, Ok(done), now);
            }
        }
        way
    }

    #[test]
    fn up_and_down_the_firewall_is_the_first_in_and_the_last_out() {
        let mut lanes = Lanes::new(StoredSettings::default(), Deadlines::default());
        let (firewall, radio, links, forwarding) =
            (vec![Step::Firewall], vec![Step::Radio], vec![Step::Links], vec![Step::Forwarding]);
        let up = way(&mut lanes, &plan(1));
        assert_eq!(up, [firewall.clone(), radio.clone(), links.clone(), forwarding.clone()]);
        assert_eq!(way(&mut lanes, &SystemPlan::default()), [forwarding, links, radio, firewall]);
    }

    #[test]
    fn servers_stop_before_their_address_goes() {
        let mut goal = plan(1);
        goal.forwarding = ForwardingPlan::default();
        let address = *goal.links.addresses.first().expect("one");
        let host = address.address.address();
        goal.services.segment = Some(hn_types::plan::ServiceSegment {
            interface: address.interface,
            address: address.address,
            dhcp: hn_types::plan::DhcpPlan {
                first: host,
                last: host,
                lease_time: core::time::Duration::ZERO,
                router: None,
                dns: None,
                domain: None,
                mtu: None,
                reservations: vec![],
                denied: BTreeSet::new(),
            },
            dns: None,
            ipv6: None,
            portmap: None,
        });
        let mut lanes = Lanes::new(StoredSettings::default(), Deadlines::default());
        let up = [Step::Firewall, Step::Radio, Step::Links, Step::Services].map(|step| vec![step]);
        assert_eq!(way(&mut lanes, &goal), up);
        let down = [Step::Services, Step::Links, Step::Radio, Step::Firewall].map(|step| vec![step]);
        assert_eq!(way(&mut lanes, &SystemPlan::default()), down);
    }

    #[test]
    fn an_access_point_made_anew_loses_what_stands_on_it_first() {
        let mut lanes = Lanes::new(StoredSettings::default(), Deadlines::default());
        way(&mut lanes, &plan(1));
        let expected: Vec<Vec<Step>> =
            [Step::Forwarding, Step::Links, Step::Radio, Step::Radio, Step::Links, Step::Forwarding]
                .map(|step| vec![step])
                .to_vec();
        assert_eq!(way(&mut lanes, &plan(6)), expected, "and the firewall stays");
    }

    #[test]
    fn an_access_point_that_can_be_moved_keeps_what_stands_on_it() {
        let mut lanes = Lanes::new(StoredSettings::default(), Deadlines::default());
        let movable = |channel| {
            let mut goal = plan(channel);
            goal.ap.as_mut().expect("there").movable = true;
            goal
        };
        way(&mut lanes, &movable(1));
        assert_eq!(way(&mut lanes, &movable(6)), [vec![Step::Radio]]);
    }

    #[test]
    fn new_keys_touch_nothing_else() {
        let mut lanes = Lanes::new(StoredSettings::default(), Deadlines::default());
        let mut goal = plan(1);
        way(&mut lanes, &goal);
        let key = hn_types::Key::raw(&[1; 32]).expect("valid");
        let entry = hn_types::plan::KeyEntry { role: hn_types::KeyRole::Primary, key, station: None };
        goal.ap.as_mut().expect("there").keys.entries.push(entry);
        assert_eq!(way(&mut lanes, &goal), [vec![Step::Radio]]);
    }

    #[test]
    fn a_late_answer_makes_its_successor_doubtful() {
        let mut lanes = Lanes::new(StoredSettings::default(), Deadlines::default());
        let goal = plan(1);
        let firewall = |lanes: &mut Lanes, now| {
            let mut out = VecDeque::new();
            lanes.drive(&goal, &StoredSettings::default(), now, &mut out);
            out.into_iter().find_map(|output| match output {
                Output::Effect { id, effect: Effect::Firewall(_) } => Some(id),
                Output::Effect { .. } | Output::Reply { .. } | Output::Event(_) => None,
            })
        };
        let hung = firewall(&mut lanes, Monotonic::ZERO).expect("the first effect");
        let later = Monotonic::ZERO + Deadlines::default().firewall;
        assert_eq!(lanes.expire(later).len(), 1);
        lanes.unblock();
        let successor = firewall(&mut lanes, later).expect("tried again");
        assert!(lanes.finish(hung, Ok(EffectDone::Done), later).is_none(), "too late to count");
        assert!(firewall(&mut lanes, later).is_none(), "one at a time");
        assert!(lanes.finish(successor, Ok(EffectDone::Done), later).is_some());
        let again = firewall(&mut lanes, later).expect("who knows which of the two was the last");
        lanes.finish(again, Ok(EffectDone::Done), later);
        assert!(lanes.firewall.at(&goal.firewall));
    }
}
