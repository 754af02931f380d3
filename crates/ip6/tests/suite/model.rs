//! Random lives of many clients against what must always hold.

use std::{collections::BTreeMap, time::Duration};

use hn_ip6::{Event, Limits, RawConfig};
use hn_types::MacAddr;
use proptest::prelude::*;

use crate::lab::*;

#[derive(Clone, Debug)]
enum Op {
    Acquire(u16, u32),
    Renew(u16, u32),
    Release(u16, u32),
    Decline(u16, u32),
    Pass(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let who = || (0_u16..8, 1_u32..3);
    prop_oneof![
        4 => who().prop_map(|(n, iaid)| Op::Acquire(n, iaid)),
        3 => who().prop_map(|(n, iaid)| Op::Renew(n, iaid)),
        2 => who().prop_map(|(n, iaid)| Op::Release(n, iaid)),
        2 => who().prop_map(|(n, iaid)| Op::Decline(n, iaid)),
        2 => (1_u32..50_000).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_ever_shares_an_address_and_events_tell_the_table(
        ops in prop::collection::vec(op(), 1..80),
        leases in 2_usize..20,
    ) {
        let limits = Limits { leases, leases_per_device: 2, declined: 3, ..patient().limits };
        let mut lab = Lab::new(RawConfig { limits, ..full() });
        // What events say is held: by whom.
        let mut told: BTreeMap<std::net::Ipv6Addr, MacAddr> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for op in ops {
            let client = |n, iaid| Client { iaid, ..Client::new(n) };
            let outs = match op {
                Op::Acquire(n, iaid) => {
                    let client = client(n, iaid);
                    let offer = lab.ask(&client.solicit()).expect("an answer");
                    match address(&offer) {
                        Some(offered) => {
                            let outs = lab.send(&client.request(offered));
                            last.insert((n, iaid), offered);
                            outs
                        }
                        None => vec![],
                    }
                }
                Op::Renew(n, iaid) => match last.get(&(n, iaid)) {
                    Some(held) => lab.send(&client(n, iaid).renew(*held)),
                    None => vec![],
                },
                Op::Release(n, iaid) => match last.get(&(n, iaid)) {
                    Some(held) => lab.send(&client(n, iaid).release(*held)),
                    None => vec![],
                },
                Op::Decline(n, iaid) => match last.get(&(n, iaid)) {
                    Some(held) => lab.send(&client(n, iaid).decline(*held)),
                    None => vec![],
                },
                Op::Pass(seconds) => {
                    let outs = lab.pass(Duration::from_secs(seconds.into()));
                    outs.into_iter().map(|(_, out)| out).collect()
                }
            };
            for out in outs {
                match out {
                    Out::Event(Event::LeaseBound { lease, renewed }) => {
                        let before = told.insert(lease.address, lease.mac);
                        prop_assert_eq!(before, renewed.then_some(lease.mac));
                    }
                    Out::Event(Event::LeaseEnded { address, mac }) => {
                        prop_assert_eq!(told.remove(&address), Some(mac));
                    }
                    Out::Advert { .. } | Out::Reply { .. } | Out::Neighbour(_) | Out::Uplink(_) | Out::Event(_) => {}
                }
            }
            let table: BTreeMap<_, _> =
                lab.server.leases().map(|lease| (lease.address, lease.mac)).collect();
            prop_assert_eq!(table.len(), lab.server.leases().count(), "no address twice");
            prop_assert_eq!(&table, &told);
            prop_assert!(table.len() <= leases);
            for mac in table.values() {
                prop_assert!(table.values().filter(|other| *other == mac).count() <= 2);
            }
        }
    }
}
