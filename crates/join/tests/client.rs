//! The DHCP client against this project's own server engine, and by itself.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{net::Ipv4Addr, time::Duration};

use hn_dhcp4::{Config, Output as ServerOutput, RawConfig, Server};
use hn_join::{Client, ClientOutput, Lease, Loss};
use hn_types::{MacAddr, Monotonic, Now, Wall};
use proptest::prelude::*;

const DEVICE: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn server(subnet: &str, lease: u64, now: Now) -> Server {
    let raw = RawConfig {
        lease: Duration::from_secs(lease),
        ..RawConfig::standalone(HOST, subnet.parse().unwrap())
    };
    let mut server = Server::new(Config::new(raw).unwrap(), 7, now);
    server.handle_timeout(now);
    server
}

/// A device and at most one server on a wire, and a clock.
struct Wire {
    client: Client,
    server: Option<Server>,
    /// The kernel of the serving machine: it answers ARP for this address.
    host: Option<Ipv4Addr>,
    now: Now,
    bound: Vec<Lease>,
    lost: Vec<Loss>,
    /// Frames the client sent.
    sent: usize,
}

impl Wire {
    fn new() -> Self {
        Self {
            client: Client::new(DEVICE, Some("camera"), 5),
            server: None,
            host: None,
            now: Now { mono: Monotonic::from_nanos(1_000_000_000), wall: Wall::from_unix(1_790_000_000) },
            bound: Vec::new(),
            lost: Vec::new(),
            sent: 0,
        }
    }

    fn serve(&mut self, subnet: &str, lease: u64) {
        self.server = Some(server(subnet, lease, self.now));
        self.host = subnet.split('/').next().map(|address| address.parse().unwrap());
    }

    fn link(&mut self) {
        self.client.handle_link(self.now.mono);
        self.settle();
    }

    /// Carries frames until everybody is silent.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.client.poll_output() {
                quiet = false;
                match output {
                    ClientOutput::Send(frame) => self.carry(&frame),
                    ClientOutput::Bound(lease) => self.bound.push(lease),
                    ClientOutput::Lost(loss) => self.lost.push(loss),
                }
            }
            let mut frames = Vec::new();
            let mut commits = Vec::new();
            if let Some(server) = &mut self.server {
                while let Some(output) = server.poll_output() {
                    quiet = false;
                    match output {
                        ServerOutput::Transmit(frame) => frames.push(frame.to_vec()),
                        ServerOutput::Persist { commit, .. } => commits.push(commit),
                        ServerOutput::Event(_) => {}
                    }
                }
                for commit in commits {
                    server.handle_persisted(commit);
                }
            }
            for frame in frames {
                self.client.handle_frame(&frame, self.now.mono);
            }
            if quiet {
                return;
            }
        }
    }

    fn carry(&mut self, frame: &[u8]) {
        self.sent += 1;
        if let Some(server) = &mut self.server {
            server.handle_frame(frame, self.now);
        }
        if frame[12..14] == [8, 6] && self.host.is_some_and(|host| frame[38..42] == host.octets()) {
            let mut answer = frame.to_vec();
            answer[0..6].copy_from_slice(&DEVICE.0);
            answer[6..12].copy_from_slice(&HOST.0);
            answer[21] = 2;
            answer[22..28].copy_from_slice(&HOST.0);
            answer[28..32].copy_from_slice(&self.host.unwrap().octets());
            self.client.handle_frame(&answer, self.now.mono);
        }
    }

    /// Lets the time pass, waking whoever wants to be woken.
    fn pass(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        let start = self.now;
        let mut steps = 0;
        loop {
            let server = self.server.as_ref().and_then(Server::poll_timeout).map(|(at, _)| at);
            let next =
                self.client.poll_timeout().into_iter().chain(server).min().map_or(end, |at| at.min(end));
            let next = next.max(self.now.mono);
            self.now = start + next.since(start.mono);
            self.client.handle_timeout(self.now.mono);
            if let Some(server) = &mut self.server {
                server.handle_timeout(self.now);
            }
            self.settle();
            steps += 1;
            assert!(steps < 100_000, "somebody spins");
            if next >= end && self.client.poll_timeout().is_none_or(|at| at > end) {
                return;
            }
        }
    }

    fn address(&self) -> Option<String> {
        self.client.lease().map(|lease| lease.address.to_string())
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn an_address_is_got_from_nothing() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/24", 600);
    wire.link();
    wire.pass(seconds(5));
    assert_eq!(wire.bound.len(), 1);
    let lease = wire.client.lease().unwrap();
    assert!(lease.address.to_string().starts_with("192.168.173."));
    assert_eq!((lease.server, lease.server_mac), (Ipv4Addr::new(192, 168, 173, 1), HOST));
    assert_eq!((lease.seconds, lease.renew, lease.rebind), (Some(600), seconds(300), seconds(525)));
}

