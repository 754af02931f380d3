//! DHCPv4 servers side by side.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::bed::{Bed, Lab};
use crate::dhcpload::{Generator, Leases, Load, Outcome, mac_of};
use crate::machine;
use crate::peers::{self, Known, Peer};
use crate::report::{Frame, Metric, Sheet, Spread, Subject};
use crate::service::{Service, Setting};

pub(crate) const OURS: &str = "ours";
pub(crate) const OURS_UNCHECKED: &str = "ours, no check";
pub(crate) const DNSMASQ: &str = "dnsmasq";
pub(crate) const DNSMASQ_UNCHECKED: &str = "dnsmasq, no check";
pub(crate) const KEA: &str = "Kea";

pub(crate) const QUIET: Metric = Metric::less("a new client after a quiet second, p50", "ms", 2);
pub(crate) const SINGLE: Metric = Metric::less("one client at a time, p50", "µs", 0);
pub(crate) const SINGLE_99: Metric = Metric::less("one client at a time, p99", "µs", 0);
pub(crate) const RATE_64: Metric = Metric::more("64 clients at once", "leases/s", 0);
pub(crate) const P99_64: Metric = Metric::less("64 clients at once, p99", "ms", 2);
pub(crate) const LOST_64: Metric = Metric::less("64 clients at once, not served", "%", 2);
pub(crate) const CPU_64: Metric = Metric::less("CPU for each of these leases", "µs", 1);
pub(crate) const RATE_256: Metric = Metric::more("256 clients at once", "leases/s", 0);
pub(crate) const LOST_256: Metric = Metric::less("256 clients at once, not served", "%", 2);
pub(crate) const RENEWALS: Metric = Metric::more("renewals, 64 clients at once", "/s", 0);
pub(crate) const CPU_RENEWAL: Metric = Metric::less("CPU for each renewal", "µs", 1);
pub(crate) const OPEN_10: Metric = Metric::more("10,000 new clients each second, served", "%", 1);
pub(crate) const OPEN_10_99: Metric = Metric::less("10,000 new clients each second, p99", "ms", 2);
pub(crate) const OPEN_100: Metric = Metric::more("100,000 new clients each second, served", "%", 1);
pub(crate) const OPEN_100_99: Metric = Metric::less("100,000 new clients each second, p99", "ms", 2);
pub(crate) const UNICAST: Metric = Metric::less("2,000 clients without broadcast flag, not served", "%", 1);
pub(crate) const RESTART: Metric = Metric::less("60,000 leases: start to first lease", "ms", 0);
pub(crate) const MEMORY: Metric = Metric::less("60,000 leases: memory", "MiB", 1);
pub(crate) const FULL_NEW: Metric = Metric::more("60,000 leases: new clients, 16 at once", "leases/s", 0);
pub(crate) const FULL_KNOWN: Metric =
    Metric::more("60,000 leases: returning clients, 16 at once", "leases/s", 0);

/// The comparison.
pub(crate) const FRAME: Frame = Frame {
    name: "dhcp",
    title: "DHCPv4",
    note: "A lease is a whole DISCOVER, OFFER, REQUEST, ACK of a client never seen before, unless said otherwise; \
           the pool has 65,000 addresses. *ours* and *dnsmasq* are as configured by default, with their conflict \
           checks (ours asks by ARP ahead of need, dnsmasq by ICMP for three seconds); *no check* switches that off, \
           Kea has none. Ours and dnsmasq make a lease durable before the ACK leaves, Kea only writes it. Clients \
           set the broadcast flag, because the kernel's neighbour table, through which dnsmasq's unicast replies \
           go, ends at 1,024 entries for the whole machine; one row shows that limit.",
    subjects: &[
        Subject { name: OURS, needs: None },
        Subject { name: OURS_UNCHECKED, needs: None },
        Subject { name: DNSMASQ, needs: Some("dnsmasq") },
        Subject { name: DNSMASQ_UNCHECKED, needs: Some("dnsmasq") },
        Subject { name: KEA, needs: Some("kea-dhcp4") },
    ],
    metrics: &[
        &QUIET,
        &SINGLE,
        &SINGLE_99,
        &RATE_64,
        &P99_64,
        &LOST_64,
        &CPU_64,
        &RATE_256,
        &LOST_256,
        &RENEWALS,
        &CPU_RENEWAL,
        &OPEN_10,
        &OPEN_10_99,
        &OPEN_100,
        &OPEN_100_99,
        &UNICAST,
        &RESTART,
        &MEMORY,
        &FULL_NEW,
        &FULL_KNOWN,
    ],
    pairs: &[
        (OURS, DNSMASQ),
        (OURS_UNCHECKED, DNSMASQ_UNCHECKED),
        (OURS_UNCHECKED, KEA),
        (OURS, OURS_UNCHECKED),
    ],
};

/// Leases present in the last four rows.
const PRESENT: u32 = 60_000;
/// A client that no load uses.
const STRANGER: u32 = 900_000;

/// A server at work.
enum Server {
    Ours(Service),
    Peer(Peer),
}

