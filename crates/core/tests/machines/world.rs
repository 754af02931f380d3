//! A machine that does what the core wants, or does not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hn_core::{
    Actor, Command, Config, Core, Effect, EffectDone, EffectId, Output, Reply, RequestId, SessionId,
    SystemPlan,
};
use hn_types::{
    DriverError, DriverErrorKind, Failure, IfName, KeyRole, MacAddr, Monotonic, Now, Step, StoredSettings,
    Wall,
    device::DeviceCount,
    network::{Ipv6View, Link, MediaType, NetworkView},
    observed::{ApEvent, PlatformEvent},
    plan::{ApStarted, Counts, FirewallPlan, FirewallSegment, LinkPlan, PinholeCount, Reach},
    radio::{
        Adapter, Authenticator, Band, ChannelInfo, Country, IfType, InterfaceCombination, InterfaceLimit,
        Protection, RadioInterface, RadioSwitch, RadioView, Regulatory,
    },
    settings::{PrivateChoice, PublicChoice, SharingPair},
    view::{Event, HostedState, Snapshot},
};

pub(crate) fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 1, last])
}

fn link(text: &str, index: u32, media: MediaType) -> Link {
    Link {
        name: name(text),
        index,
        address: Some(MacAddr([0x02, 0, 0, 0, 0, u8::try_from(index).unwrap()])),
        media,
        incoming_only: false,
        up: true,
        carrier: true,
        master: None,
        addresses: Vec::new(),
        mtu: 1500,
        wireless: false,
        ours: false,
    }
}

/// eth0 leads out; eth3 could; eth1, eth2 are spare; tun0, br0, ppp0 and port0 are of the other kinds.
pub(crate) fn network() -> NetworkView {
    let mut links: Vec<Link> = (0..4).map(|n| link(&format!("eth{n}"), n + 2, MediaType::Lan)).collect();
    links[0].addresses = vec!["10.9.0.5/24".parse().unwrap()];
    links.push(Link { wireless: true, ..link("wlan0", 10, MediaType::Lan) });
    links.push(Link { address: None, ..link("tun0", 11, MediaType::Tunnel) });
    links.push(link("br0", 12, MediaType::Bridge));
    links.push(Link { incoming_only: true, ..link("ppp0", 13, MediaType::Phone) });
    links.push(Link { master: Some(name("br0")), ..link("port0", 14, MediaType::Lan) });
    NetworkView {
        links,
        default_route: Some(name("eth0")),
        occupied: Vec::new(),
        resolvers: vec!["10.9.0.1:53".parse().unwrap()],
        host_name: "laptop".into(),
        ipv6: Ipv6View { available: true, uplinks: vec![name("eth0"), name("eth3")], ..Ipv6View::default() },
        ..NetworkView::default()
    }
}

pub(crate) fn channel(frequency_mhz: u32) -> ChannelInfo {
    ChannelInfo::free(frequency_mhz)
}

pub(crate) fn station(text: &str, frequency_mhz: Option<u32>) -> RadioInterface {
    RadioInterface {
        name: name(text),
        index: 10,
        iftype: IfType::Station,
        address: MacAddr([2, 0, 0, 0, 0, 10]),
        frequency_mhz,
        ssid: None,
        connected: frequency_mhz.is_some(),
    }
}

/// A card that can be station and access point on one channel.
pub(crate) fn adapter() -> Adapter {
    let band = |channels: Vec<ChannelInfo>, vht| Band {
        channels,
        ht: true,
        vht,
        ht_capabilities: 0x1ef,
        ..Band::default()
    };
    Adapter {
        wiphy: 0,
        name: "phy0".into(),
        address: MacAddr([0x02, 0, 0, 0, 0, 0]),
        driver: "mac80211_hwsim".into(),
        iftypes: vec![IfType::Station, IfType::Ap],
        combinations: vec![InterfaceCombination {
            limits: vec![
                InterfaceLimit { max: 1, types: vec![IfType::Ap] },
                InterfaceLimit { max: 2, types: vec![IfType::Station] },
            ],
            max_interfaces: 3,
            channels: 1,
            ..InterfaceCombination::default()
        }],
        bands: vec![
            band((0..13).map(|n| channel(2412 + 5 * n)).collect(), false),
            band([5180, 5200, 5220, 5240].map(channel).to_vec(), true),
        ],
        max_ap_stations: Some(32),
        channel_switch: true,
        regulatory: Regulatory { country: Country(*b"DE"), self_managed: false },
        protection: Protection { management_frames: true, ..Protection::default() },
        blocked: RadioSwitch::default(),
        interfaces: vec![station("wlan0", Some(2462))],
    }
}

