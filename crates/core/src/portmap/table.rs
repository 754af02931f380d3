//! The mappings that devices asked for themselves: who made which, until when, and what a request does to them.
//!
//! Two of IPv4 never share a port outside, and none has one that leads elsewhere by the administrator's word or
//! is the host's own. A device has a share of the table and no more.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use hn_types::{
    MacAddr, Monotonic, Subnet4, Subnet6,
    plan::PinholeCount,
    portmap::{MapAct, MapAdd, MapFilter, MapRefusal, MapRemote, MapRequest, MapWhich, Mapped, Origin},
    settings::Protocol,
};

use super::policy::{PortMapPolicy, Protocols};

/// Numbers of mappings that devices made begin here; the administrator's stay below.
pub(crate) const FIRST_ID: u32 = 1_000_000;
/// Ports to choose from when the wished one is taken (RFC 6335 §6: dynamic ports).
const CHOICE: core::ops::RangeInclusive<u16> = 49_152..=65_535;
/// A pinhole lasts no longer, in seconds (WANIPv6FirewallControl:1 §2.4.2).
const PINHOLE_LONGEST: u32 = 86_400;

/// Who made a mapping, as far as that can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// From where it asked.
    pub(crate) address: IpAddr,
    /// The device that had a lease on that address.
    pub(crate) mac: Option<MacAddr>,
}

impl Owner {
    fn is(self, other: Self) -> bool {
        self.address == other.address || (self.mac.is_some() && self.mac == other.mac)
    }
}

/// A mapping or, with an IPv6 address, a pinhole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Its number, for people.
    pub(crate) id: u32,
    pub(crate) origin: Origin,
    pub(crate) owner: Owner,
    pub(crate) protocol: Protocol,
    /// Of a pinhole the internal one.
    pub(crate) external_port: u16,
    pub(crate) internal: SocketAddr,
    /// The device with a lease on the internal address when it was made or renewed.
    pub(crate) device: Option<MacAddr>,
    pub(crate) nonce: Option<[u8; 12]>,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) remotes: Vec<MapRemote>,
    pub(crate) until: Monotonic,
    pub(crate) pinhole: Option<u16>,
    /// Of a pinhole: what the firewall has let in by it, once it has said so.
    pub(crate) packets: Option<u64>,
    /// Only for the flow to its one remote end (PCP PEER): nobody lists, renews or removes it as a mapping.
    pub(crate) peer: bool,
}

impl Mapping {
    pub(crate) const fn is_pinhole(&self) -> bool {
        self.pinhole.is_some()
    }

    /// As a device is told. `external`: the address outside.
    fn told(&self, external: Option<Ipv4Addr>, now: Monotonic) -> Mapped {
        let external = match self.internal.ip() {
            IpAddr::V4(_) => {
                SocketAddr::from((external.unwrap_or(Ipv4Addr::UNSPECIFIED), self.external_port))
            }
            IpAddr::V6(_) => self.internal,
        };
        Mapped {
            external,
            internal: self.internal,
            protocol: self.protocol,
            lifetime_s: seconds(self.until, now),
            pinhole: self.pinhole,
            packets: self.packets,
        }
    }
}

/// Seconds from `now` to `until`, rounded up.
pub(crate) fn seconds(until: Monotonic, now: Monotonic) -> u32 {
    let left = until.since(now);
    u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(u32::from(left.subsec_nanos() > 0))
}

/// What a decision depends on besides the table.
pub(crate) struct Ground<'a> {
    pub(crate) policy: &'a PortMapPolicy,
    /// The host's address in the segment.
    pub(crate) segment: Subnet4,
    /// The address outside.
    pub(crate) external: Option<Ipv4Addr>,
    /// Whether something leads out.
    pub(crate) up: bool,
    /// The host in the prefix of the segment, while its devices are reached from outside untranslated.
    pub(crate) routed: Option<Subnet6>,
    /// Ports outside that the administrator mapped.
    pub(crate) fixed: &'a [(Protocol, u16)],
    /// Ports outside on which this host serves.
    pub(crate) served: &'a [(Protocol, u16)],
    /// Who has a lease on an address.
    pub(crate) holder: &'a dyn Fn(IpAddr) -> Option<MacAddr>,
}

