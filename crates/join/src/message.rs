//! DHCP messages (RFC 2131 §2, RFC 2132): ours written, a server's read.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::net::Ipv4Addr;

use hn_types::MacAddr;

const SNAME: core::ops::Range<usize> = 44..108;
const FILE: core::ops::Range<usize> = 108..236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Old relays drop shorter messages (RFC 1542 §2.1).
const SHORTEST: usize = 300;
/// The largest message we take (option 57): one Ethernet frame without its IP and UDP headers.
const LARGEST: u16 = 1472;
/// What we would like to know: mask, router, name servers, domain, lease, server, T1, T2.
const WANTED: [u8; 8] = [1, 3, 6, 15, 51, 54, 58, 59];

/// The type of a message (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Discover,
    Request,
    Decline,
    Release,
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Discover => 1,
            Self::Request => 3,
            Self::Decline => 4,
            Self::Release => 7,
        }
    }
}

/// A message of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) kind: Kind,
    pub(crate) xid: u32,
    /// Seconds since the client began to ask.
    pub(crate) secs: u16,
    /// The address in use; zero while there is none.
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) mac: MacAddr,
    /// Option 50.
    pub(crate) requested: Option<Ipv4Addr>,
    /// Option 54.
    pub(crate) server: Option<Ipv4Addr>,
    /// Option 12, at most 63 bytes.
    pub(crate) host_name: Option<&'a str>,
}

impl Question<'_> {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SHORTEST);
        bytes.extend_from_slice(&[1, 1, 6, 0]);
        bytes.extend_from_slice(&self.xid.to_be_bytes());
        bytes.extend_from_slice(&self.secs.to_be_bytes());
        // No broadcast flag: the answer comes to a packet socket, which needs no address.
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&self.ciaddr.octets());
        bytes.resize(28, 0);
        bytes.extend_from_slice(&self.mac.0);
        bytes.resize(FILE.end, 0);
        bytes.extend_from_slice(&COOKIE);
        let mut option = |code: u8, value: &[u8]| {
            if let Ok(length) = u8::try_from(value.len()) {
                bytes.extend_from_slice(&[code, length]);
                bytes.extend_from_slice(value);
            }
        };
        option(53, &[self.kind.number()]);
        let [a, b, c, d, e, f] = self.mac.0;
        option(61, &[1, a, b, c, d, e, f]);
        if let Some(address) = self.requested {
            option(50, &address.octets());
        }
        if let Some(server) = self.server {
            option(54, &server.octets());
        }
        // RFC 2131 table 5: the last two messages say nothing about what is wanted.
        if matches!(self.kind, Kind::Discover | Kind::Request) {
            option(57, &LARGEST.to_be_bytes());
            option(55, &WANTED);
            if let Some(name) = self.host_name {
                option(12, name.as_bytes());
            }
        }
        bytes.push(255);
        bytes.resize(bytes.len().max(SHORTEST), 0);
        bytes
    }
}

/// What a server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    #[default]
    Offer,
    Ack,
    Nak,
}

/// A message of a server, as far as anybody here looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) xid: u32,
    /// `yiaddr`, unless it is zero.
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) mac: MacAddr,
    pub(crate) server: Option<Ipv4Addr>,
    pub(crate) mask: Option<Ipv4Addr>,
    pub(crate) router: Option<Ipv4Addr>,
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
    /// Seconds.
    pub(crate) lease: Option<u32>,
    /// Seconds.
    pub(crate) renew: Option<u32>,
    /// Seconds.
    pub(crate) rebind: Option<u32>,
}

impl Answer {
    /// Reads a message; `None` for what is not one of a server.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let (&[op, htype, hlen, ..], _) = message.split_first_chunk::<4>()?;
        let cookie = message.get(FILE.end..FILE.end + 4)?;
        if (op, htype, hlen) != (2, 1, 6) || cookie != COOKIE {
            return None;
        }
        let four = |at: usize| -> Option<[u8; 4]> { message.get(at..at + 4)?.try_into().ok() };
        let mut options = BTreeMap::new();
        walk(message.get(FILE.end + 4..)?, &mut options)?;
        // RFC 2131 §4.1: an overloaded `file` is read before `sname`.
        let overload =
            options.get(&52).and_then(|value: &Vec<u8>| value.first().copied()).unwrap_or_default();
        if overload & 1 != 0 {
            walk(message.get(FILE)?, &mut options)?;
        }
        if overload & 2 != 0 {
            walk(message.get(SNAME)?, &mut options)?;
        }
        let addresses = |code: u8| -> Vec<Ipv4Addr> {
            let value = options.get(&code).map(Vec::as_slice).unwrap_or_default();
            value.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets)).collect()
        };
        let address = |code: u8| addresses(code).first().copied();
        let number = |code: u8| {
            let value: [u8; 4] = options.get(&code)?.as_slice().try_into().ok()?;
            Some(u32::from_be_bytes(value))
        };
        Some(Self {
            verdict: match options.get(&53)?.as_slice() {
                [2] => Verdict::Offer,
                [5] => Verdict::Ack,
                [6] => Verdict::Nak,
                _ => return None,
            },
            xid: u32::from_be_bytes(four(4)?),
            address: Some(Ipv4Addr::from(four(16)?)).filter(|address| !address.is_unspecified()),
            mac: MacAddr(message.get(28..34)?.try_into().ok()?),
            server: address(54).filter(|server| !server.is_unspecified()),
            mask: address(1),
            router: address(3),
            dns: addresses(6),
            domain: options.get(&15).and_then(|value| domain(value)),
            lease: number(51),
            renew: number(58),
            rebind: number(59),
        })
    }
}

