//! Router advertisements, DHCPv6 and the name server's IPv6 side in the worker's loop.

use std::{
    net::{Ipv6Addr, TcpListener, UdpSocket},
    os::{fd::AsFd, unix::net::UnixDatagram},
    time::Duration,
};

use dhcproto::{
    Decodable, Decoder, Encodable, Encoder,
    v6::{DhcpOption, IANA, Message, MessageType, OptionCode},
};
use hickory_proto::{
    op::{Message as DnsMessage, Query},
    rr::{Name, RData, RecordType},
};
use hn_ports::services::{FromWorker, ToWorker};
use hn_types::{
    MacAddr,
    observed::ServiceEvent,
    plan::{Ipv6Plan, ServiceSegment},
};

use crate::lab::*;

const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn plan() -> Ipv6Plan {
    Ipv6Plan {
        address: "fd12:3456:789a:1::1/64".parse().unwrap(),
        link_local: "fe80::aaaa".parse().unwrap(),
        uuid: [7; 16],
        address_key: 5,
        domain: "mshome.net".into(),
        router: true,
        mtu: None,
        uplink: None,
        global: None,
        relay: None,
    }
}

fn segment(plan: Ipv6Plan) -> ServiceSegment {
    ServiceSegment { ipv6: Some(plan), ..full(Vec::new()) }
}

/// The worker serves IPv6; the other end of what it takes for its packet socket.
fn serve(lab: &mut Lab, generation: u64) -> UnixDatagram {
    lab.serve(generation, segment(plan()));
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    lab.send(&ToWorker::ServeIpv6 { generation, plan: plan(), mac: HOST_MAC }, &[theirs.as_fd()]);
    lab.wait_for(&FromWorker::Ipv6 { generation, cause: String::new() });
    ours
}

/// The router lifetime of the next advertisement.
fn advertised(frames: &UnixDatagram) -> u16 {
    let mut frame = [0; 2_048];
    loop {
        let length = frames.recv(&mut frame).expect("an advertisement comes");
        let frame = &frame[..length];
        if frame[20] == 58 && frame[54] == 134 {
            assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
            return u16::from_be_bytes([frame[60], frame[61]]);
        }
    }
}

/// A Solicit with rapid commit and the address in the answer.
fn acquire(frames: &UnixDatagram) -> Ipv6Addr {
    let mut message = Message::new(MessageType::Solicit);
    message.opts_mut().insert(DhcpOption::ClientId(vec![0, 3, 0, 1, 6, 0, 0, 0, 0, 9]));
    message.opts_mut().insert(DhcpOption::RapidCommit);
    let none = dhcproto::v6::DhcpOptions::new();
    message.opts_mut().insert(DhcpOption::IANA(IANA { id: 1, t1: 0, t2: 0, opts: none }));
    let mut payload = Vec::new();
    message.encode(&mut Encoder::new(&mut payload)).unwrap();
    let (from, to): (Ipv6Addr, Ipv6Addr) = ("fe80::9".parse().unwrap(), "ff02::1:2".parse().unwrap());
    let length = (payload.len() + 8) as u16;
    // The sum of the pseudo-header alone, as a packet socket sees it of a sender with checksum offload.
    let words = [from.segments(), to.segments()].concat();
    let mut sum: u32 = words.iter().map(|word| u32::from(*word)).sum::<u32>() + 17 + u32::from(length);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let mut frame = vec![0x33, 0x33, 0, 1, 0, 2, 6, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend(length.to_be_bytes());
    frame.extend([17, 1]);
    frame.extend([from.octets(), to.octets()].concat());
    frame.extend([2, 34, 2, 35]);
    frame.extend(length.to_be_bytes());
    frame.extend((sum as u16).to_be_bytes());
    frame.extend(payload);
    frames.send(&frame).unwrap();
    let mut frame = [0; 2_048];
    loop {
        let length = frames.recv(&mut frame).expect("a reply comes");
        if frame[20] != 17 {
            continue;
        }
        let reply = Message::decode(&mut Decoder::new(&frame[62..length])).unwrap();
        let Some(DhcpOption::IANA(ia)) = reply.opts().get(OptionCode::IANA) else { panic!("{reply:?}") };
        let Some(DhcpOption::IAAddr(address)) = ia.opts.get(OptionCode::IAAddr) else { panic!("{ia:?}") };
        let Some(DhcpOption::DomainNameServers(dns)) = reply.opts().get(OptionCode::DomainNameServers) else {
            panic!("{reply:?}")
        };
        assert_eq!(*dns, [plan().address.address()]);
        return address.addr;
    }
}

fn through_a_life(mut lab: Lab) {
    let frames = serve(&mut lab, 1);
    assert_eq!(advertised(&frames), 1_800, "at once");
    let address = acquire(&frames);
    assert!(plan().address.contains(address));
    lab.wait_for_event(|event| match event {
        ServiceEvent::LeaseBound(lease) => (lease.address == address).then_some(()),
        _ => None,
    });
    lab.send(&ToWorker::Ipv6Uplink(Ipv6Plan { router: false, ..plan() }), &[]);
    assert_eq!(advertised(&frames), 0, "the way out went");
    frames.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    while frames.recv(&mut [0; 2_048]).is_ok() {}
    frames.set_read_timeout(Some(PATIENCE)).unwrap();
    lab.send(&ToWorker::Stop { generation: 2 }, &[]);
    assert_eq!(advertised(&frames), 0, "the last word");
    lab.wait_for(&FromWorker::Stopped { generation: 2 });
    // Nothing is stored, and the same client has the same address again.
    let frames = serve(&mut lab, 3);
    assert_eq!(acquire(&frames), address);
    lab.end().unwrap();
}

#[test]
fn devices_are_told_served_and_said_goodbye_to() {
    let folder = tempfile::tempdir().unwrap();
    through_a_life(Lab::thread(&folder.path().join("leases")));
}

#[test]
fn a_worker_without_any_privilege_does_the_same() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    through_a_life(Lab::process(&folder.path().join("leases")));
}

