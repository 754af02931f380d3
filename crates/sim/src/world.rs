//! The simulated machine: adapters, interfaces, devices, and the plans that hold on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
    rc::Rc,
};

use hn_ports::EventSink;
use hn_types::{
    DriverError, DriverErrorKind, IfName, Key, KeyRole, MacAddr, Ssid, Step, Subnet4, Wall,
    device::{DeviceCount, Traffic},
    diagnosis::{CheckName, Examination, Findings},
    network::{Ipv6View, Link, MediaType, NetworkView, OccupiedSubnet, Way, Way6},
    observed::{ApEvent, Lease, PlatformEvent, ServiceEvent, Sleep, StationStats},
    part::{Dependency, MissingDependency},
    plan::{
        ApPlan, ApStarted, Counts, FirewallPlan, ForwardingPlan, KeySet, LinkPlan, NextHop, PinholeCount,
        ServicePlan,
    },
    radio::{
        Adapter, Authenticator, Band, ChannelInfo, Country, IfType, InterfaceCombination, InterfaceLimit,
        PhyType, Protection, RadioInterface, RadioSwitch, RadioView, Regulatory,
    },
    station::{Authentication, Cipher, StationLink},
};
use serde::Serialize;
use tokio::sync::Notify;

use crate::examine;

/// Devices the simulated segment can hold.
const DEVICES: usize = 253;

/// What a lane is told to do with its next operation.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Fail with this cause.
    Fail(String),
    /// Do not answer until released.
    Hang(Rc<Notify>),
}

/// A simulated device.
#[derive(Clone, Debug)]
struct Device {
    hostname: String,
    interface: Where,
    lease: Option<Ipv4Addr>,
}

/// Where a device is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// To the access point.
    Air,
    /// To a wired interface.
    Wire(IfName),
}

/// The plans that hold, as `show` prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The access point, without its keys.
    pub ap: Option<AppliedAp>,
    /// Bridge and addresses.
    pub links: LinkPlan,
    /// Forwarding.
    pub forwarding: ForwardingPlan,
    /// Firewall.
    pub firewall: FirewallPlan,
    /// Services.
    pub services: ServicePlan,
}

/// A running access point as `show` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppliedAp {
    /// Its interface.
    pub interface: IfName,
    /// Its name.
    pub ssid: Ssid,
    /// Its channel.
    pub channel: u32,
    /// How many keys it accepts.
    pub keys: usize,
}

/// The simulated machine.
#[derive(Debug)]
pub struct World {
    events: EventSink,
    adapter: Option<Adapter>,
    links: Vec<Link>,
    default_route: Option<IfName>,
    ap: Option<ApPlan>,
    applied: Applied,
    devices: BTreeMap<MacAddr, Device>,
    faults: BTreeMap<Step, Fault>,
    missing: BTreeSet<Dependency>,
    /// What was counted of devices that the firewall has a rule for.
    counts: BTreeMap<MacAddr, DeviceCount>,
    ills: BTreeSet<CheckName>,
}

fn name(text: &str) -> IfName {
    text.parse().unwrap_or_else(|_| unreachable!("a name written in this file is valid"))
}

fn subnet(text: &str) -> Subnet4 {
    text.parse().unwrap_or_else(|_| unreachable!("a subnet written in this file is valid"))
}

fn link(index: u32, text: &str, addresses: &[&str], wireless: bool) -> Link {
    let last = u8::try_from(index).unwrap_or_default();
    Link {
        name: name(text),
        index,
        address: Some(MacAddr([0x02, 0, 0, 0, 0, last])),
        media: MediaType::Lan,
        incoming_only: false,
        up: true,
        carrier: true,
        master: None,
        addresses: addresses.iter().map(|text| subnet(text)).collect(),
        mtu: 1500,
        wireless,
        ours: false,
    }
}

