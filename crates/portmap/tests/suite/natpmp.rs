//! RFC 6886.

use std::time::Duration;

use hn_portmap::{Channel, DropReason, Protocols};
use hn_types::portmap::{MapAct, MapWhich, Origin};
use hn_types::settings::Protocol;

use crate::lab::*;

/// A mapping request (§3.3).
pub fn map(opcode: u8, internal: u16, external: u16, lifetime: u32) -> Vec<u8> {
    let mut out = vec![0, opcode, 0, 0];
    out.extend(internal.to_be_bytes());
    out.extend(external.to_be_bytes());
    out.extend(lifetime.to_be_bytes());
    out
}

/// Opcode, result, internal port, external port, lifetime of an answer.
#[track_caller]
fn read(answer: &[u8]) -> (u8, u16, u16, u16, u32) {
    assert_eq!(answer.len(), 16);
    assert_eq!(answer[0], 0);
    let half = |at: usize| u16::from_be_bytes(answer[at..at + 2].try_into().unwrap());
    (answer[1], half(2), half(8), half(10), u32::from_be_bytes(answer[12..16].try_into().unwrap()))
}

fn epoch(answer: &[u8]) -> u32 {
    u32::from_be_bytes(answer[4..8].try_into().unwrap())
}

#[test]
fn the_external_address_is_told() {
    let mut lab = Lab::new(raw());
    assert_eq!(lab.ask(device(20), &[0, 0]), [0, 128, 0, 0, 0, 0, 0, 0, 203, 0, 113, 9]);
    lab.pass(Duration::from_secs(77));
    assert_eq!(epoch(&lab.ask(device(20), &[0, 0])), 77);
    // §3.5: without an address outside, "network failure".
    let uplink = hn_types::portmap::MapUplink { external: None, up: false, ..lab.uplink() };
    lab.server.handle_uplink(uplink, lab.now);
    assert_eq!(lab.ask(device(20), &[0, 0])[..4], [0, 128, 0, 3]);
}

#[test]
fn a_mapping_is_made_renewed_and_deleted() {
    let mut lab = Lab::new(raw());
    let client = device(20);
    assert_eq!(read(&lab.ask(client, &map(1, 4_000, 5_000, 7_200))), (129, 0, 4_000, 5_000, 7_200));
    // §3.3: the same internal port has one mapping, whatever is suggested.
    assert_eq!(read(&lab.ask(client, &map(1, 4_000, 6_000, 600))), (129, 0, 4_000, 5_000, 600));
    // TCP is a mapping of its own, and of its own opcode.
    assert_eq!(read(&lab.ask(client, &map(2, 4_000, 0, 7_200))), (130, 0, 4_000, 4_000, 7_200));
    // A taken port is not an error: another is given.
    assert_eq!(read(&lab.ask(device(21), &map(1, 9, 5_000, 60))), (129, 0, 9, 5_001, 60));
    // §3.4: deleting ends with port and lifetime 0, and what is not there is deleted, too.
    assert_eq!(read(&lab.ask(client, &map(1, 4_000, 5_000, 0))), (129, 0, 4_000, 0, 0));
    assert_eq!(read(&lab.ask(client, &map(1, 4_000, 0, 0))), (129, 0, 4_000, 0, 0));
    assert_eq!(lab.table.rows.len(), 2);
    // Every one of a protocol at once.
    lab.ask(client, &map(2, 1, 0, 60));
    assert_eq!(read(&lab.ask(client, &map(2, 0, 0, 0))), (130, 0, 0, 0, 0));
    assert_eq!(lab.table.rows.len(), 1);
    let last = lab.asked.last().unwrap();
    let which = MapWhich::All { protocol: Some(Protocol::Tcp) };
    assert_eq!((last.origin, &last.act), (Origin::NatPmp, &MapAct::Remove { which, nonce: None }));
}

#[test]
fn another_protocols_mapping_is_refused() {
    let mut lab = Lab::new(raw());
    lab.ask(device(20), &crate::pcp::map(device(20).ip(), [1; 12], 17, 4_000, 4_000, 600));
    assert_eq!(read(&lab.ask(device(20), &map(1, 4_000, 0, 0))), (129, 2, 4_000, 0, 0));
    assert_eq!(lab.table.rows.len(), 1);
}

