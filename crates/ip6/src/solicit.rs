//! The DHCPv6 client that asks for a prefix (RFC 8415 §15, §18.2).

use alloc::{boxed::Box, vec::Vec};
use core::{net::Ipv6Addr, time::Duration};

use hn_types::{Monotonic, Subnet6};

use crate::{
    counters::DropReason,
    message::{CLIENT_ID, IA_PD, OPTION_REQUEST, Options, PREFERENCE, RAPID_COMMIT, SERVER_ID, STATUS_CODE},
    observed::{leads_out, until},
    server::Draws,
};

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;

const ELAPSED_TIME: u16 = 8;
const IA_PREFIX: u16 = 26;
const SOL_MAX_RT: u16 = 82;

/// Status codes.
const SUCCESS: u16 = 0;
const NO_BINDING: u16 = 3;

/// SOL_MAX_DELAY.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// SOL_MAX_RT until a server names another.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// A lease is not renewed more often than this, whatever a server says.
const LEAST_RENEWAL: Duration = Duration::from_secs(2);
/// Solicitations without an answer after which nobody is expected to delegate anything.
const PATIENCE: u32 = 3;
/// Longest identifier of a server (RFC 8415 §11.1).
const DUID: core::ops::RangeInclusive<usize> = 3..=130;

/// Retransmission of one exchange (RFC 8415 §15): first timeout, longest timeout.
#[derive(Clone, Copy, Debug)]
struct Pace(Duration, Duration);

const REQUESTING: Pace = Pace(Duration::from_secs(1), Duration::from_secs(30));
/// REQ_MAX_RC.
const REQUESTS: u32 = 10;
const RENEWING: Pace = Pace(Duration::from_secs(10), Duration::from_secs(600));

/// A delegated prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delegated {
    /// The prefix, at most 64 bits long.
    pub prefix: Subnet6,
    /// Until when it is preferred.
    pub preferred_until: Monotonic,
    /// Until when it is ours.
    pub valid_until: Monotonic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Looking for a server.
    Soliciting,
    /// Taking what a server offers.
    Requesting,
    /// Nothing to ask until T1.
    Bound,
    /// Asking the server, until T2.
    Renewing,
    /// Asking any server, until the prefix ends.
    Rebinding,
}

/// What an association says.
#[derive(Clone, Debug)]
struct Offer {
    server: Box<[u8]>,
    preference: u8,
    t1: u32,
    t2: u32,
    /// Preferred and valid lifetime in seconds.
    prefixes: Vec<(Subnet6, u32, u32)>,
}

/// The client.
#[derive(Debug)]
pub(crate) struct Solicitor {
    client: [u8; 18],
    iaid: u32,
    stage: Stage,
    transaction: [u8; 3],
    /// When the exchange began.
    began: Monotonic,
    /// How often its message was sent.
    sent: u32,
    /// The last timeout.
    timeout: Duration,
    /// When the message is sent again.
    next: Monotonic,
    longest: Duration,
    best: Option<Offer>,
    server: Box<[u8]>,
    lease: Option<Delegated>,
    renew_at: Monotonic,
    rebind_at: Monotonic,
    /// A server said that it has nothing, or none said anything.
    refused: bool,
}

impl Solicitor {
    pub(crate) fn new(uuid: [u8; 16], iaid: u32, now: Monotonic, draws: &mut Draws) -> Self {
        let mut client = [0; 18];
        client[1] = 4;
        client[2..].copy_from_slice(&uuid);
        let delay = FIRST_DELAY.mul_f64(draws.fraction());
        Self {
            client,
            iaid,
            stage: Stage::Soliciting,
            transaction: draws.transaction(),
            began: now,
            sent: 0,
            timeout: Duration::ZERO,
            next: now + delay,
            longest: LONGEST_PAUSE,
            best: None,
            server: Box::default(),
            lease: None,
            renew_at: now,
            rebind_at: now,
            refused: false,
        }
    }

    /// What is held at this moment and preferred.
    pub(crate) fn delegated(&self, now: Monotonic) -> Option<Delegated> {
        self.lease.filter(|lease| lease.preferred_until.min(lease.valid_until) > now)
    }

    /// Whether nothing is to be expected soon.
    pub(crate) const fn is_refused(&self) -> bool {
        self.refused
    }

    pub(crate) fn next_due(&self) -> Monotonic {
        let stage = match self.stage {
            Stage::Soliciting | Stage::Requesting => self.next,
            Stage::Bound => self.renew_at,
            Stage::Renewing => self.next.min(self.rebind_at),
            Stage::Rebinding => self.next,
        };
        // Its ends are news, too.
        let ends = self.lease.map(|lease| lease.valid_until);
        stage.min(ends.unwrap_or(stage))
    }