#[test]
fn a_lease_is_renewed_at_half_its_time_and_kept() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/24", 600);
    wire.link();
    wire.pass(seconds(3_000));
    assert!(wire.bound.len() >= 9, "{} grants in 3000 s", wire.bound.len());
    assert!(wire.bound.iter().all(|lease| lease.address == wire.bound[0].address));
    assert_eq!(wire.lost, []);
}

#[test]
fn after_a_new_association_the_same_address_is_confirmed_with_one_request() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/24", 600);
    wire.link();
    wire.pass(seconds(5));
    let address = wire.address();
    wire.client.handle_link_lost();
    assert_eq!(wire.address(), None);
    assert_eq!(wire.client.poll_timeout(), None);
    wire.sent = 0;
    wire.link();
    assert_eq!(wire.address(), address);
    assert_eq!(wire.sent, 2, "the request, and the announcement of the address");
}

/// Sequences §5.2, test: from 192.168.173.x to 192.168.137.x.
#[test]
fn in_another_mode_of_the_network_the_old_address_is_refused_and_a_new_one_got() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/24", 600);
    wire.link();
    wire.pass(seconds(5));
    wire.client.handle_link_lost();
    wire.serve("192.168.137.1/24", 600);
    wire.link();
    wire.pass(seconds(5));
    assert!(wire.address().unwrap().starts_with("192.168.137."), "{:?}", wire.address());
    assert_eq!(wire.lost, [], "nothing was configured when the refusal came");
}

#[test]
fn a_mode_that_changes_without_a_disconnect_is_noticed() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/24", 600);
    wire.link();
    wire.pass(seconds(30));
    wire.serve("192.168.137.1/24", 600);
    wire.pass(seconds(30));
    assert_eq!(wire.lost, [Loss::Refused]);
    assert!(wire.address().unwrap().starts_with("192.168.137."), "{:?}", wire.address());
}

#[test]
fn a_server_that_never_answers_arp_is_not_suspected() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/24", 100_000);
    wire.host = None;
    wire.link();
    wire.pass(seconds(5));
    wire.sent = 0;
    wire.pass(seconds(3_000));
    assert!(wire.sent <= 3, "{} frames", wire.sent);
    assert_eq!(wire.bound.len(), 1);
}

#[test]
fn without_a_server_the_client_asks_ever_more_slowly_and_for_ever() {
    let mut wire = Wire::new();
    wire.link();
    wire.pass(seconds(126));
    assert!((5..=8).contains(&wire.sent), "{} in two minutes", wire.sent);
    wire.sent = 0;
    wire.pass(seconds(3_600));
    assert!((44..=76).contains(&wire.sent), "{} in an hour: one in 64 s", wire.sent);
    wire.serve("192.168.173.1/24", 600);
    wire.pass(seconds(90));
    assert_eq!(wire.bound.len(), 1);
}

#[test]
fn a_server_that_went_away_is_rebound_and_then_the_lease_ends() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/24", 600);
    wire.host = None;
    wire.link();
    wire.pass(seconds(5));
    wire.server = None;
    wire.sent = 0;
    wire.pass(seconds(590));
    assert!(wire.lost.is_empty() && wire.address().is_some(), "it holds until its end");
    assert!((3..=12).contains(&wire.sent), "{} tries to prolong", wire.sent);
    wire.pass(seconds(10));
    assert_eq!(wire.lost, [Loss::Expired]);
    assert_eq!(wire.address(), None);
}

