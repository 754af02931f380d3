//! Every (state of the record, message of the client) pair: RFC 2131 §4.3.

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::v4::MessageType;

use crate::lab::*;

/// What the server knows about the address a client speaks of.
#[derive(Clone, Copy, Debug)]
enum Known {
    Nothing,
    Offered,
    Bound,
    Released,
    Expired,
    Declined,
    OfferedToOther,
    BoundToOther,
    ReleasedByOther,
    ExpiredOfOther,
}

const COLUMNS: [&str; 8] =
    ["discover", "select", "reboot", "renew", "rebind", "decline", "release", "inform"];

#[rustfmt::skip]
const TABLE: [(Known, [&str; 8]); 10] = [
    //                       discover  select reboot  renew  rebind  decline    release    inform
    (Known::Nothing,         ["same",  "ack", "-",    "ack", "ack",  "-",       "-",       "info"]),
    (Known::Offered,         ["same",  "ack", "ack",  "ack", "ack",  "decline", "-",       "info"]),
    (Known::Bound,           ["same",  "ack", "ack",  "ack", "ack",  "decline", "release", "info"]),
    (Known::Released,        ["same",  "ack", "ack",  "ack", "ack",  "-",       "-",       "info"]),
    (Known::Expired,         ["same",  "ack", "ack",  "ack", "ack",  "-",       "-",       "info"]),
    (Known::Declined,        ["other", "nak", "-",    "nak", "nak",  "-",       "-",       "info"]),
    (Known::OfferedToOther,  ["other", "nak", "-",    "nak", "nak",  "-",       "-",       "info"]),
    (Known::BoundToOther,    ["other", "nak", "-",    "nak", "nak",  "-",       "-",       "info"]),
    (Known::ReleasedByOther, ["other", "nak", "-",    "nak", "nak",  "-",       "-",       "info"]),
    (Known::ExpiredOfOther,  ["other", "nak", "-",    "nak", "nak",  "-",       "-",       "info"]),
];

fn prepare(known: Known) -> (Lab, Client, Ipv4Addr) {
    let mut lab = Lab::new(full());
    let me = Client::new(1);
    let address = ip(44);
    let who = match known {
        Known::Nothing | Known::Offered | Known::Bound => me.clone(),
        Known::Released | Known::Expired | Known::Declined => me.clone(),
        Known::OfferedToOther | Known::BoundToOther => Client::new(2),
        Known::ReleasedByOther | Known::ExpiredOfOther => Client::new(2),
    };
    if !matches!(known, Known::Nothing) {
        assert_eq!(lab.ask(&who.discover_asking(address)).unwrap().address(), address);
    }
    if !matches!(known, Known::Nothing | Known::Offered | Known::OfferedToOther) {
        assert_eq!(lab.ask(&who.select(address)).unwrap().kind(), MessageType::Ack);
    }
    match known {
        Known::Released | Known::ReleasedByOther => drop(lab.send(&who.release(address))),
        Known::Expired | Known::ExpiredOfOther => drop(lab.pass(Duration::from_secs(604_802))),
        Known::Declined => drop(lab.send(&who.decline(address))),
        Known::Nothing | Known::Offered | Known::Bound | Known::OfferedToOther | Known::BoundToOther => {}
    }
    (lab, me, address)
}

#[test]
fn every_cell() {
    for (known, row) in TABLE {
        for (column, expected) in COLUMNS.into_iter().zip(row) {
            let (mut lab, me, address) = prepare(known);
            let frame = match column {
                "discover" => me.discover_asking(address),
                "select" => me.select(address),
                "reboot" => me.reboot(address),
                "renew" => me.renew(address),
                "rebind" => me.rebind(address),
                "decline" => me.decline(address),
                "release" => me.release(address),
                _ => me.inform(address),
            };
            let leases = lab.server.leases().count();
            let outs = lab.send(&frame);
            let seen =
                match outs.as_slice() {
                    [] => "-",
                    [Out::Reply(reply)] if reply.kind() == MessageType::Offer => {
                        if reply.address() == address { "same" } else { "other" }
                    }
                    [Out::Reply(reply)] if reply.kind() == MessageType::Nak => "nak",
                    [Out::Reply(reply)] if reply.address().is_unspecified() => "info",
                    // A renewal in the second of the lease is answered from what is on disk.
                    [Out::Reply(reply)] | [Out::Persist(..), Out::Reply(reply), Out::Event(_)]
                        if reply.kind() == MessageType::Ack && reply.address() == address =>
                    {
                        "ack"
                    }
                    [Out::Persist(record), Out::Event(_)] => match record.state {
                        hn_dhcp4::RecordState::Declined => "decline",
                        hn_dhcp4::RecordState::Released => "release",
                        hn_dhcp4::RecordState::Bound | hn_dhcp4::RecordState::Expired => "?",
                    },
                    _ => "?",
                };
            assert_eq!(seen, expected, "{known:?}, {column}: {outs:?}");
            let change = match expected {
                "ack" if !matches!(known, Known::Bound) => 1,
                "decline" if matches!(known, Known::Bound) => -1,
                "release" => -1,
                _ => 0,
            };
            let after = lab.server.leases().count();
            assert_eq!(after as i64 - leases as i64, change, "{known:?}, {column}");
        }
    }
}