    /// The message that is due.
    pub(crate) fn pop_due(&mut self, now: Monotonic, draws: &mut Draws) -> Option<Vec<u8>> {
        if self.lease.is_some_and(|lease| lease.valid_until <= now) {
            self.lease = None;
            self.begin(Stage::Soliciting, now, draws);
        }
        match self.stage {
            Stage::Bound if self.renew_at <= now => self.begin(Stage::Renewing, now, draws),
            Stage::Renewing if self.rebind_at <= now => self.begin(Stage::Rebinding, now, draws),
            Stage::Soliciting if self.next <= now && self.best.is_some() => {
                // The best that came while the first answers were awaited (§18.2.1).
                self.begin(Stage::Requesting, now, draws);
            }
            Stage::Requesting if self.next <= now && self.sent >= REQUESTS => {
                self.begin(Stage::Soliciting, now, draws);
            }
            Stage::Bound | Stage::Renewing | Stage::Soliciting | Stage::Requesting | Stage::Rebinding => {}
        }
        if self.stage == Stage::Bound || self.next > now {
            return None;
        }
        let message = self.message(self.kind(), now);
        self.sent += 1;
        self.timeout = self.pause(draws);
        self.next = now + self.timeout;
        if self.stage == Stage::Soliciting && self.sent > PATIENCE {
            self.refused = true;
        }
        Some(message)
    }

    /// The farewell: the server may give the prefix to somebody else.
    pub(crate) fn release(&mut self, now: Monotonic, draws: &mut Draws) -> Option<Vec<u8>> {
        self.delegated(now)?;
        self.transaction = draws.transaction();
        self.began = now;
        let message = self.message(RELEASE, now);
        self.lease = None;
        Some(message)
    }

    const fn kind(&self) -> u8 {
        match self.stage {
            Stage::Soliciting => SOLICIT,
            Stage::Requesting => REQUEST,
            Stage::Renewing | Stage::Bound => RENEW,
            Stage::Rebinding => REBIND,
        }
    }

    /// Begins an exchange; its message is due at once.
    fn begin(&mut self, stage: Stage, now: Monotonic, draws: &mut Draws) {
        if stage == Stage::Requesting
            && let Some(best) = &self.best
        {
            self.server.clone_from(&best.server);
        }
        if stage == Stage::Soliciting {
            self.best = None;
        }
        self.stage = stage;
        self.transaction = draws.transaction();
        self.began = now;
        self.sent = 0;
        self.timeout = Duration::ZERO;
        self.next = now;
    }

    /// How long an answer is awaited: twice as long as before, within bounds, a tenth more or less (§15).
    fn pause(&self, draws: &mut Draws) -> Duration {
        let Pace(first, longest) = match self.stage {
            Stage::Soliciting => Pace(Duration::from_secs(1), self.longest),
            Stage::Requesting => REQUESTING,
            Stage::Bound | Stage::Renewing | Stage::Rebinding => RENEWING,
        };
        let spread = if self.stage == Stage::Soliciting && self.sent == 1 {
            // So that a server that answers at once has been heard before anything is decided.
            1.0 + draws.fraction() / 10.0
        } else {
            0.9 + draws.fraction() / 5.0
        };
        if self.timeout.is_zero() {
            return first.mul_f64(spread);
        }
        let doubled = self.timeout.mul_f64(1.0 + spread);
        if doubled > longest { longest.mul_f64(spread) } else { doubled }
    }

