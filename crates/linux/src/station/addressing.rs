//! The DHCP client on one interface: the pure [`Client`], its packet socket, and what its leases become here.

use std::{io, os::fd::OwnedFd, time::Duration};

use hn_join::{Client, ClientOutput, Lease, Loss};
use hn_types::{DriverError, IfName, MacAddr, Monotonic};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

use super::{NamesBy, now, setup::Setup};
use crate::{network::interface, packet::client_socket, sys::watched};

/// No frame of DHCP or ARP is longer.
const FRAME: usize = 2048;
/// Timers here stand still while the machine sleeps; the clock does not. So often they are compared.
const LONGEST: Duration = Duration::from_secs(15);

/// What the client has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// The lease holds; [`Addressing::apply`] configures it.
    Bound(Lease),
    /// It holds no more.
    Lost(Loss),
}

/// The DHCP client of one interface.
#[derive(Debug)]
pub struct Addressing {
    interface: IfName,
    /// The address the client speaks for.
    mac: MacAddr,
    client: Client,
    /// While there is a link.
    socket: Option<AsyncFd<OwnedFd>>,
    setup: Setup,
}

impl Addressing {
    /// A client without a link. `resolv_conf`: whether `/etc/resolv.conf` may be written.
    ///
    /// # Errors
    ///
    /// `Gone` when there is no such interface.
    pub fn new(name: IfName, resolv_conf: bool) -> Result<Self, DriverError> {
        let setup = Setup::new(name, resolv_conf)?;
        let mac = interface(name)?.address.unwrap_or_default();
        Ok(Self { interface: name, mac, client: client(mac), socket: None, setup })
    }

    /// The link is there, or there anew.
    ///
    /// # Errors
    ///
    /// What the system answered; `Denied` without `CAP_NET_RAW`.
    pub fn begin(&mut self) -> Result<(), DriverError> {
        let link = interface(self.interface)?;
        let mac = link.address.unwrap_or_default();
        if mac != self.mac {
            // Another adapter of that name, or a supplicant that makes addresses up: to a server we are somebody else.
            self.mac = mac;
            self.client = client(mac);
        }
        let failed = |error: &io::Error| {
            crate::undo::io_failure(
                "watch the packet socket",
                std::path::Path::new(self.interface.as_str()),
                error,
            )
        };
        let socket = client_socket(self.interface, link.index)?;
        self.socket = Some(watched(socket, Interest::READABLE).map_err(|error| failed(&error))?);
        self.client.handle_link(now());
        Ok(())
    }

    /// The link is gone; the address is remembered.
    pub fn halt(&mut self) {
        self.socket = None;
        self.client.handle_link_lost();
    }

    /// Configures `lease` in place of what was configured.
    ///
    /// # Errors
    ///
    /// What the system answered.
    pub fn apply(&mut self, lease: &Lease) -> Result<(), DriverError> {
        self.setup.apply(lease).map(|_| ())
    }

    /// Removes what was configured.
    pub fn withdraw(&mut self) {
        self.setup.withdraw();
    }

    /// Who asks the name servers of the lease.
    pub fn names(&self) -> NamesBy {
        self.setup.names()
    }

    /// Waits for what the client comes to next. Safe to give up at any time.
    pub async fn next(&mut self) -> Addressed {
        let mut frame = vec![0; FRAME];
        loop {
            self.setup.confirm();
            while let Some(output) = self.client.poll_output() {
                match output {
                    ClientOutput::Send(frame) => self.send(&frame),
                    ClientOutput::Bound(lease) => return Addressed::Bound(lease),
                    ClientOutput::Lost(loss) => return Addressed::Lost(loss),
                }
            }
            // Also to let what is configured hold on.
            let wake = self.client.poll_timeout().or_else(|| Some(now() + LONGEST));
            tokio::select! {
                length = receive(self.socket.as_ref(), &mut frame) => {
                    self.client.handle_frame(frame.get(..length).unwrap_or_default(), now());
                }
                () = until(wake) => self.client.handle_timeout(now()),
            }
        }
    }

    /// Gives the lease back, removes what was configured, and leaves the interface up or down as it was.
    pub fn end(mut self) {
        self.client.release(now());
        while let Some(output) = self.client.poll_output() {
            if let ClientOutput::Send(frame) = output {
                self.send(&frame);
            }
        }
        self.setup.end();
    }

    /// A frame that cannot leave is as good as one that was lost on its way.
    fn send(&self, frame: &[u8]) {
        if let Some(socket) = &self.socket {
            let _ = send(socket.get_ref(), frame, SendFlags::DONTWAIT);
        }
    }
}

/// A client that has never had a lease, under the name of this machine.
fn client(mac: MacAddr) -> Client {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let host = host.split('.').next().filter(|name| *name != "localhost");
    let mut seed = [0; 8];
    // Without random numbers transaction ids are merely easier to guess.
    let _ = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    Client::new(mac, host, u64::from_ne_bytes(seed))
}

/// The length of the next frame; never returns without a socket.
async fn receive(socket: Option<&AsyncFd<OwnedFd>>, frame: &mut [u8]) -> usize {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        let Ok(mut ready) = socket.readable().await else { return std::future::pending().await };
        match recv(socket.get_ref(), &mut *frame, RecvFlags::DONTWAIT) {
            Ok((_, length)) => return length.min(frame.len()),
            // ENETDOWN: the interface was set down; the supplicant will say what that means.
            Err(Errno::AGAIN | Errno::NETDOWN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            // The interface is gone for good.
            Err(_) => return std::future::pending().await,
        }
    }
}

/// Until the clock shows `at`, or for a while; for ever without one.
pub(super) async fn until(at: Option<Monotonic>) {
    match at {
        Some(at) => sleep(at.since(now()).min(LONGEST)).await,
        None => std::future::pending().await,
    }
}
