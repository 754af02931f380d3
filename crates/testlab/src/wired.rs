//! A scene without radios for tier T2: a router under test between an Internet and Ethernet clients, each in a
//! namespace of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::internet::{self, Internet};
use crate::lease::{Client, Lease};
use crate::ns::{self, Namespace};
use crate::product::Product;
use crate::state::SystemState;

/// The router's interface to the Internet.
pub const PUBLIC: &str = "wan0";
/// The router's interfaces to its clients.
pub const PRIVATE: [&str; 2] = ["lan0", "lan1"];
/// The client's interface.
pub const PORT: &str = "eth0";
/// For a client to get its lease.
pub const LEASE: Duration = Duration::from_secs(40);
/// For the machine to be as before.
pub const SETTLE: Duration = Duration::from_secs(30);

/// The scene. The fields are dropped in this order: the service ends before its network goes.
#[derive(Debug)]
pub struct Wired {
    /// The service, running.
    pub product: Product,
    /// Behind [`PUBLIC`].
    pub internet: Internet,
    /// At the other ends of [`PRIVATE`].
    pub clients: [Namespace; 2],
    /// Where the service runs.
    pub router: Namespace,
    /// The router before the service was started.
    pub before: SystemState,
}

impl Wired {
    /// Sets the scene; nothing is shared yet.
    ///
    /// # Errors
    /// If a part cannot be set up or the service does not start.
    pub fn set() -> Result<Self> {
        let mut scene = Self::prepare()?;
        scene.product.start(&scene.router)?;
        Ok(scene)
    }

    /// The scene with the service not yet started.
    ///
    /// # Errors
    /// If a part cannot be set up.
    pub fn prepare() -> Result<Self> {
        let mut router = Namespace::new("router")?;
        let internet = Internet::attach(&mut router, PUBLIC)?;
        let clients = [Namespace::new("a")?, Namespace::new("b")?];
        for (client, port) in clients.iter().zip(PRIVATE) {
            ns::cable((&router, port), (client, PORT))?;
            ns::await_ready(&router, port)?;
        }
        let product = Product::install(&router)?;
        let before = SystemState::capture(&router, &[])?;
        Ok(Self { product, internet, clients, router, before })
    }

    /// `hostednet share wan0 lan0 …` and waiting until it runs.
    ///
    /// # Errors
    /// If it fails.
    pub fn share(&self, private: &[&str]) -> Result<()> {
        self.product.run(["share", PUBLIC].iter().chain(private))?;
        self.product.await_field("/sharing/phase", &"running".into(), SETTLE)
    }

    /// Proves that a client is really online: lease, name, page, translation.
    ///
    /// # Errors
    /// Names what is missing.
    pub fn online(&mut self, client: usize, with: Client) -> Result<Lease> {
        let place = self.clients.get_mut(client).context("no such client")?;
        online(place, PORT, with, LEASE)
    }

    /// Compares the router with before.
    ///
    /// # Errors
    /// If anything differs: line by line, with the service's log.
    pub fn restored(&self) -> Result<()> {
        let watched: [&Path; 0] = [];
        let (difference, _) = self.before.restored(&self.router, &watched, SETTLE)?;
        if !difference.is_empty() {
            bail!("the router is not as before:\n{difference}\nhostednetd says:\n{}", self.product.log());
        }
        Ok(())
    }
}

/// Proves that a device is really online: it gets a lease whose router and name server are one, resolves a name
/// there, and fetches a page whose server sees the uplink's address.
///
/// # Errors
/// Names what is missing.
pub fn online(place: &mut Namespace, interface: &str, with: Client, limit: Duration) -> Result<Lease> {
    let lease = crate::lease::obtain(with, place, interface, limit)?;
    let server = lease.dns.first().context("the lease names no name server")?;
    ensure!(lease.router == Some(*server), "router {:?} and name server {server} differ", lease.router);
    let answer = place.run(&format!("dig +short +time=5 +tries=3 @{server} {}", internet::WEB_NAME))?;
    ensure!(answer.stdout.trim() == internet::WEB.to_string(), "dig answered {:?}", answer.stdout);
    let page = place.run(&format!("curl -sS --max-time 20 http://{}/", internet::WEB_NAME))?;
    let expected = format!("Hello from the Internet, {}\n", internet::UPLINK);
    ensure!(page.stdout == expected, "the page says {:?}, not {expected:?}", page.stdout);
    Ok(lease)
}
