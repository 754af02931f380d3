//! A lease is on disk before it is acknowledged; a full disk is silence and a visible reason.

use std::time::Duration;

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use hn_dhcp4::{CommitId, DropReason, Event, Limits, RawConfig};

use crate::lab::*;

fn manual(raw: RawConfig) -> Lab {
    let mut lab = Lab::new(raw);
    lab.disk = Disk::Manual;
    lab
}

#[test]
fn one_answer_of_the_disk_releases_all_acknowledgements_up_to_it() {
    let mut lab = manual(full());
    let mut addresses = vec![];
    for n in 0..10 {
        let offer = lab.ask(&Client::new(n).discover()).unwrap();
        assert!(lab.ask(&Client::new(n).select(offer.address())).is_none(), "no promise yet");
        addresses.push(offer.address());
    }
    assert_eq!(lab.server.leases().count(), 0);
    let seventh = lab.outstanding[6].0;
    lab.stored(seventh);
    lab.drain();
    let acked: Vec<_> = replies(&lab.outs).iter().map(Reply::address).collect();
    assert_eq!(acked, addresses[..7]);
    assert_eq!(lab.server.leases().count(), 7);
    lab.stored(seventh);
    lab.stored(CommitId(0));
    lab.outs.clear();
    lab.drain();
    assert!(lab.outs.is_empty(), "said twice changes nothing");
}

#[test]
fn a_full_disk_is_silence_and_a_visible_reason_and_ends() {
    let mut lab = manual(full());
    lab.disk = Disk::Full;
    let client = Client::new(1);
    for turn in 0..3 {
        let offer = lab.ask(&client.discover()).unwrap();
        let outs = lab.send(&client.select(offer.address()));
        assert!(replies(&outs).is_empty());
        assert_eq!(events(&outs), if turn == 0 { vec![Event::PersistFailed] } else { vec![] });
        assert_eq!(lab.server.leases().count(), 0);
    }
    assert_eq!(lab.server.counters().persist_failures, 3);
    lab.disk = Disk::Good;
    let offer = lab.ask(&client.discover()).unwrap();
    let outs = lab.send(&client.select(offer.address()));
    assert_eq!(replies(&outs)[0].kind(), MessageType::Ack);
    assert_eq!(events(&outs)[0], Event::PersistRecovered);
}

#[test]
fn the_repeated_request_after_a_failure_needs_no_new_offer() {
    let mut lab = manual(full());
    lab.disk = Disk::Full;
    let offer = lab.ask(&Client::new(1).discover()).unwrap().address();
    assert!(lab.ask(&Client::new(1).select(offer)).is_none());
    lab.disk = Disk::Good;
    assert_eq!(lab.ask(&Client::new(1).select(offer)).unwrap().kind(), MessageType::Ack);
}

#[test]
fn a_failed_renewal_leaves_the_lease_as_it_is_on_disk() {
    let mut lab = Lab::new(full());
    let client = Client::new(1).with_name("before");
    let address = lab.acquire(&client);
    let before = lab.lease(address).unwrap();
    lab.pass(Duration::from_secs(1_000));
    lab.disk = Disk::Full;
    assert!(lab.ask(&Client { name: Some("after".into()), ..client.clone() }.renew(address)).is_none());
    assert_eq!(lab.lease(address), Some(before));
    let outs = lab.pass(Duration::from_secs(604_800 - 1_000 + 2));
    assert_eq!(events(&outs), [Event::LeaseExpired { address, mac: client.mac }]);
}

#[test]
fn a_repeated_request_while_the_disk_works_gets_one_answer() {
    let mut lab = manual(full());
    let client = Client::new(1);
    let offer = lab.ask(&client.discover()).unwrap().address();
    lab.send(&client.select(offer));
    lab.pass(Duration::from_secs(5));
    let mut message = client.message(MessageType::Request);
    message.set_xid(42);
    message.opts_mut().insert(DhcpOption::RequestedIpAddress(offer));
    message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
    lab.send(&client.frame(&message));
    assert_eq!(lab.outstanding.len(), 1, "one record answers both");
    lab.stored(lab.outstanding[0].0);
    lab.drain();
    let acks = replies(&lab.outs);
    assert_eq!(acks.len(), 1);
    assert_eq!(acks[0].message.xid(), 42);
    let Some(&DhcpOption::AddressLeaseTime(left)) = acks[0].option(OptionCode::AddressLeaseTime) else {
        panic!()
    };
    assert_eq!(left, 604_795, "not longer than the record says");
}

#[test]
fn who_leaves_before_the_disk_answers_is_not_acknowledged() {
    for decline in [false, true] {
        let mut lab = manual(full());
        let client = Client::new(1);
        let offer = lab.ask(&client.discover()).unwrap().address();
        lab.send(&client.select(offer));
        lab.send(&if decline { client.decline(offer) } else { client.release(offer) });
        assert_eq!(lab.outstanding.len(), 2);
        lab.stored(lab.outstanding[1].0);
        lab.drain();
        assert!(replies(&lab.outs).is_empty());
        assert!(lab.lease(offer).is_none());
    }
}

#[test]
fn a_late_failure_does_not_undo_what_came_after() {
    let mut lab = manual(full());
    let client = Client::new(1);
    let offer = lab.ask(&client.discover()).unwrap().address();
    lab.send(&client.select(offer));
    lab.send(&client.release(offer));
    lab.pass(Duration::from_secs(3));
    lab.send(&client.select(offer));
    let commits: Vec<_> = lab.outstanding.iter().map(|(commit, _)| *commit).collect();
    assert_eq!(commits.len(), 3);
    lab.failed(commits[0]);
    lab.stored(commits[2]);
    lab.drain();
    assert_eq!(replies(&lab.outs).len(), 1);
    assert_eq!(lab.lease(offer).unwrap().mac, client.mac);
}

#[test]
fn records_waiting_for_the_disk_are_bounded() {
    let mut lab = manual(RawConfig { limits: Limits { commits: 8, ..Limits::default() }, ..full() });
    for n in 0..20 {
        let offer = lab.ask(&Client::new(n).discover()).unwrap().address();
        lab.send(&Client::new(n).select(offer));
    }
    assert_eq!(lab.outstanding.len(), 8);
    assert_eq!(lab.server.counters().dropped(DropReason::PersistBacklog), 12);
    lab.disk = Disk::Good;
    lab.drain();
    lab.acquire(&Client::new(15));
}

#[test]
fn reconfiguring_drops_unanswered_requests_without_a_promise() {
    let mut lab = manual(full());
    let client = Client::new(1);
    let offer = lab.ask(&client.discover()).unwrap().address();
    lab.send(&client.select(offer));
    lab.server.reconfigure(hn_dhcp4::Config::new(full()).unwrap(), lab.now);
    let commit = lab.outstanding[0].0;
    lab.stored(commit);
    lab.drain();
    assert!(replies(&lab.outs).is_empty());
    assert_eq!(lab.server.leases().count(), 0);
    lab.disk = Disk::Good;
    assert_eq!(lab.ask(&client.select(offer)).unwrap().kind(), MessageType::Ack);
}