#[test]
fn what_is_not_a_request_is_not_answered_as_one() {
    let mut lab = Lab::new(raw());
    let client = device(20);
    // §3.5: unknown operations come back with result 5, responses and fragments not at all.
    assert_eq!(lab.ask(client, &[0, 3, 1, 2]), [0, 131, 0, 5, 0, 0, 0, 0]);
    assert_eq!(lab.ask(client, &[&[0, 127][..], &[7; 100]].concat()).len(), 64);
    for silent in [&[][..], &[0], &[0, 128], &[0, 129, 0, 0], &[2, 129], &map(1, 1, 1, 1)[..11]] {
        assert_eq!(lab.send(Channel::PortControl, client, silent), Vec::<Vec<u8>>::new(), "{silent:?}");
    }
    assert_eq!(read(&lab.ask(client, &map(1, 0, 0, 60))), (129, 2, 0, 0, 0));
    assert_eq!(lab.counted(), [("truncated", 3), ("response", 3), ("opcode", 2), ("malformed", 1)]);
}

#[test]
fn the_version_decides_who_answers() {
    // Both: an unknown version is PCP's to refuse (RFC 6887 §9).
    let mut lab = Lab::new(raw());
    assert_eq!(lab.ask(device(20), &[1, 0])[..4], [2, 128, 0, 1]);
    // NAT-PMP alone: its own refusal (§3.5), so that clients fall back.
    let mut alone = raw();
    alone.protocols = Protocols { pcp: false, ..Protocols::default() };
    let mut lab = Lab::new(alone);
    assert_eq!(lab.ask(device(20), &[2, 1]), [0, 129, 0, 1, 0, 0, 0, 0]);
    // PCP alone refuses version 0.
    let mut alone = raw();
    alone.protocols = Protocols { natpmp: false, ..Protocols::default() };
    let mut lab = Lab::new(alone);
    assert_eq!(lab.ask(device(20), &[0, 0])[..4], [2, 128, 0, 1]);
    // Neither: silence.
    let mut off = raw();
    off.protocols = Protocols { natpmp: false, pcp: false, upnp: true };
    let mut lab = Lab::new(off);
    assert!(lab.send(Channel::PortControl, device(20), &[0, 0]).is_empty());
    assert_eq!(lab.dropped(DropReason::Off), 1);
    // NAT-PMP is of IPv4.
    let mut lab = Lab::new(raw());
    assert_eq!(lab.ask(device6(20), &[0, 0])[..4], [2, 128, 0, 1]);
}

#[test]
fn a_new_address_is_announced_ten_times() {
    // §3.2.1.
    let mut lab = Lab::silent(raw());
    lab.server.handle_uplink(lab.uplink(), lab.now);
    let mut times = Vec::new();
    for _ in 0..20_000 {
        lab.server.handle_timeout(lab.now);
        for (to, bytes) in datagrams(lab.outputs()) {
            if bytes[0] == 0 {
                assert_eq!(to.to_string(), "224.0.0.1:5350");
                assert_eq!((bytes.len(), bytes[1], &bytes[8..]), (12, 128, &[203, 0, 113, 9][..]));
                times.push(lab.now.mono.since(start().mono).as_millis());
            }
        }
        lab.now = lab.now + Duration::from_millis(10);
    }
    let gaps: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(times[0], 0);
    assert_eq!(gaps, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
    // The same again changes nothing; the loss says nothing; the return is announced again.
    lab.server.handle_uplink(lab.uplink(), lab.now);
    assert!(datagrams(lab.pass(Duration::from_secs(200))).iter().all(|(_, bytes)| bytes[0] > 2));
    let down = hn_types::portmap::MapUplink { external: None, up: false, ..lab.uplink() };
    lab.server.handle_uplink(down, lab.now);
    lab.server.handle_uplink(lab.uplink(), lab.now);
    let again = datagrams(lab.pass(Duration::from_secs(200)));
    assert_eq!(again.iter().filter(|(_, bytes)| bytes[0] == 0).count(), 10);
    // §3.6: nothing was lost, the seconds go on.
    assert!(epoch(&lab.ask(device(20), &[0, 0])) >= 600);
    lab.server.handle_loss(lab.now);
    assert_eq!(epoch(&lab.ask(device(20), &[0, 0])), 0);
}