    fn message(&self, kind: u8, now: Monotonic) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.push(kind);
        out.extend_from_slice(&self.transaction);
        let mut option = |code: u16, data: &[u8]| {
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(&(data.len() as u16).to_be_bytes());
            out.extend_from_slice(data);
        };
        option(CLIENT_ID, &self.client);
        if matches!(kind, REQUEST | RENEW | RELEASE) {
            option(SERVER_ID, &self.server);
        }
        let elapsed = (now.since(self.began).as_millis() / 10).min(0xffff) as u16;
        option(ELAPSED_TIME, &if self.sent == 0 { 0 } else { elapsed }.to_be_bytes());
        if kind != RELEASE {
            option(OPTION_REQUEST, &SOL_MAX_RT.to_be_bytes());
        }
        if kind == SOLICIT {
            option(RAPID_COMMIT, &[]);
        }
        let mut association = Vec::from(self.iaid.to_be_bytes());
        association.extend_from_slice(&[0; 8]);
        // What is wanted: the offered prefix, or the one that is held; or the one that was, which a server may
        // give again.
        let offered = self.best.as_ref().filter(|_| kind == REQUEST).and_then(|best| best.prefixes.first());
        let held = self.lease.map(|lease| lease.prefix);
        if let Some(prefix) = offered.map(|(prefix, ..)| *prefix).or(held) {
            association.extend_from_slice(&IA_PREFIX.to_be_bytes());
            association.extend_from_slice(&[0, 25, 0, 0, 0, 0, 0, 0, 0, 0, prefix.prefix()]);
            association.extend_from_slice(&prefix.address().octets());
        }
        option(IA_PD, &association);
        out
    }

    /// The type and the options of a message that may be the answer that is awaited.
    ///
    /// It costs next to nothing, so it can be asked before how much a sender has sent: whoever does not know the
    /// transaction uses up nobody's share.
    pub(crate) fn awaited<'a>(&self, bytes: &'a [u8]) -> Result<(u8, &'a [u8]), DropReason> {
        let (&[kind, a, b, c], options) = bytes.split_first_chunk::<4>().ok_or(DropReason::Truncated)?;
        if !matches!(kind, ADVERTISE | REPLY) {
            return Err(DropReason::Message);
        }
        if [a, b, c] != self.transaction || self.stage == Stage::Bound || self.sent == 0 {
            return Err(DropReason::Unasked);
        }
        Ok((kind, options))
    }

    /// A server's message arrived.
    pub(crate) fn handle(
        &mut self,
        bytes: &[u8],
        now: Monotonic,
        draws: &mut Draws,
    ) -> Result<(), DropReason> {
        let (kind, options) = self.awaited(bytes)?;
        let answer = Answer::parse(options, self.iaid)?;
        if answer.client != self.client {
            return Err(DropReason::Unasked);
        }
        if !DUID.contains(&answer.server.len()) {
            return Err(DropReason::Identifiers);
        }
        if let Some(longest) = answer.longest.filter(|longest| (60..=86_400).contains(longest)) {
            self.longest = Duration::from_secs(longest.into());
        }
        match (self.stage, kind) {
            (Stage::Soliciting, ADVERTISE) => self.advertised(&answer, now, draws),
            (Stage::Soliciting, REPLY) if answer.rapid_commit => self.replied(&answer, now, draws),
            (Stage::Requesting | Stage::Renewing, REPLY) if answer.server != &*self.server => {
                Err(DropReason::OtherServer)
            }
            (Stage::Requesting | Stage::Renewing | Stage::Rebinding, REPLY) => {
                self.replied(&answer, now, draws)
            }
            _ => Err(DropReason::Unasked),
        }
    }

    fn advertised(
        &mut self,
        answer: &Answer<'_>,
        now: Monotonic,
        draws: &mut Draws,
    ) -> Result<(), DropReason> {
        if answer.status() != SUCCESS || answer.prefixes.is_empty() {
            self.refused = true;
            return Ok(());
        }
        let offer = answer.offer()?;
        let better = self.best.as_ref().is_none_or(|best| offer.preference > best.preference);
        // All answers to the first message are awaited, unless one is the best there can be.
        let enough = offer.preference == 255 || self.sent > 1;
        if better {
            self.best = Some(offer);
        }
        if enough {
            self.begin(Stage::Requesting, now, draws);
        }
        Ok(())
    }

    fn replied(&mut self, answer: &Answer<'_>, now: Monotonic, draws: &mut Draws) -> Result<(), DropReason> {
        match answer.status() {
            SUCCESS if answer.prefixes.is_empty() && self.stage == Stage::Requesting => {
                self.refused = true;
                self.begin(Stage::Soliciting, now, draws);
                self.next = now + Duration::from_secs(1);
                return Ok(());
            }
            SUCCESS => {}
            NO_BINDING if matches!(self.stage, Stage::Renewing | Stage::Rebinding) => {
                // It has forgotten us: ask as if for the first time (§18.2.10.1).
                self.best = None;
                self.server = answer.server.into();
                self.begin(Stage::Requesting, now, draws);
                return Ok(());
            }
            _ if self.stage == Stage::Requesting || self.stage == Stage::Soliciting => {
                self.refused = true;
                self.begin(Stage::Soliciting, now, draws);
                // A server that refuses at once is not asked at once again.
                self.next = now + Duration::from_secs(5);
                return Ok(());
            }
            // It is asked again when its answer is awaited no longer.
            _ => return Ok(()),
        }
        let offer = answer.offer()?;
        // What is held stays, if it is still granted.
        let live = |(_, preferred, _): &&(Subnet6, u32, u32)| *preferred > 0;
        let held = self.lease.map(|lease| lease.prefix);
        let same = offer.prefixes.iter().filter(live).find(|(prefix, ..)| Some(*prefix) == held);
        let longest = || offer.prefixes.iter().filter(live).max_by_key(|(_, preferred, _)| *preferred);
        let granted = same.or_else(longest).copied();
        let Some((prefix, preferred, valid)) = granted else {
            // Every prefix is taken back.
            let named = offer.prefixes.iter().find(|(prefix, ..)| Some(*prefix) == held);
            if named.is_some() {
                self.lease = None;
                self.begin(Stage::Soliciting, now, draws);
            }
            return Ok(());
        };
        let (t1, t2) = (hint(offer.t1, preferred, 50), hint(offer.t2, preferred, 80));
        self.lease = Some(Delegated {
            prefix,
            preferred_until: until(preferred, now),
            valid_until: until(valid, now),
        });
        self.server.clone_from(&offer.server);
        self.best = None;
        self.stage = Stage::Bound;
        self.refused = false;
        self.renew_at = until(t1, now).max(now + LEAST_RENEWAL);
        self.rebind_at = until(t2.max(t1), now).max(self.renew_at);
        Ok(())
    }
}

