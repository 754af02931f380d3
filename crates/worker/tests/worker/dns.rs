//! Names, asked over UDP and TCP.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::A},
};
use hn_ports::services::ToWorker;
use hn_types::observed::{ServiceEvent, ServiceTrouble};

use crate::lab::{Lab, PATIENCE, PUBLIC, dns_sockets, full};

fn question(id: u16, name: &str) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message
}

fn addresses(message: &Message) -> Vec<Ipv4Addr> {
    message
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(A(address)) => Some(*address),
            _ => None,
        })
        .collect()
}

fn ask(server: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&message.to_vec().unwrap(), server).unwrap();
    let mut buffer = [0; 4_096];
    let length = socket.recv(&mut buffer).unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn write(stream: &mut TcpStream, message: &Message) {
    let bytes = message.to_vec().unwrap();
    stream.write_all(&(bytes.len() as u16).to_be_bytes()).unwrap();
    stream.write_all(&bytes).unwrap();
}

fn read(stream: &mut TcpStream) -> std::io::Result<Message> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(Message::from_vec(&bytes).unwrap())
}

/// A resolver on loopback. Names that begin with `big` have more addresses than fit into a datagram.
struct Resolver {
    address: SocketAddr,
    udp: Arc<AtomicUsize>,
    tcp: Arc<AtomicUsize>,
}

fn answer(bytes: &[u8], datagram: bool) -> Vec<u8> {
    let asked = Message::from_vec(bytes).unwrap();
    let query = asked.queries[0].clone();
    let mut reply = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_desired = true;
    reply.metadata.recursion_available = true;
    let big = query.name().to_ascii().to_ascii_lowercase().starts_with("big");
    reply.metadata.truncation = big && datagram;
    if !reply.metadata.truncation {
        for n in 0..if big { 200 } else { 1 } {
            let address = RData::A(A(Ipv4Addr::new(203, 0, 113, n)));
            reply.answers.push(Record::from_rdata(query.name().clone(), 300, address));
        }
    }
    reply.add_query(query);
    reply.to_vec().unwrap()
}

impl Resolver {
    fn start() -> Self {
        let (socket, listener) = dns_sockets(PUBLIC);
        let address = socket.local_addr().unwrap();
        let (udp, tcp) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count_udp, count_tcp) = (Arc::clone(&udp), Arc::clone(&tcp));
        // Both threads live as long as the test's process; they hold nothing but their sockets.
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                count_udp.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send_to(&answer(&buffer[..length], true), from);
            }
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let count_tcp = Arc::clone(&count_tcp);
                std::thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
                        stream.read_exact(&mut bytes).unwrap();
                        count_tcp.fetch_add(1, Ordering::SeqCst);
                        let reply = answer(&bytes, false);
                        stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
                        stream.write_all(&reply).unwrap();
                    }
                });
            }
        });
        Self { address, udp, tcp }
    }
}

#[test]
fn names_of_leases_and_of_the_host_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    lab.serve(1, full(Vec::new()));
    let server = lab.serve_dns(1);
    let phone = lab.acquire(1, "Phone");
    lab.wait_for_event(|event| matches!(event, ServiceEvent::LeaseBound(_)).then_some(()));
    for (name, expected) in [("phone.mshome.net.", phone), ("laptop.mshome.net.", Ipv4Addr::LOCALHOST)] {
        let reply = ask(server, &question(1, name));
        assert_eq!(
            (reply.metadata.response_code, addresses(&reply)),
            (ResponseCode::NoError, vec![expected])
        );
    }
    lab.transmit(&crate::lab::release(1, phone));
    lab.wait_for_event(|event| matches!(event, ServiceEvent::LeaseEnded { .. }).then_some(()));
    assert_eq!(ask(server, &question(2, "phone.mshome.net.")).metadata.response_code, ResponseCode::NXDomain);
    // And after a restart a lease has its name again.
    lab.acquire(2, "tablet");
    lab.serve(2, full(Vec::new()));
    let server = lab.serve_dns(2);
    assert_eq!(addresses(&ask(server, &question(3, "tablet.mshome.net."))).len(), 1);
}

