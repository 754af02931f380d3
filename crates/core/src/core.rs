//! The composition of the machines.

use alloc::{collections::VecDeque, vec::Vec};

use hn_types::{
    DriverError, Monotonic, Now, Reason, StoredSettings,
    observed::PlatformEvent,
    settings::Policy,
    view::{HostedNetworkView, HostedState, SetBy, SharingView, Snapshot},
};

use crate::{
    command::{Actor, Command, RequestId, SessionId},
    config::Config,
    effect::{EffectDone, EffectId, Output},
    view::ConnectionView,
};

/// The core.
#[derive(Debug)]
pub struct Core {
    config: Config,
    stored: StoredSettings,
    seed: [u8; 32],
    outputs: VecDeque<Output>,
}

impl Core {
    /// A core that has applied nothing yet and assumes that nothing of ours is on the system.
    pub fn new(config: Config, stored: StoredSettings, seed: [u8; 32], now: Now) -> Self {
        let _ = now;
        Self { config, stored, seed, outputs: VecDeque::new() }
    }

    /// A client connected.
    pub fn handle_session_opened(&mut self, session: SessionId, now: Now) {
        let _ = (session, now, &self.config, &self.stored, &self.seed);
    }

    /// A client is gone: its references, its waiting commands and its `up` go with it.
    pub fn handle_session_closed(&mut self, session: SessionId, now: Now) {
        let _ = (session, now);
    }

    /// A client asks.
    pub fn handle_command(&mut self, request: RequestId, actor: Actor, command: Command, now: Now) {
        let _ = (request, actor, command, now);
    }

    /// The platform reports.
    pub fn handle_platform_event(&mut self, event: PlatformEvent, now: Now) {
        let _ = (event, now);
    }

    /// An effect was carried out or failed. An empty list of errors counts as a failure without a cause.
    pub fn handle_effect_done(
        &mut self,
        id: EffectId,
        outcome: Result<EffectDone, Vec<DriverError>>,
        now: Now,
    ) {
        let _ = (id, outcome, now);
    }

    /// The administrator decided anew.
    pub fn handle_policy(&mut self, policy: Policy, now: Now) {
        let _ = (policy, now);
    }

    /// The time of [`Core::poll_timeout`] has come. Harmless when it has not.
    pub fn handle_timeout(&mut self, now: Now) {
        let _ = now;
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Core::handle_timeout`] is wanted and what for.
    pub fn poll_timeout(&self) -> Option<(Monotonic, &'static str)> {
        None
    }

    /// Everything `status` prints.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let _ = now;
        Snapshot {
            version: env!("CARGO_PKG_VERSION").into(),
            hosted_network: HostedNetworkView {
                state: HostedState::Unavailable,
                reason: Reason::InterfaceUnavailable,
                detail: "the adapters are not known yet".into(),
                enabled: true,
                set_by: SetBy::User,
                ssid: None,
                interface: None,
                device_guid: None,
                bssid: None,
                channel: None,
                frequency_mhz: None,
                phy: None,
                max_peers: 100,
                references: 0,
                forced: false,
                peers: Vec::new(),
            },
            sharing: SharingView::default(),
            devices: Vec::new(),
        }
    }

    /// Every connection, the adapter of the hosted network once it was started.
    pub fn connections(&self) -> Vec<ConnectionView> {
        Vec::new()
    }
}
