//! Why a device is not online: from what should hold ([`Case`]) and what was found ([`Findings`]) to a [`Diagnosis`].
//!
//! A fixed list of checks, in the order in which a packet of a device meets what they look at. Each judges for itself;
//! then what follows from something else is marked as its consequence ([`causes`]), and what is left first is the
//! headline. Whether there is a remedy is no matter of chance: a problem cannot be made without one.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{net::Ipv4Addr, time::Duration};

use hn_types::{
    ErrorCode, Failure, IfName, KeyRole, MacAddr, Now, Reason, Ssid, Subnet4,
    diagnosis::{
        Check, CheckName, Diagnosis, Examination, ExaminedDevice, ExaminedSegment, Findings, Verdict,
    },
    network::NetworkView,
    observed::ServiceTrouble,
    plan::Reach,
    settings::{PrivateChoice, PublicChoice, SharingPair},
    view::{DeviceView, HostedState, SharingMode},
};

use crate::{core::Core, hosted::Blocker};

mod far;
mod near;
mod way;

/// What the core knows and wants: everything a diagnosis needs besides what has to be looked at.
#[derive(Clone, Debug)]
pub struct Case {
    examination: Examination,
    subject: Option<Subject>,
    mode: SharingMode,
    /// A transaction is changing it.
    pending: bool,
    /// What the core could not make so, one sentence each.
    failures: Vec<String>,
    pair: Option<SharingPair>,
    /// The private side has the access point in it.
    air: bool,
    ap: AccessPoint,
    /// Who tried a wrong key, and how long ago.
    turned_away: Vec<(MacAddr, Duration)>,
    troubles: Vec<(ServiceTrouble, String)>,
    dns_down: Option<String>,
    /// Devices with a lease, and addresses to lease.
    leases: usize,
    pool: Option<(Ipv4Addr, Ipv4Addr)>,
    network: NetworkView,
}

/// The access point as far as a device cares.
#[derive(Clone, Debug)]
struct AccessPoint {
    state: HostedState,
    ssid: Option<Ssid>,
    channel: Option<(u32, u32)>,
    peers: usize,
    max_peers: u32,
    detail: String,
    blocker: Option<Blocker>,
}

/// The device in question.
#[derive(Clone, Debug)]
struct Subject {
    /// As it was asked for.
    given: String,
    mac: Option<MacAddr>,
    ipv4: Option<Ipv4Addr>,
    hostname: Option<String>,
    /// Its key, when it is associated.
    key: Option<KeyRole>,
    /// Until when its address is its, RFC 3339; `None`: it has no lease.
    lease: Option<String>,
    /// It was on the air when last seen.
    air: bool,
    connected: bool,
}

impl Subject {
    /// What to call it.
    fn name(&self) -> &str {
        self.hostname.as_deref().unwrap_or(&self.given)
    }
}

impl Case {
    /// What a platform has to look at.
    pub const fn examination(&self) -> &Examination {
        &self.examination
    }

    fn segment(&self) -> Option<ExaminedSegment> {
        self.examination.segment
    }

    fn full(&self) -> bool {
        self.mode == SharingMode::Full
    }

    /// The commands that begin the sharing that runs anew.
    fn anew(&self) -> Vec<String> {
        match self.pair.as_ref().map(|pair| pair.public) {
            Some(PublicChoice::Auto) => self.share("auto"),
            Some(PublicChoice::Interface(name)) => self.share(name.as_str()),
            None => Vec::new(),
        }
    }

    /// The same with another public connection.
    fn anew_from(&self, public: IfName) -> Vec<String> {
        self.share(public.as_str())
    }

    fn share(&self, public: &str) -> Vec<String> {
        let Some(pair) = &self.pair else { return Vec::new() };
        let private = pair.private.iter().map(|choice| match choice {
            PrivateChoice::HostedNetwork => "hosted-network".to_string(),
            PrivateChoice::Interface(name) => name.to_string(),
        });
        let private: Vec<String> = private.collect();
        ["hostednet unshare".to_string(), format!("hostednet share {public} {}", private.join(" "))].into()
    }
}