fn adapter() -> Adapter {
    let channels = (1..=11).map(|n| 2407 + 5 * n).chain([5180, 5200, 5220, 5240]);
    let (two, five): (Vec<_>, Vec<_>) =
        channels.map(ChannelInfo::free).partition(|channel| channel.frequency_mhz < 3000);
    let band = |channels| Band { channels, ht: true, ht_capabilities: 0x007e, ..Band::default() };
    Adapter {
        wiphy: 0,
        name: "phy0".to_owned(),
        address: MacAddr([0x02, 0, 0, 0, 0, 3]),
        driver: "sim".to_owned(),
        iftypes: vec![IfType::Station, IfType::Ap],
        combinations: vec![InterfaceCombination {
            limits: vec![
                InterfaceLimit { max: 1, types: vec![IfType::Station] },
                InterfaceLimit { max: 1, types: vec![IfType::Ap] },
            ],
            max_interfaces: 2,
            channels: 1,
            ..InterfaceCombination::default()
        }],
        bands: vec![band(two), band(five)],
        max_ap_stations: Some(128),
        channel_switch: true,
        regulatory: Regulatory { country: Country(*b"DE"), self_managed: false },
        protection: Protection { management_frames: true, ..Protection::default() },
        blocked: RadioSwitch::default(),
        interfaces: vec![RadioInterface {
            name: name("wlan0"),
            index: 3,
            iftype: IfType::Station,
            address: MacAddr([0x02, 0, 0, 0, 0, 3]),
            frequency_mhz: Some(2437),
            ssid: Ssid::new(b"Home").ok(),
            connected: true,
        }],
    }
}

impl World {
    pub(crate) fn new(events: EventSink) -> Self {
        Self {
            events,
            adapter: Some(adapter()),
            links: vec![
                link(2, "eth0", &[], false),
                link(3, "wlan0", &["10.20.30.40/24"], true),
                link(4, "eth1", &[], false),
            ],
            default_route: Some(name("wlan0")),
            ap: None,
            applied: Applied::default(),
            devices: BTreeMap::new(),
            faults: BTreeMap::new(),
            missing: BTreeSet::new(),
            counts: BTreeMap::new(),
            ills: BTreeSet::new(),
        }
    }

    /// The adapters, complete.
    pub fn radio_view(&self) -> RadioView {
        let authenticator = Authenticator { sae: true, many_passwords: false, he: true };
        RadioView { adapters: self.adapter.clone().into_iter().collect(), authenticator }
    }

    /// The network, complete.
    pub fn network_view(&self) -> NetworkView {
        let occupied = self
            .links
            .iter()
            .filter(|link| !link.ours)
            .flat_map(|link| {
                link.addresses
                    .iter()
                    .map(|subnet| OccupiedSubnet { subnet: subnet.network(), interface: link.name })
            })
            .collect();
        NetworkView {
            links: self.links.clone(),
            default_route: self.default_route,
            ways: self.default_route.map(|interface| Way { interface, gateway: None }).into_iter().collect(),
            steered: self.steered(|next| matches!(next, NextHop::Ipv4(_))),
            occupied,
            resolvers: vec![(Ipv4Addr::new(10, 20, 30, 1), 53).into()],
            behind_stub: Vec::new(),
            host_name: "simulated".to_owned(),
            ipv6: Ipv6View {
                available: true,
                uplinks: self.default_route.into_iter().collect(),
                ways: self
                    .default_route
                    .map(|interface| Way6 { interface, gateway: None })
                    .into_iter()
                    .collect(),
                steered: self.steered(|next| matches!(next, NextHop::Ipv6(_))),
                ..Ipv6View::default()
            },
        }
    }

    /// Where our own routing tables lead.
    fn steered(&self, family: impl Fn(NextHop) -> bool) -> Vec<(u32, IfName)> {
        let found = self.applied.links.steering.iter().filter(|steering| family(steering.next));
        found.map(|steering| (steering.table(), steering.public)).collect()
    }

    /// The connected stations, measured.
    pub(crate) fn stations(&self) -> BTreeMap<IfName, StationLink> {
        let stations = self.adapter.iter().flat_map(|adapter| &adapter.interfaces).filter(|i| i.connected);
        let link = StationLink {
            bssid: Some(MacAddr([0x02, 0, 0, 0, 0x99, 0x01])),
            phy: Some(PhyType::Ht),
            authentication: Some(Authentication::Wpa2Personal),
            cipher: Some(Cipher::Ccmp),
            signal_dbm: Some(-52),
            receive_kbps: Some(72_200),
            transmit_kbps: Some(65_000),
        };
        stations.map(|station| (station.name, link)).collect()
    }

    /// What the console took away of what sharing cannot do without.
    pub(crate) fn missing(&self) -> Vec<MissingDependency> {
        let missing = |dependency: &Dependency| MissingDependency {
            dependency: *dependency,
            cause: "it was taken away on the console".to_owned(),
            remedy: format!("type `dependency {} up` there", dependency.service_name().to_lowercase()),
        };
        self.missing.iter().map(missing).collect()
    }