#[test]
fn an_address_that_somebody_uses_is_declined_and_another_one_got() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/24", 600);
    wire.client.handle_link(wire.now.mono);
    // Until the client probes: the frame says which address.
    let taken = loop {
        match wire.client.poll_output() {
            Some(ClientOutput::Send(frame)) if frame[12..14] == [8, 6] => break frame[38..42].to_vec(),
            Some(ClientOutput::Send(frame)) => wire.carry(&frame),
            Some(other) => panic!("{other:?} before the probe"),
            None => {
                let server = wire.server.as_mut().unwrap();
                let mut frames = Vec::new();
                let mut commits = Vec::new();
                while let Some(output) = server.poll_output() {
                    match output {
                        ServerOutput::Transmit(frame) => frames.push(frame.to_vec()),
                        ServerOutput::Persist { commit, .. } => commits.push(commit),
                        ServerOutput::Event(_) => {}
                    }
                }
                for commit in commits {
                    server.handle_persisted(commit);
                }
                if frames.is_empty() {
                    let (at, _) = server.poll_timeout().unwrap();
                    wire.now = wire.now + at.since(wire.now.mono);
                    server.handle_timeout(wire.now);
                }
                for frame in frames {
                    wire.client.handle_frame(&frame, wire.now.mono);
                }
            }
        }
    };
    let stranger = MacAddr([2, 0, 0, 0, 0, 99]);
    let mut answer = vec![0; 60];
    answer[0..6].copy_from_slice(&DEVICE.0);
    answer[6..12].copy_from_slice(&stranger.0);
    answer[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    answer[22..28].copy_from_slice(&stranger.0);
    answer[28..32].copy_from_slice(&taken);
    wire.client.handle_frame(&answer, wire.now.mono);
    wire.settle();
    assert_eq!(wire.bound, []);
    wire.pass(seconds(20));
    let got = wire.client.lease().expect("another one").address.address();
    assert_ne!(got.octets()[..], taken[..]);
}

#[test]
fn what_is_given_back_can_be_had_by_another() {
    let mut wire = Wire::new();
    wire.serve("192.168.173.1/30", 600);
    wire.link();
    wire.pass(seconds(5));
    let first = wire.address();
    wire.client.release(wire.now.mono);
    wire.settle();
    assert_eq!(wire.client.poll_timeout(), None);
    wire.client = Client::new(MacAddr([2, 0, 0, 0, 0, 8]), None, 6);
    wire.link();
    wire.pass(seconds(30));
    assert_eq!(wire.address(), first, "the only address there is");
}

#[test]
fn refusals_in_a_row_are_answered_ever_more_slowly() {
    let mut wire = Wire::new();
    wire.link();
    // Whoever refuses everything: an acknowledgement's frame turned into a refusal is built by the engine itself
    // when the request is for another network.
    wire.serve("192.168.173.1/24", 600);
    wire.pass(seconds(10));
    for round in 0..3 {
        wire.client.handle_link_lost();
        let subnet = if round % 2 == 0 { "192.168.137.1/24" } else { "192.168.173.1/24" };
        wire.serve(subnet, 600);
        wire.link();
        wire.pass(seconds(10));
        assert!(wire.address().unwrap().starts_with(&subnet[..11]), "round {round}: {:?}", wire.address());
    }
}

proptest! {
    /// Strangers' frames and any order of events: no panic, and time always goes on.
    #[test]
    fn nothing_makes_the_client_spin_or_panic(
        steps in prop::collection::vec((0_u8..6, prop::collection::vec(any::<u8>(), 0..400), 0_u64..200_000), 1..60)
    ) {
        let mut client = Client::new(DEVICE, None, 9);
        let mut now = Monotonic::from_nanos(1);
        for (kind, bytes, millis) in steps {
            match kind {
                0 => client.handle_link(now),
                1 => client.handle_link_lost(),
                2 => client.release(now),
                3 => client.handle_frame(&bytes, now),
                _ => {
                    now += Duration::from_millis(millis);
                    client.handle_timeout(now);
                }
            }
            let mut count = 0;
            while client.poll_output().is_some() { count += 1; }
            prop_assert!(count <= 4, "{count} outputs of one call");
            // What is due has been done: the next wake-up lies ahead of a call that does it.
            if client.poll_timeout().is_some_and(|at| at <= now) {
                client.handle_timeout(now);
                while client.poll_output().is_some() {}
                prop_assert!(client.poll_timeout().is_none_or(|at| at > now), "it wants to be woken at once again");
            }
        }
    }
}