impl Core {
    /// What is known about sharing and, if one is named, a device: by its link-layer address, its IPv4 address or the
    /// name it gave.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotFound`] when nobody has that name.
    pub fn case(&self, device: Option<&str>, now: Now) -> Result<Case, Failure> {
        let devices = self.snapshot(now).devices;
        let goal = self.goal();
        let segment = goal.services.segment.as_ref();
        let subject = device.map(|given| subject(given, &devices)).transpose()?;
        let taken: BTreeSet<Ipv4Addr> = devices.iter().filter_map(|device| device.ipv4).collect();
        let pool = segment.map(|segment| (segment.dhcp.first, segment.dhcp.last));
        let public = goal.firewall.segments.iter().find_map(|segment| match segment.reach {
            Reach::Public(public) => Some(public),
            Reach::Host => None,
        });
        let pair = self.shared.pair.clone().filter(|_| self.shared.mode == SharingMode::Full);
        let examination = Examination {
            segment: segment.map(|segment| ExaminedSegment {
                interface: segment.interface,
                address: segment.address,
                spare: spare(segment.address, pool, &taken),
            }),
            mac: subject.as_ref().and_then(|subject| subject.mac),
            address: subject.as_ref().and_then(|subject| subject.ipv4),
            public,
            forwarding: goal.forwarding.clone(),
            upstreams: segment
                .and_then(|s| s.dns.as_ref())
                .map(|dns| dns.upstreams.clone())
                .unwrap_or_default(),
            through: segment.and_then(|s| s.dns.as_ref()?.through),
            firewall: goal.firewall.clone(),
        };
        let air = match (self.shared.mode, &pair) {
            (SharingMode::Standalone, _) => true,
            (SharingMode::Full, Some(pair)) => pair.private.contains(&PrivateChoice::HostedNetwork),
            (SharingMode::Full, None) | (SharingMode::Off, _) => self.intent.ap.is_some(),
        };
        let ap = self.intent.ap.as_ref();
        Ok(Case {
            examination,
            subject,
            mode: self.shared.mode,
            pending: self.shared.pending.is_some(),
            failures: self.lanes.failures(),
            pair,
            air,
            ap: AccessPoint {
                state: self.hosted.state(),
                ssid: self.settings.connection.as_ref().map(|connection| connection.ssid),
                channel: ap.map(|ap| (ap.radio.channel, ap.radio.frequency_mhz)),
                peers: self.hosted.peers().len(),
                max_peers: ap.map_or(0, |ap| ap.max_peers),
                detail: self.hosted.detail().into(),
                blocker: self.hosted.blocker_view().cloned(),
            },
            turned_away: self.hosted.turned_away(now.mono).collect(),
            troubles: self.troubles.iter().map(|(kind, cause)| (*kind, cause.clone())).collect(),
            dns_down: self.dns_down.clone(),
            leases: devices.iter().filter(|device| device.lease_expires.is_some()).count(),
            pool,
            network: self.network.clone(),
        })
    }
}

/// Who is meant by what was typed.
fn subject(given: &str, devices: &[DeviceView]) -> Result<Subject, Failure> {
    let mac: Option<MacAddr> = given.parse().ok();
    let address: Option<Ipv4Addr> = given.parse().ok();
    let named = |device: &&DeviceView| {
        device.hostname.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(given))
    };
    let found = match (mac, address) {
        (Some(mac), _) => devices.iter().find(|device| device.mac == mac),
        (None, Some(address)) => devices.iter().find(|device| device.ipv4 == Some(address)),
        (None, None) => devices.iter().find(named),
    };
    if found.is_none() && mac.is_none() && address.is_none() {
        let cause = "no device that has an address or is joined is called so";
        return Err(Failure::check(ErrorCode::NotFound, Reason::Unspecified, given, cause)
            .with_remedy("see `hostednet devices`, or name it by the MAC address in its own settings"));
    }
    Ok(Subject {
        given: given.into(),
        mac: found.map(|device| device.mac).or(mac),
        ipv4: found.and_then(|device| device.ipv4).or(address),
        hostname: found.and_then(|device| device.hostname.clone()),
        key: found.and_then(|device| device.key),
        lease: found.and_then(|device| device.lease_expires.clone()),
        air: found.is_some_and(|device| device.key.is_some()),
        connected: found.is_some_and(|device| device.connected),
    })
}

