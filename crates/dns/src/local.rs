//! The names known here: leases, this host, and the few that no resolver may be asked for.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};
use core::net::{Ipv4Addr, Ipv6Addr};

use hn_types::{Subnet4, Subnet6};

use crate::{
    name::Name,
    reply::{Asker, Author},
    wire::{kind, rcode},
};

/// Why a name was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The address is not one a device of the private subnet can have.
    #[error("the address is not one of the private subnet's devices")]
    Address,
    /// There is no room for another name.
    #[error("as many names as allowed are known already")]
    Full,
    /// Nothing of the text can stand in a host name.
    #[error("the text has nothing a host name can be made of")]
    NotALabel,
    /// A name that programs trust blindly and no device may claim.
    #[error("the name is reserved")]
    Reserved,
}

/// Names a device must not be able to claim: whoever holds them is believed by every browser (`wpad`),
/// tunnel client (`isatap`) or program (`localhost`) of the segment.
const RESERVED: [&str; 4] = ["isatap", "localhost", "localdomain", "wpad"];
/// IPv6 addresses of one device that are told.
const MAX_SIXES: usize = 16;
/// How many devices may want the same name.
const MAX_SAME: u16 = 99;

#[derive(Debug)]
struct Holder {
    label: Box<str>,
    /// What the device wanted.
    wanted: Box<str>,
}

/// What a local question comes to.
enum Answer {
    Address(Ipv4Addr),
    Address6(Ipv6Addr),
    /// All of a device.
    Addresses6(Ipv4Addr),
    Empty(Name),
    HostInfo,
    Loopback4,
    Loopback6,
    NameServer,
    Nothing(Name),
    Pointer(Name),
    StartOfAuthority,
}

/// The local zones.
#[derive(Debug)]
pub(crate) struct Local {
    domain: Name,
    subnet: Subnet4,
    host: Box<str>,
    /// This host's IPv6 address.
    host6: Option<Ipv6Addr>,
    ttl: u32,
    serial: u32,
    max_names: usize,
    by_label: BTreeMap<Box<str>, Ipv4Addr>,
    by_address: BTreeMap<Ipv4Addr, Holder>,
    /// IPv6 addresses of devices by their IPv4 address, under which they have their names.
    sixes: BTreeMap<Ipv4Addr, Vec<Ipv6Addr>>,
    by_six: BTreeMap<Ipv6Addr, Ipv4Addr>,
    special: Special,
}

#[derive(Debug)]
struct Special {
    ip6_arpa: Option<Name>,
    arpa: Option<Name>,
    invalid: Option<Name>,
    localhost: Option<Name>,
    onion: Option<Name>,
}

impl Local {
    pub(crate) fn new(domain: Name, subnet: Subnet4, host: &str, ttl: u32, max_names: u32) -> Self {
        let mut local = Self {
            domain,
            subnet,
            host: Box::default(),
            host6: None,
            ttl,
            serial: 1,
            max_names: max_names as usize,
            by_label: BTreeMap::new(),
            by_address: BTreeMap::new(),
            sixes: BTreeMap::new(),
            by_six: BTreeMap::new(),
            special: Special {
                ip6_arpa: Name::from_text("ip6.arpa"),
                arpa: Name::from_text("in-addr.arpa"),
                invalid: Name::from_text("invalid"),
                localhost: Name::from_text("localhost"),
                onion: Name::from_text("onion"),
            },
        };
        local.host = label_of(host).filter(|host| !is_reserved(host)).unwrap_or_else(|| "host".into());
        local
    }

    /// This host has this IPv6 address.
    pub(crate) fn set_host6(&mut self, address: Option<Subnet6>) {
        self.host6 = address.map(Subnet6::address);
    }

    /// The same names under other settings; names outside the new subnet are forgotten, and a lease that
    /// holds the host's new name gets another.
    pub(crate) fn reconfigured(
        &mut self,
        domain: Name,
        subnet: Subnet4,
        host: &str,
        ttl: u32,
        max_names: u32,
    ) {
        let mut next = Self::new(domain, subnet, host, ttl, max_names);
        next.serial = self.serial.wrapping_add(1);
        for (address, sixes) in core::mem::take(&mut self.sixes) {
            next.set_six(address, &sixes);
        }
        for (address, holder) in &self.by_address {
            // What is refused here has no place under the new settings.
            let _ = next.set(&holder.wanted, *address);
        }
        *self = next;
    }

