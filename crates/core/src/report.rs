//! What callers see: snapshot, sharing, connections.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use hn_types::{
    IfName, Now,
    network::{Link, MediaType},
    settings::{PrivateChoice, SharingPair},
    view::{
        AccessPointView, HostedNetworkView, HostedState, Ipv6Sharing, SetBy, SharingMode, SharingPhase,
        SharingView, Snapshot,
    },
};

use crate::{
    core::Core,
    guid::{connection_guid, named_guid},
    hosted::Phase,
    ipv6,
    keys::{DEFAULT_MAX_PEERS, key_set},
    plan::{ApIntent, PrivateSide, ap_name, private_side, public_side},
    radio::{radio_plan, station_view},
    view::{ConnectionRole, ConnectionStatus, ConnectionView},
};

/// Of isolated devices behind a driver that relays by itself.
const RELAYS: &str = "the firmware of this adapter is known to relay frames between its devices without asking this \
                      machine; what passes by this machine is dropped";

impl Core {
    /// Everything `status` prints.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let ap = self.intent.ap.as_ref().map(|ap| ap.interface);
        let segment = self.lanes.served().and_then(|plan| plan.segment.as_ref()).map(|s| s.interface);
        let mut devices = self.devices.views(&self.hosted, ap, segment, now);
        self.decorate(&mut devices);
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_string(),
            hosted_network: self.hosted_view(now),
            sharing: self.sharing_view(),
            devices,
            neighbours: Vec::new(),
            port_mapping: self.portmap_view(),
            refused: self.unserved.clone(),
        }
    }

    fn hosted_view(&self, now: Now) -> HostedNetworkView {
        let state = self.hosted.state();
        let active = state == HostedState::Active;
        let ap = self.intent.ap.as_ref().filter(|_| active);
        let running = self.hosted.running.filter(|_| active);
        let connection = self.settings.connection.as_ref();
        HostedNetworkView {
            state,
            reason: self.hosted.reason(),
            detail: self.hosted.detail().to_string(),
            enabled: self.allowed(),
            set_by: if self.policy.hosted_network.is_some() { SetBy::Policy } else { SetBy::User },
            ssid: connection.map(|connection| connection.ssid),
            interface: ap.map(|ap| ap.interface),
            device_guid: self.device_guid(),
            bssid: running.map(|running| running.bssid),
            channel: ap.map(|ap| ap.radio.channel),
            frequency_mhz: running.map(|running| running.frequency_mhz),
            phy: ap.map(|ap| ap.radio.phy),
            max_peers: connection.map_or(DEFAULT_MAX_PEERS, |connection| connection.max_peers),
            references: self.sessions.references(),
            forced: self.sessions.forced(),
            peers: self.hosted.peer_views(now.mono),
            access_point: self.access_point_view(ap, now),
        }
    }

    /// `ap`: while active.
    fn access_point_view(&self, ap: Option<&ApIntent>, now: Now) -> AccessPointView {
        let radar_check = self.radar_check_view(now.mono);
        let Some(ap) = ap else { return AccessPointView { radar_check, ..AccessPointView::default() } };
        let keys = key_set(&self.settings, self.temporary.as_ref(), &self.hosted);
        let secured = ap.secured(&keys);
        AccessPointView {
            width_mhz: Some(ap.radio.width.mhz()),
            following: ap.radio.beside,
            channel_detail: ap.radio.detail.clone(),
            security: Some(secured.wpa),
            security_detail: secured.detail,
            hidden: ap.hidden,
            isolated: ap.isolated,
            isolation_detail: if ap.isolated && ap.radio.relays { RELAYS.into() } else { String::new() },
            radar_check,
        }
    }

    /// The GUID of the virtual adapter, which exists while the network is available and was ever configured.
    fn device_guid(&self) -> Option<String> {
        let configured = self.hosted.ever_started || self.settings.connection.is_some();
        if !configured || self.hosted.phase() == Phase::Unavailable {
            return None;
        }
        // Whatever address the access point has: the GUID is that of the adapter.
        let address = match &self.intent.ap {
            Some(ap) => ap.radio.address.derived(0),
            None => {
                radio_plan(self.radio.as_ref()?, &self.network, &self.config.radio).ok()?.address.derived(0)
            }
        };
        Some(connection_guid(&self.config.machine_id, address))
    }

    /// The interface of the hosted network for those who look for it in the list of connections: there after
    /// the first start, as long as the network is available.
    pub(crate) fn hosted_adapter(&self) -> Option<IfName> {
        if let Some(ap) = &self.intent.ap {
            return Some(ap.interface);
        }
        (self.hosted.ever_started && self.hosted.phase() != Phase::Unavailable)
            .then(|| ap_name(&self.network))
    }

    pub(crate) fn sharing_phase(&self) -> SharingPhase {
        match (self.shared.pending, self.shared.mode) {
            (Some(pending), _) => pending,
            (None, SharingMode::Off) => SharingPhase::Stopped,
            (None, SharingMode::Standalone | SharingMode::Full) => SharingPhase::Running,
        }
    }

    /// Sharing as the last finished transaction left it.
    pub(crate) fn sharing_view(&self) -> SharingView {
        let mut view =
            SharingView { mode: self.shared.mode, phase: self.sharing_phase(), ..SharingView::default() };
        view.rules_restored = self.guard.restored();
        let served = self.lanes.served().and_then(|plan| plan.segment.as_ref());
        match (self.shared.mode, &self.shared.pair) {
            (SharingMode::Off, _) | (SharingMode::Full, None) => {}
            (SharingMode::Standalone, _) => {
                view.private.extend(self.intent.ap.as_ref().map(|ap| ap.interface));
                view.subnet = self.subnets.standalone;
                view.ipv6.detail = "standalone sharing has no IPv6".to_string();
            }
            (SharingMode::Full, Some(pair)) => {
                view.public = public_side(pair, &self.network);
                view.private = self.private_names(pair);
                view.subnet = self.subnets.full;
                view.ipv6 = self.rung(pair).unwrap_or_default();
                view.dns = self.dns_down.is_none() && served.is_some_and(|segment| segment.dns.is_some());
                if view.public.is_none() {
                    view.detail.push("no public connection is there at the moment".to_string());
                }
                let names = served.and_then(|segment| segment.dns.as_ref());
                let mute = names.filter(|dns| dns.upstreams.is_empty()).and_then(|dns| dns.through);
                view.detail.extend(mute.map(|tunnel| {
                    format!(
                        "no name server is known that can be asked through {tunnel}: name one in hostednet.toml, \
                         [sharing] dns_upstreams"
                    )
                }));
                if view.private.is_empty() {
                    view.detail.push("no private connection is there at the moment".to_string());
                }
                if self.lanes.firewall.state.as_ref().is_some_and(|plan| !plan.forwards.is_empty()) {
                    view.detail.extend(self.portmap_hidden());
                }
            }
        }
        if self.shared.mode != SharingMode::Off {
            view.detail.extend(self.dns_down.iter().map(|cause| format!("DNS does not answer: {cause}")));
            let (moved, cause) = &self.dns_moved;
            if !moved.is_empty() {
                view.detail.push(format!("{cause}; until then devices are answered past it"));
            }
            view.detail.extend(self.dispute());
            // Whoever holds a port of IPv4 often holds that of IPv6, too: said once.
            let untold = |text: &String| {
                if moved.is_empty() {
                    return text.clone();
                }
                text.replace(cause, "").trim_matches([';', ' ']).to_string()
            };
            view.detail.extend(self.troubles.values().map(untold).filter(|text| !text.is_empty()));
            view.detail.extend(self.lanes.failures());
            view.detail.extend(self.guard.obstacles());
        }
        view
    }

    /// Where the IPv6 of `pair` leads; `None` while it has no private side.
    pub(crate) fn rung(&self, pair: &SharingPair) -> Option<Ipv6Sharing> {
        let side = self.side(pair).map(|side| side.interface);
        let private = side.or_else(|| self.private_names(pair).first().copied())?;
        let public = public_side(pair, &self.network);
        Some(ipv6::rung(&self.network, &self.config.machine_id, private, public, self.upstream.given()))
    }

    /// The private connections of a pair that exist.
    fn private_names(&self, pair: &SharingPair) -> Vec<IfName> {
        pair.private
            .iter()
            .filter_map(|choice| match choice {
                PrivateChoice::HostedNetwork => self.intent.ap.as_ref().map(|ap| ap.interface),
                PrivateChoice::Interface(name) => self.network.link(name.as_str()).map(|link| link.name),
            })
            .collect()
    }

    /// Every connection; the adapter of the hosted network once it was started and while it is available.
    pub fn connections(&self) -> Vec<ConnectionView> {
        let adapter = self.hosted_adapter();
        let side = self.shared.pair.as_ref().and_then(|pair| self.side(pair));
        let mut views: Vec<ConnectionView> = self
            .network
            .links
            .iter()
            .filter(|link| link.media != MediaType::None && Some(link.name) != adapter)
            .filter(|link| !link.ours || side.as_ref().is_some_and(|side| side.interface == link.name))
            .map(|link| self.connection(link))
            .collect();
        if let Some(name) = adapter {
            let role = match &self.shared.pair {
                Some(pair) if Self::over_hosted(&pair.private) => ConnectionRole::Private,
                Some(_) => ConnectionRole::None,
                None => self.half_role(name, true),
            };
            let status = match self.hosted.state() {
                HostedState::Active => ConnectionStatus::Connected,
                HostedState::Idle | HostedState::Unavailable => ConnectionStatus::MediaDisconnected,
            };
            views.push(ConnectionView {
                name,
                guid: self.device_guid().unwrap_or_else(|| self.guid_of(name.as_str())),
                media: MediaType::Lan,
                wireless: true,
                status,
                role,
                not_sharable: None,
                hosted_network: true,
                default_route: false,
                incoming_only: false,
                bridged: self
                    .intent
                    .full
                    .as_ref()
                    .is_some_and(|pair| pair.private.len() > 1 && Self::over_hosted(&pair.private)),
                firewalled: self.settings.firewalled.contains(&name),
                device: "Virtual adapter of the hosted network",
                station: None,
            });
        }
        views
    }

    fn side(&self, pair: &SharingPair) -> Option<PrivateSide> {
        private_side(pair, self.intent.ap.as_ref(), &self.network)
    }

    fn guid_of(&self, name: &str) -> String {
        named_guid(&self.config.machine_id, name.as_bytes())
    }

    fn connection(&self, link: &Link) -> ConnectionView {
        let role = match &self.shared.pair {
            Some(pair) if public_side(pair, &self.network) == Some(link.name) => ConnectionRole::Public,
            Some(pair) if pair.private.contains(&PrivateChoice::Interface(link.name)) => {
                ConnectionRole::Private
            }
            Some(_) => ConnectionRole::None,
            None => self.half_role(link.name, false),
        };
        let status = match (link.up, link.carrier) {
            (true, true) => ConnectionStatus::Connected,
            (true, false) => ConnectionStatus::MediaDisconnected,
            (false, _) => ConnectionStatus::Disconnected,
        };
        let member = link.master.filter(|_| role == ConnectionRole::None);
        let not_sharable = link
            .not_sharable()
            .map(ToString::to_string)
            .or_else(|| member.map(|master| format!("it is a member of {master}")));
        ConnectionView {
            name: link.name,
            guid: link.address.map_or_else(
                || self.guid_of(link.name.as_str()),
                |address| connection_guid(&self.config.machine_id, address),
            ),
            media: link.media,
            wireless: link.wireless,
            status,
            role,
            not_sharable,
            hosted_network: false,
            default_route: self.network.default_route == Some(link.name),
            incoming_only: link.incoming_only,
            bridged: link.master.is_some(),
            firewalled: self.settings.firewalled.contains(&link.name),
            device: device(link),
            station: self.radio.as_ref().and_then(|radio| station_view(radio, &self.network, link.name)),
        }
    }
}

/// What an interface is, for people.
const fn device(link: &Link) -> &'static str {
    match link.media {
        MediaType::Lan if link.wireless => "Wi-Fi adapter",
        MediaType::Lan => "Ethernet adapter",
        MediaType::Bridge => "Network bridge",
        MediaType::Tunnel => "Tunnel",
        MediaType::Pppoe => "PPPoE connection",
        MediaType::Phone => "Dial-up connection",
        MediaType::Isdn => "ISDN connection",
        MediaType::Direct => "Direct cable connection",
        MediaType::None => "Interface",
    }
}
