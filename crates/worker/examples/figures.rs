//! What the loop does per second on this machine, through socket pairs and loopback: fresh leases with their
//! journal synced, renewals, and DNS answers from the cache. Figures for orientation, not for comparison;
//! those are the business of the benchmarks.
//!
//! `cargo run --release -p hn-worker --example figures [SECONDS]`

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a program for developers")]
#![expect(clippy::wildcard_enum_match_arm, reason = "picks one variant")]
#![expect(clippy::print_stdout, reason = "its figures")]
#![expect(dead_code, reason = "shares the control process's side with the tests")]

#[path = "../tests/worker/lab.rs"]
mod lab;

use std::{
    net::{Ipv4Addr, UdpSocket},
    os::{fd::AsFd, unix::net::UnixDatagram},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use lab::{Lab, discover, full, reboot, request};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt::set_socket_send_buffer_size_force};

/// Seconds of CPU the worker process has used.
fn cpu(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos: u64 = tasks
        .map(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            stat.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
        .sum();
    nanos as f64 / 1e9
}

fn address(frame: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(frame[58], frame[59], frame[60], frame[61])
}

fn client_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[46..50].try_into().unwrap())
}

/// Closed loop: `window` clients at once, for `time`.
fn leases(lab: &Lab, frames: &UnixDatagram, first: u32, window: u32, time: Duration) {
    let (cpu_before, start) = (cpu(lab.pid()), Instant::now());
    let mut next = first;
    let mut done = 0_u32;
    let mut latencies = Vec::new();
    let mut begun = std::collections::HashMap::new();
    for _ in 0..window {
        begun.insert(next, Instant::now());
        frames.send(&discover(next, "")).unwrap();
        next += 1;
    }
    let mut buffer = [0; 2_048];
    while start.elapsed() < time {
        let length = frames.recv(&mut buffer).unwrap();
        let reply = lab::decode(&buffer[..length]);
        let client = client_of(&buffer);
        if reply.opts().has_msg_type(dhcproto::v4::MessageType::Offer) {
            frames.send(&request(client, "", address(&buffer))).unwrap();
        } else {
            latencies.push(begun.remove(&client).unwrap().elapsed());
            done += 1;
            begun.insert(next, Instant::now());
            frames.send(&discover(next, "")).unwrap();
            next += 1;
        }
    }
    report(
        &format!("fresh leases, {window} at once"),
        done,
        start,
        cpu(lab.pid()) - cpu_before,
        &mut latencies,
    );
    // What is under way is not part of the next figure.
    frames.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while frames.recv(&mut buffer).is_ok() {}
    frames.set_read_timeout(Some(lab::PATIENCE)).unwrap();
}

fn report(what: &str, done: u32, start: Instant, cpu: f64, latencies: &mut [Duration]) {
    latencies.sort_unstable();
    let at =
        |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "{what:32} {:>9.0}/s   p50 {:>7.0?}  p99 {:>7.0?}   {:.1} us CPU each",
        f64::from(done) / start.elapsed().as_secs_f64(),
        at(0.5),
        at(0.99),
        cpu * 1e6 / f64::from(done)
    );
}

fn renewals(lab: &Lab, frames: &UnixDatagram, time: Duration) {
    let held: Vec<(u32, Vec<u8>)> = (0..64)
        .map(|client| {
            frames.send(&discover(900_000 + client, "")).unwrap();
            let mut buffer = [0; 2_048];
            frames.recv(&mut buffer).unwrap();
            let address = address(&buffer);
            frames.send(&request(900_000 + client, "", address)).unwrap();
            frames.recv(&mut buffer).unwrap();
            (900_000 + client, reboot(900_000 + client, address))
        })
        .collect();
    let (cpu_before, start) = (cpu(lab.pid()), Instant::now());
    let mut done = 0;
    let mut latencies = Vec::new();
    for (_, frame) in &held {
        frames.send(frame).unwrap();
    }
    let mut buffer = [0; 2_048];
    while start.elapsed() < time {
        frames.recv(&mut buffer).unwrap();
        done += 1;
        let client = client_of(&buffer);
        frames.send(&held.iter().find(|(number, _)| *number == client).unwrap().1).unwrap();
    }
    report("renewals, 64 at once", done, start, cpu(lab.pid()) - cpu_before, &mut latencies);
}

fn names(lab: &Lab, server: std::net::SocketAddr, window: u16, time: Duration) {
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii("laptop.mshome.net.").unwrap();
    message.add_query(Query::query(name, RecordType::A));
    let mut bytes = message.to_vec().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    let (cpu_before, start) = (cpu(lab.pid()), Instant::now());
    let mut done = 0;
    for id in 0..window {
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        socket.send(&bytes).unwrap();
    }
    let mut buffer = [0; 2_048];
    while start.elapsed() < time {
        socket.recv(&mut buffer).unwrap();
        done += 1;
        bytes[..2].copy_from_slice(&buffer[..2]);
        socket.send(&bytes).unwrap();
    }
    report(&format!("local names, {window} at once"), done, start, cpu(lab.pid()) - cpu_before, &mut []);
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2);
    let time = Duration::from_secs(seconds);
    let folder = tempfile::tempdir_in(".").unwrap();
    let mut lab = Lab::process(&folder.path().join("leases"));
    // A sequenced-packet pair is not held back by the short queue of datagram sockets.
    let pair =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .unwrap();
    // Neither side may have to wait for room: whoever floods does not read while it writes.
    for socket in [&pair.0, &pair.1] {
        set_socket_send_buffer_size_force(socket, 8 << 20).expect("root may have larger buffers");
    }
    let frames = UnixDatagram::from(pair.0);
    frames.set_read_timeout(Some(lab::PATIENCE)).unwrap();
    let mut segment = full(Vec::new());
    // Addresses for as many clients as may come.
    segment.dhcp.last = Ipv4Addr::new(127, 15, 255, 254);
    lab.serve_on(1, segment, pair.1.as_fd());
    drop(pair.1);
    let server = lab.serve_dns(1);
    // The events of this flood are not read: the worker must not care.
    for (index, window) in [1, 16, 64, 256].into_iter().enumerate() {
        leases(&lab, &frames, index as u32 * 200_000, window, time);
    }
    renewals(&lab, &frames, time);
    for window in [1, 128] {
        names(&lab, server, window, time);
    }
}