    /// Gives `address` a name made of `text`; returns the label it got.
    pub(crate) fn set(&mut self, text: &str, address: Ipv4Addr) -> Result<&str, NameError> {
        let network = self.subnet.network().address();
        let ends = self.subnet.prefix() < 31 && (address == network || address == self.subnet.broadcast());
        if !self.subnet.contains(address) || ends || address == self.subnet.address() {
            return Err(NameError::Address);
        }
        let wanted = label_of(text).ok_or(NameError::NotALabel)?;
        if is_reserved(&wanted) {
            return Err(NameError::Reserved);
        }
        let same = self.by_address.get(&address).is_some_and(|holder| holder.wanted == wanted);
        if !same {
            self.remove(address);
            if self.by_address.len() >= self.max_names {
                return Err(NameError::Full);
            }
            let label = self.free_label(&wanted).ok_or(NameError::Full)?;
            self.serial = self.serial.wrapping_add(1);
            self.by_label.insert(label.clone(), address);
            self.by_address.insert(address, Holder { label, wanted });
        }
        self.by_address.get(&address).map(|holder| &*holder.label).ok_or(NameError::Full)
    }

    /// Forgets the name of `address`.
    pub(crate) fn remove(&mut self, address: Ipv4Addr) -> bool {
        let Some(holder) = self.by_address.remove(&address) else { return false };
        self.by_label.remove(&holder.label);
        self.serial = self.serial.wrapping_add(1);
        true
    }

    /// The device at `address` has these IPv6 addresses, too, and no others.
    pub(crate) fn set_six(&mut self, address: Ipv4Addr, sixes: &[Ipv6Addr]) {
        for old in self.sixes.remove(&address).unwrap_or_default() {
            self.by_six.remove(&old);
        }
        if sixes.is_empty() || !self.subnet.contains(address) || self.sixes.len() >= self.max_names {
            return;
        }
        let sixes: Vec<_> = sixes.iter().copied().take(MAX_SIXES).collect();
        self.by_six.extend(sixes.iter().map(|six| (*six, address)));
        self.sixes.insert(address, sixes);
    }

    /// Answers a question of class IN when it is for the local zones: appends the answer to `buffer` and
    /// says whether it was truncated. `None` when a resolver must be asked.
    pub(crate) fn answer(
        &self,
        name: &Name,
        question_kind: u16,
        question: &[u8],
        asker: &Asker,
        buffer: &mut Vec<u8>,
        own_size: u16,
    ) -> Option<bool> {
        let answer = self.find(name, question_kind)?;
        let code = if matches!(answer, Answer::Nothing(_)) { rcode::NXDOMAIN } else { rcode::NOERROR };
        let mut author = Author::new(buffer, asker, question, code);
        match answer {
            Answer::Address(address) => author.answer(kind::A, self.ttl, &[&address.octets()]),
            Answer::Address6(address) => author.answer(kind::AAAA, self.ttl, &[&address.octets()]),
            Answer::Addresses6(device) => {
                for address in self.sixes.get(&device).into_iter().flatten() {
                    author.answer(kind::AAAA, self.ttl, &[&address.octets()]);
                }
            }
            Answer::Loopback4 => author.answer(kind::A, self.ttl, &[&Ipv4Addr::LOCALHOST.octets()]),
            Answer::Loopback6 => {
                author.answer(kind::AAAA, self.ttl, &[&Ipv6Addr::LOCALHOST.octets()]);
            }
            Answer::HostInfo => author.answer(kind::HINFO, self.ttl, &[HOST_INFO]),
            Answer::NameServer => author.answer(kind::NS, self.ttl, &[self.host_name()?.wire()]),
            Answer::Pointer(target) => author.answer(kind::PTR, self.ttl, &[target.wire()]),
            Answer::StartOfAuthority => {
                author.answer(kind::SOA, self.ttl, &self.authority_data()?.parts());
            }
            Answer::Empty(zone) | Answer::Nothing(zone) => {
                author.authority(&zone, kind::SOA, self.ttl, &self.authority_data()?.parts());
            }
        }
        Some(author.finish(asker, own_size))
    }