    /// What looking at the machine finds.
    pub(crate) fn findings(&self, question: &Examination) -> Findings {
        examine::findings(question, &self.ills)
    }

    /// The plans that hold.
    pub const fn applied(&self) -> &Applied {
        &self.applied
    }

    pub(crate) fn take_fault(&mut self, lane: Step) -> Option<Fault> {
        self.faults.remove(&lane)
    }

    // --- what the console does ------------------------------------------------------------------

    pub(crate) fn set_fault(&mut self, lane: Step, fault: Fault) {
        self.faults.insert(lane, fault);
    }

    pub(crate) fn set_ill(&mut self, check: CheckName, ill: bool) {
        if ill {
            self.ills.insert(check);
        } else {
            self.ills.remove(&check);
        }
    }

    pub(crate) fn set_dependency(&mut self, dependency: Dependency, there: bool) {
        if there {
            self.missing.remove(&dependency);
        } else {
            self.missing.insert(dependency);
        }
    }

    pub(crate) fn join(&mut self, mac: MacAddr, key: &Key, hostname: &str) -> Result<(), String> {
        let Some(ap) = &self.ap else { return Err("no access point runs".to_owned()) };
        if self.devices.len() >= DEVICES {
            return Err("the segment is full".to_owned());
        }
        let accepted = ap
            .keys
            .entries
            .iter()
            .find(|entry| entry.key == *key && entry.station.is_none_or(|station| station == mac));
        if ap.keys.denied.contains(&mac) {
            return Err("the access point refuses this device".to_owned());
        }
        let Some(entry) = accepted else {
            self.events.emit(PlatformEvent::Ap(ApEvent::KeyMismatch { mac }));
            return Err("the key is refused".to_owned());
        };
        let key = entry.role;
        let device = Device { hostname: hostname.to_owned(), interface: Where::Air, lease: None };
        self.devices.insert(mac, device);
        self.events.emit(PlatformEvent::Ap(ApEvent::StationJoined { mac, key }));
        self.lease(mac);
        Ok(())
    }

    pub(crate) fn plug(&mut self, mac: MacAddr, interface: IfName, hostname: &str) -> Result<(), String> {
        if self.devices.len() >= DEVICES {
            return Err("the segment is full".to_owned());
        }
        let interface = Where::Wire(interface);
        self.devices.insert(mac, Device { hostname: hostname.to_owned(), interface, lease: None });
        self.lease(mac);
        Ok(())
    }

    pub(crate) fn leave(&mut self, mac: MacAddr, timed_out: bool) -> Result<(), String> {
        let device = self.devices.remove(&mac).ok_or("there is no such device")?;
        if device.interface == Where::Air {
            self.events.emit(PlatformEvent::Ap(ApEvent::StationLeft { mac, timed_out }));
        }
        Ok(())
    }

    pub(crate) fn set_adapter(&mut self, present: bool) {
        self.adapter = present.then(adapter);
        if !present {
            self.lose_ap("the adapter was removed");
        }
        self.events.emit(PlatformEvent::Radio(self.radio_view()));
    }

    pub(crate) fn set_driver(&mut self, name: &str) -> Result<(), String> {
        name.clone_into(&mut self.adapter.as_mut().ok_or("there is no adapter")?.driver);
        self.events.emit(PlatformEvent::Radio(self.radio_view()));
        Ok(())
    }

    pub(crate) fn set_switch(&mut self, hard: bool, blocked: bool) -> Result<(), String> {
        let adapter = self.adapter.as_mut().ok_or("there is no adapter")?;
        if hard {
            adapter.blocked.hard = blocked;
        } else {
            adapter.blocked.soft = blocked;
        }
        if blocked {
            self.lose_ap("the radio was switched off");
        }
        self.events.emit(PlatformEvent::Radio(self.radio_view()));
        Ok(())
    }

    pub(crate) fn crash_ap(&mut self) -> Result<(), String> {
        if self.ap.is_none() {
            return Err("no access point runs".to_owned());
        }
        self.lose_ap("hostapd ended with signal 9");
        Ok(())
    }

    pub(crate) fn sleep(&self, sleep: Sleep) {
        self.events.emit(PlatformEvent::Sleep(sleep));
    }