#[test]
fn a_name_is_asked_once_and_then_known() {
    let resolver = Resolver::start();
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::process(&folder.path().join("leases"));
    lab.serve(1, full(vec![resolver.address]));
    let server = lab.serve_dns(1);
    for id in 1..=5 {
        let reply = ask(server, &question(id, "example.com."));
        assert_eq!((reply.metadata.id, addresses(&reply)), (id, vec![Ipv4Addr::new(203, 0, 113, 0)]));
    }
    let mut stream = connect(server);
    write(&mut stream, &question(6, "example.com."));
    assert_eq!(read(&mut stream).unwrap().metadata.id, 6);
    assert_eq!(resolver.udp.load(Ordering::SeqCst), 1);
}

#[test]
fn a_long_answer_is_fetched_over_tcp_and_given_over_tcp() {
    let resolver = Resolver::start();
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::process(&folder.path().join("leases"));
    lab.serve(1, full(vec![resolver.address]));
    let server = lab.serve_dns(1);
    let short = ask(server, &question(1, "big.example."));
    assert!(short.metadata.truncation, "a client without EDNS takes 512 bytes");
    let mut stream = connect(server);
    write(&mut stream, &question(2, "big.example."));
    let long = read(&mut stream).unwrap();
    assert_eq!((long.metadata.truncation, addresses(&long).len()), (false, 200));
    assert!(resolver.tcp.load(Ordering::SeqCst) >= 1);
}

#[test]
fn many_questions_on_one_connection_are_all_answered() {
    let resolver = Resolver::start();
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    lab.serve(1, full(vec![resolver.address]));
    let server = lab.serve_dns(1);
    let mut stream = connect(server);
    // More than may be in flight, in one piece, and then no more is said.
    let mut bytes = Vec::new();
    for id in 0..200_u16 {
        let message = question(id, &format!("n{id}.example.")).to_vec().unwrap();
        bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&message);
    }
    stream.write_all(&bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut ids: Vec<u16> = (0..200)
        .map(|_| {
            let reply = read(&mut stream).unwrap();
            assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
            reply.metadata.id
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the connection is closed when all is said");
}

#[test]
fn one_address_gets_a_bounded_number_of_connections() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    lab.serve(1, full(Vec::new()));
    let server = lab.serve_dns(1);
    let mut streams: Vec<TcpStream> = (0..16)
        .map(|id| {
            let mut stream = connect(server);
            write(&mut stream, &question(id, "laptop.mshome.net."));
            assert_eq!(read(&mut stream).unwrap().metadata.id, id);
            stream
        })
        .collect();
    let mut refused = connect(server);
    let _ = refused.write_all(b"\x00\x01x");
    assert!(read(&mut refused).is_err());
    streams.pop();
    // Nonsense ends a connection, and its place is free again.
    streams[0].write_all(b"\x00\x00").unwrap();
    assert!(read(&mut streams[0]).is_err());
    let mut stream = connect(server);
    write(&mut stream, &question(99, "laptop.mshome.net."));
    assert_eq!(read(&mut stream).unwrap().metadata.id, 99);
}

#[test]
fn silent_resolvers_are_reported_and_new_ones_used() {
    let closed = {
        let (socket, _listener) = dns_sockets(PUBLIC);
        socket.local_addr().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    lab.serve(1, full(vec![closed]));
    let server = lab.serve_dns(1);
    let trouble = |event: &ServiceEvent| match event {
        ServiceEvent::Trouble { kind: ServiceTrouble::Upstreams, cause } => Some(cause.clone()),
        _ => None,
    };
    let mut id = 0;
    let cause = loop {
        id += 1;
        let reply = ask(server, &question(id, &format!("n{id}.example.")));
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        lab.send(&ToWorker::ServeDns { generation: 0 }, &[lab.frames.as_ref().unwrap().as_fd(); 2]);
        // The refusal of that command is a mark: what was reported before it has arrived.
        let found = lab.wait(|message| match message {
            hn_ports::services::FromWorker::Event(event) => trouble(event).map(Some),
            hn_ports::services::FromWorker::Failed { .. } => Some(None),
            _ => None,
        });
        if let Some(cause) = found {
            break cause;
        }
        assert!(id < 100, "the dead resolver is never reported");
    };
    assert!(cause.contains("127.0.0.2"), "{cause}");
    let resolver = Resolver::start();
    lab.send(&ToWorker::Upstreams { resolvers: vec![resolver.address], through: None }, &[]);
    assert_eq!(lab.wait_for_event(trouble), "");
    assert_eq!(addresses(&ask(server, &question(1_000, "again.example."))).len(), 1);
}
