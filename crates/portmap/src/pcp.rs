//! PCP messages (RFC 6887 §7, §11 to §14).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hn_types::{
    portmap::{MapFilter, MapRemote},
    settings::Protocol,
};

use crate::{code::PcpCode, counters::DropReason};

/// The version of all messages.
pub(crate) const VERSION: u8 = 2;
/// The bit that tells responses.
pub(crate) const RESPONSE: u8 = 0x80;
/// The longest message (§7).
pub(crate) const LONGEST: usize = 1_100;
/// The common header.
const HEADER: usize = 24;
/// With the fields of MAP.
const MAP: usize = 60;
/// With the fields of PEER.
const PEER: usize = 80;

/// A request that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Tell the epoch.
    Announce,
    /// Make, renew or delete a mapping.
    Map(Map),
    /// Keep the mapping of one flow.
    Peer(Peer),
}

/// The fields of MAP and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) lifetime_s: u32,
    pub(crate) nonce: [u8; 12],
    /// `None`: all protocols.
    pub(crate) protocol: Option<Protocol>,
    /// 0: all ports; always with all protocols.
    pub(crate) internal_port: u16,
    pub(crate) external_port: u16,
    /// The suggested one; `None`: any.
    pub(crate) external: Option<IpAddr>,
    pub(crate) prefer_failure: bool,
    pub(crate) filter: MapFilter,
}

/// The fields of PEER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) lifetime_s: u32,
    pub(crate) nonce: [u8; 12],
    pub(crate) protocol: Protocol,
    pub(crate) internal_port: u16,
    pub(crate) external_port: u16,
    pub(crate) remote: SocketAddr,
}

/// Why a request is answered with an error.
pub(crate) type Bad = (PcpCode, DropReason);

const MALFORMED: Bad = (PcpCode::MalformedRequest, DropReason::Malformed);
const MALFORMED_OPTION: Bad = (PcpCode::MalformedOption, DropReason::MalformedOption);

/// Bytes `at..at + N` of a message that is long enough.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Bad> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(MALFORMED)
}

fn number16(bytes: &[u8], at: usize) -> Result<u16, Bad> {
    field(bytes, at).map(u16::from_be_bytes)
}

fn address(bytes: &[u8], at: usize) -> Result<IpAddr, Bad> {
    field::<16>(bytes, at).map(|octets| Ipv6Addr::from(octets).to_canonical())
}

/// Reads a request of version 2 that came from `from`.
pub(crate) fn parse(bytes: &[u8], from: IpAddr) -> Result<Request, Bad> {
    if bytes.len() < HEADER || bytes.len() > LONGEST || !bytes.len().is_multiple_of(4) {
        return Err(MALFORMED);
    }
    let opcode = bytes[1];
    if opcode > 2 {
        return Err((PcpCode::UnsuppOpcode, DropReason::Opcode));
    }
    if address(bytes, 8)? != from.to_canonical() {
        return Err((PcpCode::AddressMismatch, DropReason::AddressMismatch));
    }
    let lifetime_s = u32::from_be_bytes(field(bytes, 4)?);
    match opcode {
        0 => {
            options(&bytes[HEADER..], 0, from)?;
            Ok(Request::Announce)
        }
        1 => map(bytes, lifetime_s, from),
        _ => peer(bytes, lifetime_s, from),
    }
}

fn protocol(number: u8) -> Result<Protocol, Bad> {
    match number {
        6 => Ok(Protocol::Tcp),
        17 => Ok(Protocol::Udp),
        _ => Err((PcpCode::UnsuppProtocol, DropReason::Protocol)),
    }
}

fn map(bytes: &[u8], lifetime_s: u32, from: IpAddr) -> Result<Request, Bad> {
    let nonce = field(bytes, 24)?;
    let [number] = field(bytes, 36)?;
    let internal_port = number16(bytes, 40)?;
    let external_port = number16(bytes, 42)?;
    let external = Some(address(bytes, 44)?).filter(|address| !address.is_unspecified());
    let options = options(bytes.get(MAP..).ok_or(MALFORMED)?, 1, from)?;
    // §11.1: with all protocols the port is ignored.
    let (protocol, internal_port) = match number {
        0 => (None, 0),
        _ => (Some(protocol(number)?), internal_port),
    };
    if internal_port == 0 && lifetime_s != 0 {
        // §11.3: all ports, or all protocols, are not led to one device here.
        return Err((PcpCode::UnsuppProtocol, DropReason::Protocol));
    }
    Ok(Request::Map(Map {
        lifetime_s,
        nonce,
        protocol,
        internal_port,
        external_port,
        external,
        prefer_failure: options.prefer_failure,
        filter: options.filter,
    }))
}

fn peer(bytes: &[u8], lifetime_s: u32, from: IpAddr) -> Result<Request, Bad> {
    let nonce = field(bytes, 24)?;
    let [number] = field(bytes, 36)?;
    let internal_port = number16(bytes, 40)?;
    let external_port = number16(bytes, 42)?;
    let remote = SocketAddr::new(address(bytes, 64)?, number16(bytes, 60)?);
    options(bytes.get(PEER..).ok_or(MALFORMED)?, 2, from)?;
    let nobody = remote.ip().is_unspecified() || remote.ip().is_multicast() || remote.ip().is_loopback();
    let other_family = remote.is_ipv4() != from.to_canonical().is_ipv4();
    if number == 0 || internal_port == 0 || remote.port() == 0 || nobody || other_family {
        return Err(MALFORMED);
    }
    let protocol = protocol(number)?;
    Ok(Request::Peer(Peer { lifetime_s, nonce, protocol, internal_port, external_port, remote }))
}