/// A time of an association; where the server leaves it open, a part of the preferred lifetime (§14.2).
const fn hint(time: u32, preferred: u32, percent: u64) -> u32 {
    if time == 0 && preferred == u32::MAX {
        u32::MAX
    } else if time == 0 {
        (preferred as u64 * percent / 100) as u32
    } else {
        time
    }
}

/// A server's message, taken apart.
#[derive(Debug, Default)]
struct Answer<'a> {
    client: &'a [u8],
    server: &'a [u8],
    preference: u8,
    rapid_commit: bool,
    longest: Option<u32>,
    /// Of the message, of the association.
    statuses: [u16; 2],
    t1: u32,
    t2: u32,
    prefixes: Vec<(Subnet6, u32, u32)>,
}

impl<'a> Answer<'a> {
    fn parse(options: &'a [u8], iaid: u32) -> Result<Self, DropReason> {
        let mut answer = Self::default();
        for option in Options(options) {
            let (code, data) = option?;
            match code {
                CLIENT_ID if answer.client.is_empty() => answer.client = data,
                SERVER_ID if answer.server.is_empty() => answer.server = data,
                CLIENT_ID | SERVER_ID => return Err(DropReason::Options),
                PREFERENCE => answer.preference = *data.first().ok_or(DropReason::Options)?,
                RAPID_COMMIT => answer.rapid_commit = true,
                SOL_MAX_RT => answer.longest = Some(u32::from_be_bytes(number(data)?)),
                STATUS_CODE => answer.statuses[0] = status(data)?,
                IA_PD => answer.take(data, iaid)?,
                _ => {}
            }
        }
        Ok(answer)
    }

    fn take(&mut self, data: &'a [u8], iaid: u32) -> Result<(), DropReason> {
        let (&[a, b, c, d, e, f, g, h, i, j, k, l], options) =
            data.split_first_chunk::<12>().ok_or(DropReason::Options)?;
        // Another association than the one that was asked for is nobody's.
        if u32::from_be_bytes([a, b, c, d]) != iaid {
            return Ok(());
        }
        self.t1 = u32::from_be_bytes([e, f, g, h]);
        self.t2 = u32::from_be_bytes([i, j, k, l]);
        if self.t1 > self.t2 && self.t2 != 0 {
            return Err(DropReason::Lifetimes);
        }
        for option in Options(options) {
            let (code, data) = option?;
            match code {
                STATUS_CODE => self.statuses[1] = status(data)?,
                IA_PREFIX => {
                    let Some(&[a, b, c, d, e, f, g, h, length, ref octets @ ..]) = data.first_chunk::<25>()
                    else {
                        return Err(DropReason::Options);
                    };
                    let preferred = u32::from_be_bytes([a, b, c, d]);
                    let valid = u32::from_be_bytes([e, f, g, h]);
                    let prefix = Subnet6::new(Ipv6Addr::from(*octets), length).map(Subnet6::network);
                    let usable = prefix.filter(|prefix| {
                        (16..=64).contains(&length) && leads_out(*prefix) && preferred <= valid
                    });
                    if let Some(prefix) = usable {
                        if self.prefixes.len() >= crate::message::ADDRESSES {
                            return Err(DropReason::TooMany);
                        }
                        self.prefixes.push((prefix, preferred, valid));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn status(&self) -> u16 {
        self.statuses.iter().copied().find(|status| *status != SUCCESS).unwrap_or(SUCCESS)
    }

    fn offer(&self) -> Result<Offer, DropReason> {
        if !DUID.contains(&self.server.len()) {
            return Err(DropReason::Identifiers);
        }
        Ok(Offer {
            server: self.server.into(),
            preference: self.preference,
            t1: self.t1,
            t2: self.t2,
            prefixes: self.prefixes.clone(),
        })
    }
}

fn number<const N: usize>(data: &[u8]) -> Result<[u8; N], DropReason> {
    data.try_into().map_err(|_| DropReason::Options)
}

fn status(data: &[u8]) -> Result<u16, DropReason> {
    data.first_chunk::<2>().map(|code| u16::from_be_bytes(*code)).ok_or(DropReason::Options)
}