pub(crate) fn radio() -> RadioView {
    view(vec![adapter()])
}

/// These adapters and a hostapd that can do SAE with one key.
pub(crate) fn view(adapters: Vec<Adapter>) -> RadioView {
    RadioView { adapters, authenticator: Authenticator { sae: true, many_passwords: false, he: true } }
}

pub(crate) const HN: PrivateChoice = PrivateChoice::HostedNetwork;

pub(crate) fn over(interface: &str) -> PrivateChoice {
    PrivateChoice::Interface(name(interface))
}

pub(crate) fn out(interface: &str) -> PublicChoice {
    PublicChoice::Interface(name(interface))
}

pub(crate) fn pair(public: &str, private: &[PrivateChoice]) -> SharingPair {
    let public = if public == "auto" { PublicChoice::Auto } else { out(public) };
    SharingPair { public, private: private.to_vec() }
}

/// What a driver does with one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Done,
    /// Fails, nothing changed.
    FailOld,
    /// Fails after it changed everything.
    FailNew,
    /// Does not answer for now.
    Hang,
}

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Now,
    pub(crate) applied: SystemPlan,
    pub(crate) disk: StoredSettings,
    /// For each lane what its driver has been told and has not answered, oldest first.
    pub(crate) pending: BTreeMap<Step, VecDeque<(EffectId, Effect)>>,
    /// The one effect of each lane the core still counts on, and until when.
    awaited: BTreeMap<Step, (EffectId, Monotonic)>,
    pub(crate) script: BTreeMap<Step, VecDeque<Behaviour>>,
    pub(crate) events: Vec<Event>,
    pub(crate) replies: BTreeMap<RequestId, Result<Reply, Failure>>,
    pub(crate) history: Vec<Step>,
    /// A driver broke its promise to keep the order: nobody can vouch for a moment, only for the end.
    disorder: bool,
    deadlines: hn_core::Deadlines,
    next_request: u64,
    index: u32,
    last_state: HostedState,
    listed: BTreeSet<MacAddr>,
    /// What the firewall has counted.
    pub(crate) counts: Vec<DeviceCount>,
}

pub(crate) const ROOT: bool = true;
pub(crate) const USER: bool = false;

impl World {
    pub(crate) fn bare(config: Config) -> Self {
        Self::bare_with(config, StoredSettings::default())
    }

    /// A service that finds this on the disk.
    pub(crate) fn bare_with(config: Config, disk: StoredSettings) -> Self {
        let now = Now { mono: Monotonic::from_nanos(1), wall: Wall::from_unix(1_700_000_000) };
        let deadlines = config.deadlines;
        let mut world = Self {
            core: Core::new(config, disk.clone(), [9; 32], now),
            now,
            applied: SystemPlan::default(),
            disk,
            pending: BTreeMap::new(),
            awaited: BTreeMap::new(),
            script: BTreeMap::new(),
            events: Vec::new(),
            replies: BTreeMap::new(),
            history: Vec::new(),
            disorder: false,
            deadlines,
            next_request: 1,
            index: 100,
            last_state: HostedState::Unavailable,
            listed: BTreeSet::new(),
            counts: Vec::new(),
        };
        world.drain();
        world
    }

    /// Five sessions, a capable card, an uplink.
    pub(crate) fn new() -> Self {
        Self::with(Config::new("laptop", "0123456789abcdef"))
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut world = Self::bare(config);
        world.platform(PlatformEvent::Network(network()));
        world.platform(PlatformEvent::Radio(radio()));
        for session in 1..=5 {
            world.open(session);
        }
        world.events.clear();
        world
    }

    pub(crate) fn open(&mut self, session: u64) {
        self.core.handle_session_opened(SessionId(session), self.now);
        self.drain();
    }

    pub(crate) fn close(&mut self, session: u64) {
        self.core.handle_session_closed(SessionId(session), self.now);
        self.drain();
    }

    pub(crate) fn platform(&mut self, event: PlatformEvent) {
        self.core.handle_platform_event(event, self.now);
        self.drain();
    }

