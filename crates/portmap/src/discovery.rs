//! Discovery: SSDP (UDA 1.1 §1). Announcements to everybody, and answers to those who search.

use alloc::{collections::VecDeque, format, string::String, vec::Vec};
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hn_types::{Monotonic, Wall};

use crate::{
    counters::DropReason,
    device::{Target, Version},
    http::{self, SERVER},
    output::{Channel, Output},
    server::Server,
};

/// Where searches and announcements go over IPv4.
const GROUP4: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// The same over IPv6, on the link.
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc);
const PORT: u16 = 1900;
/// Seconds an announcement is believed.
const MAX_AGE_S: u32 = 1_800;
/// Announcements repeat well before they are forgotten.
const PERIOD: Duration = Duration::from_secs(800);
/// And a little irregularly, so that several servers do not speak at once for ever.
const SPREAD: Duration = Duration::from_secs(60);
/// The first ones are made several times, as datagrams are lost.
const FIRST_TIMES: u8 = 3;
const FIRST_GAP: Duration = Duration::from_millis(600);
/// The most seconds of delay that a search can ask for (UDA 1.1 §1.3.2).
const LONGEST_MX: u64 = 5;

/// A search that waits for its answer.
#[derive(Debug)]
struct Answer {
    due: Monotonic,
    to: SocketAddr,
    kind: String,
}

/// When what is sent.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// `BOOTID.UPNP.ORG`: larger after each start.
    boot: u64,
    next: Option<Monotonic>,
    /// Announcements left of the first ones.
    first: u8,
    answers: VecDeque<Answer>,
}

impl Discovery {
    pub(crate) fn new(start: Option<Monotonic>, wall: Wall) -> Self {
        Self { boot: wall.as_unix() & 0x7fff_ffff, next: start, first: FIRST_TIMES, answers: VecDeque::new() }
    }

    /// Announces anew, from `now`.
    pub(crate) const fn announce(&mut self, now: Monotonic) {
        self.next = Some(now);
        self.first = FIRST_TIMES;
    }

    pub(crate) fn stop(&mut self) {
        self.next = None;
        self.answers.clear();
    }

    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.answers.iter().map(|answer| answer.due).chain(self.next).min()
    }
}

/// Whether a datagram begins as a search does.
pub(crate) fn is_search(bytes: &[u8]) -> bool {
    bytes.starts_with(b"M-SEARCH ")
}

/// A search: for what, and within how many seconds.
fn parse(bytes: &[u8]) -> Result<(String, u64), DropReason> {
    let text = core::str::from_utf8(bytes).map_err(|_| DropReason::Search)?;
    let (first, rest) = text.split_once('\n').ok_or(DropReason::Search)?;
    if first.trim_ascii_end() != "M-SEARCH * HTTP/1.1" {
        return Err(DropReason::Search);
    }
    let fields = http::fields(rest.split('\n')).ok_or(DropReason::Search)?;
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    // Some clients leave out the quotes.
    if field("man").is_none_or(|man| man.trim_matches('"') != "ssdp:discover") {
        return Err(DropReason::Search);
    }
    let kind = field("st").filter(|kind| (1..=128).contains(&kind.len())).ok_or(DropReason::Search)?;
    // Only a search by multicast has a delay.
    let seconds = match field("mx") {
        Some(mx) => mx.parse().map_err(|_| DropReason::Search)?,
        None => 0,
    };
    Ok((String::from(kind), seconds))
}

impl Server {
    fn targets(&self) -> Vec<Target> {
        let uuid = self.config.raw().uuid;
        Version::ALL.into_iter().flat_map(|version| version.targets(uuid)).collect()
    }