/// An address nobody was given, from the end where DHCP gives the last ones.
fn spare(host: Subnet4, pool: Option<(Ipv4Addr, Ipv4Addr)>, taken: &BTreeSet<Ipv4Addr>) -> Ipv4Addr {
    /// Addresses that are looked at.
    const ENOUGH: usize = 4_096;
    let (first, last) = pool.unwrap_or_else(|| (host.address(), host.address()));
    (first.to_bits()..=last.to_bits())
        .rev()
        .take(ENOUGH)
        .map(Ipv4Addr::from_bits)
        .find(|address| !taken.contains(address) && *address != host.address())
        .unwrap_or(last)
}

/// A check as it is being judged.
#[derive(Debug)]
struct Draft {
    check: Check,
    /// A cause of its own, whatever else is wrong.
    rooted: bool,
}

impl Draft {
    fn new(name: CheckName, verdict: Verdict, finding: impl Into<String>) -> Self {
        let check = Check {
            name,
            verdict,
            finding: finding.into(),
            cause: String::new(),
            remedy: String::new(),
            commands: Vec::new(),
            consequence_of: None,
        };
        Self { check, rooted: false }
    }

    fn ok(name: CheckName, finding: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, finding)
    }

    fn unknown(name: CheckName, finding: impl Into<String>) -> Self {
        Self::new(name, Verdict::Unknown, finding)
    }

    fn skipped(name: CheckName, why: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skipped, why)
    }

    /// A problem a person has to act on.
    fn problem(
        name: CheckName,
        finding: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let mut draft = Self::new(name, Verdict::Problem, finding);
        draft.check.cause = cause.into();
        draft.check.remedy = remedy.into();
        draft
    }

    /// A problem that commands solve; `remedy` says what they do.
    fn solved_by(mut self, commands: Vec<String>) -> Self {
        self.check.commands = commands;
        self
    }

    const fn rooted(mut self) -> Self {
        self.rooted = true;
        self
    }
}

/// What the problem of a check may follow from, the likeliest first.
const fn causes(name: CheckName) -> &'static [CheckName] {
    use CheckName as C;
    match name {
        C::Sharing | C::Rules | C::Firewall | C::Tables | C::Uplink | C::Mtu | C::Forwarding => &[],
        C::Radio => &[C::Sharing],
        C::Key => &[C::Radio],
        C::Dhcp => &[C::Radio, C::Key, C::Address],
        C::Address => &[C::Radio, C::Key],
        C::Packet => &[C::Forwarding, C::Rules, C::Firewall, C::Tables, C::Uplink],
        C::Gateway => &[C::Uplink, C::Tables],
        C::Translation => &[C::Forwarding, C::Rules, C::Firewall, C::Tables, C::Packet, C::Uplink],
        C::Dns => &[C::Uplink, C::Gateway, C::Tables],
        C::Outside => &[
            C::Forwarding,
            C::Rules,
            C::Firewall,
            C::Tables,
            C::Packet,
            C::Uplink,
            C::Gateway,
            C::Dns,
            C::Translation,
        ],
    }
}

/// Judges.
pub fn diagnose(case: &Case, findings: &Findings) -> Diagnosis {
    let mut drafts = Vec::with_capacity(CheckName::ALL.len());
    for name in CheckName::ALL {
        let draft = match stopped(case, *name) {
            Some(why) => Draft::skipped(*name, why),
            None => check(*name, case, findings),
        };
        drafts.push(draft);
    }
    relate(&mut drafts);
    let checks: Vec<Check> = drafts.into_iter().map(|draft| draft.check).collect();
    let problem = |check: &&Check| check.verdict == Verdict::Problem;
    let first = checks.iter().find(|check| problem(check) && check.consequence_of.is_none());
    // Causes have no cycle, so a problem always has a first cause.
    let first = first.or_else(|| checks.iter().find(problem));
    let headline = match first {
        Some(check) if check.cause.is_empty() => check.finding.clone(),
        Some(check) => format!("{}: {}", check.finding, check.cause),
        None => fine(case, &checks),
    };
    Diagnosis {
        healthy: first.is_none(),
        headline,
        cause: first.map(|check| check.name),
        device: case.subject.as_ref().map(|subject| ExaminedDevice {
            mac: subject.mac,
            ipv4: subject.ipv4,
            hostname: subject.hostname.clone(),
        }),
        checks,
    }
}

