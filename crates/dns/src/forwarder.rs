//! The machine as its driver sees it: what comes from clients, settings, time and outputs.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hn_types::{Monotonic, siphash::SipKey};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use crate::{
    cache::{Cache, Key},
    config::{Config, ConfigError},
    counters::Counters,
    hash::draw_key,
    local::{HOST_INFO, Local, NameError},
    lookup::{Lookups, Refused},
    message::Packer,
    name::Case,
    output::{Client, ClientTransport, Outbox, Output},
    query::{Query, Refusal},
    reply::{Asker, Author, Letters, finish_packed, write_error},
    upstream::Upstreams,
    wire::{HEADER, IN, MAX_UDP, ede, flag, kind, rcode},
};

/// The DNS forwarder of one private segment. See the crate's documentation for how it is driven.
///
/// Everything it holds is bounded by its [`Config`]. A question that gets no reply is counted under its
/// reason; every other one gets exactly one, at the latest when `Config::total_timeout` is over.
#[derive(Debug)]
pub struct Forwarder {
    pub(crate) config: Config,
    pub(crate) local: Local,
    pub(crate) cache: Cache,
    pub(crate) lookups: Lookups,
    pub(crate) upstreams: Upstreams,
    pub(crate) out: Outbox,
    pub(crate) packer: Packer,
    pub(crate) counters: Counters,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) hasher: SipKey,
}

impl Forwarder {
    /// A forwarder without resolvers and names. `seed` must come from the system's generator: message
    /// ids, ports, letter cases and the keys of the hash tables hang on it.
    pub fn new(config: Config, seed: [u8; 32], now: Monotonic) -> Result<Self, ConfigError> {
        let config = config.clamped();
        let domain = config.domain_name()?;
        let mut rng = ChaCha12Rng::from_seed(seed);
        let hasher = draw_key(&mut rng);
        let mut local =
            Local::new(domain, config.address, &config.host_name, config.local_ttl, config.max_names);
        local.set_host6(config.address6);
        Ok(Self {
            local,
            cache: Cache::new(config.cache_entries, config.cache_bytes),
            lookups: Lookups::new(&config, draw_key(&mut rng), now),
            upstreams: Upstreams::new(config.ports_per_upstream, config.port_uses),
            out: Outbox::new(),
            packer: Packer::default(),
            counters: Counters::default(),
            config,
            rng,
            hasher,
        })
    }

    /// Takes new settings. Names, resolvers and, unless its size or the local domain changed, the cache
    /// stay. When the subnet or a limit on questions in flight changed, those in flight are dropped and
    /// counted: their clients have other addresses by then.
    pub fn reconfigure(&mut self, config: Config, now: Monotonic) -> Result<(), ConfigError> {
        let config = config.clamped();
        let domain = config.domain_name()?;
        let old = core::mem::replace(&mut self.config, config);
        let config = &self.config;

        let cache_size = |c: &Config| (c.cache_entries, c.cache_bytes);
        if cache_size(&old) != cache_size(config) {
            self.cache = Cache::new(config.cache_entries, config.cache_bytes);
        } else if old.domain != config.domain {
            self.cache.clear();
        }
        self.local.reconfigured(
            domain,
            config.address,
            &config.host_name,
            config.local_ttl,
            config.max_names,
        );
        self.local.set_host6(config.address6);
        let tables = |c: &Config| {
            (c.address, c.address6, c.max_lookups, c.max_waiters, c.max_waiters_per_lookup, c.max_per_client)
        };
        if tables(&old) != tables(config) {
            self.counters.dropped_reconfigured += self.lookups.waiting() as u64;
            self.cancel_all_attempts(now);
            self.lookups = Lookups::new(&self.config, draw_key(&mut self.rng), now);
        }
        let sockets = |c: &Config| (c.ports_per_upstream, c.port_uses);
        if sockets(&old) != sockets(&self.config) {
            let addrs: alloc::vec::Vec<SocketAddr> = self.upstreams.list().iter().map(|u| u.addr).collect();
            self.set_upstreams(&[], now);
            self.upstreams.resize(self.config.ports_per_upstream, self.config.port_uses);
            self.set_upstreams(&addrs, now);
        }
        Ok(())
    }

