//! Port mappings that devices ask for by UPnP IGD, NAT-PMP and PCP, in one table with the administrator's.
//!
//! The administrator's mappings always win. What a device asked for ends with its time, when the device's address
//! is released or another device gets it, when sharing stops, and with the service: it is stored nowhere, so the
//! epoch that devices are told begins anew with the service (RFC 6887 §8.5) and they ask again. It outlives the
//! worker that took the request, and the public connection: while that is away the mapping waits.
//!
//! Requests are taken in groups, and only while nothing else is under way, so that no device can keep a
//! transaction from coming to its end. Their answers are part of the plan of the services, which is carried out
//! after the one of the firewall: what an answer promises holds.

mod policy;
mod table;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr};

use hn_types::{
    ErrorCode, Failure, IfName, MacAddr, Monotonic, Now, Reason, Subnet4, Subnet6,
    network::NetworkView,
    observed::Counter,
    plan::{Pinhole, PinholeCount, PortForward, PortMapPlan},
    portmap::{MapAct, MapAnswer, MapEntry, MapRefusal, MapRequest, MapUplink},
    settings::{MappingTarget, PortMapping, Protocol},
    view::{PortMapView, Refused},
};
use rand_core::RngCore as _;

pub use self::policy::{PortMapPolicy, Protocols};
pub(crate) use self::table::FIRST_ID;
use self::table::{Ground, Mapping, Table, seconds};
use crate::{
    command::{Asked, MappingStatus},
    core::Core,
    dispatch::Stages,
    guid::digest,
    ipv6,
    job::{Change, Stage},
    mapping::forward,
    plan::{Surroundings, SystemPlan, public_side},
};

/// Requests that wait for their turn; those beyond are not answered, and devices ask again.
const WAITING: usize = 256;
/// Requests decided at once.
const GROUP: usize = 32;

/// A request and what was found when it came.
#[derive(Debug)]
struct Ask {
    request: MapRequest,
    /// Ports outside on which this host serves.
    served: Vec<(Protocol, u16)>,
}

/// Where mappings lead at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    public: Option<IfName>,
    segment: Subnet4,
    routed: Option<Subnet6>,
}

/// What devices asked for.
#[derive(Debug, Default)]
pub(crate) struct Portmap {
    table: Table,
    asks: VecDeque<Ask>,
    /// To the latest group.
    answers: Vec<MapAnswer>,
    /// Mappings of that group that the firewall has not let through yet, with their requests.
    unproven: Vec<(u64, u32)>,
    uplink: MapUplink,
    /// Since when the table has lost nothing.
    epoch: Monotonic,
    place: Option<Place>,
    granted: u64,
    refused: BTreeMap<MapRefusal, u64>,
    overflowed: u64,
    /// What the worker dropped.
    dropped: Vec<Counter>,
    /// The firewall was asked what pinholes have counted, for the next group.
    asked_counts: bool,
}

impl Portmap {
    /// Adds what devices asked for to a plan that has everything else of the segment.
    pub(crate) fn complete(
        &self,
        plan: &mut SystemPlan,
        private: IfName,
        public: Option<IfName>,
        around: &Surroundings<'_>,
    ) {
        if around.port_mapping == Protocols::Off {
            return;
        }
        let routed = routed(plan, private);
        if let Some(public) = public {
            for mapping in self.table.iter().filter(|mapping| mapping.enabled) {
                let remotes = mapping.remotes.iter().copied().map(Some);
                let everybody = mapping.remotes.is_empty().then_some(None);
                for remote in remotes.chain(everybody) {
                    let (protocol, port) = (mapping.protocol, mapping.internal.port());
                    match mapping.internal.ip() {
                        IpAddr::V4(address) => plan.firewall.forwards.push(PortForward {
                            public,
                            private,
                            protocol,
                            external_port: mapping.external_port,
                            address,
                            internal_port: port,
                            remote,
                        }),
                        IpAddr::V6(address) if routed.is_some_and(|prefix| prefix.contains(address)) => {
                            plan.firewall.pinholes.push(Pinhole {
                                public,
                                private,
                                protocol,
                                address,
                                port,
                                remote,
                            });
                        }
                        IpAddr::V6(_) => {}
                    }
                }
            }
        }
        if let Some(segment) = &mut plan.services.segment {
            let entries = public.map(|public| {
                fixed_entries(public, (private, segment.address), around)
                    .chain(self.table.iter().filter(|mapping| !mapping.peer).map(entry))
                    .collect()
            });
            segment.portmap = Some(Box::new(PortMapPlan {
                uuid: uuid(around.machine_id),
                name: around.host_name.split('.').next().unwrap_or_default().into(),
                epoch: self.epoch,
                uplink: self.uplink,
                entries: entries.unwrap_or_else(|| {
                    self.table.iter().filter(|mapping| !mapping.peer).map(entry).collect()
                }),
                answers: self.answers.clone(),
            }));
        }
    }
}

