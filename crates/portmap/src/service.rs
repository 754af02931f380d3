//! The services: their actions, arguments and variables in one table, from which their descriptions (SCPD, UDA
//! 1.1 §2.5) are written and calls are checked.

use alloc::{format, string::String};

/// Which way an argument goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// An argument and the variable that has its type.
pub(crate) struct Argument(pub(crate) Way, pub(crate) &'static str, pub(crate) &'static str);

/// An action.
pub(crate) struct Action {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [Argument],
}

/// A state variable.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    kind: &'static str,
    pub(crate) evented: bool,
    allowed: &'static [&'static str],
    default: Option<&'static str>,
    range: Option<(u32, u32)>,
}

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Service {
    Layer3Forwarding,
    WanCommon,
    WanIp1,
    WanIp2,
    Firewall6,
}

use Way::{In, Out};

const fn action(name: &'static str, arguments: &'static [Argument]) -> Action {
    Action { name, arguments }
}

const fn plain(name: &'static str, kind: &'static str) -> Variable {
    Variable { name, kind, evented: false, allowed: &[], default: None, range: None }
}

const fn evented(variable: Variable) -> Variable {
    Variable { evented: true, ..variable }
}

const fn of(variable: Variable, allowed: &'static [&'static str]) -> Variable {
    Variable { allowed, ..variable }
}

const fn within(variable: Variable, low: u32, high: u32) -> Variable {
    Variable { range: Some((low, high)), ..variable }
}

static LAYER3: (&[Action], &[Variable]) = (
    &[
        action(
            "SetDefaultConnectionService",
            &[Argument(In, "NewDefaultConnectionService", "DefaultConnectionService")],
        ),
        action(
            "GetDefaultConnectionService",
            &[Argument(Out, "NewDefaultConnectionService", "DefaultConnectionService")],
        ),
    ],
    &[evented(plain("DefaultConnectionService", "string"))],
);

static COMMON: (&[Action], &[Variable]) = (
    &[
        action(
            "GetCommonLinkProperties",
            &[
                Argument(Out, "NewWANAccessType", "WANAccessType"),
                Argument(Out, "NewLayer1UpstreamMaxBitRate", "Layer1UpstreamMaxBitRate"),
                Argument(Out, "NewLayer1DownstreamMaxBitRate", "Layer1DownstreamMaxBitRate"),
                Argument(Out, "NewPhysicalLinkStatus", "PhysicalLinkStatus"),
            ],
        ),
        action("GetTotalBytesSent", &[Argument(Out, "NewTotalBytesSent", "TotalBytesSent")]),
        action("GetTotalBytesReceived", &[Argument(Out, "NewTotalBytesReceived", "TotalBytesReceived")]),
        action("GetTotalPacketsSent", &[Argument(Out, "NewTotalPacketsSent", "TotalPacketsSent")]),
        action(
            "GetTotalPacketsReceived",
            &[Argument(Out, "NewTotalPacketsReceived", "TotalPacketsReceived")],
        ),
    ],
    &[
        of(plain("WANAccessType", "string"), &["DSL", "POTS", "Cable", "Ethernet"]),
        plain("Layer1UpstreamMaxBitRate", "ui4"),
        plain("Layer1DownstreamMaxBitRate", "ui4"),
        evented(of(plain("PhysicalLinkStatus", "string"), &["Up", "Down", "Initializing", "Unavailable"])),
        plain("TotalBytesSent", "ui4"),
        plain("TotalBytesReceived", "ui4"),
        plain("TotalPacketsSent", "ui4"),
        plain("TotalPacketsReceived", "ui4"),
    ],
);

