//! The recovery of a device: every transition, and what must hold whatever happens.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::VecDeque, time::Duration};

use hn_conformance::checks;
use hn_join::{Change, Client, ClientOutput, Lease, Loss, Machine, News, Output, Refusal, Sighting};
use hn_types::{MacAddr, Monotonic, Subnet4};
use proptest::prelude::*;

const POINT: Sighting = Sighting { bssid: MacAddr([2, 0, 0, 0, 0, 1]), frequency_mhz: 2412 };

fn lease(text: &str) -> Lease {
    let address: Subnet4 = text.parse().unwrap();
    let server = Subnet4::new(address.network().address(), address.prefix()).unwrap();
    Lease {
        address,
        router: None,
        dns: Vec::new(),
        domain: None,
        server: std::net::Ipv4Addr::from_bits(server.address().to_bits() + 1),
        server_mac: POINT.bssid,
        seconds: Some(600),
        renew: Duration::from_secs(300),
        rebind: Duration::from_secs(525),
    }
}

/// The machine with a clock that the test moves.
struct Stand {
    machine: Machine,
    now: Monotonic,
}

impl Stand {
    fn new(once: bool) -> Self {
        let mut machine = Machine::new(once);
        let now = Monotonic::from_nanos(1);
        machine.start(now);
        Self { machine, now }
    }

