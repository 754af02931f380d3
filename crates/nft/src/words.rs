//! A foreign rule in words that its author would recognise. What is not understood is `…`: no word is invented.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::foreign::{Load, Register, Rule, Step, Verdict};

const UNKNOWN: &str = "…";

/// The rule as `nft` would write it, as far as it is understood.
pub(crate) fn words(rule: &Rule) -> String {
    let mut loaded: BTreeMap<Register, (Load, Option<Vec<u8>>)> = BTreeMap::new();
    let mut said: Vec<String> = Vec::new();
    for step in &rule.steps {
        match step {
            Step::Load(to, load) => {
                loaded.insert(*to, (*load, None));
            }
            Step::Bitwise(from, to, mask, _) => {
                if let Some((load, _)) = loaded.get(from).cloned() {
                    loaded.insert(*to, (load, Some(mask.clone())));
                }
            }
            Step::Compare(from, op, value) => said.push(compared(loaded.get(from), *op, value)),
            Step::Range(from, outside, low, high) => {
                let not = if *outside { "!= " } else { "" };
                said.push(match loaded.get(from) {
                    Some((load, _)) => {
                        format!("{} {not}{}-{}", name(*load), shown(*load, low), shown(*load, high))
                    }
                    None => UNKNOWN.into(),
                });
            }
            Step::Lookup(from, set, absent, _) => {
                let not = if *absent { "!= " } else { "" };
                said.push(match loaded.get(from) {
                    Some((load, _)) => format!("{} {not}@{set}", name(*load)),
                    None => format!("{UNKNOWN} {not}@{set}"),
                });
            }
            Step::Verdict(verdict) => said.push(ending(verdict)),
            Step::State(bits, inverted) => {
                let not = if *inverted { "!= " } else { "" };
                said.push(format!("ct state {not}{}", states(*bits)));
            }
            Step::Ports(ports) => said.extend(between(*ports)),
            Step::Passive => {}
            Step::Unknown | Step::Doubt => said.push(UNKNOWN.into()),
        }
    }
    said.dedup_by(|a, b| a == b && a == UNKNOWN);
    said.join(" ")
}

fn ending(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".into(),
        Verdict::Drop => "drop".into(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
        Verdict::Return => "return".into(),
        Verdict::Continue => "continue".into(),
        Verdict::Queue => "queue".into(),
    }
}

fn compared(loaded: Option<&(Load, Option<Vec<u8>>)>, op: u32, value: &[u8]) -> String {
    let Some((load, mask)) = loaded else { return UNKNOWN.into() };
    // A state is compared with nothing after it was masked: any of these.
    if let (Load::Ct(0), Some(mask), 1) = (load, mask, op)
        && value.iter().all(|byte| *byte == 0)
        && let Some(bits) = mask.first_chunk::<4>()
    {
        return format!("ct state {}", states(u32::from_ne_bytes(*bits)));
    }
    let sign = match op {
        0 => "",
        1 => "!= ",
        2 => "< ",
        3 => "<= ",
        4 => "> ",
        _ => ">= ",
    };
    let prefix = match mask {
        Some(mask) if matches!(value.len(), 4 | 16) => {
            format!("/{}", mask.iter().map(|byte| byte.count_ones()).sum::<u32>())
        }
        Some(_) => return format!("{} {UNKNOWN}", name(*load)),
        None => String::new(),
    };
    format!("{} {sign}{}{prefix}", name(*load), shown(*load, value))
}

fn name(load: Load) -> String {
    match load {
        Load::Meta(3) => "meta mark".into(),
        Load::Meta(4) => "iif".into(),
        Load::Meta(5) => "oif".into(),
        Load::Meta(6) => "iifname".into(),
        Load::Meta(7) => "oifname".into(),
        Load::Meta(8) => "iiftype".into(),
        Load::Meta(10) => "skuid".into(),
        Load::Meta(15) => "nfproto".into(),
        Load::Meta(16) => "l4proto".into(),
        Load::Meta(_) => "meta …".into(),
        Load::Ct(0) => "ct state".into(),
        Load::Ct(2) => "ct status".into(),
        Load::Ct(3) => "ct mark".into(),
        Load::Ct(_) => "ct …".into(),
        Load::Payload(0, 0, 6) => "ether daddr".into(),
        Load::Payload(0, 6, 6) => "ether saddr".into(),
        Load::Payload(1, 9, 1) => "ip protocol".into(),
        Load::Payload(1, 12, 1..=4) => "ip saddr".into(),
        Load::Payload(1, 16, 1..=4) => "ip daddr".into(),
        Load::Payload(1, 8, 16) => "ip6 saddr".into(),
        Load::Payload(1, 24, 16) => "ip6 daddr".into(),
        Load::Payload(2, 0, 2) => "sport".into(),
        Load::Payload(2, 2, 2) => "dport".into(),
        Load::Payload(base, offset, length) => format!("@{base},{},{}", offset * 8, length * 8),
    }
}