const SET_TYPE: Action = action("SetConnectionType", &[Argument(In, "NewConnectionType", "ConnectionType")]);
const GET_TYPE: Action = action(
    "GetConnectionTypeInfo",
    &[
        Argument(Out, "NewConnectionType", "ConnectionType"),
        Argument(Out, "NewPossibleConnectionTypes", "PossibleConnectionTypes"),
    ],
);
const REQUEST: Action = action("RequestConnection", &[]);
const TERMINATE: Action = action("ForceTermination", &[]);
const STATUS: Action = action(
    "GetStatusInfo",
    &[
        Argument(Out, "NewConnectionStatus", "ConnectionStatus"),
        Argument(Out, "NewLastConnectionError", "LastConnectionError"),
        Argument(Out, "NewUptime", "Uptime"),
    ],
);
const NAT: Action = action(
    "GetNATRSIPStatus",
    &[Argument(Out, "NewRSIPAvailable", "RSIPAvailable"), Argument(Out, "NewNATEnabled", "NATEnabled")],
);
const GENERIC: Action = action(
    "GetGenericPortMappingEntry",
    &[
        Argument(In, "NewPortMappingIndex", "PortMappingNumberOfEntries"),
        Argument(Out, "NewRemoteHost", "RemoteHost"),
        Argument(Out, "NewExternalPort", "ExternalPort"),
        Argument(Out, "NewProtocol", "PortMappingProtocol"),
        Argument(Out, "NewInternalPort", "InternalPort"),
        Argument(Out, "NewInternalClient", "InternalClient"),
        Argument(Out, "NewEnabled", "PortMappingEnabled"),
        Argument(Out, "NewPortMappingDescription", "PortMappingDescription"),
        Argument(Out, "NewLeaseDuration", "PortMappingLeaseDuration"),
    ],
);
const SPECIFIC: Action = action(
    "GetSpecificPortMappingEntry",
    &[
        Argument(In, "NewRemoteHost", "RemoteHost"),
        Argument(In, "NewExternalPort", "ExternalPort"),
        Argument(In, "NewProtocol", "PortMappingProtocol"),
        Argument(Out, "NewInternalPort", "InternalPort"),
        Argument(Out, "NewInternalClient", "InternalClient"),
        Argument(Out, "NewEnabled", "PortMappingEnabled"),
        Argument(Out, "NewPortMappingDescription", "PortMappingDescription"),
        Argument(Out, "NewLeaseDuration", "PortMappingLeaseDuration"),
    ],
);
const ADD: Action = action(
    "AddPortMapping",
    &[
        Argument(In, "NewRemoteHost", "RemoteHost"),
        Argument(In, "NewExternalPort", "ExternalPort"),
        Argument(In, "NewProtocol", "PortMappingProtocol"),
        Argument(In, "NewInternalPort", "InternalPort"),
        Argument(In, "NewInternalClient", "InternalClient"),
        Argument(In, "NewEnabled", "PortMappingEnabled"),
        Argument(In, "NewPortMappingDescription", "PortMappingDescription"),
        Argument(In, "NewLeaseDuration", "PortMappingLeaseDuration"),
    ],
);
const DELETE: Action = action(
    "DeletePortMapping",
    &[
        Argument(In, "NewRemoteHost", "RemoteHost"),
        Argument(In, "NewExternalPort", "ExternalPort"),
        Argument(In, "NewProtocol", "PortMappingProtocol"),
    ],
);
const ADDRESS: Action =
    action("GetExternalIPAddress", &[Argument(Out, "NewExternalIPAddress", "ExternalIPAddress")]);
const DELETE_RANGE: Action = action(
    "DeletePortMappingRange",
    &[
        Argument(In, "NewStartPort", "ExternalPort"),
        Argument(In, "NewEndPort", "ExternalPort"),
        Argument(In, "NewProtocol", "PortMappingProtocol"),
        Argument(In, "NewManage", "A_ARG_TYPE_Manage"),
    ],
);
const LIST: Action = action(
    "GetListOfPortMappings",
    &[
        Argument(In, "NewStartPort", "ExternalPort"),
        Argument(In, "NewEndPort", "ExternalPort"),
        Argument(In, "NewProtocol", "PortMappingProtocol"),
        Argument(In, "NewManage", "A_ARG_TYPE_Manage"),
        Argument(In, "NewNumberOfPorts", "PortMappingNumberOfEntries"),
        Argument(Out, "NewPortListing", "A_ARG_TYPE_PortListing"),
    ],
);
const ADD_ANY: Action = action(
    "AddAnyPortMapping",
    &[
        Argument(In, "NewRemoteHost", "RemoteHost"),
        Argument(In, "NewExternalPort", "ExternalPort"),
        Argument(In, "NewProtocol", "PortMappingProtocol"),
        Argument(In, "NewInternalPort", "InternalPort"),
        Argument(In, "NewInternalClient", "InternalClient"),
        Argument(In, "NewEnabled", "PortMappingEnabled"),
        Argument(In, "NewPortMappingDescription", "PortMappingDescription"),
        Argument(In, "NewLeaseDuration", "PortMappingLeaseDuration"),
        Argument(Out, "NewReservedPort", "ExternalPort"),
    ],
);

