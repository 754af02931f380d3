//! The client on the uplink, against a server and a router made of the words of RFC 8415 and RFC 4861.

use std::{net::Ipv6Addr, time::Duration};

use hn_ip6::{Link, Requester};
use hn_types::{MacAddr, Monotonic, Now, Wall};
use proptest::prelude::*;

use crate::lab::{checksum, icmp, ip};

const OWN: MacAddr = MacAddr([0x02, 0xcc, 0, 0, 0, 1]);
const PROVIDER: MacAddr = MacAddr([0x02, 0xee, 0, 0, 0, 1]);
const SERVER: &[u8] = &[0, 3, 0, 1, 2, 0xee, 0, 0, 0, 1];
const IAID: u32 = 77;

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

fn prefix(text: &str, preferred: u32, valid: u32) -> Vec<u8> {
    let (address, length) = text.split_once('/').unwrap();
    let mut data = [preferred.to_be_bytes(), valid.to_be_bytes()].concat();
    data.push(length.parse().unwrap());
    data.extend(ip(address).octets());
    option(26, &data)
}

fn association(iaid: u32, t1: u32, t2: u32, inner: &[u8]) -> Vec<u8> {
    option(25, &[&iaid.to_be_bytes()[..], &t1.to_be_bytes(), &t2.to_be_bytes(), inner].concat())
}

fn status(code: u16) -> Vec<u8> {
    option(13, &[&code.to_be_bytes()[..], b"sorry"].concat())
}

/// What the client sent: type, transaction, options.
#[derive(Clone, Debug)]
struct Sent {
    kind: u8,
    transaction: [u8; 3],
    options: Vec<(u16, Vec<u8>)>,
}

impl Sent {
    fn read(frame: &[u8]) -> Option<Self> {
        let payload = &frame[54..];
        let len = (payload.len() as u32).to_be_bytes();
        let sums = [&frame[22..38], &frame[38..54], &len, &[0, 0, 0, frame[20]], payload];
        assert_eq!(checksum(&sums), 0);
        if frame[20] != 17 {
            assert_eq!((payload[0], frame[21]), (133, 255), "a router is looked for");
            return None;
        }
        assert_eq!(&frame[..6], [0x33, 0x33, 0, 1, 0, 2]);
        assert_eq!(&payload[..4], [2, 34, 2, 35]);
        let message = &payload[8..];
        let mut options = vec![];
        let mut rest = &message[4..];
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            options.push((u16::from_be_bytes([rest[0], rest[1]]), rest[4..4 + length].to_vec()));
            rest = &rest[4 + length..];
        }
        Some(Self { kind: message[0], transaction: message[1..4].try_into().unwrap(), options })
    }

    fn option(&self, code: u16) -> Option<&[u8]> {
        self.options.iter().find(|(found, _)| *found == code).map(|(_, data)| data.as_slice())
    }

    /// An answer with the identifiers it must have.
    fn answer(&self, kind: u8, rest: &[Vec<u8>]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend(self.transaction);
        message.extend(option(1, self.option(1).unwrap()));
        message.extend(option(2, SERVER));
        message.extend(rest.concat());
        message
    }
}

struct Lab {
    requester: Requester,
    now: Now,
}

