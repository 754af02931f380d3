//! The actions of the services (WANIPConnection:1 and :2, WANIPv6FirewallControl:1, WANCommonInterfaceConfig:1,
//! Layer3Forwarding:1).

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use hn_types::{
    portmap::{
        LinkTraffic, MapAct, MapAdd, MapEntry, MapFilter, MapRefusal, MapRemote, MapWhich, Mapped, Origin,
    },
    settings::Protocol,
    text::escape_untrusted,
};

use crate::{
    code::{UpnpCode, UpnpService, upnp_code},
    counters::DropReason,
    device::Version,
    http::{self, Head},
    output::ConnId,
    server::{Asker, Server},
    service::Service,
    soap::{self, Call},
    xml::escape,
};

/// The longest lease of version 2, in seconds, and what 0 means there (WANIPConnection:2 §2.3.16).
const WEEK_S: u32 = 604_800;
/// The longest lease of a pinhole (WANIPv6FirewallControl:1 §2.3).
const DAY_S: u32 = 86_400;

/// An action that waits for the table.
#[derive(Debug)]
pub(crate) struct Waiting {
    conn: ConnId,
    service: Service,
    /// As the client named it.
    kind: String,
    action: &'static str,
}

type Values = Vec<(&'static str, String)>;

/// What an action leads to.
enum Outcome {
    Done(Values),
    Ask(MapAct),
}

/// An argument that is there and can be read.
fn argument<T: FromStr>(call: &Call, name: &str) -> Result<T, UpnpCode> {
    call.argument(name).and_then(|value| value.parse().ok()).ok_or(UpnpCode::INVALID_ARGS)
}

fn boolean(call: &Call, name: &str) -> Option<bool> {
    match call.argument(name)? {
        "1" => Some(true),
        "0" => Some(false),
        word if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("yes") => Some(true),
        word if word.eq_ignore_ascii_case("false") || word.eq_ignore_ascii_case("no") => Some(false),
        _ => None,
    }
}

fn protocol(call: &Call) -> Result<Protocol, UpnpCode> {
    match call.argument("NewProtocol").ok_or(UpnpCode::INVALID_ARGS)? {
        word if word.eq_ignore_ascii_case("TCP") => Ok(Protocol::Tcp),
        word if word.eq_ignore_ascii_case("UDP") => Ok(Protocol::Udp),
        _ => Err(UpnpCode::INVALID_ARGS),
    }
}

/// `NewRemoteHost`: an address, or everybody.
fn remote_host(call: &Call) -> Result<Option<Ipv4Addr>, UpnpCode> {
    match call.argument("NewRemoteHost").ok_or(UpnpCode::INVALID_ARGS)? {
        // Several clients write the wildcard in these ways.
        "" | "*" | "0.0.0.0" => Ok(None),
        text => match text.parse::<Ipv4Addr>() {
            Ok(address) if address.is_multicast() || address.is_broadcast() => Err(UpnpCode::INVALID_ARGS),
            Ok(address) => Ok(Some(address)),
            // Names of hosts are not looked up for strangers.
            Err(_) => Err(UpnpCode::REMOTE_WILDCARD_ONLY),
        },
    }
}

/// What a device calls its mapping, safe to show.
fn name(text: &str) -> String {
    escape_untrusted(text.as_bytes()).chars().take(MapAdd::NAME).collect()
}

/// The entries that UPnP's version of the table has.
fn ipv4(entries: &[MapEntry]) -> impl Iterator<Item = &MapEntry> {
    entries.iter().filter(|entry| entry.internal.is_ipv4())
}

fn remote_of(entry: &MapEntry) -> String {
    match entry.remotes.as_slice() {
        [only] if only.prefix == 32 => only.address.to_string(),
        _ => String::new(),
    }
}

impl Service {
    /// The table of errors that holds here.
    const fn codes(self) -> UpnpService {
        match self {
            Self::WanIp2 => UpnpService::WanIp2,
            Self::Firewall6 => UpnpService::Firewall6,
            Self::WanIp1 | Self::WanCommon | Self::Layer3Forwarding => UpnpService::WanIp1,
        }
    }
}

impl Server {
    /// A POST to a control path.
    pub(crate) fn control_action(
        &mut self,
        conn: ConnId,
        peer: IpAddr,
        (service, version): (Service, Version),
        head: &Head,
        body: &[u8],
    ) {
        let Some((kind, named)) = head.field("soapaction").and_then(soap::soap_action) else {
            return self.refuse_request(conn, 400, DropReason::Soap);
        };
        let call = match soap::parse(body) {
            Ok(call) if call.action == named => call,
            Ok(_) | Err(_) => return self.refuse_request(conn, 400, DropReason::Soap),
        };
        // A call to version 1 is answered with what version 1 knows. What only version 2 has may be called
        // there, too: most clients look for a gateway of version 1, and some of them try.
        let service = match service {
            Service::WanIp1 | Service::WanIp2 if kind.ends_with(":1") => {
                let first = Service::WanIp1.action(&call.action).is_some();
                if first { Service::WanIp1 } else { Service::WanIp2 }
            }
            Service::Layer3Forwarding
            | Service::WanCommon
            | Service::WanIp1
            | Service::WanIp2
            | Service::Firewall6 => service,
        };
        let action = service.action(&call.action).filter(|_| service.takes(kind)).map(|action| action.name);
        let Some(action) = action else {
            self.counters.drop(DropReason::Action);
            return self.fault(conn, UpnpCode::INVALID_ACTION);
        };
        let outcome = match service {
            Service::Layer3Forwarding => self.forwarding(action, version),
            Service::WanCommon => self.common(action),
            Service::WanIp1 | Service::WanIp2 => self.connection(service, action, &call),
            Service::Firewall6 => self.firewall(action, &call),
        };
        match outcome {
            Ok(Outcome::Done(values)) => {
                self.counters.actions += 1;
                self.respond(conn, kind, action, &values);
            }
            Ok(Outcome::Ask(act)) => {
                self.counters.actions += 1;
                let waiting = Waiting { conn, service, kind: String::from(kind), action };
                if let Err(refusal) = self.ask(Origin::Upnp, peer, act, Asker::Soap(waiting)) {
                    self.fault(conn, upnp_code(refusal, service.codes()));
                }
            }
            Err(code) => {
                self.counters.drop(DropReason::Arguments);
                self.fault(conn, code);
            }
        }
    }

    fn respond(&mut self, conn: ConnId, kind: &str, action: &str, values: &[(&str, String)]) {
        self.reply(conn, http::document(200, &soap::response(kind, action, values)));
    }

    fn fault(&mut self, conn: ConnId, code: UpnpCode) {
        self.reply(conn, http::document(500, &soap::fault(code)));
    }

    /// The table has answered.
    pub(crate) fn finish_action(&mut self, waiting: Waiting, result: &Result<Mapped, MapRefusal>) {
        let Waiting { conn, service, kind, action } = waiting;
        let outcome = match result {
            Ok(mapped) => match action {
                "AddAnyPortMapping" => {
                    Ok(alloc::vec![("NewReservedPort", mapped.external.port().to_string())])
                }
                "AddPinhole" => mapped
                    .pinhole
                    .map(|number| alloc::vec![("UniqueID", number.to_string())])
                    .ok_or(UpnpCode::ACTION_FAILED),
                "GetPinholePackets" => mapped
                    .packets
                    .map(|packets| alloc::vec![("PinholePackets", (packets as u32).to_string())])
                    .ok_or(UpnpCode::ACTION_FAILED),
                "CheckPinholeWorking" => match mapped.packets {
                    Some(1..) => Ok(alloc::vec![("IsWorking", String::from("1"))]),
                    Some(0) | None => Err(UpnpCode::NO_TRAFFIC),
                },
                _ => Ok(Vec::new()),
            },
            Err(MapRefusal::NotFound) if action == "DeletePortMappingRange" => Err(UpnpCode::NOT_FOUND),
            Err(refusal) => Err(upnp_code(*refusal, service.codes())),
        };
        match outcome {
            Ok(values) => self.respond(conn, &kind, action, &values),
            Err(code) => self.fault(conn, code),
        }
    }

    // --- Layer3Forwarding -----------------------------------------------------------------------

    fn forwarding(&self, action: &str, version: Version) -> Result<Outcome, UpnpCode> {
        match action {
            "GetDefaultConnectionService" => Ok(Outcome::Done(alloc::vec![(
                "NewDefaultConnectionService",
                version.default_connection(self.config.raw().uuid),
            )])),
            // Which connection is the public one is not for devices to say.
            _ => Err(UpnpCode::NOT_AUTHORIZED),
        }
    }

    // --- WANCommonInterfaceConfig ---------------------------------------------------------------

    fn common(&self, action: &str) -> Result<Outcome, UpnpCode> {
        let traffic = |name, of: fn(&LinkTraffic) -> u64| {
            // A ui4 that wraps; who adds up differences is right.
            let value = self.uplink.traffic.as_ref().map(|traffic| (of(traffic) as u32).to_string());
            value.map(|value| Outcome::Done(alloc::vec![(name, value)])).ok_or(UpnpCode::ACTION_FAILED)
        };
        match action {
            "GetTotalBytesSent" => traffic("NewTotalBytesSent", |t| t.sent_bytes),
            "GetTotalBytesReceived" => traffic("NewTotalBytesReceived", |t| t.received_bytes),
            "GetTotalPacketsSent" => traffic("NewTotalPacketsSent", |t| t.sent_packets),
            "GetTotalPacketsReceived" => traffic("NewTotalPacketsReceived", |t| t.received_packets),
            _ => {
                let speed = self.uplink.speed.unwrap_or_default();
                let rate = |bps: u64| u32::try_from(bps).unwrap_or(u32::MAX).to_string();
                Ok(Outcome::Done(alloc::vec![
                    ("NewWANAccessType", String::from("Ethernet")),
                    ("NewLayer1UpstreamMaxBitRate", rate(speed.up_bps)),
                    ("NewLayer1DownstreamMaxBitRate", rate(speed.down_bps)),
                    ("NewPhysicalLinkStatus", self.variable("PhysicalLinkStatus", Version::One)),
                ]))
            }
        }
    }

    // --- WANIPConnection ------------------------------------------------------------------------

    fn connection(&self, service: Service, action: &str, call: &Call) -> Result<Outcome, UpnpCode> {
        let done = |values| Ok(Outcome::Done(values));
        let variable = |name| self.variable(name, Version::Two);
        match action {
            "GetExternalIPAddress" => {
                done(alloc::vec![("NewExternalIPAddress", variable("ExternalIPAddress"))])
            }
            "GetStatusInfo" => {
                let since = if self.uplink.up { self.uplink.since } else { self.now.mono };
                done(alloc::vec![
                    ("NewConnectionStatus", variable("ConnectionStatus")),
                    ("NewLastConnectionError", String::from("ERROR_NONE")),
                    ("NewUptime", self.now.mono.since(since).as_secs().to_string()),
                ])
            }
            "GetConnectionTypeInfo" => done(alloc::vec![
                ("NewConnectionType", String::from("IP_Routed")),
                ("NewPossibleConnectionTypes", variable("PossibleConnectionTypes")),
            ]),
            "GetNATRSIPStatus" => done(alloc::vec![
                ("NewRSIPAvailable", String::from("0")),
                ("NewNATEnabled", String::from("1")),
            ]),
            "SetConnectionType" if service == Service::WanIp2 => Err(UpnpCode::READ_ONLY),
            // It is up, or nothing a device says brings it up.
            "RequestConnection" if self.uplink.up => done(Vec::new()),
            "RequestConnection" => Err(UpnpCode::SETUP_FAILED),
            "GetGenericPortMappingEntry" => {
                let index: usize = argument(call, "NewPortMappingIndex")?;
                let entry = ipv4(&self.entries).nth(index).ok_or(UpnpCode::INDEX_INVALID)?;
                let mut values = alloc::vec![
                    ("NewRemoteHost", remote_of(entry)),
                    ("NewExternalPort", entry.external_port.to_string()),
                    ("NewProtocol", entry.protocol.as_str().to_ascii_uppercase()),
                ];
                values.extend(self.entry_values(entry));
                done(values)
            }
            "GetSpecificPortMappingEntry" => {
                let (remote, port) = (remote_host(call)?, argument::<u16>(call, "NewExternalPort")?);
                let protocol = protocol(call)?;
                let wanted = remote.map(|address| address.to_string()).unwrap_or_default();
                let entry = ipv4(&self.entries)
                    .find(|entry| {
                        (entry.protocol, entry.external_port) == (protocol, port)
                            && remote_of(entry) == wanted
                    })
                    .ok_or(UpnpCode::NO_SUCH_ENTRY_IN_ARRAY)?;
                done(self.entry_values(entry))
            }
            "GetListOfPortMappings" => self.list(call),
            "AddPortMapping" | "AddAnyPortMapping" => {
                self.add(service, call, action == "AddPortMapping").map(|add| Outcome::Ask(MapAct::Add(add)))
            }
            "DeletePortMapping" => Ok(Outcome::Ask(MapAct::Remove {
                which: MapWhich::External {
                    protocol: protocol(call)?,
                    port: argument(call, "NewExternalPort")?,
                    remote: remote_host(call)?,
                },
                nonce: None,
            })),
            "DeletePortMappingRange" => {
                let (first, last) = range(call)?;
                let which = MapWhich::ExternalRange { protocol: protocol(call)?, first, last };
                Ok(Outcome::Ask(MapAct::Remove { which, nonce: None }))
            }
            // SetConnectionType, ForceTermination: not for devices to say.
            _ => Err(UpnpCode::NOT_AUTHORIZED),
        }
    }

    fn entry_values(&self, entry: &MapEntry) -> Values {
        alloc::vec![
            ("NewInternalPort", entry.internal.port().to_string()),
            ("NewInternalClient", entry.internal.ip().to_string()),
            ("NewEnabled", u8::from(entry.enabled).to_string()),
            ("NewPortMappingDescription", entry.name.clone()),
            ("NewLeaseDuration", self.seconds_left(entry).to_string()),
        ]
    }

    /// Rounded up: what still exists does not say that it lasts for ever.
    fn seconds_left(&self, entry: &MapEntry) -> u64 {
        entry.until.map_or(0, |until| until.since(self.now.mono).as_millis().div_ceil(1_000).max(1) as u64)
    }

    fn list(&self, call: &Call) -> Result<Outcome, UpnpCode> {
        let (first, last) = range(call)?;
        let protocol = protocol(call)?;
        let most = match argument::<usize>(call, "NewNumberOfPorts")? {
            0 => usize::MAX,
            most => most,
        };
        let mut listing = String::new();
        let chosen = ipv4(&self.entries)
            .filter(|entry| entry.protocol == protocol && (first..=last).contains(&entry.external_port));
        for entry in chosen.take(most) {
            listing.push_str(&format!(
                "<p:PortMappingEntry><p:NewRemoteHost>{}</p:NewRemoteHost>\
                 <p:NewExternalPort>{}</p:NewExternalPort><p:NewProtocol>{}</p:NewProtocol>\
                 <p:NewInternalPort>{}</p:NewInternalPort><p:NewInternalClient>{}</p:NewInternalClient>\
                 <p:NewEnabled>{}</p:NewEnabled><p:NewDescription>{}</p:NewDescription>\
                 <p:NewLeaseTime>{}</p:NewLeaseTime></p:PortMappingEntry>",
                remote_of(entry),
                entry.external_port,
                entry.protocol.as_str().to_ascii_uppercase(),
                entry.internal.port(),
                entry.internal.ip(),
                u8::from(entry.enabled),
                escape(&entry.name),
                self.seconds_left(entry)
            ));
        }
        if listing.is_empty() {
            return Err(UpnpCode::NOT_FOUND);
        }
        let listing = format!(
            "<p:PortMappingList xmlns:p=\"urn:schemas-upnp-org:gw:WANIPConnection\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"urn:schemas-upnp-org:gw:WANIPConnection \
             http://www.upnp.org/schemas/gw/WANIPConnection-v2.xsd\">{listing}</p:PortMappingList>"
        );
        Ok(Outcome::Done(alloc::vec![("NewPortListing", listing)]))
    }

    fn add(&self, service: Service, call: &Call, exact: bool) -> Result<MapAdd, UpnpCode> {
        let remote = remote_host(call)?;
        let external_port: u16 = argument(call, "NewExternalPort")?;
        let protocol = protocol(call)?;
        let internal_port: u16 = argument(call, "NewInternalPort")?;
        let client: Ipv4Addr = argument(call, "NewInternalClient")?;
        // Several clients leave out what has a natural value.
        let enabled = match call.argument("NewEnabled") {
            None | Some("") => true,
            Some(_) => boolean(call, "NewEnabled").ok_or(UpnpCode::INVALID_ARGS)?,
        };
        let lease: u32 = match call.argument("NewLeaseDuration") {
            None | Some("") => 0,
            Some(_) => argument(call, "NewLeaseDuration")?,
        };
        if external_port == 0 && exact {
            return Err(UpnpCode::EXTERNAL_PORT_WILDCARD);
        }
        if internal_port == 0 {
            let new = service == Service::WanIp2;
            return Err(if new { UpnpCode::INT_PORT_WILDCARD } else { UpnpCode::INVALID_ARGS });
        }
        let lifetime_s = match (service, lease) {
            (Service::WanIp2, 0) => WEEK_S,
            (Service::WanIp2, lease) => lease.min(WEEK_S),
            (_, lease) => lease,
        };
        let add = remote.map(|address| MapRemote { address: address.into(), prefix: 32, port: 0 });
        Ok(MapAdd {
            protocol,
            internal: SocketAddr::new(client.into(), internal_port),
            external_port,
            exact,
            lifetime_s,
            nonce: None,
            name: name(call.argument("NewPortMappingDescription").unwrap_or_default()),
            enabled,
            filter: MapFilter { clear: true, add: add.into_iter().collect() },
        })
    }

    // --- WANIPv6FirewallControl -----------------------------------------------------------------

    fn firewall(&self, action: &str, call: &Call) -> Result<Outcome, UpnpCode> {
        if action == "GetFirewallStatus" {
            return Ok(Outcome::Done(alloc::vec![
                ("FirewallEnabled", self.variable("FirewallEnabled", Version::Two)),
                ("InboundPinholeAllowed", self.variable("InboundPinholeAllowed", Version::Two)),
            ]));
        }
        if !self.uplink.pinholes {
            return Err(if self.uplink.up {
                UpnpCode::PINHOLE_NOT_ALLOWED
            } else {
                UpnpCode::FIREWALL_DISABLED
            });
        }
        if action == "AddPinhole" {
            return self.add_pinhole(call).map(|add| Outcome::Ask(MapAct::Add(add)));
        }
        let pinhole = argument(call, "UniqueID")?;
        Ok(Outcome::Ask(match action {
            "UpdatePinhole" => MapAct::Extend { pinhole, lifetime_s: lease(call, "NewLeaseTime")? },
            "DeletePinhole" => MapAct::Remove { which: MapWhich::Pinhole { pinhole }, nonce: None },
            _ => MapAct::Look { pinhole },
        }))
    }

    fn add_pinhole(&self, call: &Call) -> Result<MapAdd, UpnpCode> {
        let remote_port: u16 = argument(call, "RemotePort")?;
        let internal_port: u16 = argument(call, "InternalPort")?;
        let remote = match call.argument("RemoteHost").ok_or(UpnpCode::INVALID_ARGS)? {
            "" | "*" | "::" => None,
            text => Some(text.parse::<Ipv6Addr>().map_err(|_| UpnpCode::INVALID_ARGS)?),
        };
        let client = match call.argument("InternalClient").ok_or(UpnpCode::INVALID_ARGS)? {
            "" | "*" | "::" => return Err(UpnpCode::SOURCE_WILDCARD),
            text => text.parse::<Ipv6Addr>().map_err(|_| UpnpCode::INVALID_ARGS)?,
        };
        let protocol = match argument::<u32>(call, "Protocol")? {
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            65_535 => return Err(UpnpCode::PROTOCOL_WILDCARD),
            _ => return Err(UpnpCode::PROTOCOL_NOT_SUPPORTED),
        };
        if internal_port == 0 {
            return Err(UpnpCode::INTERNAL_PORT_WILDCARD);
        }
        let lifetime_s = lease(call, "LeaseTime")?;
        let add = match remote {
            Some(address) if address.is_multicast() => return Err(UpnpCode::INVALID_ARGS),
            Some(address) => Some(MapRemote { address: address.into(), prefix: 128, port: remote_port }),
            None if remote_port != 0 => {
                Some(MapRemote { address: Ipv6Addr::UNSPECIFIED.into(), prefix: 0, port: remote_port })
            }
            None => None,
        };
        Ok(MapAdd {
            protocol,
            internal: SocketAddr::new(client.into(), internal_port),
            external_port: internal_port,
            exact: true,
            lifetime_s,
            nonce: None,
            name: String::new(),
            enabled: true,
            filter: MapFilter { clear: true, add: add.into_iter().collect() },
        })
    }

    // --- variables ------------------------------------------------------------------------------

    /// The value of an evented variable.
    pub(crate) fn variable(&self, name: &str, version: Version) -> String {
        let flag = |flag: bool| String::from(if flag { "1" } else { "0" });
        let up = self.uplink.up;
        match name {
            "DefaultConnectionService" => version.default_connection(self.config.raw().uuid),
            "PhysicalLinkStatus" => String::from(if up { "Up" } else { "Down" }),
            "PossibleConnectionTypes" => String::from("IP_Routed"),
            "ConnectionStatus" => String::from(if up { "Connected" } else { "Disconnected" }),
            "ExternalIPAddress" => {
                self.uplink.external.filter(|_| up).map(|address| address.to_string()).unwrap_or_default()
            }
            "PortMappingNumberOfEntries" => {
                u16::try_from(ipv4(&self.entries).count()).unwrap_or(u16::MAX).to_string()
            }
            "SystemUpdateID" => self.changes.to_string(),
            // Devices' IPv6 is never without one.
            "FirewallEnabled" => flag(true),
            "InboundPinholeAllowed" => flag(self.uplink.pinholes),
            _ => String::new(),
        }
    }
}

/// The ports of a range (WANIPConnection:2 §2.5.21).
fn range(call: &Call) -> Result<(u16, u16), UpnpCode> {
    let (first, last): (u16, u16) = (argument(call, "NewStartPort")?, argument(call, "NewEndPort")?);
    if boolean(call, "NewManage").is_none() {
        return Err(UpnpCode::INVALID_ARGS);
    }
    if first > last { Err(UpnpCode::INCONSISTENT) } else { Ok((first.max(1), last.max(1))) }
}

fn lease(call: &Call, name: &str) -> Result<u32, UpnpCode> {
    argument(call, name).ok().filter(|seconds| (1..=DAY_S).contains(seconds)).ok_or(UpnpCode::INVALID_ARGS)
}