const CONNECTION_TYPE: Variable = plain("ConnectionType", "string");
const POSSIBLE: Variable =
    evented(of(plain("PossibleConnectionTypes", "string"), &["Unconfigured", "IP_Routed", "IP_Bridged"]));
const CONNECTION_STATUS: Variable = evented(of(
    plain("ConnectionStatus", "string"),
    &["Unconfigured", "Connecting", "Connected", "PendingDisconnect", "Disconnecting", "Disconnected"],
));
const UPTIME: Variable = plain("Uptime", "ui4");
const LAST_ERROR: Variable = of(plain("LastConnectionError", "string"), &["ERROR_NONE"]);
const RSIP: Variable = plain("RSIPAvailable", "boolean");
const NAT_ENABLED: Variable = plain("NATEnabled", "boolean");
const EXTERNAL: Variable = evented(plain("ExternalIPAddress", "string"));
const COUNT: Variable = evented(plain("PortMappingNumberOfEntries", "ui2"));
const ENABLED: Variable = plain("PortMappingEnabled", "boolean");
const LEASE: Variable = plain("PortMappingLeaseDuration", "ui4");
const REMOTE: Variable = plain("RemoteHost", "string");
const EXTERNAL_PORT: Variable = plain("ExternalPort", "ui2");
const INTERNAL_PORT: Variable = plain("InternalPort", "ui2");
const PROTOCOL: Variable = of(plain("PortMappingProtocol", "string"), &["TCP", "UDP"]);
const CLIENT: Variable = plain("InternalClient", "string");
const DESCRIPTION: Variable = plain("PortMappingDescription", "string");

static WAN_IP1: (&[Action], &[Variable]) = (
    &[SET_TYPE, GET_TYPE, REQUEST, TERMINATE, STATUS, NAT, GENERIC, SPECIFIC, ADD, DELETE, ADDRESS],
    &[
        CONNECTION_TYPE,
        POSSIBLE,
        CONNECTION_STATUS,
        UPTIME,
        LAST_ERROR,
        RSIP,
        NAT_ENABLED,
        EXTERNAL,
        COUNT,
        ENABLED,
        LEASE,
        REMOTE,
        EXTERNAL_PORT,
        INTERNAL_PORT,
        PROTOCOL,
        CLIENT,
        DESCRIPTION,
    ],
);

static WAN_IP2: (&[Action], &[Variable]) = (
    &[
        SET_TYPE,
        GET_TYPE,
        REQUEST,
        TERMINATE,
        STATUS,
        NAT,
        GENERIC,
        SPECIFIC,
        ADD,
        DELETE,
        ADDRESS,
        DELETE_RANGE,
        LIST,
        ADD_ANY,
    ],
    &[
        CONNECTION_TYPE,
        POSSIBLE,
        CONNECTION_STATUS,
        UPTIME,
        LAST_ERROR,
        RSIP,
        NAT_ENABLED,
        EXTERNAL,
        COUNT,
        ENABLED,
        Variable { default: Some("3600"), ..within(LEASE, 0, 604_800) },
        REMOTE,
        EXTERNAL_PORT,
        within(INTERNAL_PORT, 1, 65_535),
        PROTOCOL,
        CLIENT,
        DESCRIPTION,
        evented(plain("SystemUpdateID", "ui4")),
        plain("A_ARG_TYPE_Manage", "boolean"),
        plain("A_ARG_TYPE_PortListing", "string"),
    ],
);

