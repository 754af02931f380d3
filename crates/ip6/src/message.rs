//! What a DHCPv6 client sends (RFC 8415 §8, §21).

use alloc::{string::String, vec::Vec};
use core::net::Ipv6Addr;

use crate::counters::DropReason;

/// Associations in one message.
pub(crate) const ASSOCIATIONS: usize = 4;
/// Addresses named in one association.
pub(crate) const ADDRESSES: usize = 4;

pub(crate) const CLIENT_ID: u16 = 1;
pub(crate) const SERVER_ID: u16 = 2;
pub(crate) const IA_NA: u16 = 3;
pub(crate) const IA_TA: u16 = 4;
pub(crate) const IA_ADDRESS: u16 = 5;
pub(crate) const OPTION_REQUEST: u16 = 6;
pub(crate) const PREFERENCE: u16 = 7;
pub(crate) const STATUS_CODE: u16 = 13;
pub(crate) const RAPID_COMMIT: u16 = 14;
pub(crate) const DNS_SERVERS: u16 = 23;
pub(crate) const DOMAIN_LIST: u16 = 24;
pub(crate) const IA_PD: u16 = 25;
const CLIENT_FQDN: u16 = 39;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Solicit,
    Request,
    Confirm,
    Renew,
    Rebind,
    Release,
    Decline,
    InformationRequest,
}

/// An identity association.
#[derive(Debug)]
pub(crate) struct Association {
    /// [`IA_NA`], [`IA_TA`] or [`IA_PD`].
    pub(crate) code: u16,
    pub(crate) iaid: u32,
    /// The addresses it names, at most [`ADDRESSES`]; none for a prefix delegation.
    pub(crate) addresses: Vec<Ipv6Addr>,
}

/// A message that a server takes, with identifiers as it must have.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: Kind,
    pub(crate) transaction: [u8; 3],
    /// Empty only in an Information-request.
    pub(crate) client: &'a [u8],
    pub(crate) associations: Vec<Association>,
    pub(crate) rapid_commit: bool,
    requested: Option<&'a [u8]>,
    /// The first label of its name, lower case; empty without a usable one.
    pub(crate) hostname: String,
}

impl<'a> Message<'a> {
    /// Takes `bytes` apart and applies the rules of RFC 8415 §16. `server` is this server's DUID.
    pub(crate) fn parse(bytes: &'a [u8], server: &[u8]) -> Result<Self, DropReason> {
        let (&[kind, a, b, c], options) = bytes.split_first_chunk::<4>().ok_or(DropReason::Truncated)?;
        let kind = match kind {
            1 => Kind::Solicit,
            3 => Kind::Request,
            4 => Kind::Confirm,
            5 => Kind::Renew,
            6 => Kind::Rebind,
            8 => Kind::Release,
            9 => Kind::Decline,
            11 => Kind::InformationRequest,
            12 => return Err(DropReason::Relayed),
            _ => return Err(DropReason::Message),
        };
        let mut message = Self {
            kind,
            transaction: [a, b, c],
            client: &[],
            associations: Vec::new(),
            rapid_commit: false,
            requested: None,
            hostname: String::new(),
        };
        let mut for_server = None;
        for option in Options(options) {
            let (code, data) = option?;
            match code {
                // A type of two bytes and at most 128 more (§11.1).
                CLIENT_ID if message.client.is_empty() && (3..=130).contains(&data.len()) => {
                    message.client = data;
                }
                SERVER_ID if for_server.is_none() && (3..=130).contains(&data.len()) => {
                    for_server = Some(data);
                }
                CLIENT_ID | SERVER_ID => return Err(DropReason::Options),
                OPTION_REQUEST if data.len() % 2 == 0 => message.requested = Some(data),
                OPTION_REQUEST => return Err(DropReason::Options),
                IA_NA | IA_TA | IA_PD => {
                    if message.associations.len() == ASSOCIATIONS {
                        return Err(DropReason::TooMany);
                    }
                    message.associations.push(association(code, data)?);
                }
                RAPID_COMMIT if data.is_empty() => message.rapid_commit = true,
                RAPID_COMMIT => return Err(DropReason::Options),
                CLIENT_FQDN => message.hostname = first_label(data),
                _ => {}
            }
        }
        message.check(for_server, server)?;
        Ok(message)
    }