    pub(crate) fn handle_search(&mut self, from: SocketAddr, bytes: &[u8]) {
        if !self.config.raw().protocols.upnp {
            return self.counters.drop(DropReason::Off);
        }
        let (kind, mx) = match parse(bytes) {
            Ok(search) => search,
            Err(reason) => return self.counters.drop(reason),
        };
        if kind != "ssdp:all" && !self.targets().iter().any(|target| target.kind == kind) {
            return self.counters.drop(DropReason::NotFor);
        }
        let answers = &self.discovery.answers;
        if answers.iter().any(|answer| answer.to == from && answer.kind == kind) {
            return self.counters.drop(DropReason::Repeated);
        }
        if answers.len() >= self.config.raw().limits.searches {
            return self.counters.drop(DropReason::Searches);
        }
        self.counters.searches += 1;
        // Half of the time is left to the way and the client.
        let delay = self.draws.up_to(Duration::from_millis(mx.min(LONGEST_MX) * 500));
        let due = self.now.mono + delay;
        self.discovery.answers.push_back(Answer { due, to: from, kind });
        if delay.is_zero() {
            self.discover();
        }
    }

    /// Sends one thing that is due; whether there was one.
    pub(crate) fn discover(&mut self) -> bool {
        let now = self.now.mono;
        if let Some(at) = self.discovery.answers.iter().position(|answer| answer.due <= now) {
            if let Some(answer) = self.discovery.answers.remove(at) {
                self.answer(&answer);
            }
            return true;
        }
        if self.discovery.next.is_none_or(|next| next > now) {
            return false;
        }
        self.notify("ssdp:alive");
        self.discovery.first = self.discovery.first.saturating_sub(1);
        let gap = if self.discovery.first > 0 { FIRST_GAP } else { PERIOD + self.draws.up_to(SPREAD) };
        self.discovery.next = Some(now + gap);
        true
    }

    fn location(&self, address: IpAddr, version: Version) -> String {
        let host = SocketAddr::new(address, self.config.raw().http_port);
        format!("http://{host}{}", version.root())
    }

    fn answer(&mut self, answer: &Answer) {
        let Some(address) = self.config.address_for(answer.to.ip()) else { return };
        for target in self.targets() {
            if answer.kind != "ssdp:all" && answer.kind != target.kind {
                continue;
            }
            let text = format!(
                "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age={MAX_AGE_S}\r\nEXT:\r\nLOCATION: {}\r\n\
                 SERVER: {SERVER}\r\nST: {}\r\nUSN: {}\r\nBOOTID.UPNP.ORG: {boot}\r\nCONFIGID.UPNP.ORG: 1\r\n\
                 \r\n",
                self.location(address, target.version),
                target.kind,
                target.usn,
                boot = self.discovery.boot,
            );
            self.push(Output::Datagram { channel: Channel::Ssdp, to: answer.to, bytes: text.into_bytes() });
        }
    }

    /// The last word: nothing of this is here any more.
    pub(crate) fn say_goodbye(&mut self) {
        self.notify("ssdp:byebye");
    }

    fn notify(&mut self, what: &str) {
        let raw = self.config.raw();
        let host6 = raw.prefixes.first().map(|prefix| prefix.address()).or(raw.link_local);
        let ways: [Option<(IpAddr, IpAddr)>; 2] = [
            Some((GROUP4.into(), raw.host.address().into())),
            host6.map(|host| (GROUP6.into(), host.into())),
        ];
        for (group, host) in ways.into_iter().flatten() {
            let to = SocketAddr::new(group, PORT);
            for target in self.targets() {
                let mut text = format!("NOTIFY * HTTP/1.1\r\nHOST: {to}\r\n");
                if what == "ssdp:alive" {
                    text.push_str(&format!(
                        "CACHE-CONTROL: max-age={MAX_AGE_S}\r\nLOCATION: {}\r\nSERVER: {SERVER}\r\n",
                        self.location(host, target.version)
                    ));
                }
                text.push_str(&format!(
                    "NT: {}\r\nNTS: {what}\r\nUSN: {}\r\nBOOTID.UPNP.ORG: {}\r\nCONFIGID.UPNP.ORG: 1\r\n\r\n",
                    target.kind, target.usn, self.discovery.boot
                ));
                self.push(Output::Datagram { channel: Channel::Ssdp, to, bytes: text.into_bytes() });
                self.counters.announcements += 1;
            }
        }
    }
}