/// The host in the prefix of the segment, while devices have addresses that are reached from outside untranslated.
fn routed(plan: &SystemPlan, private: IfName) -> Option<Subnet6> {
    let forwarded = plan.forwarding.ipv6.is_some_and(|ipv6| ipv6.private == private);
    let segment = plan.firewall.segments.iter().find(|segment| segment.interface == private)?;
    let [global, _] = segment.ipv6.filter(|_| forwarded)?.global;
    ipv6::host_in(global?)
}

/// The administrator's mappings that lead somewhere.
fn fixed_entries<'a>(
    public: IfName,
    segment: (IfName, Subnet4),
    around: &'a Surroundings<'_>,
) -> impl Iterator<Item = MapEntry> + 'a {
    around.mappings.iter().filter_map(move |mapping| {
        let way = forward(mapping, public, segment, around.devices, around.domain).ok()?;
        Some(MapEntry {
            protocol: mapping.protocol,
            external_port: mapping.external_port,
            internal: (way.address, mapping.internal_port).into(),
            remotes: Vec::new(),
            name: mapping.name.chars().take(hn_types::portmap::MapAdd::NAME).collect(),
            origin: None,
            until: None,
            enabled: true,
            pinhole: None,
        })
    })
}

fn entry(mapping: &Mapping) -> MapEntry {
    MapEntry {
        protocol: mapping.protocol,
        external_port: mapping.external_port,
        internal: mapping.internal,
        remotes: mapping.remotes.clone(),
        name: mapping.name.clone(),
        origin: Some(mapping.origin),
        until: Some(mapping.until),
        enabled: mapping.enabled,
        pinhole: mapping.pinhole,
    }
}