fn enclose(message: &[u8]) -> Vec<u8> {
    let (from, to) = (ip("fe80::ee"), ip("fe80::cc"));
    let len = (message.len() + 8) as u16;
    let mut datagram = [&[2, 35, 2, 34], &len.to_be_bytes()[..], &[0, 0], message].concat();
    let wide = u32::from(len).to_be_bytes();
    let sum = checksum(&[&from.octets(), &to.octets(), &wide, &[0, 0, 0, 17], &datagram]);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [OWN.0, PROVIDER.0].concat();
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend(len.to_be_bytes());
    frame.extend([17, 64]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(datagram);
    frame
}

impl Lab {
    fn new() -> Self {
        let now = Now { mono: Monotonic::from_nanos(50_000_000_000), wall: Wall::from_unix(1_800_000_000) };
        let link = Link { mac: Some(OWN), link_local: ip("fe80::cc"), uuid: [9; 16], iaid: IAID };
        Self { requester: Requester::new(link, 5, now), now }
    }

    fn drain(&mut self) -> Vec<Sent> {
        let mut sent = vec![];
        while let Some(frame) = self.requester.poll_transmit() {
            sent.extend(Sent::read(frame));
        }
        sent
    }

    /// Lets `time` pass; what was sent, and when.
    fn pass(&mut self, time: Duration) -> Vec<(Duration, Sent)> {
        let (start, end) = (self.now, self.now.mono + time);
        let mut all = vec![];
        let mut turns = 0;
        while let Some(at) = self.requester.poll_timeout().filter(|at| *at <= end) {
            let at = at.max(self.now.mono);
            self.now.mono = at;
            self.requester.handle_timeout(self.now);
            all.extend(self.drain().into_iter().map(|sent| (at.since(start.mono), sent)));
            turns += 1;
            assert!(turns < 10_000, "it does not come to rest");
        }
        self.now.mono = end;
        self.requester.handle_timeout(self.now);
        all.extend(self.drain().into_iter().map(|sent| (time, sent)));
        all
    }

    /// The next message.
    fn next(&mut self) -> Sent {
        for _ in 0..100 {
            let at = self.requester.poll_timeout().expect("it goes on");
            if let Some((_, sent)) = self.pass(at.since(self.now.mono)).pop() {
                return sent;
            }
        }
        panic!("nothing is asked for");
    }

    fn hear(&mut self, message: &[u8]) -> Vec<Sent> {
        self.requester.handle_frame(&enclose(message), self.now);
        self.drain()
    }

    fn router(&mut self, options: &[u8]) {
        let message = [&[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], options].concat();
        let mut frame = icmp(PROVIDER, ip("fe80::ee"), ip("ff02::1"), 255, &message);
        frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
        self.requester.handle_frame(&frame, self.now);
    }

    /// Goes all the way to a prefix.
    fn delegate(&mut self, text: &str, t1: u32, t2: u32, preferred: u32, valid: u32) {
        let solicit = self.next();
        assert_eq!(solicit.kind, SOLICIT);
        let granted = association(IAID, t1, t2, &prefix(text, preferred, valid));
        let offer = solicit.answer(ADVERTISE, &[granted.clone(), option(7, &[255])]);
        let request = self.hear(&offer).pop().expect("an offer of the highest preference is taken at once");
        assert_eq!((request.kind, request.option(2)), (REQUEST, Some(SERVER)));
        assert_ne!(request.transaction, solicit.transaction);
        let asked = request.option(25).unwrap();
        assert_eq!(
            asked[12 + 4..],
            granted[4 + 12 + 4..][..8 + 17]
                .iter()
                .enumerate()
                .map(|(at, byte)| if at < 8 { 0 } else { *byte })
                .collect::<Vec<_>>()[..]
        );
        self.hear(&request.answer(REPLY, &[granted]));
        assert_eq!(self.prefix().as_deref(), Some(text));
    }

    fn prefix(&self) -> Option<String> {
        self.requester.given().delegated.map(|delegated| delegated.prefix.to_string())
    }

    fn counted(&self) -> Vec<(&'static str, u64)> {
        let drops = self.requester.counters().drops().filter(|(_, count)| *count > 0);
        drops.map(|(reason, count)| (reason.name(), count)).collect()
    }
}

#[test]
fn a_prefix_is_asked_for_taken_renewed_and_asked_for_everywhere_before_it_ends() {
    let mut lab = Lab::new();
    lab.delegate("2001:db8:100::/56", 1_000, 1_600, 3_000, 4_000);
    let given = lab.requester.given();
    assert!(given.settled);
    assert_eq!(given.delegated.unwrap().valid_until, lab.now.mono + seconds(4_000));
    assert!(lab.pass(seconds(999)).is_empty(), "nothing to ask before T1");
    let renewals = lab.pass(seconds(500));
    assert!(renewals.iter().all(|(_, sent)| sent.kind == RENEW && sent.option(2) == Some(SERVER)));
    assert_eq!(renewals[0].1.option(8), Some(&[0, 0][..]), "the first of an exchange has taken no time");
    assert!(renewals[1].1.option(8).unwrap() > &[0, 0][..]);
    // An answer makes it last.
    let granted = association(IAID, 0, 0, &prefix("2001:db8:100::/56", 2_000, 4_000));
    lab.hear(&renewals.last().unwrap().1.answer(REPLY, &[granted]));
    assert_eq!(lab.requester.given().delegated.unwrap().valid_until, lab.now.mono + seconds(4_000));
    assert!(
        lab.pass(seconds(999)).is_empty(),
        "half of the preferred lifetime, when the server does not say"
    );
    let asked = lab.pass(seconds(1_000));
    assert!(asked.iter().take_while(|(_, sent)| sent.kind == RENEW).count() > 3);
    let rebinds: Vec<_> = asked.iter().filter(|(_, sent)| sent.kind == REBIND).collect();
    assert!(
        !rebinds.is_empty()
            && rebinds.iter().all(|(at, sent)| *at >= seconds(600) && sent.option(2).is_none())
    );
    assert_eq!(lab.prefix().as_deref(), Some("2001:db8:100::/56"));
    // It is not preferred any more: not to be used for anything new.
    lab.pass(seconds(100));
    assert_eq!(lab.prefix(), None);
    // It ends, and everything begins anew.
    let asked = lab.pass(seconds(3_000));
    assert_eq!(asked.last().unwrap().1.kind, SOLICIT);
}

#[test]
fn questions_become_rarer_as_the_standard_says() {
    let mut lab = Lab::new();
    let asked = lab.pass(seconds(40_000));
    assert!(asked[0].0 <= seconds(1), "SOL_MAX_DELAY");
    let gaps: Vec<f64> = asked.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect();
    assert!((1.0..=1.1).contains(&gaps[0]), "{gaps:?}");
    for pair in gaps.windows(2).take(10) {
        assert!((1.9..=2.1).contains(&(pair[1] / pair[0])), "{gaps:?}");
    }
    assert!(gaps.iter().all(|gap| *gap <= 3_960.0) && gaps.last().unwrap() > &3_200.0, "SOL_MAX_RT");
    assert_eq!(
        asked.iter().map(|(_, sent)| sent.transaction).collect::<std::collections::BTreeSet<_>>().len(),
        1
    );
    // A server names a shorter longest pause, even when it has nothing (§18.2.9).
    let last = asked.last().unwrap().1.clone();
    lab.hear(
        &last.answer(ADVERTISE, &[option(82, &600_u32.to_be_bytes()), association(IAID, 0, 0, &status(6))]),
    );
    let asked = lab.pass(seconds(20_000));
    let gaps: Vec<_> = asked.windows(2).skip(1).map(|pair| (pair[1].0 - pair[0].0).as_secs()).collect();
    assert!(gaps.iter().all(|gap| (539..=661).contains(gap)) && gaps.len() > 10, "{gaps:?}");
}

#[test]
fn it_is_known_after_a_while_that_nobody_delegates() {
    let mut lab = Lab::new();
    lab.pass(seconds(2));
    assert!(!lab.requester.given().settled);
    lab.pass(seconds(8));
    assert!(lab.requester.given().settled);
    // A server that says so need not be waited for.
    let mut lab = Lab::new();
    let solicit = lab.next();
    assert!(solicit.option(14).is_some() && solicit.option(6) == Some(&[0, 82]));
    lab.hear(&solicit.answer(ADVERTISE, &[association(IAID, 0, 0, &status(6))]));
    assert!(lab.requester.given().settled && lab.prefix().is_none());
    // Later there is one, and it is taken.
    lab.delegate("2001:db8:100::/60", 0, 0, 100, 200);
}

#[test]
fn a_server_in_a_hurry_is_believed_and_of_several_the_best_is_taken() {
    let mut lab = Lab::new();
    let solicit = lab.next();
    let granted = association(IAID, 0, 0, &prefix("2001:db8:300::/48", 100, 200));
    lab.hear(&solicit.answer(REPLY, std::slice::from_ref(&granted)));
    assert_eq!(lab.prefix(), None, "nobody asked that one to hurry");
    lab.hear(&solicit.answer(REPLY, &[granted, option(14, &[])]));
    assert_eq!(lab.prefix().as_deref(), Some("2001:db8:300::/48"));
    let mut lab = Lab::new();
    let solicit = lab.next();
    for (preference, text) in [(3, "2001:db8:300::/56"), (9, "2001:db8:900::/56"), (1, "2001:db8:100::/56")] {
        let granted = association(IAID, 0, 0, &prefix(text, 100, 200));
        assert!(lab.hear(&solicit.answer(ADVERTISE, &[granted, option(7, &[preference])])).is_empty());
    }
    let request = lab.next();
    assert_eq!(request.kind, REQUEST);
    assert_eq!(request.option(25).unwrap()[12 + 4 + 9..][..6], [0x20, 0x01, 0x0d, 0xb8, 0x09, 0x00]);
}

#[test]
fn the_prefix_that_is_held_stays_as_long_as_it_is_granted() {
    let mut lab = Lab::new();
    lab.delegate("2001:db8:100::/56", 50, 80, 100, 200);
    lab.pass(seconds(50));
    let renew = lab.next();
    let inner = [prefix("2001:db8:200::/56", 900, 900), prefix("2001:db8:100::/56", 100, 200)].concat();
    lab.hear(&renew.answer(REPLY, &[association(IAID, 0, 0, &inner)]));
    assert_eq!(lab.prefix().as_deref(), Some("2001:db8:100::/56"));
    // The provider takes it back and gives another.
    lab.pass(seconds(50));
    let renew = lab.next();
    let inner = [prefix("2001:db8:100::/56", 0, 0), prefix("2001:db8:200::/56", 900, 900)].concat();
    lab.hear(&renew.answer(REPLY, &[association(IAID, 0, 0, &inner)]));
    assert_eq!(lab.prefix().as_deref(), Some("2001:db8:200::/56"));
    // It takes that back, too.
    lab.pass(seconds(451));
    let renew = lab.next();
    lab.hear(&renew.answer(REPLY, &[association(IAID, 0, 0, &prefix("2001:db8:200::/56", 0, 0))]));
    assert_eq!(lab.prefix(), None);
    assert_eq!(lab.next().kind, SOLICIT);
}

#[test]
fn a_server_that_has_forgotten_us_is_asked_as_if_for_the_first_time() {
    let mut lab = Lab::new();
    lab.delegate("2001:db8:100::/56", 50, 80, 100, 200);
    lab.pass(seconds(50));
    let renew = lab.next();
    let request = lab.hear(&renew.answer(REPLY, &[association(IAID, 0, 0, &status(3))])).pop().unwrap();
    assert_eq!((request.kind, request.option(2)), (REQUEST, Some(SERVER)));
    // And refuses: then others are.
    lab.hear(&request.answer(REPLY, &[association(IAID, 0, 0, &status(6))]));
    assert_eq!(lab.next().kind, SOLICIT);
    // A server that never answers a request is given up, too.
    let mut lab = Lab::new();
    let solicit = lab.next();
    let granted = association(IAID, 0, 0, &prefix("2001:db8:100::/56", 100, 200));
    lab.hear(&solicit.answer(ADVERTISE, &[granted, option(7, &[255])]));
    let asked = lab.pass(seconds(400));
    assert_eq!(asked.iter().filter(|(_, sent)| sent.kind == REQUEST).count(), 9, "REQ_MAX_RC with the first");
    assert_eq!(asked.last().unwrap().1.kind, SOLICIT);
}

#[test]
fn whoever_leaves_gives_the_prefix_back() {
    let mut lab = Lab::new();
    lab.requester.stop(lab.now);
    assert!(lab.drain().is_empty(), "nothing to give back");
    let mut lab = Lab::new();
    lab.delegate("2001:db8:100::/56", 50, 80, 100, 200);
    lab.requester.stop(lab.now);
    let release = lab.drain().pop().unwrap();
    assert_eq!((release.kind, release.option(2)), (RELEASE, Some(SERVER)));
    assert_eq!(release.option(25).unwrap()[12 + 4 + 8], 56);
    assert_eq!(lab.requester.poll_timeout(), None);
}

#[test]
fn answers_that_are_not_ours_or_make_no_sense_are_dropped_and_counted() {
    let granted = |text: &str| association(IAID, 0, 0, &prefix(text, 100, 200));
    let good = granted("2001:db8:100::/56");
    type Change = Box<dyn Fn(&Sent) -> Vec<u8>>;
    let cases: Vec<(Change, &str)> = vec![
        (
            Box::new({
                let good = good.clone();
                move |sent: &Sent| {
                    let mut answer = sent.answer(ADVERTISE, std::slice::from_ref(&good));
                    answer[1] ^= 1;
                    answer
                }
            }),
            "unasked",
        ),
        (
            Box::new({
                let good = good.clone();
                move |sent: &Sent| {
                    let mut other = sent.clone();
                    other.options[0].1[5] ^= 1;
                    other.answer(ADVERTISE, std::slice::from_ref(&good))
                }
            }),
            "unasked",
        ),
        (Box::new(|sent: &Sent| sent.answer(SOLICIT, &[])), "message"),
        (Box::new(|sent: &Sent| sent.answer(13, &[])), "message"),
        (
            Box::new(|sent: &Sent| {
                let inner = prefix("2001:db8:100::/56", 100, 200);
                sent.answer(ADVERTISE, &[association(IAID, 90, 80, &inner)])
            }),
            "lifetimes",
        ),
        (Box::new(|sent: &Sent| sent.answer(ADVERTISE, &[option(25, &[0; 11])])), "options"),
        (Box::new(|sent: &Sent| sent.answer(ADVERTISE, &[option(2, SERVER)])), "options"),
        (
            Box::new(|sent: &Sent| sent.answer(ADVERTISE, &[association(IAID, 0, 0, &option(26, &[0; 24]))])),
            "options",
        ),
        (Box::new(|sent: &Sent| [sent.answer(ADVERTISE, &[]), vec![0, 25, 0xff, 0xff]].concat()), "options"),
        (
            Box::new(|sent: &Sent| {
                let many =
                    (0..9).flat_map(|n| prefix(&format!("2001:db8:{n}00::/56"), 1, 2)).collect::<Vec<_>>();
                sent.answer(ADVERTISE, &[association(IAID, 0, 0, &many)])
            }),
            "too_many",
        ),
        (Box::new(|_: &Sent| vec![2, 0]), "truncated"),
    ];
    for (change, reason) in cases {
        let mut lab = Lab::new();
        let solicit = lab.next();
        assert!(lab.hear(&change(&solicit)).is_empty());
        assert_eq!(lab.counted(), [(reason, 1)]);
        // It goes on as if nothing had come.
        lab.delegate("2001:db8:100::/56", 0, 0, 100, 200);
    }
    // Prefixes that nobody can use, of another's association, with lifetimes that contradict each other.
    let bad = association(IAID, 0, 0, &prefix("2001:db8:100::/56", 300, 200));
    let foreign = association(IAID + 1, 0, 0, &prefix("2001:db8:100::/56", 100, 200));
    let texts = ["fd00::/48", "::/0", "2001:db8::/65", "fe80::/64", "ff00::/48", "2000::/3"];
    for useless in texts.map(granted).into_iter().chain([bad, foreign]) {
        let mut lab = Lab::new();
        let solicit = lab.next();
        assert!(lab.hear(&solicit.answer(ADVERTISE, &[useless, option(7, &[255])])).is_empty());
        assert_eq!(lab.next().kind, SOLICIT);
    }
    // To another station, another address or another port.
    let mut lab = Lab::new();
    let solicit = lab.next();
    for at in [0, 53, 57] {
        let mut frame = enclose(&solicit.answer(ADVERTISE, &[good.clone(), option(7, &[255])]));
        frame[at] ^= 4;
        lab.requester.handle_frame(&frame, lab.now);
        assert!(lab.drain().is_empty());
    }
    assert_eq!(lab.counted(), [("not_for_us", 3)]);
}

#[test]
fn whoever_does_not_know_the_transaction_keeps_no_answer_from_being_heard() {
    let mut lab = Lab::new();
    let solicit = lab.next();
    let granted = association(IAID, 0, 0, &prefix("2001:db8:100::/56", 100, 200));
    let offer = || solicit.answer(ADVERTISE, &[granted.clone(), option(7, &[255])]);
    // From made-up senders and from the server's own address, at one moment; and routers without end.
    for number in 0..20_000_u32 {
        let mut wrong = offer();
        wrong[1] ^= 1;
        let mut frame = enclose(&wrong);
        if number % 2 == 0 {
            frame[8..12].copy_from_slice(&number.to_be_bytes());
        }
        lab.requester.handle_frame(&frame, lab.now);
        lab.router(&[]);
    }
    let counted = lab.counted();
    assert!(counted.contains(&("unasked", 20_000)), "{counted:?}");
    assert!(counted.iter().any(|(reason, count)| *reason == "source_rate" && *count > 19_000), "{counted:?}");
    assert_eq!(lab.hear(&offer()).pop().unwrap().kind, REQUEST);
}

#[test]
fn what_routers_advertise_is_kept_as_long_as_they_say() {
    let information = |text: &str, flags: u8, valid: u32, preferred: u32| {
        let (address, length) = text.split_once('/').unwrap();
        let mut option = vec![3, 4, length.parse().unwrap(), flags];
        option.extend([valid.to_be_bytes(), preferred.to_be_bytes(), [0; 4]].concat());
        option.extend(ip(address).octets());
        option
    };
    let shared = |lab: &Lab| lab.requester.given().shared.map(|shared| shared.network.to_string());
    let mut lab = Lab::new();
    for useless in [
        information("2001:db8:1::/64", 0x80, 100, 100),
        information("2001:db8:1::/64", 0x40, 100, 100),
        information("2001:db8:1::/48", 0xc0, 100, 100),
        information("fd00::/64", 0xc0, 100, 100),
        information("2001:db8:1::/64", 0xc0, 100, 200),
        information("2001:db8:1::/64", 0xc0, 0, 0),
        [information("2001:db8:1::/64", 0xc0, 100, 100), vec![3, 0]].concat(),
        [information("2001:db8:1::/64", 0xc0, 100, 100), vec![3, 9]].concat(),
    ] {
        lab.router(&useless);
        assert_eq!(shared(&lab), None);
    }
    assert_eq!(lab.counted(), [("nd_option", 2)]);
    lab.router(&information("2001:db8:1::/64", 0xc0, 200, 100));
    lab.router(&information("2001:db8:2::/64", 0xc0, 2_000, 1_000));
    assert_eq!(shared(&lab).as_deref(), Some("2001:db8:1::/64"), "the first, as long as it lasts");
    lab.pass(seconds(101));
    assert_eq!(shared(&lab).as_deref(), Some("2001:db8:2::/64"));
    lab.router(&information("2001:db8:2::/64", 0xc0, 2_000, 0));
    assert_eq!(shared(&lab), None, "deprecated");
    // Where the uplink translates.
    let nat64 = |lab: &Lab| lab.requester.given().nat64.map(|nat64| nat64.prefix.to_string());
    let pref64 = |scaled: u16, prefix: &str| {
        [&[38, 2], &scaled.to_be_bytes()[..], &ip(prefix).octets()[..12]].concat()
    };
    lab.router(&pref64(80, "64:ff9b::"));
    assert_eq!(nat64(&lab).as_deref(), Some("64:ff9b::/96"));
    lab.router(&pref64(80 | 3, "2001:db8:64::"));
    assert_eq!(nat64(&lab).as_deref(), Some("64:ff9b::/96"), "one is enough");
    lab.pass(seconds(81));
    assert_eq!(nat64(&lab), None);
    lab.router(&pref64(80 | 3, "2001:db8:64::"));
    assert_eq!(nat64(&lab).as_deref(), Some("2001:db8:64::/48"));
    lab.router(&pref64(3, "2001:db8:64::"));
    assert_eq!(nat64(&lab), None, "withdrawn");
    lab.router(&pref64(80 | 7, "2001:db8:64::"));
    assert_eq!(nat64(&lab), None, "a length that has no meaning");
}

#[test]
fn a_link_without_hardware_addresses_is_spoken_to_without_them() {
    let now = Now { mono: Monotonic::from_nanos(1), wall: Wall::from_unix(1) };
    let link = Link { mac: None, link_local: ip("fe80::cc"), uuid: [9; 16], iaid: IAID };
    let mut requester = Requester::new(link, 5, now);
    requester.handle_timeout(Now { mono: Monotonic::from_nanos(2_000_000_000), ..now });
    let mut solicit = None;
    while let Some(packet) = requester.poll_transmit() {
        assert_eq!(packet[0] >> 4, 6);
        if packet[6] == 17 {
            solicit = Some([&[0; 14][..], packet].concat());
        }
    }
    let mut frame = solicit.unwrap();
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 1, 0, 2]);
    let solicit = Sent::read(&frame).unwrap();
    let granted = association(IAID, 0, 0, &prefix("2001:db8:100::/56", 100, 200));
    let answer = enclose(&solicit.answer(REPLY, &[granted, option(14, &[])]));
    requester.handle_frame(&answer[14..], Now { mono: Monotonic::from_nanos(2_000_000_000), ..now });
    assert!(requester.given().delegated.is_some());
}

