//! What the DHCPv6 server answers (RFC 8415 §21).

use alloc::vec::Vec;
use core::{net::Ipv6Addr, time::Duration};

use crate::{
    advert::encode_name,
    config::RawConfig,
    message::{
        CLIENT_ID, DNS_SERVERS, DOMAIN_LIST, IA_ADDRESS, IA_TA, Message, PREFERENCE, RAPID_COMMIT, SERVER_ID,
        STATUS_CODE,
    },
    protocol::Given,
};

pub(crate) const ADVERTISE: u8 = 2;
pub(crate) const REPLY: u8 = 7;

/// Status codes (RFC 8415 §21.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Success = 0,
    NoAddrsAvail = 2,
    NoBinding = 3,
    NotOnLink = 4,
    UseMulticast = 5,
    NoPrefixAvail = 6,
}

impl Status {
    const fn text(self) -> &'static str {
        match self {
            Self::Success => "",
            Self::NoAddrsAvail => "no address available",
            Self::NoBinding => "no such lease",
            Self::NotOnLink => "not of this link",
            Self::UseMulticast => "use multicast",
            Self::NoPrefixAvail => "no prefixes here",
        }
    }
}

/// The server's DUID (RFC 6355 §4: type 4, a UUID).
pub(crate) fn duid(config: &RawConfig) -> [u8; 18] {
    let mut duid = [0; 18];
    duid[1] = 4;
    duid[2..].copy_from_slice(&config.uuid);
    duid
}

/// A message being written.
#[derive(Debug)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A message of this kind with both identifiers, as every answer has.
    pub(crate) fn new(kind: u8, config: &RawConfig, request: &Message<'_>) -> Self {
        let mut writer = Self(Vec::with_capacity(512));
        writer.0.push(kind);
        writer.0.extend_from_slice(&request.transaction);
        writer.option(SERVER_ID, &duid(config));
        if !request.client.is_empty() {
            writer.option(CLIENT_ID, request.client);
        }
        writer
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn option(&mut self, code: u16, data: &[u8]) {
        self.0.extend_from_slice(&code.to_be_bytes());
        // Nothing that is written here is longer than a client's message.
        self.0.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.0.extend_from_slice(data);
    }

    pub(crate) fn status(&mut self, status: Status) {
        let mut data = Vec::from((status as u16).to_be_bytes());
        data.extend_from_slice(status.text().as_bytes());
        self.option(STATUS_CODE, &data);
    }

    /// This server needs no competition: a client takes its offer without waiting for others.
    pub(crate) fn preference(&mut self) {
        self.option(PREFERENCE, &[255]);
    }

    pub(crate) fn rapid_commit(&mut self) {
        self.option(RAPID_COMMIT, &[]);
    }

    /// Resolver and search list, as far as the client wants them.
    pub(crate) fn configuration(&mut self, config: &RawConfig, request: &Message<'_>) {
        if config.dns && request.wants(DNS_SERVERS) {
            self.option(DNS_SERVERS, &config.host.address().octets());
        }
        if let Some(domain) = &config.domain
            && request.wants(DOMAIN_LIST)
        {
            let mut name = Vec::new();
            encode_name(&mut name, domain);
            self.option(DOMAIN_LIST, &name);
        }
    }

    /// An identity association with what `fill` puts into it.
    pub(crate) fn association(
        &mut self,
        code: u16,
        iaid: u32,
        preferred: Duration,
        fill: impl FnOnce(&mut Self),
    ) {
        let mut inner = Self(Vec::from(iaid.to_be_bytes()));
        if code != IA_TA {
            let preferred = preferred.as_secs();
            // Renew at half of the preferred lifetime, rebind at 0.8 of it (§14.2).
            inner.0.extend_from_slice(&((preferred / 2) as u32).to_be_bytes());
            inner.0.extend_from_slice(&((preferred * 4 / 5) as u32).to_be_bytes());
        }
        fill(&mut inner);
        self.option(code, &inner.0);
    }

    pub(crate) fn addresses(&mut self, given: &[Given]) {
        for given in given {
            self.address(given.address, given.preferred, given.valid);
        }
    }

    /// An address; with lifetimes of zero the client gives it up.
    fn address(&mut self, address: Ipv6Addr, preferred: Duration, valid: Duration) {
        let mut data = Vec::from(address.octets());
        data.extend_from_slice(&(preferred.as_secs() as u32).to_be_bytes());
        data.extend_from_slice(&(valid.as_secs() as u32).to_be_bytes());
        self.option(IA_ADDRESS, &data);
    }
}
