//! What a lease becomes on this machine: address, default route, name servers. All of it is taken back.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hn_join::Lease;
use hn_types::{DriverError, IfName, Subnet4};

use super::NamesBy;
use crate::{
    hostapd::find,
    netlink::{CREATE, Netlink, ROUTE, attribute},
    network::{interface, tables::IFF_UP},
    undo::{driver_error, io_failure},
};

const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const REPLACE: u16 = 0x100;
const AF_INET: u8 = 2;
/// `RT_TABLE_MAIN`, `RTPROT_DHCP`, `RT_SCOPE_UNIVERSE`, `RTN_UNICAST`.
const ROUTE_KIND: [u8; 4] = [254, 16, 0, 1];
/// A cable is preferred to us; so do the usual network managers.
const METRIC: u32 = 600;
/// For how long an address holds that nobody confirms any more, in seconds. Should this process be killed, the address
/// and the route go by themselves.
const LIFE: u32 = 90;
/// So often it is confirmed.
const CONFIRM: Duration = Duration::from_secs(20);
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What is set up on one interface.
#[derive(Debug)]
pub(super) struct Setup {
    interface: IfName,
    /// Whether `/etc/resolv.conf` may be written.
    resolv_conf: bool,
    applied: Option<Applied>,
    /// Whether the interface was up before we came.
    was_up: bool,
}

#[derive(Debug)]
struct Applied {
    index: u32,
    address: Subnet4,
    routed: bool,
    names: Names,
    /// When the address was last confirmed.
    confirmed: Instant,
}

/// How the name servers were set, and with that how they are taken back.
#[derive(Debug)]
enum Names {
    Nobody,
    Resolved(std::path::PathBuf),
    Resolvconf(std::path::PathBuf),
    File { before: Vec<u8> },
}

impl Setup {
    /// Nothing is set up yet.
    ///
    /// # Errors
    ///
    /// `Gone` when there is no such interface.
    pub(super) fn new(name: IfName, resolv_conf: bool) -> Result<Self, DriverError> {
        let was_up = interface(name)?.up();
        Ok(Self { interface: name, resolv_conf, applied: None, was_up })
    }

    /// Configures `lease` in place of what was configured.
    ///
    /// # Errors
    ///
    /// What the system answered; what was done up to then is taken back by [`withdraw`](Self::withdraw).
    pub(super) fn apply(&mut self, lease: &Lease) -> Result<NamesBy, DriverError> {
        let index = interface(self.interface)?.index;
        let other = |applied: &Applied| applied.address != lease.address || applied.index != index;
        if self.applied.as_ref().is_some_and(other) {
            self.withdraw();
        }
        let names = self.applied.take().map_or(Names::Nobody, |applied| applied.names);
        let applied = self.applied.insert(Applied {
            index,
            address: lease.address,
            routed: false,
            names,
            confirmed: Instant::now(),
        });
        let route = open()?;
        route.request(NEW_ADDRESS, CREATE | REPLACE, &lasting_body(index, lease.address)).map_err(
            |refusal| {
                let target = format!("{} on {}", lease.address, self.interface);
                driver_error("give the interface an address", target, &refusal)
            },
        )?;
        if let Some(router) = lease.router {
            let mut body = route_body(index, lease.address);
            attribute(&mut body, 5, &router.octets());
            route.request(NEW_ROUTE, CREATE | REPLACE, &body).map_err(|refusal| {
                driver_error("set the default route", format!("{router} on {}", self.interface), &refusal)
            })?;
            applied.routed = true;
        }
        if !lease.dns.is_empty() {
            self.name(lease)?;
        }
        Ok(self.names())
    }

    /// Lets the address hold on. Called more often than it would end; does nothing while that is far.
    pub(super) fn confirm(&mut self) {
        if let Some(applied) = &mut self.applied
            && applied.confirmed.elapsed() >= CONFIRM
            && let Ok(route) = open()
        {
            // An address that somebody removed is not brought back: there is no `CREATE`.
            let _ = route.request(NEW_ADDRESS, REPLACE, &lasting_body(applied.index, applied.address));
            applied.confirmed = Instant::now();
        }
    }

    /// Who asks the name servers of the lease.
    pub(super) fn names(&self) -> NamesBy {
        match self.applied.as_ref().map(|applied| &applied.names) {
            None | Some(Names::Nobody) => NamesBy::Nobody,
            Some(Names::Resolved(_)) => NamesBy::SystemdResolved,
            Some(Names::Resolvconf(_)) => NamesBy::Resolvconf,
            Some(Names::File { .. }) => NamesBy::ResolvConf,
        }
    }