    /// Gives the device at `addr` a name made of `name` (whatever it calls itself) and returns the label it
    /// got: the first holder of a label keeps it, the next gets `label-2`. Setting the same again changes
    /// nothing.
    pub fn set_name(&mut self, name: &str, addr: Ipv4Addr) -> Result<&str, NameError> {
        let result = self.local.set(name, addr);
        if result.is_err() {
            self.counters.names_refused += 1;
        }
        result
    }

    /// Forgets the name of the device at `addr`; false when it had none.
    pub fn remove_name(&mut self, addr: Ipv4Addr) -> bool {
        self.local.remove(addr)
    }

    /// The device at `addr`, whose name is known, has these IPv6 addresses and no others; at most 16 are told.
    pub fn set_addresses6(&mut self, addr: Ipv4Addr, addresses: &[Ipv6Addr]) {
        self.local.set_six(addr, addresses);
    }

    /// A message from a client.
    pub fn handle_query(&mut self, message: &[u8], client: Client, now: Monotonic) {
        self.counters.queries += 1;
        if !self.serves(client.addr) {
            self.counters.dropped_source += 1;
            return;
        }
        let udp = client.transport == ClientTransport::Udp;
        if udp && message.len() > usize::from(MAX_UDP) {
            self.counters.dropped_length += 1;
            return;
        }
        match Query::read(message) {
            Ok(query) => self.answer(message, &query, client, now),
            Err(Refusal::Length) => self.counters.dropped_length += 1,
            Err(Refusal::Response) => self.counters.dropped_response += 1,
            Err(Refusal::Opcode { id, flags }) => {
                self.counters.refused += 1;
                self.reply_error(&unread(id, flags, client), None, rcode::NOTIMP, None);
            }
            Err(Refusal::Malformed { id, flags }) => {
                self.counters.malformed += 1;
                self.reply_error(&unread(id, flags, client), None, rcode::FORMERR, None);
            }
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        while let Some(lookup) = self.lookups.wheel.pop(now) {
            self.lookup_due(lookup, now);
        }
        while let Some(route) = self.upstreams.take_idle_tcp(now) {
            self.out.close(route);
        }
    }

    /// When [`Forwarder::handle_timeout`] has something to do. May change after every `handle_*` and `set_*`.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        self.lookups.wheel.next().into_iter().chain(self.upstreams.next_idle_tcp()).min()
    }

    /// The next output. Bytes are only lent: send or copy them before the next call.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        self.out.poll()
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Answers in the cache, expired ones that nothing has swept yet included.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// Bytes the cache has set aside, all of them, whether used or not.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Questions in flight to resolvers.
    pub fn in_flight(&self) -> usize {
        self.lookups.len()
    }

    /// Clients waiting for an answer.
    pub fn waiting(&self) -> usize {
        self.lookups.waiting()
    }

    fn serves(&self, addr: SocketAddr) -> bool {
        let known = match addr.ip().to_canonical() {
            IpAddr::V4(source) => {
                let subnet = self.config.address;
                let ends = source == subnet.network().address() || source == subnet.broadcast();
                subnet.contains(source) && (subnet.prefix() >= 31 || !ends)
            }
            IpAddr::V6(source) => self.config.address6.is_some_and(|subnet| subnet.contains(source)),
        };
        known && addr.port() != 0
    }

