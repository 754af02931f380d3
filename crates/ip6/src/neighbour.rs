//! Neighbour Solicitations and Advertisements (RFC 4861 §4.3, §4.4, §7.1).

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use hn_types::MacAddr;

use crate::{
    counters::DropReason,
    frame::{self, Envelope, NdOptions, Origin, Peer},
};

pub(crate) const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// What somebody asks or tells about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) kind: Kind,
    /// The sender; its address is unspecified while it looks whether `target` is free (RFC 4862 §5.4).
    pub(crate) from: Peer,
    pub(crate) target: Ipv6Addr,
    /// The hardware address it names: its own in a solicitation, that of the target in an advertisement.
    pub(crate) link: Option<MacAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Solicitation,
    Advertisement,
}

impl Neighbour {
    /// Validates a message of either type.
    pub(crate) fn parse(envelope: &Envelope<'_>) -> Result<Self, DropReason> {
        let (kind, named) = match envelope.icmpv6() {
            Some(SOLICITATION) => (Kind::Solicitation, SOURCE_LINK_LAYER_ADDRESS),
            Some(ADVERTISEMENT) => (Kind::Advertisement, TARGET_LINK_LAYER_ADDRESS),
            Some(_) | None => return Err(DropReason::NotForUs),
        };
        envelope.discovery(24)?;
        let (fixed, options) = envelope.payload.split_first_chunk::<24>().ok_or(DropReason::Icmpv6)?;
        let [_, _, _, _, flags, _, _, _, target @ ..] = *fixed;
        let target = Ipv6Addr::from(target);
        let from = envelope.from;
        let anonymous = from.address.is_unspecified();
        let wrong = match kind {
            // Whoever has no address asks a group only.
            Kind::Solicitation => anonymous && envelope.to != frame::solicited_node(target).address,
            Kind::Advertisement => anonymous || (envelope.to.is_multicast() && flags & SOLICITED != 0),
        };
        if wrong || target.is_multicast() || target.is_unspecified() || target.is_loopback() {
            return Err(DropReason::Icmpv6);
        }
        let mut link = None;
        for option in NdOptions(options) {
            let (kind, data) = option?;
            if kind == named {
                let octets: [u8; 6] = data.try_into().map_err(|_| DropReason::NdOption)?;
                link = Some(MacAddr(octets));
            }
        }
        if kind == Kind::Solicitation && anonymous && link.is_some() {
            return Err(DropReason::NdOption);
        }
        Ok(Self { kind, from, target, link })
    }

    /// Its sender looks whether the target is free.
    pub(crate) fn is_duplicate_detection(&self) -> bool {
        self.kind == Kind::Solicitation && self.from.address.is_unspecified()
    }
}

/// Asks everybody on the link for `target`, as one who has an address.
pub(crate) fn solicit(from: Origin, target: Ipv6Addr) -> Vec<u8> {
    frame::icmpv6(from, frame::solicited_node(target), &solicitation(from, target))
}

/// Asks `holder` whether it still has `target`.
pub(crate) fn probe(from: Origin, holder: MacAddr, target: Ipv6Addr) -> Vec<u8> {
    frame::icmpv6(from, Peer { mac: holder, address: target }, &solicitation(from, target))
}

/// Looks whether anybody on the link has `target`, for somebody who is about to take it.
pub(crate) fn detect_duplicate(from: Origin, target: Ipv6Addr) -> Vec<u8> {
    let nobody = Origin { address: Ipv6Addr::UNSPECIFIED, ..from };
    let mut message = Vec::from([SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&target.octets());
    frame::icmpv6(nobody, frame::solicited_node(target), &message)
}

/// Tells `to` that frames for `target` go to `from`. Never overrides what the target says itself (RFC 4861
/// §7.2.8).
pub(crate) fn advertise(from: Origin, to: Peer, target: Ipv6Addr) -> Vec<u8> {
    let everybody = to.address.is_unspecified();
    let to = if everybody { Peer::EVERYBODY } else { to };
    message_about(from, to, target, if everybody { 0 } else { SOLICITED })
}

/// Tells everybody that `target` is in use, so that whoever is about to take it does not.
pub(crate) fn object(from: Origin, target: Ipv6Addr) -> Vec<u8> {
    message_about(from, Peer::EVERYBODY, target, OVERRIDE)
}

fn message_about(from: Origin, to: Peer, target: Ipv6Addr, flags: u8) -> Vec<u8> {
    let mut message = Vec::from([ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0]);
    message.extend_from_slice(&target.octets());
    if let Some(mac) = from.mac {
        message.extend_from_slice(&[TARGET_LINK_LAYER_ADDRESS, 1]);
        message.extend_from_slice(&mac.0);
    }
    frame::icmpv6(from, to, &message)
}

fn solicitation(from: Origin, target: Ipv6Addr) -> Vec<u8> {
    let mut message = Vec::from([SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&target.octets());
    if let Some(mac) = from.mac {
        message.extend_from_slice(&[SOURCE_LINK_LAYER_ADDRESS, 1]);
        message.extend_from_slice(&mac.0);
    }
    message
}