impl Server {
    fn start(lab: &Lab, bed: &Bed, subject: &str, known: &[Known]) -> Result<Self> {
        let ours = match subject {
            OURS => Some(Setting { probe: true }),
            OURS_UNCHECKED => Some(Setting { probe: false }),
            _ => None,
        };
        if let Some(setting) = ours {
            return Ok(Self::Ours(Service::shared(lab, bed, setting)?));
        }
        bed.address_private()?;
        Ok(Self::Peer(match subject {
            DNSMASQ => peers::dnsmasq_dhcp(lab, bed, true, known)?,
            DNSMASQ_UNCHECKED => peers::dnsmasq_dhcp(lab, bed, false, known)?,
            KEA => peers::kea(lab, bed, known)?,
            other => bail!("no DHCP server {other}"),
        }))
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Ours(service) => service.pid().unwrap_or(0),
            Self::Peer(peer) => peer.pid(),
        }
    }

    fn log(&self) -> String {
        match self {
            Self::Ours(service) => service.log(),
            Self::Peer(peer) => peer.log(),
        }
    }

    fn stop(self) -> Result<()> {
        match self {
            Self::Ours(mut service) => service.stop(),
            // Dropped, killed: nobody asks how it leaves.
            Self::Peer(_) => Ok(()),
        }
    }
}

/// A bed with a server that has given its first lease.
struct Scene {
    bed: Bed,
    server: Server,
    leases: Leases,
}

impl Scene {
    fn set(lab: &Lab, subject: &str) -> Result<Self> {
        let bed = Bed::make(lab)?;
        let server = Server::start(lab, &bed, subject, &[])?;
        let mut scene = Self { bed, server, leases: Leases::default() };
        scene.first(Duration::from_secs(10), Duration::from_millis(20))?;
        Ok(scene)
    }

    /// One client knocks until it has a lease. A server with a conflict check of seconds is not asked for one.
    fn first(&mut self, limit: Duration, rhythm: Duration) -> Result<Instant> {
        let tries = u32::try_from(limit.as_millis() / rhythm.as_millis().max(1)).unwrap_or(u32::MAX);
        let knock = Load { timeout: rhythm, tries, ..Load::fresh(1, STRANGER, 1, limit) };
        let outcome = self.load(&knock)?;
        ensure!(outcome.done == 1, "no first lease within {limit:?}\n{}", self.server.log());
        Ok(Instant::now())
    }

    fn load(&mut self, load: &Load) -> Result<Outcome> {
        let (own, server, leases) = (self.bed.client_mac, self.bed.server_mac, &mut self.leases);
        self.bed.in_client(|| Generator::new(server, own)?.run(load, leases))
    }

    /// The same with the server's CPU time for each completed exchange, in microseconds.
    fn load_with_cpu(&mut self, load: &Load) -> Result<(Outcome, Option<f64>)> {
        let before = machine::cpu(self.server.pid());
        let outcome = self.load(load)?;
        let spent = machine::cpu(self.server.pid()).saturating_sub(before).as_secs_f64() * 1e6;
        let each = (outcome.done > 0).then(|| spent / f64::from(outcome.done));
        Ok((outcome, each))
    }
}

/// Measures one subject once.
pub(crate) fn measure(lab: &Lab, subject: &str, sheet: &mut Sheet<'_>) -> Result<()> {
    closed_loop(lab, subject, sheet)?;
    if [OURS, DNSMASQ].contains(&subject) {
        return Ok(());
    }
    for (rate, seconds, served, latency) in
        [(10_000.0, 1.0, &OPEN_10, &OPEN_10_99), (100_000.0, 0.5, &OPEN_100, &OPEN_100_99)]
    {
        // Far beyond reach there is only noise to see.
        if subject != DNSMASQ_UNCHECKED || rate < 50_000.0 {
            let mut scene = Scene::set(lab, subject)?;
            let count = (rate * seconds) as u32;
            let load =
                Load { rate: Some(rate), ..Load::fresh(0, 0, count, Duration::from_secs_f64(seconds * 2.0)) };
            let outcome = scene.load(&load)?;
            sheet.put(served, 100.0 - outcome.failed());
            sheet.put(latency, outcome.latency(0.99).map(|time| time / 1e3));
            scene.server.stop()?;
        }
    }
    let mut scene = Scene::set(lab, subject)?;
    let load = Load { broadcast: false, ..Load::fresh(16, 0, 2_000, lab.seconds(6.0)) };
    let outcome = scene.load(&load)?;
    sheet.put(&UNICAST, (outcome.started > 0).then(|| outcome.failed()));
    scene.server.stop()?;
    // dnsmasq reads that many leases for half a minute: once is enough.
    if subject != DNSMASQ_UNCHECKED || (sheet.round == 0 && !lab.quick) {
        with_many_leases(lab, subject, sheet)?;
    }
    Ok(())
}