    fn answer(&mut self, message: &[u8], query: &Query, client: Client, now: Monotonic) {
        let asker = Asker::of(query, client);
        let question = message.get(HEADER..query.question_end);
        if query.edns.is_some_and(|edns| edns.version != 0) {
            self.counters.bad_version += 1;
            self.reply_error(&asker, question, rcode::BADVERS, None);
            return;
        }
        // Types 128 to 254 ask for transfers and transactions, never for records (RFC 6895 §3.1).
        if query.class != IN || matches!(query.kind, kind::OPT | 128..=254) {
            self.refuse(&asker, question);
            return;
        }
        let Some(draft) = self.out.begin() else {
            self.counters.dropped_output += 1;
            return;
        };
        let own_size = self.config.edns_size;
        let words = question.unwrap_or_default();
        let buffer = self.out.buffer();
        if let Some(cut) = self.local.answer(&query.name, query.kind, words, &asker, buffer, own_size) {
            self.counters.local += 1;
            self.counters.truncated += u64::from(cut);
            self.counters.replies += 1;
            self.out.reply(draft, client);
            return;
        }
        buffer.truncate(draft.0);
        if query.flags & flag::RD == 0 {
            self.refuse(&asker, question);
            return;
        }
        if query.kind == kind::ANY {
            let mut author = Author::new(buffer, &asker, words, rcode::NOERROR);
            author.answer(kind::HINFO, self.config.local_ttl, &[HOST_INFO]);
            author.finish(&asker, own_size);
            self.counters.local += 1;
            self.counters.replies += 1;
            self.out.reply(draft, client);
            return;
        }

        let checking_disabled = query.flags & flag::CD != 0;
        let tail = Key::tail(query.kind, query.dnssec_ok(), checking_disabled);
        let key = Key {
            hash: self.hasher.hash(query.name.wire(), tail),
            name: &query.name,
            kind: query.kind,
            dnssec_ok: query.dnssec_ok(),
            checking_disabled,
        };
        let raw = words.get(..query.name.wire().len()).unwrap_or_default();
        if let Some(hit) = self.cache.find(&key, now) {
            self.cache.copy(hit.entry, buffer);
            let cut = finish_packed(buffer, draft.0, hit.shape, &asker, Letters::Raw(raw), hit.age, own_size);
            self.counters.hits += 1;
            self.counters.truncated += u64::from(cut);
            self.counters.replies += 1;
            self.out.reply(draft, client);
            if hit.refresh && self.config.prefetch {
                self.refresh(&key, now);
            }
            return;
        }
        self.counters.misses += 1;
        self.miss(&key, asker, raw, words, now);
    }

    fn miss(&mut self, key: &Key<'_>, asker: Asker, raw: &[u8], question: &[u8], now: Monotonic) {
        if self.upstreams.list().is_empty() {
            self.counters.no_upstream += 1;
            self.reply_error(&asker, Some(question), rcode::SERVFAIL, Some(ede::NOT_READY));
            return;
        }
        let case = Case::of(raw);
        let (lookup, fresh) = match self.lookups.find(key) {
            Some(lookup) => (Some(lookup), false),
            // A client at its limit must not even take a place in the table.
            None if self.lookups.is_at_limit(asker.client) => (None, true),
            None => (self.lookups.add(key, None, now + self.config.total_timeout), true),
        };
        let waits = match lookup {
            Some(lookup) => self.lookups.wait(lookup, asker, case),
            None if self.lookups.is_full() => Err(Refused::Full),
            None => Err(Refused::ClientLimit),
        };
        match (waits, lookup) {
            (Ok(()), Some(lookup)) if fresh => self.start(lookup, now),
            (Ok(()), _) => self.counters.coalesced += 1,
            (Err(refused), lookup) => {
                if let Some(lookup) = lookup.filter(|_| fresh) {
                    self.lookups.remove(lookup);
                }
                self.turn_away(refused, &asker, question);
            }
        }
        self.probe(now);
    }

    fn turn_away(&mut self, refused: Refused, asker: &Asker, question: &[u8]) {
        match refused {
            Refused::Duplicate => {
                self.counters.dropped_duplicate += 1;
                return;
            }
            Refused::ClientLimit => self.counters.client_limit += 1,
            Refused::Full => self.counters.lookup_limit += 1,
        }
        self.reply_error(asker, Some(question), rcode::SERVFAIL, Some(ede::OTHER));
    }

    fn refuse(&mut self, asker: &Asker, question: Option<&[u8]>) {
        self.counters.refused += 1;
        self.reply_error(asker, question, rcode::REFUSED, Some(ede::PROHIBITED));
    }

    fn reply_error(&mut self, asker: &Asker, question: Option<&[u8]>, code: u16, ede: Option<u16>) {
        let Some(draft) = self.out.begin() else {
            self.counters.dropped_output += 1;
            return;
        };
        write_error(self.out.buffer(), asker, question, code, ede, self.config.edns_size);
        self.counters.replies += 1;
        self.out.reply(draft, asker.client);
    }
}

/// Who sent something that could not be read as a question.
fn unread(id: u16, flags: u16, client: Client) -> Asker {
    Asker {
        client,
        id,
        flags: flags & (flag::OPCODE | flag::RD),
        edns_size: None,
        dnssec_ok: false,
        wants_ad: false,
    }
}
