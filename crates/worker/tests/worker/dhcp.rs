//! Leases, from the first frame to the disk and back.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, os::fd::AsFd, path::Path, time::Instant};

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use hn_dhcp4::{LeaseRecord, RecordState};
use hn_ports::services::{FromWorker, ToWorker};
use hn_types::observed::{ServiceEvent, ServiceTrouble};

use crate::lab::{Lab, PATIENCE, discover, full, journal_file, mac, reboot, release, request, standalone};

/// What the file promises: address by address, the last record of each.
fn promised(path: &Path) -> BTreeMap<Ipv4Addr, LeaseRecord> {
    let bytes = fs::read(path).unwrap();
    LeaseRecord::decode_all(&bytes)
        .map(|record| record.unwrap())
        .map(|record| (record.address, record))
        .collect()
}

#[test]
fn a_lease_is_on_disk_when_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    assert_eq!(lab.serve(1, full(Vec::new())), 0);
    for client in 1..=20 {
        let address = lab.acquire(client, "Phone of Zoë");
        let record = promised(&lab.journal)[&address];
        assert_eq!((record.mac, record.state), (mac(client), RecordState::Bound));
        let lease = lab.wait_for_event(|event| match event {
            ServiceEvent::LeaseBound(lease) => Some(lease.clone()),
            _ => None,
        });
        assert_eq!((lease.mac, lease.address), (mac(client), address.into()));
        assert!(lease.hostname.starts_with("phone-of-zo"), "{}", lease.hostname);
    }
    lab.transmit(&release(5, *promised(&lab.journal).iter().find(|(_, r)| r.mac == mac(5)).unwrap().0));
    lab.wait_for_event(|event| match event {
        ServiceEvent::LeaseEnded { mac: of, .. } => (*of == mac(5)).then_some(()),
        _ => None,
    });
}

#[test]
fn full_mode_gives_options_that_standalone_mode_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    for (generation, segment, given) in [(1, full(Vec::new()), true), (2, standalone(), false)] {
        lab.serve(generation, segment);
        lab.transmit(&discover(1, ""));
        let offer = lab.reply();
        for code in [OptionCode::Router, OptionCode::DomainNameServer, OptionCode::DomainName] {
            assert_eq!(offer.opts().contains(code), given, "{code:?}");
        }
        let lease = Some(&DhcpOption::AddressLeaseTime(604_800));
        assert_eq!(offer.opts().get(OptionCode::AddressLeaseTime), lease);
    }
}

#[test]
fn another_mtu_is_told_without_serving_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    // Before anything is served it is nobody's.
    lab.send(&ToWorker::Mtu(Some(1_300)), &[]);
    lab.serve(1, full(Vec::new()));
    for mtu in [None, Some(1_400), Some(1_492), None] {
        lab.send(&ToWorker::Mtu(mtu), &[]);
        // What is sent on two sockets may come in any order; one of the next answers has it.
        let started = Instant::now();
        loop {
            lab.transmit(&discover(1, ""));
            let offer = lab.reply();
            if offer.opts().get(OptionCode::InterfaceMtu) == mtu.map(DhcpOption::InterfaceMtu).as_ref() {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{mtu:?} is not told");
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("leases");
    let mut acknowledged: BTreeMap<u32, Ipv4Addr> = BTreeMap::new();
    for round in 0..12_u32 {
        let mut lab = Lab::process(&journal);
        let restored = lab.serve(1, standalone());
        assert!(restored as usize >= acknowledged.len());
        for (&client, &address) in &acknowledged {
            lab.transmit(&reboot(client, address));
            let answer = lab.reply();
            assert_eq!((answer.opts().msg_type(), answer.yiaddr()), (Some(MessageType::Ack), address));
        }
        let clients: Vec<u32> = (0..8).map(|n| 1_000 + round * 100 + n).collect();
        let offers: Vec<Ipv4Addr> = clients
            .iter()
            .map(|&client| {
                lab.transmit(&discover(client, ""));
                lab.reply().yiaddr()
            })
            .collect();
        for (&client, &address) in clients.iter().zip(&offers) {
            lab.transmit(&request(client, "", address));
        }
        // Somewhere between the first record written and the last acknowledgement sent.
        for _ in 0..round % 9 {
            let ack = lab.reply();
            acknowledged.insert(ack.xid(), ack.yiaddr());
        }
        lab.kill();
        // What had left before the kill was promised too.
        lab.frames.as_ref().unwrap().set_nonblocking(true).unwrap();
        while let Some(ack) = lab.try_reply() {
            acknowledged.insert(ack.xid(), ack.yiaddr());
        }
        let promised = promised_prefix(&journal);
        for (&client, address) in &acknowledged {
            assert_eq!(promised.get(address).map(|record| record.mac), Some(mac(client)));
        }
    }
    assert!(acknowledged.len() >= 39, "{}", acknowledged.len());
}

/// As `promised`, for a file whose last write may be torn.
fn promised_prefix(path: &Path) -> BTreeMap<Ipv4Addr, LeaseRecord> {
    let bytes = fs::read(path).unwrap();
    LeaseRecord::decode_all(&bytes).flatten().map(|record| (record.address, record)).collect()
}

#[test]
fn a_disk_without_room_means_silence_until_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("leases"), folder.path().join("leases.new"));
    // Room for three records and a half: the fourth write is cut short and must be undone.
    let three = 3 * LeaseRecord::SIZE as u64;
    let mut lab = Lab::process_with_room(&old, three + 60);
    lab.serve(1, standalone());
    let first = lab.acquire(1, "");
    lab.transmit(&release(1, first));
    lab.wait_for_event(|event| matches!(event, ServiceEvent::LeaseEnded { .. }).then_some(()));
    let second = lab.acquire(2, "");
    assert_eq!(fs::metadata(&old).unwrap().len(), three);

    lab.transmit(&discover(3, ""));
    let offered = lab.reply().yiaddr();
    lab.transmit(&request(3, "", offered));
    let trouble = |event: &ServiceEvent| match event {
        ServiceEvent::Trouble { kind: ServiceTrouble::LeaseStore, cause } => Some(cause.clone()),
        _ => None,
    };
    let cause = lab.wait_for_event(trouble);
    assert!(cause.contains("may not grow"), "{cause}");
    assert_eq!(fs::metadata(&old).unwrap().len(), three, "half a record does not stay");
    // No acknowledgement is on its way: the next reply is the offer to somebody else.
    lab.transmit(&discover(4, ""));
    assert_eq!(lab.reply().opts().msg_type(), Some(MessageType::Offer));

    lab.send(&ToWorker::Compact { generation: 2 }, &[journal_file(&new).as_fd()]);
    lab.wait_for(&FromWorker::Compacted { generation: 2, ok: true });
    assert_eq!(lab.acquire(3, ""), offered);
    assert_eq!(lab.wait_for_event(trouble), "");
    let promised = promised(&new);
    assert_eq!(promised[&offered].mac, mac(3));
    assert_eq!(promised[&second].mac, mac(2));
}