#[test]
fn a_segment_without_ipv6_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    let (_ours, theirs) = UnixDatagram::pair().unwrap();
    lab.send(&ToWorker::ServeIpv6 { generation: 9, plan: plan(), mac: HOST_MAC }, &[theirs.as_fd()]);
    let cause = "the segment is not served".to_owned();
    lab.wait_for(&FromWorker::Ipv6 { generation: 9, cause });
    lab.serve(1, standalone());
    let mut bad = plan();
    bad.link_local = Ipv6Addr::LOCALHOST;
    let (_ours, theirs) = UnixDatagram::pair().unwrap();
    lab.send(&ToWorker::ServeIpv6 { generation: 1, plan: bad, mac: HOST_MAC }, &[theirs.as_fd()]);
    let cause = "the router's address is not link-local".to_owned();
    lab.wait_for(&FromWorker::Ipv6 { generation: 1, cause });
    lab.end().unwrap();
}

fn serve_dns6(lab: &mut Lab) -> UdpSocket {
    let host = Ipv6Addr::LOCALHOST;
    let (queries, listener) = loop {
        let listener = TcpListener::bind((host, 0)).unwrap();
        if let Ok(queries) = UdpSocket::bind(listener.local_addr().unwrap()) {
            break (queries, listener);
        }
    };
    let client = UdpSocket::bind((host, 0)).unwrap();
    client.connect(queries.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    lab.send(&ToWorker::ServeDns6 { generation: 1 }, &[queries.as_fd(), listener.as_fd()]);
    lab.wait_for(&FromWorker::Dns6 { generation: 1, cause: String::new() });
    client
}

#[test]
fn names_are_answered_over_ipv6_and_the_host_has_an_address_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    let address = "::1/64".parse().unwrap();
    lab.serve(1, segment(Ipv6Plan { address, ..plan() }));
    lab.serve_dns(1);
    let client = serve_dns6(&mut lab);
    let ask = |kind| {
        let mut message =
            DnsMessage::new(7, hickory_proto::op::MessageType::Query, hickory_proto::op::OpCode::Query);
        message.add_query(Query::query(Name::from_ascii("laptop.mshome.net.").unwrap(), kind));
        client.send(&message.to_vec().unwrap()).unwrap();
        let mut buffer = [0; 512];
        let length = client.recv(&mut buffer).expect("an answer comes");
        DnsMessage::from_vec(&buffer[..length]).unwrap().answers.first().map(|record| record.data.clone())
    };
    assert!(matches!(ask(RecordType::AAAA), Some(RData::AAAA(found)) if found.0 == Ipv6Addr::LOCALHOST));
    assert!(matches!(ask(RecordType::A), Some(RData::A(found)) if found.0 == HOST));
    lab.end().unwrap();
}