    fn find(&self, name: &Name, question_kind: u16) -> Option<Answer> {
        if let Some(mut labels) = name.strip(&self.domain) {
            return Some(match (labels.next(), labels.next()) {
                (None, _) => self.apex(&self.domain, question_kind, Some(self.subnet.address())),
                (Some(label), None) => match self.address(label) {
                    Some(address) => self.typed(address, question_kind, self.domain),
                    None => Answer::Nothing(self.domain),
                },
                (Some(_), Some(_)) => Answer::Nothing(self.domain),
            });
        }
        let last = name.labels().last()?;
        match last {
            b"arpa" => {
                return self.reverse(name, question_kind).or_else(|| self.reverse6(name, question_kind));
            }
            b"localhost" => {
                return Some(match question_kind {
                    kind::A => Answer::Loopback4,
                    kind::AAAA => Answer::Loopback6,
                    kind::ANY => Answer::HostInfo,
                    _ => Answer::Empty(self.special.localhost?),
                });
            }
            b"invalid" => return Some(Answer::Nothing(self.special.invalid?)),
            b"onion" => return Some(Answer::Nothing(self.special.onion?)),
            _ => {}
        }
        let bare = name.wire().len() == last.len() + 2;
        let about_hosts = matches!(question_kind, kind::A | kind::AAAA | kind::HTTPS | kind::ANY);
        if bare && about_hosts {
            return self.address(last).map(|address| self.typed(address, question_kind, *name));
        }
        None
    }

    fn apex(&self, zone: &Name, question_kind: u16, address: Option<Ipv4Addr>) -> Answer {
        match (question_kind, address) {
            (kind::SOA, _) => Answer::StartOfAuthority,
            (kind::NS, _) => Answer::NameServer,
            (kind::ANY, _) => Answer::HostInfo,
            (kind::A, Some(address)) => Answer::Address(address),
            (kind::AAAA, Some(_)) => self.host6.map_or(Answer::Empty(*zone), Answer::Address6),
            _ => Answer::Empty(*zone),
        }
    }

    fn typed(&self, address: Ipv4Addr, question_kind: u16, zone: Name) -> Answer {
        match question_kind {
            kind::A => Answer::Address(address),
            kind::ANY => Answer::HostInfo,
            kind::AAAA if address == self.subnet.address() => {
                self.host6.map_or(Answer::Empty(zone), Answer::Address6)
            }
            kind::AAAA if self.sixes.contains_key(&address) => Answer::Addresses6(address),
            _ => Answer::Empty(zone),
        }
    }

    /// The name of a whole IPv6 address that is known here. In the prefix of this host nobody else is asked.
    fn reverse6(&self, name: &Name, question_kind: u16) -> Option<Answer> {
        let zone = self.special.ip6_arpa?;
        let labels = name.strip(&zone)?;
        if labels.count() != 32 {
            return None;
        }
        // Nearest to the root comes last: the first label is the lowest nibble.
        let mut bits = 0_u128;
        for (position, label) in labels.enumerate() {
            let [digit] = label else { return None };
            bits |= u128::from(char::from(*digit).to_digit(16)?) << (4 * position);
        }
        let address = Ipv6Addr::from_bits(bits);
        let own = |host: &Ipv6Addr| host.to_bits() >> 64 == bits >> 64;
        let target = if Some(address) == self.host6 {
            self.host_name()
        } else {
            let holder = self.by_six.get(&address).and_then(|device| self.by_address.get(device));
            holder.and_then(|holder| self.domain.child(holder.label.as_bytes()))
        };
        match (target, question_kind) {
            (Some(target), kind::PTR) => Some(Answer::Pointer(target)),
            (Some(_), kind::ANY) => Some(Answer::HostInfo),
            (Some(_), _) => Some(Answer::Empty(zone)),
            (None, _) => self.host6.filter(own).map(|_| Answer::Nothing(zone)),
        }
    }

