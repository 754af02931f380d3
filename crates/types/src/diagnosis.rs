//! What `hostednet doctor` says, and what was looked at to say it. Field names of [`Diagnosis`] are a contract: add,
//! never rename.
//!
//! [`Examination`] is the question to a platform, [`Findings`] its answer: figures, no judgement. The judgement is the
//! core's.

use alloc::{string::String, vec::Vec};
use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    IfName, MacAddr, Subnet4,
    plan::{FirewallPlan, ForwardingPlan},
};

/// Everything `doctor --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Whether no check found a problem.
    pub healthy: bool,
    /// One sentence: the first real cause, or that everything works.
    pub headline: String,
    /// The check that found the first real cause; absent when healthy.
    pub cause: Option<CheckName>,
    /// The device that was asked about.
    pub device: Option<ExaminedDevice>,
    /// Every check, in the order in which a packet of a device meets them.
    pub checks: Vec<Check>,
}

/// The device that was asked about, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExaminedDevice {
    /// Its link-layer address.
    pub mac: Option<MacAddr>,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// The name it gave, made safe.
    pub hostname: Option<String>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub name: CheckName,
    /// How it went.
    pub verdict: Verdict,
    /// What was seen, with figures; why it was not looked at, when it was not.
    pub finding: String,
    /// Why it is so; empty unless something is wrong.
    pub cause: String,
    /// What to do; never empty for a problem.
    pub remedy: String,
    /// The remedy as commands for root's shell, one after the other; empty when a person has to act.
    pub commands: Vec<String>,
    /// It follows from what this check found.
    pub consequence_of: Option<CheckName>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Problem,
    /// It could not be found out.
    Unknown,
    /// There was nothing to look at.
    Skipped,
}

impl Verdict {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

macro_rules! check_names {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $title:literal;)*) => {
        /// The checks, in their order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum CheckName {
            $($(#[$doc])* $variant,)*
        }

        impl CheckName {
            /// Every check, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// A few words for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

check_names! {
    /// Whether anything is shared at all.
    Sharing = "sharing", "sharing";
    /// The access point and its radio.
    Radio = "radio", "radio";
    /// Whether the device got in: associated, with a right key.
    Key = "key", "key";
    /// The DHCP server and the device's lease.
    Dhcp = "dhcp", "address lease";
    /// The addresses really used on the segment: this host's and the device's.
    Address = "address", "address in use";
    /// The forwarding switches of both legs.
    Forwarding = "forwarding", "forwarding";
    /// Our own firewall rules, read back.
    Rules = "rules", "own rules";
    /// The rules of others, judged.
    Firewall = "firewall", "foreign rules";
    /// The kernel's tables of connections and neighbours, whether they have room.
    Tables = "tables", "kernel's tables";
    /// The way of real packets, traced.
    Packet = "packet", "packet's way";
    /// The public connection and its default route.
    Uplink = "uplink", "uplink";
    /// Whether the gateway answers.
    Gateway = "gateway", "gateway";
    /// Whether connections of the segment are translated.
    Translation = "translation", "translation";
    /// Whether names are answered, here and by the name servers outside.
    Dns = "dns", "names";
    /// Whether anything comes back from outside.
    Outside = "outside", "outside";
    /// Packet sizes.
    Mtu = "mtu", "packet size";
}

/// What was found out, or why it could not be.
pub type Found<T> = Result<T, String>;

/// What a platform is asked to look at. Everything is optional: what is absent is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// The private segment.
    pub segment: Option<ExaminedSegment>,
    /// The link-layer address of the device in question.
    pub mac: Option<MacAddr>,
    /// The IPv4 address it is expected to have.
    pub address: Option<Ipv4Addr>,
    /// The public connection.
    pub public: Option<IfName>,
    /// The switches that should be on.
    pub forwarding: ForwardingPlan,
    /// The rules that should stand.
    pub firewall: FirewallPlan,
    /// The name servers to ask, best first.
    pub upstreams: Vec<SocketAddr>,
    /// Ask them by this interface only.
    pub through: Option<IfName>,
}

/// The private segment to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExaminedSegment {
    /// Its interface.
    pub interface: IfName,
    /// This host's address with the prefix length.
    pub address: Subnet4,
    /// An address of the segment that nobody was given, for packets as a device would send them.
    pub spare: Ipv4Addr,
}

/// What a platform found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// The switches that decide about forwarding.
    pub switches: Vec<Switch>,
    /// How our rules differ from what should stand; `None`: they do not.
    pub difference: Found<Option<String>>,
    /// What rules of others drop for certain.
    pub blockades: Found<Vec<Blocked>>,
    /// Tables of the kernel that can be full.
    pub tables: Found<Vec<Table>>,
    /// What was heard on the segment.
    pub heard: Found<Heard>,
    /// The ways out of the main table, best first.
    pub routes: Found<Vec<Route>>,
    /// The gateway of the public connection; absent when there is none to ask.
    pub gateway: Option<Found<Gateway>>,
    /// Connections of the segment with the outside.
    pub connections: Found<Connections>,
    /// The name servers that were asked.
    pub upstreams: Vec<Upstream>,
    /// Packets sent as the device, or as a device, would send them, and traced.
    pub packets: Found<Vec<Traced>>,
}

