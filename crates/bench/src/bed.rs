//! The test bed every comparison uses: a client, a router and an Internet host, each in a network namespace.
//!
//! ```text
//!  client            router                     world
//!  eth0 ------------ lan0   wan0 -------------- up0      lo
//!  (10.77.0.2)  10.77.0.1   10.99.0.1   10.99.0.2    10.98.0.2
//! ```
//!
//! The world has no route to 10.77.0.0/16 unless [`Bed::route_back`] is called: what it answers has been
//! translated. All of it is gone when the [`Bed`] is dropped.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use hn_testlab::ns::{self, Namespace};

use crate::frame::Mac;
use crate::machine::{Cores, pin};

/// The router's interface to its clients.
pub(crate) const PRIVATE: &str = "lan0";
/// The router's interface to the world.
pub(crate) const PUBLIC: &str = "wan0";
/// The client's interface.
pub(crate) const PORT: &str = "eth0";
/// The world's interface.
pub(crate) const UP: &str = "up0";
/// The router's address on [`PRIVATE`].
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The same as written in configurations: the subnet has room for 60,000 leases.
pub(crate) const SUBNET: &str = "10.77.0.1/16";
/// The client's address where no DHCP is involved.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// A host in the world: resolver, echo, sink.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 2);

/// Set when the program was told to end: generators stop, and the way back out removes everything.
static STOP: AtomicBool = AtomicBool::new(false);

/// Whether generators must stop.
pub(crate) fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Stops every generator for good.
pub(crate) fn stop() {
    STOP.store(true, Ordering::Relaxed);
}

/// What a comparison needs to know about this run.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Where `hostednetd` and `hostednet` are.
    pub(crate) programs: PathBuf,
    /// A folder on a real disk for leases and configurations; a fresh folder in it for each subject.
    pub(crate) work: PathBuf,
    pub(crate) cores: Cores,
    /// Short measurements: to see that everything works, not for figures.
    pub(crate) quick: bool,
}

impl Lab {
    /// `seconds`, or a quarter of it in a quick run.
    pub(crate) fn seconds(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { seconds / 4.0 } else { seconds })
    }

    /// `count`, or a tenth of it in a quick run.
    pub(crate) fn count(&self, count: u32) -> u32 {
        if self.quick { count / 10 } else { count }
    }

    /// An empty folder for one subject.
    pub(crate) fn folder(&self) -> Result<tempfile::TempDir> {
        let folder = tempfile::Builder::new().prefix("subject-").tempdir_in(&self.work)?;
        open(folder.path())?;
        Ok(folder)
    }
}

/// Lets every user walk through: servers give up root.
pub(crate) fn open(folder: &Path) -> Result<()> {
    Ok(fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?)
}

/// The three namespaces and the cables between them.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) client: Namespace,
    pub(crate) router: Namespace,
    pub(crate) world: Namespace,
    /// Of [`PRIVATE`].
    pub(crate) server_mac: Mac,
    /// Of [`PORT`].
    pub(crate) client_mac: Mac,
    cores: Cores,
}

impl Bed {
    /// Cables, the router's uplink and the world. [`PRIVATE`] is up and has no address.
    pub(crate) fn make(lab: &Lab) -> Result<Self> {
        if stopped() {
            bail!("told to end");
        }
        let (client, router, world) =
            (Namespace::new("client")?, Namespace::new("router")?, Namespace::new("world")?);
        for place in [&client, &router, &world] {
            place.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")?;
        }
        ns::cable((&router, PRIVATE), (&client, PORT))?;
        ns::cable((&router, PUBLIC), (&world, UP))?;
        router.ip(&format!("addr add 10.99.0.1/24 dev {PUBLIC}"))?;
        world.ip(&format!("addr add 10.99.0.2/24 dev {UP}"))?;
        world.ip(&format!("addr add {HOST}/32 dev lo"))?;
        router.ip("route add default via 10.99.0.2")?;
        // Address resolution on the uplink is nobody's merit.
        let (near, far) = (router.mac(PUBLIC)?, world.mac(UP)?);
        router.ip(&format!("neigh replace 10.99.0.2 lladdr {far} dev {PUBLIC} nud permanent"))?;
        world.ip(&format!("neigh replace 10.99.0.1 lladdr {near} dev {UP} nud permanent"))?;
        ns::await_ready(&router, PRIVATE)?;
        let (server_mac, client_mac) = (mac(&router.mac(PRIVATE)?)?, mac(&client.mac(PORT)?)?);
        Ok(Self { client, router, world, server_mac, client_mac, cores: lab.cores })
    }

