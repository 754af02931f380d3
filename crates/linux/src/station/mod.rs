//! The device side: this machine joins a network, as a guest of whoever runs it, and finds its way back.
//!
//! [`join`] connects the pure machines of [`hn_join`] with wpa_supplicant, a packet socket and rtnetlink. It decides
//! nothing, and it takes back what it did: the address, the route, the name servers, the supplicant or our network in
//! somebody else's, and whether the interface was up.

mod addressing;
mod setup;
mod supplicant;
mod words;

use std::{future::Future, pin::pin};

use hn_join::{Change, Machine, Output};
use hn_types::{DriverError, DriverErrorKind, IfName, Key, Monotonic, Ssid};
use rustix::time::{ClockId, clock_gettime};

pub use self::addressing::{Addressed, Addressing};
use self::{
    addressing::until,
    supplicant::{Network, Order, PrivateFolder, Supplicant},
};
use crate::{
    neighbour::{bus::SystemBus, manager::left_alone},
    netlink::{Netlink, ROUTE},
    network::tables,
    undo::{driver_error, io_failure},
};

/// Which network, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name.
    pub ssid: Ssid,
    /// Its key; `None`: an open network.
    pub key: Option<Key>,
    /// The Wi-Fi interface; `None`: the only one there is.
    pub interface: Option<IfName>,
    /// Give up at the first failure or loss.
    pub once: bool,
    /// `/etc/resolv.conf` may be written, and is restored.
    pub resolv_conf: bool,
}

/// Who asks the name servers of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamesBy {
    /// Nobody: the lease names none, or nothing here manages them.
    Nobody,
    /// systemd-resolved, told by `resolvectl`.
    SystemdResolved,
    /// The program `resolvconf`.
    Resolvconf,
    /// Everybody: they stand in `/etc/resolv.conf`.
    ResolvConf,
}

/// What is told as it happens.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What changed.
    pub change: &'a Change,
    /// On which interface.
    pub interface: IfName,
    /// Who asks the name servers, when there is an address.
    pub names: NamesBy,
}

/// How [`join`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// It was to try once and did not succeed: the change that says why.
    GaveUp(Option<Change>),
}

/// Joins the network and stays in it until `stop`; then everything is as before. Needs a [`tokio::task::LocalSet`].
///
/// # Errors
///
/// What cannot work at all, before anything is changed: no such interface, no supplicant. Later trouble is told, and
/// tried again.
pub async fn join(
    request: &Request,
    tell: &mut dyn FnMut(Told<'_>),
    stop: impl Future<Output = ()>,
) -> Result<Ended, DriverError> {
    let interface = match request.interface {
        Some(interface) => interface,
        None => only_interface()?,
    };
    left_alone(&SystemBus::default(), interface).await?;
    supplicant::check(interface)?;
    let mut addressing = Addressing::new(interface, request.resolv_conf)?;
    let folder = PrivateFolder::new()
        .map_err(|error| io_failure("make a private folder", std::path::Path::new("/run"), &error))?;
    let network = Network { interface, ssid: request.ssid, key: request.key.clone() };
    let mut supplicant = Supplicant::new(network, folder.path());
    let mut machine = Machine::new(request.once);
    let mut last = None;
    let mut stop = pin!(stop);
    machine.start(now());
    let ended = loop {
        if drain(&mut machine, &supplicant, &mut addressing, &mut last, interface, tell) {
            break Ended::GaveUp(last.take());
        }
        let wake = machine.poll_timeout();
        tokio::select! {
            () = &mut stop => break Ended::Stopped,
            news = supplicant.news() => machine.handle_news(news, now()),
            addressed = addressing.next() => match addressed {
                Addressed::Bound(lease) => machine.handle_lease(lease, now()),
                Addressed::Lost(loss) => machine.handle_lease_lost(loss, now()),
            },
            () = until(wake) => machine.handle_timeout(now()),
        }
    };
    // While the link is still there.
    addressing.end();
    supplicant.end().await;
    drop(folder);
    if ended == Ended::Stopped {
        tell(Told { change: &Change::Stopped, interface, names: NamesBy::Nobody });
    }
    Ok(ended)
}

/// Does what the machine wants; `true` when it gave up.
fn drain(
    machine: &mut Machine,
    supplicant: &Supplicant,
    addressing: &mut Addressing,
    last: &mut Option<Change>,
    interface: IfName,
    tell: &mut dyn FnMut(Told<'_>),
) -> bool {
    while let Some(output) = machine.poll_output() {
        let mut trouble = None;
        match output {
            Output::Prepare => supplicant.order(Order::Prepare),
            Output::Scan => supplicant.order(Order::Scan),
            Output::Connect => supplicant.order(Order::Connect),
            Output::Park => supplicant.order(Order::Park),
            Output::Acquire => trouble = addressing.begin().err(),
            Output::Halt => addressing.halt(),
            Output::Apply(lease) => trouble = addressing.apply(&lease).err(),
            Output::Withdraw => addressing.withdraw(),
            Output::Tell(change) => {
                tell(Told { change: &change, interface, names: addressing.names() });
                *last = Some(change);
            }
            Output::GiveUp => return true,
        }
        if let Some(error) = trouble {
            machine.handle_news(hn_join::News::Gone(error.to_string()), now());
        }
    }
    false
}

/// The Wi-Fi interface of a machine that has one.
fn only_interface() -> Result<IfName, DriverError> {
    let op = "look for a Wi-Fi interface";
    let failed = |refusal: &crate::netlink::Refusal| driver_error(op, "nl80211", refusal);
    let stations = tables::stations().map_err(|refusal| failed(&refusal))?;
    let route = Netlink::open(ROUTE).map_err(|error| failed(&error.into()))?;
    let links = tables::links(&route).map_err(|refusal| failed(&refusal))?;
    let names: Vec<IfName> =
        links.iter().filter(|link| stations.contains(&link.index)).map(|link| link.name).collect();
    match names.as_slice() {
        [only] => Ok(*only),
        [] => Err(DriverError::new(DriverErrorKind::Gone, op, "this machine", "there is none")
            .with_remedy("plug a Wi-Fi adapter in, or switch it on: rfkill unblock wifi")),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            let names = names.join(", ");
            Err(DriverError::new(
                DriverErrorKind::Invalid,
                op,
                "this machine",
                format!("there are several: {names}"),
            )
            .with_remedy("name one with --interface"))
        }
    }
}

/// The time since the machine was switched on, sleep included: leases age while the lid is closed.
fn now() -> Monotonic {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let rest = u64::try_from(time.tv_nsec).unwrap_or_default();
    Monotonic::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(rest))
}