fn shown(load: Load, value: &[u8]) -> String {
    let number = || match value {
        [a, b, c, d] => Some(u32::from_ne_bytes([*a, *b, *c, *d])),
        _ => None,
    };
    let known = match (load, value) {
        (Load::Meta(6 | 7), name) => {
            let name: Vec<u8> = name.iter().copied().take_while(|byte| *byte != 0).collect();
            let whole = value.contains(&0);
            let text = hn_types::text::escape_untrusted(&name);
            // Without its end a name is the beginning of one.
            Some(if whole { format!("\"{text}\"") } else { format!("\"{text}*\"") })
        }
        (Load::Meta(15), [2]) => Some("ipv4".into()),
        (Load::Meta(15), [10]) => Some("ipv6".into()),
        (Load::Meta(16) | Load::Payload(1, 9, 1), [protocol]) => Some(match protocol {
            1 => "icmp".into(),
            6 => "tcp".into(),
            17 => "udp".into(),
            58 => "icmpv6".into(),
            other => other.to_string(),
        }),
        (Load::Payload(2, 0 | 2, 2), [a, b]) => Some(u16::from_be_bytes([*a, *b]).to_string()),
        (Load::Payload(1, 12 | 16, 1..=4), bytes @ [_, ..]) if bytes.len() <= 4 => {
            let mut octets = [0; 4];
            for (to, from) in octets.iter_mut().zip(bytes) {
                *to = *from;
            }
            let address = Ipv4Addr::from(octets);
            Some(if bytes.len() == 4 {
                address.to_string()
            } else {
                format!("{address}/{}", bytes.len() * 8)
            })
        }
        (Load::Payload(1, 8 | 24, 16), bytes) => {
            bytes.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).to_string())
        }
        (Load::Payload(0, 0 | 6, 6), bytes) => {
            bytes.first_chunk::<6>().map(|octets| hn_types::MacAddr(*octets).to_string())
        }
        (Load::Ct(0), _) => number().map(states),
        (Load::Meta(4 | 5 | 10), _) => number().map(|number| number.to_string()),
        _ => None,
    };
    known.unwrap_or_else(|| {
        let hex: String = value.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("0x{hex}")
    })
}

/// Bits of a state as the kernel counts them.
fn states(bits: u32) -> String {
    let names = [(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")];
    let said: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if said.is_empty() { UNKNOWN.into() } else { said.join(",") }
}

/// Ranges of ports; the whole range says nothing.
fn between([a, b, c, d]: [u16; 4]) -> impl Iterator<Item = String> {
    let range = |name: &str, first: u16, last: u16| match (first, last) {
        (0, u16::MAX) => None,
        (first, last) if first == last => Some(format!("{name} {first}")),
        (first, last) => Some(format!("{name} {first}-{last}")),
    };
    [range("sport", a, b), range("dport", c, d)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn said(steps: Vec<Step>) -> String {
        words(&Rule { handle: 1, steps })
    }

    #[test]
    fn rules_read_as_their_authors_wrote_them() {
        let drop = || Step::Verdict(Verdict::Drop);
        let mut lan = b"lan0".to_vec();
        lan.resize(16, 0);
        let cases = [
            (
                vec![Step::Load(0, Load::Payload(1, 12, 4)), Step::Compare(0, 0, vec![10, 0, 0, 1]), drop()],
                "ip saddr 10.0.0.1 drop",
            ),
            (
                vec![Step::Load(0, Load::Payload(1, 12, 3)), Step::Compare(0, 1, vec![10, 0, 0]), drop()],
                "ip saddr != 10.0.0.0/24 drop",
            ),
            (
                vec![
                    Step::Load(0, Load::Payload(1, 16, 4)),
                    Step::Bitwise(0, 0, vec![255, 240, 0, 0], vec![0; 4]),
                    Step::Compare(0, 0, vec![172, 16, 0, 0]),
                    drop(),
                ],
                "ip daddr 172.16.0.0/12 drop",
            ),
            (
                vec![
                    Step::Load(0, Load::Meta(6)),
                    Step::Compare(0, 0, lan),
                    Step::Verdict(Verdict::Jump("guests".into())),
                ],
                "iifname \"lan0\" jump guests",
            ),
            (
                vec![Step::Load(0, Load::Meta(6)), Step::Compare(0, 0, b"veth".to_vec()), drop()],
                "iifname \"veth*\" drop",
            ),
            (
                vec![
                    Step::Load(0, Load::Meta(16)),
                    Step::Compare(0, 0, vec![6]),
                    Step::Load(0, Load::Payload(2, 2, 2)),
                    Step::Compare(0, 0, vec![1, 187]),
                    drop(),
                ],
                "l4proto tcp dport 443 drop",
            ),
            (
                vec![
                    Step::Load(0, Load::Ct(0)),
                    Step::Bitwise(0, 0, 9_u32.to_ne_bytes().into(), vec![0; 4]),
                    Step::Compare(0, 1, vec![0; 4]),
                    drop(),
                ],
                "ct state invalid,new drop",
            ),
            (
                vec![
                    Step::Load(0, Load::Meta(5)),
                    Step::Lookup(0, "blocked".into(), true, None),
                    Step::Passive,
                    drop(),
                ],
                "oif != @blocked drop",
            ),
            (vec![Step::Doubt, Step::Doubt, Step::Ports([0, u16::MAX, 25, 25]), drop()], "… dport 25 drop"),
            (vec![Step::State(2, true), drop()], "ct state != established drop"),
        ];
        for (steps, expected) in cases {
            assert_eq!(said(steps), expected);
        }
    }

    proptest! {
        #[test]
        fn no_value_breaks_the_words(
            key in 0_u32..30,
            base in 0_u32..4,
            offset in 0_u32..40,
            length in 0_u32..20,
            value in proptest::collection::vec(any::<u8>(), 0..20),
            mask in proptest::collection::vec(any::<u8>(), 0..20),
            op in 0_u32..8,
        ) {
            for load in [Load::Meta(key), Load::Ct(key), Load::Payload(base, offset, length)] {
                let text = said(vec![
                    Step::Load(0, load),
                    Step::Compare(0, op, value.clone()),
                    Step::Bitwise(0, 0, mask.clone(), vec![]),
                    Step::Compare(0, op, value.clone()),
                    Step::Range(0, true, value.clone(), mask.clone()),
                    Step::Range(4, false, value.clone(), mask.clone()),
                ]);
                prop_assert!(!text.chars().any(char::is_control));
            }
        }
    }
}