    /// Every full three-octet name inside the subnet is a zone of its own; in a subnet longer than 24 bits
    /// every address is.
    fn reverse(&self, name: &Name, question_kind: u16) -> Option<Answer> {
        let arpa = self.special.arpa?;
        let labels = name.strip(&arpa)?;
        let count = labels.count();
        let mut octets = [0; 4];
        let mut known = 0;
        let mut zone = arpa;
        for (position, octet) in octets.iter_mut().enumerate().take(count) {
            let label = labels.clone().nth(count - 1 - position)?;
            let Some(value) = octet_of(label) else { break };
            *octet = value;
            known += 1;
            if known <= 3 || self.subnet.prefix() > 24 {
                zone = zone.child(label)?;
            }
        }
        let address = Ipv4Addr::from(octets);
        if known * 8 < usize::from(self.subnet.prefix()) || !self.subnet.contains(address) {
            return None;
        }
        if known < count {
            return Some(Answer::Nothing(zone));
        }
        if known < 4 {
            return Some(self.apex(&zone, question_kind, None));
        }
        let target = if address == self.subnet.address() {
            self.host_name()
        } else {
            let holder = self.by_address.get(&address);
            holder.and_then(|holder| self.domain.child(holder.label.as_bytes()))
        };
        Some(match (target, question_kind) {
            (None, _) => Answer::Nothing(zone),
            (Some(target), kind::PTR) => Answer::Pointer(target),
            (Some(_), kind::ANY) => Answer::HostInfo,
            (Some(_), kind::SOA) if self.subnet.prefix() > 24 => Answer::StartOfAuthority,
            (Some(_), _) => Answer::Empty(zone),
        })
    }

    fn address(&self, label: &[u8]) -> Option<Ipv4Addr> {
        if label == self.host.as_bytes() {
            return Some(self.subnet.address());
        }
        self.by_label.get(core::str::from_utf8(label).ok()?).copied()
    }

    fn host_name(&self) -> Option<Name> {
        self.domain.child(self.host.as_bytes())
    }

    fn authority_data(&self) -> Option<AuthorityData> {
        let mut numbers = [0; 20];
        // Serial, refresh, retry, expire, minimum. The minimum is how long a missing name is remembered:
        // a device that has just joined wants to be found.
        let values = [self.serial, 1_200, 180, 1_209_600, self.ttl.min(10)];
        for (slot, value) in numbers.as_chunks_mut::<4>().0.iter_mut().zip(values) {
            *slot = u32::to_be_bytes(value);
        }
        Some(AuthorityData { server: self.host_name()?, mailbox: self.domain.child(b"hostmaster")?, numbers })
    }

    fn free_label(&self, wanted: &str) -> Option<Box<str>> {
        (1..=MAX_SAME)
            .map(|number| {
                if number == 1 {
                    return wanted.into();
                }
                let suffix = alloc::format!("-{number}");
                let stem: String = wanted.chars().take(63 - suffix.len()).collect();
                (stem + &suffix).into_boxed_str()
            })
            .find(|label| **label != *self.host && !self.by_label.contains_key(label))
    }
}

struct AuthorityData {
    server: Name,
    mailbox: Name,
    numbers: [u8; 20],
}

impl AuthorityData {
    fn parts(&self) -> [&[u8]; 3] {
        [self.server.wire(), self.mailbox.wire(), &self.numbers]
    }
}

/// `"RFC8482"` and an empty string (RFC 8482 §4.2).
pub(crate) const HOST_INFO: &[u8] = b"\x07RFC8482\x00";

/// A host label (letters, digits, hyphens; RFC 1123 §2.1) made of whatever a device calls itself: the part
/// before the first dot, everything else a hyphen.
fn label_of(text: &str) -> Option<Box<str>> {
    let first = text.split('.').next().unwrap_or_default();
    let mapped: String = first
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    let label = mapped.trim_matches('-');
    (!label.is_empty()).then(|| label.into())
}

fn is_reserved(label: &str) -> bool {
    RESERVED.contains(&label)
}

fn octet_of(label: &[u8]) -> Option<u8> {
    let text = core::str::from_utf8(label).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}
