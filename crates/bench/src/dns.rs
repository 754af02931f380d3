//! DNS forwarders side by side.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::bed::{Bed, HOST, Lab, SERVER};
use crate::dnsload::{self, Names};
use crate::machine;
use crate::peers::{self, Peer};
use crate::report::{Frame, Metric, Sheet, Subject};
use crate::service::{Service, Setting};

pub(crate) const OURS: &str = "ours";
pub(crate) const DNSMASQ_LARGE: &str = "dnsmasq, cache 10,000";
pub(crate) const DNSMASQ: &str = "dnsmasq";
pub(crate) const UNBOUND: &str = "unbound";
pub(crate) const DIRECT: &str = "no forwarder";

pub(crate) const HIT_SINGLE: Metric = Metric::less("hit, one at a time, p50", "µs", 0);
pub(crate) const HIT_SINGLE_99: Metric = Metric::less("hit, one at a time, p99", "µs", 0);
pub(crate) const HITS: Metric = Metric::more("hits", "/s", 0);
pub(crate) const HIT_99: Metric = Metric::less("hits, p99", "ms", 2);
pub(crate) const HIT_LOST: Metric = Metric::less("hits, lost", "%", 2);
pub(crate) const HIT_CPU: Metric = Metric::less("CPU for each hit", "µs", 2);
pub(crate) const MISS_SINGLE: Metric = Metric::less("miss, one at a time, p50", "µs", 0);
pub(crate) const MISS_SINGLE_99: Metric = Metric::less("miss, one at a time, p99", "µs", 0);
pub(crate) const MISSES: Metric = Metric::more("misses", "/s", 0);
pub(crate) const MISS_99: Metric = Metric::less("misses, p99", "ms", 2);
pub(crate) const MISS_LOST: Metric = Metric::less("misses, lost", "%", 2);
pub(crate) const MISS_CPU: Metric = Metric::less("CPU for each miss", "µs", 2);
pub(crate) const MEMORY: Metric = Metric::less("memory after all misses", "MiB", 1);

/// The comparison.
pub(crate) const FRAME: Frame = Frame {
    name: "dns",
    title: "DNS",
    note: "The upstream answers every question at once. *hits*: 1,000 names asked again and again; *misses*: names \
           never asked before; 8 sockets with 16 questions in flight each. *dnsmasq* has its default cache of 150 \
           names, so its *hits* are misses. *no forwarder*: the client asks the upstream through plain routing.",
    subjects: &[
        Subject { name: OURS, needs: None },
        Subject { name: DNSMASQ_LARGE, needs: Some("dnsmasq") },
        Subject { name: DNSMASQ, needs: Some("dnsmasq") },
        Subject { name: UNBOUND, needs: Some("unbound") },
        Subject { name: DIRECT, needs: None },
    ],
    metrics: &[
        &HIT_SINGLE,
        &HIT_SINGLE_99,
        &HITS,
        &HIT_99,
        &HIT_LOST,
        &HIT_CPU,
        &MISS_SINGLE,
        &MISS_SINGLE_99,
        &MISSES,
        &MISS_99,
        &MISS_LOST,
        &MISS_CPU,
        &MEMORY,
    ],
    pairs: &[(OURS, DNSMASQ_LARGE), (OURS, DNSMASQ), (OURS, UNBOUND)],
};

/// A forwarder at work.
enum Server {
    Ours(Service),
    Peer(Peer),
    None,
}

impl Server {
    fn pid(&self) -> Option<u32> {
        match self {
            Self::Ours(service) => service.pid(),
            Self::Peer(peer) => Some(peer.pid()),
            Self::None => None,
        }
    }

    fn cpu(&self) -> Option<Duration> {
        self.pid().map(machine::cpu)
    }

    fn log(&self) -> String {
        match self {
            Self::Ours(service) => service.log(),
            Self::Peer(peer) => peer.log(),
            Self::None => String::new(),
        }
    }
}

/// Measures one subject once.
pub(crate) fn measure(lab: &Lab, subject: &str, sheet: &mut Sheet<'_>) -> Result<()> {
    let bed = Bed::make(lab)?;
    bed.address_client()?;
    let socket = bed.world.enter(|| UdpSocket::bind((HOST, 53)))??;
    let upstream = dnsload::upstream(socket, lab.cores.generator)?;
    if subject != OURS {
        bed.address_private()?;
    }
    let server = match subject {
        OURS => Server::Ours(Service::shared(lab, &bed, Setting { probe: true })?),
        DNSMASQ_LARGE => Server::Peer(peers::dnsmasq_dns(lab, &bed, true)?),
        DNSMASQ => Server::Peer(peers::dnsmasq_dns(lab, &bed, false)?),
        UNBOUND => Server::Peer(peers::unbound(lab, &bed)?),
        DIRECT => {
            bed.route_back()?;
            Server::None
        }
        other => bail!("no DNS server {other}"),
    };
    let asked = if matches!(server, Server::None) { HOST } else { SERVER };
    let answered = bed.in_client(|| dnsload::first_answer(asked, Duration::from_secs(10)))?;
    ensure!(answered.is_some(), "no answer within ten seconds\n{}", server.log());
    let load = |shape, names, seconds| {
        let time = lab.seconds(seconds);
        bed.in_client(|| dnsload::run(asked, shape, names, time))
    };
    let share = |outcome: &dnsload::Outcome| {
        100.0 * outcome.lost as f64 / (outcome.done + outcome.lost).max(1) as f64
    };
    // Until every name has been seen.
    load((4, 8), Names::Repeated(1_000), 1.0)?;
    let one = load((1, 1), Names::Repeated(1_000), 1.0)?;
    sheet.put(&HIT_SINGLE, one.latency(0.5));
    sheet.put(&HIT_SINGLE_99, one.latency(0.99));
    let each = |before: Option<Duration>, outcome: &dnsload::Outcome| {
        let spent = server.cpu()?.checked_sub(before?)?.as_secs_f64() * 1e6;
        (outcome.done > 0).then(|| spent / outcome.done as f64)
    };
    let before = server.cpu();
    let hits = load((8, 16), Names::Repeated(1_000), 2.0)?;
    sheet.put(&HIT_CPU, each(before, &hits));
    sheet.put(&HITS, hits.per_second());
    sheet.put(&HIT_99, hits.latency(0.99).map(|time| time / 1e3));
    sheet.put(&HIT_LOST, share(&hits));
    let one = load((1, 1), Names::Unique, 1.0)?;
    sheet.put(&MISS_SINGLE, one.latency(0.5));
    sheet.put(&MISS_SINGLE_99, one.latency(0.99));
    let before = server.cpu();
    let misses = load((8, 16), Names::Unique, 2.0)?;
    sheet.put(&MISS_CPU, each(before, &misses));
    sheet.put(&MISSES, misses.per_second());
    sheet.put(&MISS_99, misses.latency(0.99).map(|time| time / 1e3));
    sheet.put(&MISS_LOST, share(&misses));
    sheet.put(&MEMORY, server.pid().map(machine::memory));
    upstream.finish()?;
    if let Server::Ours(mut service) = server {
        service.stop()?;
    }
    Ok(())
}
