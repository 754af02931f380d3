//! The name server of the segment: the engine, the sockets its clients ask on and the sockets it asks
//! resolvers on, joined.
//!
//! Owns all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
};

use hn_dns::{Client, ClientTransport, Event, Forwarder, Output};
use hn_types::{IfName, MacAddr, Monotonic, observed::Lease};
use rustix::{fs::OFlags, io};

use crate::{
    clients::Clients,
    poller::{Interest, Poller, Readiness, Slot, Token},
    resolvers::Resolvers,
    sys::{Flushed, RecvBatch, SendBatch},
};

/// Resolvers that are used.
const RESOLVERS: usize = 8;

/// The family of a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    const fn of(client: SocketAddr) -> Self {
        match client {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }

    const fn tokens(self) -> (Token, Token) {
        match self {
            Self::V4 => (Token::Queries, Token::Listener),
            Self::V6 => (Token::Queries6, Token::Listener6),
        }
    }
}

/// The sockets of the private side.
#[derive(Debug)]
struct Ports {
    queries: OwnedFd,
    listener: OwnedFd,
}

/// The private side in one family.
#[derive(Debug)]
struct Side {
    family: Family,
    ports: Option<Ports>,
    replies: SendBatch,
    /// Replies wait for the socket, and no question is read before they have left.
    blocked: bool,
}

impl Side {
    fn new(family: Family) -> Self {
        Self { family, ports: None, replies: SendBatch::new(), blocked: false }
    }

    fn serve(&mut self, poller: &Poller, queries: OwnedFd, listener: OwnedFd) -> io::Result<()> {
        self.leave(poller);
        // A connection that vanished between the event and the call must not stop the loop.
        let flags = rustix::fs::fcntl_getfl(&listener)?;
        rustix::fs::fcntl_setfl(&listener, flags | OFlags::NONBLOCK)?;
        let tokens = self.family.tokens();
        poller.add(&queries, tokens.0, Interest::READ)?;
        if let Err(error) = poller.add(&listener, tokens.1, Interest::READ) {
            poller.remove(&queries);
            return Err(error);
        }
        self.ports = Some(Ports { queries, listener });
        Ok(())
    }

    fn leave(&mut self, poller: &Poller) {
        if let Some(Ports { queries, listener }) = self.ports.take() {
            poller.remove(&queries);
            poller.remove(&listener);
        }
        self.replies.clear();
        self.blocked = false;
    }

    /// Sends the replies that wait; returns how many the kernel refused.
    fn flush(&mut self, poller: &Poller) -> u64 {
        let Some(Ports { queries, .. }) = &self.ports else {
            self.replies.clear();
            return 0;
        };
        let Flushed { failed, blocked, .. } = self.replies.flush(queries.as_fd());
        if blocked != self.blocked {
            let interest = if blocked { Interest::WRITE } else { Interest::READ };
            if poller.modify(queries, self.family.tokens().0, interest).is_ok() {
                self.blocked = blocked;
            }
        }
        failed as u64
    }
}

/// Addresses of devices by their hardware addresses. As many as the engines lease and remember.
#[derive(Debug, Default)]
struct Addresses {
    homes: BTreeMap<MacAddr, Ipv4Addr>,
    /// The same the other way round: with tens of thousands of leases nobody looks for an address among all.
    owners: BTreeMap<Ipv4Addr, MacAddr>,
    sixes: BTreeMap<MacAddr, BTreeSet<Ipv6Addr>>,
}

impl Addresses {
    fn home(&mut self, mac: MacAddr, address: Ipv4Addr) {
        self.leave(address);
        if let Some(before) = self.homes.insert(mac, address) {
            self.owners.remove(&before);
        }
        self.owners.insert(address, mac);
    }

    fn leave(&mut self, address: Ipv4Addr) {
        if let Some(mac) = self.owners.remove(&address) {
            self.homes.remove(&mac);
        }
    }

    fn add(&mut self, mac: MacAddr, address: Ipv6Addr) {
        self.sixes.entry(mac).or_default().insert(address);
    }

    fn remove(&mut self, mac: MacAddr, address: Ipv6Addr) {
        if let Some(addresses) = self.sixes.get_mut(&mac) {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.sixes.remove(&mac);
            }
        }
    }

    fn of(&self, mac: MacAddr) -> Option<(Ipv4Addr, Vec<Ipv6Addr>)> {
        let addresses = self.sixes.get(&mac).into_iter().flatten().copied().collect();
        self.homes.get(&mac).map(|home| (*home, addresses))
    }
}

/// The name server.
#[derive(Debug)]
pub(crate) struct Dns {
    forwarder: Forwarder,
    ipv4: Side,
    ipv6: Side,
    clients: Clients,
    resolvers: Resolvers,
    /// This host's address, which is never asked.
    own: IpAddr,
    known: Vec<SocketAddr>,
    down: BTreeSet<SocketAddr>,
    /// Which device has which addresses.
    addresses: Addresses,
    /// Clients that have a question which had to wait for a reply.
    waiting: Vec<Slot>,
    /// Replies the kernel refused.
    pub(crate) send_failed: u64,
}