#[test]
fn the_first_subnet_of_a_delegation_is_always_the_same() {
    for (delegation, first) in
        [("2001:db8:100::/56", "2001:db8:100::/64"), ("2001:db8:1:2::/64", "2001:db8:1:2::/64")]
    {
        assert_eq!(hn_ip6::first_of(delegation.parse().unwrap()).to_string(), first);
    }
    assert_eq!(hn_ip6::association_of("eth0"), hn_ip6::association_of("eth0"));
    assert_ne!(hn_ip6::association_of("eth0"), hn_ip6::association_of("eth1"));
    let _: Ipv6Addr = ip("::");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_answer_breaks_the_client(
        noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..12),
        flips in proptest::collection::vec((0_usize..120, any::<u8>()), 0..30),
    ) {
        let mut lab = Lab::new();
        for bytes in noise {
            let solicit = lab.next();
            lab.hear(&bytes);
            lab.requester.handle_frame(&bytes, lab.now);
            lab.hear(&solicit.answer(ADVERTISE, &[bytes]));
        }
        for (at, value) in flips {
            let sent = lab.next();
            let granted = association(IAID, 10, 20, &prefix("2001:db8:100::/56", 30, 40));
            let mut answer = sent.answer(if sent.kind == SOLICIT { ADVERTISE } else { REPLY }, &[granted]);
            if let Some(byte) = answer.get_mut(at) {
                *byte = value;
            }
            lab.hear(&answer);
            lab.router(&answer);
        }
        lab.pass(seconds(100));
    }
}