/// Who the gateway is for UPnP: the same for ever on a machine.
fn uuid(machine_id: &str) -> [u8; 16] {
    let [mut uuid @ .., _, _, _, _] = digest(machine_id, b"upnp gateway");
    // Version 5, variant 1 (RFC 9562 §4).
    uuid[6] = uuid[6] & 0x0f | 0x50;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// The address that mappings have outside.
fn outside(network: &NetworkView, public: IfName) -> Option<Ipv4Addr> {
    let link = network.link(public.as_str())?;
    let addresses = link.addresses.iter().map(|address| address.address());
    addresses.clone().find(|address| !address.is_link_local()).or_else(|| addresses.clone().next())
}

/// Why nobody on the Internet reaches `address`, if so.
pub(crate) fn hidden(address: Ipv4Addr) -> Option<String> {
    let [a, b, c, _] = address.octets();
    if a == 100 && (64..128).contains(&b) || (a, b, c) == (192, 0, 0) {
        // RFC 6598, RFC 6333 §5.7.
        Some(format!(
            "the uplink's address {address} is one that the provider shares among customers: \
             mapped ports are reached from its network at most"
        ))
    } else if address.is_private() || address.is_link_local() {
        Some(format!("the uplink's address {address} is private: somebody in front must forward too"))
    } else {
        None
    }
}

impl Core {
    /// A device asks; answered when its turn comes.
    pub(crate) fn portmap_asked(&mut self, request: MapRequest, served: Vec<(Protocol, u16)>) {
        if self.portmap.asks.len() >= WAITING {
            self.portmap.overflowed += 1;
            return;
        }
        self.portmap.asks.push_back(Ask { request, served });
    }

    /// The worker that waits for answers is gone; what it promised stays.
    pub(crate) fn portmap_worker_lost(&mut self) {
        self.portmap.asks.clear();
        self.portmap.answers.clear();
    }

    /// What the worker has dropped so far.
    pub(crate) fn portmap_counted(&mut self, counters: Vec<Counter>) {
        let dropped = counters.into_iter().filter(|counter| counter.value > 0).filter_map(|counter| {
            let name = counter.name.strip_prefix("portmap_dropped_")?.into();
            Some(Counter { name, ..counter })
        });
        self.portmap.dropped = dropped.collect();
    }

    /// What has come in by pinholes.
    pub(crate) fn portmap_passed(&mut self, counts: &[PinholeCount]) {
        self.portmap.table.passed(counts);
    }

    /// Nobody, or somebody else, has an address.
    pub(crate) fn portmap_lease(&mut self, address: IpAddr, holder: Option<MacAddr>) {
        match holder {
            Some(mac) => self.portmap.table.taken(address, mac),
            None => self.portmap.table.released(address),
        }
    }

    /// Leases came as a whole: who holds what is known anew.
    pub(crate) fn portmap_leases(&mut self) {
        let held: Vec<_> = self.portmap.table.iter().map(|mapping| mapping.internal.ip()).collect();
        for address in held {
            if let Some(mac) = self.devices.holder(address) {
                self.portmap.table.taken(address, mac);
            }
        }
    }

    /// What follows from the surroundings before a plan is made: mappings that ended, and the way out.
    pub(crate) fn refresh_portmap(&mut self, now: Monotonic) {
        self.portmap.table.expire(now);
        let public = self.intent.full.as_ref().and_then(|pair| public_side(pair, &self.network));
        let external = public.and_then(|public| outside(&self.network, public));
        let link = public.and_then(|public| self.network.link(public.as_str()));
        let up = external.is_some() && link.is_some_and(|link| link.up && link.carrier);
        let pinholes = self.portmap.place.is_some_and(|place| place.routed.is_some());
        let since = if (up, external) == (self.portmap.uplink.up, self.portmap.uplink.external) {
            self.portmap.uplink.since
        } else {
            now
        };
        self.portmap.uplink = MapUplink { external, up, since, pinholes, speed: None, traffic: None };
        if self.lanes.firewall.blocked() {
            // What the firewall cannot hold must not keep it from holding the rest.
            for (request, id) in core::mem::take(&mut self.portmap.unproven) {
                self.portmap.table.remove(id);
                *self.portmap.refused.entry(MapRefusal::Failed).or_default() += 1;
                for answer in self.portmap.answers.iter_mut().filter(|answer| answer.id == request) {
                    answer.result = Err(MapRefusal::Failed);
                }
            }
        }
    }

    /// What follows from the plan. `true`: something that the plan depends on is another one.
    pub(crate) fn follow_portmap(&mut self, goal: &SystemPlan, now: Monotonic) -> bool {
        let segment = goal.services.segment.as_ref().filter(|segment| segment.portmap.is_some());
        let place = segment.map(|segment| Place {
            public: self.intent.full.as_ref().and_then(|pair| public_side(pair, &self.network)),
            segment: segment.address,
            routed: routed(goal, segment.interface),
        });
        let subnet = |place: Option<Place>| place.map(|place| place.segment);
        let before = self.portmap.place;
        if subnet(place) != subnet(before) {
            self.portmap.table.clear();
            self.portmap.asks.clear();
            self.portmap.answers.clear();
            self.portmap.unproven.clear();
            self.portmap.epoch = now;
        }
        self.portmap.place = place;
        let Some(place) = place else { return before.is_some() };
        let fixed = self.fixed_ports(place.public);
        let held = self.portmap.table.iter().count();
        self.portmap.table.yield_to(&fixed, place.routed);
        Some(place) != before || held != self.portmap.table.iter().count()
    }

    /// Ports outside that the administrator mapped.
    fn fixed_ports(&self, public: Option<IfName>) -> Vec<(Protocol, u16)> {
        let acts = |mapping: &&PortMapping| {
            mapping.enabled && public.is_none_or(|public| mapping.connection == public)
        };
        let mappings = self.settings.mappings.iter().filter(acts);
        mappings.map(|mapping| (mapping.protocol, mapping.external_port)).collect()
    }

    /// Decides the next group of requests, when everything is at rest. `true`: there were some.
    pub(crate) fn answer_portmap(&mut self, goal: &SystemPlan, now: Monotonic) -> bool {
        let resting = self.lanes.firewall.at(&goal.firewall) && self.lanes.services.at(&goal.services);
        if resting {
            self.portmap.unproven.clear();
        }
        let Some(place) = self.portmap.place else {
            self.portmap.asks.clear();
            return false;
        };
        if !resting || self.job.is_some() || !self.queue.is_empty() || self.portmap.asks.is_empty() {
            return false;
        }
        // Who looks at a pinhole is told what it has counted by then.
        let looks = |ask: &Ask| matches!(ask.request.act, MapAct::Look { .. });
        if self.portmap.asks.iter().take(GROUP).any(looks) {
            if !core::mem::replace(&mut self.portmap.asked_counts, true) {
                self.lanes.ask_counts(now, &mut self.out);
            }
            if self.lanes.counting() {
                return false;
            }
        }
        self.portmap.asked_counts = false;
        let fixed = self.fixed_ports(place.public);
        self.portmap.answers.clear();
        for _ in 0..GROUP {
            let Some(Ask { request, served }) = self.portmap.asks.pop_front() else { break };
            let devices = &self.devices;
            let ground = Ground {
                policy: &self.config.port_mapping,
                segment: place.segment,
                external: self.portmap.uplink.external,
                up: self.portmap.uplink.up,
                routed: place.routed,
                fixed: &fixed,
                served: &served,
                holder: &|address| devices.holder(address),
            };
            let random = self.rng.next_u32();
            let newest = self.portmap.table.newest();
            let result = self.portmap.table.decide(&request, &ground, now, random);
            match &result {
                Ok(_) => self.portmap.granted += 1,
                Err(refusal) => *self.portmap.refused.entry(*refusal).or_default() += 1,
            }
            if let Some(id) = self.portmap.table.newest().filter(|id| Some(*id) != newest) {
                self.portmap.unproven.push((request.id, id));
            }
            self.portmap.answers.push(MapAnswer { id: request.id, result });
        }
        true
    }

    /// When a mapping ends by itself.
    pub(crate) fn portmap_ends(&self) -> Option<Monotonic> {
        self.portmap.table.ends()
    }

    /// Why mapped ports are not reached from the Internet, while there are any.
    pub(crate) fn portmap_hidden(&self) -> Option<String> {
        let public = self.intent.full.as_ref().and_then(|pair| public_side(pair, &self.network))?;
        hidden(outside(&self.network, public)?)
    }

    /// What `status` tells of it.
    pub(crate) fn portmap_view(&self) -> PortMapView {
        let portmap = &self.portmap;
        let count = |pinholes| portmap.table.iter().filter(|it| it.is_pinhole() == pinholes).count();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let off = portmap.place.is_none();
        PortMapView {
            protocols: self.config.port_mapping.protocols.as_str().to_string(),
            serving: !off,
            external: portmap.uplink.external.filter(|_| !off),
            hidden: if off { String::new() } else { self.portmap_hidden().unwrap_or_default() },
            mappings: number(count(false)),
            pinholes: number(count(true)),
            granted: portmap.granted,
            refused: MapRefusal::ALL
                .iter()
                .filter_map(|refusal| {
                    let count = *portmap.refused.get(refusal)?;
                    Some(Refused { reason: *refusal, count })
                })
                .collect(),
            dropped: portmap.dropped.clone(),
            unanswered: portmap.overflowed,
        }
    }

    /// The mappings that devices asked for, as the administrator sees them.
    pub(crate) fn asked_statuses(&self, now: Now) -> impl Iterator<Item = MappingStatus> {
        let Portmap { table, place, .. } = &self.portmap;
        let note = self.portmap_hidden().unwrap_or_default();
        table.iter().filter_map(move |mapping| {
            let public = place.and_then(|place| place.public);
            let address = mapping.internal.ip();
            let leads = if !mapping.enabled {
                Err("it is switched off".to_string())
            } else if public.is_none() {
                Err("no public connection is there at the moment".to_string())
            } else if mapping.is_pinhole() && place.is_none_or(|place| place.routed.is_none()) {
                Err("IPv6 leads nowhere at the moment".to_string())
            } else {
                Ok(address)
            };
            let target = match address {
                IpAddr::V4(address) => MappingTarget::Address(address),
                IpAddr::V6(address) => MappingTarget::Name(address.to_string()),
            };
            let note = if leads.is_ok() && !mapping.is_pinhole() { note.clone() } else { String::new() };
            Some(MappingStatus {
                mapping: PortMapping {
                    id: mapping.id,
                    connection: public.or_else(|| self.likely_public())?,
                    name: mapping.name.clone(),
                    protocol: mapping.protocol,
                    external_port: mapping.external_port,
                    internal_port: mapping.internal.port(),
                    target,
                    enabled: mapping.enabled,
                },
                leads,
                note,
                asked: Some(Asked {
                    origin: mapping.origin,
                    owner: mapping.owner.address,
                    mac: mapping.owner.mac,
                    expires_s: seconds(mapping.until, now.mono),
                    remotes: mapping.remotes.clone(),
                }),
            })
        })
    }

    /// Removes a mapping that a device asked for.
    pub(crate) fn remove_asked(&mut self, id: u32) -> Result<Stages, Failure> {
        self.portmap.table.remove(id).ok_or_else(|| no_mapping(id))?;
        Ok([Stage::Change(Change::KEEP)].into())
    }

    /// Switches a mapping that a device asked for.
    pub(crate) fn set_asked_enabled(&mut self, id: u32, enabled: bool) -> Result<Stages, Failure> {
        let mapping = self.portmap.table.get_mut(id).ok_or_else(|| no_mapping(id))?;
        mapping.enabled = enabled;
        Ok([Stage::Change(Change::KEEP)].into())
    }
}

/// There is no mapping with this number.
pub(crate) fn no_mapping(id: u32) -> Failure {
    Failure::check(
        ErrorCode::NotFound,
        Reason::Unspecified,
        format!("mapping {id}"),
        "there is no such port mapping",
    )
    .with_remedy("`hostednet forward list` shows them")
}
