//! Records, and a server that takes them up.

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::v4::MessageType;
use hn_dhcp4::{ClientId, HostName, LeaseRecord, RawConfig, RecordError, RecordState};
use hn_types::{MacAddr, Now, Wall};
use proptest::prelude::*;

use crate::lab::*;

fn record(state: RecordState, last: u8, number: u32, expires: u64) -> LeaseRecord {
    LeaseRecord {
        state,
        address: ip(last),
        mac: Client::new(number).mac,
        client_id: None,
        hostname: HostName::EMPTY,
        expires: Wall::from_unix(expires),
        remaining: 604_801,
    }
}

const START: u64 = 1_800_000_000;

#[test]
fn leases_names_and_identities_survive_a_restart() {
    let mut lab = Lab::new(full());
    let clients: Vec<_> = (0..50)
        .map(|n| Client::new(n).with_name(&format!("host-{n}")).with_id(&vec![n as u8; 2 + n as usize * 5]))
        .collect();
    for client in &clients {
        lab.acquire(client);
    }
    let before: Vec<_> = lab.server.leases().collect();
    lab.pass(Duration::from_secs(3_600));
    let mut lab = lab.restart(full());
    assert_eq!(lab.server.leases().collect::<Vec<_>>(), before);
    for (n, client) in clients.iter().enumerate() {
        let address = lab.acquire(client);
        let known = before.iter().find(|lease| lease.address == address).unwrap();
        assert_eq!(known.hostname.raw(), format!("host-{n}").as_bytes());
    }
    // The compacted journal says the same.
    let mut again = Lab::at(full(), lab.now);
    for record in lab.server.records() {
        again.server.restore(&record);
    }
    assert_eq!(again.server.leases().collect::<Vec<_>>(), lab.server.leases().collect::<Vec<_>>());
}

#[test]
fn the_last_record_of_an_address_holds() {
    let mut lab = Lab::new(full());
    let bound = |number| record(RecordState::Bound, 20, number, START + 1_000);
    for r in [bound(1), record(RecordState::Released, 20, 1, START), bound(2)] {
        lab.server.restore(&r);
    }
    assert_eq!(lab.lease(ip(20)).unwrap().mac, Client::new(2).mac);
    assert_eq!(lab.ask(&Client::new(2).renew(ip(20))).unwrap().kind(), MessageType::Ack);
    assert_eq!(lab.ask(&Client::new(1).renew(ip(20))).unwrap().kind(), MessageType::Nak);
}

#[test]
fn foreign_records_are_ignored_and_counted() {
    let mut lab = Lab::new(small(10));
    lab.server.restore(&record(RecordState::Bound, 200, 1, START + 9));
    lab.server.restore(&record(RecordState::Bound, 1, 1, START + 9));
    let foreign =
        LeaseRecord { address: Ipv4Addr::new(8, 8, 8, 8), ..record(RecordState::Bound, 1, 1, START) };
    lab.server.restore(&foreign);
    assert_eq!(lab.server.counters().restore_ignored, 3);
    assert_eq!(lab.server.leases().count(), 0);
}

#[test]
fn leases_that_ran_out_meanwhile_are_kept_for_their_clients_only() {
    let mut lab = Lab::new(small(2));
    lab.server.restore(&record(RecordState::Bound, 10, 1, START - 10));
    lab.server.restore(&record(RecordState::Declined, 11, 2, START + 30));
    assert_eq!(lab.server.leases().count(), 0);
    assert_eq!(lab.acquire(&Client::new(1)), ip(10));
    assert!(lab.ask(&Client::new(3).discover()).is_none(), "the declined one still rests");
    lab.pass(Duration::from_secs(31));
    assert_eq!(lab.acquire(&Client::new(3)), ip(11));
}

#[test]
fn a_wall_clock_set_back_does_not_make_leases_eternal() {
    let mut lab = Lab::at(full(), Now { wall: Wall::from_unix(0), ..Lab::new(full()).now });
    lab.server.restore(&LeaseRecord { remaining: 1_000, ..record(RecordState::Bound, 20, 1, START) });
    assert_eq!(lab.lease(ip(20)).unwrap().expires, Wall::from_unix(1_000));
    lab.pass(Duration::from_secs(1_001));
    assert_eq!(lab.server.leases().count(), 0);
}