fn closed_loop(lab: &Lab, subject: &str, sheet: &mut Sheet<'_>) -> Result<()> {
    let mut scene = Scene::set(lab, subject)?;
    let slow = subject == DNSMASQ;
    let patience = Duration::from_secs(if slow { 9 } else { 1 });
    let limit = lab.seconds(if slow { 6.0 } else { 2.0 });
    let mut first = 0;
    let mut fresh = |window, count: u32, limit| {
        let load = Load { timeout: patience, ..Load::fresh(window, first, count, limit) };
        first += count;
        load
    };
    // Two are enough for a server that takes three seconds for each.
    let mut alone = Vec::new();
    for _ in 0..if slow { 2 } else { 5 } {
        std::thread::sleep(Duration::from_secs(1));
        alone.extend(scene.load(&fresh(1, 1, Duration::from_secs(10)))?.latency(0.5).map(|time| time / 1e3));
    }
    sheet.put(&QUIET, Spread::of(alone).map(|spread| spread.median));
    if !slow {
        let outcome = scene.load(&fresh(1, lab.count(1_000), Duration::from_secs(10)))?;
        sheet.put(&SINGLE, outcome.latency(0.5));
        sheet.put(&SINGLE_99, outcome.latency(0.99));
    }
    let (outcome, cpu) = scene.load_with_cpu(&fresh(64, lab.count(16_000), limit))?;
    sheet.put(&RATE_64, outcome.per_second());
    sheet.put(&P99_64, outcome.latency(0.99).map(|time| time / 1e3));
    sheet.put(&LOST_64, outcome.failed());
    sheet.put(&CPU_64, cpu);
    if !slow {
        let outcome = scene.load(&fresh(256, lab.count(24_000), limit))?;
        sheet.put(&RATE_256, outcome.per_second());
        sheet.put(&LOST_256, outcome.failed());
        // The clients of the first load have their leases; dnsmasq has some more that it could not serve.
        let clients = lab.count(500);
        let renew =
            Load { renew: true, count: u32::MAX, clients, ..Load::fresh(64, 0, clients, lab.seconds(2.0)) };
        let (outcome, cpu) = scene.load_with_cpu(&renew)?;
        sheet.put(&RENEWALS, outcome.per_second());
        sheet.put(&CPU_RENEWAL, cpu);
    }
    scene.server.stop()
}

/// Fills the pool, starts the server anew, and looks at what is left of it.
fn with_many_leases(lab: &Lab, subject: &str, sheet: &mut Sheet<'_>) -> Result<()> {
    let present = lab.count(PRESENT);
    let bed = Bed::make(lab)?;
    let mut scene = if subject == OURS_UNCHECKED {
        // The journal is our own format: it is filled by giving the leases out.
        let server = Server::start(lab, &bed, subject, &[])?;
        let mut scene = Scene { bed, server, leases: Leases::default() };
        let outcome = scene.load(&Load::fresh(64, 0, present, Duration::from_secs(60)))?;
        ensure!(outcome.done == present, "only {} of {present} leases were given", outcome.done);
        let Server::Ours(service) = &mut scene.server else { bail!("{subject} is ours") };
        service.stop()?;
        scene
    } else {
        let known: Vec<Known> = (0..present).map(known).collect();
        let server = Server::start(lab, &bed, subject, &known)?;
        Scene { bed, server, leases: Leases::default() }
    };
    let began = match &scene.server {
        Server::Ours(_) => Instant::now(),
        Server::Peer(peer) => peer.began,
    };
    if let Server::Ours(service) = &mut scene.server {
        service.launch()?;
        let socket = service.socket();
        while !socket.exists() {
            ensure!(began.elapsed() < Duration::from_secs(10), "no socket\n{}", service.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        hn_testlab::command::run(&mut service.share_command(), hn_testlab::command::SHORT)?
            .success()
            .with_context(|| service.log())?;
    }
    let leased = scene.first(Duration::from_secs(90), Duration::from_millis(20))?;
    sheet.put(&RESTART, (leased - began).as_secs_f64() * 1e3);
    sheet.put(&MEMORY, machine::memory(scene.server.pid()));
    let load = Load {
        timeout: Duration::from_secs(4),
        ..Load::fresh(16, PRESENT, lab.count(4_000), lab.seconds(2.0))
    };
    sheet.put(&FULL_NEW, scene.load(&load)?.per_second());
    let load = Load {
        count: u32::MAX,
        timeout: Duration::from_secs(4),
        ..Load::fresh(16, 0, present, lab.seconds(2.0))
    };
    sheet.put(&FULL_KNOWN, scene.load(&load)?.per_second());
    scene.server.stop()
}

/// Client and address of a lease that is there from the start, scattered over the pool as a hash would do it.
fn known(client: u32) -> Known {
    /// Addresses from 10.77.1.0 to 10.77.255.254 less one, which shares no factor with the step.
    const POOL: u64 = 65_278;
    const STEP: u64 = 48_271;
    let offset = u32::try_from(u64::from(client) * STEP % POOL).unwrap_or(0);
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 77, 1, 0).to_bits() + offset);
    (mac_of(client).map(|byte| format!("{byte:02x}")).join(":"), address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_known_twice() {
        let mut addresses: Vec<Ipv4Addr> = (0..PRESENT).map(|client| known(client).1).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), PRESENT as usize);
        assert_eq!(known(1).0, "02:d0:00:00:00:01");
    }
}