    fn out(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn news(&mut self, news: News) -> Vec<Output> {
        self.machine.handle_news(news, self.now);
        self.out()
    }

    fn lease(&mut self, text: &str) -> Vec<Output> {
        self.machine.handle_lease(lease(text), self.now);
        self.out()
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Lets the time pass until the machine wants to be woken; how long that was.
    fn sleep(&mut self) -> (Duration, Vec<Output>) {
        let at = self.machine.poll_timeout().expect("it wants to be woken");
        let waited = at.since(self.now);
        self.now = self.now.max(at);
        self.machine.handle_timeout(self.now);
        (waited, self.out())
    }

    /// Prepared, seen, joined, addressed.
    fn online(once: bool) -> Self {
        let mut stand = Self::new(once);
        assert_eq!(stand.out(), [Output::Prepare]);
        assert_eq!(stand.news(News::Ready), [Output::Scan, Output::Tell(Change::Scanning { attempt: 1 })]);
        let seen = stand.news(News::Scanned(Some(POINT)));
        assert_eq!(seen, [Output::Connect, Output::Tell(Change::Associating(POINT))]);
        let joined = stand.news(News::Joined(POINT));
        assert_eq!(joined, [Output::Acquire, Output::Tell(Change::GettingAddress(POINT))]);
        let got = lease("192.168.173.5/24");
        let online = stand.lease("192.168.173.5/24");
        assert_eq!(online, [Output::Apply(got.clone()), Output::Tell(Change::Online(got))]);
        assert_eq!(stand.machine.poll_timeout(), None, "online, there is nothing to wait for");
        stand
    }
}

/// The whole of sequences §5.2.
#[test]
fn a_lost_connection_is_looked_for_joined_again_and_readdressed() {
    let mut stand = Stand::online(false);
    stand.pass(60);
    checks!(M145:
        // The driver says so, and nothing else is believed to be online any more.
        let lost = stand.news(News::Left { reason: 3, locally: false });
        assert_eq!(lost.first(), Some(&Output::Halt));
        assert!(lost.contains(&Output::Withdraw), "the address goes with the connection");
        assert!(lost.contains(&Output::Tell(Change::Lost { reason: 3, locally: false })));
        assert!(lost.contains(&Output::Scan), "the first look is at once");
    );
    checks!(M146:
        for attempt in 2..30 {
            assert_eq!(stand.news(News::Scanned(None)), []);
            let (waited, out) = stand.sleep();
            assert!((1..=15).contains(&waited.as_secs()), "look {attempt} after {waited:?}");
            assert_eq!(out, [Output::Scan, Output::Tell(Change::Scanning { attempt })]);
        }
    );
    checks!(M147:
        assert_eq!(stand.news(News::Scanned(Some(POINT))).first(), Some(&Output::Connect));
        assert_eq!(stand.news(News::Joined(POINT)).first(), Some(&Output::Acquire));
    );
    checks!(M148:
        let out = stand.lease("192.168.137.7/24");
        assert_eq!(out.first(), Some(&Output::Apply(lease("192.168.137.7/24"))));
        assert!(matches!(out.get(1), Some(Output::Tell(Change::Online(_)))));
    );
}

#[test]
fn a_wrong_key_is_told_and_tried_again_ever_more_slowly_up_to_a_bound() {
    let mut stand = Stand::new(false);
    stand.news(News::Ready);
    let mut waits = Vec::new();
    for _ in 0..8 {
        stand.news(News::Scanned(Some(POINT)));
        let refused = stand.news(News::Refused(Refusal::WrongKey));
        assert_eq!(refused.first(), Some(&Output::Park), "the supplicant does not go on by itself");
        assert!(
            matches!(refused.get(1), Some(Output::Tell(Change::Refused { cause: Refusal::WrongKey, retry_s })) if *retry_s >= 5),
            "{refused:?}"
        );
        waits.push(stand.sleep().0.as_secs());
    }
    assert_eq!(waits, [5, 5, 5, 8, 15, 15, 15, 15]);
}

#[test]
fn a_network_that_does_not_answer_is_given_up_and_looked_for_again() {
    let mut stand = Stand::new(false);
    stand.news(News::Ready);
    stand.news(News::Scanned(Some(POINT)));
    let (_, out) = stand.sleep();
    assert_eq!(out.first(), Some(&Output::Park));
    assert!(matches!(out.get(1), Some(Output::Tell(Change::Refused { cause: Refusal::Timeout, .. }))));
    assert!(stand.sleep().1.contains(&Output::Scan));
}

#[test]
fn without_an_address_the_network_is_left_and_tried_again() {
    let mut stand = Stand::new(false);
    stand.news(News::Ready);
    stand.news(News::Scanned(Some(POINT)));
    stand.news(News::Joined(POINT));
    let (waited, out) = stand.sleep();
    assert!(waited >= Duration::from_secs(60), "DHCP has had time: {waited:?}");
    assert_eq!(out.first(), Some(&Output::Halt));
    assert!(out.contains(&Output::Park));
    assert!(matches!(out.last(), Some(Output::Tell(Change::NoAddress { .. }))));
    assert!(stand.sleep().1.contains(&Output::Scan));
}

#[test]
fn a_new_association_confirms_the_address_and_keeps_it_meanwhile() {
    let mut stand = Stand::online(false);
    assert_eq!(stand.news(News::Joined(POINT)), [Output::Acquire]);
    let again = stand.lease("192.168.173.5/24");
    assert!(matches!(again.get(1), Some(Output::Tell(Change::Renewed(_)))), "{again:?}");
}

#[test]
fn a_refused_lease_is_removed_and_the_next_one_applied() {
    let mut stand = Stand::online(false);
    stand.machine.handle_lease_lost(Loss::Refused, stand.now);
    assert_eq!(stand.out(), [Output::Withdraw, Output::Tell(Change::AddressLost { cause: Loss::Refused })]);
    let out = stand.lease("192.168.137.7/24");
    assert!(matches!(out.get(1), Some(Output::Tell(Change::Online(_)))), "{out:?}");
}

#[test]
fn a_connection_that_flaps_is_not_retried_without_a_pause() {
    let mut stand = Stand::online(false);
    for flap in 0..6 {
        let lost = stand.news(News::Left { reason: 2, locally: false });
        assert!(!lost.contains(&Output::Scan), "flap {flap}: {lost:?}");
        assert!(stand.sleep().0 >= Duration::from_secs(1));
        stand.news(News::Scanned(Some(POINT)));
        stand.news(News::Joined(POINT));
        stand.lease("192.168.173.5/24");
    }
    stand.pass(10);
    assert!(stand.news(News::Left { reason: 2, locally: false }).contains(&Output::Scan), "a good one again");
}

#[test]
fn a_supplicant_that_ends_is_started_again() {
    let mut stand = Stand::online(false);
    let out = stand.news(News::Gone("killed by signal 9".into()));
    assert_eq!(out[..2], [Output::Halt, Output::Withdraw]);
    assert!(matches!(&out[2], Output::Tell(Change::Trouble { cause, .. }) if cause.contains("signal 9")));
    assert_eq!(stand.news(News::Gone("again".into())), [], "one end is told once");
    let (waited, out) = stand.sleep();
    assert!(waited >= Duration::from_secs(1));
    assert_eq!(out, [Output::Prepare]);
    assert!(stand.news(News::Ready).contains(&Output::Scan));
}

#[test]
fn once_means_the_first_failure_is_the_last() {
    for news in [News::Refused(Refusal::WrongKey), News::Gone("no radio".into())] {
        let mut stand = Stand::new(true);
        stand.news(News::Ready);
        stand.news(News::Scanned(Some(POINT)));
        let out = stand.news(news);
        assert_eq!(out.last(), Some(&Output::GiveUp), "{out:?}");
        assert_eq!(stand.machine.poll_timeout(), None);
    }
    let mut stand = Stand::online(true);
    stand.pass(100);
    let out = stand.news(News::Left { reason: 3, locally: false });
    assert_eq!(out.last(), Some(&Output::GiveUp), "{out:?}");
}

#[test]
fn once_looks_three_times_before_it_says_that_there_is_no_such_network() {
    let mut stand = Stand::new(true);
    stand.news(News::Ready);
    for _ in 0..2 {
        assert_eq!(stand.news(News::Scanned(None)), []);
        stand.sleep();
    }
    assert_eq!(stand.news(News::Scanned(None)), [Output::Tell(Change::NotFound), Output::GiveUp]);
}

#[test]
fn a_change_is_one_flat_object() {
    let text = serde_json::to_string(&Change::Online(lease("192.168.137.7/24"))).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["state"], "online");
    assert_eq!(value["address"], "192.168.137.7/24");
    assert_eq!(value["lease_s"], 600);
    let text = serde_json::to_string(&Change::GettingAddress(POINT)).unwrap();
    assert_eq!(text, r#"{"state":"getting_address","bssid":"02:00:00:00:00:01","frequency_mhz":2412}"#);
}

fn any_news() -> impl Strategy<Value = News> {
    prop_oneof![
        Just(News::Ready),
        Just(News::Gone("gone".into())),
        Just(News::Scanned(None)),
        Just(News::Scanned(Some(POINT))),
        Just(News::Joined(POINT)),
        Just(News::Refused(Refusal::WrongKey)),
        Just(News::Refused(Refusal::Rejected)),
        any::<u16>().prop_map(|reason| News::Left { reason, locally: false }),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    News(News),
    Lease,
    LeaseLost,
    Pass(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => any_news().prop_map(Event::News),
        2 => Just(Event::Lease),
        1 => Just(Event::LeaseLost),
        4 => (0_u64..40_000).prop_map(Event::Pass),
    ]
}

proptest! {
    /// Whatever happens: the machine goes on by itself, never spins, and the address is configured only while it
    /// holds one.
    #[test]
    fn it_always_tries_again_and_never_spins(events in prop::collection::vec(any_event(), 1..200)) {
        let mut stand = Stand::new(false);
        let mut applied = false;
        let mut tries: VecDeque<Monotonic> = VecDeque::new();
        let mut take = |outputs: Vec<Output>, now: Monotonic| {
            for output in outputs {
                match output {
                    Output::Apply(_) => applied = true,
                    Output::Withdraw => { prop_assert!(applied, "withdrawn twice"); applied = false; }
                    Output::Prepare | Output::Connect => tries.push_back(now),
                    Output::GiveUp => prop_assert!(false, "it gave up"),
                    Output::Scan | Output::Park | Output::Acquire | Output::Halt | Output::Tell(_) => {}
                }
            }
            while tries.front().is_some_and(|first| now.since(*first) > Duration::from_secs(10)) {
                tries.pop_front();
            }
            // Even under a supplicant that answers at once with the worst news.
            prop_assert!(tries.len() <= 25, "{} tries in ten seconds", tries.len());
            Ok(())
        };
        take(stand.out(), stand.now)?;
        for event in events {
            let outputs = match event {
                Event::News(news) => stand.news(news),
                Event::Lease => stand.lease("192.168.173.5/24"),
                Event::LeaseLost => { stand.machine.handle_lease_lost(Loss::Expired, stand.now); stand.out() }
                Event::Pass(millis) => {
                    stand.now += Duration::from_millis(millis);
                    stand.machine.handle_timeout(stand.now);
                    stand.out()
                }
            };
            take(outputs, stand.now)?;
        }
        // Left alone it comes back to looking or preparing within a few minutes, unless it is online.
        if stand.machine.poll_timeout().is_some() {
            let mut spent = Duration::ZERO;
            loop {
                let (waited, outputs) = stand.sleep();
                spent += waited;
                let again = outputs.iter().any(|output| matches!(output, Output::Scan | Output::Prepare));
                take(outputs, stand.now)?;
                if again { break; }
                prop_assert!(spent < Duration::from_secs(300), "still nothing after {spent:?}");
            }
        }
    }
}

/// The two machines together, as whoever drives them connects them.
#[test]
fn the_lease_of_the_client_is_the_machines() {
    let mut stand = Stand::new(false);
    stand.news(News::Ready);
    stand.news(News::Scanned(Some(POINT)));
    assert!(stand.news(News::Joined(POINT)).contains(&Output::Acquire));
    let mut client = Client::new(MacAddr([2, 0, 0, 0, 0, 7]), None, 1);
    client.handle_link(stand.now);
    assert!(matches!(client.poll_output(), Some(ClientOutput::Send(_))));
    assert!(client.lease().is_none());
}