impl Default for Findings {
    fn default() -> Self {
        let nobody = || String::from("nobody looked");
        Self {
            switches: Vec::new(),
            difference: Err(nobody()),
            blockades: Err(nobody()),
            tables: Err(nobody()),
            heard: Err(nobody()),
            routes: Err(nobody()),
            gateway: None,
            connections: Err(nobody()),
            upstreams: Vec::new(),
            packets: Err(nobody()),
        }
    }
}

/// A switch of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Its name as `sysctl` takes it.
    pub name: String,
    /// What it should be.
    pub wanted: String,
    /// What it is; `None` when it is not there.
    pub value: Option<String>,
}

/// Traffic that somebody else's rules drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Which traffic, in words.
    pub traffic: String,
    /// Who keeps the rules, as far as names tell.
    pub owner: String,
    /// Where: `ip filter / chain FORWARD / policy drop`.
    pub place: String,
    /// What opens the way, as commands.
    pub commands: Vec<String>,
    /// What a person has to do, when no command does.
    pub advice: String,
}

/// A table of the kernel with room for so many entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// What is in it.
    pub kind: TableKind,
    /// How many it has.
    pub entries: u32,
    /// How many it may have.
    pub limit: u32,
    /// How many found no room while it was looked at.
    pub refused: u64,
}

/// What a table of the kernel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Tracked connections.
    Connections,
    /// Link-layer addresses of neighbours, by IPv4 address. One table for all network namespaces.
    Neighbours4,
    /// The same by IPv6 address.
    Neighbours6,
}

impl TableKind {
    /// A few words for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Neighbours4 => "neighbours (IPv4)",
            Self::Neighbours6 => "neighbours (IPv6)",
        }
    }

    /// The setting of its limit, as `sysctl` takes it.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Connections => "net.netfilter.nf_conntrack_max",
            Self::Neighbours4 => "net.ipv4.neigh.default.gc_thresh3",
            Self::Neighbours6 => "net.ipv6.neigh.default.gc_thresh3",
        }
    }
}

/// What was heard on the segment within a short time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// For how long it was listened.
    pub within: Duration,
    /// Frames of devices.
    pub frames: u32,
    /// The devices, at most [`Heard::LIMIT`].
    pub speakers: Vec<Speaker>,
    /// Who answers at the address that was asked for by ARP; `None`: nobody.
    pub answered: Option<MacAddr>,
}

impl Heard {
    /// Most devices that are told apart.
    pub const LIMIT: usize = 64;
}

/// A device that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Who.
    pub mac: MacAddr,
    /// Its frames.
    pub frames: u32,
    /// The IPv4 addresses it sent from or asked with, at most four.
    pub addresses: Vec<Ipv4Addr>,
    /// How many times it asked for an address by DHCP.
    pub requests: u32,
}

/// A default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Through which interface.
    pub interface: IfName,
    /// To whom; absent on a point-to-point link.
    pub gateway: Option<Ipv4Addr>,
    /// The lower the better.
    pub metric: u32,
}

/// What the gateway said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its address.
    pub address: Ipv4Addr,
    /// How often it was asked.
    pub asked: u32,
    /// Who answered, and after how long.
    pub answer: Option<(MacAddr, Duration)>,
}

/// Connections of the segment, or of the device, with the outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// All of them.
    pub all: u32,
    /// Those whose source is translated.
    pub translated: u32,
    /// Those that were answered.
    pub answered: u32,
}

/// What a name server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where it was asked.
    pub server: SocketAddr,
    /// What came of it.
    pub outcome: Answer,
}

/// What came of a question to a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answered with this code (RCODE, RFC 1035 §4.1.1) after this time.
    Code(u8, Duration),
    /// It was silent for this long.
    Silence(Duration),
    /// It could not be asked.
    Failed(String),
}

/// A packet on its way through this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// What it was, in words.
    pub packet: String,
    /// It came from the device itself, rather than from us in its place.
    pub real: bool,
    /// It is an answer from outside, to a device.
    pub answer: bool,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a traced packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It left by the public connection, or reached the device.
    Passed,
    /// A rule, or the policy of a chain, dropped it.
    Dropped {
        /// Whose it is; empty for ours.
        owner: String,
        /// Where: `inet guard / chain forward / rule 7`.
        place: String,
        /// The rule in words, as far as it is understood.
        rule: String,
        /// What takes it away, as commands.
        commands: Vec<String>,
        /// What a person has to do, when no command does.
        advice: String,
    },
    /// It came in and went nowhere: no rule dropped it.
    Vanished,
    /// It was never seen coming in.
    Unseen,
}