impl Dns {
    pub(crate) fn new(forwarder: Forwarder, own: Ipv4Addr) -> Self {
        Self {
            forwarder,
            ipv4: Side::new(Family::V4),
            ipv6: Side::new(Family::V6),
            clients: Clients::new(),
            resolvers: Resolvers::new(),
            own: IpAddr::V4(own),
            known: Vec::new(),
            down: BTreeSet::new(),
            addresses: Addresses::default(),
            waiting: Vec::new(),
            send_failed: 0,
        }
    }

    fn side(&mut self, family: Family) -> &mut Side {
        match family {
            Family::V4 => &mut self.ipv4,
            Family::V6 => &mut self.ipv6,
        }
    }

    /// Answers clients of this family on these sockets, and on no others.
    ///
    /// # Errors
    ///
    /// When they cannot be waited for.
    pub(crate) fn serve(
        &mut self,
        poller: &Poller,
        family: Family,
        queries: OwnedFd,
        listener: OwnedFd,
    ) -> io::Result<()> {
        self.side(family).serve(poller, queries, listener)
    }

    /// Closes the sockets of the private side.
    pub(crate) fn leave(&mut self, poller: &Poller) {
        self.ipv4.leave(poller);
        self.ipv6.leave(poller);
        self.clients.close_all(poller);
    }

    pub(crate) const fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    /// Connections that were refused.
    pub(crate) const fn refused(&self) -> u64 {
        self.clients.refused
    }

    /// Asks these resolvers from here on, through this interface if one is named.
    pub(crate) fn set_upstreams(
        &mut self,
        resolvers: &[SocketAddr],
        through: Option<IfName>,
        now: Monotonic,
    ) {
        if self.resolvers.through != through {
            self.resolvers.through = through;
            // Nothing is asked any more on a socket that leads elsewhere.
            self.forwarder.set_upstreams(&[], now);
        }
        let usable = resolvers.iter().filter(|resolver| resolver.ip().to_canonical() != self.own);
        self.known = usable.take(RESOLVERS).copied().collect();
        self.down.retain(|resolver| self.known.contains(resolver));
        self.forwarder.set_upstreams(&self.known, now);
    }

    /// Every resolver there is, when none of them answers.
    pub(crate) fn silent_resolvers(&self) -> Option<&[SocketAddr]> {
        let silent = !self.known.is_empty() && self.known.iter().all(|resolver| self.down.contains(resolver));
        silent.then_some(&self.known)
    }

    /// The device of `lease` has the name it says, and this address. Names are those of IPv4 leases, since what a
    /// device calls itself over DHCPv6 is not tied to the device that holds the name; what ties its IPv6 addresses
    /// to it is its hardware address.
    pub(crate) fn name(&mut self, lease: &Lease) {
        let address = match lease.address {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => {
                self.addresses.add(lease.mac, address);
                return self.tell_addresses6(lease.mac);
            }
        };
        self.addresses.home(lease.mac, address);
        self.tell_addresses6(lease.mac);
        if lease.hostname.is_empty() {
            self.forwarder.remove_name(address);
        } else {
            // A name that is refused is counted by the forwarder; the lease is none the worse for it.
            let _ = self.forwarder.set_name(&lease.hostname, address);
        }
    }

    /// Nobody has this address.
    pub(crate) fn unname(&mut self, address: Ipv4Addr) {
        self.forwarder.remove_name(address);
        self.addresses.leave(address);
        self.forwarder.set_addresses6(address, &[]);
    }

    /// The device has this address no more.
    pub(crate) fn forget6(&mut self, mac: MacAddr, address: Ipv6Addr) {
        self.addresses.remove(mac, address);
        self.tell_addresses6(mac);
    }

    fn tell_addresses6(&mut self, mac: MacAddr) {
        if let Some((home, addresses)) = self.addresses.of(mac) {
            self.forwarder.set_addresses6(home, &addresses);
        }
    }

    /// A UDP socket of the private side is ready: takes one batch of questions.
    pub(crate) fn handle_queries(
        &mut self,
        poller: &Poller,
        family: Family,
        ready: Readiness,
        received: &mut RecvBatch,
        now: Monotonic,
    ) {
        let side = self.side(family);
        let failed = if ready.write && side.blocked { side.flush(poller) } else { 0 };
        self.send_failed += failed;
        let side = match family {
            Family::V4 => &self.ipv4,
            Family::V6 => &self.ipv6,
        };
        let Some(Ports { queries, .. }) = side.ports.as_ref().filter(|_| ready.read && !side.blocked) else {
            return;
        };
        match received.receive(queries.as_fd()) {
            Ok(count) => {
                for index in 0..count {
                    let Some(datagram) = received.get(index) else { break };
                    let Some(addr) = datagram.from else { continue };
                    let client = Client { addr, transport: ClientTransport::Udp };
                    // One that was cut short fails to parse, which is counted.
                    self.forwarder.handle_query(datagram.bytes, client, now);
                }
            }
            Err(error) => tracing::debug!(%error, "the name server's socket failed"),
        }
    }

