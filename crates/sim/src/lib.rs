//! The whole platform in memory: `hostednetd --simulate`.
//!
//! It needs no privilege and changes nothing on the machine, yet the same daemon, bus, client library
//! and command line run on it. The simulated machine has a Wi-Fi adapter (`phy0`, with the
//! station `wlan0` connected on channel 6 and holding the default route) and two wired interfaces (`eth0`, `eth1`). A person
//! or a test acts on it through the text socket `sim` in the runtime folder ([`console`]): devices join and leave, the
//! adapter is unplugged, the uplink is lost, a lane fails or hangs.
//!
//! | task | owns | waits on | its end |
//! |---|---|---|---|
//! | console | the socket `sim` | connections | the daemon ends |
//! | one per console connection | the connection | lines | the connection ends |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod console;
mod examine;
mod lanes;
mod world;

use std::{cell::RefCell, path::PathBuf, rc::Rc};

use hn_ports::{EventSink, Lanes, Platform};
use hn_types::{DriverError, DriverErrorKind, observed::PlatformEvent};

pub use lanes::{SimFirewall, SimForwarding, SimLinks, SimRadio, SimServices};
pub use world::{Applied, AppliedAp, World};

/// What a simulated platform is given.
#[derive(Clone, Debug, Default)]
pub struct SimConfig {
    /// Where the console listens; nowhere when absent.
    pub console: Option<PathBuf>,
}

/// The simulated platform.
#[derive(Debug)]
pub struct SimPlatform {
    config: SimConfig,
}

impl SimPlatform {
    /// A platform with its default machine.
    pub const fn new(config: SimConfig) -> Self {
        Self { config }
    }
}

impl Platform for SimPlatform {
    type Radio = SimRadio;
    type Links = SimLinks;
    type Forwarding = SimForwarding;
    type Firewall = SimFirewall;
    type Services = SimServices;

    async fn open(
        self,
        events: EventSink,
    ) -> Result<Lanes<SimRadio, SimLinks, SimForwarding, SimFirewall, SimServices>, DriverError> {
        let world = World::new(events.clone());
        events.emit(PlatformEvent::Radio(world.radio_view()));
        events.emit(PlatformEvent::Network(world.network_view()));
        let world = Rc::new(RefCell::new(world));
        if let Some(path) = self.config.console {
            console::listen(&path, Rc::clone(&world)).map_err(|error| {
                DriverError::new(DriverErrorKind::Io, "listen on the console", path.display(), error)
            })?;
        }
        Ok(lanes::lanes(&world))
    }
}