    /// Gives [`PRIVATE`] its address, for servers that do not do it themselves.
    pub(crate) fn address_private(&self) -> Result<()> {
        self.router.ip(&format!("addr add {SUBNET} broadcast + dev {PRIVATE}"))?;
        Ok(())
    }

    /// Gives the client a fixed address and the router as its default route.
    pub(crate) fn address_client(&self) -> Result<()> {
        self.client.ip(&format!("addr add {CLIENT}/16 dev {PORT}"))?;
        self.client.ip(&format!("route add default via {SERVER}"))?;
        let lladdr = text(self.server_mac);
        self.client.ip(&format!("neigh replace {SERVER} lladdr {lladdr} dev {PORT} nud permanent"))?;
        Ok(())
    }

    /// Lets the world answer the client without translation, and the router forward.
    pub(crate) fn route_back(&self) -> Result<()> {
        self.world.ip("route add 10.77.0.0/16 via 10.99.0.1")?;
        self.forward()
    }

    /// Lets the router forward, for subjects that do not do it themselves.
    pub(crate) fn forward(&self) -> Result<()> {
        self.router.run("sysctl -qw net.ipv4.ip_forward=1")?;
        Ok(())
    }

    /// Loads an nft rule set into the router.
    pub(crate) fn load_rules(&self, rules: &str) -> Result<()> {
        let mut nft = self.router.command("nft");
        nft.args(["-f", "-"]);
        hn_testlab::command::feed(&mut nft, rules.as_bytes(), hn_testlab::command::SHORT)?.success()?;
        Ok(())
    }

    /// Calls `work` inside the client, on the generators' core.
    pub(crate) fn in_client<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let core = self.cores.generator;
        self.client.enter(|| {
            pin(core)?;
            work()
        })?
    }
}

/// A thread beside a measurement: an upstream, an echo, a sink. It works on sockets made in their namespace, looks
/// at its flag at least every [`Helper::LOOK`], and ends when that is set.
#[derive(Debug)]
pub(crate) struct Helper<T> {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<T>>>,
}

impl<T: Send + 'static> Helper<T> {
    /// How long a helper may wait for a packet before it looks at its flag.
    pub(crate) const LOOK: Duration = Duration::from_millis(50);

    /// Starts `work` on `core`.
    pub(crate) fn start(core: usize, work: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            pin(core)?;
            work(&flag)
        });
        Self { end, thread: Some(thread) }
    }

    /// Ends the thread and takes its result.
    pub(crate) fn finish(mut self) -> Result<T> {
        self.end.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a helper is finished once")?;
        thread.join().map_err(|_| anyhow!("a helper thread panicked"))?
    }
}

impl<T> Drop for Helper<T> {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A failed measurement has a better error to show than its helper's.
            let _ = thread.join();
        }
    }
}

fn mac(text: &str) -> Result<Mac> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<u8>, _>>()?;
    Mac::try_from(bytes).map_err(|_| anyhow!("{text} is no hardware address"))
}

/// As `ip` writes it.
fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The index of `interface` in the caller's network namespace.
pub(crate) fn index(interface: &str) -> Result<u32> {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
    rustix::net::netdevice::name_to_index(&socket, interface).with_context(|| format!("no {interface}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_hardware_address_is_read_as_it_is_written() {
        let address = [2, 0xd0, 0, 0xff, 0x10, 1];
        assert_eq!(text(address), "02:d0:00:ff:10:01");
        assert_eq!(mac(&text(address)).unwrap(), address);
        assert!(mac("02:d0:00").is_err());
    }

    #[test]
    fn a_helper_ends_when_it_is_dropped() {
        let helper: Helper<()> = Helper::start(0, |end| {
            while !end.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            Ok(())
        });
        drop(helper);
    }
}