    /// Connections wait.
    pub(crate) fn handle_listener(&mut self, poller: &Poller, family: Family, now: Monotonic) {
        let side = match family {
            Family::V4 => &self.ipv4,
            Family::V6 => &self.ipv6,
        };
        if let Some(Ports { listener, .. }) = &side.ports {
            self.clients.accept(poller, listener, now);
        }
    }

    /// A TCP client is ready.
    pub(crate) fn handle_client(&mut self, poller: &Poller, ready: Readiness, slot: Slot, now: Monotonic) {
        self.clients.handle_ready(poller, ready, slot, &mut self.forwarder, now);
    }

    /// A socket towards a resolver is ready.
    pub(crate) fn handle_resolver(
        &mut self,
        poller: &Poller,
        ready: Readiness,
        slot: Slot,
        received: &mut RecvBatch,
        now: Monotonic,
    ) {
        self.resolvers.handle_ready(poller, ready, slot, received, &mut self.forwarder, now);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, poller: &Poller, now: Monotonic) {
        if self.forwarder.poll_timeout().is_some_and(|at| at <= now) {
            self.forwarder.handle_timeout(now);
        }
        self.clients.handle_timeout(poller, now);
    }

    /// When [`Dns::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        self.forwarder.poll_timeout().into_iter().chain(self.clients.poll_timeout()).min()
    }

    /// Carries out what the engine wants. True when the resolvers' health changed.
    pub(crate) fn settle(&mut self, poller: &Poller, now: Monotonic) -> bool {
        let mut health_changed = false;
        loop {
            health_changed |= self.drain(poller, now);
            self.resolvers.flush();
            // What failed is asked elsewhere, at most once for every resolver there is.
            let failed = self.resolvers.report_failures(poller, &mut self.forwarder, now);
            let waiting = std::mem::take(&mut self.waiting);
            for &slot in &waiting {
                self.clients.resume(poller, slot, &mut self.forwarder, now);
            }
            if !failed && waiting.is_empty() {
                break;
            }
        }
        for side in [&mut self.ipv4, &mut self.ipv6] {
            if !side.blocked && !side.replies.is_empty() {
                self.send_failed += side.flush(poller);
            }
        }
        health_changed
    }

    fn drain(&mut self, poller: &Poller, now: Monotonic) -> bool {
        let mut health_changed = false;
        loop {
            for side in [&mut self.ipv4, &mut self.ipv6].into_iter().filter(|side| side.replies.is_full()) {
                if !side.blocked {
                    self.send_failed += side.flush(poller);
                }
                if side.blocked {
                    return health_changed;
                }
            }
            match self.forwarder.poll_output() {
                Some(Output::Reply { client, bytes }) => match client.transport {
                    ClientTransport::Udp => {
                        let side = match Family::of(client.addr) {
                            Family::V4 => &mut self.ipv4,
                            Family::V6 => &mut self.ipv6,
                        };
                        if !side.replies.push(bytes, Some(client.addr)) {
                            self.send_failed += 1;
                        }
                    }
                    ClientTransport::Tcp(number) => {
                        self.waiting.extend(self.clients.reply(poller, number, bytes, now));
                    }
                },
                Some(Output::Ask { upstream, route, bytes }) => {
                    self.resolvers.ask(poller, upstream, route, bytes);
                }
                Some(Output::Close { route }) => self.resolvers.close(poller, route),
                Some(Output::Forget { upstream }) => self.resolvers.forget(poller, upstream),
                Some(Output::Event(Event::UpstreamDown(resolver))) => {
                    health_changed |= self.down.insert(resolver);
                }
                Some(Output::Event(Event::UpstreamUp(resolver))) => {
                    health_changed |= self.down.remove(&resolver);
                }
                Some(_) => {}
                None => return health_changed,
            }
        }
    }
}

/// That none of these answers, for people.
pub(crate) fn silence(resolvers: &[SocketAddr]) -> String {
    let list: Vec<String> = resolvers.iter().map(|resolver| resolver.ip().to_string()).collect();
    format!("no name server of the public side answers ({})", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_the_last_address_it_got_and_an_address_its_last_device() {
        let (a, b) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let [first, second] = [10, 11].map(|host| Ipv4Addr::new(192, 168, 137, host));
        let mut addresses = Addresses::default();
        let home = |addresses: &Addresses, mac| addresses.of(mac).map(|(home, _)| home);
        addresses.home(a, first);
        addresses.home(a, second);
        assert_eq!(home(&addresses, a), Some(second));
        // The one it had is nobody's: that it ends says nothing about the device.
        addresses.leave(first);
        assert_eq!(home(&addresses, a), Some(second));
        addresses.home(b, second);
        assert_eq!((home(&addresses, a), home(&addresses, b)), (None, Some(second)));
        addresses.leave(second);
        assert_eq!(home(&addresses, b), None);
        assert!(addresses.homes.is_empty() && addresses.owners.is_empty());
    }
}