    /// Another program flushes the firewall and the platform sees it. That nothing is without rules cannot be asked
    /// of the core then; that they come back can.
    pub(crate) fn flush(&mut self) {
        self.applied.firewall = FirewallPlan::default();
        self.disorder = true;
        self.platform(PlatformEvent::FirewallLost { cause: "no table".into() });
    }

    pub(crate) fn ap(&mut self, event: ApEvent) {
        self.platform(PlatformEvent::Ap(event));
    }

    pub(crate) fn join(&mut self, station: MacAddr, key: KeyRole) {
        self.ap(ApEvent::StationJoined { mac: station, key });
    }

    /// Sends a command; effects wait.
    pub(crate) fn send(&mut self, session: u64, elevated: bool, command: Command) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let uid = if elevated { 0 } else { 1000 };
        let actor = Actor { session: SessionId(session), uid, elevated, groups: [uid].into() };
        self.core.handle_command(request, actor, command, self.now);
        self.drain();
        request
    }

    /// Sends a command and lets the world run until it is answered and quiet.
    pub(crate) fn ask(&mut self, session: u64, elevated: bool, command: Command) -> Result<Reply, Failure> {
        let request = self.send(session, elevated, command);
        self.run();
        self.replies.remove(&request).expect("answered")
    }

    pub(crate) fn root(&mut self, command: Command) -> Result<Reply, Failure> {
        self.ask(1, ROOT, command)
    }

    pub(crate) fn script(&mut self, lane: Step, behaviours: &[Behaviour]) {
        self.script.insert(lane, behaviours.iter().copied().collect());
    }

    /// Time passes without anything being done.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.core.handle_timeout(self.now);
        self.drain();
    }

    /// Carries out effects until none is left that will be answered.
    pub(crate) fn run(&mut self) {
        for _ in 0..2_000 {
            let lane = self.pending.iter().find(|(lane, queue)| {
                !queue.is_empty() && self.script.get(lane).and_then(VecDeque::front) != Some(&Behaviour::Hang)
            });
            let Some(lane) = lane.map(|(lane, _)| *lane) else {
                return;
            };
            let behaviour =
                self.script.get_mut(&lane).and_then(VecDeque::pop_front).unwrap_or(Behaviour::Done);
            self.carry_out(lane, behaviour);
        }
        panic!("the core does not come to rest");
    }

    /// Runs to rest through hangs and retries.
    pub(crate) fn run_to_the_end(&mut self) {
        for _ in 0..200 {
            self.script.clear();
            self.run();
            match self.core.poll_timeout() {
                Some((at, what)) if what != "station poll" && what != "device counters" => {
                    self.now.mono = self.now.mono.max(at);
                    self.core.handle_timeout(self.now);
                    self.drain();
                }
                _ => {
                    self.disorder = false;
                    self.check_applied();
                    return;
                }
            }
        }
        panic!("the core never has enough");
    }

    /// Runs to rest through failures whose time to be tried again comes, but not to the end of anything that lasts.
    pub(crate) fn run_to_rest(&mut self) {
        for _ in 0..20 {
            self.run();
            match self.core.poll_timeout() {
                Some((at, what)) if !["station poll", "end of a port mapping"].contains(&what) => {
                    self.now.mono = self.now.mono.max(at);
                    self.core.handle_timeout(self.now);
                    self.drain();
                }
                _ => return,
            }
        }
        panic!("the core does not come to rest");
    }

    /// The newest effect of the lane is carried out before the hung ones that should come first.
    pub(crate) fn overtake(&mut self, lane: Step) {
        if let Some(queue) = self.pending.get_mut(&lane).filter(|queue| queue.len() > 1) {
            queue.make_contiguous().reverse();
            self.disorder = true;
        }
        self.carry_out(lane, Behaviour::Done);
    }

    /// The oldest effect of the lane is carried out and answered.
    pub(crate) fn carry_out(&mut self, lane: Step, behaviour: Behaviour) {
        let Some((id, effect)) = self.pending.get_mut(&lane).and_then(VecDeque::pop_front) else {
            return;
        };
        let outcome = match behaviour {
            Behaviour::Done => Ok(self.apply(effect)),
            Behaviour::FailOld => Err(()),
            Behaviour::FailNew => {
                self.apply(effect);
                Err(())
            }
            Behaviour::Hang => {
                self.pending.entry(lane).or_default().push_front((id, effect));
                return;
            }
        };
        let outcome = outcome.map_err(|()| {
            vec![
                DriverError::new(DriverErrorKind::Io, "do the step", format!("target of {lane}"), "scripted")
                    .with_remedy("stop scripting"),
            ]
        });
        if self.awaited.get(&lane).is_some_and(|(awaited, _)| *awaited == id) {
            self.awaited.remove(&lane);
        }
        self.core.handle_effect_done(id, outcome, self.now);
        self.drain();
    }

    fn apply(&mut self, effect: Effect) -> EffectDone {
        self.history.push(effect.lane());
        let mut done = EffectDone::Done;
        match effect {
            Effect::StartAp(plan) => {
                if !self.applied.ap.as_ref().is_some_and(|old| old.same_but_keys(&plan)) {
                    self.interface_gone();
                    self.index += 1;
                }
                done = EffectDone::ApStarted(ApStarted {
                    index: self.index,
                    bssid: plan.bssid,
                    frequency_mhz: plan.frequency_mhz,
                });
                self.applied.ap = Some(plan);
            }
            Effect::MoveAp(plan) => {
                let held = self.applied.ap.as_ref();
                assert!(
                    held.is_some_and(|old| old.movable && old.same_but_channel(&plan)),
                    "a move and no more"
                );
                done = EffectDone::ApStarted(ApStarted {
                    index: self.index,
                    bssid: plan.bssid,
                    frequency_mhz: plan.frequency_mhz,
                });
                self.applied.ap = Some(plan);
            }
            Effect::StopAp => {
                self.interface_gone();
                self.applied.ap = None;
            }
            Effect::SetKeys(keys) => {
                if let Some(ap) = &mut self.applied.ap {
                    ap.keys = keys;
                }
            }
            Effect::Links(plan) => self.applied.links = plan,
            Effect::Forwarding(plan) => self.applied.forwarding = plan,
            Effect::Firewall(plan) => {
                self.applied.firewall = plan;
                if !self.counts.is_empty() {
                    done = EffectDone::Counted(self.counts());
                }
            }
            Effect::Services(plan) => self.applied.services = plan,
            Effect::Save(settings) => self.disk = settings,
            Effect::PollStations | Effect::Disconnect(_) => {}
            Effect::Count => done = EffectDone::Counted(self.counts()),
        }
        self.check_applied();
        done
    }

    /// What the firewall has counted, and of its pinholes as many packets as their port's number.
    fn counts(&self) -> Counts {
        let pinholes = self.applied.firewall.pinholes.iter();
        let pinholes =
            pinholes.map(|pinhole| PinholeCount { pinhole: *pinhole, packets: pinhole.port.into() });
        Counts { devices: self.counts.clone(), pinholes: pinholes.collect() }
    }

    /// The virtual interface is removed: the kernel takes what was on it away.
    fn interface_gone(&mut self) {
        if let Some(old) = &self.applied.ap {
            self.applied.links.addresses.retain(|address| address.interface != old.interface);
            self.applied.forwarding.ipv4.remove(&old.interface);
        }
    }

    /// The access point vanishes and nobody notices.
    pub(crate) fn forget_ap(&mut self) {
        self.interface_gone();
        self.applied.ap = None;
    }

    /// The access point vanishes by itself.
    pub(crate) fn ap_dies(&mut self) {
        self.interface_gone();
        self.applied.ap = None;
        self.ap(ApEvent::Lost { cause: "hostapd ended".into() });
    }

    /// What must hold on the system after every single effect.
    fn check_applied(&self) {
        if self.disorder {
            return;
        }
        let of = |network: [u8; 3]| {
            self.applied.links.addresses.iter().any(|at| at.address.address().octets()[..3] == network)
        };
        assert!(!(of([192, 168, 173]) && of([192, 168, 137])), "standalone and full are never on together");
        let guarded = guarded(&self.applied.firewall);
        assert!(
            self.applied.forwarding.ipv4.is_subset(&guarded),
            "{:?} forward but only {guarded:?} are guarded",
            self.applied.forwarding.ipv4
        );
        if let Some(ipv6) = self.applied.forwarding.ipv6 {
            let named = |segment: &FirewallSegment| {
                segment.interface == ipv6.private
                    && segment.reach == Reach::Public(ipv6.public)
                    && segment.ipv6.is_some_and(|ipv6| ipv6.nat66)
            };
            let segments = &self.applied.firewall.segments;
            assert!(segments.iter().any(named), "{ipv6:?} forwards IPv6 past {segments:?}");
        }
        if let Some(ap) = &self.applied.ap {
            let carrier = ap.bridge.unwrap_or(ap.interface);
            assert!(guarded.contains(&carrier), "the access point runs and no firewall names {carrier}");
        }
        for address in &self.applied.links.addresses {
            assert!(
                guarded.contains(&address.interface),
                "{} has an address and no firewall",
                address.interface
            );
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Effect { id, effect } => {
                    let lane = effect.lane();
                    assert_eq!(id.lane(), lane);
                    if let Some((old, deadline)) = self.awaited.get(&lane) {
                        let deadline =
                            if effect == Effect::PollStations { Monotonic::ZERO } else { *deadline };
                        assert!(deadline <= self.now.mono, "{effect:?} while {old:?} is under way");
                    }
                    let limit = if effect == Effect::PollStations {
                        Duration::from_secs(5)
                    } else {
                        self.deadlines.of(lane)
                    };
                    self.awaited.insert(lane, (id, self.now.mono + limit));
                    self.pending.entry(lane).or_default().push_back((id, effect));
                }
                Output::Reply { request, result } => {
                    assert!(self.replies.insert(request, result).is_none(), "answered twice");
                }
                Output::Event(event) => self.observe(event),
            }
        }
    }

    /// What an observer of events may rely on (spec/hosted-network.md §7).
    fn observe(&mut self, event: Event) {
        match &event {
            Event::StateChanged { old, new, .. } => {
                assert_eq!(*old, self.last_state);
                assert_ne!(old, new);
                if *old == HostedState::Active {
                    assert!(self.listed.is_empty(), "departures come before the stop");
                }
                self.last_state = *new;
            }
            Event::PeerJoined { mac, .. } => {
                assert_eq!(self.last_state, HostedState::Active);
                assert!(self.listed.insert(*mac), "joined twice");
            }
            Event::PeerLeft { mac, .. } => assert!(self.listed.remove(mac), "left without having joined"),
            Event::PeerRefused { .. }
            | Event::ChannelChanged { .. }
            | Event::RadarCheck { .. }
            | Event::RadioChanged { .. }
            | Event::SharingChanged { .. }
            | Event::LeaseBound { .. }
            | Event::LeaseEnded { .. }
            | Event::SettingsChanged
            | Event::DeviceChanged { .. }
            | Event::QuotaExhausted { .. }
            | Event::QuotaRenewed { .. }
            | Event::Trouble { .. }
            | Event::Resync => {}
        }
        self.events.push(event);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.core.snapshot(self.now)
    }

    /// What is applied, but for the time since when the way out is as it is.
    pub(crate) fn lasting(&self) -> SystemPlan {
        let mut plan = self.applied.clone();
        for portmap in plan.services.segment.iter_mut().filter_map(|segment| segment.portmap.as_mut()) {
            portmap.uplink.since = Monotonic::ZERO;
        }
        plan
    }

    pub(crate) fn state(&self) -> HostedState {
        self.snapshot().hosted_network.state
    }

    pub(crate) fn quiet(&self) -> bool {
        self.pending.values().all(VecDeque::is_empty)
    }

    /// At rest, the system is what the core wants.
    pub(crate) fn assert_converged(&self) {
        assert!(self.quiet());
        assert_eq!(self.applied, self.core.goal());
    }

    pub(crate) fn states(&self) -> Vec<(HostedState, HostedState, u32)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::StateChanged { old, new, reason } => Some((*old, *new, reason.number())),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn address_on(&self, interface: &str) -> Option<String> {
        let plan: &LinkPlan = &self.applied.links;
        plan.addresses
            .iter()
            .find(|address| address.interface == name(interface))
            .map(|address| address.address.to_string())
    }

    pub(crate) fn dhcp_on(&self, interface: &str) -> bool {
        self.applied.services.segment.as_ref().is_some_and(|segment| segment.interface == name(interface))
    }
}

pub(crate) fn guarded(plan: &FirewallPlan) -> BTreeSet<IfName> {
    plan.segments
        .iter()
        .flat_map(|segment| {
            let public = match segment.reach {
                Reach::Host => None,
                Reach::Public(public) => Some(public),
            };
            [Some(segment.interface), public]
        })
        .flatten()
        .collect()
}