#[test]
fn a_client_that_moved_is_found_at_its_current_address() {
    let mut lab = Lab::new(full());
    lab.server.restore(&record(RecordState::Bound, 20, 1, START + 500));
    lab.server.restore(&record(RecordState::Bound, 21, 1, START + 900));
    lab.server.restore(&record(RecordState::Expired, 22, 1, START - 5));
    assert_eq!(lab.ask(&Client::new(1).discover()).unwrap().address(), ip(21));
    // The older one was acknowledged, too: nobody else gets it before its time.
    assert!(lab.lease(ip(20)).is_some());
    assert_eq!(lab.ask(&Client::new(1).renew(ip(20))).unwrap().kind(), MessageType::Ack);
}

#[test]
fn restored_leases_expire() {
    let mut lab = Lab::new(full());
    for n in 0..100 {
        lab.server.restore(&record(RecordState::Bound, 100 + n, u32::from(n), START + 10 + u64::from(n) % 7));
    }
    assert_eq!(events(&lab.pass(Duration::from_secs(9))).len(), 0);
    assert_eq!(events(&lab.pass(Duration::from_secs(8))).len(), 100);
}

#[test]
fn sixty_thousand_records_are_taken_up_quickly() {
    let raw = RawConfig { ..RawConfig::full(SERVER_MAC, host("10.77.0.1/16")) };
    let mut file = vec![];
    for n in 0..60_000_u32 {
        let address = Ipv4Addr::from_bits(0x0a4d_0002 + n.wrapping_mul(7) % 65_000);
        let r = LeaseRecord { address, ..record(RecordState::Bound, 0, n, START + 600_000) };
        file.extend(r.encode());
    }
    let mut lab = Lab::new(raw);
    let start = std::time::Instant::now();
    for r in LeaseRecord::decode_all(&file) {
        lab.server.restore(&r.unwrap());
    }
    // Goal D7 is 30 ms when optimised; anything quadratic would take minutes.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(lab.server.leases().count(), 60_000);
}

#[test]
fn a_torn_tail_and_corrupt_records_are_told_apart() {
    let good = record(RecordState::Bound, 20, 1, START).encode();
    let mut bad = good;
    bad[5] ^= 1;
    let file = [&good[..], &bad, &good, &good[..77]].concat();
    let read: Vec<_> = LeaseRecord::decode_all(&file).collect();
    assert!(read[0].is_ok() && read[2].is_ok());
    assert_eq!(read[1], Err(RecordError::Checksum));
    assert_eq!(read[3], Err(RecordError::Torn { bytes: 77 }));
    assert_eq!(read.len(), 4);
    // A hole, as a file system leaves after a crash.
    assert_eq!(LeaseRecord::decode(&[0; 128]), Err(RecordError::Checksum));
}

fn any_record() -> impl Strategy<Value = LeaseRecord> {
    let id = prop::option::of(prop::collection::vec(any::<u8>(), 2..256));
    let name = prop::collection::vec(any::<u8>(), 0..80);
    (0..4_usize, any::<u32>(), any::<[u8; 6]>(), id, name, any::<u64>(), any::<u32>()).prop_map(
        |(state, address, mac, id, name, expires, remaining)| LeaseRecord {
            state: [RecordState::Bound, RecordState::Released, RecordState::Expired, RecordState::Declined]
                [state],
            address: address.into(),
            mac: MacAddr(mac),
            client_id: id.and_then(|id| ClientId::new(&id)),
            hostname: HostName::new(&name),
            expires: Wall::from_unix(expires),
            remaining,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back_as_they_went(record in any_record()) {
        prop_assert_eq!(LeaseRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_changed_byte_is_noticed(record in any_record(), at in 0_usize..128, change in 1_u8..) {
        let mut bytes = record.encode();
        bytes[at] ^= change;
        prop_assert_eq!(LeaseRecord::decode(&bytes), Err(RecordError::Checksum));
    }

    #[test]
    fn any_records_can_be_restored(records in prop::collection::vec((any_record(), 2_u8..20), 0..60)) {
        let mut lab = Lab::new(probing());
        for (record, last) in records {
            lab.server.restore(&LeaseRecord { address: ip(last), ..record });
        }
        lab.pass(Duration::from_secs(5));
        lab.send(&Client::new(1).discover());
        lab.pass(Duration::from_secs(700));
    }
}
