//! NAT-PMP messages (RFC 6886 §3).

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use hn_types::settings::Protocol;

use crate::{code::NatPmpCode, counters::DropReason};

/// The version of all messages.
pub(crate) const VERSION: u8 = 0;
/// The bit that tells responses.
const RESPONSE: u8 = 0x80;
/// As much of an unknown request as is returned.
const RETURNED: usize = 64;

/// A request that can be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Opcode 0.
    Address,
    /// Opcodes 1 and 2.
    Map(Map),
}

/// What a mapping request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) protocol: Protocol,
    pub(crate) internal_port: u16,
    /// The suggested one; 0: any.
    pub(crate) external_port: u16,
    /// Seconds; 0: delete.
    pub(crate) lifetime_s: u32,
}

impl Map {
    const fn opcode(self) -> u8 {
        match self.protocol {
            Protocol::Udp => 1,
            Protocol::Tcp => 2,
        }
    }
}

/// Reads a message of version 0 that has at least two bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Request, DropReason> {
    let (&opcode, body) = bytes.get(1..).and_then(<[u8]>::split_first).ok_or(DropReason::Truncated)?;
    let protocol = match opcode {
        0 => return Ok(Request::Address),
        1 => Protocol::Udp,
        2 => Protocol::Tcp,
        RESPONSE.. => return Err(DropReason::Response),
        _ => return Err(DropReason::Opcode),
    };
    let Some(&[_, _, i0, i1, e0, e1, l0, l1, l2, l3]) = body.first_chunk() else {
        return Err(DropReason::Truncated);
    };
    Ok(Request::Map(Map {
        protocol,
        internal_port: u16::from_be_bytes([i0, i1]),
        external_port: u16::from_be_bytes([e0, e1]),
        lifetime_s: u32::from_be_bytes([l0, l1, l2, l3]),
    }))
}

fn header(opcode: u8, code: NatPmpCode, epoch_s: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    out.extend([VERSION, opcode | RESPONSE]);
    out.extend(code.number().to_be_bytes());
    out.extend(epoch_s.to_be_bytes());
    out
}

/// The answer to opcode 0, and the announcement of a new address.
pub(crate) fn address(external: Option<Ipv4Addr>, epoch_s: u32) -> Vec<u8> {
    let code = if external.is_some() { NatPmpCode::Success } else { NatPmpCode::NetworkFailure };
    let mut out = header(0, code, epoch_s);
    out.extend(external.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    out
}

/// The answer to a mapping request: the port and seconds that were granted.
pub(crate) fn mapped(map: Map, granted: Result<(u16, u32), NatPmpCode>, epoch_s: u32) -> Vec<u8> {
    let code = granted.err().unwrap_or(NatPmpCode::Success);
    // RFC 6886 §3.5: a refused request is recognised by its internal port; nothing was mapped.
    let (external_port, lifetime_s) = granted.unwrap_or_default();
    let mut out = header(map.opcode(), code, epoch_s);
    out.extend(map.internal_port.to_be_bytes());
    out.extend(external_port.to_be_bytes());
    out.extend(lifetime_s.to_be_bytes());
    out
}

/// A request of an unknown operation is returned with its result code (RFC 6886 §3.5).
pub(crate) fn unsupported_opcode(request: &[u8], epoch_s: u32) -> Vec<u8> {
    let opcode = request.get(1).copied().unwrap_or_default();
    let mut out = header(opcode, NatPmpCode::UnsupportedOpcode, epoch_s);
    out.extend(request.iter().take(RETURNED).skip(out.len()));
    out
}

/// The answer to another version where NAT-PMP alone is spoken (RFC 6886 §3.5).
pub(crate) fn unsupported_version(opcode: u8, epoch_s: u32) -> Vec<u8> {
    header(opcode, NatPmpCode::UnsupportedVersion, epoch_s)
}