static FIREWALL: (&[Action], &[Variable]) = (
    &[
        action(
            "GetFirewallStatus",
            &[
                Argument(Out, "FirewallEnabled", "FirewallEnabled"),
                Argument(Out, "InboundPinholeAllowed", "InboundPinholeAllowed"),
            ],
        ),
        action(
            "AddPinhole",
            &[
                Argument(In, "RemoteHost", "A_ARG_TYPE_IPv6Address"),
                Argument(In, "RemotePort", "A_ARG_TYPE_Port"),
                Argument(In, "InternalClient", "A_ARG_TYPE_IPv6Address"),
                Argument(In, "InternalPort", "A_ARG_TYPE_Port"),
                Argument(In, "Protocol", "A_ARG_TYPE_Protocol"),
                Argument(In, "LeaseTime", "A_ARG_TYPE_LeaseTime"),
                Argument(Out, "UniqueID", "A_ARG_TYPE_UniqueID"),
            ],
        ),
        action(
            "UpdatePinhole",
            &[
                Argument(In, "UniqueID", "A_ARG_TYPE_UniqueID"),
                Argument(In, "NewLeaseTime", "A_ARG_TYPE_LeaseTime"),
            ],
        ),
        action("DeletePinhole", &[Argument(In, "UniqueID", "A_ARG_TYPE_UniqueID")]),
        action(
            "GetPinholePackets",
            &[
                Argument(In, "UniqueID", "A_ARG_TYPE_UniqueID"),
                Argument(Out, "PinholePackets", "A_ARG_TYPE_PinholePackets"),
            ],
        ),
        action(
            "CheckPinholeWorking",
            &[
                Argument(In, "UniqueID", "A_ARG_TYPE_UniqueID"),
                Argument(Out, "IsWorking", "A_ARG_TYPE_Boolean"),
            ],
        ),
    ],
    &[
        evented(plain("FirewallEnabled", "boolean")),
        evented(plain("InboundPinholeAllowed", "boolean")),
        plain("A_ARG_TYPE_IPv6Address", "string"),
        plain("A_ARG_TYPE_Port", "ui2"),
        plain("A_ARG_TYPE_Protocol", "ui2"),
        within(plain("A_ARG_TYPE_LeaseTime", "ui4"), 1, 86_400),
        plain("A_ARG_TYPE_UniqueID", "ui2"),
        plain("A_ARG_TYPE_PinholePackets", "ui4"),
        plain("A_ARG_TYPE_Boolean", "boolean"),
    ],
);

impl Service {
    /// `urn:schemas-upnp-org:service:NAME:VERSION`: the name and the version.
    const fn parts(self) -> (&'static str, u8) {
        match self {
            Self::Layer3Forwarding => ("Layer3Forwarding", 1),
            Self::WanCommon => ("WANCommonInterfaceConfig", 1),
            Self::WanIp1 => ("WANIPConnection", 1),
            Self::WanIp2 => ("WANIPConnection", 2),
            Self::Firewall6 => ("WANIPv6FirewallControl", 1),
        }
    }