    /// Removes what was configured. What went with the interface is no failure.
    pub(super) fn withdraw(&mut self) {
        let Some(applied) = self.applied.take() else { return };
        match applied.names {
            Names::Nobody => {}
            Names::Resolved(program) => {
                let _ = run(Command::new(program).arg("revert").arg(self.interface.as_str()), None);
            }
            Names::Resolvconf(program) => {
                let _ = run(Command::new(program).arg("-d").arg(record(self.interface)), None);
            }
            Names::File { before } => {
                let _ = std::fs::write(RESOLV_CONF, before);
            }
        }
        let Ok(route) = open() else { return };
        if applied.routed {
            let _ = route.request(DELETE_ROUTE, 0, &route_body(applied.index, applied.address));
        }
        let _ = route.request(DELETE_ADDRESS, 0, &address_body(applied.index, applied.address));
    }

    /// Takes everything back, and sets the interface up or down as it was.
    pub(super) fn end(mut self) {
        self.withdraw();
        let (Ok(link), Ok(route)) = (interface(self.interface), open()) else { return };
        if link.up() != self.was_up {
            let mut body = vec![0; 4];
            body.extend_from_slice(&link.index.to_ne_bytes());
            let flags = if self.was_up { IFF_UP } else { 0 };
            body.extend_from_slice(&flags.to_ne_bytes());
            body.extend_from_slice(&IFF_UP.to_ne_bytes());
            let _ = route.request(SET_LINK, 0, &body);
        }
    }

    /// Hands the name servers to whoever manages them here; to the file only if that was asked for.
    fn name(&mut self, lease: &Lease) -> Result<(), DriverError> {
        let Some(applied) = self.applied.as_mut() else { return Ok(()) };
        if self.resolv_conf {
            let before = match std::mem::replace(&mut applied.names, Names::Nobody) {
                Names::File { before } => before,
                Names::Nobody | Names::Resolved(_) | Names::Resolvconf(_) => {
                    std::fs::read(RESOLV_CONF).unwrap_or_default()
                }
            };
            // Written in place: it may be a link, or stand in for the file of a namespace.
            let text = format!("# hostednet join on {}\n{}", self.interface, resolver_lines(lease));
            applied.names = Names::File { before };
            return std::fs::write(RESOLV_CONF, text)
                .map_err(|error| io_failure("set the name servers", Path::new(RESOLV_CONF), &error));
        }
        let resolved = Path::new("/run/systemd/resolve/io.systemd.Resolve").exists();
        if let Some(program) = find("resolvectl").filter(|_| resolved) {
            let mut servers = Command::new(&program);
            servers.arg("dns").arg(self.interface.as_str()).args(lease.dns.iter().map(ToString::to_string));
            if run(&mut servers, None) {
                if let Some(domain) = &lease.domain {
                    run(Command::new(&program).arg("domain").arg(self.interface.as_str()).arg(domain), None);
                }
                applied.names = Names::Resolved(program);
                return Ok(());
            }
        }
        if let Some(program) = find("resolvconf")
            && run(
                Command::new(&program).arg("-a").arg(record(self.interface)),
                Some(resolver_lines(lease).as_bytes()),
            )
        {
            applied.names = Names::Resolvconf(program);
        }
        Ok(())
    }
}

/// The name under which `resolvconf` keeps what we told it.
fn record(interface: IfName) -> String {
    format!("{interface}.hostednet")
}

fn resolver_lines(lease: &Lease) -> String {
    let domain = lease.domain.iter().map(|domain| format!("search {domain}\n"));
    domain.chain(lease.dns.iter().map(|server| format!("nameserver {server}\n"))).collect()
}

/// Runs a program of the system that answers at once; whether it succeeded.
fn run(command: &mut Command, input: Option<&[u8]>) -> bool {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let Ok(mut child) = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return false;
    };
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        let _ = pipe.write_all(input);
    }
    child.wait().is_ok_and(|status| status.success())
}

fn open() -> Result<Netlink, DriverError> {
    Netlink::open(ROUTE).map_err(|error| driver_error("reach the kernel", "rtnetlink", &error.into()))
}

/// `struct ifaddrmsg` and its attributes.
fn address_body(index: u32, address: Subnet4) -> Vec<u8> {
    let mut body = vec![AF_INET, address.prefix(), 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    attribute(&mut body, 2, &address.address().octets());
    attribute(&mut body, 1, &address.address().octets());
    // Links of two addresses have no broadcast address (RFC 3021).
    if address.prefix() < 31 {
        attribute(&mut body, 4, &address.broadcast().octets());
    }
    body
}

/// The same with `struct ifa_cacheinfo`: preferred and valid for [`LIFE`].
fn lasting_body(index: u32, address: Subnet4) -> Vec<u8> {
    let mut body = address_body(index, address);
    let info: Vec<u8> = [LIFE, LIFE, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
    attribute(&mut body, 6, &info);
    body
}

/// `struct rtmsg` of our default route, without its router. It goes with the address that packets take.
fn route_body(index: u32, source: Subnet4) -> Vec<u8> {
    let mut body = vec![AF_INET, 0, 0, 0];
    body.extend_from_slice(&ROUTE_KIND);
    body.extend_from_slice(&[0; 4]);
    attribute(&mut body, 4, &index.to_ne_bytes());
    attribute(&mut body, 6, &METRIC.to_ne_bytes());
    attribute(&mut body, 7, &source.address().octets());
    body
}