impl Ground<'_> {
    fn owner(&self, address: IpAddr) -> Owner {
        Owner { address, mac: (self.holder)(address) }
    }

    /// Whether a mapping for devices may have this port outside, conflicts aside.
    fn reserves(&self, protocol: Protocol, port: u16) -> bool {
        self.policy.reserves(port) || self.served.contains(&(protocol, port))
    }

    /// Whether devices of the segment can have this address.
    fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let edge = [self.segment.network().address(), self.segment.broadcast()];
                self.segment.contains(address)
                    && address != self.segment.address()
                    && !edge.contains(&address)
            }
            IpAddr::V6(address) => {
                self.routed.is_some_and(|host| host.contains(address) && address != host.address())
            }
        }
    }

    fn until(&self, lifetime_s: u32, now: Monotonic) -> Monotonic {
        let longest = self.policy.longest;
        let wished = Duration::from_secs(lifetime_s.into());
        now + if lifetime_s == 0 { longest } else { wished.clamp(self.policy.shortest, longest) }
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By number, which is the order in which they were made.
    held: BTreeMap<u32, Mapping>,
    last: u32,
    last_pinhole: u16,
}

impl Table {
    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.held.values()
    }

    /// The number of the one made last, whether it still exists or not.
    pub(crate) const fn newest(&self) -> Option<u32> {
        if self.last == 0 { None } else { Some(self.last) }
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Mapping> {
        self.held.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Mapping> {
        self.held.remove(&id)
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    /// When the next one ends.
    pub(crate) fn ends(&self) -> Option<Monotonic> {
        self.held.values().map(|mapping| mapping.until).min()
    }

    /// Ends those whose time has come.
    pub(crate) fn expire(&mut self, now: Monotonic) {
        self.held.retain(|_, mapping| mapping.until > now);
    }

    /// Nobody has `address` any more.
    pub(crate) fn released(&mut self, address: IpAddr) {
        self.held.retain(|_, mapping| mapping.internal.ip() != address && mapping.owner.address != address);
    }

    /// `mac` has `address` from here on; what another device had there ends.
    pub(crate) fn taken(&mut self, address: IpAddr, mac: MacAddr) {
        self.held.retain(|_, mapping| {
            let internal = mapping.internal.ip() != address || mapping.device == Some(mac);
            let owner = mapping.owner.address != address || mapping.owner.mac == Some(mac);
            internal && owner
        });
    }

    /// Ends what the administrator's mappings (protocol and port outside) leave no room for, and pinholes outside
    /// of the prefix that is routed.
    pub(crate) fn yield_to(&mut self, fixed: &[(Protocol, u16)], routed: Option<Subnet6>) {
        self.held.retain(|_, mapping| match mapping.internal.ip() {
            IpAddr::V4(_) => !fixed.contains(&(mapping.protocol, mapping.external_port)),
            // While nothing is routed the prefix may come back.
            IpAddr::V6(address) => routed.is_none_or(|prefix| prefix.contains(address)),
        });
    }

    /// Carries a request out. `random` chooses among free ports.
    pub(crate) fn decide(
        &mut self,
        request: &MapRequest,
        ground: &Ground<'_>,
        now: Monotonic,
        random: u32,
    ) -> Result<Mapped, MapRefusal> {
        if ground.policy.protocols == Protocols::Off {
            return Err(MapRefusal::Off);
        }
        let asking = ground.owner(request.client);
        match &request.act {
            MapAct::Add(add) => {
                let id = match add.internal {
                    SocketAddr::V4(_) => self.add(request.origin, asking, add, ground, now, random)?,
                    SocketAddr::V6(_) => self.add_pinhole(request.origin, asking, add, ground, now)?,
                };
                self.tell(id, ground, now)
            }
            MapAct::Remove { which, nonce } => {
                let doomed = self.doomed(request.origin, asking, *which, *nonce)?;
                let first = doomed.first().copied().ok_or(MapRefusal::NotFound)?;
                let told = self.tell(first, ground, now);
                for id in doomed {
                    self.held.remove(&id);
                }
                told
            }
            MapAct::Extend { pinhole, lifetime_s } => {
                let until = ground.until((*lifetime_s).clamp(1, PINHOLE_LONGEST), now);
                let id = self.pinhole(*pinhole, asking)?;
                if let Some(mapping) = self.held.get_mut(&id) {
                    mapping.until = until;
                }
                self.tell(id, ground, now)
            }
            MapAct::Look { pinhole } => {
                let id = self.pinhole(*pinhole, asking)?;
                self.tell(id, ground, now)
            }
            MapAct::Peer { protocol, internal, remote, external_port, lifetime_s, nonce, exists } => {
                let add = MapAdd {
                    protocol: *protocol,
                    internal: *internal,
                    external_port: *external_port,
                    exact: *exists,
                    lifetime_s: *lifetime_s,
                    nonce: Some(*nonce),
                    name: String::new(),
                    enabled: true,
                    filter: MapFilter::default(),
                };
                let id = self.keep(request.origin, asking, &add, *remote, ground, now, random)?;
                self.tell(id, ground, now)
            }
        }
    }

    /// What the firewall has let in by pinholes; one with several remote ends has a row for each.
    pub(crate) fn passed(&mut self, counts: &[PinholeCount]) {
        for mapping in self.held.values_mut().filter(|mapping| mapping.is_pinhole()) {
            let ours = |count: &&PinholeCount| {
                let PinholeCount { pinhole, .. } = count;
                (pinhole.protocol, SocketAddr::from((pinhole.address, pinhole.port)))
                    == (mapping.protocol, mapping.internal)
                    && match pinhole.remote {
                        Some(remote) => mapping.remotes.contains(&remote),
                        None => mapping.remotes.is_empty(),
                    }
            };
            let rows: Vec<u64> = counts.iter().filter(ours).map(|count| count.packets).collect();
            if !rows.is_empty() {
                mapping.packets = Some(rows.into_iter().fold(0, u64::saturating_add));
            }
        }
    }

    fn tell(&self, id: u32, ground: &Ground<'_>, now: Monotonic) -> Result<Mapped, MapRefusal> {
        self.held.get(&id).map(|mapping| mapping.told(ground.external, now)).ok_or(MapRefusal::NotFound)
    }

    /// A mapping of IPv4, new or renewed.
    fn add(
        &mut self,
        origin: Origin,
        asking: Owner,
        add: &MapAdd,
        ground: &Ground<'_>,
        now: Monotonic,
        random: u32,
    ) -> Result<u32, MapRefusal> {
        may(asking, add.internal.ip(), ground)?;
        if let Some(id) = self.same(origin, add)? {
            let remotes = self.filtered(Some(id), &add.filter, add.internal.ip())?;
            self.renew(id, origin, asking, add, remotes, ground, now);
            return Ok(id);
        }
        if !ground.up {
            return Err(MapRefusal::NoUplink);
        }
        self.room(asking, ground)?;
        let remotes = self.filtered(None, &add.filter, add.internal.ip())?;
        let external_port = self.external_port(add, false, ground, random)?;
        Ok(self.insert(origin, asking, add, external_port, remotes, None, ground, now))
    }

    /// The translation of one flow, new or renewed (RFC 6887 §12). It is a mapping for its remote end alone: what the
    /// device sends there leaves by the port outside, and what comes from there is let in for as long as it lasts,
    /// also after the kernel has forgotten the flow.
    #[expect(clippy::too_many_arguments, reason = "the parts of one mapping")]
    fn keep(
        &mut self,
        origin: Origin,
        asking: Owner,
        add: &MapAdd,
        remote: SocketAddr,
        ground: &Ground<'_>,
        now: Monotonic,
        random: u32,
    ) -> Result<u32, MapRefusal> {
        may(asking, add.internal.ip(), ground)?;
        // A neighbour is reached without us.
        if ground.has(remote.ip()) {
            return Err(MapRefusal::BadAddress);
        }
        let prefix = if remote.is_ipv4() { 32 } else { 128 };
        let remotes = Vec::from([MapRemote { address: remote.ip(), prefix, port: remote.port() }]);
        let same = self.held.values().find(|mapping| {
            mapping.peer
                && (mapping.protocol, mapping.internal) == (add.protocol, add.internal)
                && mapping.remotes == remotes
        });
        if let Some(mapping) = same {
            matches_nonce(mapping, add.nonce)?;
            let (id, held) = (mapping.id, mapping.external_port);
            // Another way out may have given the flow another port.
            let port = if add.exact { self.external_port(add, true, ground, random)? } else { held };
            self.renew(id, origin, asking, add, remotes, ground, now);
            if let Some(mapping) = self.held.get_mut(&id) {
                mapping.external_port = port;
            }
            return Ok(id);
        }
        let (external_port, pinhole) = if add.internal.is_ipv4() {
            if !ground.up {
                return Err(MapRefusal::NoUplink);
            }
            (self.external_port(add, true, ground, random)?, None)
        } else {
            if ground.routed.is_none() {
                return Err(MapRefusal::Unsupported);
            }
            (add.internal.port(), Some(self.pinhole_number()?))
        };
        self.room(asking, ground)?;
        let id = self.insert(origin, asking, add, external_port, remotes, pinhole, ground, now);
        if let Some(mapping) = self.held.get_mut(&id) {
            mapping.peer = true;
        }
        Ok(id)
    }

    /// The mapping of IPv4 that `add` renews.
    fn same(&self, origin: Origin, add: &MapAdd) -> Result<Option<u32>, MapRefusal> {
        let found = match origin {
            Origin::Upnp => self.held.values().find(|mapping| {
                !mapping.is_pinhole()
                    && !mapping.peer
                    && (mapping.protocol, mapping.external_port) == (add.protocol, add.external_port)
            }),
            Origin::NatPmp | Origin::Pcp => {
                let same = |mapping: &&Mapping| {
                    !mapping.is_pinhole()
                        && !mapping.peer
                        && (mapping.protocol, mapping.internal) == (add.protocol, add.internal)
                };
                let own = self.held.values().find(|mapping| same(mapping) && mapping.origin == origin);
                own.or_else(|| self.held.values().find(same))
            }
        };
        let Some(mapping) = found else { return Ok(None) };
        if origin == Origin::Upnp {
            let remotes: Vec<_> = add.filter.add.clone();
            if mapping.internal.ip() != add.internal.ip() || mapping.remotes != remotes {
                return if add.exact { Err(MapRefusal::Conflict) } else { Ok(None) };
            }
        }
        matches_nonce(mapping, add.nonce)?;
        let other = add.external_port != 0 && add.external_port != mapping.external_port;
        if add.exact && other { Err(MapRefusal::Conflict) } else { Ok(Some(mapping.id)) }
    }

    /// A pinhole, new or renewed.
    fn add_pinhole(
        &mut self,
        origin: Origin,
        asking: Owner,
        add: &MapAdd,
        ground: &Ground<'_>,
        now: Monotonic,
    ) -> Result<u32, MapRefusal> {
        if ground.routed.is_none() {
            return Err(MapRefusal::Unsupported);
        }
        may(asking, add.internal.ip(), ground)?;
        let port = add.internal.port();
        if add.exact && add.external_port != 0 && add.external_port != port {
            return Err(MapRefusal::Conflict);
        }
        let wished = self.filtered(None, &add.filter, add.internal.ip())?;
        let same = self.held.values().find(|mapping| {
            mapping.is_pinhole()
                && !mapping.peer
                && (mapping.protocol, mapping.internal) == (add.protocol, add.internal)
                && (origin != Origin::Upnp || mapping.remotes == wished)
        });
        if let Some(mapping) = same {
            matches_nonce(mapping, add.nonce)?;
            let id = mapping.id;
            let remotes = self.filtered(Some(id), &add.filter, add.internal.ip())?;
            self.renew(id, origin, asking, add, remotes, ground, now);
            return Ok(id);
        }
        self.room(asking, ground)?;
        let number = self.pinhole_number()?;
        Ok(self.insert(origin, asking, add, port, wished, Some(number), ground, now))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one mapping")]
    fn insert(
        &mut self,
        origin: Origin,
        asking: Owner,
        add: &MapAdd,
        external_port: u16,
        remotes: Vec<MapRemote>,
        pinhole: Option<u16>,
        ground: &Ground<'_>,
        now: Monotonic,
    ) -> u32 {
        self.last = self.last.checked_add(1).filter(|id| *id > FIRST_ID).unwrap_or(FIRST_ID + 1);
        let id = self.last;
        let mapping = Mapping {
            id,
            origin,
            owner: asking,
            protocol: add.protocol,
            external_port,
            internal: add.internal,
            device: (ground.holder)(add.internal.ip()),
            nonce: add.nonce,
            name: add.name.chars().take(MapAdd::NAME).collect(),
            enabled: add.enabled,
            remotes,
            until: lasts(add, ground, now),
            pinhole,
            packets: None,
            peer: false,
        };
        self.held.insert(id, mapping);
        id
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one mapping")]
    fn renew(
        &mut self,
        id: u32,
        origin: Origin,
        asking: Owner,
        add: &MapAdd,
        remotes: Vec<MapRemote>,
        ground: &Ground<'_>,
        now: Monotonic,
    ) {
        let Some(mapping) = self.held.get_mut(&id) else { return };
        let until = lasts(add, ground, now);
        // Through another protocol the same device holds it open too: neither of the two shortens it.
        mapping.until = if mapping.origin == origin { until } else { mapping.until.max(until) };
        mapping.origin = origin;
        mapping.owner = asking;
        mapping.internal = add.internal;
        mapping.device = (ground.holder)(add.internal.ip());
        mapping.enabled = add.enabled;
        mapping.remotes = remotes;
        if !add.name.is_empty() {
            mapping.name = add.name.chars().take(MapAdd::NAME).collect();
        }
    }

    /// The list of remote ends after the change.
    fn filtered(
        &self,
        id: Option<u32>,
        filter: &MapFilter,
        internal: IpAddr,
    ) -> Result<Vec<MapRemote>, MapRefusal> {
        let old = id.and_then(|id| self.held.get(&id)).filter(|_| !filter.clear);
        let mut remotes = old.map(|mapping| mapping.remotes.clone()).unwrap_or_default();
        for remote in &filter.add {
            let longest = if internal.is_ipv4() { 32 } else { 128 };
            if remote.address.is_ipv4() != internal.is_ipv4() || remote.prefix > longest {
                return Err(MapRefusal::Remotes);
            }
            if !remotes.contains(remote) {
                remotes.push(*remote);
            }
        }
        if remotes.len() > MapFilter::REMOTES { Err(MapRefusal::Remotes) } else { Ok(remotes) }
    }

    fn room(&self, asking: Owner, ground: &Ground<'_>) -> Result<(), MapRefusal> {
        if self.held.values().filter(|mapping| mapping.owner.is(asking)).count() >= ground.policy.of_one {
            return Err(MapRefusal::Limit);
        }
        if self.held.len() >= ground.policy.in_all { Err(MapRefusal::Full) } else { Ok(()) }
    }

    /// The port that flows from the same internal one have outside, the wished one, the internal one, or any. `peer`:
    /// for one flow, which shares the port of a mapping from the same internal one.
    fn external_port(
        &self,
        add: &MapAdd,
        peer: bool,
        ground: &Ground<'_>,
        random: u32,
    ) -> Result<u16, MapRefusal> {
        let (protocol, internal) = (add.protocol, add.internal.port());
        // Flows of one internal port look the same from outside (RFC 4787 REQ-1).
        let same = |mapping: &Mapping| {
            (mapping.peer || peer) && (mapping.protocol, mapping.internal) == (protocol, add.internal)
        };
        let taken = |port: u16| {
            ground.fixed.contains(&(protocol, port))
                || self.held.values().any(|mapping| {
                    !mapping.is_pinhole()
                        && (mapping.protocol, mapping.external_port) == (protocol, port)
                        && !same(mapping)
                })
        };
        let free = |port: u16| port != 0 && !ground.reserves(protocol, port) && !taken(port);
        let wished = add.external_port;
        if peer && add.exact {
            // What the kernel does is true, whatever is reserved.
            return if taken(wished) { Err(MapRefusal::Conflict) } else { Ok(wished) };
        }
        if wished != 0 && add.exact {
            return if ground.reserves(protocol, wished) {
                Err(MapRefusal::Reserved)
            } else if taken(wished) {
                Err(MapRefusal::Conflict)
            } else {
                Ok(wished)
            };
        }
        let (first, count) = (*CHOICE.start(), CHOICE.end() - CHOICE.start() + 1);
        let start = u16::try_from(random % u32::from(count)).unwrap_or_default();
        let choice = (0..count).map(|step| first + (start + step) % count);
        let shared = self.held.values().find(|mapping| same(mapping)).map(|mapping| mapping.external_port);
        shared
            .into_iter()
            .chain([wished, internal])
            .chain(choice)
            .chain(1..first)
            .find(|port| free(*port))
            .ok_or(MapRefusal::Full)
    }

    fn pinhole_number(&mut self) -> Result<u16, MapRefusal> {
        let used = |number: u16| self.held.values().any(|mapping| mapping.pinhole == Some(number));
        let last = self.last_pinhole;
        let number = (1..=u16::MAX)
            .map(|step| last.wrapping_add(step))
            .find(|number| *number != 0 && !used(*number))
            .ok_or(MapRefusal::Full)?;
        self.last_pinhole = number;
        Ok(number)
    }

    fn pinhole(&self, number: u16, asking: Owner) -> Result<u32, MapRefusal> {
        let found = self.held.values().find(|mapping| mapping.pinhole == Some(number));
        let mapping = found.ok_or(MapRefusal::NotFound)?;
        if !mapping.owner.is(asking) {
            return Err(MapRefusal::NotYours);
        }
        if mapping.nonce.is_some() { Err(MapRefusal::NotYours) } else { Ok(mapping.id) }
    }

    /// Which mappings a removal ends.
    fn doomed(
        &self,
        origin: Origin,
        asking: Owner,
        which: MapWhich,
        nonce: Option<[u8; 12]>,
    ) -> Result<Vec<u32>, MapRefusal> {
        let own = |mapping: &Mapping| mapping.owner.is(asking) || mapping.internal.ip() == asking.address;
        let one = |found: Option<&Mapping>, fits: bool| {
            let mapping = found.ok_or(MapRefusal::NotFound)?;
            match (mapping.nonce, nonce) {
                _ if !own(mapping) || !fits => Err(MapRefusal::NotYours),
                (Some(held), Some(given)) if held != given => Err(MapRefusal::Nonce),
                (Some(_), None) | (None, Some(_)) => Err(MapRefusal::NotYours),
                (Some(_), Some(_)) | (None, None) => Ok([mapping.id].into()),
            }
        };
        match which {
            MapWhich::External { protocol, port, remote } => {
                let found = self.held.values().find(|mapping| {
                    let host = |remote: Ipv4Addr| mapping.remotes.iter().any(|end| end.address == remote);
                    !mapping.is_pinhole()
                        && !mapping.peer
                        && (mapping.protocol, mapping.external_port) == (protocol, port)
                        && remote.map_or(mapping.remotes.is_empty(), host)
                });
                one(found, true)
            }
            MapWhich::ExternalRange { protocol, first, last } => {
                let fits = |mapping: &&Mapping| {
                    !mapping.is_pinhole()
                        && !mapping.peer
                        && mapping.protocol == protocol
                        && (first..=last).contains(&mapping.external_port)
                        && own(mapping)
                        && mapping.nonce.is_none()
                };
                Ok(self.held.values().filter(fits).map(|mapping| mapping.id).collect())
            }
            MapWhich::Internal { protocol, port } => {
                let internal = SocketAddr::new(asking.address, port);
                let to = |mapping: &&Mapping| {
                    !mapping.peer && (mapping.protocol, mapping.internal) == (protocol, internal)
                };
                let made = self.held.values().find(|mapping| to(mapping) && mapping.origin == origin);
                one(made.or_else(|| self.held.values().find(to)), made.is_some())
            }
            MapWhich::All { protocol } => {
                let fits = |mapping: &&Mapping| {
                    mapping.origin == origin
                        && !mapping.peer
                        && mapping.internal.ip() == asking.address
                        && protocol.is_none_or(|protocol| mapping.protocol == protocol)
                        && mapping.nonce == nonce
                };
                Ok(self.held.values().filter(fits).map(|mapping| mapping.id).collect())
            }
            MapWhich::Pinhole { pinhole } => self.pinhole(pinhole, asking).map(|id| [id].into()),
        }
    }
}

/// Whether `asking` may let somebody in to `internal`.
fn may(asking: Owner, internal: IpAddr, ground: &Ground<'_>) -> Result<(), MapRefusal> {
    if !ground.has(internal) {
        return Err(MapRefusal::BadAddress);
    }
    let own = || asking.is(ground.owner(internal));
    match ground.policy.protocols {
        Protocols::Off => Err(MapRefusal::Off),
        Protocols::Own if own() => Ok(()),
        Protocols::Own => Err(MapRefusal::NotYours),
        Protocols::Any => Ok(()),
    }
}

/// Whether who gives `nonce` may change the mapping.
fn matches_nonce(mapping: &Mapping, nonce: Option<[u8; 12]>) -> Result<(), MapRefusal> {
    match (mapping.nonce, nonce) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(MapRefusal::NotYours),
        (Some(held), given) if Some(held) == given => Ok(()),
        (Some(_), _) => Err(MapRefusal::Nonce),
    }
}

/// Until when `add` lasts.
fn lasts(add: &MapAdd, ground: &Ground<'_>, now: Monotonic) -> Monotonic {
    let lifetime_s = if add.internal.is_ipv6() && add.lifetime_s != 0 {
        add.lifetime_s.min(PINHOLE_LONGEST)
    } else {
        add.lifetime_s
    };
    ground.until(lifetime_s, now)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use super::*;

    const DEVICE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 9);
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn ground<'a>(
        policy: &'a PortMapPolicy,
        routed: Option<&str>,
        holder: &'a dyn Fn(IpAddr) -> Option<MacAddr>,
    ) -> Ground<'a> {
        Ground {
            policy,
            segment: "192.168.137.1/24".parse().expect("valid"),
            external: Some(Ipv4Addr::new(203, 0, 113, 2)),
            up: true,
            routed: routed.map(|routed| routed.parse().expect("valid")),
            fixed: &[],
            served: &[],
            holder,
        }
    }

    fn hole(address: Ipv6Addr, port: u16) -> MapAct {
        MapAct::Add(MapAdd {
            protocol: Protocol::Tcp,
            internal: SocketAddr::from((address, port)),
            external_port: port,
            exact: true,
            lifetime_s: 600,
            nonce: None,
            name: String::new(),
            enabled: true,
            filter: MapFilter { clear: true, add: Vec::new() },
        })
    }

    fn request(origin: Origin, client: IpAddr, act: MapAct) -> MapRequest {
        MapRequest { id: 1, origin, client, act }
    }

    #[test]
    fn a_pinhole_opens_an_address_of_the_routed_prefix_and_no_other() {
        let (policy, nobody) = (PortMapPolicy::default(), |_| None);
        let mut table = Table::default();
        let mut ask = |ground: &Ground<'_>, client: IpAddr, act| {
            table.decide(&request(Origin::Upnp, client, act), ground, Monotonic::ZERO, 0)
        };
        let routed = ground(&policy, Some("2001:db8:0:1::1/64"), &nobody);
        let mine = IpAddr::V6(DEVICE);
        let opened = ask(&routed, mine, hole(DEVICE, 80)).expect("granted");
        assert_eq!((opened.pinhole, opened.external, opened.lifetime_s), (Some(1), opened.internal, 600));
        assert_eq!(ask(&routed, mine, hole(DEVICE, 80)).map(|it| it.pinhole), Ok(Some(1)), "renewed");
        assert_eq!(ask(&routed, mine, hole(DEVICE, 81)).map(|it| it.pinhole), Ok(Some(2)));
        let (host, other): (Ipv6Addr, Ipv6Addr) =
            (Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 9));
        assert_eq!(ask(&routed, mine, hole(host, 80)), Err(MapRefusal::BadAddress), "the host itself");
        assert_eq!(ask(&routed, mine, hole(other, 80)), Err(MapRefusal::BadAddress), "another prefix");
        let neighbour = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 8);
        assert_eq!(ask(&routed, mine, hole(neighbour, 80)), Err(MapRefusal::NotYours));
        let translated = ground(&policy, None, &nobody);
        assert_eq!(ask(&translated, mine, hole(DEVICE, 82)), Err(MapRefusal::Unsupported), "NAT66");
    }

    #[test]
    fn a_flow_keeps_its_port_for_its_remote_end_alone() {
        let (policy, nobody) = (PortMapPolicy::default(), |_| None);
        let mut table = Table::default();
        let ground = ground(&policy, None, &nobody);
        let mut ask = |client: u8, act| {
            let client = IpAddr::from([192, 168, 137, client]);
            table.decide(&request(Origin::Pcp, client, act), &ground, Monotonic::ZERO, 0)
        };
        let inside = |client: u8| SocketAddr::from(([192, 168, 137, client], 4_000));
        let flow = |client: u8, remote: u8, external_port: u16, exists: bool, nonce: u8| MapAct::Peer {
            protocol: Protocol::Udp,
            internal: inside(client),
            remote: SocketAddr::from(([198, 51, 100, remote], 53)),
            external_port,
            lifetime_s: 600,
            nonce: [nonce; 12],
            exists,
        };
        let map = |client: u8, external_port: u16, exact: bool| {
            MapAct::Add(MapAdd {
                protocol: Protocol::Udp,
                internal: inside(client),
                external_port,
                exact,
                lifetime_s: 600,
                nonce: Some([9; 12]),
                name: String::new(),
                enabled: true,
                filter: MapFilter::default(),
            })
        };
        let port = |told: Result<Mapped, MapRefusal>| told.map(|told| told.external.port());
        assert_eq!(port(ask(9, flow(9, 7, 50_123, false, 1))), Ok(50_123), "as it wishes");
        assert_eq!(port(ask(9, flow(9, 7, 50_124, false, 1))), Ok(50_123), "it is the same flow");
        assert_eq!(port(ask(9, flow(9, 7, 0, false, 2))), Err(MapRefusal::Nonce));
        assert_eq!(port(ask(9, flow(9, 8, 0, false, 2))), Ok(50_123), "one port inside, one outside");
        assert_eq!(port(ask(9, map(9, 0, false))), Ok(50_123), "and so has a mapping");
        assert_eq!(port(ask(8, flow(8, 7, 50_123, false, 3))), Ok(4_000), "taken by another device");
        assert_eq!(
            port(ask(8, flow(8, 8, 50_123, true, 3))),
            Err(MapRefusal::Conflict),
            "the kernel's choice"
        );
        assert_eq!(port(ask(8, flow(8, 8, 999, true, 3))), Ok(999), "the kernel's choice");
        assert_eq!(port(ask(8, flow(8, 8, 998, true, 3))), Ok(998), "and when it chooses anew");
        assert_eq!(port(ask(9, flow(8, 9, 0, false, 4))), Err(MapRefusal::NotYours));
        let neighbour = MapAct::Peer {
            protocol: Protocol::Udp,
            internal: inside(9),
            remote: inside(8),
            external_port: 0,
            lifetime_s: 600,
            nonce: [5; 12],
            exists: false,
        };
        assert_eq!(port(ask(9, neighbour)), Err(MapRefusal::BadAddress));
        let end = MapAct::Remove { which: MapWhich::All { protocol: None }, nonce: Some([1; 12]) };
        assert_eq!(ask(9, end), Err(MapRefusal::NotFound), "a flow is nothing that MAP ends");
        let only = table
            .iter()
            .filter(|mapping| mapping.peer)
            .all(|mapping| matches!(mapping.remotes.as_slice(), [MapRemote { prefix: 32, port: 53, .. }]));
        assert!(only, "nobody else is let in");
    }

    #[test]
    fn a_device_opens_its_ipv6_address_over_ipv4_when_both_are_leased_to_it() {
        let four = IpAddr::from([192, 168, 137, 9]);
        let (policy, both) = (PortMapPolicy::default(), move |address| {
            (address == four || address == IpAddr::V6(DEVICE)).then_some(MAC)
        });
        let mut table = Table::default();
        let ground = ground(&policy, Some("2001:db8:0:1::1/64"), &both);
        let mut ask = |client: [u8; 4], act| {
            table.decide(&request(Origin::Upnp, client.into(), act), &ground, Monotonic::ZERO, 0)
        };
        ask([192, 168, 137, 9], hole(DEVICE, 80)).expect("the same device");
        assert_eq!(ask([192, 168, 137, 8], hole(DEVICE, 80)), Err(MapRefusal::NotYours));
        let longer = |pinhole| MapAct::Extend { pinhole, lifetime_s: 1_000_000 };
        assert_eq!(ask([192, 168, 137, 9], longer(1)).map(|it| it.lifetime_s), Ok(PINHOLE_LONGEST));
        assert_eq!(ask([192, 168, 137, 8], longer(1)), Err(MapRefusal::NotYours));
        assert_eq!(ask([192, 168, 137, 9], longer(2)), Err(MapRefusal::NotFound));
        ask([192, 168, 137, 9], MapAct::Look { pinhole: 1 }).expect("its own");
        let end = MapAct::Remove { which: MapWhich::Pinhole { pinhole: 1 }, nonce: None };
        ask([192, 168, 137, 9], end.clone()).expect("its own");
        assert_eq!(ask([192, 168, 137, 9], end), Err(MapRefusal::NotFound));
        let number = ask([192, 168, 137, 9], hole(DEVICE, 80)).map(|it| it.pinhole);
        assert_eq!(number, Ok(Some(2)), "a number is not given again soon");
    }

    #[test]
    fn another_prefix_ends_pinholes_and_a_pause_does_not() {
        let (policy, nobody) = (PortMapPolicy::default(), |_| None);
        let ground = ground(&policy, Some("2001:db8:0:1::1/64"), &nobody);
        let mut table = Table::default();
        let asked = request(Origin::Pcp, DEVICE.into(), hole(DEVICE, 80));
        table.decide(&asked, &ground, Monotonic::ZERO, 0).expect("granted");
        table.yield_to(&[(Protocol::Tcp, 80)], None);
        assert_eq!(table.iter().count(), 1, "nothing is routed for now, and no port outside is shared");
        table.yield_to(&[], "2001:db8:0:2::1/64".parse().ok());
        assert_eq!(table.iter().count(), 0);
    }
}
