//! An answer from the cache costs no allocation once the buffers have grown.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{net::SocketAddr, time::Duration};

use hn_dns::{Client, ClientTransport, Config, Forwarder, Output};
use hn_types::Monotonic;

mod sys {
    #![expect(unsafe_code, reason = "a counting allocator is only possible with unsafe code")]

    use std::{
        alloc::{GlobalAlloc, Layout, System},
        cell::Cell,
    };

    thread_local! {
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) struct Counting;

    // SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            COUNT.with(|count| count.set(count.get() + 1));
            // SAFETY: the caller's promise about `layout` is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: `pointer` came from `alloc` above, that is from the system's allocator.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    pub(crate) fn allocations() -> u64 {
        COUNT.with(Cell::get)
    }
}

#[global_allocator]
static ALLOCATOR: sys::Counting = sys::Counting;

fn question(number: u32, id: u16) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    bytes[0..2].copy_from_slice(&id.to_be_bytes());
    bytes[2] = 1;
    bytes[5] = 1;
    let label = format!("n{number}");
    bytes.push(u8::try_from(label.len()).unwrap());
    bytes.extend(label.bytes());
    bytes.extend(b"\x07eXample\x00\x00\x01\x00\x01");
    bytes
}

fn exchange(forwarder: &mut Forwarder, number: u32, now: Monotonic, answer: &mut Vec<u8>) {
    let client =
        Client { addr: SocketAddr::from(([192, 168, 137, 9], 4_000)), transport: ClientTransport::Udp };
    let query = question(number, 7);
    forwarder.handle_query(&query, client, now);
    let mut route = None;
    while let Some(output) = forwarder.poll_output() {
        if let Output::Ask { route: asked, bytes, .. } = output {
            route = Some(asked);
            answer.clear();
            answer.extend_from_slice(&bytes[..bytes.len() - 11]);
        }
    }
    let Some(route) = route else { return };
    answer[2] |= 0x80;
    answer[7] = 1;
    answer[11] = 0;
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 203, 0, 113, 9]);
    forwarder.handle_response(answer, route, now);
    while forwarder.poll_output().is_some() {}
}

#[test]
fn hits_do_not_allocate() {
    let now = Monotonic::from_nanos(1_000_000_000_000);
    let config = Config::new("192.168.137.1/24".parse().unwrap(), "host");
    let mut forwarder = Forwarder::new(config, [3; 32], now).unwrap();
    forwarder.set_upstreams(&["9.9.9.9:53".parse().unwrap()], now);
    let mut answer = Vec::new();
    for number in 0..1_000 {
        exchange(&mut forwarder, number, now, &mut answer);
    }
    let queries: Vec<Vec<u8>> = (0..1_000).map(|number| question(number, 9)).collect();
    let client =
        Client { addr: SocketAddr::from(([192, 168, 137, 9], 4_000)), transport: ClientTransport::Udp };
    let before = sys::allocations();
    let mut replies = 0;
    for (batch, queries) in queries.chunks(50).enumerate() {
        let later = now + Duration::from_secs(batch as u64);
        for query in queries {
            forwarder.handle_query(query, client, later);
        }
        while let Some(output) = forwarder.poll_output() {
            replies += u32::from(matches!(output, Output::Reply { .. }));
        }
    }
    assert_eq!(sys::allocations() - before, 0);
    assert_eq!((replies, forwarder.counters().hits), (1_000, 1_000));
}

#[test]
fn misses_do_not_allocate_once_the_tables_have_grown() {
    let now = Monotonic::from_nanos(1_000_000_000_000);
    let config = Config::new("192.168.137.1/24".parse().unwrap(), "host");
    let mut forwarder = Forwarder::new(config, [3; 32], now).unwrap();
    forwarder.set_upstreams(&["9.9.9.9:53".parse().unwrap()], now);
    let mut answer = Vec::with_capacity(512);
    for number in 0..12_000 {
        exchange(&mut forwarder, number, now, &mut answer);
    }
    let queries: Vec<u32> = (20_000..21_000).collect();
    let mut own = 0;
    let before = sys::allocations();
    for number in queries {
        let asked = sys::allocations();
        let query = question(number, 7);
        drop(query);
        own += sys::allocations() - asked;
        exchange(&mut forwarder, number, now, &mut answer);
    }
    // Each exchange builds its question once more, at the same cost as the one measured beside it.
    assert_eq!(sys::allocations() - before - 2 * own, 0);
    assert_eq!(forwarder.counters().misses, 13_000);
}