#[derive(Default)]
struct Options {
    prefer_failure: bool,
    filter: MapFilter,
}

/// §7.3: an unknown option below 128 must not be passed over. THIRD_PARTY is one of these: a device manages its
/// own mappings only (§13.1 leaves that to policy).
fn options(mut rest: &[u8], opcode: u8, from: IpAddr) -> Result<Options, Bad> {
    let mut found = Options::default();
    while let Some((&[code, _, l0, l1], after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let data = after.get(..len).ok_or(MALFORMED_OPTION)?;
        rest = after.get(len.next_multiple_of(4)..).ok_or(MALFORMED_OPTION)?;
        match (code, opcode) {
            (2, 1) if data.is_empty() && !found.prefer_failure => found.prefer_failure = true,
            (3, 1) => add_filter(&mut found.filter, data, from)?,
            (2 | 3, _) => return Err(MALFORMED_OPTION),
            (..128, _) => return Err((PcpCode::UnsuppOption, DropReason::Option)),
            (128.., _) => {}
        }
    }
    if rest.is_empty() { Ok(found) } else { Err(MALFORMED_OPTION) }
}

/// §13.3: a prefix of no bits takes back every filter before it.
fn add_filter(filter: &mut MapFilter, data: &[u8], from: IpAddr) -> Result<(), Bad> {
    let Some((&[_, bits, p0, p1], octets)) = data.split_first_chunk() else {
        return Err(MALFORMED_OPTION);
    };
    let octets: [u8; 16] = octets.try_into().map_err(|_| MALFORMED_OPTION)?;
    if bits == 0 {
        *filter = MapFilter { clear: true, add: Vec::new() };
        return Ok(());
    }
    let address = Ipv6Addr::from(octets).to_canonical();
    // The bits of an IPv4 address are counted from its own start by some clients, and from that of the IPv6
    // address that holds it by others; the ranges do not meet.
    let prefix = match (address, bits) {
        (IpAddr::V4(_), 1..=32) | (IpAddr::V6(_), 1..=128) => bits,
        (IpAddr::V4(_), 97..=128) => bits - 96,
        (IpAddr::V4(_) | IpAddr::V6(_), _) => return Err(MALFORMED_OPTION),
    };
    if address.is_ipv4() != from.to_canonical().is_ipv4() {
        return Err(MALFORMED_OPTION);
    }
    let address = match address {
        IpAddr::V4(address) => {
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - u32::from(prefix)))))
        }
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - u32::from(prefix)))))
        }
    };
    let remote = MapRemote { address, prefix, port: u16::from_be_bytes([p0, p1]) };
    if filter.add.contains(&remote) {
        return Ok(());
    }
    if filter.add.len() == MapFilter::REMOTES {
        return Err((PcpCode::ExcessiveRemotePeers, DropReason::MalformedOption));
    }
    filter.add.push(remote);
    Ok(())
}

fn header(opcode: u8, code: PcpCode, lifetime_s: u32, epoch_s: u32) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[0] = VERSION;
    out[1] = opcode | RESPONSE;
    out[3] = code.number();
    out[4..8].copy_from_slice(&lifetime_s.to_be_bytes());
    out[8..12].copy_from_slice(&epoch_s.to_be_bytes());
    out
}

/// What everybody is told when mappings may be lost, and the answer to ANNOUNCE.
pub(crate) fn announce(epoch_s: u32) -> Vec<u8> {
    header(0, PcpCode::Success, 0, epoch_s).to_vec()
}

/// An error: the request comes back under another header (§8.2).
pub(crate) fn refuse(request: &[u8], code: PcpCode, epoch_s: u32) -> Vec<u8> {
    let opcode = request.get(1).copied().unwrap_or_default();
    let mut out = header(opcode, code, code.lifetime_s(), epoch_s).to_vec();
    out.extend(request.iter().take(LONGEST).skip(HEADER));
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// The answer to MAP and PEER: the request comes back with what was granted in the place of what was suggested,
/// and with the options that were obeyed.
pub(crate) fn granted(request: &[u8], external: SocketAddr, lifetime_s: u32, epoch_s: u32) -> Vec<u8> {
    let opcode = request.get(1).copied().unwrap_or_default();
    let fixed = if opcode == 1 { MAP } else { PEER };
    let mut out = header(opcode, PcpCode::Success, lifetime_s, epoch_s).to_vec();
    out.extend(request.iter().take(fixed).skip(HEADER));
    out.resize(fixed, 0);
    out[42..44].copy_from_slice(&external.port().to_be_bytes());
    let address = match external.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    out[44..60].copy_from_slice(&address.octets());
    let mut rest = request.get(fixed..).unwrap_or_default();
    while let Some((&[code, _, l0, l1], after)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([l0, l1])).next_multiple_of(4).min(after.len());
        if code < 128 {
            out.extend(&rest[..4 + len]);
        }
        rest = &after[len..];
    }
    out
}