    /// The name without its version: the last part of its paths.
    pub(crate) const fn name(self) -> &'static str {
        self.parts().0
    }

    /// `serviceType`.
    pub(crate) fn kind(self) -> String {
        let (name, version) = self.parts();
        format!("urn:schemas-upnp-org:service:{name}:{version}")
    }

    /// `serviceId`.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Layer3Forwarding => "urn:upnp-org:serviceId:L3Forwarding1",
            Self::WanCommon => "urn:upnp-org:serviceId:WANCommonIFC1",
            Self::WanIp1 | Self::WanIp2 => "urn:upnp-org:serviceId:WANIPConn1",
            Self::Firewall6 => "urn:upnp-org:serviceId:WANIPv6Firewall1",
        }
    }

    /// Whether calls to this type are calls to this service: a later version takes those of an earlier (UDA 1.1
    /// §2.3).
    pub(crate) fn takes(self, kind: &str) -> bool {
        let (name, version) = self.parts();
        kind.strip_prefix("urn:schemas-upnp-org:service:")
            .and_then(|rest| rest.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
            .is_some_and(|asked: u8| (1..=version).contains(&asked))
    }

    const fn table(self) -> &'static (&'static [Action], &'static [Variable]) {
        match self {
            Self::Layer3Forwarding => &LAYER3,
            Self::WanCommon => &COMMON,
            Self::WanIp1 => &WAN_IP1,
            Self::WanIp2 => &WAN_IP2,
            Self::Firewall6 => &FIREWALL,
        }
    }

    /// The action of this name.
    pub(crate) fn action(self, name: &str) -> Option<&'static Action> {
        self.table().0.iter().find(|action| action.name == name)
    }

    /// The variables that are told when they change.
    pub(crate) fn evented(self) -> impl Iterator<Item = &'static str> {
        self.table().1.iter().filter(|variable| variable.evented).map(|variable| variable.name)
    }

    /// The description of the service.
    pub(crate) fn description(self) -> String {
        let (actions, variables) = self.table();
        let mut out = String::from(
            "<?xml version=\"1.0\"?>\r\n<scpd xmlns=\"urn:schemas-upnp-org:service-1-0\">\
             <specVersion><major>1</major><minor>0</minor></specVersion><actionList>",
        );
        for action in *actions {
            out.push_str(&format!("<action><name>{}</name>", action.name));
            if !action.arguments.is_empty() {
                out.push_str("<argumentList>");
                for Argument(way, name, variable) in action.arguments {
                    let way = match way {
                        In => "in",
                        Out => "out",
                    };
                    out.push_str(&format!(
                        "<argument><name>{name}</name><direction>{way}</direction>\
                         <relatedStateVariable>{variable}</relatedStateVariable></argument>"
                    ));
                }
                out.push_str("</argumentList>");
            }
            out.push_str("</action>");
        }
        out.push_str("</actionList><serviceStateTable>");
        for variable in *variables {
            let events = if variable.evented { "yes" } else { "no" };
            out.push_str(&format!(
                "<stateVariable sendEvents=\"{events}\"><name>{}</name><dataType>{}</dataType>",
                variable.name, variable.kind
            ));
            if let Some(default) = variable.default {
                out.push_str(&format!("<defaultValue>{default}</defaultValue>"));
            }
            if !variable.allowed.is_empty() {
                out.push_str("<allowedValueList>");
                for value in variable.allowed {
                    out.push_str(&format!("<allowedValue>{value}</allowedValue>"));
                }
                out.push_str("</allowedValueList>");
            }
            if let Some((low, high)) = variable.range {
                out.push_str(&format!(
                    "<allowedValueRange><minimum>{low}</minimum><maximum>{high}</maximum></allowedValueRange>"
                ));
            }
            out.push_str("</stateVariable>");
        }
        out.push_str("</serviceStateTable></scpd>\r\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Version;

    #[test]
    fn every_argument_has_a_variable_with_its_type() {
        for version in [Version::One, Version::Two] {
            for service in version.services() {
                let (actions, variables) = service.table();
                for action in *actions {
                    for Argument(_, name, related) in action.arguments {
                        let found = variables.iter().any(|variable| variable.name == *related);
                        assert!(found, "{name} of {}", action.name);
                    }
                }
            }
        }
    }

    #[test]
    fn a_later_version_takes_calls_of_an_earlier() {
        let kind = |version| format!("urn:schemas-upnp-org:service:WANIPConnection:{version}");
        assert!(Service::WanIp2.takes(&kind(1)) && Service::WanIp2.takes(&kind(2)));
        assert!(Service::WanIp1.takes(&kind(1)) && !Service::WanIp1.takes(&kind(2)));
        assert!(!Service::WanIp2.takes(&kind(0)) && !Service::WanIp2.takes(&kind(3)));
        assert!(!Service::WanIp1.takes("urn:schemas-upnp-org:service:WANPPPConnection:1"));
    }
}
