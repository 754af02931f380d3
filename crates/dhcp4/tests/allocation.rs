//! The hot path allocates nothing after warm-up: new clients, returning clients and renewals.

#![expect(clippy::unwrap_used, unsafe_code, reason = "a counting allocator in a test")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::Ipv4Addr,
    time::Duration,
};

use hn_dhcp4::{CommitId, Config, Output, Probing, RawConfig, Server};
use hn_types::{MacAddr, Monotonic, Now, Wall};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes on to the system's allocator unchanged; counting touches only a thread-local
// cell that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A request without checksum in a fixed buffer; `kind`, the client's number, `ciaddr`, option 50 and 54.
fn frame(kind: u8, client: u32, ciaddr: Ipv4Addr, requested: Option<Ipv4Addr>) -> [u8; 342] {
    let mut frame = [0; 342];
    let [a, b, c, d] = client.to_be_bytes();
    let mac = [0x06, 0, a, b, c, d];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&mac);
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 1, 0x48, 0, 0, 0, 0, 64, 17]);
    frame[30..34].fill(0xff);
    let sum: u32 = frame[14..34].chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum();
    let sum = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame[34..40].copy_from_slice(&[0, 68, 0, 67, 1, 0x34]);
    let dhcp = &mut frame[42..];
    dhcp[..3].copy_from_slice(&[1, 1, 6]);
    dhcp[12..16].copy_from_slice(&ciaddr.octets());
    dhcp[28..34].copy_from_slice(&mac);
    dhcp[236..243].copy_from_slice(&[99, 130, 83, 99, 53, 1, kind]);
    // A DUID-based identifier, a name, a parameter list.
    dhcp[243..254].copy_from_slice(&[61, 9, 0xff, 0, 0, 0, 1, a, b, c, d]);
    dhcp[254..263].copy_from_slice(&[12, 7, b'n', b'a', b'm', b'e', b'0' + d % 10, b'x', b'y']);
    dhcp[263..269].copy_from_slice(&[55, 4, 1, 3, 6, 15]);
    if let Some(address) = requested {
        dhcp[269..271].copy_from_slice(&[50, 4]);
        dhcp[271..275].copy_from_slice(&address.octets());
        dhcp[275..277].copy_from_slice(&[54, 4]);
        dhcp[277..281].copy_from_slice(&SERVER.octets());
    }
    dhcp[281] = 255;
    frame
}

struct Shell {
    server: Server,
    now: Now,
}

impl Shell {
    /// Hands `frame` in, drains, stores; the `yiaddr` of the last reply.
    fn turn(&mut self, frame: &[u8]) -> Option<Ipv4Addr> {
        self.server.handle_frame(frame, self.now);
        let mut last = CommitId(0);
        let mut address = None;
        for _ in 0..2 {
            while let Some(output) = self.server.poll_output() {
                match output {
                    Output::Transmit(frame) if frame[12] == 8 && frame[13] == 0 => {
                        address = Some(Ipv4Addr::new(frame[58], frame[59], frame[60], frame[61]));
                    }
                    Output::Persist { commit, record } => {
                        assert_eq!(record.encode().len(), 128);
                        last = commit;
                    }
                    Output::Transmit(_) | Output::Event(_) => {}
                }
            }
            self.server.handle_persisted(last);
        }
        address
    }

    fn acquire(&mut self, client: u32) -> Ipv4Addr {
        let none = Ipv4Addr::UNSPECIFIED;
        let offer = self.turn(&frame(1, client, none, None)).unwrap();
        let ack = self.turn(&frame(3, client, none, Some(offer))).unwrap();
        assert_eq!(ack, offer);
        ack
    }
}

#[test]
fn exchanges_allocate_nothing_after_warm_up() {
    for probing in [Probing::Off, Probing::On] {
        let raw = RawConfig {
            probing,
            ..RawConfig::full(MacAddr([2, 0, 0, 0, 0, 1]), "10.77.0.1/20".parse().unwrap())
        };
        let now = Now { mono: Monotonic::from_nanos(1 << 40), wall: Wall::from_unix(1_800_000_000) };
        let mut shell = Shell { server: Server::new(Config::new(raw).unwrap(), 3, now), now };
        let settle = |shell: &mut Shell| {
            for _ in 0..3 {
                shell.now = shell.now + Duration::from_secs(1);
                shell.server.handle_timeout(shell.now);
                while shell.server.poll_output().is_some() {}
            }
        };
        settle(&mut shell);
        for client in 0..200 {
            shell.acquire(client);
            settle(&mut shell);
        }
        let mut addresses = [Ipv4Addr::UNSPECIFIED; 500];
        let before = ALLOCATIONS.get();
        for (n, address) in addresses.iter_mut().enumerate() {
            *address = shell.acquire(1_000 + n as u32);
            settle(&mut shell);
        }
        for (n, &address) in addresses.iter().enumerate() {
            let renewed = shell.turn(&frame(3, 1_000 + n as u32, address, None));
            assert_eq!(renewed, Some(address));
            assert_eq!(shell.acquire(1_000 + n as u32), address);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{probing:?}");
        assert_eq!(shell.server.leases().count(), 700);
    }
}