    fn check(&self, for_server: Option<&[u8]>, server: &[u8]) -> Result<(), DropReason> {
        let needs_client = self.kind != Kind::InformationRequest;
        if needs_client && self.client.is_empty() {
            return Err(DropReason::Identifiers);
        }
        match self.kind {
            Kind::Solicit | Kind::Confirm | Kind::Rebind if for_server.is_some() => {
                Err(DropReason::Identifiers)
            }
            Kind::Request | Kind::Renew | Kind::Release | Kind::Decline if for_server.is_none() => {
                Err(DropReason::Identifiers)
            }
            Kind::InformationRequest if !self.associations.is_empty() => Err(DropReason::Identifiers),
            Kind::Solicit
            | Kind::Request
            | Kind::Confirm
            | Kind::Renew
            | Kind::Rebind
            | Kind::Release
            | Kind::Decline
            | Kind::InformationRequest => {
                if for_server.is_some_and(|wanted| wanted != server) {
                    Err(DropReason::OtherServer)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Whether the client wants the option `code`; one that does not say wants all.
    pub(crate) fn wants(&self, code: u16) -> bool {
        self.requested.is_none_or(|list| {
            let (codes, _) = list.as_chunks::<2>();
            codes.iter().any(|bytes| u16::from_be_bytes(*bytes) == code)
        })
    }
}

fn association(code: u16, data: &[u8]) -> Result<Association, DropReason> {
    let (&iaid, rest) = data.split_first_chunk::<4>().ok_or(DropReason::Options)?;
    // T1 and T2 are hints to the server, which has its own mind.
    let times = if code == IA_TA { 0 } else { 8 };
    let options = rest.get(times..).ok_or(DropReason::Options)?;
    let mut addresses = Vec::new();
    for option in Options(options) {
        let (inner, data) = option?;
        if inner != IA_ADDRESS || code == IA_PD {
            continue;
        }
        let (&octets, lifetimes) = data.split_first_chunk::<16>().ok_or(DropReason::Options)?;
        if lifetimes.len() < 8 {
            return Err(DropReason::Options);
        }
        if addresses.len() == ADDRESSES {
            return Err(DropReason::TooMany);
        }
        addresses.push(Ipv6Addr::from(octets));
    }
    Ok(Association { code, iaid: u32::from_be_bytes(iaid), addresses })
}

/// The first label of a client's name (RFC 4704 §4.1): what is not letters, digits and hyphens is no name.
fn first_label(data: &[u8]) -> String {
    let label = match data {
        [_flags, len @ 1..=63, rest @ ..] => rest.get(..usize::from(*len)).unwrap_or_default(),
        _ => &[],
    };
    let good = label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && !label.starts_with(b"-")
        && !label.ends_with(b"-");
    if !good {
        return String::new();
    }
    label.iter().map(|b| char::from(b.to_ascii_lowercase())).collect()
}

/// Options one after the other.
pub(crate) struct Options<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, &'a [u8]), DropReason>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = (|| {
            let (&[code_hi, code_lo, len_hi, len_lo], rest) = self.0.split_first_chunk::<4>()?;
            let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([len_hi, len_lo])))?;
            Some((u16::from_be_bytes([code_hi, code_lo]), data, rest))
        })();
        match taken {
            Some((code, data, rest)) => {
                self.0 = rest;
                Some(Ok((code, data)))
            }
            None => {
                self.0 = &[];
                Some(Err(DropReason::Options))
            }
        }
    }
}
