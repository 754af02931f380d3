//! What the uplink gives, found out without anybody's help: a delegated prefix, and what its routers advertise.

use alloc::{collections::VecDeque, vec::Vec};
use core::{net::Ipv6Addr, time::Duration};

use hn_types::{MacAddr, Monotonic, Now, Subnet6, siphash::SipKey};

use crate::{
    config::{Limits, Nat64},
    counters::{Counters, DropReason},
    frame::{self, ALL_DHCP_SERVERS, ALL_ROUTERS, CLIENT_PORT, Envelope, Origin, Peer, SERVER_PORT},
    observed::{Observed, ROUTER_ADVERTISEMENT},
    rate::Rate,
    server::Draws,
    solicit::Solicitor,
};
pub use crate::{observed::Shared, solicit::Delegated};

/// RTR_SOLICITATION_INTERVAL and MAX_RTR_SOLICITATIONS.
const ROUTERS_AFTER: Duration = Duration::from_secs(4);
const ROUTERS_ASKED: u32 = 3;
/// Outputs waiting to be polled.
const OUTPUTS: usize = 16;

/// The uplink's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The hardware address of the host there. Without one the link has none (PPP, a tunnel), and frames begin
    /// with the IPv6 header.
    pub mac: Option<MacAddr>,
    /// The host's link-local address there.
    pub link_local: Ipv6Addr,
    /// The DHCPv6 client's DUID is this UUID (RFC 6355); it should be the same for ever.
    pub uuid: [u8; 16],
    /// Which of the client's links it is; the same after a restart, so that the server gives the same prefix.
    pub iaid: u32,
}

/// What the uplink gives at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// A prefix that is all ours.
    pub delegated: Option<Delegated>,
    /// A prefix of the link itself.
    pub shared: Option<Shared>,
    /// Where the uplink translates to IPv4.
    pub nat64: Option<Nat64>,
    /// Whether this is the whole truth, as far as it can be known: before, answers are awaited.
    pub settled: bool,
}

/// The client of the uplink. Feed it with frames of the uplink and time, and drain
/// [`Requester::poll_transmit`] after every call; then look at [`Requester::given`].
#[derive(Debug)]
pub struct Requester {
    link: Link,
    solicitor: Solicitor,
    observed: Observed,
    counters: Counters,
    now: Now,
    /// Of what routers advertise, and of what servers answer: neither uses up the share of the other.
    routers: Rate,
    servers: Rate,
    draws: Draws,
    routers_asked: u32,
    ask_routers: Monotonic,
    stopped: bool,
    outputs: VecDeque<Vec<u8>>,
    lent: Vec<u8>,
}

impl Requester {
    /// A client that knows nothing yet. `seed` decides delays and transactions; it should be secret.
    pub fn new(link: Link, seed: u64, now: Now) -> Self {
        let mut draws = Draws(seed);
        let mut rate = || Rate::new(SipKey::new(draws.next(), draws.next()), Limits::default(), now.mono);
        let (routers, servers) = (rate(), rate());
        Self {
            link,
            solicitor: Solicitor::new(link.uuid, link.iaid, now.mono, &mut draws),
            observed: Observed::default(),
            counters: Counters::default(),
            now,
            routers,
            servers,
            draws,
            routers_asked: 0,
            ask_routers: now.mono,
            stopped: false,
            outputs: VecDeque::new(),
            lent: Vec::new(),
        }
    }

    /// Totals; only drops are counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The uplink's link.
    pub const fn link(&self) -> Link {
        self.link
    }

    /// What the uplink gives at this moment.
    pub fn given(&self) -> Given {
        let now = self.now.mono;
        let delegated = self.solicitor.delegated(now);
        let shared = self.observed.shared(now);
        let nat64 = self.observed.nat64(now);
        Given { delegated, shared, nat64, settled: delegated.is_some() || self.solicitor.is_refused() }
    }

    /// A frame was received on the uplink.
    pub fn handle_frame(&mut self, frame: &[u8], now: Now) {
        self.advance(now);
        if let Err(reason) = self.receive(frame) {
            self.counters.drop(reason);
        }
    }

