//! What we tell a client and why, one function per group of options.

use alloc::vec::Vec;

use crate::{config::Config, wire::Request};

/// The kinds of reply (option 53, RFC 2132 §9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyType {
    Offer = 2,
    Ack = 5,
    Nak = 6,
}

/// Options written after the magic cookie, never beyond `limit` bytes of the whole frame.
#[derive(Debug)]
pub(crate) struct OptionWriter<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    /// Length of the frame that must not be exceeded; room for the end mark is kept.
    pub(crate) limit: usize,
}

impl OptionWriter<'_> {
    fn put(&mut self, code: u8, value: &[u8]) {
        // What doesn't fit is left out: options are written in order of importance.
        let Ok(len) = u8::try_from(value.len()) else { return };
        if self.out.len() + value.len() + 3 <= self.limit {
            self.out.extend_from_slice(&[code, len]);
            self.out.extend_from_slice(value);
        }
    }

    /// Message type and server identifier: in every reply (RFC 2131 §4.3.1, table 3).
    pub(crate) fn essentials(&mut self, kind: ReplyType, config: &Config) {
        self.put(53, &[kind as u8]);
        self.put(54, &config.server().octets());
    }

    /// The client identifier exactly as the client sent it (RFC 6842 §3).
    pub(crate) fn client_id(&mut self, request: &Request) {
        let id = request.client_id.as_slice();
        if !id.is_empty() {
            self.put(61, id);
        }
    }

    /// Lease time, T1 and T2 at 1/2 and 7/8 of it (RFC 2131 §4.4.5).
    pub(crate) fn lease(&mut self, seconds: u32) {
        self.put(51, &seconds.to_be_bytes());
        self.put(58, &(seconds / 2).to_be_bytes());
        self.put(59, &(seconds - seconds / 8).to_be_bytes());
    }

    /// Rapid Commit in the acknowledgement of a DISCOVER that asked for it (RFC 4039 §4).
    pub(crate) fn rapid_commit(&mut self) {
        self.put(80, &[]);
    }

    /// Why a request was refused (RFC 2132 §9.9).
    pub(crate) fn refusal(&mut self, text: &str) {
        self.put(56, text.as_bytes());
    }

    /// The link's parameters in the order the client asked for them (RFC 2132 §9.8), the mask always and
    /// before the router (§3.3). A client that asks for nothing is told everything.
    pub(crate) fn parameters(&mut self, request: &Request, config: &Config) {
        self.put(1, &config.raw().host.mask().octets());
        let asked = request.parameters.as_slice();
        let everything = [3, 6, 15, 26, 28];
        let mut done = [false; 32];
        for &code in if asked.is_empty() { &everything } else { asked } {
            if let Some(done) = done.get_mut(usize::from(code))
                && !core::mem::replace(done, true)
            {
                self.parameter(code, config);
            }
        }
    }

    fn parameter(&mut self, code: u8, config: &Config) {
        let raw = config.raw();
        match code {
            3 => {
                if let Some(router) = raw.router {
                    self.put(3, &router.octets());
                }
            }
            6 => {
                let mut addresses = [[0; 4]; 8];
                for (to, from) in addresses.iter_mut().zip(&raw.dns) {
                    *to = from.octets();
                }
                let list = addresses.get(..raw.dns.len()).unwrap_or_default();
                if !list.is_empty() {
                    self.put(6, list.as_flattened());
                }
            }
            15 => {
                if let Some(domain) = &raw.domain {
                    self.put(15, domain.as_bytes());
                }
            }
            26 => {
                if let Some(mtu) = raw.mtu {
                    self.put(26, &mtu.to_be_bytes());
                }
            }
            28 => self.put(28, &raw.host.broadcast().octets()),
            _ => {}
        }
    }
}