    pub(crate) fn lose_firewall(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.applied.firewall) == FirewallPlan::default() {
            return Err("no rules are in force".to_owned());
        }
        let cause = "inet hostednet: wanted a table, found no table".to_owned();
        self.events.emit(PlatformEvent::FirewallLost { cause });
        Ok(())
    }

    pub(crate) fn set_uplink(&mut self, interface: Option<IfName>) {
        self.default_route = interface;
        self.events.emit(PlatformEvent::Network(self.network_view()));
    }

    pub(crate) fn add_link(&mut self, interface: IfName, media: MediaType, incoming_only: bool) {
        self.links.retain(|link| link.name != interface);
        let index = self.links.iter().map(|link| link.index).max().unwrap_or_default() + 1;
        let made = link(index, "lo0", &[], false);
        self.links.push(Link { name: interface, media, incoming_only, ..made });
        self.events.emit(PlatformEvent::Network(self.network_view()));
    }

    pub(crate) fn remove_link(&mut self, interface: IfName) {
        self.links.retain(|link| link.name != interface);
        if self.default_route == Some(interface) {
            self.default_route = None;
        }
        self.events.emit(PlatformEvent::Network(self.network_view()));
    }

    // --- what the lanes do ----------------------------------------------------------------------

    pub(crate) fn start_ap(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError> {
        let refuse = |cause: &str| {
            DriverError::new(DriverErrorKind::Unsupported, "start the access point", plan.interface, cause)
        };
        let adapter = self.adapter.as_mut().ok_or_else(|| refuse("there is no adapter"))?;
        if adapter.blocked != RadioSwitch::default() {
            return Err(refuse("the radio is switched off"));
        }
        let station = adapter.interfaces.iter().find(|interface| interface.connected);
        if station.and_then(|station| station.frequency_mhz).is_some_and(|f| f != plan.frequency_mhz) {
            return Err(refuse("the card has one channel and the station uses another"));
        }
        let index = 100;
        adapter.interfaces.retain(|interface| interface.iftype != IfType::Ap);
        adapter.interfaces.push(RadioInterface {
            name: plan.interface,
            index,
            iftype: IfType::Ap,
            address: plan.bssid,
            frequency_mhz: Some(plan.frequency_mhz),
            ssid: Some(plan.ssid),
            connected: false,
        });
        self.applied.ap = Some(AppliedAp {
            interface: plan.interface,
            ssid: plan.ssid,
            channel: plan.channel,
            keys: plan.keys.entries.len(),
        });
        self.ap = Some(plan.clone());
        self.links.retain(|link| link.name != plan.interface);
        let mut own = link(index, "hn", &[], true);
        own.name = plan.interface;
        own.address = Some(plan.bssid);
        own.ours = true;
        own.master = plan.bridge;
        self.links.push(own);
        self.announce();
        Ok(ApStarted { index, bssid: plan.bssid, frequency_mhz: plan.frequency_mhz })
    }

    /// The devices stay.
    pub(crate) fn move_ap(&mut self, plan: &ApPlan) -> Result<ApStarted, DriverError> {
        let Some(running) = self.ap.as_ref().filter(|running| running.same_but_channel(plan)) else {
            let cause = "no access point of this plan runs";
            return Err(DriverError::new(
                DriverErrorKind::Gone,
                "move the access point",
                plan.interface,
                cause,
            ));
        };
        let index =
            self.links.iter().find(|link| link.name == running.interface).map_or(0, |link| link.index);
        self.ap = Some(plan.clone());
        if let Some(applied) = &mut self.applied.ap {
            applied.channel = plan.channel;
        }
        let interfaces = self.adapter.iter_mut().flat_map(|adapter| &mut adapter.interfaces);
        for own in interfaces.filter(|interface| interface.name == plan.interface) {
            own.frequency_mhz = Some(plan.frequency_mhz);
        }
        self.announce();
        Ok(ApStarted { index, bssid: plan.bssid, frequency_mhz: plan.frequency_mhz })
    }

    /// The access point that the machine's own station is connected to moves to another channel, or goes.
    pub(crate) fn set_station(&mut self, frequency_mhz: Option<u32>) -> Result<(), String> {
        let adapter = self.adapter.as_mut().ok_or("there is no adapter")?;
        let station = adapter.interfaces.iter_mut().find(|it| it.iftype == IfType::Station);
        let station = station.ok_or("there is no station")?;
        station.connected = frequency_mhz.is_some();
        station.frequency_mhz = frequency_mhz;
        self.events.emit(PlatformEvent::Radio(self.radio_view()));
        Ok(())
    }

    pub(crate) fn stop_ap(&mut self) -> bool {
        let ran = self.ap.is_some();
        self.forget_ap();
        if ran {
            self.announce();
        }
        ran
    }

    pub(crate) fn set_keys(&mut self, keys: &KeySet) -> Result<bool, DriverError> {
        let Some(ap) = &mut self.ap else {
            let cause = "no access point runs";
            return Err(DriverError::new(
                DriverErrorKind::Gone,
                "exchange the keys",
                "the access point",
                cause,
            ));
        };
        let changed = ap.keys != *keys;
        ap.keys = keys.clone();
        if let Some(applied) = &mut self.applied.ap {
            applied.keys = keys.entries.len();
        }
        for mac in &keys.denied {
            if self.devices.get(mac).is_some_and(|device| device.interface == Where::Air) {
                let _ = self.leave(*mac, false);
            }
        }
        Ok(changed)
    }

    pub(crate) fn apply_links(&mut self, plan: &LinkPlan) -> Result<bool, DriverError> {
        for wanted in &plan.addresses {
            let bridge = plan.bridge.as_ref().is_some_and(|bridge| bridge.name == wanted.interface);
            if !bridge && !self.links.iter().any(|link| link.name == wanted.interface) {
                let cause = "there is no such interface";
                return Err(DriverError::new(
                    DriverErrorKind::Gone,
                    "add an address",
                    wanted.interface,
                    cause,
                ));
            }
        }
        let old = std::mem::replace(&mut self.applied.links, plan.clone());
        if old == *plan {
            return Ok(false);
        }
        for link in &mut self.links {
            for gone in old.addresses.iter().filter(|address| address.interface == link.name) {
                link.addresses.retain(|subnet| *subnet != gone.address);
            }
            for wanted in plan.addresses.iter().filter(|address| address.interface == link.name) {
                link.addresses.push(wanted.address);
            }
            let member = plan.bridge.as_ref().filter(|bridge| bridge.members.contains(&link.name));
            if let Some(bridge) = member {
                link.master = Some(bridge.name);
            } else if old.bridge.as_ref().is_some_and(|bridge| bridge.members.contains(&link.name)) {
                link.master = None;
            }
        }
        if let Some(bridge) = &old.bridge {
            self.links.retain(|link| link.name != bridge.name);
        }
        if let Some(bridge) = &plan.bridge {
            let mut made = link(200, "hn", &[], false);
            made.name = bridge.name;
            made.media = MediaType::Bridge;
            made.ours = true;
            made.addresses = plan.addresses.iter().map(|address| address.address).collect();
            self.links.push(made);
        }
        self.events.emit(PlatformEvent::Network(self.network_view()));
        Ok(true)
    }

    pub(crate) fn apply_forwarding(&mut self, plan: &ForwardingPlan) -> bool {
        std::mem::replace(&mut self.applied.forwarding, plan.clone()) != *plan
    }

    pub(crate) fn apply_firewall(&mut self, plan: &FirewallPlan) -> bool {
        std::mem::replace(&mut self.applied.firewall, plan.clone()) != *plan
    }

    /// What was counted. Nobody outside tries the pinholes of a simulated machine.
    pub(crate) fn counted(&self) -> Counts {
        let pinholes = self.applied.firewall.pinholes.iter();
        Counts {
            devices: self.counts.values().copied().collect(),
            pinholes: pinholes.map(|pinhole| PinholeCount { pinhole: *pinhole, packets: 0 }).collect(),
        }
    }

    /// A device sends and gets so many bytes, as far as the firewall lets it.
    pub(crate) fn traffic(&mut self, mac: MacAddr, up: u64, down: u64) -> Result<(), String> {
        let plan = &self.applied.firewall.devices;
        let rule = plan.rules.iter().find(|rule| rule.mac == mac && !plan.ports.is_empty());
        let Some(rule) = rule else { return Err("nobody counts this device".to_owned()) };
        if rule.blocked {
            return Err("the device is blocked".to_owned());
        }
        let count = self.counts.entry(mac).or_insert_with(|| DeviceCount::new(mac));
        count.exhausted = rule.until.filter(|until| count.total().saturating_add(up + down) > *until);
        if count.exhausted.is_some() {
            return Err("the quota is used up".to_owned());
        }
        count.upload = count.upload.plus(Traffic { packets: 1, bytes: up });
        count.download = count.download.plus(Traffic { packets: 1, bytes: down });
        Ok(())
    }

    pub(crate) fn apply_services(&mut self, plan: &ServicePlan) -> bool {
        let old = std::mem::replace(&mut self.applied.services, plan.clone());
        if old == *plan {
            return false;
        }
        let moved = old.segment.as_ref().map(|segment| (segment.interface, segment.address))
            != plan.segment.as_ref().map(|segment| (segment.interface, segment.address));
        if moved {
            for device in self.devices.values_mut() {
                device.lease = None;
            }
        }
        if plan.segment.as_ref().is_some_and(|segment| segment.dns.is_some()) {
            let answers = ServiceEvent::Dns { serving: true, cause: String::new() };
            self.events.emit(PlatformEvent::Service(answers));
        }
        let macs: Vec<MacAddr> = self.devices.keys().copied().collect();
        for mac in macs {
            self.lease(mac);
        }
        true
    }

    pub(crate) fn poll_stations(&self) {
        let stations = self.devices.iter().filter(|(_, device)| device.interface == Where::Air);
        let stats = stations
            .map(|(mac, _)| StationStats {
                mac: *mac,
                signal_dbm: Some(-42),
                rx_bytes: 2_048,
                tx_bytes: 4_096,
            })
            .collect();
        self.events.emit(PlatformEvent::Ap(ApEvent::StationStats(stats)));
    }

    fn announce(&self) {
        self.events.emit(PlatformEvent::Radio(self.radio_view()));
        self.events.emit(PlatformEvent::Network(self.network_view()));
    }

    fn forget_ap(&mut self) {
        if let Some(ap) = self.ap.take() {
            self.links.retain(|link| link.name != ap.interface);
            if let Some(adapter) = &mut self.adapter {
                adapter.interfaces.retain(|interface| interface.name != ap.interface);
            }
        }
        self.applied.ap = None;
        self.devices.retain(|_, device| device.interface != Where::Air);
    }

    fn lose_ap(&mut self, cause: &str) {
        if self.ap.is_some() {
            self.forget_ap();
            self.events.emit(PlatformEvent::Ap(ApEvent::Lost { cause: cause.to_owned() }));
            self.events.emit(PlatformEvent::Network(self.network_view()));
        }
    }

    /// Gives the device an address when its segment is served and it has none.
    fn lease(&mut self, mac: MacAddr) {
        let Some(segment) = &self.applied.services.segment else { return };
        let Some(device) = self.devices.get(&mac) else { return };
        let port = match device.interface {
            Where::Air => self.ap.as_ref().map(|ap| ap.interface),
            Where::Wire(interface) => Some(interface),
        };
        let attached = self.links.iter().find(|link| Some(link.name) == port);
        let served = attached
            .is_some_and(|link| link.name == segment.interface || link.master == Some(segment.interface));
        if !served || device.lease.is_some() || segment.dhcp.denied.contains(&mac) {
            return;
        }
        let taken: Vec<Ipv4Addr> = self.devices.values().filter_map(|device| device.lease).collect();
        let (first, last) = (segment.dhcp.first.to_bits(), segment.dhcp.last.to_bits());
        let Some(address) = (first..=last).map(Ipv4Addr::from_bits).find(|address| !taken.contains(address))
        else {
            return;
        };
        let hostname = device.hostname.clone();
        let ipv6 = segment.ipv6.as_ref().map(|ipv6| ipv6.address.network().address());
        // The simulation has no calendar: leases expire in the year 2100.
        let expires = Wall::from_unix(4_102_444_800);
        if let Some(device) = self.devices.get_mut(&mac) {
            device.lease = Some(address);
        }
        let given = Lease { mac, address: address.into(), hostname: hostname.clone(), expires };
        self.events.emit(PlatformEvent::Service(ServiceEvent::LeaseBound(given)));
        if let Some(ipv6) = ipv6 {
            // One /64 for all devices: what is below is the number of the IPv4 address.
            let address = Ipv6Addr::from_bits(ipv6.to_bits() | u128::from(address.to_bits())).into();
            let given = Lease { mac, address, hostname, expires };
            self.events.emit(PlatformEvent::Service(ServiceEvent::LeaseBound(given)));
        }
    }

    /// The key a device would type, for the console.
    pub(crate) fn key(&self, role: KeyRole) -> Option<Key> {
        let entries = &self.ap.as_ref()?.keys.entries;
        entries
            .iter()
            .find(|entry| entry.role == role && entry.station.is_none())
            .map(|entry| entry.key.clone())
    }
}