#[test]
fn a_rewritten_journal_holds_everything_and_is_used_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("leases"), folder.path().join("leases.new"));
    let mut lab = Lab::thread(&old);
    lab.serve(1, standalone());
    let before: Vec<Ipv4Addr> = (1..=10).map(|client| lab.acquire(client, "")).collect();
    for _ in 0..5 {
        lab.transmit(&reboot(1, before[0]));
        assert_eq!(lab.reply().yiaddr(), before[0]);
    }
    let history = fs::metadata(&old).unwrap().len();
    lab.send(&ToWorker::Compact { generation: 9 }, &[journal_file(&new).as_fd()]);
    lab.wait_for(&FromWorker::Compacted { generation: 9, ok: true });
    assert_eq!(fs::metadata(&new).unwrap().len(), 10 * LeaseRecord::SIZE as u64);
    let after = lab.acquire(11, "");
    assert_eq!(fs::metadata(&old).unwrap().len(), history);
    let promised = promised(&new);
    assert!(before.iter().chain([&after]).all(|address| promised.contains_key(address)));

    // A file that takes nothing changes nothing.
    let full = fs::OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    lab.send(&ToWorker::Compact { generation: 10 }, &[full.as_fd()]);
    lab.wait_for(&FromWorker::Compacted { generation: 10, ok: false });
    let last = lab.acquire(12, "");
    assert!(self::promised(&new).contains_key(&last));
    lab.send(&ToWorker::Stop { generation: 11 }, &[]);
    lab.wait_for(&FromWorker::Stopped { generation: 11 });
    lab.send(&ToWorker::Compact { generation: 12 }, &[full.as_fd()]);
    lab.wait_for(&FromWorker::Compacted { generation: 12, ok: false });
}

#[test]
fn a_restarted_worker_reports_every_lease() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("leases");
    let mut lab = Lab::thread(&journal);
    lab.serve(1, standalone());
    let mut held: Vec<Ipv4Addr> =
        (0..450).map(|client| lab.acquire(client, "a-device-with-a-name")).collect();
    lab.end().unwrap();
    let mut lab = Lab::thread(&journal);
    assert_eq!(lab.serve(1, standalone()), 450);
    let mut reported = Vec::new();
    loop {
        let (leases, more) = lab.wait_for_event(|event| match event {
            ServiceEvent::Leases { leases, more, first } => {
                assert_eq!(*first, reported.is_empty());
                Some((leases.clone(), *more))
            }
            _ => None,
        });
        reported.extend(leases.iter().map(|lease| lease.address));
        if !more {
            break;
        }
    }
    held.sort();
    reported.sort();
    assert_eq!(reported, held);
}

#[test]
fn frames_of_any_kind_do_not_stop_the_loop() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    lab.serve(1, standalone());
    let good = discover(1, "phone");
    for length in 0..good.len() {
        lab.transmit(&good[..length]);
    }
    lab.transmit(&[0xff; 9_000]);
    lab.acquire(2, "");
}
