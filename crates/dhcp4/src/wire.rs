//! A DHCP message from a client, checked (RFC 2131 §2, RFC 2132, RFC 3396).

use core::net::Ipv4Addr;

use hn_types::MacAddr;

use crate::{
    counters::DropReason,
    identity::{ClientId, HostName},
};

/// Offset of `sname` in a BOOTP message.
const SNAME: usize = 44;
/// Offset of `file`.
const FILE: usize = 108;
/// Offset of the magic cookie.
const COOKIE: usize = 236;
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Up to `N` bytes collected from the instances of one option (RFC 3396 §7).
#[derive(Debug)]
pub(crate) struct Collected<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> Collected<N> {
    const EMPTY: Self = Self { len: 0, bytes: [0; N] };

    fn push(&mut self, part: &[u8]) -> Result<(), DropReason> {
        let to = self.bytes.get_mut(self.len..self.len + part.len()).ok_or(DropReason::Options)?;
        to.copy_from_slice(part);
        self.len += part.len();
        Ok(())
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The address this option holds: none, or exactly four bytes.
    fn address(&self) -> Result<Option<Ipv4Addr>, DropReason> {
        match self.as_slice() {
            [] => Ok(None),
            &[a, b, c, d] => Ok(Some(Ipv4Addr::new(a, b, c, d))),
            _ => Err(DropReason::Options),
        }
    }
}

/// The messages a client sends to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageType {
    Discover,
    Request,
    Decline,
    Release,
    Inform,
}

/// A client's message.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) message: MessageType,
    /// The first 44 bytes of the message: everything before `sname`.
    pub(crate) head: [u8; SNAME],
    pub(crate) broadcast: bool,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) mac: MacAddr,
    /// Option 50.
    pub(crate) requested: Option<Ipv4Addr>,
    /// Option 54.
    pub(crate) server: Option<Ipv4Addr>,
    /// Option 57.
    pub(crate) max_size: Option<u16>,
    /// Option 80.
    pub(crate) rapid_commit: bool,
    /// Option 61 as sent.
    pub(crate) client_id: Collected<255>,
    /// Option 55.
    pub(crate) parameters: Collected<255>,
    /// Option 81, else 12.
    pub(crate) name: HostName,
}

impl Request {
    pub(crate) fn parse(message: &[u8]) -> Result<Self, DropReason> {
        let head = *message.first_chunk::<SNAME>().ok_or(DropReason::Bootp)?;
        let sname = message.get(SNAME..FILE).ok_or(DropReason::Bootp)?;
        let file = message.get(FILE..COOKIE).ok_or(DropReason::Bootp)?;
        let (cookie, options) = message
            .get(COOKIE..)
            .and_then(|rest| rest.split_first_chunk::<4>())
            .ok_or(DropReason::NotDhcp)?;
        let [op, htype, hlen, ..] = head;
        let mac = MacAddr([head[28], head[29], head[30], head[31], head[32], head[33]]);
        if (op, htype, hlen) != (1, 1, 6) || mac.is_multicast() || mac == MacAddr::ZERO {
            return Err(DropReason::Bootp);
        }
        if *cookie != MAGIC_COOKIE {
            return Err(DropReason::NotDhcp);
        }
        if head[24..28] != [0; 4] {
            return Err(DropReason::Relayed);
        }
        let mut request = Self {
            message: MessageType::Discover,
            head,
            broadcast: head[10] & 0x80 != 0,
            ciaddr: Ipv4Addr::new(head[12], head[13], head[14], head[15]),
            mac,
            requested: None,
            server: None,
            max_size: None,
            rapid_commit: false,
            client_id: Collected::EMPTY,
            parameters: Collected::EMPTY,
            name: HostName::EMPTY,
        };
        let mut seen = Seen::default();
        request.walk(options, &mut seen)?;
        // RFC 2131 §4.1: an overloaded `file` is read before `sname`.
        if seen.overload & 1 != 0 {
            request.walk(file, &mut seen)?;
        }
        if seen.overload & 2 != 0 {
            request.walk(sname, &mut seen)?;
        }
        request.requested = seen.requested.address()?;
        request.server = seen.server.address()?;
        request.name = seen.name();
        request.message = match seen.message {
            None => return Err(DropReason::NotDhcp),
            Some(1) => MessageType::Discover,
            Some(3) => MessageType::Request,
            Some(4) => MessageType::Decline,
            Some(7) => MessageType::Release,
            Some(8) => MessageType::Inform,
            Some(_) => return Err(DropReason::Message),
        };
        Ok(request)
    }

    /// The client identifier of the server's tables.
    pub(crate) fn identifier(&self) -> Option<ClientId> {
        ClientId::new(self.client_id.as_slice())
    }

    fn walk(&mut self, area: &[u8], seen: &mut Seen) -> Result<(), DropReason> {
        let mut rest = area;
        loop {
            let (code, after) = match rest.split_first() {
                // A missing end mark is forgiven: the area ends anyway.
                None | Some((255, _)) => return Ok(()),
                Some((0, after)) => {
                    rest = after;
                    continue;
                }
                Some((&code, after)) => (code, after),
            };
            let (&len, after) = after.split_first().ok_or(DropReason::Options)?;
            let (value, after) = after.split_at_checked(usize::from(len)).ok_or(DropReason::Options)?;
            rest = after;
            match (code, value) {
                (12, _) => seen.host.push(value)?,
                (50, _) => seen.requested.push(value)?,
                (52, &[areas @ 1..=3]) => seen.overload |= areas,
                (53, &[message]) => seen.message = seen.message.or(Some(message)),
                (54, _) => seen.server.push(value)?,
                (55, _) => self.parameters.push(value)?,
                (57, &[high, low]) => self.max_size = Some(u16::from_be_bytes([high, low])),
                (61, _) => self.client_id.push(value)?,
                (80, []) => self.rapid_commit = true,
                (81, _) => seen.fqdn.push(value)?,
                (52 | 53 | 57, _) => return Err(DropReason::Options),
                _ => {}
            }
        }
    }
}

/// Options that are judged when all areas were read.
#[derive(Debug)]
struct Seen {
    message: Option<u8>,
    overload: u8,
    requested: Collected<4>,
    server: Collected<4>,
    host: Collected<255>,
    fqdn: Collected<255>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            message: None,
            overload: 0,
            requested: Collected::EMPTY,
            server: Collected::EMPTY,
            host: Collected::EMPTY,
            fqdn: Collected::EMPTY,
        }
    }
}

impl Seen {
    /// The client's name: that of option 81 if it gives one (RFC 4702 §3.3.3: 12 is then to be ignored).
    fn name(&self) -> HostName {
        const WIRE_ENCODED: u8 = 0x04;
        let name = match self.fqdn.as_slice() {
            [flags, _, _, name @ ..] if flags & WIRE_ENCODED != 0 => {
                // Only the first label names the host; a length that overruns is no name.
                match name.split_first() {
                    Some((&len, rest)) => rest.get(..usize::from(len)).unwrap_or_default(),
                    None => &[],
                }
            }
            [_, _, _, name @ ..] => name,
            _ => &[],
        };
        let fqdn = HostName::new(name);
        if fqdn.is_empty() { HostName::new(self.host.as_slice()) } else { fqdn }
    }
}