    fn receive(&mut self, frame: &[u8]) -> Result<(), DropReason> {
        if self.stopped {
            return Err(DropReason::Stopped);
        }
        let now = self.now.mono;
        let envelope = Envelope::open(frame, self.link.mac)?;
        match envelope.icmpv6() {
            Some(ROUTER_ADVERTISEMENT) => {
                self.routers.admit(envelope.from.mac, Limits::default(), now)?;
                self.observed.handle(&envelope, now)
            }
            // What neighbours say is the relay's affair.
            Some(_) => Ok(()),
            None => {
                if envelope.to != self.link.link_local || envelope.from.address == self.link.link_local {
                    return Err(DropReason::NotForUs);
                }
                let message = envelope.datagram(CLIENT_PORT)?;
                self.solicitor.awaited(message)?;
                self.servers.admit(envelope.from.mac, Limits::default(), now)?;
                self.solicitor.handle(message, now, &mut self.draws)?;
                self.work();
                Ok(())
            }
        }
    }

    /// The time that [`Requester::poll_timeout`] named has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        self.work();
    }

    /// The uplink is left: a delegated prefix is given back.
    pub fn stop(&mut self, now: Now) {
        self.advance(now);
        if !core::mem::replace(&mut self.stopped, true)
            && let Some(message) = self.solicitor.release(self.now.mono, &mut self.draws)
        {
            self.send_dhcp(&message);
        }
    }

    /// The next frame to send on the uplink. Call it until it returns `None` before waiting.
    pub fn poll_transmit(&mut self) -> Option<&[u8]> {
        self.lent = self.outputs.pop_front()?;
        Some(&self.lent)
    }

    /// When [`Requester::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        if self.stopped {
            return None;
        }
        let routers = (self.routers_asked < ROUTERS_ASKED).then_some(self.ask_routers);
        let given = self.given();
        let preferred = given.delegated.map(|delegated| delegated.preferred_until);
        let ends = self.observed.next_end(self.now.mono);
        [routers, preferred, ends, Some(self.solicitor.next_due())].into_iter().flatten().min()
    }

    fn advance(&mut self, now: Now) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
    }

    fn work(&mut self) {
        let now = self.now.mono;
        if self.stopped || self.outputs.len() >= OUTPUTS {
            return;
        }
        if self.routers_asked < ROUTERS_ASKED && self.ask_routers <= now {
            self.routers_asked += 1;
            self.ask_routers = now + ROUTERS_AFTER;
            let mut message = Vec::from([133, 0, 0, 0, 0, 0, 0, 0]);
            if let Some(mac) = self.link.mac {
                message.extend_from_slice(&[1, 1]);
                message.extend_from_slice(&mac.0);
            }
            let to = Peer { mac: frame::group_mac(ALL_ROUTERS), address: ALL_ROUTERS };
            let frame = frame::icmpv6(self.origin(), to, &message);
            self.outputs.push_back(frame);
        }
        if let Some(message) = self.solicitor.pop_due(now, &mut self.draws) {
            self.send_dhcp(&message);
        }
    }

    const fn origin(&self) -> Origin {
        Origin { mac: self.link.mac, address: self.link.link_local }
    }

    fn send_dhcp(&mut self, message: &[u8]) {
        let to = Peer { mac: frame::group_mac(ALL_DHCP_SERVERS), address: ALL_DHCP_SERVERS };
        let frame = frame::dhcp(self.origin(), to, (CLIENT_PORT, SERVER_PORT), message);
        self.outputs.push_back(frame);
    }
}

/// The IAID that asks for `prefix`es on the interface of this name: a function of the name, since indexes change.
pub fn association_of(interface: &str) -> u32 {
    SipKey::new(0x6961_6964, 0x7072_6566_6978).hash(interface.as_bytes(), 0) as u32
}

/// The first /64 of a delegation: the same for as long as the delegation is.
pub fn first_of(delegation: Subnet6) -> Subnet6 {
    Subnet6::new(delegation.network().address(), 64).unwrap_or(delegation)
}
