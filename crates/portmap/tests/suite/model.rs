//! PCP against a model: what a client that follows RFC 6887 believes is what the server holds.

use std::{collections::BTreeMap, time::Duration};

use hn_types::portmap::MapUplink;
use proptest::prelude::*;

use crate::{
    lab::*,
    pcp::{assigned, header, map, result},
};

#[derive(Clone, Debug)]
enum Step {
    /// Host, nonce, port, suggested port, lifetime.
    Map(u8, u8, u16, u16, u32),
    /// Host, nonce: everything.
    DeleteAll(u8, u8),
    Wait(u64),
    /// The address outside becomes this one.
    Address(u8),
    Down,
    /// The table is lost.
    Loss,
    Announce(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let host = 20_u8..24;
    prop_oneof![
        6 => (host.clone(), 0_u8..3, 1_u16..5, 0_u16..6, prop_oneof![Just(0_u32), 1_u32..300])
            .prop_map(|(h, n, p, s, l)| Step::Map(h, n, p, s, l)),
        1 => (host.clone(), 0_u8..3).prop_map(|(h, n)| Step::DeleteAll(h, n)),
        3 => (1_u64..120).prop_map(Step::Wait),
        1 => (1_u8..4).prop_map(Step::Address),
        1 => Just(Step::Down),
        1 => Just(Step::Loss),
        2 => host.prop_map(Step::Announce),
    ]
}

/// What a client knows of the server's time (§8.5).
#[derive(Default)]
struct Clock {
    last: Option<(u64, u64)>,
}

impl Clock {
    /// Whether the epoch in an answer says that state was lost.
    fn lost(&mut self, client_s: u64, server_s: u64) -> bool {
        let before = self.last.replace((client_s, server_s));
        before.is_some_and(|(previous_client, previous_server)| {
            if server_s + 1 < previous_server {
                return true;
            }
            let client_delta = client_s - previous_client;
            let server_delta = server_s.saturating_sub(previous_server);
            client_delta + 2 < server_delta - server_delta / 16
                || server_delta + 2 < client_delta - client_delta / 16
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nonces_and_epochs_are_as_the_rfc_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut lab = Lab::new(raw());
        // (host, port): nonce, external port, end.
        let mut held: BTreeMap<(u8, u16), (u8, u16, u64)> = BTreeMap::new();
        let mut clocks: BTreeMap<u8, Clock> = BTreeMap::new();
        // Hosts that have not heard yet of the last loss.
        let mut unheard: BTreeMap<u8, bool> = BTreeMap::new();
        let mut seconds = 0_u64;
        let mut address = 9_u8;
        for step in steps {
            let mut heard = None;
            match step {
                Step::Map(host, nonce, port, suggested, lifetime) => {
                    let from = device(host);
                    let suggested = if suggested == 0 { 0 } else { 1_000 + suggested };
                    let request = map(from.ip(), [nonce; 12], 17, port, suggested, lifetime);
                    let answer = lab.ask(from, &request);
                    let (code, granted, epoch) = result(&answer);
                    let known = held.get(&(host, port)).copied();
                    match known {
                        Some((owner, external, _)) if owner == nonce && lifetime > 0 => {
                            prop_assert_eq!((code, granted), (0, lifetime));
                            prop_assert_eq!(assigned(&answer).port(), external, "a renewal keeps its port");
                            held.insert((host, port), (nonce, external, seconds + u64::from(lifetime)));
                        }
                        Some((owner, _, _)) if owner == nonce => {
                            prop_assert_eq!((code, granted), (0, 0));
                            held.remove(&(host, port));
                        }
                        Some(_) => prop_assert_eq!(code, 2, "another nonce"),
                        None if lifetime == 0 => prop_assert_eq!((code, granted), (0, 0)),
                        None => {
                            prop_assert_eq!((code, granted), (0, lifetime));
                            let external = assigned(&answer).port();
                            let taken = held.values().any(|(_, other, _)| *other == external);
                            prop_assert!(!taken && external != 0);
                            held.insert((host, port), (nonce, external, seconds + u64::from(lifetime)));
                        }
                    }
                    heard = Some((host, epoch));
                }
                Step::DeleteAll(host, nonce) => {
                    let answer = lab.ask(device(host), &map(device(host).ip(), [nonce; 12], 0, 0, 0, 0));
                    prop_assert_eq!(result(&answer).0, 0);
                    held.retain(|(other, _), (owner, _, _)| *other != host || *owner != nonce);
                    heard = Some((host, result(&answer).2));
                }
                Step::Wait(time) => {
                    lab.pass(Duration::from_secs(time));
                    seconds += time;
                    lab.table.expire(lab.now.mono);
                    held.retain(|_, (_, _, end)| *end > seconds);
                }
                Step::Address(last) => {
                    if last != address {
                        unheard = (20..24).map(|host| (host, true)).collect();
                    }
                    address = last;
                    let external = Some([203, 0, 113, address].into());
                    lab.server.handle_uplink(MapUplink { external, since: lab.now.mono, ..lab.uplink() }, lab.now);
                    lab.outputs();
                }
                Step::Down => {
                    lab.server.handle_uplink(MapUplink::default(), lab.now);
                    lab.outputs();
                }
                Step::Loss => {
                    lab.table.rows.clear();
                    held.clear();
                    lab.server.handle_entries(vec![], lab.now);
                    lab.server.handle_loss(lab.now);
                    lab.outputs();
                    unheard = (20..24).map(|host| (host, true)).collect();
                }
                Step::Announce(host) => {
                    let answer = lab.ask(device(host), &header(0, device(host).ip(), 0));
                    heard = Some((host, result(&answer).2));
                }
            }
            prop_assert_eq!(lab.table.rows.len(), held.len());
            let Some((host, epoch)) = heard else { continue };
            let clock = clocks.entry(host).or_default();
            let known = clock.last;
            let lost = clock.lost(seconds, epoch.into());
            let expected = unheard.remove(&host).unwrap_or(false);
            match known {
                // Clocks may differ by a sixteenth (§8.5): what was lost while the server's time was shorter than
                // that of the silence cannot be told.
                Some((client_s, server_s)) if expected && server_s > 4 + (seconds - client_s) / 16 => {
                    prop_assert!(lost, "a loss must be seen");
                }
                Some(_) if !expected => prop_assert!(!lost, "nothing was lost"),
                _ => {}
            }
            // Every request stays below the sender's rate.
            lab.pass(Duration::from_millis(0));
        }
    }
}
