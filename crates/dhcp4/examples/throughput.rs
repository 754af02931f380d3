//! The engine alone, without sockets and disk: exchanges a second and the time to take up 60,000 records.
//!
//! `cargo run --release -p hn-dhcp4 --example throughput`

#![expect(clippy::print_stdout, reason = "printing figures is what this program is for")]
#![expect(clippy::unwrap_used, reason = "a measurement with known input")]

use std::{net::Ipv4Addr, time::Instant};

use hn_dhcp4::{CommitId, Config, LeaseRecord, Output, Probing, RawConfig, Server};
use hn_types::{MacAddr, Monotonic, Now, Wall};

const HOST: &str = "10.77.0.1/16";
const CLIENTS: u32 = 60_000;

fn request(client: u32, ciaddr: Ipv4Addr, requested: Option<Ipv4Addr>, kind: u8) -> Vec<u8> {
    let [a, b, c, d] = client.to_be_bytes();
    let mac = [6, 0, a, b, c, d];
    let mut dhcp = vec![0; 240];
    dhcp[..3].copy_from_slice(&[1, 1, 6]);
    dhcp[12..16].copy_from_slice(&ciaddr.octets());
    dhcp[28..34].copy_from_slice(&mac);
    dhcp[236..].copy_from_slice(&[99, 130, 83, 99]);
    dhcp.extend([53, 1, kind, 55, 4, 1, 3, 6, 15]);
    if let Some(address) = requested {
        dhcp.extend([50, 4]);
        dhcp.extend(address.octets());
        dhcp.extend([54, 4, 10, 77, 0, 1]);
    }
    dhcp.push(255);
    dhcp.resize(300, 0);
    let mut frame = [[0xff; 6], mac].concat();
    frame.extend([8, 0, 0x45, 0, 1, 0x48, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    let sum: u32 = frame[14..34].chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum();
    let sum = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend([0, 68, 0, 67, 1, 0x34, 0, 0]);
    frame.extend(dhcp);
    frame
}

/// Everything the server has to say, stored in batches of at most 64; the last address given.
fn turn(server: &mut Server, frames: &[Vec<u8>], now: Now) -> Vec<Ipv4Addr> {
    let mut given = vec![];
    for batch in frames.chunks(64) {
        let mut last = CommitId(0);
        for frame in batch {
            server.handle_frame(frame, now);
        }
        for _ in 0..2 {
            while let Some(output) = server.poll_output() {
                match output {
                    Output::Transmit(f) => given.push(Ipv4Addr::new(f[58], f[59], f[60], f[61])),
                    Output::Persist { commit, record } => {
                        std::hint::black_box(record.encode());
                        last = commit;
                    }
                    Output::Event(_) => {}
                }
            }
            server.handle_persisted(last);
        }
    }
    given
}

fn main() {
    let raw = RawConfig {
        probing: Probing::Off,
        ..RawConfig::full(MacAddr([2, 0, 0, 0, 0, 1]), HOST.parse().unwrap())
    };
    let config = Config::new(raw).unwrap();
    let mut now = Now { mono: Monotonic::from_nanos(1 << 40), wall: Wall::from_unix(1_800_000_000) };
    let mut server = Server::new(config.clone(), 1, now);
    let none = Ipv4Addr::UNSPECIFIED;

    let frames: Vec<_> = (0..CLIENTS).map(|n| request(n, none, None, 1)).collect();
    let start = Instant::now();
    let mut addresses = vec![];
    for (n, chunk) in frames.chunks(64).enumerate() {
        let offers = turn(&mut server, chunk, now);
        let first = n as u32 * 64;
        let requests: Vec<_> =
            (first..).zip(&offers).map(|(client, &offer)| request(client, none, Some(offer), 3)).collect();
        addresses.extend(turn(&mut server, &requests, now));
    }
    let each = start.elapsed() / CLIENTS;
    assert_eq!(addresses.len(), CLIENTS as usize);
    println!("new clients   {each:?} for DISCOVER to ACK (including the client's side)");

    now = now + std::time::Duration::from_secs(60);
    let frames: Vec<_> =
        (0..).zip(&addresses).map(|(client, &address)| request(client, address, None, 3)).collect();
    let start = Instant::now();
    assert_eq!(turn(&mut server, &frames, now).len(), CLIENTS as usize);
    println!("renewals      {:?} each", start.elapsed() / CLIENTS);

    let file: Vec<u8> = server.records().flat_map(|record| record.encode()).collect();
    let start = Instant::now();
    let mut restarted = Server::new(config, 1, now);
    for record in LeaseRecord::decode_all(&file) {
        restarted.restore(&record.unwrap());
    }
    println!("restart       {:?} for {} records", start.elapsed(), restarted.leases().count());
}