fn check(name: CheckName, case: &Case, findings: &Findings) -> Draft {
    match name {
        CheckName::Sharing => near::sharing(case),
        CheckName::Radio => near::radio(case),
        CheckName::Key => near::key(case),
        CheckName::Dhcp => near::dhcp(case, findings),
        CheckName::Address => near::address(case, findings),
        CheckName::Forwarding => way::forwarding(findings),
        CheckName::Rules => way::rules(case, findings),
        CheckName::Firewall => way::firewall(findings),
        CheckName::Tables => way::tables(findings),
        CheckName::Packet => way::packet(findings),
        CheckName::Uplink => far::uplink(case, findings),
        CheckName::Gateway => far::gateway(findings),
        CheckName::Translation => far::translation(findings),
        CheckName::Dns => far::dns(case, findings),
        CheckName::Outside => far::outside(case, findings),
        CheckName::Mtu => far::mtu(case),
    }
}

/// Why there is nothing for a check to look at.
fn stopped(case: &Case, name: CheckName) -> Option<&'static str> {
    use CheckName as C;
    if name == C::Sharing {
        return None;
    }
    if case.mode == SharingMode::Off && (name != C::Radio || !case.air) {
        return Some("nothing is shared");
    }
    if case.segment().is_none() && !matches!(name, C::Radio | C::Uplink) {
        return Some("no private connection is there");
    }
    let outward = name >= C::Forwarding && name != C::Rules;
    if case.mode == SharingMode::Standalone && outward {
        return Some("standalone sharing leads nowhere by design");
    }
    if case.examination.public.is_none() && outward && name != C::Uplink && name != C::Dns {
        return Some("no public connection is there");
    }
    None
}

/// Marks what follows from something else with its first cause.
fn relate(drafts: &mut [Draft]) {
    let troubled: BTreeSet<CheckName> = drafts
        .iter()
        .filter(|draft| draft.check.verdict == Verdict::Problem)
        .map(|draft| draft.check.name)
        .collect();
    let rooted: BTreeSet<CheckName> =
        drafts.iter().filter(|draft| draft.rooted).map(|draft| draft.check.name).collect();
    for draft in drafts {
        let check = &mut draft.check;
        if draft.rooted || !matches!(check.verdict, Verdict::Problem | Verdict::Unknown) {
            continue;
        }
        let mut root = None;
        let mut at = check.name;
        // No longer than there are checks, whatever the table of causes says.
        for _ in CheckName::ALL {
            match causes(at).iter().find(|cause| troubled.contains(cause)) {
                Some(cause) if !rooted.contains(&at) => {
                    root = Some(*cause);
                    at = *cause;
                }
                Some(_) | None => break,
            }
        }
        check.consequence_of = root;
    }
}

/// The headline when nothing is wrong.
fn fine(case: &Case, checks: &[Check]) -> String {
    let whole = match (&case.subject, case.mode, case.examination.public) {
        (Some(subject), ..) => format!("nothing keeps {} from being online", subject.name()),
        (None, SharingMode::Standalone, _) => "the network works; by design it leads nowhere".to_string(),
        (None, _, Some(public)) => format!("everything works: devices are online through {public}"),
        (None, _, None) => "everything works".to_string(),
    };
    match checks.iter().filter(|check| check.verdict == Verdict::Unknown).count() {
        0 => whole,
        1 => format!("{whole}, but one check could not be made"),
        more => format!("{whole}, but {more} checks could not be made"),
    }
}

/// `1 device`, `3 devices`.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Seconds or milliseconds, whatever reads better.
fn span(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 1_000 {
        format!("{millis} ms")
    } else {
        format!("{}.{} s", millis / 1_000, millis % 1_000 / 100)
    }
}

/// `lan0`, or `the private connection`.
fn interface_name(name: Option<IfName>) -> String {
    name.map_or_else(|| "the private connection".to_string(), |name| name.to_string())
}

#[cfg(test)]
mod tests;