/// Collects the options of one area; values of one code are joined (RFC 3396). `None`: a value is cut off.
fn walk(area: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) -> Option<()> {
    let mut rest = area;
    loop {
        match rest.split_first() {
            // A missing end mark is forgiven: the area ends anyway.
            None | Some((255, _)) => return Some(()),
            Some((0, after)) => rest = after,
            Some((&code, after)) => {
                let (&length, after) = after.split_first()?;
                let (value, after) = after.split_at_checked(length.into())?;
                options.entry(code).or_default().extend_from_slice(value);
                rest = after;
            }
        }
    }
}

/// A domain as text: some servers end it in a zero.
fn domain(value: &[u8]) -> Option<String> {
    let text = value.strip_suffix(&[0]).unwrap_or(value);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if text.is_empty() || !text.iter().all(plain) {
        return None;
    }
    Some(text.iter().copied().map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use dhcproto::{
        Decodable, Decoder, Encodable,
        v4::{DhcpOption, Message, MessageType, Opcode, OptionCode},
    };
    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);

    fn question(kind: Kind) -> Question<'static> {
        Question {
            kind,
            xid: 0x0102_0304,
            secs: 7,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            mac: MAC,
            requested: Some(Ipv4Addr::new(192, 168, 137, 9)),
            server: None,
            host_name: Some("camera"),
        }
    }

    #[test]
    fn an_independent_reader_understands_our_request() {
        let bytes = question(Kind::Request).to_bytes();
        assert!(bytes.len() >= SHORTEST);
        let read = Message::decode(&mut Decoder::new(&bytes)).expect("well formed");
        assert_eq!((read.xid(), read.secs(), read.chaddr()), (0x0102_0304, 7, &MAC.0[..]));
        assert_eq!(read.opts().msg_type(), Some(MessageType::Request));
        assert_eq!(
            read.opts().get(OptionCode::RequestedIpAddress),
            Some(&DhcpOption::RequestedIpAddress(Ipv4Addr::new(192, 168, 137, 9)))
        );
        assert_eq!(read.opts().get(OptionCode::Hostname), Some(&DhcpOption::Hostname("camera".into())));
        assert!(read.opts().get(OptionCode::ServerIdentifier).is_none());
    }

    #[test]
    fn a_release_asks_for_nothing() {
        let server = Some(Ipv4Addr::new(192, 168, 137, 1));
        let bytes = Question { server, ..question(Kind::Release) }.to_bytes();
        let read = Message::decode(&mut Decoder::new(&bytes)).expect("well formed");
        assert!(read.opts().get(OptionCode::ParameterRequestList).is_none());
        assert!(read.opts().get(OptionCode::ServerIdentifier).is_some());
    }

    fn written(options: Vec<DhcpOption>) -> Vec<u8> {
        let mut message = Message::default();
        message.set_opcode(Opcode::BootReply).set_xid(5).set_yiaddr([192, 168, 137, 20]).set_chaddr(&MAC.0);
        for option in options {
            message.opts_mut().insert(option);
        }
        message.to_vec().expect("can be written")
    }

    #[test]
    fn an_independent_writer_is_understood() {
        let server = Ipv4Addr::new(192, 168, 137, 1);
        let bytes = written(vec![
            DhcpOption::MessageType(MessageType::Ack),
            DhcpOption::ServerIdentifier(server),
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
            DhcpOption::Router(vec![server]),
            DhcpOption::DomainNameServer(vec![server, Ipv4Addr::new(9, 9, 9, 9)]),
            DhcpOption::DomainName("mshome.net".into()),
            DhcpOption::AddressLeaseTime(600),
        ]);
        let answer = Answer::parse(&bytes).expect("a message of a server");
        assert_eq!((answer.verdict, answer.xid, answer.mac), (Verdict::Ack, 5, MAC));
        assert_eq!((answer.server, answer.router), (Some(server), Some(server)));
        assert_eq!(answer.dns.len(), 2);
        assert_eq!(answer.domain.as_deref(), Some("mshome.net"));
        assert_eq!((answer.lease, answer.renew), (Some(600), None));
    }

    #[test]
    fn a_domain_that_could_drive_a_terminal_is_no_domain() {
        assert_eq!(domain(b"a\x1b[2J"), None);
        assert_eq!(domain(b"mshome.net\0").as_deref(), Some("mshome.net"));
        assert_eq!(domain(b""), None);
    }

    #[test]
    fn what_clients_send_is_not_a_servers_message() {
        assert_eq!(Answer::parse(&question(Kind::Discover).to_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..600), marked: bool) {
            if marked && bytes.len() >= 240 {
                bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
                bytes[236..240].copy_from_slice(&COOKIE);
            }
            let _ = Answer::parse(&bytes);
        }
    }
}
