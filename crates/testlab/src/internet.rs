//! The rest of the world: a namespace behind the uplink with a name server and a web server that writes down
//! who came.
//!
//! It has no route to any private network, so nothing is answered that has not been translated on its way out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::command::{Background, SHORT};
use crate::ns::{self, Door, Namespace};
use crate::tier;

/// The address of the machine under test on its uplink.
pub const UPLINK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// The provider's router, the default gateway of the machine under test.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The provider's name server.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
/// The web server.
pub const WEB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
/// The name of the web server.
pub const WEB_NAME: &str = "www.lab.test";
/// A name whose answer (TXT) is too long for a plain UDP message.
pub const LONG_NAME: &str = "long.lab.test";
/// A name that does not exist.
pub const NO_NAME: &str = "nothing.lab.test";

/// One request the web server has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Where the connection came from.
    pub peer: IpAddr,
    /// The path asked for.
    pub path: String,
}

/// The outside world. It ends when this is dropped.
#[derive(Debug)]
pub struct Internet {
    /// Where it lives.
    pub place: Namespace,
    visits: Arc<Mutex<Vec<Visit>>>,
    resolver: Background,
}

impl Internet {
    /// Connects `machine` to a new Internet by an Ethernet interface called `uplink`: address, default route
    /// and name server as a provider's router would have given them.
    ///
    /// # Errors
    /// If something cannot be set up.
    pub fn attach(machine: &mut Namespace, uplink: &str) -> Result<Self> {
        let place = Namespace::new("internet")?;
        ns::cable((machine, uplink), (&place, "wan0"))?;
        place.ip(&format!("addr add {GATEWAY}/24 dev wan0"))?;
        place.ip(&format!("addr add {RESOLVER}/24 dev wan0"))?;
        place.ip(&format!("addr add {WEB}/32 dev lo"))?;
        machine.ip(&format!("addr add {UPLINK}/24 dev {uplink}"))?;
        machine.ip(&format!("route add default via {GATEWAY} dev {uplink}"))?;
        machine.resolve_through(RESOLVER)?;
        ns::await_ready(machine, uplink)?;
        let visits = Arc::new(Mutex::new(Vec::new()));
        serve(place.door(), Arc::clone(&visits))?;
        let resolver = start_resolver(&place, &RESOLVER.to_string())?;
        Ok(Self { place, visits, resolver })
    }

    /// What the web server has seen so far.
    #[must_use]
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the name server was asked so far (its log).
    #[must_use]
    pub fn questions(&self) -> String {
        self.resolver.log()
    }
}

/// dnsmasq at `address` as a provider's name server: a few names, everything else does not exist.
pub(crate) fn start_resolver(place: &Namespace, address: &str) -> Result<Background> {
    let mut command = place.command(tier::program("dnsmasq").context("dnsmasq is not installed")?);
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
    ]);
    command.args([
        "--pid-file=",
        "--bind-interfaces",
        "--log-queries",
        "--log-facility=-",
        "--local=/test/",
        "--local=/example.com/",
        "--local-ttl=300",
    ]);
    command.arg(format!("--listen-address={address}"));
    command.arg(format!("--host-record={WEB_NAME},{WEB}"));
    command.arg(format!("--cname=alias.lab.test,{WEB_NAME}"));
    let part = "0123456789".repeat(20);
    command.arg(format!("--txt-record={LONG_NAME}{}", format!(",{part}").repeat(10)));
    // Many names under one, so that a test can ask a thousand different questions.
    command.arg(format!("--address=/many.lab.test/{WEB}"));
    let mut resolver = Background::spawn(&mut command)?;
    resolver.await_log("started", SHORT)?;
    Ok(resolver)
}

/// Starts the web server. The listening thread is owned by nobody: it lives in the namespace's network and
/// ends with the process; it waits only on connections. Each connection has a thread with a time limit.
fn serve(door: Door, visits: Arc<Mutex<Vec<Visit>>>) -> Result<()> {
    let (ready, up) = mpsc::channel();
    std::thread::Builder::new().name("web".into()).spawn(move || {
        let listener = door.pass().and_then(|()| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80))?));
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return drop(ready.send(Err(error))),
        };
        drop(ready.send(Ok(())));
        for stream in listener.incoming().flatten() {
            let visits = Arc::clone(&visits);
            std::thread::spawn(move || answer(stream, &visits));
        }
    })?;
    up.recv().map_err(|_| anyhow!("the web server died"))?
}

/// Byte number N of what `/bytes/…` answers is N modulo this.
pub const PERIOD: u8 = 251;

/// Answers one request: `/bytes/N` with N bytes, everything else with the visitor's address.
fn answer(mut stream: TcpStream, visits: &Mutex<Vec<Visit>>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let peer = stream.peer_addr().ok()?.ip();
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    while lines.next()?.ok()?.trim() != "" {}
    visits.lock().unwrap_or_else(PoisonError::into_inner).push(Visit { peer, path: path.clone() });
    let body = match path.strip_prefix("/bytes/").and_then(|count| count.parse::<usize>().ok()) {
        Some(count) => (0..PERIOD).cycle().take(count.min(1 << 30)).collect(),
        None => format!("Hello from the Internet, {peer}\n").into_bytes(),
    };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).ok()?;
    stream.write_all(&body).ok()?;
    stream.shutdown(Shutdown::Write).ok()
}
